// The bytes of a packed bucket: all entries of a small time bucket in one value, so that a commit which touches a hundred keys
// of an hour writes one value, not a hundred (a put costs the main thread more than a microsecond, whatever its size).
//   entry  keyBytes2 valueBytes4 utf8(key) value      numbers big-endian; entries follow each other to the end
// When a bucket is packed and when it is not: state/keyed-store.ts.

import { assert } from '../log/errors.ts'

const HEAD_BYTES = 6

/** Bytes of one entry of the page. */
export function encodePackedEntry(key: string, value: Uint8Array): Uint8Array {
  const keyBytes = Buffer.byteLength(key)
  assert(keyBytes <= 0xffff, 'a key has at most 65,535 bytes')
  const entry = Buffer.allocUnsafe(HEAD_BYTES + keyBytes + value.length)
  entry.writeUInt16BE(keyBytes, 0)
  entry.writeUInt32BE(value.length, 2)
  entry.write(key, HEAD_BYTES, 'utf8')
  entry.set(value, HEAD_BYTES + keyBytes)
  return entry
}

export function joinPackedEntries(entries: readonly Uint8Array[]): Uint8Array {
  return Buffer.concat(entries)
}

/** The entries of a page, in the order in which they stand. Throws where the bytes end inside one. */
export function decodePacked(page: Uint8Array): [key: string, value: Uint8Array][] {
  const bytes = Buffer.from(page.buffer, page.byteOffset, page.byteLength)
  const entries: [string, Uint8Array][] = []
  for (let at = 0; at < bytes.length; ) {
    const keyEnd = at + HEAD_BYTES + bytes.readUInt16BE(at)
    const end = keyEnd + bytes.readUInt32BE(at + 2)
    assert(end <= bytes.length, 'a packed bucket ends inside an entry')
    entries.push([bytes.toString('utf8', at + HEAD_BYTES, keyEnd), bytes.subarray(keyEnd, end)])
    at = end
  }
  return entries
}

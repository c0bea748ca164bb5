// The bytes of the holds of a group that came first into a bucket: most groups have no more in it, and one value is read by its
// key, ten times as fast as a range.
//   entry  time8 idBytes2 valueBytes4 utf8(id) value      numbers big-endian; entries follow each other to the end
// Which holds these are: state/hold-store.ts.

import { assert } from '../log/errors.ts'

const HEAD_BYTES = 14

export interface PackedHold {
  readonly timeMs: number
  readonly id: string
  readonly bytes: Uint8Array
}

export function encodeHolds(holds: readonly PackedHold[]): Uint8Array {
  const idBytes = holds.map(({ id }) => Buffer.byteLength(id))
  const length = holds.reduce((sum, { bytes }, i) => sum + HEAD_BYTES + idBytes[i]! + bytes.length, 0)
  const packed = Buffer.allocUnsafe(length)
  let at = 0
  holds.forEach(({ timeMs, id, bytes }, i) => {
    assert(idBytes[i]! <= 0xffff, 'the id of a hold has at most 65,535 bytes')
    packed.writeBigUInt64BE(BigInt(timeMs), at)
    packed.writeUInt16BE(idBytes[i]!, at + 8)
    packed.writeUInt32BE(bytes.length, at + 10)
    packed.write(id, at + HEAD_BYTES, 'utf8')
    packed.set(bytes, at + HEAD_BYTES + idBytes[i]!)
    at += HEAD_BYTES + idBytes[i]! + bytes.length
  })
  return packed
}

/** In the order in which they were packed. Throws where the bytes end inside one. */
export function decodeHolds(packed: Uint8Array): PackedHold[] {
  const bytes = Buffer.from(packed.buffer, packed.byteOffset, packed.byteLength)
  const holds: PackedHold[] = []
  for (let at = 0; at < bytes.length; ) {
    const idEnd = at + HEAD_BYTES + bytes.readUInt16BE(at + 8)
    const end = idEnd + bytes.readUInt32BE(at + 10)
    assert(end <= bytes.length, 'packed holds end inside one')
    const timeMs = Number(bytes.readBigUInt64BE(at))
    holds.push({ timeMs, id: bytes.toString('utf8', at + HEAD_BYTES, idEnd), bytes: bytes.subarray(idEnd, end) })
    at = end
  }
  return holds
}

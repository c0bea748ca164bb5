// One entry of a seen store as 32-bit words, the same in memory, in the journal and in pages, so that nothing is encoded
// twice and no string is kept:
//   word 0, 1   hash of the key
//   word 2, 3   time as a double, milliseconds
//   word 4      bytes of the key
//   word 5 …    key: utf8(user) 00 utf8(type) 00 utf8(id), zeros to a multiple of eight bytes
// User, type and id have no U+0000 (contract.md, section 1), so equal words mean equal strings.
// Words are little-endian, like every machine that RocksDB is built for here (asserted).

import { assert } from '../log/errors.ts'

export const TIME_WORD = 2
export const LENGTH_WORD = 4
export const KEY_WORD = 5

assert(new Uint8Array(Uint32Array.of(1).buffer)[0] === 1, 'records are little-endian')

/** Words of a record with a key of `bytes` bytes: even, so that times are aligned. */
function wordsFor(bytes: number): number {
  return (KEY_WORD + ((bytes + 3) >>> 2) + 1) & ~1
}

/** Words of the record at `at`. */
export function recordWords(words: Int32Array, at: number): number {
  return wordsFor(words[at + LENGTH_WORD]!)
}

/** Node's own method behind Buffer.write; not in its types, but documented to stay (nodejs/node, lib/internal/buffer.js). */
interface Utf8Buffer extends Buffer {
  utf8Write(text: string, offset: number): number
}

/** UTF-8 bytes per UTF-16 unit, at most. */
const UTF8_PER_UNIT_MAX = 3
const INITIAL_WORDS = 4096

/** A growing array of records. */
export class RecordBuffer {
  words: Int32Array
  /** Words in use. */
  end = 0
  #bytes: Utf8Buffer
  /** The last type and its bytes: there are few types, and they come in runs. */
  #type = ''
  #typeBytes: Uint8Array = new Uint8Array(0)
  #times: Float64Array

  constructor(capacityWords = INITIAL_WORDS) {
    const buffer = new ArrayBuffer(((capacityWords + 1) & ~1) * 4)
    this.words = new Int32Array(buffer)
    this.#bytes = Buffer.from(buffer) as Utf8Buffer
    this.#times = new Float64Array(buffer)
  }

  /** Records read back from the journal. Throws where their lengths do not add up. */
  static of(bytes: Uint8Array): RecordBuffer {
    const records = new RecordBuffer(bytes.length >>> 2)
    records.#bytes.set(bytes)
    records.end = bytes.length >>> 2
    checkRecords(records.words, records.end)
    return records
  }

  /** Appends a record without a time; returns where it is. */
  encode(user: string, type: string, id: string): number {
    const at = this.end
    this.#reserve(at + wordsFor((user.length + type.length + id.length) * UTF8_PER_UNIT_MAX + 2))
    const bytes = this.#bytes
    const start = (at + KEY_WORD) * 4
    let p = start + bytes.utf8Write(user, start)
    bytes[p++] = 0
    if (type !== this.#type) this.#setType(type)
    const typeBytes = this.#typeBytes
    for (let i = 0; i < typeBytes.length; i++) bytes[p++] = typeBytes[i]!
    bytes[p++] = 0
    p += bytes.utf8Write(id, p)
    return this.#finish(at, p - start)
  }

  setTime(at: number, timeMs: number): void {
    this.#times[(at + TIME_WORD) >>> 1] = timeMs
  }

  time(at: number): number {
    return this.#times[(at + TIME_WORD) >>> 1]!
  }

  /** Appends a copy of a record of another buffer with this time; returns where it is. */
  copy(from: Int32Array, fromAt: number, timeMs: number): number {
    const at = this.end
    const count = recordWords(from, fromAt)
    this.#reserve(at + count)
    const { words } = this
    for (let i = 0; i < count; i++) words[at + i] = from[fromAt + i]!
    this.setTime(at, timeMs)
    this.end = at + count
    return at
  }

  /** The bytes of the records in [from, to), shared: records are only ever appended. */
  bytes(from: number, to: number): Uint8Array {
    return this.#bytes.subarray(from * 4, to * 4)
  }

  clear(): void {
    this.end = 0
  }

  #setType(type: string): void {
    this.#type = type
    this.#typeBytes = Buffer.from(type, 'utf8')
  }

  /** Pads, hashes and closes the record at `at`. */
  #finish(at: number, length: number): number {
    const { words } = this
    const end = at + wordsFor(length)
    const bytes = this.#bytes
    for (let p = (at + KEY_WORD) * 4 + length; p < end * 4; p++) bytes[p] = 0
    words[at + LENGTH_WORD] = length
    // Two lanes take turns, the length first. Both halves of the result depend on both lanes, and no two states of the
    // lanes give the same result.
    let a = 0x9e3779b9
    let b = 0x85ebca6b
    for (let i = at + LENGTH_WORD; i < end; i += 2) {
      a = Math.imul(a ^ words[i]!, 0xcc9e2d51)
      a ^= a >>> 15
      b = Math.imul(b ^ words[i + 1]!, 0x1b873593)
      b ^= b >>> 13
    }
    a = Math.imul(a ^ b, 0x85ebca6b)
    a ^= a >>> 16
    b = Math.imul(b ^ a, 0xc2b2ae35)
    words[at] = a
    words[at + 1] = b ^ (b >>> 16)
    this.end = end
    return at
  }

  #reserve(words: number): void {
    if (words <= this.words.length) return
    const grown = new RecordBuffer(Math.max(words, this.words.length * 2))
    grown.words.set(this.words.subarray(0, this.end))
    this.words = grown.words
    this.#bytes = grown.#bytes
    this.#times = grown.#times
  }
}

/** Whether two records have the same user, type and id. */
export function sameKey(a: Int32Array, aAt: number, b: Int32Array, bAt: number): boolean {
  const length = a[aAt + LENGTH_WORD]!
  if (length !== b[bAt + LENGTH_WORD]) return false
  const end = KEY_WORD + ((length + 3) >>> 2)
  for (let i = KEY_WORD; i < end; i++) if (a[aAt + i] !== b[bAt + i]) return false
  return true
}

/** The strings and the time of a record, for dumps. */
export function decodeRecord(
  words: Int32Array,
  at: number,
): { user: string; type: string; id: string; timeMs: number } {
  const view = new DataView(words.buffer, words.byteOffset)
  const length = words[at + LENGTH_WORD]!
  const text = Buffer.from(words.buffer, words.byteOffset + (at + KEY_WORD) * 4, length).toString('utf8')
  const [user, type, id] = text.split('\0') as [string, string, string]
  return { user, type, id, timeMs: view.getFloat64((at + TIME_WORD) * 4, true) }
}

/** Records of a page or journal as read from the backend: checked, and aligned. Throws where lengths do not add up. */
export function recordsFrom(bytes: Uint8Array): Int32Array {
  const aligned = bytes.byteOffset % 8 === 0 ? bytes : Uint8Array.from(bytes)
  assert(aligned.length % 8 === 0, 'records are whole')
  const words = new Int32Array(aligned.buffer, aligned.byteOffset, aligned.length >>> 2)
  checkRecords(words, words.length)
  return words
}

function checkRecords(words: Int32Array, end: number): void {
  let at = 0
  while (at < end) {
    const length = words[at + LENGTH_WORD]
    assert(length !== undefined && length >= 2 && at + wordsFor(length) <= end, 'a record ends where its length says')
    at += wordsFor(length)
  }
}

// A frame is one message of a numbered writer: a JSON array of records and one header that says what they are.
// F1: records stand on lines of their own inside the array ("[r1,\nr2]"); a record is JSON text without line ends, so its
//     bytes are found without parsing.
// F2: chain(n) = mix(chain(n-1), bytes of record n); the same records give the same chain however they were framed.
// F3: what stands between two tabs is approximate (protocol.md, section 2). The chain has what stands before, between and behind such, each
//     mixed in as a record is: one that is computed again is the one that was published. To JSON a tab is white space, and no text of
//     ours has another.
// Publishing is in log/writer.ts.

import { createHash } from 'node:crypto'
import { assert } from './errors.ts'
import type { LogMessage } from './log.ts'

/** The one header of a frame (and of the last message of an atomic batch). */
export const FRAME_HEADER = 'Hf-Frame'
/** The header of every message of an output stream: `<writer>.<number>`. */
export const RECORD_HEADER = 'Hf-Record'
const FORMAT = '1'
/** Bytes. Large enough to make a message cheap, small enough for the default max_payload of 1 MiB. */
export const FRAME_BYTES_MAX = 512 * 1024

export const NO_WATERMARK = -1

export interface FrameHeader {
  /** Number of the first record; with count 0 the next number to come. */
  readonly first: number
  readonly count: number
  readonly chainBefore: string
  readonly chainAfter: string
  readonly generation: number
  readonly instance: string
  /** Milliseconds: no record with order time <= watermark will come after this frame. NO_WATERMARK if none is known. */
  readonly watermark: number
  /** Input position up to which the writer had read when it computed the last record (sequence, index in the frame). */
  readonly coveredSeq: number
  readonly coveredIndex: number
}

/** The header as text: space-separated fields in a fixed order, the format version first. */
export function encodeFrameHeader(h: FrameHeader): string {
  return `${FORMAT} ${h.first} ${h.count} ${h.chainBefore} ${h.chainAfter} ${h.generation} ${h.instance} ${h.watermark} ${h.coveredSeq} ${h.coveredIndex}`
}

/** Field by field what encodeFrameHeader() writes; the numbers of records and generations begin at 1. */
const HEADER = new RegExp(
  `^${FORMAT} ([1-9]\\d*) (\\d+) ([0-9a-f]{16}) ([0-9a-f]{16}) ([1-9]\\d*) ([^ ]+) (-?\\d+) (\\d+) (\\d+)$`,
)

/** null if the text is not a frame header of a version that this code knows. */
export function parseFrameHeader(text: string | undefined): FrameHeader | null {
  const f = text === undefined ? null : HEADER.exec(text)
  if (f === null) return null
  const header = {
    first: Number(f[1]),
    count: Number(f[2]),
    chainBefore: f[3]!,
    chainAfter: f[4]!,
    generation: Number(f[5]),
    instance: f[6]!,
    watermark: Number(f[7]),
    coveredSeq: Number(f[8]),
    coveredIndex: Number(f[9]),
  }
  return Object.values(header).every((value) => typeof value === 'string' || Number.isSafeInteger(value))
    ? header
    : null
}

/** Marks the beginning and the end of what is approximate in a record. */
const MARK = '\t'
const MARK_BYTE = 9
/** MARK_BYTE four times. */
const MARKS_WORD = 0x09090909

/** F3, for JSON text, or for fields of an object or array. */
export const approximate = (json: string): string => MARK + json + MARK

/** A running 64-bit chain in two 32-bit lanes. Mutable, one per (writer, destination), so that no record allocates. */
export class Chain {
  #a = 0
  #b = 0

  static start(writer: string, destination: string): Chain {
    const chain = new Chain()
    const bytes = Buffer.from(`${writer}\n${destination}`)
    chain.#a = 0x9e3779b9 | 0
    chain.#b = 0x85ebca6b | 0
    chain.add(bytes, 0, bytes.length)
    return chain
  }

  static fromHex(hex: string): Chain {
    assert(hex.length === 16, 'a chain is 16 hex digits')
    const chain = new Chain()
    chain.#a = Number.parseInt(hex.slice(0, 8), 16) | 0
    chain.#b = Number.parseInt(hex.slice(8), 16) | 0
    return chain
  }

  /** Mixes in the record bytes[from, to): each part of it that is exact. */
  add(bytes: Uint8Array, from: number, to: number): void {
    for (let start = from; ; ) {
      const mark = this.#mix(bytes, start, to)
      const end = mark === to ? to : bytes.indexOf(MARK_BYTE, mark + 1)
      // What stands behind a mark that no other follows is approximate, too.
      if (mark === to || end === -1 || end >= to) return
      start = end + 1
    }
  }

  /**
   * Mixes in bytes[from, to) up to the first mark, and returns where that is (`to`: there is none). Four bytes a round, then the
   * length (MurmurHash3's constants and rotations).
   */
  #mix(bytes: Uint8Array, from: number, to: number): number {
    let a = this.#a
    let b = this.#b
    let i = from
    for (; i + 4 <= to; i += 4) {
      const k = bytes[i]! | (bytes[i + 1]! << 8) | (bytes[i + 2]! << 16) | (bytes[i + 3]! << 24)
      // Whether one of the four is zero (Warren, Hacker's Delight, 6-1).
      const zeroAtMark = k ^ MARKS_WORD
      if (((zeroAtMark - 0x01010101) & ~zeroAtMark & 0x80808080) !== 0) break
      a = Math.imul(((a ^ k) << 13) | ((a ^ k) >>> 19), 0xcc9e2d51) + 0x52dce729
      b = Math.imul(((b + k) << 15) | ((b + k) >>> 17), 0x1b873593) ^ a
    }
    let tail = 0
    for (let shift = 0; i < to && bytes[i] !== MARK_BYTE; i++, shift += 8) tail |= bytes[i]! << shift
    const length = i - from
    a = Math.imul(a ^ tail ^ length, 0x85ebca6b)
    b = Math.imul((b + tail) ^ (length << 7), 0xc2b2ae35)
    a ^= a >>> 15
    b ^= b >>> 13
    this.#a = (a + Math.imul(b, 5)) | 0
    this.#b = (b ^ Math.imul(a, 9)) | 0
    return i
  }

  get hex(): string {
    return (this.#a >>> 0).toString(16).padStart(8, '0') + (this.#b >>> 0).toString(16).padStart(8, '0')
  }

  copy(): Chain {
    return Chain.fromHex(this.hex)
  }
}

const OPEN = '['
const SEPARATOR = ',\n'
const CLOSE = ']'
const LINE_END = 10
const NOT_A_FRAME = -1

/** The text of several records as it stands inside a frame; joined with others it is the text of all of them. */
export function joinRecords(records: readonly string[]): string {
  return records.join(SEPARATOR)
}

/** The payload of a frame from the JSON texts of its records, or of several at a time (joinRecords). */
export function encodeFrame(records: readonly string[]): Buffer {
  return Buffer.from(OPEN + joinRecords(records) + CLOSE, 'utf8')
}

/** The records of a frame from the byte `from` on, as a frame of their own. */
export function frameFrom(payload: Uint8Array, from: number): Buffer {
  return Buffer.concat([Buffer.from(OPEN), payload.subarray(from)])
}

/**
 * Cuts a frame behind a record that ends at `to`, in place: its first part, and where the rest begins. Possible because the
 * separator has a byte for the bracket that closes the one and a byte for the one that opens the other.
 */
export function cutFrame(payload: Buffer, from: number, to: number): { first: Buffer; rest: number } {
  payload.write(CLOSE, to, 'latin1')
  const rest = to + CLOSE.length
  if (rest < payload.length) payload.write(OPEN, rest, 'latin1')
  return { first: payload.subarray(from, rest), rest }
}

/** Walks the byte ranges of the records of a frame payload, in order. Mutable, so that a record allocates nothing. */
export class FrameRecords {
  /** Byte range of the present record: [from, to). */
  from = 0
  to = 0
  readonly #payload: Uint8Array
  readonly #last: number
  #next = 1

  constructor(payload: Uint8Array) {
    this.#payload = payload
    this.#last = payload.length - 1
    if (!isArrayText(payload)) this.#next = Number.POSITIVE_INFINITY
  }

  /** Moves to the next record; false after the last one. */
  next(): boolean {
    const last = this.#last
    if (this.#next >= last) return false
    const payload = this.#payload
    let end = this.#next
    this.from = end
    while (end < last && payload[end] !== LINE_END) end++
    this.to = end === last ? last : end - 1
    this.#next = end + 1
    return true
  }
}

function isArrayText(payload: Uint8Array): boolean {
  return payload.length >= 2 && payload[0] === 0x5b && payload[payload.length - 1] === 0x5d
}

/** Calls `onRecord(from, to)` with the byte range of each record, in order; returns how many there were (-1: no array). */
export function eachRecord(payload: Uint8Array, onRecord: (from: number, to: number) => void): number {
  if (!isArrayText(payload)) return NOT_A_FRAME
  const records = new FrameRecords(payload)
  let count = 0
  for (; records.next(); count++) onRecord(records.from, records.to)
  return count
}

/** Mixes the first `count` records of a frame into a chain; returns how many there were (-1: no array). */
export function chainRecords(chain: Chain, payload: Uint8Array, count: number = Number.POSITIVE_INFINITY): number {
  if (!isArrayText(payload)) return NOT_A_FRAME
  const records = new FrameRecords(payload)
  let seen = 0
  for (; seen < count && records.next(); seen++) chain.add(payload, records.from, records.to)
  return seen
}

/** SHA-256 (hex) of a message: subject, headers by name, payload, timestamp. The proof that a position is still the same. */
export function messageDigest(m: LogMessage): string {
  const hash = createHash('sha256').update(m.subject).update('\n')
  for (const name of Object.keys(m.headers ?? {}).sort()) hash.update(`${name}: ${m.headers![name]}\n`)
  return hash.update('\n').update(m.payload).update(`\n${m.timeNs}`).digest('hex')
}

/** Partition of a key: FNV-1a 32 of its UTF-8 bytes modulo `partitions`, as nats-server's partition() computes it. */
export function partitionOf(key: string, partitions: number): number {
  if (partitions === 1) return 0
  let hash = 0x811c9dc5
  let ascii = true
  for (let i = 0; i < key.length; i++) {
    const c = key.charCodeAt(i)
    if (c > 0x7f) {
      ascii = false
      break
    }
    hash = Math.imul(hash ^ c, 0x01000193)
  }
  if (!ascii) {
    hash = 0x811c9dc5
    for (const byte of Buffer.from(key, 'utf8')) hash = Math.imul(hash ^ byte, 0x01000193)
  }
  return (hash >>> 0) % partitions
}

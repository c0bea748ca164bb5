// Bytes of values in state: whole numbers of any size, texts and lists, one after the other.
// A reader that finds anything else halts with STATE_CORRUPT: what was written can be read, so the bytes have changed.

import { assert, HoldfastError } from '../log/errors.ts'

/** A whole number, exact at any size: a bigint only where a double would not be. */
export type Exact = number | bigint

export function addExact(a: Exact, b: Exact): Exact {
  if (typeof a === 'number' && typeof b === 'number') {
    const sum = a + b
    if (Number.isSafeInteger(sum)) return sum
  }
  return shortened(BigInt(a) + BigInt(b))
}

export function multiplyExact(a: Exact, b: Exact): Exact {
  if (typeof a === 'number' && typeof b === 'number') {
    const product = a * b
    if (Number.isSafeInteger(product)) return product + 0
  }
  return shortened(BigInt(a) * BigInt(b))
}

/** One number has one form, so that equal states have equal bytes. -0 is 0. */
function shortened(x: bigint): Exact {
  const n = Number(x)
  return Number.isSafeInteger(n) ? n : x
}

const BIG = 1
/** Twice this, and its sign, still fit a varint of a safe integer. */
const SMALL_MAX = 2 ** 50
/** Of a safe integer. */
const VARINT_BYTES_MAX = 8

/** Room to begin with: most records are shorter. */
const FIRST_BYTES = 4_096
/** Larger room than this is not kept for the next writer: few records are as large, and each thread keeps one. */
const KEPT_ROOM_BYTES_MAX = 1_048_576
/** Room of a writer that is done, for the next one: to make room costs more than most records. */
let room: Buffer | null = null
/** Up to here a text is written unit by unit, which is faster than to ask for its bytes. */
const SHORT_TEXT = 48

const NO_ROOM = Buffer.alloc(0)

export class ByteWriter {
  #bytes: Buffer
  #length = 0

  constructor() {
    this.#bytes = room ?? Buffer.allocUnsafeSlow(FIRST_BYTES)
    room = null
  }

  /** A whole number of at least 0, LEB128. */
  varint(value: number): void {
    assert(Number.isSafeInteger(value) && value >= 0, 'a varint is a whole number of at least 0')
    this.#reserve(VARINT_BYTES_MAX)
    let rest = value
    // Divided, not shifted: a number may pass 2^32.
    for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) this.#bytes[this.#length++] = (rest % 0x80) | 0x80
    this.#bytes[this.#length++] = rest
  }

  exact(value: Exact): void {
    if (typeof value === 'number' && Math.abs(value) < SMALL_MAX) {
      this.varint(4 * Math.abs(value) + (value < 0 ? 2 : 0))
      return
    }
    const big = BigInt(value)
    const hex = (big < 0n ? -big : big).toString(16)
    const magnitude = Buffer.from(hex.padStart(hex.length + (hex.length % 2), '0'), 'hex')
    this.varint(4 * magnitude.length + (big < 0n ? 2 : 0) + BIG)
    this.bytes(magnitude)
  }

  text(value: string): void {
    if (value.length <= SHORT_TEXT && this.#plainText(value)) return
    const length = Buffer.byteLength(value, 'utf8')
    this.varint(length)
    this.#reserve(length)
    this.#length += this.#bytes.write(value, this.#length, 'utf8')
  }

  /** Of ASCII alone, so that its length is known before; false, and nothing written, of another. */
  #plainText(value: string): boolean {
    this.#reserve(1 + value.length)
    const bytes = this.#bytes
    let at = this.#length
    bytes[at++] = value.length
    for (let i = 0; i < value.length; i++) {
      const unit = value.charCodeAt(i)
      if (unit >= 0x80) return false
      bytes[at++] = unit
    }
    this.#length = at
    return true
  }

  bytes(value: Uint8Array): void {
    this.#reserve(value.length)
    this.#bytes.set(value, this.#length)
    this.#length += value.length
  }

  /** How many bytes `write` writes, then those: whoever reads can pass over them. */
  sized(write: () => void): void {
    this.#reserve(1)
    const at = ++this.#length
    write()
    const size = this.#length - at
    if (size < 0x80) {
      this.#bytes[at - 1] = size
      return
    }
    const more = varintBytes(size) - 1
    // Also what varint() reserves: it must not move bytes that are behind the end for a moment.
    this.#reserve(more + VARINT_BYTES_MAX)
    this.#bytes.copyWithin(at + more, at, this.#length)
    this.#length = at - 1
    this.varint(size)
    this.#length += size
  }

  /** What was written. The writer is not used after it. */
  done(): Uint8Array {
    return this.#end(new Uint8Array(this.#length))
  }

  /**
   * The same for bytes that nobody keeps after the next commit. Memory of their own costs more than all that is written into it;
   * these stand in a slab with others, which stays as long as one of them does.
   */
  doneForOneCommit(): Uint8Array {
    return this.#end(Buffer.allocUnsafe(this.#length))
  }

  #end(whole: Uint8Array): Uint8Array {
    whole.set(this.#length === this.#bytes.length ? this.#bytes : this.#bytes.subarray(0, this.#length))
    if (this.#bytes.length <= KEPT_ROOM_BYTES_MAX) room = this.#bytes
    this.#bytes = NO_ROOM
    this.#length = 0
    return whole
  }

  #reserve(count: number): void {
    if (this.#length + count <= this.#bytes.length) return
    const larger = Buffer.allocUnsafeSlow(Math.max(2 * this.#bytes.length, this.#length + count))
    larger.set(this.#bytes.subarray(0, this.#length))
    this.#bytes = larger
  }
}

/** How long a varint is. */
function varintBytes(value: number): number {
  let count = 1
  for (let rest = value; rest >= 0x80; rest = Math.floor(rest / 0x80)) count++
  return count
}

export class ByteReader {
  readonly #bytes: Buffer
  #at = 0

  constructor(bytes: Uint8Array) {
    this.#bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
  }

  get atEnd(): boolean {
    return this.#at === this.#bytes.length
  }

  /** How many bytes were read. */
  get at(): number {
    return this.#at
  }

  varint(): number {
    let value = 0
    for (let scale = 1; ; scale *= 0x80) {
      if (this.#at >= this.#bytes.length) throw corrupt('an entry ends too early')
      const byte = this.#bytes[this.#at++]!
      value += (byte & 0x7f) * scale
      if (!Number.isSafeInteger(value)) throw corrupt('a number is too large')
      if (byte < 0x80) return value
    }
  }

  /** As many as the next varint says. Each takes a byte at least, so a damaged count asks for no memory. */
  list<T>(one: () => T): T[] {
    const length = this.varint()
    if (length > this.#bytes.length - this.#at) throw corrupt('a list is longer than its entry')
    return Array.from({ length }, one)
  }

  exact(): Exact {
    const head = this.varint()
    const [size, isNegative, isBig] = [Math.floor(head / 4), (head & 2) !== 0, (head & BIG) !== 0]
    if (!isBig) return isNegative ? -size : size
    const hex = this.bytes(size).toString('hex')
    const magnitude = BigInt(`0x${hex === '' ? '0' : hex}`)
    return shortened(isNegative ? -magnitude : magnitude)
  }

  /** Passes over what `exact` reads. */
  skipExact(): void {
    const head = this.varint()
    if ((head & BIG) !== 0) this.bytes(Math.floor(head / 4))
  }

  text(): string {
    return this.bytes(this.varint()).toString('utf8')
  }

  /** What `sized` wrote, as it stands: no copy. */
  sized(): Buffer {
    return this.bytes(this.varint())
  }

  /** All that was not read yet. */
  rest(): Buffer {
    return this.bytes(this.#bytes.length - this.#at)
  }

  /** A view, no copy. */
  bytes(count: number): Buffer {
    if (this.#at + count > this.#bytes.length) throw corrupt('an entry ends too early')
    this.#at += count
    return this.#bytes.subarray(this.#at - count, this.#at)
  }
}

export function corrupt(why: string): HoldfastError {
  return new HoldfastError('STATE_CORRUPT', `state of features: ${why}`)
}

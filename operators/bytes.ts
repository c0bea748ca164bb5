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

export class ByteWriter {
  readonly #bytes: number[] = []

  /** A whole number of at least 0, LEB128. */
  varint(value: number): void {
    assert(Number.isSafeInteger(value) && value >= 0, 'a varint is a whole number of at least 0')
    let rest = value
    // Divided, not shifted: a number may pass 2^32.
    for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) this.#bytes.push((rest % 0x80) | 0x80)
    this.#bytes.push(rest)
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
    this.#bytes.push(...magnitude)
  }

  text(value: string): void {
    const bytes = Buffer.from(value, 'utf8')
    this.varint(bytes.length)
    for (const byte of bytes) this.#bytes.push(byte)
  }

  done(): Uint8Array {
    return Uint8Array.from(this.#bytes)
  }
}

export class ByteReader {
  readonly #bytes: Uint8Array
  #at = 0

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes
  }

  get atEnd(): boolean {
    return this.#at === this.#bytes.length
  }

  varint(): number {
    let value = 0
    for (let scale = 1; ; scale *= 0x80) {
      const byte = this.#take(1)[0]!
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
    const hex = Buffer.from(this.#take(size)).toString('hex')
    const magnitude = BigInt(`0x${hex === '' ? '0' : hex}`)
    return shortened(isNegative ? -magnitude : magnitude)
  }

  text(): string {
    return Buffer.from(this.#take(this.varint())).toString('utf8')
  }

  #take(count: number): Uint8Array {
    if (this.#at + count > this.#bytes.length) throw corrupt('an entry ends too early')
    this.#at += count
    return this.#bytes.subarray(this.#at - count, this.#at)
  }
}

export function corrupt(why: string): HoldfastError {
  return new HoldfastError('STATE_CORRUPT', `state of features: ${why}`)
}

// In memory, for millions of ids that are in the backend: which segments may have an id? 4 to 5 bytes an id.
// It is used where design.md says Bloom filters, and does what they do ("surely not" or "maybe") better for the same
// memory as one filter per segment plus one over many: a probe reads one cache line and names the segment, and a false
// "maybe" comes once in some 60,000 probes, not once in 100. With 1 % nearly every slice would wait for the backend.
// A word is 20 bits of the hash and the segment's ordinal plus one; 0 is free. A line is 16 words (one cache line); a
// full line goes on in the next one. Nothing is ever removed: an index goes as a whole when all its segments expired.

import { assert } from '../log/errors.ts'

const LINE_WORDS = 16
/** Ids per line that the size is chosen for: 14 of 16 keeps nearly all probes within one line. */
const LINE_IDS = 14
const ORDINAL_BITS = 12
const ORDINAL_MASK = (1 << ORDINAL_BITS) - 1

/** Segments of one index. */
export const INDEX_SEGMENTS_MAX = ORDINAL_MASK
/** Chance that a probe for an absent id names one segment, in a full index: words looked at times 2^-20, rounded up. */
export const FALSE_MAYBE_RATE = 2 ** -15

export class FingerprintIndex {
  /** Ids that it has room for. */
  readonly capacity: number
  readonly #words: Int32Array
  readonly #lines: number
  #count = 0

  constructor(capacity: number) {
    this.capacity = capacity
    this.#lines = Math.ceil(capacity / LINE_IDS)
    this.#words = new Int32Array(this.#lines * LINE_WORDS)
  }

  get count(): number {
    return this.#count
  }

  get bytes(): number {
    return this.#words.byteLength
  }

  add(h1: number, h2: number, ordinal: number): void {
    assert(this.#count < this.capacity && ordinal < INDEX_SEGMENTS_MAX, 'the index has room')
    const words = this.#words
    let at = this.#place(h1)
    while (words[at] !== 0) at = at + 1 === words.length ? 0 : at + 1
    words[at] = (h2 & ~ORDINAL_MASK) | (ordinal + 1)
    this.#count++
  }

  /** Appends the ordinals of the segments that may have the id (maybe one twice); most ids have none. */
  find(h1: number, h2: number, found: number[]): void {
    const words = this.#words
    let at = this.#place(h1)
    for (let word = words[at]!; word !== 0; word = words[at]!) {
      if ((word ^ h2) >>> ORDINAL_BITS === 0) found.push((word & ORDINAL_MASK) - 1)
      at = at + 1 === words.length ? 0 : at + 1
    }
  }

  #place(h1: number): number {
    return Math.floor(((h1 >>> 0) / 0x100000000) * this.#lines) * LINE_WORDS
  }
}

// In memory, for millions of ids that are in the backend: which segments may have an id? Under 4 bytes an id.
// First a Bloom filter over all segments of the index: one cache line says "none" for nearly every new id. Behind it a
// cuckoo filter names the segment, so that a duplicate costs one page read, not a look at every segment, and a false "maybe"
// of the Bloom filter (one in 200) becomes a needless read once in 7,000 lookups: with 1 % nearly every slice would wait.
// The cuckoo filter: a word is 8 bits of the hash and the segment's ordinal plus one (0: free). It stands in one of two
// buckets of four words, both in one page of memory; each follows from the other and the 8 bits.
// Nothing is ever removed: an index goes as a whole when all its segments expired.

import { assert } from '../log/errors.ts'
import { BLOOM_BITS_PER_ID, BloomFilter } from './bloom.ts'

const BUCKET_WORDS = 4
/** Buckets of one page of memory (4 KiB). */
const PAGE_BUCKETS = 512
const PAGE_MASK = PAGE_BUCKETS - 1
/** Ids per word. Above 0.95 the search for a free word does not end; a page may have 5 deviations more than the mean. */
const LOAD_MAX = 0.88
/** Words moved for one id. Beyond it goes to the overflow: reached when one id stands in more than eight segments. */
const MOVES_MAX = 256
const ORDINAL_BITS = 8
const ORDINAL_MASK = (1 << ORDINAL_BITS) - 1
const TWO_32 = 0x100000000

/** Of an id in a full index, bytes: what a load needs is reckoned with it. */
export const INDEX_BYTES_PER_ID = (BLOOM_BITS_PER_ID + 16 / LOAD_MAX) / 8

/** Segments of one index. */
export const INDEX_SEGMENTS_MAX = ORDINAL_MASK
/** How often the lookup of an absent id names a segment, at most, in a full index: BLOOM_FALSE_RATE_MAX x 8 words x 2^-8. */
export const FALSE_MAYBE_RATE_MAX = 0.008 / 32

export class SegmentIndex {
  /** Ids that it has room for. */
  readonly capacity: number
  readonly #bloom: BloomFilter
  readonly #words: Uint16Array
  readonly #buckets: number
  /** Pairs of bucket and word that found no place in the table; nearly always empty. */
  readonly #overflow: number[] = []
  #count = 0

  constructor(capacity: number) {
    this.capacity = capacity
    this.#bloom = new BloomFilter(capacity)
    this.#buckets = Math.ceil(capacity / LOAD_MAX / BUCKET_WORDS / PAGE_BUCKETS) * PAGE_BUCKETS
    this.#words = new Uint16Array(this.#buckets * BUCKET_WORDS)
  }

  /** Ids added. */
  get count(): number {
    return this.#count
  }

  get bytes(): number {
    return this.#words.byteLength + this.#bloom.bytes
  }

  get overflowed(): number {
    return this.#overflow.length / 2
  }

  add(h1: number, h2: number, ordinal: number): void {
    assert(this.#count < this.capacity && ordinal < INDEX_SEGMENTS_MAX, 'the index has room')
    this.#count++
    this.#bloom.add(h1, h2)
    const bucket = this.#bucket(h1)
    const print = printOf(h2)
    const word = (print << ORDINAL_BITS) | (ordinal + 1)
    if (this.#put(bucket, word) || this.#put(other(bucket, print), word)) return
    this.#makeRoom(bucket, word)
  }

  /** Appends the ordinals of the segments that may have the id (maybe one twice); most ids have none. */
  find(h1: number, h2: number, found: number[]): void {
    if (!this.#bloom.mayHave(h1, h2)) return
    const print = printOf(h2)
    const bucket = this.#bucket(h1)
    this.#match(bucket, print, found)
    this.#match(other(bucket, print), print, found)
    if (this.#overflow.length > 0) this.#matchOverflow(bucket, print, found)
  }

  #bucket(h1: number): number {
    return Math.floor((h1 >>> 0) * (this.#buckets / TWO_32))
  }

  #put(bucket: number, word: number): boolean {
    const words = this.#words
    const end = (bucket + 1) * BUCKET_WORDS
    for (let at = end - BUCKET_WORDS; at < end; at++) {
      if (words[at] !== 0) continue
      words[at] = word
      return true
    }
    return false
  }

  /** Moves words to their other buckets until one finds a free place. Which one moves next turns with the count. */
  #makeRoom(from: number, added: number): void {
    const words = this.#words
    let bucket = from
    let word = added
    for (let moves = 0; moves < MOVES_MAX; moves++) {
      const at = bucket * BUCKET_WORDS + ((this.#count + moves) & (BUCKET_WORDS - 1))
      const moved = words[at]!
      words[at] = word
      word = moved
      bucket = other(bucket, word >>> ORDINAL_BITS)
      if (this.#put(bucket, word)) return
    }
    this.#overflow.push(bucket, word)
  }

  #match(bucket: number, print: number, found: number[]): void {
    const words = this.#words
    const at = bucket * BUCKET_WORDS
    for (let i = 0; i < BUCKET_WORDS; i++) {
      const word = words[at + i]!
      if (word >>> ORDINAL_BITS === print) found.push((word & ORDINAL_MASK) - 1)
    }
  }

  #matchOverflow(bucket: number, print: number, found: number[]): void {
    for (let i = 0; i < this.#overflow.length; i += 2) {
      const place = this.#overflow[i]!
      const word = this.#overflow[i + 1]!
      if (word >>> ORDINAL_BITS !== print) continue
      if (place === bucket || place === other(bucket, print)) found.push((word & ORDINAL_MASK) - 1)
    }
  }
}

/** Bits of the hash that a word keeps, never 0. */
function printOf(h2: number): number {
  return h2 >>> 24 || 1
}

/** The other bucket of a word: their numbers in the page add up to what follows from the print, so this is its own inverse. */
function other(bucket: number, print: number): number {
  return (bucket & ~PAGE_MASK) | (((Math.imul(print, 0x9e3779b1) >>> 23) - bucket) & PAGE_MASK)
}

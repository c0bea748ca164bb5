// The two lives of the entries of a seen store. An open segment takes new entries, exact and in memory; a sealed one is
// pages in the backend (and in memory until they are written), found by the top bits of the hash.

import { assert } from '../log/errors.ts'
import { RecordBuffer, recordWords, sameKey, TIME_WORD } from './seen-record.ts'

const SLOTS_MIN = 256
/** Two words a slot: hash and place in the records plus one. */
const SLOT_WORDS = 2
/** Entries per page: small enough to read for one id, large enough that a seal is few puts. */
const PAGE_ENTRIES = 64
export const PAGE_BITS_MAX = 9

/** New entries of one bucket. */
export class OpenSegment {
  readonly bucket: number
  readonly records: RecordBuffer
  count = 0
  /** Number of the cut that took its last entries; for choosing what to seal. */
  lastCut = 0
  /** Words that the journal has, or by the cuts taken will have. */
  #journaled = 0
  #slots = new Int32Array(SLOTS_MIN * SLOT_WORDS)

  constructor(bucket: number, capacityWords?: number) {
    this.bucket = bucket
    this.records = new RecordBuffer(capacityWords)
  }

  /** Appends entries that the journal has. */
  restore(journal: RecordBuffer): void {
    for (let at = 0; at < journal.end; at += recordWords(journal.words, at))
      this.add(journal.words, at, journal.time(at))
    this.#journaled = this.records.end
  }

  add(words: Int32Array, at: number, timeMs: number): void {
    if ((this.count + 1) * 2 * SLOT_WORDS > this.#slots.length) this.#grow()
    this.#slot(words[at]!, this.records.copy(words, at, timeMs))
    this.count++
  }

  /** Whether an entry with the key of the record at `at` has |its time - timeMs| <= horizonMs. */
  has(words: Int32Array, at: number, timeMs: number, horizonMs: number): boolean {
    const slots = this.#slots
    const mask = slots.length - 1
    const h1 = words[at]!
    for (let i = (h1 << 1) & mask; slots[i + 1] !== 0; i = (i + SLOT_WORDS) & mask) {
      if (slots[i] !== h1) continue
      const place = slots[i + 1]! - 1
      if (sameKey(this.records.words, place, words, at) && Math.abs(this.records.time(place) - timeMs) <= horizonMs)
        return true
    }
    return false
  }

  get journaled(): boolean {
    return this.#journaled > 0
  }

  /** The entries that the journal does not have yet; null if it has all. */
  takeJournal(): Uint8Array | null {
    if (this.#journaled === this.records.end) return null
    const bytes = this.records.bytes(this.#journaled, this.records.end)
    this.#journaled = this.records.end
    return bytes
  }

  #slot(h1: number, place: number): void {
    const slots = this.#slots
    const mask = slots.length - 1
    let i = (h1 << 1) & mask
    while (slots[i + 1] !== 0) i = (i + SLOT_WORDS) & mask
    slots[i] = h1
    slots[i + 1] = place + 1
  }

  #grow(): void {
    this.#slots = new Int32Array(this.#slots.length * 4)
    const { words, end } = this.records
    for (let at = 0; at < end; at += recordWords(words, at)) this.#slot(words[at]!, at)
  }
}

/** Entries in the backend. */
export class SealedSegment {
  readonly bucket: number
  readonly number: number
  readonly pageBits: number
  readonly count: number
  /** By page number, while the backend does not have them; null afterwards. */
  pages: readonly Int32Array[] | null

  constructor(bucket: number, number: number, pageBits: number, count: number, pages: readonly Int32Array[] | null) {
    this.bucket = bucket
    this.number = number
    this.pageBits = pageBits
    this.count = count
    this.pages = pages
  }

  pageOf(h1: number): number {
    return this.pageBits === 0 ? 0 : h1 >>> (32 - this.pageBits)
  }
}

/** Sorts the entries of an open segment into pages. `hashes` is the value that lets a restart index it without its pages. */
export function seal(open: OpenSegment, number: number): { segment: SealedSegment; hashes: Int32Array } {
  const { words, end } = open.records
  const pageBits = pageBitsFor(open.count)
  const sizes = new Int32Array(1 << pageBits)
  const hashes = new Int32Array(HASHES_HEADER_WORDS + 2 * open.count)
  hashes[0] = pageBits
  hashes[1] = open.count
  let h = HASHES_HEADER_WORDS
  const shift = 32 - pageBits
  for (let at = 0; at < end; at += recordWords(words, at)) {
    hashes[h++] = words[at]!
    hashes[h++] = words[at + 1]!
    sizes[pageBits === 0 ? 0 : words[at]! >>> shift]! += recordWords(words, at)
  }
  assert(h === hashes.length, 'a segment counts its entries')
  const pages = pagesOf(words, end, sizes, pageBits)
  return { segment: new SealedSegment(open.bucket, number, pageBits, open.count, pages), hashes }
}

const HASHES_HEADER_WORDS = 2

/** The segment and its hashes (word 2 on, two each) from the value that seal() made. */
export function unseal(
  bytes: Uint8Array,
  bucket: number,
  number: number,
): { segment: SealedSegment; hashes: Int32Array } {
  const aligned = bytes.byteOffset % 4 === 0 ? bytes : Uint8Array.from(bytes)
  const words = new Int32Array(aligned.buffer, aligned.byteOffset, aligned.length >>> 2)
  const [pageBits, count] = words
  assert(
    count !== undefined && words.length === HASHES_HEADER_WORDS + 2 * count,
    'a segment has as many hashes as it says',
  )
  assert(pageBits! >= 0 && pageBits! <= PAGE_BITS_MAX, 'page bits in range')
  return { segment: new SealedSegment(bucket, number, pageBits!, count, null), hashes: words }
}

/** Calls `each` with both halves of every hash of a segment. */
export function eachHash(hashes: Int32Array, each: (h1: number, h2: number) => void): void {
  for (let i = HASHES_HEADER_WORDS; i < hashes.length; i += 2) each(hashes[i]!, hashes[i + 1]!)
}

function pageBitsFor(count: number): number {
  const bits = Math.max(0, 31 - Math.clz32(Math.floor(count / PAGE_ENTRIES)))
  return Math.min(bits, PAGE_BITS_MAX)
}

function pagesOf(words: Int32Array, end: number, sizes: Int32Array, pageBits: number): Int32Array[] {
  const all = new Int32Array(end)
  const places = new Int32Array(sizes.length)
  const pages: Int32Array[] = []
  for (let page = 0, place = 0; page < sizes.length; page++) {
    places[page] = place
    pages.push(all.subarray(place, place + sizes[page]!))
    place += sizes[page]!
  }
  for (let at = 0; at < end; ) {
    const count = recordWords(words, at)
    const page = pageBits === 0 ? 0 : words[at]! >>> (32 - pageBits)
    let to = places[page]!
    places[page] = to + count
    for (const next = at + count; at < next; at++) all[to++] = words[at]!
  }
  return pages
}

/** Whether a page has an entry with the key of the record at `at` and |its time - timeMs| <= horizonMs. */
export function pageHas(page: Int32Array, words: Int32Array, at: number, timeMs: number, horizonMs: number): boolean {
  const times = new Float64Array(page.buffer, page.byteOffset, page.length >>> 1)
  const h1 = words[at]
  const h2 = words[at + 1]
  for (let place = 0; place < page.length; place += recordWords(page, place)) {
    if (page[place] !== h1 || page[place + 1] !== h2 || !sameKey(page, place, words, at)) continue
    if (Math.abs(times[(place + TIME_WORD) >>> 1]! - timeMs) <= horizonMs) return true
  }
  return false
}

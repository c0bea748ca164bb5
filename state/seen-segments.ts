// The two lives of the entries of a seen store. An open segment takes new entries, exact and in memory; a sealed one is
// pages in the backend (and in memory until they are written), found by the top bits of the hash.

import { assert } from '../log/errors.ts'
import { RecordBuffer, recordWords, sameKey, TIME_WORD } from './seen-record.ts'
import type { SegmentIndex } from './segment-index.ts'

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
  const { records, count, bucket } = open
  const pageBits = pageBitsFor(count)
  const pages = pagesOf(records.words, records.end, pageBits)
  return {
    segment: new SealedSegment(bucket, number, pageBits, count, pages),
    hashes: hashesOf(records, count, pageBits),
  }
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

export interface SegmentHashes {
  /** The segment's ordinal in its index. */
  readonly ordinal: number
  readonly hashes: Int32Array
}

/**
 * Adds all hashes of some segments to an index, region by region of the index: each region then stays in the processor's
 * cache, which makes a restart several times as fast.
 */
export function addHashes(index: SegmentIndex, segments: readonly SegmentHashes[]): void {
  const cursors = segments.map(() => HASHES_HEADER_WORDS)
  for (let region = 0; region < REGIONS; region++) {
    for (let s = 0; s < segments.length; s++) {
      const { hashes, ordinal } = segments[s]!
      let i = cursors[s]!
      for (; i < hashes.length && regionOf(hashes[i]!) === region; i += 2)
        index.add(hashes[i]!, hashes[i + 1]!, ordinal)
      cursors[s] = i
    }
  }
  for (let s = 0; s < segments.length; s++) assert(cursors[s] === segments[s]!.hashes.length, 'hashes are in order')
}

/** Regions by the top bits of the hash, which also choose the place in an index. */
const REGION_BITS = 8
const REGIONS = 1 << REGION_BITS

function regionOf(h1: number): number {
  return h1 >>> (32 - REGION_BITS)
}

/** Page bits, count, then both halves of every hash, in the order of regions. */
function hashesOf(records: RecordBuffer, count: number, pageBits: number): Int32Array {
  const { words, end } = records
  const next = new Int32Array(REGIONS + 1)
  for (let at = 0; at < end; at += recordWords(words, at)) next[regionOf(words[at]!) + 1]!++
  for (let region = 0; region < REGIONS; region++) next[region + 1]! += next[region]!
  assert(next[REGIONS] === count, 'a segment counts its entries')
  const hashes = new Int32Array(HASHES_HEADER_WORDS + 2 * count)
  hashes[0] = pageBits
  hashes[1] = count
  for (let at = 0; at < end; at += recordWords(words, at)) {
    const place = HASHES_HEADER_WORDS + 2 * next[regionOf(words[at]!)]!++
    hashes[place] = words[at]!
    hashes[place + 1] = words[at + 1]!
  }
  return hashes
}

function pageBitsFor(count: number): number {
  const bits = Math.max(0, 31 - Math.clz32(Math.floor(count / PAGE_ENTRIES)))
  return Math.min(bits, PAGE_BITS_MAX)
}

function pagesOf(words: Int32Array, end: number, pageBits: number): Int32Array[] {
  const pageOf = (h1: number): number => (pageBits === 0 ? 0 : h1 >>> (32 - pageBits))
  const sizes = new Int32Array(1 << pageBits)
  for (let at = 0; at < end; at += recordWords(words, at)) sizes[pageOf(words[at]!)]! += recordWords(words, at)
  const all = new Int32Array(end)
  const places = new Int32Array(sizes.length)
  const pages: Int32Array[] = []
  for (let page = 0, place = 0; page < sizes.length; page++) {
    places[page] = place
    pages.push(all.subarray(place, place + sizes[page]!))
    place += sizes[page]!
  }
  for (let at = 0; at < end; ) {
    const page = pageOf(words[at]!)
    const next = at + recordWords(words, at)
    let to = places[page]!
    while (at < next) all[to++] = words[at++]!
    places[page] = to
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

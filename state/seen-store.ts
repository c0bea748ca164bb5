// Exact set of (user, type, id, time) in time buckets, built for one write per many ids and few reads.
// E1: an entry is in one open segment or one sealed segment, of the bucket of max(its time, notBefore at its arrival).
//     A question for time t and horizon h therefore looks at every bucket from bucketOf(t - h) on, and at times exactly.
// E2: an open segment is durable by a journal: one value per bucket and cut. Full at a cut, it is sealed: pages and one
//     value of hashes are put and its journal deleted in the same batch. Its pages stay in memory until that is written.
// E3: "surely not sealed" is answered in memory (segment-index.ts); a "maybe" wants one page, which is compared exactly.
// E4: sealing depends on cuts; no answer and no line of dump() does.
// A record is encoded and hashed once: want() stages it, has() and add() find it there.

import { assert, HoldfastError } from '../log/errors.ts'
import type { Backend } from './backend.ts'
import { Expiry, type ExpiryMeta } from './expiry.ts'
import { FilterBudget, UNBOUNDED } from './filter-room.ts'
import { BUCKET_MAX, BUCKET_WIDTH_MIN_MS, bucketRange, KIND, parseSeenKey } from './key-layout.ts'
import type { CutBatch, KeyList, ManagedStore } from './managed-store.ts'
import { decodeRecord, RecordBuffer, recordsFrom, recordWords } from './seen-record.ts'
import {
  addHashes,
  OpenSegment,
  PAGE_BITS_MAX,
  pageHas,
  type SealedSegment,
  type SegmentHashes,
  seal,
  unseal,
} from './seen-segments.ts'
import { INDEX_SEGMENTS_MAX, SegmentIndex } from './segment-index.ts'
import type { SeenStore } from './store.ts'

/** Entries of an open segment at which a cut seals it: 64 entries a page in 256 pages, some 2 MB in memory. */
export const SEAL_ENTRIES = 16_384
/** Open segments. Time moves on, so two or three buckets get entries; what an old one still has open is sealed. */
export const OPEN_BUCKETS_MAX = 8
/** Pages kept after use, some 6 KB each: what duplicates ask for again soon. */
export const PAGES_CACHED_MAX = 1024
/** Staged records; a slice has at most 128 records. What does not fit is encoded twice. */
const STAGED_MAX = 512
/**
 * Ids of the smallest and the largest index (2 and 8 MB). Each index is up to twice as large as all before it, since
 * every one costs each lookup a cache miss; an index is freed when all of its segments expired.
 */
const INDEX_IDS_MIN = 1 << 19
const INDEX_IDS_MAX = 1 << 21
/** Segments whose hashes are in memory at once during a restart (8 MB), and those that are fetched at once. */
const SEGMENTS_READ_MAX = 64
const SEGMENTS_FETCHED_MAX = 8

export interface SeenMeta extends ExpiryMeta {
  readonly nextSegment: number
  /** Ids in sealed segments, expired ones included: the size of the first index after a restart. */
  readonly sealedIds: number
}

export interface SeenOptions {
  readonly id: number
  readonly name: string
  readonly bucketMs: number
  /** For the indexes of all seen stores of the task; not given: without a limit. */
  readonly filters?: FilterBudget
  /** See SEAL_ENTRIES; smaller in tests. */
  readonly sealEntries?: number
  /** See PAGES_CACHED_MAX; smaller in tests. */
  readonly pagesCachedMax?: number
}

/** Sealed segments of some time, and where their ids are. */
interface IndexGroup {
  readonly index: SegmentIndex
  readonly segments: SealedSegment[]
  /** Ids in its segments. */
  ids: number
}

type PageNumber = number
const PAGES_PER_SEGMENT = 1 << PAGE_BITS_MAX
const NO_PAGE = new Int32Array(0)

interface MissingPage {
  readonly segment: SealedSegment
  readonly page: number
}

/** A question that want() announced, and which sealed segments it may concern. */
interface Staged {
  user: string
  type: string
  id: string
  timeMs: number
  horizonMs: number
  /** Its record in `#records`. */
  at: number
  /** null: not looked up yet. */
  maybe: readonly SealedSegment[] | null
}

const NONE: readonly SealedSegment[] = []

export class BucketedSeenStore implements SeenStore, ManagedStore {
  readonly id: number
  readonly name: string
  readonly #bucketMs: number
  readonly #sealEntries: number
  readonly #pagesCachedMax: number
  readonly #backend: Backend
  readonly #filters: FilterBudget
  readonly #expiry: Expiry
  #lowest: number
  #nextSegment: number
  #sealedIds = 0
  #open: OpenSegment[] = []
  #groups: IndexGroup[] = []
  /** Sealed by cuts that are not written yet, oldest cut first. */
  readonly #unwritten: SealedSegment[][] = []

  /** Pages by number, the one used last at the end. */
  readonly #pages = new Map<PageNumber, Int32Array>()
  #missing: MissingPage[] = []
  #loading: MissingPage[] = []

  readonly #records = new RecordBuffer()
  readonly #staged: Staged[] = []
  #stagedCount = 0
  /** Staged questions before this one were looked up. */
  #lookedUp = 0
  /** Staged questions before this one are answered. */
  #cursor = 0
  readonly #found: number[] = []

  private constructor(options: SeenOptions, backend: Backend, meta: SeenMeta | null) {
    assert(options.bucketMs >= BUCKET_WIDTH_MIN_MS, 'a bucket is at least a second wide')
    this.id = options.id
    this.name = options.name
    this.#bucketMs = options.bucketMs
    this.#sealEntries = options.sealEntries ?? SEAL_ENTRIES
    this.#pagesCachedMax = options.pagesCachedMax ?? PAGES_CACHED_MAX
    this.#backend = backend
    this.#filters = options.filters ?? new FilterBudget(UNBOUNDED)
    this.#expiry = new Expiry(meta)
    this.#lowest = this.#expiry.lowest
    this.#nextSegment = meta?.nextSegment ?? 0
  }

  /** Reads the journals and the hashes of all sealed segments (8 bytes an id); no pages. */
  static async open(options: SeenOptions, backend: Backend, meta: SeenMeta | null): Promise<BucketedSeenStore> {
    const store = new BucketedSeenStore(options, backend, meta)
    try {
      await store.#readSegments(meta?.sealedIds ?? 0)
      await store.#readJournals()
    } catch (cause) {
      if (cause instanceof HoldfastError) throw cause
      throw new HoldfastError('STATE_CORRUPT', `store ${store.name}: ${cause}`)
    }
    return store
  }

  bucketOf(timeMs: number): number {
    return Math.floor(timeMs / this.#bucketMs)
  }

  want(user: string, type: string, id: string, timeMs: number, horizonMs: number): void {
    if (this.#cursor > 0) this.#nextSlice()
    else if (this.#stagedCount === STAGED_MAX) {
      this.#lookUp()
      this.#unstage()
    }
    this.#stage(user, type, id, timeMs, horizonMs)
  }

  has(user: string, type: string, id: string, timeMs: number, horizonMs: number): boolean {
    const staged = this.#question(user, type, id, timeMs, horizonMs)
    const first = this.bucketOf(timeMs - horizonMs)
    const { words } = this.#records
    for (const open of this.#open) {
      if (open.bucket >= first && open.has(words, staged.at, timeMs, horizonMs)) return true
    }
    for (const segment of staged.maybe ?? this.#maybe(staged)) {
      if (
        segment.bucket >= this.#lowest &&
        pageHas(this.#page(segment, words[staged.at]!), words, staged.at, timeMs, horizonMs)
      )
        return true
    }
    return false
  }

  add(user: string, type: string, id: string, timeMs: number, notBeforeMs: number): void {
    const bucket = this.bucketOf(Math.max(timeMs, notBeforeMs))
    assert(bucket >= this.#lowest, `${this.name}: bucket ${bucket} is expired`)
    this.#openSegment(bucket).add(this.#records.words, this.#recordOf(user, type, id), timeMs)
  }

  expireBelow(bucket: number): void {
    if (!this.#expiry.raise(bucket)) return
    this.#lowest = bucket
    this.#open = this.#open.filter((open) => open.bucket >= bucket)
    const isKept = ({ segments }: IndexGroup): boolean => segments.some((segment) => segment.bucket >= bucket)
    for (const group of this.#groups) if (!isKept(group)) this.#filters.give(group.index.bytes)
    this.#groups = this.#groups.filter(isKept)
    this.#sealedIds = countIds(this.#groups)
  }

  /** Bytes of the index over sealed ids and of the open segments' records, for the bench. */
  get memoryBytes(): number {
    let bytes = 0
    for (const { index } of this.#groups) bytes += index.bytes
    for (const open of this.#open) bytes += open.records.words.byteLength
    return bytes
  }

  get sealedSegments(): number {
    return this.#groups.reduce((count, { segments }) => count + segments.length, 0)
  }

  get openSegments(): number {
    return this.#open.length
  }

  get cachedPages(): number {
    return this.#pages.size
  }

  // --- what task-state.ts calls ---

  collectMissing(keys: KeyList): void {
    this.#lookUp()
    if (this.#missing.length === 0) return
    assert(this.#loading.length === 0, 'one prefetch at a time')
    this.#loading = this.#missing
    this.#missing = []
    for (const { segment, page } of this.#loading) {
      keys.push(keys.writer.page(this.id, segment.bucket, segment.number, page))
    }
  }

  loaded(values: readonly (Uint8Array | null)[], from: number): number {
    for (let i = 0; i < this.#loading.length; i++) {
      const { segment, page } = this.#loading[i]!
      const bytes = values[from + i]!
      this.#pages.set(pageNumber(segment, page), bytes === null ? NO_PAGE : this.#pageFrom(bytes))
    }
    const count = this.#loading.length
    this.#loading = []
    return count
  }

  takeCut(batch: CutBatch): SeenMeta {
    this.#unstage()
    const sealed: SealedSegment[] = []
    const keep: OpenSegment[] = []
    const idle = this.#longestIdle(this.#open.length - OPEN_BUCKETS_MAX)
    for (const open of this.#open) {
      if (open.count >= this.#sealEntries || idle.has(open)) sealed.push(this.#seal(batch, open))
      else {
        this.#journal(batch, open)
        keep.push(open)
      }
    }
    this.#open = keep
    this.#unwritten.push(sealed)
    const expiry = this.#expiry.takeCut(batch, this.id, [KIND.journal, KIND.segment, KIND.page])
    return { ...expiry, nextSegment: this.#nextSegment, sealedIds: this.#sealedIds }
  }

  written(): void {
    const sealed = this.#unwritten.shift()
    assert(sealed !== undefined, 'only a cut that was taken is written')
    for (const segment of sealed) segment.pages = null
  }

  async *dump(): AsyncIterable<string> {
    const lines = new Set<string>()
    const collect = (bucket: number, words: Int32Array, end: number): void => {
      for (let at = 0; at < end; at += recordWords(words, at)) {
        const { user, type, id, timeMs } = decodeRecord(words, at)
        lines.add(JSON.stringify([this.name, bucket, user, type, id, timeMs]))
      }
    }
    for await (const chunk of this.#backend.scan(this.#keptBuckets(KIND.page))) {
      for (const [key, bytes] of chunk) {
        const words = this.#pageFrom(bytes)
        collect(pageBucket(key), words, words.length)
      }
    }
    for (const { segments } of this.#groups) {
      for (const { bucket, pages } of segments) {
        if (bucket >= this.#lowest) for (const page of pages ?? []) collect(bucket, page, page.length)
      }
    }
    for (const { bucket, records } of this.#open) collect(bucket, records.words, records.end)
    yield* [...lines].sort()
  }

  // --- questions ---

  /** The first question announced after answers: pages are dropped now, before the slice wants its own. */
  #nextSlice(): void {
    this.#unstage()
    for (const page of this.#pages.keys()) {
      if (this.#pages.size <= this.#pagesCachedMax) break
      this.#pages.delete(page)
    }
  }

  #unstage(): void {
    this.#records.clear()
    this.#stagedCount = 0
    this.#lookedUp = 0
    this.#cursor = 0
  }

  #stage(user: string, type: string, id: string, timeMs: number, horizonMs: number): Staged {
    const at = this.#records.encode(user, type, id)
    const place = this.#stagedCount++
    const staged = this.#staged[place]
    if (staged === undefined) {
      const added = { user, type, id, timeMs, horizonMs, at, maybe: null }
      this.#staged.push(added)
      return added
    }
    staged.user = user
    staged.type = type
    staged.id = id
    staged.timeMs = timeMs
    staged.horizonMs = horizonMs
    staged.at = at
    staged.maybe = null
    return staged
  }

  /** The staged question, or one staged now (its pages must be in memory all the same). */
  #question(user: string, type: string, id: string, timeMs: number, horizonMs: number): Staged {
    for (let i = this.#cursor; i < this.#stagedCount; i++) {
      const staged = this.#staged[i]!
      if (staged.id !== id || staged.user !== user || staged.type !== type) continue
      if (staged.timeMs !== timeMs || staged.horizonMs !== horizonMs) continue
      this.#cursor = i + 1
      return staged
    }
    const staged = this.#stage(user, type, id, timeMs, horizonMs)
    this.#cursor = this.#stagedCount
    return staged
  }

  /** Where the record is: has() asked for it just before, or it is encoded now. */
  #recordOf(user: string, type: string, id: string): number {
    const last = Math.max(0, this.#cursor - RECENT_QUESTIONS)
    for (let i = this.#cursor - 1; i >= last; i--) {
      const staged = this.#staged[i]!
      if (staged.id === id && staged.user === user && staged.type === type) return staged.at
    }
    return this.#records.encode(user, type, id)
  }

  /**
   * Looks up all staged questions and wants the pages that they may concern. In one loop, because then the cache misses of
   * many lookups overlap; mixed with the encoding of the records they would not.
   */
  #lookUp(): void {
    const { words } = this.#records
    for (; this.#lookedUp < this.#stagedCount; this.#lookedUp++) {
      const staged = this.#staged[this.#lookedUp]!
      staged.maybe = this.#maybe(staged)
      for (const segment of staged.maybe) this.#wantPage(segment, segment.pageOf(words[staged.at]!))
    }
  }

  #maybe(staged: Staged): readonly SealedSegment[] {
    const first = this.bucketOf(staged.timeMs - staged.horizonMs)
    const h1 = this.#records.words[staged.at]!
    const h2 = this.#records.words[staged.at + 1]!
    const found = this.#found
    let maybe: SealedSegment[] | null = null
    for (const { index, segments } of this.#groups) {
      index.find(h1, h2, found)
      while (found.length > 0) {
        const segment = segments[found.pop()!]!
        if (segment.bucket < first || segment.bucket < this.#lowest) continue
        if (maybe === null) maybe = [segment]
        else if (!maybe.includes(segment)) maybe.push(segment)
      }
    }
    return maybe ?? NONE
  }

  // --- pages ---

  #wantPage(segment: SealedSegment, page: number): void {
    const number = pageNumber(segment, page)
    const known = this.#pages.get(number) ?? segment.pages?.[page]
    if (known === undefined) {
      if (!this.#missing.some((m) => m.segment === segment && m.page === page)) this.#missing.push({ segment, page })
      return
    }
    this.#pages.delete(number)
    this.#pages.set(number, known)
  }

  #page(segment: SealedSegment, h1: number): Int32Array {
    const page = segment.pageOf(h1)
    const words = this.#pages.get(pageNumber(segment, page)) ?? segment.pages?.[page]
    assert(words !== undefined, `${this.name}: this id was not wanted in this slice`)
    return words
  }

  #pageFrom(bytes: Uint8Array): Int32Array {
    try {
      return recordsFrom(bytes)
    } catch (cause) {
      throw new HoldfastError('STATE_CORRUPT', `store ${this.name}: ${cause}`)
    }
  }

  // --- segments ---

  #openSegment(bucket: number): OpenSegment {
    for (const open of this.#open) if (open.bucket === bucket) return open
    const open = new OpenSegment(bucket)
    this.#open.push(open)
    return open
  }

  #journal(batch: CutBatch, open: OpenSegment): void {
    const bytes = open.takeJournal()
    if (bytes === null) return
    open.lastCut = batch.cut
    batch.put(batch.writer.journal(this.id, open.bucket, batch.cut), bytes)
  }

  #seal(batch: CutBatch, open: OpenSegment): SealedSegment {
    const { segment, hashes } = seal(open, this.#nextSegment++)
    segment.pages!.forEach((words, page) => {
      if (words.length === 0) return
      batch.put(batch.writer.page(this.id, segment.bucket, segment.number, page), bytesOf(words))
    })
    batch.put(batch.writer.segment(this.id, segment.bucket, segment.number), bytesOf(hashes))
    if (open.journaled) {
      const from = batch.writer.journal(this.id, open.bucket, 0)
      batch.deleteRange({ from, to: batch.writer.journal(this.id, open.bucket, batch.cut) })
    }
    const { group, ordinal } = this.#assign(segment, 2 * this.#sealedIds)
    addHashes(group.index, [{ ordinal, hashes }])
    return segment
  }

  /** The open segments that have gone longest without a new entry, `count` of them. */
  #longestIdle(count: number): Set<OpenSegment> {
    if (count <= 0) return new Set()
    const byAge = this.#open.toSorted((a, b) => a.lastCut - b.lastCut || a.bucket - b.bucket)
    return new Set(byAge.slice(0, count))
  }

  /** A place for the segment in the newest index, or in a new one, which has room for `idsExpected`. */
  #assign(segment: SealedSegment, idsExpected: number): { group: IndexGroup; ordinal: number } {
    let group = this.#groups.at(-1)
    if (
      group === undefined ||
      group.ids + segment.count > group.index.capacity ||
      group.segments.length === INDEX_SEGMENTS_MAX
    ) {
      const ids = Math.min(Math.max(idsExpected, INDEX_IDS_MIN), INDEX_IDS_MAX)
      group = { index: new SegmentIndex(Math.max(ids, segment.count)), segments: [], ids: 0 }
      this.#filters.take(group.index.bytes)
      this.#groups.push(group)
    }
    group.ids += segment.count
    this.#sealedIds += segment.count
    return { group, ordinal: group.segments.push(segment) - 1 }
  }

  // --- restart ---

  #keptBuckets(kind: typeof KIND.journal | typeof KIND.segment | typeof KIND.page) {
    return bucketRange(kind, this.id, this.#expiry.first, BUCKET_MAX + 1)
  }

  /** Indexes all segments, some at a time: enough of them that addHashes() pays, few enough to be small. */
  async #readSegments(sealedIds: number): Promise<void> {
    let current: IndexGroup | null = null
    let read: SegmentHashes[] = []
    const build = (): void => {
      if (current !== null) addHashes(current.index, read)
      read = []
    }
    for await (const chunk of this.#backend.scan(this.#keptBuckets(KIND.segment), SEGMENTS_FETCHED_MAX)) {
      for (const [key, bytes] of chunk) {
        const { bucket, number } = parseSeenKey(key)
        const { segment, hashes } = unseal(bytes, bucket, number)
        const { group, ordinal } = this.#assign(segment, sealedIds - this.#sealedIds)
        if (group !== current || read.length === SEGMENTS_READ_MAX) build()
        current = group
        read.push({ ordinal, hashes })
      }
    }
    build()
  }

  async #readJournals(): Promise<void> {
    for await (const chunk of this.#backend.scan(this.#keptBuckets(KIND.journal))) {
      for (const [key, bytes] of chunk) {
        const { bucket, number } = parseSeenKey(key)
        const open = this.#openSegment(bucket)
        open.restore(RecordBuffer.of(bytes))
        open.lastCut = number
      }
    }
  }
}

/** add() looks for its record among that many of the last answered questions. */
const RECENT_QUESTIONS = 4

function pageNumber(segment: SealedSegment, page: number): PageNumber {
  return segment.number * PAGES_PER_SEGMENT + page
}

function pageBucket(key: Uint8Array): number {
  return parseSeenKey(Uint8Array.of(KIND.segment, ...key.subarray(1))).bucket
}

function bytesOf(words: Int32Array): Uint8Array {
  return new Uint8Array(words.buffer, words.byteOffset, words.byteLength)
}

function countIds(groups: readonly IndexGroup[]): number {
  return groups.reduce((sum, { ids }) => sum + ids, 0)
}

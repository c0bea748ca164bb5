// Values by (bucket, key) in memory, written back at commits (S1 to S3 of store.ts).
// C1: an entry that changed since the last cut, or whose cut is not yet in the backend, is never evicted: what is not in
//     memory is in the backend as it should be read.
// C2: eviction happens only at cuts, so between slices, and takes only what no slice touched since the eviction before.
// C3: absence is cached like a value. In a bucket that was born in this process (above the highest one that the backend
//     had at the start) what is not in memory is absent, but for what was evicted; a filter remembers those keys. So the
//     first event of a key in a new bucket, the usual case, asks the backend nothing, and to ask in vain leaves nothing behind.
// C4: a small bucket that was born here, or loaded whole at the start, is packed: all its entries are in memory and stand in
//     one value in the backend. When it outgrows PACKED_ENTRIES_MAX, or there are too many, its entries get keys of their
//     own, in one commit. Which buckets are packed is part of every commit.
// Two generations per bucket make the eviction cheap: a touched entry moves to the young one; when the young ones are half
// of the cache, they become the old ones and the former old ones are dropped (but for C1).
// What a cut, a batch and a prefetch are: task-state.ts.

import { assert, HoldfastError } from '../log/errors.ts'
import type { Backend } from './backend.ts'
import { Expiry, type ExpiryMeta } from './expiry.ts'
import { KeyFilter } from './key-filter.ts'
import { allBuckets, KeyWriter, KIND, parseKeyedKey } from './key-layout.ts'
import type { CutBatch, KeyList, ManagedStore } from './managed-store.ts'
import { decodePacked, encodePackedEntry, joinPackedEntries } from './packed-bucket.ts'
import type { Codec, KeyedStore } from './store.ts'

/**
 * Entries of one store in memory, beside those that one commit touches and packed ones of half as many. At some 200 bytes each 50 MB: many times what is
 * asked for again within minutes.
 */
export const KEYED_CACHE_ENTRIES = 262_144
const NEVER_CUT = 0

/** A wanted value that is on its way. */
const LOADING = Symbol('loading')

interface CacheEntry<V> {
  readonly bucket: number
  readonly key: string
  /** undefined: there is none. */
  value: V | undefined | typeof LOADING
  /** Number of the cut that will take, or took, its last change. */
  cut: number
  /** Whether the backend has, or by the cuts taken so far will have, a value under a key of its own. */
  stored: boolean
  /** Its bytes in a packed bucket, as of the cut that took its last change. */
  packed: Uint8Array | null
}

type Generation<V> = Map<string, CacheEntry<V>>

interface Bucket<V> {
  young: Generation<V>
  old: Generation<V>
  /** Keys with values that were evicted. null: what the backend has is not known, it is asked. */
  evicted: KeyFilter | null
  /** C4; then all entries are young. */
  isPacked: boolean
  /** Whether the backend has, or by the cuts taken so far will have, a packed value. */
  isPageStored: boolean
}

/** Keys of one bucket that a filter remembers, at some three bytes each; beyond them the backend is asked. */
const EVICTED_KEYS_MAX = 16 * 1024 * 1024
const NO_BUCKET = -1

export interface KeyedMeta extends ExpiryMeta {
  /** The highest bucket that was ever written. */
  readonly highest: number
  /** Buckets that stand in one value. */
  readonly packed: readonly number[]
}

/** Entries of a packed bucket: its value is written again with each commit that touches it, so it stays a few kilobytes. */
export const PACKED_ENTRIES_MAX = 512

export interface KeyedStoreOptions {
  readonly id: number
  readonly name: string
  readonly cacheEntries: number
  readonly packedEntriesMax: number
}

/** Before the old generation is dropped: remembers which of its keys have values (C3). */
function remember<V>(bucket: Bucket<V>): void {
  if (bucket.evicted === null || bucket.old.size === 0) return
  const gone: string[] = []
  for (const [key, entry] of bucket.old) if (entry.value !== undefined && !bucket.young.has(key)) gone.push(key)
  if (gone.length === 0) return
  if (bucket.evicted.count + gone.length > EVICTED_KEYS_MAX) bucket.evicted = null
  else bucket.evicted.add(gone)
}

export class CachedKeyedStore<V> implements KeyedStore<V>, ManagedStore {
  readonly id: number
  readonly name: string
  readonly #codec: Codec<V>
  readonly #backend: Backend
  readonly #generationMax: number
  readonly #buckets = new Map<number, Bucket<V>>()
  /** Entries of buckets that are not packed, and of those that are. */
  #youngCount = 0
  #packedCount = 0
  readonly #packedMax: number
  /** Buckets up to here may be in the backend from an earlier process. */
  readonly #inherited: number
  #highest: number
  readonly #expiry: Expiry
  #lowest: number

  /** Entries changed since the last cut, in the order of their first change. */
  #dirty: CacheEntry<V>[] = []
  /** Entries of cuts that are not written yet, oldest first. */
  #unwritten: CacheEntry<V>[][] = []
  #openCut: number
  #missing: CacheEntry<V>[] = []
  /** Keys that this slice wanted in vain (C3): it may ask for them. */
  readonly #absent = new Set<string>()
  /** Whether what was wanted has been asked for: the next want is of another slice. */
  #isAsked = false
  #loading: CacheEntry<V>[] = []

  // The last bucket and entry asked for: get, change, changed go to the same one.
  #lastBucketNumber = Number.NaN
  #lastBucket: Bucket<V> | null = null
  #last: CacheEntry<V> | null = null

  private constructor(
    options: KeyedStoreOptions,
    codec: Codec<V>,
    backend: Backend,
    meta: KeyedMeta | null,
    nextCut: number,
  ) {
    this.id = options.id
    this.name = options.name
    this.#codec = codec
    this.#backend = backend
    assert(options.cacheEntries >= 2, 'a cache has two generations')
    this.#generationMax = options.cacheEntries >> 1
    this.#packedMax = options.packedEntriesMax
    this.#openCut = nextCut
    this.#inherited = meta?.highest ?? NO_BUCKET
    this.#highest = this.#inherited
    this.#expiry = new Expiry(meta)
    this.#lowest = this.#expiry.lowest
  }

  /** Opens the store as the last commit left it, with its packed buckets in memory. */
  static async open<V>(
    options: KeyedStoreOptions,
    codec: Codec<V>,
    backend: Backend,
    meta: KeyedMeta | null,
    nextCut: number,
  ): Promise<CachedKeyedStore<V>> {
    const store = new CachedKeyedStore(options, codec, backend, meta, nextCut)
    await store.#loadPacked((meta?.packed ?? []).filter((bucket) => bucket >= store.#lowest))
    return store
  }

  async #loadPacked(numbers: readonly number[]): Promise<void> {
    const writer = new KeyWriter()
    const pages = await this.#backend.multiGet(numbers.map((number) => writer.bucket(KIND.packed, this.id, number)))
    numbers.forEach((number, i) => {
      const page = pages[i] ?? null
      if (page === null)
        throw new HoldfastError('STATE_CORRUPT', `store ${this.name}: a packed bucket is gone`, { bucket: number })
      const bucket: Bucket<V> = {
        young: new Map(),
        old: new Map(),
        evicted: new KeyFilter(),
        isPacked: true,
        isPageStored: true,
      }
      this.#buckets.set(number, bucket)
      for (const [key, bytes] of this.#decodePage(number, page)) {
        const value = this.#decode(number, key, bytes)
        bucket.young.set(key, { bucket: number, key, value, cut: NEVER_CUT, stored: false, packed: null })
        this.#packedCount++
      }
    })
  }

  #decodePage(bucket: number, page: Uint8Array): [string, Uint8Array][] {
    try {
      return decodePacked(page)
    } catch (cause) {
      throw new HoldfastError('STATE_CORRUPT', `store ${this.name}: ${cause}`, { bucket })
    }
  }

  /** Buckets that the cuts taken so far leave packed, for readers of the backend. */
  get packedBuckets(): number[] {
    const numbers: number[] = []
    for (const [number, bucket] of this.#buckets) if (bucket.isPacked && bucket.isPageStored) numbers.push(number)
    return numbers
  }

  get lowestBucket(): number {
    return this.#lowest
  }

  want(bucket: number, key: string): void {
    if (this.#isAsked) this.#nextSlice()
    if (bucket < this.#lowest || this.#find(bucket, key) !== null) return
    if (this.#isAbsent(bucket, key)) {
      this.#absent.add(key)
      return
    }
    const entry: CacheEntry<V> = { bucket, key, value: LOADING, cut: NEVER_CUT, stored: false, packed: null }
    this.#insert(entry)
    this.#missing.push(entry)
  }

  #nextSlice(): void {
    this.#isAsked = false
    this.#absent.clear()
  }

  /** C3. Of a key that is not in memory. */
  #isAbsent(bucket: number, key: string): boolean {
    const { evicted } = this.#bucket(bucket)
    return evicted !== null && !evicted.mayHave(key)
  }

  get(bucket: number, key: string): V | undefined {
    if (bucket < this.#lowest) return undefined
    const entry = this.#find(bucket, key)
    if (entry === null && this.#absent.has(key) && this.#isAbsent(bucket, key)) return undefined
    if (entry === null || entry.value === LOADING) return this.#notWanted(bucket, key)
    return entry.value
  }

  set(bucket: number, key: string, value: V): void {
    assert(value !== undefined, 'undefined is no value: delete it')
    this.#write(bucket, key, value)
  }

  delete(bucket: number, key: string): void {
    this.#write(bucket, key, undefined)
  }

  changed(bucket: number, key: string): void {
    const entry = this.#find(bucket, key)
    assert(entry !== null && entry.value !== undefined && entry.value !== LOADING, 'only what was got can have changed')
    if (entry.cut !== this.#openCut) this.#markDirty(entry)
  }

  expireBelow(bucket: number): void {
    if (!this.#expiry.raise(bucket)) return
    this.#lowest = bucket
    for (const [number, { young, isPacked }] of this.#buckets) {
      if (number >= bucket) continue
      if (isPacked) this.#packedCount -= young.size
      else this.#youngCount -= young.size
      this.#buckets.delete(number)
    }
    this.#forgetLast()
  }

  /** Entries in memory, for the tests of the bound. */
  get cachedEntries(): number {
    let count = 0
    for (const { young, old } of this.#buckets.values()) {
      count += young.size
      for (const [key, entry] of old) if (young.get(key) !== entry) count++
    }
    return count
  }

  // --- what task-state.ts calls ---

  collectMissing(keys: KeyList): void {
    this.#isAsked = true
    assert(this.#loading.length === 0, 'one prefetch at a time')
    if (this.#missing.length === 0) return
    this.#loading = this.#missing
    this.#missing = []
    for (const entry of this.#loading) keys.push(keys.writer.keyed(this.id, entry.bucket, entry.key))
  }

  loaded(values: readonly (Uint8Array | null)[], from: number): number {
    for (let i = 0; i < this.#loading.length; i++) {
      const entry = this.#loading[i]!
      const bytes = values[from + i]!
      assert(entry.value === LOADING, 'nobody sets a value while it is being read')
      entry.value = bytes === null ? undefined : this.#decode(entry.bucket, entry.key, bytes)
      entry.stored = bytes !== null
    }
    const count = this.#loading.length
    this.#loading = []
    return count
  }

  takeCut(batch: CutBatch): KeyedMeta {
    assert(batch.cut === this.#openCut, 'cuts follow one another')
    if (this.#packedCount > this.#generationMax) this.#unpackSome(batch)
    this.#putDirty(batch)
    this.#unwritten.push(this.#dirty)
    this.#dirty = []
    this.#openCut++
    if (this.#youngCount >= this.#generationMax) this.#rotate()
    const expiry = this.#expiry.takeCut(batch, this.id, [KIND.keyed, KIND.packed])
    return { ...expiry, highest: this.#highest, packed: this.packedBuckets }
  }

  #putDirty(batch: CutBatch): void {
    const pages = new Map<number, Bucket<V>>()
    for (const entry of this.#dirty) {
      if (entry.bucket < this.#lowest) continue
      const bucket = this.#bucket(entry.bucket)
      if (bucket.isPacked) pages.set(entry.bucket, bucket)
      else this.#putEntry(batch, entry)
    }
    for (const [number, bucket] of pages) this.#putPage(batch, number, bucket)
  }

  /** One value for a packed bucket, or keys of their own for its entries if they are too many (C4). */
  #putPage(batch: CutBatch, number: number, bucket: Bucket<V>): void {
    const entries: Uint8Array[] = []
    for (const entry of bucket.young.values()) {
      if (entry.value === undefined) continue
      if (entry.packed === null || entry.cut === this.#openCut) {
        entry.packed = encodePackedEntry(entry.key, this.#codec.encode(entry.value as V))
      }
      entries.push(entry.packed)
    }
    if (entries.length > this.#packedMax) {
      this.#unpack(batch, number, bucket)
      for (const entry of bucket.young.values()) this.#putEntry(batch, entry)
      return
    }
    if (number > this.#highest) this.#highest = number
    const key = batch.writer.bucket(KIND.packed, this.id, number)
    if (entries.length > 0) batch.put(key, joinPackedEntries(entries))
    else if (bucket.isPageStored) batch.delete(key)
    bucket.isPageStored = entries.length > 0
  }

  /** From this cut on the bucket's entries have keys of their own; all of them have to be put. */
  #unpack(batch: CutBatch, number: number, bucket: Bucket<V>): void {
    if (bucket.isPageStored) batch.delete(batch.writer.bucket(KIND.packed, this.id, number))
    bucket.isPacked = false
    bucket.isPageStored = false
    this.#packedCount -= bucket.young.size
    this.#youngCount += bucket.young.size
    for (const entry of bucket.young.values()) {
      entry.packed = null
      if (entry.cut !== this.#openCut) this.#markDirty(entry)
    }
  }

  /** The oldest packed buckets make room: they are the least asked for. */
  #unpackSome(batch: CutBatch): void {
    const numbers = [...this.#buckets].filter(([, { isPacked }]) => isPacked).map(([number]) => number)
    for (const number of numbers.sort((a, b) => a - b)) {
      if (this.#packedCount <= this.#generationMax) return
      this.#unpack(batch, number, this.#bucket(number))
    }
  }

  written(): void {
    const entries = this.#unwritten.shift()
    assert(entries !== undefined, 'only a cut that was taken is written')
  }

  async *dump(): AsyncIterable<string> {
    const lines = new Map<string, string>()
    const put = (bucket: number, key: string, bytes: Uint8Array | null): void => {
      const id = JSON.stringify([bucket, key])
      if (bytes === null) lines.delete(id)
      else lines.set(id, JSON.stringify([this.name, bucket, key, Buffer.from(bytes).toString('base64')]))
    }
    for await (const chunk of this.#backend.scan(allBuckets(KIND.keyed, this.id))) {
      for (const [bytes, value] of chunk) {
        const { bucket, key } = parseKeyedKey(bytes)
        if (bucket >= this.#lowest) put(bucket, key, value)
      }
    }
    for (const entry of this.#cached()) {
      if (entry.value === LOADING) continue
      put(entry.bucket, entry.key, entry.value === undefined ? null : this.#codec.encode(entry.value))
    }
    yield* [...lines.values()].sort()
  }

  // --- inside ---

  #find(bucketNumber: number, key: string): CacheEntry<V> | null {
    const last = this.#last
    if (last !== null && last.key === key && last.bucket === bucketNumber) return last
    const bucket = this.#bucket(bucketNumber)
    let entry = bucket.young.get(key)
    if (entry === undefined) {
      entry = bucket.old.get(key)
      if (entry === undefined) return null
      bucket.young.set(key, entry)
      this.#youngCount++
    }
    this.#last = entry
    return entry
  }

  #bucket(number: number): Bucket<V> {
    if (this.#lastBucketNumber === number) return this.#lastBucket!
    let bucket = this.#buckets.get(number)
    if (bucket === undefined) {
      const isBornHere = number > this.#inherited
      const evicted = isBornHere ? new KeyFilter() : null
      bucket = { young: new Map(), old: new Map(), evicted, isPacked: isBornHere, isPageStored: false }
      this.#buckets.set(number, bucket)
    }
    this.#lastBucketNumber = number
    this.#lastBucket = bucket
    return bucket
  }

  #insert(entry: CacheEntry<V>): void {
    const bucket = this.#bucket(entry.bucket)
    bucket.young.set(entry.key, entry)
    if (bucket.isPacked) this.#packedCount++
    else this.#youngCount++
    this.#last = entry
  }

  #write(bucket: number, key: string, value: V | undefined): void {
    assert(bucket >= this.#lowest, `${this.name}: bucket ${bucket} is expired`)
    let entry = this.#find(bucket, key)
    if (entry === null) {
      // Where the backend may have a value, a deletion must reach it.
      entry = { bucket, key, value, cut: NEVER_CUT, stored: !this.#isAbsent(bucket, key), packed: null }
      this.#insert(entry)
    }
    assert(entry.value !== LOADING, `${this.name}: set before the prefetch of its key was done`)
    entry.value = value
    if (entry.cut !== this.#openCut) this.#markDirty(entry)
  }

  #markDirty(entry: CacheEntry<V>): void {
    entry.cut = this.#openCut
    this.#dirty.push(entry)
  }

  #putEntry(batch: CutBatch, entry: CacheEntry<V>): void {
    const { value } = entry
    if (value === undefined && !entry.stored) return
    const key = batch.writer.keyed(this.id, entry.bucket, entry.key)
    if (value === undefined) batch.delete(key)
    else batch.put(key, this.#codec.encode(value as V))
    if (entry.bucket > this.#highest) this.#highest = entry.bucket
    entry.stored = value !== undefined
  }

  #rotate(): void {
    for (const [number, bucket] of this.#buckets) {
      if (bucket.isPacked) continue
      remember(bucket)
      // A bucket born here stays: made anew, it would claim that nothing was evicted from it.
      if (bucket.young.size === 0 && number <= this.#inherited) {
        this.#buckets.delete(number)
        continue
      }
      bucket.old = bucket.young
      bucket.young = new Map()
    }
    this.#youngCount = 0
    this.#forgetLast()
    for (const entries of this.#unwritten) this.#keep(entries)
  }

  /** C1: entries that the backend does not have yet go on into the next generation. */
  #keep(entries: readonly CacheEntry<V>[]): void {
    for (const entry of entries) {
      if (entry.bucket < this.#lowest) continue
      const { young, old } = this.#bucket(entry.bucket)
      if (young.has(entry.key) || old.has(entry.key)) continue
      old.set(entry.key, entry)
    }
  }

  #forgetLast(): void {
    this.#lastBucketNumber = Number.NaN
    this.#lastBucket = null
    this.#last = null
  }

  *#cached(): Iterable<CacheEntry<V>> {
    for (const { young, old } of this.#buckets.values()) {
      yield* old.values()
      yield* young.values()
    }
  }

  #decode(bucket: number, key: string, bytes: Uint8Array): V {
    try {
      return this.#codec.decode(bytes)
    } catch (cause) {
      throw new HoldfastError('STATE_CORRUPT', `store ${this.name}, key ${JSON.stringify(key)}: ${cause}`, { bucket })
    }
  }

  #notWanted(bucket: number, key: string): never {
    throw new Error(`assertion failed: ${this.name}: (${bucket}, ${JSON.stringify(key)}) was not wanted in this slice`)
  }
}

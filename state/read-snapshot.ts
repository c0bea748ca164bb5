// Immutable read views of a task's state, one per commit, for readers outside the task (the read API, checkpoints, tests).
// N1: a snapshot holds exactly what one commit wrote: it is taken from the backend between two writes, never from caches.
// N2: readers never make the writer wait: a snapshot that is held too long, or one of too many, is taken back, and its
//     reader gets SnapshotGone and asks for the current one.
// N3: within a process the current snapshot never goes back.

import { assert, HoldfastError } from '../log/errors.ts'
import type { BackendSnapshot, Range } from './backend.ts'
import {
  decoded,
  type FoundHold,
  type HoldBucket,
  keysOf,
  mayHaveRange,
  merged,
  readRanges,
  type TimeRange,
  takeKeys,
} from './hold-range.ts'
import { bucketRange, compareUtf8, KeyWriter, KIND, parseKeyedKey, prefixRange } from './key-layout.ts'
import { decodePacked } from './packed-bucket.ts'
import { type Codec, HOLDS_READ_MAX, type HoldCodec, type HoldEntry } from './store.ts'

/** How long a snapshot outlives being current, in milliseconds. Longer than any request may take; bounds what compaction must keep. */
export const SNAPSHOT_PIN_MS_MAX = 30_000
/** Snapshots alive at once, the current one included. Readers take milliseconds and commits come every few: a handful is usual. */
export const SNAPSHOTS_LIVE_MAX = 64

/** The snapshot was held too long (SNAPSHOT_PIN_MS_MAX) or too many were (SNAPSHOTS_LIVE_MAX). Read again from the current one. */
export class SnapshotGone extends Error {
  constructor() {
    super('this snapshot is gone: read again from the current one')
    this.name = 'SnapshotGone'
  }
}

const NOTHING = new Uint8Array()

/** What a snapshot knows of a keyed store. */
export interface SnapshotStore {
  readonly id: number
  // biome-ignore lint/suspicious/noExplicitAny: stores of several value types stand in one map
  readonly codec: Codec<any>
  /** Buckets below it are expired, whether or not the backend still has them. */
  readonly lowestBucket: number
  /** Buckets whose entries stand in one value (state/packed-bucket.ts). */
  readonly packed: ReadonlySet<number>
}

/** What a snapshot knows of a store of holds. */
export interface SnapshotHolds {
  readonly id: number
  readonly bucketMs: number
  // biome-ignore lint/suspicious/noExplicitAny: stores of several value types stand in one map
  readonly codec: HoldCodec<any>
  /** The buckets that are kept. */
  readonly buckets: readonly HoldBucket[]
}

export interface SnapshotContent {
  /** The text that the task gave to this commit; null before the first commit. */
  readonly meta: string | null
  readonly cut: number
  readonly stores: ReadonlyMap<string, SnapshotStore>
  readonly holds: ReadonlyMap<string, SnapshotHolds>
}

export interface SnapshotLimits {
  readonly pinMsMax: number
  readonly liveMax: number
}

export class ReadSnapshot {
  readonly meta: string | null
  /** Number of the commit; rises with each. */
  readonly cut: number
  readonly #stores: ReadonlyMap<string, SnapshotStore>
  readonly #holds: ReadonlyMap<string, SnapshotHolds>
  readonly #backend: BackendSnapshot
  readonly #onUnused: (snapshot: ReadSnapshot) => void
  #holders = 0
  #gone = false

  constructor(content: SnapshotContent, backend: BackendSnapshot, onUnused: (snapshot: ReadSnapshot) => void) {
    this.meta = content.meta
    this.cut = content.cut
    this.#stores = content.stores
    this.#holds = content.holds
    this.#backend = backend
    this.#onUnused = onUnused
  }

  /** Of a keyed store: buckets below it are expired. */
  lowestBucket(store: string): number {
    return this.#store(store).lowestBucket
  }

  /** The value of (bucket, key) in a keyed store. Throws SnapshotGone. */
  async get<V>(store: string, bucket: number, key: string): Promise<V | undefined> {
    const [value] = await this.multiGet<V>(store, [[bucket, key]])
    return value
  }

  /** One value per (bucket, key), undefined where there is none. Throws SnapshotGone. */
  async multiGet<V>(
    store: string,
    keys: readonly (readonly [bucket: number, key: string])[],
  ): Promise<(V | undefined)[]> {
    const { id, codec, lowestBucket, packed } = this.#store(store)
    const writer = new KeyWriter()
    const bytes: Uint8Array[] = []
    // A packed bucket holds many keys: it is read and decoded once, however many of them are asked for.
    const packedAt = new Map<number, number>()
    const places = keys.map(([bucket, key]) => {
      if (!packed.has(bucket)) return bytes.push(writer.keyed(id, bucket, key)) - 1
      const known = packedAt.get(bucket)
      if (known !== undefined) return known
      const place = bytes.push(writer.bucket(KIND.packed, id, bucket)) - 1
      packedAt.set(bucket, place)
      return place
    })
    const values = await this.#reading(() => this.#backend.multiGet(bytes))
    const entries = new Map<number, ReadonlyMap<string, Uint8Array>>()
    for (const [bucket, place] of packedAt) entries.set(bucket, new Map(decodePacked(values[place] ?? NOTHING)))
    return keys.map(([bucket, key], i) => {
      const inBucket = entries.get(bucket)
      const own = inBucket === undefined ? values[places[i]!] : inBucket.get(key)
      return own == null || bucket < lowestBucket ? undefined : decode<V>(codec, store, own)
    })
  }

  /** Entries of the buckets [from, to) in the order of (bucket, UTF-8 of the key). Throws SnapshotGone. */
  async *scan<V>(
    store: string,
    from: number,
    to: number,
  ): AsyncIterable<readonly [bucket: number, key: string, value: V]> {
    const { lowestBucket, packed } = this.#store(store)
    const first = Math.max(from, lowestBucket)
    // A bucket is either packed or not: the spans between packed ones are scanned, in the order of the buckets.
    const inside = [...packed].filter((bucket) => bucket >= first && bucket < to).sort((a, b) => a - b)
    let next = first
    for (const bucket of inside) {
      yield* this.#scanKeys<V>(store, next, bucket)
      yield* this.#scanPacked<V>(store, bucket)
      next = bucket + 1
    }
    yield* this.#scanKeys<V>(store, next, to)
  }

  /** Entries of one bucket whose keys begin so, in the order of the UTF-8 of their keys. Throws SnapshotGone. */
  async *scanPrefix<V>(store: string, bucket: number, prefix: string): AsyncIterable<readonly [key: string, value: V]> {
    const { id, lowestBucket, packed } = this.#store(store)
    if (bucket < lowestBucket) return
    if (!packed.has(bucket)) {
      for await (const [, key, value] of this.#scanRange<V>(store, prefixRange(id, bucket, prefix))) yield [key, value]
      return
    }
    for await (const [, key, value] of this.#scanPacked<V>(store, bucket, prefix)) yield [key, value]
  }

  async *#scanPacked<V>(
    store: string,
    bucket: number,
    prefix = '',
  ): AsyncIterable<readonly [bucket: number, key: string, value: V]> {
    const { id, codec } = this.#store(store)
    const key = new KeyWriter().bucket(KIND.packed, id, bucket)
    const [page] = await this.#reading(() => this.#backend.multiGet([key]))
    const own = decodePacked(page!).filter(([name]) => name.startsWith(prefix))
    const entries = own.sort(([a], [b]) => compareUtf8(a, b))
    for (const [name, value] of entries) yield [bucket, name, decode<V>(codec, store, value)]
  }

  async *#scanKeys<V>(
    store: string,
    from: number,
    to: number,
  ): AsyncIterable<readonly [bucket: number, key: string, value: V]> {
    if (from < to) yield* this.#scanRange<V>(store, bucketRange(KIND.keyed, this.#store(store).id, from, to))
  }

  async *#scanRange<V>(store: string, range: Range): AsyncIterable<readonly [bucket: number, key: string, value: V]> {
    const { codec } = this.#store(store)
    const chunks = this.#backend.scan(range)[Symbol.asyncIterator]()
    try {
      while (true) {
        const chunk = await this.#reading(() => chunks.next())
        if (chunk.done) return
        for (const [bytes, value] of chunk.value) {
          const { bucket, key } = parseKeyedKey(bytes)
          yield [bucket, key, decode<V>(codec, store, value)]
        }
      }
    } finally {
      await chunks.return?.()
    }
  }

  /**
   * What a store of holds has of the group with fromMs <= timeMs <= toMs, in the order (timeMs, bytes of id); of more than
   * entriesMax the newest ones. Throws SnapshotGone.
   */
  async holds<V>(
    store: string,
    group: string,
    { fromMs, toMs }: TimeRange,
    entriesMax: number = HOLDS_READ_MAX,
  ): Promise<readonly HoldEntry<V>[]> {
    const known = this.#holds.get(store)
    assert(known !== undefined, `no store of holds ${store}`)
    const { id, bucketMs, codec, buckets } = known
    const range = { fromMs, toMs }
    const first = Math.floor(fromMs / bucketMs)
    const reads = buckets
      .filter((bucket) => mayHaveRange(bucket, first, range))
      .map(({ bucket }) => ({ store: id, bucket, group, range, found: [] as FoundHold[], cutAt: null }))
    const values = await this.#reading(() => this.#backend.multiGet(keysOf(reads, new KeyWriter())))
    const ranges = takeKeys(reads, values, 0)
    await this.#reading(() => readRanges(this.#backend, ranges, entriesMax))
    const newest = merged(decoded<V>(reads, codec, store)).slice(-entriesMax)
    return newest.map(({ entry }) => entry)
  }

  /** One more holder. Throws SnapshotGone. */
  retain(): this {
    if (this.#gone) throw new SnapshotGone()
    this.#holders++
    return this
  }

  /** One holder less; pairs with retain() and TaskState.acquireSnapshot(). */
  release(): void {
    assert(this.#holders > 0, 'a snapshot is released as often as it was retained')
    this.#holders--
    if (this.#holders === 0) this.#onUnused(this)
  }

  get held(): boolean {
    return this.#holders > 0
  }

  get gone(): boolean {
    return this.#gone
  }

  /** Takes it back from whoever holds it. For SnapshotShelf. */
  revoke(): void {
    if (this.#gone) return
    this.#gone = true
    this.#backend.release()
  }

  #store(name: string): SnapshotStore {
    const store = this.#stores.get(name)
    assert(store !== undefined, `no keyed store ${name}`)
    return store
  }

  /** A read that was overtaken by revoke() fails as SnapshotGone, whatever the backend said. */
  async #reading<T>(read: () => Promise<T>): Promise<T> {
    if (this.#gone) throw new SnapshotGone()
    try {
      return await read()
    } catch (error) {
      throw this.#gone ? new SnapshotGone() : error
    }
  }
}

/** Keeps the current snapshot and the older ones that are still held. */
export class SnapshotShelf {
  readonly #limits: SnapshotLimits
  /** Oldest first; the last one is current. */
  readonly #live = new Map<ReadSnapshot, NodeJS.Timeout | null>()
  #current: ReadSnapshot | null = null

  constructor(limits: Partial<SnapshotLimits> = {}) {
    this.#limits = { pinMsMax: SNAPSHOT_PIN_MS_MAX, liveMax: SNAPSHOTS_LIVE_MAX, ...limits }
    assert(this.#limits.liveMax >= 2, 'one current snapshot and one that is held')
  }

  /** Makes the state in `backend` current. */
  publish(content: SnapshotContent, backend: BackendSnapshot): void {
    const former = this.#current
    assert(former === null || content.cut > former.cut, 'the current snapshot never goes back')
    this.#current = new ReadSnapshot(content, backend, (unused) => this.#dropIfUnused(unused))
    this.#live.set(this.#current, null)
    if (former !== null) this.#retire(former)
    while (this.#live.size > this.#limits.liveMax) this.#drop(this.#live.keys().next().value!)
  }

  /** The current snapshot, held for the caller until release(). */
  acquire(): ReadSnapshot {
    assert(this.#current !== null, 'a snapshot is current from the start')
    return this.#current.retain()
  }

  get liveCount(): number {
    return this.#live.size
  }

  close(): void {
    for (const snapshot of [...this.#live.keys()]) this.#drop(snapshot)
    this.#current = null
  }

  #retire(snapshot: ReadSnapshot): void {
    if (snapshot.held) this.#live.set(snapshot, setTimeout(() => this.#drop(snapshot), this.#limits.pinMsMax).unref())
    else this.#drop(snapshot)
  }

  #dropIfUnused(snapshot: ReadSnapshot): void {
    if (snapshot !== this.#current) this.#drop(snapshot)
  }

  #drop(snapshot: ReadSnapshot): void {
    const timer = this.#live.get(snapshot)
    if (timer) clearTimeout(timer)
    this.#live.delete(snapshot)
    snapshot.revoke()
  }
}

function decode<V>(codec: Codec<V>, store: string, bytes: Uint8Array): V {
  try {
    return codec.decode(bytes)
  } catch (cause) {
    throw new HoldfastError('STATE_CORRUPT', `store ${store}: ${cause}`)
  }
}

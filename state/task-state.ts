// The state of one task: its stores, what it commits at once, and the snapshots that readers see.
// T1: a cut takes everything that changed since the last cut, synchronously, between two slices; the next slices may
//     compute while it is written. Cuts are written in order, one at a time, each as one batch with the task's meta text.
// T2: the snapshot of a cut is taken after its write and before the next one: it shows that commit and no later one.
// T3: after a failed read or write the state is unusable; the process ends and starts again from the last commit.
// What the meta text says (positions, numbers, chains, counters) is the task's business.

import { assert, HoldfastError } from '../log/errors.ts'
import type { Backend } from './backend.ts'
import { FilterBudget, type FilterRoom, UNBOUNDED } from './filter-room.ts'
import { type HoldLimits, type HoldMeta, RangedHoldStore } from './hold-store.ts'
import { KeyWriter, rangesOfStore } from './key-layout.ts'
import { CachedKeyedStore, KEYED_CACHE_ENTRIES, type KeyedMeta, PACKED_ENTRIES_MAX } from './keyed-store.ts'
import { CutBatch, KeyList, type ManagedStore, type RangeStore } from './managed-store.ts'
import { PersistentOrderQueue, QUEUE_MEMORY_ENTRIES, type QueueMeta } from './order-queue.ts'
import {
  type ReadSnapshot,
  type SnapshotHolds,
  type SnapshotLimits,
  SnapshotShelf,
  type SnapshotStore,
} from './read-snapshot.ts'
import { BucketedSeenStore, type SeenMeta } from './seen-store.ts'
import type { HoldStore, KeyedStore, OrderQueue, SeenStore, StoreSpec } from './store.ts'

/** Version of key and value layouts. Another one is not read: the state is rebuilt from its log. */
const LAYOUT = 1

export interface TaskStateOptions {
  /** Entries of each keyed store kept in memory. */
  readonly keyedCacheEntries?: number
  /** Entries of a time bucket that stand in one value. */
  readonly packedEntriesMax?: number
  /** Entries of each order queue kept in memory. */
  readonly queueMemoryEntries?: number
  /** For the filters of all seen stores together. */
  readonly filterRoom?: FilterRoom
  /** Limits of seen stores. */
  readonly seen?: { readonly sealEntries?: number; readonly pagesCachedMax?: number }
  /** Limits of stores of holds. */
  readonly holds?: Partial<HoldLimits>
  readonly snapshots?: Partial<SnapshotLimits>
}

/** What one commit writes. Made by TaskState.cut(). */
export interface Cut {
  readonly number: number
  /** What the stores say of themselves, for the first line of the meta value. */
  readonly header: string
  readonly batch: CutBatch
  readonly stores: ReadonlyMap<string, SnapshotStore>
  readonly holds: ReadonlyMap<string, SnapshotHolds>
}

/** An id is one byte of every key. */
const STORE_IDS = 256

type Kind = StoreSpec['kind']

/** What is stored of a store with each commit, in the first line of the meta value. */
interface StoreRow {
  readonly id: number
  readonly kind: Kind
  readonly own: unknown
}

interface Header {
  readonly layout: number
  readonly cut: number
  readonly stores: Readonly<Record<string, StoreRow>>
}

interface Slot {
  readonly spec: StoreSpec
  readonly store: ManagedStore
}

export class TaskState {
  readonly #backend: Backend
  readonly #slots: Slot[] = []
  readonly #keyed = new Map<string, KeyedStore<unknown>>()
  readonly #seen = new Map<string, SeenStore>()
  readonly #queues = new Map<string, OrderQueue>()
  readonly #holds = new Map<string, RangedHoldStore<unknown>>()
  readonly #ranged: RangeStore[] = []
  /** Stores that this plan does not declare any more: what they had goes with the next cut. */
  #undeclared: readonly StoreRow[] = []
  readonly #shelf: SnapshotShelf
  readonly #wanted = new KeyList()
  #meta: string | null
  #cutNumber: number
  #writtenNumber: number
  #writing = false
  #prefetching = false
  #broken: unknown = null

  private constructor(backend: Backend, meta: string | null, cut: number, limits: Partial<SnapshotLimits>) {
    this.#backend = backend
    this.#meta = meta
    this.#cutNumber = cut
    this.#writtenNumber = cut
    this.#shelf = new SnapshotShelf(limits)
  }

  /**
   * Opens the stores declared by `specs` on what the last commit wrote. The backend belongs to the state from here on.
   * Throws STATE_CORRUPT where what is there cannot be what an earlier run wrote.
   */
  static async open(backend: Backend, specs: readonly StoreSpec[], options: TaskStateOptions = {}): Promise<TaskState> {
    const { header, meta } = await readMeta(backend)
    const state = new TaskState(backend, meta, header.cut, options.snapshots ?? {})
    const names = new Set(specs.map(({ name }) => name))
    state.#undeclared = Object.entries(header.stores).flatMap(([name, row]) => (names.has(name) ? [] : [row]))
    const filters = new FilterBudget(options.filterRoom ?? UNBOUNDED)
    for (const spec of numbered(header, specs))
      await state.#openStore(spec, header.stores[spec.name]?.own ?? null, options, filters)
    state.#publish(meta, { number: header.cut, ...state.#readable() })
    return state
  }

  /** The text that the task gave to the last commit that was written; null before the first one. */
  get meta(): string | null {
    return this.#meta
  }

  keyed<V>(name: string): KeyedStore<V> {
    return named(this.#keyed, 'keyed store', name) as KeyedStore<V>
  }

  seen(name: string): SeenStore {
    return named(this.#seen, 'seen store', name)
  }

  queue(name: string): OrderQueue {
    return named(this.#queues, 'order queue', name)
  }

  /** `onLeftOut` is told of each read that left older holds out. */
  holds<V>(name: string, onLeftOut: () => void = () => {}): HoldStore<V> {
    const store = named(this.#holds, 'store of holds', name)
    store.onLeftOut = onLeftOut
    return store as HoldStore<unknown> as HoldStore<V>
  }

  /**
   * Loads what was wanted and is not in memory: in one multi-get, then the ranges of which this says that they are needed, side
   * by side. null: nothing is missing, so there is nothing to await.
   */
  prefetch(): Promise<void> | null {
    this.#assertUsable()
    assert(!this.#prefetching, 'one prefetch at a time')
    const list = this.#wanted
    list.clear()
    for (const { store } of this.#slots) store.collectMissing(list)
    return list.keys.length === 0 ? null : this.#guard(this.#load(list.keys))
  }

  /** Takes everything that changed since the last cut. Call between slices; then write(), then publishSnapshot(). */
  cut(): Cut {
    this.#assertUsable()
    assert(!this.#prefetching, 'a cut is taken between slices')
    const batch = new CutBatch(++this.#cutNumber)
    for (const { id } of this.#undeclared) for (const range of rangesOfStore(id)) batch.deleteRange(range)
    this.#undeclared = []
    const stores: Record<string, StoreRow> = {}
    for (const { spec, store } of this.#slots) {
      stores[spec.name] = { id: spec.id, kind: spec.kind, own: store.takeCut(batch) }
    }
    const header: Header = { layout: LAYOUT, cut: batch.cut, stores }
    return { number: batch.cut, header: JSON.stringify(header), batch, ...this.#readable() }
  }

  /**
   * Writes a cut as one batch, with the text that the task keeps for it (it says what was published after the cut was
   * taken). If it throws, nothing of it is written and the state is unusable (T3).
   */
  async write(cut: Cut, meta: string): Promise<void> {
    this.#assertUsable()
    assert(!this.#writing, 'one commit in flight')
    assert(cut.number === this.#writtenNumber + 1, 'cuts are written in order')
    this.#writing = true
    cut.batch.put(cut.batch.writer.meta(), Buffer.from(`${cut.header}\n${meta}`))
    await this.#guard(this.#backend.write(cut.batch))
    this.#writing = false
    this.#writtenNumber = cut.number
    this.#meta = meta
    for (const { store } of this.#slots) store.written()
  }

  /** Makes the commit that was written last the one that readers see (T2). */
  publishSnapshot(cut: Cut): void {
    this.#assertUsable()
    assert(!this.#writing && cut.number === this.#writtenNumber, 'a snapshot is published before the next write begins')
    this.#publish(this.#meta, cut)
  }

  /** The current snapshot; release() it. Reads of one that is kept too long throw SnapshotGone. */
  acquireSnapshot(): ReadSnapshot {
    return this.#shelf.acquire()
  }

  /** Snapshots alive, for metrics and tests. */
  get liveSnapshots(): number {
    return this.#shelf.liveCount
  }

  async close(): Promise<void> {
    this.#broken ??= 'the state is closed'
    this.#shelf.close()
    await this.#backend.close()
  }

  /**
   * The logical content now, uncommitted changes included: lines of JSON, sorted within each store. Two states that got
   * the same calls give the same lines, whatever their commits, caches and restarts were.
   */
  async *dump(): AsyncIterable<string> {
    const slots = [...this.#slots].sort((a, b) => (a.spec.name < b.spec.name ? -1 : 1))
    for (const { store } of slots) yield* store.dump()
  }

  async #openStore(spec: StoreSpec, own: unknown, options: TaskStateOptions, filters: FilterBudget): Promise<void> {
    const { id, name } = spec
    const nextCut = this.#cutNumber + 1
    if (spec.kind === 'keyed') {
      const cacheEntries = options.keyedCacheEntries ?? KEYED_CACHE_ENTRIES
      const meta = own as KeyedMeta | null
      const packedEntriesMax = options.packedEntriesMax ?? PACKED_ENTRIES_MAX
      const sizes = { id, name, cacheEntries, packedEntriesMax }
      const store = await CachedKeyedStore.open(sizes, spec.codec, this.#backend, meta, nextCut)
      this.#keyed.set(name, store)
      this.#slots.push({ spec, store })
    } else if (spec.kind === 'seen') {
      const store = await BucketedSeenStore.open(
        { ...options.seen, filters, id, name, bucketMs: spec.bucketMs },
        this.#backend,
        own as SeenMeta | null,
      )
      this.#seen.set(name, store)
      this.#slots.push({ spec, store })
    } else if (spec.kind === 'holds') {
      const { bucketMs, codec } = spec
      const limits = { ...options.holds, id, name, bucketMs, codec }
      const store = new RangedHoldStore(limits, this.#backend, own as HoldMeta | null)
      this.#holds.set(name, store)
      this.#ranged.push(store)
      this.#slots.push({ spec, store })
    } else {
      const memoryEntries = options.queueMemoryEntries ?? QUEUE_MEMORY_ENTRIES
      const store = await PersistentOrderQueue.open({ id, name, memoryEntries }, this.#backend, own as QueueMeta | null)
      this.#queues.set(name, store)
      this.#slots.push({ spec, store })
    }
  }

  async #load(keys: readonly Uint8Array[]): Promise<void> {
    this.#prefetching = true
    const values = await this.#backend.multiGet(keys)
    assert(values.length === keys.length, 'one value per key')
    let from = 0
    for (const { store } of this.#slots) from += store.loaded(values, from)
    assert(from === values.length, 'every value belongs to a store')
    for (const store of this.#ranged) {
      const ranges = store.loadRanges()
      if (ranges !== null) await ranges
    }
    this.#prefetching = false
  }

  #publish(meta: string | null, { number, stores, holds }: Pick<Cut, 'number' | 'stores' | 'holds'>): void {
    this.#shelf.publish({ meta, cut: number, stores, holds }, this.#backend.snapshot())
  }

  /** What readers of the last cut must know of the stores that they may read. */
  #readable(): Pick<Cut, 'stores' | 'holds'> {
    const stores = new Map<string, SnapshotStore>()
    const holds = new Map<string, SnapshotHolds>()
    for (const { spec, store } of this.#slots) {
      if (spec.kind === 'keyed' && store instanceof CachedKeyedStore) {
        const { lowestBucket, packedBuckets } = store
        stores.set(spec.name, { id: spec.id, codec: spec.codec, lowestBucket, packed: new Set(packedBuckets) })
      } else if (spec.kind === 'holds' && store instanceof RangedHoldStore) {
        const { id, bucketMs, codec } = spec
        holds.set(spec.name, { id, bucketMs, codec, buckets: store.heldBuckets })
      }
    }
    return { stores, holds }
  }

  async #guard<T>(work: Promise<T>): Promise<T> {
    try {
      return await work
    } catch (error) {
      this.#broken = error
      throw error
    }
  }

  #assertUsable(): void {
    if (this.#broken !== null) throw new Error(`the state is unusable: ${this.#broken}`)
  }
}

function named<T>(stores: ReadonlyMap<string, T>, what: string, name: string): T {
  const store = stores.get(name)
  assert(store !== undefined, `no ${what} ${name} is declared`)
  return store
}

/** The text that the last commit left, without opening the stores; null if there was none. */
export async function readTaskMeta(backend: Backend): Promise<string | null> {
  return (await readMeta(backend)).meta
}

/** Seen ids that a state holds, without opening its stores: what its filters will have to hold. */
export async function seenIdsIn(backend: Backend): Promise<number> {
  const { header } = await readMeta(backend)
  const seen = Object.values(header.stores).filter(({ kind }) => kind === 'seen')
  return seen.reduce((sum, { own }) => sum + (own as SeenMeta).sealedIds, 0)
}

async function readMeta(backend: Backend): Promise<{ header: Header; meta: string | null }> {
  const [bytes] = await backend.multiGet([new KeyWriter().meta()])
  if (bytes === null || bytes === undefined) return { header: { layout: LAYOUT, cut: 0, stores: {} }, meta: null }
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8')
  const lineEnd = text.indexOf('\n')
  return { header: parseHeader(text.slice(0, lineEnd)), meta: text.slice(lineEnd + 1) }
}

function parseHeader(line: string): Header {
  let header: Partial<Header>
  try {
    header = JSON.parse(line)
  } catch {
    throw new HoldfastError('STATE_CORRUPT', 'the commit record cannot be read')
  }
  if (header.layout !== LAYOUT) {
    throw new HoldfastError('STATE_CORRUPT', 'written by another version', {
      found: String(header.layout),
      wanted: LAYOUT,
    })
  }
  return header as Header
}

/**
 * The declared stores with the ids that they have here. A store is known by its name and keeps the id under which its bytes
 * lie; a new one gets its own or, where another store lies there, the lowest free one. Refused is a name that now means another
 * kind of store: its bytes would be misread.
 */
function numbered(header: Header, specs: readonly StoreSpec[]): StoreSpec[] {
  const names = new Set(specs.map((spec) => spec.name))
  assert(names.size === specs.length, 'names of stores are unique')
  const taken = new Set(Object.values(header.stores).map(({ id }) => id))
  const free = (id: number): number => {
    let place = id
    while (taken.has(place)) place = (place + 1) % STORE_IDS
    taken.add(place)
    return place
  }
  assert(taken.size + specs.length <= STORE_IDS, 'there is an id for each store, also for those that go')
  return specs.map((spec) => {
    const row = header.stores[spec.name]
    if (row === undefined) return { ...spec, id: free(spec.id) }
    if (row.kind !== spec.kind)
      throw new HoldfastError('STATE_CORRUPT', `store ${row.kind} ${spec.name} is now a ${spec.kind} store`)
    return { ...spec, id: row.id }
  })
}

// Holds over RocksDB: what HoldStore of state/store.ts promises.
// H1: to put is to write: nothing is read first. What is not in the backend yet is in memory, commit by commit; afterwards
//     nothing of a hold is, but for H5.
// H2: a read takes from memory at the moment when it asks the backend, so that a commit which is written meanwhile is seen in
//     one of them; where both have a hold, memory has the later one.
// H3: a bucket that is new in this process has a filter of its groups: the backend is asked only where it may have some of them.
//     Of buckets from an earlier process nothing is known but their earliest hold, so these are asked.
// H4: what the first commit that has a group in a bucket brings of it, up to FIRST_HOLDS_MAX, is packed into one value; all
//     others get keys of their own, and so does everything where H3 does not know that a group is new. A packed hold is never
//     written again: the same (time, id) under a key of its own is the later one.
// H5: the ranges of a group that a slice wants and that overlap are one run (state/hold-run.ts), read once. A run of many holds stays
//     for later slices, which then read what lies beyond its ends; what is put meanwhile is put into it, too.
// Which bucket a hold lies in and how a range is read: state/hold-range.ts. What a cut, a batch and a prefetch are: task-state.ts.

import { assert } from '../log/errors.ts'
import type { Backend } from './backend.ts'
import { Expiry, type ExpiryMeta } from './expiry.ts'
import {
  type BucketRead,
  comparePlaces,
  decoded,
  type Held,
  type HoldBucket,
  type HoldPlace,
  isWithin,
  KEYS_PER_READ,
  keysOf,
  mayHaveRange,
  readRanges,
  type TimeRange,
  takeKeys,
} from './hold-range.ts'
import { HoldRun } from './hold-run.ts'
import { KeyFilter } from './key-filter.ts'
import { allBuckets, BUCKET_WIDTH_MIN_MS, KeyWriter, KIND, parseGroupKey, parseHoldKey } from './key-layout.ts'
import type { CutBatch, KeyList, RangeStore } from './managed-store.ts'
import { decodeHolds, encodeHolds } from './packed-holds.ts'
import { HOLDS_READ_MAX, type HoldCodec, type HoldEntry, type HoldStore } from './store.ts'

/** Groups of one bucket that a filter remembers, at some three bytes each; beyond them the backend is asked. */
export const FILTER_GROUPS_MAX = 16 * 1024 * 1024

/** Packed holds of a group in a bucket: as many as a page of touches shows, so that the value stays a few kilobytes. */
export const FIRST_HOLDS_MAX = 8

/** A run of fewer is not kept: to read it again is some ten keys and ranges, and nearly all persons have fewer of one advertiser. */
export const KEPT_RUN_MIN = 64

/**
 * Holds of all runs that are kept, touches of some 550 bytes each and with a vector 850: 9 to 14 MB a task, for four robots with all
 * that a read shows, or a hundred keen persons and more. What was read longest ago goes first.
 */
export const KEPT_HOLDS_MAX = 4 * HOLDS_READ_MAX

export interface HoldMeta extends ExpiryMeta {
  /** The buckets that have holds, each with the time of its earliest one. */
  readonly buckets: readonly (readonly [bucket: number, earliestMs: number])[]
}

export interface HoldStoreOptions<V> extends Partial<HoldLimits> {
  readonly id: number
  readonly name: string
  readonly bucketMs: number
  readonly codec: HoldCodec<V>
}

/** Set in tests. */
export interface HoldLimits {
  /** HOLDS_READ_MAX */
  readonly readMax: number
  /** FILTER_GROUPS_MAX */
  readonly filterGroupsMax: number
  /** KEPT_RUN_MIN */
  readonly keptRunMin: number
  /** KEPT_HOLDS_MAX */
  readonly keptHoldsMax: number
}

const NOTHING = new Uint8Array()

interface Bucket extends HoldBucket {
  earliestMs: number
  /** H3. null: what the backend has is not known. */
  groups: KeyFilter | null
}

/** What one commit adds, by group, in the order of the puts. */
type Added<V> = Map<string, Held<V>[]>

/** A read that a run grows by. */
interface Fill<V> {
  readonly run: HoldRun<V>
  readonly group: string
  readonly range: TimeRange
  readonly reads: readonly BucketRead[]
  /** Of commits that were not written when the backend was asked, and of the one that is being made (H2). */
  readonly inMemory: readonly Held<V>[]
}

export class RangedHoldStore<V> implements HoldStore<V>, RangeStore {
  readonly id: number
  readonly name: string
  /** Told of each get that left older holds out. */
  onLeftOut: (() => void) | null = null
  readonly #codec: HoldCodec<V>
  readonly #bucketMs: number
  readonly #readMax: number
  readonly #filterGroupsMax: number
  readonly #keptRunMin: number
  readonly #keptHoldsMax: number
  readonly #backend: Backend
  readonly #expiry: Expiry
  readonly #buckets = new Map<number, Bucket>()
  /** Since the last cut. */
  #open: Added<V> = new Map()
  /** Of cuts that are not written yet, oldest first. */
  readonly #unwritten: Added<V>[] = []
  /** What this slice wants, by group. */
  readonly #wanted = new Map<string, TimeRange[]>()
  /** Those of this slice, and those that are kept (H5), by group; what was wanted last stands last. */
  readonly #runs = new Map<string, HoldRun<V>[]>()
  #fills: Fill<V>[] = []
  /** Reads of #fills with ranges to be read. */
  #ranges: BucketRead[] = []
  /** Whether what was wanted has been asked for: the next want is of another slice. */
  #isAsked = false

  /** Opens the store as the last commit left it. Reads nothing. */
  constructor(options: HoldStoreOptions<V>, backend: Backend, meta: HoldMeta | null) {
    assert(options.bucketMs >= BUCKET_WIDTH_MIN_MS, 'a bucket is at least a second wide')
    this.id = options.id
    this.name = options.name
    this.#bucketMs = options.bucketMs
    this.#codec = options.codec
    this.#readMax = options.readMax ?? HOLDS_READ_MAX
    this.#filterGroupsMax = options.filterGroupsMax ?? FILTER_GROUPS_MAX
    this.#keptRunMin = options.keptRunMin ?? KEPT_RUN_MIN
    this.#keptHoldsMax = options.keptHoldsMax ?? KEPT_HOLDS_MAX
    this.#backend = backend
    this.#expiry = new Expiry(meta)
    for (const [bucket, earliestMs] of meta?.buckets ?? [])
      this.#buckets.set(bucket, { bucket, earliestMs, groups: null })
  }

  bucketOf(timeMs: number): number {
    return Math.floor(timeMs / this.#bucketMs)
  }

  put(group: string, timeMs: number, id: string, value: V, keptFromMs: number): void {
    const number = this.bucketOf(Math.max(timeMs, keptFromMs))
    assert(number >= this.#expiry.lowest, `${this.name}: bucket ${number} is expired`)
    const bucket = this.#buckets.get(number)
    if (bucket === undefined) this.#buckets.set(number, { bucket: number, earliestMs: timeMs, groups: new KeyFilter() })
    else if (timeMs < bucket.earliestMs) bucket.earliestMs = timeMs
    const hold: Held<V> = { bucket: number, entry: { timeMs, id, value } }
    const added = this.#open.get(group)
    if (added === undefined) this.#open.set(group, [hold])
    else added.push(hold)
    if (this.#runs.size > 0) for (const run of this.#runs.get(group) ?? []) run.add(hold)
  }

  want(group: string, fromMs: number, toMs: number): void {
    if (this.#isAsked) this.#endSlice()
    const known = this.#wanted.get(group)
    if (known === undefined) this.#wanted.set(group, [{ fromMs, toMs }])
    else if (!known.some((range) => range.fromMs === fromMs && range.toMs === toMs)) known.push({ fromMs, toMs })
  }

  get(group: string, fromMs: number, toMs: number): readonly HoldEntry<V>[] {
    const isWanted = (range: TimeRange): boolean => range.fromMs === fromMs && range.toMs === toMs
    const run = this.#runs.get(group)?.find(({ wants }) => wants.some(isWanted))
    assert(run !== undefined, `${this.name}: this range of ${JSON.stringify(group)} was not wanted in this slice`)
    const range = { fromMs, toMs }
    assert(
      run.has(range, this.#readMax + 1),
      `${this.name}: what this range left out was wanted before the others expired`,
    )
    const { entries, more } = run.newest(range, this.#readMax)
    if (more) this.onLeftOut?.()
    return entries
  }

  expireBelow(bucket: number): void {
    if (!this.#expiry.raise(bucket)) return
    for (const number of this.#buckets.keys()) if (number < bucket) this.#buckets.delete(number)
    for (const runs of this.#runs.values()) for (const run of runs) run.expireBelow(bucket)
  }

  /** The buckets that the cuts taken so far leave in the backend, for readers of it. */
  get heldBuckets(): readonly HoldBucket[] {
    return [...this.#buckets.values()].map(({ bucket, earliestMs }) => ({ bucket, earliestMs }))
  }

  /** Of commits not written, and of runs, for the tests of H1 and H5. */
  get holdsInMemory(): number {
    let count = 0
    for (const added of [...this.#unwritten, this.#open]) for (const holds of added.values()) count += holds.length
    for (const runs of this.#runs.values()) for (const { length } of runs) count += length
    return count
  }

  // --- what task-state.ts calls ---

  collectMissing(keys: KeyList): void {
    this.#isAsked = true
    assert(this.#fills.length === 0, 'one prefetch at a time')
    for (const [group, wants] of this.#wanted) this.#takeRuns(group, wants)
    while (this.#fills.length > 0 && this.#fills.every(({ reads }) => reads.length === 0)) this.#grow()
    for (const { reads } of this.#fills) for (const key of keysOf(reads, keys.writer)) keys.push(key)
  }

  loaded(values: readonly (Uint8Array | null)[], from: number): number {
    const reads = this.#fills.flatMap((fill) => fill.reads)
    this.#ranges = takeKeys(reads, values, from)
    return reads.length * KEYS_PER_READ
  }

  loadRanges(): Promise<void> | null {
    const ranges = this.#ranges
    this.#ranges = []
    if (ranges.length > 0) return this.#load(ranges)
    this.#grow()
    return this.#fills.length === 0 ? null : this.#loadOn()
  }

  takeCut(batch: CutBatch): HoldMeta {
    this.#endSlice()
    const newGroups = new Map<Bucket, string[]>()
    for (const [group, holds] of this.#open) {
      for (const [bucket, inBucket] of this.#byBucket(holds)) {
        const isNew = bucket.groups?.mayHave(group) === false
        this.#putGroup(batch, bucket.bucket, group, { holds: inBucket, packed: isNew ? FIRST_HOLDS_MAX : 0 })
        if (isNew) listOf(newGroups, bucket).push(group)
      }
    }
    for (const [bucket, groups] of newGroups) this.#remember(bucket, groups)
    this.#unwritten.push(this.#open)
    this.#open = new Map()
    const buckets = [...this.#buckets.values()].map(({ bucket, earliestMs }) => [bucket, earliestMs] as const)
    const expiry = this.#expiry.takeCut(batch, this.id, [KIND.hold, KIND.first, KIND.more])
    return { ...expiry, buckets }
  }

  written(): void {
    assert(this.#unwritten.shift() !== undefined, 'only a cut that was taken is written')
  }

  async *dump(): AsyncIterable<string> {
    const lines = new Map<string, string>()
    const put = (parts: readonly [number, string, number, string], bytes: Uint8Array): void => {
      const line = [this.name, ...parts, Buffer.from(bytes).toString('base64')]
      lines.set(JSON.stringify(parts), JSON.stringify(line))
    }
    for await (const chunk of this.#backend.scan(allBuckets(KIND.first, this.id))) {
      for (const [key, packed] of chunk) {
        const { bucket, group } = parseGroupKey(key)
        if (bucket < this.#expiry.lowest) continue
        for (const { timeMs, id, bytes } of decodeHolds(packed)) put([bucket, group, timeMs, id], bytes)
      }
    }
    for await (const chunk of this.#backend.scan(allBuckets(KIND.hold, this.id))) {
      for (const [key, bytes] of chunk) {
        const { bucket, group, timeMs, id } = parseHoldKey(key)
        if (bucket >= this.#expiry.lowest) put([bucket, group, timeMs, id], bytes)
      }
    }
    for (const added of [...this.#unwritten, this.#open]) {
      for (const [group, holds] of added) {
        for (const { bucket, entry } of holds)
          if (bucket >= this.#expiry.lowest)
            put([bucket, group, entry.timeMs, entry.id], this.#codec.encode(entry.value))
      }
    }
    yield* [...lines.values()].sort()
  }

  // --- inside ---

  /** Its operators are done with what they read. Keeps the runs of many holds. */
  #endSlice(): void {
    this.#isAsked = false
    if (this.#wanted.size === 0) return
    for (const group of this.#wanted.keys()) {
      const kept = (this.#runs.get(group) ?? []).filter(({ length }) => length >= this.#keptRunMin)
      this.#runs.delete(group)
      if (kept.length > 0) this.#runs.set(group, kept)
      for (const run of kept) {
        run.wants = []
        run.trim(2 * this.#readMax)
      }
    }
    this.#wanted.clear()
    let count = 0
    for (const runs of this.#runs.values()) for (const { length } of runs) count += length
    for (const [group, runs] of this.#runs) {
      if (count <= this.#keptHoldsMax) break
      for (const { length } of runs) count -= length
      this.#runs.delete(group)
    }
  }

  /** H5. The run of each of a group's ranges, and what it lacks. */
  #takeRuns(group: string, wants: readonly TimeRange[]): void {
    const runs = listOf(this.#runs, group)
    for (const { range, of } of joined(wants)) {
      const known = runs.find((one) => one.meets(range))
      const run = known ?? new HoldRun<V>(range.toMs)
      if (known === undefined) runs.push(run)
      run.wants = run.wants.length === 0 ? of : run.wants.concat(of)
      const missing = run.missing(range, this.#readMax + 1)
      for (const part of missing) this.#fills.push(this.#fillOf(run, group, part))
      if (missing.length === 0 && of.length > 1) this.#goOn(run, group)
    }
  }

  #fillOf(run: HoldRun<V>, group: string, range: TimeRange): Fill<V> {
    const first = this.bucketOf(range.fromMs)
    const reads: BucketRead[] = []
    for (const bucket of this.#buckets.values()) {
      if (!mayHaveRange(bucket, first, range) || bucket.groups?.mayHave(group) === false) continue
      reads.push({ store: this.id, bucket: bucket.bucket, group, range, found: [], cutAt: null })
    }
    const inMemory: Held<V>[] = []
    for (const added of [...this.#unwritten, this.#open])
      for (const hold of added.get(group) ?? []) {
        if (hold.bucket >= this.#expiry.lowest && isWithin(hold.entry, range)) inMemory.push(hold)
      }
    return { run, group, range, reads, inMemory }
  }

  /** Reads the ranges of #fills that are marked, whose keys are known, and goes on. */
  async #load(marked: readonly BucketRead[]): Promise<void> {
    // One more than is read, to see that something is left out.
    await readRanges(this.#backend, marked, this.#readMax + 1)
    this.#grow()
    await this.#loadOn()
  }

  /** Reads #fills of which nothing is known, as long as what a range left out is what another one needs. */
  async #loadOn(): Promise<void> {
    while (this.#fills.length > 0) {
      const reads = this.#fills.flatMap((fill) => fill.reads)
      const values = await this.#backend.multiGet(keysOf(reads, new KeyWriter()))
      await readRanges(this.#backend, takeKeys(reads, values, 0), this.#readMax + 1)
      this.#grow()
    }
  }

  /** The runs take what was read for them; what they still lack is #fills. */
  #grow(): void {
    /** Those that may lack something still. */
    const runs = new Map<HoldRun<V>, string>()
    for (const { run, group, range, reads, inMemory } of this.#fills) {
      const held = decoded(reads, this.#codec, this.name)
      for (const hold of inMemory) held.push(hold)
      const cutAt = highestOf(reads)
      const hasGrown = run.grow({ range, held, cutAt })
      if (!hasGrown || cutAt !== null || run.wants.length > 1) runs.set(run, group)
    }
    this.#fills = []
    for (const [run, group] of runs) this.#goOn(run, group)
  }

  /** Asks for what ranges lack that are wanted of a run: its newest holds are not the newest of each of them. */
  #goOn(run: HoldRun<V>, group: string): void {
    const count = this.#readMax + 1
    const short = run.wants.filter((range) => !run.has(range, count))
    if (short.length === 0) return
    // Below the run it lacks the same for all of them.
    const fromMs = Math.min(...short.map((range) => range.fromMs))
    for (const part of run.missing({ fromMs, toMs: short[0]!.toMs }, count))
      this.#fills.push(this.#fillOf(run, group, part))
  }

  /** H3: before any of these groups is in the backend. */
  #remember(bucket: Bucket, groups: readonly string[]): void {
    if (bucket.groups === null) return
    if (bucket.groups.count + groups.length > this.#filterGroupsMax) bucket.groups = null
    else bucket.groups.add(groups)
  }

  /** The holds of a group that a batch puts, by the bucket that they lie in; none of expired ones. */
  #byBucket(holds: readonly Held<V>[]): Map<Bucket, Held<V>[]> {
    const byBucket = new Map<Bucket, Held<V>[]>()
    for (const hold of lastOfEach(holds)) {
      const bucket = this.#buckets.get(hold.bucket)
      if (bucket !== undefined) listOf(byBucket, bucket).push(hold)
    }
    return byBucket
  }

  /** H4. `packed`: holds that may be packed. */
  #putGroup(
    batch: CutBatch,
    bucket: number,
    group: string,
    { holds, packed }: { readonly holds: readonly Held<V>[]; readonly packed: number },
  ): void {
    const { writer } = batch
    const entries = holds.map(({ entry: { timeMs, id, value } }) => ({ timeMs, id, bytes: this.#codec.encode(value) }))
    if (packed > 0) batch.put(writer.group(KIND.first, this.id, bucket, group), encodeHolds(entries.slice(0, packed)))
    if (entries.length > packed) batch.put(writer.group(KIND.more, this.id, bucket, group), NOTHING)
    for (const { timeMs, id, bytes } of entries.slice(packed))
      batch.put(writer.hold(this.id, bucket, group, timeMs, id), bytes)
  }
}

/** Of the holds with one key the one that was put last: a key is put once in a batch. */
function lastOfEach<V>(holds: readonly Held<V>[]): Iterable<Held<V>> {
  if (holds.length === 1) return holds
  return new Map(holds.map((hold) => [JSON.stringify([hold.bucket, hold.entry.timeMs, hold.entry.id]), hold])).values()
}

/** The ranges of a group, those that overlap as one, with the ranges that it is made of. */
function joined(ranges: readonly TimeRange[]): readonly { range: TimeRange; readonly of: readonly TimeRange[] }[] {
  if (ranges.length === 1) return [{ range: ranges[0]!, of: ranges }]
  const all: { range: TimeRange; readonly of: TimeRange[] }[] = []
  for (const range of [...ranges].sort((a, b) => b.toMs - a.toMs)) {
    const last = all.at(-1)
    if (last === undefined || range.toMs < last.range.fromMs) all.push({ range, of: [range] })
    else {
      last.range = { fromMs: Math.min(last.range.fromMs, range.fromMs), toMs: last.range.toMs }
      last.of.push(range)
    }
  }
  return all
}

/** The highest place below which one of the reads has left something out; null: none has. */
function highestOf(reads: readonly BucketRead[]): HoldPlace | null {
  let highest: HoldPlace | null = null
  for (const { cutAt } of reads)
    if (cutAt !== null && (highest === null || comparePlaces(cutAt, highest) > 0)) highest = cutAt
  return highest
}

function listOf<K, T>(lists: Map<K, T[]>, key: K): T[] {
  const known = lists.get(key)
  if (known !== undefined) return known
  const made: T[] = []
  lists.set(key, made)
  return made
}

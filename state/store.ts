// What an operator sees of state: stores it declared, in memory while it computes. RocksDB is not visible from here.
// S1: `want` in Operator.keys, then one await of the task, then `get`/`has` in Operator.process never wait.
// S2: entries live in time buckets and go with their bucket; there is no timer per key.
// S3: what a store holds is a function of the calls made on it, never of commits, cache size or eviction.

/** How a value becomes bytes. `decode(encode(v))` equals v; encode is called once per commit for a changed entry. */
export interface Codec<V> {
  encode(value: V): Uint8Array
  decode(bytes: Uint8Array): V
}

/** How a hold becomes bytes, which need not say what its group and place do. `decode(encode(v), group, place)` equals v. */
export interface HoldCodec<V> {
  encode(value: V): Uint8Array
  decode(bytes: Uint8Array, group: string, place: { readonly timeMs: number; readonly id: string }): V
}

/** Ids and names are unique in a stage; the id (0 to 255) is part of every key in the backend. */
export type StoreSpec =
  | {
      readonly kind: 'keyed'
      readonly id: number
      readonly name: string
      // biome-ignore lint/suspicious/noExplicitAny: stores of several value types stand in one list
      readonly codec: Codec<any>
    }
  | {
      readonly kind: 'seen'
      readonly id: number
      readonly name: string
      /** Width of a time bucket, milliseconds; at least a second. */
      readonly bucketMs: number
    }
  | { readonly kind: 'queue'; readonly id: number; readonly name: string }
  | {
      readonly kind: 'holds'
      readonly id: number
      readonly name: string
      /** Width of a time bucket, milliseconds; at least a second. */
      readonly bucketMs: number
      // biome-ignore lint/suspicious/noExplicitAny: stores of several value types stand in one list
      readonly codec: HoldCodec<any>
    }

/** Values by (bucket, key), behind a write-back cache. Values are mutable: change one, then call `changed`. */
export interface KeyedStore<V> {
  /** Says that process() will get (bucket, key). Cheap where it is in memory. */
  want(bucket: number, key: string): void
  /** The value, or undefined if there is none. It must have been wanted in this slice (asserted when it is not in memory). */
  get(bucket: number, key: string): V | undefined
  set(bucket: number, key: string, value: V): void
  /** The value got from (bucket, key) was changed in place. */
  changed(bucket: number, key: string): void
  delete(bucket: number, key: string): void
  /** Forgets every bucket below this one (range delete at the next commit). Never goes down. */
  expireBelow(bucket: number): void
  /** Lowest bucket that is kept; entries below it are not accepted (asserted). */
  readonly lowestBucket: number
}

/**
 * Exact set of (user, type, id, time), by bucket of time: "was this id accepted within `horizonMs` of this time?"
 * Bloom filters in memory answer most questions; the exact answer is in the backend.
 */
export interface SeenStore {
  want(user: string, type: string, id: string, timeMs: number, horizonMs: number): void
  /** Whether an entry with the same user, type and id has |entry time - timeMs| <= horizonMs. */
  has(user: string, type: string, id: string, timeMs: number, horizonMs: number): boolean
  /** Adds an entry, in the bucket of max(timeMs, notBeforeMs): a late one is kept as long as one that came now. */
  add(user: string, type: string, id: string, timeMs: number, notBeforeMs: number): void
  expireBelow(bucket: number): void
  bucketOf(timeMs: number): number
}

/**
 * Things held by (group, time, id), many to a group, by bucket of time; read as a range of time of one group. Values are never
 * changed in place. A store has a kind of tier under it: RocksDB now (state/hold-store.ts); each passes test/conformance/holds.ts.
 */
export interface HoldStore<V> {
  /**
   * Holds a value, in the bucket of max(timeMs, keptFromMs): a late one is kept as long as one that came now. Needs no want. The
   * same (group, time, id) again replaces it; in another bucket, the one of the highest bucket is read.
   */
  put(group: string, timeMs: number, id: string, value: V, keptFromMs: number): void
  /** Says that process() will get just this range. */
  want(group: string, fromMs: number, toMs: number): void
  /**
   * What is held of the group with fromMs <= timeMs <= toMs, in the order (timeMs, bytes of id), what this slice put included.
   * Just this range must have been wanted in this slice (asserted). Of more than HOLDS_READ_MAX the newest ones, and the task
   * counts `holds_left_out`.
   */
  get(group: string, fromMs: number, toMs: number): readonly HoldEntry<V>[]
  /** Forgets every bucket below this one. Called between slices: of a range that left holds out, others may be missing after it (asserted). */
  expireBelow(bucket: number): void
  bucketOf(timeMs: number): number
}

export interface HoldEntry<V> {
  readonly timeMs: number
  readonly id: string
  readonly value: V
}

/**
 * Entries that one read brings. Of one person and advertiser it is more than a hundred touches a day for 35 days, which no person
 * makes; a robot's conversion then costs a megabyte or two and not its whole history.
 */
export const HOLDS_READ_MAX = 4096

/** Order key of protocol.md section 8. `at` in milliseconds; strings compare as UTF-8 bytes. */
export interface OrderKey {
  readonly at: number
  readonly rank: number
  readonly type: string
  readonly id: string
  readonly number: number
}

/** A persistent priority queue of JSON texts: held records and timers. Order keys are unique in it (asserted where seen). */
export interface OrderQueue {
  push(key: OrderKey, value: string): void
  /** The least entry, or null if the queue is empty. Asserts that no refill is needed. */
  peek(): QueueEntry | null
  /** Takes the least entry out. Asserts that there is one and no refill is needed. */
  pop(): QueueEntry
  /** Whether the least entry may be in the backend only: await refill() before peek() and pop(). */
  readonly needsRefill: boolean
  refill(): Promise<void>
  /** Entries in the queue, in memory or not. */
  readonly length: number
}

export interface QueueEntry {
  readonly key: OrderKey
  readonly value: string
}

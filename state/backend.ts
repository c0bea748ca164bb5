// The bytes under a task's state: an ordered map with atomic batches and immutable snapshots.
// state/rocks-backend.ts is the real one, state/memory-backend.ts the simulated one; both pass test/conformance/backend.ts.
// B1: a batch is all or nothing, also through kill -9; batches are never reordered.
// B2: a snapshot never changes, and neither waits for the writer nor makes it wait.

export type Entry = readonly [key: Uint8Array, value: Uint8Array]

export interface WriteBatch {
  readonly puts: readonly Entry[]
  readonly deletes: readonly Uint8Array[]
  /** Applied before puts and deletes. Half-open: [from, to). */
  readonly rangeDeletes: readonly (readonly [from: Uint8Array, to: Uint8Array])[]
}

export interface Range {
  /** Inclusive. */
  readonly from: Uint8Array
  /** Exclusive. */
  readonly to: Uint8Array
}

export interface BackendReader {
  /** One value per key, null where there is none. */
  multiGet(keys: readonly Uint8Array[]): Promise<(Uint8Array | null)[]>
  /** Entries in byte order of their keys, in chunks. `entriesFetched`: entries read ahead, fewer than usual for large values. */
  scan(range: Range, entriesFetched?: number): AsyncIterable<readonly Entry[]>
  /** The last entries of a range, at most `count`, in byte order of their keys. Reads no others, however many there are. */
  last(range: Range, count: number): Promise<readonly Entry[]>
}

export interface BackendSnapshot extends BackendReader {
  /** Idempotent. Reading after it is an error. */
  release(): void
}

export interface Backend extends BackendReader {
  /** Throws where nothing was written; the caller must exit, never retry (protocol.md, section 4). */
  write(batch: WriteBatch): Promise<void>
  snapshot(): BackendSnapshot
  /** What was written so far can no longer be lost, also if the write-ahead log is cut: it is in files of its own. */
  flush(): Promise<void>
  close(): Promise<void>
}

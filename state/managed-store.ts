// What every kind of store is to task-state.ts: something that says what it lacks, gives up its changes at a cut, and can
// be dumped. Operators see only store.ts.

import type { Entry, Range, WriteBatch } from './backend.ts'
import { KeyWriter } from './key-layout.ts'

/** The keys of one multi-get, of all stores of a task. Used again for the next one: only one is under way at a time. */
export class KeyList {
  readonly writer = new KeyWriter()
  keys: Uint8Array[] = []

  clear(): void {
    this.writer.clear()
    this.keys = []
  }

  push(key: Uint8Array): void {
    this.keys.push(key)
  }
}

/** The backend batch of one commit while stores fill it. A key is put or deleted at most once. */
export class CutBatch implements WriteBatch {
  readonly cut: number
  readonly writer = new KeyWriter()
  readonly puts: Entry[] = []
  readonly deletes: Uint8Array[] = []
  readonly rangeDeletes: (readonly [Uint8Array, Uint8Array])[] = []

  constructor(cut: number) {
    this.cut = cut
  }

  put(key: Uint8Array, value: Uint8Array): void {
    this.puts.push([key, value])
  }

  delete(key: Uint8Array): void {
    this.deletes.push(key)
  }

  deleteRange(range: Range): void {
    this.rangeDeletes.push([range.from, range.to])
  }
}

export interface ManagedStore {
  readonly id: number
  readonly name: string
  /** Appends the keys that were wanted and are not in memory. Called between keys() and process() of every slice. */
  collectMissing(keys: KeyList): void
  /** Takes the values of its keys, which begin at `from`; returns how many there were. */
  loaded(values: readonly (Uint8Array | null)[], from: number): number
  /** Appends everything that changed since the last cut; returns JSON that open() gets back. Called between slices. */
  takeCut(batch: CutBatch): unknown
  /** The oldest cut that was not written is written now. */
  written(): void
  /** The logical content, as sorted lines of JSON. */
  dump(): AsyncIterable<string>
}

/** A store that reads ranges, too: which ones, the values of its keys say. */
export interface RangeStore extends ManagedStore {
  /** Begins to read what is left to be read after loaded(). null: nothing is. */
  loadRanges(): Promise<void> | null
}

// The lower end of a store's buckets. What is below `lowest` is gone for every reader at once; its bytes leave the backend
// by a range delete now and then: a range tombstone in every commit would cost RocksDB's reads more than the space is worth.

import { BUCKET_MIN, bucketRange, type Kind } from './key-layout.ts'
import type { CutBatch } from './managed-store.ts'

/** Cuts between two range deletes of a store. */
export const RANGE_DELETE_EVERY_CUTS = 64

const NOTHING_EXPIRED = Number.NEGATIVE_INFINITY

export interface ExpiryMeta {
  /** null: nothing expired yet. */
  readonly lowest: number | null
  /** Buckets below this one are gone from the backend, too. */
  readonly deletedBelow: number | null
}

export class Expiry {
  #lowest: number
  #deletedBelow: number
  /** Full at the start: what an earlier run left is deleted by the first cut. */
  #cuts = RANGE_DELETE_EVERY_CUTS

  constructor(meta: ExpiryMeta | null) {
    this.#lowest = meta?.lowest ?? NOTHING_EXPIRED
    this.#deletedBelow = meta?.deletedBelow ?? NOTHING_EXPIRED
  }

  /** Lowest bucket that is kept. -Infinity: all are. */
  get lowest(): number {
    return this.#lowest
  }

  /** Lowest bucket that the backend may have. */
  get first(): number {
    return Math.max(this.#lowest, BUCKET_MIN)
  }

  /** Whether that raised the lowest bucket. */
  raise(bucket: number): boolean {
    if (bucket <= this.#lowest) return false
    this.#lowest = bucket
    return true
  }

  /** Appends the range deletes that are due, one per kind of key. */
  takeCut(batch: CutBatch, store: number, kinds: readonly Kind[]): ExpiryMeta {
    this.#cuts++
    if (this.#cuts >= RANGE_DELETE_EVERY_CUTS && this.#deletedBelow < this.#lowest) {
      const from = Math.max(this.#deletedBelow, BUCKET_MIN)
      for (const kind of kinds) batch.deleteRange(bucketRange(kind, store, from, this.#lowest))
      this.#deletedBelow = this.#lowest
      this.#cuts = 0
    }
    return { lowest: finiteOrNull(this.#lowest), deletedBelow: finiteOrNull(this.#deletedBelow) }
  }
}

function finiteOrNull(value: number): number | null {
  return Number.isFinite(value) ? value : null
}

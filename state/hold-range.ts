// Reading a range of time of one group of holds: which buckets may have some of it, what each brings, and what of it is read.
// A hold lies in the bucket of its time, or, if it came late, in a later one; so a range is asked of every bucket from its
// start on that has something as old as its end.
// In each bucket, the few holds of a group that came first stand in one value; the others have keys of their own, and a mark
// that there are some. So a range is first two keys a bucket, with everything else that is read by key, and then the ranges of
// those that are marked: a range costs the main thread ten times what a key does (docs/decisions/0009-holds-that-come-first-are-packed.md).
// Shared by state/hold-store.ts and, for readers of a commit, state/read-snapshot.ts.

import { HoldfastError } from '../log/errors.ts'
import type { BackendReader } from './backend.ts'
import { compareUtf8, holdRange, type KeyWriter, KIND, parseHoldKey } from './key-layout.ts'
import { decodeHolds } from './packed-holds.ts'
import type { HoldCodec, HoldEntry } from './store.ts'

export interface TimeRange {
  readonly fromMs: number
  readonly toMs: number
  /** Of what stands at toMs only what has an id before this one. Not given: all. */
  readonly beforeId?: string
}

/** Where a hold stands in its group: in the order (time, bytes of id). */
export interface HoldPlace {
  readonly timeMs: number
  readonly id: string
}

export const comparePlaces = (a: HoldPlace, b: HoldPlace): number => a.timeMs - b.timeMs || compareUtf8(a.id, b.id)

/** What is known of a bucket that has holds. */
export interface HoldBucket {
  readonly bucket: number
  /** No hold of it is older. */
  readonly earliestMs: number
}

/** A hold as the backend has it. */
export interface FoundHold extends HoldPlace {
  readonly bucket: number
  readonly bytes: Uint8Array
}

/** A hold, and the bucket that it lies in. */
export interface Held<V> {
  readonly bucket: number
  readonly entry: HoldEntry<V>
}

/** Ranges under way at once for one slice or reader: enough to keep its four threads busy, few to be held in memory. */
export const READS_AT_ONCE_MAX = 32

/** Whether a bucket may have holds of the range; `first` is the bucket of its start. */
export function mayHaveRange({ bucket, earliestMs }: HoldBucket, first: number, { toMs }: TimeRange): boolean {
  return bucket >= first && earliestMs <= toMs
}

/** A group's range in one bucket. */
export interface BucketRead {
  readonly store: number
  readonly bucket: number
  readonly group: string
  readonly range: TimeRange
  /** Gets what the backend has of it. */
  readonly found: FoundHold[]
  /** The oldest hold of a range that may have left out older ones; null: it has left out none. */
  cutAt: HoldPlace | null
}

/** Keys of a bucket's read. */
export const KEYS_PER_READ = 2

/** The keys of the reads, in the order in which takeKeys() wants their values. */
export function keysOf(reads: readonly BucketRead[], writer: KeyWriter): Uint8Array[] {
  return reads.flatMap(({ store, bucket, group }) => [
    writer.group(KIND.first, store, bucket, group),
    writer.group(KIND.more, store, bucket, group),
  ])
}

/** Takes what the keys gave, from `from` on. Returns the reads that have more, in ranges. Throws STATE_CORRUPT. */
export function takeKeys(
  reads: readonly BucketRead[],
  values: readonly (Uint8Array | null)[],
  from: number,
): BucketRead[] {
  return reads.filter(({ bucket, range, found }, i) => {
    const [first, more] = [values[from + KEYS_PER_READ * i]!, values[from + KEYS_PER_READ * i + 1]!]
    if (first !== null) {
      for (const hold of unpacked(first, bucket)) {
        const { timeMs, id, bytes } = hold
        if (isWithin(hold, range)) found.push({ bucket, timeMs, id, bytes })
      }
    }
    return more !== null
  })
}

function unpacked(bytes: Uint8Array, bucket: number): ReturnType<typeof decodeHolds> {
  try {
    return decodeHolds(bytes)
  } catch (cause) {
    throw new HoldfastError('STATE_CORRUPT', `the first holds of a group: ${cause}`, { bucket })
  }
}

export function isWithin({ timeMs, id }: HoldPlace, { fromMs, toMs, beforeId }: TimeRange): boolean {
  if (timeMs < fromMs || timeMs > toMs) return false
  return timeMs < toMs || beforeId === undefined || compareUtf8(id, beforeId) < 0
}

/** Reads the ranges side by side. Each brings the newest entries of its bucket, at most `entriesMax`, in their order. */
export async function readRanges(
  backend: BackendReader,
  reads: readonly BucketRead[],
  entriesMax: number,
): Promise<void> {
  let next = 0
  const reader = async (): Promise<void> => {
    while (next < reads.length) {
      const read = reads[next++]!
      const { store, bucket, group, range, found } = read
      const entries = await backend.last(holdRange(store, bucket, group, range), entriesMax)
      entries.forEach(([key, bytes], i) => {
        const { timeMs, id } = parseHoldKey(key)
        found.push({ bucket, timeMs, id, bytes })
        if (i === 0 && entries.length === entriesMax) read.cutAt = { timeMs, id }
      })
    }
  }
  await Promise.all(Array.from({ length: Math.min(READS_AT_ONCE_MAX, reads.length) }, reader))
}

/**
 * Holds in the order (time, bytes of id), each (time, id) once: that of the highest bucket, of one bucket the last one in the list.
 * Sorts the list.
 */
export function merged<V>(holds: Held<V>[]): Held<V>[] {
  if (holds.length < 2) return holds
  holds.sort((a, b) => comparePlaces(a.entry, b.entry) || a.bucket - b.bucket)
  return holds.filter(({ entry }, i) => {
    const next = holds[i + 1]?.entry
    return next?.timeMs !== entry.timeMs || next.id !== entry.id
  })
}

/** What the reads of a group found, as readers get it. Throws STATE_CORRUPT. */
export function decoded<V>(reads: readonly BucketRead[], codec: HoldCodec<V>, store: string): Held<V>[] {
  const holds: Held<V>[] = []
  for (const { group, found } of reads)
    for (const hold of found) {
      const { bucket, timeMs, id, bytes } = hold
      try {
        holds.push({ bucket, entry: { timeMs, id, value: codec.decode(bytes, group, hold) } })
      } catch (cause) {
        throw new HoldfastError('STATE_CORRUPT', `store ${store}, hold ${JSON.stringify(id)} at ${timeMs}: ${cause}`)
      }
    }
  return holds
}

// What is in memory of one group of holds: all that lies between two places in the order (time, bytes of id).
// HR1: it has every hold of its group from its floor to `toMs`, of whatever bucket, each (time, id) once: that of the highest bucket.
// HR2: it grows at its ends only, by what was read next to them. Where such a read left older ones out, the floor rises to the oldest
//      place below which something may be missing.
// What is read, kept and given up, and when: state/hold-store.ts.

import { assert } from '../log/errors.ts'
import { comparePlaces, type Held, type HoldPlace, merged, type TimeRange } from './hold-range.ts'
import type { HoldEntry } from './store.ts'

/** What a read brought that was asked for by missing(). */
export interface Growth<V> {
  readonly range: TimeRange
  /** Of one (bucket, time, id) the last one counts. */
  readonly held: Held<V>[]
  /** The read may lack something that is older; null: it lacks nothing. */
  readonly cutAt: HoldPlace | null
}

/** Some of the holds of a group, without a gap. */
export class HoldRun<V> {
  /** Ranges that are read now; the store's. */
  wants: readonly TimeRange[] = []
  #toMs: number
  /** Inclusive. */
  #floor: HoldPlace
  /** In order. */
  #holds: Held<V>[] = []

  /** Knows nothing yet; can grow to hold what is at `toMs` and before. */
  constructor(toMs: number) {
    this.#toMs = toMs
    this.#floor = { timeMs: toMs + 1, id: '' }
  }

  get length(): number {
    return this.#holds.length
  }

  /** Whether a range and the run overlap or touch. */
  meets({ fromMs, toMs }: TimeRange): boolean {
    return fromMs <= this.#toMs + 1 && toMs + 1 >= this.#floor.timeMs
  }

  /** Whether of a range all is here, or at least the newest `count`. */
  has({ fromMs, toMs }: TimeRange, count: number): boolean {
    if (toMs > this.#toMs) return false
    const to = this.#indexOf(toMs + 1)
    return this.#isComplete(fromMs) || to - this.#indexOf(fromMs) >= count
  }

  /** What has to be read, above the run and below it, until it has a range, or the newest `count` of it. */
  missing({ fromMs, toMs }: TimeRange, count: number): TimeRange[] {
    const ranges: TimeRange[] = []
    if (toMs > this.#toMs) ranges.push({ fromMs: this.#toMs + 1, toMs })
    const known = { fromMs, toMs: Math.min(toMs, this.#toMs) }
    if (!this.has(known, count)) {
      const { timeMs, id } = this.#floor
      ranges.push(id === '' ? { fromMs, toMs: timeMs - 1 } : { fromMs, toMs: timeMs, beforeId: id })
    }
    return ranges
  }

  /**
   * HR2. What was read above the run comes before what was read below it at the same time: where that has raised the floor, the
   * latter is not next to the run any more. Whether the run has grown.
   */
  grow({ range, held, cutAt }: Growth<V>): boolean {
    const added = merged(cutAt === null ? held : held.filter(({ entry }) => comparePlaces(entry, cutAt) >= 0))
    if (range.fromMs > this.#toMs) {
      assert(range.fromMs === this.#toMs + 1, 'a run grows without a gap')
      this.#toMs = range.toMs
      if (cutAt !== null) this.#startAt(cutAt)
      this.#holds = this.#holds.concat(added)
      return true
    }
    if (!this.#isNext(range)) return false
    this.#floor = cutAt ?? { timeMs: range.fromMs, id: '' }
    this.#holds = this.#holds.length === 0 ? added : added.concat(this.#holds)
    return true
  }

  /** A hold was put. */
  add(hold: Held<V>): void {
    const { entry, bucket } = hold
    if (entry.timeMs > this.#toMs || comparePlaces(entry, this.#floor) < 0) return
    const holds = this.#holds
    let at = this.#indexOf(entry.timeMs)
    while (at < holds.length && comparePlaces(holds[at]!.entry, entry) < 0) at++
    const there = holds[at]
    if (there === undefined || comparePlaces(there.entry, entry) !== 0) holds.splice(at, 0, hold)
    else if (bucket >= there.bucket) holds[at] = hold
  }

  /** The newest of a range, in order, at most `count`; `more`: it has more. */
  newest({ fromMs, toMs }: TimeRange, count: number): { readonly entries: HoldEntry<V>[]; readonly more: boolean } {
    const [from, to] = [this.#indexOf(fromMs), this.#indexOf(toMs + 1)]
    const newest = this.#holds.slice(Math.max(from, to - count), to)
    return { entries: newest.map(({ entry }) => entry), more: to - from > count }
  }

  /** Gives up the holds of lower buckets: the store has them no more. */
  expireBelow(bucket: number): void {
    this.#holds = this.#holds.filter((hold) => hold.bucket >= bucket)
  }

  /** Gives up all but the newest. */
  trim(count: number): void {
    if (this.#holds.length > count) this.#startAt(this.#holds[this.#holds.length - count]!.entry)
  }

  #isComplete(fromMs: number): boolean {
    return this.#floor.timeMs < fromMs || (this.#floor.timeMs === fromMs && this.#floor.id === '')
  }

  /** Whether what was read is what lies below the floor: a read above may have raised it meanwhile. */
  #isNext({ toMs, beforeId }: TimeRange): boolean {
    const { timeMs, id } = this.#floor
    return beforeId === undefined ? id === '' && toMs === timeMs - 1 : id === beforeId && toMs === timeMs
  }

  #startAt({ timeMs, id }: HoldPlace): void {
    const floor = { timeMs, id }
    this.#floor = floor
    this.#holds = this.#holds.filter(({ entry }) => comparePlaces(entry, floor) >= 0)
  }

  /** Place of the first hold at a time or later. */
  #indexOf(timeMs: number): number {
    let [low, high] = [0, this.#holds.length]
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.#holds[middle]!.entry.timeMs < timeMs) low = middle + 1
      else high = middle
    }
    return low
  }
}

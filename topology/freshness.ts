// How fresh what readers see is: from the broker's timestamp of a message to the snapshot in which it is readable, and how
// long the oldest message that is not readable yet has been waiting. For people who watch; nothing computed depends on it.
// FS1: a message counts once, in the commit that has all of it, when that commit's snapshot is current.
// FS2: memory is bounded: messages of one millisecond are one entry, and a commit has commitRecordsMax records at most.
// Both ends are clocks of one machine, or of two that agree; the broker's is cut to milliseconds, so up to one too long.

import { build, type Histogram } from 'hdr-histogram-js'

/** Milliseconds of one histogram; two are kept, so that percentiles are of the last 30 to 60 seconds. */
export const SPAN_MS = 30_000
/** Milliseconds: what takes longer counts as this. An hour: a node that was down for longer says so otherwise. */
export const READABLE_MS_MAX = 3_600_000
/** Milliseconds for which percentiles are said again: they are asked for ten times a second, and nobody reads that fast. */
const SAY_AGAIN_MS = 500
const PERCENTILE = { p50: 50, p99: 99 } as const

/** Milliseconds. */
export interface ReadableMs {
  readonly p50: number
  readonly p99: number
  readonly max: number
  /** Messages that these are of. */
  readonly count: number
}

interface Applied {
  readonly timeMs: number
  count: number
}

const histogram = (): Histogram =>
  build({ lowestDiscernibleValue: 1, highestTrackableValue: READABLE_MS_MAX, numberOfSignificantValueDigits: 2 })

export class Freshness {
  /** Applied since the last cut, and of the commit in flight; in the order of the stream. */
  #applied: Applied[] = []
  #inFlight: readonly Applied[] = []
  /** Of the message that is being applied; null: none is. */
  #begunMs: number | null = null
  #spans = [histogram(), histogram()] as const
  #spanSince = 0
  #said: { readonly atMs: number; readonly value: ReadableMs | null } | null = null

  /** A message was read; `timeMs`: the broker's timestamp. */
  begun(timeMs: number): void {
    this.#begunMs = timeMs
  }

  /** All of a message is applied; `timeMs`: the broker's timestamp. */
  applied(timeMs: number): void {
    this.#begunMs = null
    const last = this.#applied.at(-1)
    if (last !== undefined && last.timeMs === timeMs) last.count++
    else this.#applied.push({ timeMs, count: 1 })
  }

  /** What was applied is in a commit now. One commit is in flight at a time. */
  cut(): void {
    this.#inFlight = this.#applied
    this.#applied = []
  }

  /** That commit is what readers see. */
  readable(nowMs: number): void {
    this.#turn(nowMs)
    const [current] = this.#spans
    for (const { timeMs, count } of this.#inFlight) {
      const ms = Math.min(READABLE_MS_MAX, Math.max(0, Math.round(nowMs - timeMs)))
      current.recordValueWithCount(ms, count)
    }
    this.#inFlight = []
  }

  /** Age of the oldest message that was read and is not readable, milliseconds; 0: there is none. */
  waitingMs(nowMs: number): number {
    const oldestMs = this.#inFlight[0]?.timeMs ?? this.#applied[0]?.timeMs ?? this.#begunMs
    return oldestMs === null ? 0 : Math.max(0, Math.round(nowMs - oldestMs))
  }

  /** Of the last 30 to 60 seconds; null: nothing became readable. */
  readableMs(nowMs: number): ReadableMs | null {
    if (this.#said !== null && nowMs - this.#said.atMs < SAY_AGAIN_MS) return this.#said.value
    this.#turn(nowMs)
    const all = histogram()
    for (const span of this.#spans) all.add(span)
    const value =
      all.totalCount === 0
        ? null
        : {
            p50: all.getValueAtPercentile(PERCENTILE.p50),
            p99: all.getValueAtPercentile(PERCENTILE.p99),
            max: all.maxValue,
            count: all.totalCount,
          }
    this.#said = { atMs: nowMs, value }
    return value
  }

  /** Forgets what is older than the two spans. */
  #turn(nowMs: number): void {
    const spans = Math.floor((nowMs - this.#spanSince) / SPAN_MS)
    if (spans === 0) return
    const [current, former] = this.#spans
    former.reset()
    if (spans > 1) current.reset()
    this.#spans = [former, current]
    this.#spanSince += spans * SPAN_MS
  }
}

// Of the conversions that a touch will have, the share F(e) that is known at an age e, from touches most of whose windows are open: by
// reverse hazards (Lagakos, Barraj and De Gruttola 1988). Delays are seen only where touches are old enough, so
//   F(e_(j-1)) = F(e_j) (1 - r_j), r_j: of conversions up to e_j the share after e_(j-1), among touches older than e_j.
// DS1: F is 1 at the greatest age that any touch has reached: while a namespace is younger than its window, what comes later is not
//      made up for.
// Who counts: ml/calibration.ts in a model's layer, operators/evaluation.ts for what is said of open days.

const HALF_HOUR_MS = 1_800_000
/** Bins of delay, evenly in the logarithm from half an hour to the horizon. */
export const DELAY_BINS = 24

/** Conversions by bin of their delay, of the touches up to a time. */
export interface DelayCohort {
  /** Its youngest touch, milliseconds. */
  readonly endMs: number
  readonly counts: ArrayLike<number>
}

export class DelayShares {
  /** Edge i is the end of bin i of delay. */
  readonly #edgesMs: Float64Array

  /** `horizonMs`: after how long all of a touch is known; above half an hour. */
  constructor(horizonMs: number) {
    const ratio = horizonMs / HALF_HOUR_MS
    this.#edgesMs = Float64Array.from({ length: DELAY_BINS }, (_, i) => horizonMs * ratio ** ((i + 1) / DELAY_BINS - 1))
    this.#edgesMs[DELAY_BINS - 1] = horizonMs
  }

  /** The bin of a delay; what is longer than the horizon is in the last one. */
  binOf(delayMs: number): number {
    const bin = this.#edgesMs.findIndex((edgeMs) => delayMs <= edgeMs)
    return bin === -1 ? DELAY_BINS - 1 : bin
  }

  /** F at the ages of the bins' ends, from what is known now. */
  shares(nowMs: number, cohorts: readonly DelayCohort[]): Float64Array {
    const shares = new Float64Array(DELAY_BINS).fill(1)
    let share = 1
    for (let bin = DELAY_BINS - 1; bin > 0; bin--) {
      let [inBin, upTo] = [0, 0]
      for (const { endMs, counts } of cohorts) {
        // Its youngest touch is old enough: all of the bin has been seen.
        if (nowMs - endMs < this.#edgesMs[bin]!) continue
        for (let i = 0; i <= bin; i++) upTo += counts[i]!
        inBin += counts[bin]!
      }
      if (upTo > 0) share *= 1 - inBin / upTo
      shares[bin - 1] = share
    }
    return shares
  }

  /** F at an age: straight between the ends of bins, from 0 at age 0. */
  shareAt(shares: Float64Array, ageMs: number): number {
    const edges = this.#edgesMs
    const bin = edges.findIndex((edgeMs) => ageMs < edgeMs)
    if (bin === -1) return 1
    const [fromMs, from] = bin === 0 ? [0, 0] : [edges[bin - 1]!, shares[bin - 1]!]
    return from + ((shares[bin]! - from) * Math.max(ageMs - fromMs, 0)) / (edges[bin]! - fromMs)
  }
}

/** Touches of one age, and what is known of them. */
export interface AgedTouches {
  /** Conversions that were promised of them: the sum of p. */
  readonly promised: number
  /** F. */
  readonly share: number
}

/**
 * What is promised by now: the sum of p F. Beside the known conversions it is the age-adjusted check C = Σ p F / known, which is 1 where
 * the probabilities are right, at any age; Σ p / known says 1 / F instead.
 */
export function promisedByNow(touches: Iterable<AgedTouches>): number {
  let sum = 0
  for (const { promised, share } of touches) sum += promised * share
  return sum
}

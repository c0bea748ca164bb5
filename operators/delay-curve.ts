// How many of the conversions that a touch will be credited with have come by an age: the delay curve, and what follows from it for
// days whose window is still open.
// DC1: the curve is a plain share: of the credited conversions of mature touch days (older than the window) those whose delay is at
//      most the age. Such cohorts are whole, so nothing is censored, and the share is the Kaplan-Meier estimate of them (without
//      censoring the two are the same number). Days that are still open add nothing to it; chain-ladder estimators (Lagakos,
//      Barraj, De Gruttola 1988; Mack 1993) would use them, too.
// DC2: an own curve that rests on few conversions is drawn to that of all advertisers, which counts for PRIOR_CONVERSIONS.
// DC3: an estimate is observed / share: with touches coming as on mature days, conversions are a thinned Poisson process, and that is
//      its maximum likelihood estimate; how far off it may be follows from the same (delta method).
// Reports ask this (sinks/purchase-report.ts); what is counted is operators/purchases.ts's.

import type { DelayCounts } from './purchase-tiles.ts'

const MINUTE_MS = 60_000
const HOUR_MS = 60 * MINUTE_MS
const DAY_MS = 24 * HOUR_MS

/** Bins are as wide as a delay is long, roughly: minutes in the first hour, hours in the first two days, then days. */
const MINUTES = 60
const HOURS = 47
const FIRST_DAY_BIN = MINUTES + HOURS
/** Milliseconds at which the days begin. */
const DAYS_FROM_MS = (HOURS + 1) * HOUR_MS

/** The bin of a delay, milliseconds from 0. */
export function delayBin(delayMs: number): number {
  if (delayMs < HOUR_MS) return Math.floor(delayMs / MINUTE_MS)
  if (delayMs < DAYS_FROM_MS) return MINUTES - 1 + Math.floor(delayMs / HOUR_MS)
  return FIRST_DAY_BIN + Math.floor((delayMs - DAYS_FROM_MS) / DAY_MS)
}

/** Where a bin begins, milliseconds; it ends where the next one begins. */
export function binFromMs(bin: number): number {
  if (bin < MINUTES) return bin * MINUTE_MS
  if (bin < FIRST_DAY_BIN) return (bin - MINUTES + 1) * HOUR_MS
  return DAYS_FROM_MS + (bin - FIRST_DAY_BIN) * DAY_MS
}

/** What the curve of all advertisers counts for beside an own one, in conversions: from as many on an own curve has more say. */
export const PRIOR_CONVERSIONS = 100
/** Fewer mature conversions than this, of all advertisers, make no curve: its share would be off by a sixth or more. */
export const CURVE_CONVERSIONS_MIN = 30
/** An estimate whose range reaches further than this part of it, to either side, says nothing that one could act on. */
export const REACH_MAX = 0.5

export interface DelayCurve {
  /** Mature conversions that it rests on: own, and of all advertisers. */
  readonly own: number
  readonly all: number
  /** What both together count for. */
  readonly weight: number
  /** The share that has come by an age, milliseconds; null where too few conversions are known. */
  readonly shareAt: ((ageMs: number) => number) | null
}

/** DC1, DC2. From the delays of mature days; `all` counts the own ones, too. */
export function delayCurve(own: DelayCounts, all: DelayCounts): DelayCurve {
  const [ownTotal, allTotal] = [totalOf(own), totalOf(all)]
  const weight = Math.min(ownTotal + PRIOR_CONVERSIONS, allTotal)
  if (allTotal < CURVE_CONVERSIONS_MIN) return { own: ownTotal, all: allTotal, weight, shareAt: null }
  const [ownBy, allBy] = [cameBy(own), cameBy(all)]
  const ownWeight = ownTotal / (ownTotal + PRIOR_CONVERSIONS)
  const shareAt = (ageMs: number): number => {
    const ofAll = allBy(ageMs) / allTotal
    return ownTotal === 0 ? ofAll : ownWeight * (ownBy(ageMs) / ownTotal) + (1 - ownWeight) * ofAll
  }
  return { own: ownTotal, all: allTotal, weight, shareAt }
}

const totalOf = (delays: DelayCounts): number => [...delays.values()].reduce((sum, count) => sum + count, 0)

/** How many have a delay up to an age; within a bin they are spread evenly. */
function cameBy(delays: DelayCounts): (ageMs: number) => number {
  const bins = [...delays].sort(([a], [b]) => a - b)
  return (ageMs) => {
    let sum = 0
    for (const [bin, count] of bins) {
      const [fromMs, toMs] = [binFromMs(bin), binFromMs(bin + 1)]
      if (ageMs <= fromMs) break
      sum += ageMs >= toMs ? count : (count * (ageMs - fromMs)) / (toMs - fromMs)
    }
    return sum
  }
}

export interface Estimate {
  /** Conversions in the end. */
  readonly count: number
  /** Between these it is with a probability of 90 %. */
  readonly low: number
  readonly high: number
}

/** Conversions that are there of some touches, and the share of theirs that has come. */
export interface Observed {
  readonly credited: number
  readonly share: number
}

/** Of the normal distribution, for 90 % between both ends. */
const Z_90 = 1.645

/**
 * DC3. How many conversions there will be in the end, of all parts together; null: too few to tell (REACH_MAX). With n credited, the
 * share p and a curve that rests on `weight` conversions the variance is the sum of n (1 - p) / p^2, of what is still to come,
 * and the square of the sum of (n / p) ((1 - p) / (p weight))^(1/2), of the curve, whose error all parts share.
 */
export function estimateOf(parts: readonly Observed[], weight: number): Estimate | null {
  let [credited, count, ofRest, ofCurve] = [0, 0, 0, 0]
  for (const { credited: n, share: p } of parts) {
    if (n === 0) continue
    if (p === 0) return null
    credited += n
    count += n / p
    ofRest += (n * (1 - p)) / p ** 2
    ofCurve += (n / p) * Math.sqrt((1 - p) / (p * weight))
  }
  const reach = Z_90 * Math.sqrt(ofRest + ofCurve ** 2)
  if (credited === 0 || reach > REACH_MAX * count) return null
  return { count, low: Math.max(credited, count - reach), high: count + reach }
}

// How long a buyer takes from the touch to a purchase: minutes for some, hours for others, weeks for the rest, as it is
// published (about 35 % within the hour, half within the day, 10 % after two weeks; shared/cvr-notes.md, section 8).
// DL1: the distribution function is exact for what sample() draws, so probabilities are computed and never counted.
// DL2: a buyer buys 1 + G times, G geometric, and each of the purchases has a delay of its own: both "at least one within
//      the window" and "how many" then have a closed form.

import type { Random } from './random.ts'

/** That a buyer buys once more, each time. */
const AGAIN = 0.25

export interface DelayShape {
  /** Shares of the quick and of the same-day purchases; the rest takes days and weeks. */
  readonly quickShare: number
  readonly sameDayShare: number
  /** Means of the two (exponential). */
  readonly quickMeanMs: number
  readonly sameDayMeanMs: number
  /** Median and shape of the rest (log-logistic: a long tail with a distribution function in closed form). */
  readonly longMedianMs: number
  readonly longShape: number
}

/** The probability of a purchase at most this long after the touch, for one purchase of a buyer. */
export function delayWithin(shape: DelayShape, ms: number): number {
  if (ms <= 0) return 0
  const { quickShare, sameDayShare, quickMeanMs, sameDayMeanMs, longMedianMs, longShape } = shape
  const quick = 1 - Math.exp(-ms / quickMeanMs)
  const sameDay = 1 - Math.exp(-ms / sameDayMeanMs)
  const long = 1 / (1 + (ms / longMedianMs) ** -longShape)
  return quickShare * quick + sameDayShare * sameDay + (1 - quickShare - sameDayShare) * long
}

/** A delay in whole milliseconds, at least 1; rounded up, so that "at most a window" is unchanged by the rounding (DL1). */
export function sampleDelay(shape: DelayShape, random: Random): number {
  const kind = random.next()
  if (kind < shape.quickShare) return Math.ceil(random.wait(shape.quickMeanMs)) || 1
  if (kind < shape.quickShare + shape.sameDayShare) return Math.ceil(random.wait(shape.sameDayMeanMs)) || 1
  const u = random.next()
  return Math.ceil(shape.longMedianMs * (u / (1 - u)) ** (1 / shape.longShape)) || 1
}

/** How often a buyer buys. */
export function samplePurchases(random: Random): number {
  let purchases = 1
  while (random.chance(AGAIN)) purchases++
  return purchases
}

/** That a buyer buys at least once within the time that one purchase keeps with probability `within` (DL2). */
export function anyPurchase(within: number): number {
  const beyond = 1 - within
  return 1 - ((1 - AGAIN) * beyond) / (1 - AGAIN * beyond)
}

/** How many purchases of a buyer are expected within that time (DL2). */
export function expectedPurchases(within: number): number {
  return within / (1 - AGAIN)
}

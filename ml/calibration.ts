// The layer between a model and whoever is served: Platt's logit' = a logit + b (Platt 1999), fitted to what became of the touches of
// the last days without waiting for their windows to end.
// Of a touch of age e, the share F(e) of its conversions is known; so it is known to have converted with probability p F(e), and
//   the fit        makes Σ ln(p F) over converted + Σ ln(1 - p F) over the others greatest, p = 1 / (1 + e^-(a logit + b))
//   the check      C = Σ p F / known conversions: 1 where the probabilities are right, at any age; Σ p / known says 1 / F instead
//   F              by reverse hazards (ml/delay-shares.ts).
// CA1: its fit is of the model's own logits, never of served ones, so that no fit is built upon another and nothing adds up.
// CA2: it keeps counts by day of touch, bin of logit and bin of delay, so its state is as large for a thousand touches as for a billion.
// CA3: it is drawn to a = 1, b = 0 by PRIOR: with few conversions it leaves the model as it is.

import { assert } from '../log/errors.ts'
import { DELAY_BINS, type DelayCohort, DelayShares, promisedByNow } from './delay-shares.ts'
import { logitOf, sigmoid } from './logistic.ts'
import { BLOCK_CELLS, Parameters } from './parameters.ts'

export interface CalibrationSettings {
  readonly layer: 'platt'
  /** After how long all of a touch is known: the window and what is waited beyond it. */
  readonly horizonMs: number
}

const DAY_MS = 86_400_000
const HALF_HOUR_MS = 1_800_000
/** Of touches that are fitted: long enough for some conversions, short enough to follow a drift. */
export const FIT_DAYS = 14
/** Longest window: 90 days, which is how long orders and clicks are remembered (contract.md, section 2). */
export const HORIZON_MS_MAX = 91 * DAY_MS
/** Days of touches that are kept: those that still say something of the delay, and as many again that have said all. */
const KEPT_DAYS_BESIDE = 30
/** Bins of logits: a quarter each, from -10 (5 in 100,000) to 4. */
const [LOGIT_MIN, LOGIT_WIDTH, LOGIT_BINS] = [-10, 0.25, 56]
/** Ages of a day's touches at which F is asked for, as they came all day long. */
const AGES_OF_DAY = 8
/**
 * Information of the prior: that of a hundred conversions, as fewer do not tell a model that is a tenth off from one that is right;
 * while it still learns it mends such an error sooner than it can be seen here.
 */
const PRIOR = { a: 100, b: 100 }
/** It is convex but for F; fits of a day's counts take less than ten. */
const STEPS_MAX = 30
const STEP_DONE = 1e-10

/** Of a day: touches, sum of their logits, known conversions by bin of logit; then conversions by bin of delay. */
const DAY_CELLS = 3 * LOGIT_BINS + DELAY_BINS
const HEAD = { slope: 0, offset: 1, day: 2, isFitted: 3 } as const

export class Calibration {
  readonly settings: CalibrationSettings
  readonly parameters: Parameters
  readonly #days: number
  readonly #delays: DelayShares

  constructor(settings: CalibrationSettings) {
    const { horizonMs } = settings
    assert(
      horizonMs > HALF_HOUR_MS && horizonMs <= HORIZON_MS_MAX,
      'a horizon is longer than half an hour and within its limit',
    )
    this.settings = settings
    this.#days = Math.ceil(horizonMs / DAY_MS) + KEPT_DAYS_BESIDE
    this.parameters = new Parameters(this.#days * DAY_CELLS)
    this.#delays = new DelayShares(horizonMs)
  }

  /** What is served of a model's probability. */
  apply(p: number): number {
    const { cells } = this.parameters
    if (cells[HEAD.isFitted] === 0) return p
    return sigmoid(cells[HEAD.slope]! * logitOf(p) + cells[HEAD.offset]!)
  }

  get slope(): number {
    return this.parameters.cells[HEAD.isFitted] === 0 ? 1 : this.parameters.cells[HEAD.slope]!
  }

  get offset(): number {
    return this.parameters.cells[HEAD.offset]!
  }

  /** Time goes on; never back. On each new day it is fitted anew, and the oldest day forgotten. */
  advance(nowMs: number): void {
    const day = Math.floor(nowMs / DAY_MS)
    const { parameters } = this
    const last = parameters.cells[HEAD.day]!
    if (day <= last) return
    for (let fresh = Math.max(last + 1, day - this.#days + 1); fresh <= day; fresh++) {
      const cell = this.#cellOf(fresh)
      for (let i = 0; i < DAY_CELLS; i++) parameters.set(cell + i, 0)
    }
    parameters.set(HEAD.day, day)
    if (last > 0) this.#fit(day * DAY_MS)
  }

  /** A touch was given a probability by the model, at this time. */
  scored(timeMs: number, p: number): void {
    const cell = this.#dayOf(timeMs)
    if (cell === null) return
    const bin = binOfLogit(p)
    this.parameters.add(cell + bin, 1)
    this.parameters.add(cell + LOGIT_BINS + bin, logitOf(p))
  }

  /** It became known that a touch of that time converts, `delayMs` after it. `p`: what the model said of it then. */
  converted(timeMs: number, p: number, delayMs: number): void {
    const cell = this.#dayOf(timeMs)
    if (cell === null) return
    this.parameters.add(cell + 2 * LOGIT_BINS + binOfLogit(p), 1)
    this.parameters.add(cell + 3 * LOGIT_BINS + this.#delays.binOf(delayMs), 1)
  }

  /** C of what is served now, over the touches of the last FIT_DAYS whole days; NaN without conversions. */
  check(nowMs: number): number {
    const [slope, offset] = [this.slope, this.offset]
    const counts = [...this.#counts(nowMs)]
    const known = counts.reduce((sum, { conversions }) => sum + conversions, 0)
    const aged = counts.map(({ touches, logit, share }) => ({
      promised: touches * sigmoid(slope * logit + offset),
      share,
    }))
    return known === 0 ? Number.NaN : promisedByNow(aged) / known
  }

  /** Shares of conversions that are known at the ages of the bins' ends: F. */
  delays(nowMs: number): Float64Array {
    const { cells } = this.parameters
    const cohorts = [...this.#daysKept(nowMs)].map((day): DelayCohort => {
      const from = this.#cellOf(day) + 3 * LOGIT_BINS
      return { endMs: (day + 1) * DAY_MS, counts: cells.subarray(from, from + DELAY_BINS) }
    })
    return this.#delays.shares(nowMs, cohorts)
  }

  #fit(nowMs: number): void {
    const counts = [...this.#counts(nowMs)]
    // CA3. About the mean logit of what is expected to convert: there a slope other than 1 is not an offset in disguise.
    const middle = middleOf(counts)
    let [a, b] = [1, 0]
    for (let step = 0; step < STEPS_MAX; step++) {
      // Fisher scoring: information and slope of the likelihood, each with the prior's.
      let [aa, ab, bb] = [PRIOR.a, 0, PRIOR.b]
      let [ga, gb] = [PRIOR.a * (1 - a), -PRIOR.b * b]
      for (const { touches, conversions, logit, share } of counts) {
        const from = logit - middle
        const p = sigmoid(middle + a * from + b)
        const known = p * share
        const change = known * (1 - p)
        const spread = known * (1 - known)
        const pull = ((conversions - touches * known) * change) / spread
        const weight = (touches * change * change) / spread
        ga += pull * from
        gb += pull
        aa += weight * from * from
        ab += weight * from
        bb += weight
      }
      const det = aa * bb - ab * ab
      const [da, db] = [(bb * ga - ab * gb) / det, (aa * gb - ab * ga) / det]
      a += da
      b += db
      if (Math.abs(da) + Math.abs(db) < STEP_DONE) break
    }
    assert(Number.isFinite(a) && Number.isFinite(b), 'a calibration is finite')
    this.parameters.set(HEAD.slope, a)
    this.parameters.set(HEAD.offset, b + middle * (1 - a))
    this.parameters.set(HEAD.isFitted, 1)
  }

  /** Touches of the last whole days by bin of logit, and the share of their conversions that is known by now. */
  *#counts(nowMs: number): Generator<Counts> {
    const { cells } = this.parameters
    const shares = this.delays(nowMs)
    const today = Math.floor(nowMs / DAY_MS)
    for (const day of this.#daysKept(nowMs)) {
      if (day >= today || day < today - FIT_DAYS) continue
      const cell = this.#cellOf(day)
      const share = this.#shareOfDay(shares, nowMs - day * DAY_MS)
      for (let bin = 0; bin < LOGIT_BINS; bin++) {
        const touches = cells[cell + bin]!
        if (touches === 0 || share === 0) continue
        const conversions = Math.min(cells[cell + 2 * LOGIT_BINS + bin]!, touches)
        yield { touches, conversions, logit: cells[cell + LOGIT_BINS + bin]! / touches, share }
      }
    }
  }

  /** Mean of F over the touches of a day, the first of which is so old. */
  #shareOfDay(shares: Float64Array, oldestMs: number): number {
    let sum = 0
    for (let i = 0; i < AGES_OF_DAY; i++)
      sum += this.#delays.shareAt(shares, oldestMs - ((i + 0.5) / AGES_OF_DAY) * DAY_MS)
    return sum / AGES_OF_DAY
  }

  /** Cells of the day of a touch; null: it is forgotten. */
  #dayOf(timeMs: number): number | null {
    const day = Math.floor(timeMs / DAY_MS)
    const newest = this.parameters.cells[HEAD.day]!
    assert(day <= newest, 'a touch is not of a day that time has not reached')
    return day > newest - this.#days ? this.#cellOf(day) : null
  }

  *#daysKept(nowMs: number): Generator<number> {
    const newest = Math.floor(nowMs / DAY_MS)
    for (let day = Math.max(newest - this.#days + 1, 0); day <= newest; day++) yield day
  }

  #cellOf = (day: number): number => BLOCK_CELLS + (day % this.#days) * DAY_CELLS
}

/** Touches of one bin of logits of one day, and what is known of them. */
interface Counts {
  readonly touches: number
  readonly conversions: number
  /** Their mean. */
  readonly logit: number
  /** F. */
  readonly share: number
}

function middleOf(counts: readonly Counts[]): number {
  let [sum, weights] = [0, 0]
  for (const { touches, logit, share } of counts) {
    const weight = touches * sigmoid(logit) * share
    sum += weight * logit
    weights += weight
  }
  return weights === 0 ? 0 : sum / weights
}

const binOfLogit = (p: number): number =>
  Math.min(Math.max(Math.floor((logitOf(p) - LOGIT_MIN) / LOGIT_WIDTH), 0), LOGIT_BINS - 1)

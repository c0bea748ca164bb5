// From what is kept of scores (operators/evaluation-tally.ts) to figures: of all days together, by day and by slice, with the curve of
// calibration, and what can be said of days whose window is open.
// ER1: figures are of mature rows alone. Of an open day they are of its touches whose window is over so far.
// ER2: of open days calibration is estimated: what is promised by now, Σ p F(age), beside the conversions that are known. F is of all
//      touches of the window (ml/delay-shares.ts). It is said where CONVERSIONS_MIN conversions of days whose windows have ended tell F;
//      its interval is of the chance of the known conversions alone, not of F.

import { DELAY_BINS, type DelayCohort, DelayShares, promisedByNow } from '../ml/delay-shares.ts'
import type { Interval } from '../ml/evaluation.ts'
import {
  calibrationOf,
  figuresOfSums,
  type HistogramFigures,
  scoreBinEdges,
  wilsonInterval,
} from '../ml/score-histogram.ts'
import {
  addTally,
  EVALUATION_DAY_MS,
  type EvaluationTally,
  emptyTally,
  fromNano,
  HOURS_PER_DAY,
} from '../operators/evaluation-tally.ts'
import type { DayTally, EvaluatedRows, TaskEvaluation } from './evaluation-reads.ts'

const HOUR_MS = EVALUATION_DAY_MS / HOURS_PER_DAY
/** Fewer conversions of days whose windows have ended tell no delays: as for purchases (operators/delay-curve.ts). */
export const CONVERSIONS_MIN = 30

/** What rests on fewer conversions says little: with five it is off by a half or so. */
export const TOLD_CONVERSIONS_MIN = 5

/** Touches whose probability lies between two. */
export interface CurvePoint {
  readonly from: number
  readonly to: number
  readonly touches: number
  readonly positives: number
  /** Mean of what was said. */
  readonly p: number
  /** positives / touches, and where it lies with 95 % (Wilson). */
  readonly rate: number
  readonly interval: Interval
}

/** ER2. */
export interface EstimatedCalibration {
  /** Touches whose O row has come. */
  readonly touches: number
  readonly promised: number
  readonly known: number
  /** null: fewer than TOLD_CONVERSIONS_MIN are known to have come yet. */
  readonly calibration: { readonly value: number; readonly interval: Interval } | null
}

export interface EvaluationDay extends HistogramFigures {
  readonly dayMs: number
  /** Whether every touch of the day is older than the window. */
  readonly mature: boolean
  /** null: it is mature, or too little is known of delays. */
  readonly estimated: EstimatedCalibration | null
}

export interface EvaluationReport {
  /** null: nothing has come yet. */
  readonly throughMs: number | null
  readonly rows: EvaluatedRows
  readonly total: HistogramFigures
  /** Of open days together; null: there are none, or too little is known of delays. */
  readonly estimated: EstimatedCalibration | null
  readonly curve: readonly CurvePoint[]
  /** Where there is something, in ascending order. */
  readonly days: readonly EvaluationDay[]
  /** The most touches first. */
  readonly slices: readonly (HistogramFigures & { readonly id: string })[]
}

/** `horizonMs`: after how long all of a touch is known. */
export function evaluationReport(
  { throughMs, rows, days, slices, all }: Omit<TaskEvaluation, 'facts'>,
  horizonMs: number,
): EvaluationReport {
  const total = emptyTally()
  for (const { tally } of days) addTally(total, tally)
  const shareAt = throughMs === null ? null : sharesOf(all, throughMs, horizonMs)
  const told = days.map(({ dayMs, tally }): EvaluationDay => {
    const mature = throughMs !== null && isMature(dayMs, throughMs, horizonMs)
    const estimated = mature || shareAt === null ? null : estimateOf([{ dayMs, tally }], shareAt, throughMs!)
    return { dayMs, mature, ...figuresOf(tally), estimated }
  })
  const open = days.filter(({ dayMs }) => throughMs !== null && !isMature(dayMs, throughMs, horizonMs))
  const listed = [...slices].map(([id, tally]) => ({ id, ...figuresOf(tally) }))
  return {
    ...{ throughMs, rows, total: figuresOf(total), curve: curveOf(total), days: told },
    estimated: open.length === 0 || shareAt === null ? null : estimateOf(open, shareAt, throughMs!),
    slices: listed.sort((a, b) => b.touches - a.touches || (a.id < b.id ? -1 : 1)),
  }
}

const isMature = (dayMs: number, throughMs: number, horizonMs: number): boolean =>
  dayMs + EVALUATION_DAY_MS + horizonMs <= throughMs

/** The figures of mature rows. */
function figuresOf({ bins, lossNano }: EvaluationTally): HistogramFigures {
  const summed = bins.map(({ place, touches, positives, pNano }) => ({
    ...{ bin: place, touches, positives, sum: fromNano(pNano) },
  }))
  return figuresOfSums({ bins: summed, loss: fromNano(lossNano) })
}

/** Neighbouring bins together, until a point has TOLD_CONVERSIONS_MIN conversions; those left at the end belong to the last one. */
function curveOf({ bins }: EvaluationTally): CurvePoint[] {
  const groups: (typeof bins)[] = []
  let open: typeof bins = []
  for (const bin of bins) {
    open.push(bin)
    if (sumOf(open, ({ positives }) => positives) < TOLD_CONVERSIONS_MIN) continue
    groups.push(open)
    open = []
  }
  if (open.length > 0) groups.push([...(groups.pop() ?? []), ...open])
  return groups.map(pointOf)
}

function pointOf(bins: EvaluationTally['bins']): CurvePoint {
  const [touches, positives] = [sumOf(bins, (bin) => bin.touches), sumOf(bins, (bin) => bin.positives)]
  return {
    ...{ from: scoreBinEdges(bins[0]!.place).from, to: scoreBinEdges(bins.at(-1)!.place).to, touches, positives },
    ...{ p: sumOf(bins, ({ pNano }) => fromNano(pNano)) / touches, rate: positives / touches },
    interval: wilsonInterval(positives, touches),
  }
}

const sumOf = <T>(all: readonly T[], of: (one: T) => number): number => all.reduce((sum, one) => sum + of(one), 0)

/** ER2. F at an age; null: too little is known. */
function sharesOf(all: readonly DayTally[], throughMs: number, horizonMs: number): ((ageMs: number) => number) | null {
  const ended = all.filter(({ dayMs }) => isMature(dayMs, throughMs, horizonMs))
  if (sumOf(ended, ({ tally }) => knownOf(tally)) < CONVERSIONS_MIN) return null
  const delays = new DelayShares(horizonMs)
  const cohorts = all.map(({ dayMs, tally }): DelayCohort => {
    const counts = new Float64Array(DELAY_BINS)
    for (const { place, count } of tally.delays) counts[place] = count
    return { endMs: dayMs + EVALUATION_DAY_MS, counts }
  })
  const shares = delays.shares(throughMs, cohorts)
  return (ageMs) => delays.shareAt(shares, ageMs)
}

const knownOf = ({ delays }: EvaluationTally): number => sumOf(delays, ({ count }) => count)

function estimateOf(
  days: readonly DayTally[],
  shareAt: (ageMs: number) => number,
  throughMs: number,
): EstimatedCalibration {
  const hours = days.flatMap(({ dayMs, tally }) =>
    tally.hours.map(({ place, touches, pNano }) => {
      const share = shareAt(Math.max(0, throughMs - dayMs - (place + 0.5) * HOUR_MS))
      return { touches, promised: fromNano(pNano), share }
    }),
  )
  const known = sumOf(days, ({ tally }) => knownOf(tally))
  const promised = promisedByNow(hours)
  const touches = sumOf(hours, (hour) => hour.touches)
  return { touches, promised, known, calibration: known < TOLD_CONVERSIONS_MIN ? null : calibrationOf(promised, known) }
}

// Models trained side by side on the same labelled touches, and how good each was: by progressive validation, on the later touches.
// CP1: what a model is judged by, it said before it had learned anything of that touch (ml/progressive.ts).
// CP2: figures are of touches whose last word is known; the first ones, where every model still knows nothing, are left out.

import { HoldfastError } from '../../log/errors.ts'
import { HORIZON_MS_MAX } from '../../ml/calibration.ts'
import {
  bootstrapInterval,
  type Figures,
  figuresOf,
  figuresOfRows,
  type Interval,
  type Judged,
} from '../../ml/evaluation.ts'
import type { Policy } from '../../ml/feedback.ts'
import { HazardBins } from '../../ml/hazard.ts'
import { MODEL_DEFAULTS, type ModelName } from '../../ml/models.ts'
import { Predictor, validate, validateBins } from '../../ml/progressive.ts'
import { tableLines } from '../text-table.ts'
import type { LabelledTouches } from './labelled-touches.ts'

/** Of the resamples; any number would do, equal ones give equal intervals. */
export const BOOTSTRAP_SEED = 1
/** Whose entropy the others' is compared with: what a sensible person would do without a model. */
const BASELINE = 'counter'
const HOUR_MS = 3_600_000
/** As many as a terminal shows at once; --json has all. */
export const SLICES_SHOWN = 20

/** What was said of each touch when that came, under the name that the table gives it. */
export interface Said {
  readonly name: string
  readonly scores: Float64Array
  /** Conversions expected; null: it says none. */
  readonly expected: Float64Array | null
}

/** A model that was trained for the window: its file, and what it said without and with its calibration. */
export interface Trained {
  readonly name: ModelName
  readonly predictor: Predictor
  readonly said: readonly Said[]
  readonly seconds: number
}

export interface Compared extends Figures {
  readonly name: string
  readonly intervals: { readonly normalisedEntropy: Interval; readonly auc: Interval; readonly calibration: Interval }
  /** Normalised entropy beside that of BASELINE; null: that is not in the table. */
  readonly relative: { readonly value: number; readonly interval: Interval } | null
  /** Conversions expected / conversions; null: it says none. */
  readonly countCalibration: number | null
}

export interface Comparison {
  /** Touches judged, from the first one's time. */
  readonly touches: number
  readonly fromMs: number
  readonly positives: number
  readonly models: readonly Compared[]
}

/** A predictor for the window that has learned nothing. Throws USAGE where the window is too long to be calibrated. */
export function predictorOf(name: ModelName, policy: Policy, windowMs: number): Predictor {
  if (windowMs > HORIZON_MS_MAX) throw new HoldfastError('USAGE', 'windows of more than 90 days cannot be calibrated')
  return new Predictor(MODEL_DEFAULTS[name], policy, { horizonMs: Math.max(windowMs, HOUR_MS) })
}

/** Trains a model over all steps. */
export function train(name: ModelName, predictor: Predictor, touches: LabelledTouches): Trained {
  const startedAt = performance.now()
  const { scores, served, expected } = validate(touches.steps, touches, predictor)
  const seconds = (performance.now() - startedAt) / 1_000
  const said = [
    { name, scores, expected: null },
    { name: `${name}, calibrated`, scores: served, expected },
  ]
  return { name, predictor, said, seconds }
}

/** Trains bins of windows with a model each, which wait for each window to be over; what they said for the last window; null: no end of it was seen. */
export function trainBins(name: ModelName, { binSteps, bins, rows }: LabelledTouches): Said | null {
  const hazards = new HazardBins(MODEL_DEFAULTS[name], bins.length)
  const scores = validateBins(binSteps, rows, hazards)
  if (!hazards.isTrained) return null
  return { name: `${name}, bins of ${bins.join(' ')}`, scores: scores.at(-1)!, expected: null }
}

/** Judges what was said of the touches after the first `skippedShare` of all. Throws USAGE where none of them is known. */
export function compare(all: readonly Said[], touches: LabelledTouches, skippedShare: number): Comparison {
  const { converted, conversions, timesMs } = touches
  const rows = rowsJudged(touches, skippedShare)
  const y = Uint8Array.from(rows, (row) => converted[row]!)
  const judgedOf = ({ scores }: Said): Judged => ({ p: Float64Array.from(rows, (row) => scores[row]!), y })
  const sumOf = (values: Float64Array) => rows.reduce((sum, row) => sum + values[row]!, 0)
  const baseline = all.filter(({ name }) => name === BASELINE).map(judgedOf)
  const models = all.map((said): Compared => {
    const judged = judgedOf(said)
    const own = (measure: keyof Figures) => (figures: readonly Figures[]) => figures[0]![measure]
    const relative = (figures: readonly Figures[]) => figures[0]!.normalisedEntropy / figures.at(-1)!.normalisedEntropy
    const measures = [own('normalisedEntropy'), own('auc'), own('calibration'), relative]
    const intervals = bootstrapInterval([judged, ...baseline], measures, BOOTSTRAP_SEED)
    const [normalisedEntropy, auc, calibration, interval] = intervals as [Interval, Interval, Interval, Interval]
    const isRelative = baseline.length > 0
    return {
      name: said.name,
      ...figuresOf(judged),
      intervals: { normalisedEntropy, auc, calibration },
      relative: isRelative ? { value: relative([judged, ...baseline].map(figuresOf)), interval } : null,
      countCalibration: said.expected === null ? null : sumOf(said.expected) / sumOf(conversions),
    }
  })
  const positives = y.reduce((sum, label) => sum + label, 0)
  return { touches: rows.length, fromMs: timesMs[rows[0]!]!, positives, models }
}

/** CP2. */
export function rowsJudged({ known }: Pick<LabelledTouches, 'known'>, skippedShare: number): number[] {
  const first = Math.floor(known.length * skippedShare)
  const rows = Array.from(known.keys()).filter((row) => row >= first && known[row] === 1)
  if (rows.length > 0) return rows
  throw new HoldfastError(
    'USAGE',
    'no touch to be judged is complete: its window ends after the last event of the run (--incomplete takes what is known so far)',
  )
}

export interface Slice extends Figures {
  readonly advertiser: string
}

/** Figures of one model by advertiser, those of most touches first: where it errs, which the whole may hide. */
export function compareByAdvertiser({ scores }: Said, touches: LabelledTouches, skippedShare: number): Slice[] {
  const byAdvertiser = Map.groupBy(rowsJudged(touches, skippedShare), (row) => touches.advertisers[row]!)
  return [...byAdvertiser]
    .map(([advertiser, rows]) => ({ advertiser, ...figuresOfRows({ p: scores, y: touches.converted }, rows) }))
    .sort((a, b) => b.rows - a.rows || (a.advertiser < b.advertiser ? -1 : 1))
}

/** The same for people; the first SLICES_SHOWN. */
export function slicesText(model: string, slices: readonly Slice[]): string[] {
  const lines = slices
    .slice(0, SLICES_SHOWN)
    .map(({ advertiser, rows, positives, normalisedEntropy, auc, calibration }) => [
      ...[advertiser, rows, positives, fixed(normalisedEntropy), fixed(auc), fixed(calibration)],
    ])
  const rest = slices.length > SLICES_SHOWN ? [`and ${slices.length - SLICES_SHOWN} with fewer touches`] : []
  return [
    `${model}, by advertiser`,
    ...tableLines(['advertiser', 'touches', 'converted', 'NE', 'AUC', 'calibration'], lines),
    ...rest,
  ]
}

/** The table of a comparison, for people. */
export function comparisonText({ touches, fromMs, positives, models }: Comparison): string[] {
  const n = (value: number) => value.toLocaleString('en-US')
  const head = ['model', 'NE', '(95 %)', `of ${BASELINE}'s`, '(95 %)', 'AUC', '(95 %)', 'calibration', '(95 %)']
  const lines = models.map(({ name, intervals, relative, countCalibration, ...figures }) => [
    name,
    ...[fixed(figures.normalisedEntropy), between(intervals.normalisedEntropy)],
    ...(relative === null ? ['-', '-'] : [fixed(relative.value), between(relative.interval)]),
    ...[fixed(figures.auc), between(intervals.auc)],
    ...[fixed(figures.calibration), between(intervals.calibration), figures.logLoss.toFixed(5)],
    countCalibration === null ? '-' : fixed(countCalibration),
  ])
  return [
    `judged on ${n(touches)} touches from ${new Date(fromMs).toISOString()} on, of which ${n(positives)} converted; NE, normalised entropy: less is better`,
    ...tableLines([...head, 'log loss', 'count calibration'], lines),
  ]
}

export const fixed = (value: number): string => (Number.isFinite(value) ? value.toFixed(4) : '-')
export const between = ({ low, high }: Interval): string =>
  Number.isNaN(low) ? '-' : `${fixed(low)} to ${fixed(high)}`

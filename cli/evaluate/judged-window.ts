// How good the scores of a run were in one window, beside what would have been said without a model, and by slice.
// JW1: a score was said when its touch came, so what learns online had not learned the touch, and all touches are test rows. Of a file
//      that was taught with these very touches the figures say how well it remembers them.
// JW2: rows that the fallback scored, and those without a score, are counted and in no figure of the model.
// JW3: what was served, shadows and baselines are judged on the same touches: those of which all say something. The baselines learn the
//      same rows, when they became known (cli/train/comparison.ts).

import { bootstrapInterval, type Figures, figuresOf, type Interval, type Judged } from '../../ml/evaluation.ts'
import { POLICIES } from '../../ml/feedback.ts'
import type { ModelName } from '../../ml/models.ts'
import {
  addMature,
  EVALUATION_DAY_MS,
  type EvaluationTally,
  emptyTally,
  judgedTouch,
} from '../../operators/evaluation-tally.ts'
import { FALLBACK_VERSION } from '../../operators/scorer.ts'
import { type EvaluationReport, evaluationReport } from '../../sinks/evaluation-report.ts'
import { tableLines } from '../text-table.ts'
import {
  BOOTSTRAP_SEED,
  between,
  type Comparison,
  compare,
  comparisonText,
  fixed,
  predictorOf,
  rowsJudged,
  type Said,
  SLICES_SHOWN,
  train,
} from '../train/comparison.ts'
import type { LabelledTouches } from '../train/labelled-touches.ts'
import type { FileScores, Scores } from './score-lines.ts'

/** What is said without a model: nothing but a rate, or one for each advertiser. */
const BASELINES: readonly ModelName[] = ['base-rate', 'counter']
const SERVED = 'served'
/** Of a hash: enough to tell some files apart. */
const HASH_CHARS = 12

export interface JudgedSlice extends Figures {
  readonly id: string
  readonly intervals: { readonly normalisedEntropy: Interval; readonly auc: Interval; readonly calibration: Interval }
}

export interface JudgedWindow {
  readonly window: string
  readonly comparison: Comparison
  /** The most touches first. */
  readonly slices: { readonly [by in 'version' | 'advertiser' | 'type']: readonly JudgedSlice[] }
  /** Touches with labels, by what became of them. */
  readonly touches: { readonly judged: number; readonly fallback: number; readonly unscored: number }
  /** Curve and days, for the picture. */
  readonly report: Pick<EvaluationReport, 'curve' | 'days'>
}

/** `skippedShare`: of the touches, the first ones, which are left out. A text says why no touch can be judged. */
export function judgeWindow(
  window: string,
  touches: LabelledTouches,
  scores: FileScores,
  { windowMs, skippedShare }: { readonly windowMs: number; readonly skippedShare: number },
): JudgedWindow | string {
  const own = touches.names.map((name) => scores.served.get(name))
  const said = (name: string, of: Scores): Said => ({
    name,
    scores: Float64Array.from(touches.names, (touch) => of.get(touch)?.p[window] ?? Number.NaN),
    expected: Float64Array.from(touches.names, (touch) => of.get(touch)?.expected[window] ?? Number.NaN),
  })
  const served = said(SERVED, scores.served)
  const p = served.scores
  const shadows = [...scores.shadows]
    .map(([name, of]) => said(`shadow ${name.slice(0, HASH_CHARS)}`, of))
    .filter(({ scores: own }) => own.some((one) => !Number.isNaN(one)))
  const isFallback = (row: number) => own[row]?.version === String(FALLBACK_VERSION)
  const isScored = (row: number) =>
    !isFallback(row) && [p, ...shadows.map((shadow) => shadow.scores)].every((one) => !Number.isNaN(one[row]!))
  const judgeable = { ...touches, known: touches.known.map((known, row) => (known === 1 && isScored(row) ? 1 : 0)) }
  if (!touches.known.includes(1)) return `${window}: no touch is complete (--incomplete takes what is known so far)`
  const counted = rowsJudged(touches, skippedShare)
  const fallback = counted.filter(isFallback).length
  if (!counted.some(isScored))
    return `${window}: of ${counted.length} touches the fallback scored ${fallback}, nothing the others: no model is judged`
  const rows = rowsJudged(judgeable, skippedShare)
  const hasEarlyRows = touches.tally.O! + touches.tally.D! > 0
  const baselines = BASELINES.map((name) => {
    const predictor = predictorOf(name, hasEarlyRows ? POLICIES[0] : 'wait', windowMs)
    return train(name, predictor, touches).said[0]!
  })
  const by = (idOf: (row: number) => string) => slicesOf(judgeable, p, rows, idOf)
  return {
    window,
    comparison: compare([...baselines, served, ...shadows], judgeable, skippedShare),
    slices: {
      version: by((row) => own[row]!.version),
      advertiser: by((row) => touches.advertisers[row]!),
      type: by((row) => touches.kinds[row]!),
    },
    touches: { judged: rows.length, fallback, unscored: counted.length - rows.length - fallback },
    report: reportOf(judgeable, p, rows),
  }
}

function slicesOf(
  { converted }: Pick<LabelledTouches, 'converted'>,
  p: Float64Array,
  rows: readonly number[],
  idOf: (row: number) => string,
): JudgedSlice[] {
  const own = (measure: keyof Figures) => (figures: readonly Figures[]) => figures[0]![measure]
  return [...Map.groupBy(rows, idOf)]
    .map(([id, some]): JudgedSlice => {
      const judged: Judged = {
        p: Float64Array.from(some, (row) => p[row]!),
        y: Uint8Array.from(some, (row) => converted[row]!),
      }
      const measures = [own('normalisedEntropy'), own('auc'), own('calibration')]
      const intervals = bootstrapInterval([judged], measures, BOOTSTRAP_SEED)
      const [normalisedEntropy, auc, calibration] = intervals as [Interval, Interval, Interval]
      return { id, ...figuresOf(judged), intervals: { normalisedEntropy, auc, calibration } }
    })
    .sort((a, b) => b.rows - a.rows || (a.id < b.id ? -1 : 1))
}

/** As the stream sums them, and from these sums: a run's file and a node's answer have the same curve. */
function reportOf({ timesMs, converted }: LabelledTouches, p: Float64Array, rows: readonly number[]) {
  const days = new Map<number, EvaluationTally>()
  for (const row of rows) {
    const dayMs = Math.floor(timesMs[row]! / EVALUATION_DAY_MS) * EVALUATION_DAY_MS
    const tally = days.get(dayMs) ?? emptyTally()
    addMature(tally, judgedTouch(p[row]!, converted[row] === 1 ? 1 : 0))
    days.set(dayMs, tally)
  }
  const told = [...days].map(([dayMs, tally]) => ({ dayMs, tally })).sort((a, b) => a.dayMs - b.dayMs)
  // What is judged is known: no day is open.
  const { curve, days: ofDays } = evaluationReport(
    { throughMs: Number.MAX_SAFE_INTEGER, rows: NO_ROWS, days: told, slices: new Map(), all: [] },
    0,
  )
  return { curve, days: ofDays }
}

const NO_ROWS = { mature: 0, open: 0, fallback: 0, incomplete: 0, unscored: 0, expired: 0, other: 0 }

const TITLES = { version: 'by version of the model', advertiser: 'by advertiser', type: 'by type' } as const

/** The report for people. */
export function judgedText({ window, comparison, slices, touches }: JudgedWindow): string[] {
  const n = (value: number) => value.toLocaleString('en-US')
  const left = `not judged: ${n(touches.fallback)} that the fallback scored, ${n(touches.unscored)} without a score`
  const tables = (['version', 'type', 'advertiser'] as const)
    .filter((by) => slices[by].length > 1 || by === 'version')
    .flatMap((by) => ['', `${SERVED}, ${TITLES[by]}`, ...sliceLines(by, slices[by])])
  return [window, ...comparisonText(comparison), left, ...tables]
}

function sliceLines(by: keyof JudgedWindow['slices'], slices: readonly JudgedSlice[]): string[] {
  const lines = slices
    .slice(0, SLICES_SHOWN)
    .map(({ id, rows, positives, normalisedEntropy, auc, calibration, intervals }) => [
      ...[by === 'version' ? id.slice(0, HASH_CHARS) : id, rows, positives],
      ...[fixed(normalisedEntropy), between(intervals.normalisedEntropy)],
      ...[fixed(auc), between(intervals.auc), fixed(calibration), between(intervals.calibration)],
    ])
  const rest = slices.length > SLICES_SHOWN ? [`and ${slices.length - SLICES_SHOWN} with fewer touches`] : []
  const head = ['touches', 'converted', 'NE', '(95 %)', 'AUC', '(95 %)', 'calibration', '(95 %)']
  return [...tableLines([by, ...head], lines), ...rest]
}

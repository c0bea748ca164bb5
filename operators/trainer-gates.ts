// What a candidate has to show before it is published, and the sums from which that is known (docs/model-loop.md).
// TG1: everything summed was said before the row taught: by the trainer's own state, and by whichever version was live when the touch came.
// TG2: sums are of O and D rows, as those teach: a touch that converts late has an O that says 0 and then a D. An O that says 0 counts
//      as much as it is expected to stay so, which makes the sums those of touches whose last word is known:
//        weight of O with y = 0: (1 - f) / (1 - f + d), of others 1;   f: what the model says, d: of that what comes late
// TG3: live and candidate are compared on the same rows with the same weights.
// What takes a runtime (golden rows, batches, shapes) is asked of the file itself: topology/models/onnx-model.ts.

import { logLoss } from '../ml/logistic.ts'
import type { WindowForm } from '../ml/onnx-export.ts'
import type { GateRefusal, ModelMetrics } from './model-records.ts'

export interface Gates {
  /** How much higher the normalised entropy may be than that of the live version on the same rows, as a share of it. */
  readonly entropyRise: number
  /** Between which Σ p / Σ y has to be, but for chance. */
  readonly calibration: readonly [least: number, most: number]
  /** Root of the sum of squares of a window's weights, at most. */
  readonly weightNormMax: number
  /** Touches and positives that metrics stand on, at least. */
  readonly rowsMin: number
  readonly positivesMin: number
}

/** Of a table of 2^18 weights the norm of 4 each: odds of 55 to 1 at every place, which no rate of conversion asks for. */
const WEIGHT_NORM_MAX = 4 * 2 ** 9

export const GATES: Gates = {
  entropyRise: 0.005,
  calibration: [0.9, 1.1],
  weightNormMax: WEIGHT_NORM_MAX,
  rowsMin: 1_000,
  // A model that says twice the rate is outside by more than chance from here on.
  positivesMin: 20,
}

/** Standard errors that chance is granted: Σ y of n positives is off by 1 / √n of itself. */
const CHANCE = 2

/** Sums since the version before. Plain data, kept as JSON. */
export interface Sums {
  /** O rows, and rows that say 1. */
  touches: number
  positives: number
  /** By weight (TG2): rows, what was said of them, and its loss. */
  weight: number
  said: number
  loss: number
  /** Of rows that a version had scored: loss of that version's words, and of the trainer's. */
  liveLoss: number
  ownLoss: number
}

export const noSums = (): Sums => ({
  ...{ touches: 0, positives: 0, weight: 0, said: 0, loss: 0, liveLoss: 0, ownLoss: 0 },
})

/** One row: `p` is what the trainer would have served, `live` what was served (null: by no version). */
export interface JudgedRow {
  readonly isTouch: boolean
  readonly y: 0 | 1
  readonly p: number
  readonly live: number | null
  /** TG2. Of the model itself: f, and the share of d in it. */
  readonly f: number
  readonly late: number
}

export function addTo(sums: Sums, { isTouch, y, p, live, f, late }: JudgedRow): void {
  const weight = y === 1 ? 1 : (1 - f) / (1 - f + f * late)
  const loss = weight * logLoss(p, y)
  if (isTouch) sums.touches++
  sums.positives += y
  sums.weight += weight
  sums.said += weight * p
  sums.loss += loss
  if (live === null) return
  sums.ownLoss += loss
  sums.liveLoss += weight * logLoss(live, y)
}

/** Metrics of sums; null where rows of only one kind leave them without meaning. */
export function metricsOf(sums: Sums, weightNorm: number): ModelMetrics {
  const { touches, positives, weight, said, loss } = sums
  const rate = positives / weight
  const isBoth = positives > 0 && rate < 1
  return {
    normalisedEntropy: isBoth ? loss / weight / logLoss(rate, rate) : null,
    calibration: positives > 0 ? said / positives : null,
    ...{ weightNorm, touches, positives },
  }
}

/** Greatest norm of the weights of a window. */
export function weightNormOf(forms: readonly WindowForm[]): number {
  const norms = forms.map(({ form }) => Math.sqrt(form.weights.reduce((sum, weight) => sum + weight * weight, 0)))
  // Math.max would do, but for a list in which NaN comes first or last alike.
  return norms.some(Number.isNaN) ? Number.NaN : Math.max(...norms)
}

export interface Refusal {
  readonly reason: GateRefusal
  readonly detail: string
}

/** Whether there is too little to judge a candidate by, whatever it is; null: there is enough. */
export function tooFew({ rowsMin, positivesMin }: Gates, { touches, positives }: Sums): Refusal | null {
  if (touches >= rowsMin && positives >= positivesMin) return null
  const detail = `${touches} touches and ${positives} positives of ${rowsMin} and ${positivesMin}, since it has learned enough to be judged`
  return { reason: 'too few rows', detail }
}

/** Why a candidate is refused, of which there are rows enough; null: it passes. */
export function refusedBy(gates: Gates, sums: Sums, forms: readonly WindowForm[]): Refusal | null {
  const weightNorm = weightNormOf(forms)
  const { positives, said } = sums
  if (!forms.every(isSound)) return { reason: 'not a number', detail: 'a weight, bias or calibration is not finite' }
  if (weightNorm > gates.weightNormMax)
    return { reason: 'weight norm', detail: `${weightNorm} above ${gates.weightNormMax}` }
  const [least, most] = gates.calibration
  const [calibration, chance] = [said / positives, CHANCE / Math.sqrt(positives)]
  // Turned around, so that NaN does not pass.
  if (!(calibration * (1 + chance) >= least && calibration * (1 - chance) <= most))
    return {
      ...{
        reason: 'calibration',
        detail: `${calibration} with ${positives} positives, not within ${least} to ${most}`,
      },
    }
  if (sums.ownLoss > sums.liveLoss * (1 + gates.entropyRise))
    return { reason: 'normalised entropy', detail: `${sums.ownLoss / sums.liveLoss} of that of the live version` }
  return null
}

const isSound = ({ form, calibration, counts }: WindowForm): boolean =>
  [form.bias, calibration.a, calibration.b, counts.all].every(Number.isFinite) &&
  form.weights.every(Number.isFinite) &&
  counts.means.every(Number.isFinite)

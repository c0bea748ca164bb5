// Progressive validation (Blum, Kalai and Langford 1999): every touch is scored by a model that has seen only what was known at that
// time, the score is kept, and only then anything of the touch is learned. So all rows are test rows, and none is a training row before.
// PV1: at one time touches come before label rows: what a row says was not known to a touch of the same millisecond.
// PV2: the order of steps is (time, touches first, number of the touch, O, D, M, bin), whatever the order in which they were collected.
// PV3: calibrated is what a model says once it has learned SETTLED_ROWS: its first rows say what it began with, not how it errs.

import { Calibration, type CalibrationSettings } from './calibration.ts'
import { EXPECTED_COUNT, ExpectedCount } from './expected-count.ts'
import { Learner, type Policy, type Told } from './feedback.ts'
import type { HazardBins } from './hazard.ts'
import type { ModelSettings, Parts } from './models.ts'
import type { Rows } from './rows.ts'

/** Something that happens at a time: a touch comes, or a label row of one becomes known. */
export interface Step {
  readonly timeMs: number
  readonly told: Told
  /** Number of the touch: its row. */
  readonly touch: number
  /** Of a touch: 0. */
  readonly y: 0 | 1
}

/** The same for bins of windows (ml/hazard.ts): a touch comes, or one of its windows is over. */
export interface BinStep {
  readonly timeMs: number
  readonly told: 'touch' | 'M'
  readonly touch: number
  readonly bin: number
  /** Whether it had converted at the end of the window before, and has now. Of a touch: 0. */
  readonly before: 0 | 1
  readonly y: 0 | 1
}

/** With some hundred positives at rates of one in a hundred: what a model says then is no longer what it began with. */
export const SETTLED_ROWS = 10_000

const RANK: Readonly<Record<Told, number>> = { touch: 0, O: 1, D: 2, M: 3 }

/** PV2. Sorts in place. */
export function inOrder<S extends Step | BinStep>(steps: S[]): S[] {
  const isLabel = ({ told }: S) => (told === 'touch' ? 0 : 1)
  const binOf = (step: S) => ('bin' in step ? step.bin : 0)
  return steps.sort(
    (a, b) =>
      a.timeMs - b.timeMs ||
      isLabel(a) - isLabel(b) ||
      a.touch - b.touch ||
      RANK[a.told] - RANK[b.told] ||
      binOf(a) - binOf(b) ||
      a.y - b.y,
  )
}

/** What answers for one window: a learner, what its probabilities pass through, and how many conversions follow from them. */
export class Predictor {
  readonly learner: Learner
  readonly calibration: Calibration
  readonly counts: ExpectedCount

  constructor(model: ModelSettings, policy: Policy, { horizonMs }: Pick<CalibrationSettings, 'horizonMs'>) {
    this.learner = new Learner(policy, model)
    this.calibration = new Calibration({ layer: 'platt', horizonMs })
    // A file finds the place of a count from that of a weight.
    const bits = Math.min(EXPECTED_COUNT.bits, 'bits' in model ? model.bits : EXPECTED_COUNT.bits)
    this.counts = new ExpectedCount({ ...EXPECTED_COUNT, bits })
  }

  /** All of its state. */
  get parts(): Parts {
    return { ...this.learner.parts, calibration: this.calibration, counts: this.counts }
  }
}

/** What there is of each touch. */
export interface Touches {
  readonly rows: Rows
  readonly timesMs: Float64Array
  /** How many conversions it had when it became mature; where y was 1 at least one. */
  readonly matureConversions: Float64Array
}

/** What was said of each touch when it came. */
export interface Said {
  /** By the model itself. */
  readonly scores: Float64Array
  /** Through the calibration as it was then. */
  readonly served: Float64Array
  /** Conversions expected by that. */
  readonly expected: Float64Array
}

/** Goes through steps in their order. */
export function validate(steps: readonly Step[], touches: Touches, predictor: Predictor): Said {
  const { rows, timesMs, matureConversions } = touches
  const { learner, calibration, counts } = predictor
  const said = { scores: new Float64Array(rows.count), served: new Float64Array(rows.count) }
  const expected = new Float64Array(rows.count)
  // PV3. Until its first conversion is known.
  const isSettled = new Uint8Array(rows.count)
  for (const { timeMs, told, touch, y } of steps) {
    calibration.advance(timeMs)
    if (told === 'touch') {
      const p = learner.score(rows, touch)
      said.scores[touch] = p
      said.served[touch] = calibration.apply(p)
      expected[touch] = counts.expect(rows, touch, said.served[touch]!)
      isSettled[touch] = learner.model.learned >= SETTLED_ROWS ? 1 : 0
      if (isSettled[touch] === 1) calibration.scored(timeMs, p)
    } else if (y === 1 && isSettled[touch] === 1) {
      isSettled[touch] = 0
      calibration.converted(timesMs[touch]!, said.scores[touch]!, timeMs - timesMs[touch]!)
    }
    learner.told(told, rows, touch, y)
    if (told === 'M' && y === 1) counts.learn(rows, touch, matureConversions[touch]!)
  }
  return { ...said, expected }
}

/** The same for bins; gives what was said of each touch for each window, from the shortest on. */
export function validateBins(steps: readonly BinStep[], rows: Rows, bins: HazardBins): Float64Array[] {
  const out = new Float64Array(bins.heads.length)
  const scores = bins.heads.map(() => new Float64Array(rows.count))
  for (const { told, touch, bin, before, y } of steps) {
    if (told === 'M') bins.mature(bin, rows, touch, { before, now: y })
    else {
      bins.score(rows, touch, out)
      out.forEach((p, i) => {
        scores[i]![touch] = p
      })
    }
  }
  return scores
}

// What each policy of delayed feedback makes of a world (test/models/drift-world.ts): trained as its rows become known, judged by what
// was said of the touches of the second half of the days, beside what they will have done when all windows are over.
// PO1: the oracle learns each touch's label with the touch itself: the best that this model can do; nobody has it.

import { type Figures, figuresOf } from '../../ml/evaluation.ts'
import { POLICIES, type Policy } from '../../ml/feedback.ts'
import { HazardBins } from '../../ml/hazard.ts'
import { createModel, type ModelSettings } from '../../ml/models.ts'
import { type BinStep, inOrder, Predictor, type Said, type Step, validate, validateBins } from '../../ml/progressive.ts'
import { DAY_MS, DAYS, HOUR_MS, WINDOW_MS, type World } from './drift-world.ts'

/** Until a touch's O row. */
const SHORT_WAIT_MS = HOUR_MS

/** From best to worst, as they are meant to come out. */
export const IN_ORDER = ['oracle', ...POLICIES] as const

export type PolicyName = (typeof IN_ORDER)[number]

/** The steps of a world up to its last day. */
export function stepsOf({ timesMs, converted, delaysMs }: World): Step[] {
  const steps: Step[] = []
  timesMs.forEach((timeMs, touch) => {
    const delayMs = delaysMs[touch]!
    const y = converted[touch] as 0 | 1
    steps.push({ timeMs, told: 'touch', touch, y: 0 })
    steps.push({ timeMs: timeMs + SHORT_WAIT_MS, told: 'O', touch, y: delayMs <= SHORT_WAIT_MS ? 1 : 0 })
    if (delayMs > SHORT_WAIT_MS) steps.push({ timeMs: timeMs + delayMs, told: 'D', touch, y: 1 })
    steps.push({ timeMs: timeMs + WINDOW_MS, told: 'M', touch, y })
  })
  return inOrder(steps.filter(({ timeMs }) => timeMs < DAYS * DAY_MS))
}

/** Ends of the bins: windows of a day and of a week, and the window itself. */
const BIN_ENDS_MS = [DAY_MS, 7 * DAY_MS, WINDOW_MS]

function binStepsOf({ timesMs, delaysMs }: World): BinStep[] {
  const steps = [...timesMs].flatMap((timeMs, touch): BinStep[] => {
    const byThen = (bin: number) => (bin >= 0 && delaysMs[touch]! <= BIN_ENDS_MS[bin]! ? 1 : 0)
    const mature = BIN_ENDS_MS.map((endMs, bin): BinStep => {
      return { timeMs: timeMs + endMs, told: 'M', touch, bin, before: byThen(bin - 1), y: byThen(bin) }
    })
    return [{ timeMs, told: 'touch', touch, bin: 0, before: 0, y: 0 }, ...mature]
  })
  return inOrder(steps.filter(({ timeMs }) => timeMs < DAYS * DAY_MS))
}

export interface WorldFigures {
  /** Of the true probabilities: what nobody can do better. */
  readonly truth: Figures
  readonly model: Readonly<Record<PolicyName, Figures>>
  /** Through the calibration. */
  readonly served: Readonly<Record<Policy, Figures>>
  /** Of bins of windows, each learned from what is mature of it (ml/hazard.ts): for the last one. */
  readonly bins: Figures
}

const byName = (entries: readonly (readonly [Policy, Figures])[]) =>
  Object.fromEntries(entries) as Record<Policy, Figures>

/** Figures of the true probabilities, and of each policy. */
export function policyFigures(world: World, settings: ModelSettings): WorldFigures {
  const steps = stepsOf(world)
  const said = (scores: Float64Array) => secondHalf(world, scores)
  const byPolicy = POLICIES.map((policy) => {
    const { scores, served } = saidBy(world, steps, settings, policy)
    return { policy, model: said(scores), served: said(served) }
  })
  const oracle = createModel(settings)
  const scores = Float64Array.from(world.converted, (y, row) => oracle.learn(world.rows, row, y as 0 | 1, 1))
  return {
    truth: said(world.truth),
    model: { oracle: said(scores), ...byName(byPolicy.map(({ policy, model }) => [policy, model])) },
    bins: said(validateBins(binStepsOf(world), world.rows, new HazardBins(settings, BIN_ENDS_MS.length)).at(-1)!),
    served: byName(byPolicy.map(({ policy, served }) => [policy, served])),
  }
}

/** What a policy says of each touch when it comes, without a stream around it. */
export function saidBy(world: World, steps: readonly Step[], settings: ModelSettings, policy: Policy): Said {
  const matureConversions = Float64Array.from(world.converted)
  const predictor = new Predictor(settings, policy, { horizonMs: WINDOW_MS })
  return validate(steps, { ...world, matureConversions }, predictor)
}

function secondHalf({ timesMs, converted }: World, scores: Float64Array): Figures {
  const from = timesMs.findIndex((timeMs) => timeMs >= (DAYS * DAY_MS) / 2)
  return figuresOf({ p: scores.subarray(from), y: converted.subarray(from) })
}

/** At least so much of the entropy that waiting loses to the oracle. */
const RECOVERED_MIN = 0.4
/** Of five worlds. */
const HELD_MIN = 0.8
const CALIBRATION = { min: 0.95, max: 1.05 }

export interface Verdict {
  readonly meanTruth: number
  readonly meanBins: number
  readonly mean: Readonly<Record<PolicyName, number>>
  /** In how many worlds each neighbouring pair is in order. */
  readonly order: readonly { readonly better: string; readonly worse: string; readonly worlds: number }[]
  readonly recovered: number
  /** Of elapsed-time sampling through the calibration, by world. */
  readonly served: readonly Figures[]
  /** What does not hold of what was asked. */
  readonly faults: readonly string[]
}

/** What issue 6 asks of the policies, held to their figures in several worlds. */
export function judge(worlds: readonly WorldFigures[]): Verdict {
  const mean = (of: (world: WorldFigures) => number) =>
    worlds.reduce((sum, world) => sum + of(world), 0) / worlds.length
  const means = Object.fromEntries(
    IN_ORDER.map((name) => [name, mean(({ model }) => model[name].normalisedEntropy)]),
  ) as Record<PolicyName, number>
  const order = IN_ORDER.slice(1).map((worse, i) => {
    const better = IN_ORDER[i]!
    const holds = worlds.filter(({ model }) => model[better].normalisedEntropy < model[worse].normalisedEntropy)
    return { better, worse, worlds: holds.length }
  })
  const meanBins = mean(({ bins }) => bins.normalisedEntropy)
  const recovered = (means.wait - means['elapsed-time']) / (means.wait - means.oracle)
  const served = worlds.map((world) => world.served['elapsed-time'])
  const isCalibrated = ({ calibration }: Figures) => calibration >= CALIBRATION.min && calibration <= CALIBRATION.max
  return {
    ...{ meanTruth: mean(({ truth }) => truth.normalisedEntropy), meanBins, mean: means, order, recovered, served },
    faults: [
      ...order.flatMap(({ better, worse, worlds: held }) => {
        const inMean = means[better] < means[worse]
        return inMean && held >= HELD_MIN * worlds.length ? [] : [`${better} is not before ${worse}: in ${held} worlds`]
      }),
      ...(meanBins < means.wait ? [] : [`bins are no better than waiting: ${meanBins}`]),
      ...(recovered >= RECOVERED_MIN ? [] : [`elapsed-time recovers ${recovered}`]),
      ...(served.every(isCalibrated) ? [] : ['elapsed-time is not calibrated in every world']),
    ],
  }
}

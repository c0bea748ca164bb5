// Who is credited with a conversion, and how much: the rules of windows and of models (contract.md, section 4), pure.
// AM1: candidates come and go in the order (time, type, id); credits are computed in that order, so that they are the same doubles
//      wherever they are computed.
// AM2: the credits of a conversion are at least 0 and sum to 1 within 1e-9, whatever the ages.
// Which conversions and touches meet at all, and when: operators/hold.ts.

import { assert } from '../log/errors.ts'
import { type AttributionModel, type AttributionWindow, lengthFor } from './attribution-settings.ts'
import type { Conversion, Touch } from './touch.ts'

/** What of a conversion decides about its credits. */
export type Credited = Pick<Conversion, 'timeMs' | 'clickId'>

export interface Credit {
  readonly touch: Touch
  readonly credit: number
}

/** Those of the touches, in their order, that a window allows: within its length, both ends included, and first by its precedence. */
export function candidatesIn(
  window: AttributionWindow,
  conversion: Credited,
  touches: readonly Touch[],
): readonly Touch[] {
  const matches = touches.filter(({ type, timeMs }) => {
    const lengthMs = lengthFor(window, type)
    const ageMs = conversion.timeMs - timeMs
    return lengthMs !== null && ageMs >= 0 && ageMs <= lengthMs
  })
  const first = window.precedence?.find((type) => matches.some((touch) => touch.type === type))
  return first === undefined ? matches : matches.filter(({ type }) => type === first)
}

/** The last candidate that the conversion names by its click_id, else the last. null: there is none. */
export function lastTouch({ clickId }: Credited, candidates: readonly Touch[]): Touch | null {
  const named = clickId === null ? undefined : candidates.findLast((touch) => touch.clickId === clickId)
  return named ?? candidates.at(-1) ?? null
}

/** The credits by a model; none without candidates. */
export function creditsOf(model: AttributionModel, conversion: Credited, candidates: readonly Touch[]): Credit[] {
  if (candidates.length === 0) return []
  switch (model.name) {
    case 'last_touch':
      return [{ touch: lastTouch(conversion, candidates)!, credit: 1 }]
    case 'first_touch':
      return [{ touch: candidates[0]!, credit: 1 }]
    default: {
      const shares = sharesOf(model, conversion, candidates)
      return candidates.map((touch, i) => ({ touch, credit: shares[i]! }))
    }
  }
}

function sharesOf(model: AttributionModel, conversion: Credited, candidates: readonly Touch[]): number[] {
  if (model.name === 'time_decay') return decayed(model.halfLifeMs, conversion, candidates)
  if (model.name === 'position') return byPosition(model, candidates.length)
  assert(model.name === 'linear', 'only models that share are here')
  return candidates.map(() => 1 / candidates.length)
}

/** Below this the smallest doubles have lost digits that the sum of 1 needs. */
const WEIGHTS_MIN = 1e-290

/**
 * 2^(-age / halfLife) of each candidate, their sum, and the time at which ages are 0 (contract.md, section 4): the conversion's or,
 * where all weights vanish, the youngest candidate's, as only differences of ages matter.
 */
export function decayWeights(
  halfLifeMs: number,
  { timeMs: now }: Credited,
  candidates: readonly Touch[],
): { readonly weights: readonly number[]; readonly sum: number; readonly zeroMs: number } {
  const weightsAt = (zeroMs: number) => {
    const weights = candidates.map(({ timeMs }) => 2 ** (-(zeroMs - timeMs) / halfLifeMs))
    return { weights, sum: weights.reduce((all, weight) => all + weight, 0), zeroMs }
  }
  const plain = weightsAt(now)
  return plain.sum >= WEIGHTS_MIN ? plain : weightsAt(candidates.at(-1)!.timeMs)
}

/** Normalised. */
function decayed(halfLifeMs: number, conversion: Credited, candidates: readonly Touch[]): number[] {
  const { weights, sum } = decayWeights(halfLifeMs, conversion, candidates)
  return weights.map((weight) => weight / sum)
}

/** The first and the last have shares of their own, those between have theirs together; where there are none, the two have all. */
function byPosition(
  { first, middle, last }: Extract<AttributionModel, { readonly name: 'position' }>,
  count: number,
): number[] {
  if (count === 1) return [1]
  if (count === 2) {
    const ends = first + last
    return ends === 0 ? [0.5, 0.5] : [first / ends, last / ends]
  }
  return [first, ...Array.from({ length: count - 2 }, () => middle / (count - 2)), last]
}

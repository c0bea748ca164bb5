// Oracle: of the touches that are held, which are candidates in a window, and what each is credited with (contract.md section 4).
// Imports nothing of the project.

import type { Model, TouchKind, Window } from './attribution-settings.ts'

/** What the rules look at. */
export interface Candidate {
  readonly kind: TouchKind
  readonly timeMs: number
  readonly clickId: string | null
}

/** Credit of one candidate; which one, by its place in the list. */
export interface Share {
  readonly place: number
  readonly credit: number
}

/** Those that a conversion at a time may be credited to in a window, in the order in which they came in. */
export function candidatesIn<T extends Candidate>(touches: readonly T[], window: Window, timeMs: number): T[] {
  const within = touches.filter(({ kind, timeMs: touchMs }) => {
    const lengthMs = window[kind]
    return lengthMs !== undefined && 0 <= timeMs - touchMs && timeMs - touchMs <= lengthMs
  })
  const first = window.precedence?.find((kind) => within.some((touch) => touch.kind === kind))
  return first === undefined ? within : within.filter(({ kind }) => kind === first)
}

/** The place of the candidate that last touch names: the last one whose click the conversion carries, else the last one; -1: there is none. */
export function lastTouch(candidates: readonly Candidate[], clickId: string | null): number {
  const ofClick = clickId === null ? -1 : candidates.findLastIndex((touch) => touch.clickId === clickId)
  return ofClick >= 0 ? ofClick : candidates.length - 1
}

/** Who has how much of the credit. Nobody where there is no candidate. */
export function sharesOf(
  model: Model,
  candidates: readonly Candidate[],
  conversion: { readonly timeMs: number; readonly clickId: string | null },
): Share[] {
  const count = candidates.length
  if (count === 0) return []
  switch (model.name) {
    case 'last_touch':
      return [{ place: lastTouch(candidates, conversion.clickId), credit: 1 }]
    case 'first_touch':
      return [{ place: 0, credit: 1 }]
    case 'linear':
      return candidates.map((_, place) => ({ place, credit: 1 / count }))
    case 'time_decay': {
      // Ages from the youngest candidate on: the shares are the same, and one weight is 1, however old all are.
      const youngestMs = Math.max(...candidates.map(({ timeMs }) => timeMs))
      const weights = candidates.map(({ timeMs }) => 2 ** (-(youngestMs - timeMs) / model.halfLifeMs))
      const sum = weights.reduce((a, b) => a + b, 0)
      return weights.map((weight, place) => ({ place, credit: weight / sum }))
    }
    case 'position': {
      if (count === 1) return [{ place: 0, credit: 1 }]
      if (count === 2) return [0, 1].map((place) => ({ place, credit: 0.5 }))
      const middle = model.middle / (count - 2)
      const creditOf = (place: number) => (place === 0 ? model.first : place === count - 1 ? model.last : middle)
      return candidates.map((_, place) => ({ place, credit: creditOf(place) }))
    }
  }
}

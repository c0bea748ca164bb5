// The windows that one model is of, and which of them contain which: whoever converts within a contained one does so in the other.
// WI1: what is served of a window is the greatest of what the models of those in it say, so that it is never below any of them,
//      whatever each has learned. Containment passes on, so no order of computing matters.
// Which windows contain which follows from how conversions are attributed: operators/model-windows.ts.

import { LEAST_P } from './logistic.ts'

/** Kinds of touches; what a window is to each differs. By their place in tensors. */
export const TOUCH_KINDS = ['click', 'impression'] as const
export type TouchKind = (typeof TOUCH_KINDS)[number]

/** By kind of touch: the windows within this one, itself among them, by their places in the list; null: it does not name the kind. */
export type Within = Readonly<Record<TouchKind, readonly number[] | null>>

export interface ModelWindow extends Within {
  readonly name: string
  /** After how long all of a touch is known: the window and what is waited beyond it, milliseconds. */
  readonly horizonMs: number
}

/** A window alone, whose model answers for both kinds. */
export const ALONE: Within = { click: [0], impression: [0] }

/** WI1. From the probabilities of each window's own model to those that are served; LEAST_P where no touch of the kind has credit. */
export function servedOf(windows: readonly Within[], kind: TouchKind, own: Float64Array, out: Float64Array): void {
  for (let window = 0; window < windows.length; window++) {
    const within = windows[window]![kind]
    let p = LEAST_P
    if (within !== null) for (const place of within) if (own[place]! > p) p = own[place]!
    out[window] = p
  }
}

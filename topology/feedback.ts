// The delayed feedback of `clock: data`: a stage sends versions of a model back to one before it (docs/model-loop.md). It is the only
// way back that a plan has, there is one at most, and nothing goes by it but `model` control records.
// FB1: time in the stage that gets it follows the lowest of all its writers, the feedback included: a record is processed when every
//      version has been read that may hold for it.
// FB2: what that stage promises the next ones counts its other writers and what it holds itself, and not the feedback: what it will
//      still emit stands behind that, whatever model scores it. So the loop always advances (docs/model-loop.md shows why).
// FB3: who feeds back promises a function of its watermark (promisedBack): no version that holds by then is still to come.
// FB4: when its other writers have drained, and time has come to their last watermark, the stage processes what it holds with the
//      version that scored at that watermark, and passes the drain on. It is drained when the feedback has drained.
// FB5: a frame without records that takes a promise into another period goes at once: who sends versions back waits for it. Back, one
//      that promises more goes at once, and one with the heartbeat where its sender's watermark has moved since the last: input is
//      trimmed below the last frame of each writer. That its sender has read on is not news there: it would go round for ever.
// Who reads which writer is topology/intake.ts's, when things happen topology/task.ts's.

import type { ActiveModel } from '../operators/model-records.ts'
import { encodeModel } from './control.ts'
import type { ExchangeCodec } from './plan.ts'

/** Plain data: part of the fingerprint. */
export interface FeedbackDelay {
  /** Versions are made at multiples of it, of order time, milliseconds; from 1. */
  readonly periodMs: number
  /** From when a version is made until it holds, milliseconds; from 1, or what is processed would have to wait for what it causes. */
  readonly delayMs: number
}

/** When a version holds that is made at a multiple of the period. */
export function heldFrom(madeAt: number, { periodMs, delayMs }: FeedbackDelay): number {
  return Math.ceil(madeAt / periodMs) * periodMs + delayMs
}

/** FB3. The next version is made after the watermark, at the next multiple of the period or later: what is promised ends before it holds. */
export function promisedBack(watermark: number, delay: FeedbackDelay): number {
  return heldFrom(watermark + 1, delay) - 1
}

/** FB5. Whether a promise is in a later period than another. */
export function isPeriodLater(promise: number, before: number, periodMs: number): boolean {
  return Math.floor(promise / periodMs) > Math.floor(before / periodMs)
}

/** What is sent back, to every partition. Read as a control record, and never decoded as anything else. */
export const MODEL_EXCHANGE: ExchangeCodec<ActiveModel, never> = {
  name: 'model',
  version: 1,
  where: () => true,
  key: () => '',
  encode: encodeModel,
  decode: () => {
    throw new TypeError('a model comes as a control record')
  },
}

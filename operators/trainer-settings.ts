// What decides about a trainer's results (operators/trainer.ts), and how it is left to itself.

import { assert } from '../log/errors.ts'
import type { Policy } from '../ml/feedback.ts'
import { FTRL, type FtrlSettings } from '../ml/ftrl.ts'
import { SETTLED_ROWS } from '../ml/progressive.ts'
import type { ModelWindows } from './model-windows.ts'
import { GATES, type Gates } from './trainer-gates.ts'

export interface TrainerSettings {
  /** `online`: each row is learned when it comes. `recurring`: those of a period at its end, in an order of their own. */
  readonly mode: 'online' | 'recurring'
  readonly model: FtrlSettings
  /** M rows have no input: nobody can wait for them. */
  readonly policy: Exclude<Policy, 'wait'>
  readonly windows: ModelWindows
  /** Where goals are declared: whose conversions. */
  readonly goal?: string
  /** Schema of the vectors among the features; null: there are none. */
  readonly vector: string | null
  /** A candidate is made at each multiple of it, of event time. */
  readonly periodMs: number
  /** How long after that it holds at the earliest. */
  readonly activationDelayMs: number
  /** What a window's model says is counted, by gates and calibration, once it has learned so many rows. */
  readonly settledRows: number
  readonly gates: Gates
  /** Rows after which a checkpoint is made and, by `recurring`, what was gathered is learned. */
  readonly keptRowsMax: number
  /** Of the order of `recurring`. */
  readonly seed: number
  /** Files that `holdfast train --out` wrote, by window. */
  readonly start: readonly { readonly window: string; readonly sha256: string; readonly bytes: Uint8Array }[]
}

const MINUTE_MS = 60_000

export const TRAINER: Omit<TrainerSettings, 'windows'> = {
  ...{ mode: 'online', model: FTRL, policy: 'elapsed-time', vector: null, settledRows: SETTLED_ROWS, gates: GATES },
  ...{ periodMs: 24 * 60 * MINUTE_MS, activationDelayMs: 10 * MINUTE_MS, seed: 1, start: [] },
  // Some 50 MB in memory, and a second or two to learn again after a restart.
  keptRowsMax: 2 ** 17,
}

/** Relations between settings. Throws where one does not hold. */
export function checkTrainerSettings({ windows, periodMs, activationDelayMs, keptRowsMax }: TrainerSettings): void {
  assert(windows.windows.length > 0, 'a model is of a window that is longer than the short wait')
  assert(activationDelayMs >= 0 && activationDelayMs < periodMs, 'a version holds before the next candidate is made')
  assert(Number.isSafeInteger(keptRowsMax) && keptRowsMax > 0, 'a checkpoint is made after some rows')
}

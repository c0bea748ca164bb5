// One model for all windows: a predictor for each (ml/progressive.ts), the fallback's rates beside them, one file.
// WM1: its state is `parts` and nothing else; saved, loaded and gone on with, it is the model that was never saved.
// WM2: what is served of a window is never below what is served of one within it (ml/windows.ts).

import { assert } from '../log/errors.ts'
import { FALLBACK, FallbackCounts } from './fallback.ts'
import type { Policy } from './feedback.ts'
import { Ftrl, type FtrlSettings } from './ftrl.ts'
import type { Parts } from './models.ts'
import type { WindowForm } from './onnx-export.ts'
import { Predictor } from './progressive.ts'
import type { Rows } from './rows.ts'
import { type ModelWindow, servedOf, type TouchKind } from './windows.ts'

/** What a predictor says, as a file has it. Throws where its model is no sum of weights. */
export function windowForm(
  { name, click, impression }: Omit<WindowForm, 'form' | 'calibration' | 'counts'>,
  { learner, calibration, counts }: Predictor,
): WindowForm {
  assert(learner.model instanceof Ftrl, 'files have sums of weights')
  return {
    ...{ name, click, impression, form: learner.model.linearForm() },
    ...{ calibration: { a: calibration.slope, b: calibration.offset }, counts: counts.means() },
  }
}

export class WindowModels {
  readonly windows: readonly ModelWindow[]
  /** By window. */
  readonly predictors: readonly Predictor[]
  readonly fallback: FallbackCounts
  /** Of the row that was scored last, by window: what its model says, and that after calibration. */
  readonly own: Float64Array
  readonly #calibrated: Float64Array

  constructor(windows: readonly ModelWindow[], model: FtrlSettings, policy: Policy) {
    this.windows = windows
    this.predictors = windows.map((window) => new Predictor(model, policy, window))
    this.fallback = new FallbackCounts({ ...FALLBACK, windows: windows.length })
    this.own = new Float64Array(windows.length)
    this.#calibrated = new Float64Array(windows.length)
  }

  get parts(): Parts {
    const ofWindows = this.predictors.flatMap(({ parts }, i) =>
      Object.entries(parts).map(([name, part]) => [`${this.windows[i]!.name} ${name}`, part] as const),
    )
    return { ...Object.fromEntries(ofWindows), fallback: this.fallback }
  }

  /** WM2. What is served of a row, by window, into `out`; what the models themselves say is in `own` then. */
  serve(rows: Rows, row: number, kind: TouchKind, out: Float64Array): void {
    for (let window = 0; window < this.predictors.length; window++) {
      const { learner, calibration } = this.predictors[window]!
      // A window that does not name the kind is neither asked nor within another.
      if (this.windows[window]![kind] === null) continue
      this.own[window] = learner.score(rows, row)
      this.#calibrated[window] = calibration.apply(this.own[window]!)
    }
    servedOf(this.windows, kind, this.#calibrated, out)
  }

  forms(): WindowForm[] {
    return this.windows.map((window, i) => windowForm(window, this.predictors[i]!))
  }
}

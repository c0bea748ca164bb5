// A sound file at work for a plan: it answers by the plan's windows, whatever their places in the file.
// TM1: 0 is said of a window that the file does not have, or that does not name the touch's kind.
// TM2: what is no probability is not told: the file's own table of rates answers instead (ml/fallback.ts).

import { Fallback } from '../../ml/fallback.ts'
import type { Manifest } from '../../ml/onnx-export.ts'
import { Rows } from '../../ml/rows.ts'
import { inSingle } from '../../operators/scored.ts'
import type { Asked } from '../../operators/scorer.ts'
import type { OnnxModel } from './onnx-model.ts'

/** Names of a file's windows as a plan has them: behind that of its goal where it is of one. */
export const namesOf = ({ goal, windows }: Manifest): readonly string[] =>
  windows.map(({ name }) => (goal === undefined ? name : `${goal}/${name}`))

export class ToldModel {
  readonly manifest: Manifest
  readonly #model: OnnxModel
  readonly #fallback: Fallback
  /** By window that is told: its place in the file; -1: none. */
  readonly #places: readonly number[]

  /** @param windows by which it answers */
  constructor(model: OnnxModel, windows: readonly string[]) {
    const own = namesOf(model.manifest)
    this.manifest = model.manifest
    this.#model = model
    this.#fallback = new Fallback(model.manifest.windows, model.manifest.fallback)
    this.#places = windows.map((name) => own.indexOf(name))
  }

  /** Probabilities by window, in the digits of single precision, of each that is asked; null: the graph said something else (TM2). */
  async score(asked: readonly Asked[]): Promise<readonly (readonly number[] | null)[]> {
    const rows = new Rows()
    for (const { keys } of asked) rows.push(keys)
    const kinds = asked.map(({ touch }) => touch.type)
    const { p } = await this.#model.score(rows, kinds)
    const { windows } = this.manifest
    return asked.map((one, row) => {
      const told = this.#told(one, p.subarray(row * windows.length, (row + 1) * windows.length))
      return told.every((each, i) => each < 1 && (each > 0 || !this.#speaks(one, i))) ? told : null
    })
  }

  /** The same of the table of rates. */
  rates(asked: Asked): readonly number[] {
    return this.#told(asked, this.#fallback.answer(asked.keys, asked.touch.type))
  }

  /** TM1. */
  #told(asked: Asked, p: ArrayLike<number>): readonly number[] {
    return this.#places.map((place, i) => (this.#speaks(asked, i) ? inSingle(p[place]!) : 0))
  }

  #speaks({ touch }: Asked, i: number): boolean {
    return this.manifest.windows[this.#places[i]!]?.[touch.type] != null
  }
}

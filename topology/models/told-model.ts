// A sound file at work for a plan: it answers by the plan's windows, whatever their places in the file.
// TM1: 0 is said of a window that the file does not have, or that does not name the touch's kind.
// TM2: what is no probability, or no number of conversions, is not told: the file's own table of rates answers instead (ml/fallback.ts).
// TM3: of a window at least as many conversions are expected as of each within it, and at least p: who converts does so once or more. The
//      means of a file need not be so: those of a longer window are known later (ml/expected-count.ts). Rates know no counts: p.

import { Fallback } from '../../ml/fallback.ts'
import type { Manifest } from '../../ml/onnx-export.ts'
import { Rows } from '../../ml/rows.ts'
import { inSingle } from '../../operators/scored.ts'
import type { Answer, Asked } from '../../operators/scorer.ts'
import type { OnnxModel } from './onnx-model.ts'

/** Names of a file's windows as a plan has them: behind that of its goal where it is of one. */
export const namesOf = ({ goal, windows }: Manifest): readonly string[] =>
  windows.map(({ name }) => (goal === undefined ? name : `${goal}/${name}`))

/** By window that is told. */
export type Told = Pick<Answer, 'p' | 'expected'>

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

  /** Of each that is asked; null: the graph said something else (TM2). */
  async score(asked: readonly Asked[]): Promise<readonly (Told | null)[]> {
    const rows = new Rows()
    for (const { keys } of asked) rows.push(keys)
    const kinds = asked.map(({ touch }) => touch.type)
    const { p, count } = await this.#model.score(rows, kinds)
    const { length } = this.manifest.windows
    return asked.map((one, row) => {
      const own = (table: Float32Array) => table.subarray(row * length, (row + 1) * length)
      const told = this.#told(one, own(p), own(count))
      const isProbability = (each: number, i: number) => each < 1 && (each > 0 || !this.#speaks(one, i))
      return told.p.every(isProbability) && told.expected.every(Number.isFinite) ? told : null
    })
  }

  /** The same of the table of rates. */
  rates(asked: Asked): Told {
    const p = this.#fallback.answer(asked.keys, asked.touch.type)
    return this.#told(asked, p, p)
  }

  /** TM1, TM3. */
  #told(asked: Asked, own: ArrayLike<number>, counts: ArrayLike<number>): Told {
    const p = this.#places.map((place, i) => (this.#speaks(asked, i) ? inSingle(own[place]!) : 0))
    const expected = p.map((least, i) => {
      if (least === 0) return 0
      let count = 0
      for (const place of this.manifest.windows[this.#places[i]!]![asked.touch.type]!)
        count = Math.max(count, counts[place]!)
      return count <= least ? least : inSingle(count)
    })
    return { p, expected }
  }

  #speaks({ touch }: Asked, i: number): boolean {
    return this.manifest.windows[this.#places[i]!]?.[touch.type] != null
  }
}

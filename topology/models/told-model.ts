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
import type { TouchType } from '../../operators/touch.ts'
import type { OnnxModel } from './onnx-model.ts'

/** Names of a file's windows as a plan has them: behind that of its goal where it is of one. */
export const namesOf = ({ goal, windows }: Manifest): readonly string[] =>
  windows.map(({ name }) => (goal === undefined ? name : `${goal}/${name}`))

/** By window that is told. */
export type Told = Pick<Answer, 'p' | 'expected'>

/** Where a file says what is told of a window: the place of its p, and those of the windows within it; null: it does not. */
type Source = { readonly place: number; readonly within: readonly number[] } | null

export class ToldModel {
  readonly manifest: Manifest
  readonly #model: OnnxModel
  readonly #fallback: Fallback
  /** Of each kind, by window that is told. TM1. */
  readonly #sources: Readonly<Record<TouchType, readonly Source[]>>

  /** @param windows by which it answers */
  constructor(model: OnnxModel, windows: readonly string[]) {
    const { manifest } = model
    const own = namesOf(manifest)
    const sourceOf = (name: string, kind: TouchType): Source => {
      const place = own.indexOf(name)
      const within = manifest.windows[place]?.[kind] ?? null
      return within === null ? null : { place, within }
    }
    const sourcesOf = (kind: TouchType) => windows.map((name) => sourceOf(name, kind))
    this.manifest = manifest
    this.#model = model
    this.#fallback = new Fallback(manifest.windows, manifest.fallback)
    this.#sources = { click: sourcesOf('click'), impression: sourcesOf('impression') }
  }

  /** Of each that is asked; null: the graph said something else (TM2). */
  async score(asked: readonly Asked[]): Promise<readonly (Told | null)[]> {
    const rows = new Rows()
    for (const { keys } of asked) rows.push(keys)
    const kinds = asked.map(({ touch }) => touch.type)
    const said = await this.#model.score(rows, kinds)
    const { length } = this.manifest.windows
    return kinds.map((kind, row) => {
      const sources = this.#sources[kind]
      const told = toldOf(sources, said.p, said.count, row * length)
      return isSound(told, sources) ? told : null
    })
  }

  /** The same of the table of rates. */
  rates({ keys, touch }: Asked): Told {
    const p = this.#fallback.answer(keys, touch.type)
    return toldOf(this.#sources[touch.type], p, p, 0)
  }
}

/** TM1, TM3. `first`: the place of the touch's first window. */
function toldOf(sources: readonly Source[], own: ArrayLike<number>, counts: ArrayLike<number>, first: number): Told {
  const p: number[] = []
  const expected: number[] = []
  for (const source of sources) {
    const least = source === null ? 0 : inSingle(own[first + source.place]!)
    let count = 0
    if (least !== 0) for (const place of source!.within) count = Math.max(count, counts[first + place]!)
    p.push(least)
    expected.push(count <= least ? least : inSingle(count))
  }
  return { p, expected }
}

/** TM2. */
function isSound({ p, expected }: Told, sources: readonly Source[]): boolean {
  for (const [i, source] of sources.entries()) {
    if (source === null) continue
    if (!(p[i]! > 0 && p[i]! < 1) || !Number.isFinite(expected[i])) return false
  }
  return true
}

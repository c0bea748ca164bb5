// What a file is told to say, by the windows of a plan: counts beside probabilities, and nothing that is no number.

import fc from 'fast-check'
import { expect, it } from 'vitest'
import { LEAST_P } from '../../ml/logistic.ts'
import { TOUCH_KINDS, type Within } from '../../ml/windows.ts'
import { inSingle } from '../../operators/scored.ts'
import type { Asked } from '../../operators/scorer.ts'
import type { OnnxModel } from './onnx-model.ts'
import { ToldModel } from './told-model.ts'

/** The first names no impressions, and is within the third; so is the second, within which is none but itself. */
const WINDOWS: readonly (Within & { readonly name: string })[] = [
  { name: 'short', click: [0], impression: null },
  { name: 'apart', click: [1], impression: [1] },
  { name: 'long', click: [0, 1, 2], impression: [1, 2] },
]
/** By which the plan tells; the file has no `other`. */
const TOLD = ['long', 'other', 'short', 'apart']
const PLACES = TOLD.map((name) => WINDOWS.findIndex((window) => window.name === name))

type Said = Readonly<Record<'p' | 'count', readonly number[]>>

/** A file that says this of any batch of one. */
function fileOf({ p, count }: Said): ToldModel {
  const fallback = { pseudoTouches: 20, base: [10, 1, 10, 2, 10, 3], keys: [] }
  const score = async () => ({ p: Float32Array.from(p), count: Float32Array.from(count) })
  return new ToldModel({ manifest: { windows: WINDOWS, fallback }, score } as unknown as OnnxModel, TOLD)
}

const touchOf = (type: (typeof TOUCH_KINDS)[number]): Asked =>
  ({ touch: { type }, keys: [1], at: 5 }) as unknown as Asked

const p = fc.double({ min: LEAST_P, max: 0.99, noNaN: true })
const mean = fc.double({ min: 0, max: 8, noNaN: true })

it('TM3: whatever the means of a file, no window expects less than one within it, or than its p; 0 where nothing is said', async () => {
  const row = fc.tuple(fc.array(p, { minLength: 3, maxLength: 3 }), fc.array(mean, { minLength: 3, maxLength: 3 }))
  await fc.assert(
    fc.asyncProperty(row, fc.constantFrom(...TOUCH_KINDS), async ([own, means], kind) => {
      const count = own.map((each, i) => each * means[i]!)
      const [told] = await fileOf({ p: own, count }).score([touchOf(kind)])
      for (const [i, place] of PLACES.entries()) {
        const within = WINDOWS[place]?.[kind] ?? null
        if (within === null) expect([told!.p[i], told!.expected[i]]).toEqual([0, 0])
        else {
          expect(told!.p[i]).toBe(inSingle(own[place]!))
          expect(told!.expected[i]).toBe(Math.max(told!.p[i]!, ...within.map((inner) => inSingle(count[inner]!))))
        }
      }
    }),
    { numRuns: 300 },
  )
})

it('where goals are declared windows are those of the goal that the file is of', async () => {
  const manifest = {
    goal: 'buy',
    windows: WINDOWS,
    fallback: { pseudoTouches: 20, base: [10, 1, 10, 2, 10, 3], keys: [] },
  }
  const score = async () => ({ p: Float64Array.of(0.1, 0.2, 0.3), count: Float64Array.of(0.1, 0.2, 0.3) })
  const model = new ToldModel({ manifest, score } as unknown as OnnxModel, ['buy/long', 'long', 'rent/long'])
  expect((await model.score([touchOf('click')]))[0]!.p).toEqual([inSingle(0.3), 0, 0])
})

it('rates know no counts: one conversion of who converts', () => {
  for (const kind of TOUCH_KINDS) {
    const { p: rates, expected } = fileOf({ p: [], count: [] }).rates(touchOf(kind))
    expect(expected).toEqual(rates)
    expect(rates.filter((each) => each > 0)).toHaveLength(kind === 'click' ? 3 : 2)
  }
})

it.each([
  ['p is NaN', { p: [0.1, Number.NaN, 0.3], count: [0.1, 0.2, 0.3] }],
  ['p is 1', { p: [0.1, 0.2, 1], count: [0.1, 0.2, 1] }],
  ['p is 0', { p: [0, 0.2, 0.3], count: [0.1, 0.2, 0.3] }],
  ['a count is NaN', { p: [0.1, 0.2, 0.3], count: [0.1, Number.NaN, 0.3] }],
  ['a count is infinite', { p: [0.1, 0.2, 0.3], count: [1 / 0, 0.2, 0.3] }],
])('TM2: nothing is told where %s', async (_, said) => {
  expect(await fileOf(said).score([touchOf('click')])).toEqual([null])
  expect((await fileOf({ p: [0.1, 0.2, 0.3], count: [0.1, 0.2, 0.3] }).score([touchOf('click')]))[0]).not.toBeNull()
})

// The table says of each model what its figures are, beside the baseline in the same resamples, of known touches after the first ones.

import { expect, it } from 'vitest'
import { figuresOf } from '../../ml/evaluation.ts'
import { Rows } from '../../ml/rows.ts'
import {
  compare,
  compareByAdvertiser,
  comparisonText,
  predictorOf,
  slicesText,
  train,
  trainBins,
} from './comparison.ts'
import type { LabelledTouches } from './labelled-touches.ts'

const TOUCHES = 400
const rows = new Rows()
for (let i = 0; i < TOUCHES; i++) rows.push([i % 2])
const converted = Uint8Array.from({ length: TOUCHES }, (_, i) => (i % 2 === 0 && i % 5 === 0 ? 1 : 0))
const known = Uint8Array.from({ length: TOUCHES }, (_, i) => (i % 7 === 0 ? 0 : 1))
const touches: LabelledTouches = {
  ...{ rows, converted, known, bins: ['1d_click', '7d_click'], binSteps: [], tally: {} },
  timesMs: Float64Array.from({ length: TOUCHES }, (_, i) => 1_000 * i),
  vector: null,
  ...{ kinds: [], names: [] },
  advertisers: Array.from({ length: TOUCHES }, (_, i) => (i % 4 === 0 ? 'few' : 'many')),
  conversions: Float64Array.from(converted, (y) => 2 * y),
  matureConversions: Float64Array.from(converted, (y) => 2 * y),
  steps: Array.from({ length: TOUCHES }, (_, touch) => [
    { timeMs: 1_000 * touch, told: 'touch' as const, touch, y: 0 as const },
    { timeMs: 1_000 * touch, told: 'M' as const, touch, y: converted[touch] as 0 | 1 },
  ]).flat(),
}
const trained = (['base-rate', 'counter'] as const).map((name) =>
  train(name, predictorOf(name, 'wait', 86_400_000), touches),
)
const said = trained.flatMap((one) => one.said)

it('judges known touches after the share that is left out', () => {
  const { touches: judged, fromMs, positives, models } = compare(said, touches, 0.5)
  const taken = Array.from(known.keys()).filter((row) => row >= 200 && known[row] === 1)
  expect([judged, fromMs]).toEqual([taken.length, 1_000 * taken[0]!])
  expect(positives).toBe(taken.filter((row) => converted[row] === 1).length)
  const p = Float64Array.from(taken, (row) => said[2]!.scores[row]!)
  expect(models[2]).toMatchObject({
    name: 'counter',
    ...figuresOf({ p, y: Uint8Array.from(taken, (row) => converted[row]!) }),
  })
  expect(models[2]!.relative).toEqual({ value: 1, interval: { low: 1, high: 1 } })
  expect(models[0]!.relative!.value).toBeGreaterThan(1)
  expect(models.map(({ countCalibration }) => countCalibration === null)).toEqual([true, false, true, false])
  expect(models[3]!.countCalibration).toBeGreaterThan(0.7)
})

it('prints a line for each, and nothing relative without the baseline', () => {
  expect(comparisonText(compare(said, touches, 0.5))).toHaveLength(2 + said.length)
  const [alone] = compare(said.slice(0, 1), touches, 0.5).models
  expect(alone!.relative).toBeNull()
  expect(comparisonText(compare(said.slice(0, 1), touches, 0.5)).at(-1)).toMatch(/base-rate .* - /)
})

it('by advertiser it judges the same touches, each once', () => {
  const slices = compareByAdvertiser(said[3]!, touches, 0.5)
  const whole = compare(said, touches, 0.5)
  expect(slices.map(({ advertiser }) => advertiser)).toEqual(['many', 'few'])
  expect(slices[0]!.rows + slices[1]!.rows).toBe(whole.touches)
  expect(slices[0]!.positives + slices[1]!.positives).toBe(whole.positives)
  expect(slicesText('counter', slices)).toHaveLength(4)
  const many = Array.from({ length: 30 }, (_, i) => ({ ...slices[0]!, advertiser: `a${i}` }))
  expect(slicesText('counter', many).at(-1)).toBe('and 10 with fewer touches')
})

it('refuses to judge nothing, and a window that is too long; bins without an end of a window are none', () => {
  expect(() => compare(said, { ...touches, known: new Uint8Array(TOUCHES) }, 0.5)).toThrow(/--incomplete/)
  expect(() => predictorOf('ftrl', 'wait', 92 * 86_400_000)).toThrow(/90 days/)
  expect(trainBins('counter', touches)).toBeNull()
})

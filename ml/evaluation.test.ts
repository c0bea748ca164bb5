// Figures beside slow twins and values known by hand; intervals that hold what they promise.

import fc from 'fast-check'
import { expect, it } from 'vitest'
import { bootstrapInterval, figuresOf, figuresOfRows, type Judged } from './evaluation.ts'
import { hashNumber } from './hash.ts'

const judged = (list: readonly (readonly [p: number, y: 0 | 1])[]): Judged => ({
  p: Float64Array.from(list, ([p]) => p),
  y: Uint8Array.from(list, ([, y]) => y),
})
/** Few probabilities, so that they tie. */
const row = fc.tuple(fc.constantFrom(0.1, 0.2, 0.5, 0.9), fc.constantFrom(0 as const, 1 as const))

it('AUC counts pairs, a tie as half of one', () => {
  fc.assert(
    fc.property(fc.array(row, { minLength: 2, maxLength: 40 }), (list) => {
      const [positive, negative] = [list.filter(([, y]) => y === 1), list.filter(([, y]) => y === 0)]
      const wins = positive.flatMap(([p]) => negative.map(([q]) => (p > q ? 1 : p === q ? 0.5 : 0) as number))
      const { auc } = figuresOf(judged(list))
      if (wins.length === 0) expect(auc).toBeNaN()
      else expect(auc).toBeCloseTo(wins.reduce((a, b) => a + b, 0) / wins.length, 12)
    }),
  )
})

it('log loss, entropy and calibration are what their words say', () => {
  const figures = figuresOf(
    judged([
      [0.5, 1],
      [0.25, 0],
      [0.25, 0],
      [0.25, 1],
    ]),
  )
  const loss = (Math.log(2) - 2 * Math.log(0.75) - Math.log(0.25)) / 4
  expect(figures.logLoss).toBeCloseTo(loss, 12)
  expect(figures.normalisedEntropy).toBeCloseTo(loss / Math.log(2), 12)
  expect(figures.calibration).toBeCloseTo(1.25 / 2, 12)
  expect(figures).toMatchObject({ rows: 4, positives: 2 })
})

it('EV1: who always says the rate of the rows is at 1', () => {
  const list = Array.from({ length: 1_000 }, (_, i): [number, 0 | 1] => [0.03, i < 30 ? 1 : 0])
  expect(figuresOf(judged(list)).normalisedEntropy).toBeCloseTo(1, 12)
})

it('of a slice it judges its rows alone', () => {
  const list: [number, 0 | 1][] = [
    [0.5, 1],
    [0.25, 0],
    [0.9, 1],
    [0.1, 0],
  ]
  expect(figuresOfRows(judged(list), [1, 2])).toEqual(figuresOf(judged([list[1]!, list[2]!])))
})

/** Rows drawn at their own probabilities. */
const drawn = (rows: number, seed: number): Judged => {
  const u = (i: number, of: number) => (hashNumber(i, hashNumber(of, seed)) >>> 0) / 2 ** 32
  const p = Float64Array.from({ length: rows }, (_, i) => 0.05 + 0.4 * u(i, 1))
  return { p, y: Uint8Array.from(p, (at, i) => (u(i, 2) < at ? 1 : 0)) }
}

it('an interval of calibration holds the truth in nearly 95 of 100 worlds, is equal for equal seeds, and narrows with rows', () => {
  const calibration = [([figures]: readonly { calibration: number }[]) => figures!.calibration]
  const of = (rows: number, seed: number) => bootstrapInterval([drawn(rows, seed)], calibration, 1)[0]!
  const holds = Array.from({ length: 60 }, (_, world) => of(300, world)).filter(
    ({ low, high }) => low <= 1 && 1 <= high,
  )
  expect(holds.length).toBeGreaterThanOrEqual(52)
  expect(holds.length).toBeLessThan(60)
  expect(of(300, 1)).toEqual(of(300, 1))
  const width = ({ low, high }: { low: number; high: number }) => high - low
  expect(width(of(4_800, 2)) / width(of(300, 2))).toBeLessThan(0.4)
})

it('models of the same rows are compared in the same resamples', () => {
  const [one, other] = [drawn(200, 3), drawn(200, 3)]
  const [ratio] = bootstrapInterval([one, other], [([a, b]) => a!.logLoss / b!.logLoss], 5)
  expect(ratio).toEqual({ low: 1, high: 1 })
})

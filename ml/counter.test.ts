// The counter and the base rate beside what the formulas say by hand.

import { expect, it } from 'vitest'
import { rowsOf } from '../test/conformance/models.ts'
import { BaseRate } from './base-rate.ts'
import { Counter } from './counter.ts'
import { MODEL_DEFAULTS } from './models.ts'

const rows = rowsOf([
  { keys: [1, 2], values: [1, 1] },
  { keys: [3, 2], values: [1, 1] },
  { keys: [], values: [] },
])

it('the base rate begins with half a row of each kind, and counts by weight', () => {
  const model = new BaseRate(MODEL_DEFAULTS['base-rate'])
  expect(model.rate).toBe(0.5)
  model.learn(rows, 0, 1, 2)
  model.learn(rows, 0, 0, 3)
  expect(model.rate).toBe(2.5 / 6)
})

it('a key is drawn to the rate of all as by pseudo-rows at that rate; an unknown key and a row without one are at it', () => {
  const model = new Counter({ model: 'counter', place: 0, pseudoRows: 20, bits: 8 })
  for (let i = 0; i < 10; i++) model.learn(rows, 0, i < 4 ? 1 : 0, 1)
  const all = 4.5 / 11
  expect(model.predictOne(rows, 0)).toBeCloseTo((4 + 20 * all) / 30, 12)
  expect(model.predictOne(rows, 1)).toBeCloseTo(all, 12)
  expect(model.predictOne(rows, 2)).toBeCloseTo(all, 12)
})

it('the key is the feature at its place', () => {
  const model = new Counter({ model: 'counter', place: 1, pseudoRows: 1, bits: 8 })
  model.learn(rows, 0, 1, 1)
  expect(model.predictOne(rows, 1)).toBe(model.predictOne(rows, 0))
  expect(model.predictOne(rows, 2)).toBeLessThan(model.predictOne(rows, 0))
})

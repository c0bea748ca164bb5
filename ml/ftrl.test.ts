// FTRL-proximal beside a slow twin in the words of the paper, its gradients by difference quotients, and what regularisation promises.

import fc from 'fast-check'
import { expect, it } from 'vitest'
import { type LearntRow, learnAll, learntRow, rowsOf } from '../test/conformance/models.ts'
import { Ftrl, type FtrlSettings } from './ftrl.ts'
import { logLoss, sigmoid } from './logistic.ts'
import { BLOCK_CELLS } from './parameters.ts'
import { TABLE_BITS_MAX } from './table.ts'

const SETTINGS: FtrlSettings = { model: 'ftrl', alpha: 0.3, beta: 1, l1: 0.2, l2: 0.5, bits: 8 }

/** Algorithm 1 of the paper, coordinate by coordinate, with n itself; the bias is coordinate 'bias', without penalties. */
class Twin {
  readonly z = new Map<number | 'bias', number>()
  readonly n = new Map<number | 'bias', number>()

  weight(i: number | 'bias'): number {
    const { alpha, beta, l1, l2 } = i === 'bias' ? { ...SETTINGS, l1: 0, l2: 0 } : SETTINGS
    const z = this.z.get(i) ?? 0
    if (Math.abs(z) <= l1) return 0
    return -(z - Math.sign(z) * l1) / ((beta + Math.sqrt(this.n.get(i) ?? 0)) / alpha + l2)
  }

  learn({ keys, values, y, weight }: LearntRow): number {
    const x: [number | 'bias', number, number][] = [['bias', 1, this.weight('bias')]]
    keys.forEach((key, j) => {
      const place = ((key % 256) + 256) % 256
      x.push([place, values[j]!, this.weight(place)])
    })
    const p = sigmoid(x.reduce((sum, [, value, w]) => sum + value * w, 0))
    for (const [i, value, w] of x) {
      const g = weight * (p - y) * value
      const n = this.n.get(i) ?? 0
      const sigma = (Math.sqrt(n + g * g) - Math.sqrt(n)) / SETTINGS.alpha
      this.z.set(i, (this.z.get(i) ?? 0) + g - sigma * w)
      this.n.set(i, n + g * g)
    }
    return p
  }
}

it('is the algorithm of the paper', () => {
  fc.assert(
    fc.property(fc.array(learntRow, { maxLength: 80 }), (list) => {
      const twin = new Twin()
      const said = learnAll(new Ftrl(SETTINGS), list)
      list.forEach((row, i) => {
        const p = twin.learn(row)
        expect(Math.abs(said[i]! - p)).toBeLessThan(1e-9)
      })
    }),
  )
})

it('what it adds to z of a new coordinate is the gradient of the weighted loss, by difference quotients', () => {
  fc.assert(
    fc.property(
      fc.tuple(
        fc.double({ min: -4, max: 4, noNaN: true }),
        fc.constantFrom(0, 1),
        fc.double({ min: 0.1, max: 4, noNaN: true }),
      ),
      ([x, y, weight]) => {
        const model = new Ftrl({ ...SETTINGS, l1: 0 })
        model.learn(rowsOf([{ keys: [3], values: [x] }]), 0, y as 0 | 1, weight)
        const z = model.parameters.cells[BLOCK_CELLS + 2 * 3]!
        // No weight yet, so logit = w x at w = 0.
        const loss = (w: number) => weight * logLoss(sigmoid(w * x), y)
        const h = 1e-5
        expect(z).toBeCloseTo((loss(h) - loss(-h)) / (2 * h), 6)
      },
    ),
  )
})

it('a weight is where the linearised losses and penalties are least', () => {
  const model = new Ftrl(SETTINGS)
  const rows = rowsOf([{ keys: [5], values: [1] }])
  for (let i = 0; i < 50; i++) model.learn(rows, 0, i % 5 === 0 ? 1 : 0, 1)
  const [z, root] = [model.parameters.cells[BLOCK_CELLS + 10]!, model.parameters.cells[BLOCK_CELLS + 11]!]
  const { alpha, beta, l1, l2 } = SETTINGS
  const cost = (w: number) => z * w + l1 * Math.abs(w) + ((l2 + (beta + root) / alpha) / 2) * w * w
  const bias = Math.log(model.predictOne(rowsOf([{ keys: [], values: [] }]), 0))
  const p = model.predictOne(rows, 0)
  const without = Math.log(Math.exp(bias) / (1 - Math.exp(bias)))
  const w = Math.log(p / (1 - p)) - without
  expect(w).not.toBe(0)
  for (const by of [-1e-3, 1e-3]) expect(cost(w + by)).toBeGreaterThan(cost(w))
})

it('a coordinate that says nothing has no weight under l1; the bias has one under any', () => {
  const model = new Ftrl({ ...SETTINGS, l1: 1_000 })
  const rows = rowsOf([
    { keys: [5], values: [1] },
    { keys: [], values: [] },
  ])
  for (let i = 0; i < 400; i++) model.learn(rows, 0, i % 10 === 0 ? 1 : 0, 1)
  expect(model.predictOne(rows, 0)).toBe(model.predictOne(rows, 1))
  expect(model.predictOne(rows, 0)).toBeCloseTo(0.1, 1)
})

it('refuses a table of no sensible size', () => {
  for (const bits of [7, TABLE_BITS_MAX + 1, 10.5]) expect(() => new Ftrl({ ...SETTINGS, bits })).toThrow(/places/)
})

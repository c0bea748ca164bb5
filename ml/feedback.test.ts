// Policies on streams of rows whose truth is known: where they stand still, what each learns, and the order of progressive validation.

import { describe, expect, it } from 'vitest'
import { rowsOf } from '../test/conformance/models.ts'
import { elapsedTimeWeight, fakeNegativeWeight, Learner, POLICIES, type Policy, type Told } from './feedback.ts'
import { hashNumber } from './hash.ts'
import { logLoss, sigmoid } from './logistic.ts'
import { MODEL_DEFAULTS } from './models.ts'

const P = 0.2
const LATE = 0.4

it('FB1: with the weights the mean gradient is 0 where f = p, and pulls to it from both sides', () => {
  // Rows that come of one touch: probabilities of positives and negatives.
  const elapsed = (f: number) =>
    P * elapsedTimeWeight(1, f, LATE) * (f - 1) + (1 - P + P * LATE) * elapsedTimeWeight(0, f, LATE) * f
  const fake = (f: number) => P * fakeNegativeWeight(1, f) * (f - 1) + fakeNegativeWeight(0, f) * f
  for (const gradient of [elapsed, fake]) {
    expect(gradient(P)).toBeCloseTo(0, 12)
    expect(gradient(P / 2)).toBeLessThan(0)
    expect(gradient(P * 2)).toBeGreaterThan(0)
  }
})

it('the gradients of weighted losses by the logit are those of difference quotients, f in the weight held', () => {
  const h = 1e-6
  for (const y of [0, 1] as const)
    for (const logit of [-3, -0.5, 1]) {
      const f = sigmoid(logit)
      for (const weight of [elapsedTimeWeight(y, f, LATE), fakeNegativeWeight(y, f)]) {
        const loss = (at: number) => weight * logLoss(sigmoid(at), y)
        expect(weight * (f - y)).toBeCloseTo((loss(logit + h) - loss(logit - h)) / (2 * h), 5)
      }
    }
})

/** Touches of rate P, of whose conversions a share LATE comes after the wait; each is told all at once. */
function learner(policy: Policy, touches = 60_000): Learner {
  const learner = new Learner(policy, { ...MODEL_DEFAULTS.ftrl, alpha: 0.05, bits: 8 })
  const rows = rowsOf([{ keys: [1], values: [1] }])
  const u = (i: number, of: number) => (hashNumber(i, of) >>> 0) / 2 ** 32
  for (let i = 0; i < touches; i++) {
    const y = u(i, 1) < P ? 1 : 0
    const isLate = u(i, 2) < LATE
    learner.told('touch', rows, 0, 0)
    learner.told('O', rows, 0, y === 1 && !isLate ? 1 : 0)
    if (y === 1 && isLate) learner.told('D', rows, 0, 1)
    learner.told('M', rows, 0, y)
  }
  return learner
}

describe('of the same stream', () => {
  const rows = rowsOf([{ keys: [1], values: [1] }])
  it.each(['elapsed-time', 'fake-negative', 'wait'] as const)('%s learns the rate', (policy) => {
    expect(Math.abs(learner(policy).score(rows, 0) - P)).toBeLessThan(0.015)
  })

  it('duplicates learn p / (1 + p), and the second head what share is late', () => {
    expect(Math.abs(learner('duplicates').score(rows, 0) - P / (1 + P))).toBeLessThan(0.015)
    expect(Math.abs(learner('elapsed-time').late.predictOne(rows, 0) - LATE)).toBeLessThan(0.03)
  })

  it.each(POLICIES)('%s learns from its own rows alone', (policy) => {
    const rows = rowsOf([{ keys: [1], values: [1] }])
    const learns = (told: Told, y: 0 | 1) => {
      const one = new Learner(policy, MODEL_DEFAULTS.counter)
      one.told(told, rows, 0, y)
      return one.model.learned
    }
    const told = [learns('touch', 0), learns('O', 0), learns('O', 1), learns('D', 1), learns('M', 0), learns('M', 1)]
    const expected = { 'elapsed-time': [0, 1, 1, 1, 0, 0], wait: [0, 0, 0, 0, 1, 1] }
    expect(told).toEqual(expected[policy as 'wait'] ?? [1, 0, 1, 1, 0, 0])
  })
})

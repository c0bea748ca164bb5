// Figures from sums against those of the single rows, and bounds against the distributions that they stand for.

import { describe, expect, it } from 'vitest'
import { figuresOf, type Judged } from './evaluation.ts'
import { hashNumber } from './hash.ts'
import { logLoss, sigmoid } from './logistic.ts'
import {
  figuresOfSums,
  poissonInterval,
  SCORE_BINS,
  type ScoreSums,
  scoreBin,
  wilsonInterval,
} from './score-histogram.ts'

const u = (i: number, of: number): number => ((hashNumber(i, of) >>> 0) + 0.5) / 2 ** 32

function sumsOf({ p, y }: Judged): ScoreSums {
  const bins = Array.from({ length: SCORE_BINS }, (_, bin) => ({ bin, touches: 0, positives: 0, sum: 0 }))
  let loss = 0
  p.forEach((one, i) => {
    const bin = bins[scoreBin(one)]!
    bin.touches++
    bin.positives += y[i]!
    bin.sum += one
    loss += logLoss(one, y[i]!)
  })
  return { bins: bins.filter(({ touches }) => touches > 0), loss }
}

function rows(count: number, seed: number, spread: number): Judged {
  const p = Float64Array.from({ length: count }, (_, i) => sigmoid(-3 + spread * (u(i, seed) - 0.5)))
  return { p, y: Uint8Array.from(p, (one, i) => (u(i, seed + 100) < one ? 1 : 0)) }
}

describe('the figures of sums', () => {
  it.each([0.1, 1, 6, 25])('are those of the rows, and AUC as near as it says (logits spread by %d)', (spread) => {
    for (let seed = 1; seed <= 5; seed++) {
      const judged = rows(4_000, seed, spread)
      const [of, exact] = [figuresOfSums(sumsOf(judged)), figuresOf(judged)]
      expect([of.touches, of.positives]).toEqual([exact.rows, exact.positives])
      expect(of.logLoss).toBeCloseTo(exact.logLoss, 9)
      expect(of.normalisedEntropy).toBeCloseTo(exact.normalisedEntropy, 9)
      expect(of.calibration!.value).toBeCloseTo(exact.calibration, 9)
      const { value, error } = of.auc!
      expect(Math.abs(value - exact.auc)).toBeLessThanOrEqual(error)
      // Where probabilities differ at all, a quarter of a logit is fine enough.
      if (spread >= 6) expect(error).toBeLessThan(0.03)
    }
  })

  it('put who always says the rate at an entropy of 1, and at an AUC of a half', () => {
    const { y } = rows(50_000, 1, 2)
    const rate = y.reduce((sum, one) => sum + one, 0) / y.length
    const of = figuresOfSums(sumsOf({ p: new Float64Array(y.length).fill(rate), y }))
    expect(Math.abs(of.normalisedEntropy! - 1)).toBeLessThan(0.002)
    expect(of.auc!.value).toBe(0.5)
    expect(of.auc!.error).toBe(0.5)
  })

  it('are null where rows of one kind leave them without meaning', () => {
    expect(figuresOfSums({ bins: [], loss: 0 })).toEqual({
      ...{ touches: 0, positives: 0, logLoss: null, normalisedEntropy: null, calibration: null, auc: null },
    })
    const none = figuresOfSums({ bins: [{ bin: 3, touches: 2, positives: 0, sum: 0.1 }], loss: 0.1 })
    expect(none).toMatchObject({ logLoss: 0.05, normalisedEntropy: null, calibration: null, auc: null })
    const all = figuresOfSums({ bins: [{ bin: 3, touches: 2, positives: 2, sum: 1 }], loss: 0.1 })
    expect(all).toMatchObject({ normalisedEntropy: null, calibration: { value: 0.5 }, auc: null })
  })
})

it('bins are a quarter of a logit wide, the first and the last take what is beyond', () => {
  const at = (logit: number) => scoreBin(sigmoid(logit))
  expect([at(-30), at(-10.01), at(-9.99), at(-9.76), at(-9.74), at(0.01), at(5.99), at(30)]).toEqual([
    ...[0, 0, 0, 0, 1, 40, 63, 63],
  ])
})

describe('bounds', () => {
  const cdf = (mean: number, upTo: number): number => {
    let [term, sum] = [Math.exp(-mean), 0]
    for (let k = 0; k <= upTo; k++, term *= mean / k) sum += term
    return sum
  }
  /** Where a falling function of the mean crosses 0, by halving. */
  const crossing = (of: (mean: number) => number): number => {
    let [low, high] = [0, 500]
    for (let i = 0; i < 60; i++) {
      const middle = (low + high) / 2
      if (of(middle) > 0) low = middle
      else high = middle
    }
    return low
  }

  it.each([5, 10, 66, 200])('of a count of %d are within a hundredth of the exact ones', (count) => {
    const { low, high } = poissonInterval(count)
    expect(Math.abs(low / crossing((mean) => cdf(mean, count - 1) - 0.975) - 1)).toBeLessThan(0.01)
    expect(Math.abs(high / crossing((mean) => cdf(mean, count) - 0.025) - 1)).toBeLessThan(0.01)
  })

  it('of no count begin at 0, and of a rate are those of Wilson', () => {
    expect(poissonInterval(0).low).toBe(0)
    expect(poissonInterval(0).high).toBeCloseTo(3.69, 1)
    // Newcombe 1998, table I: 15 of 148, 1 of 29.
    expect(wilsonInterval(15, 148).low).toBeCloseTo(0.0624, 4)
    expect(wilsonInterval(15, 148).high).toBeCloseTo(0.1605, 4)
    expect(wilsonInterval(1, 29).low).toBeCloseTo(0.0061, 4)
    expect(wilsonInterval(1, 29).high).toBeCloseTo(0.1718, 4)
    expect(wilsonInterval(0, 20).low).toBe(0)
  })
})

import { describe, expect, test } from 'vitest'
import { binFromMs, CURVE_CONVERSIONS_MIN, delayBin, delayCurve, estimateOf, PRIOR_CONVERSIONS } from './delay-curve.ts'

const MINUTE = 60_000
const HOUR = 60 * MINUTE
const DAY = 24 * HOUR

describe('bins', () => {
  test('are minutes, then hours, then days, without gap', () => {
    expect([0, MINUTE, HOUR - 1, HOUR, 2 * HOUR, 47 * HOUR, 48 * HOUR, 3 * DAY, 28 * DAY].map(delayBin)).toEqual([
      0, 1, 59, 60, 61, 106, 107, 108, 133,
    ])
    for (let bin = 0; bin < 500; bin++) {
      expect(delayBin(binFromMs(bin))).toBe(bin)
      expect(delayBin(binFromMs(bin + 1) - 1)).toBe(bin)
    }
  })
})

describe('the curve', () => {
  test('is the share that has come, spread evenly within a bin', () => {
    const delays = new Map([
      [delayBin(0), 30],
      [delayBin(3 * DAY), 10],
    ])
    const { shareAt, own, all, weight } = delayCurve(delays, delays)
    expect([own, all, weight]).toEqual([40, 40, 40])
    expect([0, MINUTE / 2, MINUTE, DAY, 3 * DAY, 3.5 * DAY, 4 * DAY, 50 * DAY].map((age) => shareAt!(age))).toEqual([
      0, 0.375, 0.75, 0.75, 0.75, 0.875, 1, 1,
    ])
  })

  test('of few conversions is drawn to that of all advertisers, and has the say from PRIOR_CONVERSIONS on', () => {
    const [early, late] = [delayBin(0), delayBin(5 * DAY)]
    const all = new Map([
      [early, 1_000],
      [late, 1_000],
    ])
    const shareOfOwn = (count: number): number => delayCurve(new Map([[early, count]]), all).shareAt!(DAY)
    expect(shareOfOwn(0)).toBe(0.5)
    expect(shareOfOwn(PRIOR_CONVERSIONS)).toBe(0.75)
    expect(shareOfOwn(900)).toBeCloseTo(0.95, 10)
    expect(delayCurve(new Map([[early, 50]]), all).weight).toBe(150)
  })

  test('of too few conversions of all advertisers is none', () => {
    const of = (count: number) => delayCurve(new Map(), new Map([[3, count]])).shareAt
    expect(of(CURVE_CONVERSIONS_MIN - 1)).toBeNull()
    expect(of(CURVE_CONVERSIONS_MIN)).not.toBeNull()
  })
})

const one = (credited: number, share: number, weight: number) => estimateOf([{ credited, share }], weight)

describe('an estimate', () => {
  test('is observed by share, and never below what is there', () => {
    expect(one(50, 0.5, 1e9)!.count).toBe(100)
    expect(one(7, 1, 100)).toEqual({ count: 7, low: 7, high: 7 })
    expect(one(5, 0.9, 30)!.low).toBe(5)
  })

  test('is none where its range reaches further than half of it', () => {
    // 2 x 1.645 x (n (1 - p))^(1/2) / n, and a curve that is known exactly.
    expect([one(10, 0.07, 1e9), one(10, 0.08, 1e9)].map((estimate) => estimate === null)).toEqual([true, false])
    expect([one(2, 0.8, 1e9), one(3, 0.8, 1e9)].map((estimate) => estimate === null)).toEqual([true, false])
    // A curve of few conversions, however many there are of the day.
    expect([one(1e6, 0.1, 80), one(1e6, 0.1, 200)].map((estimate) => estimate === null)).toEqual([true, false])
    expect([one(0, 0.5, 1e9), one(3, 0, 1e9)]).toEqual([null, null])
  })

  test('of several parts is more certain than each, but for the curve, which they share', () => {
    const parts = [0.5, 0.8, 1].map((share) => ({ credited: 40, share }))
    expect(estimateOf(parts, 1e9)!.count).toBe(80 + 50 + 40)
    const reach = (weight: number, ...of: typeof parts): number => {
      const { count, high } = estimateOf(of, weight)!
      return high - count
    }
    const [a, b] = parts as [(typeof parts)[0], (typeof parts)[0]]
    expect(reach(1e15, a, b)).toBeCloseTo(Math.hypot(reach(1e15, a), reach(1e15, b)), 6)
    const alike = [a, a].map(({ share }) => ({ credited: 1e9, share }))
    expect(reach(100, ...alike) / reach(100, alike[0]!)).toBeCloseTo(2, 3)
  })

  test('has a range that holds the truth nine times of ten', () => {
    let seed = 1
    const random = (): number => {
      seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0
      return ((seed >>> 8) + 0.5) / 2 ** 24
    }
    const poisson = (mean: number): number => {
      let [count, product] = [0, random()]
      for (const end = Math.exp(-mean); product > end; product *= random()) count++
      return count
    }
    const [share, curveOf] = [0.4, 200]
    let [held, sum, truth] = [0, 0, 0]
    const trials = 4_000
    for (let i = 0; i < trials; i++) {
      let came = 0
      for (let j = 0; j < curveOf; j++) if (random() < share) came++
      const seen = poisson(100 * share)
      const final = seen + poisson(100 * (1 - share))
      const { count, low, high } = one(seen, came / curveOf, curveOf)!
      if (final >= low && final <= high) held++
      sum += count
      truth += final
    }
    expect(held / trials).toBeGreaterThan(0.87)
    expect(held / trials).toBeLessThan(0.93)
    // 1 / share of a curve of so many conversions is a little more than it should be, by 1 / (share x conversions) or less.
    expect(sum / truth).toBeGreaterThan(0.98)
    expect(sum / truth).toBeLessThan(1.02)
  })
})

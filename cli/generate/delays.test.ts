// The closed forms say what the samples do: every share within four standard errors, with a fixed seed.

import { expect, test } from 'vitest'
import { Catalogue, VIEW_DELAYS } from './catalogue.ts'
import { anyPurchase, delayWithin, expectedPurchases, sampleDelay, samplePurchases } from './delays.ts'
import { Random } from './random.ts'
import { WORLD_DEFAULTS } from './world.ts'

const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS
const SAMPLES = 40_000
const { advertisers } = new Catalogue(WORLD_DEFAULTS)
const { delays } = advertisers[0]!

function expectShare(count: number, of: number, probability: number): void {
  const error = Math.sqrt((probability * (1 - probability)) / of)
  expect(Math.abs(count / of - probability)).toBeLessThan(4 * error)
}

test.each([
  ['after a click', delays],
  ['after a view', VIEW_DELAYS],
])('delays %s follow their distribution function', (_, shape) => {
  const random = new Random(7)
  const samples = Array.from({ length: SAMPLES }, () => sampleDelay(shape, random))
  for (const ms of [60_000, HOUR_MS, 6 * HOUR_MS, DAY_MS, 7 * DAY_MS, 28 * DAY_MS]) {
    expectShare(samples.filter((delay) => delay <= ms).length, SAMPLES, delayWithin(shape, ms))
  }
  expect(samples.every((delay) => Number.isSafeInteger(delay) && delay > 0)).toBe(true)
  expect(delayWithin(shape, 0)).toBe(0)
})

test('a buyer buys at least once, and as often as expected, within a time', () => {
  const random = new Random(8)
  const within = delayWithin(delays, DAY_MS)
  let buyers = 0
  let purchases = 0
  for (let i = 0; i < SAMPLES; i++) {
    let own = 0
    for (let left = samplePurchases(random); left > 0; left--) if (sampleDelay(delays, random) <= DAY_MS) own++
    if (own > 0) buyers++
    purchases += own
  }
  expectShare(buyers, SAMPLES, anyPurchase(within))
  expect(purchases / SAMPLES / expectedPurchases(within)).toBeCloseTo(1, 1)
  expect(anyPurchase(1)).toBe(1)
  expect(anyPurchase(0)).toBe(0)
})

test('averaged over advertisers, delays are as published: a third in the hour, half in the day, a tenth after two weeks', () => {
  const mean = (ms: number) =>
    advertisers.reduce((sum, advertiser) => sum + delayWithin(advertiser.delays, ms), 0) / advertisers.length
  expect(mean(HOUR_MS)).toBeGreaterThan(0.3)
  expect(mean(HOUR_MS)).toBeLessThan(0.42)
  expect(mean(DAY_MS)).toBeGreaterThan(0.47)
  expect(mean(DAY_MS)).toBeLessThan(0.63)
  expect(1 - mean(14 * DAY_MS)).toBeGreaterThan(0.06)
  expect(1 - mean(14 * DAY_MS)).toBeLessThan(0.16)
})

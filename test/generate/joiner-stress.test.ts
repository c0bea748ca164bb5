// The stress file of the joiner has every scenario even where it is small, and is the same for the same seed.

import { expect, test } from 'vitest'
import { JOINER_STRESS_DEFAULTS, type JoinerStressOptions, joinerStress } from './joiner-stress.ts'
import { latePixels } from './late-pixels.ts'

function stress(options: Partial<JoinerStressOptions>): { file: Buffer; counts: ReadonlyMap<string, number> } {
  const { lines, counts } = joinerStress({ ...JOINER_STRESS_DEFAULTS, ...options })
  return { file: Buffer.concat([...lines]), counts }
}

/** The names of all scenarios, as patterns of how often each is there with its edges. */
const SCENARIOS: { readonly [pattern: string]: number } = {
  'edge of click (start|1d|7d|28d) -?[01]': 12,
  'edge of impression (start|1d) -?[01]': 6,
  'edge of the short wait -?[01]': 3,
  'credit at a label -?[01]': 3,
  'conversion at the end of its hold (-?[01]|86400000)': 4,
  '(click|impression|conversion) again after (0|1|3600000|604799999|604800000|604800001|691200000) ms': 21,
  'order again after (0|1|259200000|-7776000000|-7776000001) ms': 5,
  'click (1|60000|299999|300000|300001|3600000) ms after its conversion': 6,
  'touch late by (60000|3900000|3900001|172800000|2592000000) ms': 5,
  'touch (0|1|2|3600000|86400000|604800000|3024000000|3024000001) ms after an attribution': 8,
  'touch after an attribution, (click (1|7|28)d|impression 1d): (a millisecond before|start|within|end|a millisecond past)': 20,
  'click of another, conversion (without user|of somebody)': 2,
  'click id of several users, (own among them|all others)': 2,
  'unknown click, (no|a) user': 2,
  'refund, .+': 13,
  'refund before (its order|the attribution of its order)': 2,
  'path of (touches|a touch) and (conversions|a conversion)': 4,
  'value: (absent|zero|whole|tiny|largest|cents)': 6,
  '(lead|add_to_cart|checkout) after a touch': 3,
  'pixel late by an hour to six days': 1,
  'late conversion before O, after the short wait': 1,
  'touches and conversions of one millisecond': 1,
  'one event id of two users': 1,
  '(page view|touch|a program|anonymous|no event)': 5,
}

test('each scenario is in a small file', () => {
  const names = [...stress({ events: 20_000 }).counts.keys()]
  for (const [pattern, count] of Object.entries(SCENARIOS))
    expect([pattern, names.filter((name) => new RegExp(`^(${pattern})$`).test(name)).length]).toEqual([pattern, count])
  const known = new RegExp(`^(${Object.keys(SCENARIOS).join('|')})$`)
  expect(names.filter((name) => !known.test(name))).toEqual([])
})

test('the same seed gives the same bytes, another one others', () => {
  const [a, b, c] = [5, 5, 6].map((seed) => stress({ seed, events: 2_000 }).file)
  expect(a!.equals(b!)).toBe(true)
  expect(a!.equals(c!)).toBe(false)
})

test.each([1, 2, 3, 4, 5, 6, 7, 8])('seed %d: as many lines as asked for, or a few more', (seed) => {
  const lines = stress({ seed, events: 1_000 }).file.toString('latin1').split('\n').length - 1
  expect(lines).toBeGreaterThanOrEqual(1_000)
  expect(lines).toBeLessThan(1_020)
})

test('the late pixels are as many lines', () => {
  const lines = [...latePixels({ events: 3_000, bulk: 100, seed: 2 })].length
  expect(lines).toBeGreaterThanOrEqual(3_000)
  expect(lines).toBeLessThan(3_020)
})

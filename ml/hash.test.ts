// The hash is what it was: models that were written find their parameters. And it scatters.

import { expect, it } from 'vitest'
import { hashBytes, hashNumber, hashText } from './hash.ts'
import { FEATURE_VALUE_MAX, featureKey, ROW_FEATURES_MAX, Rows } from './rows.ts'
import { bucketOf, FEATURES_RELEASE, touchKeys } from './touch-features.ts'

it('golden values, which may never change', () => {
  expect([hashText('', 0), hashText('a', 0), hashText('advertiser', 1), hashText('\u{1f600}', -7)]).toEqual(GOLDEN.text)
  expect(hashBytes(Uint8Array.from([0, 255, 3]), 9)).toBe(GOLDEN.bytes)
  expect([hashNumber(0, 0), hashNumber(1, 0), hashNumber(2 ** 40, 3)]).toEqual(GOLDEN.numbers)
})

it('features of a touch, with the release that any change of them raises', () => {
  const touch = { advertiser: 'a', campaign: 'c', ad: 'd', type: 'click', timeMs: 3_600_000 * 25 }
  expect(FEATURES_RELEASE).toBe(1)
  expect(touchKeys(touch)).toEqual(GOLDEN.touch)
  const vector = {
    n: 3,
    t: 'x',
    list: ['p', 'q'],
    weighted: [['p', 3]] as const,
    yes: true,
    none: null,
    nan: Number.NaN,
    inf: Number.POSITIVE_INFINITY,
  }
  expect(touchKeys(touch, vector)).toHaveLength(GOLDEN.touch.length + 6)
  expect(touchKeys(touch, { list: Array.from({ length: 5_000 }, String) })).toHaveLength(ROW_FEATURES_MAX)
})

it('a feature has the hash of its name and value, whatever was hashed before it', () => {
  for (const [name, value] of [
    ['a', ''],
    ['ad', 'x\u{1f600}'],
    ['ad', 'y'],
  ] as const)
    expect(featureKey(name, value, -3)).toBe(hashText(`${name}\u001f${value}`, -3))
})

it('buckets: four to a power of two, 0 and signs apart, without a range', () => {
  const buckets = (values: number[]) => values.map(bucketOf)
  expect(new Set(buckets([0, 1, 1.25, 1.5, 1.75, 2, -1, 1e-9, 1e12])).size).toBe(9)
  expect(bucketOf(1)).toBe(bucketOf(1.24))
  expect(bucketOf(0)).toBe(bucketOf(-0))
  expect(bucketOf(100)).toBe(bucketOf(111))
})

it('scatters ids evenly, and differently by seed', () => {
  const places = new Int32Array(1_024)
  for (let i = 0; i < 102_400; i++) places[featureKey('ad', `ad${i}`, 5) & 1_023]!++
  const chi2 = places.reduce((sum, n) => sum + (n - 100) ** 2 / 100, 0)
  // 1,023 degrees of freedom: mean 1,023, deviation 45.
  expect(chi2).toBeLessThan(1_023 + 5 * 45)
  expect(hashText('x', 1)).not.toBe(hashText('x', 2))
})

it('rows: no more features than the limit, no value that is no number', () => {
  const rows = new Rows()
  expect(() => rows.push(new Int32Array(ROW_FEATURES_MAX + 1))).toThrow(/too many/)
  expect(() => rows.push([1], [Number.NaN])).toThrow(/limit/)
  expect(() => rows.push([1], [-2 * FEATURE_VALUE_MAX])).toThrow(/limit/)
  for (let i = 0; i < 3_000; i++) rows.push([i, i + 1])
  expect([rows.count, rows.keys[rows.starts[2_999]! + 1]]).toEqual([3_000, 3_000])
})

const GOLDEN = {
  text: [0, 721651713, 522361405, -1440528727],
  bytes: 392537964,
  numbers: [256347020, 746625832, 1737465372],
  touch: [-1047435997, 1480562484, -627593576, 680822739, 2011864329],
}

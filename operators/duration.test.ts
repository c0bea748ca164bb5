import { expect, test } from 'vitest'
import { durationMs } from './duration.ts'

test('a length of time is a whole number above 0 and one unit', () => {
  expect(['1s', '300s', '90m', '1h', '28d', '9999999d'].map(durationMs)).toEqual([
    ...[1_000, 300_000, 5_400_000, 3_600_000, 2_419_200_000, 9_999_999 * 86_400_000],
  ])
  for (const text of ['', '0d', '-1d', '1.5h', '1 d', '1D', 'd', '5', '10000000s', '1w', '1h30m'])
    expect(durationMs(text), text).toBe(null)
})

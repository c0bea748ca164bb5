// FV2: what a value says of a feature that has not seen all events yet.

import { expect, it } from 'vitest'
import type { KeyRecord } from './feature-record.ts'
import { completeFrom, type Reading, seenValue } from './feature-values.ts'

const HOUR_MS = 3_600_000
const window = { lengthMs: HOUR_MS, paneMs: 60_000 }
/** Of which the first part was kept before, for another feature, and has 10; the others have seen nothing. */
const RECORD = { tiles: { windowOf: (part: number) => (part === 0 ? 10 : undefined) } } as unknown as KeyRecord

const AVERAGE: Reading = { fn: 'average', sum: 0, count: 1, window, scale: 1 }
const VARIANCE: Reading = { fn: 'variance', sum: 0, count: 1, squares: 2, window, scale: 1 }
const count = (part: number): Reading => ({ fn: 'count', part, window })

it('before it is complete: never 0, and nothing of several parts', () => {
  const from = completeFrom(count(0), 5)
  for (const [T, seenAfterMs] of [
    [from - 1, 5],
    [from, null],
  ] as const) {
    expect(seenValue(AVERAGE, RECORD, T, seenAfterMs)).toBeUndefined()
    expect(seenValue(VARIANCE, RECORD, T, seenAfterMs)).toBeUndefined()
    expect(seenValue(count(0), RECORD, T, seenAfterMs)).toBe(10)
    expect(seenValue(count(1), RECORD, T, seenAfterMs)).toBeUndefined()
    expect(seenValue({ fn: 'least', part: 0, window, scale: 1 }, RECORD, T, seenAfterMs)).toBe(10)
  }
  expect(seenValue(count(1), RECORD, from, 5)).toBe(0)
  expect(seenValue({ ...AVERAGE, count: 0 }, RECORD, from, 5)).toBe(1)
})

// Numbers and times as people read them.

import { expect, it } from 'vitest'
import { countText, durationText, rateText, shortText, timeText } from './text.ts'

it.each([
  [0, '0.0 s'],
  [40, 'under 0.1 s'],
  [999, '0.9 s'],
  [12_900, '12 s'],
  [59_999, '59 s'],
  [603_000, '10 min 3 s'],
  [5 * 3_600_000 + 720_000, '5 h 12 min'],
  [47 * 3_600_000, '47 h 0 min'],
  [266 * 86_400_000, '266 days'],
])('%d ms are %s', (ms, text) => expect(durationText(ms)).toBe(text))

it.each([
  [0, '0'],
  [0.01, 'under 0.1'],
  [0.44, '0.4'],
  [9.99, '10'],
  [1234.4, '1,234'],
])('a rate of %d is %s', (rate, text) => expect(rateText(rate)).toBe(text))

it('counts have separators, or few digits where room is scarce', () => {
  expect([countText(1234567), shortText(1234567), shortText(950)]).toEqual(['1,234,567', '1.2M', '950'])
})

it('a time of another day names its day', () => {
  const noon = new Date(2026, 0, 2, 12, 0, 7).getTime()
  expect(timeText(noon, noon + 3_600_000)).toBe('12:00:07')
  expect(timeText(noon, noon + 24 * 3_600_000)).toBe('2026-01-02 12:00:07')
})

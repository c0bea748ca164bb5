// What a report makes of entries: the share of an open day by its hours, and when nothing is said.

import { describe, expect, it } from 'vitest'
import type { DelayCurve } from '../operators/delay-curve.ts'
import { daysBetween } from './calendar-days.ts'
import { purchaseReport, type ReportSource } from './purchase-report.ts'

const HOUR = 3_600_000
const DAY = 24 * HOUR
const T = Date.UTC(2026, 0, 1)
/** Everything comes six hours after the touch. */
const SIX_HOURS: DelayCurve = { own: 1_000, all: 1_000, weight: 1_000, shareAt: (age) => (age < 6 * HOUR ? 0 : 1) }

function sourceOf(parts: Partial<ReportSource>): ReportSource {
  const tile = { tile: 0, credited: 100, creditedMicro: 5_000_000, takenBack: 1, takenBackMicro: 50_000 }
  const entries = [{ id: 'shop', currency: 'EUR', dayMs: T, tiles: [tile] }]
  const known = { days: daysBetween('2026-01-01', '2026-01-01', 'UTC'), entries, hours: [], curve: SIX_HOURS }
  return { ...known, throughMs: T + DAY, windowMs: 7 * DAY, ...parts }
}
const shareOf = (parts: Partial<ReportSource>) => purchaseReport(sourceOf(parts)).days[0]!.share

describe('the share of an open day', () => {
  it('is that of its hours, which weigh what is known of them and one more', () => {
    expect(shareOf({})).toBe(18 / 24)
    const hours = Array.from({ length: 24 }, (_, hour) => (hour === 0 ? 24 : 0))
    expect(shareOf({ hours })).toBe((18 + 24) / (24 + 24))
    expect(shareOf({ hours: hours.toReversed() })).toBe(18 / (24 + 24))
  })

  it('is of the hours that have been', () => {
    expect(shareOf({ throughMs: T + 12 * HOUR })).toBe(6 / 12)
    expect(shareOf({ throughMs: T })).toBeNull()
  })

  it('is that of each hour there is where the day has 23', () => {
    const days = daysBetween('2026-03-29', '2026-03-29', 'Europe/Berlin')
    expect(shareOf({ days, throughMs: days[0]!.toMs })).toBe(17 / 23)
  })

  it('is not known without a curve, and needs none when it is mature', () => {
    const curve = { ...SIX_HOURS, shareAt: null }
    expect(shareOf({ curve })).toBeNull()
    expect(shareOf({ curve, throughMs: T + 8 * DAY })).toBe(1)
  })
})

describe('a line', () => {
  it('has an estimate net of what was taken back', () => {
    const [line] = purchaseReport(sourceOf({})).lines
    expect(line).toMatchObject({ credited: 100, takenBack: 1, value: 4.95, state: 'estimated' })
    expect(line!.estimate!.count).toBeCloseTo(100 / 0.75 - 1, 9)
    expect(line!.estimate!.value).toBeCloseTo(5 / 0.75 - 0.05, 9)
  })

  it('says so where nothing has come that could be told from', () => {
    const nothing = { ...SIX_HOURS, shareAt: () => 0 }
    expect(purchaseReport(sourceOf({ curve: nothing })).lines[0]).toMatchObject({ state: 'too_few', estimate: null })
  })
})

import { describe, expect, test } from 'vitest'
import { DAY_MS, dateAfter, datesFrom, daysBetween, isDate, isTimeZone, localDates } from './calendar-days.ts'

const HOUR = 3_600_000
const QUARTER = HOUR / 4

/** The local date and time of an instant, by another way to ask Intl than the one that is tested. */
function wallClock(ms: number, timeZone: string): { date: string; minutes: number } {
  const options = { timeZone, hourCycle: 'h23', dateStyle: 'short', timeStyle: 'short' } as const
  const [date, time] = new Intl.DateTimeFormat('sv-SE', options).format(ms).split(' ')
  const [hours, minutes] = time!.split(':').map(Number)
  return { date: date!, minutes: hours! * 60 + minutes! }
}

const ZONES = [
  ...['UTC', 'Europe/Berlin', 'America/New_York', 'Asia/Kathmandu', 'Australia/Lord_Howe', 'Asia/Kolkata'],
  ...['America/Sao_Paulo', 'Pacific/Apia', 'Pacific/Kiritimati', 'Pacific/Chatham', 'Etc/GMT+12', 'Africa/Cairo'],
]

describe('days of a time zone', () => {
  test.each<[string, string, number]>([
    ['Europe/Berlin', '2026-03-29', 23],
    ['Europe/Berlin', '2026-10-25', 25],
    ['Europe/Berlin', '2026-10-26', 24],
    ['America/New_York', '2026-03-08', 23],
    ['America/New_York', '2026-11-01', 25],
    ['Australia/Lord_Howe', '2026-04-05', 24.5],
    ['Australia/Lord_Howe', '2026-10-04', 23.5],
    ['Asia/Kathmandu', '2026-03-29', 24],
    // Clocks are put forward at midnight: the day begins at one.
    ['America/Sao_Paulo', '2018-11-04', 23],
    ['America/Sao_Paulo', '2018-02-17', 25],
    ['Africa/Cairo', '2026-04-24', 23],
  ])('in %s %s has %d hours', (zone, date, hours) => {
    const [day, ...others] = daysBetween(date, date, zone)
    expect(others).toEqual([])
    expect((day!.toMs - day!.fromMs) / HOUR).toBe(hours)
  })

  test('begin at local midnight, in every zone', () => {
    expect(daysBetween('2026-01-05', '2026-01-05', 'Asia/Kathmandu')[0]!.fromMs).toBe(Date.UTC(2026, 0, 4, 18, 15))
    expect(daysBetween('2026-07-05', '2026-07-05', 'Europe/Berlin')[0]!.fromMs).toBe(Date.UTC(2026, 6, 4, 22))
  })

  test.each(ZONES)(
    'of a year in %s follow each other, and every quarter of an hour lies in the day that Intl says',
    (zone) => {
      const days = daysBetween('2026-01-01', '2026-12-31', zone)
      expect(days).toHaveLength(365)
      days.forEach(({ date, fromMs, toMs }, i) => {
        if (i > 0) expect(fromMs).toBe(days[i - 1]!.toMs)
        expect([wallClock(fromMs, zone).date, wallClock(toMs - 1, zone).date]).toEqual([date, date])
        expect(wallClock(fromMs - 1, zone).date < date).toBe(true)
        if (toMs - fromMs === DAY_MS && i % 60 !== 0) return
        for (let at = fromMs; at < toMs; at += QUARTER) {
          const { date: own, minutes } = wallClock(at, zone)
          expect([own, minutes % 15]).toEqual([date, 0])
        }
      })
    },
    30_000,
  )

  test('do not include a date that a zone has left out', () => {
    const dates = daysBetween('2011-12-28', '2012-01-01', 'Pacific/Apia').map(({ date }) => date)
    expect(dates).toEqual(['2011-12-28', '2011-12-29', '2011-12-31', '2012-01-01'])
  })
})

test('dates are told from other texts, and counted', () => {
  expect(['2026-02-28', '2024-02-29', '2026-02-29', '2026-2-28', '1999-12-31', 'today', ''].map(isDate)).toEqual([
    ...[true, true, false, false, false, false, false],
  ])
  expect(dateAfter('2026-02-28', 1)).toBe('2026-03-01')
  expect(dateAfter('2026-03-01', -1)).toBe('2026-02-28')
  expect(datesFrom('2026-02-27', '2026-03-01')).toBe(3)
  expect(localDates('Asia/Tokyo')(Date.UTC(2026, 0, 1, 15))).toBe('2026-01-02')
})

test('time zones are names, not offsets', () => {
  expect(
    ['Europe/Berlin', 'UTC', 'Asia/Kathmandu', 'Europe/Nowhere', '+01:00', '', 'constructor'].map(isTimeZone),
  ).toEqual([...[true, true, true, false, false, false, false]])
})

// Days of a time zone as stretches of time: 24 hours, or more or less where clocks are put forward or back (23, 25; 23.5 and 24.5 on
// Lord Howe), from what the runtime knows of time zones (Intl).
// CD1: a day begins with the first quarter of an hour whose local date is that day's or a later one: since 2000 every offset is a
//      multiple of it, and days follow each other without gap. A date that a zone has left out is no day.

/** Milliseconds: the grid on which days begin. */
const QUARTER_MS = 15 * 60_000
const HOUR_MS = 3_600_000
export const DAY_MS = 24 * HOUR_MS
/** Local midnight is at most 14 hours before the midnight of UTC, and 12 after it; an hour more on both sides. */
const BEGIN_BEFORE_MS = 15 * HOUR_MS
const BEGIN_AFTER_MS = 13 * HOUR_MS

export interface CalendarDay {
  /** Like 2026-03-29. */
  readonly date: string
  /** Milliseconds, inclusive. */
  readonly fromMs: number
  /** Exclusive. */
  readonly toMs: number
}

/** Whether a text names a time zone of the IANA database; offsets such as +05:30 are none. */
export function isTimeZone(name: string): boolean {
  if (!/^[A-Za-z]/.test(name)) return false
  try {
    new Intl.DateTimeFormat('en', { timeZone: name })
    return true
  } catch {
    return false
  }
}

const DATE = /^(20\d\d)-(\d\d)-(\d\d)$/

/** Whether a text is a date of the years 2000 to 2099 as it is written here. */
export function isDate(text: string): boolean {
  return DATE.test(text) && Number.isFinite(Date.parse(text)) && new Date(text).toISOString().startsWith(text)
}

/** The date so many days later, or before. */
export function dateAfter(date: string, days: number): string {
  return new Date(Date.parse(date) + days * DAY_MS).toISOString().slice(0, 10)
}

/** How many dates there are from one to another, both included. */
export const datesFrom = (from: string, to: string): number => (Date.parse(to) - Date.parse(from)) / DAY_MS + 1

/** What date it is in a zone at a time. Throws RangeError where there is no such zone. */
export function localDates(timeZone: string): (ms: number) => string {
  const parts = { year: 'numeric', month: '2-digit', day: '2-digit' } as const
  const format = new Intl.DateTimeFormat('en-CA', { timeZone, calendar: 'iso8601', numberingSystem: 'latn', ...parts })
  return (ms) => format.format(ms)
}

/** The days of a zone from one date to another, both included. */
export function daysBetween(from: string, to: string, timeZone: string): CalendarDay[] {
  const dateAt = localDates(timeZone)
  const begin = (date: string): number => beginOf(date, dateAt)
  const days: CalendarDay[] = []
  let fromMs = begin(from)
  for (let date = from; date <= to; date = dateAfter(date, 1)) {
    const toMs = begin(dateAfter(date, 1))
    if (toMs > fromMs) days.push({ date, fromMs, toMs })
    fromMs = toMs
  }
  return days
}

/** CD1, by bisection. */
function beginOf(date: string, dateAt: (ms: number) => string): number {
  const midnight = Date.parse(date)
  let before = (midnight - BEGIN_BEFORE_MS) / QUARTER_MS
  let begun = (midnight + BEGIN_AFTER_MS) / QUARTER_MS
  while (begun - before > 1) {
    const middle = Math.floor((before + begun) / 2)
    if (dateAt(middle * QUARTER_MS) >= date) begun = middle
    else before = middle
  }
  return begun * QUARTER_MS
}

// Numbers and times as people read them.

const WHOLE = new Intl.NumberFormat('en-US', { maximumFractionDigits: 0 })
const SHORT = new Intl.NumberFormat('en-US', { notation: 'compact', maximumFractionDigits: 1 })
const TENTHS = new Intl.NumberFormat('en-US', { minimumFractionDigits: 1, maximumFractionDigits: 1 })
const MONEY = new Intl.NumberFormat('en-US', { minimumFractionDigits: 2, maximumFractionDigits: 2 })
const CLOCK = new Intl.DateTimeFormat('en-GB', { hour: '2-digit', minute: '2-digit', second: '2-digit' })
const DAY = new Intl.DateTimeFormat('en-CA', { year: 'numeric', month: '2-digit', day: '2-digit' })

const [SECOND_MS, MINUTE_MS, HOUR_MS, DAY_MS] = [1_000, 60_000, 3_600_000, 86_400_000]

/** `1,234,567` */
export const countText = (count: number): string => WHOLE.format(count)
/** `1.2K`: where there is little room. */
export const shortText = (count: number): string => SHORT.format(count)

/** `12.3`: a count that nobody knows for sure. */
export const estimateText = (count: number): string => TENTHS.format(count)
/** `1,234.50` */
export const moneyText = (value: number): string => MONEY.format(value)

/** `0`, `0.4`, `17`, `1,234`: a rate that is not zero never looks like it. */
export function rateText(perSecond: number): string {
  if (perSecond > 0 && perSecond < 10) return perSecond < 0.1 ? 'under 0.1' : String(Math.round(perSecond * 10) / 10)
  return countText(perSecond)
}

/** `under 0.1 s`, `0.4 s`, `12 s`, `10 min 3 s`, `5 h 12 min`, `266 days`. */
export function durationText(ms: number): string {
  const floor = (unit: number, below = Number.POSITIVE_INFINITY) => Math.floor((ms % below) / unit)
  if (ms > 0 && ms < 100) return 'under 0.1 s'
  if (ms < 10 * SECOND_MS) return `${(Math.floor(ms / 100) / 10).toFixed(1)} s`
  if (ms < MINUTE_MS) return `${floor(SECOND_MS)} s`
  if (ms < HOUR_MS) return `${floor(MINUTE_MS)} min ${floor(SECOND_MS, MINUTE_MS)} s`
  if (ms < 2 * DAY_MS) return `${floor(HOUR_MS)} h ${floor(MINUTE_MS, HOUR_MS)} min`
  return `${countText(floor(DAY_MS))} days`
}

/** The time of day; with the day before it where that is another one than today. */
export function timeText(ms: number, nowMs: number): string {
  const day = DAY.format(ms)
  return day === DAY.format(nowMs) ? CLOCK.format(ms) : `${day} ${CLOCK.format(ms)}`
}

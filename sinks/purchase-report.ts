// From what is kept of purchases to the lines of a report: by day of touches, per ad, campaign or advertiser and currency, with what
// is still to come where a day's window is open.
// PR1: a day is mature when every touch in it is older than its window. An open one has an estimate: what is credited, by the share
//      of its conversions that has come. That share is the delay curve at the age of each hour of the day, weighted by how many
//      conversions the touches of such hours have on mature days; hours to come have no part in it, so the estimate of a day that is
//      not over is of what there is of it.
// PR2: nothing is estimated where too little is known (operators/delay-curve.ts has the rule), and the line says so. Of a sum there may
//      be an estimate though there is none of its parts.
// PR3: money is never summed over currencies here; refunds that are still to come are not estimated.

import { type DelayCurve, estimateOf, type Observed } from '../operators/delay-curve.ts'
import { TILE_MS } from '../operators/purchase-tiles.ts'
import type { CalendarDay } from './calendar-days.ts'
import type { OwnPurchases, PurchaseEntry } from './purchase-reads.ts'

const HOUR_MS = 3_600_000
const HOURS_PER_DAY = 24
/** What each hour counts for beside what is known of it, so that one conversion does not make a day's profile. */
const HOUR_PRIOR = 1

export interface ReportDay extends CalendarDay {
  readonly mature: boolean
  /** Of its conversions, the share that has come; 1 where it is mature; null: too few conversions are known to say. */
  readonly share: number | null
}

/** What there is of some touches, in one currency. */
export interface ReportSum {
  readonly currency: string
  readonly credited: number
  readonly takenBack: number
  /** Values are in units of the currency; this is credited less taken back. */
  readonly value: number
  readonly creditedValue: number
  readonly takenBackValue: number
  /** mature: it is what it is; estimated: there is an estimate; too_few: it is open, and too little is known. */
  readonly state: 'mature' | 'estimated' | 'too_few'
  /** Net of what is taken back by now. */
  readonly estimate: LineEstimate | null
}

export interface ReportLine extends ReportSum {
  /** Place among the days. */
  readonly day: number
  readonly id: string
}

export interface ReportTotal extends ReportSum {
  /** null: of all days. */
  readonly day: number | null
}

export interface LineEstimate {
  readonly count: number
  /** With a probability of 90 % it is between these. */
  readonly low: number
  readonly high: number
  readonly value: number
}

export interface PurchaseReport {
  readonly days: readonly ReportDay[]
  /** By currency, day, count (the largest first), id. */
  readonly lines: readonly ReportLine[]
  /** Of all ids together; by currency, each day, then all of them. */
  readonly totals: readonly ReportTotal[]
  readonly curve: Pick<DelayCurve, 'own' | 'all'>
  readonly throughMs: number | null
}

export interface ReportSource extends Pick<OwnPurchases, 'days' | 'entries' | 'hours'> {
  readonly curve: DelayCurve
  readonly throughMs: number
  /** Of the window, for the kind of touch for which it is longest. */
  readonly windowMs: number
}

/** PR1. */
export function purchaseReport(source: ReportSource): PurchaseReport {
  const { days, entries, curve, throughMs, windowMs } = source
  const told = days.map((day): ReportDay => {
    const mature = day.toMs + windowMs <= throughMs
    return { ...day, mature, share: mature ? 1 : openShare(day, source) }
  })
  const sums = sumsByDay(entries, days)
  const lines = sums.map((sum) => ({ day: sum.day, id: sum.id, ...together([sum], told, curve) }))
  lines.sort(
    (a, b) =>
      order(a.currency, b.currency) ||
      a.day - b.day ||
      b.credited - b.takenBack - (a.credited - a.takenBack) ||
      order(a.id, b.id),
  )
  return {
    days: told,
    lines,
    totals: totalsOf(sums, told, curve),
    curve: { own: curve.own, all: curve.all },
    throughMs,
  }
}

const order = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0)

function totalsOf(sums: readonly DaySum[], days: readonly ReportDay[], curve: DelayCurve): ReportTotal[] {
  const currencies = [...Map.groupBy(sums, ({ currency }) => currency)].sort(([a], [b]) => order(a, b))
  return currencies.flatMap(([, own]) => {
    const byDay = [...Map.groupBy(own, ({ day }) => day)].sort(([a], [b]) => a - b)
    const ofDays = byDay.map(([day, some]) => ({ day, ...together(some, days, curve) }))
    return [...ofDays, { day: null, ...together(own, days, curve) }]
  })
}

/** The share of an open day's conversions that has come, of those that its touches so far will have. */
function openShare({ fromMs, toMs }: CalendarDay, { curve, throughMs, hours }: ReportSource): number | null {
  if (curve.shareAt === null) return null
  let [came, all] = [0, 0]
  for (let tileMs = fromMs; tileMs < Math.min(toMs, throughMs); tileMs += TILE_MS) {
    const weight = HOUR_PRIOR + (hours[Math.floor(tileMs / HOUR_MS) % HOURS_PER_DAY] ?? 0)
    const endMs = Math.min(tileMs + TILE_MS, throughMs)
    came += weight * curve.shareAt(throughMs - (tileMs + endMs) / 2)
    all += weight
  }
  return all === 0 ? null : came / all
}

interface DaySum {
  readonly day: number
  readonly id: string
  readonly currency: string
  credited: number
  takenBack: number
  creditedMicro: bigint
  takenBackMicro: bigint
}

/** What ids have of each day, exact. */
function sumsByDay(entries: readonly PurchaseEntry[], days: readonly CalendarDay[]): DaySum[] {
  const sums = new Map<string, DaySum>()
  for (const { id, currency, dayMs, tiles } of entries)
    for (const { tile, credited, creditedMicro, takenBack, takenBackMicro } of tiles) {
      const at = dayMs + tile * TILE_MS
      const day = dayAt(days, at)
      if (day === -1) continue
      const key = JSON.stringify([day, id, currency])
      const none: DaySum = { day, id, currency, credited: 0, takenBack: 0, creditedMicro: 0n, takenBackMicro: 0n }
      const sum = sums.get(key) ?? none
      sum.credited += credited
      sum.takenBack += takenBack
      sum.creditedMicro += BigInt(creditedMicro)
      sum.takenBackMicro += BigInt(takenBackMicro)
      sums.set(key, sum)
    }
  return [...sums.values()]
}

/** The place of the day in which a time lies, by bisection; -1: none. */
function dayAt(days: readonly CalendarDay[], ms: number): number {
  let [low, high] = [0, days.length]
  while (low < high) {
    const middle = (low + high) >> 1
    if (days[middle]!.toMs <= ms) low = middle + 1
    else high = middle
  }
  return low < days.length && days[low]!.fromMs <= ms ? low : -1
}

const MICRO = 1e6

/** PR2. Sums of one currency as one. */
function together(sums: readonly DaySum[], days: readonly ReportDay[], curve: DelayCurve): ReportSum {
  const micro = (of: (sum: DaySum) => bigint): number => Number(sums.reduce((all, sum) => all + of(sum), 0n)) / MICRO
  const sum = {
    currency: sums[0]!.currency,
    credited: sums.reduce((all, { credited }) => all + credited, 0),
    takenBack: sums.reduce((all, { takenBack }) => all + takenBack, 0),
    value: micro(({ creditedMicro, takenBackMicro }) => creditedMicro - takenBackMicro),
    creditedValue: micro(({ creditedMicro }) => creditedMicro),
    takenBackValue: micro(({ takenBackMicro }) => takenBackMicro),
  }
  if (sums.every(({ day }) => days[day]!.mature)) return { ...sum, state: 'mature', estimate: null }
  const estimate = estimateTogether(sums, days, curve)
  return { ...sum, state: estimate === null ? 'too_few' : 'estimated', estimate }
}

/** Values are taken to come as their conversions do. */
function estimateTogether(sums: readonly DaySum[], days: readonly ReportDay[], curve: DelayCurve): LineEstimate | null {
  const observed: Observed[] = []
  let [takenBack, value] = [0, 0]
  for (const sum of sums) {
    const { share } = days[sum.day]!
    if (share === null) return null
    observed.push({ credited: sum.credited, share })
    takenBack += sum.takenBack
    value += (sum.creditedMicro === 0n ? 0 : Number(sum.creditedMicro) / share) - Number(sum.takenBackMicro)
  }
  const estimate = estimateOf(observed, curve.weight)
  if (estimate === null) return null
  const { count, low, high } = estimate
  return { count: count - takenBack, low: low - takenBack, high: high - takenBack, value: value / MICRO }
}

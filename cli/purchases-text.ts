// A report of purchases for a terminal: one table for each currency, days in the time zone, and of days whose window is open how much
// is still to come, or that nobody can tell.

import type { ReadPurchasesAnswer } from '../client/holdfast.ts'
import { tableLines } from './text-table.ts'

type Purchases = ReadPurchasesAnswer['purchases'][number]
type Sum = ReadPurchasesAnswer['totals'][number]

/** `answer`: with its lines by currency. */
export function purchasesText(answer: ReadPurchasesAnswer): string {
  const { advertiser_id, by, goal, window, time_zone, through, days, purchases, totals, curve } = answer
  const lane = goal === null ? window : `${goal} · ${window}`
  const upTo = through === null ? 'nothing has come yet' : `conversions up to ${new Date(through).toISOString()}`
  const lines = [`purchases of ${advertiser_id} by ${by} · ${lane} · days of touches in ${time_zone} · ${upTo}`]
  const [first, last] = [days[0], days.at(-1)]
  if (first === undefined || last === undefined) lines.push('no such day has begun yet')
  else if (purchases.length === 0) lines.push(`none by touches of ${first.day} to ${last.day}`)
  for (const [currency, own] of Map.groupBy(purchases, (line) => line.currency)) {
    const total = totals.find((one) => one.day === null && one.currency === currency)!
    lines.push('', currency === NONE ? 'without a currency' : `in ${currency}`, ...tableOf(own, total, answer))
  }
  if (days.some(({ mature }) => !mature) && purchases.length > 0) lines.push('', ...notes(curve))
  return `${lines.join('\n')}\n`
}

/** As operators/purchase-tiles.ts names it. */
const NONE = 'none'

function tableOf(purchases: readonly Purchases[], total: Sum, { by, days }: ReadPurchasesAnswer): string[] {
  const rows = purchases.map((line) => {
    const { day, hours, share } = days[line.day]!
    const date = hours === 24 ? day : `${day} (${hours} h)`
    const who = by === 'advertiser' ? [] : [line.id]
    return [date, ...who, line.count, money(line.value), ...estimateCells(line, share)]
  })
  const who = by === 'advertiser' ? [] : [`${new Set(purchases.map(({ id }) => id)).size} ${by}s`]
  const all = ['all', ...who, total.count, money(total.value), ...estimateCells(total, null)]
  const head = by === 'advertiser' ? [] : [by.toUpperCase()]
  const then = ['IN THE END', '90 %', 'VALUE THEN', 'WHAT IS KNOWN']
  return tableLines(['DAY', ...head, 'COUNT', 'VALUE', ...then], [...rows, all])
}

/** `share`: of what a day will have, what has come; null: it is not known, or of several days. */
function estimateCells({ state, estimate, count, value }: Omit<Sum, 'day'>, share: number | null): string[] {
  if (state === 'mature') return [String(count), '', money(value), 'mature']
  const come = share === null ? '' : `, ${percent(share)} have come`
  if (estimate === null) return ['?', '', '?', `open${come}: too few to tell`]
  const range = `${Math.floor(estimate.low)} to ${Math.ceil(estimate.high)}`
  return [estimate.count.toFixed(1), range, money(estimate.value), `estimated${come}`]
}

const money = (value: number): string => value.toFixed(2)
const percent = (share: number): string => `${Math.round(100 * share)} %`

function notes({ own, all }: ReadPurchasesAnswer['curve']): string[] {
  return [
    `estimated: what is there / the share that has come by now, from ${own} conversions of mature days (${all} of all advertisers);`,
    'between the two numbers of 90 % it is nine times of ten. Refunds that are still to come are not in it.',
  ]
}

// The planted truth is true: probabilities agree with what happens within sampling error, also where a single effect is
// looked at; credit agrees with a brute-force reading of contract.md, section 4, from nothing but the lines.
// Seeds are fixed, so nothing here fails by chance; four standard errors are where a wrong formula is far outside.

import { expect, test } from 'vitest'
import { type Ad, Catalogue, driftOf } from './catalogue.ts'
import { CreditBook, type Touch, WINDOWS } from './credit-book.ts'
import { delayWithin } from './delays.ts'
import { WORLD_DEFAULTS, type WorldOptions, world } from './world.ts'
import { type ByDays, type ConversionRow, type TouchRow, Truth, type TruthRow } from './world-truth.ts'

const DAY_MS = 86_400_000
const DAYS = { '1d': DAY_MS, '7d': 7 * DAY_MS, '28d': 28 * DAY_MS } as const
type Window = keyof typeof DAYS
const WINDOW_NAMES = Object.keys(DAYS) as Window[]

const WORLD: WorldOptions = {
  ...WORLD_DEFAULTS,
  events: 600_000,
  users: 5_000,
  ads: 24,
  campaigns: 8,
  advertisers: 4,
  days: 30,
}

function truthOf(options: WorldOptions): { rows: TruthRow[]; lines: string[] } {
  const truth = new Truth()
  const rows: TruthRow[] = []
  const lines: string[] = []
  for (const arrivals of world(options, truth)) {
    for (const { text } of arrivals) lines.push(text)
    for (const row of truth.take()) rows.push(row)
  }
  return { rows: [...rows, ...truth.take()], lines }
}

const { rows } = truthOf(WORLD)
const touches = rows.filter((row): row is TouchRow => row.kind === 'click' || row.kind === 'impression')
const clicks = touches.filter(({ kind, bot }) => kind === 'click' && !bot)
const impressions = touches.filter(({ kind }) => kind === 'impression')
const conversions = rows.filter((row): row is ConversionRow => row.kind === 'conversion')

const within = (row: TouchRow, window: Window) => row.conversions.filter(({ time }) => time - row.time <= DAYS[window])

/** How many standard errors what happened is away from what was planted, and how many happened. */
function zOf(rowsOf: readonly TouchRow[], window: Window): { z: number; happened: number } {
  let expected = 0
  let variance = 0
  let happened = 0
  for (const row of rowsOf) {
    const p = row.probability[window]
    expected += p
    variance += p * (1 - p)
    if (within(row, window).length > 0) happened++
  }
  return { z: (happened - expected) / Math.sqrt(variance), happened }
}

function groups(rowsOf: readonly TouchRow[], by: (row: TouchRow) => unknown): TouchRow[][] {
  return [...Map.groupBy(rowsOf, by).values()]
}

test.each(WINDOW_NAMES)('touches lead to purchases as often as planted, within %s', (window) => {
  for (const kind of [clicks, impressions]) {
    const { z, happened } = zOf(kind, window)
    expect(happened).toBeGreaterThan(200)
    expect(Math.abs(z)).toBeLessThan(4)
  }
})

test('also by advertiser, by ad, by day, and by tenth of the probability', () => {
  const tenth = (row: TouchRow) => Math.floor(Math.log2(row.probability['28d']))
  const day = (row: TouchRow) => Math.floor(row.time / DAY_MS)
  for (const by of [(row: TouchRow) => row.advertiser_id, (row: TouchRow) => row.ad_id, day, tenth]) {
    const slices = groups(clicks, by).filter((slice) => slice.length > 100)
    expect(slices.length).toBeGreaterThan(3)
    for (const slice of slices) expect(Math.abs(zOf(slice, '28d').z)).toBeLessThan(4)
  }
})

test('as many purchases as expected, several by some buyers', () => {
  for (const window of WINDOW_NAMES) {
    const expected = clicks.reduce((sum, row) => sum + row.expected[window], 0)
    const counts = clicks.map((row) => within(row, window).length)
    const happened = counts.reduce((sum, count) => sum + count, 0)
    const squares = counts.reduce((sum, count) => sum + count ** 2, 0)
    expect(Math.abs(happened - expected) / Math.sqrt(squares)).toBeLessThan(4)
    expect(counts.some((count) => count > 2)).toBe(true)
  }
})

test('probabilities are those of the window: longer ones higher, never certain, spread by the effects', () => {
  const increasing = ({ '1d': day, '7d': week, '28d': month }: ByDays) => day < week && week < month
  expect(clicks.every((row) => increasing(row.probability) && increasing(row.expected))).toBe(true)
  const sorted = clicks.map((row) => row.probability['28d']).toSorted((a, b) => a - b)
  expect(sorted.at(-1)!).toBeLessThan(0.9)
  expect(sorted[Math.floor(0.9 * sorted.length)]!).toBeGreaterThan(3 * sorted[Math.floor(0.1 * sorted.length)]!)
  const mean = sorted.reduce((sum, p) => sum + p, 0) / sorted.length
  expect(mean).toBeGreaterThan(0.02)
  expect(mean).toBeLessThan(0.1)
  expect(touches.filter(({ bot }) => bot).every((row) => row.conversions.length === 0)).toBe(true)
})

test('delays of purchases follow the distribution of their advertiser', () => {
  const { advertisers } = new Catalogue(WORLD)
  for (const { id, delays } of advertisers) {
    const own = clicks.filter((row) => row.advertiser_id === id)
    const waited = own.flatMap((row) => row.conversions.map(({ time }) => time - row.time))
    expect(waited.length).toBeGreaterThan(100)
    for (const ms of [1_800_000, 3_600_000, DAY_MS, 7 * DAY_MS, 14 * DAY_MS, 28 * DAY_MS]) {
      const p = delayWithin(delays, ms)
      const count = waited.filter((delay) => delay <= ms).length
      expect(Math.abs(count - waited.length * p) / Math.sqrt(waited.length * p * (1 - p))).toBeLessThan(4)
    }
  }
})

test("an ad's odds drift: smoothly, and so far that purchases show it", () => {
  const { ads } = new Catalogue(WORLD)
  const adOf = new Map<string, Ad>(ads.map((ad) => [ad.id, ad]))
  const startMs = WORLD.startMs
  const drift = (row: TouchRow) => driftOf(adOf.get(row.ad_id)!, row.time - startMs)
  const rate = (rowsOf: TouchRow[]) => rowsOf.filter((row) => row.conversions.length > 0).length / rowsOf.length
  const high = clicks.filter((row) => drift(row) > 0.4)
  const low = clicks.filter((row) => drift(row) < -0.4)
  const p = rate([...high, ...low])
  const error = Math.sqrt(p * (1 - p) * (1 / high.length + 1 / low.length))
  expect((rate(high) - rate(low)) / error).toBeGreaterThan(5)
  for (const ad of ads) {
    const byHour = Array.from({ length: 24 * WORLD.days }, (_, hour) => driftOf(ad, hour * 3_600_000))
    expect(Math.max(...byHour) - Math.min(...byHour)).toBeGreaterThan(0.3)
    for (let i = 1; i < byHour.length; i++) expect(Math.abs(byHour[i]! - byHour[i - 1]!)).toBeLessThan(0.03)
  }
})

test('a conversion belongs to the touch that planned it, and happens if its time is before the end', () => {
  const { end } = rows.find((row) => row.kind === 'world')!
  const cause = new Map(conversions.map((row) => [row.event_id, row.cause]))
  const planned = new Set<string>()
  for (const row of touches) {
    for (const { event_id, time } of row.conversions) {
      // A clicked impression names what its click led to; the cause is the click.
      if (row.kind === 'impression' && cause.get(event_id) !== row.event_id) continue
      planned.add(event_id)
      expect(cause.get(event_id)).toBe(time < end ? row.event_id : undefined)
    }
  }
  const caused = conversions.filter((row) => row.cause !== null)
  expect(caused.length).toBeGreaterThan(1_000)
  expect(caused.every(({ event_id }) => planned.has(event_id))).toBe(true)
})

// --- credit

interface Line {
  readonly type: string
  readonly event_id: string
  readonly event_time: number
  readonly user_id?: string
  readonly advertiser_id: string
  readonly click_id?: string
  readonly order_id?: string
  readonly refund_of?: string
  readonly value?: number
}

/** Everything of section 4 that decides last touch, from the lines alone and in the most literal way. */
function bruteForce(lines: readonly string[]): Map<string, Record<string, string | null>> {
  const all = lines.flatMap((line): Line[] => {
    try {
      const event = JSON.parse(line) as Line
      return Array.isArray(event) ? [] : [event]
    } catch {
      return []
    }
  })
  const unique = (events: Line[]) => [...new Map(events.map((event) => [event.event_id, event])).values()]
  const clickLines = unique(all.filter(({ type, click_id, user_id }) => type === 'click' && click_id && user_id))
  const viewLines = unique(all.filter(({ type, user_id }) => type === 'impression' && user_id))
  const bought = all.filter(
    ({ type, value, order_id, refund_of, advertiser_id }) =>
      type === 'conversion' && advertiser_id && order_id?.startsWith('order-') && !refund_of && value! >= 0,
  )
  const orders = new Map(bought.toReversed().map((event) => [event.order_id, event]))
  const credits = new Map<string, Record<string, string | null>>()
  for (const event of orders.values()) {
    const known = clickLines.filter((click) => click.click_id === event.click_id)
    const user =
      known.length === 0 || known.some(({ user_id }) => user_id === event.user_id) ? event.user_id : known[0]!.user_id
    const candidates = (from: Line[], days: number) =>
      from
        .filter((touch) => touch.user_id === user && touch.advertiser_id === event.advertiser_id)
        .filter(({ event_time }) => event_time <= event.event_time && event.event_time - event_time <= days * DAY_MS)
        .toSorted((a, b) => a.event_time - b.event_time || (a.event_id < b.event_id ? -1 : 1))
    const last = (from: Line[]) =>
      (from.findLast(({ click_id }) => click_id !== undefined && click_id === event.click_id) ?? from.at(-1))
        ?.event_id ?? null
    const week = candidates(clickLines, 7)
    credits.set(event.event_id, {
      '1d_click': last(candidates(clickLines, 1)),
      '7d_click': last(week),
      '28d_click': last(candidates(clickLines, 28)),
      '1d_view': last(candidates(viewLines, 1)),
      '7d_click_1d_view': last(week.length > 0 ? week : candidates(viewLines, 1)),
    })
  }
  return credits
}

test('planted credit is what a brute-force reading of the lines gives', () => {
  // Few users and advertisers: many touches compete for a conversion.
  const small = truthOf({
    ...WORLD,
    events: 100_000,
    users: 300,
    ads: 8,
    campaigns: 4,
    advertisers: 2,
    days: 45,
    seed: 5,
  })
  const credits = bruteForce(small.lines)
  const planted = small.rows.filter((row): row is ConversionRow => row.kind === 'conversion' && row.route !== 'lost')
  expect(planted.length).toBeGreaterThan(400)
  expect(credits.size).toBe(planted.length)
  for (const { event_id, credit } of planted) expect(credits.get(event_id), event_id).toEqual(credit)
  const elsewhere = planted.filter(({ cause, credit }) => cause !== null && credit['28d_click'] !== cause)
  expect(elsewhere.length).toBeGreaterThan(50)
  const kept = planted.filter(({ credit }) => credit['28d_click'] !== null && credit['7d_click'] === null)
  expect(kept.length).toBeGreaterThan(10)
  const summary = small.rows.find((row) => row.kind === 'summary')!
  for (const { name } of WINDOWS) {
    expect(summary.credited[name]).toBe(planted.filter(({ credit }) => credit[name] !== null).length)
  }
})

test('credit goes by the rule: its own click first, windows inclusive, no touch after the conversion, click precedes', () => {
  const book = new CreditBook()
  const touch = (type: Touch['type'], eventId: string, timeMs: number): Touch => ({
    type,
    eventId,
    clickId: type === 'click' ? `k-${eventId}` : null,
    timeMs,
  })
  for (const noted of [touch('click', 'a', 0), touch('click', 'b', 1_000), touch('impression', 'c', 2_000)]) {
    book.note('u', 'adv', noted, 0)
  }
  const at = (timeMs: number, clickId: string | null = null) => book.credit('u', 'adv', timeMs, clickId)
  expect(at(5_000)).toEqual({
    '1d_click': 'b',
    '7d_click': 'b',
    '28d_click': 'b',
    '1d_view': 'c',
    '7d_click_1d_view': 'b',
  })
  expect(at(5_000, 'k-a')['1d_click']).toBe('a')
  expect(at(5_000, 'k-strange')['1d_click']).toBe('b')
  expect(at(999)['1d_click']).toBe('a')
  expect(at(1_000)['1d_click']).toBe('b')
  expect(at(1_000 + DAY_MS)['1d_click']).toBe('b')
  expect(at(1_001 + DAY_MS)['1d_click']).toBeNull()
  expect(at(2_000 + DAY_MS)['7d_click_1d_view']).toBe('b')
  expect(book.credit('u', 'other', 5_000, null)['28d_click']).toBeNull()
  expect(book.credit('v', 'adv', 5_000, null)['28d_click']).toBeNull()
})

test('touches beyond every window are dropped', () => {
  const book = new CreditBook()
  for (let day = 0; day < 100; day++) {
    for (const type of ['click', 'impression'] as const) {
      const eventId = `${type}${day}`
      book.note(`u${day % 3}`, 'adv', { type, eventId, clickId: null, timeMs: day * DAY_MS }, day * DAY_MS)
    }
  }
  expect(book.touches).toBeLessThan(28 + 2 + 1 + 2 + 1)
  expect(book.touches).toBeGreaterThanOrEqual(29)
})

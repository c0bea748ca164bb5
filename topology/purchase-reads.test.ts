// Reports on states of tasks: how far they reach, which days are mature, what the curve is made of, limits, and whether estimates
// come true in a world whose delays are known.

import { beforeAll, describe, expect, test } from 'vitest'
import { ATTRIBUTION_DEFAULT } from '../operators/attribution-settings.ts'
import type { CreditRecord } from '../operators/touch.ts'
import {
  type PurchasesAsk,
  type PurchasesOutcome,
  REPORT_DAYS_MAX,
  REPORT_ENTRIES_MAX,
  REPORT_LINES_MAX,
} from '../sinks/purchase-reads.ts'
import type { Reached } from '../test/operator-state.ts'
import { purchasePlan, purchaseState } from '../test/purchase-state.ts'
import { CURVE_DAYS, purchasesInStates } from './purchase-reads.ts'

const HOUR = 3_600_000
const DAY = 24 * HOUR
/** Begin of a day. */
const T = Date.UTC(2026, 0, 1)
const WEEK_CLICK = 1
const { graceMs } = ATTRIBUTION_DEFAULT

const ASK: PurchasesAsk = {
  ...{ advertiser: 'shop', by: 'advertiser', goal: '', window: '7d_click', from: null, to: null, timeZone: 'UTC' },
  ...{ snapshot: null, wait: null, waitMs: 0 },
}

function credit(touchTimeMs: number, delayMs: number, parts: { advertiser?: string; ad?: string } = {}): CreditRecord {
  const { advertiser = 'shop', ad = 'shoe' } = parts
  const lanes = [{ goal: '', window: WEEK_CLICK, campaign: 'spring', ad, touchTimeMs }]
  return { advertiser, conversionTimeMs: touchTimeMs + delayMs, count: 1, value: 2_000_000, currency: 'EUR', lanes }
}

const drainedAt = (asOf: number | null): Reached => ({ watermark: 0, drained: true, asOf })

async function outcomeOf(
  credits: readonly CreditRecord[],
  reached: Reached,
  ask: Partial<PurchasesAsk> = {},
): Promise<PurchasesOutcome> {
  const open = await purchaseState(credits, reached)
  return purchasesInStates(purchasePlan(), { ...ASK, ...ask }, open)
}

async function reportOf(...of: Parameters<typeof outcomeOf>) {
  const outcome = await outcomeOf(...of)
  if (outcome.kind !== 'purchases') throw new Error(outcome.kind)
  return outcome.report
}

describe('how far a report reaches', () => {
  test('is the watermark less grace, and the highest event time where the input was drained', async () => {
    const throughOf = async (reached: Reached) => (await reportOf([], reached)).throughMs
    expect(await throughOf({ watermark: T, drained: false, asOf: T + DAY })).toBe(T - graceMs)
    expect(await throughOf(drainedAt(T))).toBe(T)
    expect(await throughOf(drainedAt(null))).toBeNull()
    expect(await throughOf({ watermark: -1, drained: false, asOf: null })).toBeNull()
  })

  test('has four weeks up to its day, or the days that were asked for, as far as they have begun', async () => {
    const daysOf = async (ask: Partial<PurchasesAsk>) => {
      const { days } = await reportOf([], drainedAt(T + 12 * HOUR), ask)
      return [days.length, days[0]?.date, days.at(-1)?.date]
    }
    expect(await daysOf({})).toEqual([28, '2025-12-05', '2026-01-01'])
    // There it is the next day already.
    expect(await daysOf({ timeZone: 'Pacific/Auckland' })).toEqual([28, '2025-12-06', '2026-01-02'])
    expect(await daysOf({ from: '2025-12-30', to: '2026-02-01' })).toEqual([3, '2025-12-30', '2026-01-01'])
    expect(await daysOf({ to: '2025-12-10' })).toEqual([28, '2025-11-13', '2025-12-10'])
    expect(await daysOf({ from: '2026-01-02' })).toEqual([0, undefined, undefined])
  })
})

describe('days', () => {
  test('are mature when every touch is older than the window, to the millisecond', async () => {
    const credits = [credit(T + DAY - 1, 0)]
    const stateAt = async (asOf: number) =>
      (await reportOf(credits, drainedAt(asOf), { from: '2026-01-01' })).lines[0]!.state
    expect(await stateAt(T + 8 * DAY)).toBe('mature')
    expect(await stateAt(T + 8 * DAY - 1)).toBe('too_few')
  })

  test('of a time zone have the touches of their own hours', async () => {
    // 23 hours in Berlin.
    const begin = Date.UTC(2026, 2, 28, 23)
    const credits = [begin - 1, begin, begin + 23 * HOUR - 1, begin + 23 * HOUR].map((at) => credit(at, 0))
    const ask = { from: '2026-03-28', to: '2026-03-30', timeZone: 'Europe/Berlin' }
    const { days, lines } = await reportOf(credits, drainedAt(T + 200 * DAY), ask)
    expect(lines.map(({ day, credited }) => [days[day]!.date, credited])).toEqual([
      ['2026-03-28', 1],
      ['2026-03-29', 2],
      ['2026-03-30', 1],
    ])
    const [, short] = days
    expect(short!.toMs - short!.fromMs).toBe(23 * HOUR)
  })

  test('west of Greenwich end in the next day of UTC', async () => {
    const end = Date.UTC(2026, 0, 2, 5)
    const credits = [end - 1, end].map((at) => credit(at, 0))
    const ask = { from: '2026-01-01', to: '2026-01-01', timeZone: 'America/New_York' }
    const { lines } = await reportOf(credits, drainedAt(T + 20 * DAY), ask)
    expect(lines.map(({ credited }) => credited)).toEqual([1])
  })

  test('of ads are told one by one, and together; refunds stand beside what was credited', async () => {
    const back: CreditRecord = { ...credit(T, HOUR), count: -1, value: -2_000_000 }
    const part: CreditRecord = { ...credit(T, HOUR), count: 0, value: -500_000 }
    const credits = [credit(T, HOUR), credit(T, HOUR), credit(T, HOUR, { ad: 'hat' }), back, part]
    const { lines, totals } = await reportOf(credits, drainedAt(T + 20 * DAY), { by: 'ad', from: '2026-01-01' })
    const told = (all: readonly { credited: number; takenBack: number; value: number; takenBackValue: number }[]) =>
      all.map(({ credited, takenBack, value, takenBackValue }) => [credited, takenBack, value, takenBackValue])
    expect(lines.map(({ id }) => id)).toEqual(['hat', 'shoe'])
    expect(told(lines)).toEqual([
      [1, 0, 2, 0],
      [2, 1, 1.5, 2.5],
    ])
    expect(totals.map(({ day }) => day)).toEqual([0, null])
    expect(told(totals)).toEqual([
      [3, 1, 3.5, 2.5],
      [3, 1, 3.5, 2.5],
    ])
  })
})

describe('the curve', () => {
  const many = (count: number, touchTimeMs: number, parts = {}) =>
    Array.from({ length: count }, () => credit(touchTimeMs, HOUR, parts))

  test('is of mature days, the newest CURVE_DAYS, and of all advertisers', async () => {
    const mature = T - 8 * DAY
    const credits = [
      ...many(3, mature),
      ...many(5, mature - (CURVE_DAYS - 1) * DAY),
      ...many(7, mature - CURVE_DAYS * DAY),
      ...many(11, mature + DAY),
      ...many(40, mature, { advertiser: 'bank' }),
    ]
    // A day is mature as a whole: up to the last millisecond before the next one is, the curve is of the same days.
    for (const asOf of [T, T + DAY - 1])
      expect([asOf, (await reportOf(credits, drainedAt(asOf))).curve]).toEqual([asOf, { own: 8, all: 48 }])
    expect((await reportOf(credits, drainedAt(T + DAY))).curve.own).toBe(8 + 11 - 5)
    // A season.
    expect(CURVE_DAYS).toBe(13 * 7)
  })

  test('is put together of the tasks of all partitions, and the advertiser has one of them', async () => {
    const plan = purchasePlan(2)
    const [here, there] = await Promise.all(
      [many(40, T), many(2, T, { advertiser: 'bank' })].map((credits) =>
        purchaseState(credits, drainedAt(T + 20 * DAY)),
      ),
    )
    const ownTask = async (own: number) =>
      purchasesInStates(plan, { ...ASK, from: '2026-01-01' }, (task) =>
        (task === `purchases-${own}` ? here! : there!)(),
      )
    const reports = await Promise.all([0, 1].map(ownTask))
    const told = reports.map(
      (outcome) => outcome.kind === 'purchases' && [outcome.report.lines.length, outcome.report.curve],
    )
    expect(told).toContainEqual([1, { own: 40, all: 42 }])
    expect(told).toContainEqual([0, { own: 0, all: 42 }])
  })
})

describe('a report is refused', () => {
  test('of a window that there is not, of a state that is not there, of a plan without attribution', async () => {
    const windows = ATTRIBUTION_DEFAULT.windows.map(({ name }) => name)
    expect(await outcomeOf([], drainedAt(T), { window: '3d' })).toEqual({ kind: 'unknown_window', windows })
    expect(await purchasesInStates(purchasePlan(), ASK, async () => null)).toMatchObject({ kind: 'unavailable' })
    expect(await purchasesInStates({ ...purchasePlan(), stages: [] }, ASK, async () => null)).toEqual({
      kind: 'no_attribution',
    })
  })

  test('of more days than may be', async () => {
    const ask = (from: string) => outcomeOf([], drainedAt(T), { from, to: '2026-01-01' })
    expect((await ask('2024-12-01')).kind).toBe('purchases')
    expect(await ask('2024-11-30')).toEqual({ kind: 'too_large', what: `a report has at most ${REPORT_DAYS_MAX} days` })
  })

  test('of more entries than may be looked at, and of more lines than may be told', async () => {
    const lane = (ad: string) => ({ goal: '', window: WEEK_CLICK, campaign: 'spring', ad, touchTimeMs: T })
    const credits: CreditRecord[] = []
    for (let i = 0; i <= REPORT_ENTRIES_MAX; i += 1_000) {
      const ads = Array.from({ length: Math.min(1_000, REPORT_ENTRIES_MAX + 1 - i) }, (_, j) => lane(`ad${i + j}`))
      credits.push({ ...credit(T, 0), lanes: ads })
    }
    const ask = { by: 'ad', from: '2026-01-01' } as const
    expect(await outcomeOf(credits, drainedAt(T), ask)).toMatchObject({ what: expect.stringContaining('entries') })
    // As many as may be looked at are not too many; but there are more lines.
    const all = credits.slice(0, -1)
    expect(all.flatMap(({ lanes }) => lanes)).toHaveLength(REPORT_ENTRIES_MAX)
    expect(await outcomeOf(all, drainedAt(T), ask)).toMatchObject({ what: expect.stringContaining('lines') })
    const some = credits.slice(0, REPORT_LINES_MAX / 1_000)
    expect((await reportOf(some, drainedAt(T), ask)).lines).toHaveLength(REPORT_LINES_MAX)
    some.push({ ...credit(T, 0), lanes: [lane('more')] })
    expect(await outcomeOf(some, drainedAt(T), ask)).toMatchObject({ what: expect.stringContaining('lines') })
  })
})

describe('estimates, in a world whose delays are known', () => {
  const NOW = T + 60 * DAY + 15 * HOUR
  let random: () => number
  beforeAll(() => {
    let seed = 7
    random = () => {
      seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) >>> 0
      return ((seed >>> 8) + 0.5) / 2 ** 24
    }
  })

  /** A third buys within the hour, the others take days; none longer than a week. */
  const delay = (): number => {
    while (true) {
      const ms = -Math.log(random()) * (random() < 1 / 3 ? HOUR / 2 : 2.5 * DAY)
      if (ms < 7 * DAY) return Math.floor(ms)
    }
  }
  /** Twice as many in the evening as in the morning, in UTC. */
  const hourOfTouch = (): number => {
    while (true) {
      const hour = random() * 24
      if (random() < (hour < 12 ? 0.5 : 1)) return hour * HOUR
    }
  }

  test('are right on average, also of days that are not over, and their range holds nine of ten', async () => {
    const [perDay, days] = [120, 61]
    const truth = new Map<string, number>()
    const credits: CreditRecord[] = []
    for (let day = 0; day < days; day++)
      for (let i = 0; i < perDay; i++) {
        const at = T + day * DAY + Math.floor(hourOfTouch())
        const one = credit(at, delay())
        if (at >= NOW) continue
        const date = new Date(at).toISOString().slice(0, 10)
        truth.set(date, (truth.get(date) ?? 0) + 1)
        if (one.conversionTimeMs <= NOW) credits.push(one)
      }
    const report = await reportOf(credits, drainedAt(NOW), { from: '2026-02-23' })
    const open = report.totals.filter(({ day, state }) => day !== null && state !== 'mature')
    expect(open.map(({ state }) => state)).toEqual(Array(8).fill('estimated'))
    const rows = open.map(({ day, credited, estimate, value }) => {
      const { date, share } = report.days[day!]!
      const { count, low, high, value: valueThen } = estimate!
      expect(valueThen / value).toBeCloseTo(count / credited, 9)
      return { date, credited, share: share!, count, low, high, truth: truth.get(date)! }
    })
    const sum = (of: (row: (typeof rows)[number]) => number) => rows.reduce((all, row) => all + of(row), 0)
    const reach = Math.sqrt(sum(({ count, high }) => ((high - count) / 1.645) ** 2))
    expect(Math.abs(sum(({ count }) => count) - sum((row) => row.truth))).toBeLessThan(2 * reach)
    // What has come falls short by far more than that.
    expect(sum((row) => row.truth) - sum(({ credited }) => credited)).toBeGreaterThan(4 * reach)
    expect(rows.filter((row) => row.truth >= row.low && row.truth <= row.high).length).toBeGreaterThanOrEqual(6)
    // The share of the last day follows its hours: most of its touches were an hour or two ago.
    expect(rows.at(-1)!.share).toBeGreaterThan(0.25)
    expect(rows.at(-1)!.share).toBeLessThan(0.45)
  })

  test('over many worlds are neither too large nor too small', async () => {
    let [estimated, came, seen, held, all] = [0, 0, 0, 0, 0]
    for (let world = 0; world < 12; world++) {
      const truth = new Map<number, number>()
      const credits: CreditRecord[] = []
      for (let day = 30; day < 61; day++)
        for (let i = 0; i < 80; i++) {
          const at = T + day * DAY + Math.floor(hourOfTouch())
          const one = credit(at, delay())
          if (at >= NOW) continue
          truth.set(day, (truth.get(day) ?? 0) + 1)
          if (one.conversionTimeMs <= NOW) credits.push(one)
        }
      const report = await reportOf(credits, drainedAt(NOW), { from: '2026-02-23' })
      for (const { day, credited, estimate } of report.totals) {
        if (day === null || estimate === null) continue
        const final = truth.get((report.days[day]!.fromMs - T) / DAY)!
        estimated += estimate.count
        came += final
        seen += credited
        all++
        if (final >= estimate.low && final <= estimate.high) held++
      }
    }
    expect(all).toBe(12 * 8)
    expect(estimated / came).toBeGreaterThan(0.97)
    expect(estimated / came).toBeLessThan(1.03)
    expect(seen / came).toBeLessThan(0.85)
    expect(held / all).toBeGreaterThan(0.82)
  })
})

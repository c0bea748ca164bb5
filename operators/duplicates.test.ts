import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { recordOf, runOperator } from '../test/operator-harness.ts'
import { runOnTaskState } from '../test/operator-on-state.ts'
import type { DuplicatesSettings } from './duplicate-rule.ts'
import { type ConversionsHere, duplicates } from './duplicates.ts'
import { EVENT_SETTINGS, type Event, type EventType, isRefund, parseEventText } from './event.ts'
import type { Rec } from './operator.ts'

const DAY = 24 * 3_600_000
const T = 1_750_000_000_000

function event(type: EventType, fields: Record<string, unknown>): Event {
  const always = { type, event_id: 'e', event_time: T, user_id: 'u', page_id: 'p', advertiser_id: 'a' }
  const ads = { ad_id: 'ad', campaign_id: 'c', click_id: fields.click_id ?? 'k' }
  const result = parseEventText(
    JSON.stringify({ ...always, ...(type === 'conversion' ? {} : ads), ...fields }),
    EVENT_SETTINGS,
  )
  if ('code' in result) throw new Error(`${result.code} ${result.field}`)
  return result
}

const view = (fields: Record<string, unknown> = {}) => event('page_view', fields)
const conversion = (fields: Record<string, unknown> = {}) => event('conversion', fields)

function run(events: readonly Event[], settings: Partial<DuplicatesSettings> = {}, watermarks: readonly number[] = []) {
  const records = events.map((value, number) =>
    recordOf(value, { time: value.time, watermark: watermarks[number] ?? -1, number }),
  )
  return runOperator(duplicates(settings), records, { sliceRecords: 128 })
}

/** Which of the events were accepted, by index. */
const accepted = (...args: Parameters<typeof run>) => run(...args).out.map(({ number }) => number)

describe('by event_id', () => {
  test('the first of a user, type and id goes on, with its record as it came', () => {
    const outcome = run([
      view(),
      view({ page_id: 'q' }),
      view({ user_id: 'v' }),
      event('click', {}),
      view({ event_id: 'f' }),
    ])
    expect(outcome.out.map(({ number }) => number)).toEqual([0, 2, 3, 4])
    expect(outcome.out[0]!.value.fields.page_id).toBe('p')
    expect(outcome.counts).toEqual({ accepted: 4, duplicates: 1 })
    expect(outcome.highest).toEqual({ as_of: T })
    expect(outcome.emitted).toEqual([])
  })

  test('seven days apart are the same, a millisecond more is another, either way', () => {
    expect(accepted([view(), view({ event_time: T + 7 * DAY })])).toEqual([0])
    expect(accepted([view(), view({ event_time: T + 7 * DAY + 1 })])).toEqual([0, 1])
    expect(accepted([view(), view({ event_time: T - 7 * DAY })])).toEqual([0])
    expect(accepted([view(), view({ event_time: T - 7 * DAY - 1 })])).toEqual([0, 1])
  })

  test('a duplicate does not stretch the horizon', () => {
    expect(accepted([view(), view({ event_time: T + 5 * DAY }), view({ event_time: T + 8 * DAY })])).toEqual([0, 2])
  })

  test('the horizon is a setting, per type', () => {
    const twice = [view(), view({ event_time: T + 2 }), event('click', {}), event('click', { event_time: T + 2 })]
    expect(accepted(twice, { horizonMs: 1 })).toEqual([0, 1, 2, 3])
    expect(accepted(twice, { horizonMsByType: { click: 1 } })).toEqual([0, 2, 3])
  })

  test('as_of is the highest accepted time: a duplicate does not raise it', () => {
    expect(run([view({ event_time: T + 5 }), view({ event_id: 'f' }), view({ event_time: T + 9 })]).highest).toEqual({
      as_of: T + 5,
    })
  })
})

test('what `bots` drops was accepted, and its twin is a duplicate; what it marks goes on', () => {
  const [dropped, marked] = (['drop', 'mark'] as const).map((bots) => ({ ...view({ event_id: bots }), bots }))
  const outcome = run([dropped!, view({ event_id: 'drop' }), marked!, view({ event_time: T - 1 })])
  expect(outcome.out.map(({ number }) => number)).toEqual([2, 3])
  expect(outcome.counts).toEqual({ accepted: 3, bots: 2, duplicates: 1 })
  expect(outcome.highest).toEqual({ as_of: T })
})

test('of the accepted, purchases are counted as conversions: neither duplicates nor what takes one back', () => {
  const purchases = [conversion(), conversion(), conversion({ event_id: 'f', value: 5 }), view()]
  const refunds = [conversion({ event_id: 'g', value: -5 }), conversion({ event_id: 'h', refund_of: 'o' })]
  expect(run([...purchases, ...refunds]).counts).toEqual({ accepted: 5, conversions: 2, duplicates: 1 })
  expect(run(refunds).counts).toEqual({ accepted: 2, duplicates: 0 })
})

describe('by order', () => {
  const order = (n: number, fields: Record<string, unknown> = {}) =>
    conversion({ event_id: `e${n}`, order_id: 'o', ...fields })

  test('the second conversion of a user, advertiser and order within 90 days is a duplicate', () => {
    expect(accepted([order(1), order(2, { event_time: T + 90 * DAY })])).toEqual([0])
    expect(accepted([order(1), order(2, { event_time: T + 90 * DAY + 1 })])).toEqual([0, 1])
    expect(accepted([order(1), order(2, { event_time: T + 2 })], { orderHorizonMs: 1 })).toEqual([0, 1])
    expect(
      accepted([order(1), order(2, { user_id: 'v' }), order(3, { advertiser_id: 'b' }), order(4, { order_id: 'q' })]),
    ).toEqual([0, 1, 2, 3])
  })

  test('a late one with an earlier time is the second of its order', () => {
    expect(accepted([order(1), order(2, { event_time: T - 60_000 })], {}, [-1, T])).toEqual([0])
  })

  test('without order_id only event_id counts', () => {
    expect(
      accepted([order(1, { order_id: null }), order(2, { order_id: null }), order(1, { order_id: null })]),
    ).toEqual([0, 1])
  })

  test('advertiser and order are not confused with others that read alike', () => {
    expect(
      accepted([order(1, { advertiser_id: 'ab', order_id: 'c' }), order(2, { advertiser_id: 'a', order_id: 'bc' })]),
    ).toEqual([0, 1])
  })

  test('a refund is a duplicate by event_id only, and makes none', () => {
    const refund = order(3, { value: -5 })
    const named = order(4, { order_id: 'x', refund_of: 'o' })
    expect([order(1), order(1, { value: 0 }), refund, named, view({ value: -1 })].map(isRefund)).toEqual([
      false,
      false,
      true,
      true,
      false,
    ])
    expect(accepted([order(1), refund, named, refund, order(5, { order_id: 'x' })])).toEqual([0, 1, 2, 4])
    expect(accepted([refund, order(1)])).toEqual([0, 1])
  })

  test('only conversions have orders', () => {
    expect(
      accepted([view({ event_id: 'e1', order_id: 'o' }), order(1), view({ event_id: 'e2', order_id: 'o' })]),
    ).toEqual([0, 1, 2])
  })

  test('without user it is the click who ordered', () => {
    const clicked = { user_id: null, click_id: 'k1' }
    expect(accepted([order(1, clicked), order(2, clicked), order(3, { user_id: null, click_id: 'k2' })])).toEqual([
      0, 2,
    ])
  })
})

describe('where conversions are judged after their resolution', () => {
  const here = (events: readonly Event[], conversions: ConversionsHere) =>
    runOperator(
      duplicates({}, conversions),
      events.map((value, number) => recordOf(value, { time: value.time, number })),
      { sliceRecords: 128 },
    )
  const numbers = (outcome: ReturnType<typeof here>) => outcome.out.map(({ number }) => number)
  const later = { event_time: T + 5 }
  const mixed = [
    ...[view(), conversion(), conversion(later), view(later)],
    ...[conversion({ value: -1, ...later }), { ...conversion({ event_id: 'f' }), bots: 'drop' as const }],
    ...[conversion({ event_id: 'g', order_id: 'o' }), conversion({ event_id: 'h', order_id: 'o' })],
    { ...view({ event_id: 'f' }), bots: 'drop' as const },
  ]

  test('they pass here unjudged and uncounted, refunds and what `bots` drops too, and nothing of them is kept', () => {
    const outcome = here(mixed, 'passed')
    expect(numbers(outcome)).toEqual([0, 1, 2, 4, 5, 6, 7])
    expect([outcome.counts, outcome.highest]).toEqual([{ accepted: 2, bots: 1, duplicates: 1 }, { as_of: T }])
    expect(outcome.entries).toHaveLength(2)
  })

  test('for features they are judged alone, by their own user, and counted nowhere', () => {
    const outcome = here(mixed, 'alone')
    expect(numbers(outcome)).toEqual([0, 1, 3, 6, 8])
    expect([outcome.counts, outcome.highest]).toEqual([{}, {}])
    expect(outcome.entries.filter((entry) => entry.includes('page_view'))).toEqual([])
  })

  test('both, one behind the other, let pass what the judge of all lets pass', () => {
    const rest = here(mixed, 'passed').out.map(({ value }) => value)
    expect(here(rest, 'alone').out.map(({ value }) => value)).toEqual(
      here(mixed, 'judged').out.map(({ value }) => value),
    )
  })

  test('each of the three is another plan', () => {
    const plans = (['judged', 'passed', 'alone'] as const).map((conversions) => duplicates({}, conversions))
    expect(new Set(plans.map(({ name, settings }) => JSON.stringify([name, settings]))).size).toBe(3)
  })
})

describe('expiry', () => {
  const filler = (n: number) => view({ event_id: `filler${n}`, user_id: 'other' })
  const left = (watermark: number, records: readonly Event[], watermarks: readonly number[] = []) =>
    run([...records, filler(0)], {}, [...records.map((_, i) => watermarks[i] ?? -1), watermark]).entries.filter(
      (entry) => entry.includes('"u"'),
    )

  test('an entry outlives its horizon, and goes with its bucket at most one horizon later', () => {
    const bucketEnd = (Math.floor(T / (7 * DAY)) + 1) * 7 * DAY
    expect(left(bucketEnd + 7 * DAY - 1, [view()])).toHaveLength(1)
    expect(left(bucketEnd + 7 * DAY, [view()])).toHaveLength(0)
  })

  test('one that came late is kept as long as one that came then', () => {
    expect(left(T + 106 * DAY, [view()], [T + 100 * DAY])).toHaveLength(1)
    expect(left(T + 115 * DAY, [view()], [T + 100 * DAY])).toHaveLength(0)
  })

  test('orders are kept for their own horizon', () => {
    const kept = left(T + 90 * DAY, [conversion({ order_id: 'o' })])
    expect(kept.map((entry) => entry.split(' ')[0])).toEqual(['orders'])
    expect(left(T + 181 * DAY, [conversion({ order_id: 'o' })])).toEqual([])
  })
})

test.each([
  [{ horizonMs: 0 }, /horizonMs/],
  [{ orderHorizonMs: 1.5 }, /orderHorizonMs/],
  [{ horizonMsByType: { click: Number.NaN } }, /horizonMsByType.click/],
  [{ horizonMsByType: { clicks: 5 } as object }, /"clicks"/],
])('settings that cannot be are refused by name: %j', (settings, message) => {
  expect(() => duplicates(settings)).toThrow(message)
})

// --- the twin: every accepted event kept for ever, every question asked of all of them

function twin(events: readonly Event[], horizonMs: number, orderHorizonMs: number): number[] {
  const kept: [number, Event][] = []
  const money = ({ fields }: Event) => fields.refund_of == null && !((fields.value as number) < 0)
  events.forEach((e, index) => {
    const apart = (other: Event) => Math.abs(other.time - e.time)
    const same = kept.some(([, k]) => {
      if (k.user !== e.user || k.type !== e.type) return false
      if (k.id === e.id && apart(k) <= horizonMs) return true
      if (e.type !== 'conversion' || e.fields.order_id == null || !money(e) || !money(k)) return false
      return (
        k.fields.order_id === e.fields.order_id &&
        k.fields.advertiser_id === e.fields.advertiser_id &&
        apart(k) <= orderHorizonMs
      )
    })
    if (!same) kept.push([index, e])
  })
  return kept.map(([index]) => index)
}

const HORIZON = 5_000
const ORDER_HORIZON = 12_000
const LATENESS = 3_000
const SETTINGS = { horizonMs: HORIZON, orderHorizonMs: ORDER_HORIZON }

/** Random events, many of them equal, out of order but none late. */
const randomRecords = fc
  .array(
    fc.record({
      type: fc.constantFrom<EventType>('page_view', 'conversion', 'click'),
      user_id: fc.constantFrom('u', 'v'),
      event_id: fc.constantFrom('1', '2', '3'),
      order_id: fc.constantFrom('o', 'p', null),
      value: fc.constantFrom(1, -1, null),
      refund_of: fc.constantFrom(null, null, 'o'),
      step: fc.nat(4_000),
      back: fc.oneof(fc.constant(0), fc.nat(LATENESS)),
    }),
    { maxLength: 120 },
  )
  .map((list): Rec<Event>[] => {
    let now = T
    return list.map(({ type, step, back, ...fields }, number) => {
      now += step
      const value = event(type, { ...fields, event_time: now - back })
      return recordOf(value, { time: value.time, watermark: now - LATENESS - 1, number })
    })
  })

test('the twin agrees on random events, and slices change nothing', () => {
  fc.assert(
    fc.property(randomRecords, (records) => {
      const [one, seven, all] = [1, 7, 128].map((sliceRecords) =>
        runOperator(duplicates(SETTINGS), records, { sliceRecords }),
      )
      const expected = twin(
        records.map(({ value }) => value),
        HORIZON,
        ORDER_HORIZON,
      )
      expect(all!.out.map(({ number }) => number)).toEqual(expected)
      expect((all!.counts.accepted ?? 0) + (all!.counts.duplicates ?? 0)).toBe(records.length)
      for (const sliced of [one!, seven!]) {
        expect(sliced.out.map(({ number }) => number)).toEqual(expected)
        expect(sliced.entries).toEqual(all!.entries)
        expect([sliced.counts, sliced.highest]).toEqual([all!.counts, all!.highest])
      }
    }),
    { numRuns: 300 },
  )
})

test('on the real stores, through commits and restarts, the same events go on', async () => {
  await fc.assert(
    fc.asyncProperty(randomRecords, fc.constantFrom(1, 7), async (records, sliceRecords) => {
      const strict = runOperator(duplicates(SETTINGS), records, { sliceRecords: 128 })
      const whole = await runOnTaskState(duplicates(SETTINGS), records, { sliceRecords: 128 })
      const sliced = await runOnTaskState(duplicates(SETTINGS), records, { sliceRecords })
      for (const real of [whole, sliced]) {
        expect(real.out.map(({ number }) => number)).toEqual(strict.out.map(({ number }) => number))
        expect([real.counts, real.highest]).toEqual([strict.counts, strict.highest])
      }
      expect(sliced.dump).toEqual(whole.dump)
    }),
    { numRuns: 60 },
  )
})

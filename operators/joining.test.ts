// What the joiner is told of events: result, nothing touched, nothing emitted; goals against a slow twin on random events.

import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { recordOf, runOperator } from '../test/operator-harness.ts'
import type { Goal } from './attribution-settings.ts'
import { checkEvent, type Event, isRejected } from './event.ts'
import { interpretExpressions } from './interpreter.ts'
import { toJoin } from './joining.ts'
import type { OperatorContext, OperatorSettings } from './operator.ts'
import type { Conversion, JoinRecord } from './touch.ts'

const T = 1_750_000_000_000

function eventOf(fields: object): Event {
  const whole = { event_id: 'e', event_time: T, user_id: 'u', ...fields }
  const event = checkEvent(whole, { anonymous: 'accept' })
  if (isRejected(event)) throw new Error(`${event.code} ${event.field}`)
  return event
}
const ad = { ad_id: 'x', campaign_id: 'c', advertiser_id: 'a' }
const purchase = { type: 'conversion', advertiser_id: 'a' }

function join(events: readonly Event[], goals: readonly Goal[] = []): JoinRecord[] {
  const records = events.map((event, number) => recordOf(event, { time: event.time, number }))
  const outcome = runOperator<Event, JoinRecord>(toJoin({ goals }), records, { sliceRecords: 3 })
  expect([outcome.touched, outcome.emitted, outcome.counts]).toEqual([[], [], {}])
  return outcome.out.map(({ value }) => value)
}
const goalsOf = (event: Event, goals: readonly Goal[]): readonly string[] | undefined =>
  (join([event], goals)[0] as Conversion | undefined)?.goals

describe('of events the joiner is told', () => {
  test('clicks and impressions, as touches, in the place of the event', () => {
    const click = {
      ...recordOf(eventOf({ type: 'click', click_id: 'k', ...ad }), { time: T, watermark: T + 9 }),
      id: 'i',
    }
    const { out } = runOperator<Event, JoinRecord>(toJoin({ goals: [] }), [click], { sliceRecords: 1 })
    const touch = { kind: 'touch', type: 'click', id: 'e', timeMs: T, user: 'u', advertiser: 'a', campaign: 'c' }
    expect(out).toEqual([{ ...click, value: { ...touch, ad: 'x', clickId: 'k', vector: null } }])
    const [view] = join([eventOf({ type: 'impression', ...ad })])
    expect(view).toEqual({ ...touch, type: 'impression', ad: 'x', clickId: null, vector: null })
  })

  test('conversions, with what a sale is', () => {
    const sale = { order_id: 'o', click_id: 'k', value: 12.3456789, currency: 'EUR' }
    const conversion = { kind: 'conversion', type: 'conversion', id: 'e', timeMs: T, advertiser: 'a' }
    expect(join([eventOf({ ...purchase, ...sale })])).toEqual([
      {
        ...{ ...conversion, user: 'u', ownUser: 'u', orderId: 'o', clickId: 'k', goals: [''] },
        ...{ valueMicro: 12_345_679, currency: 'EUR' },
      },
    ])
    const bare = { ...conversion, orderId: null, valueMicro: null, currency: null }
    expect(join([eventOf({ ...purchase, user_id: null, click_id: 'k', currency: 7 })])).toEqual([
      { ...bare, user: 'click:k', ownUser: null, clickId: 'k', goals: [''] },
    ])
  })

  test('refunds, with the order that they take back, as conversions of no goal', () => {
    const refund = (fields: object) => {
      const [found] = join([eventOf({ ...purchase, ...fields })], [{ name: 'g' }])
      const { refundOf, goals, valueMicro } = found as Conversion
      return { refundOf, goals, valueMicro }
    }
    expect(refund({ refund_of: 'o', order_id: 'p', value: 5 })).toEqual({ refundOf: 'o', goals: [], valueMicro: 5e6 })
    expect(refund({ order_id: 'p', value: -5 })).toEqual({ refundOf: 'p', goals: [], valueMicro: -5e6 })
    expect(refund({ value: -5 })).toEqual({ refundOf: null, goals: [], valueMicro: -5e6 })
    expect(goalsOf(eventOf({ ...purchase, refund_of: 'o' }), [])).toEqual([])
  })

  test('nothing that is neither; and nobody without a name is a touch, or has a goal', () => {
    const others = [
      ...[{ type: 'page_view', page_id: 'p' }, { type: 'consent' }, { type: 'erase' }],
      ...['lead', 'checkout', 'add_to_cart'].map((type) => ({ type, advertiser_id: 'a' })),
    ]
    expect(join(others.map(eventOf))).toEqual([])
    const nobody = { user_id: null }
    const lead = { type: 'lead', advertiser_id: 'a', ...nobody }
    const goal: Goal = { name: 'g', types: ['lead', 'conversion'] }
    expect(join([eventOf({ type: 'click', click_id: 'k', ...ad, ...nobody }), eventOf(lead)], [goal])).toEqual([])
    expect(goalsOf(eventOf({ ...purchase, ...nobody }), [])).toEqual([])
  })

  test('of what a program sent conversions only, of no goal and marked', () => {
    const bots = (fields: object) => ({ ...eventOf(fields), bots: 'mark' as const })
    const marked = [bots({ type: 'click', click_id: 'k', ...ad }), bots({ type: 'lead', advertiser_id: 'a' })]
    expect(join(marked, [{ name: 'g', types: ['lead'] }])).toEqual([])
    expect(join([bots(purchase)])).toMatchObject([{ goals: [], bots: 'mark' }])
  })
})

describe('a goal', () => {
  const sale = eventOf({ ...purchase, pixel_id: 'p', value: 5 })
  const lead = eventOf({ type: 'lead', advertiser_id: 'a', order_id: 'o', click_id: 'k' })
  const dear: Goal = { name: 'dear', where: { op: 'less', args: [{ constant: 4 }, { field: 'value', as: 'number' }] } }

  test('is met by what meets everything that it says', () => {
    const goals: Goal[] = [
      { name: 'any' },
      { name: 'a', advertiser: 'a' },
      { name: 'b', advertiser: 'b' },
      { name: 'p', pixels: ['o', 'p'] },
      { name: 'o', pixels: ['o'] },
      dear,
      { name: 'leads', types: ['lead'] },
      { name: 'ads', ads: ['never asked here'] },
    ]
    expect(goalsOf(sale, goals)).toEqual(['any', 'a', 'p', 'dear', 'ads'])
    expect(goalsOf({ ...sale, fields: { ...sale.fields, value: 4 } }, [dear])).toEqual([])
    expect(goalsOf(lead, goals)).toEqual(['leads'])
    expect(goalsOf(lead, [dear])).toBe(undefined)
  })

  test('of another type has no order and no click, whatever the fields', () => {
    expect(join([lead], [{ name: 'g', types: ['lead'] }])).toMatchObject([
      { type: 'lead', orderId: null, clickId: null },
    ])
  })

  test('is one that holds at the order time of the event', () => {
    const goalsFrom = (at: number): OperatorSettings => ({
      ...{ anonymous: 'reject', bots: 'count' },
      ...(at < T + 5 ? {} : { goals: [{ name: at < T + 10 ? 'first' : 'second' }] }),
    })
    const configured = { configured: goalsFrom } as unknown as OperatorContext
    const records = [0, 4, 5, 9, 10].map((n) => recordOf(sale, { time: T + n }))
    const late = recordOf(sale, { time: T, watermark: T + 20 })
    const out = toJoin({ goals: [{ name: 'own' }] }).process([...records, late], configured)
    const named = out.map(({ value }) => (value as Conversion).goals.join())
    expect(named).toEqual(['', '', 'first', 'first', 'second', 'second'])
  })

  test('on random events is met where a reading of its declaration says so', () => {
    const id = fc.constantFrom('a', 'b')
    const types = fc.subarray(['conversion', 'lead', 'checkout'] as const, { minLength: 1 })
    const parts = {
      advertiser: id,
      pixels: fc.subarray(['a', 'b', 'c'], { minLength: 1 }),
      types,
      where: fc.constant(dear.where!),
    }
    const goal = fc.record(parts, { requiredKeys: [] })
    const goalList = fc.array(goal, { minLength: 1, maxLength: 5 })
    const event = fc
      .record({
        type: fc.constantFrom('conversion', 'lead', 'checkout', 'add_to_cart'),
        advertiser_id: id,
        pixel_id: fc.constantFrom(null, 'a', 'b'),
        value: fc.constantFrom(null, -1, 4, 5),
        refund_of: fc.constantFrom(null, null, 'o'),
      })
      .map(eventOf)
    fc.assert(
      fc.property(goalList, event, (list, e) => {
        const goals = list.map((parts, i): Goal => ({ name: `g${i}`, ...parts }))
        const { type, advertiser_id, pixel_id, value, refund_of } = e.fields
        const isRefund = type === 'conversion' && (refund_of !== null || (value ?? 0) < 0)
        const met = goals.filter((g) => {
          const isType = g.types === undefined ? type === 'conversion' : g.types.includes(type)
          const isPixel = g.pixels === undefined || g.pixels.includes(pixel_id ?? '')
          const isMet = g.where === undefined || interpretExpressions([g.where])({ fields: e.fields })[0] === true
          return !isRefund && isType && isPixel && isMet && (g.advertiser ?? advertiser_id) === advertiser_id
        })
        const expected = type === 'conversion' || met.length > 0 ? met.map(({ name }) => name) : undefined
        expect(goalsOf(e, goals)).toEqual(expected)
      }),
    )
  })
})

// What a value is made of: that it adds up to the value, for every kind of part, and that it is bounded.

import { describe, expect, it } from 'vitest'
import type { Event } from '../../operators/event.ts'
import { featureGroup } from '../../operators/feature-group.ts'
import { type KeyRecord, RECORDS_STORE } from '../../operators/feature-record.ts'
import { featureValue } from '../../operators/feature-values.ts'
import type { Rec } from '../../operators/operator.ts'
import { declared, clicks as feature } from '../../test/features/declared.ts'
import { runOperator } from '../../test/operator-harness.ts'
import { compileFeatures } from './compile.ts'
import type { FeatureDeclaration, WindowedFeature } from './declaration.ts'
import { EXPLAINED_IDS_MAX, EXPLAINED_PANES_MAX, type MadeOf, madeOfRecord } from './value-explanation.ts'

const HOUR_MS = 3_600_000
const BASE = 40 * 24 * HOUR_MS

/** Clicks of user u, at hours after BASE, each of an advertiser and a value. */
function clicksAt(hours: readonly number[]): Rec<Event>[] {
  return hours.map((hour, i) => {
    const time = BASE + hour * HOUR_MS
    const fields = { user_id: 'u', advertiser_id: `a${i % 15}`, value: i + 0.25 }
    const event: Event = { type: 'click', id: `e${i}`, time, user: 'u', anonymous: false, fields: fields as never }
    return {
      value: event,
      at: time,
      watermark: -1,
      late: false,
      rank: 1,
      type: 'click',
      id: event.id,
      number: i,
      input: 0,
    }
  })
}

/** What the value of a feature at an hour is, and is made of. */
function explained(declaration: FeatureDeclaration, events: readonly Rec<Event>[], hour: number) {
  const { groups, features } = compileFeatures(declared([declaration]))
  const { group } = groups[0]!
  const { how } = features[0]!
  if (how.kind !== 'kept') throw new Error('it is kept')
  const store = runOperator(featureGroup(group), events, { sliceRecords: 7 }).keyed(RECORDS_STORE)
  const record = (store.get(1, 'u') ?? store.get(0, 'u')) as KeyRecord | undefined
  const T = BASE + hour * HOUR_MS
  return { value: featureValue(how.reading, record, T), made: madeOfRecord(group, how.reading, record, T) }
}

const of = (name: string) => ({ field: name, as: name === 'value' ? 'number' : 'text' }) as const
const total = ({ panes }: MadeOf, what: string): number =>
  panes.flatMap(({ parts }) => parts.filter((part) => part.what === what)).reduce((sum, { value }) => sum + value, 0)

describe('VE1: what is shown adds up', () => {
  const events = clicksAt([0, 1, 1, 5, 30, 100, 167, 168, 168.5, 200])

  it('a count, of the window that ends there and no other', () => {
    for (const hour of [0, 100, 168, 200]) {
      const { value, made } = explained(feature(), events, hour)
      expect([hour, total(made, 'count')]).toEqual([hour, value])
      for (const { start, widthMs } of made.panes) {
        expect(start).toBeGreaterThanOrEqual(made.from!)
        expect(start + widthMs).toBeLessThanOrEqual(made.to!)
      }
      expect(made.panes.map(({ start }) => start)).toEqual(made.panes.map(({ start }) => start).sort((a, b) => b - a))
    }
  })

  it('a sum, an average and a variance', () => {
    const sum = explained(feature({ aggregate: { fn: 'sum', of: of('value'), scale: 100 } }), events, 200)
    expect(total(sum.made, 'sum')).toBe(sum.value)
    const { value, made } = explained(
      feature({ aggregate: { fn: 'variance', of: of('value'), scale: 100 } }),
      events,
      200,
    )
    const [s, n, squares] = [total(made, 'sum'), total(made, 'values'), total(made, 'squares')]
    expect((n * squares - s * s) / (n * n)).toBeCloseTo(value as number, 9)
  })

  it('the least and the greatest', () => {
    for (const fn of ['least', 'greatest'] as const) {
      const { value, made } = explained(feature({ aggregate: { fn, of: of('value'), scale: 100 } }), events, 200)
      const values = made.panes.map(({ parts: [part] }) => part!.value)
      expect(fn === 'least' ? Math.min(...values) : Math.max(...values)).toBe(value)
    }
  })

  it('different ids, and how often each came', () => {
    const ids = ({ panes }: MadeOf) => panes.flatMap(({ parts }) => parts.flatMap((part) => part.ids))
    const distinct = explained(feature({ aggregate: { fn: 'distinct', of: of('advertiser_id') } }), events, 200)
    expect(new Set(ids(distinct.made).map(({ id }) => id)).size).toBe(distinct.value)
    const top = explained(feature({ aggregate: { fn: 'top', of: of('advertiser_id'), length: 3 } }), events, 200)
    expect(ids(top.made).filter(({ id }) => id === (top.value as [string, number][])[0]![0])).toEqual([
      { id: (top.value as [string, number][])[0]![0], times: 1 },
    ])
  })

  it('a list has its events, and no others', () => {
    const { windows, ...rest } = feature() as WindowedFeature
    const list = { ...rest, within: '7d' }
    const last = { ...list, aggregate: { fn: 'last_ids', of: of('advertiser_id'), length: 3 } } as FeatureDeclaration
    const { value, made } = explained(last, events, 200)
    expect(made.entries.map((entry) => entry.value)).toEqual(value)
    expect(made.entries.map(({ id }) => id)).toEqual(['e9', 'e8', 'e7'])
    // The first three are seven days old and more.
    const ten = { fn: 'last_ids', of: of('advertiser_id'), length: 10 } as const
    const week = explained({ ...list, aggregate: ten } as FeatureDeclaration, events, 169)
    expect([week.made.entries.length, week.made.entries.map((entry) => entry.value)]).toEqual([6, week.value])
    const since = explained({ ...list, aggregate: { fn: 'since' } } as FeatureDeclaration, events, 201)
    expect([since.value, since.made.entries.map(({ id }) => id)]).toEqual([3_600, ['e9']])
    expect(explained(last, [], 200)).toMatchObject({ value: undefined, made: { panes: [], entries: [] } })
  })
})

describe('VE2: it is bounded', () => {
  // Before there is a watermark a tile is as narrow as when it came: a year of hours is more than any window has.
  const minutes = Array.from({ length: EXPLAINED_PANES_MAX + 20 }, (_, i) => i / 60)

  it('in panes: the newest are shown, and it says that there are older ones', () => {
    const declaration = feature({ windows: ['1h', '28d'] })
    const { groups, features } = compileFeatures(declared([declaration]))
    const { how } = features[1]!
    if (how.kind !== 'kept') throw new Error('it is kept')
    const { group } = groups[0]!
    const store = runOperator(featureGroup(group), clicksAt(minutes), { sliceRecords: 128 }).keyed(RECORDS_STORE)
    const record = (store.get(1, 'u') ?? store.get(0, 'u')) as KeyRecord
    const made = madeOfRecord(group, how.reading, record, BASE + 20 * HOUR_MS)
    expect([made.panes.length, made.complete]).toEqual([EXPLAINED_PANES_MAX, false])
    expect(made.panes[0]!.start).toBe(BASE + (minutes.length - 1) * 60_000)
  })

  it('in ids of a pane', () => {
    const distinct = feature({ aggregate: { fn: 'distinct', of: of('advertiser_id') } })
    const { value, made } = explained(distinct, clicksAt(new Array(15).fill(3)), 3)
    expect([value, made.panes[0]!.parts[0]!.value, made.panes[0]!.parts[0]!.ids.length]).toEqual([
      15,
      15,
      EXPLAINED_IDS_MAX,
    ])
  })
})

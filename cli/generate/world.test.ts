// The lines of the generated world: the same for the same options, in the order of arrival, judged as the truth says, and
// with everything in them that goes wrong in reality.

import { expect, test } from 'vitest'
import { EVENT_SETTINGS, type Fields, isRejected, parseEventBytes } from '../../operators/event.ts'
import { FUTURE_MS } from '../../operators/validation.ts'
import { recompute } from '../../test/oracle/oracle.ts'
import type { Arrival } from './scene.ts'
import { EVENTS_MAX, WORLD_DEFAULTS, type WorldOptions, world } from './world.ts'
import { Truth, type TruthRow } from './world-truth.ts'

const SMALL: WorldOptions = {
  ...WORLD_DEFAULTS,
  events: 100_000,
  users: 2_000,
  ads: 24,
  campaigns: 8,
  advertisers: 4,
  days: 14,
}

function make(options: Partial<WorldOptions> = {}): { arrivals: Arrival[]; rows: TruthRow[]; truth: Truth } {
  const truth = new Truth()
  const arrivals = [...world({ ...SMALL, ...options }, truth)].flat()
  return { arrivals, rows: truth.take(), truth }
}

function textOf(options: Partial<WorldOptions> = {}, truth: Truth | null = null): string {
  return [...world({ ...SMALL, events: 5_000, ...options }, truth)]
    .flat()
    .map(({ text }) => text)
    .join('\n')
}

const { arrivals, rows, truth } = make()
const { summary } = truth
const accepted = arrivals.filter(({ fact }) => fact === null)
const events = accepted.map(({ text }) => JSON.parse(text) as Fields & { source?: string })
const ofKind = <K extends TruthRow['kind']>(kind: K) =>
  rows.filter((row): row is Extract<TruthRow, { kind: K }> => row.kind === kind)
const [worldRow] = ofKind('world')

test('the same options give the same bytes, with and without the truth; another seed gives others', () => {
  expect(textOf()).toBe(textOf())
  expect(textOf({}, new Truth())).toBe(textOf())
  expect(textOf({ seed: 2 })).not.toBe(textOf())
})

test('the number of lines is about what was asked for, none for none', () => {
  expect(Math.abs(arrivals.length / SMALL.events - 1)).toBeLessThan(0.05)
  expect(make({ events: 0 }).arrivals).toEqual([])
  expect(make({ events: 7, days: 1 }).arrivals.length).toBeGreaterThan(0)
})

test('lines come in the order of arrival, never before their event, late only by upload', () => {
  let lastMs = 0
  for (const { atMs, text, fact, isUpload } of arrivals) {
    expect(atMs >= lastMs).toBe(true)
    lastMs = atMs
    if (fact !== null && fact.is !== 'duplicate') continue
    const lagMs = atMs - (JSON.parse(text).event_time - SMALL.startMs)
    expect(lagMs >= 0 && (isUpload ? lagMs >= 3_600_000 && lagMs <= 5 * 86_400_000 : lagMs <= 240_000)).toBe(true)
  }
})

test('every line is judged as the truth says', () => {
  for (const { text, fact } of arrivals) {
    const result = parseEventBytes(Buffer.from(text), EVENT_SETTINGS)
    const expected = fact === null || fact.is === 'duplicate' ? null : { code: fact.code, field: fact.field }
    if (!isRejected(result)) expect(expected, text.slice(0, 200)).toBeNull()
    else expect({ code: result.code, field: result.field }, text.slice(0, 200)).toEqual(expected)
  }
})

test('the independent oracle counts what the truth counts', () => {
  const file = Buffer.from(arrivals.map(({ text }) => `${text}\n`).join(''))
  const counted = recompute(file).summary
  const dead = summary.malformed + summary.anonymous
  expect(counted).toMatchObject({
    read: summary.lines,
    duplicates: summary.duplicates,
    dead_letters: dead,
    accepted: summary.lines - summary.duplicates - dead,
    late: summary.uploaded,
  })
})

test('rows of lines name the line and nothing else', () => {
  const facts = ofKind('line')
  expect(facts.length).toBe(summary.duplicates + summary.malformed + summary.anonymous)
  for (const { line, kind, ...fact } of facts) expect(arrivals[line - 1]!.fact).toEqual(fact)
})

test('one event in ten comes twice, by the same event_id or by the order alone', () => {
  expect(summary.duplicates / accepted.length).toBeGreaterThan(0.09)
  expect(summary.duplicates / accepted.length).toBeLessThan(0.11)
  const by = new Set(arrivals.map(({ fact }) => (fact?.is === 'duplicate' ? fact.by : null)))
  expect(by).toEqual(new Set(['event_id', 'order_id', null]))
  const doubled = arrivals.filter(({ fact, text }) => fact?.is === 'duplicate' && text.includes('"order_id":"order-'))
  const bought = summary.conversions.both + summary.conversions.pixel + summary.conversions.server
  expect(doubled.length / bought).toBeGreaterThan(0.06)
})

test('which copy of a conversion is the duplicate depends on no order of arrival: same time, same user, a higher event_id', () => {
  const first = new Map(events.map((event) => [event.order_id, event]))
  const others = arrivals.flatMap(({ fact, text }) =>
    fact?.is === 'duplicate' && fact.by === 'order_id' ? [text] : [],
  )
  expect(others.length).toBeGreaterThan(10)
  for (const text of others) {
    const second = JSON.parse(text) as Fields
    const { event_id, event_time, user_id, click_id, advertiser_id } = first.get(second.order_id)!
    expect(second).toMatchObject({
      event_time,
      advertiser_id,
      ...(user_id ? { user_id } : {}),
      ...(click_id ? { click_id } : {}),
    })
    expect(second.event_id > event_id).toBe(true)
  }
})

test('every code of a dead letter is there; those of the future only where it is refused', () => {
  const codes = ['EVENT_FIELD_INVALID', 'EVENT_FIELD_MISSING', 'EVENT_JSON', 'EVENT_TOO_LARGE']
  expect(Object.keys(summary.malformed_by_code).sort()).toEqual(codes)
  expect(summary.malformed / arrivals.length).toBeLessThan(0.01)
  const live = make({ live: true, events: 30_000 }).arrivals.filter(
    ({ fact }) => fact !== null && fact.is !== 'duplicate' && fact.code === 'EVENT_TIME_FUTURE',
  )
  expect(live.length).toBeGreaterThan(0)
  for (const { atMs, text } of live) {
    const event = parseEventBytes(Buffer.from(text), EVENT_SETTINGS)
    expect(isRejected(event) ? 0 : event.time - SMALL.startMs - atMs).toBeGreaterThan(FUTURE_MS)
  }
})

test('conversions take every route, and say in every way whose they are', () => {
  for (const [route, count] of Object.entries(summary.conversions)) expect(count, route).toBeGreaterThan(0)
  const ids = new Set(events.map(({ event_id }) => event_id))
  for (const { route, event_id } of ofKind('conversion')) expect(ids.has(event_id), event_id).toBe(route !== 'lost')
  const owner = new Map(ofKind('conversion').map(({ event_id, user_id }) => [event_id, user_id]))
  const ways = new Set<string>()
  for (const { event_id, user_id, click_id } of events) {
    const user = owner.get(event_id)
    if (user === undefined) continue
    const who = user_id === undefined ? 'nobody' : user_id === user ? 'own' : 'other'
    ways.add(`${who}, ${click_id === undefined ? 'no click' : 'click'}`)
  }
  expect(ways).toEqual(new Set(['own, no click', 'own, click', 'nobody, click', 'other, click']))
  expect(summary.organic).toBeGreaterThan(0)
})

test("in an outage nothing comes from the advertiser's pixel; the rest of it does, and before and after it does", () => {
  const { outage } = worldRow!
  const pixelOf = (from: number, to: number, advertiser: string) =>
    events.filter(
      (e) => e.advertiser_id === advertiser && e.source === 'pixel' && e.event_time >= from && e.event_time < to,
    )
  const { advertiser_id, from, to } = outage
  const lengthMs = to - from
  expect(pixelOf(from, to, advertiser_id)).toEqual([])
  expect(pixelOf(from - 4 * lengthMs, from, advertiser_id).length).toBeGreaterThan(0)
  expect(pixelOf(to, to + 4 * lengthMs, advertiser_id).length).toBeGreaterThan(0)
  const swallowed = ofKind('conversion').filter(({ route }) => route === 'lost' || route === 'recovered')
  expect(swallowed.length).toBeGreaterThan(0)
  for (const row of swallowed) {
    expect(row.advertiser_id).toBe(advertiser_id)
    expect(row.time >= from && row.time < to).toBe(true)
  }
})

test('uploads are bursts: many conversions of one advertiser within seconds', () => {
  const minutes = new Map<number, Set<unknown>>()
  const uploads = arrivals.filter(({ isUpload }) => isUpload)
  for (const { atMs, text } of uploads) {
    const minute = Math.floor(atMs / 60_000)
    minutes.set(minute, (minutes.get(minute) ?? new Set()).add(JSON.parse(text).advertiser_id))
  }
  expect(minutes.size).toBeLessThanOrEqual(6)
  expect(uploads.length / minutes.size).toBeGreaterThan(5)
  for (const advertisers of minutes.values()) expect(advertisers.size).toBe(1)
})

test('refunds are whole and in part, of known orders and unknown, after what they take back, from the same user', () => {
  const refunds = ofKind('refund')
  const conversions = new Map(ofKind('conversion').map((row) => [row.event_id, row]))
  const sent = new Map(events.map((event) => [event.event_id, event]))
  const kinds = new Set<string>()
  for (const refund of refunds) {
    const event = sent.get(refund.event_id)!
    kinds.add(`${refund.whole ? 'whole' : 'part'} ${refund.of === null ? 'unknown' : 'known'}`)
    kinds.add(event.refund_of === undefined ? 'negative' : 'refund_of')
    expect(event.refund_of ?? event.order_id).toBe(refund.order_id)
    expect(Math.abs(event.value!)).toBe(refund.amount)
    if (refund.of === null) continue
    const taken = conversions.get(refund.of)!
    expect([event.user_id, event.advertiser_id]).toEqual([taken.user_id, taken.advertiser_id])
    expect(refund.time).toBeGreaterThan(taken.time)
    expect(refund.whole ? refund.amount === taken.value : refund.amount < taken.value).toBe(true)
  }
  expect(kinds).toEqual(new Set(['whole known', 'part known', 'whole unknown', 'negative', 'refund_of']))
})

test('users return, some much oftener than others; bots look at pages faster than people', () => {
  const sessions = new Map<string, number[]>()
  for (const { type, user_id, event_time } of events) {
    if (type !== 'page_view') continue
    const times = sessions.get(user_id!) ?? []
    sessions.set(user_id!, times)
    times.push(event_time)
  }
  const medianGapMs = (times: number[]) => {
    const sorted = times.toSorted((a, b) => a - b)
    const gaps = sorted.slice(1).map((time, i) => time - sorted[i]!)
    return gaps.toSorted((a, b) => a - b)[Math.floor(gaps.length / 2)]!
  }
  const bots = worldRow!.bots
  const seen = bots.filter((bot) => sessions.has(bot))
  expect(seen.length).toBeGreaterThan(0)
  for (const bot of seen) expect(medianGapMs(sessions.get(bot)!)).toBeLessThan(1_000)
  const people = [...sessions].filter(([user]) => user.startsWith('u'))
  const days = (times: number[]) => new Set(times.map((time) => Math.floor(time / 86_400_000))).size
  expect(people.filter(([, times]) => days(times) > 2).length).toBeGreaterThan(500)
  const views = people.map(([, times]) => times.length).toSorted((a, b) => b - a)
  expect(views[0]!).toBeGreaterThan(10 * views[Math.floor(views.length / 2)]!)
  for (const [, times] of people.slice(0, 50)) expect(medianGapMs(times)).toBeGreaterThan(1_000)
})

test('time can be compressed: the same arrivals, times written closer together', () => {
  const fast = make({ events: 2_000, speed: 3_600 }).arrivals
  const plain = make({ events: 2_000 }).arrivals
  expect(fast.map(({ atMs }) => atMs)).toEqual(plain.map(({ atMs }) => atMs))
  plain.forEach(({ text, fact }, index) => {
    if (fact !== null) return
    const atMs = JSON.parse(text).event_time - SMALL.startMs
    expect(JSON.parse(fast[index]!.text).event_time).toBe(SMALL.startMs + Math.floor(atMs / 3_600))
  })
})

test.each<[string, Partial<WorldOptions>, string]>([
  ['too many events', { events: EVENTS_MAX + 1 }, 'events must be'],
  ['more campaigns than ads', { ads: 3, campaigns: 4 }, 'campaigns must be'],
  ['more advertisers than campaigns', { campaigns: 4, advertisers: 5 }, 'advertisers must be'],
  ['no days', { days: 0 }, 'days must be'],
  ['no speed', { speed: 0 }, 'speed must be'],
  ['more than a day a second', { speed: 86_401 }, 'speed must be'],
  ['half a user', { users: 0.5 }, 'users must be'],
])('%s is refused', (_, options, message) => {
  expect(() => make(options)).toThrow(message)
})

// Oracle: every feature of the CVR application, said a second time and by hand: for each key all its events are gone through,
// for each feature anew. Imports nothing of the project, and knows no declarations, tiles, parts, records or plans.
//
// 1. A window of length W with panes of width r (a minute up to an hour, an hour beyond) that ends at T has the events whose
//    floor(time / r) lies in (floor(T / r) - W / r, floor(T / r)]. What came last goes back to T - W, that one excluded.
// 2. Sums are exact whole numbers of micro-units; from them averages and variances are computed in the order written here.
// 3. What is absent, 0 or an empty list has no line, nor has a derived feature of a key where all that it is derived of is so.
// 4. Up to 64 different texts are counted exactly. Above that a number of different ones may be ESTIMATE_ERRORS standard
//    errors from the true one, and a list of the most frequent may leave ids out, but what it says of an id is true.
// Not here: context features, which have no keys.

import { type Event, textOf } from './judge.ts'
import type { Feature, FeatureValue } from './recompute.ts'
import { byUtf8 } from './records.ts'

const MINUTE_MS = 60_000
const HOUR_MS = 60 * MINUTE_MS
const DAY_MS = 24 * HOUR_MS
const LENGTH_MS = { '1h': HOUR_MS, '24h': DAY_MS, '7d': 7 * DAY_MS, '28d': 28 * DAY_MS } as const
type Length = keyof typeof LENGTH_MS

const MICROS = 1_000_000
const EXACT_MAX = 64
/** docs/features.md. */
const STANDARD_ERROR = 0.033
/** A right estimate is further off once in 16,000 keys. */
const ESTIMATE_ERRORS = 4

/** Whether the number or list that was found is one that may stand there: where there is no one right value. */
export type MayBe = (found: unknown) => boolean
/** A line of features.ndjson; `mayBe`: instead of one right value. */
export interface ExpectedFeature extends Feature {
  readonly mayBe?: MayBe
}
type Said = FeatureValue | { readonly value: FeatureValue; readonly mayBe: MayBe } | null

/** What a feature says of the events of one key, at T. null: nothing. */
type FeatureOf = (events: readonly Event[], T: number) => Said
type Kind = (event: Event) => boolean

// --- which events

const ofType =
  (type: string): Kind =>
  (event) =>
    event.type === type
const isRefundOf = ({ fields }: Event): boolean => textOf(fields, 'refund_of') !== null
const ordered: Kind = (event) => event.type === 'conversion' && !isRefundOf(event)
const amountOf = ({ fields }: Event): number => fields.get('value') as number
const soldInUsd: Kind = (event) => ordered(event) && textOf(event.fields, 'currency') === 'USD' && amountOf(event) >= 0

function inWindow(events: readonly Event[], length: Length, T: number): Event[] {
  const lengthMs = LENGTH_MS[length]
  const paneMs = lengthMs <= HOUR_MS ? MINUTE_MS : HOUR_MS
  const last = Math.floor(T / paneMs)
  return events.filter(({ eventTimeMs }) => {
    const pane = Math.floor(eventTimeMs / paneMs)
    return last - lengthMs / paneMs < pane && pane <= last
  })
}

function newestFirst(events: readonly Event[], length: Length, T: number): Event[] {
  return events
    .filter(({ eventTimeMs }) => T - LENGTH_MS[length] < eventTimeMs && eventTimeMs <= T)
    .sort((a, b) => b.eventTimeMs - a.eventTimeMs || byUtf8(b.type, a.type) || byUtf8(b.eventId, a.eventId))
}

// --- what of them

const countIn = (kind: Kind, length: Length, events: readonly Event[], T: number): number =>
  inWindow(events.filter(kind), length, T).length

const textsIn = (kind: Kind, name: string, length: Length, events: readonly Event[], T: number): string[] =>
  inWindow(events.filter(kind), length, T)
    .map(({ fields }) => textOf(fields, name))
    .filter((text) => text !== null)

const micros = (events: readonly Event[]): bigint[] =>
  events.map((event) => BigInt(Math.floor(amountOf(event) * MICROS + 0.5)))
const sum = (numbers: readonly bigint[]): bigint => numbers.reduce((a, b) => a + b, 0n)

function distinct(kind: Kind, name: string, length: Length): FeatureOf {
  return (events, T) => {
    const { size } = new Set(textsIn(kind, name, length, events, T))
    if (size <= EXACT_MAX) return size
    const off = ESTIMATE_ERRORS * STANDARD_ERROR * size
    return { value: size, mayBe: (found) => Number.isInteger(found) && Math.abs((found as number) - size) <= off }
  }
}

function mostFrequent(kind: Kind, name: string, length: Length, places: number): FeatureOf {
  return (events, T) => {
    const times = new Map<string, number>()
    for (const text of textsIn(kind, name, length, events, T)) times.set(text, (times.get(text) ?? 0) + 1)
    const sorted = [...times].sort(([a, x], [b, y]) => y - x || byUtf8(a, b))
    const value = sorted.slice(0, places)
    if (times.size <= EXACT_MAX) return value
    const mayBe: MayBe = (found) =>
      Array.isArray(found) && found.length === places && isOrderedPartOf(found, sorted.map(String))
    return { value, mayBe }
  }
}

/** Whether all of a list is in another one, in its order. */
function isOrderedPartOf(part: readonly unknown[], whole: readonly string[]): boolean {
  const places = part.map((one) => whole.indexOf(String(one)))
  return places.every((place, i) => place > (places[i - 1] ?? -1))
}

const lastText =
  (kind: Kind, name: string, length: Length): FeatureOf =>
  (events, T) =>
    lastTexts(kind, name, length, events, T)[0] ?? null

const lastTexts = (kind: Kind, name: string, length: Length, events: readonly Event[], T: number): string[] =>
  newestFirst(events.filter(kind), length, T)
    .map(({ fields }) => textOf(fields, name))
    .filter((text) => text !== null)

const secondsSince =
  (kind: Kind, length: Length): FeatureOf =>
  (events, T) => {
    const [newest] = newestFirst(events.filter(kind), length, T)
    return newest === undefined ? null : (T - newest.eventTimeMs) / 1_000
  }

/** (above + weight x prior) / (below + weight). */
const smoothed =
  (above: Kind, below: Kind, length: Length, prior: number, weight: number): FeatureOf =>
  (events, T) => {
    const [of, per] = [countIn(above, length, events, T), countIn(below, length, events, T)]
    return of === 0 && per === 0 ? null : (of + weight * prior) / (per + weight)
  }

const ratio =
  (above: Kind, below: Kind, length: Length): FeatureOf =>
  (events, T) => {
    const [of, per] = [countIn(above, length, events, T), countIn(below, length, events, T)]
    return per === 0 ? null : of / per
  }

// --- all of them

type Features = Readonly<Record<string, FeatureOf>>

const counts = (name: string, kind: Kind, ...lengths: Length[]): Features =>
  Object.fromEntries(
    lengths.map((length): [string, FeatureOf] => [
      `${name}_${length}`,
      (events, T) => countIn(kind, length, events, T),
    ]),
  )

const [viewed, shown, clicked, added, checkedOut, isLead] = [
  ...['page_view', 'impression', 'click', 'add_to_cart', 'checkout', 'lead'].map(ofType),
] as [Kind, Kind, Kind, Kind, Kind, Kind]

/** Fields whose texts are the key, in their order, and the features of that key. */
interface Entity {
  readonly key: readonly string[]
  readonly features: Features
}

const USER: Features = {
  ...counts('page_views', viewed, '1h', '24h', '7d'),
  ...counts('impressions', shown, '1h', '24h', '7d'),
  ...counts('clicks', clicked, '1h', '24h', '7d', '28d'),
  ...counts('cart_adds', added, '24h', '7d', '28d'),
  ...counts('checkouts', checkedOut, '24h', '7d'),
  ...counts('orders', ordered, '7d', '28d'),
  click_rate_7d: smoothed(clicked, shown, '7d', 0.01, 200),
  orders_by_cart_add_28d: ratio(ordered, added, '28d'),
  advertisers_clicked_7d: distinct(clicked, 'advertiser_id', '7d'),
  advertisers_clicked_28d: distinct(clicked, 'advertiser_id', '28d'),
  favourite_advertisers_28d: mostFrequent(clicked, 'advertiser_id', '28d', 5),
  last_pages: (events, T) => lastTexts(viewed, 'page_id', '7d', events, T).slice(0, 10),
  last_device: lastText(viewed, 'device', '28d'),
  since_click: secondsSince(clicked, '28d'),
  since_order: secondsSince(ordered, '28d'),
  spend_usd_7d: (events, T) => Number(sum(micros(inWindow(events.filter(soldInUsd), '7d', T)))) / MICROS,
  spend_usd_28d: (events, T) => Number(sum(micros(inWindow(events.filter(soldInUsd), '28d', T)))) / MICROS,
}

const ADVERTISER: Features = {
  ...counts('clicks', clicked, '24h', '7d', '28d'),
  ...counts('orders', ordered, '7d', '28d'),
  ...counts('leads', isLead, '7d'),
  order_rate_28d: smoothed(ordered, clicked, '28d', 0.02, 50),
  order_value_usd_28d(events, T) {
    const sold = micros(inWindow(events.filter(soldInUsd), '28d', T))
    return sold.length === 0 ? null : Number(sum(sold)) / MICROS / sold.length
  },
  order_value_variance_usd_28d(events, T) {
    const sold = micros(inWindow(events.filter(soldInUsd), '28d', T))
    const upper = BigInt(sold.length) * sum(sold.map((x) => x * x)) - sum(sold) ** 2n
    return sold.length === 0 ? null : Number(upper) / sold.length ** 2 / MICROS ** 2
  },
}

export const ENTITIES: Readonly<Record<string, Entity>> = {
  user: { key: ['user_id'], features: USER },
  page: {
    key: ['page_id'],
    features: { ...counts('page_views', viewed, '1h', '24h'), visitors_24h: distinct(viewed, 'user_id', '24h') },
  },
  ad: {
    key: ['advertiser_id', 'ad_id'],
    features: {
      ...counts('impressions', shown, '1h', '24h', '7d'),
      ...counts('clicks', clicked, '1h', '24h', '7d'),
      click_rate_7d: smoothed(clicked, shown, '7d', 0.01, 200),
      clickers_7d: distinct(clicked, 'user_id', '7d'),
    },
  },
  campaign: {
    key: ['advertiser_id', 'campaign_id'],
    features: {
      ...counts('impressions', shown, '24h', '7d'),
      ...counts('clicks', clicked, '24h', '7d'),
      click_rate_7d: smoothed(clicked, shown, '7d', 0.01, 200),
    },
  },
  advertiser: { key: ['advertiser_id'], features: ADVERTISER },
  user_advertiser: {
    key: ['user_id', 'advertiser_id'],
    features: {
      ...counts('page_views', viewed, '1h', '24h', '7d'),
      ...counts('clicks', clicked, '24h', '7d', '28d'),
      ...counts('cart_adds', added, '24h', '7d'),
      ...counts('orders', ordered, '28d'),
      since_click: secondsSince(clicked, '28d'),
    },
  },
  user_campaign: {
    key: ['user_id', 'campaign_id'],
    features: { ...counts('impressions', shown, '24h', '7d'), ...counts('clicks', clicked, '7d') },
  },
  user_ad: {
    key: ['user_id', 'ad_id'],
    features: { ...counts('impressions', shown, '1h', '24h', '7d'), ...counts('clicks', clicked, '7d') },
  },
}

/** The lines of features.ndjson for accepted events that count for features, at T. */
export function applicationFeatures(events: readonly Event[], T: number): ExpectedFeature[] {
  return Object.entries(ENTITIES).flatMap(([entity, { key, features }]) => {
    const byKey = Map.groupBy(events, (event) => keyOf(key, event))
    byKey.delete(null)
    return [...byKey].flatMap(([key, own]) =>
      Object.entries(features).flatMap(([feature, of]) => {
        const said = of(own, T)
        if (said === null || said === 0 || (Array.isArray(said) && said.length === 0)) return []
        const line = typeof said === 'object' && 'mayBe' in said ? said : { value: said }
        return [{ feature, entity, key: key!, ...line }]
      }),
    )
  })
}

/** One text as it is, several as a JSON array; null: the event is about no such thing. */
function keyOf(names: readonly string[], { fields }: Event): string | null {
  const texts = names.map((name) => textOf(fields, name))
  if (texts.includes(null)) return null
  return texts.length === 1 ? texts[0]! : JSON.stringify(texts)
}

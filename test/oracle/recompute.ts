// Oracle, step 3: from the raw lines to every number of contract.md section 7 that needs no attribution.
// Brute force on purpose: everything in memory, sorted once, judged record by record. Imports nothing of the project.
//
// 1. Late is decided in file order, everything else in the order of the order key.
// 2. read = accepted + duplicates + dead letters, by construction and asserted.
// Not here: attribution, labels, scores. Resolution of clicks to users has its place in `userOf`.

import assert from 'node:assert'
import { type Anonymous, type Bots, type DeadLetter, type Event, judge } from './judge.ts'
import { readLines } from './read-lines.ts'

const DAY_MS = 86_400_000
const DUPLICATE_HORIZON_MS = 7 * DAY_MS
const ORDER_HORIZON_MS = 90 * DAY_MS
const PANE_MS = 60_000
const PANES_PER_HOUR = 60

export interface Settings {
  readonly anonymous: Anonymous
  readonly bots: Bots
  readonly latenessMs: number
  /** true: an accepted event is forgotten once W passes max(event_time, W at arrival) + horizon (protocol section 11);
   *  false: never, contract.md section 2 to the letter. They differ only for twins that come late by more than that. */
  readonly forget: boolean
}

export const DEFAULTS: Settings = { anonymous: 'reject', bots: 'count', latenessMs: 600_000, forget: false }

export interface Summary {
  readonly read: number
  readonly accepted: number
  readonly duplicates: number
  readonly dead_letters: number
  readonly late: number
  readonly as_of: number | null
}

export interface Feature {
  readonly feature: string
  readonly entity: string
  readonly key: string
  readonly value: FeatureValue
}
export interface Count extends Feature {
  readonly value: number
}
/** A number, an id, an id list, a list of ids with weights. */
export type FeatureValue = number | string | readonly (string | readonly [id: string, weight: number])[]

export interface Expected {
  readonly summary: Summary
  readonly features: readonly Feature[]
  readonly deadLetters: readonly DeadLetter[]
}

/** A valid event with what the reader and the order key add: `watermarkMs` is W before it, `atMs` its order time. */
export interface Record {
  readonly event: Event
  readonly user: string
  readonly watermarkMs: number
  readonly atMs: number
  readonly isLate: boolean
}

/** The features of a file, from the accepted events that count for features and the time for which features are asked. */
export type FeaturesOf<F extends Feature> = (events: readonly Event[], asOfMs: number) => F[]

/** Everything the files must say, from the bytes of an NDJSON file alone. */
export function recompute(file: Buffer, settings?: Settings): Expected
/** The same with other features. */
export function recompute<F extends Feature>(
  file: Buffer,
  settings: Settings,
  featuresOf: FeaturesOf<F>,
): Expected & { readonly features: readonly F[] }
export function recompute(
  file: Buffer,
  settings: Settings = DEFAULTS,
  featuresOf: FeaturesOf<Feature> = pageViewsLastHour,
): Expected {
  const { records, deadLetters } = readRecords(file, settings)
  const accepted = withoutDuplicates(records.toSorted(byOrderKey), settings)
  const asOf = accepted.reduce<number | null>((high, { event }) => Math.max(high ?? 0, event.eventTimeMs), null)
  const summary = {
    read: records.length + deadLetters.length,
    accepted: accepted.length,
    duplicates: records.length - accepted.length,
    dead_letters: deadLetters.length,
    late: records.filter(({ isLate }) => isLate).length,
    as_of: asOf,
  }
  // Marked or dropped: both stay out of the features that are here.
  const events = accepted.map(({ event }) => event).filter(({ isBot }) => settings.bots === 'count' || !isBot)
  assert.equal(summary.read, summary.accepted + summary.duplicates + summary.dead_letters)
  return { summary, features: asOf === null ? [] : featuresOf(events, asOf), deadLetters }
}

function readRecords(file: Buffer, settings: Settings): { records: Record[]; deadLetters: DeadLetter[] } {
  const records: Record[] = []
  const deadLetters: DeadLetter[] = []
  let stampMs = Number.NEGATIVE_INFINITY // the highest event_time of the valid lines before this one
  for (const line of readLines(file)) {
    const judged = judge(line, settings.anonymous)
    if ('dead' in judged) {
      deadLetters.push(judged.dead)
      continue
    }
    const { event } = judged
    const watermarkMs = stampMs - settings.latenessMs - 1
    const isLate = event.eventTimeMs <= watermarkMs
    const atMs = isLate ? watermarkMs + 1 : event.eventTimeMs
    records.push({ event, user: userOf(event), watermarkMs, atMs, isLate })
    stampMs = Math.max(stampMs, event.eventTimeMs)
  }
  return { records, deadLetters }
}

/** The user whose event this is. Attribution will resolve click_id to the click's user here (contract.md section 2). */
export function userOf(event: Event): string {
  if (event.userId !== null) return event.userId
  return event.type === 'conversion' && event.clickId !== null ? `click:${event.clickId}` : `anon:${event.eventId}`
}

/** Protocol section 8; all are records, so the rank is equal. Numbers follow the lines. */
function byOrderKey(a: Record, b: Record): number {
  return (
    a.atMs - b.atMs ||
    byUtf8(a.event.type, b.event.type) ||
    byUtf8(a.event.eventId, b.event.eventId) ||
    a.event.line - b.event.line
  )
}

/** Compares strings by their UTF-8 bytes; JavaScript's `<` puts surrogate pairs before U+E000. */
export function byUtf8(a: string, b: string): number {
  return a === b ? 0 : Buffer.compare(Buffer.from(a), Buffer.from(b))
}

/** The records that are no duplicate of one before them. */
export function withoutDuplicates(ordered: readonly Record[], settings: Settings): Record[] {
  const events = new Seen(DUPLICATE_HORIZON_MS, settings.forget)
  const orders = new Seen(ORDER_HORIZON_MS, settings.forget)
  return ordered.filter((record) => {
    const eventKey = JSON.stringify([record.user, record.event.type, record.event.eventId])
    const orderKey = orderKeyOf(record)
    if (events.has(eventKey, record) || (orderKey !== null && orders.has(orderKey, record))) return false
    events.add(eventKey, record)
    if (orderKey !== null) orders.add(orderKey, record)
    return true
  })
}

/** What a second conversion for the same order shares with the first; null for all that is no purchase with an order. */
function orderKeyOf({ user, event }: Record): string | null {
  if (event.type !== 'conversion' || event.isRefund || event.orderId === null) return null
  return JSON.stringify([user, event.advertiserId, event.orderId])
}

/** Accepted records by key, and whether one of them is at most the horizon away in event time. */
class Seen {
  readonly #accepted = new Map<string, Record[]>()
  readonly #horizonMs: number
  readonly #forget: boolean

  constructor(horizonMs: number, forget: boolean) {
    this.#horizonMs = horizonMs
    this.#forget = forget
  }

  has(key: string, { event, atMs }: Record): boolean {
    const before = this.#accepted.get(key) ?? []
    return before.some(
      (old) =>
        Math.abs(event.eventTimeMs - old.event.eventTimeMs) <= this.#horizonMs &&
        !(this.#forget && atMs > Math.max(old.event.eventTimeMs, old.watermarkMs) + this.#horizonMs),
    )
  }

  add(key: string, record: Record): void {
    const before = this.#accepted.get(key)
    if (before) before.push(record)
    else this.#accepted.set(key, [record])
  }
}

/** The counts of page views, by page and by user, in the hour that ends with the minute of a time. */
export function pageViewsLastHour(events: readonly Event[], asOfMs: number): Count[] {
  const lastPane = Math.floor(asOfMs / PANE_MS)
  const views = events.filter((event) => {
    const pane = Math.floor(event.eventTimeMs / PANE_MS)
    return event.type === 'page_view' && lastPane - PANES_PER_HOUR < pane && pane <= lastPane
  })
  return [
    ...countsOf('page', views, ({ pageId }) => pageId),
    ...countsOf('user', views, ({ userId }) => userId), // null for anonymous views: they are nobody's feature
  ]
}

function countsOf(entity: string, views: readonly Event[], keyOf: (view: Event) => string | null): Count[] {
  const counts = new Map<string, number>()
  for (const view of views) {
    const key = keyOf(view)
    if (key !== null) counts.set(key, (counts.get(key) ?? 0) + 1)
  }
  return [...counts].map(([key, value]) => ({ feature: 'page_views_1h', entity, key, value }))
}

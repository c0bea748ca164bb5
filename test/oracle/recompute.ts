// Oracle, step 3: from the raw lines to every number of contract.md section 7.
// Brute force on purpose: everything in memory, sorted once, judged record by record. Imports nothing of the project.
//
// 1. read = accepted + duplicates + dead letters, by construction and asserted.
// 2. Features know conversions by their own user, each once; attribution resolves them first (docs/joiner.md).
// Not here: scores.

import assert from 'node:assert'
import type { Attribution } from './attribution-settings.ts'
import { type Joined, join } from './join.ts'
import type { DeadLetter, Event } from './judge.ts'
import { type JoinedCounts, joinedCounts } from './label-rows.ts'
import { byOrderKey, DEFAULTS, type Record, readRecords, type Settings, withoutDuplicates } from './records.ts'

const PANE_MS = 60_000
const PANES_PER_HOUR = 60

export interface Summary {
  readonly read: number
  readonly accepted: number
  readonly duplicates: number
  readonly dead_letters: number
  readonly late: number
  readonly as_of: number | null
}

/** What attributions.ndjson and labels.ndjson are made of. */
export interface Attributed extends Joined {
  readonly settings: Attribution
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
  readonly summary: Summary & Partial<JoinedCounts>
  /** null: without the joiner. */
  readonly attributed: Attributed | null
  readonly features: readonly Feature[]
  readonly deadLetters: readonly DeadLetter[]
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
  const ordered = records.toSorted(byOrderKey)
  const ofOwnUser = withoutDuplicates(ordered, settings)
  const attributed =
    settings.attribution === null ? null : attribute(ordered, ofOwnUser, settings, settings.attribution)
  const accepted = attributed === null ? ofOwnUser : [...ofOwnUser.filter(isNoConversion), ...attributed.accepted]
  const asOf = accepted.reduce<number | null>((high, { event }) => Math.max(high ?? 0, event.eventTimeMs), null)
  const summary = {
    read: records.length + deadLetters.length,
    accepted: accepted.length,
    duplicates: records.length - accepted.length,
    dead_letters: deadLetters.length,
    late: records.filter(({ isLate }) => isLate).length,
    as_of: asOf,
    ...(attributed === null ? {} : joinedCounts(attributed, attributed.settings, asOf)),
  }
  // Marked or dropped: both stay out of the features that are here.
  const events = ofOwnUser.map(({ event }) => event).filter(({ isBot }) => settings.bots === 'count' || !isBot)
  assert.equal(summary.read, summary.accepted + summary.duplicates + summary.dead_letters)
  return { summary, features: asOf === null ? [] : featuresOf(events, asOf), deadLetters, attributed }
}

const isNoConversion = ({ event }: Record): boolean => event.type !== 'conversion'

function attribute(
  ordered: readonly Record[],
  ofOwnUser: readonly Record[],
  settings: Settings,
  attribution: Attribution,
): Attributed {
  const firsts = new Set(ofOwnUser)
  const toJoin = ordered.filter((record) => !isNoConversion(record) || firsts.has(record))
  const stampMs = ordered.reduce((high, { event }) => Math.max(high, event.eventTimeMs), Number.NEGATIVE_INFINITY)
  const lastWatermarkMs = stampMs - settings.latenessMs - 1
  return { ...join(toJoin, settings, attribution, lastWatermarkMs), settings: attribution }
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

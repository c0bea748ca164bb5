// Counts of the last hour, and of other windows, from one set of panes (contract.md, section 3).
// W1: in mode `panes` a window that ends at T holds the panes p with floor(T/r) - W/r < p <= floor(T/r), r the pane, W the
//     window. Mode `exact`, the events in (T - W, T], is the same rule with panes of one millisecond.
// W2: an event is counted in the pane of its own time, late or not. Only if no window that ends at or after the watermark
//     needs that pane any more, it may be gone: then the event is counted as `count_expired`.
// W3: what is stored is a function of the events counted, not of their order.
// State: one entry per key and bucket of time, holding its panes; entries go with their bucket. `exact` keeps every distinct
// millisecond of a key, so it is for keys with few events.

import { assert, HoldfastError } from '../log/errors.ts'
import type { Codec } from '../state/store.ts'
import { lowestBucketAt, type Retention } from './expiry.ts'
import type { Operator } from './operator.ts'

export const HOUR_MS = 3_600_000
/** Finer panes make entries long; whoever needs it finer takes `exact`. */
export const PANE_MS_MIN = 1_000
export const PANE_MS_DEFAULT = 60_000
/** A leap year: bounds what a key keeps. */
export const WINDOW_MS_MAX = 366 * 24 * HOUR_MS
/** A read of the longest window touches one bucket more than this; an hour's window touches two of an hour. */
const BUCKETS_PER_WINDOW = 24

/** Panes of one bucket that are not zero, in ascending order: pane within the bucket, count, pane, count, … Mutable. */
export type Panes = number[]

/** How time is cut. Panes fill buckets, and both begin at 1970-01-01. */
export interface PaneLayout extends Retention {
  /** Width of a pane, milliseconds; 1 in mode `exact`. */
  readonly paneMs: number
}

export type CountMode = 'panes' | 'exact'

export interface WindowedCountOptions<V> {
  /** Name in features.ndjson and in reads, such as page_views_1h. */
  readonly feature: string
  /** What is counted for, such as page or user. */
  readonly entity: string
  /** The entity's key; null where the value has none, then it is not counted. */
  key(value: V): string | null
  /** Event time, milliseconds. */
  time(value: V): number
  /** Which values count; by default all. */
  where?(value: V): boolean
  readonly mode?: CountMode
  /** From 1 s; divides the hour and every window; 60 s by default. Not with mode `exact`. */
  readonly paneMs?: number
  readonly windowsMs: readonly number[]
}

export interface WindowedCount<V> extends Operator<V, never> {
  readonly feature: string
  readonly entity: string
  readonly mode: CountMode
  readonly windowsMs: readonly number[]
  readonly layout: PaneLayout
}

/** The name of the operator's store, in which `panesCodec` values stand by (bucket, key). */
export const PANES_STORE = 'panes'

/** Counts events by key. Emits nothing: counts are read from state, with `countAt`. Throws USAGE naming the setting. */
export function windowedCount<V>(options: WindowedCountOptions<V>): WindowedCount<V> {
  const { feature, entity, windowsMs, mode = 'panes' } = options
  const layout = layoutOf(options)
  const { paneMs, bucketMs } = layout

  /** The key under which a value counts; null if it does not. */
  function keyOf(value: V): string | null {
    return options.where === undefined || options.where(value) ? options.key(value) : null
  }

  return {
    feature,
    entity,
    mode,
    windowsMs,
    layout,
    name: `count ${feature} by ${entity}`,
    version: 1,
    settings: { feature, entity, mode, paneMs, bucketMs, windowsMs },
    stores: [{ kind: 'keyed', id: 1, name: PANES_STORE, codec: panesCodec }],
    keys(batch, ctx) {
      const store = ctx.keyed<Panes>(PANES_STORE)
      for (const { value } of batch) {
        const key = keyOf(value)
        if (key === null) continue
        const bucket = Math.floor(options.time(value) / bucketMs)
        if (bucket >= store.lowestBucket) store.want(bucket, key)
      }
    },
    process(batch, ctx) {
      const store = ctx.keyed<Panes>(PANES_STORE)
      for (const { value } of batch) {
        const key = keyOf(value)
        if (key === null) continue
        const time = options.time(value)
        const bucket = Math.floor(time / bucketMs)
        if (bucket < store.lowestBucket) {
          ctx.count('count_expired')
          continue
        }
        const pane = Math.floor((time - bucket * bucketMs) / paneMs)
        const panes = store.get(bucket, key)
        if (panes === undefined) store.set(bucket, key, [pane, 1])
        else {
          addTo(panes, pane)
          store.changed(bucket, key)
        }
      }
      return []
    },
    advance(watermark, ctx) {
      const { lowest, next } = lowestBucketAt(watermark, layout)
      ctx.keyed<Panes>(PANES_STORE).expireBelow(lowest)
      return next
    },
  }
}

/** The buckets that a window ending at T reads, in ascending order. */
export function bucketsFor(layout: PaneLayout, T: number, windowMs: number): number[] {
  const panesPerBucket = layout.bucketMs / layout.paneMs
  const { first, last } = panesFor(layout, T, windowMs)
  const from = Math.floor(first / panesPerBucket)
  const to = Math.floor(last / panesPerBucket)
  return Array.from({ length: to - from + 1 }, (_, i) => from + i)
}

/** Those panes of a window ending at T that are not zero, the oldest first; their begin in milliseconds. `panesOf` as in countAt. */
export function panesAt(
  layout: PaneLayout,
  panesOf: (bucket: number) => Panes | undefined,
  T: number,
  windowMs: number,
): { readonly start: number; readonly count: number }[] {
  const panesPerBucket = layout.bucketMs / layout.paneMs
  const { first, last } = panesFor(layout, T, windowMs)
  return bucketsFor(layout, T, windowMs).flatMap((bucket) => {
    const panes = panesOf(bucket) ?? []
    const places = Array.from({ length: panes.length / 2 }, (_, i) => bucket * panesPerBucket + panes[2 * i]!)
    return places.flatMap((pane, i) =>
      pane >= first && pane <= last ? [{ start: pane * layout.paneMs, count: panes[2 * i + 1]! }] : [],
    )
  })
}

/** The count of a window ending at T, milliseconds. `panesOf` gives the panes of one key in a bucket, if it has any. */
export function countAt(
  layout: PaneLayout,
  panesOf: (bucket: number) => Panes | undefined,
  T: number,
  windowMs: number,
): number {
  const panesPerBucket = layout.bucketMs / layout.paneMs
  const { first, last } = panesFor(layout, T, windowMs)
  let count = 0
  for (const bucket of bucketsFor(layout, T, windowMs)) {
    const panes = panesOf(bucket) ?? []
    const start = bucket * panesPerBucket
    for (let i = 0; i < panes.length; i += 2) {
      const pane = start + panes[i]!
      if (pane >= first && pane <= last) count += panes[i + 1]!
    }
  }
  return count
}

/** The earliest T, milliseconds, at which every event of a window ending there is still held, in a store with this lowest bucket. */
export function heldFrom({ paneMs, bucketMs }: PaneLayout, lowestBucket: number, windowMs: number): number {
  return Math.max(0, lowestBucket * bucketMs + windowMs - paneMs)
}

/** Panes since 1970, both inclusive. */
function panesFor({ paneMs }: PaneLayout, T: number, windowMs: number): { first: number; last: number } {
  const last = Math.floor(T / paneMs)
  return { first: last - windowMs / paneMs + 1, last }
}

/** Adds one event. Most fall into the last pane or after it. */
function addTo(panes: Panes, pane: number): void {
  const last = panes[panes.length - 2]!
  if (pane > last) panes.push(pane, 1)
  else if (pane === last) panes[panes.length - 1]!++
  else addBefore(panes, pane)
}

/** Adds one event to a pane before the last one, or inserts its pane. */
function addBefore(panes: Panes, pane: number): void {
  let low = 0
  let high = panes.length / 2 - 1
  while (low < high) {
    const middle = (low + high) >> 1
    if (panes[middle * 2]! < pane) low = middle + 1
    else high = middle
  }
  if (panes[low * 2] === pane) panes[low * 2 + 1]!++
  else panes.splice(low * 2, 0, pane, 1)
}

/** Pairs of (pane - the pane before, count) as LEB128; the first pane is its own difference. */
export const panesCodec: Codec<Panes> = {
  encode(panes) {
    const bytes: number[] = []
    for (let i = 0, before = 0; i < panes.length; i += 2) {
      pushVarint(bytes, panes[i]! - before)
      pushVarint(bytes, panes[i + 1]!)
      before = panes[i]!
    }
    return Uint8Array.from(bytes)
  },
  decode(bytes) {
    const numbers = varints(bytes)
    assert(numbers.length > 0 && numbers.length % 2 === 0, 'panes are pairs, and an entry has one')
    for (let i = 2; i < numbers.length; i += 2) {
      assert(numbers[i]! > 0, 'panes ascend')
      numbers[i]! += numbers[i - 2]!
    }
    return numbers
  },
}

function pushVarint(bytes: number[], value: number): void {
  assert(Number.isSafeInteger(value) && value >= 0, 'a varint is a whole number of at least 0')
  let rest = value
  // Divided, not shifted: a count may pass 2^32.
  for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) bytes.push((rest % 0x80) | 0x80)
  bytes.push(rest)
}

function varints(bytes: Uint8Array): number[] {
  const numbers: number[] = []
  let value = 0
  let scale = 1
  for (const byte of bytes) {
    value += (byte & 0x7f) * scale
    scale *= 0x80
    if (byte < 0x80) {
      numbers.push(value)
      value = 0
      scale = 1
    }
  }
  if (scale !== 1) throw new HoldfastError('STATE_CORRUPT', 'an entry of panes ends inside a number')
  return numbers
}

/** Checks the settings and cuts time by them. */
function layoutOf<V>(options: WindowedCountOptions<V>): PaneLayout {
  const { feature, windowsMs, mode = 'panes' } = options
  const check = (condition: boolean, message: string) => {
    if (!condition) throw new HoldfastError('USAGE', `${feature}: ${message}`)
  }
  check(mode === 'panes' || mode === 'exact', `mode must be "panes" or "exact", not "${mode}"`)
  check(mode === 'panes' || options.paneMs === undefined, 'paneMs has no meaning with mode "exact"')
  const paneMs = mode === 'exact' ? 1 : (options.paneMs ?? PANE_MS_DEFAULT)
  const paneFits = Number.isInteger(paneMs) && HOUR_MS % paneMs === 0 && (mode === 'exact' || paneMs >= PANE_MS_MIN)
  check(paneFits, `paneMs must be at least ${PANE_MS_MIN} and divide ${HOUR_MS}, not ${paneMs}`)
  check(windowsMs.length > 0, 'windowsMs must name a window')
  for (const ms of windowsMs) {
    const fits = Number.isSafeInteger(ms) && ms >= PANE_MS_MIN && ms <= WINDOW_MS_MAX && ms % paneMs === 0
    check(fits, `windowsMs must be multiples of ${paneMs} from ${PANE_MS_MIN} to ${WINDOW_MS_MAX}, not ${ms}`)
  }
  const longestMs = Math.max(...windowsMs)
  const bucketMs = HOUR_MS * Math.max(1, Math.ceil(longestMs / (BUCKETS_PER_WINDOW * HOUR_MS)))
  return { paneMs, bucketMs, retentionMs: longestMs }
}

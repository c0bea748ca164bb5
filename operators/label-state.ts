// What the label operator remembers, and its bytes: credited touches, and orders.
// LS1: nothing is kept of a touch without credit, which most are: what it needs is in its timer.
// LS2: an entry lies in the bucket of the time at which it began, max(its event time, watermark + 1). Whoever looks for it looks
//      in the buckets from its event time to now: one or two, because a bucket is as wide as an entry is kept.

import type { KeyedStore } from '../state/store.ts'
import { addExact, ByteReader, ByteWriter, corrupt, type Exact } from './bytes.ts'
import type { Retention } from './expiry.ts'
import type { TouchType } from './touch.ts'

/** What is credited to one touch in one lane. Mutable. */
export interface LaneTotal {
  readonly goal: string
  readonly window: number
  /** Conversions, and their value in millionths. */
  count: number
  value: Exact
  /** C rows so far. */
  corrections: number
  /** What O will say. null: it has spoken, or never does. */
  early: EarlyTotal | null
}

export interface EarlyTotal {
  /** Of conversions within the short wait. */
  count: number
  value: Exact
  /** Value of the first credit, which D names where O says 0. */
  readonly first: number
}

/** By touchKey. */
export type TouchTotals = LaneTotal[]

/** An accepted conversion with an order. */
export interface Order {
  readonly id: string
  readonly timeMs: number
  /** When it was accepted: max(timeMs, watermark + 1). */
  readonly acceptedAt: number
  /** Millionths. */
  readonly value: number
  readonly currency: string | null
  /** Who has the credit by last touch. Empty until it is attributed, and where nobody has it. */
  credits: readonly OrderCredit[]
}

export interface OrderCredit {
  readonly touch: {
    readonly type: TouchType
    readonly id: string
    readonly timeMs: number
    readonly campaign: string
    readonly ad: string
  }
  readonly lanes: readonly { readonly goal: string; readonly window: number }[]
}

/** Adds a value to a total. */
export function add(total: { count: number; value: Exact }, value: number): void {
  total.count++
  total.value = addExact(total.value, value)
}

/** Buckets of entries that are kept this long: as wide as that. */
export const keptFor = (retentionMs: number): Retention => ({ bucketMs: Math.max(1, retentionMs), retentionMs })

export interface Span {
  readonly fromMs: number
  readonly toMs: number
}

/** When something happens that a record of this event time causes. */
export const now = (timeMs: number, watermark: number): number => Math.max(timeMs, watermark + 1)

export const spanSince = (timeMs: number, watermark: number): Span => ({ fromMs: timeMs, toMs: now(timeMs, watermark) })

/** Buckets of a store that may have an entry that began in this span and is still there. */
export function bucketsOf(
  { lowestBucket }: Pick<KeyedStore<unknown>, 'lowestBucket'>,
  { bucketMs }: Retention,
  { fromMs, toMs }: Span,
): readonly number[] {
  const buckets: number[] = []
  const last = bucketOf(toMs, bucketMs)
  for (let bucket = Math.max(lowestBucket, bucketOf(fromMs, bucketMs)); bucket <= last; bucket++) buckets.push(bucket)
  return buckets
}

export const bucketOf = (timeMs: number, bucketMs: number): number => Math.floor(Math.max(0, timeMs) / bucketMs)

const HAS_EARLY = 1

export const totalsCodec = {
  encode(totals: TouchTotals): Uint8Array {
    const out = new ByteWriter()
    out.varint(totals.length)
    for (const { goal, window, count, value, corrections, early } of totals) {
      out.text(goal)
      out.varint(window)
      out.varint(count)
      out.exact(value)
      out.varint(2 * corrections + (early === null ? 0 : HAS_EARLY))
      if (early === null) continue
      out.varint(early.count)
      out.exact(early.value)
      out.varint(early.first)
    }
    return out.done()
  },
  decode(bytes: Uint8Array): TouchTotals {
    const reader = new ByteReader(bytes)
    return reader.list(() => {
      const [goal, window, count, value] = [reader.text(), reader.varint(), reader.varint(), reader.exact()]
      const head = reader.varint()
      const early =
        head % 2 === HAS_EARLY ? { count: reader.varint(), value: reader.exact(), first: reader.varint() } : null
      return { goal, window, count, value, corrections: Math.floor(head / 2), early }
    })
  },
}

const TYPES: readonly TouchType[] = ['click', 'impression']

export const ordersCodec = {
  encode(orders: readonly Order[]): Uint8Array {
    const out = new ByteWriter()
    out.varint(orders.length)
    for (const { id, timeMs, acceptedAt, value, currency, credits } of orders) {
      out.text(id)
      out.varint(timeMs)
      out.varint(acceptedAt - timeMs)
      out.varint(value)
      out.varint(currency === null ? 0 : 1)
      if (currency !== null) out.text(currency)
      out.varint(credits.length)
      for (const { touch, lanes } of credits) {
        out.varint(TYPES.indexOf(touch.type))
        out.text(touch.id)
        out.varint(touch.timeMs)
        out.text(touch.campaign)
        out.text(touch.ad)
        out.varint(lanes.length)
        for (const { goal, window } of lanes) {
          out.text(goal)
          out.varint(window)
        }
      }
    }
    return out.done()
  },
  decode(bytes: Uint8Array): Order[] {
    const reader = new ByteReader(bytes)
    return reader.list(() => orderIn(reader))
  },
}

function orderIn(reader: ByteReader): Order {
  const [id, timeMs, delay, value] = [reader.text(), reader.varint(), reader.varint(), reader.varint()]
  const currency = reader.varint() === 0 ? null : reader.text()
  const credits = reader.list((): OrderCredit => {
    const type = TYPES[reader.varint()]
    if (type === undefined) throw corrupt('a touch is neither click nor impression')
    const touch = {
      ...{ type, id: reader.text(), timeMs: reader.varint(), campaign: reader.text(), ad: reader.text() },
    }
    return { touch, lanes: reader.list(() => ({ goal: reader.text(), window: reader.varint() })) }
  })
  return { id, timeMs, acceptedAt: timeMs + delay, value, currency, credits }
}

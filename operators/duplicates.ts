// Duplicates: of several equal events the first goes on (contract.md, section 2). "First" and "before" are the order in which
// records come, which is the order key in `clock: data`.
// D1: an event is a duplicate if an accepted one of the same user has the same (type, event_id) and an event time at most the
//     horizon away, either way, inclusive. Duplicates are not remembered: they do not stretch the horizon.
// D2: a conversion that is no refund is also one if the same user's same (advertiser_id, order_id) was accepted before it,
//     with event times at most orderHorizonMs apart. A late conversion with an earlier event time is the second of its order
//     as well: the first was processed before it, and its sale must not be counted twice.
// D3: an entry is kept until the watermark passes max(event time, watermark at arrival) + horizon, so that an event that came
//     late is remembered as long as one that came now.
// D4: what `bots: drop` takes away was accepted before, and ends here: read = accepted + duplicates + dead letters is the same
//     numbers under every setting of `bots`, and the twin of a dropped event is its duplicate.
// Conversions use their own user_id here, or `click:<click_id>`; they will come through the click index before this.

import { HoldfastError } from '../log/errors.ts'
import type { SeenStore, StoreSpec } from '../state/store.ts'
import { EVENT_TYPES, type Event, type EventType } from './event.ts'
import { lowestBucketAt, type Retention } from './expiry.ts'
import type { Operator, OperatorContext } from './operator.ts'

const DAY_MS = 24 * 3_600_000

export interface DuplicatesSettings {
  /** How far apart two events with one event_id are still the same, milliseconds. */
  readonly horizonMs: number
  /** Where a type has a horizon of its own. */
  readonly horizonMsByType: Readonly<Partial<Record<EventType, number>>>
  /** The same for two conversions with one order_id. */
  readonly orderHorizonMs: number
}

/** What contract.md says, section 2. */
export const DUPLICATES_DEFAULT: DuplicatesSettings = {
  horizonMs: 7 * DAY_MS,
  horizonMsByType: {},
  orderHorizonMs: 90 * DAY_MS,
}

/** Counts `accepted`, of them `conversions`, and `bots` where those are marked or dropped, and `duplicates`, and keeps the highest accepted event time as `as_of`. */
export function duplicates(given: Partial<DuplicatesSettings> = {}): Operator<Event, Event> {
  const settings: DuplicatesSettings = { ...DUPLICATES_DEFAULT, ...given }
  check(settings)
  const horizonsMs = horizonsOf(settings)
  const { orderHorizonMs } = settings
  const ids = retention(Math.max(...horizonsMs.values()))
  const orders = retention(orderHorizonMs)

  function isDuplicate(event: Event, seenIds: SeenStore, seenOrders: SeenStore): boolean {
    const { user, type, id, time } = event
    if (seenIds.has(user, type, id, time, horizonsMs.get(type)!)) return true
    const order = orderOf(event)
    return order !== null && seenOrders.has(user, ORDER, order, time, orderHorizonMs)
  }

  return {
    name: 'duplicates',
    version: 1,
    settings,
    stores: [
      { kind: 'seen', id: 1, name: 'ids', bucketMs: ids.bucketMs },
      { kind: 'seen', id: 2, name: 'orders', bucketMs: orders.bucketMs },
    ] satisfies StoreSpec[],
    keys(batch, ctx) {
      const seenIds = ctx.seen('ids')
      const seenOrders = ctx.seen('orders')
      for (const { value: event } of batch) {
        seenIds.want(event.user, event.type, event.id, event.time, horizonsMs.get(event.type)!)
        const order = orderOf(event)
        if (order !== null) seenOrders.want(event.user, ORDER, order, event.time, orderHorizonMs)
      }
    },
    process(batch, ctx) {
      const seenIds = ctx.seen('ids')
      const seenOrders = ctx.seen('orders')
      let conversions = 0
      let bots = 0
      const fresh = batch.filter(({ value: event, watermark }) => {
        if (isDuplicate(event, seenIds, seenOrders)) return false
        seenIds.add(event.user, event.type, event.id, event.time, watermark)
        const order = orderOf(event)
        if (order !== null) seenOrders.add(event.user, ORDER, order, event.time, watermark)
        ctx.highest('as_of', event.time)
        if (isConversion(event)) conversions++
        if (event.bots !== undefined) bots++
        return true
      })
      if (conversions > 0) ctx.count('conversions', conversions)
      ctx.count('accepted', fresh.length)
      ctx.count('duplicates', batch.length - fresh.length)
      if (bots === 0) return fresh
      ctx.count('bots', bots)
      return fresh.filter(({ value }) => value.bots !== 'drop')
    },
    advance(watermark, ctx) {
      return Math.min(expire(ctx, 'ids', watermark, ids), expire(ctx, 'orders', watermark, orders))
    },
  }
}

/** A conversion that takes back an earlier one: by refund_of, or by a negative value. */
export function isRefund({ type, fields }: Event): boolean {
  return type === 'conversion' && (fields.refund_of != null || (fields.value ?? 0) < 0)
}

/** A purchase; what takes one back is none. */
const isConversion = (event: Event): boolean => event.type === 'conversion' && !isRefund(event)

const ORDER = 'order'
/** The unit separator of ASCII. No id holds a control character, so two ids joined by it are never two others. */
const BETWEEN_IDS = '\u001f'

/** What two conversions of one order share; null for everything else. */
function orderOf(event: Event): string | null {
  if (event.type !== 'conversion') return null
  const order = event.fields.order_id
  return order == null || isRefund(event) ? null : `${event.fields.advertiser_id}${BETWEEN_IDS}${order}`
}

function horizonsOf({ horizonMs, horizonMsByType }: DuplicatesSettings): ReadonlyMap<EventType, number> {
  return new Map([...EVENT_TYPES.keys()].map((type) => [type, horizonMsByType[type] ?? horizonMs]))
}

/** A seen store has no narrower buckets. */
const BUCKET_MS_MIN = 1_000

/** One bucket per horizon: a question touches at most three, and an entry stays at most twice as long as it must. */
const retention = (horizonMs: number): Retention => ({
  bucketMs: Math.max(horizonMs, BUCKET_MS_MIN),
  retentionMs: horizonMs,
})

function expire(ctx: OperatorContext, store: string, watermark: number, kept: Retention): number {
  const { lowest, next } = lowestBucketAt(watermark, kept)
  ctx.seen(store).expireBelow(lowest)
  return next
}

function check({ horizonMs, horizonMsByType, orderHorizonMs }: DuplicatesSettings): void {
  checkHorizon('horizonMs', horizonMs)
  checkHorizon('orderHorizonMs', orderHorizonMs)
  for (const [type, ms] of Object.entries(horizonMsByType)) {
    if (!(EVENT_TYPES as ReadonlyMap<string, unknown>).has(type)) {
      throw new HoldfastError('USAGE', `horizonMsByType: "${type}" is no type of event`)
    }
    checkHorizon(`horizonMsByType.${type}`, ms)
  }
}

function checkHorizon(name: string, ms: number): void {
  if (Number.isSafeInteger(ms) && ms > 0) return
  throw new HoldfastError('USAGE', `${name} must be a whole number of milliseconds above 0, not ${ms}`)
}

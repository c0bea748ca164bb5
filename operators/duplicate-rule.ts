// Of several equal records the first goes on (contract.md, section 2): the rule, and how long its entries are kept. Who is judged
// where is said by operators/duplicates.ts and operators/conversion-duplicates.ts. "First" and "before" are the order in which
// records come, which is the order key in `clock: data`.
// D1: a record is a duplicate if an accepted one of the same user has the same (type, event_id) and an event time at most the
//     horizon away, either way, inclusive. Duplicates are not remembered: they do not stretch the horizon.
// D2: a conversion that is no refund is also one if the same user's same (advertiser_id, order_id) was accepted before it,
//     with event times at most orderHorizonMs apart. A late conversion with an earlier event time is the second of its order
//     as well: the first was processed before it, and its sale must not be counted twice.
// D3: an entry is kept until the watermark passes max(event time, watermark at arrival) + horizon + how long after its event time
//     a record that is not late may come here, so that one that came late is remembered as long as one that came now.
// D4: what `bots: drop` takes away was accepted before, and ends here: read = accepted + duplicates + dead letters is the same
//     numbers under every setting of `bots`, and the twin of a dropped event is its duplicate.

import { HoldfastError } from '../log/errors.ts'
import type { SeenStore, StoreSpec } from '../state/store.ts'
import { EVENT_TYPES, type EventType } from './event.ts'
import { lowestBucketAt, type Retention } from './expiry.ts'
import type { OperatorContext, Rec } from './operator.ts'

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

/** The given settings and, for the rest, the defaults. Throws USAGE where one cannot be. */
export function duplicatesSettings(given: Partial<DuplicatesSettings>): DuplicatesSettings {
  const settings: DuplicatesSettings = { ...DUPLICATES_DEFAULT, ...given }
  check(settings)
  return settings
}

/** What events and conversions have in common here. */
interface Judged {
  readonly user: string
  readonly type: EventType
  readonly id: string
  readonly bots?: 'mark' | 'drop'
}

/** Who is judged by the rule, and what it asks of a record. */
export interface Judging<T extends Judged> {
  readonly settings: DuplicatesSettings
  /** What is not judged passes and is not counted. */
  readonly isJudged: (value: T) => boolean
  /** Event time, milliseconds. */
  readonly timeOf: (value: T) => number
  /** What two conversions of one order share; null for everything else (D2). Not given: no conversion is judged. */
  readonly orderOf?: (value: T) => string | null
  /** What counts as `conversions`: purchases, not what takes one back. */
  readonly isPurchase: (value: T) => boolean
  /** How long after its event time a record that is not late may come, milliseconds (D3). */
  readonly delayMaxMs: number
  /** `counted`: as `accepted`, of them `conversions` and `bots`, and `duplicates`, with the highest accepted event time as `as_of`. */
  readonly counting: 'counted' | 'silent'
}

/** The parts of an operator that lets the first of equal records pass. */
export function firstOfEquals<T extends Judged>(judging: Judging<T>) {
  const { settings, isJudged, timeOf, orderOf = () => null, isPurchase, delayMaxMs, counting } = judging
  const { orderHorizonMs } = settings
  const horizonsMs = horizonsOf(settings)
  const ids = retention(Math.max(...horizonsMs.values()), delayMaxMs)
  const orders = judging.orderOf === undefined ? null : retention(orderHorizonMs, delayMaxMs)
  const stores: readonly StoreSpec[] = [
    { kind: 'seen', id: 1, name: IDS, bucketMs: ids.bucketMs },
    ...(orders === null ? [] : [{ kind: 'seen', id: 2, name: ORDERS, bucketMs: orders.bucketMs } as const]),
  ]
  const seenOrdersOf = (ctx: OperatorContext): SeenStore | null => (orders === null ? null : ctx.seen(ORDERS))

  function isDuplicate(value: T, order: string | null, seenIds: SeenStore, seenOrders: SeenStore | null): boolean {
    const { user, type, id } = value
    const time = timeOf(value)
    if (seenIds.has(user, type, id, time, horizonsMs.get(type)!)) return true
    return order !== null && seenOrders!.has(user, ORDER, order, time, orderHorizonMs)
  }

  return {
    stores,
    keys(batch: readonly Rec<T>[], ctx: OperatorContext): void {
      const seenIds = ctx.seen(IDS)
      const seenOrders = seenOrdersOf(ctx)
      for (const { value } of batch) {
        if (!isJudged(value)) continue
        const time = timeOf(value)
        seenIds.want(value.user, value.type, value.id, time, horizonsMs.get(value.type)!)
        const order = orderOf(value)
        if (order !== null) seenOrders!.want(value.user, ORDER, order, time, orderHorizonMs)
      }
    },
    process(batch: readonly Rec<T>[], ctx: OperatorContext): readonly Rec<T>[] {
      const seenIds = ctx.seen(IDS)
      const seenOrders = seenOrdersOf(ctx)
      let [accepted, purchases, bots, asOf] = [0, 0, 0, Number.NEGATIVE_INFINITY]
      let unjudged = 0
      const first = batch.filter(({ value, watermark }) => {
        if (!isJudged(value)) {
          unjudged++
          return true
        }
        const order = orderOf(value)
        if (isDuplicate(value, order, seenIds, seenOrders)) return false
        const time = timeOf(value)
        seenIds.add(value.user, value.type, value.id, time, watermark)
        if (order !== null) seenOrders!.add(value.user, ORDER, order, time, watermark)
        accepted++
        if (time > asOf) asOf = time
        if (isPurchase(value)) purchases++
        if (value.bots !== undefined) bots++
        return true
      })
      if (counting === 'counted') {
        if (accepted > 0) ctx.highest('as_of', asOf)
        ctx.count('accepted', accepted)
        ctx.count('duplicates', batch.length - unjudged - accepted)
        if (purchases > 0) ctx.count('conversions', purchases)
        if (bots > 0) ctx.count('bots', bots)
      }
      return bots === 0 ? first : first.filter(({ value }) => value.bots !== 'drop' || !isJudged(value))
    },
    advance(watermark: number, ctx: OperatorContext): number {
      const next = expire(ctx, IDS, watermark, ids)
      return orders === null ? next : Math.min(next, expire(ctx, ORDERS, watermark, orders))
    },
  }
}

const IDS = 'ids'
const ORDERS = 'orders'
/** The type that orders have among what was seen. */
const ORDER = 'order'

function horizonsOf({ horizonMs, horizonMsByType }: DuplicatesSettings): ReadonlyMap<EventType, number> {
  return new Map([...EVENT_TYPES.keys()].map((type) => [type, horizonMsByType[type] ?? horizonMs]))
}

/** A seen store has no narrower buckets. */
const BUCKET_MS_MIN = 1_000

/** One bucket per horizon: a question touches at most three, and an entry stays at most twice as long as it must. */
const retention = (horizonMs: number, delayMaxMs: number): Retention => ({
  bucketMs: Math.max(horizonMs, BUCKET_MS_MIN),
  retentionMs: horizonMs + delayMaxMs,
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

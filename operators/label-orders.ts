// Orders, who has the credit of them, and the refunds that take it back (docs/joiner.md, point 6).
// LO1: an order is known from the time at which its conversion is accepted for orderHorizonMs. A refund is bound to the conversion
//      that was accepted last when it comes, and looks who has the credit when it is due.
// Which rows refunds become is operators/refunds.ts's.

import { assert } from '../log/errors.ts'
import type { StoreSpec } from '../state/store.ts'
import type { AttributionSettings } from './attribution-settings.ts'
import { lowestBucketAt, type Retention } from './expiry.ts'
import {
  bucketOf,
  bucketsOf,
  keptFor,
  now,
  type Order,
  type OrderCredit,
  ordersCodec,
  type Span,
  spanSince,
} from './label-state.ts'
import type { FiredTimer, OperatorContext, Rec, Timer } from './operator.ts'
import { type Conversion, type CreditRecord, isRefund, keyOf, partsOf, type Touch } from './touch.ts'

/** A refund, and the conversion that it takes back. */
export interface Refund {
  readonly id: string
  readonly user: string
  readonly advertiser: string
  readonly orderId: string
  readonly conversionId: string
  readonly acceptedAt: number
  /** Millionths; 0: the whole value. */
  readonly amount: number
  readonly currency: string | null
}

/** What a refund takes back, of whom, and how much. */
export interface Taken {
  readonly user: string
  readonly advertiser: string
  readonly conversionTimeMs: number
  /** 0: in part. */
  readonly count: -1 | 0
  /** Millionths, not above 0. */
  readonly value: number
  readonly currency: string | null
  readonly credits: readonly OrderCredit[]
}

type Payload = readonly [conversionId: string, acceptedAt: number, amount: number, currency: string | null]

export const ORDER_STORE = { kind: 'keyed', id: 2, name: 'orders', codec: ordersCodec } as const satisfies StoreSpec

export class Orders {
  readonly #horizonMs: number
  readonly #orders: Retention

  constructor(settings: AttributionSettings, horizonMs: number) {
    this.#horizonMs = horizonMs
    // A refund is due grace after it came, and it comes while the order is known.
    this.#orders = keptFor(horizonMs + settings.graceMs)
  }

  /** Names what `accept` or `bind` reads; of a refund that is due at once that is what `takeBack` reads. */
  want(rec: Rec<Conversion>, ctx: OperatorContext): void {
    const { value: conversion, watermark } = rec
    const key = orderOf(conversion)
    if (key === null) return
    const at = now(conversion.timeMs, watermark)
    if (!isRefund(conversion)) {
      this.#want(key, { fromMs: at, toMs: at }, ctx)
      return
    }
    this.#want(key, this.#knownSpan(at), ctx)
  }

  /** Names what `attributed` reads. */
  wantAttributed(conversion: Conversion, watermark: number, ctx: OperatorContext): void {
    const key = orderOf(conversion)
    if (key !== null) this.#want(key, spanSince(conversion.timeMs, watermark), ctx)
  }

  /** Names what `takeBack` reads. */
  wantDue(refund: Refund, ctx: OperatorContext): void {
    this.#want(orderKey(refund), { fromMs: refund.acceptedAt, toMs: refund.acceptedAt }, ctx)
  }

  #want(key: string, span: Span, ctx: OperatorContext): void {
    const store = ctx.keyed('orders')
    for (const bucket of bucketsOf(store, this.#orders, span)) store.want(bucket, key)
  }

  accept(conversion: Conversion, watermark: number, ctx: OperatorContext): void {
    const key = orderOf(conversion)
    if (key === null) return
    const { id, timeMs, valueMicro, currency } = conversion
    const store = ctx.keyed<Order[]>('orders')
    const acceptedAt = now(timeMs, watermark)
    const bucket = bucketOf(acceptedAt, this.#orders.bucketMs)
    const order: Order = { id, timeMs, acceptedAt, value: valueMicro ?? 0, currency, credits: [] }
    store.set(bucket, key, [...(store.get(bucket, key) ?? []), order])
  }

  /** A conversion that was accepted before has been attributed. */
  attributed(conversion: Conversion, watermark: number, credits: readonly OrderCredit[], ctx: OperatorContext): void {
    const key = orderOf(conversion)
    if (key === null) return
    const { id, timeMs } = conversion
    const store = ctx.keyed<Order[]>('orders')
    for (const bucket of bucketsOf(store, this.#orders, spanSince(timeMs, watermark))) {
      const order = store.get(bucket, key)?.find((other) => other.id === id && other.timeMs === timeMs)
      if (order === undefined) continue
      order.credits = credits
      store.changed(bucket, key)
      return
    }
    assert(false, 'a conversion is accepted before it is attributed')
  }

  /** LO1. null: nobody knows the order. */
  bind(refund: Conversion, watermark: number, ctx: OperatorContext): Refund | null {
    const key = orderOf(refund)
    const order = key === null ? null : this.#knownOrder(key, now(refund.timeMs, watermark), ctx)
    if (order === null) return null
    const { id, user, advertiser } = refund
    const amount = Math.abs(refund.valueMicro ?? 0)
    return {
      ...{
        id,
        user,
        advertiser,
        orderId: refund.refundOf!,
        conversionId: order.id,
        acceptedAt: order.acceptedAt,
        amount,
      },
      currency: amount === 0 ? order.currency : (refund.currency ?? order.currency),
    }
  }

  /** The conversion of an order that was accepted last, if that is not too long ago. */
  #knownOrder(key: string, at: number, ctx: OperatorContext): Order | null {
    const store = ctx.keyed<Order[]>('orders')
    let last: Order | undefined
    for (const bucket of bucketsOf(store, this.#orders, this.#knownSpan(at)))
      last = store.get(bucket, key)?.at(-1) ?? last
    return last !== undefined && at - last.acceptedAt <= this.#horizonMs ? last : null
  }

  /** It reaches a bucket further, because live events are not in the order of their times. */
  #knownSpan(at: number): Span {
    return { fromMs: at - this.#horizonMs, toMs: at + this.#orders.bucketMs }
  }

  /** A refund is due. null: nobody has the credit. */
  takeBack(refund: Refund, ctx: OperatorContext): Taken | null {
    const bucket = bucketOf(refund.acceptedAt, this.#orders.bucketMs)
    const orders = ctx.keyed<Order[]>('orders').get(bucket, orderKey(refund)) ?? []
    const order = orders.find(({ id, acceptedAt }) => id === refund.conversionId && acceptedAt === refund.acceptedAt)
    assert(order !== undefined, 'an order is kept until its refunds are due')
    const { timeMs: conversionTimeMs, credits } = order
    if (credits.length === 0) return null
    const amount = refund.amount === 0 ? order.value : refund.amount
    const { user, advertiser, currency } = refund
    const count = amount < order.value ? 0 : -1
    return { user, advertiser, conversionTimeMs, count, value: 0 - amount, currency, credits }
  }

  /** Refunds due at one time come in the order of their ids, as they came. */
  timerOf({ id, user, advertiser, orderId, conversionId, acceptedAt, amount, currency }: Refund): Omit<Timer, 'dueMs'> {
    const payload: Payload = [conversionId, acceptedAt, amount, currency]
    return { kind: 'R', key: keyOf(user, advertiser, id, orderId), payload }
  }

  refundOf({ key, payload }: FiredTimer): Refund {
    const [user, advertiser, id, orderId] = partsOf(key) as [string, string, string, string]
    const [conversionId, acceptedAt, amount, currency] = payload as Payload
    return { id, user, advertiser, orderId, conversionId, acceptedAt, amount, currency }
  }

  /** Forgets what no refund may need; returns when there is more to forget. */
  advance(watermark: number, ctx: OperatorContext): number {
    const { lowest, next } = lowestBucketAt(watermark, this.#orders)
    ctx.keyed('orders').expireBelow(lowest)
    return next
  }
}

/** How an order remembers a touch that is credited with it. */
export const orderCredit = (touch: Touch, lanes: OrderCredit['lanes']): OrderCredit => ({
  touch: { type: touch.type, id: touch.id, timeMs: touch.timeMs, campaign: touch.campaign, ad: touch.ad },
  lanes: lanes.map(({ goal, window }) => ({ goal, window })),
})

/** The lanes of credits as purchases by ad need them. */
export const creditedLanes = (credits: readonly OrderCredit[]): CreditRecord['lanes'] =>
  credits.flatMap(({ touch: { campaign, ad, timeMs }, lanes }) =>
    lanes.map(({ goal, window }) => ({ goal, window, campaign, ad, touchTimeMs: timeMs })),
  )

/** The order that a conversion is of, or takes back; null: none. Other types have no orders. */
function orderOf(conversion: Conversion): string | null {
  const { type, user, advertiser } = conversion
  const orderId = isRefund(conversion) ? conversion.refundOf! : conversion.orderId
  return type !== 'conversion' || orderId === null ? null : orderKey({ user, advertiser, orderId })
}

const orderKey = ({ user, advertiser, orderId }: Pick<Refund, 'user' | 'advertiser' | 'orderId'>): string =>
  keyOf(user, advertiser, orderId)

// How purchases of the generated world reach the log: by pixel, by server, by both, in an upload days later, or never; and
// the refunds that follow.
// PU1: copies of one conversion have one event time, one user and one click_id, and the first copy the lowest event_id:
//      which copy is the duplicate depends neither on the clock nor on the order of arrival.
// PU2: an upload comes at least UPLOAD_AGE_MIN_MS after its events (so it is late) and at most five days (so holds, which are
//      kept for seven days longer than windows, still know the touch).
// PU3: a refund comes after every copy of what it takes back, from the user whose the conversion is.

import { conversionId, orderId, type Purchase, price, type Refund, type Scene } from './scene.ts'
import type { Route } from './world-truth.ts'

const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS

/** Shares of routes; the rest goes by pixel alone. */
const BOTH = 0.1
const SERVER = 0.2
/** Of the purchases of the advertiser with shops: known only from an upload. */
const IN_SHOP = 0.3
/** Of the doubled ones of that advertiser: the second copy comes in the upload. */
const SECOND_BY_UPLOAD = 0.5
/** Of what an outage swallowed: still known to the shop, which uploads it. */
const RECOVERED = 0.6
/** Of doubled conversions: the server used another event_id, only the order tells. */
const OTHER_EVENT_ID = 0.5
const REFUNDED = 0.03
const WHOLLY = 0.6
/** Refunds of orders that nobody knows, per purchase. */
const REFUND_UNKNOWN = 0.01
const WITH_CHECKOUT = 0.6

/** Who the conversion says it is, if a click led to it: no user at all, another user (another device), or the same one. */
const WITHOUT_USER = 0.08
const OTHER_USER = 0.04
const WITH_CLICK_ID = 0.5
/** A click is surely still known within the longest window. */
const CLICK_KNOWN_MS = 28 * DAY_MS

const UPLOAD_EVERY_MS = 4 * DAY_MS
const UPLOAD_AGE_MIN_MS = HOUR_MS
/** All of an upload arrives within this. */
const BURST_MS = 20_000

export interface Mishaps {
  /** Its pixel is out from `fromMs` to `toMs`; what is recovered comes at `recoveryMs`. Times of the world. */
  readonly outage: {
    readonly advertiser: number
    readonly fromMs: number
    readonly toMs: number
    readonly recoveryMs: number
  }
  /** The advertiser with shops, and how often it uploads. */
  readonly uploads: { readonly advertiser: number; readonly everyMs: number }
}

/** The first advertiser, which has the most frequent ad, loses its pixel; the second one has shops. */
export function mishapsOf(days: number, advertisers: number, startShare: number): Mishaps {
  const worldMs = days * DAY_MS
  const fromMs = Math.floor(worldMs * (0.3 + 0.3 * startShare))
  const toMs = fromMs + Math.min(12 * HOUR_MS, Math.floor(worldMs / 8))
  return {
    outage: { advertiser: 0, fromMs, toMs, recoveryMs: toMs + Math.min(DAY_MS, Math.floor(worldMs / 8)) },
    uploads: { advertiser: advertisers > 1 ? 1 : 0, everyMs: Math.min(UPLOAD_EVERY_MS, Math.floor(worldMs / 3)) },
  }
}

/** Which fields of a conversion say whose it is, and the click_id among them. */
interface Identity {
  readonly fields: string
  readonly clickId: string | null
}

interface Copy {
  readonly eventId: string
  readonly source: 'pixel' | 'server' | 'upload'
}

export class Purchases {
  readonly #scene: Scene
  readonly #mishaps: Mishaps

  constructor(scene: Scene, mishaps: Mishaps) {
    this.#scene = scene
    this.#mishaps = mishaps
  }

  /** The purchase happens now. */
  happen(purchase: Purchase): void {
    const { random } = this.#scene
    const route = this.#route(purchase)
    const identity = this.#identity(purchase)
    const copies = this.#copies(purchase, route)
    if (copies[0]?.source === 'pixel' && random.chance(WITH_CHECKOUT)) this.#checkout(purchase)
    let lastMs = purchase.atMs
    copies.forEach((copy, index) => {
      lastMs = Math.max(lastMs, this.#deliver(purchase, identity, copy, index, route))
    })
    this.#tell(purchase, route, identity)
    if (copies.length > 0 && random.chance(REFUNDED)) this.#planRefund(lastMs, purchase)
    if (random.chance(REFUND_UNKNOWN)) this.#planRefund(purchase.atMs, null)
  }

  /** The refund is asked for now. */
  refund({ atMs, of }: Refund): void {
    const scene = this.#scene
    const { random } = scene
    const number = scene.nextEvent()
    const eventId = `e${number}`
    const order = of === null ? `unknown-${number}` : orderId(of.number)
    const whole = of === null || random.chance(WHOLLY)
    const full = of?.value ?? price(random)
    const amount = whole ? full : Math.round(100 * full * (0.2 + 0.6 * random.next())) / 100
    const user = of?.user ?? `u-refund${number}`
    const advertiser = scene.catalogue.advertisers[of?.advertiser ?? 0]!
    // The two ways to say it (contract.md, section 1): the order it takes back, or a negative value of its own order.
    const how = random.chance(0.5)
      ? `"refund_of":"${order}","value":${amount}`
      : `"order_id":"${order}","value":${-amount}`
    const text =
      `{"type":"conversion","event_id":"${eventId}","event_time":${scene.written(atMs)},"user_id":"${user}"` +
      `,"advertiser_id":"${advertiser.id}",${how},"currency":"${currencyOf(advertiser.index)}","source":"server"}`
    scene.send(atMs, eventId, text)
    scene.truth?.refund({
      kind: 'refund',
      event_id: eventId,
      order_id: order,
      of: of === null ? null : conversionId(of.number),
      amount,
      whole,
      time: scene.written(atMs),
    })
  }

  #route({ advertiser, atMs }: Purchase): Route {
    const { random } = this.#scene
    const { outage, uploads } = this.#mishaps
    if (advertiser === uploads.advertiser && random.chance(IN_SHOP)) return 'upload'
    const draw = random.next()
    const isOut = advertiser === outage.advertiser && atMs >= outage.fromMs && atMs < outage.toMs
    if (draw < BOTH) return isOut ? 'server' : 'both'
    if (draw < BOTH + SERVER) return 'server'
    if (!isOut) return 'pixel'
    return random.chance(RECOVERED) ? 'recovered' : 'lost'
  }

  #copies({ number, advertiser }: Purchase, route: Route): Copy[] {
    const { random } = this.#scene
    const eventId = conversionId(number)
    switch (route) {
      case 'pixel':
      case 'server':
      case 'upload':
        return [{ eventId, source: route }]
      case 'recovered':
        return [{ eventId, source: 'upload' }]
      case 'lost':
        return []
      case 'both': {
        const byUpload = advertiser === this.#mishaps.uploads.advertiser && random.chance(SECOND_BY_UPLOAD)
        // A letter more sorts after the id itself (PU1).
        const second = random.chance(OTHER_EVENT_ID) || byUpload ? `${eventId}b` : eventId
        return [
          { eventId, source: 'pixel' },
          { eventId: second, source: byUpload ? 'upload' : 'server' },
        ]
      }
    }
  }

  #identity({ user, atMs, cause, number }: Purchase): Identity {
    const { random } = this.#scene
    const own = `,"user_id":"${user}"`
    const clickId = cause?.clickId ?? null
    if (clickId === null || atMs - cause!.atMs > CLICK_KNOWN_MS) return { fields: own, clickId: null }
    const click = `,"click_id":"${clickId}"`
    const draw = random.next()
    if (draw < WITHOUT_USER) return { fields: click, clickId }
    if (draw < WITHOUT_USER + OTHER_USER) return { fields: `,"user_id":"device-${number}"${click}`, clickId }
    if (draw < WITHOUT_USER + OTHER_USER + WITH_CLICK_ID) return { fields: `${own}${click}`, clickId }
    return { fields: own, clickId: null }
  }

  /** Returns when the copy arrives. */
  #deliver(purchase: Purchase, identity: Identity, { eventId, source }: Copy, index: number, route: Route): number {
    const scene = this.#scene
    const advertiser = scene.catalogue.advertisers[purchase.advertiser]!
    const pixel = source === 'pixel' ? `,"pixel_id":"px-${advertiser.id}"` : ''
    const text =
      `{"type":"conversion","event_id":"${eventId}","event_time":${scene.written(purchase.atMs)}${identity.fields}` +
      `,"advertiser_id":"${advertiser.id}"${pixel},"order_id":"${orderId(purchase.number)}","value":${purchase.value}` +
      `,"currency":"${currencyOf(advertiser.index)}","source":"${source}"}`
    const atMs = this.#arrivalOf(purchase, source, route)
    const by = eventId === conversionId(purchase.number) ? 'event_id' : 'order_id'
    const fact = index === 0 ? null : ({ is: 'duplicate', event_id: eventId, by } as const)
    scene.arrive(atMs, text, fact, source === 'upload')
    return atMs
  }

  #arrivalOf({ atMs }: Purchase, source: Copy['source'], route: Route): number {
    const { random } = this.#scene
    const { outage, uploads } = this.#mishaps
    if (source === 'pixel') return atMs + random.below(2_000)
    // Never before the pixel's copy (PU1).
    if (source === 'server') return atMs + 2_000 + this.#scene.jitter()
    if (route === 'recovered') return outage.recoveryMs + random.below(BURST_MS)
    const upload = Math.ceil((atMs + UPLOAD_AGE_MIN_MS) / uploads.everyMs) * uploads.everyMs
    return upload + random.below(BURST_MS)
  }

  /** The page before the purchase, sent together with it. */
  #checkout({ atMs, user, advertiser, value }: Purchase): void {
    const scene = this.#scene
    const eventId = `e${scene.nextEvent()}`
    const timeMs = Math.max(0, atMs - 1_000 - scene.random.below(59_000))
    const text =
      `{"type":"checkout","event_id":"${eventId}","event_time":${scene.written(timeMs)},"user_id":"${user}"` +
      `,"advertiser_id":"${scene.catalogue.advertisers[advertiser]!.id}","value":${value}}`
    scene.send(atMs, eventId, text)
  }

  #planRefund(afterMs: number, of: Purchase | null): void {
    const atMs = afterMs + HOUR_MS + Math.floor(this.#scene.random.wait(5 * DAY_MS))
    if (atMs < this.#scene.endMs) this.#scene.refunds.add({ atMs, of })
  }

  #tell({ number, user, advertiser, atMs, value, cause }: Purchase, route: Route, { clickId }: Identity): void {
    const { truth, written, catalogue } = this.#scene
    if (truth === null) return
    const advertiserId = catalogue.advertisers[advertiser]!.id
    truth.conversion({
      kind: 'conversion',
      event_id: conversionId(number),
      order_id: orderId(number),
      user_id: user,
      advertiser_id: advertiserId,
      time: written(atMs),
      value,
      cause: cause?.eventId ?? null,
      route,
      credit: truth.book.credit(user, advertiserId, atMs, clickId),
    })
  }
}

function currencyOf(advertiser: number): string {
  return advertiser % 3 === 2 ? 'EUR' : 'USD'
}

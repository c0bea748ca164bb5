// Sessions of the generated world: pages, impressions, clicks, carts; and what each touch leads to, drawn at once.
// V1: what a touch leads to depends on what is known at its moment (catalogue.ts) and on nothing that comes after.
// V2: a click is judged at the moment of its impression, `dwellMs` before it, so an impression's probability is exact.
// V3: bots look at pages faster than people, click, and never buy. Visitors without consent have no user_id.

import { type Ad, COUNTRIES, DEVICES, type Person, type TouchContext, VIEW_DELAYS, VIEW_SHARE } from './catalogue.ts'
import { anyPurchase, type DelayShape, delayWithin, expectedPurchases, sampleDelay, samplePurchases } from './delays.ts'
import { price, type Scene } from './scene.ts'
import type { ByDays, PlannedRow } from './world-truth.ts'

const DAY_MS = 86_400_000

/** Shares of sessions. */
const BY_BOT = 0.002
const WITHOUT_USER = 0.01
const BY_SEARCH = 0.25
const WITH_CART = 0.06
const CART_TO_CHECKOUT = 0.3
/** Purchases that no ad led to: enough that a touch gets credit which it did not earn. */
const ORGANIC = 0.002
/** Of a bot's page views. */
const BOT_CLICKS = 0.02
const BOT_VIEWS_MIN = 40
const BOT_VIEWS_MORE = 120
const WITH_IMPRESSION = 0.35
/** Views beside the first, and time on a page. */
const VIEWS_MEAN = 3
const PAGE_MEAN_MS = 25_000
const DWELL_MAX_MS = 15_000
/** The most frequent of users and ads have about equal shares: this part of all. */
const HEAD_SHARE = 0.01

export interface VisitOptions {
  readonly users: number
  readonly pages: number
  readonly bots: number
}

/** Who looks, on what. */
interface Visitor {
  readonly person: Person
  readonly device: number
  /** The fields of user, device and country; empty user: without consent. */
  readonly fields: string
}

export class Visits {
  readonly #scene: Scene
  readonly #options: VisitOptions
  readonly #usersHead: number
  readonly #adsHead: number

  constructor(scene: Scene, options: VisitOptions) {
    this.#scene = scene
    this.#options = options
    this.#usersHead = Math.max(1, options.users * HEAD_SHARE)
    this.#adsHead = Math.max(1, scene.catalogue.ads.length * HEAD_SHARE)
  }

  /** A session that begins at this time. */
  visit(atMs: number): void {
    const { random } = this.#scene
    const kind = random.next()
    if (kind < BY_BOT) this.#botSession(atMs)
    else if (kind < BY_BOT + WITHOUT_USER) this.#anonymousSession(atMs)
    else this.#session(atMs)
  }

  #session(startMs: number): void {
    const { random } = this.#scene
    const visitor = this.#visitor()
    let atMs = startMs
    let views = 0
    if (random.chance(BY_SEARCH)) {
      this.#searchClick(visitor, atMs)
      atMs += 1 + random.below(2_000)
    }
    for (let left = 1 + Math.floor(random.wait(VIEWS_MEAN)); left > 0; left--) {
      this.#pageView(visitor, atMs)
      views++
      if (random.chance(WITH_IMPRESSION)) atMs = this.#impression(visitor, atMs + 200, views)
      atMs += 2_000 + Math.floor(random.wait(PAGE_MEAN_MS))
    }
    if (random.chance(WITH_CART)) this.#cart(visitor, atMs)
    if (random.chance(ORGANIC)) this.#organic(visitor, atMs + random.below(600_000))
  }

  #anonymousSession(startMs: number): void {
    const { random, catalogue } = this.#scene
    const somebody = catalogue.person(random.below(this.#options.users))
    const visitor = visitorOf(somebody, somebody.device, null)
    let atMs = startMs
    for (let left = 1 + Math.floor(random.wait(VIEWS_MEAN)); left > 0; left--) {
      const text = this.#pageViewText(visitor, `e${this.#scene.nextEvent()}`, atMs)
      const fact = { is: 'anonymous', code: 'EVENT_FIELD_MISSING', field: 'user_id' } as const
      this.#scene.arrive(atMs + this.#scene.jitter(), text, fact)
      atMs += 2_000 + Math.floor(random.wait(PAGE_MEAN_MS))
    }
  }

  #botSession(startMs: number): void {
    const { random, catalogue } = this.#scene
    const id = botId(random.below(this.#options.bots))
    const visitor = visitorOf({ ...catalogue.person(0), id }, 1, id)
    let atMs = startMs
    for (let left = BOT_VIEWS_MIN + random.below(BOT_VIEWS_MORE); left > 0; left--) {
      this.#pageView(visitor, atMs)
      atMs += 100 + random.below(400)
      if (random.chance(BOT_CLICKS)) {
        this.#clickEvent({
          visitor,
          ad: this.#ad(),
          channel: 'search',
          atMs,
          odds: () => BOT_ODDS,
          conversions: () => [],
        })
      }
    }
  }

  #visitor(): Visitor {
    const { random, catalogue } = this.#scene
    const person = catalogue.person(random.zipfFromHead(this.#options.users, this.#usersHead))
    const device = random.chance(0.85) ? person.device : random.below(DEVICES.length)
    return visitorOf(person, device, person.id)
  }

  #ad(): Ad {
    const { random, catalogue } = this.#scene
    return catalogue.ads[random.zipfFromHead(catalogue.ads.length, this.#adsHead)]!
  }

  #pageView(visitor: Visitor, atMs: number): void {
    const eventId = `e${this.#scene.nextEvent()}`
    this.#scene.send(atMs, eventId, this.#pageViewText(visitor, eventId, atMs))
  }

  #pageViewText(visitor: Visitor, eventId: string, atMs: number): string {
    const page = this.#scene.random.zipf(this.#options.pages)
    const head = `{"type":"page_view","event_id":"${eventId}","event_time":${this.#scene.written(atMs)}`
    return `${head}${visitor.fields},"page_id":"/products/${page}","referrer":"site-${page % 97}.example"}`
  }

  /** Returns when the visitor goes on: after the click, if there was one. */
  #impression(visitor: Visitor, atMs: number, views: number): number {
    const scene = this.#scene
    const { random, catalogue } = scene
    const ad = this.#ad()
    const { person, device } = visitor
    const buys = catalogue.buyerProbability(ad, { person, device, channel: ad.channel, views, atMs })
    const dwellMs = 1_000 + random.below(DWELL_MAX_MS)
    const isClicked = random.chance(ad.clickProbability)
    const number = scene.nextEvent()
    const eventId = `e${number}`
    const clicked = { visitor, ad, channel: ad.channel, atMs: atMs + dwellMs, odds: clickOdds(ad, buys) }
    const conversions = isClicked
      ? this.#clickEvent({
          ...clicked,
          conversions: (cause) => this.#buy(visitor, ad, cause, buys, ad.advertiser.delays),
        })
      : this.#buy(visitor, ad, { eventId, clickId: null, atMs }, buys * VIEW_SHARE, VIEW_DELAYS)
    const text =
      `{"type":"impression","event_id":"${eventId}","event_time":${scene.written(atMs)}${visitor.fields}` +
      `${adFields(ad)},"impression_id":"i${number}","channel":"${ad.channel}"}`
    scene.send(atMs, eventId, text)
    if (scene.truth !== null) {
      const odds = impressionOdds(ad, buys, dwellMs)
      this.#tell({ type: 'impression', eventId, clickId: null, visitor, ad, atMs, odds, conversions })
    }
    return isClicked ? atMs + dwellMs : atMs
  }

  #searchClick(visitor: Visitor, atMs: number): void {
    const ad = this.#ad()
    const { person, device } = visitor
    const context: TouchContext = { person, device, channel: 'search', views: 0, atMs }
    const buys = this.#scene.catalogue.buyerProbability(ad, context)
    const conversions = (cause: Cause) => this.#buy(visitor, ad, cause, buys, ad.advertiser.delays)
    this.#clickEvent({ visitor, ad, channel: 'search', atMs, odds: clickOdds(ad, buys), conversions })
  }

  #clickEvent({ visitor, ad, channel, atMs, odds, conversions }: Click): PlannedRow[] {
    const scene = this.#scene
    const number = scene.nextEvent()
    const eventId = `e${number}`
    const clickId = `k${number}`
    const text =
      `{"type":"click","event_id":"${eventId}","event_time":${scene.written(atMs)}${visitor.fields}` +
      `${adFields(ad)},"click_id":"${clickId}","channel":"${channel}"}`
    scene.send(atMs, eventId, text)
    const planned = conversions({ eventId, clickId, atMs })
    if (scene.truth !== null) {
      this.#tell({ type: 'click', eventId, clickId, visitor, ad, atMs, odds: odds(), conversions: planned })
    }
    return planned
  }

  /** What a touch leads to: mostly nothing, or the purchases of a buyer (delays.ts, DL2). */
  #buy(visitor: Visitor, ad: Ad, cause: Cause, probability: number, delays: DelayShape): PlannedRow[] {
    const { random } = this.#scene
    if (!random.chance(probability)) return []
    const advertiser = ad.advertiser.index
    return Array.from({ length: samplePurchases(random) }, () => {
      const atMs = cause.atMs + sampleDelay(delays, random)
      return this.#scene.plan({ atMs, user: visitor.person.id, advertiser, value: price(random), cause })
    })
  }

  #organic(visitor: Visitor, atMs: number): void {
    const { random, catalogue } = this.#scene
    const advertiser = random.below(catalogue.advertisers.length)
    this.#scene.plan({ atMs, user: visitor.person.id, advertiser, value: price(random), cause: null })
  }

  #cart(visitor: Visitor, atMs: number): void {
    const { random, catalogue } = this.#scene
    const advertiser = random.pick(catalogue.advertisers).id
    const kinds = random.chance(CART_TO_CHECKOUT) ? ['add_to_cart', 'checkout'] : ['add_to_cart']
    if (random.chance(0.1)) kinds.push('lead')
    const value = price(random)
    kinds.forEach((type, step) => {
      const eventId = `e${this.#scene.nextEvent()}`
      const timeMs = atMs + step * 5_000
      const text =
        `{"type":"${type}","event_id":"${eventId}","event_time":${this.#scene.written(timeMs)}${visitor.fields}` +
        `,"advertiser_id":"${advertiser}","item_id":"p-${random.zipf(this.#options.pages)}","value":${value}}`
      this.#scene.send(timeMs, eventId, text)
    })
  }

  /** Into the truth, and into the book that gives credit. */
  #tell({ type, eventId, clickId, visitor, ad, atMs, odds, conversions }: Told): void {
    const truth = this.#scene.truth!
    const user = visitor.person.id
    const advertiser = ad.advertiser.id
    truth.book.note(user, advertiser, { type, eventId, clickId, timeMs: atMs }, atMs)
    truth.touch({
      kind: type,
      event_id: eventId,
      user_id: user,
      advertiser_id: advertiser,
      ad_id: ad.id,
      time: this.#scene.written(atMs),
      ...odds,
      conversions,
      bot: odds === BOT_ODDS,
    })
  }
}

type Cause = { readonly eventId: string; readonly clickId: string | null; readonly atMs: number }
type Odds = { readonly probability: ByDays; readonly expected: ByDays }

interface Click {
  readonly visitor: Visitor
  readonly ad: Ad
  readonly channel: Ad['channel']
  readonly atMs: number
  /** Asked only where the truth is recorded: it costs more than the event. */
  readonly odds: () => Odds
  readonly conversions: (cause: Cause) => PlannedRow[]
}

interface Told {
  readonly type: 'click' | 'impression'
  readonly eventId: string
  readonly clickId: string | null
  readonly visitor: Visitor
  readonly ad: Ad
  readonly atMs: number
  readonly odds: Odds
  readonly conversions: PlannedRow[]
}

export const botId = (index: number): string => `bot${index}`

function visitorOf(person: Person, device: number, user: string | null): Visitor {
  const userField = user === null ? '' : `,"user_id":"${user}"`
  return {
    person,
    device,
    fields: `${userField},"device":"${DEVICES[device]}","country":"${COUNTRIES[person.country]}"`,
  }
}

function adFields(ad: Ad): string {
  return `,"ad_id":"${ad.id}","campaign_id":"${ad.campaignId}","advertiser_id":"${ad.advertiser.id}"`
}

// --- probabilities, from the parameters alone (T1)

const NOTHING: ByDays = { '1d': 0, '7d': 0, '28d': 0 }
const BOT_ODDS: Odds = { probability: NOTHING, expected: NOTHING }

const byDays = (at: (ms: number) => number): ByDays => ({
  '1d': at(DAY_MS),
  '7d': at(7 * DAY_MS),
  '28d': at(28 * DAY_MS),
})

function clickOdds(ad: Ad, buys: number): () => Odds {
  const { delays } = ad.advertiser
  return () => ({
    probability: byDays((ms) => buys * anyPurchase(delayWithin(delays, ms))),
    expected: byDays((ms) => buys * expectedPurchases(delayWithin(delays, ms))),
  })
}

/** By the click that comes `dwellMs` later, or without one. */
function impressionOdds(ad: Ad, buys: number, dwellMs: number): Odds {
  const { delays } = ad.advertiser
  const clicked = ad.clickProbability
  const mix = (measure: (within: number) => number) =>
    byDays(
      (ms) =>
        clicked * buys * measure(delayWithin(delays, ms - dwellMs)) +
        (1 - clicked) * buys * VIEW_SHARE * measure(delayWithin(VIEW_DELAYS, ms)),
    )
  return { probability: mix(anyPurchase), expected: mix(expectedPurchases) }
}

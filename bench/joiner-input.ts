// The input of the joiner's bench as lines of JSON: people who look at pages, are shown ads, click on some and now and then buy.
// JI1: the same call gives the same lines, in the order of their time; no two have one id.
// JI2: the events span SPAN_DAYS, however many there are: long enough that rows of every kind fall due in every window, too short
//      for a hold to expire, so that what is kept is of all touches.
// JI3: nobody buys in the last hour: when the last event has come, each conversion has been attributed.
// The generated world (cli/generate/world.ts) has the mishaps of reality, and fewer touches than this.

import { Random } from '../cli/generate/random.ts'

export const SPAN_DAYS = 36
/** Of 100 events. */
export const SHARES = { page_view: 55, impression: 35, click: 8, conversion: 2 } as const
/** Of conversions, those that say which click they are of, where their user has clicked. */
const WITH_CLICK_ID = 0.8

const START_MS = Date.UTC(2025, 0, 1)
const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS
const [USERS, PAGES, ADS, CAMPAIGNS, ADVERTISERS] = [50_000, 2_000, 500, 100, 20]
const SEED = 1
/** Who was shown an ad last comes back by it: of so many people together. */
const RECENT = 4_096

type Type = keyof typeof SHARES

interface Shown {
  readonly user: string
  readonly ad: number
  /** null: not clicked on. */
  readonly clickId: string | null
}

/** `events` lines. */
export function* joinerLines(events: number): Generator<string> {
  const random = new Random(SEED)
  const gapMs = (SPAN_DAYS * DAY_MS) / events
  const shown = new Recent(random)
  const clicked = new Recent(random)
  for (let number = 0; number < events; number++) {
    const isLastHour = (events - number) * gapMs <= HOUR_MS
    const type = isLastHour ? 'page_view' : typeOf(random)
    const common = `{"type":"${type}","event_id":"j${number}","event_time":${START_MS + Math.floor(number * gapMs)}`
    if (type === 'page_view') {
      const page = random.zipf(PAGES)
      yield `${common},"user_id":"${someone(random)}","device":"mobile","page_id":"/products/${page}"}`
    } else if (type === 'impression') {
      const user = someone(random)
      const ad = random.zipfFromHead(ADS, 50)
      shown.add({ user, ad, clickId: null })
      yield `${common},"user_id":"${user}","device":"mobile",${adFields(ad)},"impression_id":"i${number}","channel":"feed"}`
    } else if (type === 'click') {
      const { user, ad } = shown.any() ?? { user: someone(random), ad: random.below(ADS) }
      const clickId = `k${number}`
      clicked.add({ user, ad, clickId })
      yield `${common},"user_id":"${user}","device":"mobile",${adFields(ad)},"click_id":"${clickId}","channel":"feed"}`
    } else {
      const { user, ad, clickId } = clicked.any() ?? shown.any() ?? { user: someone(random), ad: 0, clickId: null }
      const via = clickId !== null && random.chance(WITH_CLICK_ID) ? `"click_id":"${clickId}",` : ''
      const value = (5 + random.wait(60)).toFixed(2)
      const order = `"advertiser_id":"adv${ad % ADVERTISERS}","order_id":"o${number}",${via}"value":${value}`
      yield `${common},"user_id":"${user}","device":"mobile",${order},"currency":"EUR"}`
    }
  }
}

function typeOf(random: Random): Type {
  let left = random.next() * 100
  for (const type of ['page_view', 'impression', 'click'] as const) {
    left -= SHARES[type]
    if (left < 0) return type
  }
  return 'conversion'
}

const someone = (random: Random): string => `u${random.zipfFromHead(USERS, 500)}`

const adFields = (ad: number): string =>
  `"ad_id":"ad${ad}","campaign_id":"c${ad % CAMPAIGNS}","advertiser_id":"adv${ad % ADVERTISERS}"`

/** The last RECENT of some kind. */
class Recent {
  readonly #random: Random
  readonly #last: Shown[] = []
  #count = 0

  constructor(random: Random) {
    this.#random = random
  }

  add(shown: Shown): void {
    this.#last[this.#count++ % RECENT] = shown
  }

  any(): Shown | null {
    return this.#last.length === 0 ? null : this.#random.pick(this.#last)
  }
}

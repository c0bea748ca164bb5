// The traffic that windows are measured on: touches evenly over four weeks, and conversions of touches that came before them, some
// within the hour, some weeks later. Lines of JSON in the order of time, the same for the same numbers.
// WW1: a conversion is of its touch's person and advertiser, and carries its click_id where that was a click.

import { Random } from '../cli/generate/random.ts'

export interface TouchWorld {
  readonly touches: number
  readonly spanMs: number
}

const DAY_MS = 86_400_000
/** As long as the longest window of contract.md: without slower pixels all holds are there at its end. */
export const SPAN_MS = 28 * DAY_MS
/** Midnight, and long enough ago that an event a few months later is none of the future. */
export const START_MS = Date.UTC(2026, 0, 1)
export const CONVERSIONS_PER_TOUCH = 0.05
/** As in a shop's traffic, where impressions are four times as many. */
export const CLICK_SHARE = 0.2
/** A person sees ten ads in four weeks. */
const TOUCHES_PER_USER = 10
const ADVERTISERS = 10
const ADS_EACH = 20
const CAMPAIGNS_EACH = 4
/** Delays are DELAY_MAX x u^3: a quarter within eleven hours, a quarter beyond twelve days. */
const DELAY_POWER = 3

interface TouchFields {
  readonly type: 'click' | 'impression'
  readonly event_id: string
  readonly event_time: number
  readonly user_id: string
  readonly advertiser_id: string
  readonly campaign_id: string
  readonly ad_id: string
  readonly click_id?: string
}

/** Conversions of `linesOf`. */
export const conversionsOf = ({ touches }: TouchWorld): number => Math.floor(touches * CONVERSIONS_PER_TOUCH)

/** All events of a world as lines, by time. */
export function* linesOf(world: TouchWorld): Generator<string> {
  const { touches, spanMs } = world
  const conversions = conversionsOf(world)
  const random = new Random(touches)
  let converted = 0
  for (let i = 0; i < touches; i++) {
    const touch = touchAt(i, world)
    for (; converted < conversions; converted++) {
      const timeMs = START_MS + Math.floor(((converted + 1) * spanMs) / (conversions + 1))
      if (timeMs >= touch.event_time) break
      yield JSON.stringify(conversionAt(converted, timeMs, world, random))
    }
    yield JSON.stringify(touch)
  }
  for (; converted < conversions; converted++) {
    const timeMs = START_MS + Math.floor(((converted + 1) * spanMs) / (conversions + 1))
    yield JSON.stringify(conversionAt(converted, timeMs, world, random))
  }
}

/** An event of a time at which all windows are over. */
export const lastLine = (timeMs: number): string =>
  JSON.stringify({ type: 'page_view', event_id: 'last', event_time: timeMs, user_id: 'last', page_id: 'last' })

/** What a touch is follows from its number. */
function touchAt(i: number, { touches, spanMs }: TouchWorld): TouchFields {
  const random = new Random(i)
  const advertiser = random.below(ADVERTISERS)
  const ad = random.below(ADS_EACH)
  const isClick = random.chance(CLICK_SHARE)
  return {
    type: isClick ? 'click' : 'impression',
    event_id: `touch-${idOf(i)}`,
    event_time: START_MS + Math.floor((i * spanMs) / touches),
    user_id: `user-${idOf(random.below(Math.ceil(touches / TOUCHES_PER_USER)))}`,
    advertiser_id: `advertiser-${advertiser}`,
    campaign_id: `campaign-${advertiser}-${ad % CAMPAIGNS_EACH}`,
    ad_id: `ad-${advertiser}-${ad}`,
    ...(isClick && { click_id: `click-${idOf(i)}` }),
  }
}

function conversionAt(i: number, timeMs: number, world: TouchWorld, random: Random): object {
  const delayMs = Math.min(timeMs - START_MS, world.spanMs * random.next() ** DELAY_POWER)
  const of = Math.floor(((timeMs - delayMs - START_MS) * world.touches) / world.spanMs)
  const { user_id, advertiser_id, click_id } = touchAt(of, world)
  return {
    ...{ type: 'conversion', event_id: `conversion-${idOf(i)}`, event_time: timeMs, user_id, advertiser_id },
    ...{ order_id: `order-${idOf(i)}`, value: 1 + random.below(20_000) / 100, currency: 'EUR' },
    ...(click_id !== undefined && { click_id }),
  }
}

/** As hard to compress as ids are: a multiple of an odd number, which no other number has. */
const idOf = (i: number): string => (Math.imul(i + 1, 0x9e3779b1) >>> 0).toString(16).padStart(8, '0')

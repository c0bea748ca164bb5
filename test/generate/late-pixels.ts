// A file of clicks and conversions, of which one in twenty comes late by an hour to six days, with one bulk upload of late ones at one place.
//
//     node test/generate/late-pixels.ts --events 400000 --bulk 20000 --seed 1 --out FILE[.gz]
//
// 1. Every conversion is of one click, by which its person is known, and within 28 days of it: each is credited in 28d_click.
// 2. The bulk stands together, 13 days in: conversions of the clicks of the six days before, none younger than an hour.
// Not here: anything nasty (joiner-stress.ts).

import { Random } from '../../cli/generate/random.ts'
import { generate } from './command.ts'
import { type Fields, Timeline } from './timeline.ts'

export interface LatePixelsOptions {
  readonly events: number
  readonly bulk: number
  readonly seed: number
}

export const LATE_PIXELS_DEFAULTS: LatePixelsOptions = { events: 400_000, bulk: 20_000, seed: 1 }

const START_MS = 1_740_268_800_000
const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS
const BULK_MS = START_MS + 13 * DAY_MS
const SPAN_MS = 21 * DAY_MS
const LATE_MIN_MS = HOUR_MS
const LATE_MAX_MS = 6 * DAY_MS
const LATE_SHARE = 0.05
const CONVERSION_SHARE = 0.3

/** The lines of a file. */
export function latePixels({ events, bulk, seed }: LatePixelsOptions): Generator<Buffer> {
  const random = new Random(seed)
  const timeline = new Timeline(random, START_MS)
  const clicks: Fields[] = []
  let bulkIsOut = bulk === 0
  let number = 0

  const conversionOf = (click: Fields, timeMs: number): Fields => {
    const { user_id, advertiser_id, click_id } = click
    const ids = { type: 'conversion', event_id: `v${number++}`, event_time: timeMs, user_id, advertiser_id }
    const carried = random.chance(0.5) ? { click_id } : {}
    return { ...ids, ...carried, order_id: `o${number}`, value: random.below(10_000) / 100, currency: 'USD' }
  }
  const clickNow = (): Fields => {
    const [user_id, advertiser_id] = [`u${random.below(Math.ceil(events / 4))}`, `shop${random.below(20)}`]
    const ids = { type: 'click', event_id: `c${number}`, event_time: timeline.nowMs, user_id, advertiser_id }
    return { ...ids, ad_id: `ad${random.zipf(50)}`, campaign_id: 'c', click_id: `k${number++}` }
  }
  const upload = () => {
    const olderMs = BULK_MS - LATE_MIN_MS
    const ofBulk = clicks.filter(({ event_time }) => (event_time as number) < olderMs)
    const late = Array.from({ length: bulk }, () => {
      const click = random.pick(ofBulk)
      const clickMs = click.event_time as number
      return conversionOf(click, clickMs + random.below(olderMs - clickMs))
    })
    timeline.plan(BULK_MS, ...late)
    bulkIsOut = true
  }
  const happen = () => {
    if (!bulkIsOut && timeline.nowMs >= BULK_MS) upload()
    const click = clickNow()
    timeline.plan(timeline.nowMs, click)
    if (timeline.nowMs > BULK_MS - LATE_MAX_MS && timeline.nowMs < BULK_MS) clicks.push(click)
    if (!random.chance(CONVERSION_SHARE)) return
    const timeMs = timeline.nowMs + random.below(random.pick([HOUR_MS, DAY_MS, 6 * DAY_MS]))
    const isLate = random.chance(LATE_SHARE)
    const arrivesMs = timeMs + (isLate ? LATE_MIN_MS + random.below(LATE_MAX_MS - LATE_MIN_MS) : 0)
    timeline.plan(arrivesMs, conversionOf(click, timeMs))
  }
  const bulkLine = Math.floor(((events - bulk) * 13) / 21)
  return timeline.lines(
    [
      { untilLine: bulkLine, untilMs: BULK_MS },
      { untilLine: events, untilMs: START_MS + SPAN_MS },
    ],
    happen,
  )
}

if (import.meta.main) await generate('late-pixels', LATE_PIXELS_DEFAULTS, latePixels)

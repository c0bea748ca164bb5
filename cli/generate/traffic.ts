// Plausible shop traffic for a demonstration or a measurement: sessions of users who come by an ad or not, look at
// pages, and now and then buy. Few users and pages have most of it (Zipf). About 185 bytes an event.
//
//     npx holdfast generate --events 1000000 --out FILE[.gz] [--users N] [--pages N] [--days N] [--seed N]
//
// 1. The same options give the same bytes; memory does not grow with `events`.
// 2. Every event is valid and has an event_id of its own; none is late: disorder stays under two minutes.
// Not here: anything nasty (stress.ts).

import { Random } from './random.ts'

export interface TrafficOptions {
  readonly events: number
  readonly users: number
  readonly pages: number
  /** The span of event time; the events are spread evenly over it. */
  readonly days: number
  readonly seed: number
}

export const TRAFFIC_DEFAULTS: TrafficOptions = { events: 1_000_000, users: 50_000, pages: 2_000, days: 10, seed: 1 }

const START_MS = 1_740_268_800_000
const DAY_MS = 86_400_000
/** Below the lateness of ten minutes by far: an ordinary client's delay. */
const DISORDER_MAX_MS = 120_000
/** Sessions side by side: enough that a session's events are strangers to their neighbours in the file. */
const SESSIONS = 500
const BATCH_EVENTS = 1_000

const STEPS = ['click', 'page_view', 'add_to_cart', 'checkout', 'conversion'] as const
type Step = (typeof STEPS)[number]

interface Session {
  readonly user: number
  readonly device: string
  /** What is still to come, the next at the end. */
  readonly steps: Step[]
}

/** The events as lines of NDJSON, in pieces of many lines. */
export function* traffic(options: TrafficOptions): Generator<Buffer> {
  const random = new Random(options.seed)
  const sessions = Array.from({ length: SESSIONS }, () => newSession(random, options.users))
  const gapMs = (options.days * DAY_MS) / Math.max(1, options.events)
  let text = ''
  for (let number = 0; number < options.events; number++) {
    const slot = random.below(SESSIONS)
    const session = sessions[slot]!
    const step = session.steps.pop()!
    if (session.steps.length === 0) sessions[slot] = newSession(random, options.users)
    const delayMs = random.chance(0.8) ? 0 : random.below(DISORDER_MAX_MS)
    const timeMs = START_MS + DISORDER_MAX_MS + Math.floor(number * gapMs) - delayMs
    text += `${eventOf(step, { session, number, timeMs, page: random.zipf(options.pages), random })}\n`
    if (number % BATCH_EVENTS !== BATCH_EVENTS - 1) continue
    yield Buffer.from(text)
    text = ''
  }
  yield Buffer.from(text)
}

/** Four in ten come by an ad; one in eight puts something into the cart, half of these go on, half of those buy. */
function newSession(random: Random, users: number): Session {
  const steps: Step[] = Array.from({ length: 1 + Math.floor(random.wait(4)) }, () => 'page_view')
  if (random.chance(0.4)) steps.unshift('click')
  if (random.chance(0.125)) {
    steps.push('add_to_cart')
    if (random.chance(0.5)) steps.push('checkout')
    if (steps.at(-1) === 'checkout' && random.chance(0.5)) steps.push('conversion')
  }
  const device = random.pick(['mobile', 'mobile', 'desktop', 'tablet'])
  return { user: random.zipf(users), device, steps: steps.reverse() }
}

interface Moment {
  readonly session: Session
  readonly number: number
  readonly timeMs: number
  readonly page: number
  readonly random: Random
}

function eventOf(step: Step, moment: Moment): string {
  const { session, number, timeMs } = moment
  const user = session.user.toString(16).padStart(8, '0')
  const common =
    `{"type":"${step}","event_id":"g${number.toString().padStart(10, '0')}","event_time":${timeMs},` +
    `"advertiser_id":"shop","user_id":"u${user}","device":"${session.device}"`
  return `${common},${restOf(step, moment)}}`
}

function restOf(step: Step, { number, page, random }: Moment): string {
  switch (step) {
    case 'page_view':
      return `"page_id":"/products/${page}","referrer":"site-${page % 97}.example"`
    case 'click': {
      const campaign = page % 40
      return `"click_id":"gk${number}","campaign_id":"c${campaign}","ad_id":"c${campaign}.p-${page}","channel":"ads"`
    }
    case 'add_to_cart':
    case 'checkout':
      return `"item_id":"p-${page}","value":${price(random)}`
    case 'conversion':
      return `"order_id":"order-${number}","value":${price(random)},"currency":"USD"`
  }
}

function price(random: Random): string {
  return (5 + random.wait(60)).toFixed(2)
}

// A world of shops and ads whose truth is known: users come back in sessions, see and click ads, and buy minutes to weeks
// later, by odds that drift; and what goes wrong in reality goes wrong here: repeats, uploads days late, an outage of a
// pixel, bots, visitors without consent, lines that are no events. docs/generator.md says what is in it.
//
// W1: the lines and the truth are a function of the options alone; the truth, recorded or not, changes no line (T3).
// W2: arrivals come in the order of their time; every minute is one piece, and nothing is added to a minute that is over.
// W3: what is due in a minute is made in the order visits, purchases, refunds, so a purchase knows every touch before it.
// W4: nothing happens from the world's end on; what happened before still arrives, so the truth of conversions is whole.
// Memory: what is under way, purchases and refunds still to come, and ads; not the events so far.

import { HoldfastError } from '../../log/errors.ts'
import { MINUTE_MS } from './agenda.ts'
import { Catalogue } from './catalogue.ts'
import { malformed } from './malformed.ts'
import { type Mishaps, mishapsOf, Purchases } from './purchases.ts'
import { Random } from './random.ts'
import { type Arrival, Scene } from './scene.ts'
import { botId, Visits } from './visits.ts'
import type { Truth } from './world-truth.ts'

export interface WorldOptions {
  /** About how many lines the world has: the density of visits follows from it (within 5 % from 100,000 on). */
  readonly events: number
  readonly users: number
  readonly pages: number
  readonly ads: number
  readonly campaigns: number
  readonly advertisers: number
  readonly days: number
  readonly seed: number
  /** The event time of the world's start, milliseconds. */
  readonly startMs: number
  /** Of the world's time to written time: 3,600 writes an hour as a second. */
  readonly speed: number
  /** Also lines whose time is in the future, which only a live node refuses. */
  readonly live: boolean
}

export const WORLD_DEFAULTS: WorldOptions = {
  events: 1_000_000,
  users: 20_000,
  pages: 2_000,
  ads: 500,
  campaigns: 100,
  advertisers: 20,
  days: 28,
  seed: 1,
  startMs: 1_740_268_800_000,
  speed: 1,
  live: false,
}

/** Random draws of an event are about ten, and the generator has 2^32 of them: beyond this the world would repeat. */
export const EVENTS_MAX = 1e8
/** An ad is an object in memory: some 300 MB. */
export const ADS_MAX = 1e6
/** Written times stay before 2100 (contract.md, section 1). */
export const DAYS_MAX = 3_650
/** At this speed a day takes a second of written time. */
export const SPEED_MAX = 86_400

const DAY_MS = 86_400_000
/** Lines of an average session, counted over a million: it turns `events` into visits. */
const LINES_PER_SESSION = 5.91
/** How much busier the busiest hour is than the mean. The world starts at the mean, so a short piece has about the rate. */
const DAILY_SWING = 0.6
/** After a line comes one that is no event. */
const MALFORMED = 0.005
const USERS_PER_BOT = 2_000

/** The lines in the order of their arrival, a minute of the world at a time. */
export function* world(options: WorldOptions, truth: Truth | null = null): Generator<readonly Arrival[]> {
  checkWorld(options)
  const { days, seed, startMs, speed } = options
  const random = new Random(seed)
  const mishaps = mishapsOf(days, options.advertisers, random.next())
  const bots = 1 + Math.floor(options.users / USERS_PER_BOT)
  const endMs = days * DAY_MS
  const written = (atMs: number) => startMs + Math.floor(atMs / speed)
  const scene = new Scene({ random, catalogue: new Catalogue(options), endMs, written, truth })
  const visits = new Visits(scene, { ...options, bots })
  const purchases = new Purchases(scene, mishaps)
  truth?.world(worldRow(options, scene, mishaps, bots))
  const begun = new Visiting(options)
  for (let minute = 0; minute * MINUTE_MS < endMs || !scene.arrivals.isEmpty; minute++) {
    for (let left = begun.in(minute); left > 0; left--) visits.visit(minute * MINUTE_MS + random.below(MINUTE_MS))
    for (const purchase of scene.purchases.take(minute)) purchases.happen(purchase)
    for (const refund of scene.refunds.take(minute)) purchases.refund(refund)
    const arrivals = withMalformed(scene, scene.arrivals.take(minute), options.live)
    if (truth !== null) for (const { fact, isUpload } of arrivals) truth.line(fact, isUpload)
    if (arrivals.length > 0) yield arrivals
  }
  truth?.end()
}

/** How many visits begin in each minute: as many by day and fewer by night as make the sum right. */
class Visiting {
  readonly #perMinute: number
  readonly #minutes: number
  #due = 0

  constructor({ events, days }: WorldOptions) {
    this.#minutes = (days * DAY_MS) / MINUTE_MS
    this.#perMinute = events / LINES_PER_SESSION / this.#minutes
  }

  in(minute: number): number {
    if (minute >= this.#minutes) return 0
    const ofDay = (minute * MINUTE_MS) / DAY_MS
    this.#due += this.#perMinute * (1 + DAILY_SWING * Math.sin(2 * Math.PI * ofDay))
    const visits = Math.floor(this.#due)
    this.#due -= visits
    return visits
  }
}

function withMalformed(scene: Scene, arrivals: readonly Arrival[], live: boolean): Arrival[] {
  const all: Arrival[] = []
  for (const arrival of arrivals) {
    all.push(arrival)
    if (!scene.random.chance(MALFORMED)) continue
    const { atMs } = arrival
    const id = `e${scene.nextEvent()}`
    const { text, code, field } = malformed(scene.random, id, scene.written(atMs), live)
    all.push({ atMs, text, fact: { is: 'malformed', code, field }, isUpload: false })
  }
  return all
}

function worldRow(options: WorldOptions, scene: Scene, { outage }: Mishaps, bots: number) {
  return {
    kind: 'world',
    options: { ...options },
    start: scene.written(0),
    end: scene.written(scene.endMs),
    outage: {
      advertiser_id: scene.catalogue.advertisers[outage.advertiser]!.id,
      from: scene.written(outage.fromMs),
      to: scene.written(outage.toMs),
    },
    bots: Array.from({ length: bots }, (_, index) => botId(index)),
  } as const
}

/** Throws USAGE, naming the first option that is outside its limits. */
export function checkWorld(options: WorldOptions): void {
  const { events, users, pages, ads, campaigns, advertisers, days, speed, seed, startMs } = options
  const within = (name: string, value: number, min: number, max: number) => {
    if (Number.isInteger(value) && value >= min && value <= max) return
    throw new HoldfastError('USAGE', `${name} must be a whole number from ${min} to ${max}, not ${value}`)
  }
  within('events', events, 0, EVENTS_MAX)
  within('users', users, 1, 1e9)
  within('pages', pages, 1, 1e7)
  within('ads', ads, 1, ADS_MAX)
  within('campaigns', campaigns, 1, ads)
  within('advertisers', advertisers, 1, campaigns)
  within('days', days, 1, DAYS_MAX)
  within('seed', seed, 0, 2 ** 31)
  within('startMs', startMs, Date.UTC(2000, 0, 1), Date.UTC(2089, 0, 1))
  if (speed > 0 && speed <= SPEED_MAX) return
  throw new HoldfastError('USAGE', `speed must be above 0 and at most ${SPEED_MAX}, not ${speed}`)
}

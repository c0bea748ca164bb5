// Who advertises what, and what makes a touch lead to a purchase: the parameters of the generated world.
// CA1: the odds of a purchase are a sum of effects: of the advertiser, the ad, the user, the device, how much the user has
//      just looked at, two crosses that no single field shows (country x category, device x channel), and a drift of the ad's
//      own, smooth in time.
// CA2: everything is fixed by the seed before the first event; nothing here is drawn while events are made.

import type { DelayShape } from './delays.ts'
import { Random, traitOf } from './random.ts'

const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS

export const DEVICES = ['mobile', 'desktop', 'tablet'] as const
export const COUNTRIES = ['US', 'DE', 'BR', 'IN', 'JP', 'FR'] as const
const CHANNELS = ['feed', 'video', 'search'] as const
export type Channel = (typeof CHANNELS)[number]
const CATEGORIES = 5

/** Log-odds of a purchase after a click, all effects at zero: about 4 %. */
const BASE_LOG_ODDS = -3.2
/** What the intent of one more doubling of views in this session adds: last-hour counts are worth learning from. */
const INTENT = 0.3
/** A view that is not clicked leads to a purchase this much less often than a click. */
export const VIEW_SHARE = 0.08

export interface Advertiser {
  readonly index: number
  readonly id: string
  readonly category: number
  readonly effect: number
  readonly delays: DelayShape
}

export interface Ad {
  readonly index: number
  readonly id: string
  readonly campaignId: string
  readonly advertiser: Advertiser
  /** Where impressions of it are shown; a click without an impression comes from a search. */
  readonly channel: Channel
  /** That an impression is clicked. */
  readonly clickProbability: number
  readonly effect: number
  readonly drift: { readonly amplitude: number; readonly periodMs: number; readonly phase: number }
}

export interface Person {
  readonly id: string
  readonly device: number
  readonly country: number
  readonly affinity: number
}

/** What is known at the moment of a touch. */
export interface TouchContext {
  readonly person: Person
  readonly device: number
  readonly channel: Channel
  /** Pages looked at in this session before. */
  readonly views: number
  /** Since the world's start, milliseconds. */
  readonly atMs: number
}

export interface CatalogueSize {
  readonly ads: number
  readonly campaigns: number
  readonly advertisers: number
  readonly seed: number
}

/** After a view without a click, purchases come within hours or never. */
export const VIEW_DELAYS: DelayShape = {
  quickShare: 0.5,
  sameDayShare: 0.4,
  quickMeanMs: HOUR_MS,
  sameDayMeanMs: 8 * HOUR_MS,
  longMedianMs: 2 * DAY_MS,
  longShape: 2,
}

export class Catalogue {
  readonly advertisers: readonly Advertiser[]
  readonly ads: readonly Ad[]
  readonly #seed: number
  /** Country x category and device x channel. */
  readonly #countryCross: readonly number[]
  readonly #deviceCross: readonly number[]

  constructor({ ads, campaigns, advertisers, seed }: CatalogueSize) {
    // Another stream of numbers than that of the events: a world with one ad more keeps its visits.
    const random = new Random(seed ^ 0x5eed)
    this.#seed = seed
    this.#countryCross = Array.from({ length: COUNTRIES.length * CATEGORIES }, () => spread(random, 0.6))
    this.#deviceCross = Array.from({ length: DEVICES.length * CHANNELS.length }, () => spread(random, 0.4))
    this.advertisers = Array.from({ length: advertisers }, (_, index) => newAdvertiser(index, random))
    this.ads = Array.from({ length: ads }, (_, index) => {
      const campaign = index % campaigns
      return newAd(index, campaign, this.advertisers[campaign % advertisers]!, random)
    })
  }

  person(index: number): Person {
    return {
      id: `u${index.toString(16).padStart(8, '0')}`,
      device: Math.floor(traitOf(this.#seed, index, 0) ** 1.5 * DEVICES.length),
      country: Math.floor(traitOf(this.#seed, index, 1) ** 1.5 * COUNTRIES.length),
      affinity: 1.4 * (traitOf(this.#seed, index, 2) - 0.5),
    }
  }

  /** That a click on this ad, in this context, makes a buyer (CA1). */
  buyerProbability(ad: Ad, { person, device, channel, views, atMs }: TouchContext): number {
    const logOdds =
      BASE_LOG_ODDS +
      ad.advertiser.effect +
      ad.effect +
      person.affinity +
      DEVICE_EFFECT[device]! +
      INTENT * Math.log2(1 + views) +
      this.#countryCross[person.country * CATEGORIES + ad.advertiser.category]! +
      this.#deviceCross[device * CHANNELS.length + CHANNELS.indexOf(channel)]! +
      driftOf(ad, atMs)
    return 1 / (1 + Math.exp(-logOdds))
  }
}

const DEVICE_EFFECT = [-0.2, 0.25, 0] as const

/** What the ad's drift adds to the log-odds at this time. */
export function driftOf({ drift }: Ad, atMs: number): number {
  return drift.amplitude * Math.sin(2 * Math.PI * (atMs / drift.periodMs + drift.phase))
}

function newAdvertiser(index: number, random: Random): Advertiser {
  return {
    index,
    id: `adv${index}`,
    category: index % CATEGORIES,
    effect: spread(random, 0.5),
    delays: {
      quickShare: 0.28 + 0.14 * random.next(),
      sameDayShare: 0.15 + 0.1 * random.next(),
      quickMeanMs: (10 + 15 * random.next()) * 60_000,
      sameDayMeanMs: (6 + 8 * random.next()) * HOUR_MS,
      longMedianMs: (4 + 4 * random.next()) * DAY_MS,
      longShape: 1.4 + 0.4 * random.next(),
    },
  }
}

function newAd(index: number, campaign: number, advertiser: Advertiser, random: Random): Ad {
  return {
    index,
    id: `ad${index}`,
    campaignId: `c${campaign}`,
    advertiser,
    channel: random.pick(['feed', 'video']),
    clickProbability: 0.01 + 0.03 * random.next(),
    effect: spread(random, 0.8),
    drift: {
      amplitude: 0.4 + 0.6 * random.next(),
      periodMs: (10 + 30 * random.next()) * DAY_MS,
      phase: random.next(),
    },
  }
}

/** Uniform between -width and width. */
function spread(random: Random, width: number): number {
  return width * (2 * random.next() - 1)
}

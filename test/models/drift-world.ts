// A generated world in which conversion rates drift and conversions come late: touches with their true probability, and when they convert.
// Everything is drawn from a seed. What drifts, over 60 days:
//   ads         300, each shown for 10 to 40 days: two thirds of those that are shown on a day are less than 30 days old
//   their pull  a wave of its own period (15 to 60 days) and 0.7 of a logit
//   everything  falls by 0.5 of a logit from the first day to the last
// Beside that stand 20 advertisers, 12 segments of people, 3 devices, and what pairs of segment and advertiser add.
// Delays, the mean over advertisers: 35 % within an hour, 15 % to a day, 37 % to 14 days, 13 % to 30; the share within the hour is
// from 20 % to 50 %, by advertiser.

import { hashNumber } from '../../ml/hash.ts'
import { sigmoid } from '../../ml/logistic.ts'
import { featureKey, Rows } from '../../ml/rows.ts'

export const HOUR_MS = 3_600_000
export const DAY_MS = 24 * HOUR_MS
export const DAYS = 60
/** The window: every conversion comes within it. */
export const WINDOW_MS = 30 * DAY_MS

const [ADS, ADVERTISERS, SEGMENTS, DEVICES] = [300, 20, 12, 3]
const BASE_LOGIT = -2.2
const FALL = 0.5
/** Deviations of effects, in logits. */
const SPREAD = { advertiser: 0.5, ad: 0.6, segment: 0.5, device: 0.2, pair: 0.5, wave: 0.7 }
/** Edges of the delays' parts, and the mean share of each. */
const DELAY_EDGES_MS = [60_000, HOUR_MS, DAY_MS, 14 * DAY_MS, 30 * DAY_MS]
const DELAY_SHARES = [0.35, 0.15, 0.37, 0.13]
const FIRST_SHARE_SPREAD = 0.15

export interface World {
  readonly rows: Rows
  /** By touch, rising. */
  readonly timesMs: Float64Array
  readonly advertisers: Int32Array
  readonly ads: Int32Array
  readonly segments: Int32Array
  /** The true probability to convert within the window. */
  readonly truth: Float64Array
  readonly converted: Uint8Array
  /** Milliseconds from touch to conversion; NaN where there is none. */
  readonly delaysMs: Float64Array
}

/** Numbers of a seed, each found by what it is of: none depends on how many others were drawn. */
class Draws {
  readonly #seed: number

  constructor(seed: number) {
    this.#seed = hashNumber(seed, 0x5eed)
  }

  /** Evenly from 0 to 1. */
  even(of: string, i: number): number {
    return ((hashNumber(i, featureKey(of, '', this.#seed)) >>> 0) + 0.5) / 2 ** 32
  }

  /** Normal, deviation 1 (Box and Muller 1958). */
  normal(of: string, i: number): number {
    const radius = Math.sqrt(-2 * Math.log(this.even(`${of} r`, i)))
    return radius * Math.cos(2 * Math.PI * this.even(`${of} a`, i))
  }
}

export function driftWorld(seed: number, touches: number): World {
  const draws = new Draws(seed)
  const ads = Array.from({ length: ADS }, (_, ad) => adOf(draws, ad))
  const timesMs = Float64Array.from({ length: touches }, (_, i) =>
    Math.floor(draws.even('time', i) * DAYS * DAY_MS),
  ).sort()
  const rows = new Rows()
  const truth = new Float64Array(touches)
  const converted = new Uint8Array(touches)
  const delaysMs = new Float64Array(touches).fill(Number.NaN)
  const [advertisers, adNumbers, segments] = [0, 0, 0].map(() => new Int32Array(touches)) as Places
  for (let i = 0; i < touches; i++) {
    const day = timesMs[i]! / DAY_MS
    const shown = ads.filter(({ from, to }) => from <= day && day < to)
    const ad = shown[Math.floor(draws.even('ad', i) * shown.length)]!
    const segment = Math.floor(draws.even('segment', i) * SEGMENTS)
    const device = Math.floor(draws.even('device', i) * DEVICES)
    const pair = ad.advertiser * SEGMENTS + segment
    rows.push(
      [
        ['advertiser', ad.advertiser],
        ['ad', ad.ad],
        ['segment', segment],
        ['device', device],
        ['advertiser x segment', pair],
      ].map(([name, value]) => featureKey(name as string, String(value), 0)),
    )
    advertisers[i] = ad.advertiser
    adNumbers[i] = ad.ad
    segments[i] = segment
    truth[i] = sigmoid(
      BASE_LOGIT -
        (FALL * day) / DAYS +
        ad.effect +
        SPREAD.wave * Math.sin(2 * Math.PI * (day / ad.periodDays + ad.phase)) +
        SPREAD.segment * draws.normal('segment effect', segment) +
        SPREAD.device * draws.normal('device effect', device) +
        SPREAD.pair * draws.normal('pair effect', pair),
    )
    if (draws.even('converts', i) >= truth[i]!) continue
    converted[i] = 1
    delaysMs[i] = delayOf(ad.advertiser, i, draws)
  }
  return { rows, timesMs, advertisers, ads: adNumbers, segments, truth, converted, delaysMs }
}

type Places = [advertisers: Int32Array, ads: Int32Array, segments: Int32Array]

function adOf(draws: Draws, ad: number) {
  const lifeDays = 10 + 30 * draws.even('life', ad)
  // Some begin before the first day, so that as many are shown on each; the first ones are shown throughout, so that there is always one.
  const from = -40 + (DAYS + 40) * draws.even('begins', ad)
  const always = ad < ADVERTISERS
  const advertiser = ad % ADVERTISERS
  return {
    ...{ ad, advertiser, from: always ? 0 : from, to: always ? DAYS : from + lifeDays },
    effect:
      SPREAD.ad * draws.normal('ad effect', ad) + SPREAD.advertiser * draws.normal('advertiser effect', advertiser),
    ...{ periodDays: 15 + 45 * draws.even('period', ad), phase: draws.even('phase', ad) },
  }
}

/** Evenly in the logarithm within its part. */
function delayOf(advertiser: number, touch: number, draws: Draws): number {
  const first = DELAY_SHARES[0]! + FIRST_SHARE_SPREAD * (2 * draws.even('first share', advertiser) - 1)
  const others = (1 - first) / (1 - DELAY_SHARES[0]!)
  const shares = DELAY_SHARES.map((share, part) => (part === 0 ? first : share * others))
  let u = draws.even('part', touch)
  let part = 0
  while (part < shares.length - 1 && u >= shares[part]!) u -= shares[part++]!
  const [low, high] = [DELAY_EDGES_MS[part]!, DELAY_EDGES_MS[part + 1]!]
  return Math.ceil(low * (high / low) ** draws.even('within', touch))
}

// How good probabilities were, once it is known what happened.
// EV1: the entropy that losses are divided by is that of the evaluated rows' own rate: a model that always says that rate is at 1.
// EV2: rows of equal probability have equal rank: AUC counts each such pair as half (Mann and Whitney).
// EV3: an interval says how much the figures would move with other rows of the same kind, by a bootstrap with its own seed.

import { assert } from '../log/errors.ts'
import { hashNumber } from './hash.ts'
import { logLoss } from './logistic.ts'

export interface Figures {
  /** By weight, where rows have one. */
  readonly rows: number
  readonly positives: number
  /** Nats per row. */
  readonly logLoss: number
  /** Log loss / entropy of the rows' rate (He et al., "Practical lessons from predicting clicks on ads at Facebook", 2014). */
  readonly normalisedEntropy: number
  /** Σ p / Σ y: above 1 promises too much. */
  readonly calibration: number
  /** The chance that a positive row has a higher probability than a negative one. */
  readonly auc: number
}

/** What is judged: of each row what was said before it was learned, and what happened. */
export interface Judged {
  readonly p: Float64Array
  readonly y: Uint8Array
}

/** The figures of rows; each is NaN where rows of only one kind leave it without meaning. */
export function figuresOf(judged: Judged): Figures {
  return weighted(judged, byProbability(judged.p), null)
}

/** Those of some rows: of a slice. */
export function figuresOfRows({ p, y }: Judged, rows: readonly number[]): Figures {
  return figuresOf({ p: Float64Array.from(rows, (row) => p[row]!), y: Uint8Array.from(rows, (row) => y[row]!) })
}

/** Rows in rising order of probability. */
function byProbability(p: Float64Array): Uint32Array {
  return Uint32Array.from(p.keys()).sort((a, b) => p[a]! - p[b]! || a - b)
}

function weighted({ p, y }: Judged, order: Uint32Array, weights: Uint8Array | null): Figures {
  assert(p.length === y.length, 'each row has a probability and a label')
  let [rows, positives, loss, sum, wins] = [0, 0, 0, 0, 0]
  let negativesBelow = 0
  for (let i = 0; i < order.length; ) {
    // EV2. All rows of one probability at once.
    const at = p[order[i]!]!
    let [tiedPositives, tiedNegatives] = [0, 0]
    for (; i < order.length && p[order[i]!]! === at; i++) {
      const weight = weights === null ? 1 : weights[order[i]!]!
      if (y[order[i]!] === 1) tiedPositives += weight
      else tiedNegatives += weight
    }
    wins += tiedPositives * (negativesBelow + tiedNegatives / 2)
    negativesBelow += tiedNegatives
    positives += tiedPositives
    rows += tiedPositives + tiedNegatives
    sum += at * (tiedPositives + tiedNegatives)
    if (tiedPositives > 0) loss += tiedPositives * logLoss(at, 1)
    if (tiedNegatives > 0) loss += tiedNegatives * logLoss(at, 0)
  }
  const rate = positives / rows
  return {
    ...{ rows, positives },
    logLoss: loss / rows,
    normalisedEntropy: loss / rows / logLoss(rate, rate),
    calibration: sum / positives,
    auc: wins / (positives * negativesBelow),
  }
}

export interface Interval {
  readonly low: number
  readonly high: number
}

/** Resamples of a bootstrap: its 95 % interval then stands on five of them at each end; a million rows take some ten seconds. */
export const RESAMPLES = 200
/** Of an interval, left out at each end. */
const TAIL = 0.025

/**
 * 95 % intervals of figures by the Poisson bootstrap: in each resample a row counts as often as a Poisson variable of mean 1 says.
 * The same seed gives different models of the same rows the same resamples, so `of` may compare them.
 * @param models judged on the same rows
 * @param of a number from the figures of all models in one resample
 */
export function bootstrapInterval(
  models: readonly Judged[],
  of: readonly ((figures: readonly Figures[]) => number)[],
  seed: number,
): Interval[] {
  const orders = models.map(({ p }) => byProbability(p))
  const weights = new Uint8Array(models[0]!.p.length)
  const samples: number[][] = of.map(() => [])
  for (let resample = 0; resample < RESAMPLES; resample++) {
    const sampleSeed = hashNumber(resample, seed)
    for (let row = 0; row < weights.length; row++) weights[row] = poissonOfOne(hashNumber(row, sampleSeed))
    const figures = models.map((model, i) => weighted(model, orders[i]!, weights))
    of.forEach((measure, i) => {
      const value = measure(figures)
      if (Number.isFinite(value)) samples[i]!.push(value)
    })
  }
  return samples.map((values) => {
    values.sort((a, b) => a - b)
    const at = (share: number) => values[Math.min(Math.floor(share * values.length), values.length - 1)] ?? Number.NaN
    return { low: at(TAIL), high: at(1 - TAIL) }
  })
}

/** Chances of a Poisson variable of mean 1 to be at most 0, 1, 2 …, up to where 32 bits see no difference to 1. */
const POISSON = Float64Array.from({ length: 12 })
for (let k = 0, chance = Math.exp(-1), sum = 0; k < POISSON.length; k++, chance /= k) {
  sum += chance
  POISSON[k] = sum
}

function poissonOfOne(random: number): number {
  const u = (random >>> 0) / 2 ** 32
  let k = 0
  while (k < POISSON.length && u > POISSON[k]!) k++
  return k
}

// How good probabilities were, from sums that do not grow with the rows: counts by bin of the probability, and sums of p and of losses.
// SH1: all but AUC follow exactly from the sums; AUC counts pairs within a bin as ties and says how much that may be off.
// SH2: bins are of equal width in the logit, so that rates of one in ten thousand are told apart as well as those of one in two.
// The same of single rows, exactly: ml/evaluation.ts.

import type { Interval } from './evaluation.ts'
import { logitOf, logLoss, sigmoid } from './logistic.ts'

export const SCORE_BINS = 64
/** A quarter each, from -10 (5 in 100,000) to 6 (all but 2 in 1,000); what is beyond is in the first and the last. */
const [LOGIT_MIN, LOGIT_WIDTH] = [-10, 0.25]

/** The bin of a probability. */
export const scoreBin = (p: number): number =>
  Math.min(Math.max(Math.floor((logitOf(p) - LOGIT_MIN) / LOGIT_WIDTH), 0), SCORE_BINS - 1)

/** Between which probabilities those of a bin are. */
export function scoreBinEdges(bin: number): { readonly from: number; readonly to: number } {
  const edge = (i: number) => (i === 0 ? 0 : i === SCORE_BINS ? 1 : sigmoid(LOGIT_MIN + i * LOGIT_WIDTH))
  return { from: edge(bin), to: edge(bin + 1) }
}

export interface ScoreBin {
  readonly bin: number
  readonly touches: number
  readonly positives: number
  /** Of p. */
  readonly sum: number
}

/** What there is of some touches. `loss`: the sum of their log losses, nats. Bins in ascending order. */
export interface ScoreSums {
  readonly bins: readonly ScoreBin[]
  readonly loss: number
}

export interface HistogramFigures {
  readonly touches: number
  readonly positives: number
  /** Nats per touch. */
  readonly logLoss: number | null
  /** Log loss / entropy of the touches' own rate (He et al. 2014); null: all or none of them converted. */
  readonly normalisedEntropy: number | null
  /** Σ p / Σ y; null: none converted. With 95 % the conversions' own chance leaves it within `interval`. */
  readonly calibration: { readonly value: number; readonly interval: Interval } | null
  /** `error`: AUC of the single rows is at most this far off; null: all or none of them converted. */
  readonly auc: { readonly value: number; readonly error: number } | null
}

/** The figures of what was summed. */
export function figuresOfSums({ bins, loss }: ScoreSums): HistogramFigures {
  const total = (of: (bin: ScoreBin) => number) => bins.reduce((sum, bin) => sum + of(bin), 0)
  const [touches, positives] = [total((bin) => bin.touches), total((bin) => bin.positives)]
  const isMixed = positives > 0 && positives < touches
  const rate = positives / touches
  return {
    ...{ touches, positives },
    logLoss: touches === 0 ? null : loss / touches,
    normalisedEntropy: isMixed ? loss / touches / logLoss(rate, rate) : null,
    calibration:
      positives === 0
        ? null
        : calibrationOf(
            total(({ sum }) => sum),
            positives,
          ),
    auc: isMixed ? aucOf(bins, positives, touches - positives) : null,
  }
}

/** What was promised beside what came, and where that is with 95 % by the chance of what came alone. */
export function calibrationOf(promised: number, positives: number): { value: number; interval: Interval } {
  const { low, high } = poissonInterval(positives)
  return { value: promised / positives, interval: { low: promised / high, high: promised / low } }
}

/** SH1. Pairs of different bins are as in Mann and Whitney's count; of one bin they may all be right or all be wrong, and count half. */
function aucOf(bins: readonly ScoreBin[], positives: number, negatives: number): { value: number; error: number } {
  let [wins, tied, below] = [0, 0, 0]
  for (const bin of bins) {
    const own = bin.touches - bin.positives
    wins += bin.positives * below
    tied += bin.positives * own
    below += own
  }
  const pairs = positives * negatives
  return { value: (wins + tied / 2) / pairs, error: tied / 2 / pairs }
}

/** Of the normal distribution, for 95 % between both ends. */
const Z_95 = 1.959964

/** Where the mean of a Poisson count lies with 95 %: Byar's approximation (Rothman and Boice 1979), within 1 % of the exact one from a count of 5 on. */
export function poissonInterval(count: number): Interval {
  const bound = (n: number, z: number) => (n === 0 ? 0 : n * (1 - 1 / (9 * n) + z / (3 * Math.sqrt(n))) ** 3)
  return { low: bound(count, -Z_95), high: bound(count + 1, Z_95) }
}

/** Where a rate lies with 95 % (Wilson 1927); of one touch at least. */
export function wilsonInterval(positives: number, touches: number): Interval {
  const [rate, z2] = [positives / touches, Z_95 ** 2]
  const middle = (rate + z2 / (2 * touches)) / (1 + z2 / touches)
  const reach = (Z_95 / (1 + z2 / touches)) * Math.sqrt((rate * (1 - rate)) / touches + z2 / (4 * touches ** 2))
  return { low: Math.max(0, middle - reach), high: Math.min(1, middle + reach) }
}

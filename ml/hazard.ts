// Probabilities for several windows at once, from one list of bins of time (the idea of Badanidiyuru et al., "Handling many conversions
// per click in modeling delayed feedback", 2021): bin k is from the end of window k - 1 to that of window k, and
//   h_k = P(converts in bin k | did not before),  p of window k = 1 - (1 - h_1) ... (1 - h_k)
// HZ1: so p of a window is at least that of every shorter one, whatever the heads have learned.
// HZ2: a bin's row matures with its own window: the heads of short windows wait for no long one, and a touch teaches bin k only if
//      it was at risk in it, having not converted before.

import type { Model } from './model.ts'
import { createModel, type ModelSettings, type Parts } from './models.ts'
import type { Rows } from './rows.ts'

export class HazardBins {
  /** By bin. */
  readonly heads: readonly Model[]

  constructor(settings: ModelSettings, bins: number) {
    this.heads = Array.from({ length: bins }, () => createModel(settings))
  }

  get parts(): Parts {
    return Object.fromEntries(this.heads.map((head, bin) => [`bin ${bin}`, head]))
  }

  /** Whether each bin has learned something: one that has not says nothing of its window, nor do those after it. */
  get isTrained(): boolean {
    return this.heads.every(({ learned }) => learned > 0)
  }

  /** Probability to convert within each window, from the shortest on, into `out`. */
  score(rows: Rows, row: number, out: Float64Array): void {
    let stays = 1
    this.heads.forEach((head, bin) => {
      stays *= 1 - head.predictOne(rows, row)
      out[bin] = 1 - stays
    })
  }

  /** A window of a row is over: whether the row had converted at the end of the window before, and has now. */
  mature(bin: number, rows: Rows, row: number, { before, now }: { readonly before: 0 | 1; readonly now: 0 | 1 }): void {
    if (before === 0) this.heads[bin]!.learn(rows, row, now, 1)
  }
}

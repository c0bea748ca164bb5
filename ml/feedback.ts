// What a model learns from labels that come late, and with which weight. f: what the model says of the row now, taken as a constant.
// A touch is scored; after a short wait its O row says whether it has converted so far; a conversion after that makes a D row; when
// its window is over, its M row says all (contract.md, section 5).
//
// elapsed-time   O as it is, D as a positive, once more (Yang et al., "Capturing delayed feedback in conversion rate prediction via
//                elapsed-time sampling", AAAI 2021). Seen that way, 1 + d rows come of each touch on average, d = P(it converts after the
//                wait): p of them positive, 1 - p + d negative. What makes them those of p and 1 - p again is
//                  positive: 1 + d     negative: (1 + d) (1 - p) / (1 - p + d)      with f for p, f r for d.
//                r = P(after the wait | it converts) is the second head: it learns from O positives (0) and D rows (1) alone,
//                so it waits for no window to end.
// fake-negative  each touch as a negative at once, each that converts as a positive, once more (Ktena et al., "Addressing delayed
//                feedback for continuous training with neural networks in CTR prediction", RecSys 2019): 1 + p rows, p of them positive:
//                  positive: 1 + f     negative: (1 + f) (1 - f)
// duplicates     the same rows without weights, to compare: it learns p / (1 + p).
// wait           M rows only: right, and as old as the window is long.
// FB1: with its weights, p is where each of the first two policies stands still: what it learns does not depend on the delay.
// FB2: a weight depends on the row and the parameters before it, so that batches do not matter.

import type { Model } from './model.ts'
import { createModel, type ModelSettings, type Parts } from './models.ts'
import type { Rows } from './rows.ts'

export const POLICIES = ['elapsed-time', 'fake-negative', 'duplicates', 'wait'] as const
export type Policy = (typeof POLICIES)[number]

/** What there is to learn from: that there is a touch, or a label row of it. */
export type Told = 'touch' | 'O' | 'D' | 'M'

/** Weight of a row of elapsed-time sampling. `late`: P(after the wait | it converts). */
export function elapsedTimeWeight(y: 0 | 1, f: number, late: number): number {
  const d = f * late
  return y === 1 ? 1 + d : ((1 + d) * (1 - f)) / (1 - f + d)
}

/** Weight of a row of fake negatives. The gradients by the logit are those of the authors' program: (1 + f) (f - 1), (1 + f) (1 - f) f. */
export const fakeNegativeWeight = (y: 0 | 1, f: number): number => (y === 1 ? 1 + f : (1 + f) * (1 - f))

/** A model that learns one window by a policy. */
export class Learner {
  readonly policy: Policy
  readonly model: Model
  /** The second head: P(after the wait | it converts). */
  readonly late: Model

  constructor(policy: Policy, settings: ModelSettings) {
    this.policy = policy
    this.model = createModel(settings)
    this.late = createModel(settings)
  }

  /** All of its state. */
  get parts(): Parts {
    return { model: this.model, late: this.late }
  }

  score(rows: Rows, row: number): number {
    return this.model.predictOne(rows, row)
  }

  /** P(after the wait | it converts), of a row; 0 by policies that do not ask for it. */
  lateOf(rows: Rows, row: number): number {
    return this.policy === 'elapsed-time' ? this.late.predictOne(rows, row) : 0
  }

  /**
   * Learns what was told of a row, if its policy does. `y` of a touch says nothing. `said`: what score() has just said of the row, as the
   * last thing that was asked of the model.
   */
  told(what: Told, rows: Rows, row: number, y: 0 | 1, said?: number): void {
    switch (this.policy) {
      case 'elapsed-time':
        this.#toldAfterWait(what, rows, row, y, said)
        return
      case 'fake-negative':
        this.#toldAtOnce(what, rows, row, { y, said, weigh: fakeNegativeWeight })
        return
      case 'duplicates':
        this.#toldAtOnce(what, rows, row, { y, said, weigh: () => 1 })
        return
      case 'wait':
        if (what === 'M') this.model.learn(rows, row, y, 1, said)
    }
  }

  #toldAfterWait(what: Told, rows: Rows, row: number, y: 0 | 1, said?: number): void {
    if (what !== 'O' && what !== 'D') return
    const f = said ?? this.model.predictOne(rows, row)
    const late = this.late.predictOne(rows, row)
    this.model.learn(rows, row, y, elapsedTimeWeight(y, f, late), f)
    if (y === 1) this.late.learn(rows, row, what === 'D' ? 1 : 0, 1, late)
  }

  #toldAtOnce(
    what: Told,
    rows: Rows,
    row: number,
    {
      y,
      said,
      weigh,
    }: { readonly y: 0 | 1; readonly said: number | undefined; readonly weigh: typeof fakeNegativeWeight },
  ): void {
    const learnt = what === 'touch' ? 0 : y
    // The negative was learned with the touch; M says nothing that O and D have not said.
    if (what === 'M' || (what === 'O' && y === 0)) return
    const f = said ?? this.model.predictOne(rows, row)
    this.model.learn(rows, row, learnt, weigh(learnt, f), f)
  }
}

// How time passes in a task: what it held and its timers, in the one order that both have, in steps that may be cut between.
// TS1: a record comes behind every timer that is due before its time, and before those due at it, however far time jumps, whatever
//      the steps are, and whoever goes on from a cut between two of them.
// TS2: a step has RELEASE_MAX records at most or one batch of timers, and what these make due among themselves. After it all is
//      processed up to `reached`, and nothing that is left, or comes of it, stands at or before that time.
// TS3: between two steps the first that is to come is known, wherever it is kept.
// What moves time, and what a cut says of it, is topology/task.ts's (T6).

import type { OrderBuffer } from './order-buffer.ts'
import type { CutsBetween, Pipeline } from './pipeline.ts'

/** The end of the input: everything held is processed, all timers fire, nothing expires any more. */
export const END_OF_TIME = Number.POSITIVE_INFINITY

export class TimeSteps {
  readonly #held: OrderBuffer
  readonly #pipeline: Pipeline

  constructor(held: OrderBuffer, pipeline: Pipeline) {
    this.#held = held
    this.#pipeline = pipeline
  }

  /** TS3. Its time, milliseconds; END_OF_TIME: there is none. */
  async next(): Promise<number> {
    return Math.min((await this.#held.next(END_OF_TIME)) ?? END_OF_TIME, await this.#pipeline.nextDue())
  }

  /** Time passes up to a watermark, milliseconds: what is held up to it is processed, timers up to it fire. */
  async passTo(watermark: number, cuts: CutsBetween): Promise<void> {
    for (;;) {
      const next = await this.#held.next(watermark)
      if (next === null) return this.#pipeline.passTime(watermark, cuts)
      await this.#pipeline.passTime(next - 1, cuts)
      // Not beyond the next timer: that fires first, in a step of its own.
      const records = await this.#held.release(Math.min(watermark, await this.#pipeline.nextDue()))
      await this.#pipeline.run(records)
      if (cuts.isDue(records.length)) await cuts.make(records.at(-1)!.at - 1)
    }
  }
}

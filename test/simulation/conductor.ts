// Runs a simulated world step by step beside a script that says what happens in it.
// CO1: a script waits for conditions, which are looked at before every step; between two steps all promises settle.
// CO2: every world ends: after a number of steps, or when nothing is left that could move.

import { setImmediate as nextTurn, setTimeout as realSleep } from 'node:timers/promises'
import type { SimScheduler } from '../../log/sim.ts'

/** The simulation did not come to its end. */
export class Stuck extends Error {}

/** Real milliseconds for which a world without steps is waited for: a real file may be being read. */
const IDLE_MS_MAX = 2_000

export class Conductor {
  readonly #scheduler: SimScheduler
  readonly #stepsMax: number
  readonly #waiting = new Set<{ readonly condition: () => boolean; readonly resolve: () => void }>()

  constructor(scheduler: SimScheduler, stepsMax: number) {
    this.#scheduler = scheduler
    this.#stepsMax = stepsMax
  }

  when(condition: () => boolean): Promise<void> {
    return new Promise((resolve) => this.#waiting.add({ condition, resolve }))
  }

  /** Runs the world until the script is done. Throws Stuck, or what the script threw. */
  async play(script: () => Promise<void>): Promise<void> {
    let over = false
    const ended = script().finally(() => {
      over = true
    })
    ended.catch(() => undefined)
    let idleMs = 0
    while (!over && idleMs < IDLE_MS_MAX && this.#scheduler.steps < this.#stepsMax) {
      await nextTurn()
      if (over || this.#wakeWaiting()) continue
      if (this.#scheduler.step()) idleMs = 0
      else {
        await realSleep(1)
        idleMs++
      }
    }
    if (!over) throw new Stuck(`no end after ${this.#scheduler.steps} steps`)
    await ended
  }

  /** True if somebody's condition holds: then it gets its turn before the next step. */
  #wakeWaiting(): boolean {
    let any = false
    for (const entry of this.#waiting) {
      if (!entry.condition()) continue
      this.#waiting.delete(entry)
      entry.resolve()
      any = true
    }
    return any
  }
}

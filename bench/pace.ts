// Load of two kinds: a rate that is kept whatever comes back (open), and a number of askers who each wait for their answer
// (closed). Only the first says how long others wait: a latency counts from when a request was meant to be sent, so that a
// node that stalls is charged for those who came meanwhile (coordinated omission).
// PA1: latencies are in microseconds, from the intended moment to the answer as this process sees it.

import { build, type Histogram } from 'hdr-histogram-js'

/** Longest time between looks at the clock and at sockets, milliseconds: the error of a latency, and it is counted as latency. */
const NAP_MS = 0.2
/** A minute: more than any request may take. */
const LATENCY_MAX_US = 60e6
/** What is sent and not answered by then will not be, milliseconds. */
const PATIENCE_MS = 20_000

export interface Paced {
  readonly latencyUs: Histogram
  /** Answers that were as they should be. */
  readonly done: number
  /** Answers that were not, and requests that could not be sent. */
  readonly failed: number
  /** Until the last answer. */
  readonly seconds: number
}

/** Does one thing and says by `done` whether that was as it should be. */
export type Deed = (done: (isGood: boolean) => void) => void

export interface OpenLoad {
  readonly perSecond: number
  readonly seconds: number
}

/** Begins deeds at a fixed rate, however long each takes. */
export async function openLoad({ perSecond, seconds }: OpenLoad, deed: Deed): Promise<Paced> {
  const tally = new Tally()
  const beginMs = performance.now()
  const count = Math.round(perSecond * seconds)
  for (let sent = 0; sent < count; ) {
    const now = performance.now()
    for (; sent < count; sent++) {
      const intendedMs = beginMs + (sent * 1_000) / perSecond
      if (intendedMs > now) break
      deed(tally.from(intendedMs))
    }
    await nap()
  }
  return tally.ended(beginMs)
}

export interface ClosedLoad {
  readonly askers: number
  readonly seconds: number
}

/** As many deeds at once as there are askers, each beginning the next when its last is done: what can be done at most. */
export async function closedLoad({ askers, seconds }: ClosedLoad, deed: Deed): Promise<Paced> {
  const tally = new Tally()
  const beginMs = performance.now()
  const untilMs = beginMs + seconds * 1_000
  const next = (): void => {
    const now = performance.now()
    if (now >= untilMs) return
    const done = tally.from(now)
    deed((isGood) => {
      done(isGood)
      next()
    })
  }
  for (let i = 0; i < askers; i++) next()
  return tally.ended(beginMs)
}

/** Lets sockets be heard, and then sleeps a part of a millisecond, for which timers are too coarse. */
async function nap(): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve))
  Atomics.wait(SLEEPER, 0, 0, NAP_MS)
}

const SLEEPER = new Int32Array(new SharedArrayBuffer(4))

class Tally {
  readonly #latencyUs = build({ highestTrackableValue: LATENCY_MAX_US, numberOfSignificantValueDigits: 3 })
  #underWay = 0
  #done = 0
  #failed = 0
  #lastMs = 0

  from(intendedMs: number): (isGood: boolean) => void {
    this.#underWay++
    return (isGood) => {
      this.#underWay--
      this.#lastMs = performance.now()
      if (isGood) {
        this.#done++
        this.#latencyUs.recordValue(Math.min(LATENCY_MAX_US, Math.round((this.#lastMs - intendedMs) * 1_000)))
      } else this.#failed++
    }
  }

  async ended(beginMs: number): Promise<Paced> {
    let [before, sinceMs] = [0, performance.now()]
    while (this.#underWay > 0) {
      await new Promise((resolve) => setTimeout(resolve, 1))
      const [answered, now] = [this.#done + this.#failed, performance.now()]
      if (answered !== before) [before, sinceMs] = [answered, now]
      if (now - sinceMs > PATIENCE_MS) throw new Error(`${this.#underWay} requests without an answer`)
    }
    const seconds = (this.#lastMs - beginMs) / 1_000
    return { latencyUs: this.#latencyUs, done: this.#done, failed: this.#failed, seconds }
  }
}

// Deterministic simulation: a seeded random source and a scheduler with a logical clock. No real timer, no Math.random.
// S1: the same seed and the same calls give the same order of steps and the same times (`trace` is their fingerprint).
// S2: steps of one lane run in the order they were posted (a lane is one direction of a connection); which lane is next is
//     drawn by the seed. A timer is a step that is posted into its lane when the clock reaches it.
// S3: the clock stands still while promises settle, moves a little with every step, and jumps to the next timer when no
//     lane is ready.
// What is simulated is in log/fake-log.ts.

import { setImmediate as nextTurn } from 'node:timers/promises'
import { assert } from './errors.ts'

/** mulberry32: small, fast, good enough to draw faults. */
export class SimRandom {
  #state: number

  constructor(seed: number) {
    this.#state = seed | 0
  }

  /** Uniform in [0, 1). */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0
    let t = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296
  }

  /** Integer in [0, below). */
  below(below: number): number {
    return Math.floor(this.next() * below)
  }

  /** True with this probability. Draws nothing at 0, so that switching a fault off leaves the other draws alone. */
  chance(probability: number): boolean {
    return probability > 0 && this.next() < probability
  }
}

type Step = () => void

/** A queue of steps that run in order. `isOpen` false holds them back (a paused server, a stopped process). */
export class Lane {
  readonly steps: Step[] = []
  readonly isOpen: () => boolean

  constructor(isOpen: () => boolean = () => true) {
    this.isOpen = isOpen
  }
}

interface Timer {
  readonly dueMs: number
  readonly order: number
  readonly lane: Lane
  readonly step: Step
  cancelled: boolean
}

export interface SchedulerOptions {
  readonly seed: number
  /** `auto`: steps run by themselves, one a turn of the event loop. `manual`: only in step() and settle(). */
  readonly drive?: 'auto' | 'manual'
}

/** Milliseconds since 1970 at which every simulation starts. */
export const SIM_START_MS = 1_700_000_000_000
/** Logical milliseconds a step takes: small against every timeout, large enough that stored messages differ in time. */
const STEP_MS = 0.05
/** settle() gives up after this many steps: what is simulated is running in circles. */
const SETTLE_STEPS_MAX = 5_000_000

export class SimScheduler {
  readonly random: SimRandom
  readonly #auto: boolean
  readonly #lanes: Lane[] = []
  readonly #ownLane = this.lane()
  #timers: Timer[] = []
  #timerOrder = 0
  #nowMs = SIM_START_MS
  #turnAsked = false
  #trace = 0
  #steps = 0

  constructor(options: SchedulerOptions) {
    this.random = new SimRandom(options.seed)
    this.#auto = (options.drive ?? 'auto') === 'auto'
  }

  /** Logical milliseconds since 1970. */
  get nowMs(): number {
    return this.#nowMs
  }

  get steps(): number {
    return this.#steps
  }

  /** Fingerprint of everything that was drawn so far: equal for equal runs. */
  get trace(): number {
    return this.#trace >>> 0
  }

  lane(isOpen?: () => boolean): Lane {
    const lane = new Lane(isOpen)
    this.#lanes.push(lane)
    return lane
  }

  /** Forgets a lane and what is in it. */
  drop(lane: Lane): void {
    const index = this.#lanes.indexOf(lane)
    if (index >= 0) this.#lanes.splice(index, 1)
    lane.steps.length = 0
  }

  post(lane: Lane, step: Step): void {
    lane.steps.push(step)
    this.wake()
  }

  /** Posts `step` into the lane when `delayMs` have passed. Returns how to cancel it. */
  after(delayMs: number, lane: Lane, step: Step): () => void {
    const timer: Timer = { dueMs: this.#nowMs + delayMs, order: this.#timerOrder++, lane, step, cancelled: false }
    let at = this.#timers.length
    while (at > 0 && this.#timers[at - 1]!.dueMs > timer.dueMs) at--
    this.#timers.splice(at, 0, timer)
    this.wake()
    return () => {
      timer.cancelled = true
    }
  }

  /** Resolves when `ms` logical milliseconds have passed. */
  sleep(ms: number, lane: Lane = this.#ownLane): Promise<void> {
    return new Promise((resolve) => this.after(ms, lane, resolve))
  }

  /** Moves the clock without running anything; timers that became due run next. */
  advance(ms: number): void {
    assert(ms >= 0, 'time only moves forward')
    this.#nowMs += ms
    this.wake()
  }

  /** Runs one step; false if nothing is ready and no timer is set. */
  step(): boolean {
    this.#postDueTimers()
    let ready = this.#lanes.filter(isReady)
    while (ready.length === 0) {
      if (!this.#jumpToNextTimer()) return false
      this.#postDueTimers()
      ready = this.#lanes.filter(isReady)
    }
    const pick = ready.length === 1 ? 0 : this.random.below(ready.length)
    this.#trace = Math.imul(this.#trace ^ (this.#lanes.indexOf(ready[pick]!) + 1), 0x01000193) + this.#steps
    this.#steps++
    this.#nowMs += STEP_MS
    ready[pick]!.steps.shift()!()
    return true
  }

  /** Manual drive: runs steps, letting promises settle in between, until nothing is left or `until` holds. */
  async settle(until: () => boolean = () => false): Promise<void> {
    for (let i = 0; i < SETTLE_STEPS_MAX; i++) {
      await nextTurn()
      if (until() || !this.step()) return
    }
    assert(false, `the simulation did not settle in ${SETTLE_STEPS_MAX} steps`)
  }

  /** Auto drive: asks for a turn of the event loop. Also called when a held lane opens. */
  wake(): void {
    if (!this.#auto || this.#turnAsked) return
    this.#turnAsked = true
    setImmediate(() => {
      this.#turnAsked = false
      if (this.step()) this.wake()
    })
  }

  #postDueTimers(): void {
    while (this.#timers.length > 0 && this.#timers[0]!.dueMs <= this.#nowMs) {
      const timer = this.#timers.shift()!
      if (!timer.cancelled) timer.lane.steps.push(timer.step)
    }
  }

  #jumpToNextTimer(): boolean {
    while (this.#timers[0]?.cancelled) this.#timers.shift()
    const timer = this.#timers[0]
    if (timer === undefined) return false
    this.#nowMs = timer.dueMs
    return true
  }
}

function isReady(lane: Lane): boolean {
  return lane.steps.length > 0 && lane.isOpen()
}

// Runs batches of records through the operators of one stage.
// R1: the only awaits between reading a record and deciding are the prefetch of what the next operator will read, and what it prepares.
// R2: what a batch emits to one destination is in the order (input, operator, ordinal), whatever the batches were.
// R3: a batch is cut where an operator must be told of time or a timer is due, so that no operator can see batches.
// R4: however far the watermark jumps, each timer finds operators told of the time before it and not of a later one.
// R5: timers of one node fire in batches where nobody can tell: none is set meanwhile that comes before the next, no operator
//     is to be told of time between them, and what they emit has gone through the nodes behind before a timer of those is due.
// R6: while the input is drained no operator is told of a time after drainedAt: of what was accepted nothing expires.
// Where records come from and go to is topology/task.ts's.

import { assert, HoldfastError } from '../log/errors.ts'
import { NO_WATERMARK } from '../log/frame.ts'
import { LogUnavailable } from '../log/log.ts'
import {
  type FiredTimer,
  type Operator,
  type OperatorContext,
  type OperatorSettings,
  RANK,
  type Rec,
  type Timer,
  type TimerCause,
} from '../operators/operator.ts'
import { compareOrderKeys } from '../state/key-layout.ts'
import type { HoldStore, KeyedStore, OrderKey, OrderQueue, QueueEntry, SeenStore, StoreSpec } from '../state/store.ts'
import type { TaskState } from '../state/task-state.ts'
import type { Outgoing } from './outgoing.ts'
import { INGRESS, type NodePlan, SOURCE, type StagePlan } from './plan.ts'
import type { Tally } from './tally.ts'

/** The order queues that every stage has beside its operators' stores (ids above the operators'). */
export const HELD: StoreSpec = { kind: 'queue', id: 251, name: 'held' }
export const TIMERS: StoreSpec = { kind: 'queue', id: 252, name: 'timers' }

/** Counts reads of holds that left the older ones out (HOLDS_READ_MAX). */
const HOLDS_LEFT_OUT = 'holds_left_out'

const NEVER = Number.POSITIVE_INFINITY

type AnyOperator = Operator<unknown, unknown>
type Batch = readonly Rec<unknown>[]

export interface PipelineOptions {
  readonly stage: StagePlan
  readonly state: TaskState
  readonly tally: Tally
  readonly outgoing: Outgoing
  /** Records of one batch; a setting because results may not depend on it. */
  readonly sliceMax: number
  /** Gives the event loop its turn where it has waited long enough. */
  readonly pause: () => Promise<void>
  /** Where in the input the task is, for the message of an operator that throws. */
  readonly position: () => Record<string, string | number>
  /** What operators are told by configured(). The ingress sees what has no order time yet. */
  readonly configured: ConfiguredAt
  /** What operators are told by seenAfter(), model() and blobOf(). */
  readonly seenAfter: OperatorContext['seenAfter']
  readonly model: OperatorContext['model']
  readonly blobOf: OperatorContext['blobOf']
}

/** Cuts between the batches of something long: where nothing is half done, and another process may go on from it. */
export interface CutsBetween {
  /** Told how many records or timers a batch has processed. */
  isDue(processed: number): boolean
  /** `reached`: every record and timer up to this time has been processed. */
  make(reached: number): Promise<void>
}

export class Pipeline {
  readonly #stage: StagePlan
  readonly #state: TaskState
  readonly #outgoing: Outgoing
  readonly #sliceMax: number
  readonly #pause: () => Promise<void>
  readonly #position: PipelineOptions['position']
  readonly #timers: OrderQueue
  readonly #ingress: Context
  readonly #contexts: readonly Context[]
  readonly #moment: Moment = { input: null, drainedAt: null }
  /** Timers that were taken from the queue and have not fired, in order: others were set that come before them. */
  #taken: QueueEntry[] = []
  /** By node: whether one behind it sets timers. */
  readonly #setsTimersBehind: readonly boolean[]
  /** Batches may span less than this, end with a late record, and pass no time behind what a timer emitted: so no timer set in one is due in it. */
  readonly #spanMs: number
  readonly #nextAdvance: number[]
  /** R6. */
  #advanceMax = NEVER
  /** No operator needs to be told of a watermark below this. */
  #nextTime = -1

  constructor({ stage, state, tally, outgoing, sliceMax, pause, position, ...told }: PipelineOptions) {
    this.#stage = stage
    this.#state = state
    this.#outgoing = outgoing
    this.#sliceMax = sliceMax
    this.#pause = pause
    this.#position = position
    this.#timers = state.queue(TIMERS.name)
    const parts: ContextParts = { state, tally, outgoing, timers: this.#timers, moment: this.#moment, ...told }
    this.#ingress = new Context(INGRESS, null, parts)
    this.#contexts = stage.nodes.map((node, i) => new Context(i, node, parts))
    this.#setsTimersBehind = stage.nodes.map((_, i) => setsTimersBehind(stage, i))
    this.#spanMs = Math.min(NEVER, ...stage.nodes.map(({ operator }) => operator.timers?.delayMinMs ?? NEVER))
    this.#nextAdvance = stage.nodes.map(({ operator }) => (operator.advance === undefined ? NEVER : -1))
  }

  /** The validation of a source stage, over arrivals in log order. It reads no state. */
  validate(arrivals: Batch): Batch {
    const ingress = this.#stage.ingress as AnyOperator
    const valid = this.#named(ingress, () => ingress.process(arrivals, this.#ingress))
    this.#outgoing.endBatch()
    return valid
  }

  /** Records in their final order, each with the watermark before it. */
  async run(records: Batch): Promise<void> {
    for (let from = 0; from < records.length; ) {
      const first = records[from]!.watermark
      if (first >= this.#nextTime) await this.passTime(first)
      const to = this.#endOfBatch(records, from)
      await this.#runBatch(from === 0 && to === records.length ? records : records.slice(from, to))
      from = to
      await this.#pause()
    }
  }

  /** A step of an operator that throws halts its task. */
  #named<T>(operator: AnyOperator, step: () => T): T {
    try {
      return step()
    } catch (cause) {
      throw this.#blamed(operator, cause)
    }
  }

  /** What an operator has thrown, with its name and the position; what says so itself stays as it is. */
  #blamed(operator: AnyOperator, cause: unknown): Error {
    if (cause instanceof HoldfastError || cause instanceof LogUnavailable) return cause
    const detail = cause instanceof Error ? cause.message : String(cause)
    const error = new HoldfastError('OPERATOR_FAILED', `${operator.name}: ${detail}`, this.#position())
    error.cause = cause
    return error
  }

  /** Where the batch ends that begins at a record (R3). */
  #endOfBatch(records: Batch, from: number): number {
    const setsTimers = this.#spanMs !== NEVER
    const limit = Math.min(from + this.#sliceMax, records.length)
    let below = Math.min(this.#nextTime, records[from]!.watermark + this.#spanMs)
    let to = from + 1
    for (; to < limit; to++) {
      const before = records[to - 1]!
      if (setsTimers && before.late) break
      if (setsTimers && before.rank === RANK.timer) below = Math.min(below, before.at)
      if (records[to]!.watermark >= below) break
    }
    return to
  }

  async #runBatch(batch: Batch): Promise<void> {
    await this.#passOn(SOURCE, batch)
    if (this.#spanMs !== NEVER) this.#findNextTime()
  }

  /** What comes out at a node (SOURCE: the stage's input) goes through the nodes behind it and to the exchanges. */
  async #passOn(origin: number, batch: Batch): Promise<void> {
    const results: Batch[] = []
    const outOf = (node: number): Batch | undefined => (node === origin ? batch : results[node])
    for (let i = origin + 1; i < this.#stage.nodes.length; i++) {
      const { operator, from } = this.#stage.nodes[i]!
      const input = outOf(from)
      if (input !== undefined) results[i] = await this.#step(operator, input, this.#contexts[i]!)
    }
    this.#stage.exchanges.forEach(({ from }, i) => {
      for (const record of outOf(from) ?? []) this.#outgoing.exchange(i, record)
    })
    this.#outgoing.endBatch()
  }

  async #step(operator: AnyOperator, input: Batch, context: Context): Promise<Batch> {
    if (input.length === 0) return input
    this.#named(operator, () => operator.keys?.(input, context))
    const missing = this.#state.prefetch()
    if (missing !== null) await missing
    if (operator.prepare !== undefined) await this.#prepared(operator, () => operator.prepare!(input, context))
    return this.#named(operator, () => operator.process(input, context))
  }

  /** What it prepares may fail as its other steps may. */
  async #prepared(operator: AnyOperator, prepare: () => Promise<void> | null): Promise<void> {
    try {
      await prepare()
    } catch (cause) {
      throw this.#blamed(operator, cause)
    }
  }

  /**
   * Fires the timers that are due, in their order, and tells operators that the watermark is here (R4: time by time). Infinity is the
   * end of the input: all timers there are, those set meanwhile as well, and nothing expires any more.
   */
  async passTime(watermark: number, cuts?: CutsBetween): Promise<void> {
    if (watermark < this.#nextTime) return
    const isEnd = watermark === NEVER
    if (isEnd) this.#nextAdvance.fill(NEVER)
    await this.#fireUpTo(watermark, cuts)
    if (!isEnd) this.#advance(watermark)
    this.#findNextTime()
  }

  /** When the next timer is due; Infinity: there is none. */
  async nextDue(): Promise<number> {
    if (this.#timers.needsRefill) await this.#timers.refill()
    return this.#timers.peek()?.key.at ?? NEVER
  }

  /** The input is drained, before what is held is released. `asOf`: what operators are told by drainedAt. */
  drain(asOf: number): void {
    this.#moment.drainedAt = asOf
    if (asOf !== NO_WATERMARK) this.#advanceMax = asOf
    this.#nextAdvance.forEach((next, i) => {
      this.#nextAdvance[i] = this.#unlessNever(next)
    })
  }

  #advance(passed: number): void {
    const watermark = Math.min(passed, this.#advanceMax)
    for (let i = 0; i < this.#contexts.length; i++) {
      if (this.#nextAdvance[i]! > watermark) continue
      const { operator } = this.#stage.nodes[i]!
      const next = this.#named(operator, () => operator.advance!(watermark, this.#contexts[i]!))
      assert(next > watermark, `${operator.name} asks for a time that has passed`)
      this.#nextAdvance[i] = this.#unlessNever(next)
    }
  }

  #unlessNever(next: number): number {
    return next > this.#advanceMax ? NEVER : next
  }

  async #fireUpTo(watermark: number, cuts?: CutsBetween): Promise<void> {
    for (let batch = await this.#takeDue(watermark); batch.length > 0; batch = await this.#takeDue(watermark)) {
      const fired = await this.#fire(batch)
      if (cuts?.isDue(fired) === true) {
        // What was taken and has not fired is state as well.
        for (const { key, value } of this.#taken) this.#timers.push(key, value)
        this.#taken = []
        // All that is left is due with the last one or later.
        await cuts.make(batch[fired - 1]!.key.at - 1)
      }
      await this.#pause()
    }
    assert(this.#taken.length === 0, 'what is due has fired')
  }

  /** R5. The next timers that may fire in one go, with operators told of the time before them. Empty: none is due. */
  async #takeDue(watermark: number): Promise<readonly QueueEntry[]> {
    if (this.#taken.length === 0 && this.#timers.needsRefill) await this.#timers.refill()
    const first = this.#peekTimer()
    if (first === null || first.key.at > watermark) return []
    this.#advance(first.key.at - 1)
    const node = nodeOf(first)
    const dueMax = this.#setsTimersBehind[node] ? first.key.at : Math.min(watermark, ...this.#nextAdvance)
    const batch: QueueEntry[] = []
    for (
      let next: QueueEntry | null = first;
      next !== null && batch.length < this.#sliceMax;
      next = this.#peekTimer()
    ) {
      if (next.key.at > dueMax || nodeOf(next) !== node) break
      batch.push(next)
      if (next === this.#taken[0]) this.#taken.shift()
      else this.#timers.pop()
    }
    return batch
  }

  /** The next timer; null: there is none, or it is in the backend. */
  #peekTimer(): QueueEntry | null {
    const taken = this.#taken[0] ?? null
    if (this.#timers.needsRefill) return taken
    const queued = this.#timers.peek()
    if (taken === null || queued === null) return taken ?? queued
    return compareOrderKeys(queued.key, taken.key) < 0 ? queued : taken
  }

  /** Fires timers of one node, up to the first that another, set meanwhile, comes before. Gives how many. */
  async #fire(batch: readonly QueueEntry[]): Promise<number> {
    const node = nodeOf(batch[0]!)
    const { operator } = this.#stage.nodes[node]!
    const context = this.#contexts[node]!
    const { kinds } = operator.timers!
    const timers = batch.map((entry) => timerOf(entry, kinds))
    for (const timer of timers) this.#named(operator, () => operator.timerKeys?.(timer, context))
    const missing = this.#state.prefetch()
    if (missing !== null) await missing
    const emitted: Rec<unknown>[] = []
    let fired = 0
    do {
      const timer = timers[fired]!
      if (operator.prepareTimer !== undefined)
        await this.#prepared(operator, () => operator.prepareTimer!(timer, context))
      this.#moment.input = fired
      const records = this.#named(operator, () => operator.onTimer!(timer, context)) ?? []
      for (const record of records) emitted.push(fired === record.input ? record : { ...record, input: fired })
      fired++
    } while (fired < batch.length && !this.#isUndercut(batch[fired]!))
    this.#moment.input = null
    this.#taken.unshift(...batch.slice(fired))
    await this.#passOn(node, emitted)
    return fired
  }

  /** Whether a timer that was set after this one was taken comes before it. */
  #isUndercut({ key }: QueueEntry): boolean {
    const queued = this.#timers.needsRefill ? null : this.#timers.peek()
    return queued !== null && compareOrderKeys(queued.key, key) < 0
  }

  #findNextTime(): void {
    const due = this.#timers.needsRefill ? null : this.#timers.peek()
    // A refill, if one is needed, is done when the next batch asks for the time.
    const timer = this.#timers.needsRefill ? -1 : (due?.key.at ?? NEVER)
    this.#nextTime = Math.min(timer, ...this.#nextAdvance)
  }
}

/** A timer as it lies in the queue: order key (due, rank, place, key, number of its cause), and its payload. */
function timerOf({ key, value }: QueueEntry, kinds: readonly string[]): FiredTimer {
  const kind = kinds[Number(key.type.slice(PLACE_DIGITS))]!
  return { dueMs: key.at, kind, key: key.id, payload: JSON.parse(value), number: key.number }
}

/** Timers due at the same time fire in the order (operator, its list of kinds, key): both places as text that sorts. */
const timerPlace = (node: number, kind: number): string => `${placeDigits(node)}${placeDigits(kind)}`
const nodeOf = ({ key }: QueueEntry): number => Number(key.type.slice(0, PLACE_DIGITS))
const PLACE_DIGITS = 4
const placeDigits = (place: number): string => String(place).padStart(PLACE_DIGITS, '0')

function setsTimersBehind({ nodes }: StagePlan, origin: number): boolean {
  const behind = new Set([origin])
  for (const [i, { from }] of nodes.entries()) if (behind.has(from)) behind.add(i)
  behind.delete(origin)
  return nodes.some(({ operator }, i) => behind.has(i) && operator.timers !== undefined)
}

/** What holds for all operators of a stage at the same time. */
interface Moment {
  /** Of the timer that fires, among those of its batch. null: what is emitted says itself what caused it. */
  input: number | null
  drainedAt: number | null
}

/** As OperatorContext.configured, told who asks. */
type ConfiguredAt = (at: number, by: { readonly isIngress: boolean }) => OperatorSettings | null

/** What the contexts of one stage share. */
interface ContextParts {
  readonly state: TaskState
  readonly tally: Tally
  readonly outgoing: Outgoing
  readonly timers: OrderQueue
  readonly moment: Readonly<Moment>
  readonly configured: ConfiguredAt
  readonly seenAfter: OperatorContext['seenAfter']
  readonly model: OperatorContext['model']
  readonly blobOf: OperatorContext['blobOf']
}

class Context implements OperatorContext {
  readonly #node: number
  readonly #plan: NodePlan | null
  readonly #tally: Tally
  readonly #outgoing: Outgoing
  readonly #timers: OrderQueue
  /** By kind. One text for all: there may be hundreds of thousands of timers. */
  readonly #timerPlaces: readonly string[]
  readonly #moment: Readonly<Moment>
  readonly #configured: ConfiguredAt
  readonly seenAfter: OperatorContext['seenAfter']
  readonly model: OperatorContext['model']
  readonly blobOf: OperatorContext['blobOf']
  readonly #keyed = new Map<string, KeyedStore<unknown>>()
  readonly #seen = new Map<string, SeenStore>()
  readonly #holds = new Map<string, HoldStore<unknown>>()

  constructor(
    node: number,
    plan: NodePlan | null,
    { state, tally, outgoing, timers, moment, configured, seenAfter, model, blobOf }: ContextParts,
  ) {
    this.#node = node
    this.#plan = plan
    this.#tally = tally
    this.#outgoing = outgoing
    this.#timers = timers
    this.#moment = moment
    this.#configured = configured
    this.seenAfter = seenAfter
    this.model = model
    this.blobOf = blobOf
    this.#timerPlaces = (plan?.operator.timers?.kinds ?? []).map((_, kind) => timerPlace(node, kind))
    plan?.operator.stores.forEach((declared, i) => {
      const { name } = plan.stores[i]!
      if (declared.kind === 'keyed') this.#keyed.set(declared.name, state.keyed(name))
      if (declared.kind === 'seen') this.#seen.set(declared.name, state.seen(name))
      if (declared.kind === 'holds')
        this.#holds.set(
          declared.name,
          state.holds(name, () => tally.count(HOLDS_LEFT_OUT)),
        )
    })
  }

  configured(at: number): OperatorSettings | null {
    return this.#configured(at, { isIngress: this.#plan === null })
  }

  blob(bytes: Uint8Array): string {
    return this.#outgoing.blob(bytes)
  }

  keyed<V>(name: string): KeyedStore<V> {
    const store = this.#keyed.get(name)
    assert(store !== undefined, `the operator declares the store ${name}`)
    return store as KeyedStore<V>
  }

  seen(name: string): SeenStore {
    const store = this.#seen.get(name)
    assert(store !== undefined, `the operator declares the store ${name}`)
    return store
  }

  holds<V>(name: string): HoldStore<V> {
    const store = this.#holds.get(name)
    assert(store !== undefined, `the operator declares the store ${name}`)
    return store as HoldStore<V>
  }

  count(name: string, by = 1): void {
    this.#tally.count(name, by)
  }

  highest(name: string, value: number): void {
    this.#tally.highest(name, value)
  }

  emit(output: string, record: unknown, cause: { readonly input: number }): void {
    this.emitJson(output, JSON.stringify(record), cause)
  }

  emitJson(output: string, json: string, cause: { readonly input: number }): void {
    this.#outgoing.output(output, json, this.#moment.input ?? cause.input, this.#node)
  }

  get drainedAt(): number | null {
    return this.#moment.drainedAt
  }

  setTimer(timer: Timer, cause: TimerCause): void {
    const declared = this.#plan?.operator.timers
    assert(declared !== undefined, 'an operator that sets timers declares them')
    const kind = declared.kinds.indexOf(timer.kind)
    assert(kind >= 0, `the timer kind ${timer.kind} is declared`)
    // Behind a late record and behind a timer the next batch begins, so that nothing due meanwhile is passed by.
    const delayMinMs = cause.late || cause.rank === RANK.timer ? 0 : declared.delayMinMs
    assert(timer.dueMs >= cause.at + delayMinMs, 'a timer is due delayMinMs after its cause, or later')
    const type = this.#timerPlaces[kind]!
    const key: OrderKey = { at: timer.dueMs, rank: RANK.timer, type, id: timer.key, number: cause.number }
    this.#timers.push(key, JSON.stringify(timer.payload ?? null))
  }
}

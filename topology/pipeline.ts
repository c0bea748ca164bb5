// Runs batches of records through the operators of one stage.
// R1: the only await between reading a record and deciding is the prefetch of what the next operator will read.
// R2: what a batch emits to one destination is in the order (input, operator, ordinal), whatever the batches were.
// R3: a batch is cut where an operator must be told of time or a timer is due, so that no operator can see batches.
// R4: however far the watermark jumps, each timer finds operators told of the time before it and not of a later one.
// Where records come from and go to is topology/task.ts's.

import { assert, HoldfastError } from '../log/errors.ts'
import type { Operator, OperatorContext, OperatorSettings, Rec, Timer } from '../operators/operator.ts'
import type { KeyedStore, OrderKey, OrderQueue, QueueEntry, SeenStore, StoreSpec } from '../state/store.ts'
import type { TaskState } from '../state/task-state.ts'
import { RANK } from './order-buffer.ts'
import type { Outgoing } from './outgoing.ts'
import { INGRESS, type NodePlan, SOURCE, type StagePlan } from './plan.ts'
import type { Tally } from './tally.ts'

/** The order queues that every stage has beside its operators' stores (ids above the operators'). */
export const HELD: StoreSpec = { kind: 'queue', id: 251, name: 'held' }
export const TIMERS: StoreSpec = { kind: 'queue', id: 252, name: 'timers' }

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
  /** What operators are told by configured(). */
  readonly configured: OperatorContext['configured']
  /** What operators are told by seenAfter(). */
  readonly seenAfter: OperatorContext['seenAfter']
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
  /** Batches may span less than this, so that no timer set in one is due in it. */
  readonly #spanMs: number
  readonly #nextAdvance: number[]
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
    const parts: ContextParts = { state, tally, outgoing, timers: this.#timers, ...told }
    this.#ingress = new Context(INGRESS, null, parts)
    this.#contexts = stage.nodes.map((node, i) => new Context(i, node, parts))
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
      const limit = Math.min(from + this.#sliceMax, records.length)
      let to = from + 1
      while (to < limit && this.#fits(records[to]!.watermark, first)) to++
      await this.#runBatch(from === 0 && to === records.length ? records : records.slice(from, to))
      from = to
      await this.#pause()
    }
  }

  /** An operator that throws halts its task, with its name and the position. */
  #named<T>(operator: AnyOperator, step: () => T): T {
    try {
      return step()
    } catch (cause) {
      if (cause instanceof HoldfastError) throw cause
      const detail = cause instanceof Error ? cause.message : String(cause)
      const error = new HoldfastError('OPERATOR_FAILED', `${operator.name}: ${detail}`, this.#position())
      error.cause = cause
      throw error
    }
  }

  #fits(watermark: number, first: number): boolean {
    return watermark < this.#nextTime && watermark - first < this.#spanMs
  }

  async #runBatch(batch: Batch): Promise<void> {
    const results: Batch[] = []
    for (let i = 0; i < this.#stage.nodes.length; i++) {
      const { operator, from } = this.#stage.nodes[i]!
      const input = from === SOURCE ? batch : results[from]!
      results.push(await this.#step(operator, input, this.#contexts[i]!))
    }
    this.#stage.exchanges.forEach(({ from }, i) => {
      for (const record of from === SOURCE ? batch : results[from]!) this.#outgoing.exchange(i, record)
    })
    this.#outgoing.endBatch()
    if (this.#spanMs !== NEVER) this.#findNextTime()
  }

  async #step(operator: AnyOperator, input: Batch, context: Context): Promise<Batch> {
    if (input.length === 0) return input
    this.#named(operator, () => operator.keys?.(input, context))
    const missing = this.#state.prefetch()
    if (missing !== null) await missing
    return this.#named(operator, () => operator.process(input, context))
  }

  /** Fires the timers that are due, in their order, and tells operators that the watermark is here (R4: time by time). */
  async passTime(watermark: number): Promise<void> {
    if (watermark < this.#nextTime) return
    for (let due = await this.#nextDue(); due <= watermark; due = await this.#nextDue()) {
      this.#advance(due - 1)
      await this.#fireNext()
    }
    this.#advance(watermark)
    this.#findNextTime()
  }

  /** The end of the input: fires every timer there is, those set meanwhile as well. Nothing expires any more. */
  async fireAll(): Promise<void> {
    while ((await this.#nextDue()) < NEVER) await this.#fireNext()
  }

  #advance(watermark: number): void {
    for (let i = 0; i < this.#contexts.length; i++) {
      if (this.#nextAdvance[i]! > watermark) continue
      const { operator } = this.#stage.nodes[i]!
      this.#nextAdvance[i] = this.#named(operator, () => operator.advance!(watermark, this.#contexts[i]!))
      assert(this.#nextAdvance[i]! > watermark, `${operator.name} asks for a time that has passed`)
    }
  }

  /** When the next timer is due. */
  async #nextDue(): Promise<number> {
    if (this.#timers.needsRefill) await this.#timers.refill()
    return this.#timers.peek()?.key.at ?? NEVER
  }

  async #fireNext(): Promise<void> {
    const { timer, node } = timerOf(this.#timers.pop())
    const { operator } = this.#stage.nodes[node]!
    const context = this.#contexts[node]!
    this.#named(operator, () => operator.timerKeys?.(timer, context))
    const missing = this.#state.prefetch()
    if (missing !== null) await missing
    this.#named(operator, () => operator.onTimer!(timer, context))
    this.#outgoing.endBatch()
  }

  #findNextTime(): void {
    const due = this.#timers.needsRefill ? null : this.#timers.peek()
    // A refill, if one is needed, is done when the next batch asks for the time.
    const timer = this.#timers.needsRefill ? -1 : (due?.key.at ?? NEVER)
    this.#nextTime = Math.min(timer, ...this.#nextAdvance)
  }
}

/** A timer as it lies in the queue: order key (due, rank, place, key, number of its cause), value [node, kind, payload]. */
function timerOf({ key, value }: QueueEntry): { timer: Timer; node: number } {
  const [node, kind, payload] = JSON.parse(value) as [number, string, unknown]
  return { node, timer: { dueMs: key.at, kind, key: key.id, payload } }
}

/** Timers due at the same time fire in the order (operator, its list of kinds, key): both places as text that sorts. */
const timerPlace = (node: number, kind: number): string => `${fourDigits(node)}${fourDigits(kind)}`
const fourDigits = (place: number): string => String(place).padStart(4, '0')

/** What the contexts of one stage share. */
interface ContextParts {
  readonly state: TaskState
  readonly tally: Tally
  readonly outgoing: Outgoing
  readonly timers: OrderQueue
  readonly configured: OperatorContext['configured']
  readonly seenAfter: OperatorContext['seenAfter']
}

class Context implements OperatorContext {
  readonly #node: number
  readonly #plan: NodePlan | null
  readonly #tally: Tally
  readonly #outgoing: Outgoing
  readonly #timers: OrderQueue
  readonly #configured: OperatorContext['configured']
  readonly #seenAfter: OperatorContext['seenAfter']
  readonly #keyed = new Map<string, KeyedStore<unknown>>()
  readonly #seen = new Map<string, SeenStore>()

  constructor(
    node: number,
    plan: NodePlan | null,
    { state, tally, outgoing, timers, configured, seenAfter }: ContextParts,
  ) {
    this.#node = node
    this.#plan = plan
    this.#tally = tally
    this.#outgoing = outgoing
    this.#timers = timers
    this.#configured = configured
    this.#seenAfter = seenAfter
    plan?.operator.stores.forEach((declared, i) => {
      const { name } = plan.stores[i]!
      if (declared.kind === 'keyed') this.#keyed.set(declared.name, state.keyed(name))
      if (declared.kind === 'seen') this.#seen.set(declared.name, state.seen(name))
    })
  }

  configured(at: number): OperatorSettings | null {
    return this.#configured(at)
  }

  seenAfter(edition: number): number | null {
    return this.#seenAfter(edition)
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

  count(name: string, by = 1): void {
    this.#tally.count(name, by)
  }

  highest(name: string, value: number): void {
    this.#tally.highest(name, value)
  }

  emit(output: string, record: unknown, cause: { readonly input: number }): void {
    this.#outgoing.output(output, JSON.stringify(record), cause.input, this.#node)
  }

  setTimer(timer: Timer, cause: { readonly at: number; readonly number: number }): void {
    const declared = this.#plan?.operator.timers
    assert(declared !== undefined, 'an operator that sets timers declares them')
    const kind = declared.kinds.indexOf(timer.kind)
    assert(kind >= 0, `the timer kind ${timer.kind} is declared`)
    assert(timer.dueMs >= cause.at + declared.delayMinMs, 'a timer is due delayMinMs after its cause, or later')
    const type = timerPlace(this.#node, kind)
    const key: OrderKey = { at: timer.dueMs, rank: RANK.timer, type, id: timer.key, number: cause.number }
    this.#timers.push(key, JSON.stringify([this.#node, timer.kind, timer.payload ?? null]))
  }
}

// The language in which a topology is written: a source, operators, keyBy to another stage, sinks.
//
//   const plan = topology({ namespace: 'shop', name: 'views', clock: 'data', partitions: 4, latenessMs: 600_000 }, (t) => {
//     const events = t.source('user-1', validation({ anonymous: 'reject' })).through(duplicates())
//     events.through(windowedCount({ feature: 'page_views_1h', entity: 'user', … }))
//     events.keyBy('pages', pageViews).through(windowedCount({ feature: 'page_views_1h', entity: 'page', … }))
//   })
//
// A stage that gets records of several others is made by merge():
//
//     t.merge('joined', [events.via(direct), asked.via(answers)]).through(…)
//
// A stage that sends versions of a model back to one before it, which asks for them by OperatorContext.model():
//
//     t.feedback(trained, 'ad', { periodMs: HOUR_MS, delayMs: 600_000 })
//
// Joints are typed: an operator only fits a stream of what it takes. What runs is the plan (topology/plan.ts).

import { HoldfastError } from '../log/errors.ts'
import type { ActiveModel } from '../operators/model-records.ts'
import type { Operator } from '../operators/operator.ts'
import type { StoreSpec } from '../state/store.ts'
import { configHash } from './configuration.ts'
import { type FeedbackDelay, MODEL_EXCHANGE } from './feedback.ts'
import {
  type ClockMode,
  type ExchangeCodec,
  type ExchangePlan,
  type FeedbackPlan,
  FILE_WRITER,
  fingerprintOf,
  type InputPlan,
  type NodePlan,
  type OutputPlan,
  type Plan,
  SOURCE,
  type StagePlan,
  taskNames,
} from './plan.ts'
import { UPLOADED } from './records.ts'

export interface TopologyOptions {
  /** 1-32 of [a-z0-9-]: the prefix of every stream, subject, bucket and lease. */
  readonly namespace: string
  readonly name: string
  readonly clock: ClockMode
  readonly partitions: number
  /** How far event times may lag behind the highest one before a record is late. Milliseconds. */
  readonly latenessMs: number
  /** Hash of the whole configuration (topology/configuration.ts); not given: that of these options. */
  readonly configHash?: string
  /** Plan.edition; not given: the first. */
  readonly edition?: number
  /** Plan.stagesMax; not given: those that there are. */
  readonly stagesMax?: number
}

/** Records of one type at one place in a stage. */
export interface Stream<T> {
  through<U>(operator: Operator<T, U>): Stream<U>
  /** Sends what `codec.where` lets pass to another stage, partitioned by its key. `outputs` are of that stage. */
  keyBy<U>(stage: string, codec: ExchangeCodec<T, U>, outputs?: readonly OutputPlan[]): Stream<U>
  /** The same for a stage that gets records of others as well: one of the inputs of merge(). */
  via<U>(codec: ExchangeCodec<T, U>): Sending<U>
}

/** What a stage sends to one that merge() makes. */
export interface Sending<U> {
  /** Of merge(): puts the exchange into the stage that sends. `promises`: of a feedback. */
  to(stage: string, promises?: FeedbackDelay): InputPlan & { readonly codec: ExchangeCodec<never, U> }
}

export interface TopologyBuilder {
  /**
   * The stage that reads events. `ingress` sees them in log order, before anything else. `feeder`: with `clock: wall`, the name of
   * a stage for uploads before it (StagePlan.feeds); a file is a backlog of its own.
   */
  source<In, Out>(
    stage: string,
    ingress: Operator<In, Out>,
    outputs?: readonly OutputPlan[],
    feeder?: string,
  ): Stream<Out>
  /**
   * A stage that gets records of several stages, or of one. One stage sends by one exchange (PL3): where several of its nodes have
   * something to say, let its codec take it from one of them. With `clock: data` no two records may come with one order key.
   */
  merge<U>(stage: string, inputs: readonly Sending<U>[], outputs?: readonly OutputPlan[]): Stream<U>
  /**
   * Sends versions of a model back to a stage before this one; one feedback to a plan. Each holds `delayMs` after the multiple of
   * `periodMs` at which it was made, or later. With `clock: wall` there is no way back: versions come on the control subject.
   */
  feedback(models: Stream<ActiveModel>, stage: string, delay: FeedbackDelay): void
}

/** Partitions of one namespace: enough for any cluster of nodes, few enough for the broker. */
export const PARTITIONS_MAX = 256
/** Stores of one stage: their ids are one byte of every key, and the task needs some itself. */
const STORES_MAX = 250
const NAMESPACE = /^[a-z0-9-]{1,32}$/
const STAGE = /^[a-z0-9-]{1,32}$/
/** An underscore is fine: no stage can be named `out`. */
const OUTPUT = /^[a-z0-9_-]{1,32}$/
/** A leap year: with it no watermark of an event falls below 0. */
export const LATENESS_MS_MAX = 366 * 24 * 3_600_000

/** Whether a text may be the prefix of every stream, subject and lease. */
export function isNamespace(text: string): boolean {
  return NAMESPACE.test(text)
}

class StageBuilder {
  readonly name: string
  writers: readonly string[]
  readonly ingress: Operator<unknown, unknown> | null
  readonly inputs: readonly InputPlan[]
  readonly feeds: string | null
  feedback: FeedbackPlan | null = null
  readonly nodes: NodePlan[] = []
  readonly exchanges: ExchangePlan[] = []
  readonly outputs: OutputPlan[]
  #stores = 0

  constructor(
    parts: Pick<StageBuilder, 'name' | 'writers' | 'ingress' | 'inputs'> & {
      readonly outputs: readonly OutputPlan[]
      readonly feeds?: string
    },
  ) {
    this.name = parts.name
    this.writers = parts.writers
    this.ingress = parts.ingress
    this.inputs = parts.inputs
    this.feeds = parts.feeds ?? null
    this.outputs = [...parts.outputs]
  }

  addNode(from: number, operator: Operator<unknown, unknown>): number {
    const index = this.nodes.length
    // By the operator's name, not its place: a changed plan finds what an operator has, wherever that stands now.
    const alike = this.nodes.filter((node) => node.operator.name === operator.name).length
    const owner = alike === 0 ? operator.name : `${operator.name} ${alike + 1}`
    const stores = operator.stores.map(
      (spec): StoreSpec => ({ ...spec, id: ++this.#stores, name: `${owner}/${spec.name}` }),
    )
    if (this.#stores > STORES_MAX)
      throw new HoldfastError('USAGE', `stage ${this.name} has more than ${STORES_MAX} stores`)
    this.nodes.push({ operator, from, stores })
    return index
  }

  plan(): StagePlan {
    const { name, writers, ingress, inputs, feeds, feedback, nodes, exchanges, outputs } = this
    const stores = nodes.flatMap((node) => node.stores)
    return { name, writers, ingress, inputs, feeds, feedback, nodes, exchanges, outputs, stores }
  }
}

/** Compiles a topology. Throws HoldfastError USAGE, naming what is wrong. */
export function topology(options: TopologyOptions, build: (t: TopologyBuilder) => void): Plan {
  check(isNamespace(options.namespace), `namespace "${options.namespace}" is not 1-32 of [a-z0-9-]`)
  const { partitions, latenessMs } = options
  check(
    Number.isInteger(partitions) && partitions >= 1 && partitions <= PARTITIONS_MAX,
    `partitions must be 1 to ${PARTITIONS_MAX}, not ${partitions}`,
  )
  check(
    Number.isInteger(latenessMs) && latenessMs >= 0 && latenessMs <= LATENESS_MS_MAX,
    `latenessMs must be a whole number from 0 to ${LATENESS_MS_MAX}, not ${latenessMs}`,
  )
  const stages: StageBuilder[] = []

  function addStage(stage: StageBuilder): StageBuilder {
    check(
      STAGE.test(stage.name) && stage.name !== 'in' && stage.name !== 'out',
      `stage name "${stage.name}" cannot be used`,
    )
    check(!stages.some((other) => other.name === stage.name), `stage "${stage.name}" is named twice`)
    stages.push(stage)
    const outputs = stages.flatMap((other) => other.outputs.map(({ name }) => name))
    for (const output of outputs) {
      check(OUTPUT.test(output), `output name "${output}" is not 1-32 of [a-z0-9_-]`)
      // Its stream is named by it alone.
      check(outputs.filter((other) => other === output).length === 1, `output "${output}" is named twice`)
    }
    return stage
  }

  function streamAt<T>(stage: StageBuilder, from: number): Stream<T> {
    return {
      through: <U>(operator: Operator<T, U>) =>
        streamAt<U>(stage, stage.addNode(from, operator as Operator<unknown, unknown>)),
      keyBy: <U>(name: string, codec: ExchangeCodec<T, U>, outputs: readonly OutputPlan[] = []) =>
        merge(name, [sending(stage, from, codec)], outputs),
      via: <U>(codec: ExchangeCodec<T, U>) => sending(stage, from, codec),
    }
  }

  function sending<T, U>(stage: StageBuilder, from: number, codec: ExchangeCodec<T, U>): Sending<U> {
    return {
      to(name, promises) {
        check(!stage.exchanges.some((other) => other.stage === name), `"${stage.name}" sends to stage "${name}" twice`)
        stage.exchanges.push({ stage: name, from, codec, ...(promises && { promises }) })
        return { stage: stage.name, codec }
      },
    }
  }

  function merge<U>(name: string, sendings: readonly Sending<U>[], outputs: readonly OutputPlan[] = []): Stream<U> {
    check(sendings.length > 0, `stage "${name}" has no input`)
    const inputs = sendings.map((each) => each.to(name))
    const writers = inputs.flatMap((input) => taskNames(input.stage, partitions))
    return streamAt<U>(addStage(new StageBuilder({ name, writers, ingress: null, inputs, outputs })), SOURCE)
  }

  function feedback(models: Stream<ActiveModel>, to: string, { periodMs, delayMs }: FeedbackDelay): void {
    const isWhole = (ms: number): boolean => Number.isSafeInteger(ms) && ms >= 1
    check(isWhole(periodMs) && isWhole(delayMs), 'period and delay of a feedback are whole milliseconds from 1')
    const stage = stages.find(({ name }) => name === to)
    check(stage !== undefined && stage.inputs.length > 0, `no stage "${to}" gets records of another`)
    if (options.clock === 'wall') return
    check(
      stages.every((other) => other.feedback === null),
      'a plan has one feedback',
    )
    const { stage: sender } = models.via(MODEL_EXCHANGE).to(to, { periodMs, delayMs })
    check(isBehind(sender, to), `"${sender}" is not behind stage "${to}": it cannot send back`)
    stage.feedback = { stage: sender, periodMs, delayMs }
    stage.writers = [...stage.writers, ...taskNames(sender, partitions)]
  }

  function isBehind(name: string, before: string): boolean {
    const { inputs } = stages.find((stage) => stage.name === name)!
    return inputs.some((input) => input.stage === before || isBehind(input.stage, before))
  }

  build({
    source: <In, Out>(
      name: string,
      ingress: Operator<In, Out>,
      outputs: readonly OutputPlan[] = [],
      feeder?: string,
    ) => {
      check(stages.length === 0, 'a topology has one source')
      const isFed = feeder !== undefined && options.clock === 'wall'
      const inputs = isFed ? [{ stage: feeder, codec: UPLOADED }] : []
      const writers = options.clock === 'data' ? [FILE_WRITER] : isFed ? taskNames(feeder, partitions) : []
      const untyped = ingress as Operator<unknown, unknown>
      const source = addStage(new StageBuilder({ name, writers, ingress: untyped, inputs, outputs }))
      if (isFed) {
        const stage = addStage(
          new StageBuilder({ name: feeder, writers: [], ingress: null, inputs: [], outputs: [], feeds: name }),
        )
        stage.exchanges.push({ stage: name, from: SOURCE, codec: UPLOADED, keepsPartition: true })
      }
      return streamAt<Out>(source, SOURCE)
    },
    merge,
    feedback,
  })
  check(stages.length > 0, 'a topology needs a source')
  const { configHash: hash = configHash(options), edition = 1 } = options
  const stagesMax = Math.max(stages.length, options.stagesMax ?? 0)
  const plan = { ...options, configHash: hash, edition, stagesMax, stages: stages.map((stage) => stage.plan()) }
  return { ...plan, fingerprint: fingerprintOf(plan) }
}

function check(condition: boolean, message: string): asserts condition {
  if (!condition) throw new HoldfastError('USAGE', message)
}

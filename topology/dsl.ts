// The language in which a topology is written: a source, operators, keyBy to another stage, sinks.
//
//   const plan = topology({ namespace: 'shop', name: 'views', clock: 'data', partitions: 4, latenessMs: 600_000 }, (t) => {
//     const events = t.source('user-1', validation({ anonymous: 'reject' })).through(duplicates())
//     events.through(windowedCount({ feature: 'page_views_1h', entity: 'user', … }))
//     events.keyBy('pages', pageViews).through(windowedCount({ feature: 'page_views_1h', entity: 'page', … }))
//   })
//
// Joints are typed: an operator only fits a stream of what it takes. What runs is the plan (topology/plan.ts).

import { HoldfastError } from '../log/errors.ts'
import type { Operator } from '../operators/operator.ts'
import type { StoreSpec } from '../state/store.ts'
import { configHash } from './configuration.ts'
import {
  type ClockMode,
  type ExchangeCodec,
  type ExchangePlan,
  FILE_WRITER,
  fingerprintOf,
  type NodePlan,
  type OutputPlan,
  type Plan,
  SOURCE,
  type StagePlan,
  taskName,
} from './plan.ts'

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
}

export interface TopologyBuilder {
  /** The stage that reads events. `ingress` sees them in log order, before anything else. */
  source<In, Out>(stage: string, ingress: Operator<In, Out>, outputs?: readonly OutputPlan[]): Stream<Out>
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
  readonly writers: readonly string[]
  readonly ingress: Operator<unknown, unknown> | null
  readonly input: ExchangeCodec<unknown, unknown> | null
  readonly nodes: NodePlan[] = []
  readonly exchanges: ExchangePlan[] = []
  readonly outputs: OutputPlan[]
  #stores = 0

  constructor(
    parts: Pick<StageBuilder, 'name' | 'writers' | 'ingress' | 'input'> & { outputs: readonly OutputPlan[] },
  ) {
    this.name = parts.name
    this.writers = parts.writers
    this.ingress = parts.ingress
    this.input = parts.input
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
    const { name, writers, ingress, input, nodes, exchanges, outputs } = this
    return { name, writers, ingress, input, nodes, exchanges, outputs, stores: nodes.flatMap((node) => node.stores) }
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
      keyBy: <U>(name: string, codec: ExchangeCodec<T, U>, outputs: readonly OutputPlan[] = []) => {
        const untyped = codec as ExchangeCodec<unknown, unknown>
        stage.exchanges.push({ stage: name, from, codec: untyped })
        const writers = Array.from({ length: partitions }, (_, p) => taskName(stage.name, p))
        return streamAt<U>(
          addStage(new StageBuilder({ name, writers, ingress: null, input: untyped, outputs })),
          SOURCE,
        )
      },
    }
  }

  build({
    source: <In, Out>(name: string, ingress: Operator<In, Out>, outputs: readonly OutputPlan[] = []) => {
      check(stages.length === 0, 'a topology has one source')
      const writers = options.clock === 'data' ? [FILE_WRITER] : []
      const untyped = ingress as Operator<unknown, unknown>
      return streamAt<Out>(
        addStage(new StageBuilder({ name, writers, ingress: untyped, input: null, outputs })),
        SOURCE,
      )
    },
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

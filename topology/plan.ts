// The plan: what the DSL compiles to, as plain data. One StagePlan per stage; one task per stage and partition runs it.
// PL1: the graph is acyclic by construction: a stage is made from streams of stages made before it.
// PL2: the fingerprint covers everything that may change an output byte (operators with versions and settings, clock,
//      partitions, release); two plans with the same fingerprint compute the same.
// Names of streams and subjects live here too, so that there is one place to read them.

import { createHash } from 'node:crypto'
import stringify from 'fast-json-stable-stringify'
import type { Destination } from '../log/recovery.ts'
import type { Operator } from '../operators/operator.ts'
import type { StoreSpec } from '../state/store.ts'

/** Raised when the meaning of logs or state changes; part of every fingerprint. */
export const RELEASE = '0.1.0'

/**
 * `data`: the reader of the source is the only clock; records are processed in the order key. For files and replay.
 * `wall`: log order; the watermark follows the highest event time and ticks. For live streams.
 */
export type ClockMode = 'data' | 'wall'

/** What the numbered writers of a stage's streams send, and how it becomes values. */
export interface ExchangeCodec<T, U> {
  readonly name: string
  readonly version: number
  /** Which values travel; the others are dropped here. */
  where(value: T): boolean
  /** Decides the partition. */
  key(value: T): string
  /** JSON text of what travels, without line ends. `at` is the record's order time, which travels anyway. */
  encode(value: T, at: number): string
  decode(json: unknown, at: number): U
}

/** Of a node: its records are the stage's input. */
export const SOURCE = -1
/** The place of the ingress among a stage's nodes: before the first. */
export const INGRESS = -1

export interface NodePlan {
  // biome-ignore lint/suspicious/noExplicitAny: operators of several types stand in one list; the DSL checks the joints
  readonly operator: Operator<any, any>
  /** Index of the node whose records this one gets, or SOURCE. */
  readonly from: number
  /** The operator's stores, with ids and names that are unique in the stage; same order as operator.stores. */
  readonly stores: readonly StoreSpec[]
}

export interface ExchangePlan {
  readonly stage: string
  readonly from: number
  // biome-ignore lint/suspicious/noExplicitAny: see NodePlan
  readonly codec: ExchangeCodec<any, any>
}

/** A stream for other people: one per partition of the stage that writes it. */
export interface OutputPlan {
  readonly name: string
  readonly mode: 'records' | 'frames'
}

export interface StagePlan {
  readonly name: string
  /** Numbered writers whose watermarks this stage waits for: task names, or the file reader. */
  readonly writers: readonly string[]
  /** The validation of a source stage: gets arrivals in log order. null: records come from the exchange `input`. */
  // biome-ignore lint/suspicious/noExplicitAny: see NodePlan
  readonly ingress: Operator<any, any> | null
  // biome-ignore lint/suspicious/noExplicitAny: see NodePlan
  readonly input: ExchangeCodec<any, any> | null
  readonly nodes: readonly NodePlan[]
  readonly exchanges: readonly ExchangePlan[]
  readonly outputs: readonly OutputPlan[]
  readonly stores: readonly StoreSpec[]
}

export interface Plan {
  readonly namespace: string
  readonly name: string
  readonly clock: ClockMode
  readonly partitions: number
  readonly latenessMs: number
  /** Names the configuration that the plan was made with; not in the fingerprint, which has what of it changes results. */
  readonly configHash: string
  /** Rises with what is kept of declared features (topology/features/ledger.ts); 1: as the state was made. */
  readonly edition: number
  /** Stages that later editions may have: they have their share of the log's room from the beginning, so that no other's changes. */
  readonly stagesMax: number
  readonly stages: readonly StagePlan[]
  readonly fingerprint: string
}

/** The file reader's name as a writer, in `clock: data`. */
export const FILE_WRITER = 'file'
/** Subject token of plain clients and gateways, whose records carry no numbers. */
export const PLAIN_WRITER = 'in'
/** Subject token of control records (tick, config). */
export const CONTROL_WRITER = 'ctl'

export const taskName = (stage: string, partition: number): string => `${stage}-${partition}`

/** Stream of one partition of a stage, for its task to read. */
export const stageStream = (namespace: string, stage: string, partition: number): string =>
  `${namespace}_${stage}_${partition}`

/** Subject on which one writer writes to one partition of a stage. */
export const stageSubject = (namespace: string, stage: string, partition: number, writer: string): string =>
  `${namespace}.${stage}.${partition}.${writer}`

export const stageSubjects = (namespace: string, stage: string, partition: number): string =>
  `${namespace}.${stage}.${partition}.*`

/** The subject that plain clients publish one event to; the server's mapping chooses the partition and hides the user. */
export const plainSubject = (namespace: string): string => `${namespace}.in.*`

/** The server's subject mapping for plain clients: partition() of nats-server is FNV-1a 32, as log/frame.ts computes it. */
export function plainMapping(plan: Plan): Record<string, string> {
  const [first] = plan.stages
  const partition = plan.partitions === 1 ? '0' : `{{partition(${plan.partitions},1)}}`
  return { [plainSubject(plan.namespace)]: `${plan.namespace}.${first!.name}.${partition}.${PLAIN_WRITER}` }
}

export const outputStream = (namespace: string, output: string, partition: number): string =>
  `${namespace}_out_${output}_${partition}`

export const outputSubject = (namespace: string, output: string, partition: number): string =>
  `${namespace}.out.${output}.${partition}`

export function exchangeDestination(plan: Plan, stage: string, partition: number, writer: string): Destination {
  return {
    stream: stageStream(plan.namespace, stage, partition),
    subject: stageSubject(plan.namespace, stage, partition, writer),
    mode: 'frames',
  }
}

export function outputDestination(plan: Plan, output: OutputPlan, partition: number): Destination {
  return {
    stream: outputStream(plan.namespace, output.name, partition),
    subject: outputSubject(plan.namespace, output.name, partition),
    mode: output.mode,
  }
}

/** What of an operator can change its result. */
// biome-ignore lint/suspicious/noExplicitAny: see NodePlan
export function operatorIdentity(operator: Operator<any, any>): unknown {
  return { name: operator.name, version: operator.version, settings: operator.settings }
}

/** SHA-256 (hex) of the canonical form of a plan. */
export function fingerprintOf(plan: Omit<Plan, 'fingerprint'>): string {
  const stages = plan.stages.map((stage) => ({
    name: stage.name,
    ingress: stage.ingress === null ? null : operatorIdentity(stage.ingress),
    input: stage.input === null ? null : { name: stage.input.name, version: stage.input.version },
    nodes: stage.nodes.map((node) => ({ from: node.from, operator: operatorIdentity(node.operator) })),
    exchanges: stage.exchanges.map(({ stage, from, codec }) => ({
      stage,
      from,
      codec: codec.name,
      version: codec.version,
    })),
    outputs: stage.outputs,
  }))
  const { clock, partitions, latenessMs, edition } = plan
  return createHash('sha256')
    .update(stringify({ release: RELEASE, clock, partitions, latenessMs, edition, stages }))
    .digest('hex')
}

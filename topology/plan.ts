// The plan: what the DSL compiles to, as plain data. One StagePlan per stage; one task per stage and partition runs it.
// PL1: the graph is acyclic by construction: a stage is made from streams of stages made before it. The one way back that a plan may
//      have is a feedback (topology/feedback.ts), which no stage counts among its inputs.
// PL2: the fingerprint covers everything that may change an output byte (operators with versions and settings, clock,
//      partitions, release); two plans with the same fingerprint compute the same.
// PL3: a stage sends to another by one exchange at most, so that a task is one numbered writer there and its name says the codec.
// Names of streams and subjects live here too, so that there is one place to read them.

import { createHash } from 'node:crypto'
import stringify from 'fast-json-stable-stringify'
import type { Destination } from '../log/recovery.ts'
import type { Operator } from '../operators/operator.ts'
import type { StoreSpec } from '../state/store.ts'
import type { FeedbackDelay } from './feedback.ts'

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
  /** Not by the codec's key: what one partition sends goes to the same partition of the other stage. */
  readonly keepsPartition?: true
  /** Of a feedback: what is promised by it (promisedBack). Each record goes to every partition. Not given: the watermark. */
  readonly promises?: FeedbackDelay
}

/** What the tasks of one stage send to another, as the one that gets it sees it. */
export interface InputPlan {
  readonly stage: string
  // biome-ignore lint/suspicious/noExplicitAny: see NodePlan
  readonly codec: ExchangeCodec<any, any>
}

/** Who sends back to a stage, as that stage sees it; its tasks are among the stage's writers. */
export interface FeedbackPlan extends FeedbackDelay {
  readonly stage: string
}

/** A stream for other people: one per partition of the stage that writes it. */
export interface OutputPlan {
  readonly name: string
  readonly mode: 'records' | 'frames'
  /** Its share of the room for the log, where dead letters have 1. Not given: 1. */
  readonly room?: number
  /** Bytes of the largest file that its records name; of `models` alone (topology/streams.ts). */
  readonly fileBytes?: number
}

export interface StagePlan {
  readonly name: string
  /**
   * Numbered writers: task names, or the file reader. The stage waits for their watermarks; not a source with `clock: wall`, whose
   * feeders promise nothing.
   */
  readonly writers: readonly string[]
  /** The validation of a source stage: gets arrivals in log order. null: records come from the exchanges of `inputs`. */
  // biome-ignore lint/suspicious/noExplicitAny: see NodePlan
  readonly ingress: Operator<any, any> | null
  /** By the stages that send (PL3); none: it takes events of clients alone. */
  readonly inputs: readonly InputPlan[]
  /**
   * Of a feeder, the source: messages of clients are handed to it as they came, from each partition to the same one, at the pace
   * that it has room for (topology/pace.ts). null: this is no feeder.
   */
  readonly feeds: string | null
  /** Only with `clock: data`. null: nobody sends back. */
  readonly feedback: FeedbackPlan | null
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

/** The codec of each numbered writer of a stage that is not the source, by the writer's name. */
export function codecsOf({ inputs }: StagePlan, partitions: number): Map<string, InputPlan['codec']> {
  return new Map(
    inputs.flatMap(({ stage, codec }) => taskNames(stage, partitions).map((task) => [task, codec] as const)),
  )
}

/** Whether clients publish to a stage: the source, and a feeder. Each message is one event, or an array of them. */
export const takesEvents = ({ ingress, feeds }: Pick<StagePlan, 'ingress' | 'feeds'>): boolean =>
  ingress !== null || feeds !== null

/** The stage that feeds a source; null: there is none. */
export function feederOf(plan: Plan): StagePlan | null {
  return plan.stages.find(({ feeds }) => feeds !== null) ?? null
}

/** The tasks that send back to a stage. */
export const feedbackTasks = ({ feedback }: StagePlan, partitions: number): string[] =>
  feedback === null ? [] : taskNames(feedback.stage, partitions)

/** Milliseconds between the versions that are sent back somewhere in a plan; null: none are. */
export function feedbackPeriodMs({ stages }: Plan): number | null {
  return stages.find(({ feedback }) => feedback !== null)?.feedback?.periodMs ?? null
}

/** Names of a stage's tasks. */
export const taskNames = (stage: string, partitions: number): string[] =>
  Array.from({ length: partitions }, (_, partition) => taskName(stage, partition))

export const taskName = (stage: string, partition: number): string => `${stage}-${partition}`

/** Stream of one partition of a stage, for its task to read. */
export const stageStream = (namespace: string, stage: string, partition: number): string =>
  `${namespace}_${stage}_${partition}`

/** Subject on which one writer writes to one partition of a stage. */
export const stageSubject = (namespace: string, stage: string, partition: number, writer: string): string =>
  `${namespace}.${stage}.${partition}.${writer}`

export const stageSubjects = (namespace: string, stage: string, partition: number): string =>
  `${namespace}.${stage}.${partition}.*`

/**
 * The subjects that plain clients publish one event to, and what the server maps them to: it chooses the partition and hides the
 * user. partition() of nats-server is FNV-1a 32, as log/frame.ts computes it.
 */
export function plainMapping(plan: Plan): Record<string, string> {
  const [source] = plan.stages
  const partition = plan.partitions === 1 ? '0' : `{{partition(${plan.partitions},1)}}`
  const to = (stage: StagePlan): string => `${plan.namespace}.${stage.name}.${partition}.${PLAIN_WRITER}`
  const feeder = feederOf(plan)
  return {
    [`${plan.namespace}.${PLAIN_WRITER}.*`]: to(source!),
    ...(feeder === null ? {} : { [`${plan.namespace}.${feeder.name}.*`]: to(feeder) }),
  }
}

export const outputStream = (namespace: string, output: string, partition: number): string =>
  `${namespace}_out_${output}_${partition}`

export const outputSubject = (namespace: string, output: string, partition: number): string =>
  `${namespace}.out.${output}.${partition}`

/** Whether some stage of the plan has this output. */
export const publishes = ({ stages }: Plan, output: string): boolean =>
  stages.some(({ outputs }) => outputs.some(({ name }) => name === output))

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
    inputs: stage.inputs.map(({ stage: from, codec }) => ({ from, codec: codec.name, version: codec.version })),
    feeds: stage.feeds,
    ...(stage.feedback !== null && { feedback: stage.feedback }),
    nodes: stage.nodes.map((node) => ({ from: node.from, operator: operatorIdentity(node.operator) })),
    exchanges: stage.exchanges.map(({ stage, from, codec, promises }) => ({
      stage,
      from,
      codec: codec.name,
      version: codec.version,
      ...(promises && { promises }),
    })),
    outputs: stage.outputs.map(({ name, mode }) => ({ name, mode })),
  }))
  const { clock, partitions, latenessMs, edition } = plan
  return createHash('sha256')
    .update(stringify({ release: RELEASE, clock, partitions, latenessMs, edition, stages }))
    .digest('hex')
}

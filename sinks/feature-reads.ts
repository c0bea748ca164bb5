// What the read API, over HTTP and over NATS, asks of a node, and what it may be told. topology/host-reads.ts answers.
// FR1: every answer comes from one committed snapshot of a task, never from a part of a commit, and says which.
// FR2: what cannot be answered is a value with its reason; a throw is a bug, or a node that is going down.

import type { FeatureValue } from '../operators/feature-values.ts'
import type { Vector, VectorLayout } from '../operators/vector.ts'
import type { AttributionAsk, AttributionOutcome } from './attribution-reads.ts'
import type { EvaluationAsk, EvaluationOutcome } from './evaluation-reads.ts'
import type { PurchasesAsk, PurchasesOutcome } from './purchase-reads.ts'

/** A place in the log: a record of a stream and everything before it. As text `<stream>:<seq>.<index>`. */
export interface LogPosition {
  readonly stream: string
  readonly seq: number
  /** Of the record in its message, from 0; -1: the message, and none of its records (a frame may have none). */
  readonly index: number
}

export function positionText({ stream, seq, index }: LogPosition): string {
  return `${stream}:${seq}.${index}`
}

/** null where the text is no position. */
export function parsePosition(text: string): LogPosition | null {
  const [, stream, seq, index] = /^([\w-]{1,128}):(\d{1,15})\.(-1|\d{1,7})$/.exec(text) ?? []
  return stream === undefined ? null : { stream, seq: Number(seq), index: Number(index) }
}

export interface FeatureInfo {
  readonly feature: string
  readonly entity: string
  readonly type: 'float' | 'id' | 'id_list' | 'weighted_id_list'
  /** null: it has no window. */
  readonly windowMs: number | null
  readonly mode: 'panes' | 'exact' | null
  readonly paneMs: number | null
  /**
   * From when its values are complete, milliseconds of event time: those before may lack events from before it was declared. 0:
   * always; null: not known yet.
   */
  readonly completeFrom: number | null
}

/** A feature with what people ask about it. */
export interface ListedFeature extends FeatureInfo {
  readonly description: string
  /** null: it is none that was declared. */
  readonly owner: string | null
  /** What it is, in words. */
  readonly how: string
  /** Where what it is made of is kept: as fresh as the tasks of this stage. */
  readonly stage: string
  /** Bytes of a key's record that are kept for it, at most; 0: it is computed of others; null: not known. */
  readonly bytesMax: number | null
  /** Whether it can be asked for its keys with the largest values. */
  readonly top: boolean
}

/** What the snapshot knows that answered. Times in milliseconds of event time; null: none yet. */
export interface SnapshotFacts {
  /** Highest event time or tick that the task has applied. */
  readonly asOf: number | null
  /** The watermark: nothing at or before it is expected any more. */
  readonly completeThrough: number | null
  /** What of the task's own stream is in it. */
  readonly appliedThrough: LogPosition
  /** Number of the commit. Never goes back within a process. */
  readonly epoch: number
  /** Hash of the configuration that it was computed under. */
  readonly config: string
}

export interface ReadAsk {
  readonly feature: string
  readonly entity: string
  readonly keys: readonly string[]
  /** Event time to answer for, milliseconds; null: the snapshot's asOf. */
  readonly at: number | null
  /** A pinned snapshot; null: the newest. */
  readonly snapshot: string | null
  /** Not before this is applied, wherever a record of it went; null: at once. */
  readonly wait: LogPosition | null
  /** How long at most, milliseconds. */
  readonly waitMs: number
}

/** A value of a feature; null: absent. */
export type ReadValue = FeatureValue | null

export interface KeyRead<V = ReadValue> {
  readonly key: string
  readonly value: V
  /** The time it answers for; null where the task has applied nothing yet. */
  readonly at: number | null
  readonly facts: SnapshotFacts
}

export type ReadOutcome =
  | { readonly kind: 'read'; readonly info: FeatureInfo; readonly values: readonly KeyRead[] }
  | { readonly kind: 'unknown_feature' }
  /** `at` lies before what is still held; heldFrom: the earliest time that can be asked for. */
  | { readonly kind: 'not_held'; readonly heldFrom: number }
  | { readonly kind: 'snapshot_gone' }
  /** The stream of `wait` is none that this node reads. */
  | { readonly kind: 'unknown_stream' }
  /** Of the stream of `wait` nothing goes to the tasks that have the feature. */
  | { readonly kind: 'unrelated_stream' }
  | { readonly kind: 'not_reached'; readonly reached: LogPosition }
  /** The namespace has asked for more keys than it may in a second; ask again in `retryAfterS` seconds. */
  | { readonly kind: 'over_quota'; readonly keysPerS: number; readonly retryAfterS: number }
  /** As many reads wait as may at once. */
  | { readonly kind: 'too_many_waits' }
  /** As much is being read as may be at once. */
  | { readonly kind: 'too_many_reads' }
  /** A task that has the key is not up. */
  | { readonly kind: 'unavailable'; readonly why: string }

/** Fields of an impression or click as a client would send it: ids make the keys, the rest is context. */
export type Touch = Readonly<Record<string, unknown>>

export interface VectorsAsk extends Pick<ReadAsk, 'at' | 'snapshot' | 'wait' | 'waitMs'> {
  /** Ids of features, such as user.clicks_7d; null: all that a touch can have. */
  readonly features: readonly string[] | null
  readonly touches: readonly Touch[]
}

/** Part of a vector's answer: what one stage's task said it from. */
export interface StageRead {
  readonly stage: string
  /** The time it answers for; null where the task has applied nothing yet. */
  readonly at: number | null
  readonly facts: SnapshotFacts
}

export interface VectorRead {
  readonly vector: Vector
  /** One for each stage that was asked. */
  readonly reads: readonly StageRead[]
}

export type VectorsOutcome =
  | {
      readonly kind: 'vectors'
      readonly layout: VectorLayout
      /** Of each feature of the layout, as in FeatureInfo. */
      readonly completeFrom: readonly (number | null)[]
      readonly schema: string
      /** In the order of the touches. */
      readonly vectors: readonly VectorRead[]
    }
  /** What was asked for is no vector; `message` says why. */
  | { readonly kind: 'no_vector'; readonly message: string }
  /** A field of a touch that no feature reads. */
  | { readonly kind: 'unknown_field'; readonly touch: number }
  | Exclude<ReadOutcome, { kind: 'read' }>

/** Keys that a read of an attribution counts as where keys are limited: it looks in as many days of what is kept. */
export const ATTRIBUTION_READ_KEYS = 37

/** Keys that reads of these touches come to, at most: what counts where keys are limited. */
export function keysIn(touches: readonly Touch[]): number {
  const ids = (touch: Touch): number => Object.keys(touch).filter((name) => name.endsWith('_id')).length
  // Each id, and what may be crossed with it.
  return touches.reduce((sum, touch) => sum + Math.max(1, 2 * ids(touch)), 0)
}

export type TopOutcome =
  | {
      readonly kind: 'top'
      readonly info: FeatureInfo
      /** The largest first. */
      readonly values: readonly KeyRead<number>[]
      /** Entries of the state that were looked at. */
      readonly scanned: number
      /** false: there are more entries than one scan looks at; then there may be larger values, and these may be too small. */
      readonly complete: boolean
    }
  /** Its values have no order, or none that a scan of the state says. */
  | { readonly kind: 'no_top' }
  | Extract<ReadOutcome, { kind: 'unknown_feature' | 'snapshot_gone' | 'unavailable' | 'over_quota' }>

/** What is kept of the events of a key in one stretch of time. */
export interface ExplainedPane {
  /** Milliseconds of event time. */
  readonly start: number
  readonly widthMs: number
  readonly parts: readonly ExplainedPart[]
}

export interface ExplainedPart {
  /** `count`, `sum`, `distinct`, … */
  readonly what: string
  /** As a number; of ids how many different ones. */
  readonly value: number
  /** Of ids that are kept as they are, some: the most frequent, or the first of their order. */
  readonly ids: readonly { readonly id: string /** null: not counted. */; readonly times: number | null }[]
}

/** An event of which a list has kept something. */
export interface ExplainedEntry {
  readonly time: number
  readonly type: string
  readonly id: string
  readonly value: string | number
}

/** One value on the way to another, and what it is made of. */
export interface ExplainedValue {
  /** `<entity>.<feature>`. */
  readonly feature: string
  /** What it is, in words. */
  readonly how: string
  readonly value: ReadValue
  /** What a model gets where the value is absent; null: nothing. */
  readonly default: number | string | null
  /** Which events count: from, inclusive, to, exclusive, milliseconds; null: it is computed of other values. */
  readonly from: number | null
  readonly to: number | null
  /** Those in which something was, the newest first. */
  readonly panes: readonly ExplainedPane[]
  /** The newest first. */
  readonly entries: readonly ExplainedEntry[]
  /** false: there are more panes than are shown here, older ones. */
  readonly complete: boolean
}

/** What one value of a key is made of. */
export interface ExplainedRead {
  readonly key: string
  readonly at: number | null
  readonly facts: SnapshotFacts
  /** Each after what it is computed of, so the value that was asked for is the last. None before anything was applied. */
  readonly values: readonly ExplainedValue[]
}

export type ExplainOutcome =
  | { readonly kind: 'explained'; readonly info: FeatureInfo; readonly read: ExplainedRead }
  | Exclude<ReadOutcome, { kind: 'read' }>

export interface FeatureReads {
  readonly features: readonly ListedFeature[]
  /** Values in the order of the keys. */
  read(ask: ReadAsk): Promise<ReadOutcome>
  /** The vectors of touches, each part from one snapshot. */
  vectors(ask: VectorsAsk): Promise<VectorsOutcome>
  /** What the value of the first key is made of, from the same snapshot as a read. */
  explain(ask: ReadAsk): Promise<ExplainOutcome>
  /** The k keys with the largest values, now; as it was asked for before, for a moment. */
  top(feature: string, entity: string, k: number): Promise<TopOutcome>
  /** Who is credited with the conversions of an id, and why. */
  attribution(ask: AttributionAsk): Promise<AttributionOutcome>
  /** What ads, campaigns, or an advertiser sold, by day of touches. */
  purchases(ask: PurchasesAsk): Promise<PurchasesOutcome>
  /** How good the scores of touches were. */
  evaluation(ask: EvaluationAsk): Promise<EvaluationOutcome>
  /** Keeps the newest snapshot of every task for a bounded time; its name and how long, milliseconds. null: too many. */
  pin(): Promise<{ readonly snapshot: string; readonly forMs: number } | null>
  /** Whether there was such a pin. */
  unpin(snapshot: string): Promise<boolean>
}

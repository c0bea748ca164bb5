// What the model loop's stages tell each other (docs/model-loop.md): inputs and scores of touches, rows that teach, versions of models.
// Plain data. Windows are named by their index among the configured ones.
// MR1: a score is single precision, rounded to 9 significant digits before anything is computed of it.

import type { LabelKind, TouchType } from './touch.ts'

/** What was said of a touch when it came, and what of it was read. Travels with the touch into the hold. */
export interface Scored {
  /** Number of the version that answered; 0: the fallback did, because there was none or it could not. */
  readonly version: number
  /** By window. */
  readonly p: readonly number[]
  /** The model's input: keys and values, packed (ml/packed-rows.ts), base64. */
  readonly input: string
}

/** One label record of a touch, as the trainer gets it. */
export interface TrainingRow {
  readonly kind: LabelKind
  readonly complete: boolean
  readonly touchId: string
  readonly touchType: TouchType
  readonly user: string
  readonly advertiser: string
  readonly touchTimeMs: number
  /** Lanes of the record without declared goals, or of the goal that the model is of. */
  readonly lanes: readonly { readonly window: number; readonly y: 0 | 1; readonly count: number }[]
  readonly version: number
  readonly p: readonly number[]
  /** Of O, D and C; null: an M row, which teaches nothing by itself. */
  readonly input: string | null
}

/** The rows that one record or timer has caused, in the order in which they were said: one record of the log, which its order key names. */
export interface TaughtRows {
  readonly rows: readonly TrainingRow[]
}

/** A model that was found sound by the trainer's gates, or named by an operator of the system. */
export interface ModelVersion {
  /** From 1, in a row. */
  readonly version: number
  /** The version that was live when it was made; 0: none. */
  readonly parent: number
  /** Of its file in the registry, hex. Of a candidate that had too few rows no file was made: '' and 0, and so is its norm of weights. */
  readonly sha256: string
  readonly bytes: number
  /** Hash of the features that it reads, the vector's layout included. */
  readonly schema: string
  /** Rows that taught it, and the order times of the first and the last. */
  readonly rows: number
  readonly firstMs: number
  readonly lastMs: number
  readonly metrics: ModelMetrics
}

/** Progressive, over the rows since the version before: nothing here was said by a model that had learned the row. */
export interface ModelMetrics {
  /** Of the longest click window. null: it had no positive or no negative row. */
  readonly normalisedEntropy: number | null
  readonly calibration: number | null
  readonly weightNorm: number
  readonly touches: number
  readonly positives: number
}

/** Why a candidate is not published. */
export type GateRefusal =
  | 'too few rows'
  | 'normalised entropy'
  | 'calibration'
  | 'weight norm'
  | 'not a number'
  | 'golden'
  | 'batch'
  | 'shape'

/** The trainer's output of models; its records are ModelRecord. */
export const MODELS = 'models'

/** A record of the output `models`: every candidate leaves one. `at`: order time at which it was made. */
export type ModelRecord =
  | ({ readonly kind: 'published'; readonly at: number; readonly from: number } & ModelVersion)
  | ({ readonly kind: 'refused'; readonly at: number; readonly reason: GateRefusal; readonly detail: string } & Omit<
      ModelVersion,
      'version'
    >)

/** What an operator is told by OperatorContext.model(): which version scores, by which activation. */
export interface ActiveModel {
  readonly activation: number
  readonly from: number
  readonly version: number
  readonly sha256: string
  readonly schema: string
  /** Those that scored before it, the last first, for when its file is refused; not given: there are none. */
  readonly before?: readonly ActiveModel[]
}

// What is asked about how good scores were, and what may be told. topology/host-reads.ts answers. The numbers are made in
// sinks/evaluation-report.ts.

import type { EVALUATED } from '../operators/evaluation.ts'
import type { EvaluationTally, SliceKind } from '../operators/evaluation-tally.ts'
import type { EvaluationReport } from './evaluation-report.ts'
import type { ReadAsk, ReadOutcome, SnapshotFacts } from './feature-reads.ts'

/** Days of touches of a report: those of two windows of four weeks, and two months more. */
export const EVALUATION_DAYS_MAX = 120
/** Where nothing is said: two weeks of which all can be seen at once, beside four weeks of a window that may be open. */
export const EVALUATION_DAYS_DEFAULT = 42
/** Entries of state that a report is made of: as many as a report of purchases is. */
export const EVALUATION_ENTRIES_MAX = 20_000
/** Keys that a report counts as where keys are limited: it looks in as many days. */
export const EVALUATION_READ_KEYS = 64

export interface EvaluationAsk extends Pick<ReadAsk, 'snapshot' | 'wait' | 'waitMs'> {
  /** null: the first that is configured. */
  readonly window: string | null
  /** Which slices are listed. */
  readonly slice: SliceKind
  /** Of which one of them the days and the curve are; null: of all touches. */
  readonly id: string | null
  /** Days of touches, the newest ones that have begun. */
  readonly days: number
}

export type EvaluatedRows = Readonly<Record<keyof typeof EVALUATED, number>>

/** What one task has for a report, from one snapshot. */
export interface TaskEvaluation {
  readonly facts: SnapshotFacts
  /** Up to which order time it has every row, milliseconds; null: it has seen nothing yet. */
  readonly throughMs: number | null
  /** Lanes of rows, of all windows and all days. */
  readonly rows: EvaluatedRows
  /** Of what the report is of, where there is something, in ascending order. */
  readonly days: readonly DayTally[]
  /** By id, over all of these days. */
  readonly slices: ReadonlyMap<string, EvaluationTally>
  /** All touches of all days that are kept: how long conversions take. */
  readonly all: readonly DayTally[]
}

export interface DayTally {
  /** Begin of the day, milliseconds. */
  readonly dayMs: number
  readonly tally: EvaluationTally
}

/** Why there is no report. */
export type NoEvaluation =
  /** No trainer runs here. */
  | { readonly kind: 'no_evaluation' }
  | { readonly kind: 'unknown_window'; readonly windows: readonly string[] }
  | { readonly kind: 'too_large'; readonly what: string }
  | Exclude<ReadOutcome, { kind: 'read' | 'unknown_feature' | 'not_held' }>

export type EvaluationOutcome =
  | {
      readonly kind: 'evaluation'
      readonly ask: EvaluationAsk
      readonly window: string
      readonly report: EvaluationReport
      readonly facts: SnapshotFacts
    }
  | NoEvaluation

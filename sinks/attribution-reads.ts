// What is asked about the attribution of a conversion, and what may be told. topology/host-reads.ts answers, and of a directory
// topology/attribution-reads.ts. Other reads: sinks/feature-reads.ts.

import type { AttributionModel, AttributionWindow } from '../operators/attribution-settings.ts'
import type { Decision } from '../operators/decision-record.ts'
import type { ReadAsk, ReadOutcome, SnapshotFacts } from './feature-reads.ts'

/** Conversions of one id that are told, the newest first: ids are a user's own, so that many users may have the same. */
export const DECISIONS_TOLD_MAX = 8

export interface AttributionAsk extends Pick<ReadAsk, 'snapshot' | 'wait' | 'waitMs'> {
  /** Its event_id. */
  readonly conversion: string
}

/** What decides who is credited, and when. */
export interface AttributionRules {
  readonly windows: readonly AttributionWindow[]
  readonly models: readonly AttributionModel[]
  /** How long after its event time a conversion is attributed. */
  readonly graceMs: number
  /** How long afterwards it can be asked about. */
  readonly keptMs: number
}

/** What is known of conversions of one id. */
export interface FoundDecisions {
  /** Of DECISIONS_TOLD_MAX at most, the newest event time first. */
  readonly found: readonly { readonly decision: Decision; readonly facts: SnapshotFacts }[]
  /** Whether there are more. */
  readonly more: boolean
}

export type AttributionOutcome =
  | ({ readonly kind: 'attribution'; readonly conversion: string; readonly rules: AttributionRules } & FoundDecisions)
  /** completeThrough: of the task that is behind most; null: one has seen nothing yet. */
  | { readonly kind: 'unknown_conversion'; readonly rules: AttributionRules; readonly completeThrough: number | null }
  /** This node attributes nothing. */
  | { readonly kind: 'no_attribution' }
  | Exclude<ReadOutcome, { kind: 'read' }>

/** What was found in several tasks, put together. */
export function foundTogether(parts: readonly FoundDecisions[]): FoundDecisions {
  const all = parts.flatMap(({ found }) => found)
  all.sort((a, b) => b.decision.conversion.timeMs - a.decision.conversion.timeMs)
  const more = all.length > DECISIONS_TOLD_MAX || parts.some((part) => part.more)
  return { found: all.slice(0, DECISIONS_TOLD_MAX), more }
}

// What a node has attributed and labelled so far, window by window, and how far its counts are from the law of conservation
// (operators/label-counts.ts): for GET /v1/status, /metrics and the web page. Names are those of the JSON.

import type { AttributionWindow } from '../operators/attribution-settings.ts'
import { LATE_TOUCH } from '../operators/hold.ts'
import {
  conservation,
  type LaneConservation,
  type LaneCount,
  laneCountName,
  REFUND_UNMATCHED,
} from '../operators/label-counts.ts'
import type { LabelKind } from '../operators/touch.ts'
import type { StatusRow } from './status.ts'

export const LABEL_KINDS: readonly LabelKind[] = ['O', 'D', 'M', 'C', 'R']

export interface AttributionLane {
  /** null: no goals are declared. */
  readonly goal: string | null
  readonly window: string
  /** Conversions that somebody, or nobody, has the credit of. */
  readonly attributed: number
  readonly unattributed: number
  /** Label rows. */
  readonly rows: Readonly<Record<LabelKind, number>>
  /** Touches that are credited. */
  readonly credited: number
  /** By how many touches the sides of the law differ, those whose rows are still to come taken into account: 0, or a bug. */
  readonly difference: number
}

export interface AttributionStatus {
  readonly lanes: readonly AttributionLane[]
  /** Touches that came after conversions they could have been credited with. */
  readonly late_touches: number
  /** Refunds of orders that nobody knows. */
  readonly refunds_unmatched: number
}

/** Of the counts of all tasks together. */
export function attributionStatus(
  rows: readonly Pick<StatusRow, 'counts'>[],
  windows: readonly AttributionWindow[],
): AttributionStatus {
  const counts: Record<string, number> = {}
  for (const row of rows)
    for (const [name, count] of Object.entries(row.counts)) counts[name] = (counts[name] ?? 0) + count
  return {
    lanes: conservation(counts, { windows }).map((lane) => laneOf(lane, counts)),
    late_touches: counts[LATE_TOUCH] ?? 0,
    refunds_unmatched: counts[REFUND_UNMATCHED] ?? 0,
  }
}

function laneOf(law: LaneConservation, counts: Readonly<Record<string, number>>): AttributionLane {
  const { lane, credited } = law
  const count = (what: LaneCount): number => counts[laneCountName(what, lane)] ?? 0
  const [O, D, M, C, R] = LABEL_KINDS.map(count) as [number, number, number, number, number]
  // Names of goals and windows have no slash.
  const [window, goal = null] = lane.split('/').reverse() as [string, string?]
  return {
    ...{ goal, window, attributed: count('attributed'), unattributed: count('unattributed') },
    ...{ rows: { O, D, M, C, R }, credited, difference: differenceOf(law) },
  }
}

function differenceOf(law: LaneConservation): number {
  const { credited, mature, observed, awaitingMature, awaitingObserved, neverObserved } = law
  const short = [awaitingMature, awaitingObserved].map((awaiting) => Math.max(0, -awaiting))
  const sides = [mature + awaitingMature, observed + awaitingObserved + neverObserved]
  return Math.max(...short, ...sides.map((side) => Math.abs(credited - side)))
}

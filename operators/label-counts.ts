// What the label operator counts for each lane, and the law of conservation that these counts obey (contract.md, section 5):
// touches whose last M or C row has y = 1 = touches credited = O rows with y = 1 + D rows.
// LC1: at any time each side is short of the touches credited by exactly those whose M, or O, has not spoken: they are counted by
//      themselves when the credit comes and when the row does. After a drain there are none.
// LC2: O is silent about windows up to the short wait; touches credited in one are left out of the second equation.

import type { AttributionSettings } from './attribution-settings.ts'

export const LANE_COUNTS = [
  /** Conversions that somebody, or nobody, has the credit of. */
  'attributed',
  'unattributed',
  /** Rows by kind. */
  'O',
  'D',
  'M',
  'C',
  'R',
  /** M rows that are complete; with y = 1. */
  'complete',
  'positives',
  /** O rows with y = 1. */
  'observed_positives',
  /** C rows of touches of which M said y = 0. */
  'corrected_positives',
  /** Touches credited; of them, those whose M, or O, is still to come; and those that O never speaks of. */
  'credited',
  'credited_before_M',
  'credited_before_O',
  'credited_without_O',
] as const

export type LaneCount = (typeof LANE_COUNTS)[number]

const CONVERSION_COUNTS: readonly LaneCount[] = ['attributed', 'unattributed']

/** Name of a counter of the task: `attributed.7d_click`, `labels.M.7d_click`. */
export const laneCountName = (what: LaneCount, lane: string): string =>
  CONVERSION_COUNTS.includes(what) ? `${what}.${lane}` : `labels.${what}.${lane}`

/** Refunds of orders that nobody knows, or that name none. */
export const REFUND_UNMATCHED = 'refund_unmatched'

/** The three sides of the law in one lane, in touches. */
export interface LaneConservation {
  readonly lane: string
  readonly credited: number
  /** Whose last M or C row has y = 1. */
  readonly mature: number
  /** With an O row that says 1, or a D row. */
  readonly observed: number
  /** LC1: credited, and M or O is still to come. 0 after a drain. */
  readonly awaitingMature: number
  readonly awaitingObserved: number
  /** LC2. */
  readonly neverObserved: number
  /** Whether the sides agree, with those still to come. */
  readonly holds: boolean
}

/** What must hold of the counts of all tasks together, lane by lane: those of the windows first, then those of goals, by name. */
export function conservation(
  counts: Readonly<Record<string, number>>,
  { windows }: Pick<AttributionSettings, 'windows'>,
): readonly LaneConservation[] {
  const prefix = laneCountName('credited', '')
  const credited = Object.keys(counts).filter((name) => name.startsWith(prefix))
  const named = credited.map((name) => name.slice(prefix.length)).sort((a, b) => (a < b ? -1 : 1))
  const lanes = new Set([...(named.some(isOfGoal) ? [] : windows.map(({ name }) => name)), ...named])
  return [...lanes].map((lane) => laneConservation(counts, lane))
}

const isOfGoal = (lane: string): boolean => lane.includes('/')

function laneConservation(counts: Readonly<Record<string, number>>, lane: string): LaneConservation {
  const count = (what: LaneCount): number => counts[laneCountName(what, lane)] ?? 0
  const credited = count('credited')
  const mature = count('positives') + count('corrected_positives')
  const observed = count('observed_positives') + count('D')
  const [awaitingMature, awaitingObserved] = [count('credited_before_M'), count('credited_before_O')]
  const neverObserved = count('credited_without_O')
  const agree = credited === mature + awaitingMature && credited === observed + awaitingObserved + neverObserved
  const holds = agree && awaitingMature >= 0 && awaitingObserved >= 0
  return { lane, credited, mature, observed, awaitingMature, awaitingObserved, neverObserved, holds }
}

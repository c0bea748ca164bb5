// Oracle, step 3c: the label rows of each touch, and what the summary counts (contract.md sections 5 and 7). No time passes here: what a
// row says follows from what the touch was credited with, and when. Imports nothing of the project.
//
// 1. A row that is due at T knows the credits from before T and of T itself: attribution comes before labels. A late touch whose T
//    is over has none from that time, so its row on arrival says the same.
// 2. D is the first credit of all where O says 0: one before O is then one that O does not count.

import { createHash } from 'node:crypto'
import type { Attribution } from './attribution-settings.ts'
import { covers, lanesOf } from './goals.ts'
import type { Credit, Joined, Touch } from './join.ts'

const ROW_ID_CHARS = 32

type Kind = 'O' | 'D' | 'M' | 'C' | 'R'

/** One line of labels.ndjson but for its touch. */
export interface LabelRow {
  readonly touch: Touch
  readonly lane: number
  readonly kind: Kind
  /** Among the rows of its kind of this touch and lane, from 1. */
  readonly number: number
  readonly y: 0 | 1
  readonly count: number
  readonly valueMicro: bigint
  readonly isComplete: boolean
}

/** What summary.json says of attribution. */
export interface JoinedCounts {
  readonly refund_unmatched: number
  readonly late_touch: number
  readonly attributions: { readonly [window: string]: number }
  readonly unattributed: { readonly [window: string]: number }
  readonly labels: { readonly [window: string]: LabelCounts }
}
export type LabelCounts = { readonly [name in Kind | 'complete' | 'positives']: number }

/** Every row of every touch. */
export function* labelRows(
  touches: readonly Touch[],
  attribution: Attribution,
  asOfMs: number | null,
): Generator<LabelRow> {
  const lanes = lanesOf(attribution)
  const { graceMs, shortWaitMs } = attribution
  for (const touch of touches) {
    for (const [lane, { goal, window }] of lanes.entries()) {
      const lengthMs = attribution.windows[window]![touch.kind]
      if (lengthMs === undefined || !covers(goal, touch.event)) continue
      const finalMs = touch.timeMs + lengthMs + graceMs
      const isComplete = finalMs <= (asOfMs ?? Number.NEGATIVE_INFINITY)
      const row = (kind: Kind, number: number, of: Pick<LabelRow, 'y' | 'count' | 'valueMicro'>): LabelRow => ({
        ...{ touch, lane, kind, number, isComplete },
        ...of,
      })
      const credits = touch.credits.filter((credit) => credit.lane === lane)
      if (lengthMs > shortWaitMs) {
        const spokenMs = touch.timeMs + shortWaitMs + graceMs
        const observed = credits.filter(({ atMs, timeMs }) => atMs <= spokenMs && timeMs - touch.timeMs <= shortWaitMs)
        yield row('O', 1, sumOf(observed))
        if (observed.length === 0 && credits.length > 0) yield row('D', 1, sumOf(credits.slice(0, 1)))
      }
      const inTime = credits.filter(({ atMs }) => atMs <= finalMs)
      yield row('M', 1, sumOf(inTime))
      for (let count = inTime.length + 1; count <= credits.length; count++)
        yield row('C', count - inTime.length, sumOf(credits.slice(0, count)))
      const refunds = touch.refunds.filter((refund) => refund.lane === lane)
      for (const [index, { isPartial, amountMicro }] of refunds.entries())
        yield row('R', index + 1, { y: 0, count: isPartial ? 0 : -1, valueMicro: -amountMicro })
    }
  }
}

function sumOf(credits: readonly Credit[]): Pick<LabelRow, 'y' | 'count' | 'valueMicro'> {
  const valueMicro = credits.reduce((sum, credit) => sum + credit.valueMicro, 0n)
  return { y: credits.length > 0 ? 1 : 0, count: credits.length, valueMicro }
}

/** The name of a row: what it is about, and nothing of what it says. */
export function rowId({ touch, lane, kind, number }: LabelRow, attribution: Attribution): string {
  const { goal, window } = lanesOf(attribution)[lane]!
  const about = [
    touch.user,
    touch.kind,
    touch.event.eventId,
    touch.timeMs,
    attribution.windows[window]!.name,
    kind,
    number,
  ]
  const named = attribution.goals.length === 0 ? about : [...about, goal.name]
  return createHash('sha256').update(JSON.stringify(named)).digest('hex').slice(0, ROW_ID_CHARS)
}

/** What the summary counts; windows of several goals together. */
export function joinedCounts(joined: Joined, attribution: Attribution, asOfMs: number | null): JoinedCounts {
  const lanes = lanesOf(attribution)
  const byWindow = <T>(of: (window: number) => T) =>
    Object.fromEntries(attribution.windows.map(({ name }, window) => [name, of(window)]))
  const sumOver = (counts: readonly number[]) => (window: number) =>
    lanes.reduce((sum, lane, index) => sum + (lane.window === window ? counts[index]! : 0), 0)
  const labels = attribution.windows.map(() => ({ M: 0, O: 0, D: 0, C: 0, R: 0, complete: 0, positives: 0 }))
  for (const { lane, kind, y, isComplete } of labelRows(joined.touches, attribution, asOfMs)) {
    const counts = labels[lanes[lane]!.window]!
    counts[kind]++
    if (kind === 'M' && isComplete) counts.complete++
    if (kind === 'M') counts.positives += y
  }
  return {
    refund_unmatched: joined.refundUnmatched,
    late_touch: joined.lateTouches,
    attributions: byWindow(sumOver(joined.credited)),
    unattributed: byWindow(sumOver(joined.uncredited)),
    labels: byWindow((window) => labels[window]!),
  }
}

// Where a plan keeps how good scores were (operators/evaluation.ts), and how a report is read of it: from a snapshot of a task that runs.
// EP1: one task of the stage has all rows (docs/model-loop.md); what the others have is nothing, and is added all the same.
// EP2: what is read is a range of keys of each day, not more than EVALUATION_ENTRIES_MAX entries: a report that needs more is refused.
// What is made of it: sinks/evaluation-report.ts. Waits and limits of a node: topology/host-reads.ts.

import { EVALUATED, type Evaluation, horizonOf } from '../operators/evaluation.ts'
import {
  ALL_TOUCHES,
  addTally,
  EVALUATION_DAY_MS,
  EVALUATION_STORE,
  type EvaluationTally,
  emptyTally,
  idOfSliceKey,
  sliceKey,
  slicePrefix,
} from '../operators/evaluation-tally.ts'
import {
  type DayTally,
  EVALUATION_ENTRIES_MAX,
  type EvaluatedRows,
  type EvaluationAsk,
  type EvaluationOutcome,
  type NoEvaluation,
  type TaskEvaluation,
} from '../sinks/evaluation-reads.ts'
import { evaluationReport } from '../sinks/evaluation-report.ts'
import type { ReadSnapshot } from '../state/read-snapshot.ts'
import type { StoreSpec } from '../state/store.ts'
import { commitIn, factsIn } from './commit-facts.ts'
import type { Plan } from './plan.ts'

/** Days whose delays are looked at: those of the longest window there can be, and as many again that have said all. */
export const DELAY_DAYS = 180

/** What of a plan answers for evaluation. */
export interface EvaluationPlan {
  readonly stage: string
  readonly tallies: StoreSpec
  readonly windows: Evaluation['windows']
  readonly graceMs: number
}

/** null: the plan trains nothing. */
export function evaluationIn({ stages }: Pick<Plan, 'stages'>): EvaluationPlan | null {
  for (const { name: stage, nodes } of stages)
    for (const { operator, stores } of nodes) {
      const place = operator.stores.findIndex(({ name }) => name === EVALUATION_STORE)
      if (place === -1) continue
      const { windows, graceMs } = operator as Evaluation
      return { stage, tallies: stores[place]!, windows, graceMs }
    }
  return null
}

/** The window that is meant. */
export function windowOf({ windows }: EvaluationPlan, ask: Pick<EvaluationAsk, 'window'>): string | NoEvaluation {
  const names = windows.map(({ name }) => name)
  const window = ask.window ?? names[0]!
  return names.includes(window) ? window : { kind: 'unknown_window', windows: names }
}

export type TaskEvaluationRead =
  | (TaskEvaluation & { readonly kind: 'evaluation' })
  | Extract<NoEvaluation, { kind: 'too_large' }>

/** What a task has for a report of a window. Throws SnapshotGone. */
export async function readEvaluation(
  snapshot: ReadSnapshot,
  { tallies }: EvaluationPlan,
  { slice, id, days: daysAsked }: Pick<EvaluationAsk, 'slice' | 'id' | 'days'>,
  window: string,
  at: { readonly stream: string; readonly configHash: string },
): Promise<TaskEvaluationRead> {
  const facts = factsIn(snapshot, at.stream, at.configHash)
  const commit = commitIn(snapshot)
  const throughMs =
    commit === null ? null : commit.drained ? (commit.tally.highs.as_of ?? null) : positive(commit.watermark)
  const rows = rowsIn(commit?.tally.counts ?? {})
  const slices = new Map<string, EvaluationTally>()
  if (throughMs === null) return { kind: 'evaluation', facts, throughMs, rows, days: [], slices, all: [] }
  const today = Math.floor(throughMs / EVALUATION_DAY_MS)
  const first = Math.max(0, today + 1 - daysAsked)
  const dayTallies = (key: string, from: number) => talliesOf(snapshot, tallies.name, key, { from, to: today })
  const all = await dayTallies(sliceKey(window, 'all', ALL_TOUCHES), Math.max(0, today + 1 - DELAY_DAYS))
  const days =
    id === null
      ? all.filter(({ dayMs }) => dayMs >= first * EVALUATION_DAY_MS)
      : await dayTallies(sliceKey(window, slice, id), first)
  let read = 0
  for (let day = first; day <= today; day++)
    for await (const [key, tally] of snapshot.scanPrefix<EvaluationTally>(
      tallies.name,
      day,
      slicePrefix(window, slice),
    )) {
      if (++read > EVALUATION_ENTRIES_MAX) return TOO_MANY_ENTRIES
      const own = slices.get(idOfSliceKey(key)) ?? emptyTally()
      addTally(own, tally)
      slices.set(idOfSliceKey(key), own)
    }
  return { kind: 'evaluation', facts, throughMs, rows, days, slices, all }
}

const TOO_MANY_ENTRIES = {
  kind: 'too_large',
  what: `a report is made of at most ${EVALUATION_ENTRIES_MAX} entries: ask for fewer days`,
} as const

const positive = (watermark: number): number | null => (watermark < 0 ? null : watermark)

function rowsIn(counts: Readonly<Record<string, number>>): EvaluatedRows {
  const entries = Object.entries(EVALUATED).map(([what, name]) => [what, counts[name] ?? 0])
  return Object.fromEntries(entries) as EvaluatedRows
}

async function talliesOf(
  snapshot: ReadSnapshot,
  store: string,
  key: string,
  { from, to }: { readonly from: number; readonly to: number },
): Promise<DayTally[]> {
  const days = Array.from({ length: Math.max(0, to - from + 1) }, (_, i) => from + i)
  const found = await snapshot.multiGet<EvaluationTally>(
    store,
    days.map((day) => [day, key]),
  )
  return days.flatMap((day, i) => (found[i] === undefined ? [] : [{ dayMs: day * EVALUATION_DAY_MS, tally: found[i] }]))
}

/** The report, from what every task of the stage has. */
export function evaluationOutcome(
  kept: EvaluationPlan,
  ask: EvaluationAsk,
  window: string,
  parts: readonly TaskEvaluationRead[],
): EvaluationOutcome {
  const read = parts.filter((part) => part.kind === 'evaluation')
  if (read.length < parts.length) return parts.find((part) => part.kind !== 'evaluation') as NoEvaluation
  // EP1.
  const home = read.reduce((most, part) => (rowCount(part) > rowCount(most) ? part : most))
  const { facts, throughMs, rows } = home
  const days = added(read.flatMap((part) => part.days))
  const all = added(read.flatMap((part) => part.all))
  const slices = new Map<string, EvaluationTally>()
  for (const part of read)
    for (const [id, tally] of part.slices) {
      const own = slices.get(id) ?? emptyTally()
      addTally(own, tally)
      slices.set(id, own)
    }
  const report = evaluationReport({ throughMs, rows, days, slices, all }, horizonOf(kept, window))
  return { kind: 'evaluation', ask, window, report, facts }
}

const rowCount = ({ rows }: TaskEvaluation): number => Object.values(rows).reduce((sum, count) => sum + count, 0)

function added(parts: readonly DayTally[]): DayTally[] {
  const days = new Map<number, EvaluationTally>()
  for (const { dayMs, tally } of parts) {
    const own = days.get(dayMs) ?? emptyTally()
    addTally(own, tally)
    days.set(dayMs, own)
  }
  return [...days].map(([dayMs, tally]) => ({ dayMs, tally })).sort((a, b) => a.dayMs - b.dayMs)
}

// Where a plan keeps what its attributions were decided on (operators/decisions.ts), and how that is read: from a snapshot of a
// task that runs, or from its state after it has ended.
// AR1: a conversion's id does not say whose it is, so every task of the stage is asked.
// Waits, limits, and what is put together of several tasks of a node: topology/host-reads.ts.

import type { Decision } from '../operators/decision-record.ts'
import { DECISIONS_STORE, type Decisions } from '../operators/decisions.ts'
import { EVENT_TIME_MAX_MS, EVENT_TIME_MIN_MS } from '../operators/event.ts'
import {
  type AttributionOutcome,
  type AttributionRules,
  DECISIONS_TOLD_MAX,
  type FoundDecisions,
  foundTogether,
} from '../sinks/attribution-reads.ts'
import type { SnapshotFacts } from '../sinks/feature-reads.ts'
import type { Backend } from '../state/backend.ts'
import type { ReadSnapshot } from '../state/read-snapshot.ts'
import type { StoreSpec } from '../state/store.ts'
import { TaskState } from '../state/task-state.ts'
import { factsIn } from './commit-facts.ts'
import { type Plan, stageStream, taskName } from './plan.ts'

/** What of a plan answers for attributions. */
export interface DecisionsPlan {
  readonly stage: string
  readonly store: StoreSpec
  readonly rules: AttributionRules
}

/** null: the plan attributes nothing. */
export function decisionsIn(plan: Plan): DecisionsPlan | null {
  for (const { name: stage, nodes } of plan.stages)
    for (const { operator, stores } of nodes) {
      const place = operator.stores.findIndex(({ name }) => name === DECISIONS_STORE)
      if (place === -1) continue
      const { windows, models, graceMs, keptMs } = operator as Decisions
      return { stage, store: stores[place]!, rules: { windows, models, graceMs, keptMs } }
    }
  return null
}

/** What a task has of a conversion's id, by the newest event times. Throws SnapshotGone. */
export async function readDecisions(
  snapshot: ReadSnapshot,
  { store }: DecisionsPlan,
  conversion: string,
): Promise<{ readonly decisions: readonly Decision[]; readonly more: boolean }> {
  const always = { fromMs: EVENT_TIME_MIN_MS, toMs: EVENT_TIME_MAX_MS }
  const entries = await snapshot.holds<Decision>(store.name, conversion, always, DECISIONS_TOLD_MAX + 1)
  const newest = entries.slice(-DECISIONS_TOLD_MAX)
  return { decisions: newest.map(({ value }) => value), more: newest.length < entries.length }
}

/** What was found, or that it was not. `facts`: of every task that was asked. */
export function attributionOutcome(
  conversion: string,
  { rules }: DecisionsPlan,
  parts: readonly FoundDecisions[],
  facts: readonly SnapshotFacts[],
): AttributionOutcome {
  const { found, more } = foundTogether(parts)
  if (found.length > 0) return { kind: 'attribution', conversion, rules, found, more }
  const through = facts.map(({ completeThrough }) => completeThrough)
  const known = through.filter((time) => time !== null)
  return {
    kind: 'unknown_conversion',
    rules,
    completeThrough: known.length < through.length ? null : Math.min(...known),
  }
}

/** From the states of tasks that have ended; `open` gives that of one, null where there is none. Nothing is written. */
export async function attributionInStates(
  plan: Plan,
  conversion: string,
  open: (task: string) => Promise<Backend | null>,
): Promise<AttributionOutcome> {
  const kept = decisionsIn(plan)
  if (kept === null) return { kind: 'no_attribution' }
  const parts: FoundDecisions[] = []
  const all: SnapshotFacts[] = []
  for (let partition = 0; partition < plan.partitions; partition++) {
    const task = taskName(kept.stage, partition)
    const backend = await open(task)
    if (backend === null) return { kind: 'unavailable', why: `${task} has no state here` }
    const state = await TaskState.open(backend, [kept.store])
    const snapshot = state.acquireSnapshot()
    try {
      const facts = factsIn(snapshot, stageStream(plan.namespace, kept.stage, partition), plan.configHash)
      const { decisions, more } = await readDecisions(snapshot, kept, conversion)
      all.push(facts)
      parts.push({ found: decisions.map((decision) => ({ decision, facts })), more })
    } finally {
      snapshot.release()
      await state.close()
    }
  }
  return attributionOutcome(conversion, kept, parts, all)
}

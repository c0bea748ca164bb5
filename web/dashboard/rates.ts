// What happened between two looks at a node, and what of it is kept for the chart.
// RT1: a rate is only said where two answers of the same run of the node are known: where its clock or a counter went
//      back there is none, rather than a wrong one.
// RT2: how far a task is behind is said in messages, and in seconds at the rate at which it catches up, as `holdfast top`
//      does. The age of the watermark is another thing: it never falls below the lateness that is waited for.

import type { StatusAnswer } from '../../client/holdfast.ts'

export type Task = StatusAnswer['tasks'][number]

/** Events, by what became of them. */
export interface Events {
  readonly accepted: number
  readonly duplicates: number
  readonly deadLetters: number
}

export interface TaskRate {
  /** Records a second. */
  readonly records: number
  /** Seconds until it has caught up at the present rate; null: it does not move. */
  readonly lagS: number | null
}

export interface Rates {
  /** Events a second. */
  readonly events: Events
  readonly tasks: ReadonlyMap<string, TaskRate>
}

/** A second of the chart; without events: nobody knows. */
export interface Point {
  /** Seconds since 1970. */
  readonly atS: number
  readonly events: Events | null
}

/** Seconds that the chart shows: long enough to see a change, short enough to see it move. */
export const HISTORY_S = 300

/** Counted since the state of the node began. */
export function eventsOf({ tasks }: StatusAnswer): Events {
  const sum = (counter: string) => tasks.reduce((total, { counts }) => total + (counts[counter] ?? 0), 0)
  return { accepted: sum('accepted'), duplicates: sum('duplicates'), deadLetters: sum('dead_letters') }
}

/** null where nothing can be said (RT1). */
export function ratesBetween(before: StatusAnswer, now: StatusAnswer): Rates | null {
  const seconds = (now.now_ms - before.now_ms) / 1_000
  const [then, since] = [eventsOf(before), eventsOf(now)]
  const accepted = (since.accepted - then.accepted) / seconds
  const duplicates = (since.duplicates - then.duplicates) / seconds
  const deadLetters = (since.deadLetters - then.deadLetters) / seconds
  if (!(seconds > 0) || Math.min(accepted, duplicates, deadLetters) < 0) return null
  const former = new Map(before.tasks.map((task) => [task.name, task]))
  const tasks = now.tasks.map((task) => [task.name, taskRate(former.get(task.name) ?? task, task, seconds)] as const)
  return { events: { accepted, duplicates, deadLetters }, tasks: new Map(tasks) }
}

function taskRate(before: Task, now: Task, seconds: number): TaskRate {
  const perSecond = (count: number) => Math.max(0, count) / seconds
  const messages = perSecond(now.seq - before.seq)
  return {
    records: perSecond((now.counts.records ?? 0) - (before.counts.records ?? 0)),
    lagS: now.pending === 0 ? 0 : messages === 0 ? null : now.pending / messages,
  }
}

/** The history with one more point, without what is older than HISTORY_S. */
export function withPoint(history: readonly Point[], point: Point): Point[] {
  return [...history.filter(({ atS }) => atS > point.atS - HISTORY_S), point]
}

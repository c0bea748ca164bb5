// What happened between two looks at a node, and what of it is kept for the chart.
// RT1: a rate is only said where two answers of the same run of the node are known: where its clock or a counter went
//      back there is none, rather than a wrong one.

import type { StatusAnswer } from '../../client/holdfast.ts'

export type Task = StatusAnswer['tasks'][number]

/** Events, by what became of them. */
export interface Events {
  readonly accepted: number
  readonly duplicates: number
  readonly deadLetters: number
}

export interface Rates {
  /** Events a second. */
  readonly events: Events
  /** Records a second, by task. */
  readonly tasks: ReadonlyMap<string, number>
}

/** A second of the chart; without events: nobody knows. */
export interface Point {
  /** Seconds since 1970. */
  readonly atS: number
  readonly events: Events | null
  readonly readable: Readable | null
}

/** Milliseconds from the log to being readable, of the slowest task. */
export interface Readable {
  readonly p50: number
  readonly p99: number
}

/** null: nothing became readable lately. */
export function readableOf({ tasks }: StatusAnswer): Readable | null {
  const known = tasks.flatMap(({ readable_ms }) => readable_ms ?? [])
  if (known.length === 0) return null
  return { p50: Math.max(...known.map(({ p50 }) => p50)), p99: Math.max(...known.map(({ p99 }) => p99)) }
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
  const tasks = now.tasks.map((task) => [task.name, recordsPerS(former.get(task.name) ?? task, task, seconds)] as const)
  return { events: { accepted, duplicates, deadLetters }, tasks: new Map(tasks) }
}

function recordsPerS(before: Task, now: Task, seconds: number): number {
  return Math.max(0, (now.counts.records ?? 0) - (before.counts.records ?? 0)) / seconds
}

/** The history with one more point, without what is older than HISTORY_S. */
export function withPoint(history: readonly Point[], point: Point): Point[] {
  return [...history.filter(({ atS }) => atS > point.atS - HISTORY_S), point]
}

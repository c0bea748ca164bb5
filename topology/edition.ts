// Since when a task keeps what a plan keeps. When declarations change, the plan has a new edition; a task begins it at the place in
// its input where it is opened with that plan, commits that before anything else, and tells the stages after it.
// ED1: what is new in an edition has seen every event with a time after `seenAfter` of it: no such event had been processed where
//      the edition began, here or in the stage before. It follows from the log and from that place alone.
// ED2: a task that gets its events from others has the edition when all of them have said so, in their numbered records: before
//      that, events may come without what the edition needs of them.
// ED3: editions are begun in their order, and one that was skipped begins with the next.
// What is new in which edition, is in topology/features/ledger.ts; from when a window is complete, in operators/feature-values.ts.

import { NO_WATERMARK } from '../log/frame.ts'

/** Of a task; part of every commit. Plain data. */
export interface EditionState {
  /** That it computes. */
  readonly number: number
  /** By edition, of those after the first: the highest event time processed before it began, milliseconds. */
  readonly seenAfter: Readonly<Record<string, number>>
  /** Editions from this one on wait for writers that have not said that they have `number` (ED2). */
  readonly unsettled: number
  readonly awaits: readonly string[]
  /** Whether the stages after this one know (ED2). */
  readonly told: boolean
}

/** What a task knows that has processed nothing before. `writers`: the tasks that it gets its events from. */
export function firstEdition(number: number, writers: readonly string[]): EditionState {
  const first = { number: 1, seenAfter: {}, unsettled: 2, awaits: [], told: true }
  return number === 1 ? first : begun(first, number, writers, NO_WATERMARK)
}

/** ED1, ED3. A later edition begins after events up to `seenAfterMs` were processed. */
export function begun(
  { number: before, seenAfter, unsettled }: EditionState,
  number: number,
  writers: readonly string[],
  seenAfterMs: number,
): EditionState {
  const times = { ...seenAfter }
  for (let edition = before + 1; edition <= number; edition++) times[edition] = seenAfterMs
  const isSettled = writers.length === 0
  return { number, seenAfter: times, unsettled: isSettled ? number + 1 : unsettled, awaits: writers, told: false }
}

/** ED2. After a writer said which edition it has, and what it had seen before that. */
export function heardFrom(
  state: EditionState,
  writer: string,
  { number, seenAfterMs }: { readonly number: number; readonly seenAfterMs: number },
): EditionState {
  // What it said of an edition that is over says nothing of this one.
  if (number !== state.number || !state.awaits.includes(writer)) return state
  const awaits = state.awaits.filter((other) => other !== writer)
  const seenAfter = { ...state.seenAfter }
  for (let edition = state.unsettled; edition <= number; edition++)
    seenAfter[edition] = Math.max(seenAfter[edition] ?? NO_WATERMARK, seenAfterMs)
  return { ...state, seenAfter, awaits, unsettled: awaits.length === 0 ? number + 1 : state.unsettled }
}

/** What the stages after this one are to be told; null: nothing, or not yet. */
export function newsOf({ number, told, awaits, seenAfter }: EditionState): number | null {
  return told || awaits.length > 0 ? null : (seenAfter[number] ?? NO_WATERMARK)
}

/** What is kept since an edition has seen every event after this time, milliseconds; null: not known yet, as of a task that is not open. */
export function seenAfterOf(state: EditionState | null, edition: number): number | null {
  if (edition === 1) return NO_WATERMARK
  return state === null || edition >= state.unsettled ? null : (state.seenAfter[edition] ?? null)
}

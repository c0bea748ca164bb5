// What a run leaves in its directory: summary.json and the files of lines (contract.md, section 7), from the tallies of the tasks,
// from their state, and from the output streams of the joiner and of dead letters.
// RR1: a file is there when it is whole; summary.json comes last: where it lies, the others belong to it.
// RR2: nothing is held in memory but what a sort needs (sinks/line-sort.ts).

import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { HoldfastError } from '../log/errors.ts'
import type { Log } from '../log/log.ts'
import { askPatiently } from '../log/patience.ts'
import type { Runtime } from '../log/runtime.ts'
import { ATTRIBUTIONS } from '../operators/attribution.ts'
import type { AttributionSettings } from '../operators/attribution-settings.ts'
import {
  conservation,
  type LaneConservation,
  type LaneCount,
  laneCountName,
  REFUND_UNMATCHED,
} from '../operators/label-counts.ts'
import { LABELS } from '../operators/labels.ts'
import { MODELS } from '../operators/model-records.ts'
import { SCORES } from '../operators/scorer.ts'
import type { AttributionRecord, LabelRecord } from '../operators/touch.ts'
import { DEAD_LETTERS, type DeadLetter } from '../operators/validation.ts'
import { attributionLine, labelLines } from '../sinks/joined-lines.ts'
import { canonicalLine, writeDocument, writeLines } from '../sinks/run-directory.ts'
import { VECTORS } from '../topology/features/stage-plan.ts'
import type { TaskHost } from '../topology/host.ts'
import { outputStream, type Plan, publishes } from '../topology/plan.ts'
import type { TaskStatus } from '../topology/task.ts'

/** summary.json, as far as there are operators for it. */
export interface Summary {
  readonly read: number
  readonly accepted: number
  readonly duplicates: number
  readonly dead_letters: number
  readonly late: number
  readonly as_of: number | null
  /** Refunds of orders that nobody knew. Not given, like what follows: without attribution. */
  readonly refund_unmatched?: number
  /** Touches that came after a conversion that they might have been credited with. */
  readonly late_touch?: number
  /** Touches that were scored, and those of them by rates because no version could. Not given: none are. */
  readonly scores?: number
  readonly scores_fallback?: number
  /** Candidates that became versions, and those that did not. Not given: nothing is trained. */
  readonly models_published?: number
  readonly models_refused?: number
  /** Conversions by window, all goals together: credited to somebody, and to nobody. */
  readonly attributions?: Readonly<Record<string, number>>
  readonly unattributed?: Readonly<Record<string, number>>
  readonly labels?: Readonly<Record<string, LabelCounts>>
  /** The law that label rows obey, by window and goal (operators/label-counts.ts): touches on its three sides. */
  readonly conservation?: readonly {
    readonly lane: string
    readonly credited: number
    readonly mature: number
    readonly observed: number
    readonly never_observed: number
  }[]
  /** Hash of the configuration. */
  readonly config: string
  readonly resumed_at_line: number
  readonly starts: number
  readonly wall_seconds: number
}

/** Label rows of a window, by kind; of the M rows those that are complete, and those with y = 1. */
export type LabelCounts = Readonly<Record<'M' | 'O' | 'D' | 'C' | 'R' | 'complete' | 'positives', number>>

export interface Finished {
  readonly log: Log
  readonly runtime: Runtime
  readonly plan: Plan
  readonly host: TaskHost
  readonly attribution: AttributionSettings | 'off'
  readonly out: string
  /** What of the summary is about this start of the run. */
  readonly start: Pick<Summary, 'resumed_at_line' | 'starts' | 'wall_seconds'>
}

/** Writes the files. Throws OPERATOR_FAILED where the labels do not obey their law, once they are there to be looked at. */
export async function writeResults(finished: Finished): Promise<Summary> {
  const { plan, host, attribution, out, start } = finished
  const tasks = host.status()
  const highs = tasks.flatMap(({ tally }) => tally.highs.as_of ?? [])
  const asOf = highs.length === 0 ? null : Math.max(...highs)
  await rm(join(out, 'summary.json'), { force: true })
  await writeLines(out, 'features.ndjson', featureLines(host, asOf))
  await writeLines(out, 'dead_letters.ndjson', outputLines(finished, DEAD_LETTERS, deadLetterLine))
  await rm(join(out, 'vectors.ndjson'), { force: true })
  await rm(join(out, 'scores.ndjson'), { force: true })
  await rm(join(out, 'models.ndjson'), { force: true })
  if (publishes(plan, VECTORS)) await writeLines(out, 'vectors.ndjson', outputLines(finished, VECTORS, lineAsItIs))
  if (publishes(plan, SCORES)) await writeLines(out, 'scores.ndjson', outputLines(finished, SCORES, lineAsItIs))
  if (publishes(plan, MODELS)) await writeLines(out, 'models.ndjson', outputLines(finished, MODELS, lineAsItIs))
  const summary: Summary = {
    read: sumOf(tasks, 'read'),
    accepted: sumOf(tasks, 'accepted'),
    duplicates: sumOf(tasks, 'duplicates'),
    dead_letters: sumOf(tasks, 'dead_letters'),
    late: sumOf(tasks, 'late'),
    as_of: asOf,
    ...(attribution === 'off' ? {} : await writeJoined(finished, attribution, asOf, tasks)),
    ...scoredIn(plan, tasks),
    config: plan.configHash,
    ...start,
  }
  await writeDocument(out, 'summary.json', summary)
  if (attribution !== 'off') checkConservation(conservationOf(tasks, attribution))
  return summary
}

/** What the summary says of models. */
function scoredIn(plan: Plan, tasks: readonly TaskStatus[]): Partial<Summary> {
  const counts = (...names: readonly (keyof Summary)[]): Partial<Summary> =>
    Object.fromEntries(names.map((name) => [name, sumOf(tasks, name)]))
  return {
    ...(publishes(plan, SCORES) && counts('scores', 'scores_fallback')),
    ...(publishes(plan, MODELS) && counts('models_published', 'models_refused')),
  }
}

/** What all tasks together have counted, of each lane (operators/label-counts.ts). */
export function conservationOf(
  tasks: readonly TaskStatus[],
  settings: AttributionSettings,
): readonly LaneConservation[] {
  const names = new Set(tasks.flatMap(({ tally }) => Object.keys(tally.counts)))
  return conservation(Object.fromEntries([...names].map((name) => [name, sumOf(tasks, name)])), settings)
}

/** The law of label rows for people, window by window; nothing without attribution. */
export function conservationText({ conservation: lanes = [] }: Summary): string[] {
  return lanes.map(({ lane, credited, mature, observed, never_observed }) => {
    const early = never_observed === 0 ? '' : `, ${never_observed} in a window no longer than the short wait`
    return `${lane}: touches credited ${credited} = with y = 1 at last ${mature} = O positives and D ${observed}${early}`
  })
}

function checkConservation(lanes: readonly LaneConservation[]): void {
  for (const { lane, credited, mature, observed, neverObserved, holds } of lanes) {
    if (holds) continue
    throw new HoldfastError('OPERATOR_FAILED', `label rows of ${lane} do not add up`, {
      ...{ credited, last_M_or_C: mature, O_and_D: observed, without_O: neverObserved },
    })
  }
}

/** What all tasks together have counted under one name. */
export const sumOf = (tasks: readonly TaskStatus[], counter: string): number =>
  tasks.reduce((sum, { tally }) => sum + (tally.counts[counter] ?? 0), 0)

/** The files of the joiner, and what the summary says of them. */
async function writeJoined(
  finished: Finished,
  settings: AttributionSettings,
  asOf: number | null,
  tasks: readonly TaskStatus[],
): Promise<Partial<Summary>> {
  const { out } = finished
  const complete = new Map<string, number>()
  const labelsOf = (record: object): string[] =>
    labelLines(record as LabelRecord, asOf ?? Number.NEGATIVE_INFINITY, settings).map((line) => {
      if (line.kind === 'M' && line.complete) complete.set(line.window, (complete.get(line.window) ?? 0) + 1)
      return canonicalLine(line)
    })
  const attributionsOf = (record: object) => [canonicalLine(attributionLine(record as AttributionRecord))]
  await writeLines(out, 'attributions.ndjson', outputLines(finished, ATTRIBUTIONS, attributionsOf))
  await writeLines(out, 'labels.ndjson', outputLines(finished, LABELS, labelsOf))
  const windows = settings.windows.map(({ name }) => name)
  const lanesOf = (window: string) => [window, ...settings.goals.map(({ name }) => `${name}/${window}`)]
  const count = (what: LaneCount, window: string) =>
    lanesOf(window).reduce((sum, lane) => sum + sumOf(tasks, laneCountName(what, lane)), 0)
  const byWindow = <T>(of: (window: string) => T) => Object.fromEntries(windows.map((window) => [window, of(window)]))
  return {
    refund_unmatched: sumOf(tasks, REFUND_UNMATCHED),
    late_touch: sumOf(tasks, 'late_touch'),
    attributions: byWindow((window) => count('attributed', window)),
    unattributed: byWindow((window) => count('unattributed', window)),
    labels: byWindow((window) => ({
      ...{ M: count('M', window), O: count('O', window), D: count('D', window), C: count('C', window) },
      ...{ R: count('R', window), complete: complete.get(window) ?? 0, positives: count('positives', window) },
    })),
    conservation: conservationOf(tasks, settings).map(({ lane, credited, mature, observed, neverObserved }) => ({
      ...{ lane, credited, mature, observed, never_observed: neverObserved },
    })),
  }
}

async function* featureLines(host: TaskHost, asOf: number | null): AsyncGenerator<string> {
  if (asOf === null) return
  for await (const value of host.values(asOf)) yield canonicalLine(value)
}

const lineAsItIs = (record: object): string[] => [canonicalLine(record)]

/** The files tell of lines; where in the log a dead letter lay is for its stream's readers. */
function deadLetterLine(record: object): string[] {
  const { line, code, field, raw } = record as DeadLetter
  return [canonicalLine({ line, code, field, raw })]
}

/** The lines of what an output's streams hold. */
async function* outputLines(
  { log, runtime, plan }: Finished,
  output: string,
  linesOf: (record: object) => readonly string[],
): AsyncGenerator<string> {
  for (let partition = 0; partition < plan.partitions; partition++) {
    const stream = outputStream(plan.namespace, output, partition)
    for await (const payload of payloadsOf(log, runtime, stream)) {
      const value = JSON.parse(Buffer.from(payload).toString()) as object | readonly object[]
      // A message is one record, or a frame of them.
      for (const record of Array.isArray(value) ? value : [value]) yield* linesOf(record)
    }
  }
}

/** Milliseconds to wait for messages that are known to be there. */
const READ_WAIT_MS = 1_000

/** The broker may be away just now, as at any time before. */
async function* payloadsOf(log: Log, runtime: Runtime, stream: string): AsyncIterable<Uint8Array> {
  const ask = <T>(question: () => Promise<T>) => askPatiently({ runtime, onWait: () => {} }, stream, question)
  const state = await ask(() => log.streamState(stream))
  if (state === null || state.lastSeq === 0) return
  const reader = await ask(() => log.read(stream, { seq: 0, digest: '', created: state.created }))
  try {
    for (let seq = 0; seq < state.lastSeq; ) {
      for (const message of await reader.next(READ_WAIT_MS)) {
        seq = message.seq
        yield message.payload
      }
    }
  } finally {
    await reader.stop()
  }
}

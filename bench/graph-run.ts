// One run of the page-view graph over a filled stream, on real parts: tasks on nats-server and RocksDB, from nothing until
// every event is applied and committed in both stages, and the outputs of that run as digests.
// GR1: the end is what committed state says: user-1 has read every event, and pages has applied as many records as user-1
//      has published to it.

import { createHash, type Hash } from 'node:crypto'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { FRAME_HEADER, FrameRecords, parseFrameHeader } from '../log/frame.ts'
import type { LogMessage, StreamSpec } from '../log/log.ts'
import type { NatsLog } from '../log/nats-log.ts'
import { realRuntime } from '../log/runtime.ts'
import { RECORD_HEADER } from '../log/writer.ts'
import { openRocksBackend } from '../state/rocks-backend.ts'
import { type CommitRecord, parseCommitRecord } from '../topology/commit-record.ts'
import { featuresOf, valuesAt } from '../topology/features.ts'
import { Host } from '../topology/host.ts'
import { exchangeDestination, outputStream, type Plan, stageStream } from '../topology/plan.ts'
import { ensureStreams } from '../topology/streams.ts'
import type { Task, TaskTuning } from '../topology/task.ts'
import { inputStream, readAll } from './stream.ts'

/** Milliseconds between looks at how far the tasks are: the error of a measurement of seconds. */
const LOOK_MS = 5
/** A task that stands still this long has halted without a word, or waits for something that will not come. */
const STUCK_MS = 60_000

export interface GraphOptions {
  readonly plan: Plan
  readonly log: NatsLog
  readonly stateDir: string
  readonly tuning: TaskTuning
}

export function openHost({ plan, log, stateDir, tuning }: GraphOptions): Host {
  return new Host({
    plan,
    log,
    runtime: realRuntime,
    role: 'owner',
    tuning,
    backend: (task) => openRocksBackend(join(stateDir, task)),
    onHalt: () => {},
  })
}

/** Removes everything that a run made, so that the next one starts from the input alone. */
export async function forgetRun({ plan, log, stateDir }: GraphOptions, specs: readonly StreamSpec[]): Promise<void> {
  await rm(stateDir, { recursive: true, force: true })
  const made = specs.filter(({ name }) => name !== inputStream(plan))
  for (const { name } of made) await log.jsm.streams.delete(name)
  await ensureStreams(log, made)
}

/** Starts every task; settles when `events` events in all are read and committed in both stages (GR1). */
export async function startAndCatchUp(host: Host, plan: Plan, events: number): Promise<void> {
  await host.start()
  const { destinations } = await committed(host, 'user-1', ({ tally }) => tally.counts.read === events)
  const toPages = exchangeDestination(plan, 'pages', 0, 'user-1-0').subject
  const published = destinations[toPages]?.number ?? 0
  await committed(host, 'pages', ({ tally }) => (tally.counts.records ?? 0) === published)
}

/** Waits until a stage's task has committed what `isDone` asks for. */
async function committed(host: Host, stage: string, isDone: (commit: CommitRecord) => boolean): Promise<CommitRecord> {
  const [task] = host.tasksOf(stage)
  let [epoch, movedAt] = [-1, performance.now()]
  while (true) {
    for (const { error } of host.failed) throw error
    const { phase, ...status } = task!.status()
    const commit = phase === 'opening' ? null : commitOf(task!)
    if (commit !== null && isDone(commit)) return commit
    if (status.epoch !== epoch) [epoch, movedAt] = [status.epoch, performance.now()]
    if (performance.now() - movedAt > STUCK_MS) throw new Error(`${stage} stands still: ${JSON.stringify(status)}`)
    await realRuntime.sleep(LOOK_MS)
  }
}

/** What a reader of snapshots sees now; null before the first commit. */
function commitOf(task: Task): CommitRecord | null {
  const snapshot = task.snapshot()
  try {
    return snapshot.meta === null ? null : parseCommitRecord(snapshot.meta)
  } finally {
    snapshot.release()
  }
}

/** `pages`: what user-1 publishes to the stage pages, the only one of them that trimming takes away. */
export const OUTPUT_KINDS = ['features', 'counters', 'dead_letters', 'pages'] as const
export type OutputKind = (typeof OUTPUT_KINDS)[number]

/** SHA-256 (hex) of each kind of output. */
export type Outputs = Readonly<Record<OutputKind, string>>

/** Digests of everything that a run has put out: feature values at as_of, all counters, and records by number. */
export async function outputsOf(host: Host, { plan, log }: GraphOptions): Promise<Outputs> {
  const [, pages] = plan.stages
  return {
    features: await featuresDigest(host, plan),
    counters: digest(host.status().map(({ name, tally }) => JSON.stringify([name, tally]))),
    pages: await recordsDigest(log, stageStream(plan.namespace, pages!.name, 0)),
    dead_letters: await recordsDigest(log, outputStream(plan.namespace, 'dead_letters', 0)),
  }
}

async function featuresDigest(host: Host, plan: Plan): Promise<string> {
  const asOf = host.status()[0]!.tally.highs.as_of
  if (asOf === undefined) throw new Error('no event was accepted')
  const hash = createHash('sha256')
  for (const feature of featuresOf(plan)) {
    const snapshot = host.tasksOf(feature.stage)[0]!.snapshot()
    try {
      for await (const value of valuesAt(snapshot, feature, asOf)) addLine(hash, JSON.stringify(value))
    } finally {
      snapshot.release()
    }
  }
  return hash.digest('hex')
}

function digest(lines: readonly string[]): string {
  const hash = createHash('sha256')
  for (const line of lines) addLine(hash, line)
  return hash.digest('hex')
}

const addLine = (hash: Hash, line: string): Hash => hash.update(line).update('\n')

/** Of every record with its number: however they were framed, the same records give the same digest. */
async function recordsDigest(log: NatsLog, stream: string): Promise<string> {
  const hash = createHash('sha256')
  for await (const messages of readAll(log, stream)) {
    for (const message of messages) addRecords(hash, message)
  }
  return hash.digest('hex')
}

function addRecords(hash: Hash, { headers, payload }: LogMessage): void {
  const number = headers?.[RECORD_HEADER]
  if (number !== undefined) {
    hash.update(`${number} `).update(payload).update('\n')
    return
  }
  const frame = parseFrameHeader(headers?.[FRAME_HEADER])
  if (frame === null) throw new Error('a message is neither a record nor a frame')
  const records = new FrameRecords(payload)
  for (let n = frame.first; records.next(); n++) {
    hash.update(`${n} `).update(payload.subarray(records.from, records.to)).update('\n')
  }
}

/** What must be equal in two runs of one input. Throws naming the first kind of output that is not. */
export function assertEqualOutputs(
  outputs: Outputs,
  expected: Outputs,
  kinds: readonly OutputKind[] = OUTPUT_KINDS,
): void {
  for (const kind of kinds) {
    if (outputs[kind] !== expected[kind]) throw new Error(`${kind} differ from those of the slow run`)
  }
}

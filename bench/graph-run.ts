// One run of the page-view graph over a filled stream, on real parts: tasks on nats-server and RocksDB, from nothing until
// every event is applied and committed in both stages, and the outputs of that run as digests.
// GR1: the end is what committed state says: user-1 has read every event, and each other stage has applied as many records as
//      user-1 has published to it.

import { createHash, type Hash } from 'node:crypto'
import { rm } from 'node:fs/promises'
import { FRAME_HEADER, FrameRecords, parseFrameHeader } from '../log/frame.ts'
import type { LogMessage, StreamSpec } from '../log/log.ts'
import type { NatsLog } from '../log/nats-log.ts'
import { realRuntime } from '../log/runtime.ts'
import { RECORD_HEADER } from '../log/writer.ts'
import type { CommitRecord } from '../topology/commit-record.ts'
import type { GraphOptions as TopologyGraph } from '../topology/graph.ts'
import { type TaskHost, tasksOf } from '../topology/host.ts'
import type { ThreadConnection } from '../topology/host-messages.ts'
import { outputStream, type Plan, stageStream } from '../topology/plan.ts'
import { ensureStreams } from '../topology/streams.ts'
import type { TaskTuning } from '../topology/task.ts'
import { ThreadedHost } from '../topology/threaded-host.ts'
import { benchGraph } from './plan.ts'
import { inputStreams, readAll } from './stream.ts'

/** Milliseconds between looks at how far the tasks are: the error of a measurement of seconds. */
const LOOK_MS = 5
/** A task that stands still this long has halted without a word, or waits for something that will not come. */
const STUCK_MS = 60_000

export interface GraphOptions {
  /** Not given: benchGraph(). */
  readonly graph?: TopologyGraph
  /** Of the graph. */
  readonly plan: Plan
  readonly log: NatsLog
  readonly connection: ThreadConnection
  readonly threads: number
  readonly stateDir: string
  readonly tuning: TaskTuning
}

export function openHost(options: GraphOptions): TaskHost {
  const { plan, log, connection, threads, stateDir, tuning, graph = benchGraph(plan.partitions) } = options
  const runtime = realRuntime
  return new ThreadedHost({
    ...{ graph, threads, log, connection, runtime, tuning, stateDir },
    onHalt: () => {},
  })
}

/** Removes everything that a run made, so that the next one starts from the input alone. */
export async function forgetRun(
  { plan, log, stateDir }: Pick<GraphOptions, 'plan' | 'log' | 'stateDir'>,
  specs: readonly StreamSpec[],
): Promise<void> {
  await rm(stateDir, { recursive: true, force: true })
  const inputs = inputStreams(plan)
  const made = specs.filter(({ name }) => !inputs.includes(name))
  for (const { name } of made) await log.jsm.streams.delete(name)
  await ensureStreams(log, made)
}

/** Starts every task; settles when `events` events in all are read and committed in every stage (GR1). */
export async function startAndCatchUp(host: TaskHost, plan: Plan, events: number): Promise<void> {
  await host.start()
  const users = await committed(host, tasksIn(plan, 'user-1'), (commits) => total(commits, 'read') === events)
  for (const { stage } of plan.stages[0]!.exchanges) {
    const published = sum(users.flatMap(({ destinations }) => numbersTo(plan, stage, destinations)))
    await committed(host, tasksIn(plan, stage), (commits) => total(commits, 'records') === published)
  }
}

/** The same, and every stage has committed the time that the first one ends at, with all that it makes due. */
export async function startAndSettle(host: TaskHost, plan: Plan, events: number): Promise<void> {
  await host.start()
  const sent: (readonly CommitRecord[])[] = []
  let endMs = Number.NEGATIVE_INFINITY
  for (const { name } of plan.stages) {
    const toRead = sum(sent.flat().flatMap(({ destinations }) => numbersTo(plan, name, destinations)))
    const isFirst = sent.length === 0
    const commits = await committed(host, tasksIn(plan, name), (now) =>
      isFirst
        ? total(now, 'read') === events
        : total(now, 'records') === toRead && now.every(({ watermark }) => watermark >= endMs),
    )
    if (isFirst) endMs = Math.min(...commits.map(({ watermark }) => watermark))
    sent.push(commits)
  }
}

const tasksIn = (plan: Plan, stage: string): string[] =>
  tasksOf(plan).flatMap((task) => (task.stage.name === stage ? [task.name] : []))

export const total = (commits: readonly CommitRecord[], count: string): number =>
  sum(commits.map(({ tally }) => tally.counts[count] ?? 0))

const sum = (numbers: readonly number[]): number => numbers.reduce((a, b) => a + b, 0)

/** How many records a task has published to each partition of a stage. */
function numbersTo(plan: Plan, stage: string, destinations: CommitRecord['destinations']): number[] {
  const prefix = `${plan.namespace}.${stage}.`
  return Object.entries(destinations).flatMap(([subject, { number }]) => (subject.startsWith(prefix) ? [number] : []))
}

/** Waits until tasks have committed what `isDone` asks of all of them. */
async function committed(
  host: TaskHost,
  tasks: readonly string[],
  isDone: (commits: readonly CommitRecord[]) => boolean,
): Promise<readonly CommitRecord[]> {
  let [epochs, movedAt] = [-1, performance.now()]
  while (true) {
    for (const { error } of host.failed) throw error
    const commits = (await Promise.all(tasks.map((task) => host.commitOf(task)))).filter((commit) => commit !== null)
    if (commits.length === tasks.length && isDone(commits)) return commits
    const now = sum(commits.map(({ epoch }) => epoch))
    if (now !== epochs) [epochs, movedAt] = [now, performance.now()]
    if (performance.now() - movedAt > STUCK_MS) throw new Error(`stands still: ${JSON.stringify(host.status())}`)
    await realRuntime.sleep(LOOK_MS)
  }
}

/** `pages`: what user-1 publishes to the stage pages, the only one of them that trimming takes away. */
export const OUTPUT_KINDS = ['features', 'counters', 'dead_letters', 'pages'] as const
export type OutputKind = (typeof OUTPUT_KINDS)[number]

/** SHA-256 (hex) of each kind of output. */
export type Outputs = Readonly<Record<OutputKind, string>>

/** Digests of everything that a run has put out: feature values at as_of, all counters, and records by writer and number. */
export async function outputsOf(host: TaskHost, { plan, log }: Pick<GraphOptions, 'plan' | 'log'>): Promise<Outputs> {
  const partitions = Array.from({ length: plan.partitions }, (_, p) => p)
  const streamsOf = (name: (partition: number) => string): string[] => partitions.map(name)
  return {
    features: await featuresDigest(host, plan),
    counters: await countersDigest(host, plan),
    pages: await recordsDigest(
      log,
      streamsOf((p) => stageStream(plan.namespace, 'pages', p)),
    ),
    dead_letters: await recordsDigest(
      log,
      streamsOf((p) => outputStream(plan.namespace, 'dead_letters', p)),
    ),
  }
}

/** The highest event time of a run, milliseconds: what values are read at. */
export async function asOfRun(host: TaskHost, plan: Plan): Promise<number> {
  const commits = await Promise.all(tasksIn(plan, 'user-1').map((task) => host.commitOf(task)))
  const asOf = Math.max(...commits.map((commit) => commit?.tally.highs.as_of ?? Number.NEGATIVE_INFINITY))
  if (asOf === Number.NEGATIVE_INFINITY) throw new Error('no event was accepted')
  return asOf
}

/** Of the values in an order of their own: which thread says them first is not the plan's affair. */
async function featuresDigest(host: TaskHost, plan: Plan): Promise<string> {
  const lines: string[] = []
  for await (const value of host.values(await asOfRun(host, plan))) lines.push(JSON.stringify(value))
  const hash = createHash('sha256')
  for (const line of lines.sort()) addLine(hash, line)
  return hash.digest('hex')
}

async function countersDigest(host: TaskHost, plan: Plan): Promise<string> {
  const hash = createHash('sha256')
  for (const { name } of tasksOf(plan)) addLine(hash, JSON.stringify([name, (await host.commitOf(name))?.tally]))
  return hash.digest('hex')
}

const addLine = (hash: Hash, line: string): Hash => hash.update(line).update('\n')

/**
 * Of every record with its writer and number: however they were framed, and however writers took turns, the same records
 * give the same digest.
 */
async function recordsDigest(log: NatsLog, streams: readonly string[]): Promise<string> {
  const byWriter = new Map<string, Hash>()
  for await (const messages of readAll(log, streams)) {
    for (const message of messages) {
      const hash = byWriter.get(message.subject) ?? createHash('sha256')
      byWriter.set(message.subject, hash)
      addRecords(hash, message)
    }
  }
  const all = createHash('sha256')
  for (const subject of [...byWriter.keys()].sort()) addLine(all, `${subject} ${byWriter.get(subject)!.digest('hex')}`)
  return all.digest('hex')
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

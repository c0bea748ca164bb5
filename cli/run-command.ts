// `holdfast run`: a file through a real log and real state into a directory of results (contract.md, section 7).
// RC1: exit 0 only if everything that was read is accounted for: read = accepted + duplicates + dead letters.
// RC2: with --data-dir an interrupted run goes on where it was; without one it works in a directory that it removes.

import { randomBytes } from 'node:crypto'
import { access, constants, mkdtemp, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { HoldfastError } from '../log/errors.ts'
import type { Log } from '../log/log.ts'
import type { Runtime } from '../log/runtime.ts'
import { DEAD_LETTERS } from '../operators/validation.ts'
import { canonicalLine, sortLines, writeDocument, writeLines } from '../sinks/run-directory.ts'
import { openRocksBackend } from '../state/rocks-backend.ts'
import { featuresOf, valuesAt } from '../topology/features.ts'
import { FileSource } from '../topology/file-source.ts'
import { pageViewGraph } from '../topology/graph.ts'
import { Host } from '../topology/host.ts'
import { outputStream, type Plan, RELEASE } from '../topology/plan.ts'
import { ensureStreams, streamSpecs } from '../topology/streams.ts'
import { DEFAULT_TUNING, type TaskStatus } from '../topology/task.ts'
import { type Broker, openBroker } from './broker.ts'
import { DataDirectory, sha256OfFile } from './data-directory.ts'
import { ProgressDisplay } from './progress.ts'
import type { Config } from './settings.ts'

export interface RunOptions {
  readonly input: string
  readonly out: string
  readonly partitions: number
  readonly config: Config
  readonly nats: string | undefined
  readonly dataDir: string | undefined
  readonly namespace: string
  /** Records of a slice, and records after which a commit starts: speed, never results. */
  readonly sliceRecords: number
  readonly commitRecords: number
  /** Bytes of log for all streams together. */
  readonly logBytes: number
  readonly quiet: boolean
}

/** summary.json, as far as there are operators for it. */
export interface Summary {
  readonly read: number
  readonly accepted: number
  readonly duplicates: number
  readonly dead_letters: number
  readonly late: number
  readonly as_of: number | null
  readonly resumed_at_line: number
  readonly starts: number
  readonly wall_seconds: number
}

/** Interrupted by a signal: nothing is lost, and nothing is finished. */
export class Interrupted extends Error {}

/** Runs to the end and returns the summary, which is also in --out. */
export async function run(options: RunOptions, runtime: Runtime): Promise<Summary> {
  const startedAt = performance.now()
  await checkArguments(options)
  const plan = planOf(options)
  const temporary = options.dataDir === undefined ? await mkdtemp(join(tmpdir(), 'holdfast-run-')) : null
  try {
    const identity = {
      release: RELEASE,
      fingerprint: plan.fingerprint,
      namespace: plan.namespace,
      inputSha256: await sha256OfFile(options.input),
    }
    const { namespace, partitions, config } = options
    const directory = await DataDirectory.open(options.dataDir ?? temporary!, identity, {
      namespace,
      partitions,
      config,
    })
    const say = (line: string) => {
      if (!options.quiet) process.stderr.write(`${line}\n`)
    }
    const broker = await openBroker({ nats: options.nats, storeDir: directory.natsDir, name: 'run', mappings: {}, say })
    try {
      return await runOn(broker, directory, plan, options, runtime, startedAt)
    } finally {
      await broker.close()
    }
  } finally {
    if (temporary !== null) await rm(temporary, { recursive: true, force: true })
  }
}

/** The plan of a run; `explain` prints the same one. */
export function planOf({
  namespace,
  partitions,
  config,
}: Pick<RunOptions, 'namespace' | 'partitions' | 'config'>): Plan {
  const { latenessMs, anonymous } = config
  return pageViewGraph({
    namespace,
    name: 'page views',
    clock: 'data',
    partitions,
    latenessMs,
    anonymous,
    accepted: 'off',
  })
}

async function checkArguments({ input, out }: RunOptions): Promise<void> {
  const usage = (message: string): never => {
    throw new HoldfastError('USAGE', message)
  }
  const file = await stat(input).catch((error: Error) => usage(`cannot read ${input}: ${error.message}`))
  if (!file.isFile()) usage(`${input} is not a file`)
  await access(input, constants.R_OK).catch((error: Error) => usage(`cannot read ${input}: ${error.message}`))
  const there = await stat(out).catch(() => null)
  if (there !== null && !there.isDirectory()) usage(`${out} is there and is not a directory`)
}

async function runOn(
  broker: Broker,
  directory: DataDirectory,
  plan: Plan,
  options: RunOptions,
  runtime: Runtime,
  startedAt: number,
): Promise<Summary> {
  const { log } = broker
  await ensureStreams(log, streamSpecs(plan, { totalBytes: options.logBytes, replicas: 1 }))
  const source = new FileSource({ plan, log, runtime, path: options.input, event: options.config, onWait: () => {} })
  const host = new Host({
    plan,
    log,
    runtime,
    role: 'owner',
    tuning: { ...DEFAULT_TUNING, sliceMax: options.sliceRecords, commitRecordsMax: options.commitRecords },
    backend: (task) => openRocksBackend(directory.stateDir(task)),
    onHalt: () => interrupt(),
  })
  let interrupted = false
  const interrupt = () => {
    source.stop()
    for (const { task } of host.all()) task.stop()
  }
  const onSignal = () => {
    interrupted = true
    interrupt()
  }
  process.on('SIGINT', onSignal).on('SIGTERM', onSignal)
  const progress = new ProgressDisplay(() => progressOf(source, host.status()), !options.quiet)
  try {
    await host.start()
    await source.run()
    await host.ended()
    for (const { error } of host.failed) throw error
    if (interrupted) throw new Interrupted(howToGoOn(options))
    progress.stop()
    const seconds = (performance.now() - startedAt) / 1_000
    return await writeResults({ log, plan, host, source, directory, out: options.out, seconds })
  } finally {
    progress.stop()
    process.off('SIGINT', onSignal).off('SIGTERM', onSignal)
    interrupt()
    await host.ended()
    await host.close()
  }
}

function howToGoOn({ dataDir }: RunOptions): string {
  return dataDir === undefined
    ? 'interrupted; nothing was written (with --data-dir an interrupted run can go on)'
    : `interrupted; the same command goes on from ${dataDir}`
}

function progressOf(source: FileSource, tasks: readonly TaskStatus[]) {
  const { bytes, bytesTotal, stamp } = source.progress
  const waiting = tasks.find((task) => task.waiting !== null)
  const note =
    waiting === undefined ? '' : `${waiting.name} waits for ${waiting.waiting!.cause}: ${waiting.waiting!.on}`
  return { processed: sumOf(tasks, 'read'), bytes, bytesTotal, eventTimeMs: stamp, note }
}

const sumOf = (tasks: readonly TaskStatus[], counter: string): number =>
  tasks.reduce((sum, { tally }) => sum + (tally.counts[counter] ?? 0), 0)

interface Finished {
  readonly log: Log
  readonly plan: Plan
  readonly host: Host
  readonly source: FileSource
  readonly directory: DataDirectory
  readonly out: string
  readonly seconds: number
}

async function writeResults({ log, plan, host, source, directory, out, seconds }: Finished): Promise<Summary> {
  const tasks = host.tasksOf(plan.stages[0]!.name).map((task) => task.status())
  const highs = tasks.flatMap(({ tally }) => tally.highs.as_of ?? [])
  const summary: Summary = {
    read: sumOf(tasks, 'read'),
    accepted: sumOf(tasks, 'accepted'),
    duplicates: sumOf(tasks, 'duplicates'),
    dead_letters: sumOf(tasks, 'dead_letters'),
    late: sumOf(tasks, 'late'),
    as_of: highs.length === 0 ? null : Math.max(...highs),
    resumed_at_line: source.progress.resumedAtLine,
    starts: directory.starts,
    wall_seconds: Math.round(seconds * 1_000) / 1_000,
  }
  await writeLines(out, 'features.ndjson', await featureLines(plan, host, summary.as_of))
  await writeLines(out, 'dead_letters.ndjson', await deadLetterLines(log, plan))
  await writeDocument(out, 'summary.json', summary)
  return summary
}

async function featureLines(plan: Plan, host: Host, asOf: number | null): Promise<string[]> {
  const lines: string[] = []
  if (asOf === null) return lines
  for (const feature of featuresOf(plan)) {
    for (const task of host.tasksOf(feature.stage)) {
      const snapshot = task.snapshot()
      try {
        for await (const value of valuesAt(snapshot, feature, asOf)) lines.push(canonicalLine(value))
      } finally {
        snapshot.release()
      }
    }
  }
  return sortLines(lines)
}

/** The files tell of lines; where in the log a dead letter lay is for its stream's readers. */
async function deadLetterLines(log: Log, plan: Plan): Promise<string[]> {
  const lines: string[] = []
  for (let partition = 0; partition < plan.partitions; partition++) {
    const stream = outputStream(plan.namespace, DEAD_LETTERS, partition)
    for await (const payload of payloadsOf(log, stream)) {
      const { line, code, field, raw } = JSON.parse(Buffer.from(payload).toString())
      lines.push(canonicalLine({ line, code, field, raw }))
    }
  }
  return sortLines(lines)
}

/** Milliseconds to wait for messages that are known to be there. */
const READ_WAIT_MS = 1_000

async function* payloadsOf(log: Log, stream: string): AsyncIterable<Uint8Array> {
  const state = await log.streamState(stream)
  if (state === null || state.lastSeq === 0) return
  const reader = await log.read(stream, { seq: 0, digest: '', created: state.created })
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

/** For --nats without --data-dir: a namespace of its own, so that nothing there is touched. */
export function freshNamespace(): string {
  return `run-${randomBytes(4).toString('hex')}`
}

/** RC1. */
export function isAccountedFor({ read, accepted, duplicates, dead_letters }: Summary): boolean {
  return read === accepted + duplicates + dead_letters
}

// `holdfast run`: a file through a real log and real state into a directory of results (contract.md, section 7).
// RC1: exit 0 only if everything that was read is accounted for: read = accepted + duplicates + dead letters.
// RC2: with --data-dir an interrupted run goes on where it was; without one it works in a directory that it removes, and
//      on another's server in streams that it removes.
// RC3: --out gets its files at the end only, summary.json last: where it lies, the others belong to it.

import { randomBytes } from 'node:crypto'
import { access, constants, mkdtemp, rm, rmdir, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { HoldfastError } from '../log/errors.ts'
import type { Log, StreamSpec } from '../log/log.ts'
import { bucketStream } from '../log/nats-blobs.ts'
import type { OnWait } from '../log/patience.ts'
import type { Runtime } from '../log/runtime.ts'
import { configHash } from '../topology/configuration.ts'
import type { Declarations } from '../topology/features/declaration.ts'
import type { VectorFeatures } from '../topology/features/vectors.ts'
import { FileSource } from '../topology/file-source.ts'
import { type GraphOptions, pageViewGraph } from '../topology/graph.ts'
import type { ModelFile } from '../topology/models/model-file.ts'
import { type Plan, RELEASE } from '../topology/plan.ts'
import {
  ensureModelBucket,
  ensureStreams,
  firstUsed,
  modelBucketName,
  refuseTooSmall,
  type StreamSettings,
  streamSpecs,
  trimBytesFor,
} from '../topology/streams.ts'
import { DEFAULT_TUNING, type TaskStatus, type Waiting } from '../topology/task.ts'
import { ThreadedHost } from '../topology/threaded-host.ts'
import { type AskAtStart, askAtStart, type Broker, openBroker } from './broker.ts'
import { DataDirectory, keptLogBytes, NO_MODEL, sha256OfFile } from './data-directory.ts'
import { EarlyEnd } from './early-end.ts'
import type { KeptFeatures } from './kept-features.ts'
import { roomForFile } from './log-room.ts'
import { filterRoomFor } from './memory.ts'
import { ProgressDisplay } from './progress.ts'
import { type Summary, sumOf, writeResults } from './run-results.ts'
import { attributionOf, type Config, LOG_BYTES_DEFAULT, scoringOf } from './settings.ts'

export interface RunOptions {
  readonly input: string
  readonly out: string
  readonly partitions: number
  readonly config: Config
  /** Not given: page views of the last hour. */
  readonly features?: Declarations | undefined
  /** What of them the vectors of touches have, which are written; not given: none are. */
  readonly vectors?: VectorFeatures | undefined
  /** Scores touches; a sound file. Not given: none is scored. */
  readonly model?: ModelFile | undefined
  /** Sound files that are only looked at. Not given: none. */
  readonly shadows?: readonly ModelFile[] | undefined
  readonly nats: string | undefined
  readonly dataDir: string | undefined
  readonly namespace: string
  /** The namespace was made for this run (freshNamespace): nobody else's streams can be in it. */
  readonly isFreshNamespace: boolean
  /** That the tasks are spread over: speed, never results. */
  readonly threads: number
  /** Records of a slice, and records after which a commit starts: speed, never results. */
  readonly sliceRecords: number
  readonly commitRecords: number
  /** Bytes of log for all streams together; not given: what its directory has, or as its file needs. */
  readonly logBytes?: number | undefined
  /** Bytes that the process may take; not given: what the machine or container has. */
  readonly memory?: number | undefined
  readonly quiet: boolean
}

/** Milliseconds that a stream may stay full: input streams are trimmed as tasks go on, so that something has to move. */
const FULL_PATIENCE_MS = 20_000
const FULL_LOOK_MS = 500

/** Runs to the end and returns the summary, which is also in --out. Throws Interrupted after a signal. */
export async function run(options: RunOptions, runtime: Runtime): Promise<Summary> {
  const startedAt = performance.now()
  await checkArguments(options)
  const streams = { totalBytes: await logBytesOf(options), replicas: 1 }
  refuseTooSmall(planOf(options), streams)
  filterRoomFor(planOf(options), options)
  const end = new EarlyEnd(howToGoOn(options))
  const temporary = options.dataDir === undefined ? await mkdtemp(join(tmpdir(), 'holdfast-run-')) : null
  try {
    const { namespace, partitions, config } = options
    const { fingerprint } = planOf({ namespace, partitions, config })
    const { features, vectors, model, shadows = [] } = options
    const shape = { namespace, partitions, config, features, vectors, model, shadows }
    const logBytes = streams.totalBytes
    const identity = {
      ...{ release: RELEASE, fingerprint, namespace, inputSha256: await sha256OfFile(options.input) },
      model: model?.sha256 ?? NO_MODEL,
      shadows: shadows.map(({ sha256 }) => sha256),
    }
    const directory = await DataDirectory.open(options.dataDir ?? temporary!, identity, { ...shape, logBytes })
    const plan = planOf({ ...shape, ...directory.kept })
    end.throwIfRequested()
    return await withBroker(options, directory, async (broker) => {
      end.throwIfRequested()
      const specs = streamSpecs(plan, streams)
      let isOurs = options.isFreshNamespace
      try {
        const start: AskAtStart = { runtime, say: sayerOf(options), end }
        await askAtStart(start, async () => {
          await ensureStreams(broker.log, specs)
          await ensureModelBucket(broker.log, plan, streams)
        })
        if (directory.starts === 0) await askAtStart(start, () => refuseOtherLog(broker.log, specs, namespace))
        // In a namespace that somebody named, the streams are surely ours to delete only from here on.
        isOurs = true
        return await Promise.race([
          runOn(broker, directory, plan, { ...options, streams }, runtime, startedAt, end),
          end.abandoned,
        ])
      } finally {
        if (isOurs && temporary !== null && broker.server === null)
          await broker.deleteStreams([...specs.map(({ name }) => name), bucketStream(modelBucketName(namespace))])
      }
    })
  } finally {
    end.close()
    if (temporary !== null) await rm(temporary, { recursive: true, force: true })
  }
}

/** A directory that never started has written nothing: what is in its streams is another run's, with another file's events. */
async function refuseOtherLog(log: Log, specs: readonly StreamSpec[], namespace: string): Promise<void> {
  const used = await firstUsed(log, specs)
  if (used === null) return
  throw new HoldfastError(
    'USAGE',
    `namespace ${namespace} holds another run on this server (stream ${used}); use another --namespace`,
  )
}

/** What was asked for, what the run that goes on has, or what its file needs. Of another's server nothing is known: a fixed amount. */
async function logBytesOf({ logBytes, dataDir, nats, input }: RunOptions): Promise<number> {
  if (logBytes !== undefined) return logBytes
  const kept = dataDir === undefined ? null : await keptLogBytes(dataDir)
  if (kept !== null) return kept
  return nats === undefined ? roomForFile(input, dataDir ?? tmpdir()) : LOG_BYTES_DEFAULT.run
}

function sayerOf({ quiet }: RunOptions): (line: string) => void {
  return (line) => {
    if (!quiet) process.stderr.write(`${line}\n`)
  }
}

async function withBroker<T>(
  options: RunOptions,
  { natsDir: storeDir }: DataDirectory,
  work: (broker: Broker) => Promise<T>,
): Promise<T> {
  const say = sayerOf(options)
  const broker = await openBroker({ nats: options.nats, storeDir, name: 'run', mappings: {}, say })
  try {
    return await work(broker)
  } finally {
    await broker.close()
  }
}

type Shape = Pick<RunOptions, 'namespace' | 'partitions' | 'config' | 'vectors' | 'model' | 'shadows'> & KeptFeatures

/** The plan of a run; `explain` prints the same one. */
export function planOf(shape: Shape): Plan {
  return pageViewGraph(graphOf(shape))
}

function graphOf({ namespace, partitions, config, features, ledger, vectors, model, shadows }: Shape): GraphOptions {
  const { latenessMs, anonymous, bots } = config
  return {
    ...{ namespace, name: 'page views', clock: 'data', partitions, latenessMs, anonymous, bots, accepted: 'off' },
    configHash: configHash(config),
    attribution: attributionOf(config),
    joined: 'frames',
    scoring: scoringOf(config),
    shadows,
    ...(features === undefined ? {} : { features, ledger }),
    ...(vectors === undefined ? {} : { vectors }),
    ...(model === undefined ? {} : { model }),
  }
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
  await tryFolderIn(await firstThere(out)).catch((error: Error) => usage(`cannot write ${out}: ${error.message}`))
}

/** Tried, not asked: a file system may say that root may write and mean no new folders (/proc). */
async function tryFolderIn(directory: string): Promise<void> {
  await rmdir(await mkdtemp(join(directory, '.holdfast-')))
}

/** The path, or the nearest folder above it that is there: results come late, and must not fail then. */
async function firstThere(path: string): Promise<string> {
  for (let at = resolve(path); ; at = dirname(at)) {
    const there = await stat(at).catch(() => null)
    if (there?.isDirectory()) return at
    if (there !== null) throw new HoldfastError('USAGE', `cannot write ${path}: ${at} is not a directory`)
  }
}

async function runOn(
  { log, connection }: Broker,
  directory: DataDirectory,
  plan: Plan,
  options: RunOptions & { readonly streams: StreamSettings },
  runtime: Runtime,
  startedAt: number,
  end: EarlyEnd,
): Promise<Summary> {
  const { input: path, config: event, sliceRecords: sliceMax, commitRecords: commitRecordsMax, streams } = options
  const waits = new Waits(runtime)
  const source = new FileSource({ plan, log, runtime, path, event, onWait: waits.note })
  const host = new ThreadedHost({
    graph: graphOf({ ...options, ...directory.kept }),
    threads: options.threads,
    log,
    connection,
    runtime,
    tuning: {
      ...DEFAULT_TUNING,
      sliceMax,
      commitRecordsMax,
      trimBytes: trimBytesFor(plan, streams),
      filterRoom: filterRoomFor(plan, options),
    },
    stateDir: directory.stateDir,
    onOpened: () => directory.started(),
    onHalt: () => stop(),
  })
  const stop = () => {
    source.stop()
    host.requestStop()
  }
  // Who is furthest downstream comes first: the others wait because of it.
  const waiting = () => [...waitsOf(host.status()).reverse(), ...waits.all()]
  const progress = new ProgressDisplay(() => progressOf(source, host.status(), waiting()), !options.quiet)
  const fullCheck = setInterval(() => abandonIfFull(waiting(), runtime, end), FULL_LOOK_MS)
  try {
    await host.start()
    end.whenRequested(stop)
    await source.run()
    await host.ended()
    for (const { error } of host.failed) throw error
    end.throwIfRequested()
    progress.stop()
    const seconds = (performance.now() - startedAt) / 1_000
    const start = {
      resumed_at_line: source.progress.resumedAtLine,
      starts: directory.starts,
      wall_seconds: Math.round(seconds * 1_000) / 1_000,
    }
    const attribution = attributionOf(options.config)
    return await writeResults({ log, runtime, plan, host, attribution, out: options.out, start })
  } finally {
    clearInterval(fullCheck)
    progress.stop()
    stop()
    await host.ended()
    await host.close()
  }
}

/** What the file reader waits for, by stream; tasks say it in their status. */
class Waits {
  readonly #runtime: Runtime
  readonly #waits = new Map<string, Waiting>()

  constructor(runtime: Runtime) {
    this.#runtime = runtime
  }

  note: OnWait = (cause, on, detail) => {
    if (cause === null) this.#waits.delete(on)
    else if (this.#waits.get(on)?.cause !== cause)
      this.#waits.set(on, { cause, on, detail, sinceMs: this.#runtime.now() })
  }

  all(): NamedWait[] {
    return [...this.#waits.values()].map((wait) => ({ who: 'the file reader', wait }))
  }
}

interface NamedWait {
  readonly who: string
  readonly wait: Waiting
}

function waitsOf(tasks: readonly TaskStatus[]): NamedWait[] {
  return tasks.flatMap(({ name, waiting }) => (waiting === null ? [] : [{ who: name, wait: waiting }]))
}

/** Nobody but this process makes room in its streams: a stream that stays full will be full for ever. */
function abandonIfFull(waits: readonly NamedWait[], runtime: Runtime, end: EarlyEnd): void {
  const full = waits.find(({ wait }) => wait.cause === 'room' && runtime.now() - wait.sinceMs >= FULL_PATIENCE_MS)
  if (full === undefined) return
  const { on, detail } = full.wait
  end.abandon(new HoldfastError('LOG_FULL', `${full.who} has waited for room for too long: ${detail}`, { stream: on }))
}

function howToGoOn({ dataDir }: RunOptions): string {
  return dataDir === undefined
    ? 'interrupted; nothing was written (with --data-dir an interrupted run can go on)'
    : `interrupted; the same command goes on from ${dataDir}`
}

function progressOf(source: FileSource, tasks: readonly TaskStatus[], waits: readonly NamedWait[]) {
  const { bytes, bytesTotal, stamp } = source.progress
  const note = waits.map(({ who, wait }) => `${who} waits for ${wait.cause}: ${wait.on}`)[0] ?? ''
  return { processed: sumOf(tasks, 'read'), bytes, bytesTotal, eventTimeMs: stamp, note }
}

/** For --nats without --data-dir: a namespace of its own, so that nothing there is touched. */
export function freshNamespace(): string {
  return `run-${randomBytes(4).toString('hex')}`
}

/** RC1. */
export function isAccountedFor({ read, accepted, duplicates, dead_letters }: Summary): boolean {
  return read === accepted + duplicates + dead_letters
}

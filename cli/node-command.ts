// `holdfast node`: all tasks of the graph on a live log (`clock: wall`), until a signal. Plain NATS clients publish events
// to <namespace>.in.<user_id>; accepted events and dead letters come out on streams.
// Its front door, HTTP and reads over NATS, is cli/front-door.ts.
// NC1: time passes through the log: where a source partition is quiet, a tick is appended, at most one a second.

import { join } from 'node:path'
import { type DirectoryLock, lockDirectory } from '../log/directory-lock.ts'
import { HoldfastError } from '../log/errors.ts'
import type { Log } from '../log/log.ts'
import type { Runtime } from '../log/runtime.ts'
import { ATTRIBUTIONS } from '../operators/attribution.ts'
import { LABELS } from '../operators/labels.ts'
import { MODELS } from '../operators/model-records.ts'
import { CONVERSIONS } from '../sinks/conversion-stream.ts'
import type { KeeperOptions } from '../topology/activation-keeper.ts'
import { ConfigKeeper } from '../topology/config-keeper.ts'
import { configHash } from '../topology/configuration.ts'
import type { Tick } from '../topology/control.ts'
import type { Declarations } from '../topology/features/declaration.ts'
import type { VectorFeatures } from '../topology/features/vectors.ts'
import { ACCEPTED, BULK, type GraphOptions, pageViewGraph } from '../topology/graph.ts'
import { statusOf, type TaskHost, tasksOf } from '../topology/host.ts'
import { ModelKeeper } from '../topology/model-keeper.ts'
import type { ModelFile } from '../topology/models/model-file.ts'
import { SCORING_DEFAULT } from '../topology/models/scoring-settings.ts'
import {
  CONTROL_WRITER,
  feederOf,
  outputStream,
  type Plan,
  plainMapping,
  publishes,
  type StagePlan,
  stageSubject,
} from '../topology/plan.ts'
import { ensureModelBucket, ensureStreams, refuseTooSmall, streamSpecs, trimBytesFor } from '../topology/streams.ts'
import { DEFAULT_TUNING } from '../topology/task.ts'
import { ThreadedHost } from '../topology/threaded-host.ts'
import { askAtStart, type Broker, openBroker } from './broker.ts'
import { openNodeDirectory } from './data-directory.ts'
import { EarlyEnd } from './early-end.ts'
import { type FrontDoorOptions, openFrontDoor } from './front-door.ts'
import type { KeptFeatures } from './kept-features.ts'
import { filterRoomFor } from './memory.ts'
import { beginRegistry, NodeConfiguration } from './node-configuration.ts'
import { NodeModels, staleAfterMs } from './node-models.ts'
import { attributionOf, type Config, type NodeConfig, scoringOf } from './settings.ts'

export interface NodeOptions {
  readonly namespace: string
  readonly partitions: number
  /** What a new namespace begins with; of one that is there its registry says what holds. */
  readonly config: NodeConfig
  /** Where that is from; undefined: from no file. */
  readonly configFile?: string | undefined
  readonly nats: string | undefined
  /** What is declared; not given: page views of the last hour. */
  readonly features?: Declarations | undefined
  /** What of them the vectors of touches have, which are published; not given: none are. */
  readonly vectors?: VectorFeatures | undefined
  /** Sound files that are only looked at. Not given: none. */
  readonly shadows?: readonly ModelFile[] | undefined
  /** Of a server of our own; undefined: a free one. */
  readonly port: number | undefined
  readonly dataDir: string
  readonly logBytes: number
  readonly replicas: number
  /** That the tasks are spread over: speed, never results. */
  readonly threads: number
  /** Of what the stage of users commits, uploads may be so much while live events come; not given: half. */
  readonly bulkShare?: number | undefined
  /** Bytes that the process may take; not given: what the machine or container has. */
  readonly memory?: number | undefined
  /** Different events that are expected in a day; not given: not known. */
  readonly expectIdsPerDay?: number | undefined
  /** null: no HTTP. */
  readonly http: FrontDoorOptions | null
  /** `kept`: trimmed as late as the room allows, so that what was computed can be computed again. Default: `trimmed`. */
  readonly input?: 'trimmed' | 'kept'
  /** Called when nobody else uses the directory, before anything in it is. */
  readonly onDirectory?: () => Promise<void>
  /** Called with the URL of the front door when it is open. */
  readonly onOpen?: (url: string) => void
  /** Ends the node as a signal does. */
  readonly until?: Promise<unknown>
  /** Called when the node is to end, while its door is open and its tasks run. */
  readonly beforeEnd?: () => Promise<void>
}

/** Milliseconds between looks at quiet partitions: a tick a second moves windows as fast as anybody looks. */
const TICK_MS = 1_000
/** Milliseconds between looks at a registry: for what the trainer has published, and for what was appended and not heard of. */
const LOOK_MS = 1_000

type Shape = Pick<NodeOptions, 'namespace' | 'partitions' | 'vectors' | 'shadows'> &
  KeptFeatures & { readonly config: Config }

/** The plan of a live node. */
export function livePlanOf(shape: Shape): Plan {
  return pageViewGraph(liveGraphOf(shape))
}

function liveGraphOf({ namespace, partitions, config, features, ledger, vectors, shadows }: Shape): GraphOptions {
  const { latenessMs, anonymous, bots } = config
  return {
    ...{ namespace, name: 'page views', clock: 'wall', partitions, latenessMs, anonymous, bots, accepted: 'records' },
    uploads: true,
    configHash: configHash(config),
    attribution: attributionOf(config),
    scoring: scoringOf(config),
    shadows,
    ...(features === undefined ? {} : { features, ledger }),
    ...(vectors === undefined ? {} : { vectors }),
  }
}

/** Runs until SIGINT or SIGTERM, then lets every task finish its commit. Throws what halted a task. */
export async function runNode(options: NodeOptions, runtime: Runtime, say: (line: string) => void): Promise<void> {
  const { nats, port, dataDir, namespace, partitions, config } = options
  if (nats !== undefined && port !== undefined)
    throw new HoldfastError('USAGE', '--port is of a server of our own: it does not go with --nats')
  // What is only looked at stands beside what the directory's configuration says.
  const asGiven = livePlanOf({ ...options, shadows: [] })
  refuseTooSmall(asGiven, streamSettings(options))
  filterRoomFor(asGiven, options)
  const end = new EarlyEnd('stopped before the last commit was done; the same command goes on')
  let directory: DirectoryLock | null = null
  try {
    const { features, vectors, shadows } = options
    directory = await lockDirectory(dataDir)
    await options.onDirectory?.()
    const shape = { namespace, partitions, config, features, vectors, shadows }
    const own = await openNodeDirectory(dataDir, shape, livePlanOf)
    const plan = livePlanOf(own)
    const mappings = plainMapping(plan)
    const broker = await openBroker({ nats, port, storeDir: join(dataDir, 'nats'), name: 'node', mappings, say })
    try {
      await Promise.race([live(broker, plan, own, options, runtime, say, end), end.abandoned])
    } finally {
      await broker.close()
    }
  } finally {
    directory?.release()
    end.close()
  }
}

const streamSettings = ({ logBytes, replicas }: NodeOptions) => ({ totalBytes: logBytes, replicas })

async function live(
  { log, url, connection }: Broker,
  plan: Plan,
  own: Shape & { readonly config: NodeConfig },
  options: NodeOptions,
  runtime: Runtime,
  say: (line: string) => void,
  end: EarlyEnd,
): Promise<void> {
  const streams = streamSettings(options)
  await askAtStart({ runtime, say, end }, async () => {
    await ensureStreams(log, streamSpecs(plan, streams))
    await ensureModelBucket(log, plan, streams)
    await beginRegistry(log, plan.namespace, own.config)
  })
  const stopped = Promise.withResolvers<void>()
  const host: TaskHost = new ThreadedHost({
    graph: liveGraphOf(own),
    threads: options.threads,
    isDoor: options.http !== null,
    log,
    connection,
    runtime,
    tuning: {
      ...DEFAULT_TUNING,
      trimBytes: trimBytesFor(plan, streams, options.input ?? 'trimmed'),
      fedShare: options.bulkShare ?? DEFAULT_TUNING.fedShare,
      filterRoom: filterRoomFor(plan, options),
    },
    stateDir: join(options.dataDir, 'state'),
    onHalt: (task, error) => {
      say(`task ${task} halted: ${error instanceof Error ? error.message : error}`)
      if (host.failed.length === tasksOf(plan).length) stopped.resolve()
    },
  })
  const configuration = new NodeConfiguration(new ConfigKeeper({ plan, host, log, runtime }), own.config, say)
  const models = modelsOf(plan, own.config, { plan, host, log, runtime }, say)
  try {
    await askAtStart({ runtime, say, end }, () => configuration.open(options.configFile, options.config))
    await host.start()
    const parts = { plan, host, log, runtime, say, configuration, models }
    const door = options.http === null ? null : await openFrontDoor(options.http, parts)
    describeNode(plan, url, door?.url ?? null, options, say)
    if (door !== null) options.onOpen?.(door.url)
    end.whenRequested(stopped.resolve)
    void options.until?.then(() => stopped.resolve())
    const ticker = new Ticker(plan, host, log)
    const timers = [
      setInterval(() => void ticker.tick(), TICK_MS),
      setInterval(() => void configuration.look(), LOOK_MS),
      ...(models === null ? [] : [setInterval(() => void models.look(), LOOK_MS)]),
    ]
    const follows = [configuration, models].map((registry) => registry?.follow())
    await stopped.promise
    await options.beforeEnd?.()
    timers.forEach(clearInterval)
    for (const end of follows) end?.()
    say('stopping')
    await door?.close()
  } finally {
    await host.stop()
    await host.close()
  }
  for (const { error } of host.failed) throw error
}

/** null: no model is trained. */
function modelsOf(
  plan: Plan,
  { scoring = SCORING_DEFAULT }: Config,
  parts: KeeperOptions,
  say: (line: string) => void,
): NodeModels | null {
  if (!publishes(plan, MODELS)) return null
  const period = scoring === 'off' ? SCORING_DEFAULT : scoring
  return new NodeModels(new ModelKeeper(parts, say), staleAfterMs(period), say)
}

function describeNode(
  plan: Plan,
  url: string,
  http: string | null,
  { nats }: NodeOptions,
  say: (line: string) => void,
): void {
  const { namespace } = plan
  say(`holdfast node on ${url}: ${plan.stages.length * plan.partitions} tasks`)
  if (nats !== undefined) {
    const mappings = Object.entries(plainMapping(plan)).map(([from, to]) => `"${from}": "${to}"`)
    say(`the server needs this subject mapping: mappings: { ${mappings.join(', ')} }`)
  }
  if (http !== null) say(`events, values and metrics over HTTP: ${http} (${http}/openapi.json says how)`)
  say(
    `send one JSON event (or an array of one user's) to ${namespace}.in.<user_id>, of an upload to ${namespace}.${BULK}.<user_id>`,
  )
  say(`accepted events: stream ${outputStream(namespace, ACCEPTED, 0)} (one per partition)`)
  const joined = [CONVERSIONS, ATTRIBUTIONS, LABELS].filter((output) => publishes(plan, output))
  if (joined.length > 0)
    say(`${joined.join(', ')}: streams ${joined.map((output) => outputStream(namespace, output, 0)).join(', ')}`)
}

/**
 * Appends ticks. To partitions of the source that had no record since the last look (NC1); frames without records, as a feeder sends
 * them, make no time pass. And to a quiet feeder: it has no use for the time, but says then how far it is, so that the source's stream
 * can be trimmed beyond what it sent before (protocol.md, section 7); that of a source without events fills with ticks.
 */
class Ticker {
  readonly #plan: Plan
  readonly #host: TaskHost
  readonly #log: Log
  /** By task: records that it had applied. */
  readonly #seen = new Map<string, number>()

  constructor(plan: Plan, host: TaskHost, log: Log) {
    this.#plan = plan
    this.#host = host
    this.#log = log
  }

  async tick(): Promise<void> {
    const ticked = [this.#plan.stages[0]!, feederOf(this.#plan)].filter((stage) => stage !== null)
    await Promise.all(
      ticked.flatMap((stage) => this.#quietIn(stage).map((partition) => this.#append(stage, partition))),
    )
  }

  /** Partitions of a stage that have had no record since the last look, and have none before them. */
  #quietIn(stage: StagePlan): number[] {
    return statusOf(this.#host, stage.name).flatMap(({ name, pending, phase, tally }, partition) => {
      const records = tally.counts.records ?? 0
      const isQuiet = phase === 'running' && pending === 0 && this.#seen.get(name) === records
      this.#seen.set(name, records)
      return isQuiet ? [partition] : []
    })
  }

  /** An unknown outcome needs nothing: ticks are idempotent, and the next one is a second away. */
  async #append({ name }: StagePlan, partition: number): Promise<void> {
    const record: Tick = { hf: 'tick' }
    const subject = stageSubject(this.#plan.namespace, name, partition, CONTROL_WRITER)
    await this.#log.publish({ subject, headers: null, payload: Buffer.from(JSON.stringify([record])) }, null)
  }
}

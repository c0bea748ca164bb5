// One run of a node's graph that is weighed: bytes in every stream and state directory, CPU and memory. What
// topology/capacity.ts promises is compared with it, by capacity.test.ts and by the bench.
// CR1: the streams stay whole (nothing is trimmed), and state is weighed in its files, after its memory was written out.
// CR2: every event is a page view, none a duplicate or refused, so that bytes can be divided by events.

import { createHash } from 'node:crypto'
import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { realRuntime } from '../log/runtime.ts'
import { openRocksBackend } from '../state/rocks-backend.ts'
import { ACCEPTED, type GraphOptions, pageViewGraph } from '../topology/graph.ts'
import { tasksOf } from '../topology/host.ts'
import { outputStream, type Plan, stageStream, taskName } from '../topology/plan.ts'
import { DEFAULT_TUNING } from '../topology/task.ts'
import { ThreadedHost } from '../topology/threaded-host.ts'
import { startAndCatchUp } from './graph-run.ts'
import { metered, type Sample } from './meter.ts'
import { benchGraph } from './plan.ts'
import { type Broker, openBroker, publishLines } from './stream.ts'

/** Who views what: users and pages take turns. */
export interface World {
  readonly events: number
  readonly users: number
  readonly pages: number
  /** Of event time, milliseconds. */
  readonly spanMs: number
}

export interface Weighing extends World {
  /** Events in one message; 1: a message each. */
  readonly perMessage: number
  readonly partitions: number
  readonly threads: number
  /** Where the server and the state live; the caller removes it. */
  readonly directory: string
}

export interface Weights {
  /** Bytes and messages in the streams, as the server counts them against their limits. */
  readonly input: StreamWeight
  readonly hop: StreamWeight
  readonly accepted: StreamWeight
  /** Bytes of state in files, of all tasks of a stage. */
  readonly userStateBytes: number
  readonly pageStateBytes: number
  readonly sample: Sample
  /** Of this process at the end: all that was here before it counts as well. */
  readonly rssBytes: number
}

export interface StreamWeight {
  readonly bytes: number
  readonly messages: number
}

/** Starts at midnight, so that a span of hours fills so many buckets. */
const START_MS = Date.UTC(2026, 0, 1)
/** Hexadecimal digits of a hash in each id: as many as an id of contract.md often has, and nothing in them to compress. */
const ID_DIGITS = 24

/** Lines of a world, all equally long. */
export function* linesOf({ events, users, pages, spanMs }: World): Generator<string> {
  const userIds = Array.from({ length: users }, (_, i) => idOf('user', i))
  const pageIds = Array.from({ length: pages }, (_, i) => idOf('page', i))
  for (let i = 0; i < events; i++) {
    const timeMs = START_MS + Math.floor((i * spanMs) / events)
    yield lineOf(idOf('event', i), timeMs, userIds[i % users]!, pageIds[i % pages]!)
  }
}

function idOf(kind: 'event' | 'user' | 'page', i: number): string {
  return createHash('md5').update(`${kind} ${i}`).digest('hex').slice(0, ID_DIGITS)
}

function lineOf(id: string, timeMs: number, user: string, page: string): string {
  return (
    `{"type":"page_view","event_id":"${id}","event_time":${timeMs},"advertiser_id":"shop",` +
    `"user_id":"${user}","page_id":"${page}"}`
  )
}

/** Bytes of a line, and of each id in it. */
export const LINE_BYTES = {
  event: [...linesOf({ events: 1, users: 1, pages: 1, spanMs: 1 })][0]!.length,
  id: ID_DIGITS,
} as const

/** Of the room for one event in all streams that the rest of the bench asks for: nothing is trimmed here. */
const ROOM = 3

/** Fills a log, runs the graph of a node over it and weighs what it leaves. */
export async function weigh(w: Weighing): Promise<Weights> {
  const graph: GraphOptions = { ...benchGraph(w.partitions), accepted: 'records' }
  const plan = pageViewGraph(graph)
  const natsDir = join(w.directory, 'nats')
  const filling = await openBroker(natsDir, plan, { events: ROOM * w.events, durable: false })
  try {
    await publishLines(filling.log, plan, { lines: linesOf(w), perMessage: w.perMessage })
  } finally {
    await filling.close()
  }
  const broker = await openBroker(natsDir, plan, { events: ROOM * w.events, durable: true })
  try {
    const { sample, rssBytes } = await runGraph(w, graph, plan, broker)
    const { namespace } = plan
    return {
      input: await weightOf(broker, plan, (p) => stageStream(namespace, 'user-1', p)),
      hop: await weightOf(broker, plan, (p) => stageStream(namespace, 'pages', p)),
      accepted: await weightOf(broker, plan, (p) => outputStream(namespace, ACCEPTED, p)),
      userStateBytes: await stateBytes(w, 'user-1'),
      pageStateBytes: await stateBytes(w, 'pages'),
      sample,
      rssBytes,
    }
  } finally {
    await broker.close()
  }
}

async function runGraph(
  { directory, events, threads }: Weighing,
  graph: GraphOptions,
  plan: Plan,
  { log, connection, pid }: Broker,
): Promise<{ sample: Sample; rssBytes: number }> {
  const host = new ThreadedHost({
    graph,
    threads: Math.min(threads, tasksOf(plan).length),
    log,
    connection,
    runtime: realRuntime,
    tuning: { ...DEFAULT_TUNING, trimBytes: Number.POSITIVE_INFINITY },
    stateDir: join(directory, 'state'),
    onHalt: () => {},
  })
  try {
    const { sample } = await metered(pid, () => startAndCatchUp(host, plan, events))
    return { sample, rssBytes: process.memoryUsage().rss }
  } finally {
    await host.stop()
    await host.close()
  }
}

async function weightOf(
  { log }: Broker,
  { partitions }: Plan,
  streamOf: (partition: number) => string,
): Promise<StreamWeight> {
  let [bytes, messages] = [0, 0]
  for (let p = 0; p < partitions; p++) {
    const state = await log.streamState(streamOf(p))
    bytes += state!.bytes
    messages += state!.lastSeq
  }
  return { bytes, messages }
}

async function stateBytes({ directory, partitions }: Weighing, stage: string): Promise<number> {
  let bytes = 0
  for (let p = 0; p < partitions; p++) {
    const path = join(directory, 'state', taskName(stage, p))
    const backend = await openRocksBackend(path)
    await backend.flush()
    await backend.close()
    for (const name of await readdir(path)) if (name.endsWith('.sst')) bytes += (await stat(join(path, name))).size
  }
  return bytes
}

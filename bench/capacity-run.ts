// One run of a node's graph that is weighed: bytes in every stream and state directory, CPU and memory. What
// topology/capacity.ts promises is compared with it, by capacity.test.ts and by the bench.
// CR1: the streams stay whole (nothing is trimmed), and state is weighed in its files, after its memory was written out.
// CR2: every event is as long as the others, none a duplicate or refused, so that bytes can be divided by events. A conversion is
//      of the last click, and carries its click_id.

import { createHash } from 'node:crypto'
import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { realRuntime } from '../log/runtime.ts'
import { ATTRIBUTIONS } from '../operators/attribution.ts'
import { LABELS } from '../operators/labels.ts'
import { CONVERSIONS } from '../sinks/conversion-stream.ts'
import { openRocksBackend } from '../state/rocks-backend.ts'
import { CLICK_SHARE } from '../topology/capacity.ts'
import { ACCEPTED, type GraphOptions, pageViewGraph } from '../topology/graph.ts'
import { tasksOf } from '../topology/host.ts'
import { CLICK_STAGE, JOIN_STAGE } from '../topology/joiner.ts'
import { outputStream, type Plan, stageStream, taskName } from '../topology/plan.ts'
import { PURCHASE_STAGE } from '../topology/purchases.ts'
import { DEFAULT_TUNING } from '../topology/task.ts'
import { ThreadedHost } from '../topology/threaded-host.ts'
import { startAndSettle } from './graph-run.ts'
import { metered, type Sample } from './meter.ts'
import { joinerGraph } from './plan.ts'
import { type Broker, openBroker, publishLines } from './stream.ts'

/** Who does what: users and pages take turns; page views but for the shares of others, which are spread evenly. */
export interface World {
  readonly events: number
  /** Of all events. */
  readonly touchShare: number
  readonly conversionShare: number
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
  readonly pages: StreamWeight
  readonly clicks: StreamWeight
  readonly joined: StreamWeight
  readonly credits: StreamWeight
  readonly accepted: StreamWeight
  readonly conversions: StreamWeight
  readonly attributions: StreamWeight
  readonly labels: StreamWeight
  /** Of state in files, of all tasks of a stage. */
  readonly stateBytes: Readonly<Record<string, number>>
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

/** Of touches, those that are clicks: as topology/capacity.ts has it. */
const CLICK_EVERY = Math.round(1 / CLICK_SHARE)
/** Of touches: some of each, so that most people see several. */
const ADVERTISERS = 20
const LINE_LENGTH = 320

/** Lines of a world, all equally long. */
export function* linesOf({ events, users, pages, spanMs, touchShare, conversionShare }: World): Generator<string> {
  const userIds = Array.from({ length: users }, (_, i) => idOf('user', i))
  const pageIds = Array.from({ length: pages }, (_, i) => idOf('page', i))
  const advertisers = Array.from({ length: ADVERTISERS }, (_, i) => idOf('advertiser', i))
  const isNext = (share: number, i: number): boolean => Math.floor((i + 1) * share) > Math.floor(i * share)
  let [views, touches, clicked] = [0, 0, 0]
  for (let i = 0; i < events; i++) {
    const event_id = idOf('event', i)
    const event_time = START_MS + Math.floor((i * spanMs) / events)
    const user = (place: number): Ids => ({ user_id: userIds[place % users]! })
    const seller = (place: number): Ids => ({ advertiser_id: advertisers[(place * PRIME) % ADVERTISERS]! })
    const click = (place: number): Ids => ({ click_id: idOf('click', place) })
    if (isNext(conversionShare, i)) {
      const bought = { order_id: idOf('order', i), value: 12.5, currency: 'EUR' }
      const of = { ...user(clicked), ...seller(clicked), ...click(clicked) }
      yield padded({ type: 'conversion', event_id, event_time, ...of, ...bought })
    } else if (isNext(touchShare, i)) {
      const isClick = touches++ % CLICK_EVERY === 0
      if (isClick) clicked = i
      const ad = { campaign_id: idOf('campaign', i % ADVERTISERS), ad_id: idOf('ad', i % ADS) }
      const of = { ...user(i), ...seller(i), ...ad, ...(isClick && click(i)) }
      yield padded({ type: isClick ? 'click' : 'impression', event_id, event_time, ...of })
    } else {
      yield padded({ type: 'page_view', event_id, event_time, ...user(views), page_id: pageIds[views % pages]! })
      views++
    }
  }
}

type Ids = Readonly<Record<`${string}_id`, string>>

/** Advertisers do not take turns as users do, or each person would have one. */
const PRIME = 7919
const ADS = 400

function idOf(kind: string, i: number): string {
  return createHash('md5').update(`${kind} ${i}`).digest('hex').slice(0, ID_DIGITS)
}

/** With a field that nothing reads, as long as all others. */
function padded(fields: object): string {
  const text = JSON.stringify({ ...fields, props: '' })
  return `${text.slice(0, -2)}${'p'.repeat(LINE_LENGTH - text.length)}"}`
}

/** Bytes of a line, and of each id in it. */
export const LINE_BYTES = {
  event: LINE_LENGTH,
  id: ID_DIGITS,
} as const

/** Of the room for one event in all streams that the rest of the bench asks for: nothing is trimmed here. */
const ROOM = 6

/** Fills a log, runs the graph of a node over it and weighs what it leaves. */
export async function weigh(w: Weighing): Promise<Weights> {
  const graph: GraphOptions = { ...joinerGraph(w.partitions), accepted: 'records' }
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
    const inputOf = (stage: string) => weightOf(broker, plan, (p) => stageStream(namespace, stage, p))
    const outputOf = (output: string) => weightOf(broker, plan, (p) => outputStream(namespace, output, p))
    return {
      input: await inputOf('user-1'),
      pages: await inputOf('pages'),
      clicks: await inputOf(CLICK_STAGE),
      joined: await inputOf(JOIN_STAGE),
      credits: await inputOf(PURCHASE_STAGE),
      accepted: await outputOf(ACCEPTED),
      conversions: await outputOf(CONVERSIONS),
      attributions: await outputOf(ATTRIBUTIONS),
      labels: await outputOf(LABELS),
      stateBytes: Object.fromEntries(
        await Promise.all(plan.stages.map(async ({ name }) => [name, await stateBytes(w, name)] as const)),
      ),
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
    const { sample } = await metered(pid, () => startAndSettle(host, plan, events))
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

// The input streams of a measurement, one per partition: filled once, read by every measurement of them.
// Filling does not wait for the disk (sync_interval 2m); the server is then started again as `holdfast node` starts it, on the
// same store, so that what is measured runs on the ordinary server.

import { partitionOf } from '../log/frame.ts'
import type { Log, LogMessage, StreamSpec } from '../log/log.ts'
import { connectLog, type NatsLog } from '../log/nats-log.ts'
import { startNatsServer } from '../log/nats-supervisor.ts'
import type { ThreadConnection } from '../topology/host-messages.ts'
import { PLAIN_WRITER, type Plan, plainMapping, stageStream, stageSubject } from '../topology/plan.ts'
import { ensureStreams, streamSpecs } from '../topology/streams.ts'

/** Bytes of an event in all streams of the plan together, generously, and of what there is beside events. */
const EVENT_BYTES_MAX = 1_000
const BESIDE_BYTES = 256 * 1024 ** 2
/** Long: a busy machine slows the filling down, it does not end it. */
const REQUEST_TIMEOUT_MS = 60_000
/** Publishes under way at once: enough that the server is never idle, few enough that none times out. */
const UNDER_WAY = 500

export interface Broker {
  readonly log: NatsLog
  /** How other threads get a log like this one. */
  readonly connection: ThreadConnection
  readonly url: string
  readonly pid: number
  /** The streams of the plan, with their limits. */
  readonly specs: readonly StreamSpec[]
  close(): Promise<void>
}

export interface BrokerOptions {
  /** Room for this many events. */
  readonly events: number
  /** false: acknowledged before it is on disk, for filling. */
  readonly durable: boolean
}

/** A nats-server of our own on `storeDir`, with the streams of the plan. */
export async function openBroker(storeDir: string, plan: Plan, { events, durable }: BrokerOptions): Promise<Broker> {
  const specs = streamSpecs(plan, { totalBytes: events * EVENT_BYTES_MAX + BESIDE_BYTES, replicas: 1 })
  const ordinary = { storeDir, mappings: plainMapping(plan), restart: false }
  const server = await startNatsServer(durable ? ordinary : { ...ordinary, syncAlways: false })
  try {
    const connection = { servers: server.url, name: 'bench', requestTimeoutMs: REQUEST_TIMEOUT_MS }
    const log = await connectLog(connection)
    await ensureStreams(log, specs)
    const { url, pid } = server
    return { log, connection, url, pid, specs, close: () => log.close().then(() => server.stop()) }
  } catch (error) {
    await server.stop()
    throw error
  }
}

/** The streams that the first stage reads, by partition. */
export function inputStreams(plan: Plan): string[] {
  return Array.from({ length: plan.partitions }, (_, p) => stageStream(plan.namespace, plan.stages[0]!.name, p))
}

export interface Filling {
  readonly lines: Iterable<string>
  /** Events in one JSON array; 1: a message each, without an array. */
  readonly perMessage: number
  /** Ends it with an error. */
  readonly signal?: AbortSignal
}

/** Publishes lines as plain clients do, each to the partition of its user. Returns the number of events. */
export async function publishLines(log: Log, plan: Plan, { lines, perMessage, signal }: Filling): Promise<number> {
  const subjects = inputStreams(plan).map((_, p) => stageSubject(plan.namespace, plan.stages[0]!.name, p, PLAIN_WRITER))
  const publish = async (payload: string, partition: number): Promise<void> => {
    const subject = subjects[partition]!
    const result = await log.publish({ subject, headers: null, payload: Buffer.from(payload) }, null)
    if (result.kind !== 'stored') throw new Error(`the server did not take an event: ${result.cause}`)
  }
  let events = 0
  let underWay: Promise<void>[] = []
  for (const { partition, lines: together } of messagesOf(lines, perMessage, plan.partitions)) {
    underWay.push(publish(perMessage === 1 ? together[0]! : `[${together.join(',')}]`, partition))
    events += together.length
    if (underWay.length < UNDER_WAY) continue
    signal?.throwIfAborted()
    await Promise.all(underWay)
    underWay = []
  }
  await Promise.all(underWay)
  return events
}

interface Message {
  readonly partition: number
  readonly lines: readonly string[]
}

/** Lines of one partition together, `perMessage` of them, in their order. */
function* messagesOf(lines: Iterable<string>, perMessage: number, partitions: number): Generator<Message> {
  const open = Array.from({ length: partitions }, (): string[] => [])
  for (const line of lines) {
    const partition = partitions === 1 ? 0 : partitionOf(userOf(line), partitions)
    if (open[partition]!.push(line) < perMessage) continue
    yield { partition, lines: open[partition]! }
    open[partition] = []
  }
  for (const [partition, rest] of open.entries()) if (rest.length > 0) yield { partition, lines: rest }
}

/** Where a line without a user goes makes no difference: it is refused there. */
const userOf = (line: string): string => (JSON.parse(line) as { user_id?: string }).user_id ?? ''

/** Milliseconds to wait for messages that are known to be there. */
const READ_WAIT_MS = 5_000

/** Reads streams, one after the other, from the first message to the present last one; hands out each batch as it comes. */
export async function* readAll(log: Log, streams: readonly string[]): AsyncGenerator<readonly LogMessage[]> {
  for (const stream of streams) yield* readStream(log, stream)
}

async function* readStream(log: Log, stream: string): AsyncGenerator<readonly LogMessage[]> {
  const state = await log.streamState(stream)
  if (state === null || state.lastSeq === 0) return
  const reader = await log.read(stream, { seq: 0, digest: '', created: state.created })
  try {
    for (let seq = 0; seq < state.lastSeq; ) {
      const messages = await reader.next(READ_WAIT_MS)
      if (messages.length === 0) throw new Error(`stream ${stream} gave nothing for ${READ_WAIT_MS} ms`)
      yield messages
      seq = messages.at(-1)!.seq
    }
  } finally {
    await reader.stop()
  }
}

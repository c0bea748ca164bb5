// The input stream of a measurement: filled once, read by every measurement of it.
// Filling does not wait for the disk (sync_interval 2m); the server is then started again as `holdfast node` starts it, on the
// same store, so that what is measured runs on the ordinary server.

import type { Log, StreamSpec } from '../log/log.ts'
import { connectLog, type NatsLog } from '../log/nats-log.ts'
import { startNatsServer } from '../log/nats-supervisor.ts'
import type { ThreadConnection } from '../topology/host-messages.ts'
import { PLAIN_WRITER, type Plan, plainMapping, stageStream, stageSubject } from '../topology/plan.ts'
import { ensureStreams, streamSpecs } from '../topology/streams.ts'
import { benchPlan } from './plan.ts'

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
export async function openBroker(storeDir: string, { events, durable }: BrokerOptions): Promise<Broker> {
  const plan = benchPlan()
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

/** The stream that the first stage reads. */
export const inputStream = (plan: Plan): string => stageStream(plan.namespace, plan.stages[0]!.name, 0)

export interface Filling {
  readonly lines: Iterable<string>
  /** Events in one JSON array; 1: a message each, without an array. */
  readonly perMessage: number
  /** Ends it with an error. */
  readonly signal?: AbortSignal
}

/** Publishes lines as plain clients do. Returns the number of events. */
export async function publishLines(log: Log, plan: Plan, { lines, perMessage, signal }: Filling): Promise<number> {
  const subject = stageSubject(plan.namespace, plan.stages[0]!.name, 0, PLAIN_WRITER)
  const publish = async (payload: string): Promise<void> => {
    const result = await log.publish({ subject, headers: null, payload: Buffer.from(payload) }, null)
    if (result.kind !== 'stored') throw new Error(`the server did not take an event: ${result.cause}`)
  }
  let events = 0
  let underWay: Promise<void>[] = []
  for (const { payload, count } of messagesOf(lines, perMessage)) {
    underWay.push(publish(payload))
    events += count
    if (underWay.length < UNDER_WAY) continue
    signal?.throwIfAborted()
    await Promise.all(underWay)
    underWay = []
  }
  await Promise.all(underWay)
  return events
}

function* messagesOf(lines: Iterable<string>, perMessage: number): Generator<{ payload: string; count: number }> {
  if (perMessage === 1) {
    for (const payload of lines) yield { payload, count: 1 }
    return
  }
  let frame: string[] = []
  for (const line of lines) {
    if (frame.push(line) < perMessage) continue
    yield { payload: `[${frame.join(',')}]`, count: frame.length }
    frame = []
  }
  if (frame.length > 0) yield { payload: `[${frame.join(',')}]`, count: frame.length }
}

/** Milliseconds to wait for messages that are known to be there. */
const READ_WAIT_MS = 5_000

/** Reads a stream from its first message to its present last one, and hands out each batch as it comes. */
export async function* readAll(log: Log, stream: string) {
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

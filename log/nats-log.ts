// The real log: JetStream behind one connection.
// NL1: a publish ends as stored, refused, full or unknown (protocol.md, section 5); it never throws for what the world does.
// NL2: a connection that breaks makes every publish under way unknown at once; none is sent again by the client.
// NL3: questions that decide something go to the stream's leader (STREAM.MSG.GET, STREAM.INFO), never to a replica.
// Headers are written here and not by the library's batch publisher, which hides the server's answer to a commit.
// Reading is in log/nats-reader.ts, files in log/nats-blobs.ts; the words of NATS are in log/nats-codec.ts.

import { setTimeout as sleep } from 'node:timers/promises'
import {
  JetStreamApiError,
  type JetStreamManager,
  jetstreamManager,
  type MsgRequest,
  type StreamConfig,
} from '@nats-io/jetstream'
import { connect, errors, type NatsConnection, type NodeConnectionOptions, nuid } from 'nats'
import type { BucketSpec } from './blobs.ts'
import { assert, HoldfastError } from './errors.ts'
import {
  type Expect,
  type Log,
  type LogMessage,
  type LogReader,
  LogUnavailable,
  type Outgoing,
  type PublishResult,
  type ReadFrom,
  type StreamSpec,
  type StreamState,
} from './log.ts'
import { NatsBlobs } from './nats-blobs.ts'
import {
  type AckResult,
  API_CODE,
  publishHeaders,
  readAck,
  settingDifference,
  stateOf,
  storedMessage,
  streamConfig,
} from './nats-codec.ts'
import { NatsReader } from './nats-reader.ts'
import { NatsReplies } from './nats-replies.ts'
import { versionProblem } from './nats-server.ts'

export interface NatsLogOptions {
  /** `nats://host:port`, one or more of one cluster. */
  readonly servers: string | readonly string[]
  /** Shown by the server in its list of connections. */
  readonly name: string
  /** Milliseconds until a request without an answer counts as unknown. Default 5,000. */
  readonly requestTimeoutMs?: number
  /** Wait for ever for the first connection (a node in a container), or reject with LogUnavailable (a command). */
  readonly waitOnFirstConnect?: boolean
  /** Credentials and TLS, as the client takes them. */
  readonly security?: Pick<NodeConnectionOptions, 'authenticator' | 'token' | 'tls'>
}

/** Messages of one atomic batch; the server's limit. */
const BATCH_MESSAGES_MAX = 1_000
const REQUEST_TIMEOUT_MS = 5_000
const CONNECT_TIMEOUT_MS = 5_000
const RECONNECT_WAIT_MS = 200
const RECONNECT_JITTER_MS = 100
/** A peer that is gone without a word is noticed after two of these. */
const PING_INTERVAL_MS = 10_000
const PING_TIMEOUT_MS = 2_000
const CLOSE_FLUSH_MS = 1_000
const NOT_CONNECTED_MS = 20

/** Connects, and checks the server's version. Throws SERVER_TOO_OLD, or LogUnavailable when nobody answers. */
export async function connectLog(options: NatsLogOptions): Promise<NatsLog> {
  const nc = await connectionOf(options)
  const version = nc.info?.version ?? 'unknown'
  const problem = versionProblem(version)
  if (problem !== null) {
    await nc.close()
    throw new HoldfastError('SERVER_TOO_OLD', problem, { version })
  }
  const timeout = options.requestTimeoutMs ?? REQUEST_TIMEOUT_MS
  const jsm = await jetstreamManager(nc, { checkAPI: false, timeout })
  return new NatsLog(nc, jsm, timeout)
}

async function connectionOf(options: NatsLogOptions): Promise<NatsConnection> {
  try {
    return await connect({
      ...options.security,
      servers: typeof options.servers === 'string' ? options.servers : [...options.servers],
      name: options.name,
      timeout: CONNECT_TIMEOUT_MS,
      // The default gives up after ten tries and closes the connection for good.
      maxReconnectAttempts: -1,
      reconnectTimeWait: RECONNECT_WAIT_MS,
      reconnectJitter: RECONNECT_JITTER_MS,
      waitOnFirstConnect: options.waitOnFirstConnect ?? false,
      pingInterval: PING_INTERVAL_MS,
      maxPingOut: 2,
      // A stack trace for every request costs more than the request.
      noAsyncTraces: true,
    })
  } catch (error) {
    throw new LogUnavailable((error as Error).message)
  }
}

export class NatsLog implements Log {
  /** For what the Log interface does not cover (leases). */
  readonly nc: NatsConnection
  readonly jsm: JetStreamManager
  readonly #readers = new Set<NatsReader>()
  readonly #replies: NatsReplies
  readonly #blobs: NatsBlobs
  #connected = true

  constructor(nc: NatsConnection, jsm: JetStreamManager, timeoutMs: number) {
    this.nc = nc
    this.jsm = jsm
    this.#replies = new NatsReplies(nc, timeoutMs)
    this.#blobs = new NatsBlobs(nc, jsm, timeoutMs)
    void this.#watchConnection()
  }

  /** Settles when the client has given up for good (refused credentials, close()): it never reconnects after that. */
  get closed(): Promise<Error | undefined> {
    return this.nc.closed().then((error) => error ?? undefined)
  }

  get connected(): boolean {
    return this.#connected
  }

  // ── streams ────────────────────────────────────────────────────────────────────────────────────────────────────────

  async ensureStream(spec: StreamSpec): Promise<StreamState> {
    const info = await this.#query(() =>
      this.jsm.streams.add(streamConfig(spec) as Partial<StreamConfig> & { name: string }),
    ).catch((error: unknown) => this.#notCreated(spec, error))
    const difference = settingDifference(spec, info.config)
    if (difference !== null) {
      const { setting, ...values } = difference
      throw new HoldfastError('SETTINGS_DROPPED', `stream ${spec.name} has another ${setting} than asked for`, values)
    }
    return stateOf(info)
  }

  async streamState(stream: string): Promise<StreamState | null> {
    const info = await this.#query(() => orNull(this.jsm.streams.info(stream), API_CODE.streamNotFound))
    return info === null ? null : stateOf(info)
  }

  async lastOnSubject(stream: string, subject: string): Promise<LogMessage | null> {
    return this.#storedMessage(stream, { last_by_subj: subject })
  }

  async message(stream: string, seq: number): Promise<LogMessage | null> {
    return seq < 1 ? null : this.#storedMessage(stream, { seq })
  }

  async subjects(stream: string): Promise<Map<string, number>> {
    const asked = () => orNull(this.jsm.streams.info(stream, { subjects_filter: '>' }), API_CODE.streamNotFound)
    const info = await this.#query(asked)
    return new Map(Object.entries(info?.state.subjects ?? {}))
  }

  async trim(stream: string, belowSeq: number): Promise<void> {
    const state = await this.streamState(stream)
    if (state === null || belowSeq <= state.firstSeq) return
    // The server would move the last sequence forward to a number beyond it, and takes 0 for "everything".
    const seq = Math.min(belowSeq, state.lastSeq + 1)
    await this.#query(() => this.jsm.streams.purge(stream, { seq }))
  }

  // ── publishing ─────────────────────────────────────────────────────────────────────────────────────────────────────

  async publish(message: Outgoing, expect: Expect): Promise<PublishResult> {
    return outcome(await this.#publishAndWait(message, publishHeaders(message.headers, expect)))
  }

  async publishBatch(messages: readonly Outgoing[], expect: Expect): Promise<PublishResult> {
    const count = messages.length
    assert(count > 0 && count <= BATCH_MESSAGES_MAX, 'a batch has 1 to 1,000 messages')
    if (count === 1) return this.publish(messages[0]!, expect)
    if (!this.#connected) return notConnected().catch(unknown)
    const id = nuid.next()
    for (let i = 0; i < count - 1; i++) {
      const { subject, payload, headers } = messages[i]!
      const place = { id, sequence: i + 1, last: false }
      this.nc.publish(subject, payload, withHeaders(publishHeaders(headers, i === 0 ? expect : null, place)))
    }
    const last = messages[count - 1]!
    const place = { id, sequence: count, last: true }
    return outcome(await this.#publishAndWait(last, publishHeaders(last.headers, null, place)))
  }

  // ── reading ────────────────────────────────────────────────────────────────────────────────────────────────────────

  async read(stream: string, from: ReadFrom): Promise<LogReader> {
    const reader = new NatsReader(this, stream, from)
    this.#readers.add(reader)
    try {
      await reader.open()
    } catch (error) {
      await reader.stop()
      throw error
    }
    return reader
  }

  removeReader(reader: NatsReader): void {
    this.#readers.delete(reader)
  }

  // ── files ──────────────────────────────────────────────────────────────────────────────────────────────────────────

  ensureBucket(spec: BucketSpec): Promise<void> {
    return this.#query(() => this.#blobs.ensureBucket(spec))
  }

  putBlob(bucket: string, sha256: string, bytes: Uint8Array): Promise<void> {
    return this.#query(() => this.#blobs.putBlob(bucket, sha256, bytes))
  }

  getBlob(bucket: string, sha256: string): Promise<Uint8Array | null> {
    return this.#query(() => this.#blobs.getBlob(bucket, sha256))
  }

  blobNames(bucket: string): Promise<string[]> {
    return this.#query(() => this.#blobs.blobNames(bucket))
  }

  removeBlob(bucket: string, sha256: string): Promise<void> {
    return this.#query(() => this.#blobs.removeBlob(bucket, sha256))
  }

  // ── the rest ───────────────────────────────────────────────────────────────────────────────────────────────────────

  announce(subject: string, payload: Uint8Array): void {
    if (this.#connected) this.nc.publish(subject, payload)
  }

  listen(subject: string, onMessage: (payload: Uint8Array) => void): () => void {
    const subscription = this.nc.subscribe(subject, {
      callback: (error, msg) => {
        if (error === null) onMessage(msg.data)
      },
    })
    return () => subscription.unsubscribe()
  }

  async ping(): Promise<boolean> {
    if (!this.#connected) return notConnected().catch(() => false)
    return settledWithin(this.nc.flush(), PING_TIMEOUT_MS)
  }

  async close(): Promise<void> {
    for (const reader of [...this.#readers]) await reader.stop()
    if (this.#connected) await settledWithin(this.nc.flush(), CLOSE_FLUSH_MS)
    await this.nc.close()
    this.#lost()
  }

  // ── connection and requests ────────────────────────────────────────────────────────────────────────────────────────

  async #watchConnection(): Promise<void> {
    for await (const status of this.nc.status()) {
      if (status.type === 'disconnect') this.#lost()
      if (status.type === 'reconnect') this.#back()
    }
  }

  #lost(): void {
    this.#connected = false
    this.#replies.lost()
    for (const reader of this.#readers) reader.suspend()
  }

  #back(): void {
    this.#connected = true
    for (const reader of this.#readers) reader.reset()
  }

  async #publishAndWait(message: Outgoing, headers: ReturnType<typeof publishHeaders>): Promise<AckResult> {
    if (!this.#connected) return notConnected().catch(unknown)
    try {
      const answer = await this.#replies.ask(message.subject, message.payload, headers)
      return readAck(answer.data)
    } catch (error) {
      return unknown(error)
    }
  }

  async #storedMessage(stream: string, which: MsgRequest): Promise<LogMessage | null> {
    const asked = () => orNull(this.jsm.streams.getMessage(stream, which), API_CODE.streamNotFound)
    const stored = await this.#query(asked)
    return stored === null ? null : storedMessage(stored)
  }

  /** Asks the API; LogUnavailable when no answer comes, or one that the server is not able to answer now. */
  async #query<T>(ask: () => Promise<T>): Promise<T> {
    if (!this.#connected) return notConnected()
    try {
      return await ask()
    } catch (error) {
      const isAnswer = error instanceof JetStreamApiError && error.status !== 503
      if (isAnswer) throw error
      throw new LogUnavailable(awayCause(error))
    }
  }

  async #notCreated(
    spec: StreamSpec,
    error: unknown,
  ): Promise<Awaited<ReturnType<JetStreamManager['streams']['info']>>> {
    if (!(error instanceof JetStreamApiError)) throw error
    if (error.code === API_CODE.streamExistsOtherwise) return this.#query(() => this.jsm.streams.info(spec.name))
    // A member of the cluster that is just coming back: the same question has another answer in a moment.
    if (/peer offline/.test(error.message)) throw new LogUnavailable(error.message)
    const noRoom = error.code === API_CODE.insufficientStorage || /insufficient storage/.test(error.message)
    const facts = { maxBytes: spec.maxBytes, code: error.code }
    throw new HoldfastError(noRoom ? 'NO_ROOM' : 'USAGE', `stream ${spec.name}: ${error.message}`, facts)
  }
}

/** A real turn of the event loop later: a caller that retries without a pause must not keep the connection from coming back. */
async function notConnected(): Promise<never> {
  await sleep(NOT_CONNECTED_MS)
  throw new LogUnavailable('not connected')
}

function outcome(result: AckResult): PublishResult {
  if (result.kind === 'disabled') throw new HoldfastError('SETTINGS_DROPPED', result.cause)
  return result
}

function withHeaders(headers: ReturnType<typeof publishHeaders>) {
  return headers === undefined ? {} : { headers }
}

function unknown(error: unknown): PublishResult {
  return { kind: 'unknown', cause: awayCause(error) }
}

async function orNull<T>(answer: Promise<T>, code: number): Promise<T | null> {
  try {
    return await answer
  } catch (error) {
    if (error instanceof JetStreamApiError && error.code === code) return null
    throw error
  }
}

/** Why there was no answer. What is no failure of the connection or the server is a bug, and thrown on. */
function awayCause(error: unknown): string {
  const known = [
    LogUnavailable,
    errors.TimeoutError,
    errors.RequestError,
    errors.ClosedConnectionError,
    errors.DrainingConnectionError,
    errors.ConnectionError,
    JetStreamApiError,
  ]
  if (error instanceof Error && error.name === 'JetStreamNotEnabled') return error.message
  if (error instanceof Error && known.some((type) => error instanceof type)) return error.message
  throw error
}

/** Whether the promise fulfilled within the time. */
async function settledWithin(work: Promise<unknown>, ms: number): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<boolean>((resolve) => {
    timer = setTimeout(() => resolve(false), ms)
  })
  const done = work.then(
    () => true,
    () => false,
  )
  return Promise.race([done, late]).finally(() => clearTimeout(timer))
}

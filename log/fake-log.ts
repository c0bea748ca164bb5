// The simulated broker: one FakeLogServer, one FakeLog per connection of a simulated process. Deterministic by seed.
// FL1: it keeps every promise of log.ts, also under faults: an outcome it reports is true, and `unknown` may land later.
// FL2: everything that takes time is a step of the scheduler (log/sim.ts): no real timer, no promise resolved on the side.
// FL3: every fault that happened is counted in `fired`, so that a test can see that it was not vacuous.
// Requests pass client -> `up` -> server -> `down` -> client; cut drops what is in them, freeze and pause hold it back.
// Storage is in log/fake-stream.ts and log/fake-buckets.ts, readers in log/fake-reader.ts. It passes the conformance suite of the real log: test/conformance/log.ts.

import type { BucketSpec } from './blobs.ts'
import { assert, HoldfastError } from './errors.ts'
import { FakeBuckets } from './fake-buckets.ts'
import { type FakeConsumer, FakeReader } from './fake-reader.ts'
import { BATCH_MESSAGES_MAX, FakeStream, subjectMatches } from './fake-stream.ts'
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
import type { Runtime } from './runtime.ts'
import { type Lane, SIM_START_MS, SimScheduler } from './sim.ts'

/** What can happen to one publish: it lands after `afterMs`, it never lands, or it lands and the ack is lost. */
export type PublishFault =
  | { readonly kind: 'publishLate'; readonly afterMs: number }
  | { readonly kind: 'publishLost' }
  | { readonly kind: 'ackLost' }

export type FaultKind =
  | PublishFault['kind']
  | 'cut'
  | 'pause'
  | 'freeze'
  | 'kill'
  | 'readerReset'
  | 'lostTail'
  | 'recreated'
  | 'restored'
  | 'overwritten'
  | 'foreignWrite'
  | 'retention'
  | 'streamFull'

/** Probability of each fault: per publish for the first three, per request for cut and pause, per delivery for readerReset. */
export type Chaos = Partial<Record<PublishFault['kind'] | 'cut' | 'pause' | 'readerReset', number>>

export interface FakeLogOptions {
  readonly seed: number
  /** See SimScheduler: `manual` runs nothing but what settle() runs. */
  readonly drive?: 'auto' | 'manual'
  readonly chaos?: Chaos
  /** Bytes; ensureStream answers NO_ROOM when the sum of maxBytes would pass it. */
  readonly maxStoreBytes?: number
}

/** Logical milliseconds after which a request without an answer counts as unknown. */
export const FAKE_REQUEST_TIMEOUT_MS = 5000
/** A drawn late publish lands at most this much later: before and after the timeout. */
const LATE_MS_MAX = 3 * FAKE_REQUEST_TIMEOUT_MS
const PAUSE_MS_MAX = 2 * FAKE_REQUEST_TIMEOUT_MS
const RECONNECT_MS_MAX = 500
/** How soon a request on a broken connection is answered: soon, but a caller without back-off must not stop the clock. */
const NOT_CONNECTED_MS = 20
/** A delivery brings between one and this many messages. */
const DELIVERY_MESSAGES_MAX = 64

/** A backup of every stream and bucket, to be put back later. */
export interface FakeBackup {
  readonly streams: ReadonlyMap<string, FakeStream>
  readonly buckets: FakeBuckets
}

interface PlannedFault {
  readonly fault: PublishFault
  readonly client: string | undefined
  readonly subject: string | undefined
}

export class FakeLogServer {
  readonly scheduler: SimScheduler
  readonly fired: Record<FaultKind, number> = {
    publishLate: 0,
    publishLost: 0,
    ackLost: 0,
    cut: 0,
    pause: 0,
    freeze: 0,
    kill: 0,
    readerReset: 0,
    lostTail: 0,
    recreated: 0,
    restored: 0,
    overwritten: 0,
    foreignWrite: 0,
    retention: 0,
    streamFull: 0,
  }
  /** May be changed while the simulation runs (a test that heals the world sets it to {}). */
  chaos: Chaos
  readonly #maxStoreBytes: number
  readonly #streams = new Map<string, FakeStream>()
  #buckets = new FakeBuckets()
  readonly #clients = new Set<FakeLog>()
  readonly #consumers = new Set<FakeConsumer>()
  #planned: PlannedFault[] = []
  #paused = false
  #created = 0
  /** What the server does by itself, and publishes that arrive late. */
  readonly #lane: Lane

  constructor(options: FakeLogOptions) {
    this.scheduler = new SimScheduler({ seed: options.seed, drive: options.drive ?? 'auto' })
    this.chaos = options.chaos ?? {}
    this.#maxStoreBytes = options.maxStoreBytes ?? Number.MAX_SAFE_INTEGER
    this.#lane = this.scheduler.lane(() => !this.#paused)
  }

  /** A connection of one simulated process. `name` is for planned faults and messages. */
  connect(name: string): FakeLog {
    const client = new FakeLog(this, name)
    this.#clients.add(client)
    return client
  }

  // ── faults a test schedules ────────────────────────────────────────────────────────────────────────────────────────

  /** The next publish (of that client, on that subject) suffers this. */
  plan(fault: PublishFault, where: { client?: string; subject?: string } = {}): void {
    this.#planned.push({ fault, client: where.client, subject: where.subject })
  }

  /** Stops answering; what is sent meanwhile is applied after resume(). */
  pause(): void {
    this.fired.pause++
    this.#paused = true
  }

  resume(): void {
    this.#paused = false
    this.scheduler.wake()
  }

  get paused(): boolean {
    return this.#paused
  }

  /** kill -9 and start again: consumers are gone and every client reconnects; what was stored is there. */
  restart(whileDown: () => void = () => undefined): void {
    whileDown()
    this.#consumers.clear()
    for (const client of this.#clients) client.cut()
  }

  /** The last `count` messages vanish in a restart; their sequences are given out again. */
  loseTail(stream: string, count: number): void {
    this.fired.lostTail++
    this.restart(() => this.#existing(stream).loseTail(count))
  }

  /** A copy of everything stored, as a backup of the store directory. */
  backup(): FakeBackup {
    const streams = new Map([...this.#streams].map(([name, stream]) => [name, stream.copy()]))
    return { streams, buckets: this.#buckets.copy() }
  }

  /** A restart on an older copy of the store. */
  restore({ streams, buckets }: FakeBackup): void {
    this.fired.restored++
    this.restart(() => {
      this.#streams.clear()
      for (const [name, stream] of streams) this.#streams.set(name, stream.copy())
      this.#buckets = buckets.copy()
    })
  }

  /** One stored message is changed in a restart. */
  overwrite(stream: string, seq: number, payload: Uint8Array): void {
    this.fired.overwritten++
    this.restart(() => this.#existing(stream).overwrite(seq, payload))
  }

  /** Somebody deletes the stream and creates it again, while the server runs. */
  recreate(stream: string): void {
    this.fired.recreated++
    this.#streams.set(stream, this.#newStream(this.#existing(stream).spec))
    this.dropConsumers(stream)
  }

  /** Every consumer of the stream is deleted; its readers hear of it. */
  dropConsumers(stream: string): void {
    for (const consumer of [...this.#consumers].filter((c) => c.streamName === stream)) {
      this.fired.readerReset++
      this.#consumers.delete(consumer)
      consumer.gone()
    }
  }

  /** Somebody else publishes on a subject of ours. Returns the sequence. */
  foreignWrite(subject: string, payload: Uint8Array): number {
    this.fired.foreignWrite++
    const result = this.append([{ subject, headers: null, payload }], null)
    assert(result.kind === 'stored', 'a foreign write finds a stream with room')
    return result.seq
  }

  /** Retention by somebody else: the first `count` messages are gone. */
  dropFirst(stream: string, count: number): void {
    this.fired.retention++
    const target = this.#existing(stream)
    target.trim(target.state.firstSeq + count)
  }

  /** Stores a message with a time of its own, so that a recorded log can be played again byte for byte. */
  replay(stream: string, message: Omit<LogMessage, 'seq' | 'timeMs'>): void {
    const target = this.#existing(stream)
    const result = target.append([message], null, message.timeNs)
    assert(result.kind === 'stored', 'a recorded message finds a stream with room')
    this.#pump(target)
  }

  /** The messages of a stream, for oracles: what is stored, without a connection. */
  stored(stream: string): LogMessage[] {
    const { firstSeq, lastSeq } = this.#existing(stream).state
    return Array.from({ length: lastSeq - firstSeq + 1 }, (_, i) => this.#existing(stream).at(firstSeq + i)!)
  }

  // ── what a connection asks (called in steps of the scheduler) ───────────────────────────────────────────────────────

  ensureStream(spec: StreamSpec): StreamState {
    const there = this.stream(spec.name)
    if (there !== null) {
      compareSpecs(there.spec, spec)
      return there.state
    }
    this.#reserve(`stream ${spec.name}`, spec.maxBytes)
    const stream = this.#newStream(spec)
    this.#streams.set(spec.name, stream)
    return stream.state
  }

  /** Files are there whole or not at all: a put is one step. */
  get buckets(): FakeBuckets {
    return this.#buckets
  }

  ensureBucket(spec: BucketSpec): void {
    if (!this.#buckets.has(spec)) this.#reserve(`bucket ${spec.name}`, spec.maxBytes)
    this.#buckets.create(spec)
  }

  stream(name: string): FakeStream | null {
    const stream = this.#streams.get(name) ?? null
    stream?.expire(this.#nowNs())
    return stream
  }

  append(messages: readonly Outgoing[], expect: Expect): PublishResult {
    const subject = messages[0]!.subject
    const stream = [...this.#streams.values()].find((s) => s.covers(subject))
    if (stream === undefined) return { kind: 'unknown', cause: 'no responders (503)' }
    if (messages.length > 1 && !stream.spec.atomic) {
      throw new HoldfastError('SETTINGS_DROPPED', `stream ${stream.spec.name} takes no atomic batches`)
    }
    stream.expire(this.#nowNs())
    const result = stream.append(messages, expect, this.#nowNs())
    if (result.kind === 'full') this.fired.streamFull++
    this.#pump(stream)
    return result
  }

  attach(consumer: FakeConsumer): void {
    this.#consumers.add(consumer)
    this.deliver(consumer)
  }

  detach(consumer: FakeConsumer): void {
    this.#consumers.delete(consumer)
  }

  /** Sends the consumer what it has room for, in a later step. */
  deliver(consumer: FakeConsumer): void {
    if (consumer.asked) return
    consumer.asked = true
    this.scheduler.post(this.#lane, () => {
      consumer.asked = false
      if (!this.#consumers.has(consumer) || !consumer.hasRoom) return
      const stream = this.stream(consumer.streamName)
      if (stream === null) return
      const messages = consumer.take(stream, 1 + this.random.below(DELIVERY_MESSAGES_MAX))
      if (messages.length === 0) return
      consumer.send(messages, stream.lastSeq)
      this.deliver(consumer)
    })
  }

  announce(subject: string, payload: Uint8Array): void {
    for (const client of this.#clients) client.hear(subject, payload)
  }

  /** Runs `step` at the server after `delayMs`, whatever becomes of the connection it came from. */
  later(delayMs: number, step: () => void): void {
    this.scheduler.after(delayMs, this.#lane, step)
  }

  forget(client: FakeLog): void {
    this.#clients.delete(client)
  }

  get random() {
    return this.scheduler.random
  }

  /** The fault of this publish: planned, or drawn. */
  faultOf(client: string, subject: string): PublishFault | null {
    const index = this.#planned.findIndex(
      (p) => (p.client ?? client) === client && (p.subject === undefined || subjectMatches(p.subject, subject)),
    )
    const fault = index >= 0 ? this.#planned.splice(index, 1)[0]!.fault : this.#drawFault()
    if (fault !== null) this.fired[fault.kind]++
    return fault
  }

  /** Faults of the world around one request: the connection breaks, or the server stops for a while. */
  disturb(client: FakeLog): void {
    if (this.random.chance(this.chaos.cut ?? 0)) client.cut()
    if (!this.#paused && this.random.chance(this.chaos.pause ?? 0)) {
      this.pause()
      void this.scheduler.sleep(this.random.below(PAUSE_MS_MAX)).then(() => this.resume())
    }
  }

  #drawFault(): PublishFault | null {
    const { publishLate = 0, publishLost = 0, ackLost = 0 } = this.chaos
    if (this.random.chance(publishLate)) return { kind: 'publishLate', afterMs: this.random.below(LATE_MS_MAX) }
    if (this.random.chance(publishLost)) return { kind: 'publishLost' }
    return this.random.chance(ackLost) ? { kind: 'ackLost' } : null
  }

  #pump(stream: FakeStream): void {
    for (const consumer of this.#consumers) if (consumer.streamName === stream.spec.name) this.deliver(consumer)
  }

  /** Throws NO_ROOM. */
  #reserve(what: string, maxBytes: number): void {
    const streams = [...this.#streams.values()].reduce((sum, s) => sum + s.spec.maxBytes, 0)
    const reserved = streams + this.#buckets.maxBytes
    if (reserved + maxBytes <= this.#maxStoreBytes) return
    throw new HoldfastError('NO_ROOM', `${what}: insufficient storage resources available`, { maxBytes, reserved })
  }

  #newStream(spec: StreamSpec): FakeStream {
    this.#created++
    const created = new Date(SIM_START_MS).toISOString().replace('Z', `${String(this.#created).padStart(6, '0')}Z`)
    return new FakeStream(spec, created)
  }

  #existing(name: string): FakeStream {
    const stream = this.stream(name)
    assert(stream !== null, `there is a stream ${name}`)
    return stream
  }

  #nowNs(): bigint {
    return BigInt(Math.round(this.scheduler.nowMs * 1000)) * 1000n
  }
}

type Answer<T> = { readonly answer: T } | { readonly failure: unknown } | { readonly away: string }

/** One connection. Several may belong to one simulated process; faults strike connections. */
export class FakeLog implements Log {
  readonly name: string
  readonly #server: FakeLogServer
  readonly #up: Lane
  readonly #down: Lane
  /** Timers of the process. */
  readonly #local: Lane
  readonly #unanswered = new Set<(answer: { away: string }) => void>()
  readonly #readers = new Set<FakeReader>()
  readonly #listeners = new Set<{ subject: string; onMessage: (payload: Uint8Array) => void }>()
  #connected = true
  #closed = false
  #frozen = false

  constructor(server: FakeLogServer, name: string) {
    this.#server = server
    this.name = name
    this.#up = server.scheduler.lane(() => !this.#frozen && !server.paused)
    this.#down = server.scheduler.lane(() => !this.#frozen)
    this.#local = server.scheduler.lane(() => !this.#frozen)
  }

  // ── faults ─────────────────────────────────────────────────────────────────────────────────────────────────────────

  /** The connection breaks: a prefix of what is under way still arrives, no answer does; it is back after `downMs`. */
  cut(downMs: number = 1 + this.#server.random.below(RECONNECT_MS_MAX)): void {
    if (!this.#connected || this.#closed) return
    this.#server.fired.cut++
    this.#loseConnection()
    for (const settle of this.#unanswered) this.#post(() => settle({ away: 'connection lost' }))
    this.#server.scheduler.after(downMs, this.#local, () => {
      this.#connected = !this.#closed
      for (const reader of this.#readers) reader.reset()
    })
  }

  /** SIGSTOP: nothing goes out, comes in, or times out until thaw(). */
  freeze(): void {
    this.#server.fired.freeze++
    this.#frozen = true
  }

  thaw(): void {
    this.#frozen = false
    this.#server.scheduler.wake()
  }

  /**
   * SIGKILL: a prefix of what is under way still arrives, and nothing of this process settles or runs any more (the code
   * that waits for it hangs for ever, as code of a dead process does).
   */
  kill(): void {
    this.#server.fired.kill++
    this.#loseConnection()
    this.#closed = true
    this.#abandon()
  }

  /** Every reader gets a new consumer, as after a missed heartbeat. */
  resetReaders(): void {
    this.#server.fired.readerReset++
    for (const reader of this.#readers) reader.reset()
  }

  // ── Log ────────────────────────────────────────────────────────────────────────────────────────────────────────────

  ensureStream(spec: StreamSpec): Promise<StreamState> {
    return this.query(() => this.#server.ensureStream(spec))
  }

  streamState(stream: string): Promise<StreamState | null> {
    return this.query(() => this.#server.stream(stream)?.state ?? null)
  }

  lastOnSubject(stream: string, subject: string): Promise<LogMessage | null> {
    return this.query(() => this.#server.stream(stream)?.lastOn(subject) ?? null)
  }

  message(stream: string, seq: number): Promise<LogMessage | null> {
    return this.query(() => this.#server.stream(stream)?.at(seq) ?? null)
  }

  subjects(stream: string): Promise<Map<string, number>> {
    return this.query(() => this.#server.stream(stream)?.subjects() ?? new Map())
  }

  publish(message: Outgoing, expect: Expect): Promise<PublishResult> {
    return this.#publish([message], expect)
  }

  async publishBatch(messages: readonly Outgoing[], expect: Expect): Promise<PublishResult> {
    assert(messages.length > 0 && messages.length <= BATCH_MESSAGES_MAX, 'a batch has 1 to 1,000 messages')
    return this.#publish(messages, expect)
  }

  async read(stream: string, from: ReadFrom): Promise<LogReader> {
    const reader = new FakeReader(this.#server, this, stream, from)
    await reader.open()
    this.#readers.add(reader)
    return reader
  }

  async trim(stream: string, belowSeq: number): Promise<void> {
    await this.query(() => this.#server.stream(stream)?.trim(belowSeq))
  }

  ensureBucket(spec: BucketSpec): Promise<void> {
    return this.query(() => this.#server.ensureBucket(spec))
  }

  /** Faults of publishes strike a put as one on the bucket's name. */
  async putBlob(bucket: string, sha256: string, bytes: Uint8Array): Promise<void> {
    const copy = bytes.slice()
    const fault = this.#server.faultOf(this.name, bucket)
    answerOf(await this.#ask(() => this.#server.buckets.put(bucket, sha256, copy), fault))
  }

  getBlob(bucket: string, sha256: string): Promise<Uint8Array | null> {
    return this.query(() => this.#server.buckets.get(bucket, sha256))
  }

  blobNames(bucket: string): Promise<string[]> {
    return this.query(() => this.#server.buckets.names(bucket))
  }

  removeBlob(bucket: string, sha256: string): Promise<void> {
    return this.query(() => this.#server.buckets.remove(bucket, sha256))
  }

  announce(subject: string, payload: Uint8Array): void {
    if (!this.#connected) return
    const copy = payload.slice()
    this.#server.scheduler.post(this.#up, () => this.#server.announce(subject, copy))
  }

  listen(subject: string, onMessage: (payload: Uint8Array) => void): () => void {
    const listener = { subject, onMessage }
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  async ping(): Promise<boolean> {
    return 'answer' in (await this.#ask(() => true, null))
  }

  async close(): Promise<void> {
    this.#closed = true
    this.#connected = false
    for (const reader of [...this.#readers]) await reader.stop()
    for (const settle of this.#unanswered) settle({ away: 'closed' })
    this.#abandon()
  }

  /** Clock and turns of the simulated process: logical time, held back by freeze(), ended by kill(). */
  get runtime(): Runtime {
    return {
      now: () => this.#server.scheduler.nowMs,
      sleep: (ms) => new Promise((resolve) => this.after(ms, resolve)),
      turn: () => new Promise((resolve) => this.#post(resolve)),
      killPoint: () => undefined,
    }
  }

  // ── for readers and the server ─────────────────────────────────────────────────────────────────────────────────────

  /** Asks the server; throws LogUnavailable when no answer comes. */
  async query<T>(work: () => T): Promise<T> {
    return answerOf(await this.#ask(work, null))
  }

  /** Tells the server without waiting for an answer. */
  tell(work: () => void): void {
    if (this.#connected) this.#server.scheduler.post(this.#up, work)
  }

  /** From the server to this process, unless the connection is down. */
  fromServer(step: () => void): void {
    if (this.#connected) this.#server.scheduler.post(this.#down, step)
  }

  after(delayMs: number, step: () => void): () => void {
    return this.#server.scheduler.after(delayMs, this.#local, step)
  }

  hear(subject: string, payload: Uint8Array): void {
    for (const listener of this.#listeners) {
      if (!subjectMatches(listener.subject, subject)) continue
      this.fromServer(() => this.#listeners.has(listener) && listener.onMessage(payload))
    }
  }

  removeReader(reader: FakeReader): void {
    this.#readers.delete(reader)
  }

  get connected(): boolean {
    return this.#connected
  }

  #loseConnection(): void {
    this.#connected = false
    this.#down.steps.length = 0
    const underWay = this.#up.steps.splice(0)
    for (const step of underWay.slice(0, this.#server.random.below(underWay.length + 1))) this.#server.later(0, step)
    for (const reader of this.#readers) reader.disconnected()
  }

  #abandon(): void {
    this.#server.forget(this)
    for (const lane of [this.#up, this.#down, this.#local]) this.#server.scheduler.drop(lane)
  }

  async #publish(messages: readonly Outgoing[], expect: Expect): Promise<PublishResult> {
    const copies = messages.map((m) => ({ ...m, payload: m.payload.slice() }))
    const fault = this.#server.faultOf(this.name, copies[0]!.subject)
    const result = await this.#ask(() => this.#server.append(copies, expect), fault)
    if ('away' in result) return { kind: 'unknown', cause: result.away }
    if ('failure' in result) throw result.failure
    return result.answer
  }

  #ask<T>(work: () => T, fault: PublishFault | null): Promise<Answer<T>> {
    if (!this.#connected) return this.#notConnected()
    return new Promise((resolve) => {
      const settle = (answer: Answer<T>): void => {
        this.#unanswered.delete(settle)
        cancelTimeout()
        resolve(answer)
      }
      const cancelTimeout = this.after(FAKE_REQUEST_TIMEOUT_MS, () => settle({ away: 'timeout' }))
      this.#unanswered.add(settle)
      const atServer = (): void => {
        const answer = attempt(work)
        if (fault?.kind !== 'ackLost') this.fromServer(() => settle(answer))
      }
      this.#send(atServer, fault)
      this.#server.disturb(this)
    })
  }

  #send(atServer: () => void, fault: PublishFault | null): void {
    if (fault?.kind === 'publishLost') return
    if (fault?.kind === 'publishLate') this.#server.later(fault.afterMs, atServer)
    else this.#server.scheduler.post(this.#up, atServer)
  }

  #notConnected<T>(): Promise<Answer<T>> {
    if (this.#closed) return Promise.resolve({ away: 'closed' })
    return new Promise((resolve) => this.after(NOT_CONNECTED_MS, () => resolve({ away: 'not connected' })))
  }

  #post(step: () => void): void {
    this.#server.scheduler.post(this.#local, step)
  }
}

function answerOf<T>(result: Answer<T>): T {
  if ('away' in result) throw new LogUnavailable(result.away)
  if ('failure' in result) throw result.failure
  return result.answer
}

function attempt<T>(work: () => T): Answer<T> {
  try {
    return { answer: work() }
  } catch (failure) {
    return { failure }
  }
}

function compareSpecs(there: StreamSpec, wanted: StreamSpec): void {
  for (const key of Object.keys(wanted) as (keyof StreamSpec)[]) {
    const [has, wants] = [String(there[key]), String(wanted[key])]
    if (has !== wants) {
      throw new HoldfastError('SETTINGS_DROPPED', `stream ${wanted.name} exists with another ${key}`, { has, wants })
    }
  }
}

// The reading half of the simulated log: a cursor at the server and a reader in the process.
// FR1: what reaches the reader goes through log/continuity.ts, whichever consumer it came from.
// FR2: a consumer that was replaced is not heard any more, also when its deliveries are still under way.
// Faults are in log/fake-log.ts.

import { Continuity } from './continuity.ts'
import { assert } from './errors.ts'
import type { FakeLog, FakeLogServer } from './fake-log.ts'
import type { FakeStream } from './fake-stream.ts'
import { type LogMessage, type LogReader, LogUnavailable, type ReadFrom } from './log.ts'

/** Logical milliseconds between two tries to open again while the broker is away. */
const RESUME_RETRY_MS = 250
/** A reader asks for no more while this many bytes wait for next(). */
const BUFFER_BYTES_MAX = 1024 * 1024
const DELIVERY_BYTES = 256 * 1024

/** The server's side of a reader: a cursor into a stream, for one incarnation of the reader's connection. */
export class FakeConsumer {
  readonly streamName: string
  readonly #reader: FakeReader
  readonly #client: FakeLog
  #nextSeq: number
  /** A delivery step is already posted. */
  asked = false

  constructor(streamName: string, reader: FakeReader, client: FakeLog, startSeq: number) {
    this.streamName = streamName
    this.#reader = reader
    this.#client = client
    this.#nextSeq = startSeq
  }

  get hasRoom(): boolean {
    return this.#reader.bufferedBytes < BUFFER_BYTES_MAX
  }

  take(stream: FakeStream, count: number): LogMessage[] {
    this.#nextSeq = Math.max(this.#nextSeq, stream.state.firstSeq)
    const messages: LogMessage[] = []
    let bytes = 0
    while (messages.length < count && bytes < DELIVERY_BYTES && this.#nextSeq <= stream.lastSeq) {
      const message = stream.at(this.#nextSeq++)!
      bytes += message.payload.length
      messages.push(message)
    }
    return messages
  }

  send(messages: readonly LogMessage[], lastSeq: number): void {
    this.#client.fromServer(() => this.#reader.receive(this, messages, lastSeq))
  }

  gone(): void {
    this.#client.fromServer(() => this.#reader.reset())
  }
}

export class FakeReader implements LogReader {
  readonly #server: FakeLogServer
  readonly #client: FakeLog
  readonly #stream: string
  readonly #continuity: Continuity
  #consumer: FakeConsumer | null = null
  /** Counts resumes, so that an answer to a former one is dropped. */
  #incarnation = 0
  #buffer: LogMessage[] = []
  #lastHeard = 0
  #handedOut = 0
  #failure: unknown = null
  #stopped = false
  #wake: (() => void) | null = null
  bufferedBytes = 0

  constructor(server: FakeLogServer, client: FakeLog, stream: string, from: ReadFrom) {
    this.#server = server
    this.#client = client
    this.#stream = stream
    this.#continuity = new Continuity(stream, from)
    this.#handedOut = from.seq
  }

  get pending(): number {
    return Math.max(0, this.#lastHeard - this.#handedOut)
  }

  /** Compares the stream with the position, then asks for a consumer there. */
  async open(): Promise<void> {
    this.disconnected()
    const incarnation = ++this.#incarnation
    const state = await this.#client.query(() => this.#server.stream(this.#stream)?.state ?? null)
    if (incarnation !== this.#incarnation || this.#stopped) return
    const consumer = new FakeConsumer(this.#stream, this, this.#client, this.#continuity.resume(state))
    this.#lastHeard = state!.lastSeq
    this.#consumer = consumer
    this.#client.tell(() => this.#consumer === consumer && this.#server.attach(consumer))
  }

  /** The consumer is not to be trusted any more: what it still sends is dropped. */
  disconnected(): void {
    if (this.#consumer !== null) this.#server.detach(this.#consumer)
    this.#consumer = null
    this.#incarnation++
  }

  reset(): void {
    if (this.#stopped || !this.#client.connected) return
    this.open().catch((error: unknown) => {
      if (!(error instanceof LogUnavailable)) return this.#fail(error)
      const incarnation = this.#incarnation
      this.#client.after(RESUME_RETRY_MS, () => incarnation === this.#incarnation && this.reset())
    })
  }

  receive(consumer: FakeConsumer, messages: readonly LogMessage[], lastSeq: number): void {
    if (consumer !== this.#consumer || this.#stopped) return
    if (this.#server.random.chance(this.#server.chaos.readerReset ?? 0)) {
      this.#server.fired.readerReset++
      this.reset()
      return
    }
    this.#lastHeard = lastSeq
    try {
      if (!this.#admitAll(messages)) this.reset()
    } catch (error) {
      this.#fail(error)
    }
    if (this.#buffer.length > 0) this.#wakeUp()
  }

  /** False if the consumer has to be made anew. */
  #admitAll(messages: readonly LogMessage[]): boolean {
    for (const message of messages) {
      const verdict = this.#continuity.admit(message)
      if (verdict === 'again') return false
      if (verdict === 'take') this.#keep(message)
    }
    return true
  }

  async next(timeoutMs: number): Promise<LogMessage[]> {
    assert(this.#wake === null, 'one next() at a time')
    if (this.#buffer.length === 0 && !this.#stopped) await this.#somethingOrTimeout(timeoutMs)
    if (this.#buffer.length === 0) {
      if (this.#failure !== null) throw this.#failure
      return []
    }
    const messages = this.#buffer
    this.#buffer = []
    this.bufferedBytes = 0
    this.#handedOut = messages.at(-1)!.seq
    const consumer = this.#consumer
    if (consumer !== null) this.#client.tell(() => this.#server.deliver(consumer))
    return messages
  }

  async stop(): Promise<void> {
    this.disconnected()
    this.#stopped = true
    this.#buffer = []
    this.#client.removeReader(this)
    this.#wakeUp()
  }

  #keep(message: LogMessage): void {
    this.#buffer.push(message)
    this.bufferedBytes += message.payload.length
  }

  #fail(error: unknown): void {
    this.disconnected()
    this.#failure = error
    this.#stopped = true
    this.#client.removeReader(this)
    this.#wakeUp()
  }

  #somethingOrTimeout(timeoutMs: number): Promise<void> {
    return new Promise((resolve) => {
      const cancel = this.#client.after(timeoutMs, () => this.#wakeUp())
      this.#wake = () => {
        cancel()
        resolve()
      }
    })
  }

  #wakeUp(): void {
    const wake = this.#wake
    this.#wake = null
    wake?.()
  }
}

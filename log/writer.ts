// A numbered writer of one destination: records get numbers 1, 2, 3 … and a chain; what was published before a crash is
// recognised by its number and never published twice.
// W1: a publish carries compare-and-set on the last sequence this writer knows; only one of two owners can succeed.
// W2: after any outcome but `stored`, the log is read before anything else is done (log/recovery.ts decides).
// W3: a record at or below the number found in the log is not published, but its chain is compared there: DIVERGED.
// W4: frames of one destination are published one after the other, each after the ack of the one before.
// When to send is the task's business (topology/task.ts), what happens with a claim of another owner is recovery.ts's.

import { assert, HoldfastError } from './errors.ts'
import {
  eachRecord,
  encodeFrame,
  encodeFrameHeader,
  FRAME_HEADER,
  NO_WATERMARK,
  parseFrameHeader,
  RECORD_HEADER,
} from './frame.ts'
import type { Log, Outgoing, PublishResult } from './log.ts'
import {
  type Chunk,
  type Computed,
  chainAt,
  comparePositions,
  type Outbox,
  type Position,
  startOf,
  withoutFirst,
} from './numbering.ts'
import { askPatiently, backoffMs, type OnWait, type WaitCause } from './patience.ts'
import { type Destination, type Found, type Owner, type Published, whatIsThere } from './recovery.ts'
import type { Runtime } from './runtime.ts'

export { RECORD_HEADER }

export interface WriterOptions {
  readonly log: Log
  readonly runtime: Runtime
  readonly writer: string
  readonly destination: Destination
  readonly onWait: OnWait
}

const NO_RECORDS = encodeFrame([])

export class Writer {
  readonly destination: Destination
  readonly #o: WriterOptions
  readonly #owner: Owner
  #found: Found
  /** Watermark and covered position of the last frame that is in the log. */
  #lastWatermark: number
  #lastCovered: Position
  lastSentAt = 0
  /** Publishes in a row that brought nothing. */
  #tries = 0

  private constructor(options: WriterOptions, owner: Owner, found: Found) {
    this.#o = options
    this.destination = options.destination
    this.#owner = owner
    this.#found = found
    this.#lastWatermark = found.header?.watermark ?? NO_WATERMARK
    this.#lastCovered = { seq: found.header?.coveredSeq ?? 0, index: found.header?.coveredIndex ?? 0 }
  }

  /**
   * Looks at what is published. `state` is what the writer's state says (number 0 if it has none); recomputed records are
   * skipped up to what is found. Waits while the broker is away.
   */
  static async open(options: WriterOptions, owner: Owner, state: Published): Promise<Writer> {
    const found = await lookUntilKnown(options, state, owner)
    options.onWait(null, options.destination.stream, '')
    return new Writer(options, owner, found)
  }

  /** What is known to be in the log. */
  get published(): Published {
    return { number: this.#found.number, chain: this.#found.chain, seq: this.#found.seq }
  }

  /** Where the last message in the log says its writer had read to; null before the first. */
  get foundCovered(): Position | null {
    return this.#found.header === null ? null : this.#lastCovered
  }

  get foundWatermark(): number {
    return this.#lastWatermark
  }

  /** Whether a frame without records would tell readers something new, when `computed` records have been made. */
  hasNews({ after, watermark, covered }: Pick<Outbox, 'after' | 'watermark' | 'covered'>): boolean {
    if (this.destination.mode === 'records' || this.#found.number > after.number) return false
    return watermark > this.#lastWatermark || comparePositions(covered, this.#lastCovered) > 0
  }

  /**
   * Claims the destination: from now on every predecessor's compare-and-set fails. Repeats what was found, so that it
   * says nothing new. Only for destinations in frames; an output stream of single records is fenced by its own sequence.
   */
  async claim(): Promise<void> {
    if (this.destination.mode === 'records') return
    for (;;) {
      const at = this.#foundOrStart()
      const mine = this.#found.seq
      if (await this.#publish([this.#frame(NO_RECORDS, at, at, this.#lastWatermark, this.#lastCovered)])) return
      // Either the claim itself landed late (it is mine and newer), or a predecessor's last frame did: look again.
      if (this.#found.seq > mine && this.#found.header?.instance === this.#owner.instance) return
    }
  }

  /** Publishes what of the outbox is not in the log yet; returns when all of it is. `empty`: also a frame without records. */
  async send(outbox: Outbox, empty: boolean): Promise<void> {
    for (const chunk of outbox.chunks) {
      while (this.#found.number < chunk.after.number) {
        const isLast = chunk.after.number === outbox.after.number
        await this.#publish(this.#messages(this.#unpublished(chunk), outbox, isLast))
        if (!isLast) this.#o.runtime.killPoint('K3', this.#o.writer)
      }
      this.#compare(chunk)
    }
    if (empty && outbox.chunks.length === 0) await this.#sendEmpty(outbox)
    this.#compareCovered(outbox)
  }

  async #sendEmpty(outbox: Outbox): Promise<void> {
    const { watermark, covered } = outbox
    while (this.hasNews(outbox)) {
      const at = this.#foundOrStart()
      await this.#publish([this.#frame(NO_RECORDS, at, at, watermark, covered)])
    }
  }

  /** The chunk without what is published already (an older generation may have framed the same records otherwise). */
  #unpublished(chunk: Chunk): Chunk {
    const skip = this.#found.number - chunk.before.number
    assert(skip >= 0, 'a chunk follows what is published: no record is left out')
    if (skip === 0) return chunk
    this.#compare(chunk)
    return withoutFirst(chunk, skip)
  }

  /** W3, for a published number inside the chunk. */
  #compare(chunk: Chunk): void {
    const { number, chain } = this.#found
    if (chain === '' || number < chunk.before.number || number > chunk.after.number) return
    const computed = chainAt(chunk, number - chunk.before.number)
    if (computed === chain) return
    throw new HoldfastError('DIVERGED', 'recomputed records differ from the published ones', {
      subject: this.destination.subject,
      number,
      published_chain: chain,
      computed_chain: computed,
    })
  }

  /** W3, for a published number that recomputing never reached although it passed the input that made it. */
  #compareCovered(outbox: Outbox): void {
    const { number, header } = this.#found
    if (header === null || number <= outbox.after.number) return
    const covered = { seq: header.coveredSeq, index: header.coveredIndex }
    if (comparePositions(outbox.covered, covered) <= 0) return
    throw new HoldfastError('DIVERGED', 'fewer records were recomputed than had been published', {
      subject: this.destination.subject,
      number,
      computed_number: outbox.after.number,
      covered_seq: covered.seq,
      covered_index: covered.index,
    })
  }

  #messages(chunk: Chunk, outbox: Outbox, isLast: boolean): Outgoing[] {
    // Only the last message of a commit may promise its watermark: records of the commit follow the others.
    const watermark = isLast ? outbox.watermark : this.#lastWatermark
    const frame = this.#frame(chunk.payload, chunk.before, chunk.after, watermark, outbox.covered)
    if (this.destination.mode === 'frames') return [frame]
    const messages: Outgoing[] = []
    const count = chunk.after.number - chunk.before.number
    eachRecord(chunk.payload, (from, to) => {
      const identity = { [RECORD_HEADER]: `${this.#o.writer}.${chunk.before.number + messages.length + 1}` }
      const last = messages.length === count - 1
      const headers = last ? { ...identity, ...frame.headers } : identity
      messages.push({ subject: this.destination.subject, headers, payload: chunk.payload.subarray(from, to) })
    })
    return messages
  }

  #frame(payload: Buffer, before: Computed, after: Computed, watermark: number, covered: Position): Outgoing {
    const headers = { [FRAME_HEADER]: this.#header(after.number - before.number, before, after, watermark, covered) }
    return { subject: this.destination.subject, headers, payload }
  }

  #foundOrStart(): Computed {
    const { number, chain } = this.#found
    return number === 0 && chain === '' ? startOf(this.#o.writer, this.destination.subject) : { number, chain }
  }

  /**
   * Covered never goes back: a part of a commit says what the whole one covers (its records come from no later input), and a
   * restart may cut its commits before that.
   */
  #header(count: number, before: Computed, after: Computed, watermark: number, position: Position): string {
    const covered = comparePositions(position, this.#lastCovered) < 0 ? this.#lastCovered : position
    return encodeFrameHeader({
      first: before.number + 1,
      count,
      chainBefore: before.chain,
      chainAfter: after.chain,
      generation: this.#owner.generation,
      instance: this.#owner.instance,
      watermark,
      coveredSeq: covered.seq,
      coveredIndex: covered.index,
    })
  }

  /**
   * One try. True if these messages are in the log now. False if the log had to be looked at (W2): then what is found
   * there is known, and the caller goes on from it.
   */
  async #publish(messages: readonly Outgoing[]): Promise<boolean> {
    const expect =
      this.destination.mode === 'frames' ? { lastSubjectSeq: this.#found.seq } : { lastSeq: this.#found.seq }
    const { log, runtime, writer } = this.#o
    const pending: Promise<PublishResult> =
      messages.length === 1 ? log.publish(messages[0]!, expect) : log.publishBatch(messages, expect)
    runtime.killPoint('K4', writer)
    const result = await pending
    if (result.kind === 'stored') {
      this.lastSentAt = runtime.now()
      this.#progressed()
      this.#adoptOwn(messages, result.seq)
      return true
    }
    await this.#lookAgain(result)
    return false
  }

  #adoptOwn(messages: readonly Outgoing[], seq: number): void {
    const text = messages[messages.length - 1]!.headers![FRAME_HEADER]!
    this.#adopt(headerFound(text, seq))
  }

  #adopt(found: Found): void {
    this.#found = found
    if (found.header === null) return
    this.#lastWatermark = Math.max(this.#lastWatermark, found.header.watermark)
    this.#lastCovered = { seq: found.header.coveredSeq, index: found.header.coveredIndex }
  }

  async #lookAgain(result: Exclude<PublishResult, { kind: 'stored' }>): Promise<void> {
    const before = this.#found
    const known: Published = { number: before.number, chain: before.chain, seq: before.seq }
    if (result.kind !== 'refused') {
      const cause: WaitCause = result.kind === 'full' ? 'room' : 'broker'
      this.#o.onWait(cause, this.destination.stream, result.cause)
      await this.#o.runtime.sleep(this.#backoff())
    }
    const found = await lookUntilKnown(this.#o, known, this.#owner)
    this.#adopt(found)
    // The wait is over when something landed, not when the broker answered: one that is full answers, too.
    if (found.seq > before.seq) this.#progressed()
    else if (result.kind === 'refused') await this.#o.runtime.sleep(this.#backoff())
  }

  #progressed(): void {
    this.#tries = 0
    this.#o.onWait(null, this.destination.stream, '')
  }

  #backoff(): number {
    return backoffMs(this.#tries++)
  }
}

/** Asks until there is an answer. That the broker answered does not end a wait: the caller says when it is over. */
function lookUntilKnown(o: WriterOptions, state: Published, owner: Owner): Promise<Found> {
  const { log, destination } = o
  return askPatiently(o, destination.stream, async () => {
    // In this order: what is trimmed between the two questions is then seen as trimmed, and not as lost.
    const last = await log.lastOnSubject(destination.stream, destination.subject)
    const stream = await log.streamState(destination.stream)
    if (stream === null) {
      throw new HoldfastError('LOG_WENT_BACK', 'the destination stream does not exist', { stream: destination.stream })
    }
    return whatIsThere(destination, last, stream, state, owner)
  })
}

function headerFound(text: string, seq: number): Found {
  const header = parseFrameHeader(text)
  assert(header !== null, 'a writer can read the header it wrote')
  return { number: header.first + header.count - 1, chain: header.chainAfter, seq, header }
}

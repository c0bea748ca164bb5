// What a task accepts from its stream: opens messages, checks the numbered writers' numbers and chains, drops what was
// applied before, and says which records are new.
// I1: per numbered writer (number, chain) only move forward by one record at a time: duplicates are dropped, also inside a
//     frame, and a missing number is GAP.
// I2: only what the plan names may write: another subject, or a writer without a valid header, is FOREIGN_WRITE.
// I3: nothing here changes until `applied` is called: what was opened but not applied is opened again after a restart.
// What records mean is not known here (topology/task.ts).

import { assert, HoldfastError } from '../log/errors.ts'
import { Chain, chainRecords, FRAME_HEADER, type FrameHeader, NO_WATERMARK, parseFrameHeader } from '../log/frame.ts'
import type { LogMessage } from '../log/log.ts'
import { startOf } from '../log/numbering.ts'
import { isSingle } from '../operators/arrival.ts'
import { CONTROL_WRITER, PLAIN_WRITER, type StagePlan } from './plan.ts'

/** What is remembered of a numbered writer; part of every commit. */
export interface WriterCursor {
  number: number
  chain: string
  watermark: number
  /** Sequence of its last frame: nothing below the oldest of these is needed by any writer's recovery. */
  seq: number
  drained: boolean
  /** Highest event time that it accepted, as its drain said; NO_WATERMARK: it named none. Not there before its drain. */
  drainedAt?: number
}

/**
 * A message, opened. `records` are the new ones only; the first of them is record `skipped` of the message.
 * numbered and control: parsed JSON values; plain: Arrival, parsed or not (operators/arrival.ts).
 */
export interface Opened {
  readonly message: LogMessage
  readonly kind: 'numbered' | 'plain' | 'control'
  readonly writer: string
  readonly records: readonly unknown[]
  readonly skipped: number
  readonly count: number
  readonly header: FrameHeader | null
}

export interface IntakeOptions {
  /** `<namespace>.<stage>.<partition>.`: what stands before the writer in a subject. */
  readonly subjectPrefix: string
  readonly cursors: ReadonlyMap<string, WriterCursor>
  /** The numbered writers of the plan, each with a cursor. */
  readonly writers: readonly string[]
  /** Those of them that send back (topology/feedback.ts). */
  readonly feedback: readonly string[]
  /** Opens the messages of plain clients; null where only numbered writers write. */
  readonly plain: ((message: LogMessage) => readonly unknown[]) | null
}

export class Intake {
  readonly #cursors: ReadonlyMap<string, WriterCursor>
  /** Of the cursors, those of writers that the plan has. Another may be known of a plan of before: nobody waits for it. */
  readonly #awaited: readonly WriterCursor[]
  /** Of the awaited, those that send back, and the others. */
  readonly #feedback: readonly WriterCursor[]
  readonly #others: readonly WriterCursor[]
  readonly #subjectPrefix: string
  readonly #plain: IntakeOptions['plain']
  readonly #plainSubject: string

  /** The frame that is applied in part, if any; its writer's chain is settled at a cut. */
  #partly: { message: LogMessage; header: FrameHeader; count: number; cursor: WriterCursor } | null = null

  constructor({ subjectPrefix, cursors, writers, feedback, plain }: IntakeOptions) {
    this.#subjectPrefix = subjectPrefix
    this.#cursors = cursors
    this.#awaited = writers.map((writer) => cursors.get(writer)!)
    this.#feedback = feedback.map((writer) => cursors.get(writer)!)
    this.#others = this.#awaited.filter((cursor) => !this.#feedback.includes(cursor))
    this.#plain = plain
    this.#plainSubject = subjectPrefix + PLAIN_WRITER
  }

  /** Cursors of a stage's writers before anything was read. `subjectOf` names the subject that a writer writes to. */
  static start(stage: StagePlan, subjectOf: (writer: string) => string): Map<string, WriterCursor> {
    return new Map(
      stage.writers.map((writer) => {
        const { chain } = startOf(writer, subjectOf(writer))
        return [writer, { number: 0, chain, watermark: NO_WATERMARK, seq: 0, drained: false }]
      }),
    )
  }

  /** Lowest watermark over the writers once that of a frame is applied, NO_WATERMARK until each has one; null: the frame moves none. */
  watermarkBehind({ writer, header }: Opened): number | null {
    const moved = this.#cursors.get(writer)
    if (moved === undefined || header === null || header.watermark <= moved.watermark) return null
    let lowest = Number.POSITIVE_INFINITY
    for (const cursor of this.#awaited) {
      const { watermark } = cursor === moved ? header : cursor
      lowest = Math.min(lowest, watermark)
    }
    return lowest === Number.POSITIVE_INFINITY ? NO_WATERMARK : lowest
  }

  /** Lowest watermark of the writers that do not send back; NO_WATERMARK: there are none. */
  get promised(): number {
    return this.#others.length === 0 ? NO_WATERMARK : Math.min(...this.#others.map(({ watermark }) => watermark))
  }

  /** Whether this writer sends back. */
  sendsBack(writer: string): boolean {
    return this.#feedback.includes(this.#cursors.get(writer)!)
  }

  /** Whether all that do not send back have drained once this one has; not given: as it is. */
  isDrainedBy(writer?: string): boolean {
    const own = writer === undefined ? undefined : this.#cursors.get(writer)
    return this.#others.length > 0 && this.#others.every((cursor) => cursor.drained || cursor === own)
  }

  /** Whether those that send back have drained. */
  get isFeedbackDrained(): boolean {
    return this.#feedback.every(({ drained }) => drained)
  }

  /** Whether a message is one event of a plain client: it changes nothing here, and there is nothing to open. */
  isSingle(message: LogMessage): boolean {
    return this.#plain !== null && message.subject === this.#plainSubject && isSingle(message.payload)
  }

  /** Opens a message of which the first `applied` records were applied before (known only for the message at the position). */
  open(message: LogMessage, applied: number): Opened {
    const writer = message.subject.slice(this.#subjectPrefix.length)
    const cursor = this.#cursors.get(writer)
    if (cursor !== undefined) return openNumbered(message, writer, cursor)
    if (writer === PLAIN_WRITER && this.#plain !== null)
      return unnumbered('plain', message, writer, this.#plain(message), applied)
    if (writer === CONTROL_WRITER) return unnumbered('control', message, writer, controlRecords(message), applied)
    throw foreign(message, 'a subject that no writer of this stage has')
  }

  /** Says that the first `count` records of an opened message (counted from its start) have been applied. */
  applied(opened: Opened, count: number): void {
    const cursor = this.#cursors.get(opened.writer)
    const { header, message } = opened
    if (cursor === undefined || header === null) return
    cursor.seq = message.seq
    const number = header.first + count - 1
    if (number <= cursor.number) return
    cursor.number = number
    this.#partly = count === opened.count ? null : { message, header, count, cursor }
    if (this.#partly === null) cursor.chain = header.chainAfter
  }

  /** Before a cut: the chain inside a frame that is applied in part. Between cuts nobody asks for it. */
  settle(): void {
    if (this.#partly === null) return
    const { message, header, count, cursor } = this.#partly
    cursor.chain = chainInside(message.payload, header, count)
    this.#partly = null
  }

  /** Applies the frame's watermark, after its last record and all that it makes due; only upwards. */
  applyWatermark({ writer, header }: Opened): void {
    const cursor = this.#cursors.get(writer)
    if (cursor !== undefined && header !== null) cursor.watermark = Math.max(cursor.watermark, header.watermark)
  }

  /** Highest event time that the writers which have drained accepted; NO_WATERMARK: none that they know. */
  get drainedAt(): number {
    return Math.max(NO_WATERMARK, ...this.#others.map(({ drainedAt = NO_WATERMARK }) => drainedAt))
  }

  drained(writer: string, asOf: number | null): void {
    const cursor = this.#cursors.get(writer)
    if (cursor === undefined) return
    cursor.drained = true
    cursor.drainedAt = asOf ?? NO_WATERMARK
  }
}

function openNumbered(message: LogMessage, writer: string, cursor: WriterCursor): Opened {
  const header = parseFrameHeader(message.headers?.[FRAME_HEADER])
  if (header === null) throw foreign(message, 'a frame of a numbered writer has no valid header')
  const facts = {
    subject: message.subject,
    seq: message.seq,
    first: header.first,
    count: header.count,
    number: cursor.number,
  }
  if (header.first > cursor.number + 1) throw new HoldfastError('GAP', 'records of a writer are missing', facts)
  const skipped = Math.min(header.count, cursor.number + 1 - header.first)
  checkChain(message, header, skipped, cursor, facts)
  const all = JSON.parse(utf8(message.payload)) as unknown[]
  assert(all.length === header.count, 'a record stands on a line of its own')
  const records = skipped === 0 ? all : all.slice(skipped)
  if (cursor.drained && records.length > 0) throw foreign(message, 'a writer goes on after its drain')
  return { message, kind: 'numbered', writer, records, skipped, count: header.count, header }
}

/** The chain over all records leads from chainBefore to chainAfter, and passes what the cursor remembers. */
function checkChain(
  message: LogMessage,
  header: FrameHeader,
  skipped: number,
  cursor: WriterCursor,
  facts: Record<string, string | number>,
): void {
  const { payload } = message
  const chain = Chain.fromHex(header.chainBefore)
  const count = chainRecords(chain, payload)
  if (count !== header.count || chain.hex !== header.chainAfter) {
    throw foreign(message, 'the records of a frame are not the ones its header says')
  }
  const atCursor = skipped === 0 ? header.chainBefore : chainInside(payload, header, skipped)
  const reachesCursor = header.first + skipped - 1 === cursor.number
  if (reachesCursor && atCursor !== cursor.chain) {
    throw new HoldfastError('LOG_WENT_BACK', 'a writer sends other records than the ones applied before', {
      ...facts,
      chain: atCursor,
      applied_chain: cursor.chain,
    })
  }
}

function chainInside(payload: Uint8Array, header: FrameHeader, count: number): string {
  const chain = Chain.fromHex(header.chainBefore)
  chainRecords(chain, payload, count)
  return chain.hex
}

function unnumbered(
  kind: 'plain' | 'control',
  message: LogMessage,
  writer: string,
  all: readonly unknown[],
  applied: number,
): Opened {
  const records = applied === 0 ? all : all.slice(applied)
  return { message, kind, writer, records, skipped: applied, count: all.length, header: null }
}

/** Only Holdfast writes control records, as an array: anything else there is a stranger's. */
function controlRecords(message: LogMessage): unknown[] {
  try {
    const value: unknown = JSON.parse(utf8(message.payload))
    if (Array.isArray(value)) return value
  } catch {
    // said below
  }
  throw foreign(message, 'a control message is not an array of control records')
}

function utf8(payload: Uint8Array): string {
  return Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength).toString('utf8')
}

function foreign(message: LogMessage, why: string): HoldfastError {
  return new HoldfastError('FOREIGN_WRITE', why, { subject: message.subject, seq: message.seq })
}

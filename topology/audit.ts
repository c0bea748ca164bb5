// Audits a log (oracle O3 of reliability.md): walks every writer's messages in every stream of a plan and checks that numbers
// have no gap, chains are unbroken, generations and positions never go back, and nobody else wrote.
// A1: it trusts nothing but the messages: chains are computed again from the bytes.
// A2: the first message of a trimmed stream starts a chain with what its header says; the number trimmed is reported.

import { Chain, eachRecord, FRAME_HEADER, type FrameHeader, parseFrameHeader } from '../log/frame.ts'
import type { Log, LogMessage, StreamState } from '../log/log.ts'
import { comparePositions, startOf } from '../log/numbering.ts'
import { RECORD_HEADER } from '../log/writer.ts'
import {
  CONTROL_WRITER,
  outputDestination,
  PLAIN_WRITER,
  type Plan,
  stageStream,
  stageSubject,
  takesEvents,
  taskName,
} from './plan.ts'

export interface AuditRow {
  readonly stream: string
  readonly writer: string
  messages: number
  records: number
  generations: number
  /** Records trimmed before the first message; 0 if the stream is whole. */
  trimmed: number
}

export interface AuditReport {
  readonly rows: AuditRow[]
  /** What does not add up, each with its stream and sequence. Empty: all is well. */
  readonly faults: string[]
}

/** Faults after which a stream is not walked on: one broken chain makes every later message look broken. */
const FAULTS_MAX = 20
/** Milliseconds to wait for messages that are known to be there. */
const READ_WAIT_MS = 1_000

/** Walks all streams of a plan up to where they end now. */
export async function audit(plan: Plan, log: Log): Promise<AuditReport> {
  const report: AuditReport = { rows: [], faults: [] }
  for (const stage of plan.stages) {
    for (let p = 0; p < plan.partitions; p++) {
      const walk = new StreamWalk(stageStream(plan.namespace, stage.name, p), report)
      for (const writer of stage.writers) walk.expect(writer, stageSubject(plan.namespace, stage.name, p, writer))
      for (const writer of [CONTROL_WRITER, ...(takesEvents(stage) ? [PLAIN_WRITER] : [])]) {
        walk.expectUnnumbered(writer, stageSubject(plan.namespace, stage.name, p, writer))
      }
      await walk.run(log)
      for (const output of stage.outputs) {
        const { stream, subject } = outputDestination(plan, output, p)
        const outputWalk = new StreamWalk(stream, report)
        outputWalk.expect(taskName(stage.name, p), subject)
        await outputWalk.run(log)
      }
    }
  }
  return report
}

/** What is known of one writer while its messages go by. */
interface Track {
  readonly row: AuditRow
  /** null: unnumbered. */
  chain: Chain | null
  number: number
  generation: number
  covered: { seq: number; index: number }
  started: boolean
}

class StreamWalk {
  readonly #stream: string
  readonly #report: AuditReport
  readonly #tracks = new Map<string, Track>()
  #faults = 0

  constructor(stream: string, report: AuditReport) {
    this.#stream = stream
    this.#report = report
  }

  expect(writer: string, subject: string): void {
    this.#add(writer, subject, Chain.fromHex(startOf(writer, subject).chain))
  }

  expectUnnumbered(writer: string, subject: string): void {
    this.#add(writer, subject, null)
  }

  #add(writer: string, subject: string, chain: Chain | null): void {
    const row: AuditRow = { stream: this.#stream, writer, messages: 0, records: 0, generations: 0, trimmed: 0 }
    const covered = { seq: 0, index: 0 }
    this.#tracks.set(subject, { row, chain, number: 0, generation: 0, covered, started: false })
  }

  async run(log: Log): Promise<void> {
    const state = await log.streamState(this.#stream)
    if (state === null) this.#fault(0, 'the stream does not exist')
    else if (state.lastSeq >= state.firstSeq && state.lastSeq > 0) await this.#read(log, state)
    for (const { row } of this.#tracks.values()) if (row.messages > 0) this.#report.rows.push(row)
  }

  async #read(log: Log, { created, firstSeq, lastSeq }: StreamState): Promise<void> {
    const reader = await log.read(this.#stream, { seq: firstSeq - 1, digest: '', created })
    try {
      for (let seq = 0; seq < lastSeq && this.#faults < FAULTS_MAX; ) {
        for (const message of await reader.next(READ_WAIT_MS)) {
          seq = message.seq
          this.#see(message)
        }
      }
    } finally {
      await reader.stop()
    }
  }

  #see(message: LogMessage): void {
    const track = this.#tracks.get(message.subject)
    if (track === undefined) this.#fault(message.seq, `nobody of the plan writes to ${message.subject}`)
    else this.#seeOf(track, message)
  }

  #seeOf(track: Track, message: LogMessage): void {
    track.row.messages++
    if (track.chain === null) return
    const header = parseFrameHeader(message.headers?.[FRAME_HEADER])
    const record = message.headers?.[RECORD_HEADER]
    if (record !== undefined) this.#seeRecord(message, track, record, header)
    else if (header === null) this.#fault(message.seq, 'a numbered writer wrote without a valid header')
    else this.#seeFrame(message, track, header)
  }

  #seeFrame(message: LogMessage, track: Track, header: FrameHeader): void {
    const { row } = track
    if (!track.started && header.first > 1) this.#startTrimmed(track, header.first - 1, header.chainBefore)
    track.started = true
    if (header.first !== track.number + 1)
      this.#fault(message.seq, `${row.writer}: number ${header.first} follows ${track.number}`)
    if (header.chainBefore !== track.chain!.hex)
      this.#fault(message.seq, `${row.writer}: the chain before is not the one after the last frame`)
    const count = eachRecord(message.payload, (from, to) => track.chain!.add(message.payload, from, to))
    if (count !== header.count)
      this.#fault(message.seq, `${row.writer}: ${count} records where the header says ${header.count}`)
    if (header.chainAfter !== track.chain!.hex)
      this.#fault(message.seq, `${row.writer}: the chain after is not that of the records`)
    row.records += header.count
    track.number = header.first + header.count - 1
    track.chain = Chain.fromHex(header.chainAfter)
    this.#seeOwner(message, track, header)
  }

  /** One message per record; the last one of a batch carries the frame header. */
  #seeRecord(message: LogMessage, track: Track, identity: string, header: FrameHeader | null): void {
    const { row } = track
    const number = Number(identity.slice(identity.lastIndexOf('.') + 1))
    if (identity.slice(0, identity.lastIndexOf('.')) !== row.writer)
      this.#fault(message.seq, `${identity} is not of ${row.writer}`)
    if (!track.started && number > 1) this.#startTrimmed(track, number - 1, null)
    track.started = true
    if (number !== track.number + 1) this.#fault(message.seq, `${row.writer}: number ${number} follows ${track.number}`)
    track.number = number
    row.records++
    track.chain!.add(message.payload, 0, message.payload.length)
    if (header === null) return
    if (header.first + header.count - 1 !== number)
      this.#fault(message.seq, `${row.writer}: the batch's header ends elsewhere`)
    const whole = row.trimmed === 0
    if (whole && header.chainAfter !== track.chain!.hex)
      this.#fault(message.seq, `${row.writer}: the chain after is not that of the records`)
    this.#seeOwner(message, track, header)
  }

  #startTrimmed(track: Track, number: number, chain: string | null): void {
    track.row.trimmed = number
    track.number = number
    if (chain !== null) track.chain = Chain.fromHex(chain)
  }

  #seeOwner(message: LogMessage, track: Track, header: FrameHeader): void {
    const { row } = track
    if (header.generation < track.generation) {
      this.#fault(message.seq, `${row.writer}: generation ${header.generation} follows ${track.generation}`)
    }
    if (header.generation > track.generation) row.generations++
    track.generation = Math.max(track.generation, header.generation)
    const covered = { seq: header.coveredSeq, index: header.coveredIndex }
    if (comparePositions(covered, track.covered) < 0) {
      this.#fault(
        message.seq,
        `${row.writer}: position ${covered.seq}.${covered.index} follows ${track.covered.seq}.${track.covered.index}`,
      )
    }
    track.covered = covered
  }

  #fault(seq: number, what: string): void {
    this.#faults++
    this.#report.faults.push(`${this.#stream} sequence ${seq}: ${what}`)
  }
}

// Reads a file into the source stage's streams: the only clock of a bounded run (`clock: data`, protocol.md, section 8).
// FS1: each record carries the highest event_time of the valid lines before it, whatever the partition; with each flush
//      every partition hears how far that has come, also those without records.
// FS2: a frame says up to which line its writer had read (covered), so that a start after a crash reads on from the lowest
//      of these and skips, per partition, what is there.
// FS3: what is a valid line, and whose, is decided by the same code as in the task (operators/event.ts).
// The task parses again and decides about dead letters; here the bytes only pass through.

import { randomBytes } from 'node:crypto'
import { createReadStream, type ReadStream } from 'node:fs'
import { stat } from 'node:fs/promises'
import { createGunzip } from 'node:zlib'
import { assert, HoldfastError } from '../log/errors.ts'
import { FRAME_HEADER, NO_WATERMARK, parseFrameHeader, partitionOf } from '../log/frame.ts'
import type { Log } from '../log/log.ts'
import { Numbering, startOf } from '../log/numbering.ts'
import { askPatiently, type OnWait } from '../log/patience.ts'
import type { Owner } from '../log/recovery.ts'
import type { Runtime } from '../log/runtime.ts'
import { Writer } from '../log/writer.ts'
import { type EventSettings, isRejected, parseEventBytes, utf8Text } from '../operators/event.ts'
import { type Line, linesOf } from '../sinks/lines.ts'
import type { Drain } from './control.ts'
import { exchangeDestination, FILE_WRITER, type Plan } from './plan.ts'
import { encodeFileRecord, watermarkOfStamp } from './records.ts'

export interface FileSourceOptions {
  readonly plan: Plan
  readonly log: Log
  readonly runtime: Runtime
  readonly path: string
  readonly event: EventSettings
  readonly onWait: OnWait
}

export interface FileProgress {
  /** Lines of the file behind us, those skipped at the start included. */
  readonly line: number
  /** Lines that are read (not blank), of this process. */
  readonly read: number
  /** Bytes of the file as it lies on disk. */
  readonly bytes: number
  readonly bytesTotal: number
  /** Highest event time so far, milliseconds; null before the first valid line. */
  readonly stamp: number | null
  /** Line after which this process began. */
  readonly resumedAtLine: number
  readonly done: boolean
}

/** Bytes read from the file at once. */
const CHUNK_BYTES = 256 * 1024
/** Bytes of records that wait for one partition before all are flushed: less than a frame (FS2), and more than any record. */
const FLUSH_BYTES = 448 * 1024
/** Lines between two flushes, so that partitions with few records hear of time as well. */
const FLUSH_LINES = 16_384

interface Lane {
  readonly writer: Writer
  readonly numbering: Numbering
  /** Lines up to here are in the log already. */
  readonly covered: number
  records: string[]
  bytes: number
}

export class FileSource {
  readonly #o: FileSourceOptions
  #lanes: Lane[] = []
  #stamp: number | null = null
  #line = 0
  #read = 0
  #resumedAtLine = 0
  #bytes = 0
  #bytesTotal = 0
  #linesSinceFlush = 0
  /** The flush under way. */
  #sent: Promise<unknown> = Promise.resolve()
  #stopping = false
  #done = false

  constructor(options: FileSourceOptions) {
    this.#o = options
  }

  get progress(): FileProgress {
    return {
      line: this.#line,
      read: this.#read,
      bytes: this.#bytes,
      bytesTotal: this.#bytesTotal,
      stamp: this.#stamp,
      resumedAtLine: this.#resumedAtLine,
      done: this.#done,
    }
  }

  stop(): void {
    this.#stopping = true
  }

  /** Reads to the end of the file, then sends drain; returns when the log has all of it, or after stop(). */
  async run(): Promise<void> {
    await this.#open()
    const file = createReadStream(this.#o.path, { highWaterMark: CHUNK_BYTES })
    const batches = linesOf(this.#chunksOf(file), this.#resumedAtLine)
    try {
      for (;;) {
        const next = await batches.next()
        if (next.done) {
          await this.#drain(next.value)
          break
        }
        for (const line of next.value) await this.#take(line)
        if (this.#stopping) return
      }
      this.#done = true
    } finally {
      file.destroy()
      await this.#sent.catch(() => {})
    }
  }

  async #open(): Promise<void> {
    const { plan, log, runtime, path, onWait } = this.#o
    const [stage] = plan.stages
    this.#bytesTotal = (await stat(path)).size
    const destinations = Array.from({ length: plan.partitions }, (_, p) =>
      exchangeDestination(plan, stage!.name, p, FILE_WRITER),
    )
    const lasts = await Promise.all(
      destinations.map(({ stream, subject }) =>
        askPatiently(this.#o, stream, () => log.lastOnSubject(stream, subject)),
      ),
    )
    const generations = lasts.map((last) => parseFrameHeader(last?.headers?.[FRAME_HEADER])?.generation ?? 0)
    const owner: Owner = { generation: 1 + Math.max(...generations), instance: randomBytes(4).toString('hex') }
    const writers: Writer[] = []
    for (const destination of destinations) {
      const options = { log, runtime, writer: FILE_WRITER, destination, onWait }
      writers.push(await Writer.open(options, owner, { number: 0, chain: '', seq: 0 }))
    }
    for (const writer of writers) await writer.claim()
    // Only now: until a claim is there, a frame of a predecessor may still land, with lines and stamps of its own.
    this.#lanes = writers.map(laneOf)
    const lowest = this.#lanes.reduce((a, b) => (b.covered < a.covered ? b : a))
    this.#resumedAtLine = lowest.covered
    this.#line = lowest.covered
    const { foundWatermark } = lowest.writer
    this.#stamp = foundWatermark === NO_WATERMARK ? null : foundWatermark + plan.latenessMs + 1
  }

  /** Throws USAGE where the file cannot be read or unpacked. */
  async *#chunksOf(file: ReadStream): AsyncIterable<Uint8Array> {
    const { path } = this.#o
    file.on('data', (chunk) => {
      this.#bytes += chunk.length
    })
    try {
      yield* path.endsWith('.gz') ? unpacked(file) : (file as AsyncIterable<Buffer>)
    } catch (error) {
      throw new HoldfastError('USAGE', `cannot read ${path}: ${error instanceof Error ? error.message : error}`)
    }
  }

  async #take(line: Line): Promise<void> {
    if (!line.blank) {
      const { lane, record, time } = this.#encode(line)
      const bytes = record === null ? 0 : Buffer.byteLength(record)
      if (lane.bytes + bytes > FLUSH_BYTES) await this.#flush(line.number - 1)
      if (record !== null) lane.records.push(record)
      lane.bytes += bytes
      if (time !== null && (this.#stamp === null || time > this.#stamp)) this.#stamp = time
      this.#read++
    }
    this.#line = line.number
    if (++this.#linesSinceFlush >= FLUSH_LINES) await this.#flush(line.number)
  }

  /** Where a line goes, its record (null: it is in the log already), and its event time (null: it is no valid event). */
  #encode({ number, bytes }: Line): { lane: Lane; record: string | null; time: number | null } {
    const { plan, event: settings } = this.#o
    const event = parseEventBytes(bytes, settings)
    const valid = !isRejected(event)
    const user = valid && !event.anonymous ? event.user : ''
    const lane = this.#lanes[partitionOf(user, plan.partitions)]!
    const record =
      number > lane.covered ? encodeFileRecord(number, this.#stamp, valid ? utf8Text(bytes) : null, bytes) : null
    return { lane, record, time: valid ? event.time : null }
  }

  /** The drain record stands one past the last line. */
  async #drain(lines: number): Promise<void> {
    await this.#flush(Math.max(this.#line, lines))
    const drain: Drain = { hf: 'drain', as_of: null }
    const place = lines + 1
    for (const lane of this.#lanes) if (lane.covered < place) lane.records.push(JSON.stringify(drain))
    await this.#flush(place)
    await this.#sent
  }

  /** Everything read up to this line goes out, and every partition hears of it; the next lines are read meanwhile. */
  async #flush(line: number): Promise<void> {
    const watermark = watermarkOfStamp(this.#stamp, this.#o.plan.latenessMs)
    this.#linesSinceFlush = 0
    const outboxes = this.#lanes.map((lane) => {
      const outbox = lane.numbering.take(lane.records, watermark, { seq: line, index: 0 })
      assert(outbox.chunks.length <= 1, 'a flush is one frame per partition')
      lane.records = []
      lane.bytes = 0
      return outbox
    })
    await this.#sent
    const sends = this.#lanes.map(({ writer }, i) => writer.send(outboxes[i]!, true))
    this.#sent = Promise.all(sends)
    // What fails is thrown by the next flush, or at the end.
    this.#sent.catch(() => {})
  }
}

function unpacked(file: ReadStream): AsyncIterable<Buffer> {
  const gunzip = createGunzip()
  file.on('error', (error) => gunzip.destroy(error))
  return file.pipe(gunzip)
}

/** What a partition has already, from its last frame. */
function laneOf(writer: Writer): Lane {
  const { number, chain } = writer.published
  const computed = number === 0 ? startOf(FILE_WRITER, writer.destination.subject) : { number, chain }
  const covered = writer.foundCovered?.seq ?? 0
  return { writer, numbering: new Numbering('frames', computed), covered, records: [], bytes: 0 }
}

// The input log of the first stage, made without a broker: what each partition's stream holds, message for message.
// `clock: data`: numbered frames as the file reader writes them, but small ones, with empty frames between. `clock: wall`:
// messages of plain clients, ticks and a config record. The times of the messages are part of the log.

import { Random } from '../../cli/generate/random.ts'
import { encodeFrameHeader, FRAME_HEADER, NO_WATERMARK, partitionOf } from '../../log/frame.ts'
import type { LogMessage } from '../../log/log.ts'
import { Numbering, startOf } from '../../log/numbering.ts'
import { type Event, isRejected, parseEventBytes, type Rejected } from '../../operators/event.ts'
import { CONTROL_WRITER, FILE_WRITER, PLAIN_WRITER, type Plan, stageSubject } from '../../topology/plan.ts'
import { encodeFileRecord, watermarkOfStamp } from '../../topology/records.ts'
import { EVENTS_START_MS } from './events.ts'
import { ANONYMOUS } from './topologies.ts'

/** A message as a stream will store it; its sequence is its place in the list, from 1. */
export type InputMessage = Omit<LogMessage, 'seq' | 'timeMs'>

/** Records of one frame. */
const FRAME_RECORDS_MAX = 24

/** The user whose partition a line goes to. */
function userOf(event: Event | Rejected): string {
  return isRejected(event) || event.anonymous ? '' : event.user
}

/** By partition. */
export function inputOf(plan: Plan, lines: readonly string[], seed: number): InputMessage[][] {
  return plan.clock === 'data' ? fileFrames(plan, lines, seed) : plainMessages(plan, lines, seed)
}

function fileFrames(plan: Plan, lines: readonly string[], seed: number): InputMessage[][] {
  const random = new Random(seed)
  const lanes = Array.from({ length: plan.partitions }, (_, p) => new FileLane(plan, p))
  let stamp: number | null = null
  lines.forEach((text, i) => {
    if (text === '') return
    const bytes = Buffer.from(text)
    const event = parseEventBytes(bytes, { anonymous: ANONYMOUS })
    const valid = !isRejected(event)
    const lane = lanes[partitionOf(userOf(event), plan.partitions)]!
    lane.records.push(encodeFileRecord(i + 1, stamp, valid ? text : null, bytes))
    if (valid && (stamp === null || event.time > stamp)) stamp = event.time
    if (random.below(FRAME_RECORDS_MAX) === 0) {
      for (const each of lanes) if (each.records.length > 0 || random.chance(0.5)) each.flush(i + 1, stamp)
    }
  })
  for (const lane of lanes) {
    lane.flush(lines.length, stamp)
    lane.records.push(JSON.stringify({ hf: 'drain', as_of: null }))
    lane.flush(lines.length + 1, stamp)
  }
  return lanes.map(({ messages }) => messages)
}

/** What the file reader writes to one partition. */
class FileLane {
  readonly messages: InputMessage[] = []
  records: string[] = []
  readonly #subject: string
  readonly #latenessMs: number
  readonly #numbering: Numbering

  constructor(plan: Plan, partition: number) {
    this.#subject = stageSubject(plan.namespace, plan.stages[0]!.name, partition, FILE_WRITER)
    this.#latenessMs = plan.latenessMs
    this.#numbering = new Numbering('frames', startOf(FILE_WRITER, this.#subject))
  }

  flush(line: number, stamp: number | null): void {
    const watermark = stamp === null ? NO_WATERMARK : watermarkOfStamp(stamp, this.#latenessMs)
    const { chunks, before, after } = this.#numbering.take(this.records, watermark, { seq: line, index: 0 })
    this.records = []
    const header = encodeFrameHeader({
      first: before.number + 1,
      count: after.number - before.number,
      chainBefore: before.chain,
      chainAfter: after.chain,
      generation: 1,
      instance: 'file',
      watermark,
      coveredSeq: line,
      coveredIndex: 0,
    })
    const payload = chunks[0]?.payload ?? Buffer.from('[]')
    const message = { subject: this.#subject, headers: { [FRAME_HEADER]: header }, payload }
    append(this.messages, message, stamp ?? EVENTS_START_MS)
  }
}

/** Plain clients: one event a message or several; now and then a tick, once a config record. */
function plainMessages(plan: Plan, lines: readonly string[], seed: number): InputMessage[][] {
  const random = new Random(seed)
  const lanes = Array.from({ length: plan.partitions }, (_, p) => new PlainLane(plan, p))
  let brokerMs = EVENTS_START_MS
  lines.forEach((text, i) => {
    const event = parseEventBytes(Buffer.from(text), { anonymous: ANONYMOUS })
    const lane = lanes[partitionOf(userOf(event), plan.partitions)]!
    if (isRejected(event)) lane.send(text, brokerMs)
    else {
      brokerMs = Math.max(brokerMs, event.time)
      lane.texts.push(text)
    }
    if (lane.texts.length > 0 && random.chance(0.4)) lane.flush(random.chance(0.5), brokerMs)
    if (random.chance(0.02)) {
      brokerMs += random.below(10 * 60_000)
      for (const each of lanes) each.control({ hf: 'tick' }, brokerMs)
    }
    if (i !== lines.length >> 1) return
    const config = { hf: 'config', kind: 'test', activation: 1, from: EVENTS_START_MS, body: 1 }
    for (const each of lanes) each.control(config, brokerMs)
  })
  for (const lane of lanes) lane.flush(true, brokerMs)
  return lanes.map(({ messages }) => messages)
}

/** What plain clients, and the node of the lease holder, write to one partition. */
class PlainLane {
  readonly messages: InputMessage[] = []
  readonly texts: string[] = []
  readonly #subjectOf: (writer: string) => string

  constructor(plan: Plan, partition: number) {
    this.#subjectOf = (writer) => stageSubject(plan.namespace, plan.stages[0]!.name, partition, writer)
  }

  send(text: string, brokerMs: number): void {
    append(
      this.messages,
      { subject: this.#subjectOf(PLAIN_WRITER), headers: null, payload: Buffer.from(text) },
      brokerMs,
    )
  }

  flush(asArray: boolean, brokerMs: number): void {
    const texts = this.texts.splice(0)
    if (texts.length === 1 && !asArray) this.send(texts[0]!, brokerMs)
    else if (texts.length > 0) this.send(`[${texts.join(',')}]`, brokerMs)
  }

  control(record: unknown, brokerMs: number): void {
    const payload = Buffer.from(JSON.stringify([record]))
    append(this.messages, { subject: this.#subjectOf(CONTROL_WRITER), headers: null, payload }, brokerMs)
  }
}

/** Times of a stream rise with every message. */
function append(messages: InputMessage[], message: Omit<InputMessage, 'timeNs'>, brokerMs: number): void {
  const before = messages.at(-1)?.timeNs ?? 0n
  const now = BigInt(brokerMs) * 1_000_000n
  messages.push({ ...message, timeNs: now > before ? now : before + 1n })
}

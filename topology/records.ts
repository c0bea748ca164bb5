// The shapes of records in a stage's stream, and how they become envelopes for operators.
//   from the file reader:   [line, stamp, text]  or  [line, stamp, null, base64] where the bytes are not UTF-8
//   from another stage:     see encodeRecord() in topology/outgoing.ts
//   from plain clients:     operators/arrival.ts
//   from a feeder:          as from another stage; the payload is the text of an event, or ["base64"] where it may be none
// The stamp is the highest event_time of the valid lines before, null if there was none (protocol.md, section 8).

import { NO_WATERMARK } from '../log/frame.ts'
import { type Arrival, rawBytes } from '../operators/arrival.ts'
import { EVENT_BYTES_MAX, REFUSED_BYTES_KEPT, utf8Text } from '../operators/event.ts'
import { RANK, type Rec } from '../operators/operator.ts'
import type { ExchangeCodec } from './plan.ts'

export type FileRecord = readonly [line: number, stamp: number | null, text: string | null, base64?: string]

/** W = stamp - lateness - 1 ms: what the file reader promises after a line with this stamp. */
export function watermarkOfStamp(stamp: number | null, latenessMs: number): number {
  return stamp === null ? NO_WATERMARK : stamp - latenessMs - 1
}

export function encodeFileRecord(line: number, stamp: number | null, text: string | null, bytes: Uint8Array): string {
  if (text !== null) return `[${line},${stamp},${JSON.stringify(text)}]`
  return `[${line},${stamp},null,"${Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64')}"]`
}

/** A line of the file, with the watermark before it. */
export function fileArrival(
  record: FileRecord,
  place: Arrival['position'],
  index: number,
  latenessMs: number,
  input: number,
): Rec<Arrival> {
  const [line, stamp, text, base64] = record
  const value: Arrival = { raw: text ?? Buffer.from(base64!, 'base64'), value: undefined, position: place, index, line }
  return arrivalRec(value, watermarkOfStamp(stamp, latenessMs), line, input)
}

/** An arrival of a plain client; its watermark is only known once the ones before it are validated. */
export function plainArrival(value: Arrival, number: number, input: number): Rec<Arrival> {
  return arrivalRec(value, NO_WATERMARK, number, input)
}

/** An arrival of a feeder, which does not look into it: it stands at its ingest time. */
export function uploadArrival(value: Arrival, number: number, input: number): Rec<Arrival> {
  return { ...arrivalRec(value, NO_WATERMARK, number, input), at: value.position.ingestMs! }
}

/**
 * What a feeder sends to the source: the bytes as they were sent. Of what is too large for an event only so much that its dead
 * letter is the same; in base64, where no byte takes six, so that it fits a frame.
 */
export const UPLOADED: ExchangeCodec<Arrival, Arrival['raw']> = {
  name: 'uploaded event',
  version: 1,
  where: () => true,
  key: () => '',
  encode: (arrival) => {
    const bytes = rawBytes(arrival)
    const text = bytes.length <= EVENT_BYTES_MAX ? utf8Text(bytes) : null
    if (text !== null) return JSON.stringify(text)
    return JSON.stringify([Buffer.from(bytes.subarray(0, REFUSED_BYTES_KEPT)).toString('base64')])
  },
  decode: (json) => (typeof json === 'string' ? json : Buffer.from((json as [string])[0], 'base64')),
}

/** An arrival that a feeder has sent, at its place in the source's own log: there it is judged as one of a plain client. */
export function fedArrival(
  json: unknown,
  position: Arrival['position'],
  index: number,
  number: number,
  input: number,
): Rec<Arrival> {
  const [, , payload] = json as [at: number, marks: number, payload: unknown]
  const raw = UPLOADED.decode(payload, 0)
  return plainArrival({ raw, value: undefined, position, index, line: null }, number, input)
}

/** A message of 1 MiB has fewer records: each takes two bytes or more. */
const RECORDS_PER_MESSAGE = 2 ** 20

/** `clock: wall`: a record's place in its task's log as one number, so that no two records have the same. */
export function placeNumber(seq: number, index: number): number {
  return seq * RECORDS_PER_MESSAGE + index
}

function arrivalRec(value: Arrival, watermark: number, number: number, input: number): Rec<Arrival> {
  return { value, at: 0, watermark, late: false, rank: RANK.record, type: '', id: '', number, input }
}

/** A record of another stage; `watermark` is the task's before it, `place` its number where it does not bring one. */
export function exchangeRec(
  json: unknown,
  codec: ExchangeCodec<unknown, unknown>,
  watermark: number,
  place: number,
  input: number,
): Rec<unknown> {
  // By index, not by pattern: an iterator per record would cost as much as the rest.
  const fields = json as [at: number, marks: number, payload: unknown, number?: number, type?: string, id?: string]
  const at = fields[0]
  return {
    value: codec.decode(fields[2], at),
    at,
    watermark,
    late: (fields[1] & 1) !== 0,
    rank: (fields[1] & 2) === 0 ? RANK.record : RANK.timer,
    type: fields[4] ?? '',
    id: fields[5] ?? '',
    number: fields[3] ?? place,
    input,
  }
}

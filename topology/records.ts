// The shapes of records in a stage's stream, and how they become envelopes for operators.
//   from the file reader:   [line, stamp, text]  or  [line, stamp, null, base64] where the bytes are not UTF-8
//   from another stage:     see encodeRecord() in topology/outgoing.ts
//   from plain clients:     operators/arrival.ts
// The stamp is the highest event_time of the valid lines before, null if there was none (protocol.md, section 8).

import { NO_WATERMARK } from '../log/frame.ts'
import type { Arrival } from '../operators/arrival.ts'
import type { Rec } from '../operators/operator.ts'
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

/** A message of 1 MiB has fewer records: each takes two bytes or more. */
const RECORDS_PER_MESSAGE = 2 ** 20

/** `clock: wall`: a record's place in its task's log as one number, so that no two records have the same. */
export function placeNumber(seq: number, index: number): number {
  return seq * RECORDS_PER_MESSAGE + index
}

function arrivalRec(value: Arrival, watermark: number, number: number, input: number): Rec<Arrival> {
  return { value, at: 0, watermark, late: false, type: '', id: '', number, input }
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
  const fields = json as [at: number, late: 0 | 1, payload: unknown, number?: number, type?: string, id?: string]
  const at = fields[0]
  return {
    value: codec.decode(fields[2], at),
    at,
    watermark,
    late: fields[1] === 1,
    type: fields[4] ?? '',
    id: fields[5] ?? '',
    number: fields[3] ?? place,
    input,
  }
}

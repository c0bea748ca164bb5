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
): Rec<Arrival> {
  const [line, stamp, text, base64] = record
  const value: Arrival = { raw: text ?? Buffer.from(base64!, 'base64'), position: place, index, line }
  return arrivalRec(value, watermarkOfStamp(stamp, latenessMs), line)
}

/** An arrival of a plain client; its watermark is only known once the ones before it are validated. */
export function plainArrival(value: Arrival): Rec<Arrival> {
  return arrivalRec(value, NO_WATERMARK, 0)
}

function arrivalRec(value: Arrival, watermark: number, number: number): Rec<Arrival> {
  return { value, at: 0, watermark, late: false, type: '', id: '', number, input: 0 }
}

/** A record of another stage; `watermark` is the task's before it. */
export function exchangeRec(json: unknown, codec: ExchangeCodec<unknown, unknown>, watermark: number): Rec<unknown> {
  const [at, late, payload, number = 0, type = '', id = ''] = json as [
    number,
    0 | 1,
    unknown,
    number?,
    string?,
    string?,
  ]
  return { value: codec.decode(payload, at), at, watermark, late: late === 1, type, id, number, input: 0 }
}

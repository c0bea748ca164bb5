// Lines of attributions.ndjson and labels.ndjson from the records of the joiner's outputs (contract.md, section 7).
// JL1: `complete` of a line is by the highest accepted event time of the whole run, which no task knows while it runs.

import { createHash } from 'node:crypto'
import stringify from 'fast-json-stable-stringify'
import { type AttributionSettings, lengthFor } from '../operators/attribution-settings.ts'
import type { AttributionRecord, LabelRecord, LabelRow } from '../operators/touch.ts'

const MICRO = 1e6
const ROW_ID_HEX_DIGITS = 32

/** What a line of labels.ndjson says. */
export interface LabelLine {
  readonly row_id: string
  readonly touch_id: string
  readonly user_id: string
  readonly touch_time: number
  /** Not given: without declared goals. */
  readonly goal?: string
  readonly window: string
  readonly kind: LabelRecord['kind']
  readonly y: 0 | 1
  readonly count: number
  readonly value: number
  readonly complete: boolean
}

/** The file tells less than the stream: neither whether the conversion was late, nor what a first attribution is not. */
export function attributionLine({ late: _, ...line }: AttributionRecord): object {
  return line
}

/** The lines of a record of the output of labels. `asOfMs`: the highest accepted event time. */
export function labelLines(
  record: LabelRecord,
  asOfMs: number,
  { windows, graceMs }: Pick<AttributionSettings, 'windows' | 'graceMs'>,
): LabelLine[] {
  const { touch_id, touch_type, user_id, touch_time, kind } = record
  return record.rows.map((row) => {
    const { goal, window: name, y, count, value } = row
    const lengthMs = lengthFor(windows.find((window) => window.name === name)!, touch_type)!
    return {
      ...{ row_id: rowId(record, row), touch_id, user_id, touch_time },
      ...(goal === undefined ? {} : { goal }),
      ...{ window: name, kind, y, count, value: value / MICRO, complete: touch_time + lengthMs + graceMs <= asOfMs },
    }
  })
}

/** First 32 hex digits of the SHA-256 of the canonical JSON of what tells a row from all others. */
export function rowId({ user_id, touch_type, touch_id, touch_time, kind }: LabelRecord, row: LabelRow): string {
  const { goal, window, number } = row
  const parts = [user_id, touch_type, touch_id, touch_time, window, kind, number, ...(goal === undefined ? [] : [goal])]
  return createHash('sha256').update(stringify(parts)).digest('hex').slice(0, ROW_ID_HEX_DIGITS)
}

// Label records as the text that is published.
// LT1: the text is what JSON.stringify writes of a LabelRecord. It is put together by hand because nearly all rows say 0 and are the
//      same for every touch: they are text once, and a record costs its six ids.

import { quotedId } from './event.ts'
import type { Lane, Step } from './label-lanes.ts'
import type { TrainingRow } from './model-records.ts'
import type { LabelKind, LabelRow, Touch } from './touch.ts'

/** What rows say of a touch. */
export type RowTouch = Pick<Touch, 'type' | 'id' | 'timeMs' | 'user' | 'advertiser' | 'campaign' | 'ad' | 'scored'>

/** A LabelRecord with these rows, which are JSON. */
export function recordJson(touch: RowTouch, kind: LabelKind, isComplete: boolean, rows: string): string {
  const { id, type, user, advertiser, campaign, ad, timeMs } = touch
  const who = `"touch_id":${quotedId(id)},"touch_type":"${type}","user_id":${quotedId(user)}`
  const where = `"advertiser_id":${quotedId(advertiser)},"campaign_id":${quotedId(campaign)},"ad_id":${quotedId(ad)}`
  return `{${who},${where},"touch_time":${timeMs},"kind":"${kind}","complete":${isComplete},"rows":${rows}}`
}

export function rowOf(
  { goal, windowName: window }: Lane,
  said: Pick<LabelRow, 'number' | 'y' | 'count' | 'value'>,
): LabelRow {
  return goal === '' ? { window, ...said } : { goal, window, ...said }
}

/** What a step says of a touch without credit where no goals are declared, and what it counts. */
export interface PlainRows {
  readonly json: string
  /** The same as lanes of a row that teaches. */
  readonly lanes: TrainingRow['lanes']
  readonly counts: readonly string[]
  /** Beside those, of complete rows. */
  readonly completeCounts: readonly string[]
}

export function plainRows({ kind, windows }: Step, lanes: readonly Lane[]): PlainRows {
  const said = windows.map((window) => lanes[window]!)
  return {
    json: JSON.stringify(said.map((lane) => rowOf(lane, { number: 1, y: 0, count: 0, value: 0 }))),
    lanes: windows.map((window) => ({ window, y: 0, count: 0 })),
    counts: said.map(({ counts }) => counts[kind]),
    completeCounts: kind === 'M' ? said.map(({ counts }) => counts.complete) : [],
  }
}

// A row that teaches as a list, without the names of its fields: how it travels (topology/models/row-exchange.ts), and how the trainer keeps it.

import type { TrainingRow } from './model-records.ts'
import type { LabelKind, TouchType } from './touch.ts'

export type RowList = [
  ...[kind: LabelKind, complete: 0 | 1, touchId: string, touchType: 'c' | 'i', user: string, advertiser: string],
  ...[touchTimeMs: number, version: number, input: string | null, p: readonly number[], lanes: readonly number[]],
]

/** A row without names, as short JSON. */
export function listOfRow(row: TrainingRow): RowList {
  const { kind, complete, touchId, touchType, user, advertiser, touchTimeMs, version, input, p, lanes } = row
  return [
    ...([kind, complete ? 1 : 0, touchId, touchType === 'click' ? 'c' : 'i', user, advertiser] as const),
    ...([touchTimeMs, version, input, p, lanes.flatMap(({ window, y, count }) => [window, y, count])] as const),
  ]
}

/** Of what listOfRow has made. */
export function rowOfList(list: RowList): TrainingRow {
  const [kind, complete, touchId, type, user, advertiser, touchTimeMs, version, input, p, flat] = list
  const touchType: TouchType = type === 'c' ? 'click' : 'impression'
  const lanes: { window: number; y: 0 | 1; count: number }[] = []
  for (let i = 0; i < flat.length; i += 3)
    lanes.push({ window: flat[i]!, y: flat[i + 1] === 1 ? 1 : 0, count: flat[i + 2]! })
  return {
    ...{ kind, complete: complete === 1, touchId, touchType, user, advertiser, touchTimeMs, lanes, version, p, input },
  }
}

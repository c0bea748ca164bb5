// Why a value is what it is: the panes and list entries that it is made of, from the record that a read of it would use.
// VE1: it adds up: the panes that are shown, joined, are the value, and the entries are its list. A pane of which nothing is
//      kept is not there.
// VE2: it is bounded, whatever a key has: EXPLAINED_PANES_MAX panes, and of each EXPLAINED_IDS_MAX ids.
// Which events they were is not kept, but for lists.

import type { FeatureGroup, KeyRecord } from '../../operators/feature-record.ts'
import type { Reading } from '../../operators/feature-values.ts'
import type { PartSpec, PartState, Tally } from '../../operators/parts.ts'
import { countIds, type IdSet } from '../../operators/sketch.ts'
import { spanOf } from '../../operators/tiles.ts'
import type { ExplainedPane, ExplainedPart, ExplainedValue } from '../../sinks/feature-reads.ts'
import { readBy } from './costs.ts'

/** A window of four weeks has 672 panes of an hour, one of twelve hours 144 of five minutes: what is more lies ahead of its time. */
export const EXPLAINED_PANES_MAX = 1_000
/** A person looks for an example; all ids of a thousand panes would be megabytes. */
export const EXPLAINED_IDS_MAX = 10

/** What a value is made of, without its name and itself. */
export type MadeOf = Pick<ExplainedValue, 'from' | 'to' | 'panes' | 'entries' | 'complete'>

/** Of what is computed of other values. */
export const OF_OTHERS: MadeOf = { from: null, to: null, panes: [], entries: [], complete: true }

/** What a value at T, milliseconds, is made of. `record`: undefined where the key has none. */
export function madeOfRecord(group: FeatureGroup, reading: Reading, record: KeyRecord | undefined, T: number): MadeOf {
  if ('list' in reading) {
    const { list, withinMs } = reading
    const length = reading.fn === 'last_ids' ? reading.length : 1
    const newest = record?.lists[list]?.newestFirst() ?? []
    const entries = newest.filter(({ time }) => time > T - withinMs && time <= T).slice(0, length)
    return { ...OF_OTHERS, from: T - withinMs + 1, to: T + 1, entries }
  }
  const { window } = reading
  const seen = readBy(reading).parts.flatMap((part) => {
    const { spec } = group.parts[part]!
    return (record?.tiles.tilesIn(part, window, T) ?? []).map((tile) => ({ ...tile, spec }))
  })
  const byPane = [...Map.groupBy(seen, ({ start, widthMs }) => `${start} ${widthMs}`).values()]
  byPane.sort(([a], [b]) => b!.start - a!.start || a!.widthMs - b!.widthMs)
  const panes = byPane.slice(0, EXPLAINED_PANES_MAX).map((tiles): ExplainedPane => {
    const { start, widthMs } = tiles[0]!
    return { start, widthMs, parts: tiles.map(({ spec, state }) => partOf(spec, state)) }
  })
  return { ...spanOf(window, T), panes, entries: [], complete: panes.length === byPane.length }
}

function partOf(spec: PartSpec, state: PartState): ExplainedPart {
  const what = spec.kind
  if (what === 'distinct') {
    const set = state as IdSet
    const ids = set.ids === null ? [] : [...set.ids].sort().map((id) => ({ id, times: null }))
    return { what, value: countIds(set), ids: ids.slice(0, EXPLAINED_IDS_MAX) }
  }
  if (what === 'tally') {
    const tally = [...(state as Tally)].sort(([a, x], [b, y]) => y - x || (a < b ? -1 : 1))
    return { what, value: tally.length, ids: tally.slice(0, EXPLAINED_IDS_MAX).map(([id, times]) => ({ id, times })) }
  }
  const units = Number(state)
  if (what === 'count' || what === 'values') return { what, value: units, ids: [] }
  return { what, value: what === 'squares' ? units / spec.scale / spec.scale : units / spec.scale, ids: [] }
}

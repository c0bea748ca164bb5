// Values of features, from the record of a key, at a time: averages, variances, rates and shares are computed here and nowhere
// else, in double, in the order in which they are written (contract.md, section 6).
// FV1: nothing is made up: what no event says is absent. A count of nothing is 0, a sum too; an average of nothing is absent.
// FV2: where a feature is not complete yet, that nothing was seen is absent and never 0: it may not have been looked for. What is made
//      of several parts is absent then: one may have been kept before for another feature, and have seen other events.

import { assert } from '../log/errors.ts'
import { addExact, type Exact, multiplyExact } from './bytes.ts'
import type { Maybe } from './expression.ts'
import type { KeyRecord } from './feature-record.ts'
import type { ListEntry } from './newest-list.ts'
import type { PartState, Tally } from './parts.ts'
import { countIds, type IdSet } from './sketch.ts'
import type { TileWindow } from './tiles.ts'

/** An id list, and one with how often each id came. */
export type IdList = readonly string[]
export type WeightedIdList = readonly (readonly [id: string, weight: number])[]
export type FeatureValue = number | string | IdList | WeightedIdList

/** How a value is made of a record of its group. Plain data. */
export type Reading =
  | { readonly fn: 'count' | 'distinct'; readonly part: number; readonly window: TileWindow }
  | {
      readonly fn: 'sum' | 'least' | 'greatest'
      readonly part: number
      readonly window: TileWindow
      readonly scale: number
    }
  | {
      readonly fn: 'average'
      readonly sum: number
      readonly count: number
      readonly window: TileWindow
      readonly scale: number
    }
  | {
      readonly fn: 'variance'
      readonly sum: number
      readonly squares: number
      readonly count: number
      readonly window: TileWindow
      readonly scale: number
    }
  | { readonly fn: 'top'; readonly part: number; readonly window: TileWindow; readonly length: number }
  | { readonly fn: 'since' | 'last'; readonly list: number; readonly withinMs: number }
  | { readonly fn: 'last_ids'; readonly list: number; readonly withinMs: number; readonly length: number }

/**
 * From when a value is what it would be had its feature always been kept, milliseconds: then no window reaches back to events up to
 * `seenAfterMs`, which may not have been seen. 0: always.
 */
export function completeFrom(reading: Reading, seenAfterMs: number): number {
  if (seenAfterMs < 0) return 0
  if ('list' in reading) return seenAfterMs + reading.withinMs
  const { lengthMs, paneMs } = reading.window
  // A window that ends at T begins at (floor(T / pane) + 1) x pane - length (contract.md, section 3).
  return (Math.ceil((seenAfterMs + 1 + lengthMs) / paneMs) - 1) * paneMs
}

/** A value at T, milliseconds; undefined: absent. `record`: undefined where the key has none. */
export function featureValue(reading: Reading, record: KeyRecord | undefined, T: number): FeatureValue | undefined {
  if ('list' in reading) return listValue(reading, record?.lists[reading.list]?.newestFirst() ?? [], T)
  const part = (index: number): PartState | undefined => record?.tiles.windowOf(index, reading.window, T)
  switch (reading.fn) {
    case 'count':
      return Number(part(reading.part) ?? 0)
    case 'distinct': {
      const ids = part(reading.part)
      return ids === undefined ? 0 : countIds(ids as IdSet)
    }
    case 'sum':
      return Number(part(reading.part) ?? 0) / reading.scale
    case 'least':
    case 'greatest': {
      const units = part(reading.part)
      return units === undefined ? undefined : Number(units) / reading.scale
    }
    case 'average': {
      const [sum, count] = [part(reading.sum), part(reading.count)]
      return sum === undefined ? undefined : Number(sum) / reading.scale / Number(count)
    }
    case 'variance':
      return variance(part(reading.sum), part(reading.squares), part(reading.count), reading.scale)
    case 'top':
      return topOf(part(reading.part) as Tally | undefined, reading.length)
  }
}

/** Whether its value is 0 where there is nothing (FV1). */
export function saysNothingAs0({ fn }: Reading): boolean {
  return fn === 'count' || fn === 'distinct' || fn === 'sum'
}

/** FV2: featureValue() of what has seen every event after `seenAfterMs`; null: that is not known yet. */
export function seenValue(
  reading: Reading,
  record: KeyRecord | undefined,
  T: number,
  seenAfterMs: number | null,
): FeatureValue | undefined {
  if (seenAfterMs !== null && completeFrom(reading, seenAfterMs) <= T) return featureValue(reading, record, T)
  if (reading.fn === 'average' || reading.fn === 'variance') return undefined
  const value = featureValue(reading, record, T)
  return value === 0 && saysNothingAs0(reading) ? undefined : value
}

/** Of the population: (n Σx² - (Σx)²) / n², the upper part exact. Absent of nothing. */
function variance(
  sum: PartState | undefined,
  squares: PartState | undefined,
  count: PartState | undefined,
  scale: number,
): number | undefined {
  if (sum === undefined) return undefined
  assert(squares !== undefined && count !== undefined, 'what has a sum has squares and a count')
  const [s, q, n] = [sum as Exact, squares as Exact, count as Exact]
  const upper = addExact(multiplyExact(n, q), multiplyExact(-1, multiplyExact(s, s)))
  return Number(upper) / (Number(n) * Number(n)) / (scale * scale)
}

function topOf(tally: Tally | undefined, length: number): WeightedIdList | undefined {
  if (tally === undefined) return undefined
  const entries = [...tally].sort(([a, x], [b, y]) => y - x || Buffer.compare(Buffer.from(a), Buffer.from(b)))
  return entries.slice(0, length)
}

function listValue(
  reading: Extract<Reading, { readonly list: number }>,
  entries: readonly ListEntry[],
  T: number,
): FeatureValue | undefined {
  // What came with a later time than T was not there at T.
  const then = entries.filter(({ time }) => time <= T && time > T - reading.withinMs)
  const [newest] = then
  if (newest === undefined) return undefined
  if (reading.fn === 'since') return (T - newest.time) / 1_000
  return reading.fn === 'last_ids' ? then.slice(0, reading.length).map(({ value }) => String(value)) : newest.value
}

/** What an expression may compute with; lists have no place in one. */
export function asMaybe(value: FeatureValue | undefined): Maybe {
  return typeof value === 'object' ? undefined : value
}

// Rows that teach, as the stage of attribution says them of touches whose rates are known: made of numbers alone, so the same each time.

import { hashNumber } from '../ml/hash.ts'
import { packKeys } from '../ml/packed-rows.ts'
import { touchKeys } from '../ml/touch-features.ts'
import { ATTRIBUTION_DEFAULT, lengthFor } from '../operators/attribution-settings.ts'
import type { TrainingRow } from '../operators/model-records.ts'
import type { Rec } from '../operators/operator.ts'
import type { TouchType } from '../operators/touch.ts'
import { recordOf } from './operator-harness.ts'

const MINUTE_MS = 60_000
const DAY_MS = 1_440 * MINUTE_MS
/** The first touch, at the beginning of a day. */
export const FIRST_MS = 20_000 * DAY_MS
export const ADS = 12
const { windows, graceMs, shortWaitMs } = ATTRIBUTION_DEFAULT

export interface TaughtWorld {
  readonly touches: number
  readonly seed: number
  /** Between two touches. */
  readonly everyMs: number
  /** What scored a touch; not given: the fallback. */
  readonly scoredBy?: (timeMs: number) => { readonly version: number; readonly p: readonly number[] }
}

/** What touches of an ad say of it. */
export const factsOf = (ad: number) => ({ advertiser: `a${ad % 3}`, campaign: `c${ad % 5}`, ad: `ad${ad}` })

/** Rate of the touches of an ad. */
export const rateOf = (ad: number): number => 0.02 + 0.4 * (ad / ADS) ** 2

/** Rows of all touches, in their order. */
export function taughtRows(world: TaughtWorld): Rec<TrainingRow>[] {
  const rows = Array.from({ length: world.touches }, (_, i) => rowsOfTouch(world, i)).flat()
  rows.sort((a, b) => a.at - b.at || a.number - b.number)
  return rows.map(({ at, row }, number) => ({ ...recordOf(row, { time: at, watermark: at - 1, number }) }))
}

function rowsOfTouch({ seed, everyMs, scoredBy }: TaughtWorld, i: number) {
  const draw = (of: number) => (hashNumber(i, seed + of) >>> 0) / 2 ** 32
  const timeMs = FIRST_MS + i * everyMs
  const ad = Math.floor(draw(1) * ADS)
  const touchType: TouchType = draw(2) < 0.7 ? 'click' : 'impression'
  const facts = { ...factsOf(ad), type: touchType, timeMs }
  const { version, p } = scoredBy?.(timeMs) ?? { version: 0, p: windows.map(() => 0) }
  const about = { touchType, touchId: `t${i}`, user: `u${i % 50}`, advertiser: facts.advertiser, touchTimeMs: timeMs }
  const common = { ...about, complete: true, version, p, input: packKeys(touchKeys(facts)) }
  // Half within the short wait, the others evenly over three days.
  const delayMs = draw(3) < rateOf(ad) ? (draw(4) < 0.5 ? 0.5 * shortWaitMs : draw(5) * 3 * DAY_MS) : Number.NaN
  const rows: { at: number; number: number; row: TrainingRow }[] = []
  const say = (
    kind: TrainingRow['kind'],
    at: number,
    lanes: TrainingRow['lanes'],
    input: string | null = common.input,
  ) => lanes.length > 0 && rows.push({ at, number: 8 * i + rows.length, row: { ...common, kind, lanes, input } })
  const named = [...windows.keys()].filter((window) => lengthFor(windows[window]!, touchType) !== null)
  const isIn = (window: number) => delayMs <= lengthFor(windows[window]!, touchType)!
  const observed = delayMs <= shortWaitMs ? 1 : 0
  say(
    'O',
    timeMs + shortWaitMs + graceMs,
    named.map((window) => ({ window, y: observed, count: observed })),
  )
  if (observed === 0)
    say(
      'D',
      timeMs + delayMs + graceMs,
      named.filter(isIn).map((window) => ({ window, y: 1 as const, count: 1 })),
    )
  for (const window of named) {
    const y = isIn(window) ? 1 : 0
    say('M', timeMs + lengthFor(windows[window]!, touchType)! + graceMs, [{ window, y, count: 2 * y }], null)
  }
  return rows
}

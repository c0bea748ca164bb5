// Touches, conversions, refunds and credits for tests of labels, the operators with settings of small numbers, and their rows as text.
// Not here: random streams of them (operators/labels-twin.test.ts).

import { ATTRIBUTION_DEFAULT, type AttributionSettings } from '../operators/attribution-settings.ts'
import { type LabelInput, labels } from '../operators/labels.ts'
import type { Rec } from '../operators/operator.ts'
import { refunds } from '../operators/refunds.ts'
import type { Attributed, Conversion, LabelRecord, Touch } from '../operators/touch.ts'
import { runStage, type StageRunOptions } from './stage-harness.ts'

// Small numbers, so that a random stream meets every edge. Window `s` is as long as the short wait: O is silent about it.
export const GRACE = 10
export const SHORT = 40
export const LONGEST = 300
export const PIXEL_DELAY = 100
export const ORDER_HORIZON = 500
export const SETTINGS: AttributionSettings = {
  ...ATTRIBUTION_DEFAULT,
  windows: [
    { name: 'c', click: 100 },
    { name: 'v', impression: LONGEST },
    { name: 's', click: SHORT },
    { name: 'cv', click: LONGEST, impression: 50 },
    { name: 'c2', click: 100 },
  ],
  ...{ graceMs: GRACE, shortWaitMs: SHORT, pixelDelayMs: PIXEL_DELAY },
}

const OPTIONS = { output: 'labels', orderHorizonMs: ORDER_HORIZON }
export const operator = (settings = SETTINGS) => labels(settings, OPTIONS)
/** With the operator that says R rows. */
export const labelling = (settings = SETTINGS) => [operator(settings), refunds(settings, OPTIONS)]

export const touchAt = (timeMs: number, parts: Partial<Touch> = {}): Touch => ({
  ...{ kind: 'touch', type: 'click', id: 't', timeMs, user: 'u', advertiser: 'a', campaign: 'k', ad: 'x' },
  ...{ clickId: null, vector: null },
  ...parts,
})

export const conversionAt = (timeMs: number, parts: Partial<Conversion> = {}): Conversion => ({
  ...{ kind: 'conversion', type: 'conversion', id: 'c', timeMs, user: 'u', ownUser: 'u', advertiser: 'a' },
  ...{ orderId: null, clickId: null, valueMicro: 5_000_000, currency: 'EUR', goals: [''] },
  ...parts,
})

export const refundAt = (timeMs: number, parts: Partial<Conversion> = {}): Conversion =>
  conversionAt(timeMs, { id: 'r', refundOf: 'o', goals: [], valueMicro: null, currency: null, ...parts })

/** Who has the credit by window: a touch, or nobody. */
const attributed = (conversion: Conversion, credits: Readonly<Record<number, Touch>>, late = false): Attributed => {
  const windows = SETTINGS.windows.map((_, window) => ({ goal: '', window, touch: credits[window] ?? null }))
  return { kind: 'attributed', conversion, late, lanes: windows }
}

let numbers = 0
export function rec<T>(value: T, at: number, parts: Partial<Rec<T>> = {}): Rec<T> {
  const number = numbers++
  return { value, at, watermark: at - 1, late: false, rank: 1, type: '', id: '', number, input: 0, ...parts }
}

/** A record by its own time, or late at `at`. */
export const came = <T extends Touch | Conversion>(value: T, at = value.timeMs): Rec<T> =>
  rec(value, at, { late: value.timeMs < at })

export const attribution = (conversion: Conversion, credits: Readonly<Record<number, Touch>>): Rec<Attributed> =>
  rec(attributed(conversion, credits), conversion.timeMs + GRACE, { rank: 2 })

export const lateAttribution = (conversion: Conversion, at: number, credits: Readonly<Record<number, Touch>>) =>
  rec(attributed(conversion, credits, true), at, { late: true })

export const outputs = ['labels']
export const run = (records: readonly Rec<LabelInput>[], options: StageRunOptions = {}, settings = SETTINGS) =>
  runStage(() => labelling(settings), records, { outputs, ...options })

/** Rows as text: kind, window, number, y, count, value in whole units. */
export const rowsOf = (records: readonly unknown[]): string[] =>
  (records as LabelRecord[]).flatMap(({ kind, rows }) =>
    rows.map(({ goal, window, number, y, count, value }) =>
      [kind, goal, window, number, y, count, value / 1e6].filter((part) => part !== undefined).join(' '),
    ),
  )

// How conversions are attributed, as configuration: windows, models, goals, and the times around them (contract.md, sections 4 and 5).

import type { EventType } from './event.ts'
import type { Expression } from './expression.ts'
import type { Touch, TouchType } from './touch.ts'

/** One attribution window: how long after a touch of each kind it looks; a kind that is not named has no credit in it. */
export interface AttributionWindow {
  readonly name: string
  /** Milliseconds, inclusive. */
  readonly click?: number
  readonly impression?: number
  /** Only touches of the first of these kinds that is present are candidates. Not given: all are. */
  readonly precedence?: readonly TouchType[]
}

export type AttributionModel =
  | { readonly name: 'last_touch' | 'first_touch' | 'linear' }
  /** Credit 2^(-age / halfLifeMs), normalised. */
  | { readonly name: 'time_decay'; readonly halfLifeMs: number }
  /** Shares of the first, of all between together, and of the last touch; they sum to 1. */
  | { readonly name: 'position'; readonly first: number; readonly middle: number; readonly last: number }

/** Which events are conversions, for which ads. What is not given says nothing. */
export interface Goal {
  readonly name: string
  readonly advertiser?: string
  readonly pixels?: readonly string[]
  /** Not given: conversions. */
  readonly types?: readonly EventType[]
  /** Over the event's fields. */
  readonly where?: Expression
  readonly campaigns?: readonly string[]
  readonly ads?: readonly string[]
}

export interface AttributionSettings {
  readonly windows: readonly AttributionWindow[]
  readonly models: readonly AttributionModel[]
  /** None: every conversion of an advertiser, for all its ads. */
  readonly goals: readonly Goal[]
  readonly graceMs: number
  /** How much longer than the longest window holds are kept. */
  readonly pixelDelayMs: number
  /** After which the first label of a touch is written. */
  readonly shortWaitMs: number
  /** How long a click is known by its id. */
  readonly clickHorizonMs: number
  /** `revise`: a late touch makes an attribution be said anew. */
  readonly lateTouches: 'count' | 'revise'
}

const MINUTE_MS = 60_000
const HOUR_MS = 60 * MINUTE_MS
const DAY_MS = 24 * HOUR_MS

/** The defaults of contract.md. */
export const ATTRIBUTION_DEFAULT: AttributionSettings = {
  windows: [
    { name: '1d_click', click: DAY_MS },
    { name: '7d_click', click: 7 * DAY_MS },
    { name: '28d_click', click: 28 * DAY_MS },
    { name: '1d_view', impression: DAY_MS },
    { name: '7d_click_1d_view', click: 7 * DAY_MS, impression: DAY_MS, precedence: ['click', 'impression'] },
  ],
  models: [{ name: 'last_touch' }],
  goals: [],
  graceMs: 5 * MINUTE_MS,
  pixelDelayMs: 7 * DAY_MS,
  shortWaitMs: HOUR_MS,
  clickHorizonMs: 90 * DAY_MS,
  lateTouches: 'count',
}

/** Length of a window for a kind of touch, milliseconds; null: the window does not name it. */
export const lengthFor = (window: AttributionWindow, type: TouchType): number | null => window[type] ?? null

/** Length of the longest window of any kind, milliseconds. */
export const longestWindowMs = ({ windows }: Pick<AttributionSettings, 'windows'>): number =>
  Math.max(...windows.flatMap(({ click = 0, impression = 0 }) => [click, impression]))

/** Whether conversions of a goal may be credited to a touch. */
export function coversTouch(
  { advertiser, campaigns, ads }: Goal,
  touch: Pick<Touch, 'advertiser' | 'campaign' | 'ad'>,
): boolean {
  if (advertiser !== undefined && advertiser !== touch.advertiser) return false
  if (campaigns !== undefined && !campaigns.includes(touch.campaign)) return false
  return ads === undefined || ads.includes(touch.ad)
}

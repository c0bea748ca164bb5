// The windows that one model is of, as attribution is configured: those that O rows speak of, and which of them contain which.
// MW1: a window contains another, for a kind of touch, if whoever is credited in the other by last touch is credited in it as well,
//      whatever else was touched: it is at least as long, and nobody competes in it who did not compete there. (A conversion that
//      names its click may prefer that, where only the longer window reaches it.)

import type { ModelWindow, TouchKind, Within } from '../ml/windows.ts'
import { type AttributionSettings, type AttributionWindow, lengthFor } from './attribution-settings.ts'

/** For horizons of calibration: windows of less than an hour are known after that. */
const HORIZON_MS_MIN = 3_600_000
const OTHER = { click: 'impression', impression: 'click' } as const

/** What a model is of. */
export interface ModelWindows {
  readonly windows: readonly ModelWindow[]
  /** By window: its index among the configured ones. */
  readonly configured: readonly number[]
  /** That its metrics are of: the longest for clicks; the longest of all where none names clicks. */
  readonly judged: number
}

/** Of windows that are longer than the short wait, for some kind of touch: others have no O rows, and nothing could be learned of them in time. */
export function modelWindows({ windows, graceMs, shortWaitMs }: AttributionSettings): ModelWindows {
  const lengthOf = (window: AttributionWindow): number => Math.max(window.click ?? 0, window.impression ?? 0)
  const isTaught = (window: AttributionWindow, kind: TouchKind) => (lengthFor(window, kind) ?? 0) > shortWaitMs
  const configured = [...windows.keys()].filter((index) => lengthOf(windows[index]!) > shortWaitMs)
  const taught = configured.map((index) => windows[index]!)
  const within = (outer: AttributionWindow, kind: TouchKind): Within[TouchKind] =>
    isTaught(outer, kind)
      ? [...taught.keys()].filter((i) => isTaught(taught[i]!, kind) && contains(outer, taught[i]!, kind))
      : null
  const byLength = [...taught.keys()].sort(
    (a, b) => (taught[b]!.click ?? 0) - (taught[a]!.click ?? 0) || lengthOf(taught[b]!) - lengthOf(taught[a]!) || a - b,
  )
  return {
    windows: taught.map((window) => ({
      ...{ name: window.name, horizonMs: Math.max(lengthOf(window) + graceMs, HORIZON_MS_MIN) },
      ...{ click: within(window, 'click'), impression: within(window, 'impression') },
    })),
    ...{ configured, judged: byLength[0] ?? 0 },
  }
}

/** MW1. */
export function contains(outer: AttributionWindow, inner: AttributionWindow, kind: TouchKind): boolean {
  const [long, short] = [lengthFor(outer, kind), lengthFor(inner, kind)]
  if (long === null || short === null || short > long) return false
  const other = OTHER[kind]
  const reach = lengthFor(outer, other)
  if (reach === null) return true
  const [preferred] = outer.precedence ?? []
  if (preferred === kind) return true
  // In the inner one, somebody of the other kind had to be kept out as far as the outer one reaches.
  const innerReach = lengthFor(inner, other)
  if (innerReach === null || inner.precedence?.[0] === kind) return false
  if (preferred === other) return inner.precedence?.[0] === other && innerReach >= reach
  // Whoever of the other kind comes later is younger than the touch itself.
  return innerReach >= Math.min(reach, short)
}

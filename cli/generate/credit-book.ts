// Who deserves a conversion, by the rule of contract.md, section 4: last touch in each of the default windows. The generated
// world keeps its own book, written from the contract and not from the operator that it is there to check.
// CB1: a touch is kept for as long as a window can reach it, so memory follows the touches of 28 days.
// CB2: times are those of the world; a touch may be noted before it happens, and counts from its time on.

const DAY_MS = 86_400_000
/** Touches are noted when their session begins, so up to a session's length early; the same again is kept at the end. */
const SLACK_MS = 3_600_000

export interface Touch {
  readonly type: 'click' | 'impression'
  readonly eventId: string
  /** null for an impression. */
  readonly clickId: string | null
  readonly timeMs: number
}

type Kind = Touch['type']
interface Window {
  readonly name: string
  /** By kind of touch: how long before the conversion; null: it does not count. */
  readonly reachMs: Readonly<Record<Kind, number | null>>
}

/** The default windows. Where both kinds count, click precedes. */
export const WINDOWS: readonly Window[] = [
  { name: '1d_click', reachMs: { click: DAY_MS, impression: null } },
  { name: '7d_click', reachMs: { click: 7 * DAY_MS, impression: null } },
  { name: '28d_click', reachMs: { click: 28 * DAY_MS, impression: null } },
  { name: '1d_view', reachMs: { click: null, impression: DAY_MS } },
  { name: '7d_click_1d_view', reachMs: { click: 7 * DAY_MS, impression: DAY_MS } },
]
const KEPT_MS: Readonly<Record<Kind, number>> = { click: 28 * DAY_MS, impression: DAY_MS }

/** By window: the event_id of the touch that gets the credit, or null. */
export type Credit = Readonly<Record<string, string | null>>

interface Held {
  click: Touch[]
  impression: Touch[]
}

export class CreditBook {
  readonly #held = new Map<string, Held>()
  #sweptAtMs = 0

  /** Touches held, for a test of CB1. */
  get touches(): number {
    let count = 0
    for (const { click, impression } of this.#held.values()) count += click.length + impression.length
    return count
  }

  /** Notes a touch; `nowMs` is the world's time, at most that of the touch. */
  note(user: string, advertiser: string, touch: Touch, nowMs: number): void {
    const key = keyOf(user, advertiser)
    const held = this.#held.get(key) ?? { click: [], impression: [] }
    this.#held.set(key, held)
    held[touch.type].push(touch)
    this.#sweep(nowMs)
  }

  /** The credit of a conversion at this time. */
  credit(user: string, advertiser: string, timeMs: number, clickId: string | null): Credit {
    const held = this.#held.get(keyOf(user, advertiser))
    return Object.fromEntries(WINDOWS.map((window) => [window.name, creditIn(window, held, timeMs, clickId)]))
  }

  /** Once a day all that no window reaches any more is dropped. */
  #sweep(nowMs: number): void {
    if (nowMs - this.#sweptAtMs < DAY_MS) return
    this.#sweptAtMs = nowMs
    for (const [key, held] of this.#held) {
      const live = (touch: Touch) => touch.timeMs >= nowMs - KEPT_MS[touch.type] - SLACK_MS
      held.click = held.click.filter(live)
      held.impression = held.impression.filter(live)
      if (held.click.length + held.impression.length === 0) this.#held.delete(key)
    }
  }
}

function keyOf(user: string, advertiser: string): string {
  return `${user} ${advertiser}`
}

function creditIn({ reachMs }: Window, held: Held | undefined, timeMs: number, clickId: string | null): string | null {
  if (held === undefined) return null
  for (const kind of ['click', 'impression'] as const) {
    const reach = reachMs[kind]
    if (reach === null) continue
    const candidates = held[kind].filter((touch) => touch.timeMs <= timeMs && timeMs - touch.timeMs <= reach)
    const own = clickId === null ? [] : candidates.filter((touch) => touch.clickId === clickId)
    const last = lastOf(own.length > 0 ? own : candidates)
    if (last !== null) return last.eventId
  }
  return null
}

/** The last in the order (event_time, event_id); all are of one type, and ids are plain ASCII. */
function lastOf(touches: readonly Touch[]): Touch | null {
  let last: Touch | null = null
  for (const touch of touches) {
    if (last === null || touch.timeMs > last.timeMs) last = touch
    else if (touch.timeMs === last.timeMs && touch.eventId > last.eventId) last = touch
  }
  return last
}

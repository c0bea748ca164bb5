// Looks at the node once a second and keeps what the page shows: the one place with a clock and a loop.
// WA1: looks do not overlap, and none is made while the page is hidden or waits for a token.
// WA2: what was last seen stays when the node cannot be reached; rates do not, nor across such a time (rates.ts, RT1).
// What it draws with is given: `onChange` gets a new state, never a changed one.

import { HoldfastClient, type StatusAnswer } from '../../client/holdfast.ts'
import { lookAt, type Values } from './look.ts'
import { type Events, eventsOf, type Point, type Rates, ratesBetween, readableOf, withPoint } from './rates.ts'
import { formatWatchList, nameOf, parseWatchList, type Watched, type WatchList } from './watch-list.ts'

/** Milliseconds between looks. */
const LOOK_MS = 1_000
/** Milliseconds until a look without an answer has failed: a node that is busy answers later than one that idles. */
const ANSWER_MS = 4_000
/** Milliseconds between two answers that rates are taken from: over less, one commit more or less would look like a burst. */
const RATE_MS_MIN = 500
const TOKEN_NAME = 'holdfast-token'

export type Connection =
  | { readonly kind: 'connecting' }
  | { readonly kind: 'live' }
  /** Milliseconds since 1970, of the first look that failed. */
  | { readonly kind: 'unreachable'; readonly sinceMs: number }
  /** wrong: there is one, and the node does not take it. */
  | { readonly kind: 'token'; readonly wrong: boolean }

export interface PageState {
  readonly connection: Connection
  /** Whether one is kept, and could be forgotten. */
  readonly hasToken: boolean
  readonly values: Values | null
  /** Milliseconds since 1970, of values. */
  readonly seenMs: number
  readonly events: Events | null
  readonly rates: Rates | null
  readonly history: readonly Point[]
  readonly watch: WatchList
}

export class Watcher {
  readonly #onChange: (state: PageState) => void
  #state: PageState
  #before: StatusAnswer | null = null
  #wake: () => void = () => {}

  constructor(onChange: (state: PageState) => void) {
    this.#onChange = onChange
    this.#state = {
      ...{ connection: { kind: 'connecting' }, hasToken: sessionStorage.getItem(TOKEN_NAME) !== null, values: null },
      ...{ seenMs: 0, events: null, rates: null, history: [], watch: parseWatchList(location.search) },
    }
  }

  /** Runs as long as the page does. */
  async run(): Promise<never> {
    document.addEventListener('visibilitychange', () => this.#wake())
    this.#onChange(this.#state)
    while (true) {
      const started = performance.now()
      if (document.hidden || this.#state.connection.kind === 'token') {
        this.#before = null
        await this.#sleep(null)
        continue
      }
      await this.#look()
      await this.#sleep(Math.max(0, started + LOOK_MS - performance.now()))
    }
  }

  /** As the last row. */
  watch(row: Watched): void {
    this.#showRows([...this.#othersThan(row), row])
  }

  unwatch(row: Watched): void {
    this.#showRows(this.#othersThan(row))
  }

  /** null: none from now on. */
  setToken(token: string | null): void {
    if (token === null) sessionStorage.removeItem(TOKEN_NAME)
    else sessionStorage.setItem(TOKEN_NAME, token)
    this.#before = null
    this.#change({
      connection: { kind: 'connecting' },
      hasToken: token !== null,
      values: null,
      events: null,
      rates: null,
    })
    this.#wake()
  }

  #othersThan(row: Watched): Watched[] {
    return this.#state.watch.rows.filter((other) => nameOf(other) !== nameOf(row))
  }

  #showRows(rows: readonly Watched[]): void {
    history.replaceState(null, '', `${location.pathname}${formatWatchList(rows)}`)
    this.#change({ watch: { rows, leftOut: 0 } })
    this.#wake()
  }

  async #look(): Promise<void> {
    const token = sessionStorage.getItem(TOKEN_NAME) ?? undefined
    const client = new HoldfastClient({ url: location.origin, token, timeoutMs: ANSWER_MS })
    const look = await lookAt(client, this.#state.watch.rows)
    // Another token was given meanwhile: this answer is for the one before.
    if (token !== (sessionStorage.getItem(TOKEN_NAME) ?? undefined)) return
    if (look.kind === 'values') this.#seen(look)
    else if (look.kind === 'token') this.#change({ connection: { kind: 'token', wrong: token !== undefined } })
    else this.#notSeen()
  }

  #seen(values: Values): void {
    const status = 'answer' in values.status ? values.status.answer : null
    const events = status === null ? null : eventsOf(status)
    const seenMs = Date.now()
    this.#change({ connection: { kind: 'live' }, values, seenMs, events })
    const before = this.#before
    const passedMs = status === null || before === null ? RATE_MS_MIN : status.now_ms - before.now_ms
    // Looked again at once, for a new row: the next answer is compared with the former.
    if (passedMs >= 0 && passedMs < RATE_MS_MIN) return
    const rates = status === null || before === null ? null : ratesBetween(before, status)
    this.#before = status
    const point = {
      atS: seenMs / 1_000,
      events: rates?.events ?? null,
      readable: status === null ? null : readableOf(status),
    }
    this.#change({ rates, history: withPoint(this.#state.history, point) })
  }

  #notSeen(): void {
    this.#before = null
    const { connection: former, history: past } = this.#state
    const now = Date.now()
    const connection = former.kind === 'unreachable' ? former : { kind: 'unreachable' as const, sinceMs: now }
    this.#change({
      connection,
      rates: null,
      history: withPoint(past, { atS: now / 1_000, events: null, readable: null }),
    })
  }

  #change(change: Partial<PageState>): void {
    this.#state = { ...this.#state, ...change }
    this.#onChange(this.#state)
  }

  /** Until something is to be done: after some milliseconds (null: whenever), or when woken. */
  #sleep(ms: number | null): Promise<void> {
    return new Promise((resolve) => {
      const timer = ms === null ? undefined : setTimeout(resolve, ms)
      this.#wake = () => {
        clearTimeout(timer)
        resolve()
      }
    })
  }
}

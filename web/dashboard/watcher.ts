// Looks at the node once a second and keeps what the page shows: the one place with a clock and a loop.
// WA1: looks do not overlap, and none is made while the page is hidden or waits for a token.
// WA2: what was last seen stays when the node cannot be reached; rates do not, nor across such a time (rates.ts, RT1).
// WA3: what is asked for once, a conversion and purchases, is asked again where the page is opened or gets another token.
// WA4: what the model's scores came to changes with days: it is asked for every MODEL_MS, of a node that says that it judges scores.
// What it draws with is given: `onChange` gets a new state, never a changed one.

import { HoldfastClient, type StatusAnswer } from '../../client/holdfast.ts'
import { ApiError, NoAnswer } from '../../client/transport.ts'
import { formatAddress, parseAddress } from './address.ts'
import type { AskedConversion } from './conversion-view.ts'
import { evaluatedIn, lookAt, type Part, part, type Values } from './look.ts'
import type { SeenModel } from './model-view.ts'
import type { AskedLane, AskedPurchases } from './purchases-view.ts'
import { type Events, eventsOf, type Point, type Rates, ratesBetween, readableOf, withPoint } from './rates.ts'
import { nameOf, type Watched, type WatchList } from './watch-list.ts'

/** Milliseconds between looks. */
const LOOK_MS = 1_000
/** Milliseconds until a look without an answer has failed: a node that is busy answers later than one that idles. */
const ANSWER_MS = 4_000
/** Milliseconds between two answers that rates are taken from: over less, one commit more or less would look like a burst. */
const RATE_MS_MIN = 500
/** Milliseconds between two looks at the model's scores: each reads some days of state. */
const MODEL_MS = 15_000
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
  /** null: nobody has asked about a conversion. */
  readonly asked: AskedConversion | null
  /** null: nobody has asked about purchases. */
  readonly purchases: AskedPurchases | null
  readonly model: SeenModel
}

export class Watcher {
  readonly #onChange: (state: PageState) => void
  #state: PageState
  #before: StatusAnswer | null = null
  #wake: () => void = () => {}
  /** When it was last asked for, as performance.now() has it. */
  #modelMs = Number.NEGATIVE_INFINITY

  constructor(onChange: (state: PageState) => void) {
    this.#onChange = onChange
    this.#state = {
      ...{ connection: { kind: 'connecting' }, hasToken: sessionStorage.getItem(TOKEN_NAME) !== null, values: null },
      ...{ seenMs: 0, events: null, rates: null, history: [], watch: parseAddress(location.search).watch },
      ...{ asked: null, purchases: null, model: { window: parseAddress(location.search).model, seen: null } },
    }
  }

  /** Runs as long as the page does. */
  async run(): Promise<never> {
    document.addEventListener('visibilitychange', () => this.#wake())
    this.#onChange(this.#state)
    this.#askAgain()
    while (true) {
      const started = performance.now()
      if (document.hidden || this.#state.connection.kind === 'token') {
        this.#before = null
        await this.#sleep(null)
        continue
      }
      await this.#look()
      if (started - this.#modelMs >= MODEL_MS && this.#isJudged()) {
        this.#modelMs = started
        await this.#lookAtModel()
      }
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

  /** Asks once who is credited with a conversion, and why. */
  async explain(conversion: string): Promise<void> {
    const asked: AskedConversion = { conversion, seen: null }
    this.#change({ asked })
    this.#showAddress()
    const seen = await this.#once((client) => client.readAttribution(conversion))
    // Another one was asked about meanwhile, or with another token.
    if (this.#state.asked === asked) this.#change(seen === null ? this.#tokenWanted() : { asked: { ...asked, seen } })
  }

  /** Asks once what the ads of an advertiser sold. */
  async showPurchases({ advertiser, goal, window }: AskedLane): Promise<void> {
    const purchases: AskedPurchases = { advertiser, goal, window, seen: null }
    this.#change({ purchases })
    this.#showAddress()
    const query = { by: 'ad', goal: goal ?? undefined, window: window ?? undefined } as const
    const seen = await this.#once((client) => client.readPurchases(advertiser, query))
    if (this.#state.purchases !== purchases) return
    this.#change(seen === null ? this.#tokenWanted() : { purchases: { ...purchases, seen } })
  }

  /** Of which window the model's scores are shown. */
  showModel(window: string): void {
    this.#change({ model: { window, seen: null } })
    this.#showAddress()
    this.#modelMs = Number.NEGATIVE_INFINITY
    this.#wake()
  }

  /** WA4. */
  #isJudged(): boolean {
    const { connection, values } = this.#state
    return connection.kind === 'live' && values !== null && evaluatedIn(values) !== null
  }

  async #lookAtModel(): Promise<void> {
    const { model } = this.#state
    const { window } = model
    const seen = await this.#once((client) => client.readEvaluation({ slice: 'version', window: window ?? undefined }))
    // Another window was chosen, or another token given, meanwhile.
    if (this.#state.model === model) this.#change(seen === null ? this.#tokenWanted() : { model: { window, seen } })
  }

  /** null: none from now on. */
  setToken(token: string | null): void {
    if (token === null) sessionStorage.removeItem(TOKEN_NAME)
    else sessionStorage.setItem(TOKEN_NAME, token)
    this.#before = null
    this.#modelMs = Number.NEGATIVE_INFINITY
    this.#change({
      connection: { kind: 'connecting' },
      hasToken: token !== null,
      values: null,
      asked: null,
      purchases: null,
      model: { window: parseAddress(location.search).model, seen: null },
      events: null,
      rates: null,
    })
    if (token !== null) this.#askAgain()
    this.#wake()
  }

  /** WA3. */
  #askAgain(): void {
    const { conversion, purchases } = parseAddress(location.search)
    if (conversion !== null) void this.explain(conversion)
    if (purchases !== null) void this.showPurchases(purchases)
  }

  /** The answer, or in words why there is none; null: a token is wanted. */
  async #once<T>(ask: (client: HoldfastClient) => Promise<T>): Promise<Part<T> | null> {
    try {
      return await part(ask(this.#client()))
    } catch (error) {
      if (error instanceof NoAnswer) return { refusal: 'the node does not answer' }
      if (error instanceof ApiError) return null
      throw error
    }
  }

  #tokenWanted(): Partial<PageState> {
    return { asked: null, purchases: null, connection: { kind: 'token', wrong: this.#state.hasToken } }
  }

  #othersThan(row: Watched): Watched[] {
    return this.#state.watch.rows.filter((other) => nameOf(other) !== nameOf(row))
  }

  #showRows(rows: readonly Watched[]): void {
    this.#change({ watch: { rows, leftOut: 0 } })
    this.#showAddress()
    this.#wake()
  }

  /** So that a link shows the same. */
  #showAddress(): void {
    const { watch, asked, purchases, model } = this.#state
    const shown = { conversion: asked?.conversion ?? null, purchases, model: model?.window ?? null }
    const search = formatAddress({ rows: watch.rows, ...shown })
    history.replaceState(null, '', `${location.pathname}${search}`)
  }

  #client(): HoldfastClient {
    return new HoldfastClient({ url: location.origin, token: keptToken(), timeoutMs: ANSWER_MS })
  }

  async #look(): Promise<void> {
    const token = keptToken()
    const look = await lookAt(this.#client(), this.#state.watch.rows)
    // Another token was given meanwhile: this answer is for the one before.
    if (token !== keptToken()) return
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

const keptToken = (): string | undefined => sessionStorage.getItem(TOKEN_NAME) ?? undefined

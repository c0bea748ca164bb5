// What happens in a stress file: a clock, and scenarios of one to a few lines that are drawn one after the other.
//
// 1. No valid line is ahead of the clock; so a line at the clock's time is never late.
// 2. Invalid lines are often ahead of it, by up to a day: a reader that lets them move its watermark calls much late.
// 3. Copies carry another page than their original: which of the two was first can be seen in the counts.
// 4. Copies are of originals of the last 6 days, or of exactly 7 (orders: 90) days before; so, but for `oldTwins`,
//    nobody needs to remember anything beyond the horizons.

import { Random } from '../../cli/generate/random.ts'
import { NASTY_LINES, type NastyLine } from './nasty-lines.ts'
import type { StressOptions } from './stress.ts'

const START_MS = 1_740_268_800_000
const SECOND_MS = 1_000
const MINUTE_MS = 60_000
const HOUR_MS = 60 * MINUTE_MS
const DAY_MS = 24 * HOUR_MS
const WEEK_MS = 7 * DAY_MS
const ORDER_MS = 90 * DAY_MS
const COPY_AGE_MAX_MS = 6 * DAY_MS
const RECENT_MAX = 512
const LONG_LINE_BYTES = 10_000

/** Characters whose order by UTF-16 units is another than by bytes, and some that are merely unusual. */
const MARKS = [
  '',
  '',
  '',
  '',
  'é',
  '€',
  '中',
  '\u{10ffff}',
  '😀',
  '𐀀',
  '\ue000',
  '\uffee',
  '\uffff',
  ' ',
  '"',
  '\u0080',
]
const BLANKS = ['', ' ', '\t', ' \t \t', '   ']
const SHOPS = ['shop', 'shop2', 'app é']

type Fields = { readonly [name: string]: unknown }
interface Original {
  readonly timeMs: number
  readonly fields: Fields
}
interface Due {
  readonly dueMs: number
  readonly fields: Fields
}

export class Scenarios {
  nowMs = START_MS
  readonly #random: Random
  readonly #options: StressOptions
  readonly #users: number
  readonly #out: Buffer[] = []
  readonly #recent: Original[] = []
  readonly #orders: Original[] = []
  /** Lines for later, each list in the order of time because all its delays are equal but for a millisecond. */
  readonly #later: { readonly [list: string]: Due[] } = { week: [], order: [], old: [] }
  /** The highest event_time of the valid lines so far, as a reader sees it. */
  #stampMs = START_MS
  #number = 0
  #nasty = 0
  readonly #draw: (() => void)[]

  constructor(options: StressOptions) {
    this.#options = options
    this.#random = new Random(options.seed)
    this.#users = Math.max(20, Math.floor(options.lines / 40))
    this.#draw = this.#weighted([
      [60, () => this.#ordinary()],
      [10, () => this.#nastyLine()],
      [10, () => this.#copy()],
      [4, () => this.#twinInAWeek()],
      [4, () => this.#sameIdElsewhere()],
      [4, () => this.#order()],
      [3, () => this.#orderAgain()],
      [2, () => this.#refund()],
      [5, () => this.#late()],
      [1, () => this.#lateTwins()],
      [1, () => this.#tieByUtf8()],
      [1, () => this.#tieWithLate()],
      [2, () => this.#nobody()],
      [3, () => this.#blank()],
      ...(options.oldTwins ? [[2, () => this.#oldTwin()] as const] : []),
    ])
  }

  /** Moves the clock by about `gapMs` a line, emits what has become due on the way, then one scenario. */
  step(gapMs: number): void {
    const nextMs = this.nowMs + Math.round(this.#random.wait(gapMs))
    for (let due = this.#takeDue(nextMs); due !== null; due = this.#takeDue(nextMs)) {
      this.nowMs = Math.max(this.nowMs, due.dueMs)
      this.#emit(due.fields)
    }
    this.nowMs = Math.max(this.nowMs, nextMs)
    this.#random.pick(this.#draw)()
  }

  /** The earliest of the lines for later, if it is due by then. */
  #takeDue(byMs: number): Due | null {
    const lists = Object.values(this.#later).filter((list) => list.length > 0 && list[0]!.dueMs <= byMs)
    if (lists.length === 0) return null
    return lists.reduce((first, list) => (list[0]!.dueMs < first[0]!.dueMs ? list : first)).shift()!
  }

  /** The lines made since the last call, at most so many; the rest is dropped. */
  take(limit: number): Buffer[] {
    return this.#out.splice(0).slice(0, limit)
  }

  /** How many lines `end` makes. */
  get endingLines(): number {
    return 16
  }

  /** The last lines: as_of at a pane's edge or inside, views around every edge of the hour, and what must not move it. */
  end(): void {
    const paneMs = Math.floor(this.nowMs / MINUTE_MS) * MINUTE_MS + MINUTE_MS
    const asOfMs = paneMs + [0, MINUTE_MS - 1, this.#random.below(MINUTE_MS)][this.#options.seed % 3]!
    const edge = (name: string, timeMs: number) =>
      this.#view({
        event_id: `edge-${name}`,
        event_time: timeMs,
        page_id: `/edge/${name}`,
        user_id: `edge ${name.slice(0, 2)}`,
      })
    const highest = edge('as_of', asOfMs)
    this.nowMs = asOfMs
    const hourMs = paneMs - HOUR_MS
    const edges = [
      highest,
      edge('as_of - 1', asOfMs - 1),
      edge('pane', paneMs),
      edge('pane - 1', paneMs - 1),
      edge('hour pane, first out', hourMs),
      edge('hour pane, last out', hourMs + MINUTE_MS - 1),
      edge('hour pane, first in', hourMs + MINUTE_MS),
      edge('hour pane, before', hourMs - 1),
      edge('hour - 1', asOfMs - HOUR_MS - 1),
      edge('hour', asOfMs - HOUR_MS),
      edge('hour + 1', asOfMs - HOUR_MS + 1),
    ]
    for (const fields of edges) this.#emit(fields)
    this.#emitInvalid({ ...highest, event_id: 'edge-dead', event_time: asOfMs + DAY_MS, page_id: 5 })
    // A duplicate moves the watermark, and neither as_of nor a count.
    this.#emit({ ...highest, event_time: asOfMs + SECOND_MS })
    const watermarkMs = asOfMs + SECOND_MS - this.#options.latenessMs - 1
    this.#emit(edge('W', watermarkMs))
    this.#emit(edge('W + 1', watermarkMs + 1))
    this.#emit(edge('without LF', asOfMs - 5))
  }

  #weighted(rows: readonly (readonly [weight: number, run: () => void])[]): (() => void)[] {
    return rows.flatMap(([weight, run]) => Array.from({ length: weight }, () => run))
  }

  // --- lines ---

  #emit(fields: Fields): void {
    this.#stampMs = Math.max(this.#stampMs, fields.event_time as number)
    this.#line(Buffer.from(JSON.stringify(fields)))
  }

  #emitInvalid(fields: Fields): void {
    this.#line(Buffer.from(JSON.stringify(fields)))
  }

  #line(bytes: Buffer): void {
    this.#out.push(Buffer.concat([bytes, Buffer.from(this.#random.chance(0.05) ? '\r\n' : '\n')]))
  }

  // --- fields ---

  #id(kind: string): string {
    return `${kind}-${this.#number++}${this.#random.pick(MARKS)}`
  }

  #user(): string {
    const rank = this.#random.zipf(this.#users)
    if (rank % 50 === 49) return `${rank}`.padEnd(128, 'x')
    return `u${rank}${MARKS[rank % MARKS.length]}`
  }

  #page(): string {
    const rank = this.#random.zipf(400)
    return `/p/${MARKS[rank % MARKS.length]}${rank}`
  }

  #view(changes: Fields): Fields {
    const fields = { type: 'page_view', event_id: '', event_time: this.nowMs, user_id: '', page_id: this.#page() }
    return { ...fields, ...changes }
  }

  #newView(kind: string, timeMs: number): Fields {
    return this.#view({ event_id: this.#id(kind), event_time: timeMs, user_id: this.#user() })
  }

  #conversion(kind: string, changes: Fields): Fields {
    const fields = { type: 'conversion', event_id: this.#id(kind), event_time: this.nowMs, user_id: this.#user() }
    return { ...fields, advertiser_id: this.#random.pick(SHOPS), value: this.#random.below(100_000) / 100, ...changes }
  }

  #newEvent(timeMs: number): Fields {
    const view = this.#newView('e', timeMs)
    if (this.#random.chance(0.7)) return view
    const { page_id: _, ...common } = view
    const ad = { ad_id: `ad${this.#random.zipf(50)}`, campaign_id: 'c', advertiser_id: this.#random.pick(SHOPS) }
    const type = this.#random.pick(['impression', 'click', 'add_to_cart', 'checkout', 'lead', 'conversion', 'consent'])
    return { ...common, type, ...ad, click_id: `k${this.#number}`, props: { a: [null, -0.5, '\ud800'] } }
  }

  #remember(list: Original[], fields: Fields): void {
    list.push({ timeMs: this.nowMs, fields })
    if (list.length > RECENT_MAX) list.shift()
  }

  #recall(list: readonly Original[]): Original | null {
    const original = list.length > 0 ? this.#random.pick(list) : null
    return original && this.nowMs - original.timeMs < COPY_AGE_MAX_MS ? original : null
  }

  // --- scenarios ---

  #ordinary(): void {
    const backMs = this.#random.chance(0.6) ? 0 : this.#random.below(this.#options.latenessMs)
    const fields = this.#newEvent(this.nowMs - backMs)
    this.#emit(fields)
    if (backMs === 0) this.#remember(this.#recent, fields)
  }

  #nastyLine(): void {
    const line = NASTY_LINES[this.#nasty++ % NASTY_LINES.length]!
    // What lacks only its user is valid with `anonymous: accept`.
    const isValid = line.verdict === null || line.verdict[1] === 'user_id'
    const timeMs = isValid ? this.nowMs : this.nowMs + this.#random.below(DAY_MS)
    const bytes = this.#shortEnough(line, timeMs)
    if (bytes === null) return
    if (line.verdict === null) this.#stampMs = Math.max(this.#stampMs, timeMs)
    this.#line(bytes)
  }

  /** Long lines come once in twenty times, or the file would consist of them. */
  #shortEnough(line: NastyLine, timeMs: number): Buffer | null {
    const bytes = line.bytes({ timeMs, user: `u${this.#random.zipf(this.#users)}`, number: this.#number++ })
    return bytes.length > LONG_LINE_BYTES && this.#nasty > NASTY_LINES.length && !this.#random.chance(0.05)
      ? null
      : bytes
  }

  #copy(): void {
    const original = this.#recall(this.#recent)
    if (!original) return
    const backMs = [0, 0, 0, 1, SECOND_MS, MINUTE_MS, 3 * DAY_MS, COPY_AGE_MAX_MS, WEEK_MS - 1, WEEK_MS, WEEK_MS + 1]
    const aheadMs = [1, SECOND_MS, HOUR_MS, 3 * DAY_MS]
    const shiftMs = this.#random.pick([...backMs.map((ms) => -ms), ...aheadMs])
    const timeMs = Math.min(this.nowMs, original.timeMs + shiftMs)
    this.#emit({ ...original.fields, event_time: timeMs, ...this.#otherPage(original.fields) })
  }

  #otherPage(fields: Fields): Fields {
    return 'page_id' in fields ? { page_id: this.#page() } : {}
  }

  #twinInAWeek(): void {
    const fields = this.#newView('w', this.nowMs)
    this.#emit(fields)
    for (const apartMs of this.#random.pick([[WEEK_MS - 1], [WEEK_MS], [WEEK_MS + 1], [WEEK_MS, WEEK_MS + 1]])) {
      this.#schedule('week', this.nowMs + apartMs, fields)
    }
  }

  #schedule(list: string, dueMs: number, fields: Fields): void {
    this.#later[list]!.push({ dueMs, fields: { ...fields, event_time: dueMs, ...this.#otherPage(fields) } })
  }

  #sameIdElsewhere(): void {
    const original = this.#recall(this.#recent)
    if (!original) return
    const timeMs = this.nowMs
    if (this.#random.chance(0.5)) this.#emit({ ...original.fields, event_time: timeMs, user_id: this.#user() })
    else this.#emit({ ...original.fields, event_time: timeMs, type: 'lead', advertiser_id: 'shop' })
  }

  #order(): void {
    const fields = this.#conversion('o', { order_id: this.#id('order') })
    const byClick = this.#random.chance(0.2)
    const order = byClick ? { ...fields, user_id: null, click_id: this.#id('ck') } : fields
    this.#emit(order)
    this.#remember(this.#orders, order)
    const apartMs = this.#random.pick([null, ORDER_MS - 1, ORDER_MS, ORDER_MS + 1])
    if (apartMs !== null) this.#schedule('order', this.nowMs + apartMs, { ...order, event_id: this.#id('o90') })
  }

  #orderAgain(): void {
    const original = this.#recall(this.#orders)
    if (!original) return
    const changes = this.#random.pick<Fields>([
      {},
      { event_time: original.timeMs - 2 * HOUR_MS },
      { event_time: original.timeMs },
      { advertiser_id: 'another' },
      { user_id: this.#user() },
      { user_id: null, click_id: this.#id('ck') },
      { value: -1 },
      { refund_of: original.fields.order_id },
      { order_id: null },
      { value: null },
      { type: 'lead' },
    ])
    this.#emit({ ...original.fields, event_id: this.#id('again'), event_time: this.nowMs, ...changes })
  }

  /** Refunds of an order in a row, one of them twice; then the purchase itself, which is no duplicate of a refund. */
  #refund(): void {
    const order = this.#conversion('r', { order_id: this.#id('refunded') })
    const refund = this.#random.chance(0.5) ? { value: -5 } : { refund_of: order.order_id }
    const second = { ...order, ...refund, event_id: this.#id('r2') }
    this.#emit({ ...order, ...refund, event_id: this.#id('r1') })
    this.#emit(second)
    this.#emit(second)
    this.#emit(order)
  }

  #late(): void {
    const watermarkMs = this.#stampMs - this.#options.latenessMs - 1
    const timeMs = this.#random.pick([
      watermarkMs,
      watermarkMs + 1,
      watermarkMs - 1,
      this.nowMs - HOUR_MS,
      this.nowMs - HOUR_MS + 30 * SECOND_MS,
      this.nowMs - DAY_MS,
      this.nowMs - 30 * DAY_MS,
      Date.UTC(2000, 0, 1),
    ])
    this.#emit(this.#newView('l', timeMs))
  }

  /** Two late ones at once, on either side of a week: what is late is remembered from its arrival on. */
  #lateTwins(): void {
    const timeMs = this.nowMs - 20 * DAY_MS
    const fields = this.#newView('lt', timeMs)
    this.#emit(fields)
    const apartMs = this.#random.pick([0, HOUR_MS, WEEK_MS, WEEK_MS + 1, -WEEK_MS, -WEEK_MS - 1])
    this.#emit({ ...fields, event_time: timeMs + apartMs, page_id: this.#page() })
  }

  /** Two purchases of one order in the same millisecond: the lower event_id wins, by bytes. A probe then tells which. */
  #tieByUtf8(): void {
    const order = this.#conversion('tie', { order_id: this.#id('order') })
    const ids = this.#shuffled(['\uffee', '😀'].map((mark) => `${order.event_id}${mark}`))
    for (const id of ids) this.#emit({ ...order, event_id: id })
    this.#probe(order, ids)
  }

  /** A late purchase and one at W + 1: both are processed at W + 1, so the event_id decides again, not the event time. */
  #tieWithLate(): void {
    const firstMs = this.#stampMs - this.#options.latenessMs
    const order = this.#conversion('lie', { order_id: this.#id('order') })
    const ids = this.#shuffled(['a', 'z'].map((mark) => `${order.event_id}${mark}`))
    this.#emit({ ...order, event_id: ids[0], event_time: firstMs - HOUR_MS })
    this.#emit({ ...order, event_id: ids[1], event_time: firstMs })
    this.#probe(order, ids)
  }

  /** The event_id of one of two rivals, without the order: accepted exactly if that one had lost. */
  #probe(order: Fields, ids: readonly string[]): void {
    this.#emit({ ...order, event_id: this.#random.pick(ids), event_time: this.nowMs, order_id: null })
  }

  #shuffled(pair: readonly string[]): string[] {
    return this.#random.chance(0.5) ? [...pair] : pair.toReversed()
  }

  /** Without user: a dead letter, or with `anonymous: accept` a view of its own, and its copy a duplicate. */
  #nobody(): void {
    const { user_id: _, ...fields } = this.#newView('nobody', this.nowMs)
    this.#emitInvalid(fields)
    if (this.#random.chance(0.3)) this.#emitInvalid({ ...fields, user_id: null, page_id: this.#page() })
  }

  #blank(): void {
    if (this.#random.chance(0.01)) this.#line(Buffer.alloc(70_000, ' '))
    else this.#line(Buffer.from(this.#random.pick(BLANKS)))
  }

  /** A copy that comes a day after its original is past the horizon, and says that it happened together with it. */
  #oldTwin(): void {
    const fields = this.#newView('old', this.nowMs)
    this.#emit(fields)
    this.#later.old!.push({ dueMs: this.nowMs + WEEK_MS + DAY_MS, fields })
  }
}

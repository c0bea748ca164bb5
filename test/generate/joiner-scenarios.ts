// What happens in a stress file of the joiner (joiner-stress.ts): scenarios of one to some ten lines, each with a name under which it is counted.
//
// 1. A scenario is about edges of the default settings of contract.md: one millisecond before, at, and after each.
// 2. Half of the scenarios have a person of their own, where nothing else happens: there an edge decides. The others meet each other.
// 3. A line is on time if it arrives at most `latenessMs` after it happened. A late one comes right behind a line that happens as it
//    arrives: so its watermark, and with it its place in the order, is known to the millisecond.
// 4. No event comes again so late that its first one may be forgotten.
// Not here: lines that are no events, but for a few (stress.ts has them).

import type { Random } from '../../cli/generate/random.ts'
import type { Fields, Timeline } from './timeline.ts'

const SECOND_MS = 1_000
const MINUTE_MS = 60 * SECOND_MS
const HOUR_MS = 60 * MINUTE_MS
const DAY_MS = 24 * HOUR_MS
const WEEK_MS = 7 * DAY_MS
const GRACE_MS = 5 * MINUTE_MS
const SHORT_WAIT_MS = HOUR_MS
/** How long a touch that came in time is held: the longest window and the delay of pixels. */
const HOLD_MS = 28 * DAY_MS + WEEK_MS
const ORDER_HORIZON_MS = 90 * DAY_MS
const WINDOWS = [
  ['click', DAY_MS],
  ['click', WEEK_MS],
  ['click', 28 * DAY_MS],
  ['impression', DAY_MS],
] as const
type Kind = 'click' | 'impression'

/** Ids whose order by UTF-16 units is another than by bytes, and some that JSON or a key may trip over. */
const MARKS = ['', '', '', '', 'é', '中', '😀', '\uffee', '\ue000', '"', ' ', '\u0080', '\u2028']
const ADVERTISERS = ['shop', 'shop2', 'app é', '42', 'a', 'a"']
const CURRENCIES = ['USD', 'EUR', 'JPY']
const EDGES_MS = [-1, 0, 1]
/** How long after an attribution a touch may come that would have been its candidate: 0 is in time; at the last, nobody remembers. */
const MISSED_MS = [0, 1, 2, HOUR_MS, DAY_MS, WEEK_MS, HOLD_MS, HOLD_MS + 1]
/** What an event's value may be. */
const VALUES = ['absent', 'zero', 'whole', 'tiny', 'largest', 'cents', 'cents', 'cents'] as const
const VALUE_MAX = 9e9
const REFUNDS = [
  ...['whole', 'partial', 'more', 'twice', 'same event twice', 'unknown', 'uncredited', 'late', 'by click'],
  ...['same time', 'same time, by click', 'two at once', 'of another'],
] as const

/** Who does it, and at whose. */
interface Who {
  readonly user: string
  readonly advertiser: string
}

export interface ScenarioOptions {
  readonly latenessMs: number
  readonly users: number
  /** What is planned arrives before this. */
  readonly endMs: number
}

export class JoinerScenarios {
  /** How often each happened. */
  readonly counts = new Map<string, number>()
  readonly #random: Random
  readonly #timeline: Timeline
  readonly #options: ScenarioOptions
  readonly #draw: (() => void)[]
  #number = 0

  constructor(random: Random, timeline: Timeline, options: ScenarioOptions) {
    this.#random = random
    this.#timeline = timeline
    this.#options = options
    const weights: [weight: number, happen: () => void][] = [
      [30, () => this.#pageView()],
      [60, () => this.#touchAlone()],
      [25, () => this.#path()],
      [3, () => this.#windowEdge()],
      [2, () => this.#shortWaitEdge()],
      [3, () => this.#clickOfAnother()],
      [3, () => this.#clickOfSeveral()],
      [2, () => this.#unknownClick()],
      [3, () => this.#clickAfterConversion()],
      [3, () => this.#eventAgain()],
      [2, () => this.#sameIdElsewhere()],
      [4, () => this.#orderAgain()],
      [6, () => this.#refund()],
      [2, () => this.#refundEarly()],
      [3, () => this.#lateTouch()],
      [10, () => this.#missedTouch()],
      [4, () => this.#latePixel()],
      [2, () => this.#labelEdge()],
      [2, () => this.#holdEdge()],
      [2, () => this.#beforeObservation()],
      [2, () => this.#sameMillisecond()],
      [3, () => this.#otherEvents()],
      [2, () => this.#program()],
      [1, () => this.#nobody()],
      [1, () => this.#noEvent()],
    ]
    this.#draw = weights.flatMap(([weight, happen]) => Array.from({ length: weight }, () => happen))
  }

  happen(): void {
    this.#random.pick(this.#draw)()
  }

  // --- how lines arrive

  /** Arrives in time: mostly at once, else within the lateness, up to its last millisecond. */
  #inTime(fields: Fields): void {
    const { latenessMs } = this.#options
    const delayMs = this.#random.chance(0.6) ? 0 : this.#random.pick([1, latenessMs, this.#random.below(latenessMs)])
    this.#timeline.plan((fields.event_time as number) + delayMs, fields)
  }

  /** Arrives when the watermark before it is `atMs` - 1: late if it happened before `atMs`. */
  #at(atMs: number, ...lines: readonly Fields[]): void {
    const arrivesMs = atMs + this.#options.latenessMs
    const clock = { type: 'consent', event_id: this.#id('clock'), event_time: arrivesMs, user_id: 'clock' }
    this.#timeline.plan(arrivesMs, clock, ...lines)
  }

  /** Counts a scenario; false if it would go on after the end of the file. What happens in one moment always may: so a file gets full. */
  #begins(name: string, lastsMs: number): boolean {
    if (lastsMs > 0 && this.#nowMs + lastsMs + this.#options.latenessMs > this.#options.endMs) return false
    this.#counted(name)
    return true
  }

  #counted(name: string): void {
    this.counts.set(name, (this.counts.get(name) ?? 0) + 1)
  }

  get #nowMs(): number {
    return this.#timeline.nowMs
  }

  // --- what lines say

  #id(kind: string): string {
    return `${kind}-${this.#number++}${this.#random.pick(MARKS)}`
  }

  #user(): string {
    const rank = this.#random.zipfFromHead(this.#options.users, 50)
    return `u${rank}${MARKS[rank % MARKS.length]}`
  }

  #who(): Who {
    const user = this.#random.chance(0.5) ? this.#user() : this.#id('only')
    return { user, advertiser: this.#random.pick(ADVERTISERS) }
  }

  #event(type: string, { user, advertiser }: Who, timeMs: number, more: Fields): Fields {
    const ids = {
      type,
      event_id: this.#id(type.slice(0, 2)),
      event_time: timeMs,
      user_id: user,
      advertiser_id: advertiser,
    }
    return { ...ids, ...more }
  }

  #touch(kind: Kind, who: Who, timeMs: number, more: Fields = {}): Fields {
    const ad = this.#random.zipf(40)
    const campaign = { ad_id: `ad${ad}`, campaign_id: `c${ad % 7}` }
    return this.#event(kind, who, timeMs, {
      ...campaign,
      ...(kind === 'click' ? { click_id: this.#id('k') } : {}),
      ...more,
    })
  }

  #conversion(who: Who, timeMs: number, more: Fields = {}): Fields {
    return this.#event('conversion', who, timeMs, { ...this.#money(), ...more })
  }

  /** Absent, 0, whole, with cents, or with more places than micro-units have. */
  #money(): Fields {
    const kind = this.#random.pick(VALUES)
    this.#counted(`value: ${kind}`)
    if (kind === 'absent') return {}
    const cents = this.#random.below(100_000) / 100
    const value = { zero: 0, whole: Math.ceil(cents), tiny: cents / 1e8, largest: VALUE_MAX, cents }[kind]
    return { value, currency: this.#random.pick(CURRENCIES) }
  }

  #kind(): Kind {
    return this.#random.chance(0.6) ? 'click' : 'impression'
  }

  // --- ordinary

  #pageView(): void {
    if (!this.#begins('page view', 0)) return
    this.#inTime(this.#event('page_view', this.#who(), this.#nowMs, { page_id: `/p/${this.#random.zipf(300)}` }))
  }

  #touchAlone(): void {
    if (!this.#begins('touch', 0)) return
    const who = { user: this.#user(), advertiser: this.#random.pick(ADVERTISERS) }
    this.#inTime(this.#touch(this.#kind(), who, this.#nowMs))
  }

  /** Several touches, then several conversions, which carry a click or none. */
  #path(): void {
    const who = this.#who()
    const touches = 1 + this.#random.below(5)
    const conversions = 1 + this.#random.below(3)
    const lengthMs = this.#random.pick([10 * MINUTE_MS, HOUR_MS, DAY_MS, WEEK_MS, 20 * DAY_MS])
    const name = `path of ${touches > 1 ? 'touches' : 'a touch'} and ${conversions > 1 ? 'conversions' : 'a conversion'}`
    if (!this.#begins(name, 2 * lengthMs)) return
    const clicks: unknown[] = [null]
    for (let n = 0; n < touches; n++) {
      const touch = this.#touch(this.#kind(), who, this.#nowMs + this.#random.below(lengthMs))
      clicks.push(touch.click_id ?? null)
      this.#inTime(touch)
    }
    for (let n = 0; n < conversions; n++) {
      const timeMs = this.#nowMs + lengthMs + this.#random.below(lengthMs)
      this.#inTime(this.#conversion(who, timeMs, { click_id: this.#random.pick(clicks), order_id: this.#id('o') }))
    }
  }

  // --- edges of windows

  #windowEdge(): void {
    const [kind, lengthMs] = this.#random.pick(WINDOWS)
    const edgeMs = this.#random.pick(EDGES_MS)
    const isStart = this.#random.chance(0.3)
    const name = isStart ? 'start' : `${lengthMs / DAY_MS}d`
    if (!this.#begins(`edge of ${kind} ${name} ${edgeMs}`, lengthMs + SECOND_MS)) return
    const who = { ...this.#who(), user: this.#id('edge') }
    const touch = this.#touch(kind, who, this.#nowMs + 1)
    const timeMs = this.#nowMs + 1 + edgeMs + (isStart ? 0 : lengthMs)
    this.#inTime(touch)
    this.#inTime(this.#conversion(who, timeMs, this.#random.chance(0.5) ? { click_id: touch.click_id } : {}))
  }

  #shortWaitEdge(): void {
    const edgeMs = this.#random.pick(EDGES_MS)
    if (!this.#begins(`edge of the short wait ${edgeMs}`, DAY_MS)) return
    const who = { ...this.#who(), user: this.#id('edge') }
    this.#inTime(this.#touch(this.#kind(), who, this.#nowMs))
    this.#inTime(this.#conversion(who, this.#nowMs + SHORT_WAIT_MS + edgeMs))
    if (this.#random.chance(0.5)) this.#inTime(this.#conversion(who, this.#nowMs + SHORT_WAIT_MS + HOUR_MS))
  }

  // --- clicks and whose they are

  #clickOfAnother(): void {
    const isNobodys = this.#random.chance(0.4)
    if (!this.#begins(`click of another, conversion ${isNobodys ? 'without user' : 'of somebody'}`, DAY_MS)) return
    const who = this.#who()
    const click = this.#touch('click', who, this.#nowMs)
    this.#inTime(click)
    const timeMs = this.#nowMs + this.#random.below(DAY_MS)
    const user_id = isNobodys ? null : this.#user()
    this.#inTime(this.#conversion(who, timeMs, { user_id, click_id: click.click_id, order_id: this.#id('o') }))
  }

  #clickOfSeveral(): void {
    const isOwn = this.#random.chance(0.5)
    if (!this.#begins(`click id of several users, ${isOwn ? 'own among them' : 'all others'}`, DAY_MS)) return
    const who = this.#who()
    const users = [this.#id('v'), this.#id('w'), ...(isOwn ? [who.user] : [])]
    const click_id = this.#id('shared')
    for (const user of users) {
      const timeMs = this.#nowMs + this.#random.pick([0, 0, this.#random.below(HOUR_MS)])
      this.#inTime(this.#touch('click', { ...who, user }, timeMs, { click_id }))
    }
    this.#inTime(this.#conversion(who, this.#nowMs + HOUR_MS, { click_id }))
  }

  #unknownClick(): void {
    const isNobodys = this.#random.chance(0.5)
    if (!this.#begins(`unknown click, ${isNobodys ? 'no user' : 'a user'}`, HOUR_MS)) return
    const who = this.#who()
    if (this.#random.chance(0.5)) this.#inTime(this.#touch('click', who, this.#nowMs))
    const more = { click_id: this.#id('unknown'), ...(isNobodys ? { user_id: null } : {}) }
    this.#inTime(this.#conversion(who, this.#nowMs + this.#random.below(HOUR_MS), more))
  }

  /** The click comes after its conversion: before it, within the grace, at its last millisecond, or after it. */
  #clickAfterConversion(): void {
    const apartMs = this.#random.pick([1, MINUTE_MS, GRACE_MS - 1, GRACE_MS, GRACE_MS + 1, HOUR_MS])
    if (!this.#begins(`click ${apartMs} ms after its conversion`, HOUR_MS)) return
    const who = this.#who()
    const click = this.#touch('click', who, this.#nowMs + apartMs)
    this.#inTime(click)
    const user_id = this.#random.pick([who.user, null, this.#id('x')])
    this.#inTime(this.#conversion(who, this.#nowMs, { click_id: click.click_id, user_id }))
  }

  // --- duplicates

  #eventAgain(): void {
    const apartMs = this.#random.pick([0, 1, HOUR_MS, WEEK_MS - 1, WEEK_MS, WEEK_MS + 1, 8 * DAY_MS])
    const type = this.#random.pick(['click', 'impression', 'conversion'])
    if (!this.#begins(`${type} again after ${apartMs} ms`, apartMs + DAY_MS)) return
    const who = this.#who()
    const touch = this.#touch(type === 'impression' ? 'impression' : 'click', who, this.#nowMs)
    const first = type === 'conversion' ? this.#conversion(who, this.#nowMs + 1) : touch
    this.#inTime(touch)
    if (first !== touch) this.#inTime(first)
    this.#inTime({ ...first, event_time: (first.event_time as number) + apartMs })
    if (first === touch) this.#inTime(this.#conversion(who, this.#nowMs + apartMs + HOUR_MS))
  }

  #sameIdElsewhere(): void {
    if (!this.#begins('one event id of two users', HOUR_MS)) return
    const touch = this.#touch(this.#kind(), this.#who(), this.#nowMs)
    this.#inTime(touch)
    this.#inTime({ ...touch, user_id: this.#id('twin') })
    this.#inTime({ ...this.#conversion(this.#who(), this.#nowMs + MINUTE_MS), event_id: touch.event_id })
  }

  #orderAgain(): void {
    const apartMs = this.#random.pick([0, 1, 3 * DAY_MS, -ORDER_HORIZON_MS, -ORDER_HORIZON_MS - 1])
    if (!this.#begins(`order again after ${apartMs} ms`, Math.max(apartMs, 0) + HOUR_MS)) return
    const who = this.#who()
    const touch = this.#touch('click', who, this.#nowMs)
    const order = { order_id: this.#id('o') }
    this.#inTime(touch)
    const timeMs = this.#nowMs + MINUTE_MS
    const carried = this.#random.chance(0.5)
      ? { click_id: touch.click_id, user_id: this.#random.pick([who.user, null]) }
      : {}
    this.#inTime(this.#conversion(who, timeMs, { ...order, ...carried }))
    const again = this.#conversion(who, timeMs + apartMs, order)
    if (apartMs >= 0) this.#inTime(again)
    else this.#at(timeMs + MINUTE_MS, again)
  }

  // --- refunds

  #refund(): void {
    const how = this.#random.pick(REFUNDS)
    if (!this.#begins(`refund, ${how}`, 3 * DAY_MS)) return
    const who = this.#who()
    const touch = this.#touch(this.#kind(), who, this.#nowMs)
    if (how !== 'uncredited') this.#inTime(touch)
    const orderMs = this.#nowMs + 1 + this.#random.below(DAY_MS)
    const order = this.#conversion(who, orderMs, { order_id: this.#id('o'), value: 100.25 })
    this.#inTime(order)
    const backMs = how.startsWith('same time') ? orderMs : orderMs + 1 + this.#random.below(DAY_MS)
    const amount = how === 'partial' ? 40.1 : how === 'more' ? 200 : this.#random.pick([undefined, 0, 100.25])
    const refundOf = how === 'unknown' ? this.#id('no-order') : order.order_id
    const isNamed = amount === undefined || amount === 0 || this.#random.chance(0.5)
    const back = isNamed ? { refund_of: refundOf, value: amount } : { order_id: refundOf, value: -amount }
    const click = touch.click_id === undefined ? {} : { click_id: touch.click_id }
    const by = how.endsWith('by click') ? click : {}
    const from = how === 'of another' ? { ...who, user: this.#id('other') } : who
    const refund = { ...this.#event('conversion', from, backMs, { currency: 'USD' }), ...back, ...by }
    if (how === 'late') this.#at(backMs + 1 + this.#random.below(DAY_MS), refund)
    else this.#inTime(refund)
    if (how === 'same event twice') this.#inTime(refund)
    if (how === 'two at once') this.#inTime({ ...refund, event_id: this.#id(this.#random.pick(['a', 'z'])), ...click })
    if (how === 'twice') this.#inTime({ ...refund, event_id: this.#id('again'), event_time: backMs + 1 })
  }

  /** A refund that comes before its order is attributed, or before it is there. */
  #refundEarly(): void {
    const isThere = this.#random.chance(0.7)
    if (!this.#begins(isThere ? 'refund before the attribution of its order' : 'refund before its order', DAY_MS))
      return
    const who = this.#who()
    this.#inTime(this.#touch(this.#kind(), who, this.#nowMs))
    const orderMs = this.#nowMs + MINUTE_MS
    const order = this.#conversion(who, orderMs, { order_id: this.#id('o'), value: 7 })
    const refund = this.#conversion(who, orderMs - SECOND_MS, { value: undefined, refund_of: order.order_id })
    this.#inTime(order)
    if (isThere) this.#at(orderMs + this.#random.pick([1, MINUTE_MS, GRACE_MS, GRACE_MS + 1]), refund)
    else this.#inTime(refund)
  }

  // --- late

  #lateTouch(): void {
    const afterMs = this.#random.pick([
      MINUTE_MS,
      SHORT_WAIT_MS + GRACE_MS,
      SHORT_WAIT_MS + GRACE_MS + 1,
      2 * DAY_MS,
      30 * DAY_MS,
    ])
    if (!this.#begins(`touch late by ${afterMs} ms`, afterMs + 2 * DAY_MS)) return
    const who = this.#who()
    const touch = this.#touch(this.#kind(), who, this.#nowMs)
    if (this.#random.chance(0.6)) this.#inTime(this.#conversion(who, this.#nowMs + this.#random.below(DAY_MS)))
    this.#at(this.#nowMs + afterMs, touch)
    if (this.#random.chance(0.6)) this.#at(this.#nowMs + afterMs + HOUR_MS, this.#conversion(who, this.#nowMs + 5))
  }

  /** A touch that comes after the attribution of conversions, of which it is within a window, or just out of it. */
  #missedTouch(): void {
    const [kind, lengthMs] = this.#random.pick(WINDOWS)
    const afterMs = this.#random.pick(MISSED_MS)
    const name = this.#random.pick(['a millisecond before', 'start', 'within', 'end', 'a millisecond past'])
    const ageMs = { 'a millisecond before': -1, start: 0, end: lengthMs, 'a millisecond past': lengthMs + 1 }[name]
    const conversionMs = this.#nowMs + 1 + (ageMs ?? this.#random.below(lengthMs))
    const attributedMs = conversionMs + GRACE_MS
    if (!this.#begins(`touch ${afterMs} ms after an attribution`, attributedMs + afterMs + DAY_MS - this.#nowMs)) return
    this.#counted(`touch after an attribution, ${kind} ${lengthMs / DAY_MS}d: ${name}`)
    const who = { ...this.#who(), user: this.#id('edge') }
    const missed = this.#touch(kind, who, this.#nowMs + 1)
    const carried = missed.click_id !== undefined && this.#random.chance(0.3) ? { click_id: missed.click_id } : {}
    const order = this.#conversion(who, conversionMs, { ...carried, order_id: this.#id('o'), value: 9 })
    this.#inTime(order)
    if (this.#random.chance(0.4)) this.#inTime(this.#touch(this.#kind(), who, this.#nowMs + 1))
    if (this.#random.chance(0.4)) this.#inTime(this.#conversion(who, conversionMs))
    if (this.#random.chance(0.2)) this.#at(attributedMs + 1, this.#conversion(who, conversionMs))
    this.#at(attributedMs + afterMs, missed)
    if (this.#random.chance(0.3)) this.#at(attributedMs + afterMs + 1, this.#touch(this.#kind(), who, this.#nowMs + 1))
    if (this.#random.chance(0.3))
      this.#inTime(this.#conversion(who, attributedMs + afterMs + HOUR_MS, { value: -4, order_id: order.order_id }))
  }

  #latePixel(): void {
    const lateMs = HOUR_MS + this.#random.below(6 * DAY_MS - HOUR_MS)
    if (!this.#begins('pixel late by an hour to six days', lateMs + 8 * DAY_MS)) return
    const who = this.#who()
    const touch = this.#touch(this.#kind(), who, this.#nowMs)
    this.#inTime(touch)
    const afterMs = this.#random.below(this.#random.pick([HOUR_MS, DAY_MS, WEEK_MS]))
    const isByClick = touch.click_id !== undefined && this.#random.chance(0.5)
    const carried = isByClick ? { click_id: touch.click_id, user_id: this.#random.pick([null, who.user]) } : {}
    for (let n = 0; n <= this.#random.below(3); n++)
      this.#at(this.#nowMs + afterMs + lateMs + n, this.#conversion(who, this.#nowMs + afterMs, carried))
  }

  /** A late conversion that is credited at the time of O or M, a millisecond before it, or after it. */
  #labelEdge(): void {
    const edgeMs = this.#random.pick(EDGES_MS)
    const [kind, lengthMs] = this.#random.pick([...WINDOWS, ['click', SHORT_WAIT_MS] as const])
    if (!this.#begins(`credit at a label ${edgeMs}`, lengthMs + DAY_MS)) return
    const who = { ...this.#who(), user: this.#id('edge') }
    this.#inTime(this.#touch(kind, who, this.#nowMs))
    const timeMs = this.#nowMs + this.#random.pick([0, 1, SHORT_WAIT_MS - 1])
    this.#at(this.#nowMs + lengthMs + GRACE_MS + edgeMs, this.#conversion(who, timeMs))
  }

  /** A conversion older than every hold, or nearly so. */
  #holdEdge(): void {
    const edgeMs = this.#random.pick([...EDGES_MS, DAY_MS])
    if (!this.#begins(`conversion at the end of its hold ${edgeMs}`, HOLD_MS + 2 * DAY_MS)) return
    const who = { ...this.#who(), user: this.#id('edge') }
    this.#inTime(this.#touch('click', who, this.#nowMs))
    this.#at(this.#nowMs + HOLD_MS + edgeMs, this.#conversion(who, this.#nowMs + this.#random.below(DAY_MS)))
  }

  /** Late, after the short wait, and yet before O has spoken. */
  #beforeObservation(): void {
    if (!this.#begins('late conversion before O, after the short wait', DAY_MS)) return
    const who = { ...this.#who(), user: this.#id('edge') }
    this.#inTime(this.#touch(this.#kind(), who, this.#nowMs))
    const timeMs = this.#nowMs + SHORT_WAIT_MS + 1 + this.#random.below(MINUTE_MS)
    this.#at(timeMs + MINUTE_MS, this.#conversion(who, timeMs))
    if (this.#random.chance(0.5)) this.#inTime(this.#conversion(who, this.#nowMs + 5))
  }

  // --- of one time

  #sameMillisecond(): void {
    if (!this.#begins('touches and conversions of one millisecond', DAY_MS)) return
    const who = this.#who()
    for (const kind of ['click', 'impression', 'click'] as const) this.#inTime(this.#touch(kind, who, this.#nowMs))
    const timeMs = this.#nowMs + this.#random.pick([0, HOUR_MS, 2 * HOUR_MS])
    const id = this.#id('tie')
    for (const mark of ['😀', '\uffee', 'a'])
      this.#inTime({ ...this.#conversion(who, timeMs), event_id: `${id}${mark}` })
  }

  // --- what is no touch and no conversion

  #otherEvents(): void {
    const type = this.#random.pick(['lead', 'add_to_cart', 'checkout'])
    if (!this.#begins(`${type} after a touch`, DAY_MS)) return
    const who = this.#who()
    this.#inTime(this.#touch(this.#kind(), who, this.#nowMs))
    const pixel_id = this.#random.pick(['p1', 'p2', null])
    const timeMs = this.#nowMs + this.#random.below(DAY_MS)
    if (this.#random.chance(0.2))
      this.#at(timeMs + HOUR_MS, this.#event(type, who, timeMs, { ...this.#money(), pixel_id }))
    else this.#inTime(this.#event(type, who, timeMs, { ...this.#money(), pixel_id }))
  }

  #program(): void {
    if (!this.#begins('a program', DAY_MS)) return
    const who = this.#who()
    const props = { bot: true }
    const isTouch = this.#random.chance(0.5)
    const click = this.#touch('click', who, this.#nowMs, isTouch ? { props } : {})
    this.#inTime(click)
    const carried = this.#random.chance(0.5) ? { click_id: click.click_id, user_id: null } : {}
    const order = { order_id: this.#id('o') }
    this.#inTime(this.#conversion(who, this.#nowMs + HOUR_MS, { ...carried, ...order, ...(isTouch ? {} : { props }) }))
    this.#inTime(this.#conversion(who, this.#nowMs + 2 * HOUR_MS, { value: undefined, refund_of: order.order_id }))
  }

  /** Without user: dead letters, or with `anonymous: accept` events that join nothing. */
  #nobody(): void {
    if (!this.#begins('anonymous', 0)) return
    const who = this.#who()
    const type = this.#random.pick([
      () => this.#touch('click', who, this.#nowMs),
      () => this.#conversion(who, this.#nowMs),
    ])
    this.#timeline.plan(this.#nowMs, { ...type(), user_id: null })
  }

  #noEvent(): void {
    if (!this.#begins('no event', 0)) return
    const { advertiser_id: _, ...fields } = this.#conversion(this.#who(), this.#nowMs)
    const line = this.#random.pick([`${JSON.stringify(fields)}\n`, '{"type":\n', ' \t\n', '[]\r\n'])
    this.#timeline.plan(this.#nowMs, Buffer.from(line))
  }
}

// Oracle, step 3b: whose each conversion is, which are duplicates, and which touch has the credit, from the accepted events and all
// conversions in the order of the order key (contract.md sections 2 and 4, protocol.md section 8, docs/joiner.md). Imports nothing of
// the project.
//
// 1. Everything has a place in one order: what is caused by time at T comes after the records with order time T, resolutions
//    before attributions before refunds. What waits, waits for its event time + grace, and no line of a queue is due before the one before it.
// 2. "The watermark before": of a record or a cause at T it is T - 1.
// 3. Every touch and every attributed conversion of the file is kept here for ever. Whether it still counts is asked of its times.
// 4. What is said anew is lines alone: who has the credit, and so every label and count, stays as it was attributed.
// Not here: label rows. They follow from what each touch has been credited with, and when (label-rows.ts).

import { type Attribution, longestMs, type Model, type TouchKind } from './attribution-settings.ts'
import { candidatesIn, lastTouch, type Share, sharesOf } from './credit-rules.ts'
import { covers, goalsOf, isConversionOf, lanesOf } from './goals.ts'
import type { Event } from './judge.ts'
import { byUtf8, Duplicates, type Record, type Settings, userOf } from './records.ts'

/** A conversion that a touch has the credit of. */
export interface Credit {
  readonly lane: number
  /** Where in the order it was credited. */
  readonly atMs: number
  readonly timeMs: number
  readonly valueMicro: bigint
}

export interface Refund {
  readonly lane: number
  readonly isPartial: boolean
  readonly amountMicro: bigint
}

/** A touch, and in the order in which it happened what it was credited with and what was taken back. */
export interface Touch {
  readonly event: Event
  readonly kind: TouchKind
  readonly timeMs: number
  readonly user: string
  readonly clickId: string | null
  /** Its hold goes when the watermark passes this. */
  readonly keptUntilMs: number
  readonly credits: Credit[]
  readonly refunds: Refund[]
}

/** One line of attributions.ndjson. */
export interface AttributionRow {
  readonly event: Event
  readonly user: string
  readonly lane: number
  readonly model: Model['name']
  readonly touch: Touch | null
  readonly credit: number
  readonly valueMicro: bigint
  /** 0: said when it was attributed; n: said anew because of the nth touch that came too late for it. */
  readonly revision: number
}

export interface Joined {
  /** Conversions that are no duplicates. */
  readonly accepted: readonly Record[]
  readonly touches: readonly Touch[]
  readonly attributions: readonly AttributionRow[]
  /** By lane, conversions that last touch credits to somebody, and to nobody. */
  readonly credited: readonly number[]
  readonly uncredited: readonly number[]
  readonly refundUnmatched: number
  /** docs/joiner.md, point 11. */
  readonly lateTouches: number
}

/** A conversion, or another event of a goal, that was accepted. */
interface Conversion {
  readonly record: Record
  readonly valueMicro: bigint
  /** By whom it is credited in which lane. Empty as long as it is not attributed. */
  readonly credits: { readonly lane: number; readonly touch: Touch }[]
}

/** A conversion that was attributed, and how often it has been said anew. */
interface Said {
  readonly conversion: Conversion
  readonly atMs: number
  revision: number
}

interface LaneCandidates {
  readonly lane: number
  readonly candidates: readonly Touch[]
}

interface Waiting {
  readonly dueMs: number
  /** What is due together goes in the order of these, else in the order in which it came. */
  readonly id?: string
  readonly go: () => void
}

/** Of accepted events of other types, and all conversions, in the order of the order key. `lastWatermarkMs`: W at the end of the file, after
 *  which no hold goes (protocol.md section 8, drain). */
export function join(
  ordered: readonly Record[],
  settings: Settings,
  attribution: Attribution,
  lastWatermarkMs: number,
): Joined {
  const joiner = new Joiner(settings, attribution, lastWatermarkMs)
  for (const record of ordered) {
    joiner.passTime(record.atMs - 1)
    joiner.take(record)
  }
  joiner.passTime(Number.POSITIVE_INFINITY)
  return joiner.joined
}

class Joiner {
  readonly #settings: Settings
  readonly #attribution: Attribution
  readonly #lastWatermarkMs: number
  readonly #longestMs: number
  readonly #clicks = new Map<string, { readonly user: string; readonly timeMs: number }[]>()
  readonly #duplicates: Duplicates
  /** By person and advertiser, in the order (time, type, id). */
  readonly #held = new Map<string, Touch[]>()
  /** By person and advertiser, in the order in which they were attributed. */
  readonly #said = new Map<string, Said[]>()
  readonly #orders = new Map<string, Conversion>()
  readonly #resolutions = new Queue()
  readonly #attributions = new Queue()
  readonly #refunds = new Queue()

  readonly #accepted: Record[] = []
  readonly #touches: Touch[] = []
  readonly #rows: AttributionRow[] = []
  readonly #credited: number[]
  readonly #uncredited: number[]
  #refundUnmatched = 0
  #lateTouches = 0

  constructor(settings: Settings, attribution: Attribution, lastWatermarkMs: number) {
    this.#settings = settings
    this.#attribution = attribution
    this.#lastWatermarkMs = lastWatermarkMs
    this.#longestMs = longestMs(attribution)
    this.#duplicates = new Duplicates(settings)
    this.#credited = lanesOf(attribution).map(() => 0)
    this.#uncredited = lanesOf(attribution).map(() => 0)
  }

  get joined(): Joined {
    return {
      accepted: this.#accepted,
      touches: this.#touches,
      attributions: this.#rows,
      credited: this.#credited,
      uncredited: this.#uncredited,
      refundUnmatched: this.#refundUnmatched,
      lateTouches: this.#lateTouches,
    }
  }

  /** Everything that waits for a time up to this one: by time, then in the order of kinds (invariant 1). */
  passTime(toMs: number): void {
    for (;;) {
      const queues = [this.#resolutions, this.#attributions, this.#refunds]
      const next = queues.reduce((first, queue) => (queue.dueMs < first.dueMs ? queue : first))
      if (next.dueMs === Number.POSITIVE_INFINITY || next.dueMs > toMs) return
      next.shift().go()
    }
  }

  take(record: Record): void {
    const { event } = record
    if (event.type === 'conversion') this.#conversion(record)
    else if (event.userId !== null && !this.#isLeftOut(event)) this.#event(record, event.userId)
  }

  #conversion(record: Record): void {
    if (record.event.clickId === null) this.#arrive(record)
    else if (record.isLate) this.#arrive(this.#resolved(record, record.atMs))
    else {
      const dueMs = this.#finalMs(record)
      this.#resolutions.push({ dueMs, go: () => this.#arrive(this.#resolved(record, dueMs)) })
    }
  }

  #event(record: Record, user: string): void {
    const { event } = record
    if (event.type === 'click') {
      const clicks = this.#clicks.get(event.clickId!) ?? []
      this.#clicks.set(event.clickId!, [...clicks, { user, timeMs: event.eventTimeMs }])
    }
    if (event.type === 'click' || event.type === 'impression') this.#touch(record, user, event.type)
    else this.#waitForAttribution({ record, valueMicro: microsOf(event), credits: [] })
  }

  // --- conversions

  /** The same conversion, in the place where it was resolved, with the user whose it is. */
  #resolved(record: Record, atMs: number): Record {
    const { event } = record
    const { graceMs, clickHorizonMs } = this.#attribution
    const known = (this.#clicks.get(event.clickId!) ?? []).filter(
      ({ timeMs }) => timeMs <= event.eventTimeMs + graceMs && event.eventTimeMs - timeMs <= clickHorizonMs,
    )
    const isOwn = event.userId !== null && known.some(({ user }) => user === event.userId)
    const user = isOwn ? event.userId : (known[0]?.user ?? userOf(event))
    return { ...record, user, atMs, watermarkMs: atMs - 1 }
  }

  /** A conversion whose user is known is where it is judged. */
  #arrive(record: Record): void {
    if (!this.#duplicates.isFirst(record)) return
    const { event } = record
    this.#accepted.push(record)
    if (this.#isLeftOut(event)) return
    const conversion = { record, valueMicro: microsOf(event), credits: [] }
    if (event.isRefund) {
      this.#refund(conversion)
      return
    }
    if (event.orderId !== null) this.#orders.set(orderKey(record, event.orderId), conversion)
    this.#waitForAttribution(conversion)
  }

  #waitForAttribution(conversion: Conversion): void {
    const { record } = conversion
    if (isAnonymous(record.event)) return
    if (!goalsOf(this.#attribution.goals).some((goal) => isConversionOf(goal, record.event))) return
    const dueMs = this.#finalMs(record)
    if (record.isLate || record.atMs >= dueMs) this.#attribute(conversion, record.atMs)
    else this.#attributions.push({ dueMs, go: () => this.#attribute(conversion, dueMs) })
  }

  #attribute(conversion: Conversion, atMs: number): void {
    const { event, user } = conversion.record
    const { clickId, eventTimeMs: timeMs } = event
    const lanes = this.#candidatesAt(atMs, conversion)
    for (const { lane, candidates } of lanes) {
      const winner = candidates[lastTouch(candidates, clickId)]
      if (winner === undefined) this.#uncredited[lane]!++
      else {
        this.#credited[lane]!++
        winner.credits.push({ lane, atMs, timeMs, valueMicro: conversion.valueMicro })
        conversion.credits.push({ lane, touch: winner })
      }
    }
    const said: Said = { conversion, atMs, revision: 0 }
    this.#say(said, lanes)
    const group = groupOf(user, event)
    this.#said.set(group, [...(this.#said.get(group) ?? []), said])
  }

  /** The lines of a conversion. */
  #say({ conversion, revision }: Said, lanes: readonly LaneCandidates[]): void {
    const { record, valueMicro } = conversion
    const { event, user } = record
    const { clickId, eventTimeMs: timeMs } = event
    for (const { lane, candidates } of lanes) {
      for (const model of this.#attribution.models) {
        const shares = sharesOf(model, candidates, { timeMs, clickId })
        const nobody: Share[] = [{ place: -1, credit: 0 }]
        for (const { place, credit } of shares.length === 0 ? nobody : shares) {
          const touch = candidates[place] ?? null
          this.#rows.push({ event, user, lane, model: model.name, touch, credit, valueMicro, revision })
        }
      }
    }
  }

  /** In each lane of the goals that a conversion is one of, the touches that are held then and may be credited with it. */
  #candidatesAt(atMs: number, { record }: Conversion): LaneCandidates[] {
    const { event } = record
    const held = this.#heldAt(atMs, record)
    return lanesOf(this.#attribution).flatMap(({ goal, window }, lane) => {
      if (!isConversionOf(goal, event)) return []
      const covered = held.filter((touch) => covers(goal, touch.event))
      return [{ lane, candidates: candidatesIn(covered, this.#attribution.windows[window]!, event.eventTimeMs) }]
    })
  }

  /** Touches of the conversion's person and advertiser, not later than it, within the longest window, whose hold has not gone. */
  #heldAt(atMs: number, { event, user }: Record): Touch[] {
    const watermarkMs = Math.min(atMs - 1, this.#lastWatermarkMs)
    return (this.#held.get(groupOf(user, event)) ?? []).filter(
      ({ timeMs, keptUntilMs }) =>
        timeMs <= event.eventTimeMs && event.eventTimeMs - timeMs <= this.#longestMs && keptUntilMs > watermarkMs,
    )
  }

  // --- refunds

  #refund(refund: Conversion): void {
    const { record } = refund
    const orderId = (record.event.fields.get('refund_of') as string | undefined) ?? record.event.orderId
    const order = orderId === null ? undefined : this.#orders.get(orderKey(record, orderId))
    if (order === undefined) {
      this.#refundUnmatched++
      return
    }
    const carried = refund.valueMicro < 0n ? -refund.valueMicro : refund.valueMicro
    const amountMicro = carried === 0n ? order.valueMicro : carried
    const isPartial = amountMicro < order.valueMicro
    const go = () => {
      for (const { lane, touch } of order.credits) touch.refunds.push({ lane, isPartial, amountMicro })
    }
    if (record.isLate) go()
    else this.#refunds.push({ dueMs: this.#finalMs(record), id: record.event.eventId, go })
  }

  // --- touches

  #touch({ event, watermarkMs, atMs, isLate }: Record, user: string, kind: TouchKind): void {
    const timeMs = event.eventTimeMs
    const keptUntilMs = Math.max(timeMs, watermarkMs) + this.#longestMs + this.#attribution.pixelDelayMs
    const touch = { event, kind, timeMs, user, clickId: event.clickId, keptUntilMs, credits: [], refunds: [] }
    this.#touches.push(touch)
    const group = groupOf(user, event)
    const held = this.#held.get(group) ?? []
    held.splice(held.findLastIndex((other) => inTouchOrder(other, touch) < 0) + 1, 0, touch)
    this.#held.set(group, held)
    if (isLate) this.#missed(touch, this.#said.get(group) ?? [], atMs)
  }

  /** docs/joiner.md, point 11: of the conversions of the touch's person and advertiser, those that it would have been a candidate of. */
  #missed(touch: Touch, said: readonly Said[], atMs: number): void {
    const keptMs = this.#longestMs + this.#attribution.pixelDelayMs
    for (const one of said) {
      const isKnown = atMs - 1 < one.atMs + keptMs
      if (!isKnown || !this.#isMatch(touch, one.conversion.record.event.eventTimeMs)) continue
      this.#lateTouches++
      if (this.#attribution.lateTouches === 'count') continue
      one.revision++
      this.#say(one, this.#candidatesAt(atMs, one.conversion))
    }
  }

  #isMatch({ kind, timeMs }: Touch, conversionMs: number): boolean {
    const ageMs = conversionMs - timeMs
    return ageMs >= 0 && this.#attribution.windows.some((window) => ageMs <= (window[kind] ?? -1))
  }

  /** A program's, where those are no traffic. */
  #isLeftOut = ({ isBot }: Event): boolean => isBot && this.#settings.bots !== 'count'

  #finalMs = ({ event }: Record): number => event.eventTimeMs + this.#attribution.graceMs
}

/** Places of a queue that are kept although what stood there is gone: fewer would move the others too often. */
const GONE_MAX = 10_000

/** What waits for its time. */
class Queue {
  readonly #waiting: Waiting[] = []
  #first = 0

  get dueMs(): number {
    return this.#waiting[this.#first]?.dueMs ?? Number.POSITIVE_INFINITY
  }

  push(waiting: Waiting): void {
    // Nearly always the last place: only a refund that was resolved may be due before others that wait.
    const isBefore = ({ dueMs, id = '' }: Waiting) =>
      dueMs < waiting.dueMs || (dueMs === waiting.dueMs && byUtf8(id, waiting.id ?? '') <= 0)
    this.#waiting.splice(Math.max(this.#first, this.#waiting.findLastIndex(isBefore) + 1), 0, waiting)
  }

  shift(): Waiting {
    const waiting = this.#waiting[this.#first]!
    this.#first++
    if (this.#first === GONE_MAX) this.#first -= this.#waiting.splice(0, GONE_MAX).length
    return waiting
  }
}

/** Micro-units, as contract.md section 1 rounds; 0 where there is none. */
function microsOf({ fields }: Event): bigint {
  const value = fields.get('value')
  return typeof value === 'number' ? BigInt(Math.floor(value * 1e6 + 0.5)) : 0n
}

/** Nobody's: what came without a person and without a click to find one by joins nothing. */
const isAnonymous = ({ userId, clickId }: Event): boolean => userId === null && clickId === null

const groupOf = (user: string, { advertiserId }: Event): string => JSON.stringify([user, advertiserId])

const orderKey = ({ user, event }: Record, orderId: string): string =>
  JSON.stringify([user, event.advertiserId, orderId])

function inTouchOrder(a: Touch, b: Touch): number {
  return a.timeMs - b.timeMs || byUtf8(a.kind, b.kind) || byUtf8(a.event.eventId, b.event.eventId)
}

// Holds touches for their conversions, and finds for each conversion that is due every touch it may be credited to
// (contract.md, section 4; docs/joiner.md). Who has the credit is said behind it (operators/attribution.ts).
// HO1: a conversion that is not late is matched when the watermark passes its event time + grace; one that was resolved there, or is
//      late, in its own place. What bears no goal, what `bots` marks and what takes an order back is not matched.
// HO2: a conversion's candidates are all touches held of its person and advertiser within the longest window before it. A hold counts
//      while the watermark is below max(touch time, watermark at arrival) + longest window + pixelDelay, wherever buckets end.
// HO3: a touch that no window names is not held. To hold one reads nothing; only a late one asks what it missed.
// HO4: a late touch counts as `late_touch` for each attributed conversion that it would have been a candidate of, and with `revise`
//      makes that be said anew, from what is held now. Conversions are known for this as operators/attributed-conversions.ts says.
// HO5: everything passes on in its place; what is matched there follows.
// How a touch is held: operators/held-touch.ts. Labels, and what refunds do, are not here.

import { HoldfastError } from '../log/errors.ts'
import type { HoldEntry, HoldStore } from '../state/store.ts'
import { AttributedConversions, type LateTouch } from './attributed-conversions.ts'
import { type AttributionSettings, type AttributionWindow, lengthFor, longestWindowMs } from './attribution-settings.ts'
import { lowestBucketAt, type Retention } from './expiry.ts'
import { type HeldTouch, heldTouch, heldTouchCodec, placeOf } from './held-touch.ts'
import { emittedBy, type Operator, type OperatorContext, RANK, type Rec } from './operator.ts'
import {
  type Conversion,
  groupOf,
  isRefund,
  type JoinRecord,
  keyOf,
  type Matched,
  type Touch,
  type TouchType,
} from './touch.ts'

export type HoldSettings = Pick<AttributionSettings, 'windows' | 'graceMs' | 'pixelDelayMs' | 'lateTouches'>

/** Buckets of one retention: a hold stays at most a fifth longer than it must, and a conversion's read asks six. */
export const BUCKETS_PER_RETENTION = 5
/** A hold store has no narrower buckets. */
const BUCKET_MS_MIN = 1_000

const HELD = 'held'
/** Counter: touches that came after a conversion that they would have been candidates of (HO4). */
export const LATE_TOUCH = 'late_touch'
const ATTRIBUTION = 'attribution'

/** Where a conversion is attributed. */
interface Place {
  readonly at: number
  readonly watermark: number
  readonly late: boolean
}

/**
 * Passes on what comes, and adds a Matched for each conversion that is due. Throws USAGE where holds would end before the
 * conversions that wait out their grace.
 */
export function hold(settings: HoldSettings): Operator<JoinRecord, JoinRecord | Matched> {
  const { windows, graceMs, pixelDelayMs, lateTouches } = settings
  if (pixelDelayMs < graceMs)
    throw new HoldfastError(
      'USAGE',
      `attribution.pixelDelay must be at least grace (${graceMs} ms), not ${pixelDelayMs} ms`,
    )
  const lengthsMs: Lengths = { click: longestFor(windows, 'click'), impression: longestFor(windows, 'impression') }
  const longestMs = longestWindowMs({ windows })
  const retentionMs = longestMs + pixelDelayMs
  const kept: Retention = { retentionMs, bucketMs: bucketMsFor(retentionMs) }
  const saysAnew = lateTouches === 'revise'
  const attributed = new AttributedConversions({ id: 2, retentionMs, graceMs, saysAnew })

  function want(conversion: Conversion, at: number, ctx: OperatorContext): void {
    ctx.holds(HELD).want(groupOf(conversion), conversion.timeMs - longestMs, conversion.timeMs)
    attributed.want(conversion, at, ctx)
  }

  function matched(conversion: Conversion, place: Place, ctx: OperatorContext): Matched {
    const { timeMs } = conversion
    const held = ctx.holds<HeldTouch>(HELD).get(groupOf(conversion), timeMs - longestMs, timeMs)
    attributed.add(conversion, place, ctx)
    const { late, watermark } = place
    return { kind: 'matched', conversion, late, candidates: candidates(conversion, held, watermark), revision: 0 }
  }

  /** HO2, of holds that reach further than the conversion's. */
  function candidates(conversion: Conversion, held: readonly HoldEntry<HeldTouch>[], watermark: number): Touch[] {
    const touches: Touch[] = []
    for (const { timeMs, value } of held) {
      if (timeMs > conversion.timeMs || timeMs < conversion.timeMs - longestMs) continue
      if (watermark < timeMs + value.lateByMs + retentionMs) touches.push(value.touch)
    }
    return touches
  }

  /** The late touch of a record; null: it is none, or no window names it. */
  function lateTouchOf({ value: touch, late, watermark }: Rec<Touch>): LateTouch | null {
    const lengthMs = lengthsMs[touch.type]
    return late && lengthMs !== null ? { touch, lengthMs, watermark } : null
  }

  /** Of the holds that may be candidates where a late touch makes something be said anew. */
  const rangeAround = ({ touch, lengthMs }: LateTouch): readonly [string, number, number] => [
    groupOf(touch),
    touch.timeMs - longestMs,
    touch.timeMs + lengthMs,
  ]

  function wantMissed(late: LateTouch, ctx: OperatorContext): void {
    attributed.wantFor(late, ctx)
    if (saysAnew) ctx.holds(HELD).want(...rangeAround(late))
  }

  /** HO4. */
  function saidAnew(late: LateTouch, ctx: OperatorContext): Matched[] {
    const matches: Matched[] = []
    const missed = attributed.missed(
      late,
      (said) => {
        const held = ctx.holds<HeldTouch>(HELD).get(...rangeAround(late))
        matches.push({ kind: 'matched', ...said, candidates: candidates(said.conversion, held, late.watermark) })
      },
      ctx,
    )
    if (missed > 0) ctx.count(LATE_TOUCH, missed)
    return matches
  }

  return {
    name: 'hold',
    version: 1,
    settings: { lengthsMs, graceMs, pixelDelayMs, lateTouches },
    stores: [{ kind: 'holds', id: 1, name: HELD, bucketMs: kept.bucketMs, codec: heldTouchCodec }, attributed.store],
    timers: { kinds: [ATTRIBUTION], delayMinMs: graceMs },
    keys(batch, ctx) {
      for (const rec of batch) {
        if (isOfTouch(rec)) {
          const late = lateTouchOf(rec)
          if (late !== null) wantMissed(late, ctx)
        } else if (isConversion(rec.value) && isDue(rec)) want(rec.value, rec.at, ctx)
      }
    },
    process(batch, ctx) {
      const held = ctx.holds<HeldTouch>(HELD)
      const out: Rec<JoinRecord | Matched>[] = []
      for (const rec of batch) {
        out.push(rec)
        if (isOfTouch(rec)) {
          if (lengthsMs[rec.value.type] !== null) put(rec, held)
          const late = lateTouchOf(rec)
          if (late !== null) for (const match of saidAnew(late, ctx)) out.push({ ...rec, value: match })
        } else if (isConversion(rec.value)) {
          if (isDue(rec)) out.push({ ...rec, value: matched(rec.value, rec, ctx) })
          else ctx.setTimer(timerOf(rec.value, graceMs), rec)
        }
      }
      return out
    },
    timerKeys({ payload, dueMs }, ctx) {
      want(payload as Conversion, dueMs, ctx)
    },
    onTimer(timer, ctx) {
      const conversion = timer.payload as Conversion
      const place: Place = { at: timer.dueMs, watermark: timer.dueMs - 1, late: false }
      return [emittedBy(timer, matched(conversion, place, ctx), conversion)]
    },
    advance(watermark, ctx) {
      const { lowest, next } = lowestBucketAt(watermark, kept)
      ctx.holds(HELD).expireBelow(lowest)
      return Math.min(next, attributed.expire(watermark, ctx))
    },
  }
}

/** How long the longest window of a kind of touch is, milliseconds; null: no window names it. */
type Lengths = Readonly<Record<TouchType, number | null>>

function longestFor(windows: readonly AttributionWindow[], type: TouchType): number | null {
  const lengths = windows.flatMap((window) => lengthFor(window, type) ?? [])
  return lengths.length === 0 ? null : Math.max(...lengths)
}

const bucketMsFor = (retentionMs: number): number =>
  Math.max(Math.ceil(retentionMs / BUCKETS_PER_RETENTION), BUCKET_MS_MIN)

const isOfTouch = (rec: Rec<JoinRecord>): rec is Rec<Touch> => rec.value.kind === 'touch'

/** Whether a record is matched with touches (HO1). */
const isConversion = (record: JoinRecord): record is Conversion =>
  record.kind === 'conversion' && record.goals.length > 0 && record.bots === undefined && !isRefund(record)

/** Whether a conversion stands where it is attributed: what a timer has sent on stands where it was resolved. */
const isDue = ({ late, rank }: Rec<JoinRecord>): boolean => late || rank === RANK.timer

/** HO3: one put and nothing else. */
function put({ value: touch, watermark }: Rec<Touch>, held: HoldStore<HeldTouch>): void {
  const { group, id } = placeOf(touch)
  held.put(group, touch.timeMs, id, heldTouch(touch, watermark), watermark)
}

/** Keys are in the order of the order key. No two conversions of one user have the same type, id and time. */
function timerOf(conversion: Conversion, graceMs: number) {
  const { type, id, user, timeMs } = conversion
  return { dueMs: timeMs + graceMs, kind: ATTRIBUTION, key: keyOf(type, id, user), payload: conversion }
}

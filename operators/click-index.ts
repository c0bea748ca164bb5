// Whose is a conversion that carries a click_id? (contract.md, section 2; docs/joiner.md): one stage by click_id, of clicks that
// are known by their id and of conversions that ask.
// CI1: a click is known to a conversion if it stands before the place of resolution, its event time is at most the conversion's
//      + grace and at most clickHorizonMs before it, and the watermark has not passed the click's order time + horizon + grace.
//      None of it depends on buckets.
// CI2: a conversion that is not late is resolved when the watermark passes its event time + grace, and stands there from then on;
//      a late one in its own place.
// CI3: of one click_id and bucket the first CLICKS_MAX clicks are known; more are counted as `click_users_dropped`.
// Clicks come without their duplicates; conversions with theirs (operators/conversion-duplicates.ts).

import { assert } from '../log/errors.ts'
import type { Codec } from '../state/store.ts'
import type { AttributionSettings } from './attribution-settings.ts'
import { ByteReader, ByteWriter } from './bytes.ts'
import { lowestBucketAt, type Retention } from './expiry.ts'
import { emittedBy, type Operator, type OperatorContext, type Rec } from './operator.ts'
import { type Conversion, type KnownClick, keyOf } from './touch.ts'

export type ClickIndexSettings = Pick<AttributionSettings, 'graceMs' | 'clickHorizonMs'>

/** A click_id belongs to one click: twice where a link was passed on, a few dozen times where it stands in a mailing. */
export const CLICKS_MAX = 64

/** The clicks of one click_id in one bucket of order time, in the order in which they came. */
type Clicks = ClickEntry[]

interface ClickEntry {
  readonly user: string
  readonly timeMs: number
  /** Order time: the event time, or right behind the watermark at which a late one came. */
  readonly at: number
}

const CLICKS = 'clicks'
const RESOLUTION = 'resolution'

/** Passes conversions on as their user's, where they are resolved. Clicks end here. */
export function clickIndex({
  graceMs,
  clickHorizonMs,
}: ClickIndexSettings): Operator<KnownClick | Conversion, Conversion> {
  const kept = retentionOf(clickHorizonMs + graceMs)
  const bucketOf = (timeMs: number): number => Math.max(0, Math.floor(timeMs / kept.bucketMs))

  /** The buckets where a click may lie that is known to a conversion at this watermark: three at most. */
  function bucketsFor({ timeMs }: Conversion, watermark: number): { first: number; last: number } {
    const first = bucketOf(watermark - kept.retentionMs + 1)
    return { first, last: bucketOf(Math.max(timeMs + graceMs, watermark + 1)) }
  }

  function want(conversion: Conversion, watermark: number, ctx: OperatorContext): void {
    const clicks = ctx.keyed<Clicks>(CLICKS)
    const { first, last } = bucketsFor(conversion, watermark)
    for (let bucket = first; bucket <= last; bucket++) clicks.want(bucket, clickIdOf(conversion))
  }

  function resolved(conversion: Conversion, watermark: number, ctx: OperatorContext): Conversion {
    const clicks = ctx.keyed<Clicks>(CLICKS)
    const { first, last } = bucketsFor(conversion, watermark)
    const { timeMs, ownUser } = conversion
    let winner: ClickEntry | null = null
    for (let bucket = first; bucket <= last; bucket++) {
      for (const click of clicks.get(bucket, clickIdOf(conversion)) ?? []) {
        if (click.timeMs > timeMs + graceMs || click.timeMs < timeMs - clickHorizonMs) continue
        if (watermark >= click.at + kept.retentionMs) continue
        if (click.user === ownUser) return { ...conversion, user: ownUser }
        if (winner === null || click.at < winner.at) winner = click
      }
    }
    return { ...conversion, user: winner?.user ?? ownUser ?? `click:${clickIdOf(conversion)}` }
  }

  function add({ value, at }: Rec<KnownClick>, ctx: OperatorContext): void {
    const { clickId, user, timeMs } = value
    const clicks = ctx.keyed<Clicks>(CLICKS)
    const bucket = bucketOf(at)
    const known = clicks.get(bucket, clickId)
    if (known === undefined) clicks.set(bucket, clickId, [{ user, timeMs, at }])
    else if (known.length >= CLICKS_MAX) ctx.count('click_users_dropped')
    else {
      known.push({ user, timeMs, at })
      clicks.changed(bucket, clickId)
    }
  }

  function wait(conversion: Conversion, rec: Rec<unknown>, ctx: OperatorContext): void {
    const { type, id, user, timeMs } = conversion
    // In the order key's order. Equal ones have not been told apart yet: they have other numbers.
    const key = keyOf(type, id, user)
    ctx.setTimer({ dueMs: timeMs + graceMs, kind: RESOLUTION, key, payload: conversion }, rec)
  }

  return {
    name: 'click index',
    version: 1,
    settings: { graceMs, clickHorizonMs },
    stores: [{ kind: 'keyed', id: 1, name: CLICKS, codec: clicksCodec }],
    timers: { kinds: [RESOLUTION], delayMinMs: graceMs },
    keys(batch, ctx) {
      const clicks = ctx.keyed<Clicks>(CLICKS)
      for (const { value, at, watermark, late } of batch) {
        if (value.kind === 'known click') clicks.want(bucketOf(at), value.clickId)
        else if (late) want(value, watermark, ctx)
      }
    },
    process(batch, ctx) {
      const out: Rec<Conversion>[] = []
      for (const rec of batch) {
        const { value, watermark } = rec
        if (value.kind === 'known click') add(rec as Rec<KnownClick>, ctx)
        else if (rec.late) out.push({ ...rec, value: resolved(value, watermark, ctx) })
        else wait(value, rec, ctx)
      }
      return out
    },
    timerKeys({ payload, dueMs }, ctx) {
      want(payload as Conversion, dueMs - 1, ctx)
    },
    onTimer(timer, ctx) {
      const conversion = resolved(timer.payload as Conversion, timer.dueMs - 1, ctx)
      return [emittedBy(timer, conversion, conversion)]
    },
    advance(watermark, ctx) {
      const { lowest, next } = lowestBucketAt(watermark, kept)
      ctx.keyed<Clicks>(CLICKS).expireBelow(lowest)
      return next
    },
  }
}

/** One bucket per retention: a question touches three at most, and an entry stays at most twice as long as it must. */
const retentionOf = (retentionMs: number): Retention => ({ bucketMs: Math.max(retentionMs, 1), retentionMs })

function clickIdOf({ clickId }: Conversion): string {
  assert(clickId !== null, 'only conversions with a click_id come to the click index')
  return clickId
}

/** Bytes: of each click the user, its event time, and how much later its order time is. */
const clicksCodec: Codec<Clicks> = {
  encode(clicks) {
    const writer = new ByteWriter()
    for (const { user, timeMs, at } of clicks) {
      writer.text(user)
      writer.varint(timeMs)
      writer.varint(at - timeMs)
    }
    return writer.done()
  },
  decode(bytes) {
    const reader = new ByteReader(bytes)
    const clicks: Clicks = []
    while (!reader.atEnd) {
      const [user, timeMs] = [reader.text(), reader.varint()]
      clicks.push({ user, timeMs, at: timeMs + reader.varint() })
    }
    return clicks
  },
}

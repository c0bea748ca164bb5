// How what the joiner's stages tell each other is written in the log (operators/touch.ts has the words): arrays without names,
// because touches are up to half of all events. The order time travels anyway, so an event time that equals it is left out.

import { type EventType, quotedId } from '../operators/event.ts'
import { scoredOf, scoredText } from '../operators/scored.ts'
import { type Conversion, isRefund, type JoinRecord, type KnownClick, type Touch } from '../operators/touch.ts'
import type { ExchangeCodec } from './plan.ts'

/** To the click index, by click_id: clicks of known people, and conversions that say which click they are of. */
export const CLICK_EXCHANGE: ExchangeCodec<JoinRecord, KnownClick | Conversion> = {
  name: 'clicks, and conversions that carry a click_id',
  version: 1,
  where: takesTheHop,
  key: (record) => record.clickId!,
  encode: (record, at) =>
    record.kind === 'touch'
      ? JSON.stringify([record.clickId, record.user, ...timeUnless(record.timeMs, at)])
      : JSON.stringify(conversionArray(record)),
  decode(json, at) {
    const array = json as readonly unknown[]
    if (array.length === CONVERSION_FIELDS) return conversionOf(array)
    const [clickId, user, timeMs = at] = array as [string, string, number?]
    return { kind: 'known click', clickId, user, timeMs }
  },
}

/** A click, or a conversion that says which one it is of: only those pass the click index. */
function takesTheHop(record: JoinRecord): boolean {
  return record.clickId !== null && record.type === (record.kind === 'touch' ? 'click' : 'conversion')
}

/** To the stage of attribution, by user: what needs no resolution. `touches: apart`: they come from another stage. */
export function directExchange(touches: 'here' | 'apart'): ExchangeCodec<JoinRecord, JoinRecord> {
  return {
    ...JOIN_EXCHANGE,
    name: touches === 'here' ? 'touches, and conversions without a click_id' : 'conversions without a click_id',
    where: (record) => (record.kind === 'touch' ? touches === 'here' : !takesTheHop(record)),
  }
}

/** To the stage of attribution, by user: all that there is. */
export const JOIN_EXCHANGE: ExchangeCodec<JoinRecord, JoinRecord> = {
  name: 'what is joined',
  version: 1,
  where: () => true,
  key: (record) => record.user,
  encode: (record, at) => (record.kind === 'touch' ? touchText(record, at) : JSON.stringify(conversionArray(record))),
  decode(json, at) {
    const array = json as readonly unknown[]
    return array.length === CONVERSION_FIELDS ? conversionOf(array) : touchOf(array, at)
  },
}

const CLICK = 0
const IMPRESSION = 1

const timeUnless = (timeMs: number, at: number): number[] => (timeMs === at ? [] : [timeMs])

/** [type, id, user, advertiser, campaign, ad, click_id, event time where it is not the order time, layout, vector, score], as text. */
function touchText(touch: Touch, at: number): string {
  const { type, id, timeMs, user, advertiser, campaign, ad, clickId, vector, scored } = touch
  const who = `${type === 'click' ? CLICK : IMPRESSION},${quotedId(id)},${quotedId(user)},${quotedId(advertiser)}`
  const plain = `[${who},${quotedId(campaign)},${quotedId(ad)}`
  const time = timeMs === at ? null : timeMs
  const click = clickId === null ? null : quotedId(clickId)
  const sealed = vector === null ? null : `${vector.layout},"${vector.base64}"`
  if (scored !== undefined) return `${plain},${click},${time},${sealed ?? 'null,null'},${scoredText(scored)}]`
  if (sealed !== null) return `${plain},${click},${time},${sealed}]`
  if (time !== null) return `${plain},${click},${time}]`
  return click === null ? `${plain}]` : `${plain},${click}]`
}

function touchOf(array: readonly unknown[], at: number): Touch {
  // By index, not by pattern: half of all events come here.
  const fields = array as [
    ...[type: number, id: string, user: string, advertiser: string, campaign: string, ad: string],
    ...[clickId?: string | null, timeMs?: number | null, layout?: number | null, base64?: string | null],
    ...[scored?: unknown],
  ]
  const layout = fields[8] ?? null
  const scored = fields[10]
  const touch: Touch = {
    kind: 'touch',
    type: fields[0] === CLICK ? 'click' : 'impression',
    id: fields[1],
    timeMs: fields[7] ?? at,
    user: fields[2],
    advertiser: fields[3],
    campaign: fields[4],
    ad: fields[5],
    clickId: fields[6] ?? null,
    vector: layout === null ? null : { layout, base64: fields[9]! },
  }
  return scored === undefined ? touch : { ...touch, scored: scoredOf(scored) }
}

/** More than a touch or a click ever has, so that the length says what it is. */
const CONVERSION_FIELDS = 13

function conversionArray(conversion: Conversion): unknown[] {
  const { type, id, timeMs, user, ownUser, advertiser, orderId, clickId, valueMicro, currency, goals, bots } =
    conversion
  const refunds = isRefund(conversion) ? [conversion.refundOf] : null
  return [
    type,
    id,
    timeMs,
    user,
    ownUser,
    advertiser,
    orderId,
    clickId,
    valueMicro,
    currency,
    refunds,
    goals,
    bots ?? null,
  ]
}

function conversionOf(array: readonly unknown[]): Conversion {
  const [type, id, timeMs, user, ownUser, advertiser, orderId, clickId, valueMicro, currency, refunds, goals, bots] =
    array as [
      ...[type: EventType, id: string, timeMs: number, user: string, ownUser: string | null, advertiser: string],
      ...[orderId: string | null, clickId: string | null, valueMicro: number | null, currency: string | null],
      ...[refunds: [string | null] | null, goals: readonly string[], bots: 'mark' | 'drop' | null],
    ]
  return {
    ...{ kind: 'conversion', type, id, timeMs, user, ownUser, advertiser, orderId, clickId, valueMicro, currency },
    ...(refunds !== null && { refundOf: refunds[0] }),
    goals,
    ...(bots !== null && { bots }),
  }
}

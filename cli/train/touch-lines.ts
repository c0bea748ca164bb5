// A touch as a line of a file says it: an event that `run` read, or a line of its vectors.ndjson, which has no click_id but `schema`
// and `values`. Anything else is no touch: null.

import type { FactValue, TouchFacts } from '../../ml/touch-features.ts'
import { checkEvent, EVENT_SETTINGS, isRejected } from '../../operators/event.ts'
import { type TouchType, touchOf } from '../../operators/touch.ts'

export interface TouchLine extends TouchFacts {
  readonly type: TouchType
  readonly user: string
  readonly id: string
  /** Of its vector; null: the file has none. */
  readonly schema: string | null
  /** Empty: the file has none. */
  readonly vector: Readonly<Record<string, FactValue>>
}

export function touchInLine(value: object): TouchLine | null {
  const { schema, values } = value as { readonly schema?: unknown; readonly values?: unknown }
  if (typeof schema === 'string' && typeof values === 'object' && values !== null)
    return ofVector(value, schema, values)
  const event = checkEvent(value, EVENT_SETTINGS)
  if (isRejected(event) || (event.type !== 'click' && event.type !== 'impression')) return null
  return { ...touchOf(event, event.type), type: event.type, schema: null, vector: {} }
}

function ofVector(value: object, schema: string, values: object): TouchLine | null {
  const { type, user_id: user, event_id: id, event_time: timeMs, ...others } = value as Record<string, unknown>
  const { advertiser_id: advertiser, campaign_id: campaign, ad_id: ad } = others
  if (type !== 'click' && type !== 'impression') return null
  if (typeof user !== 'string' || typeof id !== 'string' || typeof timeMs !== 'number') return null
  if (typeof advertiser !== 'string' || typeof campaign !== 'string' || typeof ad !== 'string') return null
  return isVector(values) ? { type, user, id, timeMs, advertiser, campaign, ad, schema, vector: values } : null
}

function isVector(values: object): values is Record<string, FactValue> {
  const isId = (one: unknown) => typeof one === 'string'
  const isWeighted = (one: unknown) =>
    Array.isArray(one) && one.length === 2 && isId(one[0]) && typeof one[1] === 'number'
  return Object.values(values).every(
    (value) =>
      value === null ||
      ['number', 'string', 'boolean'].includes(typeof value) ||
      (Array.isArray(value) && (value.every(isId) || value.every(isWeighted))),
  )
}

// Oracle, step 2: one line judged alone: an event, or a dead letter with code and field (contract.md section 1).
// Imports nothing of the project.
//
// 1. The first code that applies: EVENT_TOO_LARGE, EVENT_JSON (both with field null), EVENT_FIELD_MISSING,
//    EVENT_FIELD_INVALID. So a missing field wins over an invalid one, wherever they stand.
// 2. Within a code the first field: type, event_id, event_time, user_id, the table's required ones in its order,
//    its further ones in its order, then every other field in document order (first occurrence of its name).
// 3. Only what section 1 states is checked: props, device, items and the like may be anything.
// Not here: what needs other lines (late, duplicates).

import type { Line } from './read-lines.ts'

const EVENT_BYTES_MAX = 65_536
const NESTING_MAX = 64
const ID_BYTES_MAX = 128
const EVENT_TIME_MIN_MS = Date.UTC(2000, 0, 1)
const EVENT_TIME_MAX_MS = Date.UTC(2100, 0, 1)
const VALUE_MAX = 9e9

const ALWAYS = ['type', 'event_id', 'event_time', 'user_id']
const AD = ['ad_id', 'campaign_id', 'advertiser_id']
const SHOP = { required: ['advertiser_id'], further: ['item_id', 'value', 'pixel_id'] }

const TABLE = new Map<unknown, { required: string[]; further: string[] }>([
  ['page_view', { required: ['page_id'], further: ['item_id', 'referrer'] }],
  ['impression', { required: AD, further: ['impression_id', 'channel'] }],
  ['click', { required: [...AD, 'click_id'], further: ['impression_id', 'channel'] }],
  ['add_to_cart', SHOP],
  ['checkout', SHOP],
  ['lead', SHOP],
  [
    'conversion',
    {
      required: ['advertiser_id'],
      further: ['order_id', 'click_id', 'pixel_id', 'value', 'currency', 'items', 'source', 'refund_of'],
    },
  ],
  ['consent', { required: [], further: [] }],
  ['erase', { required: [], further: [] }],
])

/** What the recomputation needs of a valid event; absent fields are null. */
export interface Event {
  readonly line: number
  readonly type: string
  readonly eventId: string
  readonly eventTimeMs: number
  readonly userId: string | null
  readonly pageId: string | null
  readonly clickId: string | null
  readonly advertiserId: string | null
  readonly orderId: string | null
  readonly isRefund: boolean
  readonly isBot: boolean
  /** All that are present, in document order. */
  readonly fields: Fields
}

/** A line that is no event, with the fields of dead_letters.ndjson. */
export interface DeadLetter {
  readonly line: number
  readonly code: string
  readonly field: string | null
  readonly raw: string
}

export type Judgement = { readonly event: Event } | { readonly dead: DeadLetter }
export type Anonymous = 'reject' | 'accept'
export type Bots = 'count' | 'mark' | 'drop'
export type Fields = ReadonlyMap<string, unknown>

/** Judges one line. `anonymous: accept` lets events without user_id pass. */
export function judge(line: Line, anonymous: Anonymous): Judgement {
  const dead = (code: string, field: string | null): Judgement => ({
    dead: { line: line.number, code, field, raw: line.bytes.toString('base64') },
  })
  if (line.bytes.length > EVENT_BYTES_MAX) return dead('EVENT_TOO_LARGE', null)
  const fields = parseFields(line.bytes)
  if (fields === null) return dead('EVENT_JSON', null)
  const missing = requiredOf(fields, anonymous).find((name) => !fields.has(name))
  if (missing !== undefined) return dead('EVENT_FIELD_MISSING', missing)
  const invalid = inCheckOrder(fields).find((name) => fields.has(name) && !isValid(name, fields.get(name)))
  if (invalid !== undefined) return dead('EVENT_FIELD_INVALID', invalid)
  return { event: eventOf(line.number, fields) }
}

/** The top-level fields that are present (null means absent), in document order; null if this is no event at all. */
function parseFields(bytes: Buffer): Fields | null {
  let value: unknown
  try {
    // ignoreBOM keeps a byte order mark in the text, where JSON.parse refuses it.
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes))
  } catch {
    return null
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return null
  if (isNestedDeeper(value, NESTING_MAX)) return null
  return new Map(Object.entries(value).filter(([, field]) => field !== null))
}

/** Objects and arrays count, the outermost object is level 1. The recursion ends at the limit, so it cannot overflow. */
function isNestedDeeper(value: unknown, levels: number): boolean {
  if (typeof value !== 'object' || value === null) return false
  return levels === 0 || Object.values(value).some((inner) => isNestedDeeper(inner, levels - 1))
}

function requiredOf(fields: Fields, anonymous: Anonymous): string[] {
  const names = [...ALWAYS, ...(TABLE.get(fields.get('type'))?.required ?? [])]
  const userMayMiss = anonymous === 'accept' || (fields.get('type') === 'conversion' && fields.has('click_id'))
  return userMayMiss ? names.filter((name) => name !== 'user_id') : names
}

function inCheckOrder(fields: Fields): string[] {
  const row = TABLE.get(fields.get('type'))
  return [...ALWAYS, ...(row?.required ?? []), ...(row?.further ?? []), ...fields.keys()]
}

function isValid(name: string, value: unknown): boolean {
  if (name === 'type') return TABLE.has(value)
  if (name === 'event_time') return isEventTime(value)
  if (name === 'value') return typeof value === 'number' && Math.abs(value) <= VALUE_MAX
  if (name.endsWith('_id') || name === 'refund_of') return isId(value)
  return true
}

function isEventTime(value: unknown): boolean {
  return Number.isInteger(value) && (value as number) >= EVENT_TIME_MIN_MS && (value as number) <= EVENT_TIME_MAX_MS
}

function isId(value: unknown): boolean {
  if (typeof value !== 'string' || !value.isWellFormed()) return false
  const bytes = Buffer.byteLength(value)
  return bytes >= 1 && bytes <= ID_BYTES_MAX && !/[\u0000-\u001f\u007f]/.test(value)
}

/** A field as a text; null where it is absent, another thing, or no Unicode that can be written. */
export function textOf(fields: Fields, name: string): string | null {
  const value = fields.get(name)
  return typeof value === 'string' && value.isWellFormed() ? value : null
}

function eventOf(line: number, fields: Fields): Event {
  const text = (name: string) => (fields.get(name) as string | undefined) ?? null
  return {
    line,
    type: fields.get('type') as string,
    eventId: fields.get('event_id') as string,
    eventTimeMs: fields.get('event_time') as number,
    userId: text('user_id'),
    pageId: text('page_id'),
    clickId: text('click_id'),
    advertiserId: text('advertiser_id'),
    orderId: text('order_id'),
    isBot: (fields.get('props') as { bot?: unknown } | undefined)?.bot === true,
    isRefund: fields.has('refund_of') || (fields.get('value') as number) < 0,
    fields,
  }
}

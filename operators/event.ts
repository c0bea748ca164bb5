// The event vocabulary: what a client may send, and the one place that decides whether it is an event (contract.md, 1).
// E1: the answer depends on the bytes and the settings alone; a failure is a value (Rejected), nothing here throws.
// E2: the hot path says yes or no, `firstFault` says why: both use the same rules, and an assertion holds them together.
// E3: a rule belongs to a field's name, whatever the type: `value` on a page_view must be a number as well.
// Not here: dead letters and EVENT_TIME_FUTURE (operators/validation.ts), who a conversion belongs to (resolution).

import { isUtf8 } from 'node:buffer'
import { assert } from '../log/errors.ts'

/** Bytes of one event, without its line end. */
export const EVENT_BYTES_MAX = 65_536
/** Bytes of a refused event that its dead letter keeps: in base64 they still fit a message, however much was sent. */
export const REFUSED_BYTES_KEPT = 4 * EVENT_BYTES_MAX
/** `JSON.parse` accepts a 10 KB line on which `JSON.stringify` overflows; 64 levels fit any stack. The event is level 1. */
export const EVENT_DEPTH_MAX = 64
/** Bytes of an id: bounds the keys in state. */
export const ID_BYTES_MAX = 128
/** 2000-01-01 and 2100-01-01, both inclusive. Seconds since 1970 fall below the first. */
export const EVENT_TIME_MIN_MS = Date.UTC(2000, 0, 1)
export const EVENT_TIME_MAX_MS = Date.UTC(2100, 0, 1)
/** Micro-units of the largest value are below 2^53. */
export const VALUE_MAX = 9e9
const MICRO = 1e6
/** Bytes of UTF-8 that one UTF-16 unit of a string takes at most (two units of a pair take four). */
const UTF8_BYTES_MAX = 3

interface TypeRow {
  /** Fields that must be present, beside type, event_id, event_time, user_id. */
  readonly required: readonly string[]
  readonly further: readonly string[]
}

const AD = ['ad_id', 'campaign_id', 'advertiser_id'] as const
const STEP: TypeRow = { required: ['advertiser_id'], further: ['item_id', 'value', 'pixel_id'] }

const TYPES = {
  page_view: { required: ['page_id'], further: ['item_id', 'referrer'] },
  impression: { required: AD, further: ['impression_id', 'channel'] },
  click: { required: [...AD, 'click_id'], further: ['impression_id', 'channel'] },
  add_to_cart: STEP,
  checkout: STEP,
  lead: STEP,
  conversion: {
    required: ['advertiser_id'],
    further: ['order_id', 'click_id', 'pixel_id', 'value', 'currency', 'items', 'source', 'refund_of'],
  },
  consent: { required: [], further: [] },
  erase: { required: [], further: [] },
} as const satisfies Record<string, TypeRow>

export type EventType = keyof typeof TYPES
/** By name; a Map, because "constructor" and "__proto__" are no event types. */
export const EVENT_TYPES: ReadonlyMap<EventType, TypeRow> = new Map(Object.entries(TYPES) as [EventType, TypeRow][])
const ROWS: ReadonlyMap<unknown, TypeRow> = EVENT_TYPES
const UNKNOWN_TYPE: TypeRow = { required: [], further: [] }
const COMMON = ['type', 'event_id', 'event_time', 'user_id'] as const

/** An event as it was sent. null means absent. Ids are checked, `value` and `event_time` too; nothing else is. */
export interface Fields {
  readonly type: EventType
  readonly event_id: string
  readonly event_time: number
  readonly user_id?: string | null
  readonly value?: number | null
  readonly refund_of?: string | null
  readonly [id: `${string}_id`]: string | null | undefined
  readonly [name: string]: unknown
}

/** An accepted event: what every operator needs of it, and the fields as sent. Do not change it in place. */
export interface Event {
  readonly type: EventType
  readonly id: string
  /** Event time, milliseconds. */
  readonly time: number
  /** `user_id`; without one `anon:<event_id>` (see `anonymous`), or `click:<click_id>` for a conversion. */
  readonly user: string
  /** Accepted without a user (`anonymous: accept`): it counts for pages and joins nothing, features of users skip it. */
  readonly anonymous: boolean
  /**
   * Only where a program sent it (isBot) and the setting `bots` says more than count. `mark`: it stays out of whatever does not
   * declare that it takes such events; `drop`: nothing after duplicates sees it.
   */
  readonly bots?: 'mark' | 'drop'
  readonly fields: Fields
}

/** What becomes of events that programs sent (contract.md, 1). */
export type BotsSetting = 'count' | 'mark' | 'drop'

/** Whether a program sent an event: `props.bot` is true, as the front door marks them, or whoever wrote the file. */
export function isBot({ fields: { props } }: Event): boolean {
  return typeof props === 'object' && props !== null && (props as { bot?: unknown }).bot === true
}

/** A conversion that takes back an earlier one: by refund_of, or by a negative value. */
export function isRefund({ type, fields }: Event): boolean {
  return type === 'conversion' && (fields.refund_of != null || (fields.value ?? 0) < 0)
}

export type RejectedCode =
  | 'EVENT_TOO_LARGE'
  | 'EVENT_JSON'
  | 'EVENT_FIELD_MISSING'
  | 'EVENT_FIELD_INVALID'
  | 'EVENT_TIME_FUTURE'

/** Why something is no event: the first code that applies, and the first field it applies to. */
export interface Rejected {
  readonly code: RejectedCode
  readonly field: string | null
  /** A guess at what was meant, for the sender. */
  readonly hint?: string
}

export interface EventSettings {
  /** What becomes of an event without user_id (a conversion with click_id needs none). */
  readonly anonymous: 'reject' | 'accept'
}

export const EVENT_SETTINGS: EventSettings = { anonymous: 'reject' }

const TOO_LARGE: Rejected = { code: 'EVENT_TOO_LARGE', field: null }
const NOT_JSON: Rejected = { code: 'EVENT_JSON', field: null }

export function isRejected(result: Event | Rejected): result is Rejected {
  return (result as Rejected).code !== undefined
}

/** The text of strict UTF-8 bytes, null if they are anything else. A byte order mark stays, and JSON refuses it. */
export function utf8Text(bytes: Uint8Array): string | null {
  // Checked and decoded by two native calls: a strict TextDecoder takes several times as long for a short event.
  if (!isUtf8(bytes)) return null
  const buffer = bytes instanceof Buffer ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  return buffer.toString('utf8')
}

/**
 * How strings are spelt in a JSON text. `plain`: without backslash and U+007F. JSON forbids raw control characters and
 * UTF-8 has no lone surrogates, so no string of a plain text holds what an id must not hold, and ids are not scanned.
 */
export type Spelling = 'plain' | 'any'

/** The spelling of a text or of a payload. One search over a whole frame saves a loop for every id in it. */
export function spellingOf(text: string): Spelling {
  return text.includes('\\') || text.includes('\x7f') ? 'any' : 'plain'
}

/** The event in the bytes of one line or one message. */
export function parseEventBytes(bytes: Uint8Array, settings: EventSettings): Event | Rejected {
  if (bytes.length > EVENT_BYTES_MAX) return TOO_LARGE
  const text = utf8Text(bytes)
  return text === null ? NOT_JSON : parseJson(text, settings)
}

/** The event in a text whose bytes were strict UTF-8. */
export function parseEventText(text: string, settings: EventSettings): Event | Rejected {
  return fitsInBytes(text, EVENT_BYTES_MAX) ? parseJson(text, settings) : TOO_LARGE
}

function parseJson(text: string, settings: EventSettings): Event | Rejected {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return NOT_JSON
  }
  return checkEvent(value, settings, spellingOf(text))
}

/**
 * The event in a value that JSON.parse returned from a text of this spelling (`any` is always right, only slower).
 * The caller has checked the size and the UTF-8 of the text: a parsed value has lost both.
 */
export function checkEvent(value: unknown, settings: EventSettings, spelling: Spelling = 'any'): Event | Rejected {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return NOT_JSON
  const fields = value as Fields
  const type = fields.type
  const row = ROWS.get(type)
  if (row === undefined || !everyFieldIsSound(fields, spelling)) return firstFault(fields, settings)
  const id = fields.event_id
  const time = fields.event_time
  // Fields that are there are sound by now: == null asks only whether they are there.
  if (id == null || !isEventTime(time) || !hasAll(fields, row.required)) return firstFault(fields, settings)
  const user = fields.user_id
  if (user != null) return { type, id, time, user, anonymous: false, fields }
  const click = type === 'conversion' ? fields.click_id : null
  if (click != null) return { type, id, time, user: `click:${click}`, anonymous: false, fields }
  if (settings.anonymous === 'reject') return firstFault(fields, settings)
  return { type, id, time, user: `anon:${id}`, anonymous: true, fields }
}

/** The value in millionths, an integer (contract.md, 1): floor(value x 10^6 + 1/2), in double and in this order. */
export function microUnits(value: number): number {
  return Math.floor(value * MICRO + 0.5)
}

/**
 * Byte ranges [from, to) of the elements of a JSON array text, without the space around them; null if it is no array.
 * The payload must be valid JSON: this finds the raw bytes of an element that was refused after JSON.parse.
 */
export function splitArrayElements(payload: Uint8Array): [from: number, to: number][] | null {
  const ranges: [number, number][] = []
  let at = skipSpace(payload, 0)
  if (payload[at] !== OPEN_ARRAY) return null
  at = skipSpace(payload, at + 1)
  if (payload[at] === CLOSE_ARRAY) return ranges
  while (at < payload.length) {
    const end = elementEnd(payload, at)
    ranges.push([at, trimSpace(payload, end)])
    if (payload[end] === CLOSE_ARRAY) return ranges
    at = skipSpace(payload, end + 1)
  }
  return null
}

// --- the rules of one field

function everyFieldIsSound(fields: Fields, spelling: Spelling): boolean {
  for (const name in fields) {
    const v = fields[name]
    if (v === null) continue
    if (typeof v === 'object' && !isWithinDepth(v, EVENT_DEPTH_MAX - 1)) return false
    if (!isSound(name, v, spelling)) return false
  }
  return true
}

/** Whether a present field keeps the rule of its name. event_time and type have theirs in `isInvalid`. */
function isSound(name: string, v: unknown, spelling: Spelling): boolean {
  if (isIdName(name)) return isId(v, spelling)
  if (name === 'value') return isValue(v)
  return true
}

/** JSON text of an id of an accepted event: well-formed and without control characters, so only these two need escaping. */
export function quotedId(id: string): string {
  return id.includes('"') || id.includes('\\') ? JSON.stringify(id) : `"${id}"`
}

function isIdName(name: string): boolean {
  const n = name.length
  // "_id" from the end: cheaper than endsWith, and this runs for every field of every event.
  if (name.charCodeAt(n - 1) === 0x64 && name.charCodeAt(n - 2) === 0x69 && name.charCodeAt(n - 3) === 0x5f) return true
  return name === 'refund_of'
}

function isId(v: unknown, spelling: Spelling): boolean {
  if (typeof v !== 'string') return false
  const n = v.length
  if (n === 0 || n > ID_BYTES_MAX) return false
  if (spelling === 'plain' && n * UTF8_BYTES_MAX <= ID_BYTES_MAX) return true
  for (let i = 0; i < n; i++) {
    const c = v.charCodeAt(i)
    if (c < 0x20 || c === 0x7f) return false
    if (c > 0x7f) return isUnicodeId(v)
  }
  return true
}

function isUnicodeId(v: string): boolean {
  return v.isWellFormed() && Buffer.byteLength(v, 'utf8') <= ID_BYTES_MAX && !CONTROL.test(v)
}
const CONTROL = /[\u0000-\u001f\u007f]/

function isEventTime(v: unknown): v is number {
  return Number.isInteger(v) && (v as number) >= EVENT_TIME_MIN_MS && (v as number) <= EVENT_TIME_MAX_MS
}

function isValue(v: unknown): boolean {
  // 1e400 is JSON and parses to Infinity; a comparison refuses it and every non-number.
  return typeof v === 'number' && Math.abs(v) <= VALUE_MAX
}

function hasAll(fields: Fields, names: readonly string[]): boolean {
  for (let i = 0; i < names.length; i++) if (fields[names[i]!] == null) return false
  return true
}

/** Whether an array or object is nested at most `levels` deep, itself counted. */
function isWithinDepth(v: object, levels: number): boolean {
  if (levels === 0) return false
  for (const inner of Object.values(v)) {
    if (typeof inner === 'object' && inner !== null && !isWithinDepth(inner, levels - 1)) return false
  }
  return true
}

function fitsInBytes(text: string, bytesMax: number): boolean {
  if (text.length * UTF8_BYTES_MAX <= bytesMax) return true
  return text.length <= bytesMax && Buffer.byteLength(text, 'utf8') <= bytesMax
}

// --- the cold path: which fault comes first

function firstFault(fields: Fields, settings: EventSettings): Rejected {
  if (!isWithinDepth(fields, EVENT_DEPTH_MAX)) return NOT_JSON
  const row = ROWS.get(fields.type) ?? UNKNOWN_TYPE
  for (const field of [...COMMON, ...row.required]) {
    if (field === 'user_id' && mayLackUser(fields, settings)) continue
    if (fields[field] == null) return { code: 'EVENT_FIELD_MISSING', field }
  }
  for (const field of [...COMMON, ...row.required, ...row.further, ...Object.keys(fields)]) {
    if (isInvalid(field, fields[field])) return invalid(field, fields[field])
  }
  assert(false, 'an event was refused without a fault')
}

function mayLackUser(fields: Fields, settings: EventSettings): boolean {
  return settings.anonymous === 'accept' || (fields.type === 'conversion' && fields.click_id != null)
}

function isInvalid(field: string, v: unknown): boolean {
  if (v == null) return false
  if (field === 'type') return !ROWS.has(v)
  if (field === 'event_time') return !isEventTime(v)
  return !isSound(field, v, 'any')
}

function invalid(field: string, v: unknown): Rejected {
  const seconds = field === 'event_time' && typeof v === 'number' && isEventTime(Math.round(v * 1000))
  return { code: 'EVENT_FIELD_INVALID', field, ...(seconds ? { hint: 'milliseconds?' } : {}) }
}

// --- finding elements in an array text

const OPEN_ARRAY = 0x5b
const CLOSE_ARRAY = 0x5d
const OPEN_OBJECT = 0x7b
const CLOSE_OBJECT = 0x7d
const COMMA = 0x2c
const QUOTE = 0x22
const BACKSLASH = 0x5c

const isSpace = (byte: number | undefined) => byte === 0x20 || byte === 0x09 || byte === 0x0a || byte === 0x0d

function skipSpace(bytes: Uint8Array, from: number): number {
  let at = from
  while (isSpace(bytes[at])) at++
  return at
}

function trimSpace(bytes: Uint8Array, to: number): number {
  let end = to
  while (isSpace(bytes[end - 1])) end--
  return end
}

/** Where the comma or bracket after the element stands; the end of the bytes if there is none. */
function elementEnd(bytes: Uint8Array, from: number): number {
  let depth = 0
  for (let at = from; at < bytes.length; at++) {
    const byte = bytes[at]
    if (byte === QUOTE) at = stringEnd(bytes, at)
    else if (byte === OPEN_ARRAY || byte === OPEN_OBJECT) depth++
    else if (depth === 0 && (byte === COMMA || byte === CLOSE_ARRAY)) return at
    else if (byte === CLOSE_ARRAY || byte === CLOSE_OBJECT) depth--
  }
  return bytes.length
}

/** The closing quote of the string that opens at `from`. */
function stringEnd(bytes: Uint8Array, from: number): number {
  for (let at = from + 1; at < bytes.length; at++) {
    if (bytes[at] === BACKSLASH) at++
    else if (bytes[at] === QUOTE) return at
  }
  return bytes.length
}

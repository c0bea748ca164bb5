// From the parameters of a pixel to an event: pure, and the one place where page and server agree on ids.
// PX1: nothing is lost here. What is no event stays what it was, so that the intake refuses it by code and field.
// PX2: the same purchase, seen by page and server, gives the same type, event_id, user_id and click_id.
// PX3: time comes in with the arrival; the same parameters and arrival give the same bytes.
// PX4: user agent and address mark programs (props.bot) and then end here, unless `keepClientInfo`.
// What is an event is decided in operators/event.ts. The table below is explained in docs/pixels.md.

import { createHash } from 'node:crypto'
import { EVENT_DEPTH_MAX, type EventType, ID_BYTES_MAX } from '../../operators/event.ts'
import { isKey } from '../read-ask.ts'
import { type BotMark, botMark, type Client } from './bots.ts'

/** Short name in a pixel's address, field of the event, and how it is read. */
export const PIXEL_PARAMETERS = [
  ['e', 'type', 'name', 'what happened: PageView, Purchase, Lead, AddToCart, InitiateCheckout, or a type of ours'],
  ['eid', 'event_id', 'text', 'id of the event; the same from page and server'],
  ['ts', 'event_time', 'number', 'when, in milliseconds; else when it arrives'],
  ['uid', 'user_id', 'text', 'who'],
  ['px', 'pixel_id', 'text', 'which pixel'],
  ['aid', 'advertiser_id', 'text', 'whose; else the one of the pixel'],
  ['pid', 'page_id', 'text', 'which page; else host and path of url'],
  ['cid', 'click_id', 'click', 'the click it came from; else fbclid, gclid, ttclid or msclkid of url'],
  ['value', 'value', 'number', 'in units of the currency, with a point'],
  ['currency', 'currency', 'text', 'as in ISO 4217'],
  ['oid', 'order_id', 'text', 'the order'],
  ['ro', 'refund_of', 'text', 'the order that is taken back'],
  ['iid', 'item_id', 'text', 'the item'],
  ['items', 'items', 'json', 'the items, as JSON'],
  ['ad', 'ad_id', 'text', 'the ad, for click and impression'],
  ['cmp', 'campaign_id', 'text', 'its campaign'],
  ['imp', 'impression_id', 'text', 'the impression'],
  ['ch', 'channel', 'text', 'the channel'],
  ['ref', 'referrer', 'text', 'where the visitor came from'],
  ['dev', 'device', 'text', 'the device'],
  ['co', 'country', 'text', 'the country'],
  ['p', 'props', 'json', 'anything else, as a JSON object'],
] as const

type Kind = (typeof PIXEL_PARAMETERS)[number][2]

/** Read and not kept: the page's address may name its visitor; `z` keeps caches away; tokens and clients are nobody's. */
const NOT_KEPT: ReadonlySet<string> = new Set([
  ...['url', 'z', 'access_token'],
  ...['ip', 'user_agent', 'client_ip_address', 'client_user_agent'],
])
const SHORT_NAMES: ReadonlySet<string> = new Set(PIXEL_PARAMETERS.map(([short]) => short))

/** By name in lower case without underscores, so that page_view, PageView and pageview are one. */
const TYPE_OF_NAME: ReadonlyMap<string, EventType> = new Map([
  ['pageview', 'page_view'],
  ['purchase', 'conversion'],
  ['conversion', 'conversion'],
  ['lead', 'lead'],
  ['addtocart', 'add_to_cart'],
  ['initiatecheckout', 'checkout'],
  ['checkout', 'checkout'],
  ['click', 'click'],
  ['impression', 'impression'],
  ['consent', 'consent'],
  ['erase', 'erase'],
])
/** Above every name there is: a longer one is not looked up. */
const NAME_CHARS_MAX = 64

/** Ids of clicks in addresses. fbclid first: a server that sends fbc must name the same click as the page. */
export const CLICK_PARAMETERS = ['fbclid', 'gclid', 'ttclid', 'msclkid'] as const

/** Hex digits of SHA-256 that stand for an id that was not sent, or is too long: 128 bits. */
const MADE_ID_CHARS = 32

/** Configuration. */
export interface PixelSettings {
  /** Advertiser by pixel_id. A pixel that is not there is an advertiser of its own name. */
  readonly advertisers: Readonly<Record<string, string>>
  /** Keeps user agent and address, as props.user_agent and props.ip. */
  readonly keepClientInfo: boolean
  /** Networks of programs, as `192.0.2.0/24`. */
  readonly botNetworks: readonly string[]
}

export const PIXEL_SETTINGS: PixelSettings = { advertisers: {}, keepClientInfo: false, botNetworks: [] }

/** What mapping needs of the settings, ready to be used. */
export interface PixelMapping {
  readonly advertisers: ReadonlyMap<string, string>
  readonly keepClientInfo: boolean
  readonly isBot: BotMark
}

/** Throws a RangeError for what is no network, and where a pixel or its advertiser is no id: all its events would be refused. */
export function pixelMapping({ advertisers, keepClientInfo, botNetworks }: PixelSettings): PixelMapping {
  for (const id of Object.entries(advertisers).flat())
    if (!isKey(id))
      throw new RangeError(`no id of a pixel or advertiser, 1 to ${ID_BYTES_MAX} bytes: ${JSON.stringify(id)}`)
  return { advertisers: new Map(Object.entries(advertisers)), keepClientInfo, isBot: botMark(botNetworks) }
}

export interface Arrival extends Client {
  readonly nowMs: number
}

/** What was sent, by name. A Map, because "__proto__" is a name as well. */
export type Sent = ReadonlyMap<string, unknown>
/** An event on its way to the intake, which decides whether it is one. */
export type Draft = Map<string, unknown>

/** The event in the parameters of a pixel, or in the same as JSON. Long names count before short ones. */
export function pixelEvent(sent: Sent, arrival: Arrival, mapping: PixelMapping): Draft {
  const draft: Draft = new Map()
  for (const [short, field, kind] of PIXEL_PARAMETERS) {
    put(draft, field, read(kind, present(sent.get(field)) ?? present(sent.get(short))))
  }
  for (const [name, value] of sent) {
    if (!draft.has(name) && !SHORT_NAMES.has(name) && !NOT_KEPT.has(name)) put(draft, name, present(value))
  }
  // Clocks have fractions of milliseconds, event times do not.
  if (!draft.has('event_time')) draft.set('event_time', Math.floor(arrival.nowMs))
  if (!draft.has('source')) draft.set('source', 'pixel')
  addFromAddress(draft, sent.get('url'))
  return finish(draft, arrival, mapping)
}

/** What every event gets, whoever sent it: advertiser, event_id, and what is known of the client. */
export function finish(draft: Draft, client: Client, mapping: PixelMapping): Draft {
  const pixel = draft.get('pixel_id')
  if (!draft.has('advertiser_id') && typeof pixel === 'string') {
    draft.set('advertiser_id', mapping.advertisers.get(pixel) ?? pixel)
  }
  if (!draft.has('event_id')) draft.set('event_id', madeEventId(draft))
  addClient(draft, client, mapping)
  return draft
}

/** SHA-256, its first 32 hex digits, of the JSON of [pixel_id, type, event_time, user_id]; null for what is not there. */
export function madeEventId(draft: Sent): string {
  return digest(JSON.stringify(['pixel_id', 'type', 'event_time', 'user_id'].map((name) => draft.get(name) ?? null)))
}

/** The bytes for the intake. What is nested too deep to be written again is handed on as what is refused likewise. */
export function draftBytes(draft: Draft): Uint8Array {
  return Buffer.from(JSON.stringify(Object.fromEntries(draft)))
}

/** Whether a value from JSON.parse may be mapped: JSON.stringify overflows on what JSON.parse has read, if deep enough. */
export function isShallow(value: unknown, levels = EVENT_DEPTH_MAX): boolean {
  if (typeof value !== 'object' || value === null) return true
  return levels > 0 && Object.values(value).every((inner) => isShallow(inner, levels - 1))
}

/** The type that a name stands for, of Meta's or ours; anything else stays what it was. */
export function typeOf(name: unknown): unknown {
  if (typeof name !== 'string' || name.length > NAME_CHARS_MAX) return name
  return TYPE_OF_NAME.get(name.toLowerCase().replaceAll('_', '')) ?? name
}

/** A number, also one that was written as text; anything else stays what it was. */
export function numberOf(value: unknown): unknown {
  // JSON has no Infinity: 1e400 would be written as null, and null is absent. As text it is refused.
  if (typeof value === 'number') return Number.isFinite(value) ? value : String(value)
  if (typeof value !== 'string' || !NUMBER.test(value)) return value
  const number = Number(value)
  return Number.isFinite(number) ? number : value
}
const NUMBER = /^-?\d{1,20}(\.\d{1,20})?([eE][+-]?\d{1,3})?$/

/** A text; whole numbers are what shops have as ids in JSON, and as text in addresses. Anything else stays what it was. */
export function textOf(value: unknown): unknown {
  return Number.isSafeInteger(value) ? String(value) : value
}

/** The id of a click as the log has it: those of networks may be longer than an id of ours, and are then their digest. */
export function clickIdOf(value: unknown): unknown {
  return typeof value === 'string' ? boundedId(value) : textOf(value)
}

/** Page and click from a page's address, where they are not known otherwise. */
export function addFromAddress(draft: Draft, address: unknown): void {
  const url = typeof address === 'string' ? URL.parse(address) : null
  if (url === null || !/^https?:$/.test(url.protocol)) return
  if (!draft.has('page_id')) draft.set('page_id', boundedId(url.host + url.pathname))
  if (draft.has('click_id')) return
  for (const name of CLICK_PARAMETERS) {
    const click = url.searchParams.get(name)
    if (click) return void draft.set('click_id', boundedId(click))
  }
}

/** Sets a field to what is there. */
export function put(draft: Draft, field: string, value: unknown): void {
  if (value !== undefined && value !== null) draft.set(field, value)
}

/** Empty is absent: pages fill in what they have, and leave the name. */
export function present(value: unknown): unknown {
  return value === '' ? undefined : value
}

function read(kind: Kind, value: unknown): unknown {
  if (kind === 'number') return numberOf(value)
  if (kind === 'name') return typeOf(value)
  if (kind === 'click') return clickIdOf(value)
  return kind === 'json' ? jsonOf(value) : textOf(value)
}

/** A structure that was written into an address; text that is none stays text. */
function jsonOf(value: unknown): unknown {
  if (typeof value !== 'string' || !/^\s*[[{]/.test(value)) return value
  try {
    const parsed: unknown = JSON.parse(value)
    // The event itself is the first level.
    return isShallow(parsed, EVENT_DEPTH_MAX - 1) ? parsed : value
  } catch {
    return value
  }
}

function addClient(draft: Draft, client: Client, { isBot, keepClientInfo }: PixelMapping): void {
  const facts = {
    ...(isBot(client) ? { bot: true } : {}),
    ...(keepClientInfo ? { user_agent: client.userAgent, ip: client.ip } : {}),
  }
  if (Object.keys(facts).length > 0) draft.set('props', { ...objectOf(draft.get('props')), ...facts })
}

export function objectOf(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : {}
}

function boundedId(text: string): string {
  return Buffer.byteLength(text) <= ID_BYTES_MAX ? text : digest(text)
}

function digest(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, MADE_ID_CHARS)
}

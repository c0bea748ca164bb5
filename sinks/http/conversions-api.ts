// A body of Meta's Conversions API, as it is, to events: pure. Servers that report to Meta report here unchanged.
// CA1: every entry of `data` becomes one draft in its place; what is no event is refused by the intake, never here.
// CA2: user_data and the rest of custom_data end here; of a person only the one id goes on that PX2 agrees on.
// Not here: the route and its answer (pixel-routes.ts), what page and server share (pixel-event.ts).

import {
  addFromAddress,
  clickIdOf,
  type Draft,
  finish,
  numberOf,
  objectOf,
  type PixelMapping,
  present,
  put,
  textOf,
  typeOf,
} from './pixel-event.ts'

/** As Meta has it. */
export const CONVERSIONS_MAX = 1_000

const MS_PER_S = 1_000
/** Later than any event time in seconds (the year 5138): was meant as milliseconds. */
const SECONDS_MAX = 1e11
/** fbc: version, level of the domain, time in milliseconds, and then the fbclid of the page's address. */
const FBC = /^fb\.\d+\.\d+\.(.+)$/s

/** What Meta calls a field of ours, for messages. */
const META_NAME: ReadonlyMap<string, string> = new Map([
  ['type', 'event_name'],
  ['event_id', 'event_id'],
  ['event_time', 'event_time'],
  ['user_id', 'user_data (external_id, fbp or em)'],
  ['click_id', 'user_data.fbc'],
  ['page_id', 'event_source_url'],
  ['value', 'custom_data.value'],
  ['order_id', 'custom_data.order_id'],
  ['refund_of', 'custom_data.refund_of'],
])

/** The event in one entry of `data`. */
export function conversionEvent(entry: unknown, pixelId: string, mapping: PixelMapping): Draft {
  const sent = objectOf(entry)
  const user = objectOf(sent.user_data)
  const custom = objectOf(sent.custom_data)
  const draft: Draft = new Map()
  put(draft, 'type', typeOf(present(sent.event_name)))
  put(draft, 'event_id', textOf(present(sent.event_id)))
  put(draft, 'event_time', millisecondsOf(numberOf(sent.event_time)))
  put(draft, 'user_id', textOf(firstOf(user.external_id) ?? present(user.fbp) ?? firstOf(user.em)))
  put(draft, 'click_id', clickIdOf(clickOf(present(user.fbc))))
  put(draft, 'value', numberOf(present(custom.value)))
  put(draft, 'currency', present(custom.currency))
  put(draft, 'order_id', textOf(present(custom.order_id)))
  put(draft, 'refund_of', textOf(present(custom.refund_of)))
  put(draft, 'items', custom.content_ids ?? custom.contents)
  put(draft, 'referrer', present(sent.referrer_url))
  draft.set('pixel_id', pixelId)
  draft.set('source', 'server')
  addFromAddress(draft, sent.event_source_url)
  const action = present(sent.action_source)
  if (action !== undefined) draft.set('props', { action_source: action })
  return finish(draft, clientOf(user), mapping)
}

/** What was wrong with one entry, in Meta's words. */
export function conversionFault(
  index: number,
  refused: { readonly code: string; readonly field: string | null },
  entry: unknown,
): string {
  const { code, field } = refused
  const time = objectOf(entry).event_time
  const hint = field === 'event_time' && Number(time) > SECONDS_MAX ? ' (seconds?)' : ''
  const name = field === null ? undefined : META_NAME.get(field)
  return `data[${index}]${name === undefined ? '' : `.${name}`}: ${code}${hint}`
}

/** The page's client, not the server that calls. */
function clientOf(user: Record<string, unknown>): { userAgent: string | null; ip: string | null } {
  const { client_user_agent: userAgent, client_ip_address: ip } = user
  return { userAgent: typeof userAgent === 'string' ? userAgent : null, ip: typeof ip === 'string' ? ip : null }
}

/** Meta takes one value or a list of them. */
function firstOf(value: unknown): unknown {
  return present(Array.isArray(value) ? value.find((v) => v !== '' && v !== null) : value) ?? undefined
}

function clickOf(fbc: unknown): unknown {
  return typeof fbc === 'string' ? (FBC.exec(fbc)?.[1] ?? fbc) : fbc
}

function millisecondsOf(seconds: unknown): unknown {
  return typeof seconds === 'number' ? Math.round(seconds * MS_PER_S) : seconds
}

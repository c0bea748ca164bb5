// Lines that are no events, one kind for each way in which clients get it wrong; what each must be refused with is known.
// The expected answers are written from contract.md, section 1, not computed; a test holds them against operators/event.ts.

import type { RejectedCode } from '../../operators/event.ts'
import type { Random } from './random.ts'

export interface Malformed {
  readonly text: string
  readonly code: RejectedCode
  readonly field: string | null
}

/** One above the limit of contract.md, section 1. */
const TOO_LARGE_BYTES = 65_537
const TOO_DEEP = 70
/** Of a clock that is wrong by days: beyond any tolerance. */
const FUTURE_MS = 2 * 86_400_000

type Make = (id: string, timeMs: number) => Malformed

const missing = (text: string, field: string): Malformed => ({ text, code: 'EVENT_FIELD_MISSING', field })
const invalid = (text: string, field: string): Malformed => ({ text, code: 'EVENT_FIELD_INVALID', field })
const notJson = (text: string): Malformed => ({ text, code: 'EVENT_JSON', field: null })

const head = (id: string, timeMs: number, type = 'page_view') =>
  `{"type":"${type}","event_id":"${id}","event_time":${timeMs},"user_id":"u-bad"`

/** Kinds by name. Each is about as likely as another, but for TOO_LARGE_RARITY. */
const KINDS: readonly Make[] = [
  (id, t) => notJson(`${head(id, t)},"page_id":"/cut`),
  (id, t) => notJson(`${head(id, t)},"page_id":"/p","props":{"score":NaN}}`),
  (id, t) => notJson(`["${id}",${t}]`),
  (id, t) => notJson(`${head(id, t)},"page_id":"/p","props":${'['.repeat(TOO_DEEP)}${']'.repeat(TOO_DEEP)}}`),
  (id, t) => missing(`${head(id, t)}}`, 'page_id'),
  (id, t) => missing(`${head(id, t, 'click')},"ad_id":"ad0","campaign_id":"c0","advertiser_id":"adv0"}`, 'click_id'),
  (_, t) =>
    missing(`{"type":"page_view","event_id":null,"event_time":${t},"user_id":"u-bad","page_id":"/p"}`, 'event_id'),
  (id, t) => missing(`${head(id, t, 'conversion')},"order_id":"o","value":1}`, 'advertiser_id'),
  (id, t) => invalid(`${head(id, Math.floor(t / 1_000))},"page_id":"/p"}`, 'event_time'),
  (id, t) => invalid(`${head(id, t, 'pageview')},"page_id":"/p"}`, 'type'),
  (id, t) => invalid(`${head(id, t)},"page_id":"${'x'.repeat(129)}"}`, 'page_id'),
  (id, t) => invalid(`${head(id, t)},"page_id":"/p\\u0000"}`, 'page_id'),
  (id, t) => invalid(`${head(id, t)},"page_id":7}`, 'page_id'),
  (id, t) => invalid(`${head(id, t, 'conversion')},"advertiser_id":"adv0","value":"12.50"}`, 'value'),
]

const tooLarge: Make = (id, t) => {
  const start = `${head(id, t)},"page_id":"/p","props":{"note":"`
  return { text: `${start.padEnd(TOO_LARGE_BYTES - 3, 'x')}"}}`, code: 'EVENT_TOO_LARGE', field: null }
}
const future: Make = (id, t) => ({
  text: `${head(id, t + FUTURE_MS)},"page_id":"/p"}`,
  code: 'EVENT_TIME_FUTURE',
  field: 'event_time',
})
/** A line of 64 KB weighs as much as 350 others. */
const TOO_LARGE_RARITY = 60

/** A line that is no event. Lines of EVENT_TIME_FUTURE only where `live`: in a file a future event is an event. */
export function malformed(random: Random, id: string, timeMs: number, live: boolean): Malformed {
  if (random.below(TOO_LARGE_RARITY) === 0) return tooLarge(id, timeMs)
  const kind = random.below(KINDS.length + (live ? 1 : 0))
  return (KINDS[kind] ?? future)(id, timeMs)
}

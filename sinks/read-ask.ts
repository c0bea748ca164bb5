// From what a client sent, over HTTP or NATS, to a ReadAsk, or to why it is none.
// RA1: nothing is guessed and nothing left out: an unknown parameter is refused, and so is one that would have no effect.
// RA2: keys are bytes, never paths: they keep the rule of ids in events (contract.md, section 1), and nothing else.
// RA3: no refusal repeats what was sent, be it a value or the name of a parameter that we do not know.

import { Compile } from 'typebox/compile'
import { EVENT_TIME_MAX_MS, EVENT_TIME_MIN_MS, ID_BYTES_MAX, utf8Text } from '../operators/event.ts'
import type { AttributionAsk } from './attribution-reads.ts'
import { AttributionOptions } from './attribution-schemas.ts'
import { EVALUATION_DAYS_MAX } from './evaluation-reads.ts'
import { type LogPosition, parsePosition, type ReadAsk, type Touch, type VectorsAsk } from './feature-reads.ts'
import {
  BatchBody,
  KEYS_MAX,
  PointBody,
  ReadOptions,
  TOP_MAX,
  TopQuery,
  WAIT_MS_DEFAULT,
  WAIT_MS_MAX,
} from './read-schemas.ts'
import { TOUCHES_MAX, VECTOR_FEATURES_MAX, VectorsBody } from './vector-schemas.ts'

export type RefusalCode = 'BAD_BODY' | 'BAD_PARAMETER' | 'TOO_MANY_KEYS' | 'TOO_MANY_TOUCHES'

export interface Refusal {
  readonly code: RefusalCode
  readonly message: string
  readonly field?: string
}

const CONTROL = /[\u0000-\u001f\u007f]/
/** Parameters that are numbers, and how a number is spelt in a URL: no sign, no fraction, nothing that rounds. */
const NUMBERS = ['at', 'timeout_ms', 'top', 'days'] as const
const DIGITS = /^\d{1,15}$/

const optionsCheck = Compile(ReadOptions)
const attributionCheck = Compile(AttributionOptions)
const batchCheck = Compile(BatchBody)
const topCheck = Compile(TopQuery)
const pointCheck = Compile(PointBody)
const vectorsCheck = Compile(VectorsBody)

/** In words what each parameter may be. */
const RULES: ReadonlyMap<string, string> = new Map([
  ['key', `1 to ${ID_BYTES_MAX} bytes of UTF-8 without control characters`],
  ['conversion', `the event_id of a conversion: 1 to ${ID_BYTES_MAX} bytes of UTF-8 without control characters`],
  ['keys', `a list of 1 to ${KEYS_MAX} keys, each 1 to ${ID_BYTES_MAX} bytes of UTF-8 without control characters`],
  ['at', 'a whole number: milliseconds since 1970, in the years 2000 to 2100'],
  ['snapshot', 'the name of a pinned snapshot'],
  ['wait', '<stream>:<seq>.<index>, as an ingest answer or applied_through gives it'],
  ['top', `a whole number of keys from 1 to ${TOP_MAX}`],
  ['by', '"advertiser", "campaign" or "ad"'],
  ['slice', '"all", "advertiser", "version" or "type"'],
  ['days', `a whole number of days from 1 to ${EVALUATION_DAYS_MAX}`],
  ['timeout_ms', `a whole number of milliseconds from 0 to ${WAIT_MS_MAX}`],
  ['features', `a list of 1 to ${VECTOR_FEATURES_MAX} ids of features, such as user.clicks_7d`],
  ['touches', `a list of 1 to ${TOUCHES_MAX} objects, each the fields of an impression or click: ids as in events`],
])

export function isRefusal(result: object): result is Refusal {
  return 'code' in result
}

/** Whether a text may be a key: 1-128 bytes of UTF-8, no lone surrogates, no U+0000-1F, no U+007F. */
export function isKey(text: string): boolean {
  if (text.length === 0 || text.length > ID_BYTES_MAX || CONTROL.test(text)) return false
  return text.isWellFormed() && Buffer.byteLength(text) <= ID_BYTES_MAX
}

/** A read of one key by a URL. `query`: texts, as a URL has them. */
export function askOfQuery(
  feature: string,
  entity: string,
  key: string,
  query: Readonly<Record<string, unknown>>,
): ReadAsk | Refusal {
  if (!isKey(key)) return badParameter('key')
  const options = withNumbers(query)
  if (!optionsCheck.Check(options)) return faultOf(optionsCheck.Errors(options))
  return askOf(feature, entity, [key], options)
}

/** A read of a conversion's attribution. `given`: the other parameters. */
export function askOfAttribution(
  conversion: unknown,
  given: Readonly<Record<string, unknown>>,
): AttributionAsk | Refusal {
  if (typeof conversion !== 'string' || !isKey(conversion)) return badParameter('conversion')
  if (given.at !== undefined) return refused('at', 'at does not go with an attribution: it is as it was decided')
  if (!attributionCheck.Check(given)) return faultOf(attributionCheck.Errors(given))
  const options = optionsOf(given)
  if (isRefusal(options)) return options
  const { snapshot, wait, waitMs } = options
  return { conversion, snapshot, wait, waitMs }
}

/** How many of the largest a URL asks for. */
export function topOfQuery(query: Readonly<Record<string, unknown>>): TopQuery | Refusal {
  const asked = withNumbers(query)
  return topCheck.Check(asked) ? asked : faultOf(topCheck.Errors(asked))
}

/** A read of several keys by a body that was parsed. */
export function askOfBatch(feature: string, entity: string, body: unknown): ReadAsk | Refusal {
  if (hasTooMany(body, 'keys', KEYS_MAX))
    return { code: 'TOO_MANY_KEYS', message: `a batch has at most ${KEYS_MAX} keys`, field: 'keys' }
  if (!batchCheck.Check(body)) return faultOf(batchCheck.Errors(body))
  const bad = body.keys.findIndex((key) => !isKey(key))
  if (bad !== -1) return badParameter('keys', `keys.${bad}`)
  return askOf(feature, entity, body.keys, body)
}

/** A read of one key by a body that was parsed. */
export function askOfPoint(feature: string, entity: string, body: unknown): ReadAsk | Refusal {
  if (!pointCheck.Check(body)) return faultOf(pointCheck.Errors(body))
  if (!isKey(body.key)) return badParameter('key')
  return askOf(feature, entity, [body.key], body)
}

/** A read of vectors by a body that was parsed. */
export function askOfVectors(body: unknown): VectorsAsk | Refusal {
  if (hasTooMany(body, 'touches', TOUCHES_MAX))
    return { code: 'TOO_MANY_TOUCHES', message: `a batch has at most ${TOUCHES_MAX} touches`, field: 'touches' }
  if (!vectorsCheck.Check(body)) return faultOf(vectorsCheck.Errors(body))
  const bad = body.touches.findIndex((touch) => !isTouch(touch))
  if (bad !== -1) return badParameter('touches', `touches.${bad}`)
  const options = optionsOf(body)
  return isRefusal(options) ? options : { features: body.features ?? null, touches: body.touches, ...options }
}

/** Whether ids and the time are such as an event may have; other fields are as the client has them. */
function isTouch(touch: Touch): boolean {
  return Object.entries(touch).every(([name, value]) => {
    if (value === null) return true
    if (name.endsWith('_id')) return typeof value === 'string' && isKey(value)
    return name !== 'event_time' || (Number.isInteger(value) && isEventTime(value as number))
  })
}

const isEventTime = (ms: number): boolean => ms >= EVENT_TIME_MIN_MS && ms <= EVENT_TIME_MAX_MS

/** A read by a body that was parsed, where what HTTP has in its path and query are members of one object. */
export function askOfMembers<Ask>(
  body: unknown,
  ask: (members: Readonly<Record<string, unknown>>) => Ask | Refusal,
): Ask | Refusal {
  const isObject = typeof body === 'object' && body !== null && !Array.isArray(body)
  return isObject ? ask(body as Readonly<Record<string, unknown>>) : NO_OBJECT
}

/** The value of strict JSON in strict UTF-8; undefined for anything else. */
export function parseBody(bytes: Uint8Array): unknown {
  const text = utf8Text(bytes)
  if (text === null) return undefined
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

function askOf(feature: string, entity: string, keys: readonly string[], given: ReadOptions): ReadAsk | Refusal {
  const options = optionsOf(given)
  return isRefusal(options) ? options : { feature, entity, keys, ...options }
}

/** Of whatever is read. */
export function optionsOf(options: ReadOptions): Pick<ReadAsk, 'at' | 'snapshot' | 'wait' | 'waitMs'> | Refusal {
  const { at = null, snapshot = null, wait: waitText, timeout_ms } = options
  let wait: LogPosition | null = null
  if (waitText !== undefined) {
    wait = parsePosition(waitText)
    if (wait === null) return badParameter('wait')
    // What is pinned does not move: it has the position already, or never will.
    if (snapshot !== null) return refused('wait', 'wait does not go with snapshot')
  } else if (timeout_ms !== undefined) return refused('timeout_ms', 'timeout_ms goes with wait only')
  return { at, snapshot, wait, waitMs: timeout_ms ?? WAIT_MS_DEFAULT }
}

/** Parameters as a URL has them, with numbers where numbers are meant. */
export function withNumbers(query: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const options = { ...query }
  for (const name of NUMBERS) {
    const text = options[name]
    if (typeof text === 'string' && DIGITS.test(text)) options[name] = Number(text)
  }
  return options
}

function hasTooMany(body: unknown, name: string, most: number): boolean {
  const list = (body as Readonly<Record<string, unknown>> | null | undefined)?.[name]
  return Array.isArray(list) && list.length > most
}

const NO_OBJECT: Refusal = { code: 'BAD_BODY', message: 'the body is not a JSON object' }

/** The first complaint of a schema, in our words. */
export function faultOf(errors: ReturnType<typeof optionsCheck.Errors>): Refusal {
  const [first] = errors
  const params = first?.params as { readonly requiredProperties?: readonly string[] } | undefined
  const path = first?.instancePath.slice(1) || params?.requiredProperties?.[0] || ''
  if (path === '') return NO_OBJECT
  return badParameter(path.split('/')[0]!, path.replaceAll('/', '.'))
}

function badParameter(name: string, field = name): Refusal {
  const rule = RULES.get(name)
  if (rule !== undefined) return refused(field, `${name} must be ${rule}`)
  return { code: 'BAD_PARAMETER', message: 'there is a parameter that is none of this request' }
}

export function refused(field: string, message: string): Refusal {
  return { code: 'BAD_PARAMETER', message, field }
}

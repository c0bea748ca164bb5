// The events in what a page sent (address, form, JSON), as bytes for the intake.
// PB1: what cannot be mapped is handed on as the bytes that were sent: the intake refuses and counts it.

import { splitArrayElements, utf8Text } from '../../operators/event.ts'
import { HttpError } from './errors.ts'
import { type Arrival, draftBytes, isShallow, type PixelMapping, pixelEvent, type Sent } from './pixel-event.ts'

/** Bytes of a body: no browser lets a beacon, or a fetch that outlives its page, carry more. */
export const COLLECT_BODY_BYTES_MAX = 64 * 1024
/** Events of one body: five times what the page's script keeps. */
export const COLLECT_EVENTS_MAX = 100
/** Parameters of one address or form: five times those there are; each becomes a field that is checked. */
export const PARAMETERS_MAX = 128

type ToBytes = (sent: Sent) => Uint8Array

/** The event in the query of a pixel; `j` has it as one JSON text. The query is without its question mark. */
export function queryEvent(query: string, arrival: Arrival, mapping: PixelMapping): Uint8Array {
  const sent = parameters(query)
  const json = sent.get('j')
  const toBytes = mapper(arrival, mapping)
  return json === undefined ? toBytes(sent) : jsonEvent(Buffer.from(json), toBytes)
}

/** The event in a form. */
export function formEvents(body: Buffer, arrival: Arrival, mapping: PixelMapping): Uint8Array[] {
  return [mapper(arrival, mapping)(parameters(body.toString('utf8')))]
}

/** The events in JSON: one object, or an array of them. Throws 413. */
export function jsonEvents(body: Buffer, arrival: Arrival, mapping: PixelMapping): Uint8Array[] {
  const toBytes = mapper(arrival, mapping)
  const elements = isJson(body) ? splitArrayElements(body) : null
  if (elements === null) return [jsonEvent(body, toBytes)]
  if (elements.length > COLLECT_EVENTS_MAX)
    throw new HttpError({ status: 413, code: 'TOO_MANY_EVENTS', message: `at most ${COLLECT_EVENTS_MAX} at once` })
  return elements.map(([from, to]) => jsonEvent(body.subarray(from, to), toBytes))
}

const mapper =
  (arrival: Arrival, mapping: PixelMapping): ToBytes =>
  (sent) =>
    draftBytes(pixelEvent(sent, arrival, mapping))

/** Names and values; where a name is repeated the last counts, as in JSON. */
function parameters(text: string): Map<string, string> {
  const pairs = text.split('&', PARAMETERS_MAX + 1)
  if (pairs.length > PARAMETERS_MAX)
    throw new HttpError({ status: 400, code: 'TOO_MANY_PARAMETERS', message: `at most ${PARAMETERS_MAX} parameters` })
  return new Map(new URLSearchParams(text))
}

function jsonEvent(bytes: Uint8Array, toBytes: ToBytes): Uint8Array {
  const text = utf8Text(bytes)
  const value = text === null ? null : parsed(text)
  const isObject = typeof value === 'object' && value !== null && !Array.isArray(value)
  return isObject && isShallow(value) ? toBytes(new Map(Object.entries(value))) : bytes
}

/** null where it is no JSON. */
function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return null
  }
}

// As latin1: only the structure matters here, which is ASCII. An event that is no UTF-8 is refused by itself.
const isJson = (body: Buffer): boolean => parsed(body.toString('latin1')) !== null

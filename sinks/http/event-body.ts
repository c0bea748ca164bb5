// Finds the events in a request body, as the bytes that were sent: what an event is, is judged by its own bytes later.
// EB1: nothing is parsed and written again; an event in here is a part of the body.

import { splitArrayElements } from '../../operators/event.ts'
import { HttpError } from './errors.ts'

/** Events of one request: at a thousand the cost of a request is already small against that of its events. */
export const EVENTS_MAX = 1_000

const LINE_END = 0x0a
const CARRIAGE_RETURN = 0x0d
const SPACE = 0x20
const TAB = 0x09

/** The events in a JSON text: one value, or the elements of an array. Throws 400 and 413. */
export function eventsInJson(body: Buffer): Uint8Array[] {
  try {
    // As latin1: only the structure matters here, which is ASCII. An event that is no UTF-8 is refused by itself.
    JSON.parse(body.toString('latin1'))
  } catch {
    throw new HttpError({ status: 400, code: 'BAD_JSON', message: 'the body is not JSON' })
  }
  const ranges = splitArrayElements(body)
  return bounded(ranges === null ? [body] : ranges.map(([from, to]) => body.subarray(from, to)))
}

/** The events in lines, as contract.md, section 1, reads them. Throws 413. */
export function eventsInLines(body: Buffer): Uint8Array[] {
  const events: Uint8Array[] = []
  for (let from = 0; from < body.length; ) {
    const end = body.indexOf(LINE_END, from)
    const to = end === -1 ? body.length : end
    const line = body.subarray(from, end !== -1 && body[to - 1] === CARRIAGE_RETURN && to > from ? to - 1 : to)
    if (!isBlank(line)) events.push(line)
    from = to + 1
  }
  return bounded(events)
}

function bounded(events: Uint8Array[]): Uint8Array[] {
  if (events.length <= EVENTS_MAX) return events
  const message = `a request has at most ${EVENTS_MAX} events`
  throw new HttpError({ status: 413, code: 'TOO_MANY_EVENTS', message })
}

function isBlank(line: Uint8Array): boolean {
  for (const byte of line) if (byte !== SPACE && byte !== TAB) return false
  return true
}

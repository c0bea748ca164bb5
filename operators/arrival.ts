// What reaches the first stage, before anybody knows whether it is an event: its bytes in one of three forms, and where it
// stood. Three, because what came parsed is not parsed again and what is accepted never needs its bytes.
// A1: every element of a message is one arrival; a message that is no JSON is one arrival too, so nothing is unaccounted for.
// Not here: frames of numbered writers (log/frame.ts) and what the file reader puts into them.

import { EVENT_BYTES_MAX, type Spelling, spellingOf, splitArrayElements, utf8Text } from './event.ts'

/** The text of a line whose bytes were strict UTF-8, or bytes, or the n-th element of the JSON array in a payload. */
export type Raw = string | Uint8Array | Element

export interface Element {
  readonly payload: Uint8Array
  readonly element: number
}

/** Where an arrival stood in the log. */
export interface Position {
  readonly stream: string
  readonly sequence: number
  /** The broker's timestamp, milliseconds; null where the records themselves are the clock (`clock: data`). */
  readonly ingestMs: number | null
}

export interface Arrival {
  readonly raw: Raw
  /** What JSON.parse made of `raw`, with the spelling of the text; undefined: not parsed yet. */
  readonly parsed?: { readonly value: unknown; readonly spelling: Spelling }
  readonly position: Position
  /** Index in the frame or in the array of a message. */
  readonly index: number
  /** Line in the input file, from 1; null for a message. */
  readonly line: number | null
}

/** The arrivals in the message of a plain client: one JSON object, or an array of them. */
export function arrivalsIn(payload: Uint8Array, position: Position): Arrival[] {
  const whole: Arrival = { raw: payload, position, index: 0, line: null }
  const text = utf8Text(payload)
  const values = text === null ? undefined : parseArray(text)
  if (values === undefined) return [whole]
  const spelling = spellingOf(text!)
  const ranges = payload.length > EVENT_BYTES_MAX ? splitArrayElements(payload)! : null
  return values.map((value, index): Arrival => {
    const [from, to] = ranges?.[index] ?? [0, 0]
    // Left unparsed: an event that is too large is refused by its bytes.
    if (to - from > EVENT_BYTES_MAX) return { raw: payload.subarray(from, to), position, index, line: null }
    return { raw: { payload, element: index }, parsed: { value, spelling }, position, index, line: null }
  })
}

/** The bytes that were refused, as they were sent. */
export function rawBytes(raw: Raw): Uint8Array {
  if (typeof raw === 'string') return Buffer.from(raw, 'utf8')
  if (raw instanceof Uint8Array) return raw
  const [from, to] = splitArrayElements(raw.payload)![raw.element]!
  return raw.payload.subarray(from, to)
}

/** The elements of a JSON array; undefined where the text is anything else, or no JSON. */
function parseArray(text: string): unknown[] | undefined {
  if (!ARRAY.test(text)) return undefined
  try {
    return JSON.parse(text) as unknown[]
  } catch {
    return undefined
  }
}
const ARRAY = /^[ \t\r\n]*\[/

// What reaches the first stage, before anybody knows whether it is an event: its bytes in one of three forms, and where it
// stood. Three, because what came parsed is not parsed again and what is accepted never needs its bytes.
// A1: every element of a message is one arrival; a message that is no JSON is one arrival too, so nothing is unaccounted for.
// Not here: frames of numbered writers (log/frame.ts) and what the file reader puts into them.

import { EVENT_BYTES_MAX, type Spelling, spellingOf, splitArrayElements, utf8Text } from './event.ts'

/** The text of a line whose bytes were strict UTF-8, or bytes, or the array that holds the arrival at its index. */
export type Raw = string | Uint8Array | ArrayText

/** A JSON array as it came in a message. Where its elements stand is only looked for when one is refused. */
export class ArrayText {
  readonly spelling: Spelling
  readonly #payload: Uint8Array
  #ranges: readonly (readonly [from: number, to: number])[] | null = null

  constructor(payload: Uint8Array, spelling: Spelling) {
    this.#payload = payload
    this.spelling = spelling
  }

  /** The bytes of an element, as they were sent. */
  bytesOf(index: number): Uint8Array {
    this.#ranges ??= splitArrayElements(this.#payload)!
    const [from, to] = this.#ranges[index]!
    return this.#payload.subarray(from, to)
  }
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
  /** What JSON.parse made of the element of an array; undefined (which is no JSON value): not parsed yet. */
  readonly value?: unknown
  readonly position: Position
  /** Index in the frame or in the array of a message. */
  readonly index: number
  /** Line in the input file, from 1; null for a message. */
  readonly line: number | null
}

const OPEN_OBJECT = 0x7b

/** The usual message of a plain client: begins as an object, so it is one arrival, whatever the rest turns out to be. */
export const isSingle = (payload: Uint8Array): boolean => payload[0] === OPEN_OBJECT

/** The one arrival in a message that is no array; decoded here, parsed by who judges it. */
export function singleArrival(payload: Uint8Array, position: Position): Arrival {
  return { raw: utf8Text(payload) ?? payload, value: undefined, position, index: 0, line: null }
}

/** The arrivals in the message of a plain client: one JSON object, or an array of them. */
export function arrivalsIn(payload: Uint8Array, position: Position): Arrival[] {
  const text = utf8Text(payload)
  const values = text === null ? undefined : parseArray(text)
  if (values === undefined) return [singleArrival(payload, position)]
  const array = new ArrayText(payload, spellingOf(text!))
  const mayBeTooLarge = payload.length > EVENT_BYTES_MAX
  return values.map((value, index): Arrival => {
    // Left unparsed: an event that is too large is refused by its bytes.
    if (mayBeTooLarge && array.bytesOf(index).length > EVENT_BYTES_MAX) {
      return { raw: array, value: undefined, position, index, line: null }
    }
    return { raw: array, value, position, index, line: null }
  })
}

/** The bytes that were refused, as they were sent. */
export function rawBytes({ raw, index }: Pick<Arrival, 'raw' | 'index'>): Uint8Array {
  if (typeof raw === 'string') return Buffer.from(raw, 'utf8')
  return raw instanceof ArrayText ? raw.bytesOf(index) : raw
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

// Publishes to one subject for many callers: what comes while a few messages are under way waits and travels together. A log
// that syncs every message takes a few hundred a second, whatever is in them; so many single events go into one.
// GP1: what one caller hands over stays together and in its order, in one message.
// GP2: a caller hears what became of the message that held its events, and where in it they begin.
// How much may wait is bounded by who calls (topology/ingest.ts).

import { assert } from '../log/errors.ts'
import { FRAME_BYTES_MAX } from '../log/frame.ts'
import type { Log, PublishResult } from '../log/log.ts'

/** Messages under way on a subject: while the broker syncs one, the next is there already; more would only be smaller. */
export const GROUPS_UNDER_WAY = 2

export interface Placed {
  readonly result: PublishResult
  /** Index in the message of the caller's first event. */
  readonly first: number
}

/** What one caller handed over. */
interface Piece {
  readonly events: readonly Uint8Array[]
  readonly bytes: number
  readonly settle: PromiseWithResolvers<Placed>
}

export class GroupPublisher {
  readonly #log: Log
  readonly #subject: string
  readonly #waiting: Piece[] = []
  #underWay = 0

  constructor(log: Log, subject: string) {
    this.#log = log
    this.#subject = subject
  }

  /** Publishes events as JSON texts: one alone as it is, several as an array. At most FRAME_BYTES_MAX as an array. */
  publish(events: readonly Uint8Array[]): Promise<Placed> {
    const bytes = arrayBytes(events)
    assert(bytes <= FRAME_BYTES_MAX, 'what a caller hands over fits a message')
    const settle = Promise.withResolvers<Placed>()
    this.#waiting.push({ events, bytes, settle })
    this.#sendWaiting()
    return settle.promise
  }

  #sendWaiting(): void {
    while (this.#underWay < GROUPS_UNDER_WAY && this.#waiting.length > 0) {
      this.#underWay++
      void this.#send(this.#nextGroup())
    }
  }

  /** As many of those that wait as fit a message, in their order. */
  #nextGroup(): Piece[] {
    let [count, bytes] = [0, 0]
    for (const piece of this.#waiting) {
      // Put together, two arrays lose a pair of brackets and gain a comma.
      bytes += count === 0 ? piece.bytes : piece.bytes - ARRAY_BYTES
      if (bytes > FRAME_BYTES_MAX) break
      count++
    }
    return this.#waiting.splice(0, count)
  }

  async #send(group: readonly Piece[]): Promise<void> {
    try {
      const payload = payloadOf(group.flatMap(({ events }) => events))
      const result = await this.#log.publish({ subject: this.#subject, headers: null, payload }, null)
      let first = 0
      for (const { events, settle } of group) {
        settle.resolve({ result, first })
        first += events.length
      }
    } catch (error) {
      for (const { settle } of group) settle.reject(error)
    }
    this.#underWay--
    this.#sendWaiting()
  }
}

/** Bytes of an array beside its elements and a comma for each: two brackets, and there is a comma less than elements. */
const ARRAY_BYTES = 1

/** Bytes of events as an array. */
function arrayBytes(events: readonly Uint8Array[]): number {
  return events.reduce((sum, { length }) => sum + length + 1, ARRAY_BYTES)
}

/** Events in their order in runs of which each fits a message. */
export function splitForMessages<T>(items: readonly T[], bytesOf: (item: T) => number): T[][] {
  const runs: T[][] = []
  let bytes = Number.POSITIVE_INFINITY
  for (const item of items) {
    bytes += bytesOf(item) + 1
    if (bytes > FRAME_BYTES_MAX) {
      runs.push([])
      bytes = ARRAY_BYTES + bytesOf(item) + 1
    }
    runs.at(-1)!.push(item)
  }
  return runs
}

const OPEN = Buffer.from('[')
const COMMA = Buffer.from(',')
const CLOSE = Buffer.from(']')

function payloadOf(events: readonly Uint8Array[]): Uint8Array {
  if (events.length === 1) return events[0]!
  const parts = events.flatMap((bytes, i) => [i === 0 ? OPEN : COMMA, bytes])
  return Buffer.concat([...parts, CLOSE])
}

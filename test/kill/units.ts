// Events of which every snapshot's counts are known beforehand, published by plain NATS clients, and what they must come to.
// UN1: movers send an event a minute of event time, each of the next key. An hour holds 60 of them: every event takes one unit
//      from one key and gives it to another, and the sum stays 60 (reliability.md, O8). They are alone in partition 0.
// UN2: growers send events of now, each of the next key: what is applied is a prefix of them, and it tells every key's count.
// UN3: one connection sends in order, so what the log has of a feed is a prefix as well. Its sequences come with the acks.

import { setTimeout as sleep } from 'node:timers/promises'
import type { NatsConnection } from 'nats'
import { assert } from '../../log/errors.ts'
import { partitionOf } from '../../log/frame.ts'

export const PARTITIONS = 2
/** Panes of a minute in the window of an hour, each with one event of the movers. */
export const UNITS = 60
const PANE_MS = 60_000
/** Long before now, so that time can run sixty thousand times as fast. */
const MOVERS_START_MS = Date.UTC(2001, 0, 1)
/** No divisors of 60: otherwise the key that gets a unit is the one that loses it. */
const MOVERS = 7
const MOVER_PAGES = 11
/** With the movers and the callers (readers.ts) as many as one batch may have. */
const GROWERS = 985
const GROWER_PAGES = 40
const PUBLISH_TIMEOUT_MS = 30_000
/** Events without an ack: enough for the rate, little enough that a slow broker slows the feed down. */
const IN_FLIGHT_MAX = 1_000
const BURST_MS = 10

/** Names of which a partition has all. */
export function namesIn(partition: number, prefix: string, count: number): string[] {
  const names: string[] = []
  for (let i = 0; names.length < count; i++)
    if (partitionOf(`${prefix}${i}`, PARTITIONS) === partition) names.push(`${prefix}${i}`)
  return names
}

/** Of the first `n` events, how many are of the key at `place`, when `keys` of them take turns. */
function turns(n: number, place: number, keys: number): number {
  return n > place ? Math.floor((n - 1 - place) / keys) + 1 : 0
}

/** Keys that take turns. */
export class Turns {
  readonly keys: readonly string[]
  readonly #place: ReadonlyMap<string, number>

  constructor(keys: readonly string[]) {
    this.keys = keys
    this.#place = new Map(keys.map((key, place) => [key, place]))
  }

  has(key: string): boolean {
    return this.#place.has(key)
  }

  at(i: number): string {
    return this.keys[i % this.keys.length]!
  }

  /** Events of `key` among those numbered [from, to). */
  count(key: string, from: number, to: number): number {
    const place = this.#place.get(key)!
    return turns(to, place, this.keys.length) - turns(from, place, this.keys.length)
  }
}

interface FeedOptions {
  readonly nc: NatsConnection
  readonly namespace: string
  readonly perSecond: number
}

/** A client that sends one event after the other at a rate, and knows where each is in the log. */
abstract class Feed {
  abstract readonly users: Turns
  abstract readonly pages: Turns
  readonly #o: FeedOptions
  readonly #id: string
  /** Sequences of events in their order; 0: no ack yet. */
  readonly #seqs: number[] = []
  #acked = 0
  #stopping = false
  #failure: unknown = null

  constructor(id: string, options: FeedOptions) {
    this.#id = id
    this.#o = options
  }

  /** Events published so far. */
  get sent(): number {
    return this.#seqs.length
  }

  abstract timeOf(i: number): number

  stop(): void {
    this.#stopping = true
  }

  /** Sends until stop(), and then until everything is in the log. Throws where an event has no ack. */
  async run(): Promise<void> {
    const started = performance.now()
    while (!this.#stopping) {
      const due = ((performance.now() - started) / 1_000) * this.#o.perSecond
      const room = this.#acked + IN_FLIGHT_MAX
      for (let i = this.sent; i < Math.min(due, room); i++) {
        this.#send(i).catch((error: unknown) => {
          this.#failure = error
        })
      }
      await sleep(BURST_MS)
    }
    await this.settled(this.sent)
  }

  /** Settles when the log has the first `count`. A feed that lost an event cannot say what a snapshot must hold: throws then. */
  async settled(count: number): Promise<void> {
    while (this.#acked < count) {
      if (this.#failure !== null) throw this.#failure
      await sleep(1)
    }
  }

  /** How many of its events lie at or before a place of the log. All of those must be settled. */
  through(seq: number): number {
    let [low, high] = [0, this.#acked]
    while (low < high) {
      const middle = (low + high) >> 1
      if (this.#seqs[middle]! <= seq) low = middle + 1
      else high = middle
    }
    return low
  }

  async #send(i: number): Promise<void> {
    this.#seqs.push(0)
    const user = this.users.at(i)
    const event = { type: 'page_view', event_id: `${this.#id}${i}`, event_time: this.timeOf(i), user_id: user }
    const payload = JSON.stringify({ ...event, page_id: this.pages.at(i) })
    const { nc, namespace } = this.#o
    const answer = await nc.request(`${namespace}.in.${user}`, payload, { timeout: PUBLISH_TIMEOUT_MS })
    const { seq } = answer.json<{ seq?: number }>()
    assert(seq !== undefined, 'the log takes every event')
    assert(seq > (this.#seqs[i - 1] ?? 0), 'the log has a feed in its order')
    this.#seqs[i] = seq
    while ((this.#seqs[this.#acked] ?? 0) > 0) this.#acked++
  }
}

/** UN1. */
export class Movers extends Feed {
  readonly users = new Turns(namesIn(0, 'mover-', MOVERS))
  readonly pages = new Turns(namesIn(0, 'moving-', MOVER_PAGES))

  constructor(options: FeedOptions) {
    super('m', options)
  }

  timeOf(i: number): number {
    return MOVERS_START_MS + i * PANE_MS
  }

  /** Events of movers up to a time. */
  until(timeMs: number): number {
    return Math.floor((timeMs - MOVERS_START_MS) / PANE_MS) + 1
  }

  /** Of the first `n` events, those of `key` in the hour at `timeMs`. */
  inHour(turns: Turns, key: string, n: number, timeMs: number): number {
    return turns.count(key, Math.min(n, Math.max(0, this.until(timeMs) - UNITS)), n)
  }
}

/** UN2. */
export class Growers extends Feed {
  readonly users = new Turns(namesIn(1, 'grower-', GROWERS))
  readonly pages = new Turns(namesIn(1, 'growing-', GROWER_PAGES))

  constructor(options: FeedOptions) {
    super('g', options)
  }

  timeOf(): number {
    return Date.now()
  }
}

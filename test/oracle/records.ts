// Oracle, step 3a: the records of a file in the order of the order key, and which of them are duplicates (contract.md section 2,
// protocol.md section 8). Imports nothing of the project.
//
// 1. Late is decided in file order, everything else in the order of the order key.
// Not here: resolution of clicks to users (join.ts); a record says whose it is.

import { ATTRIBUTION, type Attribution } from './attribution-settings.ts'
import { type Anonymous, type Bots, type DeadLetter, type Event, judge } from './judge.ts'
import { readLines } from './read-lines.ts'

const DAY_MS = 86_400_000
const DUPLICATE_HORIZON_MS = 7 * DAY_MS
const ORDER_HORIZON_MS = 90 * DAY_MS

export interface Settings {
  readonly anonymous: Anonymous
  readonly bots: Bots
  readonly latenessMs: number
  /** true: an accepted event is forgotten once W passes max(event_time, W at arrival) + horizon (protocol section 11);
   *  false: never, contract.md section 2 to the letter. They differ only for twins that come late by more than that. */
  readonly forget: boolean
  /** null: without the joiner; conversions are judged under their own user, and nothing is attributed. */
  readonly attribution: Attribution | null
}

export const DEFAULTS: Settings = {
  anonymous: 'reject',
  bots: 'count',
  latenessMs: 600_000,
  forget: false,
  attribution: ATTRIBUTION,
}

/** A valid event with what the reader and the order key add: `watermarkMs` is W before it, `atMs` its order time. */
export interface Record {
  readonly event: Event
  readonly user: string
  readonly watermarkMs: number
  readonly atMs: number
  readonly isLate: boolean
}

/** The valid events of a file in the order of their lines, and what is none. */
export function readRecords(file: Buffer, settings: Settings): { records: Record[]; deadLetters: DeadLetter[] } {
  const records: Record[] = []
  const deadLetters: DeadLetter[] = []
  let stampMs = Number.NEGATIVE_INFINITY // the highest event_time of the valid lines before this one
  for (const line of readLines(file)) {
    const judged = judge(line, settings.anonymous)
    if ('dead' in judged) {
      deadLetters.push(judged.dead)
      continue
    }
    const { event } = judged
    const watermarkMs = stampMs - settings.latenessMs - 1
    const isLate = event.eventTimeMs <= watermarkMs
    const atMs = isLate ? watermarkMs + 1 : event.eventTimeMs
    records.push({ event, user: userOf(event), watermarkMs, atMs, isLate })
    stampMs = Math.max(stampMs, event.eventTimeMs)
  }
  return { records, deadLetters }
}

/** The user whose event this is as long as no click says otherwise. */
export function userOf(event: Event): string {
  if (event.userId !== null) return event.userId
  return event.type === 'conversion' && event.clickId !== null ? `click:${event.clickId}` : `anon:${event.eventId}`
}

/** Protocol section 8; all are records, so the rank is equal. Numbers follow the lines. */
export function byOrderKey(a: Record, b: Record): number {
  return (
    a.atMs - b.atMs ||
    byUtf8(a.event.type, b.event.type) ||
    byUtf8(a.event.eventId, b.event.eventId) ||
    a.event.line - b.event.line
  )
}

/** Compares strings by their UTF-8 bytes; JavaScript's `<` puts surrogate pairs before U+E000. */
export function byUtf8(a: string, b: string): number {
  return a === b ? 0 : Buffer.compare(Buffer.from(a), Buffer.from(b))
}

/** The records that are no duplicate of one before them. */
export function withoutDuplicates(ordered: readonly Record[], settings: Settings): Record[] {
  const duplicates = new Duplicates(settings)
  return ordered.filter((record) => duplicates.isFirst(record))
}

/** What was accepted so far, record by record. */
export class Duplicates {
  readonly #events: Seen
  readonly #orders: Seen

  constructor({ forget }: Settings) {
    this.#events = new Seen(DUPLICATE_HORIZON_MS, forget)
    this.#orders = new Seen(ORDER_HORIZON_MS, forget)
  }

  /** Whether a record is no duplicate of what was accepted before; if so, it is accepted now. */
  isFirst(record: Record): boolean {
    const eventKey = JSON.stringify([record.user, record.event.type, record.event.eventId])
    const orderKey = orderKeyOf(record)
    if (this.#events.has(eventKey, record) || (orderKey !== null && this.#orders.has(orderKey, record))) return false
    this.#events.add(eventKey, record)
    if (orderKey !== null) this.#orders.add(orderKey, record)
    return true
  }
}

/** What a second conversion for the same order shares with the first; null for all that is no purchase with an order. */
function orderKeyOf({ user, event }: Record): string | null {
  if (event.type !== 'conversion' || event.isRefund || event.orderId === null) return null
  return JSON.stringify([user, event.advertiserId, event.orderId])
}

/** Accepted records by key, and whether one of them is at most the horizon away in event time. */
class Seen {
  readonly #accepted = new Map<string, Record[]>()
  readonly #horizonMs: number
  readonly #forget: boolean

  constructor(horizonMs: number, forget: boolean) {
    this.#horizonMs = horizonMs
    this.#forget = forget
  }

  has(key: string, { event, atMs }: Record): boolean {
    const before = this.#accepted.get(key) ?? []
    return before.some(
      (old) =>
        Math.abs(event.eventTimeMs - old.event.eventTimeMs) <= this.#horizonMs &&
        !(this.#forget && atMs > Math.max(old.event.eventTimeMs, old.watermarkMs) + this.#horizonMs),
    )
  }

  add(key: string, record: Record): void {
    const before = this.#accepted.get(key)
    if (before) before.push(record)
    else this.#accepted.set(key, [record])
  }
}

// Validation: arrivals in, events out; what is no event becomes a dead letter, and the next one is processed.
// V1: read = events + dead letters, always: each arrival becomes exactly one of the two.
// V2: a dead letter has the bytes as they were sent (the first REFUSED_BYTES_KEPT of them), the first code that applies, and
//     the position.
// V3: what a program sent is an event like others, and says what `bots` makes of it. Decided here, where the configuration of
//     an event's order time is known whatever the slices.
// The rules are in operators/event.ts; lateness and order time are the task's (`at` leaves here as the event time).

import { HoldfastError } from '../log/errors.ts'
import { ArrayText, type Arrival, rawBytes } from './arrival.ts'
import {
  type BotsSetting,
  checkEvent,
  type Event,
  isBot,
  isRejected,
  parseEventBytes,
  parseEventText,
  REFUSED_BYTES_KEPT,
  type Rejected,
} from './event.ts'
import type { Operator, OperatorContext, Rec } from './operator.ts'

/** How far ahead of its ingest time an event may be. One bad clock must not close everybody's windows. */
export const FUTURE_MS = 10 * 60_000

export interface ValidationSettings {
  /** Where no `config` record says otherwise. */
  readonly anonymous: 'reject' | 'accept'
  /** The same. */
  readonly bots: BotsSetting
  /** Milliseconds. Only where arrivals have an ingest time, that is in `clock: wall`. */
  readonly futureMs: number
}

/** One record of the output `dead_letters`. */
export interface DeadLetter {
  readonly code: Rejected['code']
  readonly field: string | null
  readonly hint?: string
  /** base64 */
  readonly raw: string
  readonly stream: string
  readonly sequence: number
  readonly index: number
  readonly line: number | null
}

const FUTURE: Rejected = { code: 'EVENT_TIME_FUTURE', field: 'event_time' }

export const DEAD_LETTERS = 'dead_letters'

/** Counts `read` and `dead_letters`; emits DeadLetter to the output `dead_letters`. */
export function validation(given: Partial<ValidationSettings> = {}): Operator<Arrival, Event> {
  const settings: ValidationSettings = { anonymous: 'reject', bots: 'count', futureMs: FUTURE_MS, ...given }
  check(settings)
  return {
    name: 'validation',
    version: 1,
    settings,
    stores: [],
    process(batch, ctx) {
      const events: Rec<Event>[] = []
      for (const rec of batch) {
        const result = judge(rec, settings, ctx)
        if (isRejected(result)) bury(rec, result, ctx)
        else events.push(recordOf(rec, isBot(result) ? withBots(result, rec.watermark, settings, ctx) : result))
      }
      ctx.count('read', batch.length)
      return events
    },
  }
}

function judge({ value: arrival, watermark }: Rec<Arrival>, settings: ValidationSettings, ctx: OperatorContext) {
  const first = parse(arrival, settings)
  const needsUser = isRejected(first) || first.anonymous
  const result = needsUser ? configuredResult(first, arrival, watermark, settings, ctx) : first
  const { ingestMs } = arrival.position
  if (ingestMs === null || isRejected(result) || result.time <= ingestMs + settings.futureMs) return result
  return FUTURE
}

/**
 * The result where it may depend on `anonymous`, and that has been changed. What is an event under one of the settings has the
 * order time of that event; what is none under either stands right after the watermark.
 */
function configuredResult(
  first: Event | Rejected,
  arrival: Arrival,
  watermark: number,
  settings: ValidationSettings,
  ctx: OperatorContext,
): Event | Rejected {
  if (ctx.configured(Number.MAX_SAFE_INTEGER) === null) return first
  const accepting = settings.anonymous === 'accept' ? first : parse(arrival, { ...settings, anonymous: 'accept' })
  const at = isRejected(accepting) ? watermark + 1 : Math.max(accepting.time, watermark + 1)
  const anonymous = ctx.configured(at)?.anonymous ?? settings.anonymous
  if (anonymous === 'accept') return accepting
  return settings.anonymous === 'reject' ? first : parse(arrival, { ...settings, anonymous: 'reject' })
}

/** V3. */
function withBots(event: Event, watermark: number, settings: ValidationSettings, ctx: OperatorContext): Event {
  const bots = ctx.configured(Math.max(event.time, watermark + 1))?.bots ?? settings.bots
  return bots === 'count' ? event : { ...event, bots }
}

function parse(arrival: Arrival, settings: ValidationSettings): Event | Rejected {
  const { raw, value } = arrival
  if (value !== undefined && raw instanceof ArrayText) return checkEvent(value, settings, raw.spelling)
  if (typeof raw === 'string') return parseEventText(raw, settings)
  return parseEventBytes(rawBytes(arrival), settings)
}

function recordOf(rec: Rec<Arrival>, event: Event): Rec<Event> {
  const { watermark, late, rank, number, input } = rec
  return { value: event, at: event.time, watermark, late, rank, type: event.type, id: event.id, number, input }
}

function bury(rec: Rec<Arrival>, rejected: Rejected, ctx: OperatorContext): void {
  const { position, index, line } = rec.value
  const bytes = rawBytes(rec.value).subarray(0, REFUSED_BYTES_KEPT)
  const letter: DeadLetter = {
    ...rejected,
    raw: Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64'),
    stream: position.stream,
    sequence: position.sequence,
    index,
    line,
  }
  ctx.count('dead_letters')
  ctx.emit(DEAD_LETTERS, letter, rec)
}

function check({ anonymous, bots, futureMs }: ValidationSettings): void {
  if (anonymous !== 'reject' && anonymous !== 'accept') {
    throw new HoldfastError('USAGE', `anonymous must be "reject" or "accept", not "${anonymous}"`)
  }
  if (bots !== 'count' && bots !== 'mark' && bots !== 'drop') {
    throw new HoldfastError('USAGE', `bots must be "count", "mark" or "drop", not "${bots}"`)
  }
  if (!Number.isSafeInteger(futureMs) || futureMs < 0) {
    throw new HoldfastError('USAGE', `futureMs must be a whole number of at least 0, not ${futureMs}`)
  }
}

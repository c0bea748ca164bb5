// Sends the generated world to a front door: POST /v1/events, in real or compressed time, until it ends or is asked to stop.
// S1: a batch is sent again, the same bytes with the same event_ids, until it is answered: nothing is lost, and what the log
//     had already is a duplicate there. The next batch waits, so events of a user stay in order.
// S2: it waits as long as 429 and 503 ask it to (Retry-After), and gives up when nothing was taken for PATIENCE_MS.
// S3: a stop (signal, duration, limit) ends it between two batches; the one under way is given up at once.

import { setTimeout as sleep } from 'node:timers/promises'
import { HoldfastError } from '../../log/errors.ts'
import { Paced } from './pace.ts'
import type { Arrival } from './scene.ts'

/** Half of the 1,000 that one request may carry: latency matters more here than overhead. */
export const BATCH_EVENTS_MAX = 500
/** Half of the 1 MiB that one request may have. */
export const BATCH_BYTES_MAX = 512 * 1_024
/** A front door restarts within this; later it has gone. */
export const PATIENCE_MS = 60_000
/** Longer than the 5 s that a log is waited for; then the request is sent again. */
const REQUEST_TIMEOUT_MS = 15_000
/** Without Retry-After. */
const RETRY_MS = 500
/** Of Retry-After: a wrong clock or header must not stop us for a day. */
export const RETRY_AFTER_MAX_MS = 10_000
/** How long lines are collected before a request: a browser would not notice. */
const LINGER_MS = 20
const SAY_EVERY_MS = 5_000
/** Enough of an unexpected answer to know it. */
const ANSWER_CHARS_SHOWN = 200

export interface SendOptions {
  /** Of the front door: http://127.0.0.1:8080. */
  readonly url: string
  /** The world's time to real time; the same as the world's own `speed`. */
  readonly speed: number
  readonly durationMs: number
  /** Lines sent at most. */
  readonly eventsMax: number
  /** Bearer token with the scope `write`. */
  readonly token: string | undefined
  readonly patienceMs: number
}

export interface Sent {
  /** Lines that have been answered. */
  sent: number
  taken: number
  refused: number
  /** Requests sent again. */
  retries: number
}

interface Answer {
  readonly taken: number
  readonly refused: number
}

/** What an answer means for the batch: it is done, or it goes again after a while. */
type Verdict = { readonly answer: Answer } | { readonly againInMs: number; readonly cause: string }

/** Sends until the world, the duration or the limit ends or `stop` says so; a sentence on progress now and then. */
export async function sendWorld(
  minutes: Iterable<readonly Arrival[]>,
  options: SendOptions,
  stop: AbortSignal,
  say: (line: string) => void,
): Promise<Sent> {
  const paced = new Paced(minutes, options.speed)
  const total: Sent = { sent: 0, taken: 0, refused: 0, retries: 0 }
  const ended = AbortSignal.any([stop, AbortSignal.timeout(options.durationMs)])
  const start = performance.now()
  let saidAt = start
  for (;;) {
    const room = options.eventsMax - total.sent
    const dueMs = paced.nextDueMs()
    if (ended.aborted || room === 0 || dueMs === null) return total
    const elapsedMs = performance.now() - start
    if (dueMs > elapsedMs) {
      await pause(Math.max(LINGER_MS, dueMs - elapsedMs), ended)
      continue
    }
    const lines = paced.take(elapsedMs, { events: Math.min(BATCH_EVENTS_MAX, room), bytes: BATCH_BYTES_MAX })
    const answer = await sendBatch(`${lines.join('\n')}\n`, options, ended, total)
    if (answer === null) return total
    total.sent += lines.length
    total.taken += answer.taken
    total.refused += answer.refused
    if (performance.now() - saidAt < SAY_EVERY_MS) continue
    saidAt = performance.now()
    say(progressOf(total, saidAt - start, elapsedMs - dueMs))
  }
}

/** One sentence: what was sent and how fast. `behindMs`: how long the oldest line of the last batch had been due. */
export function progressOf({ sent, taken, refused, retries }: Sent, elapsedMs: number, behindMs: number): string {
  const n = (value: number) => Math.round(value).toLocaleString('en-US')
  const behind = behindMs > 1_000 ? ` · ${(behindMs / 1_000).toFixed(1)} s behind` : ''
  const rate = n((1_000 * sent) / Math.max(1, elapsedMs))
  return `sent ${n(sent)} · ${rate}/s · taken ${n(taken)} · refused ${n(refused)} · retries ${n(retries)}${behind}`
}

/** Null: asked to stop before there was an answer. */
async function sendBatch(body: string, options: SendOptions, ended: AbortSignal, total: Sent): Promise<Answer | null> {
  const startedAt = performance.now()
  for (;;) {
    const verdict = await post(body, options, ended)
    if ('answer' in verdict) return verdict.answer
    if (ended.aborted) return null
    if (performance.now() - startedAt + verdict.againInMs > options.patienceMs) {
      const seconds = Math.round(options.patienceMs / 1_000)
      throw new Error(`${options.url} took nothing for ${seconds} s: ${verdict.cause}`)
    }
    total.retries++
    await pause(verdict.againInMs, ended)
    if (ended.aborted) return null
  }
}

async function post(body: string, { url, token }: SendOptions, ended: AbortSignal): Promise<Verdict> {
  try {
    const response = await fetch(new URL('/v1/events', url), {
      method: 'POST',
      body,
      headers: {
        'content-type': 'application/x-ndjson',
        ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      },
      redirect: 'error',
      signal: AbortSignal.any([ended, AbortSignal.timeout(REQUEST_TIMEOUT_MS)]),
    })
    return judge(response.status, await response.text(), response.headers.get('retry-after'))
  } catch (error) {
    if (error instanceof HoldfastError) throw error
    const { message, cause } = error as Error
    return { againInMs: RETRY_MS, cause: cause instanceof Error && cause.message !== '' ? cause.message : message }
  }
}

function judge(status: number, text: string, retryAfter: string | null): Verdict {
  const cause = `HTTP ${status}: ${text.slice(0, ANSWER_CHARS_SHOWN)}`
  if (status === 429 || status >= 500) {
    // 501 with counts is an answer about events that are not acted on yet: they will not be tomorrow either.
    const answer = status === 501 ? countsIn(text) : null
    return answer === null ? { againInMs: retryAfterMs(retryAfter), cause } : { answer }
  }
  // A 400 with counts is about a single event that was refused, one without about the request.
  const answer = status === 200 || status === 400 ? countsIn(text) : null
  if (answer !== null) return { answer }
  throw new HoldfastError(
    'USAGE',
    `${status === 200 ? 'no front door' : 'the front door refuses what is sent'}: ${cause}`,
  )
}

function countsIn(text: string): Answer | null {
  try {
    const { taken, refused } = JSON.parse(text) as Partial<Answer>
    return Number.isInteger(taken) && Number.isInteger(refused) ? { taken: taken!, refused: refused! } : null
  } catch {
    return null
  }
}

/** In milliseconds; seconds in the header, as the front door writes it. */
export function retryAfterMs(header: string | null): number {
  const seconds = header === null ? Number.NaN : Number(header)
  return seconds >= 0 ? Math.min(1_000 * seconds, RETRY_AFTER_MAX_MS) : RETRY_MS
}

/** Waits, or less if asked to stop. */
async function pause(ms: number, ended: AbortSignal): Promise<void> {
  await sleep(ms, undefined, { signal: ended }).catch(() => {})
}

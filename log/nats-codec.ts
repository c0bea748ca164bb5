// Between our words and those of NATS: headers, reply subjects, time stamps, stream settings, error codes. Pure.
// The connection is in log/nats-log.ts, the reader in log/nats-reader.ts.

import type { StoredMsg, StreamConfig, StreamInfo } from '@nats-io/jetstream'
import type { Msg, MsgHdrs } from 'nats'
import { MsgHdrsImpl } from 'nats'
import { assert } from './errors.ts'
import type { Expect, Headers, LogMessage, PublishResult, StreamSpec, StreamState } from './log.ts'

const NANOS_PER_MS = 1_000_000
/** Of a count of nanoseconds, the digits that are less than a millisecond. */
const NANOS_DIGITS = 6
const LINE_END = /[\r\n]/

/** Codes of nats-server's errors.json that decide something here. */
export const API_CODE = {
  noPeers: 10005,
  insufficientStorage: 10047,
  streamExistsOtherwise: 10058,
  streamNotFound: 10059,
  wrongLastSequence: 10071,
  streamFull: 10077,
  wrongLastSequenceConstant: 10164,
  batchesDisabled: 10174,
} as const

// ── headers ──────────────────────────────────────────────────────────────────────────────────────────────────────────

/** The headers of a publish: ours and those that ask for compare-and-set; undefined if there are none. */
export function publishHeaders(headers: Headers | null, expect: Expect, batch?: BatchPlace): MsgHdrs | undefined {
  const all: Record<string, string[]> = {}
  if (expect !== null) {
    if ('lastSeq' in expect) all['Nats-Expected-Last-Sequence'] = [String(expect.lastSeq)]
    else all['Nats-Expected-Last-Subject-Sequence'] = [String(expect.lastSubjectSeq)]
  }
  if (batch !== undefined) {
    all['Nats-Batch-Id'] = [batch.id]
    all['Nats-Batch-Sequence'] = [String(batch.sequence)]
    if (batch.last) all['Nats-Batch-Commit'] = ['1']
  }
  for (const name in headers) {
    const value = headers[name]!
    assert(!LINE_END.test(value), `the value of header ${name} has no line ends`)
    all[name] = [value]
  }
  // Without the checks and the case folding of append(): names are our own constants, and this is the publish path.
  for (const _ in all) return MsgHdrsImpl.fromRecord(all)
  return undefined
}

/** Where a message stands in an atomic batch (ADR-50). */
export interface BatchPlace {
  readonly id: string
  readonly sequence: number
  readonly last: boolean
}

/** Several values of one name are joined, so that nothing stored is lost to the digest. */
function headerRecord(headers: MsgHdrs | undefined): Headers | null {
  if (headers === undefined) return null
  const record: Record<string, string> = {}
  let any = false
  for (const [name, values] of headers) {
    record[name] = values.length === 1 ? values[0]! : values.join(', ')
    any = true
  }
  return any ? record : null
}

// ── messages ─────────────────────────────────────────────────────────────────────────────────────────────────────────

/**
 * A message as a consumer delivers it. Subject, headers and time are decoded when somebody asks: most readers want the
 * sequence and the payload of every message, and the rest of a few.
 */
export class DeliveredMessage implements LogMessage {
  readonly seq: number
  readonly #msg: Msg
  /** Its reply subject, and where the stream sequence stands in it. */
  readonly #reply: string
  readonly #seqAt: number
  #headers: Headers | null | undefined

  constructor(seq: number, msg: Msg, reply: string, seqAt: number) {
    this.seq = seq
    this.#msg = msg
    this.#reply = reply
    this.#seqAt = seqAt
  }

  get subject(): string {
    return this.#msg.subject
  }

  get payload(): Uint8Array {
    return this.#msg.data
  }

  get headers(): Headers | null {
    if (this.#headers === undefined) this.#headers = headerRecord(this.#msg.headers)
    return this.#headers
  }

  get timeNs(): bigint {
    return BigInt(this.#token(REPLY_TIME))
  }

  get timeMs(): number {
    return Number(this.#token(REPLY_TIME).slice(0, -NANOS_DIGITS))
  }

  /** Messages in the stream behind this one when it was delivered. */
  get pending(): number {
    return Number(this.#token(REPLY_PENDING))
  }

  #token(token: number): string {
    const from = tokenStart(this.#reply, this.#seqAt, token)
    const to = this.#reply.indexOf('.', from)
    return this.#reply.slice(from, to < 0 ? undefined : to)
  }
}

/** Bytes of subject, reply subject, headers and payload: what the server takes off the bytes of a pull for this message. */
export function wireBytes(msg: Msg): number {
  // The library's messages have it; their interface does not say so.
  return (msg as Msg & { size(): number }).size()
}

/** A message as STREAM.MSG.GET answers it. */
export function storedMessage(stored: StoredMsg): LogMessage {
  const timeNs = nanosOf(stored.timestamp)
  return {
    seq: stored.seq,
    subject: stored.subject,
    headers: headerRecord(stored.header),
    payload: stored.data,
    timeNs,
    timeMs: Number(timeNs / BigInt(NANOS_PER_MS)),
  }
}

/** Nanoseconds since 1970 of an RFC 3339 time in UTC, whose fraction Go writes without trailing zeros. */
export function nanosOf(time: string): bigint {
  const match = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?Z$/.exec(time)
  assert(match !== null, `a time in UTC: ${time}`)
  const seconds = BigInt(Date.parse(`${match[1]}Z`) / 1000)
  return seconds * 1_000_000_000n + BigInt((match[2] ?? '').padEnd(9, '0'))
}

// ── reply subjects ───────────────────────────────────────────────────────────────────────────────────────────────────
// $JS.ACK.<stream>.<consumer>.<deliveries>.<stream seq>.<consumer seq>.<time>.<pending>, or the same with
// <domain>.<account> before the stream and possibly a token at the end.

/** Tokens from the stream sequence on. */
const REPLY_TIME = 2
const REPLY_PENDING = 3
const DOT = 46

/** What every reply subject of this consumer starts with, up to its stream sequence; '' if it is not of this consumer. */
export function replyPrefix(reply: string, consumer: string): string {
  const at = reply.indexOf(`.${consumer}.`)
  if (at < 0 || !reply.startsWith('$JS.ACK.')) return ''
  // What follows the name is the number of deliveries.
  return reply.slice(0, tokenStart(reply, at + consumer.length + 2, 1))
}

/** The number that starts at `from`; where it ends is `from` + its digits. */
export function numberAt(text: string, from: number): number {
  let value = 0
  for (let i = from; i < text.length; i++) {
    const digit = text.charCodeAt(i) - 48
    if (digit < 0 || digit > 9) return value
    value = value * 10 + digit
  }
  return value
}

export function nextToken(text: string, from: number): number {
  let i = from
  while (text.charCodeAt(i) !== DOT) i++
  return i + 1
}

/** Where the token stands that is `tokens` after the one that starts at `from`. */
function tokenStart(text: string, from: number, tokens: number): number {
  let at = from
  for (let i = 0; i < tokens; i++) at = text.indexOf('.', at) + 1
  return at
}

// ── acks ─────────────────────────────────────────────────────────────────────────────────────────────────────────────

interface PubAck {
  readonly seq?: number
  readonly error?: { readonly code: number; readonly err_code: number; readonly description: string }
}

/** `disabled`: the stream takes no batches, a mistake of the program and no outcome. */
export type AckResult = PublishResult | { readonly kind: 'disabled'; readonly cause: string }

/** What the answer to a publish says (protocol.md, section 5): whatever is not a clear yes or no is unknown. */
export function readAck(data: Uint8Array): AckResult {
  const ack = parseAck(data)
  if (ack === null) return { kind: 'unknown', cause: 'an answer that is no ack' }
  if (ack.error === undefined) {
    return typeof ack.seq === 'number'
      ? { kind: 'stored', seq: ack.seq }
      : { kind: 'unknown', cause: 'an ack without seq' }
  }
  const cause = `${ack.error.description} (${ack.error.err_code})`
  switch (ack.error.err_code) {
    case API_CODE.wrongLastSequence:
    case API_CODE.wrongLastSequenceConstant:
      return { kind: 'refused', cause }
    case API_CODE.streamFull:
      return { kind: 'full', cause }
    case API_CODE.batchesDisabled:
      return { kind: 'disabled', cause }
    default:
      return { kind: 'unknown', cause }
  }
}

function parseAck(data: Uint8Array): PubAck | null {
  try {
    return JSON.parse(Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString()) as PubAck
  } catch {
    return null
  }
}

// ── streams ──────────────────────────────────────────────────────────────────────────────────────────────────────────

/**
 * Every setting that correctness rests on. The duplicate window is the least the server takes: message ids are used
 * nowhere. `discard: new` makes a full stream refuse instead of forgetting.
 */
export function streamConfig(spec: StreamSpec) {
  return {
    name: spec.name,
    subjects: [...spec.subjects],
    retention: 'limits',
    storage: 'file',
    discard: 'new',
    num_replicas: spec.replicas,
    max_bytes: spec.maxBytes,
    max_age: spec.maxAgeMs * NANOS_PER_MS,
    max_msgs: -1,
    max_msgs_per_subject: -1,
    max_msg_size: -1,
    duplicate_window: 100 * NANOS_PER_MS,
    allow_direct: false,
    allow_atomic: spec.atomic,
    allow_rollup_hdrs: false,
    no_ack: false,
    sealed: false,
  } satisfies Partial<Record<keyof StreamConfig, unknown>>
}

export interface SettingDifference {
  readonly setting: string
  readonly asked: string
  readonly has: string
}

/** The first setting that the server has otherwise than asked; null if all are as asked. A setting it leaves out is false. */
export function settingDifference(spec: StreamSpec, has: StreamConfig): SettingDifference | null {
  for (const [setting, asked] of Object.entries(streamConfig(spec))) {
    const there = (has as unknown as Record<string, unknown>)[setting] ?? false
    if (JSON.stringify(there) !== JSON.stringify(asked)) {
      return { setting, asked: JSON.stringify(asked), has: JSON.stringify(there) }
    }
  }
  return null
}

export function stateOf(info: StreamInfo): StreamState {
  const { first_seq, last_seq, bytes } = info.state
  // The server says 0 for a stream that never had a message, and last + 1 for one that was emptied.
  return { created: String(info.created), firstSeq: Math.max(1, first_seq), lastSeq: last_seq, bytes }
}

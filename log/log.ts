// What Holdfast needs of a log, and nothing more. log/nats-log.ts is the real one, log/fake-log.ts the simulated one;
// both pass test/conformance/log.ts.
// L1: a publish has three outcomes, and `unknown` is not a failure: the message may still land later.
// L2: a reader hands out messages in stream order, each once, contiguous from its start; whatever breaks that is an error
//     from next(), never a silent skip.
// Files are in log/blobs.ts. Numbers, chains and the decision table for unknown outcomes are in log/writer.ts, on top of this.

import type { Blobs } from './blobs.ts'

export interface StreamSpec {
  readonly name: string
  readonly subjects: readonly string[]
  /** Bytes; a full stream refuses publishes (discard: new). */
  readonly maxBytes: number
  readonly replicas: number
  /** Milliseconds; 0 = kept for ever. Only output streams for other people may have one. */
  readonly maxAgeMs: number
  /** Whether several messages may be published as one atomic batch. */
  readonly atomic: boolean
}

export interface StreamState {
  /** Creation time as the server writes it: another value means another stream of the same name. */
  readonly created: string
  /** lastSeq + 1 where the stream is empty. */
  readonly firstSeq: number
  readonly lastSeq: number
  readonly bytes: number
}

export type Headers = Readonly<Record<string, string>>

/** One stored message. `timeNs` is the server's timestamp in nanoseconds since 1970, `timeMs` its whole milliseconds. */
export interface LogMessage {
  readonly seq: number
  readonly subject: string
  readonly headers: Headers | null
  readonly payload: Uint8Array
  readonly timeNs: bigint
  readonly timeMs: number
}

/** Around a message in a stream: length, sequence, time and lengths of its parts before it, a hash behind it. */
const MESSAGE_BYTES = 30
/** Of headers: their length, the line `NATS/1.0` before them, an empty one behind them; and of each `: ` and its line end. */
const HEADERS_BYTES = 16
const HEADER_BYTES = 4

/** Bytes that a message takes of its stream's room, as the server counts them. Ids and headers of ours are ASCII. */
export function storedBytes({ subject, headers, payload }: Outgoing): number {
  let bytes = MESSAGE_BYTES + subject.length + payload.length
  if (headers === null) return bytes
  bytes += HEADERS_BYTES
  for (const name in headers) bytes += HEADER_BYTES + name.length + headers[name]!.length
  return bytes
}

export interface Outgoing {
  readonly subject: string
  readonly headers: Headers | null
  readonly payload: Uint8Array
}

/** Compare-and-set: the publish is refused unless the last sequence (of the stream, or of the subject) is this one; 0 = none. */
export type Expect = { readonly lastSubjectSeq: number } | { readonly lastSeq: number } | null

/**
 * `stored`: seq is that of the last message. `refused`: compare-and-set failed. `full`: no room (10077), nothing stored.
 * `unknown`: timeout, no responders, connection lost, overloaded: stored or not, now or later.
 */
export type PublishResult =
  | { readonly kind: 'stored'; readonly seq: number }
  | { readonly kind: 'refused' | 'full' | 'unknown'; readonly cause: string }

/**
 * Where a reader starts: the last applied message and the proof that it is still the same one. `seq` 0 = from the very
 * first message (a stream that was trimmed is a GAP; whoever wants what is left starts at firstSeq with its digest).
 */
export interface ReadFrom {
  readonly seq: number
  /** SHA-256 (hex) by messageDigest(); ignored where seq is 0. */
  readonly digest: string
  /** StreamState.created when the position was taken; '' is not compared. */
  readonly created: string
}

export interface LogReader {
  /**
   * The messages that are there (at least one, at most a bounded number of bytes), waiting for the first one.
   * With from.seq > 0 the first message of all is the one at from.seq itself, already compared with the digest (or the
   * one after it, where retention took just that one: then only creation time and sequences could be compared).
   * Resolves to an empty array after stop() and when `timeoutMs` passed without a message.
   * Throws HoldfastError LOG_WENT_BACK or GAP when continuity is broken (each time again; the reader is stopped). A broker
   * that is away is waited for: an empty array after `timeoutMs`. One call at a time.
   */
  next(timeoutMs: number): Promise<LogMessage[]>
  /** Messages in the stream behind the last one handed out, as last heard. */
  readonly pending: number
  stop(): Promise<void>
}

/**
 * The broker did not answer a question in time (it is away, has no leader, or the connection broke). Not a HoldfastError:
 * nothing halts for it, the caller waits under a name and asks again.
 */
export class LogUnavailable extends Error {
  constructor(cause: string) {
    super(`the broker does not answer: ${cause}`)
    this.name = 'LogUnavailable'
  }
}

/** Publishes never throw for what the world can do; every other question throws LogUnavailable when no answer comes. */
export interface Log extends Blobs {
  /** Creates the stream, or compares the settings of the one that is there (SETTINGS_DROPPED). */
  ensureStream(spec: StreamSpec): Promise<StreamState>
  /** null if there is no such stream. */
  streamState(stream: string): Promise<StreamState | null>
  /** The last message on an exact subject, from the stream's leader (never a follower); null if none. */
  lastOnSubject(stream: string, subject: string): Promise<LogMessage | null>
  /** The message at a sequence, from the stream's leader; null if it is not there. */
  message(stream: string, seq: number): Promise<LogMessage | null>
  /** Every subject in the stream with its number of messages. */
  subjects(stream: string): Promise<Map<string, number>>
  publish(message: Outgoing, expect: Expect): Promise<PublishResult>
  /** All or nothing, at most 1,000 messages of one stream; `expect` holds for the first message. */
  publishBatch(messages: readonly Outgoing[], expect: Expect): Promise<PublishResult>
  read(stream: string, from: ReadFrom): Promise<LogReader>
  /** Removes every message below `seq`. */
  trim(stream: string, belowSeq: number): Promise<void>
  /** Fire and forget to whoever listens now (committed positions for standbys). Not stored. */
  announce(subject: string, payload: Uint8Array): void
  listen(subject: string, onMessage: (payload: Uint8Array) => void): () => void
  /** Whether the broker answers now (a round trip). */
  ping(): Promise<boolean>
  close(): Promise<void>
}

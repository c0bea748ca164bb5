// The read API over NATS request-reply: <namespace>.read.<feature>.<entity>, and <namespace>.read.vectors, .attribution and .purchases,
// with the JSON of HTTP in both directions; what HTTP has in its path and its query are members of one object here.
// NT1: every request that can be replied to gets one reply: values, or { error: { code, message } }. One that is larger than the
//      server's messages is refused: HTTP has it.
// NT2: nodes of one namespace share the requests (queue group); at most READS_MAX are under way in this one, and what comes
//      beyond them is refused at once.
// Who may ask is decided by the server's permissions on the subjects. The rules of a request are in sinks/read-ask.ts.

import type { Msg, NatsConnection } from 'nats'
import { attributionAnswer } from './attribution-format.ts'
import type { FeatureReads, ReadAsk, ReadOutcome } from './feature-reads.ts'
import { askOfPurchases, purchasesAnswer } from './purchase-format.ts'
import {
  askOfAttribution,
  askOfBatch,
  askOfMembers,
  askOfPoint,
  askOfVectors,
  isRefusal,
  parseBody,
  type Refusal,
} from './read-ask.ts'
import { type Answer, batchAnswer, pointAnswer, refusalAnswer, vectorsAnswer } from './read-format.ts'
import { type ErrorBody, READ_BODY_BYTES_MAX } from './read-schemas.ts'

/** Requests under way at once: more than a node answers in the milliseconds that one takes. */
export const READS_MAX = 256

export interface NatsReadsOptions {
  readonly nc: NatsConnection
  readonly namespace: string
  readonly reads: FeatureReads
  /** That of an advertiser's days. */
  timeZoneOf(advertiser: string): string
  /** A read threw (a bug, or a node that is going down; who asked is told INTERNAL), or the server refuses the subject. */
  readonly onFault: (error: unknown) => void
}

export interface NatsReads {
  /** Takes no more requests, and settles when those under way have been answered. */
  stop(): Promise<void>
}

/** Subject of a feature's reads. */
export const readSubject = (namespace: string, feature: string, entity: string): string =>
  `${namespace}.read.${feature}.${entity}`

/** Subject of reads of vectors. */
export const vectorsSubject = (namespace: string): string => `${namespace}.read.vectors`

/** Subject of reads of a conversion's attribution. */
export const attributionSubject = (namespace: string): string => `${namespace}.read.attribution`

/** Subject of reads of an advertiser's purchases. */
export const purchasesSubject = (namespace: string): string => `${namespace}.read.purchases`

/** Answers reads until stop(). */
export function serveReads(options: NatsReadsOptions): NatsReads {
  const { nc, namespace } = options
  const underWay = new Set<Promise<void>>()
  const subscribe = (subject: string, reply: ReplyTo) =>
    nc.subscribe(subject, {
      queue: `${namespace}.read`,
      callback: (error, msg) => {
        if (error !== null) return options.onFault(error)
        if (!msg.reply) return
        if (underWay.size >= READS_MAX) return respond(nc, msg, TOO_MANY)
        const work = answer(msg, options, reply).finally(() => underWay.delete(work))
        underWay.add(work)
      },
    })
  const subscriptions = [
    subscribe(readSubject(namespace, '*', '*'), valuesFor),
    subscribe(vectorsSubject(namespace), vectorsFor),
    subscribe(attributionSubject(namespace), attributionFor),
    subscribe(purchasesSubject(namespace), purchasesFor),
  ]
  return {
    stop: async () => {
      for (const subscription of subscriptions) subscription.unsubscribe()
      await Promise.all(underWay)
    },
  }
}

const TOO_MANY = errorReply({ code: 'TOO_MANY', message: `${READS_MAX} requests are under way: ask again in a moment` })
const TOO_LARGE = errorReply({ code: 'BODY_TOO_LARGE', message: `a request has at most ${READ_BODY_BYTES_MAX} bytes` })
const REPLY_TOO_LARGE = errorReply({
  code: 'REPLY_TOO_LARGE',
  message: 'the answer is larger than a message of this server may be: ask for less, or over HTTP',
})
const INTERNAL = errorReply({ code: 'INTERNAL', message: 'the node could not answer; its log says why' })

/** The reply to a request that is not too large. */
type ReplyTo = (msg: Msg, options: NatsReadsOptions) => Promise<string>

async function answer(msg: Msg, options: NatsReadsOptions, reply: ReplyTo): Promise<void> {
  const { nc } = options
  try {
    const text = msg.data.length > READ_BODY_BYTES_MAX ? TOO_LARGE : await reply(msg, options)
    respond(nc, msg, Buffer.byteLength(text) > nc.info!.max_payload ? REPLY_TOO_LARGE : text)
  } catch (error) {
    options.onFault(error)
    respond(nc, msg, INTERNAL)
  }
}

async function valuesFor(msg: Msg, { reads }: NatsReadsOptions): Promise<string> {
  const [feature, entity] = msg.subject.split('.').slice(-2) as [string, string]
  const body = parseBody(msg.data)
  return isBatch(body)
    ? read(reads, askOfBatch(feature, entity, body), batchAnswer)
    : read(reads, askOfPoint(feature, entity, body), pointAnswer)
}

async function vectorsFor(msg: Msg, { reads }: NatsReadsOptions): Promise<string> {
  const ask = askOfVectors(parseBody(msg.data))
  if (isRefusal(ask)) return errorReply(refusalAnswer(ask).error)
  return replyOf(vectorsAnswer(await reads.vectors(ask)))
}

async function attributionFor(msg: Msg, { reads }: NatsReadsOptions): Promise<string> {
  const ask = askOfMembers(parseBody(msg.data), ({ conversion, ...given }) => askOfAttribution(conversion, given))
  if (isRefusal(ask)) return errorReply(refusalAnswer(ask).error)
  return replyOf(attributionAnswer(await reads.attribution(ask)))
}

async function purchasesFor(msg: Msg, { reads, timeZoneOf }: NatsReadsOptions): Promise<string> {
  const ask = askOfMembers(parseBody(msg.data), ({ advertiser, ...given }) =>
    askOfPurchases(advertiser, given, timeZoneOf),
  )
  if (isRefusal(ask)) return errorReply(refusalAnswer(ask).error)
  return replyOf(purchasesAnswer(await reads.purchases(ask)))
}

function isBatch(body: unknown): boolean {
  return typeof body === 'object' && body !== null && 'keys' in body
}

async function read<Body>(
  reads: FeatureReads,
  ask: ReadAsk | Refusal,
  format: (outcome: ReadOutcome) => Answer<Body>,
): Promise<string> {
  if (isRefusal(ask)) return errorReply(refusalAnswer(ask).error)
  return replyOf(format(await reads.read(ask)))
}

function replyOf<Body>(said: Answer<Body>): string {
  return 'error' in said ? errorReply(said.error) : JSON.stringify(said.body)
}

function errorReply(error: ErrorBody): string {
  return JSON.stringify({ error })
}

/** Nobody can be told when the connection is gone: who asked gets no answer in time, and asks again. */
function respond(nc: NatsConnection, msg: Msg, text: string): void {
  if (!nc.isClosed() && !nc.isDraining()) msg.respond(text)
}

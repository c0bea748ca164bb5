// Answers to what is published with a reply subject, all on one subscription of a connection.
// NR1: every question ends once: with its answer, after its time, or when the connection is lost.
// NR2: an answer that comes after that is dropped.
// The client's request() does the same, but makes an error with its stack for each answer: a third of what a publish costs here.

import { createInbox, type Msg, type MsgHdrs, type NatsConnection } from 'nats'
import { LogUnavailable } from './log.ts'

/** Status of the server's answer when nobody listens to a subject. */
const NO_RESPONDERS = 503

interface Waiting {
  readonly resolve: (answer: Msg) => void
  readonly reject: (error: Error) => void
  readonly timer: NodeJS.Timeout
}

export class NatsReplies {
  readonly #nc: NatsConnection
  readonly #timeoutMs: number
  readonly #inbox = createInbox()
  /** By the last token of the reply subject. */
  readonly #waiting = new Map<string, Waiting>()
  #asked = 0

  constructor(nc: NatsConnection, timeoutMs: number) {
    this.#nc = nc
    this.#timeoutMs = timeoutMs
    nc.subscribe(`${this.#inbox}.*`, { callback: (_, msg) => this.#answered(msg) })
  }

  /** Publishes, and gives the answer. Rejects with LogUnavailable when none comes; throws what publish() throws. */
  ask(subject: string, payload: Uint8Array, headers: MsgHdrs | undefined): Promise<Msg> {
    const token = String(++this.#asked)
    this.#nc.publish(subject, payload, { reply: `${this.#inbox}.${token}`, ...(headers && { headers }) })
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => this.#take(token)?.reject(new LogUnavailable('timeout')), this.#timeoutMs)
      this.#waiting.set(token, { resolve, reject, timer })
    })
  }

  /** The connection is lost: nothing that was asked on it will be answered. */
  lost(): void {
    for (const token of [...this.#waiting.keys()]) this.#take(token)!.reject(new LogUnavailable('connection lost'))
  }

  #answered(msg: Msg): void {
    const waiting = this.#take(msg.subject.slice(this.#inbox.length + 1))
    if (waiting === undefined) return
    const isNobody = msg.data.length === 0 && msg.headers?.code === NO_RESPONDERS
    if (isNobody) waiting.reject(new LogUnavailable('no responders'))
    else waiting.resolve(msg)
  }

  /** Whoever takes one ends it. */
  #take(token: string): Waiting | undefined {
    const waiting = this.#waiting.get(token)
    if (waiting === undefined) return undefined
    this.#waiting.delete(token)
    clearTimeout(waiting.timer)
    return waiting
  }
}

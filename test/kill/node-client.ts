// Asks a node that may be killed at any moment, over HTTP and over NATS, and judges how it answers: what the read says is
// judged elsewhere (read-oracle.ts).
// NO1: no connection, no answer, and a 503 are what a kill and the start after it may come to. From a node that was open when it was
//      asked and lives on, no answer is a finding; so is every other error.

import { Agent, request } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import type { NatsConnection } from 'nats'

export type Asked = { readonly kind: 'answer'; readonly body: unknown } | { readonly kind: 'none' }

/** A process of the node, from its start to its end. */
export interface Life {
  /** It has answered over HTTP and over NATS. */
  readonly isOpen: boolean
  readonly ended: Promise<unknown>
}

export interface NodeClientOptions {
  readonly port: number
  readonly nc: NatsConnection
  readonly life: () => Life
  readonly find: (text: string) => void
}

const TIMEOUT_MS = 15_000
/** Milliseconds until the end of a process is known after it stopped answering. */
const END_MS = 5_000
/** Milliseconds until a node that gave no answer is asked again. */
const PAUSE_MS = 30
/** Milliseconds after a node's end in which an answer of it may still come. */
const LATE_MS = 100
const BODY_SHOWN = 200
const NONE: Asked = { kind: 'none' }

export class NodeClient {
  /** Answers that were refused for the time being. */
  unavailable = 0
  /** Requests that got none. */
  unanswered = 0
  readonly #o: NodeClientOptions
  readonly #agent = new Agent({ keepAlive: true })

  constructor(options: NodeClientOptions) {
    this.#o = options
  }

  close(): void {
    this.#agent.destroy()
  }

  async http(method: string, path: string, body?: string): Promise<Asked> {
    const life = this.#o.life()
    const { isOpen } = life
    const answer = await this.#exchange(method, path, body).catch((error: Error) => error)
    if (answer instanceof Error) return this.#none(life, isOpen, `${method} ${path}: ${answer.message}`)
    if (answer.status === 200) return { kind: 'answer', body: JSON.parse(answer.text) }
    if (answer.status === 503) return this.#later()
    this.#o.find(`${method} ${path}: ${answer.status} ${answer.text.slice(0, BODY_SHOWN)}`)
    return NONE
  }

  async nats(subject: string, ask: object): Promise<Asked> {
    const life = this.#o.life()
    const { isOpen } = life
    const asking = this.#o.nc
      .request(subject, JSON.stringify(ask), { timeout: TIMEOUT_MS })
      .catch((error: Error) => error)
    // NATS does not say that who had the request is gone: what a killed node had answered is here soon after.
    const gone = life.ended.then(() => sleep(LATE_MS)).then(() => new Error('it ended'))
    const message = await Promise.race([asking, gone])
    if (message instanceof Error) return this.#none(life, isOpen, `${subject}: ${message.message}`)
    const body = message.json<{ error?: { code: string } }>()
    if (body.error === undefined) return { kind: 'answer', body }
    if (body.error.code === 'UNAVAILABLE') return this.#later()
    this.#o.find(`${subject}: ${JSON.stringify(body.error)}`)
    return NONE
  }

  async #later(): Promise<Asked> {
    this.unavailable++
    await sleep(PAUSE_MS)
    return NONE
  }

  /** NO1. */
  async #none(life: Life, wasOpen: boolean, what: string): Promise<Asked> {
    this.unanswered++
    if (wasOpen) {
      const hasEnded = await Promise.race([life.ended.then(() => true), sleep(END_MS).then(() => false)])
      if (!hasEnded) this.#o.find(`no answer of a node that lives: ${what}`)
    }
    await sleep(PAUSE_MS)
    return NONE
  }

  #exchange(method: string, path: string, body: string | undefined): Promise<{ status: number; text: string }> {
    return new Promise((resolve, reject) => {
      const headers = body === undefined ? {} : { 'content-type': 'application/json' }
      const { port } = this.#o
      const options = { host: '127.0.0.1', port, method, path, headers, agent: this.#agent, timeout: TIMEOUT_MS }
      const asking = request(options, (response) => {
        const parts: Buffer[] = []
        response.on('data', (part: Buffer) => parts.push(part))
        response.on('error', reject)
        response.on('end', () => resolve({ status: response.statusCode!, text: Buffer.concat(parts).toString() }))
      })
      asking.on('timeout', () => asking.destroy(new Error('no answer in time')))
      asking.on('error', reject)
      asking.end(body)
    })
  }
}

// How much one client may ask, and how much all of them together: every limit of the HTTP server with its reason.
// HL1: a client is its token, else its address. What one client does too much of costs that client a 429, nobody else.
// HL2: what is remembered of clients is bounded; who has nothing under way and was longest away is forgotten first.

import { HttpError } from './errors.ts'

export interface HttpLimits {
  /** Bytes of a body: some thousand events, and not so much that parsing it holds up others for long. */
  readonly bodyBytes: number
  /** Bytes of all headers: Node's own default, far above what browsers and proxies send. Bounds their number as well. */
  readonly headerBytes: number
  /** Milliseconds for the headers: a client that needs longer is keeping a connection for itself. */
  readonly headersMs: number
  /** Milliseconds for the whole request: 1 MiB on a slow mobile connection. */
  readonly requestMs: number
  /** Milliseconds that an unused connection stays: longer than a page view apart, shorter than proxies keep theirs. */
  readonly keepAliveMs: number
  /** Milliseconds without a byte in either direction: above the longest wait of a read, below a client that never reads. */
  readonly silenceMs: number
  /** Connections at once: each may hold a body, so this many hold 1 GiB at the very worst. */
  readonly connections: number
  /** Of these those of one address: half, so that nobody alone keeps all others out. */
  readonly connectionsOfAddress: number
  /** Requests of one client under way. */
  readonly concurrent: number
  /** Requests of one client a second, also the burst: above what one core serves, so that only floods meet it. */
  readonly perSecond: number
  /** Failed tokens of one address a minute, also the burst: a person's mistakes, no machine's. */
  readonly failuresPerMinute: number
  /** Clients that are remembered: a few hundred bytes each. */
  readonly clients: number
  /** Milliseconds that requests under way have when the server closes: of the 5 s that a node has to end, tasks need the rest. */
  readonly closeMs: number
}

export const HTTP_LIMITS: HttpLimits = {
  bodyBytes: 1024 * 1024,
  headerBytes: 16 * 1024,
  headersMs: 10_000,
  requestMs: 30_000,
  keepAliveMs: 30_000,
  silenceMs: 60_000,
  connections: 1_024,
  connectionsOfAddress: 512,
  concurrent: 256,
  perSecond: 20_000,
  failuresPerMinute: 20,
  clients: 10_000,
  closeMs: 3_000,
}

/** Milliseconds between looks for requests that take too long: a slow client is cut off at most this much later. */
export const TIMEOUT_LOOK_MS = 1_000

interface Client {
  tokens: number
  refilledMs: number
  underWay: number
}

/** Token buckets by client: `take` uses up one. Time is given, milliseconds, and never goes back. */
class Buckets {
  readonly #burst: number
  readonly #perMs: number
  readonly #clientsMax: number
  /** Least recently seen first. */
  readonly #clients = new Map<string, Client>()

  constructor(burst: number, perMs: number, clientsMax: number) {
    this.#burst = burst
    this.#perMs = perMs
    this.#clientsMax = clientsMax
  }

  get size(): number {
    return this.#clients.size
  }

  /** The client with its bucket refilled, as the one seen last. */
  of(key: string, nowMs: number): Client {
    const known = this.#clients.get(key)
    const client = known ?? { tokens: this.#burst, refilledMs: nowMs, underWay: 0 }
    client.tokens = Math.min(this.#burst, client.tokens + (nowMs - client.refilledMs) * this.#perMs)
    client.refilledMs = nowMs
    this.#clients.delete(key)
    this.#clients.set(key, client)
    if (known === undefined && this.#clients.size > this.#clientsMax) this.#forgetOne()
    return client
  }

  /** Seconds until a bucket has a whole token again, at least one. */
  waitS({ tokens }: Client): number {
    return Math.max(1, Math.ceil((1 - tokens) / this.#perMs / 1_000))
  }

  /** The longest away that has nothing under way; with connections bounded below the clients there is one. */
  #forgetOne(): void {
    for (const [key, { underWay }] of this.#clients) {
      if (underWay > 0) continue
      this.#clients.delete(key)
      return
    }
  }
}

/** Connections of each address. */
export class ConnectionLimit {
  readonly #max: number
  /** By address, of those that have any: bounded as connections are. */
  readonly #open = new Map<string, number>()

  constructor({ connectionsOfAddress }: Pick<HttpLimits, 'connectionsOfAddress'>) {
    this.#max = connectionsOfAddress
  }

  /** Lets a connection in: returns what must be called once when it is over. null: the address has as many as it may. */
  enter(address: string): (() => void) | null {
    const count = this.#open.get(address) ?? 0
    if (count >= this.#max) return null
    this.#open.set(address, count + 1)
    return () => {
      const left = this.#open.get(address)! - 1
      if (left === 0) this.#open.delete(address)
      else this.#open.set(address, left)
    }
  }
}

/** Requests of each client: how many under way, how many a second. */
export class RequestLimit {
  readonly #concurrent: number
  readonly #buckets: Buckets

  constructor({ concurrent, perSecond, clients }: Pick<HttpLimits, 'concurrent' | 'perSecond' | 'clients'>) {
    this.#concurrent = concurrent
    this.#buckets = new Buckets(perSecond, perSecond / 1_000, clients)
  }

  /** Clients that are remembered. */
  get size(): number {
    return this.#buckets.size
  }

  /** Lets a request in, or throws 429. Returns what must be called once when it is over. */
  enter(key: string, nowMs: number): () => void {
    const client = this.#buckets.of(key, nowMs)
    if (client.underWay >= this.#concurrent) throw tooMany('too many requests at once', 1)
    if (client.tokens < 1) throw tooMany('too many requests', this.#buckets.waitS(client))
    client.tokens--
    client.underWay++
    return () => {
      client.underWay--
    }
  }
}

/** Failed tokens of each address. A valid token passes whatever others at its address did (auth.ts). */
export class FailureLimit {
  readonly #buckets: Buckets

  constructor({ failuresPerMinute, clients }: Pick<HttpLimits, 'failuresPerMinute' | 'clients'>) {
    this.#buckets = new Buckets(failuresPerMinute, failuresPerMinute / 60_000, clients)
  }

  /** Counts a failure; throws 429 where there were too many. */
  failed(address: string, nowMs: number): void {
    this.refuseSpent(address, nowMs)
    this.#buckets.of(address, nowMs).tokens--
  }

  /** Throws 429 where there were too many failures already. */
  refuseSpent(address: string, nowMs: number): void {
    const client = this.#buckets.of(address, nowMs)
    if (client.tokens < 1) throw tooMany('too many requests without a valid token', this.#buckets.waitS(client))
  }
}

const tooMany = (message: string, retryAfterS: number): HttpError =>
  new HttpError({ status: 429, code: 'TOO_MANY_REQUESTS', message, retryAfterS })

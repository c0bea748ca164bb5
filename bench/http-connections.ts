// A client of HTTP/1.1 that costs as little as can be, for a load generator: requests are bytes that were made before, answers
// are a status and a body. With a client of a library the generator would measure that.
// HC1: one request at a time on a connection, as browsers and libraries do; what finds none free waits its turn in order.
// HC2: what waits is bounded: a node that falls behind is seen as refusals, not as memory of the generator.
// Only answers with a Content-Length are understood: the node gives no others to what is asked here.

import { connect, type Socket } from 'node:net'

/** Requests that wait for a connection: seconds of a rate that the node cannot keep. */
export const WAITING_MAX = 20_000

export interface HttpAnswer {
  readonly status: number
  readonly body: Buffer
}

type OnAnswer = (answer: HttpAnswer) => void

interface Waiting {
  readonly request: Buffer
  readonly onAnswer: OnAnswer
}

/** The bytes of a request; `body` undefined: a GET. */
export function requestBytes(path: string, body?: string): Buffer {
  const head = 'HTTP/1.1\r\nHost: bench\r\n'
  if (body === undefined) return Buffer.from(`GET ${path} ${head}\r\n`)
  const length = Buffer.byteLength(body)
  return Buffer.from(`POST ${path} ${head}Content-Type: application/json\r\nContent-Length: ${length}\r\n\r\n${body}`)
}

/**
 * Connections to one server, each opened when it is first needed: the node cuts off those on which nothing is asked. One that
 * ends before its answer ends the process: what that measured would be of something else.
 */
export class HttpConnections {
  readonly #url: string
  readonly #max: number
  readonly #open = new Set<Connection>()
  readonly #idle: Connection[] = []
  /** From #next on. */
  #waiting: Waiting[] = []
  #next = 0

  constructor(url: string, max: number) {
    this.#url = url
    this.#max = max
  }

  /** Sends when a connection is free; false: too many wait already (HC2), and nothing was done. */
  send(request: Buffer, onAnswer: OnAnswer): boolean {
    const connection = this.#idle.pop() ?? this.#another()
    if (connection !== null) this.#sendOn(connection, request, onAnswer)
    else if (this.#waiting.length - this.#next >= WAITING_MAX) return false
    else this.#waiting.push({ request, onAnswer })
    return true
  }

  /** The same for who waits for the answer. Throws where too many wait. */
  ask(request: Buffer): Promise<HttpAnswer> {
    return new Promise((resolve, reject) => {
      if (!this.send(request, resolve)) reject(new Error(`${WAITING_MAX} requests wait`))
    })
  }

  /** What is under way is not answered any more. */
  close(): void {
    for (const connection of this.#open) connection.close()
  }

  #another(): Connection | null {
    if (this.#open.size === this.#max) return null
    const connection = new Connection(this.#url, () => {
      this.#open.delete(connection)
      const place = this.#idle.indexOf(connection)
      if (place !== -1) this.#idle.splice(place, 1)
    })
    this.#open.add(connection)
    return connection
  }

  #sendOn(connection: Connection, request: Buffer, onAnswer: OnAnswer): void {
    connection.send(request, (answer) => {
      // Before whoever hears the answer: what that sends next comes after what waits.
      this.#release(connection)
      onAnswer(answer)
    })
  }

  #release(connection: Connection): void {
    const next = this.#waiting[this.#next]
    if (next === undefined) {
      this.#waiting = []
      this.#next = 0
      this.#idle.push(connection)
    } else {
      this.#next++
      this.#sendOn(connection, next.request, next.onAnswer)
    }
  }
}

const HEAD_END = '\r\n\r\n'
/** Of `HTTP/1.1 200 OK`. */
const [STATUS_FROM, STATUS_TO] = [9, 12]

class Connection {
  readonly #socket: Socket
  #onAnswer: OnAnswer | null = null
  #heard: Buffer | null = null

  /** `onUnused`: the node has ended it while nothing was asked. */
  constructor(url: string, onUnused: () => void) {
    const { hostname, port } = new URL(url)
    this.#socket = connect({ port: Number(port), host: hostname, noDelay: true })
    this.#socket.on('data', (bytes) => this.#hear(bytes))
    this.#socket.on('close', () => {
      if (this.#onAnswer !== null) throw new Error('the node ended a connection before its answer')
      onUnused()
    })
  }

  send(request: Buffer, onAnswer: OnAnswer): void {
    this.#onAnswer = onAnswer
    this.#socket.write(request)
  }

  /** Whatever was asked is not answered any more. */
  close(): void {
    this.#onAnswer = null
    this.#socket.destroy()
  }

  #hear(bytes: Buffer): void {
    const heard = this.#heard === null ? bytes : Buffer.concat([this.#heard, bytes])
    const answer = answerIn(heard)
    this.#heard = answer === null ? heard : null
    if (answer === null) return
    const onAnswer = this.#onAnswer!
    this.#onAnswer = null
    onAnswer(answer)
  }
}

/** null: not all of it is there. */
function answerIn(heard: Buffer): HttpAnswer | null {
  const headEnd = heard.indexOf(HEAD_END)
  if (headEnd === -1) return null
  const head = heard.toString('latin1', 0, headEnd)
  const length = /\r\ncontent-length: (\d+)/i.exec(head)?.[1]
  if (length === undefined) throw new Error(`an answer without its length: ${head}`)
  const from = headEnd + HEAD_END.length
  if (heard.length < from + Number(length)) return null
  return { status: Number(head.slice(STATUS_FROM, STATUS_TO)), body: heard.subarray(from) }
}

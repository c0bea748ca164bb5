// How the generated client asks: one request, bounded in time, and an error that says what the node said.
// CT1: an answer that is no success is an ApiError with the node's code; no answer at all is a NoAnswer. Nothing else is thrown.
// CT2: a redirection is not followed: a token goes to the address that was given, and nowhere else.
// What can be asked, and how answers look, is in client/holdfast.ts, which is generated.

export interface ClientOptions {
  /** Of the node: `http://127.0.0.1:8080`. */
  readonly url: string
  readonly token?: string | undefined
  /** Milliseconds until a request without an answer is given up. Default 15,000: longer than the longest wait. */
  readonly timeoutMs?: number
}

export interface Ask {
  readonly method: string
  /** With its parameters in it, encoded. */
  readonly path: string
  readonly query?: object
  readonly body?: unknown
}

const TIMEOUT_MS = 15_000

/** The node answered, and it is no success. */
export class ApiError extends Error {
  readonly status: number
  /** Stable, in capitals; NO_CODE where the answer was none of Holdfast's. */
  readonly code: string
  readonly field: string | undefined
  /** All that the error says: held_from, reached. */
  readonly details: Readonly<Record<string, unknown>>
  readonly requestId: string | undefined
  /** Seconds, where the node says when to ask again. */
  readonly retryAfterS: number | undefined

  constructor(status: number, body: unknown, retryAfter: string | null) {
    const { error = {}, request_id } = (body ?? {}) as { error?: Record<string, unknown>; request_id?: string }
    super(String(error.message ?? `the answer has status ${status} and is none of Holdfast's`))
    this.name = 'ApiError'
    this.status = status
    this.code = String(error.code ?? 'NO_CODE')
    this.field = error.field as string | undefined
    this.details = error
    this.requestId = request_id
    this.retryAfterS = retryAfter === null ? undefined : Number(retryAfter)
  }
}

/** Nobody answered, or not in time, or not in JSON. */
export class NoAnswer extends Error {
  constructor(url: string, cause: unknown) {
    super(`no answer from ${url}: ${reasonOf(cause)}`, { cause })
    this.name = 'NoAnswer'
  }
}

export class Transport {
  readonly #url: string
  readonly #headers: Readonly<Record<string, string>>
  readonly #timeoutMs: number

  /** Throws TypeError where the URL is none. */
  constructor({ url, token, timeoutMs = TIMEOUT_MS }: ClientOptions) {
    this.#url = new URL(url).href.replace(/\/+$/, '')
    this.#headers = token === undefined ? {} : { authorization: `Bearer ${token}` }
    this.#timeoutMs = timeoutMs
  }

  /** The parsed answer; undefined where it is empty. */
  async ask({ method, path, query = {}, body }: Ask): Promise<unknown> {
    const { status, ok, text, retryAfter } = await this.#fetch(method, `${path}${queryText(query)}`, body)
    let answer: unknown
    try {
      answer = text === '' ? undefined : JSON.parse(text)
    } catch (error) {
      if (ok) throw new NoAnswer(this.#url, error)
    }
    if (!ok) throw new ApiError(status, answer, retryAfter)
    return answer
  }

  async #fetch(method: string, path: string, body: unknown) {
    try {
      const response = await fetch(`${this.#url}${path}`, {
        method,
        headers: body === undefined ? this.#headers : { ...this.#headers, 'content-type': 'application/json' },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
        redirect: 'error',
        signal: AbortSignal.timeout(this.#timeoutMs),
      })
      const { status, ok, headers } = response
      return { status, ok, text: await response.text(), retryAfter: headers.get('retry-after') }
    } catch (error) {
      throw new NoAnswer(this.#url, error)
    }
  }
}

/** A value as one segment of a path. Throws where URLs have no spelling for it. */
export function segment(value: string): string {
  if (value === '.' || value === '..')
    throw new TypeError('a URL takes "." and ".." for steps: read such a key with the request for several keys')
  return encodeURIComponent(value)
}

function queryText(query: object): string {
  const parameters = new URLSearchParams()
  for (const [name, value] of Object.entries(query)) if (value !== undefined) parameters.set(name, String(value))
  return parameters.size === 0 ? '' : `?${parameters}`
}

/** fetch() says only that it failed; why is in its cause. */
function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const cause = error.cause as { code?: string; message?: string } | undefined
  return cause?.code ?? cause?.message ?? error.message
}

// Which pages may read our answers from another origin: those of a list, compared as a whole.
// CO1: an origin that is not on the list gets no header, nothing is reflected, and credentials are never allowed: a page
//      sends a token, in the header, or has none.
// CO2: a preflight is answered before any token is asked for: browsers send none with it. Errors may be read like
//      values: a page has to see the 401 and the 429.
// A pixel and a beacon need none of this to be sent; the page's script reads from it whether to send again.

import type { FastifyReply, FastifyRequest } from 'fastify'
import { HttpError } from './errors.ts'

/** Seconds that a browser may remember a preflight: the most that Chromium does. */
const PREFLIGHT_MAX_AGE_S = 7_200
const HEADERS = 'authorization, content-type'
/** What a page may read besides the body. */
const EXPOSED = 'holdfast-error, retry-after'

/**
 * Origins as browsers write them: `https://shop.example`, without a path. Throws a RangeError for anything else, `*` and `null`
 * among them.
 */
export function allowedOrigins(origins: readonly string[]): ReadonlySet<string> {
  for (const origin of origins) {
    if (URL.parse(origin)?.origin !== origin || !/^https?:[^*]+$/.test(origin))
      throw new RangeError(`no origin: ${origin}`)
  }
  return new Set(origins)
}

export class Cors {
  readonly #allowed: () => ReadonlySet<string>

  /** `allowed`: those of the moment. */
  constructor(allowed: () => ReadonlySet<string>) {
    this.#allowed = allowed
  }

  /** Lets the page read the answer, whatever it will be, if it may. */
  mark(request: FastifyRequest, reply: FastifyReply): void {
    // Also without an origin: a cache must not give one page the answer that was for another.
    if (this.#allowed().size > 0) reply.header('vary', 'Origin')
    if (!this.#isAllowed(request)) return
    reply.header('access-control-allow-origin', request.headers.origin)
    reply.header('access-control-expose-headers', EXPOSED)
  }

  /** Answers a preflight to a path that has these methods; throws 403 where the page may not ask. */
  answerPreflight(request: FastifyRequest, reply: FastifyReply, methods: readonly string[]): void {
    if (!this.#isAllowed(request))
      throw new HttpError({ status: 403, code: 'ORIGIN', message: 'pages of this origin may not read here' })
    reply.header('access-control-allow-methods', methods.join(', '))
    reply.header('access-control-allow-headers', HEADERS)
    reply.header('access-control-max-age', String(PREFLIGHT_MAX_AGE_S))
    reply.code(204).send()
  }

  #isAllowed({ headers: { origin } }: FastifyRequest): boolean {
    return origin !== undefined && this.#allowed().has(origin)
  }
}

/** Whether a browser asks what a page may ask. */
export function isPreflight({ method, headers }: FastifyRequest): boolean {
  return method === 'OPTIONS' && headers.origin !== undefined && 'access-control-request-method' in headers
}

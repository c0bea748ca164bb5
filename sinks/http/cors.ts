// Which pages may read our answers from another origin: those of a list, compared as a whole.
// CO1: an origin that is not on the list gets no header, nothing is reflected, and credentials are never allowed.
// CO2: a preflight ends here, before any token is asked for: browsers send none with it.
// A pixel and a beacon need none of this to be sent; the page's script reads from it whether to send again.

import type { FastifyReply, FastifyRequest } from 'fastify'

/** Seconds that a browser may remember a preflight: the most that Chromium does. */
const PREFLIGHT_MAX_AGE_S = 7_200
const METHODS = 'GET, POST'
const HEADERS = 'authorization, content-type'
/** What a page may read besides the body. */
const EXPOSED = 'holdfast-error, retry-after'

/**
 * An onRequest hook, for a context of routes or a whole app. Origins are as browsers write them: `https://shop.example`, without a path.
 * Throws a RangeError for anything else, `*` and `null` among them.
 */
export function corsHook(
  origins: readonly string[],
): (request: FastifyRequest, reply: FastifyReply, done: () => void) => void {
  const allowed = new Set(origins)
  for (const origin of allowed) {
    if (URL.parse(origin)?.origin !== origin || !/^https?:[^*]+$/.test(origin))
      throw new RangeError(`no origin: ${origin}`)
  }
  return (request, reply, done) => {
    const { origin } = request.headers
    // Also without an origin: a cache must not give one page the answer that was for another.
    if (allowed.size > 0) reply.header('vary', 'Origin')
    const isAllowed = origin !== undefined && allowed.has(origin)
    if (isAllowed) {
      reply.header('access-control-allow-origin', origin)
      reply.header('access-control-expose-headers', EXPOSED)
    }
    if (!isPreflight(request)) return done()
    if (isAllowed) {
      reply.header('access-control-allow-methods', METHODS)
      reply.header('access-control-allow-headers', HEADERS)
      reply.header('access-control-max-age', String(PREFLIGHT_MAX_AGE_S))
    }
    reply.code(isAllowed ? 204 : 403).send()
  }
}

function isPreflight({ method, headers }: FastifyRequest): boolean {
  return method === 'OPTIONS' && headers.origin !== undefined && 'access-control-request-method' in headers
}

// Whether a call of the Conversions API may write: the token of its header, else the access_token of its query or body, as
// Meta's clients send it. It comes after the body, so the route is public for the server's own door and asks here.
// The answers are those of the door (auth.ts, AU2), and nothing of the token goes anywhere else (AU3).

import type { FastifyRequest } from 'fastify'
import { authorize, type TokenHolders, unauthorized } from './auth.ts'
import { FailureLimit, HTTP_LIMITS } from './limits.ts'

/** Throws 401, 403 or 429 where the caller may not write. */
export type Admit = (request: FastifyRequest, accessToken: string | null) => void

/** Admits holders of a token with the scope `write`; everybody where there are no tokens (the server is on loopback then). */
export function admitWriters(tokens: TokenHolders | null, namespace: string): Admit {
  const failures = new FailureLimit(HTTP_LIMITS)
  return (request, accessToken) => {
    if (tokens === null) return
    const sent = accessToken === null ? undefined : `Bearer ${accessToken}`
    const holder = tokens.holderOf(request.headers.authorization ?? sent, Date.now())
    if (holder === null) {
      failures.failed(request.ip, performance.now())
      throw unauthorized()
    }
    authorize(holder, 'write', namespace)
  }
}

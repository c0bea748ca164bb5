// Whether a request may do what it asks for: its token, and how often its address failed with one. One for the whole server.
// AM1: failures are counted in one limit, wherever the token stood. A valid token passes whatever others at its address did.
// AM2: a token in the header or in the query is judged before a byte of the body is read. For one in the body the body must
//      be read, which an address that has used up its failures gets no more: there, a token belongs into the header.
// The answers are those of auth.ts (AU2), and nothing of the token goes anywhere else (AU3).

import type { FastifyRequest } from 'fastify'
import { addressOf } from './addresses.ts'
import type { Scope } from './app.ts'
import { authorize, type Holder, type TokenHolders, unauthorized } from './auth.ts'
import { FailureLimit, type HttpLimits } from './limits.ts'

export class Admission {
  readonly #tokens: TokenHolders | null
  readonly #namespace: string
  readonly #failures: FailureLimit

  /** `tokens`: null lets everybody do everything; the server is on loopback then. */
  constructor(tokens: TokenHolders | null, namespace: string, limits: HttpLimits) {
    this.#tokens = tokens
    this.#namespace = namespace
    this.#failures = new FailureLimit(limits)
  }

  /**
   * Who asks, by the `Authorization` header, else by the token that stands elsewhere in the request. null: there are no
   * tokens here. Throws 401, 403 or 429.
   */
  admit(request: FastifyRequest, scope: Scope, elsewhere: string | null = null): Holder | null {
    if (this.#tokens === null) return null
    const sent = request.headers.authorization ?? (elsewhere === null ? undefined : `Bearer ${elsewhere}`)
    const holder = this.#tokens.holderOf(sent, Date.now())
    if (holder === null) {
      this.#failures.failed(addressOf(request), performance.now())
      throw unauthorized()
    }
    authorize(holder, scope, this.#namespace)
    return holder
  }

  /** Throws 429 where an address has used up its failures: its bodies are not read to look for a token. */
  refuseSpent(request: FastifyRequest): void {
    if (this.#tokens !== null) this.#failures.refuseSpent(addressOf(request), performance.now())
  }
}

// What a file of routes needs of the HTTP server: the type of the app, and what every route must say of itself.
// HA1: a route without a scope, a summary or the answers it gives is refused when it is registered (server.ts), so the
//      OpenAPI document is whole and nothing is open by oversight.
// Each file of routes exports a function `(app, deps) => void`; server.ts runs each in a context of its own, so that the
// content types one of them parses are not parsed for the others.

import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import type {
  FastifyBaseLogger,
  FastifyInstance,
  RawReplyDefaultExpression,
  RawRequestDefaultExpression,
  RawServerDefault,
} from 'fastify'

import type { Admission } from './admission.ts'

export const SCOPES = ['read', 'write', 'erase', 'metrics'] as const
/** What a token may do. */
export type Scope = (typeof SCOPES)[number]
/** What a route asks for; `public`: no token. */
export type RouteScope = Scope | 'public'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Required: `config: { scope: 'read' }`. */
    scope?: RouteScope
  }
}

export type App = FastifyInstance<
  RawServerDefault,
  RawRequestDefaultExpression,
  RawReplyDefaultExpression,
  FastifyBaseLogger,
  TypeBoxTypeProvider
>

/**
 * Registers routes; what they need besides the app is bound before: `(app) => ingestRoutes(app, { intake, metrics })`.
 * `admission`: the server's, for routes that find a token elsewhere than in the header.
 */
export type Routes = (app: App, admission: Admission) => void

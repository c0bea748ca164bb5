// Whether the process lives, whether it can be used, and its metrics.
// /healthz says nothing but that somebody answers: a node that waits for its broker must not be killed for it.

import { Type } from '@fastify/type-provider-typebox'
import type { App } from './app.ts'
import { RETRY_AFTER_S } from './errors.ts'
import type { HttpMetrics } from './metrics.ts'

export interface NodeStatus {
  readonly ready: boolean
  /** What is waited for, for people; empty where it is ready. */
  readonly waiting: readonly string[]
}

export interface HealthDeps {
  readonly status: () => NodeStatus
  readonly metrics: HttpMetrics
}

const Alive = Type.Object({ status: Type.Literal('alive') }, { description: 'The process answers.' })
const readiness = (ready: boolean, description: string) =>
  Type.Object({ ready: Type.Literal(ready), waiting: Type.Array(Type.String()) }, { description })

export function healthRoutes(app: App, { status, metrics }: HealthDeps): void {
  app.get(
    '/healthz',
    { config: { scope: 'public' }, schema: { summary: 'Whether the process is alive', response: { 200: Alive } } },
    () => ({ status: 'alive' as const }),
  )
  app.get(
    '/readyz',
    {
      config: { scope: 'public' },
      schema: {
        summary: 'Whether the node can be used, else what it waits for',
        response: {
          200: readiness(true, 'It can be used.'),
          503: readiness(false, 'It waits for what `waiting` names.'),
        },
      },
    },
    async (_request, reply) => {
      const { ready, waiting } = status()
      if (!ready) reply.code(503).header('retry-after', String(RETRY_AFTER_S))
      return { ready, waiting: [...waiting] }
    },
  )
  app.get(
    '/metrics',
    {
      config: { scope: 'metrics' },
      schema: {
        summary: 'Metrics in the text format of Prometheus',
        produces: ['text/plain'],
        response: { 200: Type.String({ description: 'The metrics.' }) },
      },
    },
    async (_request, reply) => reply.type(metrics.registry.contentType).send(await metrics.text()),
  )
}

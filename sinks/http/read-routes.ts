// The read API over HTTP: values of one key and of many, vectors of touches, attributions of conversions, the list of features,
// pinned snapshots.
// RR1: a key is one segment of the path, decoded once; a body is strict UTF-8, so that no two keys become one on the way.
// RR2: the schemas of a route are its document and, in sinks/read-ask.ts, its check: the same for HTTP and NATS.
// What an outcome is answered with is in sinks/read-format.ts; how a position is waited for in topology/host-reads.ts.

import type { FastifyReply } from 'fastify'
import { type TSchema, Type } from 'typebox'
import { assert } from '../../log/errors.ts'
import { ID_BYTES_MAX } from '../../operators/event.ts'
import { attributionAnswer } from '../attribution-format.ts'
import { AttributionAnswer, AttributionOptions, ConversionParams } from '../attribution-schemas.ts'
import type { FeatureReads, ReadAsk, ReadOutcome } from '../feature-reads.ts'
import {
  askOfAttribution,
  askOfBatch,
  askOfQuery,
  askOfVectors,
  isRefusal,
  parseBody,
  type Refusal,
  topOfQuery,
  withNumbers,
} from '../read-ask.ts'
import {
  type Answer,
  batchAnswer,
  explainAnswer,
  type Failure,
  listedFeature,
  pointAnswer,
  refusalAnswer,
  TOO_MANY_PINS,
  topAnswer,
  UNKNOWN_SNAPSHOT,
  vectorsAnswer,
} from '../read-format.ts'
import {
  BatchAnswer,
  BatchBody,
  ErrorAnswer,
  ExplainAnswer,
  FeatureList,
  FeatureParams,
  PinAnswer,
  PinParams,
  PointAnswer,
  PointParams,
  READ_BODY_BYTES_MAX,
  ReadOptions,
  TopAnswer,
  TopQuery,
} from '../read-schemas.ts'
import { VectorsAnswer, VectorsBody } from '../vector-schemas.ts'
import type { App } from './app.ts'

/** Characters of a path segment that the router must let through: a key of which every byte is encoded. */
export const KEY_SEGMENT_CHARS = 3 * ID_BYTES_MAX

export interface ReadDeps {
  readonly reads: FeatureReads
}

export const READ = { scope: 'read' } as const

export const failures = (...statuses: number[]): Record<number, TSchema> =>
  Object.fromEntries(statuses.map((status) => [status, ErrorAnswer]))

/** RR2: checked once, by the handler, and not before it with the rules of the server, which bend texts into numbers. */
export const checkedInHandler = () => () => true

/** Registers the routes. `app` must be a context of their own: it parses JSON in the way of RR1. */
export function readRoutes(app: App, deps: ReadDeps): void {
  assert(
    (app.initialConfig.routerOptions?.maxParamLength ?? 0) >= KEY_SEGMENT_CHARS,
    'the router lets every key through that may be one',
  )
  app.removeContentTypeParser('application/json')
  const asBytes = { parseAs: 'buffer', bodyLimit: READ_BODY_BYTES_MAX } as const
  app.addContentTypeParser<Buffer>('application/json', asBytes, (_, bytes, done) => done(null, parseBody(bytes)))
  pointRoute(app, deps)
  explainRoute(app, deps)
  batchRoute(app, deps)
  topRoute(app, deps)
  attributionRoute(app, deps)
  vectorsRoute(app, deps)
  listRoute(app, deps)
  pinRoutes(app, deps)
}

function pointRoute(app: App, { reads }: ReadDeps): void {
  const schema = {
    operationId: 'readFeature',
    summary: 'The value of a feature for one key',
    params: PointParams,
    querystring: ReadOptions,
    response: { 200: PointAnswer, ...failures(400, 404, 410, 422, 429, 503, 504) },
  }
  app.get<{ Params: { feature: string; entity: string; key: string }; Querystring: Record<string, unknown> }>(
    '/v1/features/:feature/:entity/:key',
    { schema, config: READ, validatorCompiler: checkedInHandler },
    async ({ params: { feature, entity, key }, query }, reply) => {
      return answer(reply, reads, askOfQuery(feature, entity, key, query), pointAnswer)
    },
  )
}

function explainRoute(app: App, { reads }: ReadDeps): void {
  const schema = {
    operationId: 'explainFeature',
    summary: 'What the value of a feature for one key is made of',
    params: PointParams,
    querystring: ReadOptions,
    response: { 200: ExplainAnswer, ...failures(400, 404, 410, 422, 429, 503, 504) },
  }
  app.get<{ Params: { feature: string; entity: string; key: string }; Querystring: Record<string, unknown> }>(
    '/v1/features/:feature/:entity/:key/explain',
    { schema, config: READ, validatorCompiler: checkedInHandler },
    async ({ params: { feature, entity, key }, query }, reply) => {
      const ask = askOfQuery(feature, entity, key, query)
      return isRefusal(ask) ? fail(reply, refusalAnswer(ask)) : tell(reply, explainAnswer(await reads.explain(ask)))
    },
  )
}

function batchRoute(app: App, { reads }: ReadDeps): void {
  const schema = {
    operationId: 'readFeatures',
    summary: 'The values of a feature for up to 1,000 keys, in their order',
    params: FeatureParams,
    body: BatchBody,
    response: { 200: BatchAnswer, ...failures(400, 404, 410, 413, 422, 429, 503, 504) },
  }
  app.post<{ Params: { feature: string; entity: string }; Body: unknown }>(
    '/v1/features/:feature/:entity',
    { schema, config: READ, bodyLimit: READ_BODY_BYTES_MAX, validatorCompiler: checkedInHandler },
    async ({ params: { feature, entity }, body }, reply) => {
      return answer(reply, reads, askOfBatch(feature, entity, body), batchAnswer)
    },
  )
}

function topRoute(app: App, { reads }: ReadDeps): void {
  const schema = {
    operationId: 'topFeatures',
    summary: 'The keys with the largest values of a feature whose values are numbers over a window',
    params: FeatureParams,
    querystring: TopQuery,
    response: { 200: TopAnswer, ...failures(400, 404, 410, 422, 503) },
  }
  app.get<{ Params: { feature: string; entity: string }; Querystring: Record<string, unknown> }>(
    '/v1/features/:feature/:entity',
    { schema, config: READ, validatorCompiler: checkedInHandler },
    async ({ params: { feature, entity }, query }, reply) => {
      const ask = topOfQuery(query)
      if (isRefusal(ask)) return fail(reply, refusalAnswer(ask))
      return tell(reply, topAnswer(await reads.top(feature, entity, ask.top)))
    },
  )
}

function attributionRoute(app: App, { reads }: ReadDeps): void {
  const schema = {
    operationId: 'readAttribution',
    summary: 'Who is credited with a conversion, and why: its touches, and what each window and model says of them',
    params: ConversionParams,
    querystring: AttributionOptions,
    response: { 200: AttributionAnswer, ...failures(400, 404, 410, 429, 503, 504) },
  }
  app.get<{ Params: { conversion: string }; Querystring: Record<string, unknown> }>(
    '/v1/attributions/:conversion',
    { schema, config: READ, validatorCompiler: checkedInHandler },
    async ({ params: { conversion }, query }, reply) => {
      const ask = askOfAttribution(conversion, withNumbers(query))
      if (isRefusal(ask)) return fail(reply, refusalAnswer(ask))
      return tell(reply, attributionAnswer(await reads.attribution(ask)))
    },
  )
}

function vectorsRoute(app: App, { reads }: ReadDeps): void {
  const schema = {
    operationId: 'readVectors',
    summary: 'The feature vectors of touches: what a model gets',
    body: VectorsBody,
    response: { 200: VectorsAnswer, ...failures(400, 404, 410, 413, 422, 429, 503, 504) },
  }
  app.post<{ Body: unknown }>(
    '/v1/vectors',
    { schema, config: READ, bodyLimit: READ_BODY_BYTES_MAX, validatorCompiler: checkedInHandler },
    async ({ body }, reply) => {
      const ask = askOfVectors(body)
      if (isRefusal(ask)) return fail(reply, refusalAnswer(ask))
      return tell(reply, vectorsAnswer(await reads.vectors(ask)))
    },
  )
}

function listRoute(app: App, { reads }: ReadDeps): void {
  const schema = { operationId: 'listFeatures', summary: 'The features of the node', response: { 200: FeatureList } }
  app.get('/v1/features', { schema, config: READ }, async () => ({ features: reads.features.map(listedFeature) }))
}

function pinRoutes(app: App, { reads }: ReadDeps): void {
  const pinSchema = {
    operationId: 'pinSnapshot',
    summary: 'Keeps the newest snapshot of every task for a bounded time',
    response: { 201: PinAnswer, ...failures(429) },
  }
  app.post('/v1/snapshots', { schema: pinSchema, config: READ }, async (_, reply) => {
    const pin = await reads.pin()
    if (pin === null) return fail(reply, TOO_MANY_PINS)
    return reply.code(201).send({ snapshot: pin.snapshot, expires_in_ms: pin.forMs })
  })

  const unpinSchema = {
    operationId: 'unpinSnapshot',
    summary: 'Gives a pinned snapshot back',
    params: PinParams,
    response: { 204: Type.Null({ description: 'It is gone.' }), ...failures(404) },
  }
  app.delete<{ Params: { id: string } }>(
    '/v1/snapshots/:id',
    { schema: unpinSchema, config: READ },
    async (request, reply) => {
      if (!(await reads.unpin(request.params.id))) return fail(reply, UNKNOWN_SNAPSHOT)
      return reply.code(204).send()
    },
  )
}

async function answer<Body>(
  reply: FastifyReply,
  reads: FeatureReads,
  ask: ReadAsk | Refusal,
  format: (outcome: ReadOutcome) => Answer<Body>,
): Promise<FastifyReply> {
  if (isRefusal(ask)) return fail(reply, refusalAnswer(ask))
  return tell(reply, format(await reads.read(ask)))
}

export function tell<Body>(reply: FastifyReply, said: Answer<Body>): FastifyReply {
  if ('error' in said) return fail(reply, said)
  return reply.header('cache-control', 'no-store').send(said.body)
}

export function fail(reply: FastifyReply, { status, error, retryAfterS }: Failure): FastifyReply {
  if (retryAfterS !== undefined) reply.header('retry-after', String(retryAfterS))
  const body = { error, request_id: reply.request.id }
  return reply.code(status).header('cache-control', 'no-store').send(body)
}

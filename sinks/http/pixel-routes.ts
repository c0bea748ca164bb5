// Pixels as they come: the image, the beacon, the page's script, and Meta's Conversions API.
// PR1: an answer says that events were taken only after the log has them (EventIntake).
// PR2: what is answered with 503 may be sent again: event_ids make that safe. What was refused is refused for good: 400, or
//      501 for what is not acted on yet. An image is answered with an image in any case; Holdfast-Error names the code.
// PR3: the answer to a page holds nothing that was sent and asks for no token: whoever sees a page can send its pixel.
// Mapping is in pixel-event.ts and conversions-api.ts; who may call, and which origins may read the answers, in server.ts.

import { Type } from '@fastify/type-provider-typebox'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { utf8Text } from '../../operators/event.ts'
import type { EventAnswer, EventIntake } from '../event-intake.ts'
import { addressOf } from './addresses.ts'
import type { Admission } from './admission.ts'
import type { App } from './app.ts'
import { CONVERSIONS_MAX, conversionEvent, conversionFault } from './conversions-api.ts'
import { errorAnswers, HttpError, RETRY_AFTER_S, sendError } from './errors.ts'
import { madeOf } from './made-of.ts'
import type { HttpMetrics } from './metrics.ts'
import { COLLECT_BODY_BYTES_MAX, formEvents, jsonEvents, queryEvent } from './pixel-body.ts'
import {
  type Arrival,
  draftBytes,
  isShallow,
  objectOf,
  PIXEL_PARAMETERS,
  type PixelMapping,
  type PixelSettings,
  pixelMapping,
} from './pixel-event.ts'
import { pixelScript } from './pixel-script.ts'

export interface PixelDeps {
  readonly intake: EventIntake
  readonly metrics: Pick<HttpMetrics, 'events'>
  /** Those of the moment: the same object as long as nothing has changed. */
  settings(): PixelSettings
  /** Milliseconds since 1970: the time of an event that names none. */
  now(): number
}

export { PIXEL_SETTINGS, type PixelSettings } from './pixel-event.ts'

/** Dependencies of a handler: with the settings ready for use, and who may call the Conversions API. */
type Handling = Omit<PixelDeps, 'settings'> & { mapping(): PixelMapping; readonly admission: Admission }

/** One transparent pixel, 43 bytes. */
export const GIF = Buffer.from('R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAICRAEAOw==', 'base64')
/** Seconds that a browser keeps the script: a new one is everywhere after so long. */
const SCRIPT_MAX_AGE_S = 3_600

const ERROR_HEADER = 'holdfast-error'
/** Bodies are bytes, judged event by event; a query is read as it was sent, whatever is repeated in it. */
const JUDGED_LATER = () => () => true
const PUBLIC = { scope: 'public' } as const

/** Stands for an entry that is nested too deep to be written again: refused with the same code. */
const TOO_DEEP = Buffer.from('null')

// --- for the OpenAPI document

const Parameters = Type.Object(
  Object.fromEntries(
    PIXEL_PARAMETERS.map(([short, field, , meaning]) => {
      return [short, Type.Optional(Type.String({ description: `${field}: ${meaning}.` }))]
    }),
  ),
  { description: 'Also under the long names.', additionalProperties: true },
)
const Image = Type.String({ description: 'The image; the header Holdfast-Error names what was wrong.' })
const ConversionsBody = Type.Object(
  {
    data: Type.Array(Type.Object({ event_name: Type.String() }, { additionalProperties: true }), {
      maxItems: CONVERSIONS_MAX,
    }),
    access_token: Type.Optional(Type.String()),
  },
  { additionalProperties: true },
)
const Received = Type.Object({
  events_received: Type.Integer({ description: 'Events that the log has.' }),
  messages: Type.Array(Type.String({ description: 'data[<index>].<field>: <code>' })),
})

/**
 * Registers the routes, in a context of their own. Throws a RangeError where a setting is no network.
 */
export function pixelRoutes(app: App, deps: PixelDeps, admission: Admission): void {
  app.removeAllContentTypeParsers()
  for (const type of ['application/json', 'text/plain', 'application/x-www-form-urlencoded'])
    app.addContentTypeParser(type, { parseAs: 'buffer' }, async (_: unknown, body: Buffer) => body)
  const handling = { ...deps, mapping: madeOf(deps.settings, pixelMapping), admission }
  imageRoute(app, handling)
  collectRoute(app, handling)
  scriptRoute(app)
  conversionsRoute(app, handling)
}

// --- the routes

function imageRoute(app: App, { intake, metrics, mapping, now }: Handling): void {
  const schema = {
    summary: 'Takes an event from an image',
    description: 'Answered with an image of 43 bytes after the log has the event.',
    querystring: Parameters,
    response: { 200: Image, 400: Image, 501: Image, 503: Image },
  }
  // Not for HEAD: who looks whether the image is there has seen no page.
  const options = { config: PUBLIC, schema, validatorCompiler: JUDGED_LATER, exposeHeadRoute: false }
  app.get('/v1/pixel.gif', options, async (request: FastifyRequest, reply: FastifyReply) => {
    const event = queryEvent(queryOf(request), arrivalOf(request, now()), mapping())
    const answers = await intake.take([event])
    metrics.events(answers)
    const { status, code } = outcomeOf(answers)
    if (code !== null) reply.header(ERROR_HEADER, code)
    if (status === 503) reply.header('retry-after', String(RETRY_AFTER_S))
    return readableAnywhere(reply)
      .code(status === 204 ? 200 : status)
      .header('cache-control', 'no-store')
      .type('image/gif')
      .send(GIF)
  })
}

function collectRoute(app: App, { intake, metrics, mapping, now }: Handling): void {
  const schema = {
    summary: 'Takes events from a beacon, a form or a script',
    description: 'One object with the parameters of the pixel, or an array of them; a form has one.',
    consumes: ['text/plain', 'application/json', 'application/x-www-form-urlencoded'],
    body: Parameters,
    response: { 204: Type.Null({ description: 'The log has them.' }), ...errorAnswers(400, 413, 501, 503) },
  }
  const options = {
    config: PUBLIC,
    schema,
    validatorCompiler: JUDGED_LATER,
    bodyLimit: COLLECT_BODY_BYTES_MAX,
  }
  app.post('/v1/collect', options, async (request: FastifyRequest, reply: FastifyReply) => {
    const read = /^application\/x-www-form-urlencoded\b/i.test(contentType(request)) ? formEvents : jsonEvents
    const events = read(bodyOf(request), arrivalOf(request, now()), mapping())
    if (events.length === 0) throw new HttpError({ status: 400, code: 'NO_EVENTS', message: 'there is no event' })
    const answers = await intake.take(events)
    metrics.events(answers)
    const { status, code, field } = outcomeOf(answers)
    if (code === null) return reply.code(204).send()
    const message =
      status === 503 ? 'the log does not have all of it: send it again' : 'an event was refused; the others were taken'
    const retryAfterS = status === 503 ? RETRY_AFTER_S : undefined
    return sendError(reply, { status, code, message, field, retryAfterS, headers: { [ERROR_HEADER]: code } })
  })
}

function scriptRoute(app: App): void {
  const { body, etag } = pixelScript()
  const response = { 200: Type.String({ description: 'JavaScript' }), 304: Type.Null({ description: 'Unchanged.' }) }
  const schema = { summary: 'The script for pages', response }
  app.get('/holdfast.js', { config: PUBLIC, schema }, async (request: FastifyRequest, reply: FastifyReply) => {
    readableAnywhere(reply)
    reply.headers({ etag, 'cache-control': `public, max-age=${SCRIPT_MAX_AGE_S}`, 'x-content-type-options': 'nosniff' })
    if (request.headers['if-none-match']?.includes(etag)) return reply.code(304).send()
    return reply.type('text/javascript; charset=utf-8').send(body)
  })
}

function conversionsRoute(app: App, { intake, metrics, mapping, admission }: Handling): void {
  const schema = {
    summary: "Takes the body of Meta's Conversions API",
    description:
      'With a write token, as a bearer or as access_token. Valid events are taken also where others are refused.',
    params: Type.Object({ pixel_id: Type.String() }),
    querystring: Type.Object({ access_token: Type.Optional(Type.String()) }),
    body: ConversionsBody,
    response: { 200: Received, 400: Received, 501: Received, 503: Received, ...errorAnswers(401, 403, 413) },
  }
  // AM2: the body is read where it is needed to find the token, or when one was found.
  const onRequest = (request: FastifyRequest, _reply: FastifyReply, done: () => void) => {
    if (isTokenBefore(request)) admission.admit(request, 'write', queryToken(request))
    else admission.refuseSpent(request)
    done()
  }
  const options = { config: PUBLIC, schema, validatorCompiler: JUDGED_LATER, onRequest }
  app.post('/v1/:pixel_id/events', options, async (request: FastifyRequest, reply: FastifyReply) => {
    const body = conversionsBody(request)
    if (!isTokenBefore(request)) admission.admit(request, 'write', textIn(body?.access_token))
    const data = conversionsIn(body)
    const { pixel_id: pixelId } = request.params as { pixel_id: string }
    const events = data.map((entry) =>
      isShallow(entry) ? draftBytes(conversionEvent(entry, pixelId, mapping())) : TOO_DEEP,
    )
    const answers = await intake.take(events)
    metrics.events(answers)
    const { status, code } = outcomeOf(answers)
    if (code !== null) reply.header(ERROR_HEADER, code)
    if (status === 503) reply.header('retry-after', String(RETRY_AFTER_S))
    return reply.code(status === 204 ? 200 : status).send({
      events_received: answers.filter(({ kind }) => kind === 'taken').length,
      messages: answers.flatMap((answer, i) => messageOf(answer, i, data[i])),
    })
  })
}

function messageOf(answer: EventAnswer, index: number, entry: unknown): string[] {
  if (answer.kind === 'taken') return []
  if (answer.kind === 'refused') return [conversionFault(index, answer, entry)]
  return [`data[${index}]: ${codeOf(answer)} (send it again)`]
}

const queryToken = (request: FastifyRequest): string | null => new URLSearchParams(queryOf(request)).get('access_token')

const isTokenBefore = (request: FastifyRequest): boolean =>
  request.headers.authorization !== undefined || queryToken(request) !== null

const textIn = (value: unknown): string | null => (typeof value === 'string' ? value : null)

/** The body; null where it is none that can be mapped. */
function conversionsBody(request: FastifyRequest): Record<string, unknown> | null {
  let value: unknown = null
  try {
    value = JSON.parse(utf8Text(bodyOf(request)) ?? '')
  } catch {
    // Said after the token was asked for.
  }
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? objectOf(value) : null
}

/** Throws 400 and 413. */
function conversionsIn(body: Record<string, unknown> | null): unknown[] {
  if (body === null) throw new HttpError({ status: 400, code: 'BAD_JSON', message: 'the body is no JSON object' })
  const { data } = body
  if (!Array.isArray(data) || data.length === 0)
    throw new HttpError({ status: 400, code: 'NO_EVENTS', message: 'data must be an array of events', field: 'data' })
  if (data.length > CONVERSIONS_MAX)
    throw new HttpError({ status: 413, code: 'TOO_MANY_EVENTS', message: `at most ${CONVERSIONS_MAX} at once` })
  return data
}

// --- answers

interface Outcome {
  /** 204 where the log has everything. */
  readonly status: 204 | 400 | 501 | 503
  readonly code: string | null
  readonly field?: string | undefined
}

/** What a call is answered with: what can be mended by sending again comes first, then the first refusal (PR2). */
function outcomeOf(answers: readonly EventAnswer[]): Outcome {
  const away = answers.find(({ kind }) => kind === 'unknown' || kind === 'full')
  if (away !== undefined) return { status: 503, code: codeOf(away) }
  const refused = answers.find((answer) => answer.kind === 'refused')
  if (refused === undefined) return { status: 204, code: null }
  const field = FIELDS.has(refused.field) ? (refused.field ?? undefined) : undefined
  return { status: refused.code === 'NOT_IMPLEMENTED' ? 501 : 400, code: refused.code, field }
}

function codeOf(answer: EventAnswer): string {
  if (answer.kind === 'refused') return answer.code
  return answer.kind === 'full' ? 'LOG_FULL' : 'LOG_UNAVAILABLE'
}

/** Names that we declared: others were made up by who sent them, and are not said back. */
const FIELDS: ReadonlySet<string | null> = new Set(PIXEL_PARAMETERS.map(([, field]) => field))

// --- requests

function arrivalOf(request: FastifyRequest, nowMs: number): Arrival {
  return { nowMs, userAgent: request.headers['user-agent'] ?? null, ip: addressOf(request) }
}

function queryOf({ url }: FastifyRequest): string {
  const at = url.indexOf('?')
  return at === -1 ? '' : url.slice(at + 1)
}

const contentType = ({ headers }: FastifyRequest): string => headers['content-type'] ?? ''

/** Absent where there is neither a body nor its type. */
const bodyOf = ({ body }: FastifyRequest): Buffer => (body as Buffer | undefined) ?? Buffer.alloc(0)

/** Pages that ask for isolation load what says that it is meant for others. */
const readableAnywhere = (reply: FastifyReply): FastifyReply =>
  reply.header('cross-origin-resource-policy', 'cross-origin')

// What an HTTP answer says when a request failed: one body for every error, and one place that decides the status.
// HE1: the body is { error: { code, message, field? }, request_id }. It never holds a stack, nor anything that was sent.
// HE2: what a client sent is a 4xx. A 500 is a bug of ours, and the only answer that is logged with its stack.
// HE3: a request that is no HTTP gets the same body with its status, from the socket's error handler.
// Codes that a process halts with are in log/errors.ts; codes of single events in operators/event.ts.

import { STATUS_CODES } from 'node:http'
import type { Socket } from 'node:net'
import { type TObject, Type } from '@fastify/type-provider-typebox'
import type { FastifyReply, FastifyRequest } from 'fastify'

/** Seconds after which it is worth to ask again where nothing better is known: a full or absent log stays so for a while. */
export const RETRY_AFTER_S = 1

export interface HttpErrorFacts {
  readonly status: number
  /** In capitals, stable: programs may compare it. */
  readonly code: string
  /** For people. Nothing that the client sent. */
  readonly message: string
  /** Name of a field that we declared, never one the client made up. */
  readonly field?: string | undefined
  /** Seconds. */
  readonly retryAfterS?: number | undefined
  readonly headers?: Readonly<Record<string, string>>
}

/** Thrown by handlers and hooks: ends the request with this answer. */
export class HttpError extends Error {
  readonly facts: HttpErrorFacts

  constructor(facts: HttpErrorFacts) {
    super(facts.message)
    this.name = 'HttpError'
    this.facts = facts
  }
}

export const ErrorBody = Type.Object(
  {
    error: Type.Object({
      code: Type.String({ description: 'Stable; programs may compare it.' }),
      message: Type.String(),
      field: Type.Optional(Type.String()),
    }),
    request_id: Type.String(),
  },
  { description: 'Why the request failed.' },
)

/** The part of a route's answers that are errors: `response: { 200: Body, ...errorAnswers(400, 404) }`. */
export function errorAnswers(...statuses: number[]): Record<number, TObject> {
  return Object.fromEntries(statuses.map((status) => [status, describedAs(status)]))
}

const describedAs = (status: number): TObject =>
  Type.Object(ErrorBody.properties, { description: STATUS_CODES[status]! })

export interface ErrorText {
  readonly error: { readonly code: string; readonly message: string; readonly field?: string }
  readonly request_id: string
}

export function errorBody({ code, message, field }: Omit<HttpErrorFacts, 'status'>, requestId: string): ErrorText {
  return { error: { code, message, ...(field === undefined ? {} : { field }) }, request_id: requestId }
}

/** Ends a request with an error. As text, so that no route's schema of answers can drop a part of it. */
export function sendError(reply: FastifyReply, facts: HttpErrorFacts): FastifyReply {
  const { status, retryAfterS, headers } = facts
  if (headers !== undefined) reply.headers(headers)
  if (retryAfterS !== undefined) reply.header('retry-after', String(retryAfterS))
  const text = JSON.stringify(errorBody(facts, reply.request.id))
  return reply.code(status).header('cache-control', 'no-store').type('application/json').send(text)
}

/** What of an error that Fastify, a schema or a handler raised is said to the client. */
export function factsOf(error: unknown): HttpErrorFacts {
  if (error instanceof HttpError) return error.facts
  const { validation, validationContext, statusCode, code } = error as FastifyTrouble
  if (validation !== undefined) return invalid(validation[0], validationContext)
  const known = typeof code === 'string' ? BY_FASTIFY_CODE.get(code) : undefined
  if (known !== undefined) return known
  if (statusCode !== undefined && statusCode >= 400 && statusCode < 500) return ofStatus(statusCode)
  return { status: 500, code: 'INTERNAL', message: 'this is a bug of Holdfast: report it with the request_id' }
}

/** The error handler of the app. */
export function onError(error: unknown, request: FastifyRequest, reply: FastifyReply): void {
  const facts = factsOf(error)
  if (facts.status >= 500 && !(error instanceof HttpError)) request.log.error({ err: error }, 'a request failed')
  sendError(reply, facts)
}

interface FastifyTrouble {
  readonly validation?: readonly SchemaFault[]
  readonly validationContext?: string
  readonly statusCode?: number
  readonly code?: unknown
}

interface SchemaFault {
  readonly keyword: string
  readonly instancePath: string
  readonly message?: string
  readonly params: Readonly<Record<string, unknown>>
}

const BY_FASTIFY_CODE: ReadonlyMap<string, HttpErrorFacts> = new Map([
  ['FST_ERR_CTP_BODY_TOO_LARGE', { status: 413, code: 'BODY_TOO_LARGE', message: 'the body is too large' }],
  [
    'FST_ERR_CTP_INVALID_MEDIA_TYPE',
    { status: 415, code: 'MEDIA_TYPE', message: 'this content type is not read here' },
  ],
  ['FST_ERR_BAD_URL', { status: 400, code: 'BAD_URL', message: 'the path is not properly encoded' }],
  ['FST_ERR_CTP_INVALID_JSON_BODY', { status: 400, code: 'BAD_JSON', message: 'the body is not JSON' }],
  ['FST_ERR_CTP_EMPTY_JSON_BODY', { status: 400, code: 'BAD_JSON', message: 'the body is empty' }],
])

/** Says which declared field is wrong; of a field that was made up, only that there is one. */
function invalid(fault: SchemaFault | undefined, part: string | undefined): HttpErrorFacts {
  const missing = fault?.params.missingProperty
  const field = typeof missing === 'string' ? missing : fault?.instancePath.split('/')[1]
  const where = part === 'querystring' ? 'query' : (part ?? 'request')
  const message = `the ${where} is not as declared: ${fault?.message ?? 'invalid'}`
  return { status: 400, code: 'INVALID_REQUEST', message, ...(field ? { field } : {}) }
}

function ofStatus(status: number): HttpErrorFacts {
  const message = STATUS_CODES[status] ?? 'the request cannot be used'
  return { status, code: message.toUpperCase().replaceAll(/[^A-Z]+/g, '_'), message: message.toLowerCase() }
}

const OF_PARSER: ReadonlyMap<string, HttpErrorFacts> = new Map([
  ['HPE_HEADER_OVERFLOW', { status: 431, code: 'HEADERS_TOO_LARGE', message: 'the headers are too large' }],
  ['HPE_CHUNK_EXTENSIONS_OVERFLOW', { status: 413, code: 'BODY_TOO_LARGE', message: 'chunk extensions are too large' }],
  ['ERR_HTTP_REQUEST_TIMEOUT', { status: 408, code: 'TOO_SLOW', message: 'the request took too long to arrive' }],
])
const NOT_HTTP: HttpErrorFacts = { status: 400, code: 'NOT_HTTP', message: 'this is no HTTP request' }

/** What arrived on a socket is no request (HE3): answers if it still can, and closes it. */
export function answerSocketError(error: { readonly code?: string }, socket: Socket, requestId: string): void {
  const facts = OF_PARSER.get(error.code ?? '') ?? NOT_HTTP
  // Node's own handler looks here too: behind a part of another answer, ours would be taken for the rest of it.
  const begun = (socket as { _httpMessage?: { headersSent: boolean } })._httpMessage?.headersSent === true
  if (error.code !== 'ECONNRESET' && socket.writable && !begun) {
    const body = JSON.stringify(errorBody(facts, requestId))
    const lines = [
      `HTTP/1.1 ${facts.status} ${STATUS_CODES[facts.status]}`,
      'Content-Type: application/json',
      `Content-Length: ${Buffer.byteLength(body)}`,
      'Connection: close',
    ]
    socket.write(`${lines.join('\r\n')}\r\n\r\n${body}`)
  }
  socket.destroySoon()
}

// The HTTP server: one Fastify app with its limits, who may come in, one body for every error, and an OpenAPI document that
// is made from the routes themselves. Routes are in other files and come as functions (app.ts).
// HS1: a request is let in by onRequest below, before a byte of its body is read: known route, token, limits, encoding.
// HS2: without tokens it listens on loopback only; any other address is refused.
// HS3: closing waits for requests under way for a bounded time.

import { randomBytes } from 'node:crypto'
import { isIP } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import swagger from '@fastify/swagger'
import { Type, type TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import { type FastifyReply, type FastifyRequest, fastify, LogController, type RouteOptions } from 'fastify'
import { assert, HoldfastError } from '../../log/errors.ts'
import { addressOf, networkList } from './addresses.ts'
import { Admission } from './admission.ts'
import type { App, RouteScope, Routes } from './app.ts'
import type { TokenHolders } from './auth.ts'
import { allowedOrigins, Cors, isPreflight } from './cors.ts'
import { answerSocketError, errorAnswers, factsOf, HttpError, onError, sendError } from './errors.ts'
import { ConnectionLimit, HTTP_LIMITS, type HttpLimits, RequestLimit, TIMEOUT_LOOK_MS } from './limits.ts'
import { httpLogger, type LoggerOptions } from './logger.ts'
import { madeOf } from './made-of.ts'
import type { HttpMetrics } from './metrics.ts'

export interface HttpServerOptions {
  /** Address or name to listen on; default 127.0.0.1. */
  readonly host?: string
  /** 0: a free one. */
  readonly port: number
  /** Of the node: a token of another one gets 403. */
  readonly namespace: string
  /** null: everything is allowed, on loopback. */
  readonly tokens: TokenHolders | null
  /** Each runs in a context of its own. */
  readonly routes: readonly Routes[]
  readonly metrics: HttpMetrics
  /** Of the OpenAPI document. */
  readonly version: string
  readonly limits?: Partial<HttpLimits>
  /** Origins whose pages may read answers, as `https://shop.example`; default: none. */
  readonly corsOrigins?: () => readonly string[]
  /** Networks of proxies whose X-Forwarded-For names the client, as `10.0.0.0/8`; default: none. */
  readonly trustedProxies?: () => readonly string[]
  /** Default: none. */
  readonly logging?: LoggerOptions
}

export interface HttpServer {
  /** `http://host:port`. */
  readonly url: string
  close(): Promise<void>
}

const LOOPBACK = '127.0.0.1'
const NOBODY: readonly string[] = []
const none = (): readonly string[] => NOBODY
/** Bytes of one variable part of a path, encoded: 128 bytes of an id, three characters each; the routes judge the rest. */
const PARAM_CHARACTERS_MAX = 4_096
/** Of a request's id: no two alike in a log. */
const REQUEST_ID_BYTES = 8
/** For some hundred requests: a page. */
const REQUEST_ID_POOL_BYTES = 512 * REQUEST_ID_BYTES
/** Milliseconds between looks for requests under way when the server closes. */
const CLOSE_LOOK_MS = 10

/**
 * Listens; throws USAGE where that would be open to others (HS2) or the address cannot be used, and a RangeError where a setting
 * is no origin or no network.
 */
export async function openHttpServer(options: HttpServerOptions): Promise<HttpServer> {
  const { host = LOOPBACK, port, tokens } = options
  if (tokens === null && !isLoopback(host))
    throw new HoldfastError(
      'USAGE',
      `${host} can be reached by others: that needs --token-file, or listen on ${LOOPBACK}`,
    )
  const built = await buildApp(options)
  const { app } = built
  try {
    const url = await app.listen({ host, port })
    return { url, close: () => closeApp(built) }
  } catch (error) {
    await app.close()
    const { code, message } = error as NodeJS.ErrnoException
    throw new HoldfastError('USAGE', `cannot listen on ${host} port ${port}: ${code ?? message}`)
  }
}

interface Built {
  readonly app: App
  readonly door: Door
  readonly closeMs: number
}

/** The whole app, not listening yet. */
async function buildApp(options: HttpServerOptions): Promise<Built> {
  const limits = { ...HTTP_LIMITS, ...options.limits }
  const app = newApp(limits, options)
  const paths = new Paths()
  app.addHook('onRoute', (route) => {
    declareWhole(route)
    paths.add(route)
  })
  app.setErrorHandler(onError)
  app.setNotFoundHandler((request, reply) => answerUnrouted(paths, request, reply))
  const admission = new Admission(options.tokens, options.namespace, limits)
  const cors = new Cors(madeOf(options.corsOrigins ?? none, allowedOrigins))
  const door = new Door(admission, options.metrics, limits)
  app.addHook('onRequest', (request, reply, done) => {
    try {
      cors.mark(request, reply)
      door.enter(request, reply)
      if (isPreflight(request)) answerPreflight(cors, paths, request, reply)
      else if (request.is404) answerUnrouted(paths, request, reply)
      else done()
    } catch (error) {
      done(error as Error)
    }
  })
  await app.register(swagger, { openapi: openApi(options) })
  app.removeContentTypeParser('text/plain')
  for (const routes of options.routes) app.register(async (own) => routes(own, admission))
  app.register(async (own) => documentRoute(own))
  await app.ready()
  app.server.maxConnections = limits.connections
  const connections = new ConnectionLimit(limits)
  const isProxy = madeOf(options.trustedProxies ?? none, networkList)
  app.server.on('connection', (socket) => {
    const address = socket.remoteAddress ?? ''
    // A proxy is many clients.
    if (isProxy()(address)) return
    const leave = connections.enter(address)
    if (leave === null) socket.destroy()
    else socket.once('close', leave)
  })
  // Node would answer with an empty 417; this way the door does.
  app.server.on('checkExpectation', (request, response) => app.server.emit('request', request, response))
  return { app, door, closeMs: limits.closeMs }
}

function newApp(limits: HttpLimits, { logging, trustedProxies = none }: HttpServerOptions): App {
  const nextRequestId = requestIds()
  const isTrusted = madeOf(trustedProxies, networkList)
  return fastify({
    loggerInstance: httpLogger(logging ?? { to: null, level: 'warn' }),
    trustProxy: (address: string) => isTrusted()(address),
    logController: new LogController({ disableRequestLogging: true }),
    genReqId: nextRequestId,
    requestIdHeader: false,
    bodyLimit: limits.bodyBytes,
    connectionTimeout: limits.silenceMs,
    requestTimeout: limits.requestMs,
    keepAliveTimeout: limits.keepAliveMs,
    http: {
      maxHeaderSize: limits.headerBytes,
      headersTimeout: limits.headersMs,
      connectionsCheckingInterval: TIMEOUT_LOOK_MS,
      // Node would answer with an empty 400; this way the door does.
      requireHostHeader: false,
    },
    routerOptions: { maxParamLength: PARAM_CHARACTERS_MAX },
    // What no schema names is an error, not silently dropped; what a query says as text becomes the number it is.
    ajv: { customOptions: { removeAdditional: false, coerceTypes: true, useDefaults: true, allErrors: false } },
    forceCloseConnections: 'idle',
    // What comes while closing is still served, on a connection that then ends.
    return503OnClosing: false,
    frameworkErrors: (error, _request, reply) => void sendError(reply as FastifyReply, factsOf(error)),
    clientErrorHandler: (error, socket) => answerSocketError(error, socket, nextRequestId()),
  }).withTypeProvider<TypeBoxTypeProvider>() as unknown as App
}

/** Ids that nobody can guess, cut from random bytes that were got together: alone each takes the system four microseconds. */
function requestIds(): () => string {
  let [pool, at] = [randomBytes(REQUEST_ID_POOL_BYTES), 0]
  return () => {
    if (at === pool.length) [pool, at] = [randomBytes(REQUEST_ID_POOL_BYTES), 0]
    at += REQUEST_ID_BYTES
    return pool.toString('hex', at - REQUEST_ID_BYTES, at)
  }
}

async function closeApp({ app, door, closeMs }: Built): Promise<void> {
  const closed = app.close()
  const until = performance.now() + closeMs
  while (door.underWay > 0 && performance.now() < until) await sleep(CLOSE_LOOK_MS)
  // Those on which nothing was asked yet, or nothing will be.
  app.server.closeAllConnections()
  await closed
}

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || (isIP(host) === 4 && host.startsWith('127.'))
}

// --- who comes in

/** Lets requests in or throws their answer (HS1), and counts those under way. */
class Door {
  readonly #admission: Admission
  readonly #metrics: HttpMetrics
  readonly #requests: RequestLimit
  /** Requests that have no answer yet. */
  underWay = 0

  constructor(admission: Admission, metrics: HttpMetrics, limits: HttpLimits) {
    this.#admission = admission
    this.#metrics = metrics
    this.#requests = new RequestLimit(limits)
  }

  enter(request: FastifyRequest, reply: FastifyReply): void {
    this.#measure(request, reply)
    const scope = request.is404 ? 'public' : request.routeOptions.config.scope!
    const leave = this.#requests.enter(this.#client(request, scope), performance.now())
    // `close` and not `finish`: it comes as well where the client is gone before its answer.
    reply.raw.once('close', leave)
    refuseOdd(request)
  }

  /** The name that limits know a client by; throws 401, 403 or 429. */
  #client(request: FastifyRequest, scope: RouteScope): string {
    const holder = scope === 'public' ? null : this.#admission.admit(request, scope)
    return holder === null ? `address ${addressOf(request)}` : `token ${holder.id}`
  }

  #measure(request: FastifyRequest, reply: FastifyReply): void {
    const { method } = request
    const route = request.is404 ? 'none' : request.routeOptions.url!
    this.underWay++
    this.#metrics.began()
    reply.raw.once('close', () => {
      this.underWay--
      const status = reply.raw.writableFinished ? reply.raw.statusCode : 'aborted'
      this.#metrics.ended({ method, route, status, seconds: reply.elapsedTime / 1_000 })
    })
  }
}

/** Refuses what HTTP allows a client to ask for and this server does not do. */
function refuseOdd({ headers, raw }: FastifyRequest): void {
  if (headers.host === undefined && raw.httpVersion === '1.1')
    throw new HttpError({ status: 400, code: 'NO_HOST', message: 'the request has no Host header' })
  if (headers.expect !== undefined && headers.expect.toLowerCase() !== '100-continue')
    throw new HttpError({ status: 417, code: 'EXPECTATION', message: 'this expectation cannot be met' })
  const encoding = headers['content-encoding']
  if (encoding !== undefined && encoding !== 'identity')
    throw new HttpError({ status: 415, code: 'ENCODING', message: 'bodies are read as they are: no Content-Encoding' })
}

// --- what no route answers

/** The paths of all routes with their methods, for 405 and OPTIONS. */
class Paths {
  readonly #methods = new Map<string, { readonly pattern: RegExp; readonly methods: Set<string> }>()

  add({ url, method }: RouteOptions): void {
    const known = this.#methods.get(url) ?? { pattern: patternOf(url), methods: new Set<string>() }
    for (const one of [method].flat()) known.methods.add(one)
    this.#methods.set(url, known)
  }

  /** Methods that some route has for a path; empty: there is no such path. */
  allowed(path: string): string[] {
    const found = [...this.#methods.values()].filter(({ pattern }) => pattern.test(path))
    const methods = new Set(found.flatMap(({ methods }) => [...methods]))
    return methods.size === 0 ? [] : [...methods.add('OPTIONS')].sort()
  }
}

/** A route's URL as a regular expression for paths. */
function patternOf(url: string): RegExp {
  const parts = url
    .split('/')
    .map((part) => (part.startsWith(':') ? '[^/]+' : part.replaceAll(/[.+*?^$()[\]{}|\\]/g, '\\$&')))
  return new RegExp(`^${parts.join('/')}$`)
}

function answerPreflight(cors: Cors, paths: Paths, request: FastifyRequest, reply: FastifyReply): void {
  const allowed = paths.allowed(pathOf(request))
  if (allowed.length === 0) answerUnrouted(paths, request, reply)
  else cors.answerPreflight(request, reply, allowed)
}

const pathOf = ({ url }: FastifyRequest): string => url.replace(/[?#].*$/s, '')

function answerUnrouted(paths: Paths, request: FastifyRequest, reply: FastifyReply): void {
  const allowed = paths.allowed(pathOf(request))
  const allow = { allow: allowed.join(', ') }
  if (allowed.length === 0) sendError(reply, { status: 404, code: 'NOT_FOUND', message: 'there is no such path' })
  else if (request.method === 'OPTIONS') reply.code(204).headers(allow).send()
  else sendError(reply, { status: 405, code: 'METHOD', message: 'this path does not have this method', headers: allow })
}

// --- what routes say of themselves

/** Refuses a route that does not say what HA1 asks for, and adds the answers that this file gives for it. */
function declareWhole(route: RouteOptions): void {
  const { url, schema, config } = route
  const scope = config?.scope
  const response = schema?.response as Record<string, unknown> | undefined
  assert(scope !== undefined, `route ${url} names its scope`)
  assert(schema?.summary !== undefined && response !== undefined, `route ${url} has a summary and its answers`)
  const hasBody = [route.method].flat().some((method) => !['GET', 'HEAD', 'DELETE', 'OPTIONS'].includes(method))
  const ours = [429, 500, ...(scope === 'public' ? [] : [401, 403]), ...(hasBody ? [400, 408, 413, 415] : [])]
  const security = scope === 'public' ? [] : [{ token: [scope] }]
  route.schema = { security, ...schema, response: { ...errorAnswers(...ours), ...response } }
}

function openApi({ version }: HttpServerOptions) {
  return {
    openapi: '3.1.0',
    info: { title: 'Holdfast', description: 'Events in, feature values out.', version },
    components: {
      securitySchemes: {
        token: {
          type: 'http' as const,
          scheme: 'bearer',
          description: 'Not needed where the node has no --token-file.',
        },
      },
    },
  }
}

function documentRoute(app: App): void {
  let text: string | null = null
  const Document = Type.Object({ openapi: Type.String() }, { additionalProperties: true, description: 'OpenAPI 3.1' })
  app.get(
    '/openapi.json',
    { config: { scope: 'public' }, schema: { summary: 'This document', response: { 200: Document } } },
    async (_request, reply) => {
      text ??= JSON.stringify(app.swagger())
      reply.type('application/json')
      return reply.send(text as never)
    },
  )
}

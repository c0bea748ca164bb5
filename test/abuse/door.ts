// An HTTP server with the routes of this floor on a log, for tests and for abuse: what `holdfast node` will open.

import { connect } from 'node:net'
import type { Log } from '../../log/log.ts'
import type { Routes } from '../../sinks/http/app.ts'
import { healthRoutes, type NodeStatus } from '../../sinks/http/health-routes.ts'
import { ingestRoutes } from '../../sinks/http/ingest-routes.ts'
import { HttpMetrics } from '../../sinks/http/metrics.ts'
import { type HttpServer, type HttpServerOptions, openHttpServer } from '../../sinks/http/server.ts'
import { pageViewGraph } from '../../topology/graph.ts'
import { Ingest, type IngestOptions } from '../../topology/ingest.ts'
import { ensureStreams, streamSpecs } from '../../topology/streams.ts'

export const NAMESPACE = 'hf'
const LOG_BYTES = 256e6
const PARTITIONS = 2

export interface DoorOptions extends Partial<Omit<HttpServerOptions, 'metrics' | 'routes'>> {
  readonly log: Log
  readonly ingest?: Partial<IngestOptions>
  readonly logBytes?: number
  readonly status?: () => NodeStatus
  readonly more?: readonly Routes[]
}

export interface Door extends HttpServer {
  readonly metrics: HttpMetrics
}

export async function openDoor(options: DoorOptions): Promise<Door> {
  const {
    log,
    ingest,
    logBytes = LOG_BYTES,
    status = () => ({ ready: true, waiting: [] }),
    more = [],
    ...http
  } = options
  const plan = pageViewGraph({
    namespace: NAMESPACE,
    name: 'door',
    clock: 'wall',
    partitions: PARTITIONS,
    latenessMs: 600_000,
    anonymous: 'reject',
    accepted: 'off',
  })
  await ensureStreams(log, streamSpecs(plan, { totalBytes: logBytes, replicas: 1 }))
  const metrics = new HttpMetrics()
  const intake = new Ingest({ plan, log, runtime: { now: Date.now }, ...ingest })
  const routes: Routes[] = [
    (app) => healthRoutes(app, { status, metrics }),
    (app) => ingestRoutes(app, { intake, metrics }),
    ...more,
  ]
  const server = await openHttpServer({
    namespace: NAMESPACE,
    port: 0,
    tokens: null,
    version: '0',
    ...http,
    routes,
    metrics,
  })
  return { ...server, metrics }
}

/** Milliseconds that a socket may stay open: more than every time limit of a test. */
const SOCKET_MS = 20_000

/** Everything that the server says on a connection on which these bytes are sent, until it is closed by the server. */
export function rawExchange(url: string, bytes: string | Uint8Array, { end = false } = {}): Promise<string> {
  const { hostname, port } = new URL(url)
  return new Promise((resolve) => {
    const socket = connect(Number(port), hostname, () => (end ? socket.end(bytes) : socket.write(bytes)))
    const heard: Buffer[] = []
    socket.setTimeout(SOCKET_MS, () => socket.destroy())
    socket.on('data', (data) => heard.push(data))
    socket.on('error', () => socket.destroy())
    socket.on('close', () => resolve(Buffer.concat(heard).toString('latin1')))
  })
}

/** The status in what a server said; null where it said nothing. */
export function statusIn(answer: string): number | null {
  const status = /^HTTP\/1\.1 (\d{3})/.exec(answer)?.[1]
  return status === undefined ? null : Number(status)
}

// The front door of a node: its HTTP server with every route, and the same reads over NATS, on a host that runs.
// FD1: the door opens after the tasks have started and closes before they stop.

import { NO_WATERMARK } from '../log/frame.ts'
import type { NatsLog } from '../log/nats-log.ts'
import type { Runtime } from '../log/runtime.ts'
import { featureMetrics } from '../sinks/http/feature-metrics.ts'
import { healthRoutes, type NodeStatus } from '../sinks/http/health-routes.ts'
import { ingestRoutes } from '../sinks/http/ingest-routes.ts'
import { HttpMetrics } from '../sinks/http/metrics.ts'
import { pageRoutes } from '../sinks/http/page-routes.ts'
import { pixelRoutes } from '../sinks/http/pixel-routes.ts'
import { Quotas } from '../sinks/http/quotas.ts'
import { readRoutes } from '../sinks/http/read-routes.ts'
import { openHttpServer } from '../sinks/http/server.ts'
import { statusRoutes } from '../sinks/http/status-routes.ts'
import { taskMetrics } from '../sinks/http/task-metrics.ts'
import { TokenFile } from '../sinks/http/token-file.ts'
import { serveReads } from '../sinks/nats-reads.ts'
import type { StatusRow } from '../sinks/status.ts'
import { statusOf, type TaskHost } from '../topology/host.ts'
import { HostReads } from '../topology/host-reads.ts'
import { Ingest } from '../topology/ingest.ts'
import { type Plan, RELEASE } from '../topology/plan.ts'
import type { TaskStatus } from '../topology/task.ts'
import type { NodeConfiguration } from './node-configuration.ts'

/** A task that waits longer than this makes its node unready (reliability.md, O5). */
const PATIENCE_MS = 30_000

export interface FrontDoorOptions {
  readonly host: string
  /** 0: a free one. */
  readonly port: number
  /** undefined: no tokens, so loopback only. */
  readonly tokenFile: string | undefined
}

export interface NodeParts {
  readonly plan: Plan
  readonly host: TaskHost
  readonly log: NatsLog
  readonly runtime: Runtime
  readonly say: (line: string) => void
  /** What of the configuration holds at the moment. */
  readonly configuration: Pick<NodeConfiguration, 'current' | 'pixels'>
}

export interface FrontDoor {
  readonly url: string
  close(): Promise<void>
}

/** Opens it. Throws USAGE where it cannot listen there, or may not. */
export async function openFrontDoor(options: FrontDoorOptions, parts: NodeParts): Promise<FrontDoor> {
  const { plan, host, log, runtime, say, configuration } = parts
  const tokens = options.tokenFile === undefined ? null : new TokenFile(options.tokenFile, say)
  const metrics = new HttpMetrics()
  const quotas = new Quotas({ settings: () => configuration.current.quotas, metrics, now: () => performance.now() })
  const anonymous = () => configuration.current.anonymous
  const intake = quotas.intake(new Ingest({ plan, log, runtime, anonymous }))
  const hostReads = new HostReads({ plan, host, runtime })
  const reads = quotas.reads(hostReads)
  const rows = (): readonly StatusRow[] => rowsOf(plan, host)
  taskMetrics(metrics, rows)
  featureMetrics(metrics, reads.features, rows)
  const settings = () => configuration.pixels
  const pixels = { intake, metrics, settings, now: () => Date.now() }
  const server = await openHttpServer({
    host: options.host,
    port: options.port,
    namespace: plan.namespace,
    tokens,
    metrics,
    version: RELEASE,
    corsOrigins: () => configuration.current.http.corsOrigins,
    trustedProxies: () => configuration.current.http.trustedProxies,
    routes: [
      (app) => ingestRoutes(app, { intake, metrics }),
      (app, admission) => pixelRoutes(app, pixels, admission),
      (app) => pageRoutes(app),
      (app) => readRoutes(app, { reads }),
      (app) => statusRoutes(app, { status: rows }),
      (app) => healthRoutes(app, { metrics, status: () => readiness(rows()) }),
    ],
    logging: { to: process.stderr, level: 'error' },
  })
  const overNats = serveReads({
    nc: log.nc,
    namespace: plan.namespace,
    reads,
    onFault: (error) => say(`a read over NATS failed: ${error instanceof Error ? error.message : error}`),
  })
  return {
    url: server.url,
    close: async () => {
      tokens?.close()
      hostReads.close()
      await Promise.all([server.close(), overNats.stop()])
    },
  }
}

/** What each task of a node is doing, stage by stage. */
export function rowsOf(plan: Plan, host: TaskHost): StatusRow[] {
  const all = host.status()
  return plan.stages.flatMap((stage, i) =>
    statusOf(host, stage.name).map(
      ({ watermark, lastEvent, waiting, tally, lagMs, readableMs, ...task }, partition) => ({
        ...{ name: task.name, stage: stage.name, partition, phase: task.phase, config: task.config },
        ...{ epoch: task.epoch, seq: task.seq, pending: task.pending, lag_ms: lagMs, readable_ms: readableMs },
        lag_records: i === 0 ? null : lagRecords(all, stage.name, partition, task.taken),
        watermark: watermark === NO_WATERMARK ? null : watermark,
        last_event: lastEvent === NO_WATERMARK ? null : lastEvent,
        waiting:
          waiting === null
            ? null
            : { cause: waiting.cause, on: waiting.on, detail: waiting.detail, since_ms: waiting.sinceMs },
        counts: tally.counts,
      }),
    ),
  )
}

/** Tasks are looked at one after the other: what one has taken may be newer than what is known of who sent it. */
function lagRecords(all: readonly TaskStatus[], stage: string, partition: number, taken: number): number {
  const sent = all.reduce((sum, task) => sum + (task.sent[stage]?.[partition] ?? 0), 0)
  return Math.max(0, sent - taken)
}

function readiness(rows: readonly StatusRow[]): NodeStatus {
  const now = performance.timeOrigin + performance.now()
  const waiting = rows.flatMap(({ name, phase, waiting: wait }) => {
    if (phase !== 'running') return [`${name} is ${phase}`]
    if (wait === null || now - wait.since_ms < PATIENCE_MS) return []
    return [`${name} waits for ${wait.cause} on ${wait.on}: ${wait.detail}`]
  })
  return { ready: rows.length > 0 && waiting.length === 0, waiting }
}

// The front door of a node: its HTTP server with every route, and the same reads over NATS, on a host that runs.
// FD1: the door opens after the tasks have started and closes before they stop.

import { assert } from '../log/errors.ts'
import { NO_WATERMARK } from '../log/frame.ts'
import type { NatsLog } from '../log/nats-log.ts'
import type { Runtime } from '../log/runtime.ts'
import { type AttributionStatus, attributionStatus } from '../sinks/attribution-status.ts'
import { attributionMetrics } from '../sinks/http/attribution-metrics.ts'
import { bulkRoutes } from '../sinks/http/bulk-routes.ts'
import { evaluationMetrics } from '../sinks/http/evaluation-metrics.ts'
import { evaluationRoutes } from '../sinks/http/evaluation-routes.ts'
import { featureMetrics } from '../sinks/http/feature-metrics.ts'
import { healthRoutes, type NodeStatus } from '../sinks/http/health-routes.ts'
import { ingestRoutes } from '../sinks/http/ingest-routes.ts'
import { HttpMetrics } from '../sinks/http/metrics.ts'
import { modelMetrics } from '../sinks/http/model-metrics.ts'
import { pageRoutes } from '../sinks/http/page-routes.ts'
import { pixelRoutes } from '../sinks/http/pixel-routes.ts'
import { purchaseRoutes } from '../sinks/http/purchase-routes.ts'
import { Quotas } from '../sinks/http/quotas.ts'
import { readRoutes } from '../sinks/http/read-routes.ts'
import { openHttpServer } from '../sinks/http/server.ts'
import { statusRoutes } from '../sinks/http/status-routes.ts'
import { taskMetrics } from '../sinks/http/task-metrics.ts'
import { TokenFile } from '../sinks/http/token-file.ts'
import { serveReads } from '../sinks/nats-reads.ts'
import type { StatusRow } from '../sinks/status.ts'
import { decisionsIn } from '../topology/attribution-reads.ts'
import { evaluationIn } from '../topology/evaluation-reads.ts'
import { statusOf, type TaskHost } from '../topology/host.ts'
import { HostReads } from '../topology/host-reads.ts'
import { Ingest } from '../topology/ingest.ts'
import { feederOf, type Plan, RELEASE, takesEvents } from '../topology/plan.ts'
import type { TaskStatus } from '../topology/task.ts'
import type { NodeConfiguration } from './node-configuration.ts'
import type { NodeModels } from './node-models.ts'
import { timeZoneOf } from './settings.ts'

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
  /** null: it trains no model. */
  readonly models: Pick<NodeModels, 'status'> | null
}

export interface FrontDoor {
  readonly url: string
  close(): Promise<void>
}

/** Opens it. Throws USAGE where it cannot listen there, or may not. */
export async function openFrontDoor(options: FrontDoorOptions, parts: NodeParts): Promise<FrontDoor> {
  const { plan, host, log, runtime, say, configuration, models } = parts
  const model = () => models?.status() ?? null
  const tokens = options.tokenFile === undefined ? null : new TokenFile(options.tokenFile, say)
  const metrics = new HttpMetrics()
  const quotas = new Quotas({ settings: () => configuration.current.quotas, metrics, now: () => performance.now() })
  const anonymous = () => configuration.current.anonymous
  const intake = quotas.intake(new Ingest({ plan, log, runtime, anonymous }))
  const feeder = feederOf(plan)
  assert(feeder !== null, 'a live plan takes uploads')
  // Not from the quota of live events, which uploads would use up; their bounds are their own and the room of their stream.
  const uploads = new Ingest({ plan, log, runtime, anonymous, stage: feeder.name })
  const hostReads = new HostReads({ plan, host, runtime })
  const reads = quotas.reads(hostReads)
  const zoneOf = (advertiser: string): string => timeZoneOf(configuration.current, advertiser)
  const rows = (): readonly StatusRow[] => rowsOf(plan, host)
  taskMetrics(metrics, rows)
  featureMetrics(metrics, reads.features, rows)
  const attribution = attributionIn(plan, rows)
  if (attribution !== null) attributionMetrics(metrics, attribution)
  if (models !== null) modelMetrics(metrics, () => models.status())
  const evaluated = evaluationIn(plan)?.windows.map(({ name }) => name) ?? null
  // Not from the quota of reads: it is the node's own look.
  if (evaluated !== null) evaluationMetrics(metrics, hostReads, evaluated)
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
      (app) => bulkRoutes(app, { intake: uploads, metrics }),
      (app, admission) => pixelRoutes(app, pixels, admission),
      (app) => pageRoutes(app),
      (app) => readRoutes(app, { reads }),
      (app) => purchaseRoutes(app, { reads, timeZoneOf: zoneOf }),
      (app) => evaluationRoutes(app, { reads }),
      (app) => statusRoutes(app, { status: rows, attribution: () => attribution?.() ?? null, model, evaluated }),
      (app) => healthRoutes(app, { metrics, status: () => readiness(rows()) }),
    ],
    logging: { to: process.stderr, level: 'error' },
  })
  const overNats = serveReads({
    nc: log.nc,
    namespace: plan.namespace,
    reads,
    timeZoneOf: zoneOf,
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

/** What a node has attributed so far; null: its plan attributes nothing. */
export function attributionIn(plan: Plan, rows: () => readonly StatusRow[]): (() => AttributionStatus) | null {
  const decided = decisionsIn(plan)
  return decided && (() => attributionStatus(rows(), decided.rules.windows))
}

/** What each task of a node is doing, stage by stage. */
export function rowsOf(plan: Plan, host: TaskHost): StatusRow[] {
  const all = host.status()
  return plan.stages.flatMap((stage) =>
    statusOf(host, stage.name).map(
      ({ watermark, lastEvent, waiting, tally, lagMs, readableMs, ...task }, partition) => ({
        ...{ name: task.name, stage: stage.name, partition, phase: task.phase, config: task.config },
        sends_to: stage.exchanges
          .filter(({ promises }) => promises === undefined)
          .map((to) => ({ stage: to.stage, same_partition: to.keepsPartition === true })),
        ...{ epoch: task.epoch, seq: task.seq, pending: task.pending, lag_ms: lagMs, readable_ms: readableMs },
        lag_records: takesEvents(stage) ? null : lagRecords(all, stage.name, partition, task.taken),
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

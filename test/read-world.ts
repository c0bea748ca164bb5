// A running host on a real nats-server and RocksDB, with the doors through which its values are read: for tests of those.

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { attributionIn, rowsOf } from '../cli/front-door.ts'
import { partitionOf } from '../log/frame.ts'
import type { NatsLog } from '../log/nats-log.ts'
import { realRuntime } from '../log/runtime.ts'
import { positionText } from '../sinks/feature-reads.ts'
import type { Routes } from '../sinks/http/app.ts'
import type { Tokens } from '../sinks/http/auth.ts'
import { evaluationRoutes } from '../sinks/http/evaluation-routes.ts'
import { HttpMetrics } from '../sinks/http/metrics.ts'
import { purchaseRoutes } from '../sinks/http/purchase-routes.ts'
import { readRoutes } from '../sinks/http/read-routes.ts'
import { type HttpServer, openHttpServer } from '../sinks/http/server.ts'
import { statusRoutes } from '../sinks/http/status-routes.ts'
import type { StatusRow } from '../sinks/status.ts'
import { openRocksBackend } from '../state/rocks-backend.ts'
import type { TopologyOptions } from '../topology/dsl.ts'
import type { Declarations } from '../topology/features/declaration.ts'
import { LATENESS_MS_DEFAULT, pageViewGraph } from '../topology/graph.ts'
import { Host } from '../topology/host.ts'
import { HostReads } from '../topology/host-reads.ts'
import { PLAIN_WRITER, type Plan, stageStream, stageSubject } from '../topology/plan.ts'
import { ensureStreams, streamSpecs } from '../topology/streams.ts'
import { DEFAULT_TUNING } from '../topology/task.ts'
import { type NatsHarness, natsHarness } from './conformance/nats-harness.ts'

export const WORLD_START_MS = Date.UTC(2026, 0, 1)
const NAMESPACE = 'doors'
const PARTITIONS = 2
/** What plans of a world have in common. */
export const WORLD_GRAPH: TopologyOptions = {
  ...{ namespace: NAMESPACE, name: 'doors', clock: 'wall', partitions: PARTITIONS, latenessMs: LATENESS_MS_DEFAULT },
}

export class ReadWorld {
  readonly plan: Plan
  readonly nats: NatsHarness
  readonly log: NatsLog
  readonly host: Host
  readonly reads: HostReads
  readonly #dir: string
  #ids = 0

  private constructor(dir: string, nats: NatsHarness, log: NatsLog, plan: Plan) {
    this.#dir = dir
    this.nats = nats
    this.log = log
    this.plan = plan
    const backend = (task: string) => openRocksBackend(join(dir, task))
    const common = { plan, runtime: realRuntime }
    this.host = new Host({ ...common, log, backend, tuning: DEFAULT_TUNING, role: 'owner', onHalt: () => {} })
    this.reads = new HostReads({ ...common, host: this.host })
  }

  /** `features`: null: page views of the last hour. */
  static start(features: Declarations | null = null): Promise<ReadWorld> {
    const rest = features === null ? {} : { features }
    return ReadWorld.of(pageViewGraph({ ...WORLD_GRAPH, anonymous: 'reject', accepted: 'off', ...rest }))
  }

  /** Of a plan made with WORLD_GRAPH. */
  static async of(plan: Plan): Promise<ReadWorld> {
    const nats = await natsHarness()
    const log = await nats.connect()
    const world = new ReadWorld(await mkdtemp(join(tmpdir(), 'holdfast-doors-')), nats, log, plan)
    await ensureStreams(log, streamSpecs(world.plan, { totalBytes: 256 << 20, replicas: 1 }))
    await world.host.start()
    // A task is open a moment later.
    while (world.host.status().some(({ phase }) => phase === 'opening')) await realRuntime.sleep(1)
    return world
  }

  async close(): Promise<void> {
    await this.host.stop()
    await this.host.close()
    await this.log.close()
    await this.nats.close()
    await rm(this.#dir, { recursive: true })
  }

  /** A page view, taken by the log; its position as text. */
  view(user: string, page: string, time: number): Promise<string> {
    return this.send({ type: 'page_view', event_id: `e${++this.#ids}`, event_time: time, user_id: user, page_id: page })
  }

  /** An event, taken by the log; its position as text. */
  async send(event: { readonly user_id: string; readonly [field: string]: unknown }): Promise<string> {
    const { namespace, stages } = this.plan
    const partition = partitionOf(event.user_id, PARTITIONS)
    const subject = stageSubject(namespace, stages[0]!.name, partition, PLAIN_WRITER)
    const result = await this.log.publish({ subject, headers: null, payload: Buffer.from(JSON.stringify(event)) }, null)
    if (result.kind !== 'stored') throw new Error(result.cause)
    return positionText({ stream: stageStream(namespace, stages[0]!.name, partition), seq: result.seq, index: 0 })
  }

  /** Views of one user, and the position from which on all of them, and their pages, can be read. */
  async views(user: string, pages: readonly string[], time = WORLD_START_MS): Promise<string> {
    let last = ''
    for (const page of pages) last = await this.view(user, page, time)
    return last
  }

  status(): StatusRow[] {
    return rowsOf(this.plan, this.host)
  }
}

/** A server on loopback with the routes to read from the world's host, or by other reads. */
export function readServer(world: ReadWorld, tokens: Tokens | null = null, reads = world.reads): Promise<HttpServer> {
  const status = () => world.status()
  const attribution = attributionIn(world.plan, status)
  const routes: Routes[] = [
    (app) => readRoutes(app, { reads }),
    (app) => purchaseRoutes(app, { reads, timeZoneOf: () => 'UTC' }),
    (app) => evaluationRoutes(app, { reads }),
    (app) =>
      statusRoutes(app, { status, attribution: () => attribution?.() ?? null, model: () => null, evaluated: null }),
  ]
  return openHttpServer({
    ...{ port: 0, namespace: NAMESPACE, tokens, routes, metrics: new HttpMetrics(), version: 'test' },
  })
}

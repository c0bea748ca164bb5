// A server with the live page and the routes it asks, on numbers that a test sets: states of a node that a real one shows
// only by chance (a wait, a halt), at once.

import type { FeatureReads, ReadAsk } from '../../sinks/feature-reads.ts'
import type { Tokens } from '../../sinks/http/auth.ts'
import { HttpMetrics } from '../../sinks/http/metrics.ts'
import { pageRoutes } from '../../sinks/http/page-routes.ts'
import { readRoutes } from '../../sinks/http/read-routes.ts'
import { type HttpServer, openHttpServer } from '../../sinks/http/server.ts'
import { statusRoutes } from '../../sinks/http/status-routes.ts'
import type { StatusRow } from '../../sinks/status.ts'

export const PAGE_NAMESPACE = 'hf'
const WINDOW = { type: 'float', windowMs: 3_600_000, mode: 'panes', paneMs: 60_000, completeFrom: 0 } as const

export class PageNode {
  tasks: StatusRow[] = []
  readonly values = new Map<string, number>()
  epoch = 1
  asOf = Date.now()
  /** Requests that were answered, by path. */
  readonly asked: string[] = []
  #server: HttpServer | null = null
  #port = 0

  get url(): string {
    return `http://127.0.0.1:${this.#port}`
  }

  /** On the port it had before, if it had one. */
  async open(pageDir: string, tokens: Tokens | null = null): Promise<void> {
    this.#server = await openHttpServer({
      ...{ port: this.#port, namespace: PAGE_NAMESPACE, tokens, metrics: new HttpMetrics(), version: 'test' },
      routes: [
        (app) => {
          app.addHook('onSend', async ({ url }) => void this.asked.push(url))
          statusRoutes(app, { status: () => this.#look() })
        },
        (app) => readRoutes(app, { reads: this.#reads() }),
        (app) => pageRoutes(app, { pageDir }),
      ],
    })
    this.#port = Number(new URL(this.#server.url).port)
  }

  async close(): Promise<void> {
    await this.#server?.close()
    this.#server = null
  }

  /** Called at each look, before it is answered: what happened meanwhile. */
  onLook: () => void = () => {}

  #look(): readonly StatusRow[] {
    this.onLook()
    return this.tasks
  }

  #reads(): FeatureReads {
    const features = ['page', 'user'].map((entity) => ({
      ...{ feature: 'page_views_1h', entity, ...WINDOW, stage: entity, owner: null },
      ...{ description: 'Pages seen', how: 'count', bytesMax: null, top: true },
    }))
    return {
      features,
      read: async ({ feature, entity, keys }: ReadAsk) => {
        const info = features.find((one) => one.feature === feature && one.entity === entity)
        if (info === undefined) return { kind: 'unknown_feature' }
        const appliedThrough = { stream: 'hf_user_0', seq: this.epoch, index: 0 }
        const facts = {
          asOf: this.asOf,
          completeThrough: this.asOf - 600_000,
          appliedThrough,
          epoch: this.epoch,
          config: 'c0',
        }
        const values = keys.map((key) => ({
          ...{ key, value: this.values.get(`${entity}/${key}`) ?? 0, at: this.asOf, facts },
        }))
        return { kind: 'read', info, values }
      },
      explain: async () => ({ kind: 'unknown_feature' }),
      top: async (feature, entity, k) => {
        const info = features.find((one) => one.feature === feature && one.entity === entity)
        if (info === undefined) return { kind: 'unknown_feature' }
        const appliedThrough = { stream: 'hf_user_0', seq: this.epoch, index: 0 }
        const facts = {
          asOf: this.asOf,
          completeThrough: this.asOf - 600_000,
          appliedThrough,
          epoch: this.epoch,
          config: 'c0',
        }
        const values = [...this.values]
          .filter(([name]) => name.startsWith(`${entity}/`))
          .sort(([, a], [, b]) => b - a)
          .map(([name, value]) => ({ key: name.slice(entity.length + 1), value, at: this.asOf, facts }))
        return { kind: 'top', info, values: values.slice(0, k), scanned: values.length, complete: true }
      },
      vectors: async () => ({ kind: 'unknown_feature' }),
      pin: async () => null,
      unpin: async () => false,
    }
  }
}

/** A task of a node at work; what differs is given. */
export function taskRow(stage: string, partition: number, more: Partial<StatusRow> = {}): StatusRow {
  return {
    ...{ name: `${stage}-${partition}`, stage, partition, phase: 'running', epoch: 1, seq: 0, pending: 0 },
    ...{ lag_records: null, lag_ms: 0, readable_ms: null, config: 'c0' },
    ...{ watermark: null, last_event: null, waiting: null, counts: {} },
    ...more,
  }
}

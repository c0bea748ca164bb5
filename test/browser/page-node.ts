// A server with the live page and the routes it asks, on numbers that a test sets: states of a node that a real one shows
// only by chance (a wait, a halt), at once.

import { ATTRIBUTION_DEFAULT, type AttributionModel } from '../../operators/attribution-settings.ts'
import type { Decision } from '../../operators/decision-record.ts'
import { DECISIONS_KEPT_MS } from '../../operators/decisions.ts'
import type { AttributionOutcome } from '../../sinks/attribution-reads.ts'
import type { AttributionStatus } from '../../sinks/attribution-status.ts'
import type { EvaluationAsk, EvaluationOutcome } from '../../sinks/evaluation-reads.ts'
import type { EvaluationReport } from '../../sinks/evaluation-report.ts'
import type { FeatureReads, ReadAsk, SnapshotFacts } from '../../sinks/feature-reads.ts'
import type { App } from '../../sinks/http/app.ts'
import type { Tokens } from '../../sinks/http/auth.ts'
import { evaluationRoutes } from '../../sinks/http/evaluation-routes.ts'
import { HttpMetrics } from '../../sinks/http/metrics.ts'
import { pageRoutes } from '../../sinks/http/page-routes.ts'
import { purchaseRoutes } from '../../sinks/http/purchase-routes.ts'
import { readRoutes } from '../../sinks/http/read-routes.ts'
import { type HttpServer, openHttpServer } from '../../sinks/http/server.ts'
import { statusRoutes } from '../../sinks/http/status-routes.ts'
import type { ModelStatus } from '../../sinks/model-status.ts'
import type { PurchasesAsk, PurchasesOutcome } from '../../sinks/purchase-reads.ts'
import type { PurchaseReport } from '../../sinks/purchase-report.ts'
import type { StatusRow } from '../../sinks/status.ts'

export const PAGE_NAMESPACE = 'hf'
const PAGE_MODELS: readonly AttributionModel[] = [{ name: 'last_touch' }, { name: 'linear' }]
const WINDOW = { type: 'float', windowMs: 3_600_000, mode: 'panes', paneMs: 60_000, completeFrom: 0 } as const

export class PageNode {
  tasks: StatusRow[] = []
  /** What it knows of conversions. */
  readonly decisions: Decision[] = []
  /** What it knows of purchases, by advertiser and window. */
  readonly reports = new Map<string, PurchaseReport>()
  /** null: it trains no model. */
  model: ModelStatus | null = null
  /** What it knows of scores, by window; empty: it trains nothing. */
  readonly evaluations = new Map<string, EvaluationReport>()
  /** null: it attributes nothing. */
  attributed: AttributionStatus | null = null
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
          this.#keepAsked(app)
          statusRoutes(app, {
            status: () => this.#look(),
            attribution: () => this.attributed,
            model: () => this.model,
            evaluated: this.evaluations.size === 0 ? null : [...this.evaluations.keys()],
          })
        },
        (app) => {
          this.#keepAsked(app)
          readRoutes(app, { reads: this.#reads() })
          purchaseRoutes(app, { reads: this.#reads(), timeZoneOf: () => 'Europe/Berlin' })
          evaluationRoutes(app, { reads: this.#reads() })
        },
        (app) => pageRoutes(app, { pageDir }),
      ],
    })
    this.#port = Number(new URL(this.#server.url).port)
  }

  #keepAsked(app: App): void {
    app.addHook('onSend', async ({ url }) => void this.asked.push(url))
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

  get #facts(): SnapshotFacts {
    const appliedThrough = { stream: 'hf_user_0', seq: this.epoch, index: 0 }
    return { asOf: this.asOf, completeThrough: this.asOf, appliedThrough, epoch: this.epoch, config: 'c0' }
  }

  #purchases(ask: PurchasesAsk): PurchasesOutcome {
    const window = ask.window ?? ATTRIBUTION_DEFAULT.windows[0]!.name
    const report = this.reports.get(`${ask.advertiser}/${window}`)
    if (report === undefined) return { kind: 'unknown_window', windows: [...this.reports.keys()] }
    return { kind: 'purchases', ask, lane: { goal: ask.goal, window }, report, facts: this.#facts }
  }

  #evaluation(ask: EvaluationAsk): EvaluationOutcome {
    const window = ask.window ?? ATTRIBUTION_DEFAULT.windows[0]!.name
    const report = this.evaluations.get(window)
    if (this.evaluations.size === 0) return { kind: 'no_evaluation' }
    if (report === undefined) return { kind: 'unknown_window', windows: [...this.evaluations.keys()] }
    return { kind: 'evaluation', ask, window, report, facts: this.#facts }
  }

  #attribution(conversion: string): AttributionOutcome {
    const rules = { ...ATTRIBUTION_DEFAULT, models: PAGE_MODELS, keptMs: DECISIONS_KEPT_MS }
    const facts = this.#facts
    const found = this.decisions.filter((one) => one.conversion.id === conversion)
    if (found.length === 0) return { kind: 'unknown_conversion', rules, completeThrough: this.asOf }
    const told = found.map((decision) => ({ decision, facts }))
    return { kind: 'attribution', conversion, rules, found: told, more: false }
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
      purchases: async (ask) => this.#purchases(ask),
      evaluation: async (ask) => this.#evaluation(ask),
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
      attribution: async ({ conversion }) => this.#attribution(conversion),
      pin: async () => null,
      unpin: async () => false,
    }
  }
}

/** A task of a node at work; what differs is given. */
export function taskRow(stage: string, partition: number, more: Partial<StatusRow> = {}): StatusRow {
  return {
    ...{ name: `${stage}-${partition}`, stage, partition, phase: 'running', epoch: 1, seq: 0, pending: 0 },
    ...{ sends_to: [], lag_records: null, lag_ms: 0, readable_ms: null, config: 'c0' },
    ...{ watermark: null, last_event: null, waiting: null, counts: {} },
    ...more,
  }
}

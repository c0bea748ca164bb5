// Which version of a model scores, for a monitoring system, and how old it is. How good its scores were: evaluation-metrics.ts.

import { Counter, Gauge } from 'prom-client'
import type { ModelStatus } from '../model-status.ts'
import type { HttpMetrics } from './metrics.ts'

/** Adds metrics of the live version to `metrics`, taken anew whenever somebody asks. */
export function modelMetrics(metrics: HttpMetrics, status: () => ModelStatus): void {
  const registers = [metrics.registry]
  const gauge = (name: string, help: string) => new Gauge({ name: `holdfast_model_${name}`, help, registers })
  const live = gauge('live_version', 'The version that scores; 0: none, rates answer.')
  const age = gauge('live_age_seconds', 'Time since the live version was published.')
  const stale = gauge('stale', '1 where the live version is older than it may become while the trainer publishes.')
  const refused = new Counter({
    name: 'holdfast_models_refused_total',
    help: 'Versions that were published and did not become live, by why.',
    labelNames: ['reason'],
    registers,
  })
  metrics.onCollect(() => {
    const now = status()
    age.reset()
    refused.reset()
    live.set(now.version)
    if (now.age_ms !== null) age.set(now.age_ms / 1_000)
    stale.set(now.stale ? 1 : 0)
    for (const [reason, count] of Object.entries(now.refused)) refused.inc({ reason }, count)
  })
}

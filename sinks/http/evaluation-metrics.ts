// How good scores were, for a monitoring system: window by window, of all touches and by version.
// EM1: versions are as many as scored the last METRIC_DAYS, the METRIC_VERSIONS_MAX newest of them; where a figure has no meaning there is
//      no series. All touches together are version `all`.

import { Gauge } from 'prom-client'
import type { EvaluatedRows, EvaluationAsk } from '../evaluation-reads.ts'
import type { EvaluationReport } from '../evaluation-report.ts'
import type { FeatureReads } from '../feature-reads.ts'
import { WAIT_MS_DEFAULT } from '../read-schemas.ts'
import type { HttpMetrics } from './metrics.ts'

/** Days of touches behind a figure: two weeks beyond a window of four, so that there are some whose window is over. */
export const METRIC_DAYS = 42
/** Series of each window; a newer version takes the place of the oldest. */
export const METRIC_VERSIONS_MAX = 8

const ASK: Omit<EvaluationAsk, 'window'> = {
  ...{ slice: 'version', id: null, days: METRIC_DAYS, snapshot: null, wait: null, waitMs: WAIT_MS_DEFAULT },
}

/** Adds metrics of evaluation to `metrics`, taken anew whenever somebody asks. */
export function evaluationMetrics(
  metrics: HttpMetrics,
  reads: Pick<FeatureReads, 'evaluation'>,
  windows: readonly string[],
): void {
  const registers = [metrics.registry]
  const gauge = (name: string, help: string, ...labelNames: string[]) =>
    new Gauge({ name: `holdfast_model_${name}`, help, labelNames, registers })
  const entropy = gauge('normalised_entropy', 'Log loss / entropy of the own rate.', 'window', 'version')
  const calibration = gauge('calibration', 'Sum of probabilities / conversions.', 'window', 'version')
  const auc = gauge('auc', 'Area under the curve, from bins.', 'window', 'version')
  const touches = gauge('evaluated_touches', 'Touches behind these figures.', 'window', 'version')
  const estimated = gauge('calibration_estimated', 'Calibration of touches whose window is open.', 'window')
  const rows = gauge('rows', 'Label rows since the beginning, by what became of them.', 'state')
  const set = (of: Gauge, labels: Record<string, string>, value: number | null | undefined): void => {
    if (value != null) of.set(labels, value)
  }
  const tell = (window: string, { total, slices, estimated: open }: EvaluationReport): void => {
    const newest = [...slices].sort((a, b) => Number(b.id) - Number(a.id)).slice(0, METRIC_VERSIONS_MAX)
    for (const { id, ...figures } of [{ id: 'all', ...total }, ...newest]) {
      const labels = { window, version: id === '' ? 'rest' : id }
      set(entropy, labels, figures.normalisedEntropy)
      set(calibration, labels, figures.calibration?.value)
      set(auc, labels, figures.auc?.value)
      set(touches, labels, figures.touches)
    }
    set(estimated, { window }, open?.calibration?.value)
  }
  metrics.onCollect(async () => {
    const outcomes = await Promise.all(windows.map((window) => reads.evaluation({ ...ASK, window })))
    for (const each of [entropy, calibration, auc, touches, estimated, rows]) each.reset()
    let counts: EvaluatedRows | null = null
    for (const outcome of outcomes) {
      if (outcome.kind !== 'evaluation') continue
      tell(outcome.window, outcome.report)
      counts = outcome.report.rows
    }
    for (const [state, count] of Object.entries(counts ?? {})) rows.set({ state }, count)
  })
}

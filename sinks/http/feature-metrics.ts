// How fresh each feature is, for a monitoring system: as fresh as the tasks that keep what it is made of.
// FM1: a series for each feature of the plan and no key: there are as many as were declared.

import { Gauge } from 'prom-client'
import type { ListedFeature } from '../feature-reads.ts'
import type { StatusRow } from '../status.ts'
import type { HttpMetrics } from './metrics.ts'

const MS_PER_SECOND = 1_000

/** Adds metrics of features to `metrics`, taken anew whenever somebody asks. */
export function featureMetrics(
  metrics: HttpMetrics,
  features: readonly ListedFeature[],
  status: () => readonly StatusRow[],
): void {
  const labelNames = ['entity', 'feature'] as const
  const gauge = (name: string, help: string) =>
    new Gauge({ name: `holdfast_feature_${name}`, help, labelNames, registers: [metrics.registry] })
  const lastEvent = gauge(
    'last_event_seconds',
    'Time of the newest event that what is read may have, seconds since 1970.',
  )
  const complete = gauge(
    'complete_through_seconds',
    'Up to when nothing more is expected for any key, seconds since 1970.',
  )
  metrics.onCollect(() => {
    lastEvent.reset()
    complete.reset()
    const byStage = Map.groupBy(status(), ({ stage }) => stage)
    for (const { entity, feature, stage } of features) {
      const rows = byStage.get(stage) ?? []
      const events = rows.flatMap(({ last_event }) => last_event ?? [])
      const watermarks = rows.flatMap(({ watermark }) => watermark ?? [])
      if (events.length > 0) lastEvent.set({ entity, feature }, Math.max(...events) / MS_PER_SECOND)
      // A task without a watermark promises nothing yet.
      if (rows.length > 0 && watermarks.length === rows.length)
        complete.set({ entity, feature }, Math.min(...watermarks) / MS_PER_SECOND)
    }
  })
}

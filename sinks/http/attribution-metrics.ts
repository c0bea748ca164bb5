// What is attributed and labelled, for a monitoring system: window by window, and how far it is from the law of conservation.

import { Counter, Gauge } from 'prom-client'
import { type AttributionStatus, LABEL_KINDS } from '../attribution-status.ts'
import type { HttpMetrics } from './metrics.ts'

/** Adds metrics of attribution to `metrics`, taken anew whenever somebody asks. `goal` is empty where none are declared. */
export function attributionMetrics(metrics: HttpMetrics, status: () => AttributionStatus): void {
  const registers = [metrics.registry]
  const counter = (name: string, help: string, ...labelNames: string[]) =>
    new Counter({ name: `holdfast_${name}_total`, help, labelNames, registers })
  const attributed = counter('attributed', 'Conversions that somebody has the credit of.', 'goal', 'window')
  const unattributed = counter('unattributed', 'Conversions that nobody has the credit of.', 'goal', 'window')
  const rows = counter('label_rows', 'Label rows, by kind.', 'goal', 'window', 'kind')
  const credited = counter('credited_touches', 'Touches that are credited.', 'goal', 'window')
  const lateTouches = counter('late_touches', 'Touches that came after conversions they could be credited with.')
  const unmatched = counter('refunds_unmatched', 'Refunds of orders that nobody knows.')
  const difference = new Gauge({
    name: 'holdfast_label_conservation_difference',
    help: 'Touches by which credits and label rows differ: 0, or a bug.',
    labelNames: ['goal', 'window'],
    registers,
  })
  metrics.onCollect(() => {
    for (const each of [attributed, unattributed, rows, credited, lateTouches, unmatched, difference]) each.reset()
    const { lanes, late_touches, refunds_unmatched } = status()
    for (const lane of lanes) {
      const labels = { goal: lane.goal ?? '', window: lane.window }
      attributed.inc(labels, lane.attributed)
      unattributed.inc(labels, lane.unattributed)
      credited.inc(labels, lane.credited)
      difference.set(labels, lane.difference)
      for (const kind of LABEL_KINDS) rows.inc({ ...labels, kind }, lane.rows[kind])
    }
    lateTouches.inc(late_touches)
    unmatched.inc(refunds_unmatched)
  })
}

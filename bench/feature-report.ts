// The figures of the compiled features as text for people.

import type { FeatureCell, FeatureFigures } from './feature-cells.ts'
import type { LiveFeatures } from './live-features.ts'
import { best, table } from './report.ts'

const HEADS = [
  ...['features', 'plan', 'records', 'events/s', 'to all', 'node us', 'to all', 'reads/event', 'writes/event'],
  ...['record MB', 'to all', 'files MB'],
]
const MB = 1e6

/** `live`: of a node beside them. */
export function featureText({ cells, compile }: FeatureFigures, live: LiveFeatures): string {
  const counts = [...new Set(cells.map(({ features }) => features))]
  const rows = counts.flatMap((count) => {
    const own = cells.filter(({ features }) => features === count)
    return own.map((cell) => row(cell, own[0]!))
  })
  const { features, pipelines, ms } = compile
  return [
    table(HEADS, rows, 2),
    '',
    `${features.toLocaleString('en-US')} features in ${pipelines} pipelines compile in ${Math.round(ms)} ms`,
    liveText(live),
  ].join('\n')
}

export function liveText({ events, seconds, nodeCpuSeconds }: LiveFeatures): string {
  const each = ((nodeCpuSeconds * 1e6) / events).toFixed(1)
  const rate = Math.round(events / seconds).toLocaleString('en-US')
  return `live, application: ${each} us an event at ${rate} events/s`
}

function row(cell: FeatureCell, whole: FeatureCell): string[] {
  const { features, plan, groups, events, reads, writes, recordBytes, fileBytes } = cell
  const { seconds } = best(cell.samples)
  return [
    ...[String(features), plan, String(groups)],
    Math.round(events / seconds).toLocaleString('en-US'),
    (best(whole.samples).seconds / seconds).toFixed(2),
    ((leastCpu(cell) * 1e6) / events).toFixed(1),
    (leastCpu(cell) / leastCpu(whole)).toFixed(2),
    ...[reads, writes].map((count) => (count / events).toFixed(2)),
    (recordBytes / MB).toFixed(2),
    (recordBytes / whole.recordBytes).toFixed(2),
    (fileBytes / MB).toFixed(2),
  ]
}

/** Of the samples: what neighbours on the machine blur least. */
const leastCpu = ({ samples }: FeatureCell): number => Math.min(...samples.map(({ nodeCpuSeconds }) => nodeCpuSeconds))

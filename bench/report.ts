// The figures of a bench as text for people; the JSON file holds every sample.

import type { CapacityCell } from './capacity-cells.ts'
import { JOINER_MEASUREMENTS, type JoinerCell, type JoinerMeasurement } from './joiner-cells.ts'
import { SHARES, SPAN_DAYS } from './joiner-input.ts'
import type { Machine } from './machine.ts'
import type { Sample } from './meter.ts'
import type { RestartCell, RestartSample } from './restart-cells.ts'
import { MEASUREMENTS, type Measurement, type ThroughputCell } from './throughput-cells.ts'

type Align = 'left' | 'right'

/** Columns as wide as their widest cell. */
export function table(heads: readonly string[], rows: readonly (readonly string[])[], left = 1): string {
  const widths = heads.map((head, i) => Math.max(head.length, ...rows.map((row) => row[i]!.length)))
  const pad = (text: string, i: number, align: Align): string =>
    align === 'left' ? text.padEnd(widths[i]!) : text.padStart(widths[i]!)
  const line = (cells: readonly string[]): string =>
    cells
      .map((cell, i) => pad(cell, i, i < left ? 'left' : 'right'))
      .join('  ')
      .trimEnd()
  return [line(heads), line(widths.map((width) => '-'.repeat(width))), ...rows.map(line)].join('\n')
}

export function machineText(m: Machine): string {
  return [
    `${m.date} · commit ${m.commit} · load before ${m.loadBefore.toFixed(1)}`,
    `${m.cores} x ${m.cpu} · ${m.memoryGiB} GiB · ${m.os} · node ${m.node} · ${m.natsServer} · ${m.rocksdb}`,
  ].join('\n')
}

export function throughputText(cells: readonly ThroughputCell[]): string {
  const heads = [
    'input',
    'messages',
    'measurement',
    'partitions',
    'threads',
    'events/s',
    'ratio',
    'CPU ratio',
    'main us',
    'node us',
    'server us',
  ]
  heads.push('loop p99 ms')
  const rows = cells.flatMap((cell) => MEASUREMENTS.map((measurement) => row(cell, measurement)))
  return table(heads, rows, 3)
}

function row(cell: ThroughputCell, measurement: Measurement): string[] {
  const { dataset, perMessage, events, partitions, threads } = cell.task
  const sample = best(cell.samples[measurement])
  const microsecondsEach = (seconds: number): string => ((seconds * 1e6) / events).toFixed(2)
  return [
    dataset,
    perMessage === 1 ? 'single' : `frames of ${perMessage}`,
    measurement,
    String(partitions),
    String(isGraph(measurement) ? threads : 1),
    Math.round(events / sample.seconds).toLocaleString('en-US'),
    ratioToParse(cell, measurement).toFixed(2),
    cpuRatioToParse(cell, measurement).toFixed(2),
    ...[sample.mainCpuSeconds, sample.nodeCpuSeconds, sample.serverCpuSeconds].map(microsecondsEach),
    sample.loopDelayP99Ms.toFixed(1),
  ]
}

/** What a task of the graph is not needed for runs on the main thread. */
const isGraph = (measurement: Measurement): boolean => !measurement.startsWith('consume')

/** The fastest sample: what the work takes when nothing else is at work. */
export function best(samples: readonly Sample[]): Sample {
  return samples.reduce((a, b) => (b.seconds < a.seconds ? b : a))
}

/** Of the rate to that of consume-and-parse in the same run. */
export function ratioToParse({ samples }: ThroughputCell, measurement: Measurement): number {
  return best(samples['consume-and-parse']).seconds / best(samples[measurement]).seconds
}

/** The same by CPU time of the main thread, least of the samples: says what neighbours on the machine cannot blur. */
export function cpuRatioToParse({ samples }: ThroughputCell, measurement: Measurement): number {
  return leastCpu(samples['consume-and-parse']) / leastCpu(samples[measurement])
}

const leastCpu = (samples: readonly Sample[]): number => Math.min(...samples.map((sample) => sample.mainCpuSeconds))

/** The full path, beside reading and parsing the same. */
export function joinerText(cells: readonly JoinerCell[]): string {
  const heads = [
    'messages',
    'measurement',
    'threads',
    'events/s',
    'ratio',
    'CPU ratio',
    'node us',
    'server us',
    'RSS MiB',
  ]
  const rows = cells.flatMap((cell) => JOINER_MEASUREMENTS.map((measurement) => joinerRow(cell, measurement)))
  const shares = Object.entries(SHARES).map(([type, percent]) => `${percent} % ${type.replace('_', ' ')}s`)
  const first = `${shares.join(', ')}, spread over ${SPAN_DAYS} days`
  return [first, '', table(heads, rows, 2), '', ...cells.map(keptText)].join('\n')
}

function joinerRow({ task, samples, rssMiB }: JoinerCell, measurement: JoinerMeasurement): string[] {
  const { events, perMessage, threads } = task
  const isWhole = measurement === 'full path'
  const own = samples[measurement]
  const parse = samples['consume-and-parse']
  const leastOf = (of: readonly Sample[], field: 'nodeCpuSeconds' | 'serverCpuSeconds'): number =>
    Math.min(...of.map((sample) => sample[field]))
  const us = (seconds: number): string => ((seconds * 1e6) / events).toFixed(2)
  return [
    perMessage === 1 ? 'single' : `frames of ${perMessage}`,
    measurement,
    String(isWhole ? threads : 1),
    Math.round(events / best(own).seconds).toLocaleString('en-US'),
    (best(parse).seconds / best(own).seconds).toFixed(3),
    (leastOf(parse, 'nodeCpuSeconds') / leastOf(own, 'nodeCpuSeconds')).toFixed(3),
    us(leastOf(own, 'nodeCpuSeconds')),
    us(leastOf(own, 'serverCpuSeconds')),
    isWhole ? rssMiB.toFixed(0) : '',
  ]
}

function keptText({ task, touches, conversions, attributed, rows, stateBytes }: JoinerCell): string {
  const perMillion = (bytes: number): string => `${(bytes / touches).toFixed(0)} MB`
  const kinds = Object.entries(rows).map(([kind, count]) => `${n(count)} ${kind}`)
  return (
    `${n(task.events)} events: ${n(touches)} touches, ${n(conversions)} conversions, ${n(attributed)} times credited; rows ${kinds.join(', ')}; ` +
    `per million touches user-2 has ${perMillion(stateBytes['user-2'])}, clicks ${perMillion(stateBytes.clicks)}`
  )
}

export function restartText(cells: readonly RestartCell[]): string {
  const heads = [
    'keys = seen ids',
    'process',
    'threads',
    'events',
    'first record s',
    'CPU s by then',
    'then events/s',
    'CPU s',
  ]
  heads.push('server CPU s', 'RSS MiB', 'RSS max MiB', 'main heap MiB')
  const rows = cells.flatMap(({ keys, threads, eventsAfter, build, restart }) => [
    [n(keys), 'builds it', String(threads), ...restartRow(keys, build)],
    [n(keys), 'starts on it', String(threads), ...restartRow(eventsAfter, restart)],
  ])
  return table(heads, rows, 2)
}

/** What topology/capacity.ts says beside what runs left. */
export function capacityText(cells: readonly CapacityCell[]): string {
  const rows = cells.flatMap(({ name, comparisons }) =>
    comparisons.map(({ what, unit, promised, measured }) => [
      ...[name, what, unit],
      ...[promised, measured, promised / measured].map((value) => value.toFixed(2)),
    ]),
  )
  return table(['of', 'what', 'in', 'by the model', 'measured', 'ratio'], rows, 3)
}

const n = (value: number): string => value.toLocaleString('en-US')

function restartRow(events: number, sample: RestartSample): string[] {
  return [
    n(events),
    sample.firstRecordSeconds.toFixed(2),
    sample.firstRecordCpuSeconds.toFixed(2),
    Math.round(events / sample.restSeconds).toLocaleString('en-US'),
    sample.cpuSeconds.toFixed(1),
    sample.serverCpuSeconds.toFixed(1),
    ...[sample.rssMiB, sample.rssMaxMiB, sample.heapUsedMiB].map((mib) => mib.toFixed(0)),
  ]
}

/** The page with what a command printed between the marks of a section, `bench` where nothing else is said. */
export function withSection(page: string, command: string, text: string, section = 'bench'): string {
  const [first, last] = [`<!-- ${section}: begin -->`, `<!-- ${section}: end -->`]
  const [begin, end] = [page.indexOf(first), page.indexOf(last)]
  if (begin === -1 || end < begin) throw new Error(`the page has no ${first} … ${last}`)
  const printed = `Printed by \`${command}\`:\n\n\`\`\`text\n${text}\n\`\`\``
  return `${page.slice(0, begin)}${first}\n${printed}\n${page.slice(end)}`
}

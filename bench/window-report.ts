// The figures of windows and holds as text for people.

import type { Sample } from './meter.ts'
import { table } from './report.ts'
import type { WindowCell } from './window-cells.ts'
import type { WindowRun } from './window-run.ts'

const MB = 1e6
const MILLION = 1e6

/** What each number of windows costs, to one; then what state is made of, with vectors and without. */
export function windowText(cells: readonly WindowCell[]): string {
  const plain = cells.filter(({ vectorFeatures }) => vectorFeatures === 0)
  const chain = plain.slice(0, Math.max(...plain.map(({ windows }) => windows.length)))
  return [
    costTable(plain),
    '',
    ...['node CPU', 'wall time', 'state with all holds', 'label records'].map((what, i) => addedText(what, chain, i)),
    rowsText(chain),
    '',
    stateTable(cells.filter(({ windows }) => windows.length === chain.length)),
  ].join('\n')
}

/** What a cell costs, the least of its samples: CPU and wall seconds of both legs, bytes, records. */
function costsOf({ samples }: WindowCell): readonly [cpu: number, wall: number, bytes: number, records: number] {
  const least = (of: (run: WindowRun) => number): number => Math.min(...samples.map(of))
  const both = (of: (sample: Sample) => number): number => least(({ flow, end }) => of(flow) + of(end))
  return [
    both(({ nodeCpuSeconds }) => nodeCpuSeconds),
    both(({ seconds }) => seconds),
    least(({ heldBytes }) => total(heldBytes)),
    least(({ labelRecords }) => labelRecords),
  ]
}

const total = (bytes: WindowRun['heldBytes']): number => Object.values(bytes).reduce((sum, one) => sum + one, 0)

function costTable(cells: readonly WindowCell[]): string {
  const one = costsOf(cells[0]!)
  const heads = ['windows', 'n', 'node us/touch', 'to one', 'server us', 'seconds', 'to one', 'held MB', 'to one']
  heads.push('end MB', 'label records', 'to one')
  const rows = cells.map((cell) => {
    const { windows, touches, samples } = cell
    const [cpu, wall, bytes, records] = costsOf(cell)
    const ratio = (i: number): string => (costsOf(cell)[i]! / one[i]!).toFixed(2)
    const server = Math.min(...samples.map(({ flow, end }) => flow.serverCpuSeconds + end.serverCpuSeconds))
    return [
      windows.length === 1 ? windows[0]! : `+ ${windows.at(-1)}`,
      String(windows.length),
      ...[((cpu * MILLION) / touches).toFixed(1), ratio(0), ((server * MILLION) / touches).toFixed(1)],
      ...[wall.toFixed(1), ratio(1), (bytes / MB).toFixed(1), ratio(2)],
      (Math.min(...samples.map(({ endBytes }) => total(endBytes))) / MB).toFixed(1),
      ...[records.toLocaleString('en-US'), ratio(3)],
    ]
  })
  return table(heads, rows)
}

/** By how much each window added to the first raises a cost, and the mean of them. */
function addedText(what: string, chain: readonly WindowCell[], cost: number): string {
  const costs = chain.map((cell) => costsOf(cell)[cost]!)
  const percent = (part: number): string => `${part >= 0 ? '+' : ''}${(100 * part).toFixed(1)} %`
  const steps = costs.slice(1).map((value, i) => percent((value - costs[i]!) / costs[0]!))
  const mean = (costs.at(-1)! / costs[0]! - 1) / (costs.length - 1)
  return `${what} of an added window, of that with one: ${steps.join(', ')}; mean ${percent(mean)}`
}

function rowsText(chain: readonly WindowCell[]): string {
  const [one, all] = [chain[0]!, chain.at(-1)!].map(({ samples }) => samples[0]!.mature)
  const n = (value: number): string => value.toLocaleString('en-US')
  const shared = Object.entries(one!)
    .map(([window, { rows, positives }]) => `${window} ${n(rows)}, of them ${n(positives)} with y = 1`)
    .join('; ')
  const others = Object.entries(all!).map(([window, { rows, positives }]) => `${window} ${n(rows)} (${n(positives)})`)
  return `M rows that are the same bytes in all runs: ${shared}; with all windows: ${others.join(', ')}`
}

/** Bytes with all holds, by stage, for a million touches. */
function stateTable(cells: readonly WindowCell[]): string {
  const stages = [...new Set(cells.flatMap(({ samples }) => Object.keys(samples[0]!.heldBytes)))]
  const rows = cells.map(({ windows, vectorFeatures, touches, samples }) => {
    const { heldBytes } = samples[0]!
    const perMillion = (bytes: number): string => ((bytes * MILLION) / touches / MB).toFixed(1)
    return [
      `${windows.length} windows, ${vectorFeatures === 0 ? 'no vectors' : `vectors of ${vectorFeatures} features`}`,
      ...stages.map((stage) => perMillion(heldBytes[stage] ?? 0)),
      perMillion(total(heldBytes)),
    ]
  })
  return table(['state of a million touches, MB', ...stages, 'together'], rows)
}

// The figures of the front door as text for people: rates, latencies and whose CPU it took.

import type { DoorCell } from './door-cells.ts'
import { table } from './report.ts'

const HEADS = [
  ...['measurement', 'offered/s', 'done/s', 'failed', 'p50 ms', 'p99 ms', 'max ms'],
  ...['node cores', 'server cores', 'client cores', 'node us'],
]

export function doorText(cells: readonly DoorCell[]): string {
  const rows = cells.map((cell) => {
    const { name, offeredPerSecond, done, failed, seconds, nodeCpuSeconds } = cell
    const cores = [nodeCpuSeconds, cell.serverCpuSeconds, cell.clientCpuSeconds].map((s) => (s / seconds).toFixed(2))
    return [
      name,
      offeredPerSecond === null ? 'all it can' : whole(offeredPerSecond),
      whole(done / seconds),
      whole(failed + (cell.beside?.failed ?? 0)),
      ...[cell.p50Ms, cell.p99Ms, cell.maxMs].map((ms) => ms.toFixed(2)),
      ...cores,
      // Beside another load it would be that of both.
      cell.beside === null ? ((nodeCpuSeconds * 1e6) / Math.max(1, done)).toFixed(1) : '',
    ]
  })
  return table(HEADS, rows)
}

const whole = (value: number): string => Math.round(value).toLocaleString('en-US')

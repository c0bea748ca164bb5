// `holdfast capacity`: what a deployment needs for a load, every line a product that can be checked. The model and its
// coefficients are topology/capacity.ts; docs/capacity.md says what it cannot know.

import type { Command } from 'commander'
import { HoldfastError } from '../log/errors.ts'
import { WINDOW_MS_MAX } from '../operators/windowed-count.ts'
import {
  type Capacity,
  capacityOf,
  factorsText,
  type Line,
  LOAD_DEFAULT,
  type Load,
  plainNumber as plain,
  type Sum,
} from '../topology/capacity.ts'
import { PARTITIONS_MAX } from '../topology/dsl.ts'
import { byteCount, bytesText } from './byte-count.ts'
import { THREADS_DEFAULT, THREADS_MAX } from './settings.ts'
import { wholeNumber } from './whole-number.ts'

/** More than anybody has of it; a typing error is larger. */
const MANY = 1e12

interface CapacityOptions {
  readonly eventsPerS: number
  readonly users: number
  readonly pages: number
  readonly windows: readonly number[]
  readonly partitions?: number
  readonly eventBytes: number
  readonly idBytes: number
  readonly eventsPerMessage: number
  readonly duplicateDays: number
  readonly touchShare: number
  readonly conversionShare: number
  readonly logHours: number
  readonly peak: number
  readonly skew: number
  readonly threads: number
  readonly memory?: number
  readonly json?: boolean
}

/** Adds the command. */
export function capacityCommand(program: Command): void {
  const d = LOAD_DEFAULT
  program
    .command('capacity')
    .description('What a node needs for a load: log, state, memory, cores, partitions, each with its sum.')
    .requiredOption('--events-per-s <n>', 'events a second, the mean of days', number('--events-per-s', 1, 1e9))
    .requiredOption('--users <n>', 'different users in the longest window', number('--users', 1, MANY))
    .option('--pages <n>', 'different pages in it', number('--pages', 1, MANY), d.pages)
    .option('--windows <list>', 'windows of the counts, like 1h,24h,7d', windowsIn, d.windowsMs)
    .option(
      '--partitions <n>',
      'tasks per stage (default: as many as needed)',
      number('--partitions', 1, PARTITIONS_MAX),
    )
    .option('--event-bytes <n>', 'bytes of an event as JSON', number('--event-bytes', 50, 1 << 20), d.eventBytes)
    .option('--id-bytes <n>', 'bytes of a user, event or page id, each', number('--id-bytes', 1, 256), d.idBytes)
    .option(
      '--events-per-message <n>',
      'events that come together',
      number('--events-per-message', 1, 10_000),
      d.eventsPerMessage,
    )
    .option(
      '--duplicate-days <n>',
      'how far apart duplicates are recognised',
      number('--duplicate-days', 1, 366),
      d.duplicateDays,
    )
    .option(
      '--touch-share <n>',
      'of the events clicks and impressions, 0 to 1; the others are page views',
      decimal('--touch-share', 0, 1),
      d.touchShare,
    )
    .option(
      '--conversion-share <n>',
      'of the events those with an order, 0 to 1',
      decimal('--conversion-share', 0, 1),
      d.conversionShare,
    )
    .option(
      '--log-hours <n>',
      'how long tasks, or readers of accepted events, may be away',
      number('--log-hours', 1, 8_784),
      d.logHours,
    )
    .option('--peak <n>', 'highest rate to the mean', decimal('--peak', 1, 1_000), d.peak)
    .option('--skew <n>', 'largest partition to the mean one', decimal('--skew', 1, 1_000), d.skew)
    .option('--threads <n>', 'threads of the node', number('--threads', 1, THREADS_MAX), THREADS_DEFAULT)
    .option('--memory <bytes>', 'say whether it fits, like 2G; exit 1 if not', byteCount('--memory'))
    .option('--json', 'print every line with its factors as JSON')
    .action((options: CapacityOptions) => {
      const { windows: windowsMs, partitions = null, memory = null, json, ...rest } = options
      const load: Load = { ...rest, windowsMs, partitions }
      if (load.touchShare + load.conversionShare > 1)
        throw new HoldfastError('USAGE', '--touch-share and --conversion-share are more than 1 together')
      const capacity = capacityOf(load)
      const fits = memory === null ? null : capacity.memory.total <= memory
      const text = json
        ? `${JSON.stringify({ load, ...capacity, ...(memory !== null && { limit: memory, fits }) }, null, 2)}\n`
        : `${[...capacityLines(load, capacity), ...verdict(capacity, memory)].join('\n')}\n`
      process.stdout.write(text)
      if (fits === false) process.exitCode = 1
    })
}

const number = wholeNumber

function decimal(option: string, min: number, max: number): (text: string) => number {
  return (text) => {
    const value = Number(text)
    if (/^\d+(\.\d+)?$/.test(text) && value >= min && value <= max) return value
    throw new HoldfastError('USAGE', `${option} must be a number from ${min} to ${max}, not "${text}"`)
  }
}

const UNIT_MS: Readonly<Record<string, number>> = { m: 60_000, h: 3_600_000, d: 86_400_000 }

function windowsIn(text: string): readonly number[] {
  return text.split(',').map((window) => {
    const [, count, unit] = /^(\d{1,6})([mhd])$/.exec(window) ?? []
    const ms = Number(count) * (UNIT_MS[unit ?? ''] ?? Number.NaN)
    if (ms > 0 && ms <= WINDOW_MS_MAX) return ms
    throw new HoldfastError('USAGE', `--windows: "${window}" is no window from 1m to 366d, like 30m, 1h or 7d`)
  })
}

function capacityLines(load: Load, c: Capacity): string[] {
  const { stages, partitions, partitionsNeeded, threads } = c
  const { eventsPerS, peak, skew, touchShare, conversionShare } = load
  const percent = (share: number): string => `${plain(100 * share)} %`
  const assumed = `assumed: at the peak ${peak} x the mean, in the largest partition ${skew} x the mean one; ${percent(touchShare)} touches, ${percent(conversionShare)} conversions`
  const asked = partitions < partitionsNeeded ? ` (the load needs ${partitionsNeeded})` : ''
  return [
    `${plain(eventsPerS)} events/s · ${plain(partitions)} partitions${asked} · ${stages} stages · ${stages * partitions} tasks on ${threads} threads`,
    assumed,
    ...block('Log, written in an hour', c.logPerHour, bytesText),
    ...block(`Log, held for ${load.logHours} hours`, c.logHeld, bytesText),
    ...block('Room for the log: --log-bytes', c.logBytes, bytesText),
    ...block('State on disk, at most', c.state, bytesText),
    ...block('Memory of the largest task', c.taskMemory, bytesText),
    ...block('Memory of the node', c.memory, bytesText),
    ...block('Cores at the peak', c.cores, coresText),
  ]
}

function block(title: string, sum: Sum, text: (product: number) => string): string[] {
  return ['', title, ...table(sum.lines, text), `  = ${text(sum.total)}`]
}

/** A line is: what, product, and the factors it is made of. */
function table(lines: readonly Line[], text: (product: number) => string): string[] {
  const nameWidth = Math.max(...lines.map(({ what }) => what.length))
  const productWidth = Math.max(...lines.map(({ product }) => text(product).length))
  return lines.map((line) => {
    const { what, product } = line
    return `  ${what.padEnd(nameWidth)}  ${text(product).padStart(productWidth)}  = ${factorsText(line)}`
  })
}

function verdict({ memory: { total } }: Capacity, limit: number | null): string[] {
  if (limit === null) return []
  const fits = total <= limit
  return [
    '',
    `memory: ${bytesText(total)} ${fits ? '<=' : '>'} ${bytesText(limit)}: ${fits ? 'it fits' : 'it does not fit'}`,
  ]
}

const coresText = (cores: number): string => `${cores.toFixed(2)} cores`

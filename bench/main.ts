// npm run bench -- --json FILE: how many events Holdfast takes in a second, how soon a node is back and how much memory it
// takes, on this machine. Figures, not tests: nothing fails for being slow. What fails is a run whose outputs differ (TH1).
// Exit 0: measured. 1: something failed. 2: wrong arguments. 130: interrupted. docs/bench.md explains the figures.

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Command, CommanderError, Option } from 'commander'
import { THREADS_DEFAULT, THREADS_MAX } from '../cli/settings.ts'
import { wholeNumber } from '../cli/whole-number.ts'
import { HoldfastError } from '../log/errors.ts'
import { PARTITIONS_MAX } from '../topology/dsl.ts'
import { pageViewGraph } from '../topology/graph.ts'
import { tasksOf } from '../topology/host.ts'
import type { Plan } from '../topology/plan.ts'
import { type BulkCell, type BulkSize, bulkCells, bulkText } from './bulk-run.ts'
import { type CapacityCell, capacityCells } from './capacity-cells.ts'
import type { ChildOptions } from './child.ts'
import { type DoorCell, doorCells } from './door-cells.ts'
import { doorText } from './door-report.ts'
import { type FeatureFigures, featureCells } from './feature-cells.ts'
import { featureText } from './feature-report.ts'
import { type JoinerCell, joinerCells } from './joiner-cells.ts'
import { type LiveFeatures, liveFeatures } from './live-features.ts'
import { type Machine, machine } from './machine.ts'
import { type ModelFigures, modelText } from './model-report.ts'
import { modelCells } from './models-run.ts'
import { benchPlan, joinerGraph } from './plan.ts'
import { capacityText, joinerText, machineText, restartText, throughputText, withSection } from './report.ts'
import { type RestartCell, restartCells } from './restart-cells.ts'
import { latencyCells } from './score-latency.ts'
import { stateCosts } from './state-costs.ts'
import { CELL_NAMES, type ThroughputCell, throughputCells } from './throughput-cells.ts'
import { type WindowCell, windowCells } from './window-cells.ts'
import { windowText } from './window-report.ts'

const PARTS = [
  'throughput',
  'restart',
  'door',
  'bulk',
  'features',
  'joiner',
  'windows',
  'models',
  'state',
  'capacity',
] as const
type Part = (typeof PARTS)[number]

interface Options {
  readonly json?: string
  readonly docs?: boolean
  readonly quick?: boolean
  readonly large?: boolean
  readonly only?: Part
  readonly cell?: string[]
  readonly events?: number
  readonly samples?: number
  readonly partitions: number
  readonly threads: number
  readonly keys?: number[]
  readonly profile?: string
}

/** What is measured where nothing else is said. */
interface Size {
  readonly parts: readonly Part[]
  readonly framedEvents: number
  readonly singleEvents: number
  readonly samples: number
  readonly keys: readonly number[]
  readonly eventsAfter: number
  /** Of each measurement of the front door. */
  readonly doorSeconds: number
  readonly bulk: BulkSize
  /** Of each plan of the features. */
  readonly featureEvents: number
  /** Of a live node that keeps features, measured. */
  readonly liveSeconds: number
  /** Of each set of windows. */
  readonly windowTouches: number
  /** That each model learns and scores. */
  readonly modelRows: number
  /** Of a live node that scores, measured: with one version, and while it is swapped. */
  readonly scoredSeconds: number
}

const WHOLE: Size = {
  parts: ['throughput', 'restart', 'door'],
  framedEvents: 1_000_000,
  singleEvents: 400_000,
  samples: 3,
  keys: [1_000_000],
  eventsAfter: 100_000,
  doorSeconds: 6,
  bulk: { burst: 100_000, backlog: 1_000_000, seconds: 6 },
  featureEvents: 40_000,
  liveSeconds: 20,
  windowTouches: 200_000,
  modelRows: 200_000,
  scoredSeconds: 20,
}
/** Of throughput. On two cores two of them are no faster: what a second thread adds the server and RocksDB lack. */
const PARTITIONS_DEFAULT = 1
/** Of the front door, as the third issue asks for. */
const DOOR_PARTITIONS = 2
/** Ten million keys take longer to build than everything else together. */
const KEYS_LARGE = 10_000_000
/** Says whether the bench works, not how fast Holdfast is: most of its time is start and warm-up. */
const QUICK: Size = {
  ...WHOLE,
  framedEvents: 60_000,
  singleEvents: 30_000,
  samples: 1,
  keys: [50_000],
  eventsAfter: 10_000,
  doorSeconds: 0.2,
  bulk: { burst: 3_000, backlog: 5_000, seconds: 1 },
  featureEvents: 2_000,
  liveSeconds: 0.5,
  windowTouches: 2_000,
  modelRows: 2_000,
  scoredSeconds: 4,
}

interface Results {
  readonly machine: Machine
  readonly throughput?: readonly ThroughputCell[]
  readonly restart?: readonly RestartCell[]
  readonly door?: readonly DoorCell[]
  readonly bulk?: readonly BulkCell[]
  readonly features?: FeatureFigures & { readonly live: LiveFeatures }
  readonly joiner?: readonly JoinerCell[]
  readonly capacity?: readonly CapacityCell[]
  readonly windows?: readonly WindowCell[]
  readonly models?: ModelFigures
}

const EXIT = { failed: 1, usage: 2, interrupted: 130 } as const
/** A server that was just ended may still be writing its last file. */
const RM_RETRIES = 5
const DOCS = new URL('../docs/bench.md', import.meta.url)

const program = new Command('npm run bench --')
  .description('Measure throughput, restart time and memory on this machine; fails only if outputs differ.')
  .option('--json <file>', 'write machine, versions and every sample there')
  .option('--docs', 'put the tables into docs/bench.md')
  .option('--quick', 'a small run, under a minute')
  .option('--large', 'restart with 10,000,000 keys as well; many minutes more')
  .addOption(
    new Option(
      '--only <part>',
      'one part (bulk, features, joiner, windows, models, capacity and state, microseconds per operation, are asked for by name)',
    ).choices(PARTS),
  )
  .addOption(new Option('--cell <names...>', 'of throughput only these inputs').choices(CELL_NAMES))
  .option('--events <n>', 'events of an input (default 1,000,000 in frames, 400,000 single)', number('--events'))
  .option('--samples <n>', 'samples of each throughput measurement, after a warm-up', number('--samples', 1, 100))
  .option(
    '--partitions <n>',
    'of throughput: tasks per stage',
    wholeNumber('--partitions', 1, PARTITIONS_MAX),
    PARTITIONS_DEFAULT,
  )
  .option(
    '--threads <n>',
    'threads that the tasks are spread over',
    wholeNumber('--threads', 1, THREADS_MAX),
    THREADS_DEFAULT,
  )
  .option('--keys <n...>', 'keys of restart (default 1,000,000)', numbers)
  .option('--profile <dir>', 'profile one more run of the graph per input; .cpuprofile and its top functions go there')
  .exitOverride()
  .configureOutput({ outputError: () => {} })

function number(option: string, min = 1_000, max = 1e9): (text: string) => number {
  return wholeNumber(option, min, max)
}

function numbers(text: string, before: number[] = []): number[] {
  return [...before, number('--keys')(text)]
}

async function bench(options: Options, child: ChildOptions, directory: string): Promise<Results> {
  const size = options.quick === true ? QUICK : WHOLE
  const parts = options.only === undefined ? size.parts : [options.only]
  const { partitions } = options
  const threadsOf = (plan: Plan): number => Math.min(options.threads, tasksOf(plan).length)
  const on = await machine()
  const profile = options.profile ?? null
  if (profile !== null) await mkdir(profile, { recursive: true })
  const throughput = parts.includes('throughput')
    ? await throughputCells({
        ...child,
        directory,
        profile,
        cells: options.cell ?? null,
        framedEvents: options.events ?? size.framedEvents,
        singleEvents: options.events ?? size.singleEvents,
        samples: options.samples ?? size.samples,
        partitions,
        threads: threadsOf(benchPlan(partitions)),
      })
    : undefined
  const { eventsAfter } = size
  const keys = options.keys ?? [...size.keys, ...(options.large === true ? [KEYS_LARGE] : [])]
  const restart = parts.includes('restart')
    ? await restartCells({ ...child, directory, keys, eventsAfter, threads: threadsOf(benchPlan(1)) })
    : undefined
  const door = parts.includes('door')
    ? await doorCells({
        ...{ ...child, directory, profile, partitions: DOOR_PARTITIONS, seconds: size.doorSeconds },
        threads: threadsOf(benchPlan(DOOR_PARTITIONS)),
      })
    : undefined
  const { events } = options
  // A burst is a tenth of the backlog.
  const bulkSize = events === undefined ? size.bulk : { ...size.bulk, burst: events / 10, backlog: events }
  const bulk = parts.includes('bulk')
    ? await bulkCells({
        ...{ ...bulkSize, directory, partitions: DOOR_PARTITIONS, say: child.say },
        threads: threadsOf(benchPlan(DOOR_PARTITIONS)),
      })
    : undefined
  const features = parts.includes('features')
    ? {
        live: await liveFeatures({
          ...{ directory, partitions: DOOR_PARTITIONS, seconds: size.liveSeconds },
          threads: threadsOf(benchPlan(DOOR_PARTITIONS)),
        }),
        ...(await featureCells({
          ...{ ...child, directory, events: options.events ?? size.featureEvents },
          samples: options.samples ?? size.samples,
        })),
      }
    : undefined
  const joiner = parts.includes('joiner')
    ? await joinerCells({
        ...{ ...child, directory, profile, partitions },
        framedEvents: options.events ?? size.framedEvents,
        singleEvents: options.events ?? size.singleEvents,
        samples: options.samples ?? size.samples,
        threads: threadsOf(pageViewGraph(joinerGraph(partitions))),
      })
    : undefined
  const capacity = parts.includes('capacity')
    ? await capacityCells({
        ...{ ...child, directory, events: options.events ?? size.singleEvents },
        threads: threadsOf(benchPlan(1)),
      })
    : undefined
  const windows = parts.includes('windows')
    ? await windowCells({
        ...{ ...child, directory, touches: options.events ?? size.windowTouches },
        samples: options.samples ?? size.samples,
      })
    : undefined
  const models = parts.includes('models')
    ? {
        latency: await latencyCells({
          ...{ directory, profile, seconds: size.scoredSeconds },
          threads: threadsOf(benchPlan(DOOR_PARTITIONS)),
        }),
        cells: await modelCells({
          ...{ directory, rows: options.events ?? size.modelRows },
          samples: options.samples ?? size.samples,
        }),
      }
    : undefined
  if (parts.includes('state')) await stateCosts(child.signal)
  return {
    machine: on,
    ...(throughput && { throughput }),
    ...(restart && { restart }),
    ...(door && { door }),
    ...(bulk && { bulk }),
    ...(features && { features }),
    ...(joiner && { joiner }),
    ...(capacity && { capacity }),
    ...(windows && { windows }),
    ...(models && { models }),
  }
}

function textOf({
  machine: on,
  throughput,
  restart,
  door,
  bulk,
  features,
  joiner,
  capacity,
  windows,
  models,
}: Results): string {
  const tables = [
    throughput && throughputText(throughput),
    restart && restartText(restart),
    door && doorText(door),
    bulk && bulkText(bulk),
    features && featureText(features, features.live),
    joiner && joinerText(joiner),
    capacity && capacityText(capacity),
    windows && windowText(windows),
    models && modelText(models),
  ]
  return [machineText(on), ...tables.filter((text) => text !== undefined)].join('\n\n')
}

/** A part that has a section of its own leaves that of the others alone. */
const SECTIONS: Partial<Record<Part, string>> = {
  features: 'bench features',
  joiner: 'bench joiner',
  windows: 'bench windows',
  models: 'bench models',
}

function writeDocs(text: string, only: Part | undefined): void {
  const command = `npm run bench -- ${process.argv.slice(2).join(' ')}`
  const section = only === undefined ? undefined : SECTIONS[only]
  writeFileSync(DOCS, withSection(readFileSync(DOCS, 'utf8'), command, text, section))
}

async function main(): Promise<void> {
  const options = program.parse().opts<Options>()
  const directory = mkdtempSync(join(tmpdir(), 'holdfast-bench-'))
  try {
    const say = (line: string): void => console.error(line)
    const results = await bench(options, { signal: abort.signal, say }, directory)
    const text = textOf(results)
    console.log(text)
    if (options.json !== undefined) writeFileSync(options.json, `${JSON.stringify(results, null, 2)}\n`)
    if (options.docs === true) writeDocs(text, options.only)
  } finally {
    rmSync(directory, { recursive: true, force: true, maxRetries: RM_RETRIES })
  }
}

function fail(error: unknown): number {
  if (abort.signal.aborted) return EXIT.interrupted
  const { message } = error as Error
  if (error instanceof CommanderError && error.exitCode === 0) return 0
  console.error(`bench: ${message.replace(/^(USAGE|error): /, '')}`)
  const isUsage = error instanceof CommanderError || (error instanceof HoldfastError && error.code === 'USAGE')
  return isUsage ? EXIT.usage : EXIT.failed
}

const abort = new AbortController()
process.on('SIGINT', () => abort.abort()).on('SIGTERM', () => abort.abort())
await main().catch((error: unknown) => {
  process.exitCode = fail(error)
})

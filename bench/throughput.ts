// A program that bench/main.ts starts, once per dataset and format: fills the streams, then measures reading them, reading
// and parsing them, both in one thread, and the page-view graph on them, in turns.
// TH1: the outputs of every run of the graph are equal to those of a slow run (slices of 7, commits of 500 records); else it
//      fails. The slow run is also what warms the code up.
// TH2: the tasks trim nothing, so that the streams can be read again; the last run is one that trims as a node does.

import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { Plan } from '../topology/plan.ts'
import { DEFAULT_TUNING, type TaskTuning } from '../topology/task.ts'
import { serveParent } from './child.ts'
import { consume, consumeAndParse } from './consume.ts'
import { DATASETS } from './datasets.ts'
import {
  assertEqualOutputs,
  forgetRun,
  type GraphOptions,
  OUTPUT_KINDS,
  type Outputs,
  openHost,
  outputsOf,
  startAndCatchUp,
} from './graph-run.ts'
import { metered, type Sample } from './meter.ts'
import { benchPlan } from './plan.ts'
import { profiled } from './profile.ts'
import { type Broker, openBroker, publishLines } from './stream.ts'
import { MEASUREMENTS, type Measurement, type ThroughputResult, type ThroughputTask } from './throughput-cells.ts'

/** As a node runs, but it leaves the streams whole: the input for the next run, the records for their digest. */
const UNTRIMMED: TaskTuning = { ...DEFAULT_TUNING, trimBytes: Number.POSITIVE_INFINITY }
/** Other cuts everywhere: few records in a slice, many small commits. */
const SLOW: TaskTuning = { ...UNTRIMMED, sliceMax: 7, commitRecordsMax: 500 }

const UNTRIMMED_KINDS = OUTPUT_KINDS.filter((kind) => kind !== 'pages')

type Say = (line: string) => void

async function throughput(task: ThroughputTask, say: Say): Promise<ThroughputResult> {
  try {
    await fill(task, say)
    const plan = benchPlan(task.partitions)
    const broker = await openBroker(join(task.directory, 'nats'), plan, { events: task.events, durable: true })
    try {
      return await measure(task, plan, broker, say)
    } finally {
      await broker.close()
    }
  } finally {
    await rm(task.directory, { recursive: true, force: true })
  }
}

async function fill({ dataset, events, perMessage, partitions, directory }: ThroughputTask, say: Say): Promise<void> {
  const begin = performance.now()
  const plan = benchPlan(partitions)
  const broker = await openBroker(join(directory, 'nats'), plan, { events, durable: false })
  try {
    await publishLines(broker.log, plan, { lines: DATASETS[dataset](events), perMessage })
  } finally {
    await broker.close()
  }
  say(`filled in ${((performance.now() - begin) / 1_000).toFixed(1)} s`)
}

async function measure(task: ThroughputTask, plan: Plan, broker: Broker, say: Say): Promise<ThroughputResult> {
  const { events } = task
  const { log, connection } = broker
  const run = { plan, log, connection, threads: task.threads, stateDir: join(task.directory, 'state') }
  const { bytes, messages } = await consume(run, () => 0)
  await consumeAndParse(run, events)
  const slow = await runGraph({ ...run, tuning: SLOW }, broker, events)
  say(`slow run: ${slow.sample.seconds.toFixed(1)} s`)
  const samples = Object.fromEntries(MEASUREMENTS.map((name) => [name, [] as Sample[]])) as Record<
    Measurement,
    Sample[]
  >
  for (let i = 0; i < task.samples; i++) {
    samples.consume.push((await metered(broker.pid, () => consume(run, () => 0))).sample)
    samples['consume-and-parse'].push((await metered(broker.pid, () => consumeAndParse(run, events))).sample)
    const graph = await runGraph({ ...run, tuning: UNTRIMMED }, broker, events)
    assertEqualOutputs(graph.outputs, slow.outputs)
    samples['page-view graph'].push(graph.sample)
    say(`sample ${i + 1}: ${Object.entries(samples).flatMap(sampleText).join(', ')}`)
  }
  if (task.profile !== null) {
    const { profile } = task
    await runGraph({ ...run, tuning: UNTRIMMED }, broker, events, (work) => profiled(profile, work))
  }
  const trimming = await runGraph({ ...run, tuning: DEFAULT_TUNING }, broker, events)
  assertEqualOutputs(trimming.outputs, slow.outputs, UNTRIMMED_KINDS)
  samples['graph, trimming'].push(trimming.sample)
  return { payloadBytes: bytes, messages, samples, outputs: slow.outputs }
}

function sampleText([name, samples]: [string, readonly Sample[]]): string[] {
  return samples.slice(-1).map(({ seconds }) => `${name} ${seconds.toFixed(2)} s`)
}

type Around = <T>(work: () => Promise<T>) => Promise<T>

/** One run from nothing, measured from the start of the tasks to the last commit. */
async function runGraph(
  options: GraphOptions,
  { pid, specs }: Broker,
  events: number,
  around: Around = (work) => work(),
): Promise<{ sample: Sample; outputs: Outputs }> {
  await forgetRun(options, specs)
  const host = openHost(options)
  try {
    const { sample } = await metered(pid, () => around(() => startAndCatchUp(host, options.plan, events)))
    return { sample, outputs: await outputsOf(host, options) }
  } finally {
    await host.stop()
    await host.close()
  }
}

serveParent(throughput)

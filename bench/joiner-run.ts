// A program that joiner-cells.ts starts, once per format: fills the streams, then measures reading and parsing them, and the whole
// graph on them, in turns.
// JR1: it fails where touches and conversions are not accounted for (joiner-check.ts). Digests of two runs would differ: a later stage of
//      `clock: wall` has several writers, and their turns are a matter of timing.
// JR2: the first run of the graph warms the code up and is not counted.
// JR3: a run ends when every stage has committed the last event's time, with the rows that it makes due.

import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { attributionSettings, DECLARATION_DEFAULT } from '../operators/attribution-declaration.ts'
import { laneCountName } from '../operators/label-counts.ts'
import { pageViewGraph } from '../topology/graph.ts'
import { type TaskHost, tasksOf } from '../topology/host.ts'
import { CLICK_STAGE, JOIN_STAGE } from '../topology/joiner.ts'
import type { Plan } from '../topology/plan.ts'
import { DEFAULT_TUNING } from '../topology/task.ts'
import { serveParent } from './child.ts'
import { compactedBytes } from './compaction.ts'
import { consumeAndParse } from './consume.ts'
import { forgetRun, openHost, startAndSettle } from './graph-run.ts'
import type { JoinerResult } from './joiner-cells.ts'
import { checkJoined, factsOf, type JoinerCounted } from './joiner-check.ts'
import { joinerLines } from './joiner-input.ts'
import type { LoadTask } from './load-cell.ts'
import { metered, type Sample } from './meter.ts'
import { joinerGraph } from './plan.ts'
import { profiled } from './profile.ts'
import { type Broker, openBroker, publishLines } from './stream.ts'

/** The input stays for the next run. */
const TUNING = { ...DEFAULT_TUNING, trimBytes: Number.POSITIVE_INFINITY }
/** Of the room for one event in all streams that the rest of the bench asks for: touches travel, and labels are some rows each. */
const ROOM = 4
const MIB = 1024 ** 2

type Around = <T>(work: () => Promise<T>) => Promise<T>
type Counts = Readonly<Record<string, number>>

async function joiner(task: LoadTask, say: (line: string) => void): Promise<JoinerResult> {
  const { events, perMessage, directory, partitions } = task
  const plan = pageViewGraph(joinerGraph(partitions))
  const natsDir = join(directory, 'nats')
  try {
    const filling = await openBroker(natsDir, plan, { events: ROOM * events, durable: false })
    await publishLines(filling.log, plan, { lines: joinerLines(events), perMessage }).finally(() => filling.close())
    say('filled')
    const broker = await openBroker(natsDir, plan, { events: ROOM * events, durable: true })
    try {
      return await measure(task, plan, broker, say)
    } finally {
      await broker.close()
    }
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
}

async function measure(task: LoadTask, plan: Plan, broker: Broker, say: (line: string) => void): Promise<JoinerResult> {
  const { log, pid } = broker
  const read = () => consumeAndParse({ plan, log }, task.events)
  await read()
  let { counts } = await runGraph(task, plan, broker)
  const [parsed, whole]: [Sample[], Sample[]] = [[], []]
  let rssMiB = 0
  for (let i = 0; i < task.samples; i++) {
    parsed.push((await metered(pid, read)).sample)
    const run = await runGraph(task, plan, broker)
    whole.push(run.sample)
    counts = run.counts
    rssMiB = Math.max(rssMiB, run.rssMiB)
    const us = (run.sample.nodeCpuSeconds * 1e6) / task.events
    say(`sample ${i + 1}: ${run.sample.seconds.toFixed(2)} s, ${us.toFixed(1)} us of CPU an event`)
  }
  const { profile } = task
  if (profile !== null) await runGraph(task, plan, broker, (work) => profiled(profile, work))
  return {
    samples: { 'consume-and-parse': parsed, 'full path': whole },
    rssMiB,
    ...outcome(counts),
    stateBytes: { clicks: await weighed(task, plan, CLICK_STAGE), 'user-2': await weighed(task, plan, JOIN_STAGE) },
  }
}

/** One run from nothing, measured from the start of the tasks to the last commit (JR3). */
async function runGraph(task: LoadTask, plan: Plan, broker: Broker, around: Around = (work) => work()) {
  const { log, connection, pid, specs } = broker
  const { threads } = task
  const graph = joinerGraph(task.partitions)
  const options = { plan, graph, log, connection, threads, tuning: TUNING, stateDir: stateDirOf(task) }
  await forgetRun(options, specs)
  const host = openHost(options)
  try {
    const { sample } = await metered(pid, () => around(() => startAndSettle(host, plan, task.events)))
    const rssMiB = process.memoryUsage().rss / MIB
    const counted = await countedBy(host, plan)
    checkJoined(factsOf(joinerLines(task.events)), counted, SETTINGS)
    return { sample, counts: counted.counts, rssMiB }
  } finally {
    await host.stop()
    await host.close()
  }
}

const stateDirOf = ({ directory }: LoadTask): string => join(directory, 'state')

async function countedBy(host: TaskHost, plan: Plan): Promise<JoinerCounted> {
  const counts: Record<string, number> = {}
  const watermarks: number[] = []
  const add = (name: string, value: number): void => {
    counts[name] = (counts[name] ?? 0) + value
  }
  for (const { name, stage } of tasksOf(plan)) {
    const commit = (await host.commitOf(name))!
    const own = commit.tally.counts
    for (const [count, value] of Object.entries(own)) add(count, value)
    // No goal is declared: what is no conversion is a touch.
    if (stage.name !== JOIN_STAGE) continue
    add('touches', own.records! - (own.conversions ?? 0))
    watermarks.push(commit.watermark)
  }
  return { counts, watermarks }
}

const SETTINGS = attributionSettings(DECLARATION_DEFAULT)
const overWindows = (counts: Counts, what: Parameters<typeof laneCountName>[0]): number[] =>
  SETTINGS.windows.map(({ name }) => counts[laneCountName(what, name)] ?? 0)
const sum = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0)

function outcome(counts: Counts): Pick<JoinerResult, 'conversions' | 'touches' | 'attributed' | 'rows'> {
  const [O, D, M] = (['O', 'D', 'M'] as const).map((kind) => sum(overWindows(counts, kind))) as [number, number, number]
  return {
    touches: counts.touches ?? 0,
    conversions: counts.conversions ?? 0,
    attributed: sum(overWindows(counts, 'attributed')),
    rows: { O, D, M },
  }
}

async function weighed(task: LoadTask, plan: Plan, stage: string): Promise<number> {
  let bytes = 0
  for (const { name, stage: own } of tasksOf(plan))
    if (own.name === stage) bytes += await compactedBytes(join(stateDirOf(task), name))
  return bytes
}

serveParent(joiner)

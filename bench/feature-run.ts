// A program that feature-cells.ts starts: runs one plan over a filled stream, first with counters, which also warms the code up, then
// measured; all tasks in one thread, so that CPU time is the plan's and not that of threads beside it.
// FR1: the state that is weighed is that of the last measured run, compacted.

import { createHash } from 'node:crypto'
import { join } from 'node:path'
import { realRuntime } from '../log/runtime.ts'
import { allBuckets, KIND } from '../state/key-layout.ts'
import { openRocksBackend } from '../state/rocks-backend.ts'
import { featureId } from '../topology/features/declaration.ts'
import { featuresOf } from '../topology/features/plans.ts'
import { type GraphOptions, pageViewGraph } from '../topology/graph.ts'
import { Host, tasksOf } from '../topology/host.ts'
import type { Plan } from '../topology/plan.ts'
import { DEFAULT_TUNING } from '../topology/task.ts'
import { serveParent } from './child.ts'
import { compactedBytes } from './compaction.ts'
import { countedPlan, keepsFeatures, type StateCounts } from './counted-plan.ts'
import type { FeatureResult, FeatureTask } from './feature-cells.ts'
import { asOfRun, forgetRun, startAndCatchUp } from './graph-run.ts'
import { metered, type Sample } from './meter.ts'
import { type Broker, openBroker } from './stream.ts'

/** The input stays for the next run. */
const TUNING = { ...DEFAULT_TUNING, trimBytes: Number.POSITIVE_INFINITY }

async function features(task: FeatureTask): Promise<FeatureResult> {
  const [first, ...more] = task.graphs
  const broker = await openBroker(task.natsDir, pageViewGraph(task.whole), { events: task.roomEvents, durable: true })
  const digests: string[] = []
  try {
    let sum = await resultOf(task, first!, broker, digests)
    for (const graph of more) sum = added(sum, await resultOf(task, graph, broker, digests))
    return { ...sum, values: createHash('sha256').update(digests.sort().join('\n')).digest('hex') }
  } finally {
    await broker.close()
  }
}

type Costs = Omit<FeatureResult, 'values'>

async function resultOf(task: FeatureTask, graph: GraphOptions, broker: Broker, digests: string[]): Promise<Costs> {
  const plan = pageViewGraph(graph)
  const counts: StateCounts = { reads: 0, writes: 0 }
  await runPlan(task, countedPlan(plan, counts), broker, async (host) => {
    digests.push(...(await valueDigests(host, plan)))
  })
  const samples: Sample[] = []
  for (let i = 0; i < task.samples; i++) samples.push(await runPlan(task, plan, broker, async () => {}))
  return { samples, ...counts, ...(await weighed(task, plan)) }
}

/** What two graphs cost together. */
function added(a: Costs, b: Costs): Costs {
  return {
    samples: a.samples.map((sample, i) => together(sample, b.samples[i]!)),
    reads: a.reads + b.reads,
    writes: a.writes + b.writes,
    recordBytes: a.recordBytes + b.recordBytes,
    fileBytes: a.fileBytes + b.fileBytes,
  }
}

/** Of one after the other. */
function together(a: Sample, b: Sample): Sample {
  return {
    seconds: a.seconds + b.seconds,
    nodeCpuSeconds: a.nodeCpuSeconds + b.nodeCpuSeconds,
    mainCpuSeconds: a.mainCpuSeconds + b.mainCpuSeconds,
    serverCpuSeconds: a.serverCpuSeconds + b.serverCpuSeconds,
    loopDelayP99Ms: Math.max(a.loopDelayP99Ms, b.loopDelayP99Ms),
  }
}

/** One run from nothing, measured from the start of the tasks to the last commit; `look` comes after that. */
async function runPlan(
  { events, stateDir }: FeatureTask,
  plan: Plan,
  { log, pid, specs }: Broker,
  look: (host: Host) => Promise<void>,
): Promise<Sample> {
  await forgetRun({ plan, log, stateDir }, specs)
  const backend = (task: string) => openRocksBackend(join(stateDir, task))
  const host = new Host({ plan, log, runtime: realRuntime, tuning: TUNING, role: 'owner', backend, onHalt: () => {} })
  try {
    const { sample } = await metered(pid, () => startAndCatchUp(host, plan, events))
    await look(host)
    return sample
  } finally {
    await host.stop()
    await host.close()
  }
}

/** Of each feature. In an order of its own: where a record stands among others is the plan's affair. */
async function valueDigests(host: Host, plan: Plan): Promise<string[]> {
  const lines = new Map<string, string[]>(featuresOf(plan).map((one) => [featureId(one.entity, one.feature), []]))
  for await (const line of host.values(await asOfRun(host, plan)))
    lines.get(featureId(line.entity, line.feature))!.push(JSON.stringify(line))
  return [...lines].map(([id, own]) => `${id} ${createHash('sha256').update(own.sort().join('\n')).digest('hex')}`)
}

async function weighed({ stateDir }: FeatureTask, plan: Plan) {
  let [recordBytes, fileBytes] = [0, 0]
  for (const { name, stage } of tasksOf(plan)) {
    const path = join(stateDir, name)
    fileBytes += await compactedBytes(path)
    const backend = await openRocksBackend(path)
    for (const { id } of stage.nodes.filter(keepsFeatures).flatMap(({ stores }) => stores)) {
      for (const kind of [KIND.keyed, KIND.packed])
        for await (const chunk of backend.scan(allBuckets(kind, id)))
          for (const [key, value] of chunk) recordBytes += key.length + value.length
    }
    await backend.close()
  }
  return { recordBytes, fileBytes }
}

serveParent(features)

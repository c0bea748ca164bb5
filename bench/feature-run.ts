// A program that feature-cells.ts starts: runs one plan over a filled stream, first with counters, which also warms the code up, then
// measured; all tasks in one thread, so that CPU time is the plan's and not that of threads beside it.
// FR1: the state that is weighed is that of the last measured run, compacted.

import { createHash } from 'node:crypto'
import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { realRuntime } from '../log/runtime.ts'
import { allBuckets, KIND } from '../state/key-layout.ts'
import { openRocksBackend } from '../state/rocks-backend.ts'
import { RocksDB } from '../state/rocksdb.ts'
import { featuresOf } from '../topology/features/plans.ts'
import { pageViewGraph } from '../topology/graph.ts'
import { Host, tasksOf } from '../topology/host.ts'
import type { Plan } from '../topology/plan.ts'
import { DEFAULT_TUNING } from '../topology/task.ts'
import { serveParent } from './child.ts'
import { countedPlan, keepsFeatures, type StateCounts } from './counted-plan.ts'
import type { FeatureResult, FeatureTask } from './feature-cells.ts'
import { asOfRun, forgetRun, startAndCatchUp } from './graph-run.ts'
import { metered, type Sample } from './meter.ts'
import { type Broker, openBroker } from './stream.ts'

/** As the state is opened, in what decides how large its files are. */
const COMPACTION = { createIfMissing: false, tableBlockSize: 4_096, enableBlobFiles: false }
/** The input stays for the next run. */
const TUNING = { ...DEFAULT_TUNING, trimBytes: Number.POSITIVE_INFINITY }

async function features(task: FeatureTask): Promise<FeatureResult> {
  const plan = pageViewGraph(task.graph)
  const broker = await openBroker(task.natsDir, plan, { events: task.roomEvents, durable: true })
  try {
    const counts: StateCounts = { reads: 0, writes: 0 }
    let values = ''
    await runPlan(task, countedPlan(plan, counts), broker, async (host) => {
      values = await valuesDigest(host, plan)
    })
    const samples: Sample[] = []
    for (let i = 0; i < task.samples; i++) samples.push(await runPlan(task, plan, broker, async () => {}))
    const { recordBytes, fileBytes } = await weighed(task, plan)
    return { samples, ...counts, recordBytes, fileBytes, values }
  } finally {
    await broker.close()
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

/** In an order of its own: where a record stands among others is the plan's affair. */
async function valuesDigest(host: Host, plan: Plan): Promise<string> {
  const asOf = await asOfRun(host, plan)
  const hash = createHash('sha256')
  for (const feature of featuresOf(plan)) {
    const lines: string[] = []
    for await (const line of host.values(feature, asOf)) lines.push(JSON.stringify(line))
    for (const line of lines.sort()) hash.update(line).update('\n')
  }
  return hash.digest('hex')
}

async function compact(path: string): Promise<void> {
  const db = new RocksDB(path, COMPACTION)
  await db.ready()
  await db.flush()
  await db.compactRange()
  await db.close()
}

async function weighed({ stateDir }: FeatureTask, plan: Plan) {
  let [recordBytes, fileBytes] = [0, 0]
  for (const { name, stage } of tasksOf(plan)) {
    const path = join(stateDir, name)
    await compact(path)
    for (const file of await readdir(path)) if (file.endsWith('.sst')) fileBytes += (await stat(join(path, file))).size
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

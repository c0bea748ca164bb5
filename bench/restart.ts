// A program that restart-cells.ts starts: a node on a state directory, from the start of the process until every event in the
// stream is committed. It reports how long the first record took and what memory it holds at the end.

import { connectLog } from '../log/nats-log.ts'
import { statusOf, type TaskHost } from '../topology/host.ts'
import { DEFAULT_TUNING } from '../topology/task.ts'
import { serveParent } from './child.ts'
import { openHost, startAndCatchUp } from './graph-run.ts'
import { cpuSecondsOf } from './meter.ts'
import { benchPlan } from './plan.ts'
import type { RestartSample, RestartTask } from './restart-cells.ts'

/** Milliseconds between looks for the first record: the error of its time. */
const LOOK_MS = 1
const MIB = 2 ** 20
const KIB_PER_MIB = 1_024

interface First {
  readonly atMs: number
  readonly cpuSeconds: number
}

async function restart(task: RestartTask): Promise<RestartSample> {
  const plan = benchPlan(1)
  const serverBefore = cpuSecondsOf(task.serverPid)
  const { threads, stateDir } = task
  const connection = { servers: task.url, name: `bench ${task.phase}` }
  const log = await connectLog(connection)
  const host = openHost({ plan, log, connection, threads, stateDir, tuning: DEFAULT_TUNING })
  try {
    const [first] = await Promise.all([firstRecord(host, task.eventsBefore), startAndCatchUp(host, plan, task.events)])
    const sample = sampleOf(task, first, serverBefore)
    assertHeld(host, task.events)
    return sample
  } finally {
    await host.stop()
    await host.close()
    await log.close()
  }
}

function sampleOf(task: RestartTask, first: First, serverBefore: number): RestartSample {
  const { rss, heapUsed } = process.memoryUsage()
  return {
    firstRecordSeconds: (first.atMs - task.startedAtMs) / 1_000,
    firstRecordCpuSeconds: first.cpuSeconds,
    restSeconds: (Date.now() - first.atMs) / 1_000,
    cpuSeconds: cpuSeconds(),
    serverCpuSeconds: cpuSecondsOf(task.serverPid) - serverBefore,
    rssMiB: rss / MIB,
    rssMaxMiB: process.resourceUsage().maxRSS / KIB_PER_MIB,
    heapUsedMiB: heapUsed / MIB,
  }
}

/** Settles when the first stage has applied one record more than its state held; never rejects: that is for the others. */
function firstRecord(host: TaskHost, eventsBefore: number): Promise<First> {
  return new Promise((resolve) => {
    const timer = setInterval(() => {
      const read = statusOf(host, 'user-1')[0]?.tally.counts.read ?? 0
      if (read <= eventsBefore) return
      clearInterval(timer)
      resolve({ atMs: Date.now(), cpuSeconds: cpuSeconds() })
    }, LOOK_MS)
  })
}

function cpuSeconds(): number {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1e6
}

/** RS1 (restart-cells.ts). */
function assertHeld(host: TaskHost, events: number): void {
  const { accepted, count_expired: expired = 0 } = statusOf(host, 'user-1')[0]!.tally.counts
  if (accepted !== events || expired !== 0)
    throw new Error(`${accepted} of ${events} events accepted, ${expired} expired`)
}

serveParent(restart)

// Wall time, CPU and event-loop delay of a piece of work in this process, with the CPU of the nats-server beside it.

import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { monitorEventLoopDelay } from 'node:perf_hooks'

export interface Sample {
  readonly seconds: number
  /** CPU seconds of the whole node process: all threads, V8's helpers, RocksDB's. */
  readonly nodeCpuSeconds: number
  /** Of the main thread alone: it reads the events, and all of the graph's tasks run on it where there is no other. */
  readonly mainCpuSeconds: number
  readonly serverCpuSeconds: number
  /** How late a timer fired, 99th percentile, in steps of LOOP_RESOLUTION_MS. */
  readonly loopDelayP99Ms: number
}

/** Fine enough to see a slice that takes too long, coarse enough to cost nothing. */
const LOOP_RESOLUTION_MS = 2
/** Linux counts the CPU time of processes in hundredths of a second, whatever the kernel's own tick. */
const TICKS_PER_SECOND = 100
const BYTES_PER_KIB = 1_024

/** Runs `work` and measures it. `serverPid`: the nats-server that it talks to. */
export async function metered<T>(serverPid: number, work: () => Promise<T>): Promise<{ result: T; sample: Sample }> {
  const loop = monitorEventLoopDelay({ resolution: LOOP_RESOLUTION_MS })
  const serverBefore = cpuSecondsOf(serverPid)
  const nodeBefore = process.cpuUsage()
  const mainBefore = process.threadCpuUsage()
  loop.enable()
  const begin = performance.now()
  const result = await work()
  const seconds = (performance.now() - begin) / 1_000
  loop.disable()
  const sample: Sample = {
    seconds,
    nodeCpuSeconds: secondsOf(process.cpuUsage(nodeBefore)),
    mainCpuSeconds: secondsOf(process.threadCpuUsage(mainBefore)),
    serverCpuSeconds: cpuSecondsOf(serverPid) - serverBefore,
    loopDelayP99Ms: Math.max(0, loop.percentile(99) / 1e6 - LOOP_RESOLUTION_MS),
  }
  return { result, sample }
}

const secondsOf = ({ user, system }: { user: number; system: number }): number => (user + system) / 1e6

/** CPU seconds of another process so far. */
export function cpuSecondsOf(pid: number): number {
  if (process.platform !== 'linux') return psSeconds(execFileSync('ps', ['-o', 'time=', '-p', String(pid)]).toString())
  const stat = readFileSync(`/proc/${pid}/stat`, 'latin1')
  // The name in parentheses may hold anything; user and system time are the 12th and 13th field after it.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND
}

/** Resident bytes of another process. */
export function rssBytesOf(pid: number): number {
  const inKib =
    process.platform === 'linux'
      ? /VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))?.[1]
      : execFileSync('ps', ['-o', 'rss=', '-p', String(pid)]).toString()
  return Number(inKib) * BYTES_PER_KIB
}

/** `[[hours:]minutes:]seconds`, as ps prints it. */
function psSeconds(text: string): number {
  return text
    .trim()
    .split(':')
    .reduce((sum, part) => sum * 60 + Number(part), 0)
}

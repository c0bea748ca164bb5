// The front-door part seen from bench/main.ts: a nats-server, `holdfast node` as its users start it, and the load on it
// (door-load.ts), each in a process of its own; what the load measured.
// DC1: nothing of it outlives the bench: the node is stopped (node-process.ts), the server ends with us.

import { type ChildOptions, runChild } from './child.ts'
import { withNodeAndServer } from './node-process.ts'

export interface DoorTask {
  readonly url: string
  readonly natsUrl: string
  readonly namespace: string
  readonly nodePid: number
  readonly serverPid: number
  /** Of each measurement, without warm-up. */
  readonly seconds: number
}

/** A load that goes on beside a measurement. */
export interface BesideLoad {
  readonly perSecond: number
  readonly done: number
  readonly failed: number
  readonly seconds: number
}

/** One measurement. */
export interface DoorCell {
  readonly name: string
  /** null: as many as could be done at once. */
  readonly offeredPerSecond: number | null
  readonly done: number
  /** Answers that were not as they should be, and requests that were never sent because too many waited. */
  readonly failed: number
  readonly seconds: number
  readonly p50Ms: number
  readonly p99Ms: number
  readonly maxMs: number
  readonly nodeCpuSeconds: number
  readonly serverCpuSeconds: number
  /** Of the load generator. */
  readonly clientCpuSeconds: number
  readonly beside: BesideLoad | null
}

export interface DoorOptions extends ChildOptions {
  readonly directory: string
  readonly partitions: number
  readonly threads: number
  readonly seconds: number
  /** Where the node writes a profile of each of its threads; null: none. */
  readonly profile: string | null
}

const PROGRAM = new URL(import.meta.resolve('./door-load.ts'))

export function doorCells(o: DoorOptions): Promise<DoorCell[]> {
  return withNodeAndServer('door', o, ({ pid, ...node }) => {
    const task: DoorTask = { ...node, nodePid: pid, seconds: o.seconds }
    const say = (line: string): void => o.say(`door: ${line}`)
    return runChild<DoorCell[]>(PROGRAM, task, { ...o, say })
  })
}

// The front-door part seen from bench/main.ts: a nats-server, `holdfast node` as its users start it, and the load on it
// (door-load.ts), each in a process of its own; what the load measured.
// DC1: nothing of it outlives the bench: the node gets SIGTERM and, where it does not end, SIGKILL; the server ends with us.

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { NODE_ENVIRONMENT, NODE_FLAGS } from '../cli/node-flags.mjs'
import { startNatsServer } from '../log/nats-supervisor.ts'
import { plainMapping } from '../topology/plan.ts'
import { type ChildOptions, runChild } from './child.ts'
import { benchPlan } from './plan.ts'

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
const NODE = fileURLToPath(new URL('../cli/main.ts', import.meta.url))
/** Room for what a minute of the highest rate publishes, all streams together. */
const LOG_BYTES = 8 * 1024 ** 3
const START_MS = 30_000
const STOP_MS = 15_000

export async function doorCells(o: DoorOptions): Promise<DoorCell[]> {
  const plan = benchPlan(o.partitions)
  const server = await startNatsServer({
    storeDir: join(o.directory, 'door-nats'),
    mappings: plainMapping(plan),
    restart: false,
  })
  try {
    const node = new NodeProcess(nodeArguments(o, plan.namespace, server.url), o.profile)
    try {
      const task: DoorTask = {
        ...{ url: await node.url, natsUrl: server.url, namespace: plan.namespace },
        ...{ nodePid: node.pid, serverPid: server.pid, seconds: o.seconds },
      }
      const say = (line: string): void => o.say(`door: ${line}`)
      return await Promise.race([runChild<DoorCell[]>(PROGRAM, task, { ...o, say }), node.died])
    } finally {
      await node.stop()
    }
  } finally {
    await server.stop()
  }
}

function nodeArguments({ directory, partitions, threads }: DoorOptions, namespace: string, url: string): string[] {
  return [
    ...['node', '--nats', url, '--namespace', namespace, '--data-dir', join(directory, 'door-node')],
    ...['--partitions', String(partitions), '--threads', String(threads)],
    ...['--log-bytes', String(LOG_BYTES), '--http-port', '0'],
  ]
}

/** `holdfast node`. */
class NodeProcess {
  /** Of its front door, when that is open. */
  readonly url: Promise<string>
  /** Rejects when it ends by itself. */
  readonly died: Promise<never>
  readonly #child: ChildProcess
  readonly #ended: Promise<unknown>
  #stopping = false

  constructor(args: readonly string[], profile: string | null) {
    const flags = profile === null ? [] : ['--cpu-prof', '--cpu-prof-dir', profile]
    this.#child = spawn(process.execPath, [...NODE_FLAGS, ...flags, NODE, ...args], {
      stdio: ['ignore', 'ignore', 'pipe'],
      env: { ...NODE_ENVIRONMENT, ...process.env },
    })
    this.#ended = once(this.#child, 'exit')
    let said = ''
    const opened = Promise.withResolvers<string>()
    this.#child.stderr!.setEncoding('utf8').on('data', (text: string) => {
      said += text
      const url = /over HTTP: (\S+)/.exec(said)?.[1]
      if (url !== undefined) opened.resolve(url)
    })
    this.died = this.#ended.then(() => {
      if (this.#stopping) return new Promise<never>(() => {})
      throw new Error(`the node ended: ${said}`)
    })
    const timer = setTimeout(() => opened.reject(new Error(`the node did not start: ${said}`)), START_MS)
    this.url = Promise.race([opened.promise, this.died]).finally(() => clearTimeout(timer))
    // Whoever waits hears of it.
    this.died.catch(() => {})
  }

  get pid(): number {
    return this.#child.pid!
  }

  async stop(): Promise<void> {
    this.#stopping = true
    this.#child.kill('SIGTERM')
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), STOP_MS)
    await this.#ended
    clearTimeout(timer)
  }
}

// `holdfast node` in a process of its own, as its users start it, for measurements from outside.
// NP1: it does not outlive stop(): it gets SIGTERM and, where it does not end, SIGKILL.

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { NODE_ENVIRONMENT, NODE_FLAGS } from '../cli/node-flags.mjs'
import { startNatsServer } from '../log/nats-supervisor.ts'
import { plainMapping } from '../topology/plan.ts'
import { type HttpConnections, requestBytes } from './http-connections.ts'
import { benchPlan } from './plan.ts'

const NODE = fileURLToPath(new URL('../cli/main.ts', import.meta.url))
/** Room for what a minute of the highest rate publishes, and for a backlog of a million events, all streams together. */
const LOG_BYTES = 8 * 1024 ** 3
const START_MS = 30_000
const STOP_MS = 15_000
const SETTLE_MS = 60_000
const LOOK_MS = 20

/** `profile`: where it writes a profile of each of its threads; null: none. */
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

/** Works with a node while it lives. Rejects when it ends by itself; stops it in the end. */
export async function withNode<T>(
  args: readonly string[],
  profile: string | null,
  work: (node: { readonly url: string; readonly pid: number }) => Promise<T>,
): Promise<T> {
  const node = new NodeProcess(['node', ...args, '--http-port', '0'], profile)
  try {
    return await Promise.race([work({ url: await node.url, pid: node.pid }), node.died])
  } finally {
    await node.stop()
  }
}

export interface OutsideNode {
  readonly url: string
  readonly pid: number
  readonly natsUrl: string
  readonly serverPid: number
  readonly namespace: string
}

export interface OutsideOptions {
  readonly directory: string
  readonly partitions: number
  readonly threads: number
  readonly profile: string | null
  /** Of `holdfast node`, beside those that follow from the others. Not given: none. */
  readonly args?: readonly string[]
}

/** The same with a server beside it, whose CPU time is counted for itself. `name`: of what they leave in the directory. */
export async function withNodeAndServer<T>(
  name: string,
  { directory, partitions, threads, profile, args: more = [] }: OutsideOptions,
  work: (node: OutsideNode) => Promise<T>,
): Promise<T> {
  const { namespace, ...plan } = benchPlan(partitions)
  const server = await startNatsServer({
    storeDir: join(directory, `${name}-nats`),
    mappings: plainMapping({ namespace, ...plan }),
    restart: false,
  })
  const args = ['--nats', server.url, '--namespace', namespace, '--data-dir', join(directory, `${name}-node`)]
  args.push('--partitions', String(partitions), '--threads', String(threads), '--log-bytes', String(LOG_BYTES), ...more)
  const beside = { natsUrl: server.url, serverPid: server.pid, namespace }
  try {
    return await withNode(args, profile, (node) => work({ ...node, ...beside }))
  } finally {
    await server.stop()
  }
}

/** When every task of the node has applied all that is in its stream. Throws where that takes longer than SETTLE_MS. */
export async function caughtUp(connections: HttpConnections): Promise<void> {
  const until = performance.now() + SETTLE_MS
  while (performance.now() < until) {
    const { body } = await connections.ask(requestBytes('/v1/status'))
    const { tasks } = JSON.parse(body.toString()) as { tasks: readonly { readonly pending: number }[] }
    if (tasks.length > 0 && tasks.every(({ pending }) => pending === 0)) return
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS))
  }
  throw new Error('the node did not catch up')
}

// `holdfast node` killed again and again while events come in and readers hammer: no answer may show a part of a commit, go
// back, or forget what was waited for (reliability.md, O8).
// RD1: the broker stays, with its own process; the node is a real one, killed with SIGKILL at a random time or in a commit,
//      and started again on the same data directory and port.
// RD2: not vacuous: every kind of read was answered, units moved, callers wrote, and something was read while catching up.

import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { connect, type NatsConnection } from 'nats'
import { Random } from '../../cli/generate/random.ts'
import { livePlanOf } from '../../cli/node-command.ts'
import { CONFIG_DEFAULT } from '../../cli/settings.ts'
import { freeLoopbackPort, startNatsServer } from '../../log/nats-supervisor.ts'
import { plainMapping } from '../../topology/plan.ts'
import { Caller } from './callers.ts'
import { type Life, NodeClient } from './node-client.ts'
import { HoldfastProcess, leftoversOf } from './process.ts'
import { ReadOracle } from './read-oracle.ts'
import { type ReadCount, Readers } from './readers.ts'
import type { Finding } from './trial.ts'
import { Growers, Movers, PARTITIONS } from './units.ts'

export interface ReadsOptions {
  readonly repo: string
  /** Keys that are read at least, and requests a tenth as many. */
  readonly reads: number
  readonly kills: number
  readonly seed: number
  readonly workDir: string
  /** Ends with the first finding. */
  readonly stopAtFinding: boolean
  readonly onKill: (kills: number, reads: ReadCount) => void
}

export interface ReadsReport {
  readonly kills: number
  /** By kill point; `node`: at a random time. */
  readonly kinds: Readonly<Record<string, number>>
  readonly requests: number
  /** Keys whose value was checked. */
  readonly reads: number
  readonly byKind: Readonly<Record<string, ReadCount>>
  /** Keys read before the node had applied what was in the log when it opened after a kill. */
  readonly catchingUp: number
  /** Answers in which all movers' keys were seen to hold their units. */
  readonly moving: number
  /** Events of callers that were acknowledged, waited for and read. */
  readonly confirmed: number
  /** Events in the log. */
  readonly published: number
  readonly unavailable: number
  readonly unanswered: number
  readonly findings: readonly Finding[]
}

const NAMESPACE = 'o8'
const MOVERS_PER_SECOND = 500
const GROWERS_PER_SECOND = 1_500
const READERS = 16
const CALLERS = 8
const REQUESTS_PER_READ = 0.1
/** Points where state and what readers see part, if they ever do. */
const POINTS = ['K5', 'K6', 'K7']
/** Passes of a point before it kills: up to some seconds of commits under load. */
const POINT_HITS = { min: 20, range: 600 }
/** A point that is not passed so often in this time is given up, and the node killed. */
const POINT_WAIT_MS = 3_000
/** Milliseconds between the last read of a life and its end, at most. */
const JITTER_MS = 300
/** One process of the node. Everything has to fit into the hour of the growers' window. */
const NODE_TIMEOUT_MS = 45 * 60_000
const OPEN_MS = 60_000
const LOOK_MS = 5
const LOG_BYTES = 4 * 2 ** 30

/** Kills a node `kills` times while it is written to and read from, and judges every answer. */
export async function hammerReads(options: ReadsOptions): Promise<ReadsReport> {
  const { workDir } = options
  const plan = livePlanOf({ namespace: NAMESPACE, partitions: PARTITIONS, config: CONFIG_DEFAULT })
  const storeDir = join(workDir, 'reads-broker')
  const server = await startNatsServer({ storeDir, mappings: plainMapping(plan), syncAlways: false })
  const nc = await connect({ servers: server.url })
  const trial = new ReadsTrial(options, server.url, nc, await freeLoopbackPort())
  try {
    await trial.run()
    return trial.report()
  } finally {
    await trial.end()
    await nc.close()
    await server.stop()
  }
}

class ReadsTrial {
  readonly #o: ReadsOptions
  readonly #nats: string
  readonly #port: number
  readonly #random: Random
  readonly #client: NodeClient
  readonly #movers: Movers
  readonly #growers: Growers
  readonly #callers: readonly Caller[]
  readonly #oracle: ReadOracle
  readonly #readers: Readers
  readonly #kinds: Record<string, number> = {}
  #life: NodeLife
  #kills = 0
  #isOver = false
  /** Per partition, what the users' tasks had to apply when the node opened last. */
  #behind: readonly number[] = []

  constructor(options: ReadsOptions, nats: string, nc: NatsConnection, port: number) {
    this.#o = options
    this.#nats = nats
    this.#port = port
    this.#random = new Random(options.seed)
    const find = (text: string) => this.#oracle.find(text)
    this.#client = new NodeClient({ port, nc, life: () => this.#life, find })
    this.#movers = new Movers({ nc, namespace: NAMESPACE, perSecond: MOVERS_PER_SECOND })
    this.#growers = new Growers({ nc, namespace: NAMESPACE, perSecond: GROWERS_PER_SECOND })
    const feeds = { movers: this.#movers, growers: this.#growers }
    this.#callers = Array.from({ length: CALLERS }, (_, i) => new Caller(i, this.#client, find))
    this.#oracle = new ReadOracle(NAMESPACE, this.#movers, this.#growers, this.#callers)
    const isCatchingUp = () => this.#behind.some((sent, p) => this.#feed(p).through(this.#oracle.appliedOf(p)) < sent)
    const common = { namespace: NAMESPACE, client: this.#client, oracle: this.#oracle, callers: this.#callers }
    this.#readers = new Readers({ ...common, ...feeds, isCatchingUp })
    this.#life = this.#start({})
  }

  #feed(partition: number): Movers | Growers {
    return partition === 0 ? this.#movers : this.#growers
  }

  async run(): Promise<void> {
    await this.#open()
    const goesOn = () => !this.#isOver
    const work = [
      this.#movers.run(),
      this.#growers.run(),
      ...this.#callers.map((caller) => caller.run(goesOn)),
      ...Array.from({ length: READERS }, (_, i) => this.#readers.run(new Random(this.#o.seed * 100 + i), goesOn)),
    ]
    await Promise.race([this.#live(), Promise.all(work)])
    this.#isOver = true
    for (const feed of [this.#movers, this.#growers]) feed.stop()
    await Promise.all(work)
    await this.#life.stop((text) => this.#oracle.find(text, 'O7'))
  }

  /** One life after the other, each with its share of the reads, and the last one with what is left of them. */
  async #live(): Promise<void> {
    const { kills, reads } = this.#o
    while (this.#kills < kills && !this.#isDone) {
      const share = (reads / (kills + 1)) * (this.#kills + 1)
      await Promise.race([this.#life.ended, this.#until(() => this.#isAt(share))])
      await Promise.race([this.#life.ended, sleep(this.#random.below(JITTER_MS))])
      const kind = await this.#life.kill((text) => this.#oracle.find(text, 'O5'))
      this.#kinds[kind] = (this.#kinds[kind] ?? 0) + 1
      this.#kills++
      for (const left of await leftoversOf(this.#dataDir)) this.#oracle.find(`left: ${left}`, 'O7')
      this.#o.onKill(this.#kills, this.#readers.total)
      this.#life = this.#start(this.#random.chance(0.5) && this.#kills < kills ? this.#point() : {})
      await this.#open()
    }
    // One that ended on its own reads no more; that it did is a finding of stop().
    await this.#until(() => this.#isAt(reads) || this.#life.isOver)
  }

  #isAt(reads: number): boolean {
    const { keys, requests } = this.#readers.total
    return this.#isDone || (keys >= reads && requests >= reads * REQUESTS_PER_READ)
  }

  get #isDone(): boolean {
    return this.#isOver || (this.#o.stopAtFinding && this.#oracle.findings.length > 0)
  }

  async #until(holds: () => boolean): Promise<void> {
    while (!holds()) await sleep(LOOK_MS)
  }

  #point(): Readonly<Record<string, string>> {
    const point = this.#random.pick(POINTS)
    const delay = point === 'K6' ? `+${this.#random.below(300)}` : ''
    return { HOLDFAST_KILL: `${point}:${POINT_HITS.min + this.#random.below(POINT_HITS.range)}${delay}` }
  }

  #start(env: Readonly<Record<string, string>>): NodeLife {
    const args = ['node', '--data-dir', this.#dataDir, '--namespace', NAMESPACE, '--nats', this.#nats]
    args.push('--partitions', String(PARTITIONS), '--log-bytes', String(LOG_BYTES), '--http-port', String(this.#port))
    return new NodeLife(this.#o.repo, args, env)
  }

  /** Settles when the node answers, or has ended. What the log has by then is what it must catch up with. */
  async #open(): Promise<void> {
    const life = this.#life
    const until = performance.now() + OPEN_MS
    while (!life.isOver && !life.isOpen) {
      if (performance.now() > until) throw new Error(`the node does not open: ${life.stderr}`)
      await sleep(LOOK_MS)
      const http = await this.#client.http('GET', '/readyz')
      const nats = await this.#client.nats(`${NAMESPACE}.read.page_views_1h.user`, { key: 'anybody' })
      life.isOpen = http.kind === 'answer' && nats.kind === 'answer'
    }
    this.#behind = [this.#movers.sent, this.#growers.sent]
  }

  get #dataDir(): string {
    return join(this.#o.workDir, 'reads-node')
  }

  report(): ReadsReport {
    const { requests, keys } = this.#readers.total
    const { unavailable, unanswered } = this.#client
    const { counts: byKind, catchingUp } = this.#readers
    const { moving, findings } = this.#oracle
    const confirmed = this.#callers.reduce((total, caller) => total + caller.confirmed, 0)
    const published = this.#movers.sent + this.#growers.sent + confirmed
    const common = { kills: this.#kills, kinds: this.#kinds, requests, reads: keys, byKind, catchingUp, moving }
    return { ...common, confirmed, published, unavailable, unanswered, findings }
  }

  async end(): Promise<void> {
    this.#isOver = true
    for (const feed of [this.#movers, this.#growers]) feed.stop()
    this.#life.end()
    await this.#life.ended
    this.#client.close()
  }
}

/** One process of the node. */
class NodeLife implements Life {
  isOpen = false
  isOver = false
  readonly ended: Promise<void>
  readonly #process: HoldfastProcess
  readonly #point: string | null

  constructor(repo: string, args: readonly string[], env: Readonly<Record<string, string>>) {
    this.#point = env.HOLDFAST_KILL?.slice(0, 2) ?? null
    this.#process = new HoldfastProcess({ repo, args, env, timeoutMs: NODE_TIMEOUT_MS })
    this.ended = this.#process.ended.then(() => {
      this.isOver = true
    })
  }

  get stderr(): string {
    return this.#process.stderr
  }

  end(): void {
    this.#process.kill('SIGKILL')
  }

  /** Kills it, or sees that its kill point did; which it was. */
  async kill(find: (text: string) => void): Promise<string> {
    if (this.#point !== null) await Promise.race([this.ended, sleep(POINT_WAIT_MS)])
    const kind = this.isOver && this.#point !== null ? this.#point : 'node'
    this.end()
    const { signal, code, stderr } = await this.#process.ended
    if (signal !== 'SIGKILL' || stderr.includes('halted'))
      find(`the node ended with code ${code}, signal ${signal}: ${stderr.trim()}`)
    return kind
  }

  async stop(find: (text: string) => void): Promise<void> {
    this.#process.kill('SIGTERM')
    const { code, signal, stderr } = await this.#process.ended
    if (code !== 0) find(`after SIGTERM the node ended with code ${code}, signal ${signal}: ${stderr.trim()}`)
  }
}

/** RD2. What a report of many kills lacks. */
export function vacuous({ byKind, catchingUp, moving, confirmed }: ReadsReport): string[] {
  const facts = { ...Object.fromEntries(Object.entries(byKind).map(([kind, { keys }]) => [kind, keys])) }
  const all: Readonly<Record<string, number>> = { ...facts, catchingUp, moving, confirmed }
  return Object.keys(all).filter((name) => all[name] === 0)
}

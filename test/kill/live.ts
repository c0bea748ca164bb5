// `holdfast node` killed again and again while plain NATS clients publish: the output streams hold every accepted event
// exactly once, in log order, under numbers without a gap; dead letters likewise.
// LV1: the broker stays; what the clients got an ack for, with the ack's sequence, is what must come out.
// LV2: at the end the node runs undisturbed until everything is out, or until nothing has come for SETTLE_MS.

import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { connect, type NatsConnection } from 'nats'
import { Random } from '../../cli/generate/random.ts'
import { livePlanOf } from '../../cli/node-command.ts'
import { CONFIG_DEFAULT } from '../../cli/settings.ts'
import { partitionOf } from '../../log/frame.ts'
import type { LogMessage } from '../../log/log.ts'
import { connectLog, type NatsLog } from '../../log/nats-log.ts'
import { startNatsServer } from '../../log/nats-supervisor.ts'
import { RECORD_HEADER } from '../../log/writer.ts'
import { DEAD_LETTERS } from '../../operators/validation.ts'
import { audit } from '../../topology/audit.ts'
import { ACCEPTED } from '../../topology/graph.ts'
import { outputStream, plainMapping, taskName } from '../../topology/plan.ts'
import { HoldfastProcess, leftoversOf } from './process.ts'
import type { Finding } from './trial.ts'

export interface LiveOptions {
  readonly repo: string
  readonly kills: number
  readonly seed: number
  readonly partitions: number
  readonly workDir: string
  readonly onKill: (kills: number, published: number) => void
}

export interface LiveReport {
  readonly kills: number
  /** By kill point; `node`: at a random time. */
  readonly kinds: Readonly<Record<string, number>>
  readonly published: number
  readonly accepted: number
  readonly deadLetters: number
  readonly duplicates: number
  readonly findings: readonly Finding[]
}

const NAMESPACE = 'live'
const CLIENTS = 4
const USERS_PER_CLIENT = 8
const DUPLICATE_SHARE = 0.05
const INVALID_SHARE = 0.02
/** Milliseconds between two events of a client. */
const EVENT_PAUSE_MS = 2
/** Milliseconds that a node lives at most before a kill by time; starting takes some hundred of them. */
const LIFE_MS_MAX = 1_800
const LIFE_MS_MIN = 300
const NODE_TIMEOUT_MS = 600_000
/** A point that is not passed in this time is given up. */
const POINT_WAIT_MS = 5_000
const SETTLE_MS = 30_000
const POINTS = ['K0', 'K1', 'K2', 'K4', 'K5', 'K6', 'K7']

/** What a client sent and the log took. */
interface Sent {
  readonly id: string
  readonly seq: number
  readonly fate: 'accepted' | 'duplicate' | 'dead letter'
}

/** Kills a live node `kills` times under load and judges what came out. */
export async function killLiveNode(options: LiveOptions): Promise<LiveReport> {
  const { partitions, workDir } = options
  const plan = livePlanOf({ namespace: NAMESPACE, partitions, config: CONFIG_DEFAULT })
  const server = await startNatsServer({ storeDir: join(workDir, 'live-broker'), mappings: plainMapping(plan) })
  const log = await connectLog({ servers: server.url, name: 'kill test' })
  const nc = await connect({ servers: server.url })
  const nodes = new Nodes(options, server.url)
  try {
    await nodes.untilReady(log)
    const load = new Load(nc, partitions, options.seed)
    const clients = load.run()
    await nodes.killAll(() => load.count)
    load.stop()
    await clients
    const findings = await nodes.finishing(() => judge(log, load, partitions))
    for (const fault of (await audit(plan, log)).faults) findings.push({ oracle: 'O3', text: fault })
    findings.push(...nodes.findings)
    return { kills: nodes.kills, kinds: nodes.kinds, published: load.count, ...load.fates(), findings }
  } finally {
    await nodes.end()
    await nc.close()
    await log.close()
    await server.stop()
  }
}

/** The node as it lives and dies. */
class Nodes {
  readonly #o: LiveOptions
  readonly #url: string
  readonly #random: Random
  readonly kinds: Record<string, number> = {}
  readonly findings: Finding[] = []
  kills = 0
  #process: HoldfastProcess

  constructor(options: LiveOptions, url: string) {
    this.#o = options
    this.#url = url
    this.#random = new Random(options.seed)
    this.#process = this.#start({})
  }

  /** Streams are made by the first node. */
  async untilReady(log: NatsLog): Promise<void> {
    const names = [DEAD_LETTERS, ACCEPTED].map((output) => outputStream(NAMESPACE, output, this.#o.partitions - 1))
    for (let ready = false; !ready; await sleep(20)) {
      const states = await Promise.all(names.map((name) => log.streamState(name)))
      ready = states.every((state) => state !== null)
    }
  }

  async killAll(published: () => number): Promise<void> {
    this.#process.kill('SIGKILL')
    await this.#process.ended
    while (this.kills < this.#o.kills && this.findings.length === 0) {
      const kind = this.#random.chance(0.5) ? 'node' : this.#random.pick(POINTS)
      await (kind === 'node' ? this.#killByTime() : this.#killAt(kind))
      for (const left of await leftoversOf(this.#dataDir)) this.findings.push({ oracle: 'O7', text: `left: ${left}` })
      this.#o.onKill(this.kills, published())
    }
  }

  async #killByTime(): Promise<void> {
    this.#process = this.#start({})
    await sleep(LIFE_MS_MIN + this.#random.below(LIFE_MS_MAX - LIFE_MS_MIN))
    this.#process.kill('SIGKILL')
    await this.#count('node')
  }

  async #killAt(point: string): Promise<void> {
    const hit = 1 + this.#random.below(point === 'K0' ? 4 : 20)
    const delay = point === 'K6' ? `+${this.#random.below(300)}` : ''
    this.#process = this.#start({ HOLDFAST_KILL: `${point}:${hit}${delay}` })
    const isHit = await Promise.race([this.#process.ended.then(() => true), sleep(POINT_WAIT_MS).then(() => false)])
    if (!isHit) this.#process.kill('SIGKILL')
    await this.#count(isHit ? point : 'node')
  }

  async #count(kind: string): Promise<void> {
    const { signal, code, stderr } = await this.#process.ended
    if (signal !== 'SIGKILL') {
      this.findings.push({ oracle: 'O5', text: `the node ended with code ${code}, signal ${signal}: ${stderr.trim()}` })
      return
    }
    if (stderr.includes('halted')) this.findings.push({ oracle: 'O5', text: stderr.trim() })
    this.kills++
    this.kinds[kind] = (this.kinds[kind] ?? 0) + 1
  }

  /** Runs a node undisturbed while `work` waits for its results. */
  async finishing<T>(work: () => Promise<T>): Promise<T> {
    this.#process = this.#start({})
    const result = await work()
    this.#process.kill('SIGTERM')
    const { code, signal, stderr } = await this.#process.ended
    if (code !== 0) {
      const text = `after SIGTERM the node ended with code ${code}, signal ${signal}: ${stderr.trim()}`
      this.findings.push({ oracle: 'O7', text })
    }
    return result
  }

  async end(): Promise<void> {
    this.#process.kill('SIGKILL')
    await this.#process.ended
  }

  get #dataDir(): string {
    return join(this.#o.workDir, 'live-node')
  }

  #start(env: Readonly<Record<string, string>>): HoldfastProcess {
    const { repo, partitions } = this.#o
    const args = ['node', '--no-http', '--data-dir', this.#dataDir, '--namespace', NAMESPACE, '--nats', this.#url]
    args.push('--partitions', String(partitions), '--log-bytes', String(2 ** 30))
    return new HoldfastProcess({ repo, args, env, timeoutMs: NODE_TIMEOUT_MS })
  }
}

/** Plain clients, each with users of its own, each waiting for the ack of one event before it sends the next. */
class Load {
  readonly #nc: NatsConnection
  readonly #seed: number
  readonly #sent: Sent[][]
  #stopping = false
  count = 0

  constructor(nc: NatsConnection, partitions: number, seed: number) {
    this.#nc = nc
    this.#seed = seed
    this.#sent = Array.from({ length: partitions }, () => [])
  }

  stop(): void {
    this.#stopping = true
  }

  async run(): Promise<void> {
    await Promise.all(Array.from({ length: CLIENTS }, (_, client) => this.#client(client)))
  }

  /** What must come out of a partition, in log order. */
  expected(partition: number, fate: Sent['fate']): string[] {
    return this.#sent[partition]!.filter((sent) => sent.fate === fate)
      .sort((a, b) => a.seq - b.seq)
      .map(({ id }) => id)
  }

  fates(): Pick<LiveReport, 'accepted' | 'duplicates' | 'deadLetters'> {
    const count = (fate: Sent['fate']) => this.#sent.flat().filter((sent) => sent.fate === fate).length
    return { accepted: count('accepted'), duplicates: count('duplicate'), deadLetters: count('dead letter') }
  }

  async #client(client: number): Promise<void> {
    const random = new Random(this.#seed * 100 + client)
    const lastOf = new Map<string, string>()
    for (let n = 0; !this.#stopping; n++) {
      const user = `u${client}-${random.below(USERS_PER_CLIENT)}`
      const last = lastOf.get(user)
      const isDuplicate = last !== undefined && random.chance(DUPLICATE_SHARE)
      const isInvalid = !isDuplicate && random.chance(INVALID_SHARE)
      const id = isDuplicate ? last : `${client}.${n}`
      const event = { type: 'page_view', event_id: id, event_time: Date.now(), user_id: user, page_id: `p${n % 9}` }
      const payload = JSON.stringify(isInvalid ? { ...event, type: 'no such type' } : event)
      const seq = await this.#publish(`${NAMESPACE}.in.${user}`, payload)
      if (!isInvalid) lastOf.set(user, id)
      const fate = isInvalid ? 'dead letter' : isDuplicate ? 'duplicate' : 'accepted'
      this.#sent[partitionOf(user, this.#sent.length)]!.push({ id, seq, fate })
      this.count++
      await sleep(EVENT_PAUSE_MS)
    }
  }

  async #publish(subject: string, payload: string): Promise<number> {
    const answer = (await this.#nc.request(subject, payload, { timeout: 20_000 })).json<{ seq?: number }>()
    if (answer.seq === undefined) throw new Error(`the log refused an event: ${JSON.stringify(answer)}`)
    return answer.seq
  }
}

async function judge(log: NatsLog, load: Load, partitions: number): Promise<Finding[]> {
  const findings: Finding[] = []
  for (let p = 0; p < partitions; p++) {
    for (const [output, fate] of [
      [ACCEPTED, 'accepted'],
      [DEAD_LETTERS, 'dead letter'],
    ] as const) {
      const stream = outputStream(NAMESPACE, output, p)
      const expected = load.expected(p, fate)
      const messages = await allOf(log, stream, expected.length)
      const found = messages.map(({ payload }) => idIn(payload))
      findings.push(...compareIds(stream, expected, found), ...compareNumbers(stream, taskName('user-1', p), messages))
    }
  }
  return findings
}

/** The messages of a stream once `count` of them are there and no more come, or nothing has come for SETTLE_MS. */
async function allOf(log: NatsLog, stream: string, count: number): Promise<LogMessage[]> {
  const state = (await log.streamState(stream))!
  const reader = await log.read(stream, { seq: 0, digest: '', created: state.created })
  const messages: LogMessage[] = []
  try {
    for (;;) {
      const more = await reader.next(messages.length < count ? SETTLE_MS : 500)
      if (more.length === 0) return messages
      messages.push(...more)
    }
  } finally {
    await reader.stop()
  }
}

/** Of an accepted event, or of the raw bytes in a dead letter. */
function idIn(payload: Uint8Array): string {
  const record = JSON.parse(Buffer.from(payload).toString()) as { event_id?: string; raw?: string }
  if (record.event_id !== undefined) return record.event_id
  return (JSON.parse(Buffer.from(record.raw!, 'base64').toString()) as { event_id: string }).event_id
}

/** O2: lost, duplicated, unexpected, out of order. */
function compareIds(stream: string, expected: readonly string[], found: readonly string[]): Finding[] {
  const findings: Finding[] = []
  const find = (what: string, ids: readonly string[]) => {
    if (ids.length > 0) findings.push({ oracle: 'O2', text: `${stream}: ${ids.length} ${what}, first ${ids[0]}` })
  }
  const wanted = new Set(expected)
  const there = new Set(found)
  find(
    'lost',
    [...wanted].filter((id) => !there.has(id)),
  )
  find(
    'unexpected',
    [...there].filter((id) => !wanted.has(id)),
  )
  find('duplicated', duplicatesIn(found))
  if (findings.length === 0)
    find(
      'out of order',
      found.filter((id, i) => id !== expected[i]),
    )
  return findings
}

function compareNumbers(stream: string, writer: string, messages: readonly LogMessage[]): Finding[] {
  return messages.flatMap(({ headers, seq }, i) => {
    const identity = headers?.[RECORD_HEADER]
    if (identity === `${writer}.${i + 1}`) return []
    return [{ oracle: 'O3', text: `${stream} sequence ${seq}: ${identity} where ${writer}.${i + 1} belongs` }]
  })
}

function duplicatesIn(ids: readonly string[]): string[] {
  const seen = new Set<string>()
  return ids.filter((id) => seen.size === seen.add(id).size)
}

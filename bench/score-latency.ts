// From a click's publication to its score's, in a live node (`clock: wall`) with the model loop: clicks come over NATS at a steady rate, some
// in a message, as a gateway sends them; who reads the output stream `scores` sees when each is there. Then the same while the version is swapped.
// SL1: counted is a message, from the moment at which it was meant to be sent to the moment at which the last score of its clicks came
//      out of the stream to this process; each click has to have one score, and of a version, or the measurement fails.
// SL2: a version is made live as `holdfast model activate` does it: its file in the bucket, an activation in the registry.

import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { connect, type NatsConnection } from 'nats'
import { partitionOf } from '../log/frame.ts'
import { connectLog, type NatsLog } from '../log/nats-log.ts'
import { SCORES, type ScoreRecord } from '../operators/scorer.ts'
import { ModelRegistry } from '../topology/model-registry.ts'
import { outputStream, PLAIN_WRITER, stageSubject } from '../topology/plan.ts'
import { modelBucketName } from '../topology/streams.ts'
import { cpuSecondsOf } from './meter.ts'
import { chanceOf, type VersionFile, versionFile } from './model-rows.ts'
import { type OutsideNode, withNodeAndServer } from './node-process.ts'
import { type Deed, openLoad, type Paced } from './pace.ts'

/** As the issue names them. */
export const CLICKS_PER_S = 5_000
const PARTITIONS = 2
/** Clicks of a message: those of 4 ms and one partition. The server syncs each message to disk, however long it is. */
const MESSAGE_CLICKS = 10
/** Share of the measurement that is done before, unmeasured: code is compiled then. */
const WARM_UP = 0.3
/** Between two activations: a node looks for them once a second. */
const SWAP_MS = 2_000
/** Rounds of warm-up after which the version scores, at most. */
const ROUNDS_MAX = 30
const READ_WAIT_MS = 100
/** Long: a busy machine slows the start down, it does not end it. */
const REQUEST_TIMEOUT_MS = 30_000
/** Of each partition. */
const USERS = 25_000
const SOURCE_STAGE = 'user-1'
const [ADVERTISERS, CAMPAIGNS, ADS] = [10, 40, 200]
/** Rows that taught the versions. */
const TAUGHT = 20_000
/** Higher than any version that the node's own trainer could publish meanwhile: none of those becomes live by itself. */
const SEEN = 1_000_000

export interface LatencyCell {
  readonly name: string
  readonly clicksPerS: number
  readonly clicks: number
  readonly seconds: number
  readonly p50Ms: number
  readonly p99Ms: number
  readonly maxMs: number
  readonly nodeCpuSeconds: number
  readonly serverCpuSeconds: number
  /** Times that a partition's scores came of another version than the one before. */
  readonly swaps: number
}

export interface LatencyOptions {
  readonly directory: string
  /** Of each measurement, without warm-up. */
  readonly seconds: number
  readonly threads: number
  readonly clicksPerS?: number
  readonly profile: string | null
}

/** Measures a steady version, and versions that are swapped. */
export async function latencyCells(o: LatencyOptions): Promise<[LatencyCell, LatencyCell]> {
  const config = join(o.directory, 'scoring.json')
  mkdirSync(o.directory, { recursive: true })
  writeFileSync(config, JSON.stringify({ scoring: {} }))
  const node = { ...o, partitions: PARTITIONS, args: ['--config', config] }
  return withNodeAndServer('scoring', node, async (outside) => {
    const log = await connectLog({ servers: outside.natsUrl, name: 'bench', requestTimeoutMs: REQUEST_TIMEOUT_MS })
    const nc = await connect({ servers: outside.natsUrl })
    const clicks = new Clicks(nc, log, outside)
    try {
      return await Promise.race([measured(clicks, o), clicks.read()])
    } finally {
      await clicks.close()
      await nc.close()
      await log.close()
    }
  })
}

async function measured(
  clicks: Clicks,
  { seconds, clicksPerS = CLICKS_PER_S }: LatencyOptions,
): Promise<[LatencyCell, LatencyCell]> {
  const perSecond = clicksPerS / MESSAGE_CLICKS
  const load = (forSeconds: number) => openLoad({ perSecond, seconds: forSeconds }, clicks.send)
  const versions = [versionFile(1, null, TAUGHT), versionFile(2, null, TAUGHT)]
  for (const version of versions) await clicks.keep(version)
  await clicks.activate(versions[0]!)
  for (let round = 0; !clicks.isScoredBy('1'); round++) {
    if (round === ROUNDS_MAX) throw new Error('the version did not come to score')
    await load(seconds * WARM_UP)
  }
  const steady = await clicks.cell('one version', clicksPerS, () => load(seconds))
  const swapped = await clicks.cell('versions swapped', clicksPerS, async () => {
    const loaded = load(seconds)
    const until = performance.now() + seconds * 1_000 - SWAP_MS / 2
    for (let next = 1; performance.now() < until; next++) {
      await clicks.activate(versions[next % versions.length]!)
      await new Promise((resolve) => setTimeout(resolve, SWAP_MS))
    }
    return loaded
  })
  if (swapped.swaps === 0) throw new Error('no version was swapped')
  return [steady, swapped]
}

interface Message {
  unscored: number
  isGood: boolean
  readonly done: (isGood: boolean) => void
}

/** Clicks of one namespace on their way, and their scores. */
class Clicks {
  readonly #nc: NatsConnection
  readonly #log: NatsLog
  readonly #node: OutsideNode
  readonly #registry: ModelRegistry
  /** By click. */
  readonly #waiting = new Map<string, Message>()
  readonly #users = usersByPartition()
  readonly #readers: Promise<void>[] = []
  /** By partition. */
  readonly #versions = new Array<string | undefined>(PARTITIONS).fill(undefined)
  #swaps = 0
  #sent = 0
  #isOpen = true

  constructor(nc: NatsConnection, log: NatsLog, node: OutsideNode) {
    this.#nc = nc
    this.#log = log
    this.#node = node
    this.#registry = new ModelRegistry(log, node.namespace)
  }

  /** Hears of scores until close(); rejects when that cannot go on. */
  async read(): Promise<never> {
    for (let partition = 0; partition < PARTITIONS; partition++) this.#readers.push(this.#read(partition))
    await Promise.all(this.#readers)
    return new Promise<never>(() => {})
  }

  async close(): Promise<void> {
    this.#isOpen = false
    await Promise.allSettled(this.#readers)
  }

  /** Whether the last score of each partition that has some is of this version. */
  isScoredBy(version: string): boolean {
    const known = this.#versions.filter((each) => each !== undefined)
    return known.length > 0 && known.every((each) => each === version)
  }

  async keep({ bytes, active: { sha256 } }: VersionFile): Promise<void> {
    await this.#log.putBlob(modelBucketName(this.#node.namespace), sha256, bytes)
  }

  /** SL2. */
  async activate({ active: { version, sha256, schema } }: VersionFile): Promise<void> {
    const newest = await this.#registry.newest()
    const { kind } = await this.#registry.append({ version, sha256, schema, seen: SEEN }, 0, newest)
    if (kind !== 'stored') throw new Error(`the activation is ${kind}`)
  }

  readonly send: Deed = (done) => {
    const partition = ++this.#sent % PARTITIONS
    const message: Message = { unscored: MESSAGE_CLICKS, isGood: true, done }
    const clicks = Array.from({ length: MESSAGE_CLICKS }, (_, i) => {
      const id = `c${this.#sent}-${i}`
      this.#waiting.set(id, message)
      return clickText(id, this.#users[partition]![(this.#sent * MESSAGE_CLICKS + i) % USERS]!)
    })
    const subject = stageSubject(this.#node.namespace, SOURCE_STAGE, partition, PLAIN_WRITER)
    this.#nc.publish(subject, `[${clicks.join(',')}]`)
  }

  async cell(name: string, clicksPerS: number, load: () => Promise<Paced>): Promise<LatencyCell> {
    const { pid, serverPid } = this.#node
    const [node, server, swaps] = [cpuSecondsOf(pid), cpuSecondsOf(serverPid), this.#swaps]
    const { latencyUs, done, failed, seconds } = await load()
    if (failed > 0) throw new Error(`${name}: ${failed} of ${done + failed} messages were not scored by a version`)
    const ms = (percent: number): number => latencyUs.getValueAtPercentile(percent) / 1_000
    return {
      ...{
        name,
        clicksPerS,
        clicks: done * MESSAGE_CLICKS,
        seconds,
        p50Ms: ms(50),
        p99Ms: ms(99),
        maxMs: latencyUs.maxValue / 1_000,
      },
      ...{ nodeCpuSeconds: cpuSecondsOf(pid) - node, serverCpuSeconds: cpuSecondsOf(serverPid) - server },
      swaps: this.#swaps - swaps,
    }
  }

  async #read(partition: number): Promise<void> {
    const stream = outputStream(this.#node.namespace, SCORES, partition)
    const state = await this.#log.streamState(stream)
    if (state === null) throw new Error(`there is no stream ${stream}`)
    const reader = await this.#log.read(stream, { seq: 0, digest: '', created: state.created })
    while (this.#isOpen) {
      for (const { payload } of await reader.next(READ_WAIT_MS))
        for (const record of JSON.parse(Buffer.from(payload).toString()) as ScoreRecord[])
          this.#scored(record, partition)
    }
    await reader.stop()
  }

  #scored({ event_id, model_version }: ScoreRecord, partition: number): void {
    if (this.#versions[partition] !== model_version) {
      if (this.#versions[partition] !== undefined) this.#swaps++
      this.#versions[partition] = model_version
    }
    const message = this.#waiting.get(event_id)
    if (message === undefined) throw new Error(`${event_id} has a second score`)
    this.#waiting.delete(event_id)
    message.isGood &&= model_version !== '0'
    if (--message.unscored === 0) message.done(message.isGood)
  }
}

/** Those of each partition, as the server's mapping would send them there. */
function usersByPartition(): string[][] {
  const users: string[][] = Array.from({ length: PARTITIONS }, () => [])
  for (let n = 0; users.some(({ length }) => length < USERS); n++)
    users[partitionOf(`u${n}`, PARTITIONS)]!.push(`u${n}`)
  return users
}

function clickText(id: string, user: string): string {
  const below = (count: number, seed: number): number => Math.floor(chanceOf(Number(user.slice(1)), seed) * count)
  const advertiser = below(ADVERTISERS, 1)
  return (
    `{"type":"click","event_id":"${id}","event_time":${Date.now()},"user_id":"${user}","advertiser_id":"a${advertiser}",` +
    `"campaign_id":"c${advertiser}-${below(CAMPAIGNS, 2)}","ad_id":"ad${advertiser}-${below(ADS, 3)}","click_id":"k${id}"}`
  )
}

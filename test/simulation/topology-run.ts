// A whole topology over a file: the real file reader and every task, in one simulated node that is killed and started again.
// The file is real, so its reading is not part of the scheduler: results must be the same all the same, but a failure may
// need several tries to show again.

import { HoldfastError } from '../../log/errors.ts'
import type { Chaos } from '../../log/fake-log.ts'
import { type FakeLog, FakeLogServer } from '../../log/fake-log.ts'
import type { LogMessage } from '../../log/log.ts'
import { MemoryDisk } from '../../state/memory-backend.ts'
import type { FeatureLine } from '../../topology/features/feature-plan.ts'
import { FileSource } from '../../topology/file-source.ts'
import { Host } from '../../topology/host.ts'
import { outputStream, outputSubject, type Plan, stageStream, taskName } from '../../topology/plan.ts'
import { modelBucket, modelBucketName, streamSpecs } from '../../topology/streams.ts'
import type { TaskTuning } from '../../topology/task.ts'
import { Conductor } from './conductor.ts'
import { walk } from './oracles.ts'
import { SimBackend } from './process.ts'
import { ANONYMOUS } from './topologies.ts'

export interface TopologyRunOptions {
  readonly plan: Plan
  readonly path: string
  readonly seed: number
  readonly tuning: TaskTuning
  readonly chaos: Chaos
  readonly kills: number
  /** The kill point at which nodes are killed, as it is passed for the n-th time, n by the seed. null, not given: at any time. */
  readonly killAt?: string | null
}

/** Whether a task, or the reader of the file, gave way to a newer owner. */
const isFenced = (failure: unknown): boolean =>
  failure instanceof Error &&
  [failure, failure.cause].some((each) => each instanceof HoldfastError && each.code === 'FENCED')

/** What must not depend on partitions, timing or kills: everything sorted, over all partitions. */
export interface TopologyOutcome {
  /** By stage. */
  readonly dumps: Readonly<Record<string, readonly string[]>>
  /** By output stream, partitions together. */
  readonly outputs: Readonly<Record<string, readonly string[]>>
  readonly counts: Readonly<Record<string, number>>
  /** The features of the plan at the highest accepted event time. */
  readonly features: readonly FeatureLine[]
  readonly kills: number
}

const ROOMY_BYTES = 1024 * 1024 * 1024
const STEPS_MAX = 1_000_000
/** Logical milliseconds between kills. */
const LIFE_MS_MAX = 800
/** Steps between two kills, at most: a run of a few hundred events takes some thousands. */
const LIFE_STEPS_MAX = 1_500
/** Passes of a kill point between two kills, at most. */
const LIFE_PASSES_MAX = 12
/** Commits that a kill may take back. */
const LOST_COMMITS_MAX = 4

export async function runTopology(options: TopologyRunOptions): Promise<TopologyOutcome> {
  const run = new TopologyRun(options)
  return run.toTheEnd()
}

/** What the tasks of each stage read in a run, by stage and partition, and the files that they found. */
export interface Recorded {
  readonly inputs: ReadonlyMap<string, readonly (readonly LogMessage[])[]>
  readonly blobs: ReadonlyMap<string, Uint8Array>
}

/** Runs a topology, and keeps what its tasks read. */
export async function recordTopology(options: TopologyRunOptions): Promise<Recorded> {
  const run = new TopologyRun(options)
  await run.toTheEnd()
  return run.recorded()
}

class TopologyRun {
  readonly #o: TopologyRunOptions
  readonly #server: FakeLogServer
  readonly #conductor: Conductor
  readonly #disks = new Map<string, MemoryDisk>()
  #log!: FakeLog
  #source!: FileSource
  #host!: Host
  #backends: SimBackend[] = []
  #ended = false
  #failure: unknown = null
  #kills = 0
  /** Passes of `killAt` until the next kill. */
  #passesLeft = Number.POSITIVE_INFINITY

  constructor(options: TopologyRunOptions) {
    this.#o = options
    this.#server = new FakeLogServer({ seed: options.seed, drive: 'manual', chaos: options.chaos })
    this.#conductor = new Conductor(this.#server.scheduler, STEPS_MAX)
    for (const spec of streamSpecs(options.plan, { totalBytes: ROOMY_BYTES, replicas: 1 }))
      this.#server.ensureStream(spec)
    this.#server.ensureBucket(modelBucket(options.plan.namespace, 1))
  }

  async toTheEnd(): Promise<TopologyOutcome> {
    let outcome: TopologyOutcome | null = null
    await this.#conductor.play(async () => {
      this.#start()
      while (this.#kills < this.#o.kills && !this.#ended) await this.#killInAWhile()
      this.#server.chaos = {}
      await this.#conductor.when(() => this.#ended)
      if (this.#failure !== null) throw this.#failure
      outcome = await this.#outcome()
      await this.#host.close()
    })
    return outcome!
  }

  recorded(): Recorded {
    const { namespace, partitions, stages } = this.#o.plan
    const { buckets } = this.#server
    const bucket = modelBucketName(namespace)
    const streams = (stage: string) =>
      Array.from({ length: partitions }, (_, p) => this.#server.stored(stageStream(namespace, stage, p)))
    return {
      inputs: new Map(stages.map(({ name }) => [name, streams(name)])),
      blobs: new Map(buckets.names(bucket).map((name) => [name, buckets.get(bucket, name)!])),
    }
  }

  /** A node: the file reader and all tasks, on one connection. */
  #start(): void {
    const { plan, path, tuning } = this.#o
    const log = this.#server.connect('node')
    const runtime = { ...log.runtime, killPoint: (name: string) => this.#onKillPoint(name, log) }
    this.#log = log
    this.#backends = []
    const event = { anonymous: ANONYMOUS } as const
    this.#source = new FileSource({ plan, log, runtime, path, event, onWait: () => undefined })
    this.#host = new Host({
      plan,
      log,
      runtime,
      tuning,
      role: 'owner',
      backend: async (task) => this.#backend(task, log),
      onHalt: (task, error) => this.#end(log, new Error(`${task} halted`, { cause: error })),
    })
    const [host, source] = [this.#host, this.#source]
    Promise.all([host.start().then(() => host.ended()), source.run()]).then(
      () => this.#end(log, null),
      (error: unknown) => this.#end(log, error),
    )
  }

  /** What a killed node still says is not heard. */
  #end(log: FakeLog, failure: unknown): void {
    if (log !== this.#log) return
    if (this.#kills > 0 && isFenced(failure)) {
      // The first claim of a node that was killed at once has come late, with the generation that this one has: the next has a higher one.
      log.kill()
      for (const disk of this.#disks.values()) disk.crash(0)
      this.#start()
      return
    }
    this.#failure ??= failure
    this.#ended = true
  }

  #backend(task: string, log: FakeLog): SimBackend {
    const disk = this.#disks.get(task) ?? new MemoryDisk()
    this.#disks.set(task, disk)
    const backend = new SimBackend(disk.open(), () => log.runtime.turn())
    this.#backends.push(backend)
    return backend
  }

  async #killInAWhile(): Promise<void> {
    const { scheduler, random } = this.#server
    const { killAt = null } = this.#o
    const at = scheduler.steps + (killAt === null ? random.below(LIFE_STEPS_MAX) : Number.POSITIVE_INFINITY)
    if (killAt !== null) this.#passesLeft = 1 + random.below(LIFE_PASSES_MAX)
    await this.#conductor.when(() => this.#ended || scheduler.steps >= at || this.#passesLeft === 0)
    if (this.#ended) return
    this.#kills++
    for (const backend of this.#backends) if (random.chance(0.5)) backend.completeWrites()
    this.#log.kill()
    await scheduler.sleep(random.below(LIFE_MS_MAX))
    for (const disk of this.#disks.values()) disk.crash(random.chance(0.3) ? random.below(LOST_COMMITS_MAX) : 0)
    this.#start()
  }

  /** The kill is the next thing that happens. */
  #onKillPoint(name: string, log: FakeLog): void {
    if (name === this.#o.killAt && log === this.#log && this.#passesLeft > 0) this.#passesLeft--
  }

  async #outcome(): Promise<TopologyOutcome> {
    const { plan } = this.#o
    this.#everythingWasTaken()
    const dumps: Record<string, string[]> = {}
    const counts: Record<string, number> = {}
    let asOf: number | null = null
    for (const { stage, task } of this.#host.all()) {
      dumps[stage] ??= []
      for await (const line of task.dump()) dumps[stage].push(line)
      const { tally } = task.status()
      for (const [name, count] of Object.entries(tally.counts)) {
        counts[`${stage} ${name}`] = (counts[`${stage} ${name}`] ?? 0) + count
      }
      if (tally.highs.as_of !== undefined) asOf = Math.max(asOf ?? 0, tally.highs.as_of)
    }
    const features = asOf === null ? [] : await this.#features(asOf)
    for (const lines of Object.values(dumps)) lines.sort()
    const outputs = Object.fromEntries(
      plan.stages.flatMap(({ outputs }) => outputs).map(({ name }) => [name, this.#output(name)]),
    )
    return { dumps, outputs, counts, features, kills: this.#kills }
  }

  /** Every record that a task sent to another was taken by it. */
  #everythingWasTaken(): void {
    const all = this.#host.all().map(({ task }) => task.status())
    for (const { name } of this.#o.plan.stages.filter(({ ingress }) => ingress === null))
      for (let p = 0; p < this.#o.plan.partitions; p++) {
        const sent = all.reduce((sum, status) => sum + (status.sent[name]?.[p] ?? 0), 0)
        const { taken } = all.find((status) => status.name === taskName(name, p))!
        if (sent !== taken) throw new Error(`${sent} records were sent to ${taskName(name, p)}, which took ${taken}`)
      }
  }

  async #features(asOf: number): Promise<FeatureLine[]> {
    const values: FeatureLine[] = []
    for await (const value of this.#host.values(asOf)) values.push(value)
    return values
  }

  /** The records of an output stream, all partitions; numbers and chains are walked on the way. */
  #output(name: string): string[] {
    const { namespace, partitions, stages } = this.#o.plan
    const stage = stages.find(({ outputs }) => outputs.some((output) => output.name === name))!
    const { mode } = stage.outputs.find((output) => output.name === name)!
    const records = Array.from({ length: partitions }, (_, p) => {
      const stream = outputStream(namespace, name, p)
      const destination = { stream, subject: outputSubject(namespace, name, p), mode }
      return walk(taskName(stage.name, p), destination, this.#server.stored(stream), ({ oracle, what }) => {
        throw new Error(`${oracle}: ${what}`)
      })
    })
    return records.flat().sort()
  }
}

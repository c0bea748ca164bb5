// A whole topology over a file: the real file reader and every task, in one simulated node that is killed and started again.
// The file is real, so its reading is not part of the scheduler: results must be the same all the same, but a failure may
// need several tries to show again.

import type { Chaos } from '../../log/fake-log.ts'
import { type FakeLog, FakeLogServer } from '../../log/fake-log.ts'
import { MemoryDisk } from '../../state/memory-backend.ts'
import type { FeatureLine } from '../../topology/features/feature-plan.ts'
import { FileSource } from '../../topology/file-source.ts'
import { Host } from '../../topology/host.ts'
import { outputStream, outputSubject, type Plan, taskName } from '../../topology/plan.ts'
import { streamSpecs } from '../../topology/streams.ts'
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
}

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
/** Commits that a kill may take back. */
const LOST_COMMITS_MAX = 4

export async function runTopology(options: TopologyRunOptions): Promise<TopologyOutcome> {
  const run = new TopologyRun(options)
  return run.toTheEnd()
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

  constructor(options: TopologyRunOptions) {
    this.#o = options
    this.#server = new FakeLogServer({ seed: options.seed, drive: 'manual', chaos: options.chaos })
    this.#conductor = new Conductor(this.#server.scheduler, STEPS_MAX)
    for (const spec of streamSpecs(options.plan, { totalBytes: ROOMY_BYTES, replicas: 1 }))
      this.#server.ensureStream(spec)
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

  /** A node: the file reader and all tasks, on one connection. */
  #start(): void {
    const { plan, path, tuning } = this.#o
    const log = this.#server.connect('node')
    const { runtime } = log
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
    const at = scheduler.steps + random.below(LIFE_STEPS_MAX)
    await this.#conductor.when(() => this.#ended || scheduler.steps >= at)
    if (this.#ended) return
    this.#kills++
    for (const backend of this.#backends) if (random.chance(0.5)) backend.completeWrites()
    this.#log.kill()
    await scheduler.sleep(random.below(LIFE_MS_MAX))
    for (const disk of this.#disks.values()) disk.crash(random.chance(0.3) ? random.below(LOST_COMMITS_MAX) : 0)
    this.#start()
  }

  async #outcome(): Promise<TopologyOutcome> {
    const { plan } = this.#o
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

// The world of one simulated task: a broker with its input and its destinations, somebody who reads and trims these, and
// two places (disks) where processes of the task can run.
// TW1: the input log is given, byte for byte; everything else (what arrives when, slices, faults) may vary with the seed.
// TW2: what was ever stored in a destination is archived before it is trimmed, so that oracles see all of it.
// What happens in it is in ordeal.ts; without faults it makes the twin that ordeals are compared with.

import type { Chaos, FaultKind } from '../../log/fake-log.ts'
import { FakeLogServer } from '../../log/fake-log.ts'
import { FRAME_HEADER, NO_WATERMARK, parseFrameHeader } from '../../log/frame.ts'
import type { LogMessage } from '../../log/log.ts'
import type { Destination } from '../../log/recovery.ts'
import { arrivalsIn } from '../../operators/arrival.ts'
import { MemoryDisk } from '../../state/memory-backend.ts'
import { parseCommitRecord } from '../../topology/commit-record.ts'
import {
  CONTROL_WRITER,
  exchangeDestination,
  outputDestination,
  type Plan,
  type StagePlan,
  stageStream,
  taskName,
} from '../../topology/plan.ts'
import { modelBucketName, streamSpecs } from '../../topology/streams.ts'
import { DEFAULT_TUNING, type Role, type TaskTuning } from '../../topology/task.ts'
import { Conductor } from './conductor.ts'
import type { InputMessage } from './input.ts'
import { type Finding, type Outcome, walk } from './oracles.ts'
import { SimProcess } from './process.ts'

/** One task with its input: what an ordeal is about. */
export interface Subject {
  readonly plan: Plan
  readonly stage: StagePlan
  readonly partition: number
  readonly input: readonly InputMessage[]
  /** Files that its tasks find, by name. Not given: none. */
  readonly blobs?: ReadonlyMap<string, Uint8Array>
  /** Kill points that it passes; not given: KILL_POINTS. */
  readonly killPoints?: readonly string[]
}

export interface WorldOptions {
  readonly seed: number
  readonly subject: Subject
  readonly tuning?: TaskTuning
  readonly chaos?: Chaos
  /** Bytes of each destination stream; without, there is always room. */
  readonly destinationBytes?: number
  readonly onKillPoint?: (name: string, process: SimProcess) => void
  /** More steps than this, and the world is stuck. */
  readonly stepsMax?: number
}

const ROOMY_BYTES = 1024 * 1024 * 1024
/** No ordeal needs a quarter of this. */
const STEPS_MAX = 150_000

export class TaskWorld {
  readonly server: FakeLogServer
  readonly subject: Subject
  readonly destinations: readonly Destination[]
  readonly inputStream: string
  readonly writer: string
  readonly disks: readonly [MemoryDisk, MemoryDisk] = [new MemoryDisk(), new MemoryDisk()]
  readonly #o: WorldOptions
  /** Destinations of which retention took the last message at some time. */
  readonly #forgetful = new Set<string>()
  readonly #archive = new Map<string, LogMessage[]>()
  readonly #conductor: Conductor
  #fed = 0
  #started = 0

  constructor(options: WorldOptions) {
    this.#o = options
    const { plan, stage, partition } = options.subject
    this.subject = options.subject
    this.server = new FakeLogServer({ seed: options.seed, drive: 'manual', chaos: options.chaos ?? {} })
    this.#conductor = new Conductor(this.server.scheduler, options.stepsMax ?? STEPS_MAX)
    this.inputStream = stageStream(plan.namespace, stage.name, partition)
    this.writer = taskName(stage.name, partition)
    this.destinations = [
      ...stage.exchanges.flatMap((exchange) =>
        Array.from({ length: plan.partitions }, (_, p) => exchangeDestination(plan, exchange.stage, p, this.writer)),
      ),
      ...stage.outputs.map((output) => outputDestination(plan, output, partition)),
    ]
    const mine = new Set(this.destinations.map(({ stream }) => stream))
    for (const spec of streamSpecs(plan, { totalBytes: ROOMY_BYTES, replicas: 1 })) {
      const bytes = mine.has(spec.name) ? options.destinationBytes : undefined
      this.server.ensureStream({ ...spec, maxBytes: bytes ?? spec.maxBytes })
    }
    for (const { stream } of this.destinations) this.#archive.set(stream, [])
    const { blobs = new Map<string, Uint8Array>() } = options.subject
    const bucket = modelBucketName(plan.namespace)
    this.server.ensureBucket({ name: bucket, maxBytes: ROOMY_BYTES, replicas: 1 })
    for (const [name, bytes] of blobs) this.server.buckets.put(bucket, name, bytes)
  }

  get random() {
    return this.server.random
  }

  // ---------------------------------------------------------------- processes

  /** Starts a process of the task on a disk. */
  start(disk: MemoryDisk, role: Role = 'owner', tuning = this.#o.tuning ?? DEFAULT_TUNING): SimProcess {
    const { plan, stage, partition } = this.subject
    const name = `${role}-${++this.#started}`
    const onKillPoint = this.#o.onKillPoint ?? (() => undefined)
    return new SimProcess({ server: this.server, name, plan, stage, partition, disk, role, tuning, onKillPoint })
  }

  /** Whether a task has applied all of the input that is ever to come. */
  isThrough({ task }: SimProcess): boolean {
    return this.#fed === this.subject.input.length && this.hasApplied({ task }, this.#fed)
  }

  /** Whether a task has committed the first `count` messages, to the last record and watermark, and has heard of no more. */
  hasApplied({ task }: Pick<SimProcess, 'task'>, count: number): boolean {
    const { phase, seq, pending } = task.status()
    if (phase !== 'running' || seq !== count || pending > 0) return false
    const snapshot = task.snapshot()
    const { meta } = snapshot
    snapshot.release()
    if (meta === null) return count === 0
    const { position, writers } = parseCommitRecord(meta)
    const isThere = position.seq === count && position.applied === recordsIn(this.subject.input[count - 1]!)
    return (
      isThere &&
      this.#watermarkOf(count) === Math.max(NO_WATERMARK, ...Object.values(writers).map(({ watermark }) => watermark))
    )
  }

  /** The highest watermark that is in the first `count` messages; none is in what plain clients write. */
  #watermarkOf(count: number): number {
    const headers = this.subject.input
      .slice(0, count)
      .map((message) => parseFrameHeader(message.headers?.[FRAME_HEADER]))
    return Math.max(NO_WATERMARK, ...headers.map((header) => header?.watermark ?? NO_WATERMARK))
  }

  // ---------------------------------------------------------------- time

  /** Resolves when the condition holds; looked at before every step. */
  when(condition: () => boolean): Promise<void> {
    return this.#conductor.when(condition)
  }

  sleep(ms: number): Promise<void> {
    return this.server.scheduler.sleep(ms)
  }

  /** Runs the world until the script is done. Throws Stuck, or what the script threw. */
  play(script: () => Promise<void>): Promise<void> {
    return this.#conductor.play(script)
  }

  // ---------------------------------------------------------------- input and output

  /** The next `count` messages arrive. */
  feed(count = this.subject.input.length): void {
    const end = Math.min(this.#fed + count, this.subject.input.length)
    for (; this.#fed < end; this.#fed++) this.server.replay(this.inputStream, this.subject.input[this.#fed]!)
  }

  /** Messages that arrived so far. */
  get fed(): number {
    return this.#fed
  }

  /** Everything that arrived so far arrives once more, in a stream that lost it. */
  feedAgain(): void {
    const count = this.#fed
    this.#fed = 0
    this.feed(count)
  }

  /** Feeds everything in portions, with up to `pauseMs` between them. */
  async feedSlowly(pauseMs = 60): Promise<void> {
    while (this.#fed < this.subject.input.length) {
      this.feed(1 + this.random.below(12))
      await this.sleep(this.random.below(pauseMs))
    }
  }

  /** Archives what is new in the destinations. */
  collect(): void {
    for (const [stream, archive] of this.#archive) {
      const last = archive.at(-1)?.seq ?? 0
      for (const message of this.server.stored(stream)) if (message.seq > last) archive.push(message)
    }
  }

  /**
   * A consumer of the destinations has read everything and lets it be trimmed, up to the writer's last message, of a stream
   * with one message per record also that one.
   */
  consume(): void {
    this.collect()
    for (const { stream, mode } of this.destinations) {
      const { firstSeq, lastSeq } = this.server.stream(stream)!.state
      const keep = mode === 'frames' ? 1 : this.random.below(3)
      if (keep === 0) this.#forgetful.add(stream)
      const count = lastSeq - keep + 1 - firstSeq
      if (count > 0) this.server.dropFirst(stream, count)
    }
  }

  /** The records in the destinations, by subject; `found` hears what is wrong with numbers and chains. */
  outputs(found: (finding: Finding) => void): Map<string, string[]> {
    this.collect()
    return new Map(
      this.destinations.map((d) => [
        d.subject,
        walk(this.writer, d, this.#archive.get(d.stream)!, found, this.#forgetful.has(d.stream)),
      ]),
    )
  }

  /** Messages of one destination, as archived. */
  archived({ stream }: Destination): readonly LogMessage[] {
    this.collect()
    return this.#archive.get(stream)!
  }

  get fired(): Readonly<Record<FaultKind, number>> {
    return this.server.fired
  }

  /** Starts once more on a disk, and reads out what is committed there. To be played. */
  async readOut(disk: MemoryDisk): Promise<Pick<Outcome, 'dump' | 'tally'>> {
    const process = this.start(disk)
    await this.when(() => process.end !== null || this.isThrough(process))
    process.task.stop()
    await this.when(() => process.end !== null)
    if (process.end!.kind === 'halted') throw process.end!.error
    const { tally } = process.task.status()
    const dump: string[] = []
    for await (const line of process.task.dump()) dump.push(line)
    await process.exit()
    return { dump, tally }
  }
}

/** What the task makes of its input when nothing happens to it. Throws where even that goes wrong. */
export async function twinOf(
  subject: Subject,
  tuning: TaskTuning = DEFAULT_TUNING,
): Promise<Outcome & { world: TaskWorld }> {
  const world = new TaskWorld({ seed: 1, subject, tuning })
  world.feed()
  let state: Pick<Outcome, 'dump' | 'tally'> | null = null
  await world.play(async () => {
    const process = world.start(world.disks[0])
    await world.when(() => process.end !== null || (subject.plan.clock === 'wall' && world.isThrough(process)))
    process.task.stop()
    await world.when(() => process.end !== null)
    if (process.end!.kind === 'halted') throw process.end!.error
    await process.exit()
    state = await world.readOut(world.disks[0])
  })
  const outputs = world.outputs(({ oracle, what }) => {
    throw new Error(`the twin itself fails ${oracle}: ${what}`)
  })
  return { outputs, ...state!, world }
}

/** Records in a message of the input: of a frame, of a control message, or of a plain client. */
function recordsIn({ subject, headers, payload }: InputMessage): number {
  const header = parseFrameHeader(headers?.[FRAME_HEADER])
  if (header !== null) return header.count
  if (subject.endsWith(`.${CONTROL_WRITER}`)) return (JSON.parse(Buffer.from(payload).toString()) as unknown[]).length
  return arrivalsIn(payload, { stream: '', sequence: 0, ingestMs: null }).length
}

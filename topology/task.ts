// A task: one stage on one partition, exactly once. It reads one stream and depends on nothing else:
//     (state', outputs) = step(state, record)
// Read this file from top to bottom as the protocol (protocol.md, sections 3 to 7):
//   open     take the state's word for where we are, look at what was published, claim the destinations, read on
//   apply    records in slices, each with the watermark before it; timers between them, in their order
//   commit   publish numbered records, then one RocksDB batch with state, position, numbers and chains, then the snapshot
//   halt     whatever does not add up stops the task with a code and the numbers; nothing is guessed
// T1: nothing computed here depends on slices, commits, timing, restarts or the number of instances.
// T2: a commit's records are acknowledged before its batch is written; after a crash they are recomputed and skipped.
// T3: one commit in flight, and commits are written in order; the next slices compute meanwhile.
// T4: a standby computes the same, publishes nothing, and applies nothing that its owner has not committed.
// T5 (with R1, topology/pipeline.ts): cuts are made between slices only, where no operator is half done.
// T6: what moves time (a frame's watermark, a tick, a drain) is taken only when all that it makes due is done. That is committed in
//     parts, at the position in front of it: whoever goes on from there reads it again, and finds less to do. A part promises the
//     time that it has come to, and no more; a standby takes what moves time when its owner has. (An event at a live source moves time
//     as well, and has to be processed before that: what it makes due there is in the commit of its slice.)
// T7: a file that a commit's records name is kept before they are published, again where that may have been for nothing. What is published
//     has its file, or it was forgotten since: to keep that again would put out a newer one.
// What a stage does that versions of a model are sent back to, is FB1 to FB5 (topology/feedback.ts).
// Operators are in operators/, numbers and chains in log/writer.ts, what is in a message in topology/intake.ts.

import { randomBytes } from 'node:crypto'
import { assert, HoldfastError } from '../log/errors.ts'
import { FRAME_BYTES_MAX, FRAME_HEADER, messageDigest, NO_WATERMARK, parseFrameHeader } from '../log/frame.ts'
import { type Log, type LogMessage, type LogReader, LogUnavailable, storedBytes } from '../log/log.ts'
import { Numbering, type Outbox, startOf } from '../log/numbering.ts'
import { askPatiently, type WaitCause } from '../log/patience.ts'
import type { Destination, Owner, Published } from '../log/recovery.ts'
import type { Runtime } from '../log/runtime.ts'
import { Writer } from '../log/writer.ts'
import { type Arrival, arrivalsIn, singleArrival } from '../operators/arrival.ts'
import { RANK, type Rec } from '../operators/operator.ts'
import type { Backend } from '../state/backend.ts'
import { type FilterRoom, UNBOUNDED } from '../state/filter-room.ts'
import type { ReadSnapshot } from '../state/read-snapshot.ts'
import { type Cut, TaskState } from '../state/task-state.ts'
import {
  type CommitRecord,
  type ControlRecord,
  encodeCommitRecord,
  type InputPosition,
  NOWHERE,
  parseCommitRecord,
} from './commit-record.ts'
import type { Configuration } from './configuration.ts'
import {
  activationOf,
  CONFIGURATION,
  type Control,
  configurationAt,
  type Drain,
  decodeControl,
  isChanging,
  leastLatenessMs,
  MODEL,
  type ModelActivation,
  modelAt,
  type PlanChange,
  withControl,
} from './control.ts'
import { begun, type EditionState, firstEdition, heardFrom, newsOf, seenAfterOf } from './edition.ts'
import { type FeedbackDelay, isPeriodLater, promisedBack } from './feedback.ts'
import { Freshness, type ReadableMs } from './freshness.ts'
import { InputTrim, TRIM_BYTES } from './input-trim.ts'
import { Intake, type Opened, type WriterCursor } from './intake.ts'
import { forgetFiles } from './model-files.ts'
import { OrderBuffer } from './order-buffer.ts'
import { type KeptBlobs, Outgoing } from './outgoing.ts'
import { Pace, type ReaderProgress } from './pace.ts'
import { type CutsBetween, HELD, Pipeline, TIMERS } from './pipeline.ts'
import {
  codecsOf,
  exchangeDestination,
  feedbackPeriodMs,
  feedbackTasks,
  type InputPlan,
  outputDestination,
  type Plan,
  type StagePlan,
  stageStream,
  stageSubject,
  takesEvents,
  taskName,
  taskNames,
} from './plan.ts'
import {
  exchangeRec,
  type FileRecord,
  fedArrival,
  fileArrival,
  placeNumber,
  plainArrival,
  uploadArrival,
} from './records.ts'
import { modelBucketName } from './streams.ts'
import { Tally, type TallyJson } from './tally.ts'
import { END_OF_TIME, TimeSteps } from './time-steps.ts'

/** Settings that may change speed and latency, never an output byte. */
export interface TaskTuning {
  /** Records of one slice: small, so that reads get their turn (p99 1.7 ms against 77 ms with 20,000, measured). */
  readonly sliceMax: number
  /** Milliseconds a record may wait for company before a commit starts. */
  readonly lingerMs: number
  /** The same while a backlog is read, where the wait in the log is longer than this anyway and few commits are cheap. */
  readonly backlogLingerMs: number
  /** Records after which a commit starts at once, and the most that compute ahead of one in flight. */
  readonly commitRecordsMax: number
  /** Milliseconds between frames without records, where watermark or covered position moved. */
  readonly heartbeatMs: number
  /** Bytes of input after which what no recovery needs is trimmed from the stream. */
  readonly trimBytes: number
  /** Of the records of a source that may be fed ones while others are live: above 0, at most 1 (topology/pace.ts). */
  readonly fedShare: number
  /** For filters of seen ids: a task that would need more halts. */
  readonly filterRoom: FilterRoom
}

export const DEFAULT_TUNING: TaskTuning = {
  sliceMax: 128,
  lingerMs: 5,
  backlogLingerMs: 250,
  commitRecordsMax: 20_000,
  heartbeatMs: 250,
  trimBytes: TRIM_BYTES,
  fedShare: 0.5,
  filterRoom: UNBOUNDED,
}

/** Milliseconds of computing after which the event loop gets its turn. */
const TURN_MS = 1
/** Milliseconds that a reader waits for a message before the task looks at its other duties. */
const IDLE_WAIT_MS = 50
/** Records behind the ones at hand, estimated, from which on a task has a backlog: about what it reads in backlogLingerMs. */
const BACKLOG_RECORDS = 5_000
/** Milliseconds between looks of a feeder whether its next frame may go: little against the commit that it waits for. */
const PACE_LOOK_MS = 2
/** Milliseconds between looks of a standby at what its owner has committed. */
const STANDBY_POLL_MS = 5

export type Role = 'owner' | 'standby'
export type TaskPhase = 'opening' | 'running' | 'drained' | 'stopped' | 'halted'

export interface Waiting {
  readonly cause: WaitCause
  readonly on: string
  readonly detail: string
  readonly sinceMs: number
}

export interface TaskOptions {
  readonly plan: Plan
  readonly stage: StagePlan
  readonly partition: number
  readonly log: Log
  readonly backend: Backend
  readonly runtime: Runtime
  readonly role: Role
  readonly tuning: TaskTuning
}

export interface TaskStatus {
  readonly name: string
  readonly phase: TaskPhase
  readonly role: Role
  readonly epoch: number
  readonly generation: number
  /** Sequence of the last applied message. */
  readonly seq: number
  /** Messages in the stream behind it. */
  readonly pending: number
  /** Numbered records that it has taken from its writers. */
  readonly taken: number
  /** Numbered records that it has published, by the stage and partition that they went to. */
  readonly sent: Readonly<Record<string, readonly number[]>>
  /** Milliseconds that the oldest message which is not readable yet has been in the stream; 0: there is none. */
  readonly lagMs: number
  /** From a message's place in the log to a snapshot that has it, lately; null: nothing, or a plan without a wall clock. */
  readonly readableMs: ReadableMs | null
  readonly watermark: number
  /** Highest event time that it has applied, milliseconds; NO_WATERMARK: none yet. */
  readonly lastEvent: number
  readonly waiting: Waiting | null
  readonly tally: TallyJson
  /** Hash of the configuration that holds for the latest order time applied. */
  readonly config: string
  /** Number of the newest configuration that it has read; 0: only the plan's own. */
  readonly activation: number
  /** Number of the newest activation of a model that it has read; 0: none. */
  readonly modelActivation: number
  /** Since when it keeps what; null: it is not open yet. */
  readonly edition: EditionState | null
}

/** How far a task has come: in its input, and there in time (T6; IN_TIME_MAX: to the end of its input). */
interface Progress {
  readonly seq: number
  readonly applied: number
  readonly watermark: number
}

/** What an owner tells after each commit. Its standbys: how far it has come and, per subject, the last sequence it wrote. */
interface Announcement extends ReaderProgress, Progress {
  readonly published: Readonly<Record<string, Published>>
}

const IN_TIME_MAX = Number.MAX_SAFE_INTEGER

type Mutable<T> = { -readonly [K in keyof T]: T[K] }

/** A cut: everything that belongs to one commit, taken in one synchronous step. */
interface Commit {
  readonly cut: Cut
  readonly outboxes: readonly Outbox[]
  /** Files that its records name. */
  readonly blobs: KeptBlobs
  readonly record: Omit<CommitRecord, 'version' | 'destinations'>
  /** Of input that it covers, since this task was opened. */
  readonly inputBytes: number
}

export class Task {
  readonly name: string
  readonly #o: TaskOptions
  /** That it reads. */
  readonly stream: string
  readonly #destinations: readonly Destination[]
  /** By destination: what is promised there, of a feedback; null: the watermark. */
  readonly #promises: readonly (FeedbackDelay | null)[]
  /** FB5. By writer that sends back: the watermark of the commit that its last frame went with. */
  readonly #sentBackAt = new Map<Writer, number>()
  /** FB5. Of a plan with a feedback: its period, milliseconds. */
  readonly #periodMs: number | null
  /** By numbered writer. */
  readonly #codecs: ReadonlyMap<string, InputPlan['codec']>
  #phase: TaskPhase = 'opening'
  #role: Role
  #stopping = false
  #state!: TaskState
  #tally!: Tally
  #outgoing!: Outgoing
  #pipeline!: Pipeline
  #held!: OrderBuffer
  #time!: TimeSteps
  #intake!: Intake
  #cursors!: Map<string, WriterCursor>
  #numberings: Numbering[] = []
  #writers: Writer[] = []
  #owner: Owner = { generation: 0, instance: '' }
  #reader: LogReader | null = null
  readonly #trim: InputTrim
  /** Of `clock: wall`: the times of a file say nothing about how fast we are. */
  readonly #freshness: Freshness | null
  #fingerprint = ''
  #edition: EditionState | null = null
  #generation = 0
  #published: Readonly<Record<string, Published>> = {}
  #epoch = 0
  #position: InputPosition = NOWHERE
  #positionMessage: LogMessage | null = null
  #created = ''
  #watermark = NO_WATERMARK
  #highestTime = NO_WATERMARK
  #asOf = NO_WATERMARK
  #controls: readonly ControlRecord[] = []
  /** Its input has ended: what is held is being processed, or has been. */
  #isEnding = false
  /** The stages after it have been told so. */
  #passedOn = false
  #drained = false
  /** The open slice, and the place up to which the input is in it: the first `count` records of a message (null: a single). */
  #slice: Rec<unknown>[] = []
  #reached: LogMessage | null = null
  #reachedIn: Opened | null = null
  #reachedCount = 0
  /** Messages that were read and come after the one that is being applied. */
  #toApply = 0
  /** Messages applied since the last cut, and how many records each had in the commit before: those behind are taken to have as many. */
  #messages = 0
  #messageRecords = 1
  /** Records applied since the last cut, and when the first of them was. */
  #uncommitted = 0
  #uncommittedSince = 0
  #inFlight: Promise<void> | null = null
  #failure: unknown = null
  #lastTurn = 0
  /** What is waited for, by the stream that it is about. */
  readonly #waits = new Map<string, Waiting>()
  /** Of a standby: what its owner committed last. */
  #allowed: Progress & Pick<Announcement, 'published'> = { seq: 0, applied: 0, watermark: NO_WATERMARK, published: {} }
  /** Of a feeder. */
  #pace: Pace | null = null
  /** Bytes of input, of all messages applied so far, at the last cut. */
  #cutBytes = 0
  /** Writers whose frame without records was held back: it would have followed their last one too soon. */
  #owing: readonly Writer[] = []
  #stopListening: (() => void) | null = null
  #stopPacing: (() => void) | null = null

  constructor(options: TaskOptions) {
    const { plan, stage, partition } = options
    this.#o = options
    this.#role = options.role
    this.name = taskName(stage.name, partition)
    this.stream = stageStream(plan.namespace, stage.name, partition)
    this.#trim = new InputTrim(options.log, options.backend, this.stream, options.tuning.trimBytes)
    this.#freshness = plan.clock === 'wall' ? new Freshness() : null
    this.#codecs = codecsOf(stage, plan.partitions)
    this.#periodMs = feedbackPeriodMs(plan)
    const { exchanges, outputs } = stage
    this.#promises = [
      ...exchanges.flatMap(({ promises = null }) => Array.from({ length: plan.partitions }, () => promises)),
      ...outputs.map(() => null),
    ]
    this.#destinations = [
      ...stage.exchanges.flatMap((exchange) =>
        Array.from({ length: plan.partitions }, (_, p) => exchangeDestination(plan, exchange.stage, p, this.name)),
      ),
      ...stage.outputs.map((output) => outputDestination(plan, output, partition)),
    ]
  }

  // ---------------------------------------------------------------- life

  /** Runs until stop(), or until the input is drained; throws HoldfastError when the task halts. */
  async run(): Promise<void> {
    try {
      await this.#open()
      this.#phase = 'running'
      await this.#loop()
      this.#phase = this.#drained ? 'drained' : 'stopped'
    } catch (error) {
      // Told to stop while it waited for the broker: nothing is wrong, and nothing was lost.
      this.#phase = this.#stopping && error instanceof LogUnavailable ? 'stopped' : 'halted'
      if (this.#phase === 'halted') throw await this.#causeOf(error)
    } finally {
      this.#stopListening?.()
      this.#stopPacing?.()
      await this.#reader?.stop()
      await this.#inFlight?.catch(() => {})
      await this.#trim.settled()
    }
  }

  /** Makes run() return after a last commit of everything applied. */
  stop(): void {
    this.#stopping = true
  }

  /** Makes a standby the owner: ordinary recovery from its own state, between two slices. */
  promote(): void {
    this.#role = 'owner'
  }

  /** The newest committed state, for readers. Release it after use. */
  snapshot(): ReadSnapshot {
    return this.#state.acquireSnapshot()
  }

  status(): TaskStatus {
    const now = this.#o.runtime.now()
    return {
      name: this.name,
      phase: this.#phase,
      role: this.#role,
      epoch: this.#epoch,
      generation: this.#owner.generation,
      seq: this.#position.seq,
      pending: this.#toApply + (this.#reader?.pending ?? 0),
      taken: [...(this.#cursors?.values() ?? [])].reduce((sum, { number }) => sum + number, 0),
      sent: this.#sent,
      lagMs: this.#freshness?.waitingMs(now) ?? 0,
      readableMs: this.#freshness?.readableMs(now) ?? null,
      watermark: this.#watermark,
      lastEvent: this.#highestTime,
      waiting: this.#waiting,
      tally: this.#tally?.toJSON() ?? { counts: {}, highs: {} },
      config: this.#configHash,
      activation: activationOf(this.#controls, CONFIGURATION),
      modelActivation: activationOf(this.#controls, MODEL),
      edition: this.#edition,
    }
  }

  get #sent(): TaskStatus['sent'] {
    const { plan, stage } = this.#o
    const numbers = this.#destinations.map(({ subject }) => this.#published[subject]?.number ?? 0)
    const of = (exchange: number) => numbers.slice(exchange * plan.partitions, (exchange + 1) * plan.partitions)
    return Object.fromEntries(stage.exchanges.map(({ stage: to }, i) => [to, of(i)]))
  }

  /** Canonical content of the state, for comparing two runs: no epochs, generations, positions or wall times. */
  dump(): AsyncIterable<string> {
    return this.#state.dump()
  }

  /** After run(): gives the state directory back. */
  async close(): Promise<void> {
    if (this.#state === undefined) await this.#o.backend.close()
    else await this.#state.close()
  }

  // ---------------------------------------------------------------- open (protocol.md, section 5)

  async #open(): Promise<void> {
    const { plan, stage, backend, partition, tuning } = this.#o
    this.#state = await TaskState.open(backend, [...stage.stores, HELD, TIMERS], { filterRoom: tuning.filterRoom })
    const { meta } = this.#state
    const committed = meta === null ? null : parseCommitRecord(meta)
    this.#restore(committed)
    this.#outgoing = new Outgoing(
      plan.clock,
      { partition, partitions: plan.partitions },
      stage.exchanges,
      stage.outputs,
    )
    this.#pipeline = new Pipeline({
      stage,
      state: this.#state,
      tally: this.#tally,
      outgoing: this.#outgoing,
      sliceMax: tuning.sliceMax,
      pause: () => this.#pause(),
      position: () => ({
        stream: this.stream,
        seq: this.#reached?.seq ?? this.#position.seq,
        index: this.#reached === null ? this.#position.applied : this.#reachedCount,
      }),
      // A record's order time is above the watermark that it came at; that of now is further on, as far as the slice is long.
      configured: (at, { isIngress }) => (isIngress ? this.#configurationAt(at) : configurationAt(this.#controls, at)),
      seenAfter: (edition) => seenAfterOf(this.#edition, edition),
      // FB4. Both where it ends and before that, no version is still to come that holds then.
      model: (at) => modelAt(this.#controls, this.#isEnding ? this.#watermark : at),
      blobOf: (sha256) => this.#blobOf(sha256),
    })
    this.#held = new OrderBuffer(this.#state.queue(HELD.name))
    this.#time = new TimeSteps(this.#held, this.#pipeline)
    this.#intake = new Intake({
      subjectPrefix: stageSubject(plan.namespace, stage.name, partition, ''),
      cursors: this.#cursors,
      writers: stage.writers,
      feedback: feedbackTasks(stage, plan.partitions),
      plain:
        takesEvents(stage) && plan.clock === 'wall'
          ? (message) => arrivalsIn(message.payload, this.#placeOf(message))
          : null,
    })
    this.#numberings = this.#destinations.map(({ mode, subject }) => {
      const state = committed?.destinations[subject]
      return new Numbering(mode, state === undefined || state.number === 0 ? startOf(this.name, subject) : state)
    })
    const isChanged = committed !== null && committed.fingerprint !== plan.fingerprint
    if (this.#role === 'standby' && (isChanged || (committed === null && plan.edition > 1))) this.#refuseStandby()
    if (stage.feeds !== null) this.#keepPaceWith(taskName(stage.feeds, partition))
    if (this.#role === 'owner') await this.#takeOver()
    else this.#follow()
    if (isChanged) await this.#beginEdition(committed)
    this.#tellEdition()
    await this.#openReader()
  }

  /** State's word for where this task is. */
  #restore(committed: CommitRecord | null): void {
    const { plan, stage, partition } = this.#o
    this.#tally = new Tally(committed?.tally)
    this.#cursors = Intake.start(stage, (writer) => stageSubject(plan.namespace, stage.name, partition, writer))
    this.#edition = committed?.edition ?? firstEdition(plan.edition, this.#senders)
    if (committed === null) return
    for (const [writer, cursor] of Object.entries(committed.writers)) this.#cursors.set(writer, { ...cursor })
    this.#fingerprint = committed.fingerprint
    this.#generation = committed.generation
    this.#epoch = committed.epoch
    this.#position = committed.position
    this.#watermark = committed.watermark
    this.#highestTime = committed.highestTime
    this.#asOf = committed.asOf
    this.#controls = committed.controls
    this.#drained = committed.drained
    this.#passedOn = committed.drained || committed.passedOn === true
    this.#isEnding = this.#passedOn
    this.#published = committed.destinations
  }

  /** Looks at every destination, becomes the newest generation, and claims them in a fixed order. */
  async #takeOver(): Promise<void> {
    this.#owner = { generation: 1 + (await this.#highestGeneration()), instance: randomBytes(4).toString('hex') }
    this.#generation = this.#owner.generation
    this.#writers = []
    for (const destination of this.#destinations) this.#writers.push(await this.#openWriter(destination))
    this.#refuseUpgradeMidCommit()
    for (const [i, writer] of this.#writers.entries()) {
      await writer.claim()
      if (this.#promises[i] !== null) this.#sentBackAt.set(writer, this.#watermark)
    }
    // Until a claim is there, a predecessor's frame may still land.
    this.#refuseUpgradeMidCommit()
  }

  async #highestGeneration(): Promise<number> {
    let highest = this.#generation
    for (const { stream, subject } of this.#destinations) {
      const last = await this.#patiently(stream, () => this.#o.log.lastOnSubject(stream, subject))
      highest = Math.max(highest, parseFrameHeader(last?.headers?.[FRAME_HEADER])?.generation ?? 0)
    }
    return highest
  }

  #openWriter(destination: Destination): Promise<Writer> {
    const { log, runtime } = this.#o
    const state = this.#published[destination.subject] ?? { number: 0, chain: '', seq: 0 }
    return Writer.open({ log, runtime, writer: this.name, destination, onWait: this.#onWait }, this.#owner, state)
  }

  #refuseUpgradeMidCommit(): void {
    if (this.#fingerprint === '' || this.#fingerprint === this.#o.plan.fingerprint) return
    this.#writers.forEach((writer, i) => {
      const { number } = this.#numberings[i]!.computed
      if (writer.published.number <= number) return
      throw new HoldfastError('UPGRADE_MID_COMMIT', 'the plan changed while published records are ahead of the state', {
        subject: writer.destination.subject,
        published: writer.published.number,
        state: number,
      })
    })
  }

  // ---------------------------------------------------------------- editions (topology/edition.ts)

  /** The tasks that this one gets its events from. */
  get #senders(): readonly string[] {
    const { stage, plan } = this.#o
    return stage.ingress === null ? stage.inputs.flatMap((input) => taskNames(input.stage, plan.partitions)) : []
  }

  /** It cannot know where its owner began the edition. */
  #refuseStandby(): never {
    throw new HoldfastError(
      'UPGRADE_MID_COMMIT',
      'a standby does not begin an edition: make it the owner first, or anew',
      {
        edition: this.#o.plan.edition,
      },
    )
  }

  /**
   * ED1. The plan changed where the last commit ended. That is committed before anything is published under it: whatever happens
   * from here on, the edition begins at this place.
   */
  async #beginEdition({ edition }: CommitRecord): Promise<void> {
    const { number } = edition
    const { edition: next } = this.#o.plan
    if (next < number) {
      throw new HoldfastError(
        'USAGE',
        `the state of ${this.name} knows edition ${number} of its plan, which is ${next} here`,
      )
    }
    if (next > number) {
      const senders = this.#passedOn ? [] : this.#senders
      this.#edition = begun(edition, next, senders, Math.max(this.#highestTime, this.#watermark))
    }
    await this.#startCommit()
    await this.#inFlight
    this.#throwFailure()
  }

  /** ED2. The first that the next stages read under this edition. */
  #tellEdition(): void {
    const state = this.#edition!
    const seenAfter = newsOf(state)
    if (seenAfter === null) return
    this.#edition = { ...state, told: true }
    if (this.#o.stage.exchanges.length === 0) return
    const news: PlanChange = { hf: 'plan', edition: state.number, seen_after: seenAfter }
    const isForward = (destination: number) => this.#promises[destination] === null
    if (this.#passedOn) {
      // Nothing follows a drain; a stage that there was not before has had none.
      const isNew = (destination: number) =>
        isForward(destination) && this.#numberings[destination]!.computed.number === 0
      this.#outgoing.toEveryTask(JSON.stringify(news), isNew)
      this.#outgoing.toEveryTask(this.#onwardDrain, isNew)
    } else this.#outgoing.toEveryTask(JSON.stringify(news), isForward)
    this.#countUncommitted(1)
  }

  #applyEdition({ edition, seen_after }: PlanChange, { writer, message }: Opened): void {
    if (edition > this.#o.plan.edition) {
      throw new HoldfastError(
        'USAGE',
        `${writer} has edition ${edition} of the plan, which is ${this.#o.plan.edition} here`,
        {
          seq: message.seq,
        },
      )
    }
    this.#edition = heardFrom(this.#edition!, writer, { number: edition, seenAfterMs: seen_after })
    this.#tellEdition()
  }

  /** T4. Listens for the owner's commits. */
  #follow(): void {
    const { seq, applied } = this.#position
    this.#allowed = { seq, applied, watermark: this.#watermark, published: this.#published }
    this.#stopListening = this.#o.log.listen(this.#announceSubject(this.name), (payload) => {
      const heard = JSON.parse(Buffer.from(payload).toString()) as Announcement
      if (compareProgress(heard, this.#allowed) > 0) this.#allowed = heard
    })
  }

  #announceSubject(task: string): string {
    return `${this.#o.plan.namespace}.committed.${task}`
  }

  /** Of a feeder: listens for the commits of the task that it feeds. */
  #keepPaceWith(reader: string): void {
    const { log, runtime, tuning } = this.#o
    const pace = new Pace({ feeder: this.name, share: tuning.fedShare, now: () => runtime.now() })
    this.#pace = pace
    this.#stopPacing = log.listen(this.#announceSubject(reader), (payload) =>
      pace.heard(JSON.parse(Buffer.from(payload).toString()) as Announcement),
    )
  }

  async #openReader(): Promise<void> {
    const { log, runtime } = this.#o
    const state = await this.#patiently(this.stream, () => log.streamState(this.stream))
    if (state === null)
      throw new HoldfastError('LOG_WENT_BACK', 'the input stream does not exist', { stream: this.stream })
    this.#created = this.#position.created === '' ? state.created : this.#position.created
    const { seq, digest } = this.#position
    const from = { seq, digest, created: this.#created }
    this.#reader = await this.#patiently(this.stream, () => log.read(this.stream, from))
    runtime.killPoint('K0', this.name)
  }

  // ---------------------------------------------------------------- loop

  async #loop(): Promise<void> {
    while (!this.#finished) {
      this.#throwFailure()
      if (this.#role === 'owner' && !this.#publishes) await this.#becomeOwner()
      const messages = await this.#reader!.next(this.#patienceMs())
      if (messages.length > 0) this.#o.runtime.killPoint('K1', this.name)
      this.#toApply = messages.length
      for (const message of messages) {
        this.#toApply--
        this.#freshness?.begun(message.timeMs)
        // Nothing behind the drain counts any more: whether it came with it is a matter of timing.
        if (this.#finished) break
        if (!this.#takeSingle(message)) await this.#apply(message)
        else if (this.#isSliceFull) await this.#runSlice()
      }
      await this.#runSlice()
      await this.#commitIfDue()
    }
    await this.#commitRest()
  }

  get #finished(): boolean {
    return this.#stopping || this.#drained
  }

  /** Milliseconds to wait for messages: no longer than records wait for their commit. */
  #patienceMs(): number {
    if (this.#uncommitted === 0 || this.#inFlight !== null) return IDLE_WAIT_MS
    return Math.max(1, this.#uncommittedSince + this.#lingerMs - this.#o.runtime.now())
  }

  /** Whether this instance has claimed the destinations: only then may it go where no owner has committed. */
  get #publishes(): boolean {
    return this.#owner.generation > 0
  }

  async #becomeOwner(): Promise<void> {
    await this.#commitRest()
    this.#stopListening?.()
    await this.#takeOver()
  }

  // ---------------------------------------------------------------- apply (protocol.md, section 3)

  /** A plain client's message of one event, the many of a live stream, only joins the slice. False: it is more than that. */
  #takeSingle(message: LogMessage): boolean {
    if (!this.#publishes || message.seq === this.#position.seq || !this.#intake.isSingle(message)) return false
    const { payload } = message
    this.#slice.push(this.#arriveFromClient(singleArrival(payload, this.#placeOf(message)), message.seq, 0))
    this.#reach(message, null, 1)
    this.#messages++
    this.#trim.applied(storedBytes(message))
    this.#freshness?.applied(message.timeMs)
    return true
  }

  /** Applies what is new in one message: its records in slices, control records and the watermark between them. */
  async #apply(message: LogMessage): Promise<void> {
    const applied = message.seq === this.#position.seq ? this.#position.applied : 0
    const opened = this.#intake.open(message, applied)
    this.#messages++
    for (let i = 0; i < opened.records.length; i++) {
      const index = opened.skipped + i
      if (!this.#publishes) await this.#waitForOwner(message.seq, index + 1)
      if (this.#stopping) return
      const record = opened.records[i]
      if (opened.kind === 'plain' || (opened.kind === 'numbered' && Array.isArray(record))) {
        this.#slice.push(this.#arrive(opened, record, index))
      } else await this.#applyControl(controlIn(opened, record, this.#intake.sendsBack(opened.writer)), opened)
      this.#reach(message, opened, index + 1)
      if (this.#isSliceFull) await this.#runSlice()
    }
    if (!this.#publishes) await this.#waitForOwner(message.seq, opened.count)
    if (this.#stopping) return
    this.#reach(message, opened, opened.count)
    this.#trim.applied(storedBytes(message))
    this.#freshness?.applied(message.timeMs)
    if (opened.kind === 'numbered') await this.#runSlice()
  }

  #reach(message: LogMessage, opened: Opened | null, count: number): void {
    this.#reached = message
    this.#reachedIn = opened
    this.#reachedCount = count
  }

  /**
   * T4. Returns when the owner has committed the first `applied` records of message `seq`, and there has come to this watermark, or
   * when this is the owner.
   */
  async #waitForOwner(seq: number, applied: number, watermark = NO_WATERMARK): Promise<void> {
    while (!this.#stopping) {
      const { allowed, role } = { allowed: this.#allowed, role: this.#role }
      if (compareProgress({ seq, applied, watermark }, allowed) <= 0) return
      await this.#runSlice()
      if (role === 'owner') return this.#becomeOwner()
      await this.#commitIfDue()
      await this.#o.runtime.sleep(STANDBY_POLL_MS)
    }
  }

  /** A record as it comes; what it means for time is decided when its slice runs. */
  #arrive(opened: Opened, record: unknown, index: number): Rec<unknown> {
    const { stage, plan } = this.#o
    if (this.#drained) {
      throw new HoldfastError('FOREIGN_WRITE', 'the stage is drained and refuses further data', {
        seq: opened.message.seq,
      })
    }
    const { seq } = opened.message
    const input = this.#slice.length
    const place = placeNumber(seq, index)
    if (opened.kind === 'plain') return this.#arriveFromClient(record as Arrival, seq, index)
    if (stage.ingress === null) return exchangeRec(record, this.#codecOf(opened), this.#watermark, place, input)
    if (plan.clock === 'wall') return fedArrival(record, this.#placeOf(opened.message), index, place, input)
    return fileArrival(record as FileRecord, this.#placeOf(opened.message), index, plan.latenessMs, input)
  }

  #arriveFromClient(arrival: Arrival, seq: number, index: number): Rec<unknown> {
    const arrive = this.#o.stage.feeds === null ? plainArrival : uploadArrival
    return arrive(arrival, placeNumber(seq, index), this.#slice.length)
  }

  #codecOf({ writer, message }: Opened): InputPlan['codec'] {
    const codec = this.#codecs.get(writer)
    if (codec !== undefined) return codec
    // A plan of before had it: what it sent lies there still, and this one cannot read it.
    throw new HoldfastError('FOREIGN_WRITE', 'a record of a stage that sends nothing here by this plan', {
      subject: message.subject,
      seq: message.seq,
    })
  }

  #placeOf(message: LogMessage): Arrival['position'] {
    const ingestMs = this.#o.plan.clock === 'wall' ? message.timeMs : null
    return { stream: this.stream, sequence: message.seq, ingestMs }
  }

  /** Computes the open slice and moves the position; after it the task stands where a cut may be made. */
  async #runSlice(): Promise<void> {
    if (this.#reached === null) return
    const records = await this.#computeSlice()
    const message = this.#reached
    const opened = this.#reachedIn
    const count = this.#reachedCount
    this.#reached = null
    if (opened !== null) this.#intake.applied(opened, count)
    this.#moveTo(message, count, records)
    if (opened !== null && count === opened.count && this.#followsWriters) await this.#takeWatermark(opened)
    await this.#pause()
    await this.#commitIfDue()
  }

  /** Whether the open slice is computed before more joins it. Of a feeder: what is not to be in the frame before it. */
  get #isSliceFull(): boolean {
    const { length } = this.#slice
    return length >= this.#o.tuning.sliceMax || (this.#pace !== null && this.#isCommitFull(length))
  }

  /** Feeders of a live source promise nothing: its time comes from its events and ticks. */
  get #followsWriters(): boolean {
    return this.#o.stage.ingress === null || this.#o.plan.clock === 'data'
  }

  async #computeSlice(): Promise<number> {
    const slice = this.#slice
    if (slice.length === 0) return 0
    this.#slice = []
    this.#tally.count('records', slice.length)
    const atSource = this.#o.stage.ingress !== null
    if (this.#o.plan.clock === 'data') this.#hold(atSource ? this.#pipeline.validate(slice) : slice)
    else if (atSource) {
      await this.#pipeline.run(this.#validateInLogOrder(slice))
      // The next commit promises this watermark: what timers up to it emit goes before it, or with it.
      await this.#pipeline.passTime(this.#watermark)
    } else await this.#pipeline.run(this.#withoutTimed(this.#seeTimes(slice)))
    return slice.length
  }

  #moveTo(message: LogMessage, applied: number, records: number): void {
    // The digest is taken at the cut, from this message.
    this.#position = { seq: message.seq, applied, digest: '', created: this.#created }
    this.#positionMessage = message
    this.#countUncommitted(Math.max(1, records))
  }

  #countUncommitted(records: number): void {
    if (this.#uncommitted === 0) this.#uncommittedSince = this.#o.runtime.now()
    this.#uncommitted += records
  }

  /**
   * `clock: wall`, at the source. Which configuration holds for an arrival may depend on the watermark before it, which moves
   * with the event before it: while there are several, arrivals are judged one by one (T1).
   */
  #validateInLogOrder(arrivals: Rec<unknown>[]): readonly Rec<unknown>[] {
    if (!isChanging(this.#controls, this.#watermark)) return this.#stampInLogOrder(this.#pipeline.validate(arrivals))
    return arrivals.flatMap((arrival) => this.#stampInLogOrder(this.#pipeline.validate([arrival])))
  }

  /** `clock: wall`, at the source: the watermark before each event follows the highest event time before it. */
  #stampInLogOrder(events: readonly Rec<unknown>[]): readonly Rec<unknown>[] {
    for (const event of events) {
      const { at } = event
      this.#stamp(event, this.#watermark)
      if (at <= this.#highestTime) continue
      this.#highestTime = at
      this.#watermark = Math.max(this.#watermark, at - this.#latenessAt(at))
    }
    return events
  }

  /** `clock: wall`, after the source: time has passed as far as the records say, whatever their writers promise. */
  #seeTimes(records: readonly Rec<unknown>[]): readonly Rec<unknown>[] {
    for (const { at } of records) if (at > this.#highestTime) this.#highestTime = at
    return records
  }

  /**
   * `clock: wall`, after the source: what timers have emitted waits for the watermark. It stands behind all that comes up to its
   * time, and of that some may still be under way by another writer: how far each has come may make no difference.
   */
  #withoutTimed(records: readonly Rec<unknown>[]): readonly Rec<unknown>[] {
    if (!records.some(isTimed)) return records
    for (const record of records) {
      if (!isTimed(record)) continue
      assert(record.at > this.#watermark, 'a watermark promises that no record at or before it will come')
      this.#held.hold(record)
    }
    return records.filter((record) => !isTimed(record)).map((record, input) => ({ ...record, input }))
  }

  /**
   * Late is said once, at the source: event_time not above the watermark. A late record takes place right after it.
   * Written into the envelope that validation made, which nobody else has seen yet.
   */
  #stamp(event: Mutable<Rec<unknown>>, watermark: number): void {
    event.watermark = watermark
    if (event.at > watermark) return
    this.#tally.count('late')
    event.late = true
    event.at = watermark + 1
  }

  /** `clock: data`: all records are held until the watermark passes them, which is behind their frame. */
  #hold(events: readonly Rec<unknown>[]): void {
    const atSource = this.#o.stage.ingress !== null
    for (const event of events) {
      if (atSource) this.#stamp(event, event.watermark)
      assert(event.at > this.#watermark, 'a watermark promises that no record at or before it will come')
      this.#held.hold(event)
    }
  }

  /** T6. A frame of which all records are applied moves its writer's watermark, and with it perhaps the time here. */
  async #takeWatermark(opened: Opened): Promise<void> {
    const watermark = this.#intake.watermarkBehind(opened)
    if (watermark === null) return
    if (!this.#publishes) {
      await this.#waitForOwner(opened.message.seq, opened.count, watermark)
      if (this.#stopping) return
    }
    await this.#passWatermark(watermark)
    if (this.#intake.isDrainedBy() && this.#hasCome) {
      if (!this.#publishes) await this.#waitForOwner(opened.message.seq, opened.count, IN_TIME_MAX)
      if (this.#stopping) return
      await this.#passEnd(this.#intake.drainedAt)
    }
    this.#intake.applyWatermark(opened)
  }

  /** T6. Time passes, only upwards: what is held up to it is processed, timers up to it fire. */
  async #passWatermark(watermark: number): Promise<void> {
    if (watermark <= this.#watermark) return
    await this.#time.passTo(watermark, this.#steps)
    this.#reachTime(watermark)
    // Its last part may have been committed: how far time has come is news, for which somebody may wait.
    if (this.#uncommitted === 0) this.#countUncommitted(1)
  }

  #reachTime(watermark: number): void {
    assert(watermark >= this.#watermark, 'time passes upwards')
    this.#watermark = watermark
    this.#asOf = Math.max(this.#asOf, watermark + this.#leastLatenessMs)
  }

  async #applyControl(control: Control, opened: Opened): Promise<void> {
    // T6: what is in front of it has its place in the position.
    if (control.hf === 'drain' || control.hf === 'tick') await this.#runSlice()
    else await this.#computeSlice()
    if (control.hf === 'plan') this.#applyEdition(control, opened)
    else if (control.hf === 'config') this.#controls = withControl(this.#controls, control, this.#watermark)
    else if (control.hf === 'model') this.#applyModel(control, opened)
    else if (control.hf === 'tick') {
      const { timeMs } = opened.message
      await this.#passWatermark(timeMs - this.#latenessAt(timeMs))
      this.#asOf = Math.max(this.#asOf, timeMs)
    } else if (this.#followsWriters) {
      // A writer's last watermark may have come before its drain or with it, which may not make a difference.
      await this.#takeWatermark(opened)
      await this.#applyDrain(control, opened.writer)
    }
  }

  /** What holds at the watermark itself is kept: FB4 asks for it. */
  #applyModel(control: ModelActivation, { kind, message }: Opened): void {
    const { from } = control
    if (kind === 'numbered' && from <= this.#watermark) {
      const numbers = { seq: message.seq, from, watermark: this.#watermark }
      throw new HoldfastError('FOREIGN_WRITE', 'a version holds before its writer had promised', numbers)
    }
    this.#controls = withControl(this.#controls, control, this.#watermark - 1)
  }

  /** T6. A writer has drained; when the last has, and time has come to where they ended, so does the input here. */
  async #applyDrain({ as_of }: Drain, writer: string): Promise<void> {
    const isBack = this.#intake.sendsBack(writer)
    if (as_of !== null && !isBack) this.#tally.highest('as_of', as_of)
    if (!isBack && this.#intake.isDrainedBy(writer) && this.#hasCome)
      await this.#passEnd(Math.max(this.#intake.drainedAt, as_of ?? NO_WATERMARK))
    // Said to be drained, a writer may not send its drain again.
    this.#intake.drained(writer, as_of)
    this.#drained = this.#passedOn && this.#intake.isFeedbackDrained
  }

  /** FB4. Whether time has come as far as all writers say that do not send back, and the end has not been passed. */
  get #hasCome(): boolean {
    return !this.#passedOn && this.#watermark >= this.#intake.promised
  }

  /** T6. The end of the input: everything held is processed, all timers fire in order, nothing expires; pass it on. */
  async #passEnd(asOf: number): Promise<void> {
    this.#isEnding = true
    this.#pipeline.drain(asOf)
    await this.#time.passTo(END_OF_TIME, this.#parts)
    this.#outgoing.toEveryTask(this.#onwardDrain)
    this.#passedOn = true
    this.#countUncommitted(1)
  }

  /** T6. A part is as large as other commits, so that two of them are in memory at most. A drain is no time that could be promised. */
  readonly #parts: CutsBetween = {
    isDue: (processed) => {
      this.#countUncommitted(processed)
      return this.#isCommitFull(0)
    },
    make: () => this.#commitIfDue(),
  }

  /** The same on the way to a watermark. */
  readonly #steps: CutsBetween = {
    isDue: this.#parts.isDue,
    make: (reached) => {
      this.#reachTime(reached)
      return this.#commitIfDue()
    },
  }

  /** What the stages after this one are told when it is drained. */
  get #onwardDrain(): string {
    const drain: Drain = { hf: 'drain', as_of: this.#tally.high('as_of') }
    return JSON.stringify(drain)
  }

  // ---------------------------------------------------------------- configuration (protocol.md, section 9)

  /** What holds for a record of this order time; null: what the plan was made with. No record comes at or before the watermark. */
  #configurationAt(at: number): Configuration | null {
    return configurationAt(this.#controls, Math.max(at, this.#watermark + 1))
  }

  /** `clock: wall` only: with `data` the reader of the source decides about time. */
  #latenessAt(at: number): number {
    return this.#configurationAt(at)?.latenessMs ?? this.#o.plan.latenessMs
  }

  /** A watermark stands at least so far behind the time that moved it, whichever configuration its writer knew. */
  get #leastLatenessMs(): number {
    return leastLatenessMs(this.#controls, this.#o.plan.latenessMs)
  }

  /** Of the time that it stands at: a stage that few records come to knows it from its writers' watermarks. */
  get #configHash(): string {
    return this.#configurationAt(Math.max(this.#highestTime, this.#asOf))?.hash ?? this.#o.plan.configHash
  }

  /** The event loop gets its turn after a slice, so that reads and acks need not wait for a batch. */
  async #pause(): Promise<void> {
    const { runtime } = this.#o
    if (runtime.now() - this.#lastTurn < TURN_MS) return
    await runtime.turn()
    this.#lastTurn = runtime.now()
  }

  // ---------------------------------------------------------------- commit (protocol.md, section 4)

  async #commitIfDue(): Promise<void> {
    const isFull = this.#isCommitFull(0)
    if (this.#inFlight !== null && isFull) await this.#inFlight
    // A commit never follows one that failed: its records would leave a gap where the others are missing.
    this.#throwFailure()
    if (this.#inFlight !== null) return
    if (this.#uncommitted === 0 && !this.#heartbeatDue) return
    const waitedMs = this.#o.runtime.now() - this.#uncommittedSince
    if (this.#uncommitted > 0 && !isFull && waitedMs < this.#lingerMs) return
    await this.#startCommit()
  }

  /** Whether a commit has all that it may have, with the records that are to join it. Of a feeder a commit is a frame. */
  #isCommitFull(joining: number): boolean {
    const records = this.#uncommitted + joining
    if (this.#pace === null) return records >= this.#o.tuning.commitRecordsMax
    return records >= this.#pace.frameRecords || this.#trim.appliedBytes - this.#cutBytes >= FRAME_BYTES_MAX
  }

  get #lingerMs(): number {
    const { lingerMs, backlogLingerMs } = this.#o.tuning
    return this.#reader!.pending * this.#messageRecords >= BACKLOG_RECORDS ? backlogLingerMs : lingerMs
  }

  get #heartbeatDue(): boolean {
    const { runtime, tuning } = this.#o
    return this.#owing.some((writer) => runtime.now() - writer.lastSentAt >= tuning.heartbeatMs)
  }

  /** Commits everything applied, and says the last word to every destination. */
  async #commitRest(): Promise<void> {
    await this.#inFlight
    this.#throwFailure()
    if (this.#uncommitted > 0 || this.#owing.length > 0) {
      await this.#startCommit()
      await this.#inFlight
      this.#throwFailure()
    }
  }

  async #startCommit(): Promise<void> {
    const commit = this.#cut(this.#o.stage.feedback === null ? this.#watermark : await this.#promise())
    this.#inFlight = this.#finish(commit)
      .catch((error: unknown) => {
        this.#failure = error
      })
      .finally(() => {
        this.#inFlight = null
      })
  }

  /** FB2. The latest time of which the next stages get nothing any more; what is held may be in the backend (state/order-queue.ts). */
  async #promise(): Promise<number> {
    return Math.max(this.#watermark, Math.min(this.#intake.promised, (await this.#time.next()) - 1))
  }

  /** Takes everything that belongs to this commit, in one synchronous step between two slices. */
  #cut(promise: number): Commit {
    assert(this.#slice.length === 0 && this.#reached === null, 'a cut is made between slices')
    if (this.#positionMessage !== null) {
      this.#position = { ...this.#position, digest: messageDigest(this.#positionMessage) }
      this.#positionMessage = null
    }
    this.#intake.settle()
    const position = this.#position
    const covered = { seq: position.seq, index: position.applied }
    const outgoing = this.#outgoing.take()
    const outboxes = this.#numberings.map((numbering, i) => {
      const { texts, count } = outgoing[i]!
      const delay = this.#promises[i]!
      return numbering.take(texts, delay === null ? promise : promisedBack(promise, delay), covered, count)
    })
    this.#freshness?.cut()
    if (this.#messages > 0) this.#messageRecords = this.#uncommitted / this.#messages
    this.#messages = 0
    this.#uncommitted = 0
    this.#cutBytes = this.#trim.appliedBytes
    this.#epoch++
    const record = {
      fingerprint: this.#o.plan.fingerprint,
      edition: this.#edition!,
      generation: this.#generation,
      epoch: this.#epoch,
      position,
      watermark: this.#watermark,
      highestTime: this.#highestTime,
      asOf: Math.max(this.#asOf, this.#highestTime),
      config: this.#configHash,
      writers: Object.fromEntries([...this.#cursors].map(([name, cursor]) => [name, { ...cursor }])),
      tally: this.#tally.toJSON(),
      controls: this.#controls,
      drained: this.#drained,
      ...(this.#passedOn && !this.#drained && { passedOn: true as const }),
    }
    const blobs = this.#outgoing.takeBlobs()
    return { cut: this.#state.cut(), outboxes, blobs, record, inputBytes: this.#trim.appliedBytes }
  }

  /** T2. Publishes, then writes, then shows: in this order, and nothing else in between. */
  async #finish({ cut, outboxes, blobs, record, inputBytes }: Commit): Promise<void> {
    const { runtime, log } = this.#o
    runtime.killPoint('K2', this.name)
    if (this.#publishes) {
      if (blobs.size > 0 && !this.#arePublished(outboxes)) await this.#keep(blobs)
      await this.#publishAtPace(outboxes, record.watermark)
      if (blobs.size > 0) runtime.killPoint('K17', this.name)
    }
    runtime.killPoint('K5', this.name)
    const destinations = { ...this.#published, ...this.#publishedAfter(outboxes) }
    const written = this.#state.write(cut, encodeCommitRecord({ ...record, destinations }))
    runtime.killPoint('K6', this.name)
    await written
    runtime.killPoint('K7', this.name)
    this.#state.publishSnapshot(cut)
    this.#freshness?.readable(runtime.now())
    this.#published = destinations
    this.#fingerprint = record.fingerprint
    if (!this.#publishes) return
    this.#trim.committed(record, inputBytes)
    const { seq, applied } = record.position
    const watermark = record.drained || record.passedOn ? IN_TIME_MAX : record.watermark
    const announcement: Announcement = { seq, applied, watermark, published: destinations, ...this.#progressIn(record) }
    log.announce(this.#announceSubject(this.name), Buffer.from(JSON.stringify(announcement)))
  }

  #arePublished(outboxes: readonly Outbox[]): boolean {
    return outboxes.every(({ after }, i) => after.number <= this.#writers[i]!.published.number)
  }

  /** T7. */
  async #keep(blobs: KeptBlobs): Promise<void> {
    const { runtime, log, plan } = this.#o
    const bucket = modelBucketName(plan.namespace)
    for (const [sha256, bytes] of blobs) {
      await this.#patiently(bucket, () => log.putBlob(bucket, sha256, bytes))
      runtime.killPoint('K16', this.name)
      // The loop advances by whole periods: who scores is some versions behind at most. Live it is model-keeper.ts that knows.
      if (plan.clock === 'data') await this.#patiently(bucket, () => forgetFiles(log, plan.namespace, []))
    }
  }

  /** Where versions are sent back, whoever reads of one finds its file (T7), unless it was taken back further than files are kept. */
  async #blobOf(sha256: string): Promise<Uint8Array | null> {
    const { log, plan, stage } = this.#o
    const bucket = modelBucketName(plan.namespace)
    const bytes = await this.#patiently(bucket, () => log.getBlob(bucket, sha256))
    if (bytes === null && stage.feedback !== null)
      throw new HoldfastError('RECOVERY_POINT_GONE', 'the file of a version that scores is not kept any more', {
        ...{ bucket, sha256 },
      })
    return bytes
  }

  /** What feeders want to know. */
  #progressIn({ tally, writers }: Commit['record']): ReaderProgress {
    const feeders = this.#followsWriters ? [] : this.#o.stage.writers
    const fed = Object.fromEntries(feeders.map((writer) => [writer, writers[writer]!.number]))
    return { records: tally.counts.records ?? 0, fed }
  }

  /** PC1, of a feeder: a frame waits here until it may go. The next slices compute meanwhile, as many as fit the one behind it. */
  async #publishAtPace(outboxes: readonly Outbox[], watermark: number): Promise<void> {
    const pace = this.#pace
    const { runtime, partition } = this.#o
    if (pace === null || outboxes.every(({ chunks }) => chunks.length === 0)) return this.#publish(outboxes, watermark)
    const { stream } = this.#destinations[partition]!
    while (!pace.isFree && !this.#stopping) {
      this.#onWait('pace', stream, 'the frame before is not committed there, or live events have their turn')
      await runtime.sleep(PACE_LOOK_MS)
    }
    this.#onWait(null, stream, '')
    await this.#publish(outboxes, watermark)
    pace.published(outboxes[partition]!.after.number)
  }

  /** Destinations side by side; within one, frame after frame (W4). `watermark`: that the commit stands at. */
  async #publish(outboxes: readonly Outbox[], watermark: number): Promise<void> {
    const now = this.#o.runtime.now()
    const frames = this.#writers.map((writer, i) => this.#frameTo(writer, i, { outbox: outboxes[i]!, watermark, now }))
    this.#owing = this.#writers.filter((_, i) => frames[i] === 'owed')
    await Promise.all(this.#writers.map((writer, i) => writer.send(outboxes[i]!, frames[i] === 'due')))
    for (const [i, writer] of this.#writers.entries())
      if (this.#promises[i] !== null && frames[i] === 'due') this.#sentBackAt.set(writer, watermark)
  }

  /** Whether a destination gets a frame by this commit: one without records may be owed to it, or would be no news. */
  #frameTo(
    writer: Writer,
    i: number,
    { outbox, watermark, now }: { readonly outbox: Outbox; readonly watermark: number; readonly now: number },
  ): 'due' | 'owed' | 'none' {
    if (outbox.chunks.length > 0) return 'due'
    if (!writer.hasNews(outbox)) return 'none'
    const isLater = outbox.watermark > writer.foundWatermark
    const isBack = this.#promises[i] !== null
    if (isLater && (isBack || this.#isAwaited(writer, outbox))) return 'due'
    if (isBack && watermark <= this.#sentBackAt.get(writer)!) return 'none'
    return this.#finished || now - writer.lastSentAt >= this.#o.tuning.heartbeatMs ? 'due' : 'owed'
  }

  /** FB5. */
  #isAwaited({ foundWatermark }: Writer, { watermark }: Outbox): boolean {
    return this.#periodMs !== null && isPeriodLater(watermark, foundWatermark, this.#periodMs)
  }

  /** What state will say of each destination: this commit's last record and the sequence that carries it. */
  #publishedAfter(outboxes: readonly Outbox[]): Record<string, Published> {
    return Object.fromEntries(
      this.#destinations.map(({ subject, mode }, i) => {
        const { number, chain } = outboxes[i]!.after
        const known = this.#publishes ? this.#writers[i]!.published : this.#allowed.published[subject]
        // One message per record: while catching up, record n lies as many messages before the last as numbers.
        const behind = known === undefined || mode === 'frames' ? 0 : known.number - number
        return [subject, { number, chain, seq: known === undefined ? 0 : known.seq - behind }]
      }),
    )
  }

  // ---------------------------------------------------------------- halts and waits

  /** A commit that failed leaves a state that the next slice cannot use: the commit's failure is the one to tell. */
  async #causeOf(error: unknown): Promise<unknown> {
    if (error instanceof HoldfastError) return error
    await this.#inFlight?.catch(() => {})
    return this.#failure ?? error
  }

  #throwFailure(): void {
    if (this.#failure !== null) throw this.#failure
  }

  #onWait = (cause: WaitCause | null, on: string, detail: string): void => {
    if (cause === null) this.#waits.delete(on)
    else if (this.#waits.get(on)?.cause !== cause) {
      this.#waits.set(on, { cause, on, detail, sinceMs: this.#o.runtime.now() })
    }
  }

  /** The wait that has lasted longest. */
  get #waiting(): Waiting | null {
    const waits = [...this.#waits.values()]
    return waits.length === 0 ? null : waits.reduce((a, b) => (b.sinceMs < a.sinceMs ? b : a))
  }

  /** Asks while the broker is away, but not after stop(). */
  async #patiently<T>(on: string, ask: () => Promise<T>): Promise<T> {
    const answer = await askPatiently({ runtime: this.#o.runtime, onWait: this.#onWait }, on, ask, () => this.#stopping)
    this.#onWait(null, on, '')
    return answer
  }
}

/**
 * A record that is no data must be a control record; drain and plan come from numbered writers, a model from those that send back, and
 * else as the others do from the control subject.
 */
function controlIn({ kind, message }: Opened, record: unknown, sendsBack: boolean): Control {
  const control = decodeControl(record)
  const isNumbered = control?.hf === 'drain' || (sendsBack ? control?.hf === 'model' : control?.hf === 'plan')
  if (control !== null && isNumbered === (kind === 'numbered')) return control
  throw new HoldfastError('FOREIGN_WRITE', 'a record is neither data nor a control record of its subject', {
    subject: message.subject,
    seq: message.seq,
  })
}

/** Negative, zero or positive, as a is before, at or after b. */
const compareProgress = (a: Progress, b: Progress): number =>
  a.seq - b.seq || a.applied - b.applied || a.watermark - b.watermark

const isTimed = ({ rank }: Rec<unknown>): boolean => rank === RANK.timer

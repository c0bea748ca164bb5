// Runs tasks of a plan side by side; the tasks know nothing of each other.
// H1: one task that halts does not stop the others; `failed` says which did and why.
// H2: what is asked of a host is answered from committed snapshots, or with what a task says of itself: nobody gets hold of
//     a task, so that a host may be in another thread (topology/remote-host.ts).
// H3: every value of an answer is from one snapshot, taken after the question came, also where questions are answered together.

import { assert, HoldfastError } from '../log/errors.ts'
import { NO_WATERMARK } from '../log/frame.ts'
import type { Log } from '../log/log.ts'
import type { Runtime } from '../log/runtime.ts'
import type { Vector } from '../operators/vector.ts'
import type { FoundDecisions } from '../sinks/attribution-reads.ts'
import type { EvaluationAsk } from '../sinks/evaluation-reads.ts'
import type { ExplainedRead, SnapshotFacts } from '../sinks/feature-reads.ts'
import type { Backend } from '../state/backend.ts'
import type { FilterRoom } from '../state/filter-room.ts'
import { type ReadSnapshot, SNAPSHOT_PIN_MS_MAX, SnapshotGone } from '../state/read-snapshot.ts'
import { seenIdsIn } from '../state/task-state.ts'
import { type DecisionsPlan, decisionsIn, readDecisions } from './attribution-reads.ts'
import { filterLine, lineText } from './capacity.ts'
import { commitIn, factsIn } from './commit-facts.ts'
import type { CommitRecord } from './commit-record.ts'
import { type EvaluationPlan, evaluationIn, readEvaluation, type TaskEvaluationRead } from './evaluation-reads.ts'
import {
  type FeatureLine,
  type FeatureListing,
  type FeatureName,
  type FeaturePlan,
  isFeature,
  type ReadValue,
  type TopCounts,
  type View,
} from './features/feature-plan.ts'
import { listingsOf } from './features/plans.ts'
import { type KeyFields, remember, StageVectors } from './features/vector-reads.ts'
import { failureOf } from './host-messages.ts'
import { type Plan, type StagePlan, taskName } from './plan.ts'
import {
  type PurchasesPlan,
  purchasesIn,
  readPurchases,
  type TaskPurchasesRead,
  type TaskReport,
} from './purchase-reads.ts'
import { type BatchResult, ReadBatches } from './read-batches.ts'
import { type Role, Task, type TaskStatus, type TaskTuning } from './task.ts'

export interface HaltedTask {
  readonly task: string
  readonly error: unknown
}

/** A read of keys that one task has. */
export interface TaskRead {
  readonly task: string
  readonly feature: FeatureName
  readonly keys: readonly string[]
  /** Event time to answer for, milliseconds; null: the highest that the snapshot knows. */
  readonly at: number | null
  /** Name of a pin; null: the newest snapshot. */
  readonly snapshot: string | null
}

/** A read that a task cannot answer. */
export type NoRead = { readonly kind: 'snapshot_gone' } | { readonly kind: 'unavailable'; readonly why: string }

export type TaskReadOutcome =
  | {
      readonly kind: 'read'
      readonly values: readonly ReadValue[]
      readonly at: number | null
      readonly facts: SnapshotFacts
    }
  | { readonly kind: 'not_held'; readonly heldFrom: number }
  | NoRead

/** What a value is made of, asked as one read. */
export interface TaskExplain extends Pick<TaskRead, 'task' | 'feature' | 'at' | 'snapshot'> {
  readonly key: string
}

export type TaskExplainOutcome =
  | { readonly kind: 'explained'; readonly read: ExplainedRead }
  | Exclude<TaskReadOutcome, { kind: 'read' }>

/** A read of the keys of one task that have the largest values, at the highest time that its newest snapshot knows. */
export interface TaskTop {
  readonly task: string
  readonly feature: FeatureName
  readonly k: number
  /** Entries of the state that are looked at, at most. */
  readonly entriesMax: number
}

export type TaskTopOutcome =
  | (TopCounts & { readonly kind: 'top'; readonly at: number | null; readonly facts: SnapshotFacts })
  | NoRead

/** A read of what one task knows of the vectors of touches. */
export interface TaskVectors {
  readonly task: string
  /** Ids of the features, as in a layout. */
  readonly features: readonly string[]
  /** By touch, the fields that keys are made of. */
  readonly touches: readonly KeyFields[]
  readonly at: number | null
  readonly snapshot: string | null
}

export type TaskVectorsOutcome =
  | {
      readonly kind: 'vectors'
      /** Of the whole layout; what other stages know is absent. */
      readonly vectors: readonly Vector[]
      readonly at: number | null
      readonly facts: SnapshotFacts
    }
  | { readonly kind: 'not_held'; readonly heldFrom: number }
  | NoRead

/** A read of what one task has attributed. */
export interface TaskDecisions {
  readonly task: string
  /** The id of a conversion. */
  readonly conversion: string
  readonly snapshot: string | null
}

export type TaskDecisionsOutcome =
  | (FoundDecisions & { readonly kind: 'decisions'; readonly facts: SnapshotFacts })
  | NoRead

/** A read of what one task has for a report of purchases. */
export interface TaskPurchasesAsk {
  readonly task: string
  readonly report: TaskReport
  readonly snapshot: string | null
}

export type TaskPurchasesOutcome = TaskPurchasesRead | NoRead

/** A read of what one task has for a report on scores. */
export interface TaskEvaluationAsk {
  readonly task: string
  readonly report: Pick<EvaluationAsk, 'slice' | 'id' | 'days'>
  readonly window: string
  readonly snapshot: string | null
}

export type TaskEvaluationOutcome = TaskEvaluationRead | NoRead

/** What a commit holds that somebody waits for: a record of the task's stream, or what a writer sent up to a number. */
export type CommitMark =
  | { readonly kind: 'applied'; readonly seq: number; readonly index: number }
  | { readonly kind: 'taken'; readonly writer: string; readonly number: number }

export interface CommitWait {
  readonly task: string
  readonly mark: CommitMark
  /** How long at most, milliseconds. */
  readonly waitMs: number
}

/** The last commit that was looked at: one with the mark, if it was reached. */
export interface CommitWaited {
  readonly reached: boolean
  readonly commit: CommitRecord | null
}

/** Tasks that run, seen from a command. Tasks are named as taskName() does. */
export interface TaskHost {
  /** Opens and starts every task. Rejects where a state cannot be opened; then stop() and close() all the same. */
  start(): Promise<void>
  /** Of the tasks that are open, stage by stage and partition by partition. */
  status(): readonly TaskStatus[]
  /** Tasks that halted, in the order in which they did. */
  readonly failed: readonly HaltedTask[]
  /** After start(): settles when every task has drained, stopped or halted. */
  ended(): Promise<void>
  /** Makes every task finish its commit and end; those that are not open yet stay closed. */
  requestStop(): void
  /** requestStop() and ended(). */
  stop(): Promise<void>
  /** After ended(): gives back what the tasks used. Nothing of the host is left then. */
  close(): Promise<void>
  /** All values of all features at T, milliseconds, from the newest committed states; in any order. */
  values(T: number): AsyncIterable<FeatureLine>
  /** What a reader of snapshots sees now; null before the first commit. */
  commitOf(task: string): Promise<CommitRecord | null>
  /** Waits for a commit, where the task is: nothing travels while it waits. Not after requestStop(). */
  commitWith(wait: CommitWait): Promise<CommitWaited>
  /** Values of keys, all from one snapshot. */
  read(ask: TaskRead): Promise<TaskReadOutcome>
  /** What one task knows of vectors, all from one snapshot. */
  readVectors(ask: TaskVectors): Promise<TaskVectorsOutcome>
  /** What the value of a key is made of. */
  explain(ask: TaskExplain): Promise<TaskExplainOutcome>
  /** What one task has attributed, from one snapshot. */
  decisions(ask: TaskDecisions): Promise<TaskDecisionsOutcome>
  /** What one task has for a report of purchases, from one snapshot. */
  purchases(ask: TaskPurchasesAsk): Promise<TaskPurchasesOutcome>
  /** What one task has for a report on scores, from one snapshot. */
  evaluation(ask: TaskEvaluationAsk): Promise<TaskEvaluationOutcome>
  /** The keys of one task with the largest values, from one snapshot. */
  top(ask: TaskTop): Promise<TaskTopOutcome>
  /** Keeps the newest snapshot of every task under a name, for SNAPSHOT_PIN_MS_MAX at most. */
  pin(name: string): Promise<void>
  /** Whether there was such a pin. */
  unpin(name: string): Promise<boolean>
}

export interface HostOptions {
  readonly plan: Plan
  /** Names of the tasks that it runs; not given: all of the plan. */
  readonly tasks?: readonly string[]
  readonly log: Log
  readonly runtime: Runtime
  readonly tuning: TaskTuning
  readonly role: Role
  /** Opens the state of a task. */
  readonly backend: (task: string) => Promise<Backend>
  /** Called once per task that halts. */
  readonly onHalt: (task: string, error: unknown) => void
}

/** A task by its place in the plan. */
export interface TaskPlace {
  readonly name: string
  readonly stage: StagePlan
  readonly partition: number
}

/** Every task of a plan, stage by stage and partition by partition. */
export function tasksOf(plan: Plan): TaskPlace[] {
  return plan.stages.flatMap((stage) =>
    Array.from({ length: plan.partitions }, (_, partition) => ({
      name: taskName(stage.name, partition),
      stage,
      partition,
    })),
  )
}

/** What the tasks of one stage say of themselves, by partition. */
export function statusOf(host: TaskHost, stage: string): TaskStatus[] {
  return host.status().filter(({ name }) => name.slice(0, name.lastIndexOf('-')) === stage)
}

interface Hosted {
  readonly stage: string
  readonly task: Task
  ended: Promise<void>
}

/** Milliseconds between looks of who waits for a commit: below the few that one takes. */
const LOOK_MS = 2

function hasMark({ position, writers }: CommitRecord, mark: CommitMark): boolean {
  if (mark.kind === 'taken') return (writers[mark.writer]?.number ?? 0) >= mark.number
  const { seq, applied } = position
  return seq > mark.seq || (seq === mark.seq && applied > mark.index)
}

/** Keys that are read at once: their values are decoded in one go, and a task of the same thread waits for that. */
const ALIKE_KEYS_MAX = 1_000

/** Places of reads that can be one: of one task, feature and snapshot, up to ALIKE_KEYS_MAX keys (or what one asks for). */
function alike(asks: readonly TaskRead[]): number[][] {
  const groups: number[][] = []
  const open = new Map<string, { readonly places: number[]; keys: number }>()
  for (const [place, { task, feature, keys, snapshot }] of asks.entries()) {
    const name = JSON.stringify([task, feature.entity, feature.feature, snapshot])
    let group = open.get(name)
    if (group === undefined || group.keys + keys.length > ALIKE_KEYS_MAX) {
      group = { places: [], keys: 0 }
      groups.push(group.places)
      open.set(name, group)
    }
    group.places.push(place)
    group.keys += keys.length
  }
  return groups
}

/** Tasks in this thread. */
export class Host implements TaskHost {
  readonly #o: HostOptions
  readonly #hosted: Hosted[] = []
  readonly #failures: HaltedTask[] = []
  readonly #pins = new Map<string, Pin>()
  readonly #listings: readonly FeatureListing[]
  readonly #features: readonly FeaturePlan[]
  readonly #reads = new ReadBatches<TaskRead, TaskReadOutcome>((asks) => this.readAll(asks))
  readonly #vectors = new ReadBatches<TaskVectors, TaskVectorsOutcome>((asks) => this.readAllVectors(asks))
  readonly #stageVectors = new Map<string, StageVectors>()
  readonly #decisions: DecisionsPlan | null
  readonly #purchases: PurchasesPlan | null
  readonly #evaluation: EvaluationPlan | null
  #stopping = false

  constructor(options: HostOptions) {
    this.#o = options
    this.#listings = listingsOf(options.plan)
    this.#decisions = decisionsIn(options.plan)
    this.#purchases = purchasesIn(options.plan)
    this.#evaluation = evaluationIn(options.plan)
    this.#features = this.#listings.flatMap(({ features }) => features)
  }

  async start(): Promise<void> {
    const { plan, log, runtime, tuning, role, backend } = this.#o
    const wanted = this.#o.tasks ?? tasksOf(plan).map(({ name }) => name)
    for (const { name, stage, partition } of tasksOf(plan)) {
      if (!wanted.includes(name) || this.#stopping) continue
      const opened = await backend(name)
      await refuseWithoutRoom(name, opened, tuning.filterRoom)
      const task = new Task({ plan, stage, partition, log, runtime, tuning, role, backend: opened })
      this.#hosted.push({ stage: stage.name, task, ended: this.#watch(task) })
    }
  }

  async #watch(task: Task): Promise<void> {
    try {
      await task.run()
    } catch (error) {
      this.#failures.push({ task: task.name, error })
      this.#o.onHalt(task.name, error)
    }
  }

  get failed(): readonly HaltedTask[] {
    return this.#failures
  }

  /** For tests that look into states. */
  all(): readonly { readonly stage: string; readonly task: Task }[] {
    return this.#hosted
  }

  status(): TaskStatus[] {
    return this.#hosted.map(({ task }) => task.status())
  }

  async ended(): Promise<void> {
    await Promise.all(this.#hosted.map(({ ended }) => ended))
  }

  requestStop(): void {
    this.#stopping = true
    for (const { task } of this.#hosted) task.stop()
  }

  async stop(): Promise<void> {
    this.requestStop()
    await this.ended()
  }

  async close(): Promise<void> {
    for (const name of [...this.#pins.keys()]) await this.unpin(name)
    for (const { task } of this.#hosted) await task.close()
  }

  async *values(T: number): AsyncIterable<FeatureLine> {
    for (const listing of this.#listings)
      for (const { stage, task } of this.#hosted) if (stage === listing.stage) yield* linesOf(listing, task, T)
  }

  #planOf(name: FeatureName): FeaturePlan {
    const plan = this.#features.find(isFeature(name))
    assert(plan !== undefined, `the plan has ${name.feature} of ${name.entity}`)
    return plan
  }

  async commitOf(name: string): Promise<CommitRecord | null> {
    const task = this.#hosted.find((hosted) => hosted.task.name === name)?.task
    assert(task !== undefined, `task ${name} is not hosted here`)
    if (task.status().phase === 'opening') return null
    const snapshot = task.snapshot()
    try {
      return commitIn(snapshot)
    } finally {
      snapshot.release()
    }
  }

  async commitWith({ task, mark, waitMs }: CommitWait): Promise<CommitWaited> {
    const { runtime } = this.#o
    const until = runtime.now() + waitMs
    while (true) {
      const commit = await this.commitOf(task)
      if (commit !== null && hasMark(commit, mark)) return { reached: true, commit }
      if (this.#stopping || runtime.now() >= until) return { reached: false, commit }
      await runtime.sleep(LOOK_MS)
    }
  }

  read(ask: TaskRead): Promise<TaskReadOutcome> {
    return this.#reads.read(ask)
  }

  /** One result for each, in their order; those of one task, feature and snapshot by one read of its state (H3). */
  async readAll(asks: readonly TaskRead[]): Promise<BatchResult<TaskReadOutcome>[]> {
    const results = new Array<BatchResult<TaskReadOutcome>>(asks.length)
    await Promise.all(
      alike(asks).map(async (places) => {
        const found = await this.#readAlike(places.map((place) => asks[place]!))
        for (const [i, place] of places.entries()) results[place] = found[i]!
      }),
    )
    return results
  }

  /** Reads together, and each by itself where that fails: one that cannot be read must not fail the others. */
  async #readAlike(asks: readonly TaskRead[]): Promise<BatchResult<TaskReadOutcome>[]> {
    try {
      return await this.#readTogether(asks)
    } catch (error) {
      if (asks.length > 1) return (await Promise.all(asks.map((ask) => this.#readAlike([ask])))).flat()
      return [{ kind: 'failed', failure: failureOf(error) }]
    }
  }

  async #readTogether(asks: readonly TaskRead[]): Promise<BatchResult<TaskReadOutcome>[]> {
    const { task, feature, snapshot } = asks[0]!
    const plan = this.#planOf(feature)
    const results = await this.#reading(task, snapshot, (...from) => this.#readFrom(...from, plan, asks))
    return 'kind' in results ? asks.map(() => results) : results
  }

  readVectors(ask: TaskVectors): Promise<TaskVectorsOutcome> {
    return this.#vectors.read(ask)
  }

  /** One result for each, in their order, each from one snapshot. */
  readAllVectors(asks: readonly TaskVectors[]): Promise<BatchResult<TaskVectorsOutcome>[]> {
    return Promise.all(
      asks.map((ask) =>
        this.#readVectors(ask).catch((error: unknown) => ({ kind: 'failed' as const, failure: failureOf(error) })),
      ),
    )
  }

  #readVectors({ task: name, features, touches, at, snapshot: pin }: TaskVectors): Promise<TaskVectorsOutcome> {
    return this.#reading(name, pin, async (snapshot, task): Promise<TaskVectorsOutcome> => {
      const facts = factsIn(snapshot, task.stream, this.#o.plan.configHash)
      const view = viewOf(snapshot)
      const vectors = this.#stageVectorsOf(name, features)
      const T = at ?? facts.asOf
      const heldFrom = vectors.earliestAt(view)
      if (T !== null && T < heldFrom) return { kind: 'not_held', heldFrom }
      return { kind: 'vectors', vectors: await vectors.read(view, touches, T ?? 0), at: T, facts }
    })
  }

  /** The reader of a layout in a task's stage: compiled once, and kept while its layout is among the last that were asked for. */
  #stageVectorsOf(task: string, features: readonly string[]): StageVectors {
    const { stage } = this.#hosted.find((hosted) => hosted.task.name === task)!
    const name = JSON.stringify([stage, features])
    const vectors =
      this.#stageVectors.get(name) ??
      new StageVectors(this.#o.plan.stages.find((other) => other.name === stage)!, features)
    remember(this.#stageVectors, name, vectors)
    return vectors
  }

  explain({ task: name, feature, key, at: wanted, snapshot: pin }: TaskExplain): Promise<TaskExplainOutcome> {
    const plan = this.#planOf(feature)
    return this.#reading(name, pin, async (snapshot, task): Promise<TaskExplainOutcome> => {
      const facts = factsIn(snapshot, task.stream, this.#o.plan.configHash)
      const view = viewOf(snapshot)
      const at = wanted ?? facts.asOf
      if (at === null) return { kind: 'explained', read: { key, at, facts, values: [] } }
      const heldFrom = plan.earliestAt(view)
      if (at < heldFrom) return { kind: 'not_held', heldFrom }
      return { kind: 'explained', read: { key, at, facts, values: await plan.explain(view, key, at) } }
    })
  }

  decisions({ task: name, conversion, snapshot: pin }: TaskDecisions): Promise<TaskDecisionsOutcome> {
    const kept = this.#decisions
    assert(kept !== null, 'attributions are asked for where there are some')
    return this.#reading(name, pin, async (snapshot, task): Promise<TaskDecisionsOutcome> => {
      const facts = factsIn(snapshot, task.stream, this.#o.plan.configHash)
      const { decisions, more } = await readDecisions(snapshot, kept, conversion)
      return { kind: 'decisions', found: decisions.map((decision) => ({ decision, facts })), more, facts }
    })
  }

  purchases({ task: name, report, snapshot: pin }: TaskPurchasesAsk): Promise<TaskPurchasesOutcome> {
    const kept = this.#purchases
    assert(kept !== null, 'purchases are asked for where they are kept')
    const { configHash } = this.#o.plan
    return this.#reading(name, pin, (snapshot, { stream }) =>
      readPurchases(snapshot, kept, report, { stream, configHash }),
    )
  }

  evaluation({ task: name, report, window, snapshot: pin }: TaskEvaluationAsk): Promise<TaskEvaluationOutcome> {
    const kept = this.#evaluation
    assert(kept !== null, 'an evaluation is asked for where there is one')
    const { configHash } = this.#o.plan
    return this.#reading(name, pin, (snapshot, { stream }) =>
      readEvaluation(snapshot, kept, report, window, { stream, configHash }),
    )
  }

  top({ task: name, feature, k, entriesMax }: TaskTop): Promise<TaskTopOutcome> {
    const plan = this.#planOf(feature)
    return this.#reading(name, null, async (snapshot, task): Promise<TaskTopOutcome> => {
      const facts = factsIn(snapshot, task.stream, this.#o.plan.configHash)
      if (facts.asOf === null) return { kind: 'top', top: [], scanned: 0, complete: true, at: null, facts }
      assert(plan.topAt !== null, 'the largest are asked for where there is such a list')
      const counts = await plan.topAt(viewOf(snapshot), facts.asOf, { k, entriesMax })
      return { kind: 'top', ...counts, at: facts.asOf, facts }
    })
  }

  /** Reads from one snapshot of a task: the newest, or a pinned one. */
  async #reading<T>(
    name: string,
    pin: string | null,
    read: (snapshot: ReadSnapshot, task: Task) => Promise<T>,
  ): Promise<T | NoRead> {
    const hosted = this.#hosted.find(({ task }) => task.name === name)
    const phase = hosted?.task.status().phase ?? 'opening'
    if (hosted === undefined || phase === 'opening' || phase === 'halted')
      return { kind: 'unavailable', why: `task ${name} is ${phase}` }
    const snapshot = pin === null ? hosted.task.snapshot() : this.#pins.get(pin)?.snapshots.get(name)?.retain()
    if (snapshot === undefined) return { kind: 'snapshot_gone' }
    try {
      return await read(snapshot, hosted.task)
    } catch (error) {
      if (error instanceof SnapshotGone) return { kind: 'snapshot_gone' }
      throw error
    } finally {
      snapshot.release()
    }
  }

  async #readFrom(
    snapshot: ReadSnapshot,
    task: Task,
    feature: FeaturePlan,
    asks: readonly TaskRead[],
  ): Promise<TaskReadOutcome[]> {
    const facts = factsIn(snapshot, task.stream, this.#o.plan.configHash)
    const view = viewOf(snapshot)
    const heldFrom = feature.earliestAt(view)
    const times = asks.map(({ at }) => at ?? facts.asOf)
    const isHeld = (T: number | null): T is number => T !== null && T >= heldFrom
    const held = asks.flatMap(({ keys }, i) => (isHeld(times[i]!) ? [{ keys, T: times[i]! }] : []))
    const values = (await feature.valuesOf(view, held))[Symbol.iterator]()
    return asks.map(({ keys }, i): TaskReadOutcome => {
      const at = times[i]!
      if (at === null) return { kind: 'read', values: keys.map(() => feature.nothing), at, facts }
      if (!isHeld(at)) return { kind: 'not_held', heldFrom }
      return { kind: 'read', values: values.next().value!, at, facts }
    })
  }

  async pin(name: string): Promise<void> {
    const open = this.#hosted.filter(({ task }) => !['opening', 'halted'].includes(task.status().phase))
    const snapshots = new Map(open.map(({ task }) => [task.name, task.snapshot()]))
    const timer = setTimeout(() => void this.unpin(name), SNAPSHOT_PIN_MS_MAX).unref()
    this.#pins.set(name, { snapshots, timer })
  }

  async unpin(name: string): Promise<boolean> {
    const pin = this.#pins.get(name)
    if (pin === undefined) return false
    clearTimeout(pin.timer)
    this.#pins.delete(name)
    for (const snapshot of pin.snapshots.values()) snapshot.release()
    return true
  }
}

/** What a task says of the features of a listing, all from one snapshot. */
async function* linesOf({ features, valuesAt }: FeatureListing, task: Task, T: number): AsyncIterable<FeatureLine> {
  const snapshot = task.snapshot()
  try {
    const view = viewOf(snapshot)
    const told = features.map(({ feature, entity, completeFrom }) => {
      const from = completeFrom(view.edition)
      return { name: { feature, entity }, partial: from !== null && from <= T ? {} : { complete_from: from } }
    })
    for await (const { place, key, value } of valuesAt(view, T)) {
      const { name, partial } = told[place]!
      yield { ...name, key, value, ...partial }
    }
  } finally {
    snapshot.release()
  }
}

/** Throws USAGE, and gives the state back, where it holds more ids than their filters may take. */
async function refuseWithoutRoom(task: string, backend: Backend, room: FilterRoom): Promise<void> {
  const filters = filterLine(await seenIdsIn(backend))
  if (filters.product <= room.bytes) return
  await backend.close()
  throw new HoldfastError(
    'USAGE',
    `the state of ${task} does not fit: filters of ${lineText(filters)} bytes > ${room.sum}`,
  )
}

interface Pin {
  readonly snapshots: ReadonlyMap<string, ReadSnapshot>
  readonly timer: NodeJS.Timeout
}

function viewOf(snapshot: ReadSnapshot): View {
  const { watermark, asOf, edition } = commitIn(snapshot) ?? {
    watermark: NO_WATERMARK,
    asOf: NO_WATERMARK,
    edition: null,
  }
  return { snapshot, watermark, asOf, edition }
}

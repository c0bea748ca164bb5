// Answers reads of feature values from the snapshots of a host's tasks, wherever those run.
// HR1: a key is asked of the one task that has its partition; keys of one task are answered from one snapshot.
// HR2: read-your-writes follows the log: a stage has applied a record's consequences when it has applied the numbers that the
//      stages before it had published to it when those had applied them (topology/consequences.ts).
// HR3: one scan for the largest values at a time, and each answer serves everybody for TOP_SHARED_MS.
// HR4: what is under way is bounded in keys: what comes beyond is refused at once, and takes no memory.
// HR5: whoever waits when the node goes down is told so at once: a wait does not keep the tasks from their last commit.
// What a snapshot can be asked is in topology/features/; routes and formats are in sinks/.

import { randomUUID } from 'node:crypto'
import { assert } from '../log/errors.ts'
import { partitionOf } from '../log/frame.ts'
import type { Runtime } from '../log/runtime.ts'
import type { AttributionAsk, AttributionOutcome } from '../sinks/attribution-reads.ts'
import { EVALUATION_READ_KEYS, type EvaluationAsk, type EvaluationOutcome } from '../sinks/evaluation-reads.ts'
import {
  ATTRIBUTION_READ_KEYS,
  type ExplainOutcome,
  type FeatureInfo,
  type FeatureReads,
  type KeyRead,
  keysIn,
  type ListedFeature,
  type LogPosition,
  type ReadAsk,
  type ReadOutcome,
  type TopOutcome,
  type VectorsAsk,
  type VectorsOutcome,
} from '../sinks/feature-reads.ts'
import { type PurchasesAsk, type PurchasesOutcome, REPORT_READ_KEYS } from '../sinks/purchase-reads.ts'
import { TOP_MAX } from '../sinks/read-schemas.ts'
import { compareUtf8 } from '../state/key-layout.ts'
import { SNAPSHOT_PIN_MS_MAX } from '../state/read-snapshot.ts'
import { attributionOutcome, decisionsIn } from './attribution-reads.ts'
import type { CommitRecord } from './commit-record.ts'
import { consequencesApplied, stagesBetween } from './consequences.ts'
import { evaluationIn, evaluationOutcome, type TaskEvaluationRead, windowOf } from './evaluation-reads.ts'
import { type FeaturePlan, isFeature, saysSomething } from './features/feature-plan.ts'
import { featuresOf } from './features/plans.ts'
import {
  type CommitMark,
  statusOf,
  type TaskDecisionsOutcome,
  type TaskExplainOutcome,
  type TaskHost,
  type TaskReadOutcome,
} from './host.ts'
import { HostVectors } from './host-vectors.ts'
import { type Plan, stageStream, taskName } from './plan.ts'
import { asksOf, purchasesIn, purchasesOutcome, type TaskPurchasesRead } from './purchase-reads.ts'

/** Pins at once: each may keep a snapshot of every task, and those keep what compaction would remove. */
export const PINS_MAX = 16
/** Reads that wait at once: each has its task look every other millisecond, and together they may take a few percent of a core. */
export const WAITS_MAX = 64
/** Entries of a task's state that a scan for the largest looks at (of declared features: TOP_RECORDS_MAX): some tenths of a second beside its other work. */
export const TOP_ENTRIES_MAX = 200_000
/** Milliseconds for which such a list is given to whoever asks: people watch it, and each would else pay for a scan. */
const TOP_SHARED_MS = 1_000
/** Keys under way at once: some tens of MB, and a quarter of a second of work. What one client may ask for is less (sinks/http/limits.ts). */
export const KEYS_UNDER_WAY_MAX = 64 * 1024

/** A task that has not reached what was waited for. */
class NotReached extends Error {
  readonly reached: LogPosition

  constructor(reached: LogPosition) {
    super('not reached in time')
    this.reached = reached
  }
}

/** Why a wait brought nothing. */
type Obstacle = Extract<
  ReadOutcome,
  { kind: 'too_many_waits' | 'unknown_stream' | 'unrelated_stream' | 'not_reached' | 'unavailable' }
>

const GOING_DOWN: Obstacle = { kind: 'unavailable', why: 'the node is going down' }

type NotAdmitted = Obstacle | Extract<ReadOutcome, { kind: 'unknown_feature' | 'too_many_reads' }>

/** What is asked for: the feature, what readers know of it, and the keys by the partitions that may have them. */
type AskedFeature = readonly [
  feature: FeaturePlan,
  info: FeatureInfo,
  byPartition: ReadonlyMap<number, readonly string[]>,
]

export interface HostReadsOptions {
  readonly plan: Plan
  readonly host: TaskHost
  readonly runtime: Runtime
  /** For tests; TOP_ENTRIES_MAX. */
  readonly topEntriesMax?: number
}

export class HostReads implements FeatureReads {
  readonly #o: HostReadsOptions
  readonly #entriesMax: number
  readonly #plans: readonly FeaturePlan[]
  readonly #vectors: HostVectors
  /** Until when each pin holds, milliseconds. */
  readonly #pins = new Map<string, number>()
  /** What ends each wait that is under way. */
  readonly #waits = new Set<(obstacle: Obstacle) => void>()
  #isClosed = false
  /** By feature: the last list of the largest, and when it was asked for. */
  readonly #tops = new Map<FeaturePlan, { readonly atMs: number; readonly list: Promise<TopOutcome> }>()
  /** HR3: the scan that is under way, or was. */
  #scan: Promise<unknown> = Promise.resolve()
  #keysUnderWay = 0
  /** From when features are complete, where that is known. */
  readonly #complete = new Map<FeaturePlan, number>()

  constructor(options: HostReadsOptions) {
    this.#o = options
    this.#entriesMax = options.topEntriesMax ?? TOP_ENTRIES_MAX
    this.#plans = featuresOf(options.plan)
    const plans = new Map(this.#plans.map((plan) => [`${plan.entity}.${plan.feature}`, plan]))
    this.#vectors = new HostVectors(options.plan, options.host, (id) => {
      const plan = plans.get(id)
      // Context is all in the touch.
      return plan === undefined ? 0 : this.#completeFrom(plan)
    })
  }

  get features(): readonly ListedFeature[] {
    return this.#plans.map((plan) => this.#infoOf(plan))
  }

  #infoOf(plan: FeaturePlan): ListedFeature {
    const { feature, entity, type, windowMs, mode, paneMs, ...about } = plan
    const { stage, description, owner, how, bytesMax, topAt } = about
    const info = { feature, entity, type, windowMs, mode, paneMs, completeFrom: this.#completeFrom(plan) }
    return { ...info, stage, description, owner, how, bytesMax, top: topAt !== null }
  }

  /** Of all tasks of its stage: which of them has a key, nobody needs to know. Once known it stays as it is. */
  #completeFrom(plan: FeaturePlan): number | null {
    let from = this.#complete.get(plan) ?? plan.completeFrom(null)
    if (from === null) {
      const times = statusOf(this.#o.host, plan.stage).map(({ edition }) => plan.completeFrom(edition))
      if (times.length < this.#o.plan.partitions || times.includes(null)) return null
      from = Math.max(...(times as number[]))
    }
    this.#complete.set(plan, from)
    return from
  }

  read(ask: ReadAsk): Promise<ReadOutcome> {
    return this.#admitted(ask, (...of) => this.#read(ask, ...of))
  }

  explain(ask: ReadAsk): Promise<ExplainOutcome> {
    return this.#admitted(ask, (...of) => this.#explain(ask, ...of))
  }

  async attribution(ask: AttributionAsk): Promise<AttributionOutcome> {
    const kept = decisionsIn(this.#o.plan)
    if (kept === null) return { kind: 'no_attribution' }
    const { conversion, snapshot, wait, waitMs } = ask
    const partitions = Array.from({ length: this.#o.plan.partitions }, (_, partition) => partition)
    return this.#counted(ATTRIBUTION_READ_KEYS, async (): Promise<AttributionOutcome> => {
      const obstacle = wait === null ? null : await this.#wait(wait, waitMs, kept.stage, partitions)
      if (obstacle !== null) return obstacle
      const parts = await Promise.all(
        partitions.map((partition) =>
          this.#o.host.decisions({ task: taskName(kept.stage, partition), conversion, snapshot }),
        ),
      )
      const bad = parts.find((part) => part.kind !== 'decisions')
      if (bad !== undefined) return bad as Exclude<TaskDecisionsOutcome, { kind: 'decisions' }>
      const found = parts as Extract<TaskDecisionsOutcome, { kind: 'decisions' }>[]
      return attributionOutcome(
        conversion,
        kept,
        found,
        found.map(({ facts }) => facts),
      )
    })
  }

  async purchases(ask: PurchasesAsk): Promise<PurchasesOutcome> {
    const kept = purchasesIn(this.#o.plan)
    if (kept === null) return { kind: 'no_attribution' }
    const asked = asksOf(kept, ask, this.#o.plan.partitions)
    if (asked.kind !== 'asks') return asked
    const { snapshot, wait, waitMs } = ask
    return this.#counted(REPORT_READ_KEYS, async (): Promise<PurchasesOutcome> => {
      const partitions = [...asked.asks.keys()]
      const obstacle = wait === null ? null : await this.#wait(wait, waitMs, kept.stage, partitions)
      if (obstacle !== null) return obstacle
      const parts = await Promise.all(
        asked.asks.map((report, partition) =>
          this.#o.host.purchases({ task: taskName(kept.stage, partition), report, snapshot }),
        ),
      )
      const bad = parts.find((part) => part.kind === 'snapshot_gone' || part.kind === 'unavailable')
      if (bad !== undefined) return bad as Extract<PurchasesOutcome, typeof bad>
      return purchasesOutcome(kept, ask, asked.lane, parts as TaskPurchasesRead[])
    })
  }

  async evaluation(ask: EvaluationAsk): Promise<EvaluationOutcome> {
    const kept = evaluationIn(this.#o.plan)
    if (kept === null) return { kind: 'no_evaluation' }
    const window = windowOf(kept, ask)
    if (typeof window !== 'string') return window
    const { slice, id, days, snapshot, wait, waitMs } = ask
    return this.#counted(EVALUATION_READ_KEYS, async (): Promise<EvaluationOutcome> => {
      const partitions = Array.from({ length: this.#o.plan.partitions }, (_, partition) => partition)
      const obstacle = wait === null ? null : await this.#wait(wait, waitMs, kept.stage, partitions)
      if (obstacle !== null) return obstacle
      const parts = await Promise.all(
        partitions.map((partition) => {
          const task = taskName(kept.stage, partition)
          return this.#o.host.evaluation({ task, report: { slice, id, days }, window, snapshot })
        }),
      )
      const bad = parts.find((part) => part.kind === 'snapshot_gone' || part.kind === 'unavailable')
      if (bad !== undefined) return bad as Extract<EvaluationOutcome, typeof bad>
      return evaluationOutcome(kept, ask, window, parts as TaskEvaluationRead[])
    })
  }

  vectors(ask: VectorsAsk): Promise<VectorsOutcome> {
    return this.#counted(keysIn(ask.touches), () =>
      this.#vectors.read(ask, ({ wait, waitMs }, stage, partitions) => this.#wait(wait!, waitMs, stage, partitions)),
    )
  }

  /** Answers, once what the ask waits for is there. */
  async #admitted<T>(ask: ReadAsk, answer: (...of: AskedFeature) => Promise<T>): Promise<T | NotAdmitted> {
    const index = this.#plans.findIndex(isFeature(ask))
    if (index === -1) return { kind: 'unknown_feature' }
    return this.#counted(ask.keys.length, async (): Promise<T | NotAdmitted> => {
      const feature = this.#plans[index]!
      const byPartition = this.#partitions(feature, ask.keys)
      if (ask.wait !== null) {
        const obstacle = await this.#wait(ask.wait, ask.waitMs, feature.stage, [...byPartition.keys()])
        if (obstacle !== null) return obstacle
      }
      return answer(feature, this.#infoOf(feature), byPartition)
    })
  }

  /** HR4. */
  async #counted<T>(keys: number, read: () => Promise<T>): Promise<T | { readonly kind: 'too_many_reads' }> {
    if (this.#keysUnderWay + keys > KEYS_UNDER_WAY_MAX) return { kind: 'too_many_reads' }
    this.#keysUnderWay += keys
    try {
      return await read()
    } finally {
      this.#keysUnderWay -= keys
    }
  }

  async #explain(
    { keys, at, snapshot }: ReadAsk,
    ...[feature, info, byPartition]: AskedFeature
  ): Promise<ExplainOutcome> {
    const name = { feature: feature.feature, entity: feature.entity }
    const outcomes = await Promise.all(
      [...byPartition.keys()].map((partition) => {
        const task = taskName(feature.stage, partition)
        return this.#o.host.explain({ task, feature: name, key: keys[0]!, at, snapshot })
      }),
    )
    const bad = outcomes.find((outcome) => outcome.kind !== 'explained')
    if (bad !== undefined) return bad as Exclude<TaskExplainOutcome, { kind: 'explained' }>
    const reads = outcomes.map((outcome) => (outcome as Extract<TaskExplainOutcome, { kind: 'explained' }>).read)
    // Where several tasks were asked, one at most has the key.
    const read = reads.find(({ values }) => values.some(({ value }) => saysSomething(value))) ?? reads[0]!
    return { kind: 'explained', info, read }
  }

  async #read(ask: ReadAsk, ...[feature, info, byPartition]: AskedFeature): Promise<ReadOutcome> {
    const reads = await Promise.all(
      [...byPartition].map(async ([partition, keys]) => {
        const { at, snapshot } = ask
        const task = taskName(feature.stage, partition)
        const name = { feature: feature.feature, entity: feature.entity }
        return { keys, outcome: await this.#o.host.read({ task, feature: name, keys, at, snapshot }) }
      }),
    )
    const bad = reads.find(({ outcome }) => outcome.kind !== 'read')
    if (bad !== undefined) return bad.outcome as Exclude<TaskReadOutcome, { kind: 'read' }>
    const values = new Map<string, KeyRead>()
    for (const { keys, outcome } of reads) for (const read of keyReads(keys, outcome)) keep(values, read)
    return { kind: 'read', info, values: ask.keys.map((key) => values.get(key)!) }
  }

  async top(feature: string, entity: string, k: number): Promise<TopOutcome> {
    const plan = this.#plans.find(isFeature({ feature, entity }))
    if (plan === undefined) return { kind: 'unknown_feature' }
    if (plan.topAt === null) return { kind: 'no_top' }
    const now = this.#o.runtime.now()
    let known = this.#tops.get(plan)
    if (known === undefined || now - known.atMs >= TOP_SHARED_MS) {
      const list = this.#scan.then(() => this.#largest(plan))
      this.#scan = list.catch(() => {})
      known = { atMs: now, list }
      this.#tops.set(plan, known)
    }
    const outcome = await known.list
    return outcome.kind === 'top' ? { ...outcome, values: outcome.values.slice(0, k) } : outcome
  }

  /** The TOP_MAX largest of all tasks that have the feature, each from one snapshot. */
  async #largest(plan: FeaturePlan): Promise<TopOutcome> {
    const { stage, feature, entity } = plan
    const parts = await Promise.all(
      Array.from({ length: this.#o.plan.partitions }, (_, partition) => {
        const ask = { feature: { feature, entity }, k: TOP_MAX, entriesMax: this.#entriesMax }
        return this.#o.host.top({ task: taskName(stage, partition), ...ask })
      }),
    )
    const values: KeyRead<number>[] = []
    let scanned = 0
    let complete = true
    for (const part of parts) {
      if (part.kind !== 'top') return part
      for (const [key, value] of part.top) values.push({ key, value, at: part.at, facts: part.facts })
      scanned += part.scanned
      complete &&= part.complete
    }
    values.sort((a, b) => b.value - a.value || compareUtf8(a.key, b.key))
    return { kind: 'top', info: this.#infoOf(plan), values: values.slice(0, TOP_MAX), scanned, complete }
  }

  async pin(): Promise<{ readonly snapshot: string; readonly forMs: number } | null> {
    const now = this.#o.runtime.now()
    for (const [snapshot, until] of this.#pins) if (until <= now) this.#pins.delete(snapshot)
    if (this.#pins.size >= PINS_MAX) return null
    const snapshot = randomUUID()
    this.#pins.set(snapshot, now + SNAPSHOT_PIN_MS_MAX)
    await this.#o.host.pin(snapshot)
    return { snapshot, forMs: SNAPSHOT_PIN_MS_MAX }
  }

  async unpin(snapshot: string): Promise<boolean> {
    this.#pins.delete(snapshot)
    return this.#o.host.unpin(snapshot)
  }

  /** HR5. Other reads are answered until the host is closed. */
  close(): void {
    this.#isClosed = true
    for (const end of this.#waits) end(GOING_DOWN)
  }

  #partitions({ routeOf }: FeaturePlan, keys: readonly string[]): Map<number, string[]> {
    const { partitions } = this.#o.plan
    const all = Array.from({ length: partitions }, (_, partition) => partition)
    const byPartition = new Map<number, string[]>()
    for (const key of new Set(keys)) {
      const route = routeOf(key)
      for (const partition of route === null ? all : [partitionOf(route, partitions)]) {
        const others = byPartition.get(partition)
        if (others === undefined) byPartition.set(partition, [key])
        else others.push(key)
      }
    }
    return byPartition
  }

  /** null: what was waited for is applied. */
  async #wait(
    place: LogPosition,
    waitMs: number,
    stage: string,
    partitions: readonly number[],
  ): Promise<Obstacle | null> {
    if (this.#isClosed) return GOING_DOWN
    if (this.#waits.size >= WAITS_MAX) return { kind: 'too_many_waits' }
    const ended = Promise.withResolvers<Obstacle>()
    this.#waits.add(ended.resolve)
    try {
      return await Promise.race([this.#waitFor(place, waitMs, stage, partitions), ended.promise])
    } catch (error) {
      if (error instanceof NotReached) return { kind: 'not_reached', reached: error.reached }
      throw error
    } finally {
      this.#waits.delete(ended.resolve)
    }
  }

  /** HR2. Settles when the tasks of a stage have applied what came of a record, or with why they never will. */
  async #waitFor(
    place: LogPosition,
    waitMs: number,
    stage: string,
    partitions: readonly number[],
  ): Promise<Obstacle | null> {
    const { plan, runtime } = this.#o
    const [from, partition] = this.#taskReading(place.stream) ?? [null, 0]
    if (from === null) return { kind: 'unknown_stream' }
    const way = stagesBetween(plan, from, stage)
    if (way === null) return { kind: 'unrelated_stream' }
    // Where a task that has applied nothing is: before everything.
    if (place.seq === 0) return null
    const until = runtime.now() + waitMs
    const { seq, index } = place
    const reader = await this.#reached(from, partition, until, { kind: 'applied', seq, index })
    await consequencesApplied(
      plan,
      { way, task: taskName(from, partition), commit: reader, partitions },
      (name, to, mark) => this.#reached(name, to, until, mark),
    )
    return null
  }

  /** Stage and partition of the task that reads a stream. */
  #taskReading(stream: string): readonly [stage: string, partition: number] | undefined {
    const { namespace, stages, partitions } = this.#o.plan
    for (const { name } of stages)
      for (let p = 0; p < partitions; p++) if (stageStream(namespace, name, p) === stream) return [name, p]
    return undefined
  }

  /** The commit of a task that has a mark; throws NotReached where that takes too long. */
  async #reached(stage: string, partition: number, until: number, mark: CommitMark): Promise<CommitRecord> {
    const { plan, host, runtime } = this.#o
    const wait = { task: taskName(stage, partition), mark, waitMs: until - runtime.now() }
    const { reached, commit } = await host.commitWith(wait)
    if (reached) return commit!
    const { seq, applied } = commit?.position ?? { seq: 0, applied: 0 }
    throw new NotReached({ stream: stageStream(plan.namespace, stage, partition), seq, index: applied - 1 })
  }
}

function keyReads(keys: readonly string[], outcome: TaskReadOutcome): KeyRead[] {
  assert(outcome.kind === 'read', 'the others were answered before')
  const { values, at, facts } = outcome
  return keys.map((key, i) => ({ key, value: values[i]!, at, facts }))
}

/** Of a key that was asked of several tasks, one at most has something to say. */
function keep(values: Map<string, KeyRead>, read: KeyRead): void {
  if (!values.has(read.key) || saysSomething(read.value)) values.set(read.key, read)
}

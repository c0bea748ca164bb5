// Answers reads of vectors: what each stage's tasks know of a touch, put together, and its context.
// HV1: a stage is asked for what it keeps only, and each of its tasks once: a task's part of all vectors is from one snapshot.
// HV2: a field that no feature of the node reads is refused: misspelt, it would make features absent without a word.
// How a task answers is topology/features/vector-reads.ts's; waits and limits are topology/host-reads.ts's.

import { HoldfastError } from '../log/errors.ts'
import { partitionOf } from '../log/frame.ts'
import type { Fields } from '../operators/event.ts'
import { fieldsOf } from '../operators/expression.ts'
import { fitted } from '../operators/vector.ts'
import { contextFiller, type Slots } from '../operators/vector-values.ts'
import type { StageRead, Touch, VectorsAsk, VectorsOutcome } from '../sinks/feature-reads.ts'
import type { CompiledFeatures } from './features/compile.ts'
import { keptGroups, runnerOf } from './features/kept.ts'
import { remember } from './features/vector-reads.ts'
import { touchVectorPlan, type VectorPlan, vectorPlan } from './features/vectors.ts'
import type { TaskHost, TaskVectorsOutcome } from './host.ts'
import { type Plan, taskName } from './plan.ts'
import { PURCHASE_STAGE } from './purchases.ts'

/** A stage that keeps features, and the field by whose value a touch's are in one of its partitions. */
interface KeepingStage {
  readonly name: string
  readonly partition: string
  /** Places among the compiled groups. */
  readonly groups: ReadonlySet<number>
  /** Fields that keys are made of. */
  readonly columns: readonly string[]
}

/** A layout, and how its context is computed. */
interface Compiled {
  readonly plan: VectorPlan
  readonly features: readonly string[]
  readonly fillContext: ReturnType<typeof contextFiller>
  readonly stages: readonly KeepingStage[]
}

/** What one task is asked. */
interface Part {
  readonly stage: KeepingStage
  readonly partition: number
  /** Places of the touches. */
  readonly places: number[]
}

type Obstacle = Exclude<VectorsOutcome, { kind: 'vectors' }>
/** Waits until a stage's partitions have what the ask waits for; null: they have. */
export type WaitFor = (ask: VectorsAsk, stage: string, partitions: readonly number[]) => Promise<Obstacle | null>

const ALL = ''

export class HostVectors {
  readonly #plan: Plan
  readonly #host: Pick<TaskHost, 'readVectors'>
  readonly #completeFrom: (id: string) => number | null
  readonly #features: CompiledFeatures | null
  readonly #stages: readonly KeepingStage[]
  /** HV2. */
  readonly #known: ReadonlySet<string>
  readonly #layouts = new Map<string, Compiled>()

  /** `completeFrom`: from when a feature that is kept, by its id, is complete. */
  constructor(plan: Plan, host: Pick<TaskHost, 'readVectors'>, completeFrom: (id: string) => number | null) {
    this.#plan = plan
    this.#host = host
    this.#completeFrom = completeFrom
    const keeping = plan.stages.flatMap((stage) => {
      // What ads sold is compiled apart from what is declared: a touch does not come by, and a vector has nothing of it.
      const keeps = stage.name === PURCHASE_STAGE ? null : keptGroups(stage)
      return keeps === null ? [] : [{ name: stage.name, ...keeps }]
    })
    this.#features = keeping[0]?.compiled ?? null
    this.#stages = keeping.map(({ name, compiled, kept }) => {
      const groups = new Set(kept.keys())
      const own = [...groups].map((index) => compiled.groups[index]!)
      const columns = fieldsOf(own.map(({ group }) => group.key))
      return { name, groups, columns, partition: own[0]!.entity.partition }
    })
    const context =
      this.#features?.features.flatMap(({ how }) => (how.kind === 'context' ? [how.expression] : [])) ?? []
    const read = [...this.#stages.flatMap(({ columns }) => columns), ...fieldsOf(context)]
    this.#known = new Set(['type', 'event_id', 'event_time', ...read.map((field) => field.split('.')[0]!)])
  }

  /** The vectors of touches. `wait`: for what the ask waits for, before a stage is asked. */
  async read(ask: VectorsAsk, wait: WaitFor): Promise<VectorsOutcome> {
    const { touches, at, snapshot } = ask
    const compiled = this.#compiled(ask.features)
    if ('kind' in compiled) return compiled
    const unknown = touches.findIndex((touch) => !Object.keys(touch).every((field) => this.#known.has(field)))
    if (unknown !== -1) return { kind: 'unknown_field', touch: unknown }
    const parts = this.#partsOf(compiled, touches)
    const waits = ask.wait === null ? [] : compiled.stages.map(({ name }) => wait(ask, name, partitionsOf(parts, name)))
    const obstacle = (await Promise.all(waits)).find((one) => one !== null)
    if (obstacle !== undefined) return obstacle
    const { plan, features, fillContext } = compiled
    const answers = await Promise.all(
      parts.map(async ({ stage, partition, places }) => {
        const task = taskName(stage.name, partition)
        const keys = places.map((place) => keyFields(touches[place]!, stage.columns))
        const outcome = await this.#host.readVectors({ task, features, touches: keys, at, snapshot })
        return { stage: stage.name, places, outcome }
      }),
    )
    const all = touches.map((touch) => contextOf(touch, plan, fillContext, at))
    const reads = touches.map((): StageRead[] => [])
    for (const { stage, places, outcome } of answers) {
      if (outcome.kind !== 'vectors') return outcome
      for (const place of places) reads[place]!.push({ stage, at: outcome.at, facts: outcome.facts })
      fillIn(all, places, outcome)
    }
    const { layout, schema } = plan
    const completeFrom = features.map((id) => this.#completeFrom(id))
    const vectors = all.map((vector, i) => ({ vector, reads: reads[i]! }))
    return { kind: 'vectors', layout, completeFrom, schema, vectors }
  }

  #compiled(ids: readonly string[] | null): Compiled | Obstacle {
    const features = this.#features
    if (features === null) return { kind: 'unknown_feature' }
    const name = ids === null ? ALL : JSON.stringify([...ids].sort())
    const known = this.#layouts.get(name) ?? this.#compile(features, ids)
    if ('plan' in known) remember(this.#layouts, name, known)
    return known
  }

  #compile(features: CompiledFeatures, ids: readonly string[] | null): Compiled | Obstacle {
    const known = new Set(features.features.flatMap(({ id, copyFor }) => (copyFor === null ? [id] : [])))
    if (ids?.some((id) => !known.has(id)) === true) return { kind: 'unknown_feature' }
    try {
      const plan = ids === null ? touchVectorPlan(features, 'all') : vectorPlan(features, ids)
      const stages = this.#stages.filter(({ groups }) => [...plan.groups.keys()].some((index) => groups.has(index)))
      const own = plan.layout.map(({ id }) => id)
      return { plan, features: own, fillContext: contextFiller(plan.context, runnerOf(features)), stages }
    } catch (error) {
      if (error instanceof HoldfastError && error.code === 'USAGE') return { kind: 'no_vector', message: error.message }
      throw error
    }
  }

  /** HV1. Of a stage whose field a touch does not have, it has nothing. */
  #partsOf({ stages }: Compiled, touches: readonly Touch[]): Part[] {
    const parts = new Map<string, Part>()
    for (const stage of stages) {
      touches.forEach((touch, place) => {
        const route = touch[stage.partition]
        if (typeof route !== 'string') return
        const partition = partitionOf(route, this.#plan.partitions)
        const task = taskName(stage.name, partition)
        const part = parts.get(task) ?? { stage, partition, places: [] }
        part.places.push(place)
        parts.set(task, part)
      })
    }
    return [...parts.values()]
  }
}

const partitionsOf = (parts: readonly Part[], name: string): number[] =>
  parts.flatMap(({ stage, partition }) => (stage.name === name ? [partition] : []))

/** What of a touch a task needs: nothing else travels to another thread. */
function keyFields(touch: Touch, columns: readonly string[]): Record<string, unknown> {
  return Object.fromEntries(
    columns.flatMap((column) => (Object.hasOwn(touch, column) ? [[column, touch[column]]] : [])),
  )
}

/** The vector of a touch with its context only. The time of a touch that says none is the one that is asked for, if one is. */
function contextOf(
  touch: Touch,
  { slots, layout }: VectorPlan,
  fill: Compiled['fillContext'],
  at: number | null,
): Slots {
  const all: Slots = new Array(slots).fill(undefined)
  fill(all, { ...(at === null ? {} : { event_time: at }), ...touch } as Fields)
  return all.slice(0, layout.length).map(fitted)
}

function fillIn(
  all: readonly Slots[],
  places: readonly number[],
  { vectors }: Extract<TaskVectorsOutcome, { kind: 'vectors' }>,
): void {
  places.forEach((place, i) => {
    vectors[i]!.forEach((value, slot) => {
      if (value !== undefined) all[place]![slot] = value
    })
  })
}

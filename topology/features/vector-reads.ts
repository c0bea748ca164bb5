// What one stage knows of vectors, read from snapshots of its tasks: the same values that a touch would take with it.
// VR1: a vector's part is of one snapshot, and of one time, as KF1 of kept.ts has it for one feature.
// Which tasks are asked, and how their parts become one vector, is topology/host-vectors.ts's.

import { assert } from '../../log/errors.ts'
import type { Fields } from '../../operators/event.ts'
import { generationsOf, type KeyRecord } from '../../operators/feature-record.ts'
import { fitted, type Vector } from '../../operators/vector.ts'
import { derivedFiller, fillKept, type Slots } from '../../operators/vector-values.ts'
import { seenAfterOf } from '../edition.ts'
import type { StagePlan } from '../plan.ts'
import type { View } from './feature-plan.ts'
import { firstOf, keptGroups, runnerOf } from './kept.ts'
import { type GroupSlots, type VectorPlan, vectorPlan } from './vectors.ts'

/** Of a touch, the fields that keys are made of. */
export type KeyFields = Readonly<Record<string, unknown>>

/** Layouts that are kept compiled: those of the models that are served beside each other, and as many that are tried. */
export const LAYOUTS_KEPT = 32

/** Puts a value in front of those that are kept, and drops the one that was not asked for the longest. */
export function remember<V>(kept: Map<string, V>, name: string, value: V): void {
  kept.delete(name)
  kept.set(name, value)
  for (const [oldest] of kept) {
    if (kept.size <= LAYOUTS_KEPT) break
    kept.delete(oldest)
  }
}

interface StageGroup extends GroupSlots {
  readonly store: string
  keyOf(touch: KeyFields): string | undefined
}

/** Reads the part of a layout that a stage keeps. */
export class StageVectors {
  readonly #plan: VectorPlan
  readonly #groups: readonly StageGroup[]
  readonly #derive: ReturnType<typeof derivedFiller>

  /** `features`: ids that vectorPlan takes. */
  constructor(stage: StagePlan, features: readonly string[]) {
    const keeps = keptGroups(stage)
    assert(keeps !== null, `the stage ${stage.name}, which is asked for vectors, keeps groups`)
    const { compiled, kept } = keeps
    const plan = vectorPlan(compiled, features)
    this.#plan = plan
    const expressions = runnerOf(compiled)
    this.#groups = [...kept].flatMap(([index, { store }]) => {
      const slots = plan.groups.get(index)
      if (slots === undefined) return []
      const run = expressions([slots.group.key])
      return [{ ...slots, store, keyOf: (touch) => run({ fields: touch as Fields })[0] as string | undefined }]
    })
    const entities = new Set([...kept.keys()].map((index) => compiled.groups[index]!.entity.name))
    this.#derive = derivedFiller(
      [...plan.derived].flatMap(([entity, one]) => (entities.has(entity) ? [one] : [])),
      expressions,
    )
  }

  /** As of a feature (topology/features/kept.ts), of all of them. */
  earliestAt({ watermark, asOf }: View): number {
    const hasLists = this.#groups.some(({ kept }) => kept.some(({ reading }) => 'list' in reading))
    if (hasLists) return Math.max(0, asOf)
    const looksBackMs = Math.min(...this.#groups.map(({ group }) => group.lookbackMs))
    return Math.max(0, watermark - looksBackMs)
  }

  /** A vector for each touch, at T. Throws SnapshotGone. */
  async read(view: View, touches: readonly KeyFields[], T: number): Promise<Vector[]> {
    const all = touches.map((): Slots => new Array(this.#plan.slots).fill(undefined))
    await Promise.all(this.#groups.map((one) => this.#readGroup(view, one, touches, all, T)))
    touches.forEach((touch, i) => void this.#derive(all[i]!, touch as Fields, T, view.watermark))
    return all.map((slots) => slots.slice(0, this.#plan.layout.length).map(fitted))
  }

  async #readGroup(
    { snapshot, edition }: View,
    { store, kept, keyOf }: StageGroup,
    touches: readonly KeyFields[],
    all: readonly Slots[],
    T: number,
  ): Promise<void> {
    const buckets = generationsOf(snapshot.lowestBucket(store))
    const known = touches.flatMap((touch, i) => {
      const key = keyOf(touch)
      return key === undefined ? [] : [{ key, i }]
    })
    const keys = [...new Set(known.map(({ key }) => key))]
    const wanted = keys.flatMap((key) => buckets.map((bucket) => [bucket, key] as const))
    const values = await snapshot.multiGet<KeyRecord>(store, wanted)
    const records = new Map(keys.map((key, place) => [key, firstOf(values, place * buckets.length, buckets.length)]))
    const seenAfter = (since: number): number | null => seenAfterOf(edition, since)
    for (const { key, i } of known) fillKept(all[i]!, kept, { record: records.get(key), T, seenAfter })
  }
}

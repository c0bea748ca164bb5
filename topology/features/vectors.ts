// Which features a vector has and how each is got, from the compiled declarations; and the schema hash by which models, holds
// and rows know a layout.
// VP1: a layout is canonical: the same features give the same one, in whatever order they were named or declared.
// VP2: a vector is what a model gets that chooses ads: a feature that is not allowed for that is in none (purposes.ts).
// The values are filled in by operators/vector-values.ts; the bytes are operators/vector.ts's.

import { createHash } from 'node:crypto'
import stringify from 'fast-json-stable-stringify'
import { assert, HoldfastError } from '../../log/errors.ts'
import type { FeatureGroup } from '../../operators/feature-record.ts'
import { VECTOR_BYTES_MAX, type VectorLayout, vectorBytesMax } from '../../operators/vector.ts'
import type { ComputedSlot, DerivedSlots, KeptSlot } from '../../operators/vector-values.ts'
import { compareUtf8 } from '../../state/key-layout.ts'
import type { CompiledFeature, CompiledFeatures } from './compile.ts'
import { CONTEXT, type Purpose } from './declaration.ts'
import { isAllowedFor } from './purposes.ts'

/** What a vector is used for. */
export const VECTOR_PURPOSE: Purpose = 'personalised_ads'
/** Partition fields of the stages that a touch passes, in their order: a vector that travels can have what is kept there. */
export const TOUCH_PARTITIONS = ['user_id', 'advertiser_id'] as const

/** Ids of features, or all that a touch can have. */
export type VectorFeatures = 'all' | readonly string[]

/** What is read of one group. Plain data. */
export interface GroupSlots {
  readonly group: FeatureGroup
  readonly kept: readonly KeptSlot[]
}

/** Plain data. */
export interface VectorPlan {
  readonly layout: VectorLayout
  /** SHA-256, hex, of the layout's canonical JSON. */
  readonly schema: string
  /** How many places a vector has while it is filled. */
  readonly slots: number
  readonly context: readonly ComputedSlot[]
  /** By group of the compiled features: where it says something. */
  readonly groups: ReadonlyMap<number, GroupSlots>
  /** By entity. */
  readonly derived: ReadonlyMap<string, DerivedSlots>
}

/** The vector that touches take with them. Throws USAGE as vectorPlan does, and where a touch does not pass a feature's stage. */
export function touchVectorPlan(compiled: CompiledFeatures, wanted: VectorFeatures): VectorPlan {
  const passed = (feature: CompiledFeature): boolean => {
    const { entity } = feature
    if (entity === CONTEXT) return true
    const declared = compiled.groups.find((group) => group.entity.name === entity)!.entity
    return (TOUCH_PARTITIONS as readonly string[]).includes(declared.partition)
  }
  if (wanted === 'all') {
    const all = compiled.features.filter((one) => one.copyFor === null && passed(one) && isForVectors(one))
    const ids = all.map(({ id }) => id)
    return vectorPlan(compiled, ids)
  }
  const plan = vectorPlan(compiled, wanted)
  const strange = compiled.features.find((feature) => wanted.includes(feature.id) && !passed(feature))
  if (strange !== undefined) throw refusal(strange.id, 'it is kept where no impression or click comes by')
  return plan
}

/** The vector of some features. Throws USAGE, naming the feature that cannot be in it. */
export function vectorPlan({ features, groups }: CompiledFeatures, ids: readonly string[]): VectorPlan {
  const byId = new Map(features.map((feature) => [feature.id, feature]))
  const wanted = [...new Set(ids)].sort(compareUtf8).map((id) => {
    const feature = byId.get(id)
    if (feature === undefined || feature.copyFor !== null) throw refusal(id, 'there is no such feature')
    if (!isForVectors(feature))
      throw refusal(id, `it is for ${feature.declaration.purpose} only, a vector for ${VECTOR_PURPOSE}`)
    return feature
  })
  const layout = layoutOf(wanted)
  const slots = slotsOf(wanted, byId)
  const needed = features.filter(({ id }) => slots.has(id))
  const kept = Map.groupBy(
    needed.flatMap(({ id, how, since }) =>
      how.kind === 'kept'
        ? [{ group: how.group, slot: slots.get(id)!, reading: how.reading, ...(since && { since }) }]
        : [],
    ),
    ({ group }) => group,
  )
  const computed = (one: CompiledFeature, expression: ComputedSlot['expression'], needs: readonly string[]) => ({
    ...{ slot: slots.get(one.id)!, expression, needs: needs.map((id) => ({ id, slot: slots.get(id)! })) },
  })
  const derived = Map.groupBy(
    needed.filter(({ how }) => how.kind === 'derived'),
    ({ entity }) => entity,
  )
  return {
    layout,
    schema: schemaHash(layout),
    slots: slots.size,
    context: needed.flatMap((one) => (one.how.kind === 'context' ? [computed(one, one.how.expression, [])] : [])),
    groups: new Map(
      [...kept].map(([index, slotsOfGroup]) => [
        index,
        { group: groups[index]!.group, kept: slotsOfGroup.map(({ group: _, ...slot }) => slot) },
      ]),
    ),
    derived: new Map(
      [...derived].map(([entity, own]) => {
        const { key, lookbackMs } = groups.find((group) => group.entity.name === entity)!.group
        // Declared after what they are derived of, and so computed.
        const slotsOfEntity = own.flatMap((one) =>
          one.how.kind === 'derived' ? [computed(one, one.how.expression, one.how.needs)] : [],
        )
        return [entity, { key, lookbackMs, slots: slotsOfEntity }]
      }),
    ),
  }
}

/** The names of the plan's layout, and how it is told from another. */
export function schemaHash(layout: VectorLayout): string {
  return createHash('sha256')
    .update(stringify({ vector: 1, layout }))
    .digest('hex')
}

const isForVectors = ({ declaration }: CompiledFeature): boolean => isAllowedFor(declaration.purpose, VECTOR_PURPOSE)

/** VE3: throws USAGE where a vector could be too large. */
function layoutOf(wanted: readonly CompiledFeature[]): VectorLayout {
  const layout = wanted.map(({ id, type, declaration }) => ({ id, type, default: declaration.default ?? null }))
  const lengths = new Map(
    wanted.flatMap(({ id, how }) => (how.kind === 'kept' && 'length' in how.reading ? [[id, how.reading.length]] : [])),
  )
  const bytes = vectorBytesMax(layout, (id) => lengths.get(id)!)
  if (bytes > VECTOR_BYTES_MAX)
    throw new HoldfastError(
      'USAGE',
      `a vector of these ${layout.length} features may take ${bytes} bytes, and at most ${VECTOR_BYTES_MAX}: leave out lists, or make them shorter`,
    )
  return layout
}

/** A place for each feature, then for each that is only derived from. */
function slotsOf(
  wanted: readonly CompiledFeature[],
  byId: ReadonlyMap<string, CompiledFeature>,
): ReadonlyMap<string, number> {
  const slots = new Map(wanted.map(({ id }, i) => [id, i]))
  const add = (id: string): void => {
    const feature = byId.get(id)
    assert(feature !== undefined, `${id}, which something is derived of, is compiled`)
    if (!slots.has(id)) slots.set(id, slots.size)
    if (feature.how.kind === 'derived') for (const needed of feature.how.needs) add(needed)
  }
  for (const { id } of wanted) add(id)
  return slots
}

const refusal = (id: string, why: string): HoldfastError => new HoldfastError('USAGE', `vector: ${id}: ${why}`)

// Which features a plan holds, in which store of which stage, and their values at a time, read from snapshots.
// A read answers for T (contract.md, section 3); averages and rates would be computed here, at read, never in state.

import {
  bucketsFor,
  countAt,
  heldFrom,
  PANES_STORE,
  type Panes,
  type WindowedCount,
} from '../operators/windowed-count.ts'
import { compareUtf8 } from '../state/key-layout.ts'
import type { ReadSnapshot } from '../state/read-snapshot.ts'
import type { NodePlan, Plan } from './plan.ts'

export interface FeaturePlan {
  readonly feature: string
  readonly entity: string
  readonly stage: string
  /** Name of the store in the stage's state. */
  readonly store: string
  readonly windowMs: number
  readonly operator: WindowedCount<unknown>
}

export interface FeatureValue {
  readonly feature: string
  readonly entity: string
  readonly key: string
  readonly value: number
}

/** The features of a plan, in the order of its stages. */
export function featuresOf(plan: Plan): FeaturePlan[] {
  return plan.stages.flatMap((stage) =>
    stage.nodes.filter(isWindowedCount).map((node): FeaturePlan => {
      const operator = node.operator as WindowedCount<unknown>
      const store = node.stores[operator.stores.findIndex(({ name }) => name === PANES_STORE)]!.name
      const { feature, entity } = operator
      return { feature, entity, stage: stage.name, store, windowMs: Math.max(...operator.windowsMs), operator }
    }),
  )
}

function isWindowedCount(node: NodePlan): boolean {
  return 'feature' in node.operator && 'layout' in node.operator
}

/** Keys whose values at T, milliseconds, are wanted. */
export interface ValuesAsk {
  readonly keys: readonly string[]
  readonly T: number
}

/** For each ask the values of its keys in their order, all by one read. `snapshot`: of the task that has them. Throws SnapshotGone. */
export async function valuesOf(
  snapshot: ReadSnapshot,
  { store, windowMs, operator }: FeaturePlan,
  asks: readonly ValuesAsk[],
): Promise<number[][]> {
  const wanted: (readonly [bucket: number, key: string])[] = []
  const places = asks.map(({ keys, T }) => {
    const buckets = bucketsFor(operator.layout, T, windowMs)
    const first = wanted.length
    for (const key of keys) for (const bucket of buckets) wanted.push([bucket, key])
    return { first, buckets }
  })
  const panes = await snapshot.multiGet<Panes>(store, wanted)
  return asks.map(({ keys, T }, a) => {
    const { first, buckets } = places[a]!
    return keys.map((_, i) => {
      const ofKey = first + i * buckets.length - buckets[0]!
      return countAt(operator.layout, (bucket) => panes[ofKey + bucket], T, windowMs)
    })
  })
}

/** The earliest time, milliseconds, for which a snapshot can still say the value of a feature. */
export function earliestAt(snapshot: ReadSnapshot, { store, windowMs, operator }: FeaturePlan): number {
  return heldFrom(operator.layout, snapshot.lowestBucket(store), windowMs)
}

/** A key and its value. */
export type Counted = readonly [key: string, value: number]

export interface TopCounts {
  /** The k largest, largest first; equal ones by key. */
  readonly top: readonly Counted[]
  /** Entries of the state that were looked at. */
  readonly scanned: number
  /** false: entriesMax ended the scan. Then there may be larger ones, and values may be too small. */
  readonly complete: boolean
}

/** The k keys with the largest values at T. Looks at entriesMax entries at most, the newest bucket first. Throws SnapshotGone. */
export async function topAt(
  snapshot: ReadSnapshot,
  { store, windowMs, operator }: FeaturePlan,
  T: number,
  { k, entriesMax }: { readonly k: number; readonly entriesMax: number },
): Promise<TopCounts> {
  const counts = new Map<string, number>()
  let scanned = 0
  let complete = true
  for (const wanted of bucketsFor(operator.layout, T, windowMs).reverse()) {
    for await (const [, key, panes] of snapshot.scan<Panes>(store, wanted, wanted + 1)) {
      if (scanned === entriesMax) {
        complete = false
        break
      }
      scanned++
      const count = countAt(operator.layout, (bucket) => (bucket === wanted ? panes : undefined), T, windowMs)
      if (count !== 0) counts.set(key, (counts.get(key) ?? 0) + count)
    }
    if (!complete) break
  }
  return { top: largest(counts, k), scanned, complete }
}

/** The k largest of some counts. */
export function largest(counts: Iterable<Counted>, k: number): Counted[] {
  return [...counts].sort(([a, x], [b, y]) => y - x || compareUtf8(a, b)).slice(0, k)
}

/** Every key with a value other than zero at T, in the order of (bucket, key). `snapshot`: of one task of the feature's stage. */
export async function* valuesAt(snapshot: ReadSnapshot, plan: FeaturePlan, T: number): AsyncIterable<FeatureValue> {
  const { feature, entity, store, windowMs, operator } = plan
  const buckets = bucketsFor(operator.layout, T, windowMs)
  const panes = new Map<string, Map<number, Panes>>()
  for await (const [bucket, key, value] of snapshot.scan<Panes>(store, buckets[0]!, buckets.at(-1)! + 1)) {
    const ofKey = panes.get(key)
    if (ofKey === undefined) panes.set(key, new Map([[bucket, value]]))
    else ofKey.set(bucket, value)
  }
  for (const [key, byBucket] of panes) {
    const value = countAt(operator.layout, (bucket) => byBucket.get(bucket), T, windowMs)
    if (value !== 0) yield { feature, entity, key, value }
  }
}

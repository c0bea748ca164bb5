// Counts of windowedCount operators as features: their values at a time, read from snapshots (contract.md, section 3).

import { spanOf } from '../../operators/tiles.ts'
import {
  bucketsFor,
  countAt,
  heldFrom,
  PANES_STORE,
  type Panes,
  panesAt,
  type WindowedCount,
} from '../../operators/windowed-count.ts'
import type { ExplainedValue } from '../../sinks/feature-reads.ts'
import type { ReadSnapshot } from '../../state/read-snapshot.ts'
import type { NodePlan } from '../plan.ts'
import {
  type FeatureListing,
  type FeaturePlan,
  type ListedValue,
  largest,
  type TopBounds,
  type TopCounts,
  type ValuesAsk,
} from './feature-plan.ts'
import { EXPLAINED_PANES_MAX } from './value-explanation.ts'

/** Where the panes of a count are. */
interface Place {
  /** Name of the store in the stage's state. */
  readonly store: string
  readonly windowMs: number
  readonly layout: WindowedCount<unknown>['layout']
}

/** The feature of a windowedCount, as a listing of its own; null for another operator. */
export function countedListing(stage: string, node: NodePlan): FeatureListing | null {
  if (!('feature' in node.operator && 'layout' in node.operator)) return null
  const operator = node.operator as WindowedCount<unknown>
  const { feature, entity, layout, mode } = operator
  const store = node.stores[operator.stores.findIndex(({ name }) => name === PANES_STORE)]!.name
  const windowMs = Math.max(...operator.windowsMs)
  const place: Place = { store, windowMs, layout }
  const plan: FeaturePlan = {
    ...{ feature, entity, stage, type: 'float', windowMs, mode, paneMs: layout.paneMs },
    ...{ description: feature, owner: null, how: 'count', bytesMax: null },
    nothing: 0,
    completeFrom: () => 0,
    routeOf: (key) => key,
    earliestAt: ({ snapshot }) => heldFrom(layout, snapshot.lowestBucket(store), windowMs),
    valuesOf: ({ snapshot }, asks) => valuesOf(snapshot, place, asks),
    explain: ({ snapshot }, key, T) => explain(snapshot, place, { name: `${entity}.${feature}`, key }, T),
    topAt: ({ snapshot }, T, bounds) => topAt(snapshot, place, T, bounds),
  }
  return { stage, features: [plan], valuesAt: ({ snapshot }, T) => valuesAt(snapshot, place, T) }
}

/** For each ask the values of its keys in their order, all by one read. `snapshot`: of the task that has them. Throws SnapshotGone. */
async function valuesOf(
  snapshot: ReadSnapshot,
  { store, windowMs, layout }: Place,
  asks: readonly ValuesAsk[],
): Promise<number[][]> {
  const wanted: (readonly [bucket: number, key: string])[] = []
  const places = asks.map(({ keys, T }) => {
    const buckets = bucketsFor(layout, T, windowMs)
    const first = wanted.length
    for (const key of keys) for (const bucket of buckets) wanted.push([bucket, key])
    return { first, buckets }
  })
  const panes = await snapshot.multiGet<Panes>(store, wanted)
  return asks.map(({ keys, T }, a) => {
    const { first, buckets } = places[a]!
    return keys.map((_, i) => {
      const ofKey = first + i * buckets.length - buckets[0]!
      return countAt(layout, (bucket) => panes[ofKey + bucket], T, windowMs)
    })
  })
}

/** What the count of a key is made of. Throws SnapshotGone. */
async function explain(
  snapshot: ReadSnapshot,
  { store, windowMs, layout }: Place,
  { name, key }: { readonly name: string; readonly key: string },
  T: number,
): Promise<ExplainedValue[]> {
  const buckets = bucketsFor(layout, T, windowMs)
  const found = await snapshot.multiGet<Panes>(
    store,
    buckets.map((bucket) => [bucket, key]),
  )
  const newest = panesAt(layout, (bucket) => found[bucket - buckets[0]!], T, windowMs).reverse()
  const { from, to } = spanOf({ lengthMs: windowMs, paneMs: layout.paneMs }, T)
  const panes = newest.slice(0, EXPLAINED_PANES_MAX).map(({ start, count }) => ({
    ...{ start, widthMs: layout.paneMs, parts: [{ what: 'count', value: count, ids: [] }] },
  }))
  const value = newest.reduce((sum, { count }) => sum + count, 0)
  const complete = panes.length === newest.length
  return [{ feature: name, how: 'count', value, default: null, from, to, panes, entries: [], complete }]
}

/** The k keys with the largest values at T. Looks at entriesMax entries at most, the newest bucket first. Throws SnapshotGone. */
async function topAt(
  snapshot: ReadSnapshot,
  { store, windowMs, layout }: Place,
  T: number,
  { k, entriesMax }: TopBounds,
): Promise<TopCounts> {
  const counts = new Map<string, number>()
  let scanned = 0
  let complete = true
  for (const wanted of bucketsFor(layout, T, windowMs).reverse()) {
    for await (const [, key, panes] of snapshot.scan<Panes>(store, wanted, wanted + 1)) {
      if (scanned === entriesMax) {
        complete = false
        break
      }
      scanned++
      const count = countAt(layout, (bucket) => (bucket === wanted ? panes : undefined), T, windowMs)
      if (count !== 0) counts.set(key, (counts.get(key) ?? 0) + count)
    }
    if (!complete) break
  }
  return { top: largest(counts, k), scanned, complete }
}

/** Every key with a value other than zero at T, in the order of (bucket, key). */
async function* valuesAt(
  snapshot: ReadSnapshot,
  { store, windowMs, layout }: Place,
  T: number,
): AsyncIterable<ListedValue> {
  const buckets = bucketsFor(layout, T, windowMs)
  const panes = new Map<string, Map<number, Panes>>()
  for await (const [bucket, key, value] of snapshot.scan<Panes>(store, buckets[0]!, buckets.at(-1)! + 1)) {
    const ofKey = panes.get(key)
    if (ofKey === undefined) panes.set(key, new Map([[bucket, value]]))
    else ofKey.set(bucket, value)
  }
  for (const [key, byBucket] of panes) {
    const value = countAt(layout, (bucket) => byBucket.get(bucket), T, windowMs)
    if (value !== 0) yield { place: 0, key, value }
  }
}

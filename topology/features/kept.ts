// Declared features as they are read: from the records of feature groups, values that are derived computed there and then.
// KF1: a value at T is of the record of its key in one snapshot; what is derived is computed of values of the same T and record.
// KF2: whether a key is listed follows from its events in the windows, not from whether its record is still there: how long it
//      is depends on which other keys its task has. So a key is listed for what is derived, such as a share drawn to what is
//      usual, only where something that it is derived of says something.

import { assert } from '../../log/errors.ts'
import { compileExpressions, type ExpressionsRunner, type Maybe } from '../../operators/expression.ts'
import { type FeatureGroup, generationsOf, type KeyRecord, RECORDS_STORE } from '../../operators/feature-record.ts'
import { asMaybe, completeFrom, type FeatureValue, saysNothingAs0, seenValue } from '../../operators/feature-values.ts'
import { interpretExpressions } from '../../operators/interpreter.ts'
import type { Operator } from '../../operators/operator.ts'
import type { ExplainedValue } from '../../sinks/feature-reads.ts'
import type { ReadSnapshot } from '../../state/read-snapshot.ts'
import { type EditionState, seenAfterOf } from '../edition.ts'
import type { StagePlan } from '../plan.ts'
import type { CompiledFeature, CompiledFeatures, CompiledGroup } from './compile.ts'
import { costsOf } from './costs.ts'
import type { EntityDeclaration } from './declaration.ts'
import {
  type Counted,
  type FeatureListing,
  type FeaturePlan,
  type ListedValue,
  largest,
  type ReadValue,
  saysSomething,
  type TopBounds,
  type TopCounts,
  type ValuesAsk,
  type View,
} from './feature-plan.ts'
import { madeOfRecord, OF_OTHERS } from './value-explanation.ts'
import { valueText } from './wording.ts'

/** Records that a scan for the largest looks at: each is ten times what an entry of a count is, so it takes some tenths of a second. */
export const TOP_RECORDS_MAX = 20_000

/** How expressions of a plan are computed. */
export function runnerOf({ uses }: Pick<CompiledFeatures, 'uses'>): ExpressionsRunner {
  return uses.has('generate') ? compileExpressions : interpretExpressions
}

/** An operator that keeps a group, with what all groups are read as. What is read does not change what is kept. */
export interface GroupOperator<In, Out> extends Operator<In, Out> {
  readonly compiled: CompiledFeatures
  readonly group: number
}

/** Marks an operator as the one that keeps a group. */
export function keeping<In, Out>(
  operator: Operator<In, Out>,
  compiled: CompiledFeatures,
  group: CompiledGroup,
): GroupOperator<In, Out> {
  return { ...operator, compiled, group: compiled.groups.indexOf(group) }
}

/** A group in a stage: its records, and where they are. */
export interface KeptGroup {
  readonly group: FeatureGroup
  readonly store: string
}

/** What there is in a stage to read of. */
interface Kept {
  readonly byId: ReadonlyMap<string, CompiledFeature>
  readonly kept: ReadonlyMap<number, KeptGroup>
  readonly expressions: ExpressionsRunner
  /** Those of all groups of the plan. */
  readonly entities: readonly EntityDeclaration[]
  /** Of a key's record that is kept for a feature, at most, by its id. */
  readonly bytes: ReadonlyMap<string, number>
}

/** The groups that a stage keeps, by their places among the compiled ones; null where it keeps none. */
export function keptGroups(
  stage: StagePlan,
): { readonly compiled: CompiledFeatures; readonly kept: ReadonlyMap<number, KeptGroup> } | null {
  const kept = new Map<number, KeptGroup>()
  let compiled: CompiledFeatures | null = null
  for (const { operator, stores } of stage.nodes) {
    if (!('compiled' in operator)) continue
    const one = operator as GroupOperator<unknown, unknown>
    const { group } = one.compiled.groups[one.group]!
    const store = stores[one.stores.findIndex(({ name }) => name === RECORDS_STORE)]!.name
    kept.set(one.group, { group, store })
    compiled = one.compiled
  }
  return compiled === null ? null : { compiled, kept }
}

/** The declared features that are kept in a stage, those of the same records together. */
export function keptListings(stage: StagePlan): FeatureListing[] {
  const keeps = keptGroups(stage)
  if (keeps === null) return []
  const { kept } = keeps
  const { features, groups } = keeps.compiled
  const own = features.filter(({ entity }) => [...kept.keys()].some((index) => groups[index]!.entity.name === entity))
  const byId = new Map(own.map((feature) => [feature.id, feature]))
  const entities = groups.map(({ entity }) => entity)
  const bytes = new Map(costsOf(keeps.compiled).features.map((cost) => [cost.feature, Math.ceil(cost.bytes)]))
  const all: Kept = { byId, kept, expressions: runnerOf(keeps.compiled), entities, bytes }
  const listed = own.filter(({ copyFor }) => copyFor === null)
  const readers = [...Map.groupBy(listed, (feature) => new Reader([feature], all).groups).values()]
  return readers.map((features) => {
    const reader = new Reader(features, all)
    const plans = features.map((feature) => planOf(feature, all, stage.name))
    return { stage: stage.name, features: plans, valuesAt: (view, T) => reader.valuesAt(view, T) }
  })
}

function planOf(feature: CompiledFeature, all: Kept, stage: string): FeaturePlan {
  const reader = new Reader([feature], all)
  const { name, entity, type, how } = feature
  const window = how.kind === 'kept' && 'window' in how.reading ? how.reading.window : null
  const declared = all.entities.find((other) => other.name === entity)!
  return {
    ...{ feature: name, entity, stage, type },
    windowMs: window?.lengthMs ?? null,
    mode: window === null ? null : 'panes',
    paneMs: window?.paneMs ?? null,
    ...{ description: feature.declaration.description, owner: feature.declaration.owner },
    how: valueText(feature, { entities: all.entities }),
    bytesMax: all.bytes.get(feature.id)!,
    nothing: how.kind === 'kept' && saysNothingAs0(how.reading) && feature.since === undefined ? 0 : null,
    completeFrom: (edition) => reader.completeFrom(edition),
    routeOf: (key) => routeOf(declared, key),
    earliestAt: (view) => reader.earliestAt(view),
    valuesOf: (view, asks) => reader.valuesOf(view, asks),
    explain: (view, key, T) => reader.explain(view, key, T),
    topAt: isRanked(feature) ? (view, T, bounds) => reader.topAt(view, T, bounds) : null,
  }
}

/** Whether its keys have an order by value: numbers over a window, which a scan of its records says. */
function isRanked({ type, how }: CompiledFeature): boolean {
  return type === 'float' && how.kind === 'kept' && 'window' in how.reading
}

/** What decides the partition: a part of the key, or null where the key does not say it. */
export function routeOf({ key: fields, partition }: EntityDeclaration, key: string): string | null {
  const place = fields.indexOf(partition)
  if (place === -1) return null
  if (fields.length === 1) return key
  try {
    const parts: unknown = JSON.parse(key)
    const part = Array.isArray(parts) ? parts[place] : undefined
    return typeof part === 'string' ? part : key
  } catch {
    // Nobody has such a key: any partition says so.
    return key
  }
}

type Records = ReadonlyMap<number, KeyRecord | undefined>

/** Reads features, and what they are derived of. */
class Reader {
  /** The features and what they are derived of, each after what it needs. */
  readonly #needed: readonly CompiledFeature[]
  readonly #wanted: readonly Wanted[]
  readonly #groups: ReadonlyMap<number, KeptGroup>
  readonly #derive: ReadonlyMap<string, (features: Readonly<Record<string, Maybe>>) => Maybe>

  readonly #entities: readonly EntityDeclaration[]

  constructor(features: readonly CompiledFeature[], { byId, kept, expressions, entities }: Kept) {
    this.#entities = entities
    this.#needed = neededFor(features, byId)
    this.#wanted = features.map((feature) => wantedOf(feature, this.#needed, byId))
    const indexes = new Set(this.#needed.flatMap(({ how }) => (how.kind === 'kept' ? [how.group] : [])))
    this.#groups = new Map([...indexes].map((index) => [index, kept.get(index)!]))
    this.#derive = new Map(
      this.#needed.flatMap(({ id, how }) => {
        if (how.kind === 'kept') return []
        const run = expressions([how.expression])
        return [[id, (features: Readonly<Record<string, Maybe>>) => run({ features })[0]] as const]
      }),
    )
  }

  /** Which records are read, as a name. */
  get groups(): string {
    return [...this.#groups.keys()].sort().join(' ')
  }

  /** What is derived is complete when all that it is made of is. */
  completeFrom(edition: EditionState | null): number | null {
    const times = this.#needed.map((feature) => completeSince(feature, edition))
    return times.includes(null) ? null : Math.max(...(times as number[]))
  }

  /** Windows are whole for the time that a group looks back; what came last is known for now only. */
  earliestAt({ watermark, asOf }: View): number {
    if (this.#needed.some(({ how }) => how.kind === 'kept' && 'list' in how.reading)) return Math.max(0, asOf)
    const looksBackMs = Math.min(...[...this.#groups.values()].map(({ group }) => group.lookbackMs))
    return Math.max(0, watermark - looksBackMs)
  }

  async valuesOf(view: View, asks: readonly ValuesAsk[]): Promise<ReadValue[][]> {
    const records = await this.#recordsOf(
      view,
      asks.flatMap(({ keys }) => keys),
    )
    let place = 0
    return asks.map(({ keys, T }) =>
      keys.map(() => this.#valuesAt(records(place++), view.edition, T).at(-1)?.value ?? null),
    )
  }

  async explain(view: View, key: string, T: number): Promise<ExplainedValue[]> {
    const records = (await this.#recordsOf(view, [key]))(0)
    return this.#valuesAt(records, view.edition, T).map(({ feature, value = null }) => {
      const { id, how, declaration } = feature
      return {
        feature: id,
        how: valueText(feature, { entities: this.#entities }),
        value,
        default: declaration.default ?? null,
        ...(how.kind === 'kept'
          ? madeOfRecord(this.#groups.get(how.group)!.group, how.reading, records.get(how.group), T)
          : OF_OTHERS),
      }
    })
  }

  /** The records of keys, by the places of those, all by one read. */
  async #recordsOf({ snapshot }: View, keys: readonly string[]): Promise<(place: number) => Records> {
    const found = await Promise.all(
      [...this.#groups].map(async ([index, { store }]) => {
        const buckets = generationsOf(snapshot.lowestBucket(store))
        const wanted = keys.flatMap((key) => buckets.map((bucket) => [bucket, key] as const))
        const values = await snapshot.multiGet<KeyRecord>(store, wanted)
        return [index, (place: number) => firstOf(values, place * buckets.length, buckets.length)] as const
      }),
    )
    return (place) => new Map(found.map(([index, recordAt]) => [index, recordAt(place)]))
  }

  async *valuesAt({ snapshot, edition }: View, T: number): AsyncIterable<ListedValue> {
    for await (const [key, records] of this.#records(snapshot)) {
      const values = this.#valuesAt(records, edition, T)
      for (const [place, { at, keptAt }] of this.#wanted.entries()) {
        const { value } = values[at]!
        // KF2.
        if (saysSomething(value) && keptAt.some((i) => saysSomething(values[i]!.value))) yield { place, key, value }
      }
    }
  }

  /** Of one feature, whose values are numbers kept in one group. Those of what came lately are looked at first. */
  async topAt({ snapshot, edition }: View, T: number, { k, entriesMax }: TopBounds): Promise<TopCounts> {
    const [{ how, since = 1 }] = this.#needed as [CompiledFeature]
    assert(how.kind === 'kept' && this.#needed.length === 1, 'what is derived has no list of the largest')
    const { store } = this.#groups.get(how.group)!
    const recordsMax = Math.min(entriesMax, TOP_RECORDS_MAX)
    const values: Counted[] = []
    let scanned = 0
    for (const bucket of generationsOf(snapshot.lowestBucket(store))) {
      for await (const [, key, record] of snapshot.scan<KeyRecord>(store, bucket, bucket + 1)) {
        if (scanned === recordsMax) return { top: largest(values, k), scanned, complete: false }
        scanned++
        const value = seenValue(how.reading, record, T, seenAfterOf(edition, since))
        if (typeof value === 'number' && saysSomething(value)) values.push([key, value])
      }
    }
    return { top: largest(values, k), scanned, complete: true }
  }

  /** All keys with what each group has of them: of one group as they come, of several only when all are there. */
  async *#records(snapshot: ReadSnapshot): AsyncIterable<readonly [key: string, records: Records]> {
    const byKey = new Map<string, Map<number, KeyRecord>>()
    for (const [index, { store }] of this.#groups) {
      const [highest, lowest] = generationsOf(snapshot.lowestBucket(store))
      for await (const [, key, record] of snapshot.scan<KeyRecord>(store, lowest, highest + 1)) {
        if (this.#groups.size === 1) yield [key, new Map([[index, record]])]
        else byKey.set(key, (byKey.get(key) ?? new Map<number, KeyRecord>()).set(index, record))
      }
    }
    yield* byKey
  }

  /** KF1. Of all that is needed for the features; of one feature its own is the last. */
  #valuesAt(
    records: Records,
    edition: EditionState | null,
    T: number,
  ): { readonly feature: CompiledFeature; readonly value: FeatureValue | undefined }[] {
    const values: Record<string, Maybe> = {}
    return this.#needed.map((feature) => {
      const { id, how, since = 1 } = feature
      const value =
        how.kind === 'kept'
          ? seenValue(how.reading, records.get(how.group), T, seenAfterOf(edition, since))
          : numberOrText(this.#derive.get(id)!(values))
      values[id] = asMaybe(value)
      return { feature, value }
    })
  }
}

/** From when what is kept is complete; 0: always; null: not known yet. What is not kept says nothing about that. */
function completeSince({ how, since = 1 }: CompiledFeature, edition: EditionState | null): number | null {
  const seenAfterMs = seenAfterOf(edition, since)
  return how.kind !== 'kept' ? 0 : seenAfterMs === null ? null : completeFrom(how.reading, seenAfterMs)
}

/** Where among all that is needed a feature is, and what is kept of all that it is made of. */
interface Wanted {
  readonly at: number
  readonly keptAt: readonly number[]
}

function wantedOf(
  feature: CompiledFeature,
  needed: readonly CompiledFeature[],
  byId: ReadonlyMap<string, CompiledFeature>,
): Wanted {
  const kept = neededFor([feature], byId).filter(({ how }) => how.kind === 'kept')
  return { at: needed.indexOf(feature), keptAt: kept.map((one) => needed.indexOf(one)) }
}

/** Features after all that they are derived of. */
function neededFor(
  features: readonly CompiledFeature[],
  byId: ReadonlyMap<string, CompiledFeature>,
): CompiledFeature[] {
  const needed = new Map<string, CompiledFeature>()
  const add = (one: CompiledFeature): void => {
    if (needed.has(one.id)) return
    if (one.how.kind === 'derived') {
      for (const id of one.how.needs) {
        const other = byId.get(id)
        assert(other !== undefined, `${one.id} is derived of ${id}, which the plan keeps in the same stage`)
        add(other)
      }
    }
    needed.set(one.id, one)
  }
  features.forEach(add)
  return [...needed.values()]
}

export function firstOf<T>(values: readonly (T | undefined)[], from: number, count: number): T | undefined {
  for (let i = from; i < from + count; i++) if (values[i] !== undefined) return values[i]
  return undefined
}

/** Of type number or text: checked when it was declared. */
function numberOrText(value: Maybe): number | string | undefined {
  assert(typeof value !== 'boolean', 'no feature is a truth value')
  return value
}

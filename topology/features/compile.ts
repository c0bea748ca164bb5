// From all declarations together to what runs: per stage the groups of keys that are kept, and for each feature how it is read.
// CP1: a rule changes what it costs and never a value: the property test compares with a naive interpreter, whole and with each
//      rule off (test/features/).
// CP2: the plan is canonical: the same declarations in any order, or said in another way, give the same groups.
// CP3: each rule counts how often it applied; `holdfast explain` prints that.

import stringify from 'fast-json-stable-stringify'
import { assert } from '../../log/errors.ts'
import type { EventType } from '../../operators/event.ts'
import { canonical, type Expression, featuresIn } from '../../operators/expression.ts'
import type { FeatureGroup, GroupList, GroupPart } from '../../operators/feature-record.ts'
import type { Reading } from '../../operators/feature-values.ts'
import type { PartSpec } from '../../operators/parts.ts'
import { ladderOf, type TileWindow } from '../../operators/tiles.ts'
import { costsOf } from './costs.ts'
import {
  checkDeclarations,
  type Declarations,
  derivationOf,
  type EntityDeclaration,
  type FeatureDeclaration,
  type FeatureType,
  featureId,
  isContext,
  isDerived,
  isWindowed,
  type LatestFeature,
  namesOf,
  paneMsOf,
  type WindowedFeature,
  windowMsOf,
} from './declaration.ts'
import { checkPurposes } from './purposes.ts'
import { checkQuotas } from './quotas.ts'
import { runningFirings } from './running-rules.ts'

/** What the compiler may do; each can be left out, to see what it brings. */
export const RULES = {
  share: 'equal parts of several features are kept once',
  windows: 'all windows of an aggregate share their tiles',
  decompose: 'averages and variances are kept as sums and counts that others may share',
  fuse: 'everything about one key is one record: one read and one write for an event',
  prune: 'what nothing reads is not kept',
  late: 'derived values are computed when they are read, of what is kept already',
  dispatch: 'an event is looked at once for all records of a stage, and a filter of several is asked once',
  generate: 'keys, filters, inputs and derivations are generated code',
  preaggregate: 'events of one key that come together find its record once',
  columns: 'to another stage only those fields of an event travel that something there reads',
} as const
export type RuleName = keyof typeof RULES
export const RULE_NAMES = Object.keys(RULES) as readonly RuleName[]
export type Firings = Readonly<Record<RuleName, number>>

/**
 * One feature, as it is read. `derived`: an expression over ids of features of the same entity. `context`: one over the fields
 * of the touch for which a vector is taken.
 */
export interface CompiledFeature {
  readonly id: string
  readonly entity: string
  readonly name: string
  readonly type: FeatureType
  readonly declaration: FeatureDeclaration
  /** Without the rule `late`: the derived feature of which it is a part that nobody else has. null: a feature of its own. */
  readonly copyFor: string | null
  /** Of what is kept: the edition of the ledger since which it is; not given: the first. */
  readonly since?: number
  readonly how:
    | { readonly kind: 'kept'; readonly group: number; readonly reading: Reading }
    | { readonly kind: 'derived'; readonly expression: Expression; readonly needs: readonly string[] }
    | { readonly kind: 'context'; readonly expression: Expression }
}

export interface CompiledGroup {
  readonly entity: EntityDeclaration
  readonly group: FeatureGroup
}

export interface CompiledFeatures {
  readonly groups: readonly CompiledGroup[]
  readonly features: readonly CompiledFeature[]
  /** The rules that it was compiled with. */
  readonly uses: ReadonlySet<RuleName>
  readonly firings: Firings
}

export interface CompileOptions {
  /** Rules that are not used. */
  readonly without?: readonly RuleName[]
  /** Ids of the features that somebody reads; not given: all. */
  readonly served?: readonly string[]
}

/** How long before the watermark a window can still be asked for: reads of the last hour's past, and late touches. */
export const LOOKBACK_MS = 3_600_000

/** Compiles declarations. Throws USAGE where one has no meaning, flows where it must not (purposes.ts) or keeps too much (quotas.ts). */
export function compileFeatures(declarations: Declarations, options: CompileOptions = {}): CompiledFeatures {
  const types = checkDeclarations(declarations)
  checkPurposes(declarations)
  const rules = new Rules(options.without ?? [])
  const wanted = wantedBy(declarations.features, options.served, rules)
  const plan = new PlanBuilder(declarations, types, rules)
  for (const declaration of declarations.features) {
    namesOf(declaration).forEach((name, i) => {
      if (wanted.has(featureId(declaration.entity, name))) plan.add(declaration, i)
    })
  }
  const { groups, features } = plan.done()
  rules.firedTimes(runningFirings(groups))
  const compiled: CompiledFeatures = { groups, features, uses: rules.used, firings: rules.firings }
  // Without a rule it is not what would run.
  if (rules.usesAll) checkQuotas(declarations, costsOf(compiled))
  return compiled
}

/** Of a copy: the derived feature that it is made for. */
interface CopyOf {
  readonly id: string
  /** Ends the id of every copy that is made for it. */
  readonly suffix: string
}

/** Gathers what declarations become. */
class PlanBuilder {
  readonly #entities: readonly EntityDeclaration[]
  readonly #types: ReadonlyMap<string, FeatureType>
  readonly #rules: Rules
  readonly #declared = new Map<string, readonly [FeatureDeclaration, number]>()
  readonly #builders = new Map<string, GroupBuilder>()
  readonly #features = new Map<string, CompiledFeature>()

  constructor({ entities, features }: Declarations, types: ReadonlyMap<string, FeatureType>, rules: Rules) {
    this.#entities = entities
    this.#types = types
    this.#rules = rules
    for (const feature of features) {
      namesOf(feature).forEach((name, i) => {
        this.#declared.set(featureId(feature.entity, name), [feature, i])
      })
    }
  }

  /** Adds the feature of a declaration's window, or a copy of it. Gives its id. */
  add(declaration: FeatureDeclaration, window: number, copy: CopyOf | null = null): string {
    const { entity } = declaration
    const name = namesOf(declaration)[window]!
    const id = `${featureId(entity, name)}${copy?.suffix ?? ''}`
    if (this.#features.has(id)) return id
    const of = { id, entity, name, type: this.#types.get(featureId(entity, name))!, declaration }
    const how = this.#howOf(declaration, window, copy ?? { id, suffix: ` for ${id}` }, copy !== null)
    this.#features.set(id, { ...of, copyFor: copy?.id ?? null, how })
    return id
  }

  #howOf(declaration: FeatureDeclaration, window: number, owner: CopyOf, isCopy: boolean): CompiledFeature['how'] {
    if (isContext(declaration)) return { kind: 'context', expression: canonical(declaration.context) }
    if (isDerived(declaration)) {
      const expression = canonical(derivationOf(declaration))
      if (this.#rules.uses('late')) {
        this.#rules.fired('late')
        return { kind: 'derived', expression, needs: featuresIn(expression) }
      }
      // Nobody knows that others keep the same: it keeps all that it is made of itself.
      const copies = new Map(featuresIn(expression).map((id) => [id, this.add(...this.#declared.get(id)!, owner)]))
      return { kind: 'derived', expression: renamed(expression, copies), needs: [...copies.values()] }
    }
    const builder = this.#builderFor(this.#rules.uses('fuse') ? declaration.entity : owner.id)
    const own = isCopy ? owner.id : null
    const reading = isWindowed(declaration)
      ? builder.windowed(declaration, windowOfName(declaration, window), { id: owner.id, own })
      : builder.latest(declaration, { id: owner.id, own })
    return { kind: 'kept', group: builder.index, reading }
  }

  /** One record for all that is known of a key, or, without the rule `fuse`, one for each feature. */
  #builderFor(place: string): GroupBuilder {
    const known = this.#builders.get(place)
    if (known !== undefined) {
      this.#rules.fired('fuse')
      return known
    }
    const builder = new GroupBuilder(this.#builders.size, this.#rules)
    this.#builders.set(place, builder)
    return builder
  }

  done(): Pick<CompiledFeatures, 'groups' | 'features'> {
    const groups = [...this.#builders].map(([place, builder]) => {
      const name = place.split('.')[0]!
      const entity = this.#entities.find((other) => other.name === name)
      assert(entity !== undefined, 'declarations are checked')
      return { entity, ...builder.done(entity) }
    })
    return { groups, features: [...this.#features.values()].map((feature) => inOrder(feature, groups)) }
  }
}

/** The expression with other features in the places of those that it names. */
function renamed(expression: Expression, names: ReadonlyMap<string, string>): Expression {
  if ('feature' in expression) return { feature: names.get(expression.feature)! }
  return 'op' in expression
    ? { op: expression.op, args: expression.args.map((arg) => renamed(arg, names)) }
    : expression
}

/** CP2. A feature with the places of its parts in the finished group. */
function inOrder(feature: CompiledFeature, groups: readonly Numbered[]): CompiledFeature {
  if (feature.how.kind !== 'kept') return feature
  const { group, reading } = feature.how
  const { partPlaces, listPlaces } = groups[group]!
  const places = { part: partPlaces, sum: partPlaces, count: partPlaces, squares: partPlaces, list: listPlaces }
  const moved = Object.entries(reading).map(([name, value]) =>
    name in places ? [name, places[name as keyof typeof places][value as number]] : [name, value],
  )
  return { ...feature, how: { kind: 'kept', group, reading: Object.fromEntries(moved) as Reading } }
}

/** Where each part and list went, by the order in which they were added. */
interface Numbered {
  readonly partPlaces: readonly number[]
  readonly listPlaces: readonly number[]
}

function windowOfName({ windows }: WindowedFeature, index: number): TileWindow {
  const lengthMs = windowMsOf(windows[index]!)
  return { lengthMs, paneMs: paneMsOf(lengthMs) }
}

/** Ids of what is served, and of what that is derived of. */
function wantedBy(
  features: readonly FeatureDeclaration[],
  served: readonly string[] | undefined,
  rules: Rules,
): ReadonlySet<string> {
  const ids = features.flatMap((feature) => namesOf(feature).map((name) => featureId(feature.entity, name)))
  if (served === undefined || !rules.uses('prune')) return new Set(ids)
  const wanted = new Set(served)
  // Whatever a feature is derived of was declared before it.
  for (const feature of [...features].reverse()) {
    if (!rules.uses('late') || !isDerived(feature) || !wanted.has(featureId(feature.entity, feature.name))) continue
    for (const id of featuresIn(derivationOf(feature))) wanted.add(id)
  }
  for (const id of ids) if (!wanted.has(id)) rules.fired('prune')
  return wanted
}

class Rules {
  readonly #without: ReadonlySet<RuleName>
  readonly #fired = new Map<RuleName, number>()

  constructor(without: readonly RuleName[]) {
    this.#without = new Set(without)
  }

  uses(rule: RuleName): boolean {
    return !this.#without.has(rule)
  }

  get usesAll(): boolean {
    return this.#without.size === 0
  }

  get used(): ReadonlySet<RuleName> {
    return new Set(RULE_NAMES).difference(this.#without)
  }

  fired(rule: RuleName): void {
    this.firedTimes({ [rule]: 1 })
  }

  /** Counts those of the rules that are used. */
  firedTimes(times: Partial<Firings>): void {
    for (const [rule, count] of Object.entries(times) as [RuleName, number][])
      if (this.uses(rule)) this.#fired.set(rule, (this.#fired.get(rule) ?? 0) + count)
  }

  get firings(): Firings {
    return Object.fromEntries(RULE_NAMES.map((rule) => [rule, this.#fired.get(rule) ?? 0])) as Firings
  }
}

/** A part or list while features are still being added: equal ones are one, under the text of their canonical form. */
interface Kept<T> {
  readonly value: T
  readonly text: string
  readonly index: number
}

/** For whom a part is added. */
interface Owner {
  readonly id: string
  /** That it is for nobody else; null: whoever needs the same may share it. */
  readonly own: string | null
}

/** Gathers what is kept for the keys of one entity. */
class GroupBuilder {
  readonly index: number
  readonly #rules: Rules
  readonly #parts = new Map<string, Kept<Omit<GroupPart, 'ladder'>> & { readonly windows: TileWindow[] }>()
  readonly #lists = new Map<string, Kept<GroupList>>()

  constructor(index: number, rules: Rules) {
    this.index = index
    this.#rules = rules
  }

  windowed({ events, aggregate }: WindowedFeature, window: TileWindow, { id, own: alone }: Owner): Reading {
    const { fn } = aggregate
    const of = 'of' in aggregate ? canonical(aggregate.of) : null
    const add = (spec: PartSpec, what: Expression | null, own = false): number =>
      this.#addPart({ spec, ...selectionOf(events), of: what }, window, own ? id : alone)
    if (fn === 'count') return { fn, part: add({ kind: 'count' }, null), window }
    if (fn === 'distinct') return { fn, part: add({ kind: 'distinct' }, of), window }
    if (fn === 'top') return { fn, part: add({ kind: 'tally' }, of), window, length: aggregate.length }
    const { scale } = aggregate
    if (fn === 'sum' || fn === 'least' || fn === 'greatest')
      return { fn, part: add({ kind: fn, scale }, of), window, scale }
    const own = !this.#rules.uses('decompose')
    if (!own) this.#rules.fired('decompose')
    const sum = add({ kind: 'sum', scale }, of, own)
    const count = add({ kind: 'values', scale }, of, own)
    if (fn === 'average') return { fn, sum, count, window, scale }
    return { fn, sum, count, squares: add({ kind: 'squares', scale }, of, own), window, scale }
  }

  latest({ events, aggregate, within }: LatestFeature, { id, own }: Owner): Reading {
    const withinMs = windowMsOf(within)
    const length = aggregate.fn === 'last_ids' ? aggregate.length : 1
    const of: Expression = 'of' in aggregate ? canonical(aggregate.of) : { constant: 0 }
    const list = this.#addList({ ...selectionOf(events), of, length, keptMs: withinMs }, id, own)
    return aggregate.fn === 'last_ids'
      ? { fn: aggregate.fn, list, withinMs, length }
      : { fn: aggregate.fn, list, withinMs }
  }

  #addPart(value: Omit<GroupPart, 'ladder'>, window: TileWindow, owner: string | null): number {
    const shared = this.#rules.uses('share') ? owner : `${this.#parts.size}`
    const own = this.#rules.uses('windows') ? null : window
    const text = stringify([value, shared, own])
    const known = this.#parts.get(text)
    if (known !== undefined) {
      this.#rules.fired(stringify(known.windows[0]) === stringify(window) ? 'share' : 'windows')
      known.windows.push(window)
      return known.index
    }
    const index = this.#parts.size
    this.#parts.set(text, { value, text, index, windows: [window] })
    return index
  }

  #addList(value: GroupList, id: string, own: string | null): number {
    const text = stringify([value, this.#rules.uses('share') ? own : id])
    const known = this.#lists.get(text)
    if (known !== undefined) {
      this.#rules.fired('share')
      return known.index
    }
    const index = this.#lists.size
    this.#lists.set(text, { value, text, index })
    return index
  }

  done({ name, key }: EntityDeclaration): Numbered & { readonly group: FeatureGroup } {
    const fields = key.map((field): Expression => ({ field, as: 'text' }))
    const [parts, lists] = [byText(this.#parts), byText(this.#lists)]
    const group = {
      entity: name,
      key: fields.length === 1 ? fields[0]! : { op: 'cross' as const, args: fields },
      lookbackMs: LOOKBACK_MS,
      parts: parts.map(({ value, windows }) => ({ ...value, ladder: ladderOf(windows) })),
      lists: lists.map(({ value }) => value),
    }
    return { group, partPlaces: placesOf(parts), listPlaces: placesOf(lists) }
  }
}

function byText<K extends Kept<unknown>>(kept: ReadonlyMap<string, K>): K[] {
  return [...kept.values()].sort((a, b) => (a.text < b.text ? -1 : 1))
}

function placesOf(sorted: readonly Kept<unknown>[]): number[] {
  const places: number[] = []
  sorted.forEach(({ index }, place) => {
    places[index] = place
  })
  return places
}

/** A selection in a form of its own: equal forms select the same events. */
export function selectionOf({ types, where }: WindowedFeature['events']): {
  types: EventType[]
  where: Expression | null
} {
  return { types: [...new Set(types)].sort(), where: where === undefined ? null : canonical(where) }
}

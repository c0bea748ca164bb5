// What an engineer writes to have a feature: data, never a pipeline. What becomes of all declarations together is compile.ts.
// DC1: a declaration names nothing that does not exist and means nothing that its types do not allow; else it is refused, with its
//      name and what would be right, before any event comes.
// DC2: a feature is known by entity and name; a declaration with windows makes one feature of each, `<name>_<window>`.

import { HoldfastError } from '../../log/errors.ts'
import { durationMs, UNIT_MS } from '../../operators/duration.ts'
import type { EventType } from '../../operators/event.ts'
import { EVENT_TYPES } from '../../operators/event.ts'
import {
  type Expression,
  ExpressionFault,
  featuresIn,
  fieldsOf,
  typeOf,
  type ValueType,
} from '../../operators/expression.ts'

/** Something that events are about and features are kept for. */
export interface EntityDeclaration {
  readonly name: string
  /** Fields of the event whose texts together are the key: one, or several for a cross. */
  readonly key: readonly string[]
  /** The field that decides the partition: equal keys have equal ones. Entities with the same one share a stage. */
  readonly partition: string
}

/** What a value may be used for; each allows those before it. */
export const PURPOSES = ['measurement', 'personalised_ads', 'sharing'] as const
export type Purpose = (typeof PURPOSES)[number]
/** How close to a person; a value is at least as close as what it is made of. */
export const SENSITIVITIES = ['none', 'personal', 'special'] as const
export type Sensitivity = (typeof SENSITIVITIES)[number]

export const FEATURE_TYPES = ['float', 'id', 'id_list', 'weighted_id_list'] as const
export type FeatureType = (typeof FEATURE_TYPES)[number]

/** The events that a feature is made of. */
export interface EventSelection {
  readonly types: readonly EventType[]
  readonly where?: Expression
}

export type WindowName = `${number}${'m' | 'h' | 'd'}`

/** Aggregates over time windows. `scale`: units of one that are kept exactly, such as 10^6 for money. */
export type WindowedAggregate =
  | { readonly fn: 'count' }
  | {
      readonly fn: 'sum' | 'average' | 'variance' | 'least' | 'greatest'
      readonly of: Expression
      readonly scale: number
    }
  /** How many different texts. */
  | { readonly fn: 'distinct'; readonly of: Expression }
  /** The texts that came most often, with how often; equal ones in the order of their bytes. */
  | { readonly fn: 'top'; readonly of: Expression; readonly length: number }
/** What came last, as long as it is not older than `within`. */
export type LatestAggregate =
  /** Seconds since the last event. */
  | { readonly fn: 'since' }
  | { readonly fn: 'last'; readonly of: Expression }
  /** The last texts, the newest first. */
  | { readonly fn: 'last_ids'; readonly of: Expression; readonly length: number }

interface Described {
  readonly name: string
  readonly entity: string
  readonly description: string
  readonly owner: string
  readonly purpose: Purpose
  readonly sensitivity: Sensitivity
  readonly retentionDays: number
  /** What a model gets where there is no value; not given: nothing, the value is absent. */
  readonly default?: number | string
}
export interface WindowedFeature extends Described {
  readonly events: EventSelection
  readonly aggregate: WindowedAggregate
  readonly windows: readonly WindowName[]
}
export interface LatestFeature extends Described {
  readonly events: EventSelection
  readonly aggregate: LatestAggregate
  readonly within: WindowName
}
/** Computed of other features of its entity when it is read, in double. */
export interface ExpressedFeature extends Described {
  readonly derive: Expression
}
/**
 * A share of two counts by their ids, drawn to what is usual where little is known: (of + weight x prior) / (per + weight).
 * `weight`: how many of `per` the prior counts for.
 */
export interface RateFeature extends Described {
  readonly rate: { readonly of: string; readonly per: string; readonly prior: number; readonly weight: number }
}
/** One feature by another, by their ids; absent where `per` is 0. */
export interface RatioFeature extends Described {
  readonly ratio: { readonly of: string; readonly per: string }
}
export type DerivedFeature = ExpressedFeature | RateFeature | RatioFeature
/** Of the touch for which a vector is taken, its entity is CONTEXT: nothing is kept. */
export interface ContextFeature extends Described {
  readonly context: Expression
}
export type FeatureDeclaration = WindowedFeature | LatestFeature | DerivedFeature | ContextFeature

/** The entity of what is known of a touch itself. No entity of this name can be declared. */
export const CONTEXT = 'context'
/** Event types for which vectors are taken. */
export const TOUCH_TYPES = ['impression', 'click'] as const satisfies readonly EventType[]

/** What the owner of the events allows. purposes.ts holds features to it. */
export interface SourcePolicy {
  /** Of an event type that is not named here no feature can be made. */
  readonly types: Readonly<Partial<Record<EventType, Purpose>>>
  /** Of fields, `value` in all types or `conversion.value` in one. What is said more than once holds where it is strictest. */
  readonly fields: Readonly<Record<string, FieldPolicy>>
}
export interface FieldPolicy {
  readonly purpose: Purpose
  readonly sensitivity: Sensitivity
}

export interface Declarations {
  readonly entities: readonly EntityDeclaration[]
  readonly features: readonly FeatureDeclaration[]
  readonly policy: SourcePolicy
  /** By owner: bytes that one key of each entity may keep for its features, all together. Not given: as many as they are. */
  readonly quotas?: Readonly<Record<string, number>>
}

const NAME = /^[a-z][a-z0-9_]{0,62}$/
const ID_FIELD = /^[a-z][a-z0-9_]{0,59}_id$/
const WINDOW = /^[1-9][0-9]{0,4}[mhd]$/
export const WINDOW_MS_RANGE = { min: 5 * UNIT_MS.m, max: 28 * UNIT_MS.d } as const
/** A list longer than this is no feature but a history. */
export const LIST_LENGTH_MAX = 100
const SCALE_MAX = 1e9

/** Width of a window's panes, milliseconds: an hour or less is cut by the minute, as contract.md has it; longer ones coarser. */
export function paneMsOf(windowMs: number): number {
  if (windowMs <= UNIT_MS.h) return UNIT_MS.m
  if (windowMs <= 12 * UNIT_MS.h) return 5 * UNIT_MS.m
  return UNIT_MS.h
}

/** Milliseconds of a window by its name. */
export const windowMsOf = (window: WindowName): number => durationMs(window)!

export const isWindowed = (feature: FeatureDeclaration): feature is WindowedFeature => 'windows' in feature
export const isDerived = (feature: FeatureDeclaration): feature is DerivedFeature =>
  'derive' in feature || 'rate' in feature || 'ratio' in feature
export const isContext = (feature: FeatureDeclaration): feature is ContextFeature => 'context' in feature

/** The expression that a derived feature is, however it was said. */
export function derivationOf(feature: DerivedFeature): Expression {
  if ('derive' in feature) return feature.derive
  if ('ratio' in feature) {
    const { of, per } = feature.ratio
    return { op: 'divide', args: [{ feature: of }, { feature: per }] }
  }
  const { of, per, prior, weight } = feature.rate
  const drawn: Expression = { op: 'multiply', args: [{ constant: weight }, { constant: prior }] }
  return {
    op: 'divide',
    args: [
      { op: 'add', args: [{ feature: of }, drawn] },
      { op: 'add', args: [{ feature: per }, { constant: weight }] },
    ],
  }
}

/** `user.clicks_7d`, as expressions name it. */
export const featureId = (entity: string, name: string): string => `${entity}.${name}`

/** The features that a declaration makes. */
export function namesOf(feature: FeatureDeclaration): string[] {
  return isWindowed(feature) ? feature.windows.map((window) => `${feature.name}_${window}`) : [feature.name]
}

/** What an aggregate's values are. */
function aggregateType({ aggregate }: WindowedFeature | LatestFeature): FeatureType {
  if (aggregate.fn === 'last_ids') return 'id_list'
  if (aggregate.fn === 'top') return 'weighted_id_list'
  if (aggregate.fn === 'last') return typeOf(aggregate.of, null) === 'text' ? 'id' : 'float'
  return 'float'
}

/** Refuses declarations that have no meaning. Throws USAGE naming the first. Gives the type of each feature by its id. */
export function checkDeclarations({ entities, features }: Declarations): ReadonlyMap<string, FeatureType> {
  const names = new Set<string>()
  for (const { name, key, partition } of entities) {
    const check = checker(`entity ${name}`)
    check(NAME.test(name) && !names.has(name) && name !== CONTEXT, 'its name must be its own, of [a-z0-9_]')
    check(key.length > 0 && key.every((field) => ID_FIELD.test(field)), 'its key must be fields of ids')
    check(new Set(key).size === key.length, 'its key names a field twice')
    // Else events of one key could lie in two partitions.
    check(key.includes(partition), 'its partition must be one of the fields of its key')
    names.add(name)
  }
  const types = new Map<string, FeatureType>()
  for (const feature of features) {
    const check = checker(`feature ${feature.entity}.${feature.name}`)
    if (isContext(feature)) check(feature.entity === CONTEXT, `what is of a touch has the entity "${CONTEXT}"`)
    else check(names.has(feature.entity), `there is no entity "${feature.entity}"`)
    const type = checkFeature(feature, types, check)
    checkDefault(feature, type, check)
    for (const name of namesOf(feature)) {
      const id = featureId(feature.entity, name)
      check(!types.has(id), `"${name}" is declared twice`)
      types.set(id, type)
    }
  }
  return types
}

type Check = (condition: boolean, message: string) => void
const checker =
  (subject: string): Check =>
  (condition, message) => {
    if (!condition) throw new HoldfastError('USAGE', `${subject}: ${message}`)
  }

function checkFeature(feature: FeatureDeclaration, known: ReadonlyMap<string, FeatureType>, check: Check): FeatureType {
  const { name, owner, description, purpose, sensitivity, retentionDays } = feature
  check(NAME.test(name), 'its name must be 1 to 63 of [a-z0-9_], beginning with a letter')
  check(owner !== '' && description !== '', 'it needs an owner and a description')
  check(PURPOSES.includes(purpose), `its purpose must be one of ${PURPOSES.join(', ')}`)
  check(SENSITIVITIES.includes(sensitivity), `its sensitivity must be one of ${SENSITIVITIES.join(', ')}`)
  check(Number.isInteger(retentionDays) && retentionDays >= 1, 'retentionDays must be a whole number of days')
  const typed = (expression: Expression, wanted: readonly ValueType[], features: typeof known | null): ValueType => {
    const type = typeChecked(expression, features, check)
    check(wanted.includes(type), `the expression must be ${wanted.join(' or ')}, not ${type}`)
    return type
  }
  if (isContext(feature)) return typed(feature.context, ['number', 'text'], null) === 'text' ? 'id' : 'float'
  if (isDerived(feature)) {
    if ('rate' in feature) checkRate(feature, check)
    const derivation = derivationOf(feature)
    const type = typed(derivation, ['number', 'text'], known)
    check(featuresIn(derivation).length > 0, 'it is derived of no feature')
    check(fieldsOf([derivation]).length === 0, 'a derived feature reads features, not fields')
    const own = featuresIn(derivation).every((id) => id.startsWith(`${feature.entity}.`))
    check(own, `it is of ${feature.entity} and may read features of ${feature.entity} only`)
    return type === 'text' ? 'id' : 'float'
  }
  const { events, aggregate } = feature
  check(
    events.types.length > 0 && events.types.every((type) => EVENT_TYPES.has(type)),
    'it must name event types that exist',
  )
  if (events.where !== undefined) typed(events.where, ['truth'], null)
  checkAggregate(aggregate, typed, check)
  const windows = isWindowed(feature) ? feature.windows : [feature.within]
  check(windows.length > 0, 'it names no window')
  for (const window of windows) {
    const ms = WINDOW.test(window) ? windowMsOf(window) : 0
    check(ms >= WINDOW_MS_RANGE.min && ms <= WINDOW_MS_RANGE.max, `"${window}" is no window from 5m to 28d`)
    check(ms % paneMsOf(ms) === 0, `${window} is no multiple of its pane of ${paneMsOf(ms) / UNIT_MS.m} minutes`)
    check(ms <= retentionDays * UNIT_MS.d, `${window} is longer than its ${retentionDays} days of retention`)
  }
  return aggregateType(feature)
}

function checkRate({ rate: { prior, weight } }: RateFeature, check: Check): void {
  check(prior >= 0 && prior <= 1, 'its prior must be a share from 0 to 1')
  check(Number.isFinite(weight) && weight > 0, 'its weight must be above 0, else nothing divides by nothing')
}

function checkDefault({ default: value }: FeatureDeclaration, type: FeatureType, check: Check): void {
  if (value === undefined) return
  if (type === 'float') check(Number.isFinite(value), 'its default must be a finite number')
  else if (type === 'id') check(typeof value === 'string', 'its default must be a text')
  else check(false, `a list has no default, an absent one is empty`)
}

function checkAggregate(
  aggregate: WindowedAggregate | LatestAggregate,
  typed: (expression: Expression, wanted: readonly ValueType[], features: null) => ValueType,
  check: Check,
): void {
  if ('scale' in aggregate) {
    typed(aggregate.of, ['number'], null)
    const { scale } = aggregate
    check(
      Number.isInteger(scale) && scale >= 1 && scale <= SCALE_MAX,
      `scale must be a whole number from 1 to ${SCALE_MAX}`,
    )
  } else if (aggregate.fn === 'last') typed(aggregate.of, ['number', 'text'], null)
  else if ('of' in aggregate) typed(aggregate.of, ['text'], null)
  if (!('length' in aggregate)) return
  const { length } = aggregate
  check(
    Number.isInteger(length) && length >= 1 && length <= LIST_LENGTH_MAX,
    `length must be from 1 to ${LIST_LENGTH_MAX}`,
  )
}

function typeChecked(
  expression: Expression,
  features: ReadonlyMap<string, FeatureType> | null,
  check: Check,
): ValueType {
  const valueTypes = features === null ? null : (id: string) => VALUE_TYPE[features.get(id) ?? 'id_list']
  try {
    return typeOf(expression, valueTypes)
  } catch (error) {
    if (!(error instanceof ExpressionFault)) throw error
    check(false, error.message)
    throw error
  }
}

/** Lists have no place in expressions. */
const VALUE_TYPE: Readonly<Record<FeatureType, ValueType | undefined>> = {
  float: 'number',
  id: 'text',
  id_list: undefined,
  weighted_id_list: undefined,
}

// What a declared feature is worth, by the words of its declaration: for each question it goes through all events of the key.
// It knows no parts, tiles, records or plans. With the product it shares the types, and the estimate of how many different ids
// there are, which it makes of the whole set of them.

import type { Event } from '../../operators/event.ts'
import type { Expression, Maybe } from '../../operators/expression.ts'
import { addId, countIds, newIdSet } from '../../operators/sketch.ts'
import type {
  Declarations,
  EntityDeclaration,
  FeatureDeclaration,
  LatestFeature,
  WindowedFeature,
} from '../../topology/features/declaration.ts'
import { naiveValue } from './naive-expression.ts'

export type NaiveValue = number | string | readonly string[] | readonly (readonly [string, number])[] | undefined

const MINUTE_MS = 60_000
const HOUR_MS = 60 * MINUTE_MS
const UNIT_MS: Readonly<Record<string, number>> = { m: MINUTE_MS, h: HOUR_MS, d: 24 * HOUR_MS }

/** The key that an event has for an entity; undefined: none. */
export function naiveKey({ key }: EntityDeclaration, event: Event): string | undefined {
  const texts = key.map((field) => naiveValue({ field, as: 'text' }, event))
  if (texts.includes(undefined)) return undefined
  return texts.length === 1 ? String(texts[0]) : JSON.stringify(texts)
}

/** The value at T of a feature, by its id, for a key whose events these are. */
export function naiveFeature(declarations: Declarations, id: string, events: readonly Event[], T: number): NaiveValue {
  const [entity, name] = id.split('.') as [string, string]
  const own = declarations.features.filter((feature) => feature.entity === entity)
  const other = (one: string): Maybe => naiveFeature(declarations, one, events, T) as Maybe
  for (const feature of own) {
    if (!('windows' in feature)) {
      if (feature.name === name)
        return 'within' in feature ? latest(feature, events, T) : (derived(feature, other) as NaiveValue)
      continue
    }
    const window = feature.windows.find((one) => `${feature.name}_${one}` === name)
    if (window !== undefined) return windowed(feature, eventsWithin(window, events, T))
  }
  throw new Error(`${id} is not declared`)
}

/** contract.md, section 3, with a pane of a minute up to an hour, of five up to twelve hours, of an hour beyond. */
function eventsWithin(window: string, events: readonly Event[], T: number): readonly Event[] {
  const length = lengthOf(window)
  const pane = length <= HOUR_MS ? MINUTE_MS : length <= 12 * HOUR_MS ? 5 * MINUTE_MS : HOUR_MS
  const end = Math.floor(T / pane)
  return events.filter(({ time }) => Math.floor(time / pane) > end - length / pane && Math.floor(time / pane) <= end)
}

const lengthOf = (window: string): number => Number(window.slice(0, -1)) * UNIT_MS[window.at(-1)!]!

function selected({ events: { types, where } }: WindowedFeature | LatestFeature, events: readonly Event[]): Event[] {
  return events.filter(
    (event) => types.includes(event.type) && (where === undefined || naiveValue(where, event) === true),
  )
}

function windowed(feature: WindowedFeature, within: readonly Event[]): NaiveValue {
  const { aggregate } = feature
  const events = selected(feature, within)
  if (aggregate.fn === 'count') return events.length
  const values = events.map((event) => naiveValue(aggregate.of, event))
  if (aggregate.fn === 'distinct') {
    const set = newIdSet()
    for (const text of textsOf(values)) addId(set, text)
    return countIds(set)
  }
  if (aggregate.fn === 'top') {
    const times = new Map<string, number>()
    for (const text of textsOf(values)) times.set(text, (times.get(text) ?? 0) + 1)
    const sorted = [...times].sort(([a, x], [b, y]) => y - x || Buffer.compare(Buffer.from(a), Buffer.from(b)))
    return sorted.length === 0 ? undefined : sorted.slice(0, aggregate.length)
  }
  const { fn, scale } = aggregate
  const units = values.filter((x) => typeof x === 'number').map((x) => Math.floor(x * scale + 0.5))
  const exact = units.filter((x) => Number.isSafeInteger(x)).map(BigInt)
  return ofNumbers(fn, exact, scale)
}

/** Of whole numbers, exactly, and only then in double. */
function ofNumbers(fn: string, xs: readonly bigint[], scale: number): number | undefined {
  const sum = xs.reduce((a, b) => a + b, 0n)
  if (fn === 'sum') return Number(sum) / scale
  if (xs.length === 0) return undefined
  if (fn === 'least') return Number(xs.reduce((a, b) => (a < b ? a : b))) / scale
  if (fn === 'greatest') return Number(xs.reduce((a, b) => (a > b ? a : b))) / scale
  if (fn === 'average') return Number(sum) / scale / xs.length
  const squares = xs.reduce((a, b) => a + b * b, 0n)
  return Number(BigInt(xs.length) * squares - sum * sum) / (xs.length * xs.length) / (scale * scale)
}

const textsOf = (values: readonly Maybe[]): string[] => values.filter((value) => typeof value === 'string')

function latest(feature: LatestFeature, events: readonly Event[], T: number): NaiveValue {
  const { aggregate, within } = feature
  const of: Expression = 'of' in aggregate ? aggregate.of : { constant: true }
  const length = aggregate.fn === 'last_ids' ? aggregate.length : 1
  const newest = selected(feature, events)
    .sort(
      (a, b) => b.time - a.time || Buffer.compare(Buffer.from(`${b.type}\0${b.id}`), Buffer.from(`${a.type}\0${a.id}`)),
    )
    .map((event) => ({ time: event.time, value: naiveValue(of, event) }))
    .filter(({ value }) => value !== undefined)
    // Of a time before them it is known what the last ones were, and not which were the last then.
    .slice(0, length)
    .filter(({ time }) => time <= T && time > T - lengthOf(within))
  const [first] = newest
  if (first === undefined) return undefined
  if (aggregate.fn === 'since') return (T - first.time) / 1_000
  if (aggregate.fn === 'last') return first.value as number | string
  return newest.map(({ value }) => value as string)
}

function derived(feature: FeatureDeclaration, other: (id: string) => Maybe): Maybe {
  if ('derive' in feature) return naiveValue(feature.derive, { features: valuesIn(feature.derive, other) })
  if ('rate' in feature) {
    const { of, per, prior, weight } = feature.rate
    const [above, below] = [other(of), other(per)] as (number | undefined)[]
    if (above === undefined || below === undefined) return undefined
    return finite((above + weight * prior) / (below + weight))
  }
  if (!('ratio' in feature)) throw new Error(`${feature.name} is of the touch, not of a key`)
  const [above, below] = [other(feature.ratio.of), other(feature.ratio.per)] as (number | undefined)[]
  return above === undefined || below === undefined ? undefined : finite(above / below)
}

const finite = (x: number): number | undefined => (Number.isFinite(x) ? x + 0 : undefined)

function valuesIn(expression: Expression, other: (id: string) => Maybe): Record<string, Maybe> {
  if ('feature' in expression) return { [expression.feature]: other(expression.feature) }
  if (!('op' in expression)) return {}
  return Object.assign({}, ...expression.args.map((arg) => valuesIn(arg, other)))
}

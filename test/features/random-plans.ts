// Random sets of declarations, of at least OPERATORS_MIN operators each, that have something in common: selections, windows and
// inputs are drawn from a few, so that the compiler finds what to share. And streams of events for them, some of them late.

import fc from 'fast-check'
import type { Event, EventType, Fields } from '../../operators/event.ts'
import type { Expression } from '../../operators/expression.ts'
import type { Rec } from '../../operators/operator.ts'
import type {
  Declarations,
  EntityDeclaration,
  EventSelection,
  FeatureDeclaration,
  LatestAggregate,
  WindowedAggregate,
  WindowName,
} from '../../topology/features/declaration.ts'
import { recordOf } from '../operator-harness.ts'
import { OPEN_POLICY } from './declared.ts'
import { expressions } from './random-expressions.ts'

export const OPERATORS_MIN = 8
const TYPES: readonly EventType[] = ['click', 'impression', 'conversion', 'page_view']
const WINDOWS: readonly WindowName[] = ['5m', '1h', '90m', '6h', '12h', '1d', '7d', '28d']
const ENTITIES: readonly EntityDeclaration[] = [
  { name: 'user', key: ['user_id'], partition: 'user_id' },
  { name: 'ad', key: ['ad_id'], partition: 'ad_id' },
  { name: 'user_ad', key: ['user_id', 'ad_id'], partition: 'user_id' },
]
const DESCRIBED = {
  ...{ description: 'random', owner: 'team', purpose: 'measurement', sensitivity: 'none', retentionDays: 28 },
} as const

/** A value of an arbitrary; fast-check's `gen`, which replays them by the seed. */
export type Draw = <T>(arbitrary: fc.Arbitrary<T>) => T
export const draws: fc.Arbitrary<Draw> = fc.gen().map((gen) => (arbitrary) => gen(() => arbitrary))

const pick = <T>(draw: Draw, from: readonly T[]): T => draw(fc.constantFrom(...from))
const some = <T>(draw: Draw, from: readonly T[], maxLength: number): T[] =>
  draw(fc.uniqueArray(fc.constantFrom(...from), { minLength: 1, maxLength }))

const SIMPLE_NUMBER: Expression = { field: 'value', as: 'number' }
const SIMPLE_TEXT: Expression = { field: 'channel', as: 'text' }

/** What features of one plan are drawn from. */
interface Pool {
  readonly entities: readonly EntityDeclaration[]
  readonly selections: readonly EventSelection[]
  readonly windows: readonly WindowName[]
  readonly numbers: readonly Expression[]
  readonly texts: readonly Expression[]
  readonly scale: number
}

function poolOf(draw: Draw): Pool {
  const selection = (): EventSelection => {
    const types = some(draw, TYPES, TYPES.length)
    return draw(fc.boolean()) ? { types } : { types, where: draw(expressions('truth', 'events', 2)) }
  }
  return {
    entities: some(draw, ENTITIES, 2),
    selections: [{ types: TYPES }, selection(), selection()],
    windows: some(draw, WINDOWS, 3),
    numbers: [SIMPLE_NUMBER, draw(expressions('number', 'events', 2))],
    texts: [SIMPLE_TEXT, draw(expressions('text', 'events', 2))],
    scale: pick(draw, [1, 100, 1_000_000]),
  }
}

/** Declarations, and the ids of those that somebody reads. */
export function randomPlan(draw: Draw): { readonly declarations: Declarations; readonly served: readonly string[] } {
  const pool = poolOf(draw)
  const features: FeatureDeclaration[] = []
  const count = draw(fc.integer({ min: OPERATORS_MIN, max: OPERATORS_MIN + 6 }))
  const ids: { readonly id: string; readonly entity: string; readonly isNumber: boolean }[] = []
  for (let i = 0; i < count; i++) {
    const { name: entity } = pick(draw, pool.entities)
    const common = { ...DESCRIBED, name: `f${i}`, entity }
    const numbers = ids.filter((one) => one.entity === entity && one.isNumber).map(({ id }) => id)
    const feature = numbers.length > 1 && draw(fc.nat(3)) === 0 ? computed(draw, numbers) : aggregated(draw, pool)
    features.push({ ...common, ...feature } as FeatureDeclaration)
    const names = 'windows' in feature ? feature.windows.map((window) => `f${i}_${window}`) : [`f${i}`]
    for (const name of names) ids.push({ id: `${entity}.${name}`, entity, isNumber: isNumber(feature) })
  }
  const all = ids.map(({ id }) => id)
  const served = draw(fc.boolean()) ? all : some(draw, all, all.length)
  return { declarations: { entities: ENTITIES, features, policy: OPEN_POLICY }, served }
}

type How = Record<string, unknown> & { readonly windows?: readonly WindowName[] }

function aggregated(
  draw: Draw,
  { selections, windows, numbers, texts, scale }: Pool,
): How & { windows?: WindowName[] } {
  const events = pick(draw, selections)
  const [of, text] = [pick(draw, numbers), pick(draw, texts)]
  const length = draw(fc.integer({ min: 1, max: 4 }))
  if (draw(fc.nat(3)) === 0) {
    const aggregates: LatestAggregate[] = [
      { fn: 'since' },
      { fn: 'last', of },
      { fn: 'last', of: text },
      { fn: 'last_ids', of: text, length },
    ]
    return { events, aggregate: pick(draw, aggregates), within: pick(draw, windows) } as unknown as How & {
      windows?: WindowName[]
    }
  }
  const aggregates: WindowedAggregate[] = [
    { fn: 'count' },
    ...(['sum', 'average', 'variance', 'least', 'greatest'] as const).map((fn) => ({ fn, of, scale })),
    { fn: 'distinct', of: text },
    { fn: 'top', of: text, length },
  ]
  return { events, aggregate: pick(draw, aggregates), windows: some(draw, windows, windows.length) }
}

function computed(draw: Draw, numbers: readonly string[]): How {
  const [of, per] = [pick(draw, numbers), pick(draw, numbers)]
  const [a, b]: Expression[] = [{ feature: of }, { feature: per }]
  const derive: Expression = {
    op: 'if',
    args: [
      { op: 'less', args: [a!, b!] },
      { op: 'subtract', args: [{ op: 'multiply', args: [{ constant: 2 }, b!] }, a!] },
      { op: 'or_else', args: [a!, { constant: -1 }] },
    ],
  }
  return pick(draw, [{ ratio: { of, per } }, { rate: { of, per, prior: 0.25, weight: 8 } }, { derive }] as How[])
}

function isNumber(how: How): boolean {
  const { fn, of } = (how.aggregate ?? { fn: 'derived' }) as { fn: string; of?: Expression }
  if (fn === 'last') return of !== undefined && 'as' in of && of.as === 'number'
  return !['top', 'last_ids'].includes(fn)
}

const MINUTE_MS = 60_000
const HOUR_MS = 60 * MINUTE_MS
const DAY_MS = 24 * HOUR_MS
const T0 = 20_000 * DAY_MS
const LATENESS_MS = 10 * MINUTE_MS

const gapsMs = fc.oneof(
  { weight: 6, arbitrary: fc.nat(2 * MINUTE_MS) },
  { weight: 3, arbitrary: fc.nat(3 * HOUR_MS) },
  { weight: 1, arbitrary: fc.nat(10 * DAY_MS) },
  { weight: 1, arbitrary: fc.constantFrom(MINUTE_MS, HOUR_MS, 28 * DAY_MS, 70 * DAY_MS) },
)
/** Most in order, some out of order but in time, some late. */
const delaysMs = fc.oneof(
  { weight: 5, arbitrary: fc.constant(0) },
  { weight: 2, arbitrary: fc.nat(LATENESS_MS) },
  { weight: 1, arbitrary: fc.nat(2 * DAY_MS) },
  { weight: 1, arbitrary: fc.nat(40 * DAY_MS) },
)
const values = fc.oneof(fc.integer({ min: -20, max: 20 }), fc.double({ min: -9e9, max: 9e9, noNaN: true }))
const texts = fc.constantFrom('a', 'b', 'ab', 'c', '𝒳', '')
const event = fc.record({
  gap: gapsMs,
  delay: delaysMs,
  type: fc.constantFrom(...TYPES),
  user: fc.constantFrom('u1', 'u2', 'u"3'),
  ad: fc.option(fc.constantFrom('a1', 'a2'), { nil: undefined }),
  value: fc.option(fc.oneof({ weight: 5, arbitrary: values }, { weight: 1, arbitrary: texts }), { nil: undefined }),
  channel: fc.option(texts, { nil: undefined }),
  props: fc.record({ a: fc.oneof(texts, values), b: fc.oneof(texts, values, fc.boolean()) }, { requiredKeys: [] }),
})

/** Records as a task hands them on: `data` in the order of their times, `wall` as they come. */
export function randomStream(draw: Draw): { readonly records: readonly Rec<Event>[]; readonly clock: 'data' | 'wall' } {
  const drawn = draw(fc.array(event, { minLength: 1, maxLength: 60, size: 'max' }))
  const clock = pick(draw, ['data', 'wall'] as const)
  let [now, watermark] = [T0, -1]
  const arrived = drawn.map(({ gap, delay, type, user, ad, value, channel, props }, number) => {
    now += gap
    const time = now - delay
    const own = { user_id: user, ad_id: ad, value, channel, props }
    // As they come out of JSON: what is undefined is not there.
    const fields = JSON.parse(JSON.stringify({ type, event_id: `e${number}`, event_time: time, ...own })) as Fields
    const sent: Event = { type, id: `e${number}`, time, user, anonymous: false, fields }
    const record = recordOf(sent, { time, watermark, number })
    watermark = Math.max(watermark, time - LATENESS_MS)
    return record
  })
  if (clock === 'wall') return { records: arrived, clock }
  const inOrder = [...arrived].sort((a, b) => a.at - b.at || a.number - b.number)
  return { records: inOrder.map((record) => ({ ...record, watermark: record.at - 1 })), clock }
}

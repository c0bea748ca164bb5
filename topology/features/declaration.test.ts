// DC1: what a declaration may say, and what the refusal says; what rates, ratios and context features are.

import { describe, expect, it } from 'vitest'
import { compileExpressions } from '../../operators/expression.ts'
import { clicks, computed, declared, refusalOf } from '../../test/features/declared.ts'
import { compileFeatures } from './compile.ts'
import { checkDeclarations, type DerivedFeature, derivationOf, type FeatureDeclaration } from './declaration.ts'

const field = (name: string, as = 'text') => ({ field: name, as })
const rate = (of: object = {}) => ({
  rate: { of: 'user.clicks_7d', per: 'user.seen_7d', prior: 0.1, weight: 20, ...of },
})
const SEEN = clicks({ name: 'seen', events: { types: ['impression'] } })
const user = (entity: object) => ({
  ...declared([]),
  entities: [{ name: 'user', key: ['user_id'], partition: 'user_id', ...entity }],
})

describe('a feature is refused, by name and with what would be right:', () => {
  it.each<[string, Partial<FeatureDeclaration> | object, string]>([
    ['an unknown entity', { entity: 'usr' }, 'feature usr.clicks: there is no entity "usr"'],
    ['no window', { windows: [] }, 'feature user.clicks: it names no window'],
    ['a window that is too short', { windows: ['4m'] }, '"4m" is no window from 5m to 28d'],
    ['a window that is too long', { windows: ['29d'], retentionDays: 60 }, '"29d" is no window from 5m to 28d'],
    ['a window beyond the retention', { windows: ['28d'], retentionDays: 27 }, '28d is longer than its 27 days'],
    ['a window twice', { windows: ['7d', '7d'] }, '"clicks_7d" is declared twice'],
    ['an event type that is not there', { events: { types: ['klick'] } }, 'it must name event types that exist'],
    ['a filter that is no truth', { events: { types: ['click'], where: field('ad_id') } }, 'must be truth, not text'],
    ['a text default of a number', { default: '0' }, 'its default must be a finite number'],
    [
      'a default of a list',
      { aggregate: { fn: 'top', of: field('ad_id'), length: 3 }, default: '' },
      'a list has no default',
    ],
    [
      'a list that is too long',
      { aggregate: { fn: 'top', of: field('ad_id'), length: 101 } },
      'length must be from 1 to 100',
    ],
    [
      'a scale that is no whole number',
      { aggregate: { fn: 'sum', of: field('value', 'number'), scale: 0.5 } },
      'scale must be a whole number',
    ],
  ])('%s', (_, other, message) => expect(refusalOf(declared([clicks(other)]))).toContain(message))

  it.each<[string, object, string]>([
    ['a derivation of nothing', { derive: { constant: 1 } }, 'it is derived of no feature'],
    [
      'a derivation that reads a field',
      { derive: { op: 'add', args: [{ feature: 'user.clicks_7d' }, field('value', 'number')] } },
      'reads features, not fields',
    ],
    ['a rate of another entity', rate({ per: 'ad.clicks_7d' }), 'may read features of user only'],
    [
      'a rate of something unknown',
      rate({ of: 'user.klicks_7d' }),
      'there is no feature "user.klicks_7d" with one value',
    ],
    ['a prior that is no share', rate({ prior: 1.1 }), 'its prior must be a share from 0 to 1'],
    ['a rate without weight', rate({ weight: 0 }), 'its weight must be above 0'],
    [
      'a ratio of lists',
      { ratio: { of: 'user.pages', per: 'user.clicks_7d' } },
      'there is no feature "user.pages" with one value',
    ],
    ['a number for a text', { entity: 'context', context: field('device'), default: 0 }, 'its default must be a text'],
    ['context of an entity', { context: field('device') }, 'what is of a touch has the entity "context"'],
    [
      'context that is a truth',
      { entity: 'context', context: { op: 'present', args: [field('device')] } },
      'must be number or text, not truth',
    ],
    ['context that reads a feature', { entity: 'context', context: { feature: 'user.clicks_7d' } }, 'names no feature'],
  ])('%s', (_, how, message) => {
    const pages = clicks({
      name: 'pages',
      windows: undefined,
      within: '7d',
      aggregate: { fn: 'last_ids', of: field('page_id'), length: 3 },
    } as object)
    const { windows, ...list } = pages as FeatureDeclaration & { windows: unknown }
    const others = [clicks(), SEEN, clicks({ entity: 'ad' }), list as FeatureDeclaration]
    expect(refusalOf(declared([...others, computed('other', how)]))).toContain(message)
  })
})

it.each([
  ['the name of the context', { name: 'context' }, 'its name must be its own'],
  ['no key', { key: [] }, 'its key must be fields of ids'],
  ['a key that is no id', { key: ['device'] }, 'its key must be fields of ids'],
  ['a field twice', { key: ['user_id', 'user_id'] }, 'its key names a field twice'],
  ['a partition that is not in the key', { partition: 'ad_id' }, 'its partition must be one of the fields of its key'],
])('an entity is refused: %s', (_, entity, message) => expect(refusalOf(user(entity))).toContain(message))

describe('a rate is (of + weight x prior) / (per + weight)', () => {
  const run = compileExpressions([derivationOf(computed('rate', rate()) as DerivedFeature)])
  const at = (of: number | undefined, per: number | undefined) =>
    run({ features: { 'user.clicks_7d': of, 'user.seen_7d': per } })[0]

  it('which is the prior of nothing, and nearly the share of much', () => {
    expect(at(0, 0)).toBe(0.1)
    expect(at(30, 80)).toBe((30 + 20 * 0.1) / (80 + 20))
    expect(at(500_000, 1_000_000)).toBeCloseTo(0.5, 4)
  })

  it('and absent where one of them is', () => expect(at(undefined, 5)).toBeUndefined())
})

it('a ratio is absent where it would divide by 0', () => {
  const ratio = computed('ratio', { ratio: { of: 'user.a', per: 'user.b' } }) as DerivedFeature
  const run = compileExpressions([derivationOf(ratio)])
  const at = (a: number, b: number) => run({ features: { 'user.a': a, 'user.b': b } })[0]
  expect([at(3, 4), at(3, 0), at(0, 0)]).toEqual([0.75, undefined, undefined])
})

it('a context feature is compiled to an expression over the touch, and nothing is kept for it', () => {
  const hour = { op: 'hour_of_day', args: [field('event_time', 'number')] } as const
  const features = [
    computed('hour', { entity: 'context', context: hour }),
    computed('device', { entity: 'context', context: field('device') }),
  ]
  expect([...checkDeclarations(declared(features))]).toEqual([
    ['context.hour', 'float'],
    ['context.device', 'id'],
  ])
  const {
    groups,
    features: [first],
  } = compileFeatures(declared(features))
  expect(groups).toEqual([])
  expect(first!.how).toEqual({ kind: 'context', expression: hour })
})

// CO1 to CO5: a name keeps its meaning, or the change is refused with what it touches.

import { describe, expect, it } from 'vitest'
import { clicks, computed, declared } from '../../test/features/declared.ts'
import { compatibility } from './compatibility.ts'
import type { FeatureDeclaration } from './declaration.ts'

const VALUE = { field: 'value', as: 'number' } as const
const sum = (scale: number) => ({ aggregate: { fn: 'sum', of: VALUE, scale } })
const CLICK_TV = { op: 'equal', args: [{ field: 'device', as: 'text' }, { constant: 'tv' }] }
const half = (by = 2) =>
  computed('half', { derive: { op: 'divide', args: [{ feature: 'user.clicks_7d' }, { constant: by }] } })
const quarter = computed('quarter', { derive: { op: 'divide', args: [{ feature: 'user.half' }, { constant: 2 }] } })
const compared = (a: FeatureDeclaration[], b: FeatureDeclaration[]) => compatibility(declared(a), declared(b))
const latest = (within: string, of: object = { fn: 'since' }): FeatureDeclaration => {
  const { windows, ...rest } = clicks({ name: 'last', aggregate: of } as object) as FeatureDeclaration & {
    windows: unknown
  }
  return { ...rest, within } as unknown as FeatureDeclaration
}

it('what is added and what is removed is said, and refused neither', () => {
  const report = compared([clicks({ windows: ['1h', '7d'] } as object)], [clicks(), half()])
  expect(report).toEqual({ added: ['user.half'], removed: ['user.clicks_1h'], refused: [] })
})

describe('refused is a change of', () => {
  it.each<[string, object, object]>([
    ['types', {}, { events: { types: ['click', 'impression'] } }],
    ['where', {}, { events: { types: ['click'], where: CLICK_TV } }],
    ['aggregate', sum(10), sum(100)],
    ['aggregate', sum(10), { aggregate: { fn: 'average', of: VALUE, scale: 10 } }],
    ['default', {}, { default: 0 }],
  ])('%s, with everything that is derived of it', (of, a, b) => {
    const { refused } = compared([clicks(a), half(), quarter], [clicks(b), half(), quarter])
    expect(refused).toHaveLength(1)
    expect(refused[0]).toMatchObject({ name: 'user.clicks_7d', touches: ['user.half', 'user.quarter'] })
    expect(refused[0]!.changes.map((change) => change.of)).toEqual([of])
  })

  it('type', () => {
    const last = (as: 'text' | 'number') => latest('7d', { fn: 'last', of: { field: 'value', as } })
    const { refused } = compared([last('text')], [last('number')])
    expect(refused[0]!.changes).toContainEqual({ of: 'type', from: '"id"', to: '"float"' })
  })

  it('window', () => {
    const { refused } = compared([latest('7d')], [latest('8d')])
    expect(refused.map(({ name, changes }) => [name, changes.map(({ of }) => of)])).toEqual([['user.last', ['window']]])
  })

  it('key', () => {
    const before = declared([clicks()])
    const after = { ...before, entities: [{ name: 'user', key: ['user_id', 'ad_id'], partition: 'user_id' }] }
    const { changes } = compatibility(before, after).refused[0]!
    expect(changes).toEqual([{ of: 'key', from: '["user_id"]', to: '["user_id","ad_id"]' }])
  })

  it('key and partition of an entity, with its features, however they are named', () => {
    const entity = (key: string[], partition: string) => ({ entities: [{ name: 'user', key, partition }] })
    const before = { ...declared([clicks()]), ...entity(['user_id', 'ad_id'], 'user_id') }
    const moved = { ...declared([clicks()]), ...entity(['user_id', 'ad_id'], 'ad_id') }
    expect(compatibility(before, moved).refused).toEqual([
      {
        name: 'user',
        changes: [{ of: 'partition', from: '"user_id"', to: '"ad_id"' }],
        touches: ['user.clicks_7d'],
      },
    ])
    const renamed = { ...declared([clicks({ name: 'taps' } as object)]), ...entity(['user_id'], 'user_id') }
    const [change] = compatibility(before, renamed).refused
    expect(change).toMatchObject({ name: 'user', touches: ['user.clicks_7d', 'user.taps_7d'] })
    expect(change!.changes.map(({ of }) => of)).toEqual(['key'])
    expect(compatibility({ ...before, features: [] }, moved).refused).toEqual([])
  })

  it('what is declared for page views alone, and the other way', () => {
    const some = declared([clicks()])
    const [from, to] = ['what is declared', 'page views of the last hour']
    expect(compatibility(some, null).refused).toEqual([
      { name: 'features', changes: [{ of: 'all', from, to }], touches: [] },
    ])
    expect(compatibility(null, some).refused[0]!.changes).toEqual([{ of: 'all', from: to, to: from }])
    expect(compatibility(null, null).refused).toEqual([])
  })

  it('derivation, for what is derived of that too', () => {
    const { refused } = compared([clicks(), half(), quarter], [clicks(), half(3), quarter])
    expect(refused.map(({ name, touches }) => [name, touches])).toEqual([['user.half', ['user.quarter']]])
  })
})

it('words, owners and who may read can change', () => {
  const said = { events: { types: ['click'], where: { op: 'not', args: [{ op: 'not', args: [CLICK_TV] }] } } } as object
  const again = { events: { types: ['click', 'click'], where: CLICK_TV } } as object
  const other = { owner: 'other', description: 'other', purpose: 'sharing', sensitivity: 'special', retentionDays: 99 }
  expect(compared([clicks(said)], [clicks({ ...again, ...other } as object)]).refused).toEqual([])
})

it('declarations without a meaning are compared with nothing', () => {
  expect(() => compared([clicks()], [clicks({ entity: 'nobody' })])).toThrow('there is no entity "nobody"')
})

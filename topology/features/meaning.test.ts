// ME1, ME2: what means the same has one hash, however it was said; what does not, has not.

import { describe, expect, it } from 'vitest'
import { clicks, computed, declared } from '../../test/features/declared.ts'
import type { FeatureDeclaration } from './declaration.ts'
import { duplicatesIn } from './meaning.ts'

const text = (name: string) => ({ field: name, as: 'text' }) as const
const tv = { op: 'equal', args: [text('device'), { constant: 'tv' }] } as const
const ad = { op: 'present', args: [text('ad_id')] } as const
const not = (arg: object) => ({ op: 'not', args: [arg] })
const both = (...args: object[]) => ({ op: 'and', args })
const VALUE = { field: 'value', as: 'number' } as const
const summed = (scale: number) => ({ aggregate: { fn: 'sum', of: VALUE, scale } })
const top = (length: number) => ({ aggregate: { fn: 'top', of: text('ad_id'), length } })
const latest = (within: string) => ({ aggregate: { fn: 'since' }, windows: undefined, within })
const selected = (types: string[], where?: object) => ({ events: where === undefined ? { types } : { types, where } })

/** Windowed or latest, as the second says; both under names of their own. */
function twoOf(a: object, b: object): FeatureDeclaration[] {
  return [a, b].map((other, i) => {
    const { windows, ...rest } = clicks({ name: `f${i}`, ...other } as object) as FeatureDeclaration & {
      windows?: unknown
    }
    return (windows === undefined ? rest : { ...rest, windows }) as FeatureDeclaration
  })
}
const areOne = (a: object, b: object): boolean => duplicatesIn(declared(twoOf(a, b))).length === 1

describe('one meaning:', () => {
  it.each<[string, object, object]>([
    [
      'types in another order, one twice',
      selected(['click', 'impression']),
      selected(['impression', 'click', 'click']),
    ],
    ['conditions in another order', selected(['click'], both(tv, ad)), selected(['click'], both(ad, tv))],
    ['conditions nested and repeated', selected(['click'], both(tv, ad)), selected(['click'], both(both(tv, ad), tv))],
    ['negated twice', selected(['click'], tv), selected(['click'], not(not(tv)))],
    ['a window in other units', { windows: ['24h'] }, { windows: ['1d'] }],
    [
      'another owner, default, purpose',
      { owner: 'a', default: 0 },
      { owner: 'b', purpose: 'sharing', sensitivity: 'special' },
    ],
    ['another entity with the same key', { entity: 'user' }, { entity: 'person' }],
  ])('%s', (_, a, b) => expect(areOne(a, b)).toBe(true))
})

describe('two meanings:', () => {
  it.each<[string, object, object]>([
    ['types', selected(['click']), selected(['click', 'impression'])],
    ['filters', selected(['click'], tv), selected(['click'], not(tv))],
    ['windows', { windows: ['1h'] }, { windows: ['2h'] }],
    ['how far back', latest('7d'), latest('8d')],
    ['scales', summed(10), summed(100)],
    ['lengths', top(3), top(4)],
    ['functions', summed(10), { aggregate: { fn: 'greatest', of: VALUE, scale: 10 } }],
    ['keys', { entity: 'user' }, { entity: 'ad' }],
  ])('other %s', (_, a, b) => expect(areOne(a, b)).toBe(false))
})

it('a derived feature means what it is made of, by whatever name and in whatever words', () => {
  const [clicksByUser, clicksByPerson] = [clicks(), clicks({ entity: 'person', name: 'taps' })]
  const [seen, seenByPerson] = [
    clicks({ name: 'seen', ...selected(['impression']) } as object),
    clicks({ entity: 'person', name: 'shown', ...selected(['impression']) } as object),
  ]
  const features = [
    ...[clicksByUser, clicksByPerson, seen, seenByPerson],
    computed('rate', { rate: { of: 'user.clicks_7d', per: 'user.seen_7d', prior: 0.5, weight: 4 } }),
    computed('written', {
      derive: {
        op: 'divide',
        args: [
          { op: 'add', args: [{ constant: 2 }, { feature: 'user.clicks_7d' }] },
          { op: 'add', args: [{ constant: 4 }, { feature: 'user.seen_7d' }] },
        ],
      },
    }),
    computed('rate', {
      entity: 'person',
      rate: { of: 'person.taps_7d', per: 'person.shown_7d', prior: 0.5, weight: 4 },
    }),
    computed('another', { rate: { of: 'user.clicks_7d', per: 'user.seen_7d', prior: 0.5, weight: 5 } }),
  ]
  expect(duplicatesIn(declared(features)).map((one) => one.features)).toEqual([
    ['user.clicks_7d', 'person.taps_7d'],
    ['user.seen_7d', 'person.shown_7d'],
    ['user.rate', 'user.written', 'person.rate'],
  ])
})

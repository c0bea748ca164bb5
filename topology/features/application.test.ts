// The application's own declarations: what issue and contract ask of them.

import { expect, it } from 'vitest'
import { APPLICATION } from './application.ts'
import { compileFeatures } from './compile.ts'
import { duplicatesIn } from './meaning.ts'

const compiled = compileFeatures(APPLICATION)
const feature = (id: string) => compiled.features.find((other) => other.id === id)

it('declares at least 30 features: user, ad, cross, context', () => {
  const declared = (...entities: string[]) =>
    APPLICATION.features.filter(({ entity }) => entities.includes(entity)).length
  expect(APPLICATION.features.length).toBeGreaterThanOrEqual(30)
  expect(declared('user')).toBeGreaterThanOrEqual(10)
  expect(declared('ad', 'campaign', 'advertiser')).toBeGreaterThanOrEqual(8)
  expect(declared('user_advertiser', 'user_campaign', 'user_ad')).toBeGreaterThanOrEqual(6)
  expect(declared('context')).toBeGreaterThanOrEqual(4)
  for (const { entity } of APPLICATION.features.filter(({ entity }) => entity.startsWith('user_')))
    expect(APPLICATION.entities.find(({ name }) => name === entity)!.key).toHaveLength(2)
})

it('uses functions of every kind, and all types', () => {
  const functions = APPLICATION.features.map((one) => ('aggregate' in one ? one.aggregate.fn : ''))
  for (const fn of ['count', 'sum', 'average', 'variance', 'distinct', 'top', 'since', 'last', 'last_ids'])
    expect(functions).toContain(fn)
  expect(new Set(compiled.features.map(({ type }) => type))).toEqual(
    new Set(['float', 'id', 'id_list', 'weighted_id_list']),
  )
})

it.each(['user', 'page'])('page_views_1h of a %s is what contract.md, sections 3 and 7, says', (entity) => {
  const { how } = feature(`${entity}.page_views_1h`)!
  if (how.kind !== 'kept' || !('part' in how.reading)) throw new Error('it is an aggregate')
  const { entity: of, group } = compiled.groups[how.group]!
  expect(of.key).toEqual([`${entity}_id`])
  expect(how.reading).toMatchObject({ fn: 'count', window: { lengthMs: 3_600_000, paneMs: 60_000 } })
  expect(group.parts[how.reading.part]).toMatchObject({
    spec: { kind: 'count' },
    types: ['page_view'],
    where: null,
    of: null,
  })
})

it('keeps one record for each entity, in two stages beside the pages', () => {
  expect(compiled.groups.map(({ entity }) => entity.name)).toEqual(APPLICATION.entities.map(({ name }) => name))
  expect(new Set(compiled.groups.map(({ entity }) => entity.partition))).toEqual(
    new Set(['user_id', 'page_id', 'advertiser_id']),
  )
})

it('says nothing twice', () => expect(duplicatesIn(APPLICATION)).toEqual([]))

// What people ask before they declare: is there one already, and does anybody read it? And the plan, explained.

import { expect, it } from 'vitest'
import { clicks, computed, declared } from '../../test/features/declared.ts'
import { APPLICATION } from './application.ts'
import { explainFeatures } from './explanation.ts'
import { registered, searched, unreadFeatures } from './registry.ts'

const all = registered(APPLICATION)
const found = (...words: string[]) => searched(all, words).map(({ id }) => id)

it('finds features by all words, in names, entities, descriptions, owners and types', () => {
  expect(found('user.clicks_1h')).toEqual(['user.clicks_1h'])
  expect(found('CAMPAIGN', 'Smoothed')).toEqual(['campaign.click_rate_7d'])
  expect(found('content', 'different')).toEqual(['page.visitors_24h'])
  expect(found('weighted_id_list')).toEqual(['user.favourite_advertisers_28d'])
  expect(found('advertiser', 'nowhere')).toEqual([])
})

it('knows what nobody reads: neither served nor in what is served', () => {
  const half = computed('half', { derive: { op: 'divide', args: [{ feature: 'user.clicks_1h' }, { constant: 2 }] } })
  const declarations = declared([clicks({ windows: ['1h', '7d'] } as object), half])
  expect(unreadFeatures(declarations, ['user.half'])).toEqual(['user.clicks_7d'])
  expect(unreadFeatures(declarations, ['user.clicks_7d'])).toEqual(['user.clicks_1h', 'user.half'])
})

it('explains a plan: what is read, what is kept and for whom, and what each rule did', () => {
  const views = clicks({ name: 'views', events: { types: ['page_view'] }, windows: ['1h', '7d'] } as object)
  const rate = computed('rate', { ratio: { of: 'user.clicks_7d', per: 'user.views_7d' } })
  const {
    sources,
    groups,
    computed: derived,
    rules,
    before,
    after,
  } = explainFeatures(declared([clicks(), views, rate]))
  expect(sources).toEqual([
    { partition: 'user_id', entities: ['user'], types: ['click', 'page_view'], columns: ['user_id'], from: 'source' },
  ])
  expect(groups[0]!.partsRead).toEqual([
    { what: 'count over click', readBy: ['user.clicks_7d'] },
    { what: 'count over page_view', readBy: ['user.views_1h', 'user.views_7d'] },
  ])
  expect(derived).toEqual([
    { feature: 'user.rate', how: 'divide(user.clicks_7d, user.views_7d)', needs: ['user.clicks_7d', 'user.views_7d'] },
  ])
  const fired = Object.fromEntries(rules.map(({ rule, fired }) => [rule, fired]))
  expect(fired).toMatchObject({ windows: 1, fuse: 2, share: 0, decompose: 0, prune: 0, late: 1, preaggregate: 1 })
  // Without rules the rate counts clicks and views for itself.
  expect([before.records, before.parts, after.records, after.parts]).toEqual([4, 5, 1, 2])
})

it('reads each source of the application once, whatever is made of it', () => {
  const { sources, groups } = explainFeatures(APPLICATION)
  expect(sources.map(({ partition, from }) => [partition, from])).toEqual([
    ['user_id', 'source'],
    ['page_id', 'hop'],
    ['advertiser_id', 'hop'],
  ])
  expect(groups).toHaveLength(APPLICATION.entities.length)
  for (const { entity, partsRead, listsRead } of groups) {
    for (const { readBy } of [...partsRead, ...listsRead]) {
      expect(readBy.length).toBeGreaterThan(0)
      for (const id of readBy) expect(id.split('.')[0]).toBe(entity)
    }
  }
})

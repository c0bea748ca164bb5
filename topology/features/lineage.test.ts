// LN1: what a feature is made of and what is made of it, however far away.

import { expect, it } from 'vitest'
import { clicks, computed, declared } from '../../test/features/declared.ts'
import { derivedOf, lineageOf, madeOf, sourcesBehind } from './lineage.ts'

const TRUTH = { op: 'equal', args: [{ field: 'device', as: 'text' }, { constant: 'tv' }] } as const
const SPEND = clicks({
  name: 'spend',
  events: { types: ['conversion', 'click'], where: TRUTH },
  aggregate: { fn: 'sum', of: { field: 'value', as: 'number' }, scale: 100 },
  windows: ['1h', '7d'],
} as object)
const HALF = computed('half', { derive: { op: 'divide', args: [{ feature: 'user.spend_7d' }, { constant: 2 }] } })
const RATIO = computed('ratio', { ratio: { of: 'user.half', per: 'user.clicks_7d' } })
const HOUR = computed('hour', {
  entity: 'context',
  context: { op: 'hour_of_day', args: [{ field: 'event_time', as: 'number' }] },
})
const lineage = lineageOf(declared([clicks(), SPEND, HALF, RATIO, HOUR]))

it('goes down to event types and to the fields of key, filter and aggregate', () => {
  expect(sourcesBehind(lineage, 'user.spend_1h')).toEqual(
    ['click', 'click.device', 'click.user_id', 'click.value']
      .flatMap((name) => [name, name.replace('click', 'conversion')])
      .sort(),
  )
  expect(sourcesBehind(lineage, 'user.ratio')).toEqual(sourcesBehind(lineage, 'user.spend_7d'))
  expect(sourcesBehind(lineage, 'context.hour')).toEqual(['click', 'impression'])
})

it('goes through features, down and up', () => {
  expect(madeOf(lineage, 'user.ratio')).toEqual(['user.clicks_7d', 'user.spend_7d', 'user.half'])
  expect(derivedOf(lineage, 'user.spend_7d')).toEqual(['user.half', 'user.ratio'])
  expect(derivedOf(lineage, 'user.clicks_7d')).toEqual(['user.ratio'])
  expect([derivedOf(lineage, 'user.spend_1h'), madeOf(lineage, 'user.spend_7d')]).toEqual([[], []])
})

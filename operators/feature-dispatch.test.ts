import { expect, test } from 'vitest'
import { recordOf, runOperator } from '../test/operator-harness.ts'
import type { Event, EventType, Fields } from './event.ts'
import { compileExpressions, type Expression, type ExpressionsRunner } from './expression.ts'
import { featureDispatch } from './feature-dispatch.ts'
import type { FeatureGroup, GroupPart } from './feature-record.ts'
import { interpretExpressions } from './interpreter.ts'
import { ladderOf } from './tiles.ts'

const text = (field: string): Expression => ({ field, as: 'text' })
const SEARCHED: Expression = { op: 'equal', args: [text('channel'), { constant: 'search' }] }

function group(entity: string, key: string, parts: readonly Pick<GroupPart, 'types' | 'where' | 'of'>[]): FeatureGroup {
  const ladder = ladderOf([{ lengthMs: 60_000, paneMs: 1_000 }])
  return {
    entity,
    key: text(key),
    lookbackMs: 0,
    lists: [],
    parts: parts.map((part) => ({ ...part, ladder, spec: { kind: 'count' } })),
  }
}

const GROUPS = [
  group('user', 'user_id', [
    { types: ['click'], where: SEARCHED, of: null },
    { types: ['page_view'], where: null, of: null },
  ]),
  group('ad', 'ad_id', [{ types: ['click'], where: SEARCHED, of: text('ad_id') }]),
  group('page', 'page_id', [{ types: ['page_view'], where: null, of: null }]),
]

function event(type: EventType, more: object): Event {
  const fields = { user_id: 'u', ...more } as unknown as Fields
  return { type, id: 'e', time: 1, user: 'u', anonymous: false, fields }
}

function routed(events: readonly Event[], expressions: ExpressionsRunner = compileExpressions) {
  const records = events.map((value, number) => recordOf(value, { time: 1, number }))
  const { out } = runOperator(featureDispatch(GROUPS, expressions), records, { sliceRecords: 7 })
  return out.map(({ value, number }) => ({ number, taken: value.taken }))
}

const EVENTS = [
  event('click', { ad_id: 'a', channel: 'search' }),
  event('click', { channel: 'mail' }),
  event('page_view', { page_id: 'p' }),
  event('lead', {}),
  { ...event('click', { ad_id: 'a' }), bots: 'mark' as const },
]

test('each group gets its key and what its parts take; what none takes ends here', () => {
  expect(routed(EVENTS)).toEqual([
    { number: 0, taken: [{ key: 'u', inputs: [true, undefined] }, { key: 'a', inputs: ['a'] }, undefined] },
    { number: 1, taken: [{ key: 'u', inputs: [false, undefined] }, undefined, undefined] },
    { number: 2, taken: [{ key: 'u', inputs: [undefined, true] }, undefined, { key: 'p', inputs: [true] }] },
  ])
  expect(routed(EVENTS, interpretExpressions)).toEqual(routed(EVENTS))
})

test('an event is computed once, whatever asks for it, and a filter of several is in the code once', () => {
  const runs: Expression[][] = []
  const counting: ExpressionsRunner = (expressions) => {
    const run = compileExpressions(expressions)
    return (given) => {
      runs.push([...expressions])
      return run(given)
    }
  }
  expect(routed(EVENTS, counting)).toHaveLength(3)
  expect(runs).toHaveLength(3)
  // Computed each time that it is read: a getter sees how often that is.
  let reads = 0
  const watched = event('click', { ad_id: 'a' })
  const get = () => {
    reads++
    return 'search'
  }
  Object.defineProperty(watched.fields, 'channel', { get })
  routed([watched])
  expect(reads).toBe(1)
  reads = 0
  routed([watched], interpretExpressions)
  expect(reads).toBe(2)
})

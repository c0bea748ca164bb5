import { expect, test } from 'vitest'
import { recordOf, runOperator } from '../test/operator-harness.ts'
import { type Event, parseEventText } from './event.ts'
import { isCountedView, type PageView, pageViewsByPage, pageViewsByUser } from './page-views.ts'
import { countAt, HOUR_MS, PANES_STORE, type Panes, type WindowedCount, windowedCount } from './windowed-count.ts'

const T = 1_750_000_000_000
const sent = [
  { type: 'page_view', event_id: '1', user_id: 'u', page_id: 'p' },
  { type: 'page_view', event_id: '2', user_id: 'u', page_id: 'q' },
  { type: 'page_view', event_id: '3', page_id: 'p' },
  { type: 'page_view', event_id: '4', user_id: 'anon:4', page_id: 'q' },
  { type: 'lead', event_id: '5', user_id: 'u', page_id: 'p', advertiser_id: 'a' },
]
const events = sent.map(
  (fields) => parseEventText(JSON.stringify({ ...fields, event_time: T }), { anonymous: 'accept' }) as Event,
)

function count<V>(operator: WindowedCount<V>, values: readonly V[], key: string): number {
  const records = values.map((value) => recordOf(value, { time: T }))
  const store = runOperator(operator, records, { sliceRecords: 2 }).keyed<Panes>(PANES_STORE)
  return countAt(operator.layout, (bucket) => store.get(bucket, key), T, HOUR_MS)
}

test('what `bots` marks is no view that counts, not for its user either', () => {
  const byUser = windowedCount({ ...pageViewsByUser, windowsMs: [HOUR_MS] })
  const marked = events.map((event): Event => ({ ...event, bots: 'mark' }))
  expect(marked.filter(isCountedView)).toEqual([])
  expect(count(byUser, [...marked, events[0]!], 'u')).toBe(1)
})

test('a page counts every page view, a user only its own', () => {
  const byUser = windowedCount({ ...pageViewsByUser, windowsMs: [HOUR_MS] })
  const byPage = windowedCount({ ...pageViewsByPage, windowsMs: [HOUR_MS] })
  const views = events.filter(isCountedView).map(({ fields, time }): PageView => ({ page: fields.page_id!, time }))
  expect(['p', 'q', 'r'].map((page) => count(byPage, views, page))).toEqual([2, 2, 0])
  expect(['u', 'anon:3', 'anon:4'].map((user) => count(byUser, events, user))).toEqual([2, 0, 1])
  expect([byUser, byPage].map(({ feature, entity }) => `${feature} ${entity}`)).toEqual([
    'page_views_1h user',
    'page_views_1h page',
  ])
})

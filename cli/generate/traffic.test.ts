// Generated traffic is valid, plausible, and the same for the same seed.

import { expect, test } from 'vitest'
import { recompute } from '../../test/oracle/oracle.ts'
import { TRAFFIC_DEFAULTS, type TrafficOptions, traffic } from './traffic.ts'

const SMALL: TrafficOptions = { ...TRAFFIC_DEFAULTS, events: 20_000, users: 1_000, pages: 200 }

function file(options: Partial<TrafficOptions> = {}): Buffer {
  return Buffer.concat([...traffic({ ...SMALL, ...options })])
}

test('all of it is accepted, nothing is late', () => {
  const { summary } = recompute(file())
  expect(summary).toMatchObject({ read: 20_000, accepted: 20_000, duplicates: 0, dead_letters: 0, late: 0 })
})

test('the same seed gives the same bytes, another one others', () => {
  expect(file().equals(file())).toBe(true)
  expect(file({ seed: 2 }).equals(file())).toBe(false)
})

test.each([0, 1, 999, 1_000, 1_001])('%d events are that many lines', (events) => {
  expect(recompute(file({ events })).summary.read).toBe(events)
})

test('an event has about 185 bytes', () => {
  const bytes = file().length / SMALL.events
  expect(bytes).toBeGreaterThan(175)
  expect(bytes).toBeLessThan(195)
})

test('types, users and pages are spread as in a shop, over the days asked for', () => {
  const events = file()
    .toString()
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line))
  const share = (type: string) => events.filter((event) => event.type === type).length / events.length
  expect(share('page_view')).toBeGreaterThan(0.7)
  expect(share('click')).toBeGreaterThan(0.03)
  expect(share('conversion')).toBeGreaterThan(0.002)
  expect(share('conversion')).toBeLessThan(share('checkout'))
  expect(share('checkout')).toBeLessThan(share('add_to_cart'))
  const users = new Set(events.map((event) => event.user_id))
  expect(users.size).toBeGreaterThan(500)
  expect(users.size).toBeLessThanOrEqual(SMALL.users)
  const first = events.filter((event) => event.page_id === '/products/0').length
  const tenth = events.filter((event) => event.page_id === '/products/9').length
  expect(first).toBeGreaterThan(4 * tenth)
  expect(tenth).toBeGreaterThan(0)
  const spanMs = events.at(-1).event_time - events[0].event_time
  expect(spanMs / 86_400_000).toBeCloseTo(SMALL.days, 1)
})

// What is said of freshness, on a clock that the test sets.

import { expect, it } from 'vitest'
import { Freshness, READABLE_MS_MAX, SPAN_MS } from './freshness.ts'

/** A fresh one, and its commit of messages that were stored at `times` and are readable at `nowMs`. */
function commit(freshness: Freshness, times: readonly number[], nowMs: number): void {
  for (const time of times) freshness.applied(time)
  freshness.cut()
  freshness.readable(nowMs)
}

it('percentiles are of messages, from their timestamp to their snapshot', () => {
  const freshness = new Freshness()
  expect(freshness.readableMs(0)).toBeNull()
  commit(freshness, [...Array.from({ length: 99 }, () => 1_000), 930], 1_010)
  expect(freshness.readableMs(1_010)).toEqual({ p50: 10, p99: 10, max: 80, count: 100 })
})

it('a message counts when its commit is readable, and waits until then', () => {
  const freshness = new Freshness()
  freshness.applied(1_000)
  freshness.applied(1_001)
  expect([freshness.waitingMs(1_040), freshness.readableMs(1_040)]).toEqual([40, null])
  freshness.cut()
  freshness.applied(1_030)
  expect(freshness.waitingMs(1_050)).toBe(50)
  freshness.readable(1_060)
  expect(freshness.waitingMs(1_060)).toBe(30)
  expect(freshness.readableMs(2_000)).toMatchObject({ max: 60, count: 2 })
  commit(freshness, [], 2_000)
  expect(freshness.waitingMs(2_000)).toBe(0)
})

it('a message waits from when it was read, also while only a part of it is applied', () => {
  const freshness = new Freshness()
  freshness.begun(1_000)
  commit(freshness, [], 1_020)
  expect(freshness.waitingMs(1_050)).toBe(50)
  commit(freshness, [1_000], 1_060)
  expect(freshness.waitingMs(1_060)).toBe(0)
})

it('forgets after two spans, however long nobody asked; what was said holds for a moment', () => {
  const freshness = new Freshness()
  commit(freshness, [0], 5)
  expect(freshness.readableMs(5)?.count).toBe(1)
  commit(freshness, [100], 104)
  expect(freshness.readableMs(105)?.count).toBe(1)
  expect(freshness.readableMs(SPAN_MS + 1)?.count).toBe(2)
  expect(freshness.readableMs(2 * SPAN_MS + 1)).toBeNull()
  commit(freshness, [2 * SPAN_MS + 2], 2 * SPAN_MS + 3)
  expect(freshness.readableMs(9 * SPAN_MS)).toBeNull()
})

it('clocks that disagree, and what took longer than is told apart, stay in the range', () => {
  const freshness = new Freshness()
  commit(freshness, [1_000], 10)
  commit(freshness, [0], 3 * READABLE_MS_MAX)
  expect(freshness.readableMs(3 * READABLE_MS_MAX)).toMatchObject({ count: 1 })
  expect(freshness.readableMs(3 * READABLE_MS_MAX + SPAN_MS)?.p50).toBeGreaterThanOrEqual(READABLE_MS_MAX)
})

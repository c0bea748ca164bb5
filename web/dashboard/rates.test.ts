// Rates are differences over the node's own time, or they are not said.

import { expect, it } from 'vitest'
import type { StatusAnswer } from '../../client/holdfast.ts'
import { eventsOf, HISTORY_S, ratesBetween, readableOf, type Task, withPoint } from './rates.ts'

function task(name: string, more: Partial<Task> = {}): Task {
  const place = { name, stage: name, partition: 0, phase: 'running', epoch: 1 }
  return {
    ...place,
    seq: 0,
    pending: 0,
    lag_ms: 0,
    lag_records: null,
    sends_to: [],
    readable_ms: null,
    watermark: null,
    last_event: null,
    config: 'c0',
    waiting: null,
    counts: {},
    ...more,
  }
}
const status = (nowMs: number, ...tasks: Task[]): StatusAnswer => ({
  now_ms: nowMs,
  tasks,
  attribution: null,
  model: null,
  evaluated: null,
})

it('adds up the events of all tasks; a task without a counter has counted nothing', () => {
  const tasks = [
    task('user-0', { counts: { accepted: 5, duplicates: 2, dead_letters: 1, records: 9 } }),
    task('user-1', { counts: { accepted: 7 } }),
    task('page-0', { counts: { records: 12 } }),
  ]
  expect(eventsOf(status(0, ...tasks))).toEqual({ accepted: 12, duplicates: 2, deadLetters: 1 })
})

it('says what happened per second of the node', () => {
  const before = task('user-0', { seq: 10, counts: { accepted: 100, duplicates: 10, dead_letters: 1, records: 200 } })
  const counts = { accepted: 150, duplicates: 12, dead_letters: 2, records: 300 }
  const now = task('user-0', { seq: 30, pending: 40, counts })
  const rates = ratesBetween(status(1_000, before), status(3_000, now))
  expect(rates?.events).toEqual({ accepted: 25, duplicates: 1, deadLetters: 0.5 })
  expect(rates?.tasks.get('user-0')).toBe(50)
})

it('gives no rates to a task that is new', () => {
  const rates = ratesBetween(status(0), status(1_000, task('user-0', { seq: 900, counts: { records: 900 } })))
  expect(rates?.tasks.get('user-0')).toBe(0)
})

it.each([
  ['the clock of the node went back', 5_000, 100, 4_000, 200],
  ['no time has passed', 5_000, 100, 5_000, 200],
  ['a counter went back', 5_000, 100, 6_000, 90],
])('says nothing where %s', (_, beforeMs, before, nowMs, now) => {
  const at = (ms: number, accepted: number) => status(ms, task('user-0', { counts: { accepted } }))
  expect(ratesBetween(at(beforeMs, before), at(nowMs, now))).toBeNull()
})

it('takes the slowest task for how soon an event can be read', () => {
  const readable = (p50: number, p99: number) => ({ readable_ms: { p50, p99, max: p99, count: 1 } })
  const tasks = [task('user-0', readable(9, 20)), task('user-1', readable(4, 70)), task('page-0')]
  expect(readableOf(status(0, ...tasks))).toEqual({ p50: 9, p99: 70 })
  expect(readableOf(status(0, task('page-0')))).toBeNull()
})

it(`keeps ${HISTORY_S} seconds of points`, () => {
  let history = withPoint([], { atS: 0, events: null, readable: null })
  for (let atS = 1; atS <= HISTORY_S + 50; atS++) history = withPoint(history, { atS, events: null, readable: null })
  expect([history.length, history[0]?.atS, history.at(-1)?.atS]).toEqual([HISTORY_S, 51, HISTORY_S + 50])
})

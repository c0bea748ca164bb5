import { expect, test } from 'vitest'
import { Agenda, MINUTE_MS } from './agenda.ts'

test('a minute comes sorted by time, equal times in the order of adding', () => {
  const agenda = new Agenda<{ atMs: number; name: string }>()
  agenda.add({ atMs: MINUTE_MS + 7, name: 'c' })
  agenda.add({ atMs: MINUTE_MS + 5, name: 'a' })
  agenda.add({ atMs: MINUTE_MS + 7, name: 'd' })
  agenda.add({ atMs: MINUTE_MS + 5, name: 'b' })
  expect(agenda.take(0)).toEqual([])
  expect(agenda.isEmpty).toBe(false)
  expect(agenda.take(1).map(({ name }) => name)).toEqual(['a', 'b', 'c', 'd'])
  expect(agenda.isEmpty).toBe(true)
})

test('nothing is added to a minute that is over, and none is taken twice', () => {
  const agenda = new Agenda<{ atMs: number }>()
  agenda.take(3)
  expect(() => agenda.add({ atMs: 4 * MINUTE_MS - 1 })).toThrow('over')
  expect(() => agenda.take(3)).toThrow('twice')
  agenda.add({ atMs: 4 * MINUTE_MS })
  expect(agenda.take(4)).toHaveLength(1)
})

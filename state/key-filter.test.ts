// A key that was put away is never denied, however many there are; one that was not is seldom thought to be there.

import { expect, it } from 'vitest'
import { KeyFilter } from './key-filter.ts'

const names = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => `user-${from + i}`)
/** False "maybe"s: 1 of 2,000 in each filter, of which there are ten here. */
const FALSE_RATE_MAX = 0.01
const BYTES_PER_KEY_MAX = 5

it('denies nothing before the first key', () => {
  const filter = new KeyFilter()
  expect(filter.mayHave('user-0')).toBe(false)
  filter.add([])
  expect(filter.mayHave('user-0')).toBe(false)
})

it('has every key of a few large and many small evictions, few others, and few bytes a key', () => {
  const filter = new KeyFilter()
  const cuts = [3, 1_000, 1_001, 1_002, 20_000, ...Array.from({ length: 180 }, (_, i) => 21_000 + 1_000 * i)]
  let from = 0
  for (const to of cuts) {
    filter.add(names(from, to))
    from = to
  }
  expect(filter.count).toBe(from)
  expect(names(0, from).filter((name) => !filter.mayHave(name))).toEqual([])
  const wrong = names(from, 2 * from).filter((name) => filter.mayHave(name))
  expect(wrong.length / from).toBeLessThan(FALSE_RATE_MAX)
  expect(filter.bytes / from).toBeLessThan(BYTES_PER_KEY_MAX)
})

// The sums of the capacity model. Its coefficients against real bytes: bench/capacity.test.ts.

import { describe, expect, it } from 'vitest'
import { SegmentIndex } from '../state/segment-index.ts'
import { type Capacity, capacityOf, filterLine, keptOf, LOAD_DEFAULT, type Load, MEMORY, type Sum } from './capacity.ts'

const HOUR_MS = 3_600_000
const load: Load = { ...LOAD_DEFAULT, eventsPerS: 1_000, users: 50_000, logHours: 48, partitions: null, threads: 4 }

/** Every sum of an answer. */
const sumsOf = (c: Capacity): Sum[] => [c.logPerHour, c.logHeld, c.state, c.taskMemory, c.memory, c.cores]

it.each([[load], [{ ...load, windowsMs: [HOUR_MS, 7 * 24 * HOUR_MS], partitions: 3, eventsPerMessage: 100 }]])(
  'every line is the product of its factors, every total the sum of its lines: %#',
  (load) => {
    const capacity = capacityOf(load)
    for (const { lines, total } of sumsOf(capacity)) {
      expect(lines.reduce((sum, { product }) => sum + product, 0)).toBeCloseTo(total, 3)
      for (const { factors, product } of [...lines, ...capacity.logBytes.lines]) {
        expect(factors.reduce((all, { value }) => all * value, 1) / (product || 1)).toBeCloseTo(
          product === 0 ? 0 : 1,
          9,
        )
        for (const { of } of factors) expect(of).not.toBe('')
      }
    }
  },
)

it('ids are counted just before a bucket expires: twice the horizon', () => {
  const { ids, orders } = keptOf({ ...load, duplicateDays: 7, conversionShare: 0.1 })
  expect(ids).toBe(1_000 * 86_400 * 14)
  expect(orders).toBe(100 * 86_400 * 180)
})

it('a longer window keeps more panes, a key has no more than it has views', () => {
  const hour = keptOf(load).byUser
  expect(hour).toEqual({ buckets: 3, keys: 50_000, panes: 60 })
  expect(keptOf({ ...load, eventsPerS: 1 }).byUser).toEqual({ buckets: 3, keys: 3_600, panes: 1 })
  expect(keptOf({ ...load, windowsMs: [HOUR_MS, 24 * HOUR_MS] }).byUser.buckets).toBe(26)
})

it('the room for the log gives each stream its share', () => {
  const { logBytes, logHeld, partitions } = capacityOf({ ...load, partitions: 1, skew: 1 })
  expect(partitions).toBe(1)
  const accepted = logHeld.lines.find(({ what }) => what === 'accepted events')!.product
  // Streams share it 4 (input) : 2 (hop) : 1 (dead letters) : 1 (accepted).
  expect(logBytes.lines[0]!.product).toBeCloseTo(8 * accepted, -3)
})

describe('partitions', () => {
  it('rise with the peak and the skew; what is asked for is taken', () => {
    const { partitionsNeeded } = capacityOf(load)
    expect(partitionsNeeded).toBe(1)
    expect(capacityOf({ ...load, eventsPerS: 100_000 }).partitions).toBeGreaterThan(10)
    expect(capacityOf({ ...load, eventsPerS: 100_000, peak: 6 }).partitions).toBeGreaterThan(20)
    expect(capacityOf({ ...load, eventsPerS: 100_000, partitions: 2 })).toMatchObject({
      partitions: 2,
      partitionsNeeded: capacityOf({ ...load, eventsPerS: 100_000 }).partitions,
    })
  })

  it('split what tasks have; a skewed one has more', () => {
    const [one, four] = [1, 4].map((partitions) => capacityOf({ ...load, partitions, skew: 2 }))
    expect(four!.taskMemory.lines[0]!.product).toBeCloseTo(one!.taskMemory.lines[0]!.product / 4, 0)
    expect(one!.taskMemory.lines[0]!.product).toBeCloseTo(2 * filterLine(one!.seenIds).product, 0)
  })
})

it('filters of ids are as large as the index makes them', () => {
  const index = new SegmentIndex(1 << 21)
  expect(index.bytes / index.capacity / MEMORY.seenId).toBeCloseTo(1, 2)
})

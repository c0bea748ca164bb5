// The sums of the capacity model. Its coefficients against real bytes: bench/capacity.test.ts.

import { describe, expect, it } from 'vitest'
import { SegmentIndex } from '../state/segment-index.ts'
import {
  type Capacity,
  capacityOf,
  filterLine,
  keptOf,
  LABELS_OF_TOUCH,
  LOAD_DEFAULT,
  type Load,
  MEMORY,
  type Sum,
} from './capacity.ts'

const HOUR_MS = 3_600_000
const load: Load = { ...LOAD_DEFAULT, eventsPerS: 1_000, users: 50_000, logHours: 48, partitions: null, threads: 4 }

/** The same where every event is a page view. */
const views: Load = { ...load, touchShare: 0, conversionShare: 0 }

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

it('holds are kept for 42 days, timers until the last window is over, clicks for two horizons, what is known of a conversion for its time', () => {
  const kept = keptOf({ ...load, touchShare: 0.5, conversionShare: 0.1 })
  const [touches, conversions, fiveMinutes] = [500, 100, 300]
  expect(kept.holds).toBe(touches * 42 * 86_400)
  expect(kept.labelTimers).toBeCloseTo(100 * (28 * 86_400 + fiveMinutes) + 400 * (86_400 + fiveMinutes), 3)
  expect(kept.waiting).toBe(conversions * 900)
  expect(kept.clicks).toBe(100 * 2 * (90 * 86_400 + fiveMinutes))
  expect(kept.credited).toBe(conversions * 70 * 86_400)
  expect(kept.orderCredits).toBe(conversions * 2 * (90 * 86_400 + fiveMinutes))
  expect(kept.decisions).toBe(conversions * 36 * 86_400)
})

it('a touch has its labels at the times of its windows: a click four, an impression two', () => {
  expect(LABELS_OF_TOUCH.records).toBeCloseTo(0.2 * 4 + 0.8 * 2, 9)
})

it('a longer window keeps more panes, a key has no more than it has views', () => {
  const hour = keptOf(views).byUser
  expect(hour).toEqual({ buckets: 3, keys: 50_000, panes: 60 })
  expect(keptOf({ ...views, eventsPerS: 1 }).byUser).toEqual({ buckets: 3, keys: 3_600, panes: 1 })
  expect(keptOf({ ...views, windowsMs: [HOUR_MS, 24 * HOUR_MS] }).byUser.buckets).toBe(26)
})

it('the room for the log gives each stream its share', () => {
  const { logBytes, logHeld, partitions } = capacityOf({ ...load, partitions: 1, skew: 1 })
  expect(partitions).toBe(1)
  const accepted = logHeld.lines.find(({ what }) => what === 'accepted events')!.product
  // 4 for input and for uploads; 2 for each of four hops; 6 for labels; 1 for dead letters, accepted, conversions, attributions.
  expect(logBytes.lines[0]!.product).toBeCloseTo(26 * accepted, -3)
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
    const [one, four] = [1, 4].map((partitions) => capacityOf({ ...views, partitions, skew: 2 }))
    expect(four!.taskMemory.lines[0]!.product).toBeCloseTo(one!.taskMemory.lines[0]!.product / 4, 0)
    expect(one!.taskMemory.lines[0]!.product).toBeCloseTo(2 * filterLine(one!.seenIds).product, 0)
  })
})

it('filters of ids are as large as the index makes them', () => {
  const index = new SegmentIndex(1 << 21)
  expect(index.bytes / index.capacity / MEMORY.seenId).toBeCloseTo(1, 2)
})

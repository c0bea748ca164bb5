import fc from 'fast-check'
import { expect, test } from 'vitest'
import { lowestBucketAt } from './expiry.ts'

test('a bucket goes when the watermark reaches its end + retention, not a millisecond before', () => {
  const kept = { bucketMs: 10, retentionMs: 25 }
  expect(lowestBucketAt(-1, kept)).toEqual({ lowest: 0, next: 35 })
  expect(lowestBucketAt(34, kept)).toEqual({ lowest: 0, next: 35 })
  expect(lowestBucketAt(35, kept)).toEqual({ lowest: 1, next: 45 })
})

test('lowest is the first bucket whose end + retention is above the watermark, and next is where that changes', () => {
  const width = fc.integer({ min: 1, max: 1000 })
  fc.assert(
    fc.property(fc.integer({ min: -1, max: 1e6 }), width, width, (watermark, bucketMs, retentionMs) => {
      const kept = { bucketMs, retentionMs }
      const { lowest, next } = lowestBucketAt(watermark, kept)
      let expected = 0
      while ((expected + 1) * bucketMs + retentionMs <= watermark) expected++
      expect(lowest).toBe(expected)
      expect(next).toBeGreaterThan(watermark)
      expect(lowestBucketAt(next - 1, kept).lowest).toBe(lowest)
      expect(lowestBucketAt(next, kept).lowest).toBe(lowest + 1)
    }),
  )
})

import { describe, expect, test } from 'vitest'
import { BLOOM_FALSE_RATE_MAX, BloomFilter } from './bloom.ts'
import { RecordBuffer } from './seen-record.ts'
import { FALSE_MAYBE_RATE_MAX, INDEX_SEGMENTS_MAX, SegmentIndex } from './segment-index.ts'

/** Hashes of ids as they come: the same user and type, counted ids. */
function hashes(count: number, prefix: string): Int32Array {
  const records = new RecordBuffer()
  const out = new Int32Array(2 * count)
  for (let i = 0; i < count; i++) {
    records.clear()
    const at = records.encode(`user-${i % 1000}`, 'page_view', `${prefix}${i}`)
    out[2 * i] = records.words[at]!
    out[2 * i + 1] = records.words[at + 1]!
  }
  return out
}

const COUNT = 200_000
const present = hashes(COUNT, 'e')
const absent = hashes(COUNT, 'x')

test('hashes of like ids do not collide', () => {
  const seen = new Set<bigint>()
  for (const all of [present, absent]) {
    for (let i = 0; i < all.length; i += 2) seen.add((BigInt(all[i]!) << 32n) ^ BigInt(all[i + 1]! >>> 0))
  }
  expect(seen.size).toBe(2 * COUNT)
})

describe('Bloom filter', () => {
  test('never denies what was added; says maybe to others as rarely as it claims', () => {
    const filter = new BloomFilter(COUNT)
    for (let i = 0; i < present.length; i += 2) filter.add(present[i]!, present[i + 1]!)
    let denied = 0
    let maybes = 0
    for (let i = 0; i < present.length; i += 2) if (!filter.mayHave(present[i]!, present[i + 1]!)) denied++
    for (let i = 0; i < absent.length; i += 2) if (filter.mayHave(absent[i]!, absent[i + 1]!)) maybes++
    expect(denied).toBe(0)
    expect(maybes / COUNT).toBeLessThan(BLOOM_FALSE_RATE_MAX)
    expect(maybes).toBeGreaterThan(0)
  })
})

describe('segment index', () => {
  test('names the segment of every id, full to its capacity; false segments as rarely as claimed', () => {
    const index = new SegmentIndex(COUNT)
    const ordinalOf = (i: number): number => (i >> 1) % INDEX_SEGMENTS_MAX
    for (let i = 0; i < present.length; i += 2) index.add(present[i]!, present[i + 1]!, ordinalOf(i))
    expect(index.count).toBe(index.capacity)
    let missing = 0
    let wrong = 0
    for (let i = 0; i < present.length; i += 2) {
      const found: number[] = []
      index.find(present[i]!, present[i + 1]!, found)
      if (!found.includes(ordinalOf(i))) missing++
    }
    for (let i = 0; i < absent.length; i += 2) {
      const found: number[] = []
      index.find(absent[i]!, absent[i + 1]!, found)
      wrong += found.length
    }
    expect(missing).toBe(0)
    expect(wrong / COUNT).toBeLessThan(FALSE_MAYBE_RATE_MAX)
    expect(index.overflowed).toBeLessThan(COUNT / 1000)
    expect(index.bytes / COUNT).toBeLessThan(4)
  })

  test('one id in more segments than its two buckets have room for is still found in all', () => {
    const index = new SegmentIndex(1000)
    for (let ordinal = 0; ordinal < 20; ordinal++) index.add(12345, 67890, ordinal)
    const found: number[] = []
    index.find(12345, 67890, found)
    expect([...new Set(found)].sort((a, b) => a - b)).toEqual(Array.from({ length: 20 }, (_, i) => i))
    expect(index.overflowed).toBe(12)
  })

  test('what it has no room for is refused', () => {
    const index = new SegmentIndex(1)
    expect(() => index.add(1, 1, INDEX_SEGMENTS_MAX)).toThrow(/room/)
    index.add(1, 1, 0)
    expect(() => index.add(2, 2, 0)).toThrow(/room/)
  })
})

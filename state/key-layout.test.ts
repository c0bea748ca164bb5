import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  allBuckets,
  allOrdered,
  BUCKET_MAX,
  BUCKET_MIN,
  BUCKET_WIDTH_MIN_MS,
  bucketRange,
  compareOrderKeys,
  compareUtf8,
  holdRange,
  KeyWriter,
  KIND,
  parseGroupKey,
  parseHoldKey,
  parseKeyedKey,
  parseSeenKey,
  prefixRange,
} from './key-layout.ts'
import type { OrderKey } from './store.ts'

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')
const KEY: OrderKey = { at: 1741132786705, rank: 1, type: 'click', id: 'é1', number: 258 }

describe('golden bytes: a change here makes every stored state unreadable (raise LAYOUT in task-state.ts)', () => {
  const w = new KeyWriter()
  test.each<[string, Uint8Array, string]>([
    ['meta', w.meta(), '01'],
    ['keyed', w.keyed(7, 5, 'user-ä'), '0207' + '00100005' + '757365722dc3a4'],
    ['keyed, bucket -1', w.keyed(0, -1, ''), '0200' + '000fffff'],
    ['keyed, lowest and highest bucket', w.keyed(255, BUCKET_MIN, 'a'), '02ff' + '00000000' + '61'],
    ['packed', w.bucket(KIND.packed, 7, 5), '0807' + '00100005'],
    ['journal', w.journal(2, 3, 0x1_0000_0002), '0302' + '00100003' + '0000000100000002'],
    ['segment', w.segment(2, 3, 258), '0402' + '00100003' + '00000102'],
    ['page', w.page(2, 3, 258, 511), '0502' + '00100003' + '00000102' + '01ff'],
    [
      'chunk',
      w.ordered(KIND.chunk, 9, KEY),
      '0609' + '000001956399ec11' + '01' + '636c69636b00' + 'c3a93100' + '0000000000000102',
    ],
    [
      'straggler',
      w.ordered(KIND.straggler, 9, { ...KEY, at: 0, type: '', id: '' }),
      '0709' + '0000000000000000' + '01' + '00' + '00' + '0000000000000102',
    ],
    [
      'hold',
      w.hold(3, 5, 'u\u001fä', 1741132786705, 'é1'),
      '0903' + '00100005' + '751fc3a4' + '00' + '000001956399ec11' + 'c3a931',
    ],
    [
      'start of a range of holds',
      holdRange(3, 5, 'u', { fromMs: -1, toMs: 9 }).from,
      '09030010000575000000000000000000',
    ],
    ['end of a range of holds', holdRange(3, 5, 'u', { fromMs: 0, toMs: 9 }).to, '0903001000057500000000000000000a'],
    ['begin of a prefix', prefixRange(1, 0, 'aé').from, '020100100000' + '61c3a9'],
    ['end of a prefix', prefixRange(1, 0, 'aé').to, '020100100000' + '61c3a9ff'],
    ['end of a bucket range', bucketRange(KIND.page, 1, 0, BUCKET_MAX + 1).to, '0501' + 'ffffffff'],
    ['end of an order queue', allOrdered(KIND.chunk, 1).to, '0601' + 'ff'],
  ])('%s', (_, bytes, golden) => {
    expect(hex(bytes)).toBe(golden)
  })
})

test('buckets of every width reach 2100', () => {
  expect(Math.floor(Date.UTC(2100, 0, 1) / BUCKET_WIDTH_MIN_MS)).toBeLessThanOrEqual(BUCKET_MAX)
})

describe('what does not fit is refused', () => {
  const w = new KeyWriter()
  test.each<[string, () => unknown]>([
    ['bucket too low', () => w.keyed(0, BUCKET_MIN - 1, '')],
    ['bucket too high', () => w.keyed(0, BUCKET_MAX + 2, '')],
    ['bucket no integer', () => w.keyed(0, 1.5, '')],
    ['store', () => w.keyed(256, 0, '')],
    ['negative time', () => w.ordered(KIND.chunk, 0, { ...KEY, at: -1 })],
    ['rank', () => w.ordered(KIND.chunk, 0, { ...KEY, rank: 256 })],
    ['page', () => w.page(0, 0, 0, 0x10000)],
    ['a group with the byte that ends it', () => w.hold(0, 0, 'a\0b', 0, '')],
  ])('%s', (_, make) => {
    expect(make).toThrow(/assertion/)
  })
})

const text = fc.string({ unit: 'binary', maxLength: 6 }).filter((s) => s.isWellFormed() && !s.includes('\0'))
const orderKey = fc.record({
  at: fc.oneof(fc.nat(3), fc.maxSafeNat()),
  rank: fc.nat(3),
  type: text,
  id: text,
  number: fc.oneof(fc.nat(3), fc.maxSafeNat()),
})
const bucket = fc.oneof(fc.integer({ min: -2, max: 2 }), fc.integer({ min: BUCKET_MIN, max: BUCKET_MAX }))

describe('byte order is the order meant (Y1)', () => {
  const w = new KeyWriter()
  test('strings as UTF-8', () => {
    expect(['\uffff', '\u{10000}', 'b', 'a', ''].sort(compareUtf8)).toEqual(['', 'a', 'b', '\uffff', '\u{10000}'])
    fc.assert(
      fc.property(text, text, (a, b) => {
        expect(Math.sign(compareUtf8(a, b))).toBe(Buffer.compare(Buffer.from(a), Buffer.from(b)))
      }),
      { numRuns: 2000 },
    )
  })

  test('order keys', () => {
    fc.assert(
      fc.property(orderKey, orderKey, (a, b) => {
        const bytes = Buffer.compare(w.ordered(KIND.chunk, 1, a), w.ordered(KIND.chunk, 1, b))
        expect(Math.sign(compareOrderKeys(a, b))).toBe(bytes)
      }),
      { numRuns: 2000 },
    )
  })

  test('keyed: store, bucket, key; and back', () => {
    fc.assert(
      fc.property(fc.nat(255), bucket, text, fc.nat(255), bucket, text, (s1, b1, k1, s2, b2, k2) => {
        const x = w.keyed(s1, b1, k1)
        const y = w.keyed(s2, b2, k2)
        expect(Buffer.compare(x, y)).toBe(Math.sign(s1 - s2 || b1 - b2 || compareUtf8(k1, k2)))
        expect(parseKeyedKey(x)).toEqual({ bucket: b1, key: k1 })
      }),
      { numRuns: 1000 },
    )
  })

  test('holds: group, time, id; and back; a range of time has exactly its holds', () => {
    const hold = fc.record({ group: text, timeMs: fc.nat(5), id: text })
    fc.assert(
      fc.property(hold, hold, fc.nat(5), fc.nat(5), (a, b, fromMs, toMs) => {
        const [x, y] = [a, b].map(({ group, timeMs, id }) => w.hold(3, 5, group, timeMs, id)) as [
          Uint8Array,
          Uint8Array,
        ]
        const order = compareUtf8(a.group, b.group) || a.timeMs - b.timeMs || compareUtf8(a.id, b.id)
        expect(Buffer.compare(x, y)).toBe(Math.sign(order))
        expect(parseHoldKey(x)).toEqual({ bucket: 5, ...a })
        expect(parseGroupKey(w.group(KIND.first, 3, 5, a.group))).toEqual({ bucket: 5, group: a.group })
        const range = holdRange(3, 5, b.group, { fromMs, toMs })
        const inside = Buffer.compare(range.from, x) <= 0 && Buffer.compare(x, range.to) < 0
        expect(inside).toBe(a.group === b.group && a.timeMs >= fromMs && a.timeMs <= toMs)
      }),
      { numRuns: 2000 },
    )
  })

  test('a range of buckets holds exactly their keys, of every kind (Y2)', () => {
    fc.assert(
      fc.property(bucket, bucket, bucket, fc.nat(9), (a, b, at, n) => {
        const from = Math.min(a, b)
        const to = Math.max(a, b)
        const keys = [
          [KIND.keyed, w.keyed(3, at, 'x')],
          [KIND.journal, w.journal(3, at, n)],
          [KIND.segment, w.segment(3, at, n)],
          [KIND.page, w.page(3, at, n, n)],
          [KIND.hold, w.hold(3, at, 'g', n, 'x')],
          [KIND.first, w.group(KIND.first, 3, at, 'g')],
          [KIND.more, w.group(KIND.more, 3, at, 'g')],
        ] as const
        for (const [kind, key] of keys) {
          const range = bucketRange(kind, 3, from, to)
          const inside = Buffer.compare(range.from, key) <= 0 && Buffer.compare(key, range.to) < 0
          expect(inside).toBe(at >= from && at < to)
          const all = allBuckets(kind, 3)
          expect(Buffer.compare(all.from, key) <= 0 && Buffer.compare(key, all.to) < 0).toBe(true)
        }
      }),
      { numRuns: 500 },
    )
  })
})

test('journal and segment keys are read back', () => {
  const w = new KeyWriter()
  expect(parseSeenKey(w.journal(1, -5, 2 ** 40))).toEqual({ bucket: -5, number: 2 ** 40 })
  expect(parseSeenKey(w.segment(1, 20, 7))).toEqual({ bucket: 20, number: 7 })
})

test('a writer keeps the keys it gave out, also across blocks and for long texts', () => {
  const w = new KeyWriter()
  const keys = Array.from({ length: 5000 }, (_, i) => w.keyed(1, i, `key-${i}`))
  const long = w.keyed(1, 0, 'é'.repeat(100_000))
  expect(keys.map(parseKeyedKey)).toEqual(keys.map((_, i) => ({ bucket: i, key: `key-${i}` })))
  expect(parseKeyedKey(long).key.length).toBe(100_000)
})

test('a writer of few keys takes little memory outside the heap, one of many takes large blocks', () => {
  const few = new Set(Array.from({ length: 100 }, () => new KeyWriter().keyed(1, 0, 'a key').buffer))
  const w = new KeyWriter()
  const blocks = new Set(Array.from({ length: 100_000 }, (_, i) => w.keyed(1, i, `key-${i}`).buffer))
  // So small that they are parts of what Node hands out.
  expect(few.size).toBeLessThan(10)
  expect(blocks.size).toBeLessThan(50)
})

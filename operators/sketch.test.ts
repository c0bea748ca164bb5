import { createHash } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { ByteReader, ByteWriter } from './bytes.ts'
import {
  addId,
  countIds,
  EXACT_IDS_MAX,
  type IdSet,
  joinIds,
  newIdSet,
  REGISTERS,
  readIds,
  writeIds,
} from './sketch.ts'

function setOf(ids: Iterable<string>): IdSet {
  const set = newIdSet()
  for (const id of ids) addId(set, id)
  return set
}

function bytesOf(set: IdSet): Buffer {
  const writer = new ByteWriter()
  writeIds(writer, set)
  return Buffer.from(writer.done())
}

const idsNamed = (name: string, count: number) => Array.from({ length: count }, (_, i) => `${name}${i}`)
/** Around the place where a set changes its form. */
const manyIds = fc.oneof(
  fc.array(fc.string({ unit: 'grapheme' }), { maxLength: 10 }),
  fc.nat(3 * EXACT_IDS_MAX).map((count) => idsNamed('u', count)),
  fc.nat(3 * EXACT_IDS_MAX).map((count) => idsNamed('v', count)),
)

describe('K1: a set has one form', () => {
  test('in whatever order ids came and sets were joined', () => {
    fc.assert(
      fc.property(fc.array(manyIds, { maxLength: 4 }), fc.array(fc.nat(), { maxLength: 4 }), (lists, cuts) => {
        const all = lists.flat()
        const whole = setOf(all)
        const backwards = setOf([...all].reverse())
        const joined = newIdSet()
        // The same ids, cut at other places, joined from the last to the first.
        const places = [0, ...cuts.map((cut) => cut % (all.length + 1)).sort((a, b) => a - b), all.length]
        for (let i = places.length - 2; i >= 0; i--) {
          const from = setOf(all.slice(places[i], places[i + 1]))
          const before = bytesOf(from)
          joinIds(joined, from)
          expect(bytesOf(from)).toEqual(before)
        }
        expect(bytesOf(backwards)).toEqual(bytesOf(whole))
        expect(bytesOf(joined)).toEqual(bytesOf(whole))
        const read = readIds(new ByteReader(bytesOf(whole)))
        expect([read.ids === null, countIds(read), bytesOf(read)]).toEqual([
          whole.ids === null,
          countIds(whole),
          bytesOf(whole),
        ])
      }),
    )
  })

  test('exact up to the limit', () => {
    fc.assert(
      fc.property(fc.array(fc.string(), { maxLength: EXACT_IDS_MAX }), (ids) => {
        expect(countIds(setOf([...ids, ...ids]))).toBe(new Set(ids).size)
      }),
    )
    expect([setOf(idsNamed('u', EXACT_IDS_MAX)).ids?.size, setOf(idsNamed('u', EXACT_IDS_MAX + 1)).ids]).toEqual([
      EXACT_IDS_MAX,
      null,
    ])
  })
})

describe('the estimate', () => {
  const STANDARD_ERROR = 1.04 / Math.sqrt(REGISTERS)

  test.each([
    [100, 40],
    [1_000, 40],
    [2_500, 20],
    [5_000, 10],
    [100_000, 3],
    [1_000_000, 1],
  ])('of %d ids, %d sets of them, is within four standard errors, and right in the middle', (count, sets) => {
    let sum = 0
    for (let number = 0; number < sets; number++) {
      const error = countIds(setOf(idsNamed(`set ${number} id `, count))) / count - 1
      expect(Math.abs(error)).toBeLessThan(4 * STANDARD_ERROR)
      sum += error
    }
    expect(Math.abs(sum / sets)).toBeLessThan((4 * STANDARD_ERROR) / Math.sqrt(sets))
  })

  test('ids that look alike or are long, or hashes of their own', () => {
    const hashes = idsNamed('', 5_000).map((id) => createHash('sha256').update(id).digest('hex'))
    for (const ids of [hashes, idsNamed('', 5_000), idsNamed('x'.repeat(100), 5_000)])
      expect(Math.abs(countIds(setOf(ids)) / 5_000 - 1)).toBeLessThan(4 * STANDARD_ERROR)
  })
})

describe('bytes', () => {
  test('golden: a hash that changed would count known ids again', () => {
    expect(bytesOf(setOf(['b', 'a'])).toString('hex')).toBe('0201610162')
    const digest = createHash('sha256')
      .update(bytesOf(setOf(idsNamed('u', 100))))
      .digest('hex')
    expect(digest).toBe('aa9d5e23eec651c0cca9049c314a3d6da1e28c8313b713fad228d73959516810')
  })

  test.each<[string, number[]]>([
    ['a register that does not exist', [65, 1, 0x80, 8, 1]],
    ['a rank that no hash has', [65, 1, 0, 34]],
    ['a register that is not used', [65, 1, 0, 0]],
    ['fewer ids than said', [2, 1, 0x61]],
    ['more registers than there are', [65, 0x80, 0x80, 1, ...new Array(2_100).fill(1)]],
  ])('%s', (_, bytes) => {
    expect(() => readIds(new ByteReader(Uint8Array.from(bytes)))).toThrow(
      expect.objectContaining({ code: 'STATE_CORRUPT' }),
    )
  })
})

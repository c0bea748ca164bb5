import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { FeatureValue } from './feature-values.ts'
import {
  fitted,
  VECTOR_ID_BYTES_MAX,
  type Vector,
  type VectorField,
  type VectorLayout,
  vectorBytesMax,
  vectorCodec,
  vectorJson,
} from './vector.ts'

const field = (id: string, type: VectorField['type']): VectorField => ({ id, type, default: null })
const LAYOUT: VectorLayout = [
  field('ad.clicks', 'float'),
  field('ad.last', 'id'),
  field('user.pages', 'id_list'),
  field('user.top', 'weighted_id_list'),
]

const float = fc.double({ noNaN: true, noDefaultInfinity: true }).map((x) => x + 0)
const id = fc.string({ unit: 'grapheme', maxLength: 12 })
const list = fc.array(id, { minLength: 1, maxLength: 5 })
const weighted = fc.array(fc.tuple(id, fc.integer({ min: 1 }).map(Number)), { minLength: 1, maxLength: 5 })
const OF: Readonly<Record<VectorField['type'], fc.Arbitrary<FeatureValue>>> = {
  ...{ float, id, id_list: list, weighted_id_list: weighted },
}

/** A layout, and two vectors of it. */
const given = fc
  .array(fc.constantFrom('float', 'id', 'id_list', 'weighted_id_list'), { maxLength: 20 })
  .chain((types) => {
    const layout = types.map((type, i) => field(`e.f${i}`, type as VectorField['type']))
    const vector = fc.tuple(...layout.map(({ type }) => fc.option(OF[type], { nil: undefined })))
    return fc.tuple(fc.constant(layout), vector, vector)
  })

const CORRUPT = expect.objectContaining({ code: 'STATE_CORRUPT' })

describe('VE2: the bytes of a vector', () => {
  test('are known', () => {
    const codec = vectorCodec(LAYOUT)
    const hex = (vector: Vector): string => Buffer.from(codec.encode(vector)).toString('hex')
    expect(hex([undefined, undefined, undefined, undefined])).toBe('00')
    // A 0 is a value: it has its bit.
    expect(hex([0, undefined, undefined, undefined])).toBe('010000000000000000')
    expect(hex([1, 'a7', ['p', ''], [['é', 2]]])).toBe(
      ['0f', '000000000000f03f', '02006137', '0200', '010070', '0000', '0100', '0200c3a9', '0000000000000040'].join(''),
    )
  })

  test('give the vector back, and equal vectors have equal ones', () => {
    fc.assert(
      fc.property(given, ([layout, one, other]) => {
        const codec = vectorCodec(layout)
        expect(codec.decode(codec.encode(one))).toStrictEqual([...one])
        const isEqual =
          JSON.stringify(one.map((value) => value ?? null)) === JSON.stringify(other.map((v) => v ?? null))
        expect(Buffer.compare(codec.encode(one), codec.encode(other)) === 0).toBe(isEqual)
      }),
      { numRuns: 300 },
    )
  })

  test('that were damaged are corrupt, or those of another vector', () => {
    fc.assert(
      fc.property(given, fc.nat(), fc.nat(255), ([layout, vector], place, byte) => {
        const codec = vectorCodec(layout)
        const bytes = codec.encode(vector)
        const longer = Uint8Array.from([...bytes, 0])
        expect(() => codec.decode(longer)).toThrow(CORRUPT)
        if (bytes.length === 0) return
        for (let cut = 0; cut < bytes.length; cut += 3) expect(() => codec.decode(bytes.slice(0, cut))).toThrow(CORRUPT)
        const damaged = Uint8Array.from(bytes)
        damaged[place % bytes.length] = byte
        let other: Vector
        try {
          other = codec.decode(damaged)
        } catch (error) {
          expect(error).toEqual(CORRUPT)
          return
        }
        expect([...codec.encode(other)]).toEqual([...damaged])
      }),
      { numRuns: 500 },
    )
  })

  test.each([
    ['a bit beyond its layout', '10'],
    ['NaN', '01000000000000f87f'],
    ['-0', '010000000000000080'],
    ['an infinite float', '01000000000000f07f'],
    ['half a character', '020100c3'],
    ['an id that is too long', `020102${'61'.repeat(513)}`],
    ['an empty list', '040000'],
  ])('with %s are corrupt', (_, hex) => {
    expect(() => vectorCodec(LAYOUT).decode(Buffer.from(hex, 'hex'))).toThrow(CORRUPT)
  })

  test('are refused where a value is not of its type', () => {
    const encode = (vector: Vector) => () => vectorCodec(LAYOUT).encode(vector)
    const [a, b, c] = [undefined, undefined, undefined]
    expect(encode(['1', a, b, c])).toThrow('ad.clicks is of type float')
    expect(encode([a, 1, b, c])).toThrow('ad.last is of type id')
    expect(encode([a, b, [['x', 1]], c])).toThrow('user.pages is of type id_list')
    expect(encode([a, b, [], c])).toThrow('user.pages is of type id_list, and says something')
    expect(encode([Number.NaN, a, b, c])).toThrow('finite')
    expect(encode([a, b, c])).toThrow('a place for each feature')
  })
})

describe('VE3: how large a vector can be', () => {
  const long = 'x'.repeat(VECTOR_ID_BYTES_MAX)

  test('what does not fit is absent', () => {
    expect([fitted(long), fitted(`${long}x`)]).toEqual([long, undefined])
    expect([fitted('é'.repeat(256)), fitted('é'.repeat(257))]).toEqual(['é'.repeat(256), undefined])
    expect(fitted(['a', `${long}x`, 'b'])).toEqual(['a', 'b'])
    expect(fitted([[`${long}x`, 3]])).toBeUndefined()
    expect([fitted(-0), fitted(Number.POSITIVE_INFINITY), fitted(undefined)]).toEqual([0, undefined, undefined])
  })

  test('is known, and reached', () => {
    const largest: Vector = [1, long, Array(3).fill(long), Array(3).fill([long, 1])]
    expect(vectorCodec(LAYOUT).encode(largest).length).toBe(vectorBytesMax(LAYOUT, () => 3))
  })
})

test('VE1: in JSON what is absent is null, and 0 is 0', () => {
  expect(vectorJson(LAYOUT, [0, undefined, ['p'], undefined])).toEqual({
    'ad.clicks': 0,
    'ad.last': null,
    'user.pages': ['p'],
    'user.top': null,
  })
})

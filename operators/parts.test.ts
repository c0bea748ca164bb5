import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { ByteReader, ByteWriter } from './bytes.ts'
import type { Maybe } from './expression.ts'
import {
  copyOf,
  joined,
  type PartSpec,
  type PartState,
  partOf,
  readPart,
  scaled,
  TALLY_IDS_MAX,
  type Tally,
  writePart,
} from './parts.ts'
import { countIds, EXACT_IDS_MAX, type IdSet } from './sketch.ts'

const SPECS: readonly PartSpec[] = [
  { kind: 'count' },
  ...(['values', 'sum', 'squares', 'least', 'greatest'] as const).map((kind) => ({ kind, scale: 1_000_000 })),
  { kind: 'distinct' },
  { kind: 'tally' },
]

const numbers = fc.oneof(fc.double({ min: -9e9, max: 9e9, noNaN: true }), fc.integer(), fc.constantFrom(0, -0, 1e300))
/** More ids than any part keeps, some of them often. */
const ids = fc.oneof(fc.nat(3 * TALLY_IDS_MAX), fc.nat(3)).map((i) => `id${i}`)

function inputsOf({ kind }: PartSpec): fc.Arbitrary<Maybe> {
  if (kind === 'count') return fc.boolean()
  return kind === 'distinct' || kind === 'tally' ? ids : numbers
}

const someInputs = fc
  .constantFrom(...SPECS)
  .chain((spec) =>
    fc.record({ spec: fc.constant(spec), inputs: fc.array(inputsOf(spec), { maxLength: 4 * TALLY_IDS_MAX }) }),
  )

/** The part of some inputs, joined in their order. */
function partOfAll(spec: PartSpec, inputs: readonly Maybe[]): PartState | undefined {
  let whole: PartState | undefined
  for (const input of inputs) whole = joinedOf(spec, whole, partOf(spec, input))
  return whole
}

function joinedOf(spec: PartSpec, to: PartState | undefined, from: PartState | undefined): PartState | undefined {
  if (from === undefined || to === undefined) return to ?? from
  return joined(spec, to, from)
}

function hex(spec: PartSpec, state: PartState | undefined): string {
  if (state === undefined) return 'none'
  const writer = new ByteWriter()
  writePart(spec, state, writer)
  return Buffer.from(writer.done()).toString('hex')
}

describe('PT1: a part is a function of the set of its events', () => {
  test('commutative and associative, and what is joined stays as it is', () => {
    fc.assert(
      fc.property(someInputs, fc.nat(), fc.nat(), ({ spec, inputs }, i, j) => {
        const [first, second] = [i, j].map((cut) => cut % (inputs.length + 1)).sort((a, b) => a - b)
        const cut = [inputs.slice(0, first), inputs.slice(first, second), inputs.slice(second)]
        const parts = () => cut.map((some) => partOfAll(spec, some)) as [PartState?, PartState?, PartState?]
        const whole = hex(spec, partOfAll(spec, inputs))
        const [a, b, c] = parts()
        const [beforeB, beforeC] = [hex(spec, b), hex(spec, c)]
        expect(hex(spec, joinedOf(spec, joinedOf(spec, a, b), c))).toBe(whole)
        if (a !== undefined) expect([hex(spec, b), hex(spec, c)]).toEqual([beforeB, beforeC])
        const [d, e, f] = parts()
        expect(hex(spec, joinedOf(spec, f, joinedOf(spec, e, d)))).toBe(whole)
      }),
      { numRuns: 300 },
    )
  })

  test('a copy is another object with the same bytes, all the way down', () => {
    fc.assert(
      fc.property(someInputs, ids, ({ spec, inputs }, id) => {
        const part = partOfAll(spec, inputs)
        if (part === undefined) return
        const before = hex(spec, part)
        const copy = copyOf(part)
        expect(hex(spec, copy)).toBe(before)
        for (let i = 0; i <= EXACT_IDS_MAX; i++) {
          if (typeof copy === 'object') joined(spec, copy, partOf(spec, `${id} ${i}`)!)
        }
        expect(hex(spec, part)).toBe(before)
      }),
      { numRuns: 300 },
    )
  })

  test('bytes say all there is', () => {
    fc.assert(
      fc.property(someInputs, ({ spec, inputs }) => {
        const part = partOfAll(spec, inputs)
        if (part === undefined) return
        const reader = new ByteReader(Buffer.from(hex(spec, part), 'hex'))
        expect(hex(spec, readPart(spec, reader))).toBe(hex(spec, part))
        expect(reader.atEnd).toBe(true)
      }),
      { numRuns: 300 },
    )
  })
})

describe('what parts are', () => {
  test('of numbers: exact, at their scale', () => {
    fc.assert(
      fc.property(fc.array(numbers, { minLength: 1 }), (inputs) => {
        const units = inputs.map((x) => Math.floor(x * 1e6 + 0.5)).filter(Number.isSafeInteger)
        const exact = units.map(BigInt)
        const part = (kind: 'sum' | 'squares' | 'values' | 'least' | 'greatest') => {
          const state = partOfAll({ kind, scale: 1e6 }, inputs)
          return state === undefined ? undefined : BigInt(state as number | bigint)
        }
        expect(part('sum') === undefined).toBe(units.length === 0)
        if (units.length === 0) return
        expect(part('sum')).toBe(exact.reduce((a, b) => a + b))
        expect(part('squares')).toBe(exact.map((x) => x * x).reduce((a, b) => a + b))
        expect(part('values')).toBe(BigInt(exact.length))
        expect(part('least')).toBe(BigInt(Math.min(...units)))
        expect(part('greatest')).toBe(BigInt(Math.max(...units)))
      }),
    )
  })

  test('a number that no double holds exactly at its scale is not there', () => {
    expect(scaled(9e9, 1e6)).toBe(9e15)
    expect(scaled(9.1e9, 1e6)).toBeUndefined()
    expect(scaled(-0.0000001, 1e6)).toBe(0)
    expect(scaled(2.5, 1)).toBe(3)
    for (const kind of ['values', 'sum', 'squares'] as const)
      expect(partOf({ kind, scale: 1e6 }, 1e300)).toBeUndefined()
  })

  test('inputs of another type add nothing', () => {
    for (const spec of SPECS) expect(partOf(spec, undefined)).toBeUndefined()
    expect(partOf({ kind: 'count' }, false)).toBeUndefined()
    expect(partOf({ kind: 'sum', scale: 1 }, '1')).toBeUndefined()
    expect(partOf({ kind: 'distinct' }, 1)).toBeUndefined()
    expect(partOf({ kind: 'tally' }, true)).toBeUndefined()
  })

  test('of texts: how many, and how often; exact while they are few', () => {
    const few = fc.array(fc.nat(TALLY_IDS_MAX - 1).map(String), { minLength: 1, maxLength: 500 })
    fc.assert(
      fc.property(few, (inputs) => {
        const times = new Map<string, number>()
        for (const id of inputs) times.set(id, (times.get(id) ?? 0) + 1)
        const sorted = (map: Tally) => [...map].sort()
        expect(sorted(partOfAll({ kind: 'tally' }, inputs) as Tally)).toEqual(sorted(times))
        expect(countIds(partOfAll({ kind: 'distinct' }, inputs) as IdSet)).toBe(times.size)
      }),
    )
  })

  test('of many texts as many are kept as may be, and those with all their times', () => {
    const many = fc.array(ids, { minLength: 3 * TALLY_IDS_MAX, maxLength: 8 * TALLY_IDS_MAX })
    fc.assert(
      fc.property(many, fc.nat(), (inputs, cut) => {
        const middle = cut % inputs.length
        const kept = joinedOf(
          { kind: 'tally' },
          partOfAll({ kind: 'tally' }, inputs.slice(0, middle)),
          partOfAll({ kind: 'tally' }, inputs.slice(middle)),
        ) as Tally
        expect(kept.size).toBe(Math.min(TALLY_IDS_MAX, new Set(inputs).size))
        for (const [id, count] of kept) expect(count).toBe(inputs.filter((other) => other === id).length)
      }),
    )
  })
})

// Rows there and back, to the bit; what is no whole row is refused.

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { rowsOf } from '../test/conformance/models.ts'
import { packKeys, packRow, unpackRow } from './packed-rows.ts'
import { FEATURE_VALUE_MAX, ROW_FEATURES_MAX, Rows } from './rows.ts'

const key = fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 })
const value = fc.oneof(
  fc.constantFrom(1, -0, 0, Number.MIN_VALUE, FEATURE_VALUE_MAX, -FEATURE_VALUE_MAX),
  fc.double({ min: -FEATURE_VALUE_MAX, max: FEATURE_VALUE_MAX, noNaN: true }),
)
const row = fc
  .array(fc.tuple(key, value), { maxLength: 40 })
  .map((features) => ({ keys: features.map(([k]) => k), values: features.map(([, v]) => v) }))

const unpacked = (text: string) => {
  const rows = new Rows()
  unpackRow(text, rows)
  return { keys: [...rows.keys.subarray(0, rows.starts[1])], values: [...rows.values.subarray(0, rows.starts[1])] }
}

describe('a packed row', () => {
  it('PR1: is unpacked to the bit, behind others as well', () => {
    fc.assert(
      fc.property(fc.array(row, { minLength: 1, maxLength: 5 }), (list) => {
        const rows = rowsOf(list)
        const again = new Rows()
        for (const i of list.keys()) expect(unpackRow(packRow(rows, i), again)).toBe(i)
        const end = rows.starts[rows.count]!
        expect(again.count).toBe(rows.count)
        expect(again.starts.slice(0, rows.count + 1)).toEqual(rows.starts.slice(0, rows.count + 1))
        expect(again.keys.slice(0, end)).toEqual(rows.keys.slice(0, end))
        for (let j = 0; j < end; j++) expect(Object.is(again.values[j], rows.values[j])).toBe(true)
      }),
    )
  })

  it('PR2: takes 32 characters for the five features of a touch', () => {
    expect(packKeys([1, -2, 3, 4, 5])).toHaveLength(32)
    expect(unpacked(packKeys([1, -2, 3, 4, 5]))).toEqual({ keys: [1, -2, 3, 4, 5], values: [1, 1, 1, 1, 1] })
  })

  it('may have the most features that a row has, with values', () => {
    const features = Array.from({ length: ROW_FEATURES_MAX }, (_, i) => ({ key: i * i, value: i / 7 }))
    const whole = { keys: features.map((f) => f.key), values: features.map((f) => f.value) }
    expect(unpacked(packRow(rowsOf([whole]), 0))).toEqual(whole)
  })

  it('is refused where it is cut anywhere, longer, no base64, of another form or no number', () => {
    const bytes = Buffer.from(packRow(rowsOf([{ keys: [1, 2, 3], values: [1, 2, 3] }]), 0), 'base64')
    const refused = (text: string) => expect(() => unpacked(text), text).toThrow(/STATE_CORRUPT|the input of a row/)
    for (let end = 0; end < bytes.length; end++) refused(bytes.toString('base64', 0, end))
    for (let end = 0; end < 32; end++) refused(packKeys([1, -2, 3, 4, 5]).slice(0, end))
    refused(Buffer.concat([bytes, Buffer.alloc(1)]).toString('base64'))
    refused(Buffer.concat([bytes, Buffer.alloc(12)]).toString('base64'))
    refused(`!${packKeys([1, 2]).slice(1)}`)
    refused(`${packKeys([1, 2])}!!!!`)
    refused(`${packKeys([1, 2])} `)
    refused('A'.repeat(100_000))
    for (const [at, byte] of [
      [0, 0],
      [0, 3],
      [1, 1],
      [2, 2],
    ] as const) {
      const other = Buffer.from(bytes)
      other[at] = byte
      refused(other.toString('base64'))
    }
    const none = Buffer.from(bytes)
    none.writeDoubleLE(Number.NaN, bytes.length - 8)
    refused(none.toString('base64'))
  })
})

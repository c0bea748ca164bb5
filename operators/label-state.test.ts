import { describe, expect, test } from 'vitest'
import { type LaneTotal, type Order, ordersCodec, type TouchTotals, totalsCodec } from './label-state.ts'

describe('state', () => {
  const total: LaneTotal = { goal: '', window: 3, count: 300, value: 7_000_000, corrections: 2, early: null }
  const touch = { type: 'click', id: 't', timeMs: 1_000, campaign: 'k', ad: 'x' } as const
  const order: Order = {
    ...{ id: 'c', timeMs: 1_020, acceptedAt: 1_030, value: 5, currency: 'EUR' },
    credits: [{ touch, lanes: [{ goal: 'g', window: 1 }] }],
  }
  const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex')

  test('has these bytes, and nothing gets lost in them', () => {
    const totals: TouchTotals = [
      total,
      { ...total, goal: 'ä', value: 2n ** 60n, early: { count: 1, value: 2, first: 3 } },
    ]
    expect(hex(totalsCodec.encode([total]))).toBe('010003ac0280feac0d04')
    expect(totalsCodec.decode(totalsCodec.encode(totals))).toEqual(totals)
    expect(hex(ordersCodec.encode([order]))).toBe('010163fc070a05010345555201000174e807016b017801016701')
    const orders = [
      order,
      {
        ...order,
        currency: null,
        credits: [{ ...order.credits[0]!, touch: { ...touch, type: 'impression' as const } }],
      },
    ]
    expect(ordersCodec.decode(ordersCodec.encode(orders))).toEqual(orders)
  })

  test('that is cut short, or of no known touch, halts', () => {
    const bytes = ordersCodec.encode([order])
    for (let length = 0; length < bytes.length; length++)
      expect(() => ordersCodec.decode(bytes.subarray(0, length))).toThrow('state of features')
    const spoiled = Uint8Array.from(bytes)
    spoiled[bytes.length - 13] = 2
    expect(() => ordersCodec.decode(spoiled)).toThrow(/neither click nor impression/)
  })
})

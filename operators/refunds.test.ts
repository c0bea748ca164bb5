// R rows by themselves; with the orders that refunds take back: label-orders.test.ts, labels.test.ts; against the twin: labels-twin.test.ts.

import { expect, test } from 'vitest'
import { LONGEST, ORDER_HORIZON, PIXEL_DELAY, rec, rowsOf, SETTINGS } from '../test/label-records.ts'
import { runOperator } from '../test/operator-harness.ts'
import type { Taken } from './label-orders.ts'
import type { OrderCredit } from './label-state.ts'
import { refunds, refundsCodec } from './refunds.ts'
import type { CreditRecord } from './touch.ts'

const operator = (settings = SETTINGS) => refunds(settings, { output: 'labels', orderHorizonMs: ORDER_HORIZON })
const GRACE = SETTINGS.graceMs

const creditOf = (id: string, windows: readonly number[], goal = ''): OrderCredit => ({
  touch: { type: 'click', id, timeMs: 1_000, campaign: 'k', ad: 'x' },
  lanes: windows.map((window) => ({ goal, window })),
})
const taken = (credits: readonly OrderCredit[], parts: Partial<Taken> = {}): Taken => ({
  ...{ user: 'u', advertiser: 'a', conversionTimeMs: 1_020, count: -1, value: -5_000_000, currency: 'EUR', credits },
  ...parts,
})

test('each touch has rows, numbered by lane, and purchases are told of all lanes at once; a credit passes as it is', () => {
  const credit: CreditRecord = {
    ...{ advertiser: 'a', conversionTimeMs: 1_020, count: 1, value: 7, currency: null },
    lanes: [{ goal: '', window: 0, campaign: 'k', ad: 'x', touchTimeMs: 1_000 }],
  }
  const both = taken([creditOf('t', [0, 4]), creditOf('v', [1])])
  const again = taken([creditOf('t', [4, 3])], { count: 0, value: -1_000_000 })
  const other = taken([creditOf('t', [4])], { user: 'v' })
  const records = [credit, both, again, other].map((value, i) => rec<CreditRecord | Taken>(value, 1_100 + i))
  const { out, emitted, counts } = runOperator(operator(), records, { sliceRecords: 2 })
  expect(rowsOf(emitted.map(({ record }) => record))).toEqual([
    ...['R c 1 0 -1 -5', 'R c2 1 0 -1 -5', 'R v 1 0 -1 -5', 'R c2 2 0 0 -1', 'R cv 1 0 0 -1', 'R c2 1 0 -1 -5'],
  ])
  expect(counts).toEqual({ 'labels.R.c': 1, 'labels.R.c2': 3, 'labels.R.v': 1, 'labels.R.cv': 1 })
  expect(out.map(({ value }) => value)).toEqual([
    credit,
    {
      ...{ advertiser: 'a', conversionTimeMs: 1_020, count: -1, value: -5_000_000, currency: 'EUR' },
      lanes: [0, 4, 1].map((window) => ({ goal: '', window, campaign: 'k', ad: 'x', touchTimeMs: 1_000 })),
    },
    expect.objectContaining({ count: 0, value: -1_000_000 }),
    expect.objectContaining({ count: -1 }),
  ])
})

test('lanes of two goals are two', () => {
  const said = ['g', 'h', 'g'].map((goal, i) => rec(taken([creditOf('t', [0], goal)]), 1_100 + i))
  const { emitted } = runOperator(operator(), said, { sliceRecords: 1 })
  expect(rowsOf(emitted.map(({ record }) => record))).toEqual(['R g c 1 0 -1 -5', 'R h c 1 0 -1 -5', 'R g c 2 0 -1 -5'])
})

test('a refund reads and writes its own touches alone, however many its person has had', () => {
  const many = Array.from({ length: 300 }, (_, i) => rec(taken([creditOf(`t${i}`, [0, 4])]), 1_100 + i))
  const { touched, entries } = runOperator(operator(), many, { sliceRecords: 7 })
  expect(entries).toHaveLength(300)
  expect(Math.max(...entries.map((entry) => entry.length))).toBeLessThan(80)
  // Two buckets of each touch, or one.
  expect(touched.length).toBeLessThanOrEqual(2 * 300)
  expect(new Set(touched.map((key) => /t\d+/.exec(key)?.[0])).size).toBe(300)
})

test('numbers go on as long as another refund may come, wherever buckets end, and are forgotten then', () => {
  const keptMs = LONGEST + PIXEL_DELAY + ORDER_HORIZON + GRACE
  for (let firstAt = keptMs; firstAt < 2 * keptMs; firstAt += 5) {
    const after = (ms: number) => {
      const said = [firstAt, firstAt + ms].map((at) => rec(taken([creditOf('t', [0])]), at))
      const { emitted, entries } = runOperator(operator(), said, { sliceRecords: 1 })
      return [...rowsOf(emitted.map(({ record }) => record)).map((row) => row.slice(0, 5)), entries.length]
    }
    expect([firstAt, ...after(keptMs)]).toEqual([firstAt, 'R c 1', 'R c 2', 1])
    expect([firstAt, ...after(2 * keptMs + 1)]).toEqual([firstAt, 'R c 1', 'R c 1', 1])
  }
})

test('numbers in state: golden bytes', () => {
  const lanes = [
    { goal: '', window: 3, rows: 1 },
    { goal: 'ä', window: 0, rows: 300 },
  ]
  const bytes = refundsCodec.encode(lanes)
  expect(Buffer.from(bytes).toString('hex')).toBe('0200030102c3a400ac02')
  expect(refundsCodec.decode(bytes)).toEqual(lanes)
  for (let length = 0; length < bytes.length; length++)
    expect(() => refundsCodec.decode(bytes.subarray(0, length))).toThrow('state of features')
})

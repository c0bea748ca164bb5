// The small model: its rates by hand, who keeps a slot, and how large its table may be.

import { describe, expect, it } from 'vitest'
import { rowsOf } from '../test/conformance/models.ts'
import { FALLBACK, FALLBACK_BYTES_MAX, Fallback, FallbackCounts } from './fallback.ts'
import { LEAST_P } from './logistic.ts'
import { ALONE } from './windows.ts'

/** Advertiser, campaign, ad, type. */
const row = (...keys: number[]) => ({ keys, values: keys.map(() => 1) })

describe('the fallback', () => {
  it('draws the rate of each key to that of the one before it, from the window on', () => {
    const counts = new FallbackCounts({ ...FALLBACK, windows: 1 })
    const rows = rowsOf([row(1, 2, 3, 4), row(1, 2, 5, 4)])
    for (let i = 0; i < 100; i++) {
      const place = i < 40 ? 0 : 1
      counts.vote(rows, place)
      counts.count(rows, place, 0, { touches: 1, positives: 0 })
      // Known later, without the touch counted again.
      if (i < 10) counts.count(rows, place, 0, { touches: 0, positives: 1 })
    }
    const fallback = new Fallback([ALONE], counts.table())
    let p = 10.5 / 101
    for (const [positives, touches] of [
      [10, 100],
      [10, 100],
      [10, 100],
      [10, 40],
    ] as const)
      p = (positives + 20 * p) / (touches + 20)
    expect(fallback.answer([1, 2, 3, 4], 'click')[0]).toBeCloseTo(p, 12)
    // Of nothing known, the rate of all.
    expect(fallback.answer([91, 92, 93, 94], 'click')[0]).toBeCloseTo(10.5 / 101, 12)
    expect(fallback.answer([], 'impression')[0]).toBeCloseTo(10.5 / 101, 12)
  })

  it('FA2: of keys that meet the frequent one stays', () => {
    const counts = new FallbackCounts({ ...FALLBACK, bits: 8, windows: 1 })
    const [often, rare] = [7, 7 + 256]
    const rows = rowsOf([row(often), row(rare)])
    for (let i = 0; i < 99; i++) {
      const place = i % 3 === 0 ? 1 : 0
      counts.vote(rows, place)
      counts.count(rows, place, 0, { touches: 1, positives: 0 })
    }
    expect(counts.table().keys.map(([key]) => key)).toEqual([often])
    expect(counts.table().base[0]).toBe(99)
  })

  it('is never less of a window than of one within it, and says of one that a kind has not what cannot be', () => {
    const counts = new FallbackCounts({ ...FALLBACK, windows: 2 })
    const rows = rowsOf([row(1, 2, 3, 4)])
    counts.vote(rows, 0)
    for (let i = 0; i < 50; i++) counts.count(rows, 0, 0, { touches: 1, positives: 1 })
    for (let i = 0; i < 50; i++) counts.count(rows, 0, 1, { touches: 1, positives: 0 })
    const within = [
      { click: [0], impression: null },
      { click: [0, 1], impression: [1] },
    ]
    const [short, long] = new Fallback(within, counts.table()).answer([1, 2, 3, 4], 'click')
    expect(short).toBeGreaterThan(0.9)
    expect(long).toBe(short)
    const [none, view] = new Fallback(within, counts.table()).answer([1, 2, 3, 4], 'impression')
    expect(none).toBe(LEAST_P)
    expect(view).toBeLessThan(0.1)
  })

  it('FA1: a table has at most so many bytes, and leaves out whom it counted least', () => {
    const windows = 40
    const counts = new FallbackCounts({ ...FALLBACK, windows })
    for (let key = 0; key < 4_096; key++) {
      const rows = rowsOf([row(key)])
      for (let votes = 0; votes <= (key === 5 ? 2 : key % 2); votes++) counts.vote(rows, 0)
      for (let window = 0; window < windows; window++)
        for (let i = 0; i < 20; i++) counts.count(rows, 0, window, { touches: 1, positives: 1 })
    }
    const table = counts.table()
    const bytes = JSON.stringify(table).length
    expect(bytes).toBeLessThanOrEqual(FALLBACK_BYTES_MAX)
    expect(bytes).toBeGreaterThan(FALLBACK_BYTES_MAX - 1_000)
    expect(table.keys[0]![0]).toBe(5)
    expect(table.keys.length).toBeLessThan(4_096)
    for (const [key] of table.keys.slice(1, 2_000)) expect(key % 2).toBe(1)
  })
})

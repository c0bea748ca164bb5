// The models and windows of contract.md, section 4, against formulas worked by hand and a slow twin that scans for each touch.

import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { candidatesIn, creditsOf, lastTouch } from './attribution-models.ts'
import type { AttributionModel, AttributionWindow } from './attribution-settings.ts'
import type { Touch, TouchType } from './touch.ts'

const DAY_MS = 86_400_000
const T = 1_750_000_000_000
const conversion = { timeMs: T, clickId: null as string | null }

const touchAt = (ageMs: number, parts: Partial<Touch> = {}): Touch => ({
  ...{ kind: 'touch', type: 'click', id: `${ageMs}`, timeMs: T - ageMs, user: 'u', advertiser: 'a' },
  ...{ campaign: 'c', ad: 'x', clickId: null, vector: null },
  ...parts,
})
const shares = (model: AttributionModel, ages: readonly number[]): number[] =>
  creditsOf(
    model,
    conversion,
    ages.map((age) => touchAt(age)),
  ).map(({ credit }) => credit)

describe('a window', () => {
  const ids = (window: AttributionWindow, touches: readonly Touch[]) =>
    candidatesIn(window, conversion, touches).map(({ id }) => id)

  test('includes both its ends, and not a millisecond more', () => {
    const touches = [DAY_MS + 1, DAY_MS, 1, 0, -1].map((age) => touchAt(age))
    expect(ids({ name: '1d', click: DAY_MS }, touches)).toEqual([`${DAY_MS}`, '1', '0'])
    expect(ids({ name: 'none' }, touches)).toEqual([])
  })

  test('has a length for each kind that it names, and no other kind', () => {
    const touches = [touchAt(9, { type: 'impression' }), touchAt(8), touchAt(4, { type: 'impression' }), touchAt(3)]
    expect(ids({ name: 'w', click: 3 }, touches)).toEqual(['3'])
    expect(ids({ name: 'w', impression: 9 }, touches)).toEqual(['9', '4'])
    expect(ids({ name: 'w', click: 8, impression: 4 }, touches)).toEqual(['8', '4', '3'])
  })

  test('with a precedence has candidates of the first kind only that is present within its length', () => {
    const view = touchAt(2, { type: 'impression' })
    const window: AttributionWindow = { name: 'w', click: 5, impression: 5, precedence: ['click', 'impression'] }
    expect(ids(window, [touchAt(4), view])).toEqual(['4'])
    expect(ids(window, [touchAt(6), view])).toEqual(['2'])
    expect(ids({ ...window, precedence: ['impression', 'click'] }, [touchAt(4), view])).toEqual(['2'])
    expect(ids(window, [])).toEqual([])
  })
})

describe('a model', () => {
  test('last_touch prefers the last that the conversion names, of whatever place', () => {
    const touches = [touchAt(9, { clickId: 'k' }), touchAt(8, { clickId: 'k' }), touchAt(3, { clickId: 'other' })]
    expect(lastTouch({ timeMs: T, clickId: 'k' }, touches)!.id).toBe('8')
    expect(lastTouch({ timeMs: T, clickId: 'unknown' }, touches)!.id).toBe('3')
    // A touch without a click_id is not the one of a conversion without one.
    expect(lastTouch(conversion, [touchAt(9), touchAt(3, { clickId: 'other' })])!.id).toBe('3')
    expect(lastTouch(conversion, [])).toBe(null)
    expect(creditsOf({ name: 'last_touch' }, { timeMs: T, clickId: 'k' }, touches)).toEqual([
      { touch: touches[1], credit: 1 },
    ])
  })

  test('first_touch has one line; linear gives all the same', () => {
    expect(creditsOf({ name: 'first_touch' }, conversion, [touchAt(9), touchAt(3)])).toMatchObject([
      { touch: { id: '9' }, credit: 1 },
    ])
    expect(shares({ name: 'linear' }, [9, 5, 4, 3])).toEqual([0.25, 0.25, 0.25, 0.25])
  })

  test('time_decay halves with each half-life: 4 : 2 : 1 for ages 0, 1 and 2', () => {
    const model: AttributionModel = { name: 'time_decay', halfLifeMs: 7 * DAY_MS }
    const [oldest, middle, youngest] = shares(model, [14 * DAY_MS, 7 * DAY_MS, 0])
    expect([oldest, middle, youngest]).toEqual([1 / 7, 2 / 7, 4 / 7])
    expect(shares(model, [7 * DAY_MS])).toEqual([1])
  })

  test('time_decay with ages far beyond the half-life has numbers that sum to 1', () => {
    expect(shares({ name: 'time_decay', halfLifeMs: 1 }, [28 * DAY_MS, 20 * DAY_MS])).toEqual([0, 1])
    expect(shares({ name: 'time_decay', halfLifeMs: 1 }, [28 * DAY_MS, 28 * DAY_MS])).toEqual([0.5, 0.5])
  })

  test('position with one, two and more touches', () => {
    const model: AttributionModel = { name: 'position', first: 0.4, middle: 0.2, last: 0.4 }
    expect(shares(model, [1])).toEqual([1])
    expect(shares(model, [2, 1])).toEqual([0.5, 0.5])
    expect(shares(model, [3, 2, 1])).toEqual([0.4, 0.2, 0.4])
    expect(shares(model, [4, 3, 2, 1])).toEqual([0.4, 0.1, 0.1, 0.4])
    expect(shares({ name: 'position', first: 0.6, middle: 0.2, last: 0.2 }, [2, 1])).toEqual([0.6 / 0.8, 0.2 / 0.8])
    expect(shares({ name: 'position', first: 0, middle: 1, last: 0 }, [2, 1])).toEqual([0.5, 0.5])
  })

  test('says nothing without candidates', () => {
    for (const name of ['last_touch', 'first_touch', 'linear'] as const)
      expect(creditsOf({ name }, conversion, [])).toEqual([])
    expect(creditsOf({ name: 'time_decay', halfLifeMs: 1 }, conversion, [])).toEqual([])
    expect(creditsOf({ name: 'position', first: 0.4, middle: 0.2, last: 0.4 }, conversion, [])).toEqual([])
  })
})

describe('on random touches', () => {
  const type = fc.constantFrom<TouchType>('click', 'impression')
  const lengths = fc.record({ click: fc.nat(60), impression: fc.nat(60) }, { requiredKeys: [] })
  const window: fc.Arbitrary<AttributionWindow> = fc
    .tuple(lengths, fc.constantFrom(undefined, ['click', 'impression'] as const, ['impression', 'click'] as const))
    .map(([given, precedence]) => ({ name: 'w', ...given, ...(precedence && { precedence }) }))
  const touches = fc
    .array(fc.tuple(fc.integer({ min: -5, max: 70 }), type, fc.constantFrom(null, 'k', 'l')), { maxLength: 12 })
    .map((rows) =>
      rows
        .map(([age, kind, clickId], i) => touchAt(age, { type: kind, clickId, id: `e${i}` }))
        .sort((a, b) => a.timeMs - b.timeMs || (a.type < b.type ? -1 : a.type > b.type ? 1 : a.id < b.id ? -1 : 1)),
    )
  const clickId = fc.constantFrom(null, 'k', 'none')

  test('a window and last_touch are what a scan of every touch finds', () => {
    fc.assert(
      fc.property(window, touches, clickId, (w, all, id) => {
        const isMatch = (t: Touch) => t.timeMs <= T && t.timeMs >= T - (w[t.type] ?? -1) && w[t.type] !== undefined
        const kinds = w.precedence ?? []
        const taken = all.filter((t) => {
          if (!isMatch(t)) return false
          const better = kinds.slice(0, Math.max(0, kinds.indexOf(t.type)))
          return !all.some((other) => isMatch(other) && better.includes(other.type))
        })
        expect(candidatesIn(w, conversion, all)).toEqual(taken)
        let last: Touch | null = null
        for (const t of taken) if (last === null || t.clickId === id || last.clickId !== id || id === null) last = t
        expect(lastTouch({ timeMs: T, clickId: id }, taken)).toBe(last)
      }),
    )
  })

  test('credits are at least 0, in the order of candidates, and sum to 1 within 1e-9', () => {
    const share = fc.double({ min: 0, max: 1, noNaN: true })
    const model: fc.Arbitrary<AttributionModel> = fc.oneof(
      fc.constantFrom<AttributionModel>({ name: 'linear' }, { name: 'last_touch' }, { name: 'first_touch' }),
      fc.integer({ min: 1, max: 366 * DAY_MS }).map((halfLifeMs) => ({ name: 'time_decay' as const, halfLifeMs })),
      fc.tuple(share, share).map(([a, b]) => {
        const [low, high] = a < b ? [a, b] : [b, a]
        return { name: 'position' as const, first: low, middle: high - low, last: 1 - high }
      }),
    )
    const ages = fc.array(fc.integer({ min: 0, max: 366 * DAY_MS }), { minLength: 1, maxLength: 50 })
    fc.assert(
      fc.property(model, ages, (m, given) => {
        const all = given.sort((a, b) => b - a).map((age, i) => touchAt(age, { id: `e${i}` }))
        const credits = creditsOf(m, conversion, all)
        expect(credits.every(({ credit }) => credit >= 0)).toBe(true)
        expect(Math.abs(credits.reduce((sum, { credit }) => sum + credit, 0) - 1)).toBeLessThanOrEqual(1e-9)
        const places = credits.map(({ touch }) => all.indexOf(touch))
        expect(places).toEqual([...places].sort((a, b) => a - b))
      }),
    )
  })
})

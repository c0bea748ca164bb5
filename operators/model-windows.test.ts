// Which windows contain which: the default ones by hand, and random ones beside who is credited.

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { attributionSettings, readAttribution } from './attribution-declaration.ts'
import { candidatesIn, lastTouch } from './attribution-models.ts'
import { ATTRIBUTION_DEFAULT, type AttributionWindow } from './attribution-settings.ts'
import { contains, modelWindows } from './model-windows.ts'
import type { Touch, TouchType } from './touch.ts'

const DAY_MS = 86_400_000
const T = 1_000

describe('the windows of a model', () => {
  it('are the configured ones with those within each, for clicks and for impressions', () => {
    const { windows, configured, judged } = modelWindows(ATTRIBUTION_DEFAULT)
    const of = (kind: TouchType) =>
      windows.map(({ name, [kind]: within }) => [name, within?.map((i) => windows[i]!.name) ?? null])
    expect(of('click')).toEqual([
      ['1d_click', ['1d_click']],
      ['7d_click', ['1d_click', '7d_click', '7d_click_1d_view']],
      ['28d_click', ['1d_click', '7d_click', '28d_click', '7d_click_1d_view']],
      ['1d_view', null],
      ['7d_click_1d_view', ['1d_click', '7d_click', '7d_click_1d_view']],
    ])
    // A click within 7 days takes the credit of a view in the last one only.
    expect(of('impression').slice(3)).toEqual([
      ['1d_view', ['1d_view', '7d_click_1d_view']],
      ['7d_click_1d_view', ['7d_click_1d_view']],
    ])
    expect([configured, judged]).toEqual([[0, 1, 2, 3, 4], 2])
    expect(windows[3]!.horizonMs).toBe(DAY_MS + ATTRIBUTION_DEFAULT.graceMs)
  })

  it('are not those that no O row speaks of, nor kinds of touches in which one is as short', () => {
    const short = ATTRIBUTION_DEFAULT.shortWaitMs
    const settings = {
      ...ATTRIBUTION_DEFAULT,
      windows: [
        { name: 'hour', click: short },
        { name: 'day', click: DAY_MS, impression: short },
      ],
    }
    const { windows, configured } = modelWindows(settings)
    expect(windows).toMatchObject([{ name: 'day', click: [0], impression: null }])
    expect(configured).toEqual([1])
  })
})

it('there are some wherever attribution is configured: windows that all end within the short wait are refused there', () => {
  const length = fc.integer({ min: 1_000, max: 1_004 })
  const window = fc.record({ click: length, impression: length }, { requiredKeys: [] })
  const declared = fc.tuple(fc.array(window, { minLength: 1, maxLength: 3 }), length)
  const seen = { refused: 0, learned: 0 }
  for (const [windows, shortWait] of fc.sample(declared, { numRuns: 2_000, seed: 1 })) {
    if (windows.some((each) => Object.keys(each).length === 0)) continue
    const value = { windows: windows.map((each, i) => ({ name: `w${i}`, ...each })), shortWait }
    const isRefused = windows.every(({ click = 0, impression = 0 }) => Math.max(click, impression) <= shortWait)
    if (isRefused) {
      expect(() => readAttribution(value)).toThrow(/attribution.shortWait must be shorter than the longest window/)
      seen.refused++
      continue
    }
    const read = readAttribution(value)
    expect(read === 'off' ? [] : modelWindows(attributionSettings(read)).windows).not.toEqual([])
    seen.learned++
  }
  expect(Math.min(seen.refused, seen.learned)).toBeGreaterThan(100)
})

describe('on random windows and touches', () => {
  // Even, so that there are ages between any two: of touches of one millisecond the impression is the later one.
  const length = fc.constantFrom(2, 4, 6, 8)
  const type = fc.constantFrom<TouchType>('click', 'impression')
  const precedence = fc.constantFrom(undefined, ['click', 'impression'] as const, ['impression', 'click'] as const)
  const window: fc.Arbitrary<AttributionWindow> = fc
    .tuple(fc.record({ click: length, impression: length }, { requiredKeys: [] }), precedence)
    .map(([lengths, order]) => ({ name: 'w', ...lengths, ...(order && { precedence: order }) }))
  const touches = fc
    .array(fc.tuple(fc.nat(10), type), { maxLength: 4 })
    .map((list) =>
      list
        .map(([age, kind], i) => ({ type: kind, timeMs: T - age, id: `t${i}`, clickId: null }) as unknown as Touch)
        .sort((a, b) => a.timeMs - b.timeMs || (a.type < b.type ? -1 : a.type > b.type ? 1 : a.id < b.id ? -1 : 1)),
    )
  const creditedIn = (of: AttributionWindow, all: readonly Touch[]): Touch | null => {
    const conversion = { timeMs: T, clickId: null }
    return lastTouch(conversion, candidatesIn(of, conversion, all))
  }

  it('MW1: whoever is credited in a window is credited in those that contain it', () => {
    fc.assert(
      fc.property(window, window, touches, (outer, inner, all) => {
        const touch = creditedIn(inner, all)
        if (touch === null || !contains(outer, inner, touch.type)) return
        expect(creditedIn(outer, all)).toBe(touch)
      }),
      { numRuns: 20_000 },
    )
  })

  it('where one is said not to contain another, somebody is credited there and not here', () => {
    const seldom = fc.sample(touches, { numRuns: 8_000, seed: 1 })
    for (const [outer, inner] of fc.sample(fc.tuple(window, window), { numRuns: 120, seed: 2 }))
      for (const kind of ['click', 'impression'] as const) {
        if (inner[kind] === undefined || contains(outer, inner, kind)) continue
        const isCounterexample = (all: readonly Touch[]) => {
          const touch = creditedIn(inner, all)
          return touch?.type === kind && creditedIn(outer, all) !== touch
        }
        expect(seldom.some(isCounterexample), JSON.stringify([outer, inner, kind])).toBe(true)
      }
  })
})

import { describe, expect, test } from 'vitest'
import { ATTRIBUTION_DEFAULT, coversTouch, lengthFor, longestWindowMs } from './attribution-settings.ts'
import { groupOf, keyOf, type Touch, touchKey } from './touch.ts'

const touch: Touch = {
  ...{ kind: 'touch', type: 'click', id: 'e', timeMs: 5, user: 'u', advertiser: 'a', campaign: 'c', ad: 'x' },
  ...{ clickId: null, vector: null },
}

describe('a touch', () => {
  test('has a key that no other has, and the group of its person and advertiser', () => {
    expect(keyOf('a', 'bc')).not.toBe(keyOf('ab', 'c'))
    expect(groupOf(touch)).toBe(groupOf({ ...touch, id: 'f', timeMs: 6 }))
    const others = [{ user: 'v' }, { advertiser: 'b' }, { timeMs: 6 }, { type: 'impression' as const }, { id: 'f' }]
    expect(new Set([touch, ...others.map((other) => ({ ...touch, ...other }))].map(touchKey)).size).toBe(6)
  })

  test('is in the default windows that name its kind', () => {
    const of = (type: 'click' | 'impression') =>
      ATTRIBUTION_DEFAULT.windows.filter((window) => lengthFor(window, type) !== null).map(({ name }) => name)
    expect(of('click')).toEqual(['1d_click', '7d_click', '28d_click', '7d_click_1d_view'])
    expect(of('impression')).toEqual(['1d_view', '7d_click_1d_view'])
    expect(longestWindowMs(ATTRIBUTION_DEFAULT)).toBe(28 * 86_400_000)
  })
  test('is covered by a goal that restricts nothing, and by one whose every restriction it meets', () => {
    expect(coversTouch({ name: 'any' }, touch)).toBe(true)
    expect(coversTouch({ name: 'met', advertiser: 'a', campaigns: ['b', 'c'], ads: ['x'] }, touch)).toBe(true)
    for (const other of [{ advertiser: 'b' }, { campaigns: ['d'] }, { ads: ['y'] }, { ads: [] }])
      expect(coversTouch({ name: 'other', ...other }, touch)).toBe(false)
  })
})

import { describe, expect, test } from 'vitest'
import {
  attributionSettings,
  DECLARATION_DEFAULT,
  GOALS_BYTES_MAX,
  GOALS_MAX,
  LANES_MAX,
  readAttribution,
  WINDOW_MS_MAX,
  WINDOWS_MAX,
} from './attribution-declaration.ts'
import { ATTRIBUTION_DEFAULT } from './attribution-settings.ts'

const DAY_MS = 86_400_000
/** What is said of a declaration that is refused. */
function refusal(value: unknown): string {
  try {
    readAttribution(value)
  } catch (error) {
    expect(error).toBeInstanceOf(RangeError)
    return (error as Error).message
  }
  return 'it was taken'
}
const windows = (...given: object[]) => refusal({ windows: given })
const goals = (...given: object[]) => refusal({ goals: given })
const named = (count: number, more: object = {}) =>
  Array.from({ length: count }, (_, i) => ({ name: `n${i}`, ...more }))
const isLead = { op: 'equal', args: [{ field: 'source', as: 'text' }, { constant: 'crm' }] } as const

describe('a declaration', () => {
  test('is what the contract says where nothing is said, and may be off', () => {
    expect(readAttribution(undefined)).toEqual(DECLARATION_DEFAULT)
    expect(readAttribution({})).toEqual(DECLARATION_DEFAULT)
    expect(attributionSettings(DECLARATION_DEFAULT)).toEqual(ATTRIBUTION_DEFAULT)
    expect(readAttribution('off')).toBe('off')
  })

  test('has lengths of time as texts or milliseconds, and one whole form, which is a declaration itself', () => {
    const said = {
      windows: [
        { name: '30m', click: '30m' },
        { name: 'long', click: '90d', impression: '24h', precedence: ['impression', 'click'] },
      ],
      models: ['linear', { name: 'time_decay', halfLife: '3d' }, 'position', { name: 'last_touch' }],
      goals: [
        { name: 'crm', advertiser: 'a', pixels: ['p'], types: ['lead', 'conversion'], where: isLead, campaigns: ['c'] },
        { name: 'any', ads: ['x'] },
      ],
      ...{ grace: '60s', pixelDelay: 0, shortWait: '90m', clickHorizon: '90d', lateTouches: 'revise' },
    }
    const whole = readAttribution(said)
    expect(readAttribution(JSON.parse(JSON.stringify(whole)))).toEqual(whole)
    if (whole === 'off') throw new Error('it is on')
    expect(attributionSettings(whole)).toEqual({
      windows: [
        { name: '30m', click: 1_800_000 },
        { name: 'long', click: 90 * DAY_MS, impression: DAY_MS, precedence: ['impression', 'click'] },
      ],
      models: [
        { name: 'linear' },
        { name: 'time_decay', halfLifeMs: 3 * DAY_MS },
        { name: 'position', first: 0.4, middle: 0.2, last: 0.4 },
        { name: 'last_touch' },
      ],
      goals: said.goals,
      ...{ graceMs: 60_000, pixelDelayMs: 0, shortWaitMs: 5_400_000, clickHorizonMs: 90 * DAY_MS },
      lateTouches: 'revise',
    })
    const time = (name: string) => readAttribution({ models: [{ name, halfLife: '7d' }] })
    expect(readAttribution({ models: ['time_decay'] })).toEqual(time('time_decay'))
  })

  test('may have as many windows, goals and lanes as their limits say, and not one more', () => {
    expect(refusal({ windows: named(WINDOWS_MAX, { click: '1d' }) })).toBe('it was taken')
    expect(refusal({ windows: named(WINDOWS_MAX + 1, { click: '1d' }) })).toContain(`a list of 1 to ${WINDOWS_MAX}`)
    const one = { windows: [{ name: 'w', click: '1d' }] }
    expect(refusal({ ...one, goals: named(GOALS_MAX) })).toBe('it was taken')
    expect(refusal({ ...one, goals: named(GOALS_MAX + 1) })).toContain(`attribution.goals must be a list of 0 to`)
    const lanes = (more: number) => ({ windows: named(8, { click: '1d' }), goals: named(LANES_MAX / 8 + more) })
    expect(refusal(lanes(0))).toBe('it was taken')
    expect(refusal(lanes(1))).toMatch(/^attribution.goals must be fewer: .* at most 256, not 33 for 8 windows$/)
    const ads = Array.from({ length: 999 }, (_, i) => `${i}`.padStart(20, '0'))
    expect(goals({ name: 'g', ads })).toMatch(`attribution.goals must be at most ${GOALS_BYTES_MAX} bytes of JSON, not`)
    expect(goals({ name: 'g', ads: Array(1_001).fill('x') })).toBe(
      'attribution.goals[0].ads must be a list of 1 to 1000',
    )
    expect(windows({ name: 'w', click: WINDOW_MS_MAX })).toContain('attribution.clickHorizon must be at least')
    expect(windows({ name: 'w', click: WINDOW_MS_MAX + 1 })).toContain('attribution.windows[0].click must be')
  })
})

describe('what is refused is named, with what would be right', () => {
  const click = (value: unknown) =>
    `attribution.windows[1].click must be a length of time like "28d", "1h", "300s" or 1 to 31622400000 ms, not ${value}`

  test('windows', () => {
    for (const length of [0, -1, '0d', '-1d', 1.5, '1w', null, true, Number.NaN, '', {}])
      expect(windows({ name: 'a', click: '1d' }, { name: 'b', click: length })).toBe(click(JSON.stringify(length)))
    expect(refusal({ windows: [] })).toBe('attribution.windows must be a list of 1 to 64')
    expect(refusal({ windows: {} })).toBe('attribution.windows must be a list of 1 to 64')
    expect(windows({ name: 'a' })).toBe('attribution.windows[0] must have a length for "click", "impression" or both')
    expect(windows({ name: 'a', view: '1d' })).toBe(
      'attribution.windows[0] must have no field "view"; there are name, click, impression, precedence',
    )
    for (const name of [undefined, '', 'a b', 'a"', 'é', 'x'.repeat(65), 7])
      expect(windows({ name, click: '1d' })).toBe(
        'attribution.windows[0].name must be a name of its own, 1 to 64 of [A-Za-z0-9_-]',
      )
    expect(windows({ name: 'a', click: '1d' }, { name: 'a', click: '2d' })).toBe(
      'attribution.windows[1].name must be a name of its own: "a" is there already',
    )
    const order = (precedence: unknown) => windows({ name: 'a', click: '1d', precedence })
    const places = 'attribution.windows[0].precedence'
    expect(order(['impression'])).toBe(`${places} must name each kind of the window once: click`)
    expect(order(['click', 'click'])).toBe(`${places} must name each kind of the window once: click`)
    expect(order(['view'])).toBe(`${places}[0] must be one of "click", "impression", not "view"`)
    expect(order([])).toBe(`${places} must be a list of 1 to 2`)
    expect(windows({ name: 'a', click: '1d', impression: '1d', precedence: ['click'] })).toContain(
      'must name each kind of the window once: click, impression',
    )
  })

  test('models', () => {
    const models = (...given: unknown[]) => refusal({ models: given })
    expect(models('best')).toContain('attribution.models[0].name must be one of "last_touch", "first_touch", "linear",')
    expect(models(7)).toContain('attribution.models[0] must be a model, one of "last_touch",')
    expect(models('linear', { name: 'linear' })).toContain('attribution.models[1].name must be a name of its own')
    expect(models({ name: 'linear', halfLife: '7d' })).toContain('attribution.models[0] must have no field "halfLife"')
    expect(models({ name: 'time_decay', halfLife: 0 })).toContain('attribution.models[0].halfLife must be a length')
    const position = (first: unknown, middle: unknown, last: unknown) =>
      models({ name: 'position', first, middle, last })
    const sum = 'attribution.models[0] must have shares first, middle and last that sum to 1'
    expect(position(0.4, 0.2, 0.5)).toContain(`${sum}, not 1.1`)
    expect(position(0.4, 0.2, 0.4 + 2e-9)).toContain(sum)
    expect(position(0.1, 0.2, 0.7 + 5e-10)).toBe('it was taken')
    expect(position(-0.5, 1, 0.5)).toBe('attribution.models[0].first must be a share from 0 to 1')
    expect(position(0.5, undefined, 0.5)).toBe('attribution.models[0].middle must be a share from 0 to 1')
  })

  test('goals', () => {
    expect(goals({ name: 'a' }, { name: 'a' })).toContain('attribution.goals[1].name must be a name of its own')
    expect(goals({ name: '' })).toContain('attribution.goals[0].name must be a name of its own')
    expect(goals({ name: 'a', types: ['click'] })).toBe(
      'attribution.goals[0].types[0] must be one of "add_to_cart", "checkout", "lead", "conversion", not "click"',
    )
    expect(goals({ name: 'a', types: ['lead', 'lead'] })).toBe('attribution.goals[0].types must name a type once')
    expect(goals({ name: 'a', types: [] })).toContain('attribution.goals[0].types must be a list of 1 to')
    expect(goals({ name: 'a', advertiser: '' })).toBe('attribution.goals[0].advertiser must be an id of 1 to 128 bytes')
    expect(goals({ name: 'a', pixels: ['p', 7] })).toContain('attribution.goals[0].pixels[1] must be an id')
    expect(goals({ name: 'a', country: 'de' })).toContain(
      'attribution.goals[0] must have no field "country"; there are',
    )
    const where = (condition: unknown) => goals({ name: 'a', where: condition })
    const at = 'attribution.goals[0].where'
    expect(where({ field: 'value', as: 'number' })).toBe(`${at} must be true or false of an event, not a number`)
    expect(where({ feature: 'user.clicks' })).toBe(`${at}: an expression over events names no feature`)
    expect(where({ op: 'less', args: [{ constant: 1 }, { constant: 'x' }] })).toContain(`${at}: less takes`)
    expect(where({ op: 'not', args: [{ constant: true, field: 'x', as: 'truth' }] })).toContain(
      `${at}.not[0]: "constant"`,
    )
    expect(where('true')).toBe(`${at}: an expression is an object`)
  })

  test('times, and how they go together', () => {
    expect(refusal({ grace: '500' })).toContain('attribution.grace must be a length of time')
    expect(refusal({ grace: 999 })).toContain('attribution.grace must be')
    expect(refusal({ grace: '2d' })).toContain('attribution.grace must be')
    expect(refusal({ shortWait: 0 })).toContain('attribution.shortWait must be')
    expect(refusal({ pixelDelay: -1 })).toContain('attribution.pixelDelay must be')
    expect(refusal({ shortWait: '28d' })).toBe(
      'attribution.shortWait must be shorter than the longest window (2419200000 ms), not 2419200000 ms',
    )
    expect(refusal({ clickHorizon: '35d' })).toBe('it was taken')
    expect(refusal({ clickHorizon: 35 * DAY_MS - 1 })).toBe(
      'attribution.clickHorizon must be at least the longest window and pixelDelay together (3024000000 ms), not 3023999999 ms: holds would outlive their click',
    )
    expect(refusal({ lateTouches: 'ignore' })).toBe(
      'attribution.lateTouches must be one of "count", "revise", not "ignore"',
    )
    expect(refusal({ window: [] })).toContain('attribution must have no field "window"; there are windows, models')
    for (const value of [null, 7, 'on', []]) expect(refusal(value)).toContain('attribution must be "off" or an object')
  })
})

// The oracle of attribution and labels against what was worked out by hand from the contract and docs/joiner.md.

import { describe, expect, test } from 'vitest'
import { lanesOf } from './goals.ts'
import { labelRows } from './label-rows.ts'
import { ATTRIBUTION, type Attribution, attributionOf, DEFAULTS, recompute, type Settings } from './oracle.ts'
import type { Expected } from './recompute.ts'

const SECOND = 1_000
const MINUTE = 60 * SECOND
const HOUR = 60 * MINUTE
const DAY = 24 * HOUR
const GRACE = 5 * MINUTE
const T = 1_740_268_800_000

type Fields = { readonly [name: string]: unknown }

const event = (type: string, id: string, at: number, more: Fields = {}): Fields => {
  const ids = { type, event_id: id, event_time: T + at, user_id: 'u', advertiser_id: 'a' }
  return { ...ids, ad_id: 'ad', campaign_id: 'c', ...more }
}
const click = (id: string, at: number, more?: Fields) => event('click', id, at, { click_id: `k-${id}`, ...more })
const view = (id: string, at: number, more?: Fields) => event('impression', id, at, more)
const buy = (id: string, at: number, more?: Fields) => event('conversion', id, at, { value: 10, ...more })
/** Moves the watermark to a time and beyond everything that waits for it. */
const clock = (at: number) => event('consent', `clock-${at}`, at + 10 * MINUTE + 1, { user_id: 'clock' })

function of(events: readonly Fields[], attribution: Partial<Attribution> = {}, settings: Partial<Settings> = {}) {
  const file = Buffer.from(events.map((fields) => `${JSON.stringify(fields)}\n`).join(''))
  return recompute(file, { ...DEFAULTS, ...settings, attribution: { ...ATTRIBUTION, ...attribution } })
}

const one = (window: Attribution['windows'][number]): Partial<Attribution> => ({ windows: [window] })
const DAY_CLICK = one({ name: 'w', click: DAY })

/** `conversion -> touch`, of one window and last touch. */
function credits({ attributed }: Expected, window = 0): string[] {
  return attributed!.attributions
    .filter(({ lane, model }) => lane === window && model === 'last_touch')
    .map(({ event, touch }) => `${event.eventId} -> ${touch?.event.eventId ?? 'nobody'}`)
}

/** `touch kind y count value`, of one window. */
function rows({ attributed, summary }: Expected, window = 0): string[] {
  return [...labelRows(attributed!.touches, attributed!.settings, summary.as_of)]
    .filter(({ lane }) => lane === window)
    .map((row) => `${row.touch.event.eventId} ${row.kind} ${row.y} ${row.count} ${Number(row.valueMicro) / 1e6}`)
}

describe('whose a conversion is', () => {
  const ownerOf = (events: readonly Fields[], attribution?: Partial<Attribution>) =>
    of(events, attribution).attributed!.attributions[0]!.user
  const carrying = (more: Fields = {}) => buy('x', 10, { click_id: 'k', user_id: 'own', ...more })
  const clickOf = (user: string, at: number) => click(`${user}${at}`, at, { click_id: 'k', user_id: user })

  test.each<[string, Fields[], string]>([
    ['without a known click its own', [carrying()], 'own'],
    ['with neither the click itself', [carrying({ user_id: null })], 'click:k'],
    ['of the first click', [clickOf('v', 2), clickOf('w', 1), carrying()], 'w'],
    ['its own where a click is its own', [clickOf('v', 1), clickOf('own', 2), carrying()], 'own'],
    ['of a click up to the grace after it', [carrying(), clickOf('v', 10 + GRACE)], 'v'],
    ['not of one a millisecond later', [carrying(), clickOf('v', 11 + GRACE)], 'own'],
    ['without a click_id its own', [clickOf('v', 1), carrying({ click_id: null })], 'own'],
  ])('%s', (_, events, owner) => expect(ownerOf(events)).toBe(owner))

  test('a late one knows the clicks before it, not those that come after', () => {
    const late = { ...carrying(), event_time: T - DAY }
    expect(ownerOf([clock(DAY), { ...clickOf('v', 1), event_time: T - DAY }, late])).toBe('v')
    expect(ownerOf([clock(DAY), late, clock(DAY + 1), { ...clickOf('v', 1), event_time: T - DAY }])).toBe('own')
  })

  test('a click is remembered for as long as is said, by event time', () => {
    const at = (ms: number) => ownerOf([clickOf('v', 0), buy('x', ms, { click_id: 'k' })], { clickHorizonMs: HOUR })
    expect([at(HOUR), at(HOUR + 1)]).toEqual(['v', 'u'])
  })

  test('duplicates are found under the user that was found', () => {
    const twice = [clickOf('v', 1), carrying({ user_id: 'w' }), buy('x', 9, { user_id: 'v' })]
    const { summary } = of(twice)
    expect(summary).toMatchObject({ accepted: 2, duplicates: 1 })
    expect(of([clickOf('v', 1), carrying({ order_id: 'o' }), buy('y', 20, { user_id: 'v', order_id: 'o' })]).summary)
      // The second is judged in its own place, the first where it was resolved, after it.
      .toMatchObject({ accepted: 2, duplicates: 1 })
  })
})

describe('who is credited', () => {
  test.each([
    [0, 't'],
    [DAY, 't'],
    [DAY + 1, 'nobody'],
    [-1, 'nobody'],
  ])('%d ms after the click: %s', (ms, touch) => {
    expect(credits(of([click('t', 0), buy('x', ms)], DAY_CLICK))).toEqual([`x -> ${touch}`])
  })

  test('not who is of another person or advertiser, nor a kind that the window does not name', () => {
    for (const more of [{ user_id: 'v' }, { advertiser_id: 'b' }])
      expect(credits(of([click('t', 0, more), buy('x', 1)], DAY_CLICK))).toEqual(['x -> nobody'])
    expect(credits(of([view('t', 0), buy('x', 1)], DAY_CLICK))).toEqual(['x -> nobody'])
  })

  test('the last one, or the one whose click it carries', () => {
    const touches = [click('t1', 0), click('t2', 1), view('t3', 2)]
    const windows = [{ name: 'w', click: DAY, impression: DAY }]
    expect(credits(of([...touches, buy('x', 3)], { windows }))).toEqual(['x -> t3'])
    expect(credits(of([...touches, buy('x', 3, { click_id: 'k-t1' })], { windows }))).toEqual(['x -> t1'])
  })

  test('of one time the order is that of type and id', () => {
    const windows = [{ name: 'w', click: DAY, impression: DAY }]
    const touches = [view('a', 0), click('z', 0), click('😀', 0), click('\uffee', 0)]
    expect(credits(of([...touches, buy('x', 1)], { windows }))).toEqual(['x -> a'])
    expect(credits(of([...touches, buy('x', 1)], DAY_CLICK))).toEqual(['x -> 😀'])
  })

  test('a kind that goes first shuts the others out, where it is there', () => {
    const windows = [{ name: 'w', click: HOUR, impression: DAY, precedence: ['click', 'impression'] as const }]
    const touches = [click('t1', 0), view('t2', 1)]
    expect(credits(of([...touches, buy('x', HOUR)], { windows }))).toEqual(['x -> t1'])
    expect(credits(of([...touches, buy('x', HOUR + 1)], { windows }))).toEqual(['x -> t2'])
  })

  test('a touch that comes after the attribution is counted, and changes nothing', () => {
    const late = [
      click('t', 0),
      buy('x', HOUR),
      clock(DAY),
      click('u', HOUR - 1),
      click('v', -DAY),
      click('w', HOUR + 1),
    ]
    const expected = of(late, DAY_CLICK)
    expect(credits(expected)).toEqual(['x -> t'])
    expect(expected.summary.late_touch).toBe(1)
  })

  test('or has it said anew where that is asked: by what is held then, in every window, and labels stay', () => {
    const anew = { ...DAY_CLICK, models: [{ name: 'linear' as const }], lateTouches: 'revise' as const }
    const events = [click('t', 0), buy('x', HOUR), clock(2 * DAY), click('u', 1), click('v', HOUR + 1), click('w', 2)]
    const expected = of(events, anew)
    const said = expected.attributed!.attributions.map(
      ({ revision, touch, credit }) => `${revision} ${touch?.event.eventId} ${credit.toFixed(2)}`,
    )
    expect(said).toEqual(['0 t 1.00', '1 t 0.50', '1 u 0.50', '2 t 0.33', '2 u 0.33', '2 w 0.33'])
    expect(expected.summary).toMatchObject({ late_touch: 2, attributions: { w: 1 } })
    const labels = rows(expected)
    expect(labels.filter((row) => row.startsWith('t'))).toEqual(['t O 1 1 10', 't M 1 1 10'])
    expect(labels.filter((row) => row.startsWith('u'))).toEqual(['u O 0 0 0', 'u M 0 0 0'])
  })

  test('until the attribution is as old as a hold may be', () => {
    const attributedMs = HOUR + GRACE
    // In order time, where a late touch stands behind the watermark.
    const at = (ms: number) =>
      of([buy('x', HOUR), clock(attributedMs + ms - 1), click('u', 0)], DAY_CLICK).summary.late_touch
    expect([at(0), at(1), at(8 * DAY), at(8 * DAY + 1)]).toEqual([0, 1, 1, 0])
  })

  test('a late conversion is credited to what is held, until the hold has gone', () => {
    const keptMs = DAY + 7 * DAY
    const at = (ms: number) => credits(of([click('t', 0), clock(ms), buy('x', HOUR)], DAY_CLICK))
    expect([at(keptMs - 1), at(keptMs)]).toEqual([['x -> t'], ['x -> nobody']])
  })

  test('a late touch is held from its arrival on', () => {
    const at = (ms: number) => credits(of([clock(2 * DAY), click('t', 0), clock(ms), buy('x', HOUR)], DAY_CLICK))
    expect([at(10 * DAY - 1), at(10 * DAY)]).toEqual([['x -> t'], ['x -> nobody']])
  })

  test('nothing goes while the input is drained', () => {
    const short = { windows: [{ name: 'w', click: SECOND }], pixelDelayMs: 0, graceMs: MINUTE }
    expect(credits(of([click('t', 0), buy('x', SECOND)], short))).toEqual(['x -> t'])
    expect(credits(of([click('t', 0), buy('x', SECOND), clock(DAY)], short))).toEqual(['x -> nobody'])
  })

  test('programs are accepted, and neither touch nor conversion', () => {
    const program = { props: { bot: true } }
    const events = [click('t', 0, program), buy('x', 1, { ...program, order_id: 'o' }), buy('r', 2, { refund_of: 'o' })]
    const expected = of(events, {}, { bots: 'mark' })
    expect(expected.summary).toMatchObject({ accepted: 3, refund_unmatched: 1 })
    expect(expected.attributed).toMatchObject({ touches: [], attributions: [] })
    expect(credits(of(events, DAY_CLICK))).toEqual(['x -> t'])
  })
})

describe('credit', () => {
  const sharesOf = (model: Attribution['models'][number], ...times: number[]) =>
    of([...times.map((at, i) => click(`t${i}`, at)), buy('x', 7 * DAY, { click_id: 'k-t0' })], {
      windows: [{ name: 'w', click: 28 * DAY }],
      models: [model],
    }).attributed!.attributions.map(({ touch, credit }) => [touch?.event.eventId ?? null, credit])

  test.each<[Attribution['models'][number], number[], [string, number][]]>([
    [{ name: 'last_touch' }, [0, 1, 2], [['t0', 1]]],
    [{ name: 'first_touch' }, [0, 1, 2], [['t0', 1]]],
    [
      { name: 'linear' },
      [0, 1],
      [
        ['t0', 0.5],
        ['t1', 0.5],
      ],
    ],
    [
      { name: 'time_decay', halfLifeMs: 7 * DAY },
      [0, 7 * DAY],
      [
        ['t0', 1 / 3],
        ['t1', 2 / 3],
      ],
    ],
    [{ name: 'position', first: 0.4, middle: 0.2, last: 0.4 }, [0], [['t0', 1]]],
    [
      { name: 'position', first: 0.4, middle: 0.2, last: 0.4 },
      [0, 1],
      [
        ['t0', 0.5],
        ['t1', 0.5],
      ],
    ],
    [
      { name: 'position', first: 0.4, middle: 0.2, last: 0.4 },
      [0, 1, 2, 3],
      [
        ['t0', 0.4],
        ['t1', 0.1],
        ['t2', 0.1],
        ['t3', 0.4],
      ],
    ],
    [{ name: 'linear' }, [], []],
  ])('%j of %j', (model, times, shares) => {
    const expected = shares.length === 0 ? [[null, 0]] : shares
    const found = sharesOf(model, ...times)
    expect(found.map(([id]) => id)).toEqual(expected.map(([id]) => id))
    found.forEach(([, credit], i) => {
      expect(credit).toBeCloseTo(expected[i]![1] as number, 12)
    })
  })
})

describe('labels', () => {
  const labels = (...events: Fields[]) => rows(of([click('t', 0), ...events], DAY_CLICK))

  test.each<[string, Fields[], string[]]>([
    ['without a conversion', [], ['t O 0 0 0', 't M 0 0 0']],
    ['within the short wait', [buy('x', HOUR)], ['t O 1 1 10', 't M 1 1 10']],
    ['after it', [buy('x', HOUR + 1)], ['t O 0 0 0', 't D 1 1 10', 't M 1 1 10']],
    ['twice within', [buy('x', 1), buy('y', 2, { value: 2.5 })], ['t O 1 2 12.5', 't M 1 2 12.5']],
    ['within and after', [buy('x', 1), buy('y', DAY)], ['t O 1 1 10', 't M 1 2 20']],
    ['after, twice', [buy('x', HOUR * 3), buy('y', HOUR * 2, { value: 1 })], ['t O 0 0 0', 't D 1 1 1', 't M 1 2 11']],
    ['no value, or a negative one of nobody', [buy('x', 1, { value: null })], ['t O 1 1 0', 't M 1 1 0']],
    ['late, before M', [clock(HOUR * 2), buy('x', 1)], ['t O 0 0 0', 't D 1 1 10', 't M 1 1 10']],
    [
      'late, after M',
      [buy('x', DAY), clock(DAY * 2), buy('y', 1), buy('z', 2)],
      ['t O 0 0 0', 't D 1 1 10', 't M 1 1 10', 't C 1 2 20', 't C 1 3 30'],
    ],
    [
      'late, before O, of no matter to it',
      // W is behind the conversion, and O has not spoken.
      [clock(HOUR + MINUTE), buy('x', HOUR + 1)],
      ['t O 0 0 0', 't D 1 1 10', 't M 1 1 10'],
    ],
    [
      'the same, and then O says 1',
      [clock(HOUR + MINUTE), buy('x', HOUR + 1), buy('y', 2, { value: 1 })],
      ['t O 1 1 1', 't M 1 2 11'],
    ],
  ])('%s', (_, events, expected) => expect(labels(...events)).toEqual(expected))

  test('a window up to the short wait has neither O nor D', () => {
    const events = [click('t', 0), buy('x', HOUR)]
    expect(rows(of(events, one({ name: 'w', click: HOUR })))).toEqual(['t M 1 1 10'])
  })

  test('M is due to the millisecond', () => {
    const at = (ms: number) => rows(of([click('t', 0), clock(ms), buy('x', 1)], DAY_CLICK)).slice(2)
    // Late at W + 1: at the time of M it is before M.
    expect(at(DAY + GRACE - 1)).toEqual(['t M 1 1 10'])
    expect(at(DAY + GRACE)).toEqual(['t M 0 0 0', 't C 1 1 10'])
  })

  test('a late touch has its rows on arrival', () => {
    const expected = of([buy('x', 1), clock(2 * DAY), click('t', 0), buy('y', 2)], DAY_CLICK)
    expect(rows(expected)).toEqual(['t O 0 0 0', 't D 1 1 10', 't M 0 0 0', 't C 1 1 10'])
  })

  test('complete is said by the end of the file', () => {
    const complete = (asOf: number) =>
      of([click('t', 0), event('consent', 'end', asOf)], DAY_CLICK).summary.labels!.w!.complete
    expect([complete(DAY + GRACE - 1), complete(DAY + GRACE)]).toEqual([0, 1])
  })
})

test('an anonymous conversion is accepted and joins nothing; one with a click is the click’s', () => {
  const nobody = { user_id: null }
  const events = [click('t', 0), buy('x', 1, nobody), buy('y', 1, { ...nobody, click_id: 'k-t' })]
  const expected = of(events, DAY_CLICK, { anonymous: 'accept' })
  expect(expected.summary.accepted).toBe(3)
  expect(credits(expected)).toEqual(['y -> t'])
})

describe('refunds', () => {
  const order = buy('x', 1, { order_id: 'o' })
  const refunds = (...events: Fields[]) => {
    const expected = of([click('t', 0), ...events], DAY_CLICK)
    return [...rows(expected).slice(2), expected.summary.refund_unmatched]
  }

  test.each<[string, Fields[], (string | number)[]]>([
    ['whole', [order, buy('r', 2, { refund_of: 'o' })], ['t R 0 -1 -10', 0]],
    ['whole without a value', [order, buy('r', 2, { refund_of: 'o', value: null })], ['t R 0 -1 -10', 0]],
    ['whole with 0', [order, buy('r', 2, { refund_of: 'o', value: 0 })], ['t R 0 -1 -10', 0]],
    ['by a negative value', [order, buy('r', 2, { order_id: 'o', value: -10 })], ['t R 0 -1 -10', 0]],
    ['partial', [order, buy('r', 2, { order_id: 'o', value: -4 })], ['t R 0 0 -4', 0]],
    ['more than it was', [order, buy('r', 2, { order_id: 'o', value: -40 })], ['t R 0 -1 -40', 0]],
    [
      'twice',
      [order, buy('r', 2, { refund_of: 'o', value: 3 }), buy('s', 3, { refund_of: 'o', value: 4 })],
      ['t R 0 0 -3', 't R 0 0 -4', 0],
    ],
    ['of an unknown order', [order, buy('r', 2, { refund_of: 'p' })], [1]],
    ['of no order', [order, buy('r', 2, { value: -1 })], [1]],
    ['of another advertiser', [order, buy('r', 2, { refund_of: 'o', advertiser_id: 'b' })], [1]],
    ['of another person', [order, buy('r', 2, { refund_of: 'o', user_id: 'v' })], [1]],
    ['before its order', [buy('r', 0, { refund_of: 'o' }), order], [1]],
    [
      'of an order that nobody is credited with',
      [buy('x', DAY * 2, { order_id: 'o' }), buy('r', DAY * 3, { refund_of: 'o' })],
      [0],
    ],
    ['late', [order, clock(DAY), buy('r', 2, { refund_of: 'o' })], ['t R 0 -1 -10', 0]],
  ])('%s', (_, events, expected) => expect(refunds(...events)).toEqual(expected))

  test('late, before its order is attributed: nothing is credited yet', () => {
    const events = [buy('x', HOUR, { order_id: 'o' }), clock(HOUR + MINUTE), buy('r', HOUR, { refund_of: 'o' })]
    expect(refunds(...events)).toEqual([0])
  })

  test('due together go in the order of their ids, also where one of them was resolved', () => {
    const other = buy('y', 1, { order_id: 'p' })
    const both = [buy('s', 2, { refund_of: 'o', value: 3 }), buy('r', 2, { refund_of: 'p', value: 4, click_id: 'k' })]
    expect(refunds(order, other, ...both)).toEqual(['t R 0 0 -4', 't R 0 0 -3', 0])
  })

  test('M stays', () => {
    const events = [click('t', 0), order, buy('r', 2, { refund_of: 'o' })]
    expect(rows(of(events, DAY_CLICK)).slice(0, 2)).toEqual(['t O 1 1 10', 't M 1 1 10'])
  })
})

describe('goals', () => {
  const where = { op: 'less', args: [{ constant: 5 }, { field: 'value', as: 'number' }] }
  const { goals } = attributionOf({
    goals: [
      { name: 'big', where },
      { name: 'leads', types: ['lead'], pixels: ['p'] },
      { name: 'of c2', campaigns: ['c2'] },
      { name: 'of b', advertiser: 'b' },
    ],
  })
  const windows = [{ name: 'w', click: DAY }]

  test('say which events are conversions, and which touches are theirs', () => {
    const touches = [click('t', 0, { campaign_id: 'c2' }), click('u', 1)]
    const events = [
      buy('x', 2),
      buy('y', 3, { value: 5 }),
      event('lead', 'l', 4, { pixel_id: 'p' }),
      event('lead', 'm', 5),
    ]
    const expected = of([...touches, ...events], { goals, windows })
    const lanes = lanesOf(expected.attributed!.settings)
    const said = expected.attributed!.attributions.map(
      ({ lane, event, touch }) => `${lanes[lane]!.goal.name}: ${event.eventId} -> ${touch?.event.eventId ?? 'nobody'}`,
    )
    expect(said).toEqual(['big: x -> u', 'of c2: x -> t', 'of c2: y -> t', 'leads: l -> u'])
    expect(expected.summary.attributions).toEqual({ w: 4 })
    expect(rows(expected, 2)).toEqual(['t O 1 2 15', 't M 1 2 15'])
    expect(rows(expected, 3)).toEqual([])
  })
})

describe('the settings of a run', () => {
  test('durations are milliseconds or texts; what is not given is as always', () => {
    const given = { windows: [{ name: 'w', click: '2h', impression: 5 }], grace: '1m', models: ['linear'] }
    expect(attributionOf(given)).toEqual({
      ...ATTRIBUTION,
      windows: [{ name: 'w', click: 2 * HOUR, impression: 5, precedence: undefined }],
      graceMs: MINUTE,
      models: [{ name: 'linear' }],
    })
  })

  test.each([
    { windows: [{ name: 'w', click: 'soon' }] },
    { lateTouches: 'ignore' },
    { models: ['best'] },
    { window: [] },
    { goals: [{ name: 'g', event: 'lead' }] },
    null,
  ])('what is unknown is refused: %j', (given) => expect(() => attributionOf(given)).toThrow())
})

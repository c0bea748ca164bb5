import { describe, expect, it } from 'vitest'
import { creditsOf } from './attribution-models.ts'
import {
  ATTRIBUTION_DEFAULT,
  type AttributionModel,
  type AttributionWindow,
  type Goal,
} from './attribution-settings.ts'
import { EXPLAINED_ROWS_MAX, explainDecision, spanText } from './decision-explanation.ts'
import { type Decision, decisionCodec, decisionOf, TOUCHES_KEPT_MAX, undecided } from './decision-record.ts'
import type { Conversion, Matched, Touch, TouchType } from './touch.ts'

const DAY_MS = 86_400_000
const HOUR_MS = 3_600_000
const TIME_MS = Date.UTC(2026, 0, 30)
const { windows } = ATTRIBUTION_DEFAULT
const ALL_MODELS: readonly AttributionModel[] = [
  { name: 'last_touch' },
  { name: 'first_touch' },
  { name: 'linear' },
  { name: 'time_decay', halfLifeMs: 7 * DAY_MS },
  { name: 'position', first: 0.4, middle: 0.2, last: 0.4 },
]

const conversion: Conversion = {
  ...{ kind: 'conversion', type: 'conversion', id: 'c1', timeMs: TIME_MS, user: 'ann', ownUser: 'ann' },
  ...{ advertiser: 'acme', orderId: 'o1', clickId: null, valueMicro: 12_500_000, currency: 'EUR', goals: [''] },
}

function touchAt(ageMs: number, type: TouchType = 'click', parts: Partial<Touch> = {}): Touch {
  return {
    ...{ kind: 'touch', type, id: `${type}-${ageMs}`, timeMs: TIME_MS - ageMs, user: 'ann', advertiser: 'acme' },
    ...{ campaign: 'spring', ad: 'shoe', clickId: null, vector: null, ...parts },
  }
}

/** By age, oldest first. */
const matched = (candidates: readonly Touch[], parts: Partial<Conversion> = {}): Matched => ({
  ...{ kind: 'matched', conversion: { ...conversion, ...parts }, late: false, revision: 0 },
  candidates: [...candidates].sort((a, b) => a.timeMs - b.timeMs),
})

const throughStore = (decision: Decision): Decision => decisionCodec.decode(decisionCodec.encode(decision))

function explained(of: Matched, models: readonly AttributionModel[] = ALL_MODELS, goals: readonly Goal[] = []) {
  const decision = throughStore(decisionOf(of, windows, goals))
  return { decision, ...explainDecision(decision, { windows, models }) }
}

describe('why a touch is a candidate or not', () => {
  it('is said of each, to the millisecond at the edges', () => {
    const { lanes, outcome } = explained(
      matched([
        touchAt(7 * DAY_MS + 1),
        touchAt(7 * DAY_MS, 'click', { id: 'edge' }),
        touchAt(DAY_MS + 2 * HOUR_MS, 'impression'),
        touchAt(HOUR_MS, 'impression'),
      ]),
    )
    expect(outcome).toBe('credited')
    const outs = Object.fromEntries(
      lanes.map(({ window, standings }) => [window, standings.map(({ out }) => out?.why)]),
    )
    const noView = 'impressions have no part in it'
    expect(outs).toEqual({
      '1d_click': ['too old by 6 d', 'too old by 6 d', noView, noView],
      '7d_click': ['too old by 1 ms', undefined, noView, noView],
      '28d_click': [undefined, undefined, noView, noView],
      '1d_view': ['clicks have no part in it', 'clicks have no part in it', 'too old by 2 h', undefined],
      '7d_click_1d_view': ['too old by 1 ms', undefined, 'too old by 2 h', 'there is a click, which goes first'],
    })
    expect(lanes[0]!.standings[0]!.out).toEqual({ code: 'too_old', byMs: 6 * DAY_MS + 1, why: 'too old by 6 d' })
    expect(lanes.at(-1)!.rule).toBe(
      'clicks up to 7 d before, impressions up to 1 d before; where there is a click, only those',
    )
  })

  it('is the click that goes first, also of an impression at the very edge', () => {
    const { lanes } = explained(matched([touchAt(DAY_MS, 'impression'), touchAt(HOUR_MS)]))
    expect(lanes.at(-1)!.standings[0]!.out).toMatchObject({ code: 'precedence', byMs: null })
  })

  it('is the goal where that is for other ads, or gone', () => {
    const goals: Goal[] = [{ name: 'shoes', ads: ['shoe'] }]
    const of = matched([touchAt(2 * HOUR_MS), touchAt(HOUR_MS, 'click', { ad: 'hat' })], { goals: ['shoes', 'gone'] })
    const { lanes, decision } = explained(of, [{ name: 'last_touch' }], goals)
    const day = lanes.filter(({ window }) => window === '1d_click')
    expect(day.map(({ goal }) => goal)).toEqual(['shoes', 'gone'])
    expect(day[0]!.standings[1]!.out?.code).toBe('goal')
    expect(day[0]!.models[0]!.credits).toEqual([{ touch: 0, credit: 1, how: 'the only candidate' }])
    expect(day[1]!.models[0]!.credits).toEqual([])
    expect(decision.goals).toEqual([
      { name: 'shoes', declared: true, covered: [0] },
      { name: 'gone', declared: false, covered: [] },
    ])
    expect(explained({ ...of, conversion: { ...of.conversion, goals: ['gone'] } }, ALL_MODELS, goals).outcome).toBe(
      'goal_gone',
    )
  })
})

describe('credits', () => {
  it('are those of the models, with the rule and its numbers', () => {
    const touches = [14 * DAY_MS, 7 * DAY_MS, 0].map((ageMs) => touchAt(ageMs))
    const lane = explained(matched(touches)).lanes.find(({ window }) => window === '28d_click')!
    for (const { model, credits } of lane.models) {
      const written = creditsOf(ALL_MODELS.find(({ name }) => name === model)!, conversion, touches)
      expect(credits!.map(({ touch, credit }) => [touch, credit])).toEqual(
        written.map(({ touch, credit }) => [touches.indexOf(touch), credit]),
      )
    }
    expect(lane.models.map(({ credits }) => credits!.map(({ how }) => how))).toEqual([
      ['the last of 3'],
      ['the first of 3'],
      ['1 of 3', '1 of 3', '1 of 3'],
      ['2^(-14 d / 7 d) = 0.25 of 1.75', '2^(-7 d / 7 d) = 0.5 of 1.75', '2^(-0 ms / 7 d) = 1 of 1.75'],
      ['the first: 0.4', 'one of 1 between, which share 0.2', 'the last: 0.4'],
    ])
  })

  it('of the last touch say whether the click_id decided', () => {
    const touches = [touchAt(2 * HOUR_MS, 'click', { clickId: 'k' }), touchAt(HOUR_MS, 'click', { clickId: 'other' })]
    const howIn = (clickId: string | null) =>
      explained(matched(touches, { clickId })).lanes[0]!.models[0]!.credits!.map(({ touch, how }) => [touch, how])
    expect(howIn('k')).toEqual([[0, "the last touch whose click_id is the conversion's"]])
    expect(howIn('nobody')).toEqual([[1, "the last of 2; none has the conversion's click_id"]])
    expect(howIn(null)).toEqual([[1, 'the last of 2']])
  })

  it('go to the two where position has nobody between', () => {
    const { lanes } = explained(matched([touchAt(2 * HOUR_MS), touchAt(HOUR_MS)]))
    expect(lanes[0]!.models.at(-1)!.credits).toEqual([
      { touch: 0, credit: 0.5, how: 'the first of two: 0.4 of 0.8' },
      { touch: 1, credit: 0.5, how: 'the last of two: 0.4 of 0.8' },
    ])
  })

  it('of a conversion with more touches than are kept: the last touch is said, what needs all of them is not (DR1)', () => {
    const old = touchAt(6 * DAY_MS, 'click', { clickId: 'k' })
    const views = Array.from({ length: TOUCHES_KEPT_MAX + 5 }, (_, i) => touchAt(HOUR_MS + i, 'impression'))
    const { decision, lanes } = explained(matched([old, ...views], { clickId: 'k' }))
    expect([decision.touches.length, decision.touchesTotal]).toEqual([TOUCHES_KEPT_MAX + 1, TOUCHES_KEPT_MAX + 6])
    expect(decision.leftOutUntilMs).toBe(TIME_MS - HOUR_MS - TOUCHES_KEPT_MAX)
    const creditsIn = (name: string) =>
      lanes.find(({ window }) => window === name)!.models.map(({ credits }) => credits)
    expect(creditsIn('7d_click')[0]).toEqual([
      { touch: 0, credit: 1, how: "the last touch whose click_id is the conversion's" },
    ])
    expect(creditsIn('1d_view')[0]![0]!.touch).toBe(TOUCHES_KEPT_MAX)
    expect(creditsIn('1d_view').slice(1)).toEqual([null, null, null, null])
  })

  it('have as many rows as one answer may, lane by lane (EX2)', () => {
    const lanes = 64
    const many: AttributionWindow[] = Array.from({ length: lanes }, (_, i) => ({ name: `w${i}`, click: DAY_MS }))
    const touches = Array.from({ length: TOUCHES_KEPT_MAX }, (_, i) => touchAt(i))
    const { lanes: said, lanesLeftOut } = explainDecision(decisionOf(matched(touches), many, []), {
      ...{ windows: many, models: ALL_MODELS },
    })
    expect(said.length).toBe(Math.floor(EXPLAINED_ROWS_MAX / (TOUCHES_KEPT_MAX * (1 + ALL_MODELS.length))))
    expect(said.length + lanesLeftOut).toBe(lanes)
  })
})

describe('a conversion that is attributed to nobody', () => {
  it.each<[string, Partial<Conversion>]>([
    ['refund', { goals: [], refundOf: null }],
    ['bot', { goals: [], bots: 'mark' }],
    ['anonymous', { goals: [], user: 'anon:c1', ownUser: null }],
    ['no_goal', { goals: [] }],
  ])('says why: %s', (outcome, parts) => {
    const decision = throughStore(undecided({ ...conversion, ...parts }, false))
    expect(explainDecision(decision, { windows, models: ALL_MODELS })).toMatchObject({ outcome, lanes: [] })
  })

  it('says that no touch was there, or in no window', () => {
    expect(explained(matched([])).outcome).toBe('no_candidate')
    expect(explained(matched([touchAt(30 * DAY_MS)])).outcome).toBe('no_candidate')
  })
})

const WORDS = {
  own: /^its own user_id/,
  click: /^the user of the first click .*, ann, has no such/,
  nobody: /^it has no user_id/,
}
it.each<[string, Partial<Conversion>, Partial<Touch>, string]>([
  ['its own user', {}, {}, 'own'],
  ['its own user, who has the click', { clickId: 'k' }, { clickId: 'k' }, 'own'],
  ['the user of the click', { clickId: 'k', user: 'bob' }, { clickId: 'k' }, 'click'],
  ['nobody', { clickId: 'k', ownUser: null, user: 'click:k' }, {}, 'nobody'],
])('whose a conversion is: %s', (_, parts, touch, by) => {
  const { owner } = explained(matched([touchAt(HOUR_MS, 'click', touch)], parts))
  expect(owner.by).toBe(by)
  expect(owner.why).toMatch(WORDS[by as keyof typeof WORDS])
})

it('lengths of time are said in their two largest units, and never rounded up', () => {
  const texts = [0, 1, 999, 1_000, 61_001, 3_599_999, DAY_MS + 1, 8 * DAY_MS + 5 * HOUR_MS + 59 * 60_000].map(spanText)
  expect(texts).toEqual(['0 ms', '1 ms', '999 ms', '1 s', '1 min 1 s', '59 min 59 s', '1 d', '8 d 5 h'])
})

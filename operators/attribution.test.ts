// Lines and credits of conversions: result, nothing touched, what is emitted; any slice sizes; a slow twin on random input.

import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { recordOf, runOperator } from '../test/operator-harness.ts'
import { ATTRIBUTIONS, attribution } from './attribution.ts'
import { creditsOf } from './attribution-models.ts'
import type { AttributionSettings, Goal } from './attribution-settings.ts'
import { ATTRIBUTION_DEFAULT, coversTouch } from './attribution-settings.ts'
import type { OperatorContext, OperatorSettings } from './operator.ts'
import type { Attributed, AttributionRecord, Conversion, Matched, Touch } from './touch.ts'

const DAY_MS = 86_400_000
const T = 1_750_000_000_000

const touch = (id: string, ageMs: number, parts: Partial<Touch> = {}): Touch => ({
  ...{ kind: 'touch', type: 'click', id, timeMs: T - ageMs, user: 'u', advertiser: 'a', campaign: 'c', ad: 'x' },
  ...{ clickId: null, vector: null },
  ...parts,
})
const conversion: Conversion = {
  ...{ kind: 'conversion', type: 'conversion', id: 'v', timeMs: T, user: 'u', ownUser: 'u', advertiser: 'a' },
  ...{ orderId: 'o', clickId: null, valueMicro: 2_500_000, currency: 'EUR', goals: [''] },
}
const matched = (candidates: readonly Touch[], parts: Partial<Matched> = {}): Matched => ({
  ...{ kind: 'matched', conversion, late: false, candidates, revision: 0 },
  ...parts,
})

type Input = Touch | Conversion | Matched
function run(inputs: readonly Input[], settings: Partial<AttributionSettings> = {}, sliceRecords = 2) {
  const records = inputs.map((value, number) => recordOf(value, { time: T + number, number }))
  const operator = attribution({ ...ATTRIBUTION_DEFAULT, ...settings }, ATTRIBUTIONS)
  const outcome = runOperator<Input, Touch | Conversion | Attributed>(operator, records, { sliceRecords })
  expect([outcome.touched, outcome.counts]).toEqual([[], {}])
  return { ...outcome, lines: outcome.emitted.map(({ record }) => record as AttributionRecord) }
}

const click = touch('k', DAY_MS + 1)
const view = touch('i', 5, { type: 'impression' })

test('a conversion has a line in each window, and labels are told who has it by last touch', () => {
  const { out, emitted } = run([matched([click, view])])
  const line = {
    ...{ conversion_id: 'v', user_id: 'u', advertiser_id: 'a', conversion_time: T, model: 'last_touch' },
    ...{ credit: 1, value: 2.5, late: false },
  }
  const nobody = { touch_id: null, touch_type: null, touch_time: null, credit: 0 }
  const ofClick = { touch_id: 'k', touch_type: 'click', touch_time: click.timeMs }
  const records = [
    { ...line, window: '1d_click', ...nobody },
    { ...line, window: '7d_click', ...ofClick },
    { ...line, window: '28d_click', ...ofClick },
    { ...line, window: '1d_view', touch_id: 'i', touch_type: 'impression', touch_time: view.timeMs },
    { ...line, window: '7d_click_1d_view', ...ofClick },
  ]
  expect(emitted).toEqual(records.map((record) => ({ output: 'attributions', record, input: 0 })))
  const lanes = [null, click, click, view, click].map((credited, window) => ({ goal: '', window, touch: credited }))
  expect(out).toEqual([
    { ...recordOf(matched([]), { time: T }), value: { kind: 'attributed', conversion, late: false, lanes } },
  ])
})

test('what is late or has no value says so', () => {
  const { lines, out } = run([matched([click], { late: true, conversion: { ...conversion, valueMicro: null } })])
  expect(lines[1]).toMatchObject({ touch_id: 'k', late: true, value: 0 })
  expect(out[0]!.value).toMatchObject({ late: true })
})

test('a revision is lines with its number, and nothing for labels', () => {
  const { lines, out } = run([matched([click], { revision: 2 })])
  expect(lines.map(({ revision }) => revision)).toEqual([2, 2, 2, 2, 2])
  expect(out).toEqual([])
})

test('everything else passes as it is, in its place, whatever the slices', () => {
  const inputs = [click, conversion, matched([click]), view, { ...conversion, refundOf: 'o' }, matched([])]
  for (const sliceRecords of [1, 2, 6]) {
    const { out } = run(inputs, {}, sliceRecords)
    const passed = out.map(({ value }) => (value.kind === 'attributed' ? 'attributed' : value))
    expect(passed).toEqual([click, conversion, 'attributed', view, { ...conversion, refundOf: 'o' }, 'attributed'])
    expect(out.map(({ number }) => number)).toEqual([0, 1, 2, 3, 4, 5])
  }
})

test('each model has its lines; labels follow the last touch whatever the models', () => {
  const windows = [{ name: 'w', click: 7 * DAY_MS }]
  const { lines, out } = run([matched([touch('f', 9), touch('l', 3)])], {
    windows,
    models: [{ name: 'linear' }, { name: 'first_touch' }],
  })
  expect(lines.map(({ model, touch_id, credit }) => [model, touch_id, credit])).toEqual([
    ['linear', 'f', 0.5],
    ['linear', 'l', 0.5],
    ['first_touch', 'f', 1],
  ])
  expect((out[0]!.value as Attributed).lanes).toMatchObject([{ touch: { id: 'l' } }])
  const none = run([matched([])], { windows, models: [{ name: 'linear' }, { name: 'first_touch' }] })
  expect(none.lines.map(({ model, touch_id, credit }) => [model, touch_id, credit])).toEqual([
    ['linear', null, 0],
    ['first_touch', null, 0],
  ])
})

describe('goals', () => {
  const windows = [{ name: 'w', click: 7 * DAY_MS }]
  const goals: Goal[] = [{ name: 'all' }, { name: 'ads', ads: ['y'] }, { name: 'campaigns', campaigns: ['d'] }]
  const touches = [touch('xc', 9), touch('yc', 8, { ad: 'y' }), touch('xd', 7, { campaign: 'd' })]
  const sale = (...names: string[]) => matched(touches, { conversion: { ...conversion, goals: names } })

  test('have lanes of their own, each with the ads that the goal is about', () => {
    const { lines, out } = run([sale('all', 'ads', 'campaigns')], { windows, goals })
    expect(lines.map(({ goal, touch_id }) => [goal, touch_id])).toEqual([
      ['all', 'xd'],
      ['ads', 'yc'],
      ['campaigns', 'xd'],
    ])
    expect((out[0]!.value as Attributed).lanes.map(({ goal, touch }) => `${goal} ${touch?.id}`)).toEqual([
      'all xd',
      'ads yc',
      'campaigns xd',
    ])
    expect(run([sale()], { windows, goals }).lines).toEqual([])
  })

  test('are those of the configuration at the order time; one that is gone credits nobody', () => {
    const now: OperatorSettings = { anonymous: 'reject', bots: 'count', goals: [{ name: 'all', ads: ['y'] }] }
    const seen: unknown[] = []
    const ctx = {
      configured: (at: number) => (at < T + 5 ? null : now),
      emit: (_: string, { goal, touch_id }: AttributionRecord) => seen.push([goal, touch_id]),
    } as unknown as OperatorContext
    const operator = attribution({ ...ATTRIBUTION_DEFAULT, windows, goals }, ATTRIBUTIONS)
    operator.process(
      [0, 5].map((n) => recordOf(sale('all', 'ads', ''), { time: T + n })),
      ctx,
    )
    const after = [
      ['all', 'yc'],
      ['ads', null],
      [undefined, 'xd'],
    ]
    expect(seen).toEqual([['all', 'xd'], ['ads', 'yc'], [undefined, 'xd'], ...after])
  })
})

test('on random input every lane and model has the lines that a scan finds, which sum to 1', () => {
  const ages = fc.integer({ min: 0, max: 40 * DAY_MS })
  const touches = fc
    .array(fc.tuple(ages, fc.constantFrom('click' as const, 'impression' as const), fc.constantFrom('x', 'y')), {
      maxLength: 8,
    })
    .map((rows) =>
      rows.map(([age, type, ad], i) => touch(`e${i}`, age, { type, ad })).sort((a, b) => a.timeMs - b.timeMs),
    )
  const models: AttributionSettings['models'] = [
    ...([{ name: 'last_touch' }, { name: 'linear' }, { name: 'time_decay', halfLifeMs: 7 * DAY_MS }] as const),
    { name: 'position', first: 0.4, middle: 0.2, last: 0.4 },
  ]
  const goals: Goal[] = [{ name: 'any' }, { name: 'y', ads: ['y'] }]
  const input = fc.array(fc.tuple(touches, fc.subarray(['any', 'y'])), { minLength: 1, maxLength: 4 })
  fc.assert(
    fc.property(input, fc.integer({ min: 1, max: 4 }), (rows, sliceRecords) => {
      const inputs = rows.map(([all, named], i) =>
        matched(all, { conversion: { ...conversion, id: `v${i}`, goals: named } }),
      )
      const { lines } = run(inputs, { models, goals }, sliceRecords)
      const expected: unknown[] = []
      for (const { conversion: v, candidates } of inputs) {
        for (const goal of goals.filter(({ name }) => v.goals.includes(name))) {
          for (const window of ATTRIBUTION_DEFAULT.windows) {
            const fits = candidates.filter((t) => T - t.timeMs <= (window[t.type] ?? -1) && coversTouch(goal, t))
            const clicks = fits.filter(({ type }) => type === 'click')
            const taken = window.precedence !== undefined && clicks.length > 0 ? clicks : fits
            for (const model of models) {
              const credits = creditsOf(model, v, taken).map(({ touch: t, credit }) => [t.id, credit])
              const said = credits.length === 0 ? [[null, 0]] : credits
              expected.push(...said.map((credit) => [v.id, goal.name, window.name, model.name, ...credit]))
            }
          }
        }
      }
      expect(lines.map((l) => [l.conversion_id, l.goal, l.window, l.model, l.touch_id, l.credit])).toEqual(expected)
      const sums = new Map<string, number>()
      for (const l of lines) {
        const lane = [l.conversion_id, l.goal, l.window, l.model].join(' ')
        sums.set(lane, (sums.get(lane) ?? 0) + (l.touch_id === null ? 1 : l.credit))
      }
      for (const sum of sums.values()) expect(sum).toBeCloseTo(1, 9)
    }),
  )
})

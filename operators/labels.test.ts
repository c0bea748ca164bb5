import { describe, expect, test } from 'vitest'
import {
  attribution,
  came,
  conversionAt,
  GRACE,
  labelling,
  lateAttribution,
  ORDER_HORIZON,
  operator,
  outputs,
  rec,
  refundAt,
  rowsOf,
  run,
  SETTINGS,
  SHORT,
  touchAt,
} from '../test/label-records.ts'
import { runOperator } from '../test/operator-harness.ts'
import { runStage } from '../test/stage-harness.ts'
import { attribution as attributing } from './attribution.ts'
import type { Goal } from './attribution-settings.ts'
import { hold } from './hold.ts'
import { conservation } from './label-counts.ts'
import { stepsOf } from './label-lanes.ts'
import type { TouchTotals } from './label-state.ts'
import { type LabelInput, labels } from './labels.ts'
import type { Rec } from './operator.ts'
import type { Attributed, Conversion, CreditRecord, LabelRecord } from './touch.ts'

const said = async (records: readonly Rec<LabelInput>[], drain = 10_000) => {
  const { emitted } = await run(records, { drain })
  return rowsOf(emitted.labels!)
}

describe('a touch that nobody converts after', () => {
  test('gets O of the windows above the short wait, and M of each, those of one length together', async () => {
    const { emitted, counts } = await run([came(touchAt(1_000))], { drain: 10_000 })
    expect((emitted.labels as LabelRecord[]).map(({ kind, rows }) => [kind, ...rows.map((row) => row.window)])).toEqual(
      [
        ['O', 'c', 'cv', 'c2'],
        ['M', 's'],
        ['M', 'c', 'c2'],
        ['M', 'cv'],
      ],
    )
    expect(rowsOf(emitted.labels!)[0]).toBe('O c 1 0 0 0')
    expect(emitted.labels![0]).toMatchObject({
      ...{ touch_id: 't', touch_type: 'click', user_id: 'u', advertiser_id: 'a', campaign_id: 'k', ad_id: 'x' },
      ...{ touch_time: 1_000, kind: 'O', complete: true },
    })
    expect(counts).toMatchObject({ 'labels.O.c': 1, 'labels.M.c': 1, 'labels.complete.c': 1, 'labels.M.s': 1 })
    expect(counts).not.toHaveProperty(['labels.O.s'])
  })

  test('says at the same time O before M, and is complete up to the time at which the input ended', async () => {
    const records = (await run([came(touchAt(1_000))], { drain: 1_110 })).emitted.labels as LabelRecord[]
    expect(records.map(({ kind, complete }) => `${kind} ${complete}`)).toEqual([
      'O true',
      'M true',
      'M true',
      'M false',
    ])
    const windows = [
      { name: 'm', click: SHORT + GRACE },
      { name: 's', click: SHORT },
    ]
    const { all } = stepsOf({ ...SETTINGS, windows })
    expect(all.map(({ kind, afterMs, windows: of }) => [kind, afterMs, ...of])).toEqual([
      ['O', 50, 0],
      ['M', 50, 1],
      ['M', 60, 0],
    ])
    expect(all.map(({ place, next }) => [place, next?.place])).toEqual([
      [0, 1],
      [1, 2],
      [2, undefined],
    ])
  })

  test('keeps one timer, and nothing else', async () => {
    for (const passed of [1_000, 1_060, 1_200]) {
      const { dump } = await run([came(touchAt(1_000)), came(touchAt(passed + 1, { user: 'v', type: 'impression' }))])
      expect(dump.filter((line) => line.includes('touch') || line.includes('u'))).toHaveLength(dump.length)
      expect(dump.filter((line) => line.startsWith('["timers",'))).toHaveLength(2)
    }
    const { entries } = runOperator(operator(), [came(touchAt(1_000))], { sliceRecords: 1 })
    expect(entries).toEqual([])
  })

  test('and that came late has on arrival what was due, and the rest in its time', async () => {
    const late = came(touchAt(1_000), 1_111)
    const { emitted } = await run([late], {})
    expect(rowsOf(emitted.labels!).map((row) => row.slice(0, 4))).toEqual([
      'O c ',
      'O cv',
      'O c2',
      'M s ',
      'M c ',
      'M c2',
    ])
    expect(rowsOf((await run([came(touchAt(1_000), 1_110)], {})).emitted.labels!)).toHaveLength(4)
    expect((await said([late])).at(-1)).toBe('M cv 1 0 0 0')
  })
})

describe('a conversion', () => {
  const touch = touchAt(1_000)
  const by = (timeMs: number, id: string, parts: Partial<Conversion> = {}) => conversionAt(timeMs, { id, ...parts })

  test('within the short wait, edge included, is what O and M say; and is handed on with its ads', async () => {
    const conversion = by(1_040, 'c')
    const records = [came(touch), came(conversion), attribution(conversion, { 0: touch, 2: touch })]
    expect((await said(records)).filter((row) => / [cs] /.test(row))).toEqual([
      'O c 1 1 1 5',
      'M s 1 1 1 5',
      'M c 1 1 1 5',
    ])
    const { out } = await run(records)
    const lane = { goal: '', campaign: 'k', ad: 'x', touchTimeMs: 1_000 }
    expect(out.map(({ value }) => value)).toEqual([
      {
        ...{ advertiser: 'a', conversionTimeMs: 1_040, count: 1, value: 5_000_000, currency: 'EUR' },
        lanes: [
          { ...lane, window: 0 },
          { ...lane, window: 2 },
        ],
      },
    ])
  })

  test('after the short wait is D, where O said 0, once', async () => {
    const [first, second] = [by(1_041, 'c'), by(1_060, 'd', { valueMicro: 1_000_000 })]
    const records = [came(touch), attribution(first, { 0: touch }), attribution(second, { 0: touch })]
    expect((await said(records)).filter((row) => row.includes(' c '))).toEqual([
      'O c 1 0 0 0',
      'D c 1 1 1 5',
      'M c 1 1 2 6',
    ])
  })

  test('after a positive O brings no D', async () => {
    const [first, second] = [by(1_010, 'c'), by(1_060, 'd')]
    const records = [came(touch), attribution(first, { 0: touch }), attribution(second, { 0: touch })]
    expect((await said(records)).filter((row) => row.includes(' c '))).toEqual(['O c 1 1 1 5', 'M c 1 1 2 10'])
  })

  test('that is no matter of O, and comes before O, is D at once behind it, with the value of the first', async () => {
    const [first, second] = [by(1_041, 'c'), by(1_042, 'd', { valueMicro: 1_000_000 })]
    const records = [
      ...[came(touch), lateAttribution(first, 1_044, { 0: touch }), lateAttribution(second, 1_045, { 0: touch })],
    ]
    expect((await said(records)).filter((row) => row.includes(' c '))).toEqual([
      'O c 1 0 0 0',
      'D c 1 1 1 5',
      'M c 1 1 2 6',
    ])
    const { counts } = await run(records)
    expect(conservation(counts, SETTINGS)[0]).toMatchObject({ credited: 1, awaitingObserved: 1, holds: true })
  })

  test('that comes when O and M have spoken is D and C; the next one C alone, with the whole', async () => {
    const [first, second] = [by(1_030, 'c'), by(1_050, 'd', { valueMicro: null })]
    const records = [
      ...[
        came(touch),
        lateAttribution(first, 1_111, { 0: touch, 2: touch }),
        lateAttribution(second, 1_200, { 0: touch }),
      ],
    ]
    expect((await said(records)).filter((row) => / [cs] /.test(row))).toEqual([
      ...['O c 1 0 0 0', 'M s 1 0 0 0', 'M c 1 0 0 0', 'D c 1 1 1 5', 'C c 1 1 1 5', 'C s 1 1 1 5', 'C c 2 1 2 5'],
    ])
    const early = [came(touch), lateAttribution(first, 1_110, { 0: touch })]
    expect((await said(early)).filter((row) => row.includes(' c '))).toEqual([
      'O c 1 0 0 0',
      'D c 1 1 1 5',
      'M c 1 1 1 5',
    ])
  })

  test('may be credited to different touches, and is counted as credited or not in each lane', async () => {
    const other = touchAt(1_005, { id: 'other', ad: 'y' })
    const conversion = by(1_020, 'c')
    const { counts, emitted } = await run(
      [came(touch), came(other), attribution(conversion, { 0: touch, 3: other, 4: other })],
      { drain: 10_000 },
    )
    expect(counts).toMatchObject({ 'attributed.c': 1, 'attributed.cv': 1, 'unattributed.s': 1, 'unattributed.v': 1 })
    const positive = (emitted.labels as LabelRecord[]).filter(({ kind }) => kind === 'M')
    const rows = positive.flatMap(({ touch_id, rows }) =>
      rows.filter(({ y }) => y === 1).map(({ window }) => `${touch_id} ${window}`),
    )
    expect(rows.sort()).toEqual(['other c2', 'other cv', 't c'])
  })

  test('of values whose sum no double has exactly is summed exactly, and rounded once', async () => {
    const values = [9e15, 1, 9e15, 1, 1]
    const records = values.map((valueMicro, i) =>
      attribution(conversionAt(1_010 + i, { id: `${i}`, valueMicro }), { 0: touch }),
    )
    const { emitted } = await run([came(touch), ...records], { drain: 10_000, restartEvery: 1, recordsPerSlice: 1 })
    const row = (emitted.labels as LabelRecord[]).flatMap(({ kind, rows }) => (kind === 'M' ? rows : []))
    expect(row.find(({ window }) => window === 'c')!.value).toBe(Number(18_000_000_000_000_003n))
  })
})

describe('a refund', () => {
  const touch = touchAt(1_000)
  const bought = conversionAt(1_020, { orderId: 'o' })
  const before = [came(touch), came(bought), attribution(bought, { 0: touch, 4: touch })]
  const taken = async (...refunds: Rec<LabelInput>[]) => {
    const { emitted, counts, out } = await run([...before, ...refunds], { drain: 10_000 })
    const rows = rowsOf(emitted.labels!).filter((row) => row.startsWith('R') || row.startsWith('M c '))
    return { rows, unmatched: counts.refund_unmatched ?? 0, credits: out.map(({ value }) => value as CreditRecord) }
  }

  test('takes the whole value back where it names none, in each lane that has the credit; M stays', async () => {
    const { rows, credits } = await taken(came(refundAt(1_050)))
    expect(rows).toEqual(['R c 1 0 -1 -5', 'R c2 1 0 -1 -5', 'M c 1 1 1 5'])
    expect(credits[1]).toMatchObject({ count: -1, value: -5_000_000, currency: 'EUR', conversionTimeMs: 1_020 })
    expect(credits[1]!.lanes).toEqual(credits[0]!.lanes)
  })

  test('of less than the value is partial, of 0 whole; more than one have numbers', async () => {
    const half = refundAt(1_050, { id: 'half', valueMicro: -2_500_000, currency: 'USD' })
    const zero = refundAt(1_060, { id: 'zero', valueMicro: 0 })
    const { rows, credits } = await taken(came(half), came(zero), came(refundAt(1_500)))
    expect(rows.filter((row) => row.startsWith('R c '))).toEqual(['R c 1 0 0 -2.5', 'R c 2 0 -1 -5', 'R c 3 0 -1 -5'])
    expect(credits.slice(1).map(({ count, currency }) => [count, currency])).toEqual([
      [0, 'USD'],
      [-1, 'EUR'],
      [-1, 'EUR'],
    ])
  })

  test('due together with another of the same touch comes in the order of ids, whatever the orders', async () => {
    const other = conversionAt(1_030, { id: 'd', orderId: 'a', valueMicro: 1_000_000 })
    const refunds = [came(refundAt(1_050, { id: 'r1' })), came(refundAt(1_050, { id: 'r2', refundOf: 'a' }))]
    const { rows } = await taken(came(other), attribution(other, { 0: touch }), ...refunds)
    expect(rows.filter((row) => row.startsWith('R c '))).toEqual(['R c 1 0 -1 -5', 'R c 2 0 -1 -1'])
  })

  test('is due its grace after its time; late, at once', async () => {
    const { emitted } = await run([...before, came(refundAt(1_050)), came(touchAt(1_061, { user: 'v' }))])
    expect(rowsOf(emitted.labels!).filter((row) => row.startsWith('R'))).toHaveLength(2)
    const soon = await run([...before, came(refundAt(1_050)), came(touchAt(1_060, { user: 'v' }))])
    expect(rowsOf(soon.emitted.labels!).filter((row) => row.startsWith('R'))).toHaveLength(0)
    const late = await run([...before, came(refundAt(1_045), 1_050)])
    expect(rowsOf(late.emitted.labels!).filter((row) => row.startsWith('R'))).toHaveLength(2)
  })

  test('that was resolved is due in that place, behind what is attributed there', async () => {
    const resolved = rec(refundAt(1_050), 1_060, { rank: 2 })
    expect((await taken(resolved)).rows).toEqual(['R c 1 0 -1 -5', 'R c2 1 0 -1 -5', 'M c 1 1 1 5'])
    const chain = () => [hold(SETTINGS), attributing(SETTINGS, 'attributions'), ...labelling()]
    const records = [came(touch), came(bought), rec(refundAt(1_020), 1_030, { rank: 2 }), came(touchAt(1_031))]
    for (const sliceMax of [1, 128]) {
      const { emitted } = await runStage(chain, records, {
        outputs: ['labels', 'attributions'],
        sliceMax,
        drain: 2_000,
      })
      expect(rowsOf(emitted.labels!).filter((row) => row.startsWith('R c '))).toEqual(['R c 1 0 -1 -5'])
    }
  })

  test('of an order that nobody knows, that came later, or that is too old, is counted', async () => {
    expect(await taken(came(refundAt(1_050, { refundOf: 'p' })))).toMatchObject({ unmatched: 1 })
    expect(await taken(came(refundAt(1_050, { refundOf: null })))).toMatchObject({ unmatched: 1 })
    expect(await taken(came(refundAt(1_050, { user: 'v' })))).toMatchObject({ unmatched: 1 })
    expect(await taken(came(refundAt(1_050, { advertiser: 'b' })))).toMatchObject({ unmatched: 1 })
    expect(await taken(came(refundAt(1_020 + ORDER_HORIZON)))).toMatchObject({ unmatched: 0 })
    expect(await taken(came(refundAt(1_021 + ORDER_HORIZON)))).toMatchObject({ unmatched: 1 })
    const { counts } = await run([came(refundAt(1_000)), ...before.map((r) => ({ ...r, at: r.at + 1 }))], { drain: 0 })
    expect(counts.refund_unmatched).toBe(1)
  })

  test('of an order without credit yields nothing; what `bots` marks is neither conversion nor refund', async () => {
    const alone = await run([came(bought), attribution(bought, {}), came(refundAt(1_050))], { drain: 9_999 })
    expect([alone.emitted.labels, alone.counts.refund_unmatched]).toEqual([[], undefined])
    const marked = await run([came({ ...bought, bots: 'mark' }), came({ ...refundAt(1_050), bots: 'mark' })], {
      drain: 0,
    })
    expect(marked.counts).toEqual({})
  })

  test('takes back the last of two conversions with its order, as it was accepted', async () => {
    const again = conversionAt(1_040, { id: 'again', orderId: 'o', valueMicro: 1_000_000 })
    const { rows } = await taken(came(again), attribution(again, { 0: touch }), came(refundAt(1_060)))
    expect(rows).toEqual(['R c 1 0 -1 -1', 'M c 1 1 2 6'])
  })
})

test('goals that change: rows are of those that hold when they are due, and of every credit, so that the law holds', async () => {
  const touch = touchAt(1_000)
  const goalsOf = (at: number): Goal[] => [{ name: at < 1_060 ? 'old' : 'new' }]
  const conversion = conversionAt(1_045, { goals: ['old'] })
  const lanes = [{ goal: 'old', window: 0, touch }]
  const record = rec<Attributed>({ kind: 'attributed', conversion, late: false, lanes }, 1_055)
  const records = [came(touch), came(conversion), record]
  const configured = (at: number) => ({ anonymous: 'reject', bots: 'count', goals: goalsOf(at) }) as const
  const { emitted, counts } = await run(records, { configured, drain: 9_999 })
  expect(rowsOf(emitted.labels!).filter((row) => row.includes(' c '))).toEqual([
    ...['O old c 1 0 0 0', 'D old c 1 1 1 5', 'M new c 1 0 0 0', 'M old c 1 1 1 5'],
  ])
  expect(conservation(counts, SETTINGS)).toEqual([
    expect.objectContaining({ lane: 'old/c', credited: 1, mature: 1, observed: 1, holds: true }),
  ])
})

test('state of a touch goes when nothing can be credited to it any more, of an order when no refund can come', async () => {
  const touched = touchAt(1_000)
  const conversion = conversionAt(1_020, { orderId: 'o' })
  const records = [came(touched), came(conversion), attribution(conversion, { 0: touched }), came(refundAt(1_040))]
  const left = async (watermark: number) => {
    const { dump } = await runStage(labelling, [...records, watermark], { outputs })
    return ['credits', 'orders', 'refunds'].filter((store) =>
      dump.some((line) => line.includes(store) && line.includes('u\\u001f')),
    )
  }
  expect(await left(1_399)).toEqual(['credits', 'orders', 'refunds'])
  expect(await left(1_599)).toEqual(['credits', 'orders', 'refunds'])
  expect(await left(1_600)).toEqual(['orders', 'refunds'])
  expect(await left(2_039)).toEqual(['orders', 'refunds'])
  expect(await left(2_040)).toEqual(['refunds'])
  expect(await left(5_000)).toEqual([])
})

test('settings that cannot be are refused by name', () => {
  for (const orderHorizonMs of [0, -1, 1.5, Number.NaN])
    expect(() => labels(SETTINGS, { output: 'labels', orderHorizonMs })).toThrow(/orderHorizonMs/)
})

test('what O will say is kept until it has', async () => {
  const touch = touchAt(1_000)
  const conversion = conversionAt(1_020)
  for (const [watermark, isKept] of [
    [1_049, true],
    [1_050, false],
  ] as const) {
    const { keyed } = runOperator(
      operator(),
      [came(touch), attribution(conversion, { 0: touch }), came(touchAt(watermark + 1, { user: 'v' }))],
      { sliceRecords: 1 },
    )
    const [[, , [total]]] = keyed<TouchTotals>('credits').all() as [[number, string, TouchTotals]]
    expect(total!.early !== null).toBe(isKept)
  }
})

test('a touch without credit asks for one entry each time; a conversion for its touches and its order', () => {
  const touch = touchAt(1_000)
  const conversion = conversionAt(1_020, { orderId: 'o' })
  const { touched } = runOperator(operator(), [came(touch), attribution(conversionAt(1_020), { 0: touch, 3: touch })], {
    sliceRecords: 2,
  })
  expect(touched).toHaveLength(1)
  const accepted = runOperator(operator(), [came(touch), came(conversion), attribution(conversion, { 0: touch })], {
    sliceRecords: 3,
  })
  expect(accepted.touched).toHaveLength(3)
})

test('behind hold and attribution, a conversion is known before it is attributed, and its refund after', async () => {
  const touch = touchAt(1_000)
  const conversion = conversionAt(1_020, { orderId: 'o' })
  const late = conversionAt(1_025, { id: 'late', orderId: 'p' })
  const records = [
    ...[came(touch), came(conversion), came(refundAt(1_021)), came(late, 1_200)],
    ...[came(refundAt(1_100, { id: 'r2', refundOf: 'p' }), 1_201)],
  ]
  const chain = () => [hold(SETTINGS), attributing(SETTINGS, 'attributions'), ...labelling()]
  const { emitted, counts } = await runStage(chain, records, { outputs: ['attributions', 'labels'], drain: 1_201 })
  expect(emitted.attributions).toHaveLength(2 * SETTINGS.windows.length)
  expect(rowsOf(emitted.labels!).filter((row) => row.includes(' c '))).toEqual([
    ...['R c 1 0 -1 -5', 'O c 1 1 1 5', 'M c 1 1 1 5', 'C c 1 1 2 10', 'R c 2 0 -1 -5'],
  ])
  for (const { holds } of conservation(counts, SETTINGS)) expect(holds).toBe(true)
})

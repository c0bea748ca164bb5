import { describe, expect, it } from 'vitest'
import { recordOf, runOperator } from '../test/operator-harness.ts'
import { ATTRIBUTION_DEFAULT } from './attribution-settings.ts'
import { type Decision, decisionCodec, decisionOf, undecided } from './decision-record.ts'
import { DECISIONS_KEPT_MS, decisions } from './decisions.ts'
import type { Rec } from './operator.ts'
import type { Conversion, Matched, Touch } from './touch.ts'

const DAY_MS = 86_400_000
const START_MS = Date.UTC(2026, 0, 1)
const { windows } = ATTRIBUTION_DEFAULT

const conversionOf = (id: string, timeMs: number, parts: Partial<Conversion> = {}): Conversion => ({
  ...{ kind: 'conversion', type: 'conversion', id, timeMs, user: 'ann', ownUser: 'ann', advertiser: 'acme' },
  ...{ orderId: null, clickId: 'k1', valueMicro: 5, currency: null, goals: [''], ...parts },
})
const touchOf = (conversion: Conversion, ageMs: number, parts: Partial<Touch> = {}): Touch => ({
  ...{ kind: 'touch', type: 'click', id: `t${ageMs}`, timeMs: conversion.timeMs - ageMs, user: conversion.user },
  ...{ advertiser: 'acme', campaign: 'spring', ad: 'shoe', clickId: 'k1', vector: null, ...parts },
})
const matchedOf = (conversion: Conversion, ages: readonly number[], parts: Partial<Matched> = {}): Matched => ({
  ...{ kind: 'matched', conversion, late: false, revision: 0 },
  ...{ candidates: ages.map((ageMs) => touchOf(conversion, ageMs)), ...parts },
})

type Value = Touch | Conversion | Matched
/** In the bytes of the key: group, time, id. */
const keptIn = (records: readonly Rec<Value>[], sliceRecords = 2): readonly string[] =>
  runOperator(decisions(ATTRIBUTION_DEFAULT), records, { sliceRecords }).entries

describe('decisions', () => {
  it('keep every attribution and every conversion of nobody, read nothing and send nothing on', () => {
    const c1 = conversionOf('c1', START_MS)
    const refund = conversionOf('r1', START_MS, { refundOf: 'o1' })
    const robot = conversionOf('b1', START_MS, { bots: 'mark' })
    const other = conversionOf('l1', START_MS, { type: 'lead', goals: [] })
    const records = [
      recordOf<Value>(touchOf(c1, 5), { time: START_MS }),
      recordOf<Value>(c1, { time: START_MS }),
      ...[refund, robot, other].map((value) => recordOf<Value>(value, { time: START_MS })),
      recordOf<Value>(matchedOf(c1, [9, 5]), { time: START_MS + 1 }),
      recordOf<Value>(matchedOf(conversionOf('c1', START_MS, { user: 'bob' }), []), { time: START_MS + 2 }),
    ]
    const { out, emitted, counts, touched, entries } = runOperator(decisions(ATTRIBUTION_DEFAULT), records, {
      sliceRecords: 2,
    })
    expect([out, emitted, counts, touched]).toEqual([[], [], {}, []])
    expect(entries.length).toBe(5)
    for (const sliceRecords of [1, 5]) expect(keptIn(records, sliceRecords)).toEqual(entries)
  })

  it('are replaced by a revision, and go with their time: that of the attribution (DE1, DE2)', () => {
    const late = conversionOf('c1', START_MS - 20 * DAY_MS)
    const first = recordOf<Value>(matchedOf(late, [9], { late: true }), { time: START_MS })
    const anew = recordOf<Value>(matchedOf(late, [9, 5], { late: true, revision: 1 }), { time: START_MS + 1 })
    const pass = (watermark: number): Rec<Value> =>
      recordOf<Value>(touchOf(late, 0), { time: watermark + 1, watermark })
    expect(keptIn([first, anew]).length).toBe(1)
    expect(keptIn([first, anew])).not.toEqual(keptIn([first]))
    expect(keptIn([first, pass(START_MS + DECISIONS_KEPT_MS)]).length).toBe(1)
    expect(keptIn([first, pass(START_MS + DECISIONS_KEPT_MS + DAY_MS)]).length).toBe(0)
  })

  it('are kept as they are: golden bytes, a change of which makes stored ones unreadable', () => {
    const conversion = conversionOf('c1', START_MS, { orderId: 'o1' })
    const candidates = [
      touchOf(conversion, 9),
      touchOf(conversion, 5, { type: 'impression', clickId: 'k2', ad: 'hat' }),
    ]
    const decision = decisionOf({ ...matchedOf(conversion, []), candidates }, windows, [])
    const text =
      '[["conversion","c1",1767225600000,"ann","ann","acme","o1","k1",5,null,0,0],0,0,[["",1,null]],' +
      '[["c","t9",9,0,1,1],["i","t5",5,0,2,0]],2,null,["spring","shoe","hat"]]'
    expect(Buffer.from(decisionCodec.encode(decision)).toString()).toBe(text)
    const refund = undecided(conversionOf('r1', START_MS, { goals: [], refundOf: null, bots: 'drop' }), true)
    for (const each of [decision, refund] as Decision[])
      expect(decisionCodec.decode(decisionCodec.encode(each))).toEqual(each)
  })
})

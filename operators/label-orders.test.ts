// Orders and their refunds, by examples of what a random stream seldom meets: one id twice, an order that is accepted again, buckets, currencies.
// The rest: labels.test.ts, labels-twin.test.ts.

import { describe, expect, test } from 'vitest'
import {
  attribution,
  came,
  conversionAt,
  GRACE,
  labelling,
  ORDER_HORIZON,
  outputs,
  rec,
  refundAt,
  rowsOf,
  run,
  touchAt,
} from '../test/label-records.ts'
import { runStage } from '../test/stage-harness.ts'
import type { LabelInput } from './labels.ts'
import type { Rec } from './operator.ts'
import type { CreditRecord, LabelRecord } from './touch.ts'

/** Orders lie in buckets of this width. */
const BUCKET_MS = ORDER_HORIZON + GRACE
const EDGE = 2 * BUCKET_MS
const touch = touchAt(EDGE - 50)

async function refunded(...records: Rec<LabelInput>[]) {
  const { emitted, counts, out } = await run(records, { drain: 10_000 })
  const rows = rowsOf(emitted.labels!).filter((row) => row.startsWith('R'))
  const credits = out.map(({ value }) => value as CreditRecord).filter(({ count }) => count < 1)
  return { rows, unmatched: counts.refund_unmatched ?? 0, credits }
}

describe('the order that a refund takes back', () => {
  const first = conversionAt(EDGE - 20, { orderId: 'o' })
  const bought = [came(first), attribution(first, { 0: touch })]

  test('is the conversion that was accepted last, also where the first one lies in another bucket', async () => {
    const again = conversionAt(EDGE + 20, { id: 'again', orderId: 'o', valueMicro: 1_000_000 })
    const records = [came(touch), ...bought, came(again), attribution(again, { 0: touch }), came(refundAt(EDGE + 40))]
    expect((await refunded(...records)).rows).toEqual(['R c 1 0 -1 -1'])
  })

  test('is told from another conversion of its id: one that came too late to be its duplicate', async () => {
    const again = conversionAt(EDGE - 15, { orderId: 'o', valueMicro: 1_000_000 })
    const records = [came(touch), came(first), came(again), attribution(first, {}), attribution(again, { 0: touch })]
    expect((await refunded(...records, came(refundAt(EDGE + 1)))).rows).toEqual(['R c 1 0 -1 -1'])
    const other = [came(touch), came(first), came(again), attribution(first, { 0: touch }), attribution(again, {})]
    expect((await refunded(...other, came(refundAt(EDGE + 1)))).rows).toEqual([])
  })

  test('may be younger than the refund, in a later bucket, where events are not in the order of their times', async () => {
    const live = { watermark: EDGE - 100 }
    const ahead = rec(conversionAt(EDGE + 5, { orderId: 'o' }), EDGE + 5, live)
    expect(await refunded(ahead, rec(refundAt(EDGE - 5), EDGE - 5, live))).toMatchObject({ unmatched: 0 })
  })

  test('is that of a conversion: what a lead says of an order is none', async () => {
    const lead = conversionAt(EDGE, { type: 'lead', orderId: 'o' })
    expect(await refunded(came(lead), came(refundAt(EDGE + 1)))).toMatchObject({ rows: [], unmatched: 1 })
  })

  test('has its currency where a refund names no amount', async () => {
    const of = (parts: object) => refunded(came(touch), ...bought, came(refundAt(EDGE, { currency: 'USD', ...parts })))
    expect((await of({})).credits).toMatchObject([{ count: -1, currency: 'EUR' }])
    expect((await of({ valueMicro: 0 })).credits).toMatchObject([{ count: -1, currency: 'EUR' }])
    expect((await of({ valueMicro: -1 })).credits).toMatchObject([{ count: 0, currency: 'USD' }])
    const unsaid = { valueMicro: -1, currency: null }
    expect((await of(unsaid)).credits).toMatchObject([{ count: 0, currency: 'EUR' }])
  })

  test('is kept until its last refund is due, wherever buckets end', async () => {
    for (let from = EDGE; from < EDGE + BUCKET_MS; from += 85) {
      const order = conversionAt(from, { orderId: 'o' })
      const refund = refundAt(from + ORDER_HORIZON)
      const records = [came(touchAt(from)), came(order), attribution(order, { 0: touchAt(from) }), came(refund)]
      const { emitted } = await runStage(labelling, [...records, from + 5_000], { outputs })
      expect([from, rowsOf(emitted.labels!).filter((row) => row.startsWith('R'))]).toEqual([from, ['R c 1 0 -1 -5']])
    }
  })
})

test('an R row is complete up to the time at which the input ended', async () => {
  const bought = conversionAt(1_020, { orderId: 'o' })
  const records = [
    came(touchAt(1_000)),
    came(bought),
    attribution(bought, { 0: touchAt(1_000) }),
    came(refundAt(1_050)),
  ]
  const complete = async (drain: number) => {
    const labels = (await run(records, { drain })).emitted.labels as LabelRecord[]
    return labels.filter(({ kind }) => kind === 'R').map((record) => record.complete)
  }
  expect([await complete(1_050 + GRACE), await complete(1_049 + GRACE)]).toEqual([[true], [false]])
  const flowing = (await run([...records, came(touchAt(1_200, { user: 'v' }))])).emitted.labels as LabelRecord[]
  expect(flowing.filter(({ kind }) => kind === 'R')).toMatchObject([{ complete: true }])
})

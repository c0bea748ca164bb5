import { expect, test } from 'vitest'
import { recordOf, runOperator } from '../test/operator-harness.ts'
import { ATTRIBUTION_DEFAULT } from './attribution-settings.ts'
import { purchaseEvents } from './purchase-events.ts'
import { NO_CURRENCY } from './purchase-tiles.ts'
import type { CreditRecord } from './touch.ts'

const DAY = 24 * 3_600_000
const T = 20_000 * DAY

test('a credit is one conversion for each lane, at the time of the conversion', () => {
  const lane = { goal: '', window: 1, campaign: 'spring', ad: 'shoe', touchTimeMs: T }
  const credit: CreditRecord = {
    ...{ advertiser: 'shop', conversionTimeMs: T + 1, count: -1, value: -5, currency: null },
    lanes: [lane, { ...lane, goal: 'sales', ad: 'hat' }],
  }
  const record = { ...recordOf(credit, { time: T + 1 }), type: 'conversion', id: 'c0' }
  const { out } = runOperator(purchaseEvents(ATTRIBUTION_DEFAULT), [record], { sliceRecords: 1 })
  const [first, second] = out.map(({ value }) => value)
  expect(first).toEqual({
    ...{ type: 'conversion', id: 'c0', time: T + 1, user: '', anonymous: true },
    fields: {
      ...{ type: 'conversion', event_id: 'c0', event_time: T + 1 },
      ...{ advertiser_id: 'shop', campaign_id: 'spring', ad_id: 'shoe', window_id: '7d_click' },
      ...{ currency_id: NO_CURRENCY, purchases: -1, value_micro: -5 },
    },
  })
  expect(second!.fields).toMatchObject({ ad_id: 'hat', window_id: 'sales/7d_click' })
})

// Rows on their way to the trainer are read as they were sent, all in one partition, and nothing goes with them.

import { expect, test } from 'vitest'
import type { TrainingRow } from '../../operators/model-records.ts'
import { rowExchange } from './row-exchange.ts'

const row: TrainingRow = {
  ...{ kind: 'O', complete: true, touchId: 'e"\u00fc', touchType: 'click', user: 'u', advertiser: 'a', touchTimeMs: 5 },
  lanes: [
    { window: 0, y: 1, count: 3 },
    { window: 2, y: 0, count: 0 },
  ],
  ...{ version: 7, p: [0.333333343, 0], input: 'AQID' },
}

test('rows of one cause travel together, by one key', () => {
  const exchange = rowExchange()
  const rows = [
    row,
    { ...row, kind: 'M', complete: false, touchType: 'impression', input: null, version: 0, lanes: [] } as const,
    { ...row, kind: 'D', p: [] } as const,
  ]
  expect(exchange.decode(JSON.parse(exchange.encode({ rows }, 9)), 9)).toEqual({ rows })
  expect(exchange.key({ rows })).toBe(exchange.key({ rows: [] }))
  expect([exchange.where({ rows }), exchange.where({})]).toEqual([true, false])
})

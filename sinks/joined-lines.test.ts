import { createHash } from 'node:crypto'
import { expect, test } from 'vitest'
import { ATTRIBUTION_DEFAULT } from '../operators/attribution-settings.ts'
import type { AttributionRecord, LabelRecord } from '../operators/touch.ts'
import { attributionLine, labelLines } from './joined-lines.ts'

const DAY = 86_400_000
const GRACE = ATTRIBUTION_DEFAULT.graceMs
const record: LabelRecord = {
  ...{ touch_id: 't', touch_type: 'impression', user_id: 'u', advertiser_id: 'a', campaign_id: 'c', ad_id: 'x' },
  ...{ touch_time: 1_000, kind: 'M', complete: false },
  rows: [
    { window: '1d_view', number: 1, y: 1, count: 2, value: 12_340_000 },
    { window: '7d_click_1d_view', number: 2, y: 0, count: 0, value: 0 },
  ],
}

test('a record of label rows becomes a line for each, known by what tells it from all others', () => {
  const lines = labelLines(record, 0, ATTRIBUTION_DEFAULT)
  const idOf = (about: string) => createHash('sha256').update(about).digest('hex').slice(0, 32)
  expect(lines[1]!.row_id).toBe(idOf('["u","impression","t",1000,"7d_click_1d_view","M",2]'))
  expect(lines[0]).toEqual({
    ...{
      row_id: idOf('["u","impression","t",1000,"1d_view","M",1]'),
      touch_id: 't',
      user_id: 'u',
      touch_time: 1_000,
      window: '1d_view',
      kind: 'M',
      y: 1,
      count: 2,
    },
    ...{ value: 12.34, complete: false },
  })
  expect(lines.map(({ window, value }) => [window, value])).toEqual([
    ['1d_view', 12.34],
    ['7d_click_1d_view', 0],
  ])
})

test('a line is complete once its window and the grace have passed, by the length for the kind of touch', () => {
  const isComplete = (asOf: number) => labelLines(record, asOf, ATTRIBUTION_DEFAULT).map(({ complete }) => complete)
  expect(isComplete(1_000 + DAY + GRACE - 1)).toEqual([false, false])
  expect(isComplete(1_000 + DAY + GRACE)).toEqual([true, true])
})

test('with goals a line says its own, and its id is of the goal too', () => {
  const [plain, goal] = labelLines(
    { ...record, rows: [record.rows[0]!, { ...record.rows[0]!, goal: 'leads' }] },
    0,
    ATTRIBUTION_DEFAULT,
  )
  expect([plain!.goal, goal!.goal, plain!.row_id === goal!.row_id]).toEqual([undefined, 'leads', false])
})

test('a line of an attribution says what the contract names, and not whether it was late', () => {
  const said: AttributionRecord = {
    ...{ conversion_id: 'v', user_id: 'u', advertiser_id: 'a', conversion_time: 5, window: 'w', model: 'linear' },
    ...{ touch_id: null, touch_type: null, touch_time: null, credit: 0, value: 3, late: true },
  }
  const { late: _, ...line } = said
  expect(attributionLine(said)).toEqual(line)
  expect(attributionLine({ ...said, revision: 2 })).toEqual({ ...line, revision: 2 })
})

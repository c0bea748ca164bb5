import { expect, it } from 'vitest'
import { ATTRIBUTION_DEFAULT } from '../../operators/attribution-settings.ts'
import { taskRow } from '../../test/browser/page-node.ts'
import { attributionStatus } from '../attribution-status.ts'
import type { StatusRow } from '../status.ts'
import { attributionMetrics } from './attribution-metrics.ts'
import { HttpMetrics } from './metrics.ts'

const windows = ATTRIBUTION_DEFAULT.windows.slice(0, 2)
/** A touch that is credited twice, of which O and M have spoken; and one of which neither has. */
const COUNTS = {
  ...{ 'attributed.1d_click': 3, 'unattributed.1d_click': 4, 'labels.O.1d_click': 9, 'labels.M.1d_click': 8 },
  ...{ 'labels.credited.1d_click': 2, 'labels.positives.1d_click': 1, 'labels.observed_positives.1d_click': 1 },
  ...{ 'labels.credited_before_M.1d_click': 1, 'labels.credited_before_O.1d_click': 1 },
}

async function linesOf(rows: readonly StatusRow[]): Promise<string[]> {
  const metrics = new HttpMetrics()
  attributionMetrics(metrics, () => attributionStatus(rows, windows))
  await metrics.text()
  // Asked twice: nothing is counted twice.
  return (await metrics.text()).split('\n').filter((line) => /^holdfast_(?!http)/.test(line))
}

it('counts of all tasks are told by window, windows without any too', async () => {
  const rows = [
    taskRow('user-2', 0, { counts: { ...COUNTS, late_touch: 2 } }),
    taskRow('user-2', 1, { counts: { 'attributed.1d_click': 1, refund_unmatched: 5 } }),
  ]
  const lines = await linesOf(rows)
  for (const line of [
    'holdfast_attributed_total{goal="",window="1d_click"} 4',
    'holdfast_attributed_total{goal="",window="7d_click"} 0',
    'holdfast_unattributed_total{goal="",window="1d_click"} 4',
    'holdfast_label_rows_total{goal="",window="1d_click",kind="O"} 9',
    'holdfast_label_rows_total{goal="",window="1d_click",kind="R"} 0',
    'holdfast_credited_touches_total{goal="",window="1d_click"} 2',
    'holdfast_label_conservation_difference{goal="",window="1d_click"} 0',
    'holdfast_late_touches_total 2',
    'holdfast_refunds_unmatched_total 5',
  ])
    expect(lines).toContain(line)
})

it.each([
  ['a touch of which M has not said what was credited', { 'labels.positives.1d_click': 0 }, 1],
  ['rows that nobody is credited with', { 'labels.D.1d_click': 3 }, 3],
  [
    'more that have spoken than were to',
    { 'labels.credited_before_M.1d_click': -2, 'labels.positives.1d_click': 4 },
    2,
  ],
])('the law does not hold with %s', async (_, broken, difference) => {
  const lines = await linesOf([taskRow('user-2', 0, { counts: { ...COUNTS, ...broken } })])
  expect(lines).toContain(`holdfast_label_conservation_difference{goal="",window="1d_click"} ${difference}`)
})

it('lanes of goals say both names', () => {
  const counts = { 'labels.credited.sales/1d_click': 1, 'attributed.sales/1d_click': 1 }
  const { lanes } = attributionStatus([{ counts }], windows)
  expect(lanes).toMatchObject([{ goal: 'sales', window: '1d_click', attributed: 1 }])
})

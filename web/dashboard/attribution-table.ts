// What was attributed and labelled so far, window by window, and whether credits and labels agree.

import { type ComponentChild, h } from 'preact'
import type { StatusAnswer } from '../../client/holdfast.ts'
import { tableHead } from './table-head.ts'
import { countText } from './text.ts'

export type Attribution = NonNullable<StatusAnswer['attribution']>
type Lane = Attribution['lanes'][number]

const COLUMNS = ['Window', 'Credited', 'To nobody', 'O', 'D', 'M', 'C', 'R', 'Credits and labels']

export function AttributionTable({ attribution }: { readonly attribution: Attribution }): ComponentChild {
  const { lanes, late_touches, refunds_unmatched } = attribution
  return h('section', { class: 'card', 'aria-labelledby': 'attribution-title' }, [
    h('h2', { id: 'attribution-title' }, 'Attribution: conversions and label rows by window'),
    h('div', { class: 'scroll', tabIndex: 0, role: 'group', 'aria-labelledby': 'attribution-title' }, [
      h('table', { role: 'table', class: 'tasks' }, [tableHead(COLUMNS), h('tbody', null, lanes.map(rowOf))]),
    ]),
    h('p', { class: 'hint' }, [
      'O observed, D delayed positive, M mature, C corrected, R refunded. ',
      `Touches that came too late for a conversion: ${countText(late_touches)}. `,
      `Refunds of unknown orders: ${countText(refunds_unmatched)}.`,
    ]),
  ])
}

function rowOf(lane: Lane): ComponentChild {
  const { goal, window, attributed, unattributed, rows, difference } = lane
  const name = goal === null ? window : `${goal} / ${window}`
  const counts = [attributed, unattributed, rows.O, rows.D, rows.M, rows.C, rows.R]
  const agree = difference === 0 ? 'agree' : h('span', { class: 'wrong' }, `differ by ${countText(difference)} touches`)
  return h('tr', { key: name, role: 'row', 'data-lane': name }, [
    h('th', { role: 'rowheader', scope: 'row' }, name),
    [...counts.map(countText), agree].map((content, i) =>
      h('td', { role: 'cell', 'data-label': COLUMNS[i + 1] }, content),
    ),
  ])
}

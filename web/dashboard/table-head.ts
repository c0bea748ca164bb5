// The head of a table, with the roles that keep it a table where its rows are shown as cards.

import { type ComponentChild, h } from 'preact'

export function tableHead(columns: readonly string[]): ComponentChild {
  const cells = columns.map((name) => h('th', { role: 'columnheader', scope: 'col' }, name))
  return h('thead', null, h('tr', { role: 'row' }, cells))
}

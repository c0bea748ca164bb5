// The whole page, from one state: who answers, the totals, the chart, the watched values, the tasks.

import { type ComponentChild, Fragment, h } from 'preact'
import { EventChart } from './event-chart.ts'
import type { Values } from './look.ts'
import { TaskTable } from './task-table.ts'
import { timeText } from './text.ts'
import { TokenForm } from './token-form.ts'
import { Totals } from './totals.ts'
import { WatchTable } from './watch-table.ts'
import type { Connection, PageState, Watcher } from './watcher.ts'

interface PageProps {
  readonly state: PageState
  readonly watcher: Watcher
}

export function Page({ state, watcher }: PageProps): ComponentChild {
  const { connection, values, hasToken } = state
  const isStale = connection.kind === 'unreachable'
  return h(
    Fragment,
    null,
    h(
      'header',
      { class: 'top' },
      h('h1', null, 'Holdfast'),
      h(ConnectionNote, { connection }),
      hasToken &&
        h('button', { type: 'button', class: 'quiet', onClick: () => watcher.setToken(null) }, 'Forget token'),
    ),
    connection.kind === 'token'
      ? h('main', null, h(TokenForm, { wrong: connection.wrong, onToken: (token) => watcher.setToken(token) }))
      : values !== null && h('main', { class: isStale ? 'stale' : '' }, h(Seen, { state, values, watcher })),
  )
}

function Seen({ state, values, watcher }: PageProps & { readonly values: Values }): ComponentChild {
  const { events, rates, history, watch, seenMs } = state
  const { status, features, watched } = values
  return h(
    Fragment,
    null,
    events !== null && h(Totals, { events, rates: rates?.events ?? null }),
    h('div', { class: 'columns' }, [
      events !== null && h(EventChart, { history }),
      h(WatchTable, { watch, watched, features, seenMs, watcher }),
    ]),
    'answer' in status
      ? h(TaskTable, { status: status.answer, rates: rates?.tasks ?? null })
      : h('p', { class: 'card note' }, `Tasks and totals cannot be shown: ${status.refusal}.`),
  )
}

/** Says only what changes seldom, so that it may be read aloud. */
function ConnectionNote({ connection }: { readonly connection: Connection }): ComponentChild {
  return h('p', { role: 'status', class: `connection ${connection.kind}` }, connectionText(connection))
}

function connectionText(connection: Connection): string {
  if (connection.kind === 'live') return 'Live'
  if (connection.kind === 'connecting') return 'Connecting'
  if (connection.kind === 'token') return 'Needs a token'
  const { sinceMs } = connection
  return `Cannot reach the node since ${timeText(sinceMs, sinceMs)}; trying again every second`
}

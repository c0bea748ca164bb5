// The whole page, from one state: who answers, totals, charts, the largest and the watched values, attribution, purchases, the
// model's scores, the graph and its tasks.

import { type ComponentChild, Fragment, h } from 'preact'
import { AttributionTable } from './attribution-table.ts'
import { ConversionView } from './conversion-view.ts'
import { FeatureTable } from './feature-table.ts'
import { LineChart, type Series } from './line-chart.ts'
import { evaluatedIn, type Values } from './look.ts'
import { ModelView } from './model-view.ts'
import { PurchasesView } from './purchases-view.ts'
import { TaskGraph } from './task-graph.ts'
import { TaskTable } from './task-table.ts'
import { timeText } from './text.ts'
import { TokenForm } from './token-form.ts'
import { TopTable } from './top-table.ts'
import { Totals } from './totals.ts'
import { WatchTable } from './watch-table.ts'
import type { Connection, PageState, Watcher } from './watcher.ts'

const EVENTS: readonly Series[] = [
  { label: 'accepted', color: '--accepted', dash: [], of: ({ events }) => events?.accepted ?? null },
  { label: 'duplicates', color: '--duplicates', dash: [6, 4], of: ({ events }) => events?.duplicates ?? null },
  { label: 'dead letters', color: '--dead-letters', dash: [2, 3], of: ({ events }) => events?.deadLetters ?? null },
]
/** Of the slowest task, over the last minute; the table of tasks has each. */
const READABLE: readonly Series[] = [
  { label: 'half of them (p50)', color: '--accepted', dash: [], of: ({ readable }) => readable?.p50 ?? null },
  { label: '99 of 100 (p99)', color: '--duplicates', dash: [6, 4], of: ({ readable }) => readable?.p99 ?? null },
]

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
  const { events, rates, history, watch, seenMs, asked, purchases, model } = state
  const { status, features, watched, top } = values
  const evaluated = evaluatedIn(values)
  // Of a node whose tasks may not be seen nobody knows.
  const attribution = 'answer' in status ? status.answer.attribution : undefined
  return h(
    Fragment,
    null,
    events !== null && h(Totals, { events, rates: rates?.events ?? null }),
    h('div', { class: 'columns' }, [
      events !== null &&
        h(LineChart, { id: 'rates-title', title: 'Events per second, last minutes', series: EVENTS, history }),
      h(TopTable, { top }),
      events !== null &&
        h(LineChart, {
          id: 'readable-title',
          title: 'Milliseconds until an event can be read',
          series: READABLE,
          history,
        }),
      h(WatchTable, { watch, watched, features, seenMs, watcher }),
    ]),
    attribution != null && h(AttributionTable, { attribution }),
    attribution !== null && h(ConversionView, { asked, onAsk: (conversion) => void watcher.explain(conversion) }),
    attribution !== null &&
      h(PurchasesView, {
        asked: purchases,
        lanes: attribution?.lanes ?? null,
        onAsk: (lane) => void watcher.showPurchases(lane),
      }),
    evaluated !== null &&
      h(ModelView, {
        model,
        live: 'answer' in status ? status.answer.model : null,
        windows: evaluated,
        nowMs: seenMs,
        onWindow: (window) => watcher.showModel(window),
      }),
    'answer' in status && h(TaskGraph, { status: status.answer }),
    'answer' in status
      ? h(TaskTable, { status: status.answer, rates: rates?.tasks ?? null })
      : h('p', { class: 'card note' }, `Tasks and totals cannot be shown: ${status.refusal}.`),
    'answer' in features &&
      h(FeatureTable, { features: features.answer, status: 'answer' in status ? status.answer : null }),
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

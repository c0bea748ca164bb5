// The topologies that simulations run: the real operators of the project and the sensitive ones of operators.ts, in three
// stages, so that there are a source, a task with readers before and behind it, and one at the end.

import { duplicates } from '../../operators/duplicates.ts'
import type { Event } from '../../operators/event.ts'
import { type PageView, pageViewsByPage, pageViewsByUser } from '../../operators/page-views.ts'
import { validation } from '../../operators/validation.ts'
import { HOUR_MS, windowedCount } from '../../operators/windowed-count.ts'
import { topology } from '../../topology/dsl.ts'
import { PAGE_VIEW_EXCHANGE } from '../../topology/graph.ts'
import type { ClockMode, ExchangeCodec, OutputPlan, Plan } from '../../topology/plan.ts'
import { alarm, echo, fickle, type Mood, type Witnessed, witness } from './operators.ts'

export const NAMESPACE = 'sim'
export const LATENESS_MS = 60_000
export const ANONYMOUS = 'accept'
/** Short enough that the ids of a simulated input expire while it runs. */
export const DUPLICATES = { horizonMs: 20 * 60_000, orderHorizonMs: 40 * 60_000 } as const
/** Milliseconds: two windows from one set of panes. */
export const WINDOWS_MS: readonly number[] = [10 * 60_000, HOUR_MS]

/** `mixed` gets records of several operators; `traced` is in frames, the others one message per record. */
export const OUTPUTS: readonly OutputPlan[] = [
  { name: 'dead_letters', mode: 'records' },
  { name: 'mixed', mode: 'records' },
  { name: 'traced', mode: 'frames' },
]

export interface SimPlanOptions {
  readonly clock: ClockMode
  readonly partitions: number
  /** See witness(): `task` is the most sensitive, `key` does not depend on the partitions. */
  readonly scope: 'key' | 'task'
  /** An impure operator is in the first stage. */
  readonly mood?: Mood
}

/** What the last stage gets: one hash per page view, for one half of the pages or the other. */
interface Total {
  readonly half: string
  readonly hash: number
}

const halfOf = ({ page }: PageView): string => (page < '/m' ? 'a' : 'b')

const TOTALS: ExchangeCodec<Witnessed<PageView>, Total> = {
  name: 'totals',
  version: 1,
  where: () => true,
  key: ({ of }) => halfOf(of),
  encode: ({ of, hash }) => JSON.stringify([halfOf(of), hash]),
  decode: (json) => {
    const [half, hash] = json as [string, number]
    return { half, hash }
  },
}

export function simPlan({ clock, partitions, scope, mood }: SimPlanOptions): Plan {
  const options = { namespace: NAMESPACE, name: 'simulation', clock, partitions, latenessMs: LATENESS_MS }
  const describe = ({ user, id, time }: Event) => [user, id, time]
  return topology(options, (t) => {
    const events = t.source('user', validation({ anonymous: ANONYMOUS }), OUTPUTS).through(duplicates(DUPLICATES))
    const witnessed = events.through(witness((event) => event.user, scope))
    const spoken = mood === undefined ? witnessed : witnessed.through(fickle(mood))
    spoken.through(echo(['mixed', 'traced'], describe))
    events.through(alarm((event) => event.user, idOf, 'mixed'))
    events.through(windowedCount({ ...pageViewsByUser, windowsMs: WINDOWS_MS }))
    const views = events.keyBy('page', PAGE_VIEW_EXCHANGE)
    views.through(windowedCount({ ...pageViewsByPage, windowsMs: WINDOWS_MS }))
    const totals = views.through(witness((view) => view.page, scope)).keyBy('total', TOTALS)
    totals.through(witness(({ half }) => half, scope))
  })
}

/** Names an event for its timers: unique among the accepted ones. */
const idOf = ({ user, type, id, time }: Event): string => `${user}/${type}/${id}/${time}`

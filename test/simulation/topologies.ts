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
import { alarm, answerer, echo, fickle, type Mood, type Witnessed, witness } from './operators.ts'

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

const ASKED: ExchangeCodec<Event, string> = {
  ...{
    name: 'asked',
    version: 1,
    where: () => true,
    key: ({ user }) => user,
    encode: ({ user }) => JSON.stringify(user),
  },
  decode: (json) => json as string,
}

const DIRECT: ExchangeCodec<Event, Witnessed<string>> = {
  ...{ name: 'direct', version: 1, where: ({ time }) => time % 3 !== 0, key: ({ user }) => user },
  encode: ({ user, time }) => JSON.stringify([user, time]),
  decode: (json) => {
    const [of, hash] = json as [string, number]
    return { of, hash }
  },
}

const ANSWER: ExchangeCodec<Witnessed<Witnessed<string>>, Witnessed<string>> = {
  ...{ name: 'answer', version: 1, where: () => true, key: ({ of }) => of.of },
  encode: ({ of, hash }) => JSON.stringify({ of: of.of, hash }),
  decode: (json) => json as Witnessed<string>,
}

/** Records come to the last stage by two ways: from the source, and by a stage that answers from timers. */
export function diamondPlan({ clock, partitions }: Pick<SimPlanOptions, 'clock' | 'partitions'>): Plan {
  const options = { namespace: NAMESPACE, name: 'diamond', clock, partitions, latenessMs: LATENESS_MS }
  return topology(options, (t) => {
    const events = t.source('user', validation({ anonymous: ANONYMOUS }), [OUTPUTS[0]!]).through(duplicates(DUPLICATES))
    const answers = events.keyBy('answer', ASKED).through(answerer())
    const witnessed = answers.through(witness(({ of }) => of, 'key'))
    const both = t.merge('both', [events.via(DIRECT), witnessed.via(ANSWER)], OUTPUTS.slice(1))
    both.through(
      alarm(
        ({ of }) => of,
        ({ of, hash }) => `${of}/${hash}`,
        'mixed',
      ),
    )
    both.through(witness(({ of }) => of, 'key')).through(echo(['mixed', 'traced'], ({ of }) => of))
  })
}

/** Names an event for its timers: unique among the accepted ones. */
const idOf = ({ user, type, id, time }: Event): string => `${user}/${type}/${id}/${time}`

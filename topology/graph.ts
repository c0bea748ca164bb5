// The graph of Holdfast so far: user-1 (validate, duplicates, page views by user) -> pages (page views by page).
// Attribution, features and scoring will be further stages of this one graph.

import { HoldfastError } from '../log/errors.ts'
import { duplicates } from '../operators/duplicates.ts'
import type { BotsSetting, Event } from '../operators/event.ts'
import { isCountedView, type PageView, pageViewsByPage, pageViewsByUser } from '../operators/page-views.ts'
import { DEAD_LETTERS, validation } from '../operators/validation.ts'
import { HOUR_MS, PANE_MS_DEFAULT, windowedCount } from '../operators/windowed-count.ts'
import { eventStream } from '../sinks/event-stream.ts'
import { type Stream, type TopologyOptions, topology } from './dsl.ts'
import { compileFeatures, type RuleName } from './features/compile.ts'
import type { Declarations } from './features/declaration.ts'
import { type Ledger, withLedger } from './features/ledger.ts'
import type { Stages } from './features/placement.ts'
import { keepFeatures } from './features/stage-plan.ts'
import { touchVectorPlan, type VectorFeatures } from './features/vectors.ts'
import type { ExchangeCodec, OutputPlan, Plan } from './plan.ts'

/** Output stream of accepted events. */
export const ACCEPTED = 'accepted'

/** Default of contract.md and protocol.md, section 8: ten minutes. */
export const LATENESS_MS_DEFAULT = 600_000

export interface GraphOptions extends TopologyOptions {
  readonly anonymous: 'reject' | 'accept'
  /** Not given: they count like others. */
  readonly bots?: BotsSetting
  /** Not given: page views of the last hour, and nothing else. */
  readonly features?: Declarations
  /** Ids of the features that somebody reads; what nobody reads is not kept. Not given: all. */
  readonly served?: readonly string[]
  /** What of the features the vectors of touches have, which are published then. Not given: none are taken. */
  readonly vectors?: VectorFeatures
  /** What the directory has kept of features so far; not given: it is new. */
  readonly ledger?: Ledger | undefined
  /** Rules that the compiler leaves out, to see what they bring. Not given: none. */
  readonly without?: readonly RuleName[]
  /** Whether accepted events are published to an output stream as well, and how. */
  readonly accepted: OutputPlan['mode'] | 'off'
}

/** A page view on its way from its user's partition to its page's: the page, and its time where that is not the order time. */
export const PAGE_VIEW_EXCHANGE: ExchangeCodec<Event, PageView> = {
  name: 'page view',
  version: 1,
  where: isCountedView,
  key: (event) => event.fields.page_id!,
  encode: ({ fields, time }, at) => (time === at ? quoteId(fields.page_id!) : `[${quoteId(fields.page_id!)},${time}]`),
  decode: (json, at) => {
    if (typeof json === 'string') return { page: json, time: at }
    const [page, time] = json as [string, number]
    return { page, time }
  },
}

/** JSON text of an id: well-formed and without control characters (operators/event.ts), so only these two need escaping. */
function quoteId(id: string): string {
  return id.includes('"') || id.includes('\\') ? JSON.stringify(id) : `"${id}"`
}

const COUNTED = { mode: 'panes', paneMs: PANE_MS_DEFAULT, windowsMs: [HOUR_MS] } as const

/** The plan of the page-view graph. */
export function pageViewGraph(options: GraphOptions): Plan {
  const { anonymous, bots = 'count', accepted, features, served, vectors, without = [], ledger, ...rest } = options
  const outputs: OutputPlan[] = [{ name: DEAD_LETTERS, mode: 'records' }]
  if (accepted !== 'off') outputs.push({ name: ACCEPTED, mode: accepted })
  if (vectors !== undefined && features === undefined)
    throw new HoldfastError('USAGE', 'vectors are of declared features: there are none')
  const stagesMax = features === undefined ? 0 : Object.keys(FEATURE_STAGES).length
  return topology({ ...rest, edition: ledger?.edition ?? 1, stagesMax }, (t) => {
    const events = t.source('user-1', validation({ anonymous, bots }), outputs).through(duplicates())
    if (accepted !== 'off') events.through(eventStream(ACCEPTED))
    if (features === undefined) countPageViews(events)
    else {
      const compiled = compileFeatures(features, { without, ...(served && { served }) })
      const known = ledger === undefined ? compiled : withLedger(compiled, features, ledger)
      const plan = vectors === undefined ? null : touchVectorPlan(known, vectors)
      keepFeatures(events, known, FEATURE_STAGES, plan, ledger)
    }
  })
}

function countPageViews(events: Stream<Event>): void {
  events.through(windowedCount({ ...pageViewsByUser, ...COUNTED }))
  events.keyBy('pages', PAGE_VIEW_EXCHANGE).through(windowedCount({ ...pageViewsByPage, ...COUNTED }))
}

/** The stage of each partition field. */
const FEATURE_STAGES: Stages = { user_id: 'user-1', page_id: 'pages', advertiser_id: 'ad' }

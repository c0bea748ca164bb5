// The graph of Holdfast so far: user-1 (validate, duplicates, features of users) -> pages, ad (features there) and the joiner
// (clicks -> user-2: conversions find their touches -> purchases). Scoring and training will be further stages of this one graph.
// GR1: with the joiner conversions are accepted there; user-1 accepts everything else, and for its features knows each conversion
//      once by its own user.

import { HoldfastError } from '../log/errors.ts'
import type { AttributionSettings } from '../operators/attribution-settings.ts'
import { duplicates } from '../operators/duplicates.ts'
import { evaluation } from '../operators/evaluation.ts'
import { type BotsSetting, type Event, quotedId } from '../operators/event.ts'
import { touchesWithVectors } from '../operators/joining-vectors.ts'
import { MODELS, type TaughtRows } from '../operators/model-records.ts'
import { isCountedView, type PageView, pageViewsByPage, pageViewsByUser } from '../operators/page-views.ts'
import { publishedVersions } from '../operators/published-versions.ts'
import { SCORES, type Scorable, scorer } from '../operators/scorer.ts'
import type { JoinRecord, Touch } from '../operators/touch.ts'
import { vectorValues } from '../operators/touch-vectors.ts'
import { trainer } from '../operators/trainer.ts'
import { eachRow } from '../operators/training-rows.ts'
import { DEAD_LETTERS, validation } from '../operators/validation.ts'
import type { VectorEvent } from '../operators/vector-values.ts'
import { HOUR_MS, PANE_MS_DEFAULT, windowedCount } from '../operators/windowed-count.ts'
import { eventStream } from '../sinks/event-stream.ts'
import { type Sending, type Stream, type TopologyBuilder, type TopologyOptions, topology } from './dsl.ts'
import { type CompiledFeatures, compileFeatures, type RuleName } from './features/compile.ts'
import type { Declarations } from './features/declaration.ts'
import { type Ledger, withLedger } from './features/ledger.ts'
import type { Stages } from './features/placement.ts'
import { keepFeatures } from './features/stage-plan.ts'
import { touchVectorPlan, type VectorFeatures, type VectorPlan } from './features/vectors.ts'
import { join } from './joiner.ts'
import { JOIN_EXCHANGE } from './joiner-exchanges.ts'
import { LiveModels } from './models/live-models.ts'
import { fixedModel, type ModelFile } from './models/model-file.ts'
import { candidateRefusal } from './models/onnx-model.ts'
import { SCORED_EXCHANGE, SCORING_EXCHANGE, touchIn } from './models/scoring-exchange.ts'
import { liveSettings, type ScoringSettings, trainerSettings } from './models/scoring-settings.ts'
import type { ExchangeCodec, OutputPlan, Plan } from './plan.ts'
import { refuseTaken } from './purchases.ts'
import { modelFileBytes } from './streams.ts'

/** Output stream of accepted events. */
export const ACCEPTED = 'accepted'

/** The stage of uploads: its clients publish to <namespace>.bulk.<user_id>. */
export const BULK = 'bulk'

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
  /** Whether uploads have a stage of their own before the source; only with `clock: wall`. Not given: they have none. */
  readonly uploads?: boolean
  /** Whether accepted events are published to an output stream as well, and how. */
  readonly accepted: OutputPlan['mode'] | 'off'
  /** How conversions are attributed; not given: they are counted as events, and that is all. */
  readonly attribution?: AttributionSettings | 'off'
  /** Scores every touch, to an output; its file is sound. Not given: `scoring` says. */
  readonly model?: ModelFile | undefined
  /** Models that score and learn from labels while the stream runs; needs attribution. Not given: off. */
  readonly scoring?: ScoringSettings | 'off'
  /** Sound files whose scores are published beside, and do nothing else; at most SHADOWS_MAX. Not given: none. */
  readonly shadows?: readonly ModelFile[] | undefined
  /** How attributions are published. Not given: as records. */
  readonly joined?: OutputPlan['mode']
}

/** Each is in the memory of every thread that scores, and asked of every touch. */
export const SHADOWS_MAX = 8

/** A page view on its way from its user's partition to its page's: the page, and its time where that is not the order time. */
export const PAGE_VIEW_EXCHANGE: ExchangeCodec<Event, PageView> = {
  name: 'page view',
  version: 1,
  where: isCountedView,
  key: (event) => event.fields.page_id!,
  encode: ({ fields, time }, at) =>
    time === at ? quotedId(fields.page_id!) : `[${quotedId(fields.page_id!)},${time}]`,
  decode: (json, at) => {
    if (typeof json === 'string') return { page: json, time: at }
    const [page, time] = json as [string, number]
    return { page, time }
  },
}

const COUNTED = { mode: 'panes', paneMs: PANE_MS_DEFAULT, windowsMs: [HOUR_MS] } as const

/** The plan of the graph. */
export function pageViewGraph(options: GraphOptions): Plan {
  const { anonymous, bots = 'count', accepted, features, served, vectors, without = [], ledger, ...others } = options
  const { attribution = 'off', joined = 'records', uploads = false, model, scoring = 'off', shadows, ...rest } = others
  const outputs: OutputPlan[] = [{ name: DEAD_LETTERS, mode: 'records' }]
  if (accepted !== 'off') outputs.push({ name: ACCEPTED, mode: accepted })
  const joins = attribution !== 'off'
  refuseSenseless(options)
  const loop = attribution === 'off' || scoring === 'off' ? null : { attribution, scoring }
  const scores: OutputPlan[] = model === undefined && loop === null ? [] : [{ name: SCORES, mode: 'frames' }]
  const stagesMax = features === undefined ? 0 : stagesOf(options)
  const known = features === undefined ? null : compiled(features)
  const plan = known === null || vectors === undefined ? null : touchVectorPlan(known, vectors)
  const vector = plan?.schema ?? null
  return topology({ ...rest, edition: ledger?.edition ?? 1, stagesMax }, (t) => {
    const valid = t.source('user-1', validation({ anonymous, bots }), outputs, uploads ? BULK : undefined)
    const events = valid.through(duplicates({}, joins ? 'passed' : 'judged'))
    if (accepted !== 'off') events.through(eventStream(ACCEPTED, joins ? 'but conversions' : 'all'))
    if (features === undefined) countPageViews(events)
    const touches = known === null || plan === null ? scoredTouches() : keptTouches(known, plan)
    if (known !== null && plan === null) keepFeatures(ownEvents(), known, FEATURE_STAGES, null, { ledger })
    if (!joins) return
    const taught = loop?.scoring.goal
    const live = rest.clock === 'wall'
    const rows = join(t, events, touches, { settings: attribution, mode: joined, accepted, live, taught })
    if (loop !== null) train(t, rows, { ...loop, vector, stage: scoringStage(options) })

    /** Those that features know: with the joiner, conversions are judged apart (GR1). */
    function ownEvents(): Stream<Event> {
      return joins ? events.through(duplicates({}, 'alone')) : events
    }

    /** null: nothing is scored. */
    function scorerOf<In>(read: (value: In) => Scorable | null) {
      const windows = joins ? attribution.windows.map(({ name }) => name) : []
      const fixed = (file: ModelFile) => fixedModel(file, vector, windows)
      const live = () => new LiveModels(liveSettings(loop!.scoring, loop!.attribution, vector))
      if (scores.length === 0) return null
      return scorer(model === undefined ? live() : fixed(model), SCORES, read, shadows?.map(fixed))
    }

    /** Where no vectors are taken touches go another way only to be scored. */
    function scoredTouches(): Sending<JoinRecord> | null {
      const scoring = scorerOf((touch: Touch) => ({ touch, values: {} }))
      if (scoring === null) return null
      return events.keyBy(scoringStage(options), SCORING_EXCHANGE, scores).through(scoring).via(SCORED_EXCHANGE)
    }

    /** Their vectors are whole, and what is said of them is said, in the last stage of features that they pass. */
    function keptTouches(features: CompiledFeatures, taken: VectorPlan): Sending<JoinRecord> | null {
      const whole = keepFeatures(ownEvents(), features, FEATURE_STAGES, taken, { ledger, outputs: scores })!
      const { layout } = taken
      const scoring = scorerOf((event: VectorEvent): Scorable | null => {
        const touch = touchIn(event)
        return touch === null ? null : { touch, values: vectorValues(event, layout) }
      })
      const scored = scoring === null ? whole : whole.through(scoring)
      if (!joins) return null
      const layoutOfNow = { layout, place: (ledger?.layouts?.length ?? 1) - 1 }
      return scored.through(touchesWithVectors(layoutOfNow)).via(JOIN_EXCHANGE)
    }
  })

  function compiled(declared: Declarations): CompiledFeatures {
    const all = compileFeatures(declared, { without, ...(served && { served }) })
    return ledger === undefined ? all : withLedger(all, declared, ledger)
  }
}

/** Throws USAGE. */
function refuseSenseless({
  features,
  vectors,
  attribution = 'off',
  model,
  scoring = 'off',
  shadows = [],
}: GraphOptions): void {
  const refuse = (why: string): never => {
    throw new HoldfastError('USAGE', why)
  }
  if (vectors !== undefined && features === undefined) refuse('vectors are of declared features: there are none')
  if (attribution !== 'off' && features !== undefined) refuseTaken(features)
  if (scoring !== 'off' && attribution === 'off') refuse('scoring learns from labels: it needs attribution')
  if (scoring !== 'off' && model !== undefined) refuse('a model file scores, or models that learn: not both')
  if (shadows.length > 0 && scoring === 'off' && model === undefined)
    refuse('a shadow stands beside what scores, and nothing does')
  if (shadows.length > SHADOWS_MAX) refuse(`${shadows.length} shadows are too many: at most ${SHADOWS_MAX}`)
  if (new Set(shadows.map(({ sha256 }) => sha256)).size < shadows.length) refuse('two of the shadows are the same file')
  const goals = attribution === 'off' ? [] : attribution.goals.map(({ name }) => name)
  if (scoring !== 'off' && !(goals.length === 0 ? [''] : goals).includes(scoring.goal))
    refuse(`"scoring.goal" must be ${goals.length === 0 ? '"": no goals are declared' : `one of ${goals.join(', ')}`}`)
}

/** With declared features; each has its room in the log from the beginning. */
function stagesOf({ uploads, clock, attribution = 'off', model, scoring = 'off' }: GraphOptions): number {
  const joiner = attribution === 'off' ? 0 : JOINER_STAGES
  const loop = model !== undefined ? 1 : scoring === 'off' ? 0 : LOOP_STAGES
  return Object.keys(FEATURE_STAGES).length + (uploads && clock === 'wall' ? 1 : 0) + joiner + loop
}

/** The stage that scores touches. */
export function scoringStage({ features, vectors }: Pick<GraphOptions, 'features' | 'vectors'>): string {
  return features === undefined || vectors !== undefined ? FEATURE_STAGES.advertiser_id! : SCORING_STAGE
}

/** Behind the joiner: what its rows teach, and how good the scores were that they judge. `stage`: to which versions go back. */
function train(
  t: TopologyBuilder,
  rows: Sending<TaughtRows>,
  {
    attribution,
    scoring,
    vector,
    stage,
  }: {
    readonly attribution: AttributionSettings
    readonly scoring: ScoringSettings
    readonly vector: string | null
    readonly stage: string
  },
): void {
  const settings = trainerSettings(scoring, attribution, vector)
  const fileBytes = modelFileBytes(attribution.windows.length)
  const outputs: OutputPlan[] = settings === null ? [] : [{ name: MODELS, mode: 'records', fileBytes }]
  const each = t.merge(TRAINING_STAGE, [rows], outputs).through(eachRow())
  each.through(evaluation(attribution))
  if (settings === null) return
  const { periodMs, activationDelayMs: delayMs } = settings
  const published = each.through(trainer(settings, MODELS, candidateRefusal)).through(publishedVersions())
  t.feedback(published, stage, { periodMs, delayMs })
}

/** Those of topology/joiner.ts, and the one of purchases behind them. */
const JOINER_STAGES = 3

function countPageViews(events: Stream<Event>): void {
  events.through(windowedCount({ ...pageViewsByUser, ...COUNTED }))
  events.keyBy('pages', PAGE_VIEW_EXCHANGE).through(windowedCount({ ...pageViewsByPage, ...COUNTED }))
}

/** One that scores, and one that trains. */
const LOOP_STAGES = 2
export const TRAINING_STAGE = 'trainer'

/** The stage that scores where features of advertisers are kept, but touches take none with them. */
const SCORING_STAGE = 'score'

/** The stage of each partition field. */
const FEATURE_STAGES: Stages = { user_id: 'user-1', page_id: 'pages', advertiser_id: 'ad' }

// A topology with a feedback: a stage that scores by the version that holds, one between, and one that learns from what was scored and
// makes a version at each period. Sensitive as the operators of operators.ts are: what is learned is a hash over all that comes.
// LO1: a score says which version made it and what that version's file has; so a version too early, too late or of other bytes shows.
// LO2: which version has to have scored what, follows from the published versions and the end of the input alone (wrongScores).

import { assert } from '../../log/errors.ts'
import { duplicates } from '../../operators/duplicates.ts'
import type { Event } from '../../operators/event.ts'
import type { ActiveModel } from '../../operators/model-records.ts'
import { emittedBy, type Operator, type OperatorContext, type Rec } from '../../operators/operator.ts'
import { validation } from '../../operators/validation.ts'
import type { Codec } from '../../state/store.ts'
import { topology } from '../../topology/dsl.ts'
import { heldFrom } from '../../topology/feedback.ts'
import type { ExchangeCodec, Plan } from '../../topology/plan.ts'
import { mixed } from './operators.ts'
import { ANONYMOUS, DUPLICATES, LATENESS_MS, NAMESPACE } from './topologies.ts'

/** Some twenty versions in the hours of a simulated input, and many events between two of them. */
export const DELAY = { periodMs: 10 * 60_000, delayMs: 2 * 60_000 } as const
/** From an event to its second score: into another period, often. */
const AGAIN_MS = 7 * 60_000

export const SCORES = 'scores'
export const MODELS = 'models'

/** What is scored, and then learned from: `text` is what the version's file has. */
interface Seen {
  readonly id: string
  readonly page: string
  readonly text: string
}

/** A record of the output `scores`: order time, whether a timer made it, the version (0: none), its text, and what was scored. */
export type Score = readonly [at: number, by: 'record' | 'timer', version: number, text: string, id: string]

const SEEN: ExchangeCodec<Seen, Seen> = {
  ...{ name: 'seen', version: 1, where: () => true, key: ({ page }) => page },
  encode: (seen) => JSON.stringify(seen),
  decode: (json) => json as Seen,
}

const unscored = ({ user, type, id, time, fields }: Event): Seen => {
  return { id: `${user}/${type}/${id}/${time}`, page: fields.page_id ?? '', text: '' }
}

/** Page views go to the stage that scores; conversions around it, so that the stage behind it has another writer. */
const TO_SCORE: ExchangeCodec<Event, Seen> = {
  ...{
    name: 'to score',
    version: 1,
    where: ({ type }) => type !== 'conversion',
    key: ({ fields }) => fields.page_id ?? '',
  },
  encode: (event) => JSON.stringify(unscored(event)),
  decode: (json) => json as Seen,
}
const AROUND: ExchangeCodec<Event, Seen> = {
  ...TO_SCORE,
  name: 'around',
  where: ({ type }) => type === 'conversion',
}
const TO_LEARN: ExchangeCodec<Seen, Seen> = { ...SEEN, name: 'to learn', key: () => 'model' }

/** The scores of the records that come, and of a timer for each. */
function scoring(): Operator<Seen, Seen> {
  const texts = new Map<string, string>()
  const load = async (times: readonly number[], ctx: OperatorContext): Promise<void> => {
    for (const at of times) {
      const model = ctx.model(at)
      if (model === null || texts.has(model.sha256)) continue
      const bytes = await ctx.blobOf(model.sha256)
      assert(bytes !== null, 'whoever reads a version finds its file')
      texts.set(model.sha256, Buffer.from(bytes).toString())
    }
  }
  const score = (at: number, by: Score[1], id: string, ctx: OperatorContext): Score => {
    const model = ctx.model(at)
    return [at, by, model?.version ?? 0, model === null ? '' : texts.get(model.sha256)!, id]
  }
  return {
    name: 'scoring',
    version: 1,
    settings: {},
    stores: [],
    timers: { kinds: ['again'], delayMinMs: AGAIN_MS },
    prepare: (batch, ctx) =>
      load(
        batch.map(({ at }) => at),
        ctx,
      ),
    process(batch, ctx) {
      return batch.map((record): Rec<Seen> => {
        const { at, type, id, number, value } = record
        const scored = score(at, 'record', value.id, ctx)
        ctx.emit(SCORES, scored, record)
        const payload = { seen: value, type, id }
        ctx.setTimer({ dueMs: at + AGAIN_MS, kind: 'again', key: `${type}/${id}/${number}`, payload }, record)
        return { ...record, value: { ...value, text: scored[3] } }
      })
    },
    prepareTimer: ({ dueMs }, ctx) => load([dueMs], ctx),
    onTimer(timer, ctx) {
      const { seen, type, id } = timer.payload as { seen: Seen; type: string; id: string }
      const scored = score(timer.dueMs, 'timer', seen.id, ctx)
      ctx.emit(SCORES, scored, { input: 0 })
      return [emittedBy(timer, { ...seen, id: `again ${seen.id}`, text: scored[3] }, { type, id })]
    },
  }
}

/** What is learned so far, and when the next version is due (null: nothing is new). */
interface Learned {
  hash: number
  rows: number
  version: number
  dueMs: number | null
}

const learnedCodec: Codec<Learned> = {
  encode: (learned) => Buffer.from(JSON.stringify(learned)),
  decode: (bytes) => JSON.parse(Buffer.from(bytes).toString()) as Learned,
}
const STORE = 'learned'

function learning(): Operator<Seen, ActiveModel> {
  const want = (ctx: OperatorContext) => ctx.keyed<Learned>(STORE).want(0, 'model')
  const learnedIn = (ctx: OperatorContext): Learned => {
    const store = ctx.keyed<Learned>(STORE)
    if (store.get(0, 'model') === undefined) store.set(0, 'model', { hash: 0, rows: 0, version: 0, dueMs: null })
    store.changed(0, 'model')
    return store.get(0, 'model')!
  }
  return {
    name: 'learning',
    version: 1,
    settings: DELAY,
    stores: [{ kind: 'keyed', id: 1, name: STORE, codec: learnedCodec }],
    timers: { kinds: ['version'], delayMinMs: 0 },
    keys: (_, ctx) => want(ctx),
    process(batch, ctx) {
      const learned = learnedIn(ctx)
      for (const record of batch) {
        learned.hash = mixed(learned.hash, JSON.stringify([record.at, record.watermark, record.value]))
        learned.rows++
        if (learned.dueMs !== null) continue
        learned.dueMs = Math.ceil(record.at / DELAY.periodMs) * DELAY.periodMs
        ctx.setTimer({ dueMs: learned.dueMs, kind: 'version', key: 'model', payload: null }, record)
      }
      return []
    },
    timerKeys: (_, ctx) => want(ctx),
    onTimer(timer, ctx) {
      const learned = learnedIn(ctx)
      learned.dueMs = null
      const version = ++learned.version
      const sha256 = ctx.blob(Buffer.from(`${version} ${learned.rows} ${learned.hash}`))
      const from = heldFrom(timer.dueMs, DELAY)
      const model: ActiveModel = { activation: version, from, version, sha256, schema: 'simulated' }
      ctx.emit(MODELS, model, { input: 0 })
      return [emittedBy(timer, model, { type: 'model', id: String(version) })]
    },
  }
}

export function loopPlan(partitions: number): Plan {
  const options = { namespace: NAMESPACE, name: 'loop', clock: 'data', partitions, latenessMs: LATENESS_MS } as const
  const outputs = [{ name: 'dead_letters', mode: 'records' }] as const
  return topology(options, (t) => {
    const events = t.source('user', validation({ anonymous: ANONYMOUS }), outputs).through(duplicates(DUPLICATES))
    const scored = t.merge('score', [events.via(TO_SCORE)], [{ name: SCORES, mode: 'records' }]).through(scoring())
    const both = t.merge('both', [events.via(AROUND), scored.via(SEEN)])
    const learned = both.keyBy('learn', TO_LEARN, [{ name: MODELS, mode: 'frames' }]).through(learning())
    t.feedback(learned, 'score', DELAY)
  })
}

/** LO2. Scores that another version made than the one that held, or that have not what its file has. `endMs`: the last watermark. */
export function wrongScores(scores: readonly Score[], models: readonly ActiveModel[], endMs: number): string[] {
  return scores.flatMap(([at, by, version, text, id]) => {
    const held = models.filter(({ from }) => from <= Math.min(at, endMs)).at(-1)
    const right =
      version === (held?.version ?? 0) && (held === undefined ? text === '' : text.startsWith(`${version} `))
    return right ? [] : [`${id} at ${at} by a ${by}: version ${version}, "${text}"; ${held?.version ?? 'none'} held`]
  })
}

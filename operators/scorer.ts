// Scores touches where they come: each accepted click and impression gets the probabilities that a model says, as a record, and goes on
// with them and with the input that was read (docs/model-loop.md).
// SC1: a score is that of the touch and its vector alone, whatever the batch (the model's promise, topology/models/onnx-model.ts).
// SC2: all touches of a batch are asked at once, before the batch is processed.
// SC3: what is prepared belongs to its batch: the tasks of a thread share one operator.
// SC4: nothing branches on a score: last bits may differ from machine to machine (protocol.md, section 9). In what is published they are
//      approximate (F3, log/frame.ts), so one that was published wins over one that is computed again.
// SC5: what a shadow says, or that it cannot, is in the record of the score and nowhere else but in a counter.

import { approximate } from '../log/frame.ts'
import { packKeys } from '../ml/packed-rows.ts'
import { type FactValue, touchKeys } from '../ml/touch-features.ts'
import { fingerprintOf } from './fingerprint.ts'
import type { Scored } from './model-records.ts'
import type { Operator, OperatorContext, Rec } from './operator.ts'
import type { Touch } from './touch.ts'

/** Output of scores: records are ScoreRecord. */
export const SCORES = 'scores'

/** As Scored.version: rates answered, because there was no model or it could not. */
export const FALLBACK_VERSION = 0

/** What that is called in records. */
export const FALLBACK_NAME = String(FALLBACK_VERSION)

/** A touch that is to be scored. */
export interface Asked {
  readonly touch: Touch
  /** Of its features (ml/touch-features.ts). */
  readonly keys: readonly number[]
  /** Its order time. */
  readonly at: number
}

/** What a model says of a touch. */
export interface Answer {
  /** As Scored.version. */
  readonly version: number
  /** What records call it, where it is not the fallback that answers. */
  readonly name: string
  /** Why files that should have answered were refused. */
  readonly refused: readonly string[]
  /** By window; in the digits of single precision. 0: it says nothing of the window, or that does not name the touch's kind. */
  readonly p: readonly number[]
  /** Conversions expected, by window, in the same digits: at least p, 0 where that is 0. */
  readonly expected: readonly number[]
}

/** Models as an operator sees them. */
export interface ScoringModels {
  /** Names of the windows of answers. */
  readonly windows: readonly string[]
  /** What decides their answers; part of the fingerprint of the plan. */
  readonly settings: unknown
  /** Answers by place. */
  answer(asked: readonly Asked[], ctx: ModelContext): Promise<readonly Answer[]>
}

/** What of its context an operator lends its models. */
export type ModelContext = Pick<OperatorContext, 'model' | 'blobOf'>

/** One record of the output. */
export interface ScoreRecord {
  readonly event_id: string
  /** null: of an anonymous event. */
  readonly user_id: string | null
  /** Its number, or the hash of its file; '0': the fallback, but for a shadow, which is called what it is. */
  readonly model_version: string
  /** By window. */
  readonly p: Readonly<Record<string, number>>
  /** By window: conversions expected, at least p. */
  readonly expected: Readonly<Record<string, number>>
  /** Of what was read (operators/fingerprint.ts). */
  readonly fingerprint: string
  /** What models say that are only looked at, but for those that could not. Not given: there are none. */
  readonly shadows?: readonly SaidScore[]
}

/** What one model says of a touch. */
export type SaidScore = Pick<ScoreRecord, 'model_version' | 'p' | 'expected'>

/** What is scored of a value: the touch, of nobody where its user is '', and the values of its vector. */
export interface Scorable {
  readonly touch: Touch
  readonly values: Readonly<Record<string, FactValue>>
}

interface Prepared {
  /** By record; null: it is no touch. */
  readonly found: readonly (Scorable | null)[]
  readonly asked: readonly Asked[]
  readonly answers: readonly Answer[]
  /** By shadow; null: it could not. */
  readonly shadows: readonly (readonly Answer[] | null)[]
}

/**
 * Publishes a score of each touch to `output`, and passes it on with that. `scorable`: null is no touch, which ends here. `shadows`:
 * models whose scores are in the same records, and do nothing else.
 */
export function scorer<In>(
  models: ScoringModels,
  output: string,
  scorable: (value: In) => Scorable | null,
  shadows: readonly ScoringModels[] = [],
): Operator<In, In & { readonly scored: Scored }> {
  /** What was prepared, by batch: tasks share their operators. By place among its touches. */
  const prepared = new WeakMap<object, Prepared>()
  return {
    name: 'scorer',
    version: 4,
    settings: { models: settingsOf(models), output, ...(shadows.length > 0 && { shadows: shadows.map(settingsOf) }) },
    stores: [],
    prepare(batch, ctx) {
      const found = batch.map(({ value }) => scorable(value))
      const asked = batch.flatMap((rec, i) => askedOf(rec, found[i]!))
      if (asked.length === 0) return null
      const beside = shadows.map((each) => each.answer(asked, ctx).catch(() => null))
      return Promise.all([models.answer(asked, ctx), Promise.all(beside)]).then(([answers, shadowed]) => {
        prepared.set(batch, { found, asked, answers, shadows: shadowed })
      })
    },
    process(batch, ctx) {
      const out: Rec<In & { readonly scored: Scored }>[] = []
      const known = prepared.get(batch)
      // None of them is a touch.
      if (known === undefined) return out
      const { found, asked, answers, shadows: shadowed } = known
      let place = 0
      for (const [i, rec] of batch.entries()) {
        const own = found[i]!
        if (own === null) continue
        const answer = answers[place]!
        const beside = shadowed.flatMap((said, i) => (said === null ? [] : saidOf(said[place]!, shadows[i]!.windows)))
        const said = { ...probabilities(answer, models.windows), ...(shadows.length > 0 && { shadows: beside }) }
        ctx.emitJson(output, recordText(readOf(own, answer), said), rec)
        count(answer, ctx)
        if (beside.length < shadows.length) ctx.count('shadows_failed', shadows.length - beside.length)
        const { version, p } = answer
        out.push({ ...rec, value: { ...rec.value, scored: { version, p, input: packKeys(asked[place]!.keys) } } })
        place++
      }
      return out
    },
  }
}

const settingsOf = ({ settings, windows }: ScoringModels): unknown => ({ models: settings, windows })

const askedOf = ({ at }: Rec<unknown>, found: Scorable | null): readonly Asked[] =>
  found === null ? [] : [{ touch: found.touch, keys: touchKeys(found.touch, found.values), at }]

/** Counters: touches scored, those of them by rates, and those that a refused file should have scored, by the reason. */
function count({ version, refused }: Answer, ctx: OperatorContext): void {
  ctx.count('scores')
  if (version === FALLBACK_VERSION) ctx.count('scores_fallback')
  for (const reason of refused) ctx.count(`model_refused ${reason}`)
}

type Approximate = Pick<ScoreRecord, 'p' | 'expected' | 'shadows'>

/** What of its record is exact. */
function readOf({ touch, values }: Scorable, { version, name }: Answer): Omit<ScoreRecord, keyof Approximate> {
  const { id, user } = touch
  const model_version = version === FALLBACK_VERSION ? FALLBACK_NAME : name
  return { event_id: id, user_id: user === '' ? null : user, model_version, fingerprint: fingerprintOf(touch, values) }
}

/** SC4. JSON of a ScoreRecord. */
function recordText(exact: Omit<ScoreRecord, keyof Approximate>, said: Approximate): string {
  return `${JSON.stringify(exact).slice(0, -1)}${approximate(`,${JSON.stringify(said).slice(1, -1)}`)}}`
}

const probabilities = ({ p, expected }: Answer, windows: readonly string[]) => {
  return { p: namedBy(windows, p), expected: namedBy(windows, expected) }
}

const saidOf = (answer: Answer, windows: readonly string[]): SaidScore => {
  return { model_version: answer.name, ...probabilities(answer, windows) }
}

function namedBy(windows: readonly string[], said: readonly number[]): Readonly<Record<string, number>> {
  const named: Record<string, number> = {}
  windows.forEach((window, i) => {
    if (said[i] !== 0) named[window] = said[i]!
  })
  return named
}

// How good the scores were that touches got when they came: by window and day of the touch, for all, by advertiser, by version of the
// model, by clicks and impressions (docs/models.md).
// EO1: a score is judged by what the label says of its touch, and it was said before anything of that touch was learned: it came with
//      the touch. So nothing is set aside for it.
// EO2: rows that the fallback scored stand in the slice of version 0 and in no other.
// EO3: an advertiser, or a version, has a slice of its own for a day if it is among the first SLICES_NAMED_MAX to have a row of it,
//      else it is in the rest: who has many touches comes early. So each slice has all rows of its day, and there is a limit to them.
// EO4: every lane of a row is used, or counted under why not.
// What is kept: operators/evaluation-tally.ts. Emits nothing: what it keeps is read (topology/evaluation-reads.ts).

import { DelayShares } from '../ml/delay-shares.ts'
import type { KeyedStore } from '../state/store.ts'
import { type AttributionSettings, longestWindowMs } from './attribution-settings.ts'
import {
  ALL_TOUCHES,
  addKnown,
  addMature,
  addOpen,
  countCodec,
  EVALUATION_DAY_MS,
  EVALUATION_NAMED_STORE,
  EVALUATION_STORE,
  type EvaluationTally,
  emptyTally,
  evaluationCodec,
  judgedTouch,
  nanoOf,
  REST,
  type SliceKind,
  sliceKey,
} from './evaluation-tally.ts'
import { lowestBucketAt } from './expiry.ts'
import type { TrainingRow } from './model-records.ts'
import type { Operator, OperatorContext } from './operator.ts'
import type { TouchType } from './touch.ts'

/** Days of touches that are kept beyond the longest window: two months of a curve over days. */
export const DAYS_KEPT_DEFAULT = 60
/** Slices of a day, a window and a kind that have a name: at some 300 bytes each, a few MB for a window's days. */
export const SLICES_NAMED_MAX = 200
const HOUR_MS = 3_600_000

/** Lanes of rows, by what became of them. */
export const EVALUATED = {
  /** M, in the metrics of the model. */
  mature: 'evaluation_mature',
  /** O and D: what is said of open windows. */
  open: 'evaluation_open',
  /** Of any of these kinds, that the fallback scored. */
  fallback: 'evaluation_fallback',
  /** Their window was not seen to its end. */
  incomplete: 'evaluation_incomplete',
  /** Nothing was said of the touch, or nothing for this window. */
  unscored: 'evaluation_unscored',
  /** The day of the touch was forgotten. */
  expired: 'evaluation_expired',
  /** C and R: what happened after the window. */
  other: 'evaluation_other',
} as const

export interface EvaluationSettings extends Pick<AttributionSettings, 'windows' | 'graceMs'> {
  readonly daysKept?: number
  readonly slicesNamedMax?: number
}

export interface Evaluation extends Operator<TrainingRow, never> {
  readonly windows: AttributionSettings['windows']
  readonly graceMs: number
}

/** After how long all of a touch of a window is known, milliseconds; an hour at least. */
export function horizonOf(
  { windows, graceMs }: Pick<EvaluationSettings, 'windows' | 'graceMs'>,
  window: string,
): number {
  return Math.max(HOUR_MS, longestWindowMs({ windows: windows.filter(({ name }) => name === window) }) + graceMs)
}

/** Judges scores by rows. Emits nothing. */
export function evaluation(settings: EvaluationSettings): Evaluation {
  const { windows, graceMs, daysKept = DAYS_KEPT_DEFAULT, slicesNamedMax = SLICES_NAMED_MAX } = settings
  const keptMs = longestWindowMs({ windows }) + graceMs + daysKept * EVALUATION_DAY_MS
  const names = windows.map(({ name }) => name)
  const slices = new Slices(names)
  const delays = names.map((name) => new DelayShares(horizonOf(settings, name)))
  return {
    ...{ windows, graceMs },
    name: 'evaluation',
    version: 1,
    settings: { windows, graceMs, daysKept, slicesNamedMax },
    stores: [
      { kind: 'keyed', id: 1, name: EVALUATION_STORE, codec: evaluationCodec },
      { kind: 'keyed', id: 2, name: EVALUATION_NAMED_STORE, codec: countCodec },
    ],
    keys(batch, ctx) {
      const [kept, named] = [ctx.keyed(EVALUATION_STORE), ctx.keyed(EVALUATION_NAMED_STORE)]
      /** Days and windows of this batch whose rests were named already. */
      const wanted = new Set<number>()
      for (const { value: row } of batch) {
        const day = dayOf(row)
        if (!isJudged(row) || day < kept.lowestBucket) continue
        for (const { window } of row.lanes) {
          for (const slice of slices.of(row)) kept.want(day, slice.keys[window]!)
          const place = day * windows.length + window
          if (wanted.has(place)) continue
          wanted.add(place)
          for (const rest of slices.rests) {
            kept.want(day, rest[window]!)
            named.want(day, rest[window]!)
          }
        }
      }
    },
    process(batch, ctx) {
      const kept = ctx.keyed<EvaluationTally>(EVALUATION_STORE)
      for (const { value: row, at } of batch) {
        const unused = whyUnused(row, ctx)
        if (unused !== null) ctx.count(unused, row.lanes.length)
        else for (const { window, y } of row.lanes) ctx.count(judge(row, { window, y, at }, kept, ctx))
      }
      return []
    },
    advance(watermark, ctx) {
      const { lowest, next } = lowestBucketAt(watermark, { bucketMs: EVALUATION_DAY_MS, retentionMs: keptMs })
      ctx.keyed(EVALUATION_STORE).expireBelow(lowest)
      ctx.keyed(EVALUATION_NAMED_STORE).expireBelow(lowest)
      return next
    },
  }

  /** What became of a lane. `at`: when the row became known. */
  function judge(
    row: TrainingRow,
    { window, y, at }: { readonly window: number; readonly y: 0 | 1; readonly at: number },
    kept: KeyedStore<EvaluationTally>,
    ctx: OperatorContext,
  ): string {
    const [p, day] = [row.p[window], dayOf(row)]
    // 0: the model says nothing of the window.
    if (p === undefined || !(p > 0 && p <= 1)) return EVALUATED.unscored
    const judged = row.kind === 'M' ? judgedTouch(p, y) : null
    const pNano = row.kind === 'O' ? nanoOf(p) : null
    const knownIn = row.kind !== 'M' && y === 1 ? delays[window]!.binOf(at - row.touchTimeMs) : null
    for (const slice of slices.of(row)) {
      const key = keyFor(day, window, slice, ctx)
      const tally = kept.get(day, key) ?? emptyTally()
      if (judged !== null) addMature(tally, judged)
      if (pNano !== null) addOpen(tally, row.touchTimeMs, pNano)
      if (knownIn !== null) addKnown(tally, knownIn)
      kept.set(day, key, tally)
    }
    if (row.version === FALLBACK) return EVALUATED.fallback
    return row.kind === 'M' ? EVALUATED.mature : EVALUATED.open
  }

  /** EO3. The key of a slice, or that of the rest. */
  function keyFor(day: number, window: number, { keys, rest }: Slice, ctx: OperatorContext): string {
    const own = keys[window]!
    if (rest === null || ctx.keyed(EVALUATION_STORE).get(day, own) !== undefined) return own
    const named = ctx.keyed<number>(EVALUATION_NAMED_STORE)
    const count = named.get(day, rest[window]!) ?? 0
    if (count === slicesNamedMax) return rest[window]!
    named.set(day, rest[window]!, count + 1)
    return own
  }
}

/** As Scored.version. */
const FALLBACK = 0

/** By window. rest: where what has no name of its own is; null: all of its kind have one. */
interface Slice {
  readonly keys: readonly string[]
  readonly rest: readonly string[] | null
}

/** Ids whose keys are kept: beyond any day's names, and a few MB. */
const SLICES_KNOWN_MAX = 10_000

/** The slices of rows, their keys made once: a text that was looked for before is found several times as fast as an equal one. */
class Slices {
  readonly #windows: readonly string[]
  readonly #known = new Map<string | number, Slice>()
  readonly #all: Slice
  readonly #types: Readonly<Record<TouchType, Slice>>
  readonly #restOf: Readonly<Record<'advertiser' | 'version', readonly string[]>>

  constructor(windows: readonly string[]) {
    this.#windows = windows
    const ofType = (type: TouchType): Slice => ({ keys: this.#keys('type', type), rest: null })
    this.#all = { keys: this.#keys('all', ALL_TOUCHES), rest: null }
    this.#types = { click: ofType('click'), impression: ofType('impression') }
    this.#restOf = { advertiser: this.#keys('advertiser', REST), version: this.#keys('version', REST) }
  }

  get rests(): readonly (readonly string[])[] {
    return Object.values(this.#restOf)
  }

  /** EO2. */
  of({ version, advertiser, touchType }: TrainingRow): readonly Slice[] {
    const ofVersion = this.#named('version', version)
    if (version === FALLBACK) return [ofVersion]
    return [this.#all, this.#types[touchType], ofVersion, this.#named('advertiser', advertiser)]
  }

  /** An advertiser is a text, a version a number. */
  #named(kind: 'advertiser' | 'version', id: string | number): Slice {
    const known = this.#known.get(id)
    if (known !== undefined) return known
    const slice = { keys: this.#keys(kind, String(id)), rest: this.#restOf[kind] }
    if (this.#known.size === SLICES_KNOWN_MAX) this.#known.clear()
    this.#known.set(id, slice)
    return slice
  }

  #keys(kind: SliceKind, id: string): readonly string[] {
    return this.#windows.map((window) => sliceKey(window, kind, id))
  }
}

const dayOf = ({ touchTimeMs }: TrainingRow): number => Math.floor(touchTimeMs / EVALUATION_DAY_MS)

const isJudged = ({ kind, complete }: TrainingRow): boolean =>
  complete && (kind === 'M' || kind === 'O' || kind === 'D')

/** EO4. Why no lane of a row is used; null: they are. */
function whyUnused(row: TrainingRow, ctx: OperatorContext): string | null {
  if (row.kind === 'C' || row.kind === 'R') return EVALUATED.other
  if (!row.complete) return EVALUATED.incomplete
  return dayOf(row) < ctx.keyed(EVALUATION_STORE).lowestBucket ? EVALUATED.expired : null
}

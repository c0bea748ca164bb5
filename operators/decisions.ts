// Keeps what each conversion was attributed on, so that `holdfast query attribution` can say who won and why.
// DE1: a conversion is kept under its id from its attribution on, with the place of its first one; a revision replaces what was
//      kept before it. One that nobody can be credited with is kept when it comes by.
// DE2: it is kept for keptMs after its attribution, whatever its event time, and up to a day longer.
// DE3: to keep is to write: nothing is read, and nothing is counted or emitted.
// What is kept of one is in operators/decision-record.ts. Duplicates never come here.

import type { AttributionModel, AttributionSettings, AttributionWindow } from './attribution-settings.ts'
import { type Decision, decisionCodec, decisionOf, undecided } from './decision-record.ts'
import { lowestBucketAt } from './expiry.ts'
import { goalsAt } from './goals.ts'
import type { Operator, OperatorContext, Rec } from './operator.ts'
import { type Conversion, isRefund, keyOf, type Matched, type Touch } from './touch.ts'

const DAY_MS = 86_400_000
/** Five weeks: the longest default window and pixel delay, so that a conversion can be asked about as long as it can be corrected. */
export const DECISIONS_KEPT_MS = 35 * DAY_MS

/** The store: by the conversion's id, in the order (event time, user, type). */
export const DECISIONS_STORE = 'decisions'

export interface DecisionsOptions extends Pick<AttributionSettings, 'windows' | 'models' | 'goals' | 'graceMs'> {
  /** Not given: DECISIONS_KEPT_MS. */
  readonly keptMs?: number
}

/** With what is needed to say why. */
export interface Decisions extends Operator<Touch | Conversion | Matched, never> {
  readonly windows: readonly AttributionWindow[]
  readonly models: readonly AttributionModel[]
  readonly graceMs: number
  readonly keptMs: number
}

/** Stands where attribution does, beside it: behind the holds. */
export function decisions({
  windows,
  models,
  goals,
  graceMs,
  keptMs = DECISIONS_KEPT_MS,
}: DecisionsOptions): Decisions {
  return {
    ...{ windows, models, graceMs, keptMs },
    name: 'decisions',
    version: 1,
    settings: { windows, goals, keptMs },
    stores: [{ kind: 'holds', id: 1, name: DECISIONS_STORE, bucketMs: DAY_MS, codec: decisionCodec }],
    process(batch, ctx) {
      for (const rec of batch) {
        const { value, at, late } = rec
        if (value.kind === 'matched') keep(ctx, rec, decisionOf(value, windows, goalsAt(ctx, at, goals)))
        else if (value.kind === 'conversion' && isOfNobody(value)) keep(ctx, rec, undecided(value, late))
      }
      return []
    },
    advance(watermark, ctx) {
      const { lowest, next } = lowestBucketAt(watermark, { bucketMs: DAY_MS, retentionMs: keptMs })
      ctx.holds<Decision>(DECISIONS_STORE).expireBelow(lowest)
      return next
    },
  }
}

/** What no hold matches with touches (operators/hold.ts). */
const isOfNobody = (conversion: Conversion): boolean =>
  conversion.goals.length === 0 || conversion.bots !== undefined || isRefund(conversion)

function keep(ctx: OperatorContext, { at }: Rec<unknown>, decision: Decision): void {
  const { id, timeMs, user, type } = decision.conversion
  ctx.holds<Decision>(DECISIONS_STORE).put(id, timeMs, keyOf(user, type), decision, at)
}

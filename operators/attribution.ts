// Attribution: a conversion with the touches it may be credited to becomes lines that say who is, for each lane (goal x window) and
// model, and a record for labels, which follow the last touch (contract.md, sections 4 and 5).
// AT1: stateless: what is said of a conversion depends on its Matched and on the goals that hold at its order time, nothing else.
// AT2: each lane of a conversion has its lines: those of its credits, or one that says there is no candidate.
// AT3: a goal says of an event whether it is a conversion where events are judged (operators/joining.ts), and for which ads here,
//      `grace` later. One that is gone by then credits nobody.
// What a window and a model decide is in operators/attribution-models.ts; the rest of the stream passes as it is.

import { candidatesIn, creditsOf, lastTouch } from './attribution-models.ts'
import { type AttributionSettings, coversTouch, type Goal } from './attribution-settings.ts'
import { goalsAt } from './goals.ts'
import type { Operator, Rec } from './operator.ts'
import type { Attributed, AttributionRecord, Conversion, LaneCredit, Matched, Touch } from './touch.ts'

const MICRO = 1e6

/** Output of lines: records are AttributionRecord. */
export const ATTRIBUTIONS = 'attributions'

/** Emits AttributionRecord to `output`. A revision is lines alone: labels do not follow it. */
export function attribution(
  settings: Pick<AttributionSettings, 'windows' | 'models' | 'goals'>,
  output: string,
): Operator<Touch | Conversion | Matched, Touch | Conversion | Attributed> {
  const { windows, models, goals: own } = settings
  return {
    name: 'attribution',
    version: 1,
    settings: { windows, models, goals: own },
    stores: [],
    process(batch, ctx) {
      const out: Rec<Touch | Conversion | Attributed>[] = []
      for (const rec of batch) {
        const { value } = rec
        if (value.kind !== 'matched') {
          out.push(rec as Rec<Touch | Conversion>)
          continue
        }
        const { lines, lanes } = attributed(value, settings, goalsAt(ctx, rec.at, own))
        for (const line of lines) ctx.emit(output, line, rec)
        const { conversion, late, revision } = value
        if (revision === 0) out.push({ ...rec, value: { kind: 'attributed', conversion, late, lanes } })
      }
      return out
    },
  }
}

/** All that is said of a conversion, in the order of its goals, the windows, the models and the touches. */
function attributed(
  matched: Matched,
  { windows, models }: Pick<AttributionSettings, 'windows' | 'models'>,
  goals: readonly Goal[],
): { readonly lines: readonly AttributionRecord[]; readonly lanes: readonly LaneCredit[] } {
  const { conversion, candidates: touches } = matched
  const lines: AttributionRecord[] = []
  const lanes: LaneCredit[] = []
  for (const goal of conversion.goals) {
    const covered = coveredBy(goal, goals, touches)
    windows.forEach((window, index) => {
      const candidates = candidatesIn(window, conversion, covered)
      for (const model of models) {
        const line = lineOf(matched, goal, window.name, model.name)
        const credits = creditsOf(model, conversion, candidates)
        if (credits.length === 0) lines.push(line(null, 0))
        for (const { touch, credit } of credits) lines.push(line(touch, credit))
      }
      lanes.push({ goal, window: index, touch: lastTouch(conversion, candidates) })
    })
  }
  return { lines, lanes }
}

/** AT3. The goal without a name is every conversion's, for all ads. */
function coveredBy(name: string, goals: readonly Goal[], touches: readonly Touch[]): readonly Touch[] {
  if (name === '') return touches
  const goal = goals.find((other) => other.name === name)
  return goal === undefined ? [] : touches.filter((touch) => coversTouch(goal, touch))
}

function lineOf({ conversion, late, revision }: Matched, goal: string, window: string, model: string) {
  const { id, user, advertiser, timeMs, valueMicro } = conversion
  return (touch: Touch | null, credit: number): AttributionRecord => ({
    ...{ conversion_id: id, user_id: user, advertiser_id: advertiser, conversion_time: timeMs },
    ...(goal === '' ? {} : { goal }),
    ...{ window, model, touch_id: touch?.id ?? null, touch_type: touch?.type ?? null },
    ...{ touch_time: touch?.timeMs ?? null, credit, value: (valueMicro ?? 0) / MICRO, late },
    ...(revision === 0 ? {} : { revision }),
  })
}

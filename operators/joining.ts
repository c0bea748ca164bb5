// What of accepted events the joiner is told (docs/joiner.md): touches, conversions, and other events that a goal names.
// J1: every event of type conversion goes on, whatever its goals: who is accepted of them is decided after their resolution.
// J2: an event without a user, or that `bots` marks, is no touch, and a conversion of no goal.
// J3: pure and stateless: what becomes of an event depends on it and on the goals of its order time.
// Which way a record goes, through the click index or past it, is the graph's.

import type { AttributionSettings, Goal } from './attribution-settings.ts'
import { type Event, isRefund, microUnits } from './event.ts'
import { GOAL_TYPES, type GoalJudge, goalJudge, goalsAt } from './goals.ts'
import type { Operator, Rec } from './operator.ts'
import { type Conversion, type JoinRecord, touchOf } from './touch.ts'

/** Records for the joiner, in the place of the events they are of; nothing for other events. */
export function toJoin({ goals }: Pick<AttributionSettings, 'goals'>): Operator<Event, JoinRecord> {
  const judges = new WeakMap<readonly Goal[], GoalJudge>()
  const judgeFor = (held: readonly Goal[]): GoalJudge => {
    const known = judges.get(held)
    if (known !== undefined) return known
    const judge = goalJudge(held)
    judges.set(held, judge)
    return judge
  }
  return {
    name: 'to join',
    version: 1,
    settings: { goals },
    stores: [],
    process(batch, ctx) {
      const out: Rec<JoinRecord>[] = []
      for (const rec of batch) {
        const event = rec.value
        if (event.type === 'click' || event.type === 'impression') {
          if (!isOutside(event)) out.push({ ...rec, value: touchOf(event, event.type) })
        } else if (GOAL_TYPES.includes(event.type)) {
          const met = isOutside(event) ? [] : judgeFor(goalsAt(ctx, rec.at, goals))(event)
          if (event.type === 'conversion' || met.length > 0) out.push({ ...rec, value: conversionOf(event, met) })
        }
      }
      return out
    },
  }
}

/** J2. */
const isOutside = ({ anonymous, bots }: Event): boolean => anonymous || bots !== undefined

function conversionOf(event: Event, goals: readonly string[]): Conversion {
  const { type, id, time, user, bots, fields } = event
  // Of other types order_id and click_id are unknown fields, which mean nothing.
  const [orderId, clickId] = type === 'conversion' ? [fields.order_id ?? null, fields.click_id ?? null] : [null, null]
  return {
    ...{ kind: 'conversion', type, id, timeMs: time, user, ownUser: fields.user_id ?? null },
    ...{ advertiser: fields.advertiser_id!, orderId, clickId, goals },
    valueMicro: fields.value == null ? null : microUnits(fields.value),
    currency: typeof fields.currency === 'string' ? fields.currency : null,
    ...(isRefund(event) ? { refundOf: fields.refund_of ?? orderId } : {}),
    ...(bots === undefined ? {} : { bots }),
  }
}

// Goals: of which goals an event is a conversion (contract.md, section 4).
// G1: an event is judged by the goals that hold at its order time: a `config` record changes them (protocol.md, section 9).
// G2: without declared goals every conversion is one of the goal without a name. A refund is a conversion of none.
// For which ads a goal's conversions count is asked when they are attributed: coversTouch in operators/attribution-settings.ts.

import type { Goal } from './attribution-settings.ts'
import { EVENT_TYPES, type Event, type EventType, isRefund } from './event.ts'
import { compileExpressions } from './expression.ts'
import type { OperatorContext } from './operator.ts'

/** What an event of a goal may be: about an advertiser, and no touch. */
export const GOAL_TYPES: readonly EventType[] = [...EVENT_TYPES]
  .filter(([, { required }]) => required.includes('advertiser_id') && !required.includes('ad_id'))
  .map(([type]) => type)

const DEFAULT_TYPES: readonly EventType[] = ['conversion']
const UNNAMED: readonly string[] = ['']
const NONE: readonly string[] = []

/** The goals that hold for a record of this order time; `own`: those of the plan. */
export function goalsAt(ctx: Pick<OperatorContext, 'configured'>, at: number, own: readonly Goal[]): readonly Goal[] {
  const configured = ctx.configured(at)
  return configured === null ? own : (configured.goals ?? [])
}

/** Names of the goals that an event is a conversion of, in the order of their declaration. */
export type GoalJudge = (event: Event) => readonly string[]

/** A judge for goals that were checked (operators/attribution-declaration.ts). */
export function goalJudge(goals: readonly Goal[]): GoalJudge {
  if (goals.length === 0) return (event) => (event.type === 'conversion' && !isRefund(event) ? UNNAMED : NONE)
  const byType = new Map(
    GOAL_TYPES.map((type) => [type, goals.filter(({ types = DEFAULT_TYPES }) => types.includes(type)).map(testOf)]),
  )
  return (event) => {
    const tests = byType.get(event.type)
    if (tests === undefined || isRefund(event)) return NONE
    return tests.flatMap(({ name, isMet }) => (isMet(event) ? [name] : []))
  }
}

function testOf({ name, advertiser, pixels, where }: Goal): { name: string; isMet: (event: Event) => boolean } {
  const pixelIds = pixels === undefined ? null : new Set<unknown>(pixels)
  const condition = where === undefined ? null : compileExpressions([where])
  const isMet = ({ fields }: Event): boolean => {
    if (advertiser !== undefined && fields.advertiser_id !== advertiser) return false
    if (pixelIds !== null && !pixelIds.has(fields.pixel_id)) return false
    return condition === null || condition({ fields })[0] === true
  }
  return { name, isMet }
}

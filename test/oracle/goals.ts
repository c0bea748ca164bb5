// Oracle: which goals an event is a conversion of, and which touches a goal is about (contract.md section 4). Imports nothing of
// the project.
//
// 1. Without declared goals every conversion is one, of the goal without a name.
// 2. A condition is a tree of {field, as}, {constant} and {op, args}, walked for each event. What is absent makes a comparison
//    false. Operations that are not here are refused, not guessed.

import type { Attribution, Goal } from './attribution-settings.ts'
import type { Event, Fields } from './judge.ts'

/** The goal of every conversion where none is declared. */
const EVERYTHING: Goal = { name: '' }

export const goalsOf = (declared: readonly Goal[]): readonly Goal[] => (declared.length === 0 ? [EVERYTHING] : declared)

/** Whether an event is a conversion of a goal. */
export function isConversionOf(goal: Goal, { type, advertiserId, fields }: Event): boolean {
  return (
    (goal.types ?? ['conversion']).includes(type) &&
    advertiserId !== null &&
    (goal.advertiser === undefined || goal.advertiser === advertiserId) &&
    (goal.pixels === undefined || goal.pixels.some((pixel) => pixel === fields.get('pixel_id'))) &&
    (goal.where === undefined || value(goal.where as Expression, fields) === true)
  )
}

/** Whether a touch may have the credit of a goal. */
export function covers(goal: Goal, { advertiserId, fields }: Event): boolean {
  return (
    (goal.advertiser === undefined || goal.advertiser === advertiserId) &&
    (goal.campaigns === undefined || goal.campaigns.some((campaign) => campaign === fields.get('campaign_id'))) &&
    (goal.ads === undefined || goal.ads.some((ad) => ad === fields.get('ad_id')))
  )
}

/** A window of a goal. */
export interface Lane {
  readonly goal: Goal
  /** Its place among the windows. */
  readonly window: number
}

/** Every window of every goal. */
export const lanesOf = ({ goals, windows }: Attribution): Lane[] =>
  goalsOf(goals).flatMap((goal) => windows.map((_, window) => ({ goal, window })))

interface Expression {
  readonly field?: string
  readonly as?: string
  readonly constant?: unknown
  readonly op?: string
  readonly args?: readonly Expression[]
}

function value(expression: Expression, fields: Fields): unknown {
  if (expression.constant !== undefined) return expression.constant
  if (expression.field !== undefined) return fieldValue(expression.field, expression.as, fields)
  const args = (expression.args ?? []).map((arg) => value(arg, fields))
  const isThere = args.every((arg) => arg !== undefined)
  const [a, b] = args as [number, number]
  switch (expression.op) {
    case 'and':
      return args.every((arg) => arg === true)
    case 'or':
      return args.some((arg) => arg === true)
    case 'not':
      return a !== (true as unknown)
    case 'present':
      return isThere
    case 'equal':
      return isThere && a === b
    case 'less':
      return isThere && a < b
    case 'at_most':
      return isThere && a <= b
    case 'in':
      return isThere && args.slice(1).includes(a)
    case 'starts_with':
      return isThere && String(a).startsWith(String(b))
    default:
      throw new Error(`the oracle knows no operation ${expression.op}`)
  }
}

function fieldValue(name: string, as: string | undefined, fields: Fields): unknown {
  const found = name.startsWith('props.') ? propOf(fields.get('props'), name.slice('props.'.length)) : fields.get(name)
  if (as === 'truth') return found === true
  if (as === 'text') return typeof found === 'string' && found.isWellFormed() ? found : undefined
  return typeof found === 'number' && Number.isFinite(found) ? found : undefined
}

function propOf(props: unknown, name: string): unknown {
  const isObject = typeof props === 'object' && props !== null && !Array.isArray(props)
  return isObject && Object.hasOwn(props, name) ? (props as { [name: string]: unknown })[name] : undefined
}

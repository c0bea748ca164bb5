// What an expression means, said a second time: it walks the expression for each event and knows X1 to X3 of
// operators/expression.ts and no line of its code.

import type { Expression, Maybe, OperationName, Value } from '../../operators/expression.ts'

/** What an expression may read. */
export interface NaiveGiven {
  readonly fields?: Readonly<Record<string, unknown>>
  readonly features?: Readonly<Record<string, Maybe>>
}

/** The value of an expression. */
export function naiveValue(expression: Expression, given: NaiveGiven): Maybe {
  if ('constant' in expression) return expression.constant === 0 ? 0 : expression.constant
  if ('feature' in expression) return own(given.features, expression.feature) as Maybe
  if ('field' in expression) return fieldValue(expression.field, expression.as, given.fields)
  const args = expression.args.map((arg) => naiveValue(arg, given))
  const [first, second, third] = args
  switch (expression.op) {
    case 'present':
      return first !== undefined
    case 'or_else':
      return first === undefined ? second : first
    case 'if':
      return first === true ? second : third
    case 'when':
      return first === true ? second : undefined
    case 'and':
      return args.every((arg) => arg === true)
    case 'or':
      return args.some((arg) => arg === true)
    case 'not':
      return first !== true
  }
  const isComparison = COMPARISONS.has(expression.op)
  // X2.
  if (args.some((arg) => arg === undefined)) return isComparison ? false : undefined
  if (isComparison) return compared(expression.op, args as Value[])
  if (expression.op === 'cross') return JSON.stringify(args)
  const number = calculated(expression.op, first as number, second as number)
  // X3; adding 0 takes the sign off a zero.
  return Number.isFinite(number) ? number + 0 : undefined
}

const COMPARISONS: ReadonlySet<OperationName> = new Set(['less', 'at_most', 'equal', 'in', 'starts_with'])

function compared(op: OperationName, [first, ...others]: readonly Value[]): boolean {
  const [second] = others
  if (op === 'less') return (first as number) < (second as number)
  if (op === 'at_most') return (first as number) <= (second as number)
  if (op === 'equal') return first === second
  if (op === 'in') return others.some((other) => other === first)
  return (first as string).slice(0, (second as string).length) === second
}

const WEEK_MS = 7 * 24 * 3_600_000

function calculated(op: OperationName, a: number, b: number): number {
  // The calendar knows what a day is, and after whole weeks says the same.
  const date = new Date(((Math.floor(a) % WEEK_MS) + WEEK_MS) % WEEK_MS)
  switch (op) {
    case 'add':
      return a + b
    case 'subtract':
      return a - b
    case 'multiply':
      return a * b
    case 'divide':
      return a / b
    case 'least':
      return a < b ? a : b
    case 'greatest':
      return a > b ? a : b
    case 'floor':
      return Math.floor(a)
    case 'absolute':
      return a < 0 ? -a : a
    case 'log1p':
      return Math.log1p(a)
    case 'hour_of_day':
      return date.getUTCHours()
    case 'day_of_week':
      return date.getUTCDay()
    default:
      throw new Error(`${op} is no calculation`)
  }
}

function fieldValue(name: string, as: string, fields: NaiveGiven['fields']): Maybe {
  const isProp = name.startsWith('props.')
  const props = own(fields, 'props')
  const value = isProp ? own(props, name.slice('props.'.length)) : own(fields, name)
  if (as === 'truth') return value === true
  if (as === 'number') return typeof value === 'number' && Number.isFinite(value) ? value + 0 : undefined
  return typeof value === 'string' && value.isWellFormed() ? value : undefined
}

/** What an object has itself. */
function own(object: unknown, name: string): unknown {
  if (typeof object !== 'object' || object === null || Array.isArray(object)) return undefined
  return Object.entries(object).find(([key]) => key === name)?.[1]
}

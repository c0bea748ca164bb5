// Expressions walked for each event, operation by operation: what there would be without generated code. The rule `generate` of
// topology/features/compile.ts is measured against it; nothing else runs on it.
// IN1: for every expression it says what the generated code says (X1 to X3 of operators/expression.ts).

import type { Fields } from './event.ts'
import { compileOperation, type Expression, type ExpressionsRunner, type Given, type Maybe } from './expression.ts'

const NO_FIELDS = {} as Fields

/** As compileExpressions, without generating anything for them. */
export const interpretExpressions: ExpressionsRunner =
  (expressions) =>
  ({ fields = NO_FIELDS, features = {} }) =>
    expressions.map((expression) => computed(expression, { fields, features }))

function computed(expression: Expression, given: Given): Maybe {
  if ('constant' in expression) return expression.constant === 0 ? 0 : expression.constant
  if ('field' in expression) return fieldValue(expression.field, expression.as, given.fields)
  if ('feature' in expression)
    return Object.hasOwn(given.features, expression.feature) ? given.features[expression.feature] : undefined
  const { op, args } = expression
  return operationOf(op, args.length)(...args.map((arg) => computed(arg, given)))
}

function fieldValue(name: string, as: string, fields: Fields): Maybe {
  const [first, second] = name.split('.')
  const value = second === undefined ? fields[first!] : propsOf(fields)?.[second]
  if (as === 'truth') return value === true
  if (as === 'number') return typeof value === 'number' && Number.isFinite(value) ? value + 0 : undefined
  return typeof value === 'string' && value.isWellFormed() ? value : undefined
}

function propsOf({ props }: Fields): Readonly<Record<string, unknown>> | undefined {
  const isObject = typeof props === 'object' && props !== null && !Array.isArray(props)
  return isObject ? (props as Readonly<Record<string, unknown>>) : undefined
}

type Operation = ReturnType<typeof compileOperation>
/** By name and number of arguments. There are as many as declarations use. */
const OPERATIONS = new Map<string, Operation>()

function operationOf(op: Parameters<typeof compileOperation>[0], argumentCount: number): Operation {
  const name = `${op} ${argumentCount}`
  const known = OPERATIONS.get(name)
  if (known !== undefined) return known
  const made = compileOperation(op, argumentCount)
  OPERATIONS.set(name, made)
  return made
}

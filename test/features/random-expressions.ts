// Expressions that have a type, of any shape, and events that fit them, or not.

import fc from 'fast-check'
import type { Expression, OperationName, Value, ValueType } from '../../operators/expression.ts'

const FIELDS = ['value', 'channel', 'constructor', 'props.a', 'props.b', 'props.toString', 'nothing']
const FEATURES = { number: ['u.n', 'valueOf'], text: ['u.t', '__proto__'] } as const
const TEXTS = ['', 'a', 'ab', 'b', '"];process.exit(1);["', "');throw 1;('", '\u2028', '𝒳', '1', '\\']
const NUMBERS = [0, -0, 1, -1, 2.5, 1e300, -1e300, 5e-324, 1.7e12, 86_400_000, 3_600_000]

const text = fc.oneof(fc.constantFrom(...TEXTS), fc.string({ unit: 'grapheme', maxLength: 4 }))
const number = fc.oneof(fc.constantFrom(...NUMBERS), fc.double({ noNaN: true, noDefaultInfinity: true }))

/** Operations by what they give, with what they take. */
const OPERATIONS: Readonly<Record<ValueType, readonly (readonly [OperationName, readonly ValueType[]])[]>> = {
  number: [
    ...(['add', 'subtract', 'multiply', 'divide', 'least', 'greatest'] as const).map(
      (op) => [op, ['number', 'number']] as const,
    ),
    ...(['floor', 'absolute', 'log1p', 'hour_of_day', 'day_of_week'] as const).map((op) => [op, ['number']] as const),
    ['or_else', ['number', 'number']],
    ['if', ['truth', 'number', 'number']],
    ['when', ['truth', 'number']],
  ],
  text: [
    ['cross', ['text', 'text']],
    ['cross', ['text', 'text', 'text']],
    ['or_else', ['text', 'text']],
    ['if', ['truth', 'text', 'text']],
    ['when', ['truth', 'text']],
  ],
  truth: [
    ['less', ['number', 'number']],
    ['at_most', ['number', 'number']],
    ['equal', ['number', 'number']],
    ['equal', ['text', 'text']],
    ['equal', ['truth', 'truth']],
    ['in', ['text', 'text', 'text']],
    ['in', ['text']],
    ['starts_with', ['text', 'text']],
    ['and', ['truth', 'truth', 'truth']],
    ['and', ['truth']],
    ['or', ['truth', 'truth']],
    ['not', ['truth']],
    ['present', ['text']],
    ['present', ['number']],
    ['present', ['truth']],
    ['or_else', ['truth', 'truth']],
    ['if', ['truth', 'truth', 'truth']],
  ],
}
/** Every operation that the generator makes. */
export const GENERATED_OPERATIONS: ReadonlySet<OperationName> = new Set(
  Object.values(OPERATIONS).flatMap((rows) => rows.map(([op]) => op)),
)

/** Expressions of a type; `over`: of what they are computed. */
export function expressions(
  type: ValueType,
  over: 'events' | 'features' | 'both',
  depth = 3,
): fc.Arbitrary<Expression> {
  const constant = fc.record({ constant: constants(type) })
  const field = fc.record({ field: fc.constantFrom(...FIELDS), as: fc.constant(type) })
  const feature = fc.record({ feature: fc.constantFrom(...(type === 'text' ? FEATURES.text : FEATURES.number)) })
  const leaves: fc.Arbitrary<Expression>[] = [constant]
  if (over !== 'features') leaves.push(field)
  // Truth values are not features.
  if (over !== 'events' && type !== 'truth') leaves.push(feature)
  if (depth === 0) return fc.oneof(...leaves)
  const operation = fc.constantFrom(...OPERATIONS[type]).chain(([op, takes]) =>
    fc.record({
      op: fc.constant(op),
      args: fc.tuple(...takes.map((taken) => expressions(taken, over, depth - 1))),
    }),
  )
  return fc.oneof({ weight: 1, arbitrary: fc.oneof(...leaves) }, { weight: 3, arbitrary: operation })
}

function constants(type: ValueType): fc.Arbitrary<Value> {
  if (type === 'number') return number
  return type === 'text' ? text : fc.boolean()
}

const anything = fc.oneof(
  text,
  number,
  fc.boolean(),
  fc.constantFrom(null, [], ['a'], {}, { length: 1 }, 'lone \ud800 surrogate'),
)
const props = fc.oneof(
  fc.dictionary(fc.constantFrom('a', 'b', '__proto__', 'toString'), anything, { noNullPrototype: true }),
  anything,
)

/** Fields of events as JSON.parse gives them: also of wrong types, and some under the names of what objects inherit. */
export const eventFields: fc.Arbitrary<Readonly<Record<string, unknown>>> = fc
  .tuple(
    fc.dictionary(fc.constantFrom('value', 'channel', 'constructor', '__proto__'), anything, { noNullPrototype: true }),
    fc.option(props, { nil: undefined }),
  )
  .map(([fields, some]) => JSON.parse(JSON.stringify({ ...fields, ...(some === undefined ? {} : { props: some }) })))

/** Values of features, some absent. */
export const featureValues: fc.Arbitrary<Readonly<Record<string, Value | undefined>>> = fc.record(
  { 'u.n': number, valueOf: number, 'u.t': text },
  { requiredKeys: [], noNullPrototype: true },
)

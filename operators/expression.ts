// Expressions of feature declarations. They are data and not closures, so they can be hashed, compared, pruned and compiled.
// X1: an expression has a type before any event comes; what has none is refused with its path.
// X2: a number or a text may be absent. What is computed of something absent is absent, a comparison with it is false, and a
//     truth value is never absent: where a field is none, it is false.
// X3: a number is finite: what would be NaN or infinite is absent, and -0 is 0. A text is well-formed Unicode, as only such
//     texts come back from state: another one is absent.
// What an expression means is said twice, here as code that is generated once per plan, and in test/features/naive.ts. That code
// is made of operations and names of fields that were checked; a text of a declaration is never in it.

import type { Fields } from './event.ts'

export type ValueType = 'number' | 'text' | 'truth'
export type Value = number | string | boolean
/** Absent is undefined. */
export type Maybe = Value | undefined

/** What can be asked of a record: a field of the event (`props.x` of its props), a constant, another feature's value, an operation. */
export type Expression =
  | { readonly field: string; readonly as: ValueType }
  | { readonly constant: Value }
  | { readonly feature: string }
  | { readonly op: OperationName; readonly args: readonly Expression[] }

/** One operation: what it takes, what it gives, and the JavaScript that computes it of arguments that are present. */
interface Operation {
  readonly takes: readonly ValueType[] | 'any' | 'pair' | 'choice' | 'condition'
  /** Arguments beside `takes` may follow, all of this type. */
  readonly more?: ValueType
  readonly gives: ValueType | 'as-argument'
  readonly code: (args: readonly string[]) => string
  /** Whether the order of its arguments has no meaning. */
  readonly commutes?: true
  /** What it does about absent arguments itself, instead of X2. */
  readonly absent?: 'asks'
}

const N2 = ['number', 'number'] as const
const numeric = (code: Operation['code'], commutes?: true): Operation => ({
  ...{ takes: N2, gives: 'number', code },
  ...(commutes === undefined ? {} : { commutes }),
})
const one = (code: (x: string) => string): Operation => ({
  ...{ takes: ['number'], gives: 'number', code: ([x]) => code(x!) },
})
const infix =
  (operator: string) =>
  ([a, b]: readonly string[]): string =>
    `(${a} ${operator} ${b})`
const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS
/** 1970-01-01 was a Thursday; days of the week count from Sunday. */
const FIRST_WEEKDAY_MS = 4 * DAY_MS
/** Never negative: a difference of times may lie before 1970. */
const within = (x: string, ms: number): string => `((Math.floor(${x}) % ${ms} + ${ms}) % ${ms})`

const OPERATIONS = {
  add: numeric(infix('+'), true),
  subtract: numeric(infix('-')),
  multiply: numeric(infix('*'), true),
  divide: numeric(infix('/')),
  least: numeric(([a, b]) => `Math.min(${a}, ${b})`, true),
  greatest: numeric(([a, b]) => `Math.max(${a}, ${b})`, true),
  floor: one((x) => `Math.floor(${x})`),
  absolute: one((x) => `Math.abs(${x})`),
  log1p: one((x) => `Math.log1p(${x})`),
  /** Hour of the day and day of the week (0: Sunday) of milliseconds since 1970, UTC. */
  hour_of_day: one((x) => `Math.floor(${within(x, DAY_MS)} / ${HOUR_MS})`),
  day_of_week: one((x) => `Math.floor((${within(x, 7 * DAY_MS)} + ${FIRST_WEEKDAY_MS}) / ${DAY_MS} % 7)`),
  less: { takes: N2, gives: 'truth', code: infix('<') },
  at_most: { takes: N2, gives: 'truth', code: infix('<=') },
  equal: { takes: 'pair', gives: 'truth', code: infix('==='), commutes: true },
  in: { takes: ['text'], more: 'text', gives: 'truth', code: ([x, ...of]) => `[${of.join(', ')}].includes(${x})` },
  starts_with: { takes: ['text', 'text'], gives: 'truth', code: ([x, y]) => `${x}.startsWith(${y})` },
  and: { takes: ['truth'], more: 'truth', gives: 'truth', code: (args) => `(${args.join(' && ')})`, commutes: true },
  or: { takes: ['truth'], more: 'truth', gives: 'truth', code: (args) => `(${args.join(' || ')})`, commutes: true },
  not: { takes: ['truth'], gives: 'truth', code: ([x]) => `!${x}` },
  present: { takes: 'any', gives: 'truth', code: ([x]) => `(${x} !== undefined)`, absent: 'asks' },
  /** The first that is present. */
  or_else: { takes: 'pair', gives: 'as-argument', code: ([a, b]) => `(${a} ?? ${b})`, absent: 'asks' },
  if: { takes: 'choice', gives: 'as-argument', code: ([c, a, b]) => `(${c} ? ${a} : ${b})`, absent: 'asks' },
  /** The value where the condition holds; absent elsewhere. */
  when: { takes: 'condition', gives: 'as-argument', code: ([c, a]) => `(${c} ? ${a} : undefined)`, absent: 'asks' },
  /** Several texts as one; different texts stay different. */
  cross: {
    takes: ['text', 'text'],
    more: 'text',
    gives: 'text',
    code: (args) => `JSON.stringify([${args.join(', ')}])`,
  },
} as const satisfies Record<string, Operation>

export type OperationName = keyof typeof OPERATIONS

const operationOf = (name: string): Operation | undefined =>
  Object.hasOwn(OPERATIONS, name) ? OPERATIONS[name as OperationName] : undefined

/** How deep expressions nest: a person reads no deeper, and the checks below recurse. */
export const EXPRESSION_DEPTH_MAX = 32
/** Arguments of one operation: a long list of ids is configuration of another kind. */
const ARGUMENTS_MAX = 1_000
/** A field, or one of the event's props. `__proto__` is none: what is assigned to it does not travel. */
const FIELD = /^(props\.)?(?!__proto__$)[A-Za-z_][A-Za-z0-9_]{0,63}$/

/** The fields that an expression has, by its first: each kind has those of one line. */
const SHAPES = [['field', 'as'], ['constant'], ['feature'], ['op', 'args']] as const

/** Why an expression has no type, and where in it. */
export class ExpressionFault extends Error {}

/** What is known of other features where an expression may name them; null: it may not. */
export type FeatureTypes = ((feature: string) => ValueType | undefined) | null

/** The type of an expression that may come from anywhere. Throws ExpressionFault. */
export function typeOf(expression: unknown, features: FeatureTypes, path = 'expression', depth = 1): ValueType {
  const fault = (message: string): never => {
    throw new ExpressionFault(`${path}: ${message}`)
  }
  if (typeof expression !== 'object' || expression === null) return fault('an expression is an object')
  if (depth > EXPRESSION_DEPTH_MAX) return fault(`nested more than ${EXPRESSION_DEPTH_MAX} deep`)
  const { field, as, constant, feature, op, args } = expression as Record<string, unknown>
  const shape: readonly string[] = SHAPES.find(([first]) => Object.hasOwn(expression, first)) ?? []
  const unknown = Object.keys(expression).find((name) => !shape.includes(name))
  if (unknown !== undefined) return fault(`"${unknown}" has no meaning here`)
  if (field !== undefined) {
    if (typeof field !== 'string' || !FIELD.test(field)) return fault('"field" is no name of a field')
    if (as !== 'number' && as !== 'text' && as !== 'truth') return fault('"as" must be "number", "text" or "truth"')
    return as
  }
  if (constant !== undefined)
    return constantType(constant) ?? fault('"constant" must be a finite number, text or true or false')
  if (feature !== undefined) {
    if (features === null) return fault('an expression over events names no feature')
    if (typeof feature !== 'string') return fault('"feature" must be a name')
    return features(feature) ?? fault(`there is no feature "${feature}" with one value`)
  }
  const operation = typeof op === 'string' ? operationOf(op) : undefined
  if (operation === undefined) return fault(`"op" must be one of ${Object.keys(OPERATIONS).join(', ')}`)
  if (!Array.isArray(args) || args.length > ARGUMENTS_MAX)
    return fault(`"args" must be a list of up to ${ARGUMENTS_MAX}`)
  const types = args.map((arg, i) => typeOf(arg, features, `${path}.${op}[${i}]`, depth + 1))
  if (!fits(operation, types)) return fault(`${op} takes ${takenBy(operation)}, not (${types.join(', ')})`)
  return operation.gives === 'as-argument' ? types.at(-1)! : operation.gives
}

function constantType(value: unknown): ValueType | null {
  if (typeof value === 'number') return Number.isFinite(value) ? 'number' : null
  if (typeof value === 'string') return value.isWellFormed() ? 'text' : null
  return typeof value === 'boolean' ? 'truth' : null
}

function fits({ takes, more }: Operation, types: readonly ValueType[]): boolean {
  const [first, second] = types
  if (takes === 'choice') return types.length === 3 && first === 'truth' && second === types[2]
  if (takes === 'condition') return types.length === 2 && first === 'truth' && second !== 'truth'
  if (takes === 'any') return types.length === 1
  if (takes === 'pair') return types.length === 2 && first === second
  if (types.length < takes.length || (more === undefined && types.length > takes.length)) return false
  return types.every((type, i) => type === (takes[i] ?? more))
}

function takenBy({ takes, more }: Operation): string {
  if (takes === 'choice') return '(truth, two of one type)'
  if (takes === 'condition') return '(truth, a number or a text)'
  if (takes === 'any') return 'one argument'
  if (takes === 'pair') return 'two of one type'
  return `(${[...takes, ...(more === undefined ? [] : [`${more} …`])].join(', ')})`
}

/** What an expression is computed of: the fields of an event, and values of features by name. */
export interface Given {
  readonly fields: Fields
  readonly features: Readonly<Record<string, Maybe>>
}

const NO_FIELDS = {} as Fields
const NO_FEATURES: Given['features'] = {}

/** The fields that expressions read, `props.x` as it stands. Sorted. */
export function fieldsOf(expressions: readonly Expression[]): string[] {
  const fields = new Set<string>()
  for (const expression of expressions) visit(expression, (e) => 'field' in e && fields.add(e.field))
  return [...fields].sort()
}

/** The features that an expression names. Sorted. */
export function featuresIn(expression: Expression): string[] {
  const features = new Set<string>()
  visit(expression, (e) => 'feature' in e && features.add(e.feature))
  return [...features].sort()
}

function visit(expression: Expression, look: (e: Expression) => void): void {
  look(expression)
  if ('op' in expression) for (const arg of expression.args) visit(arg, look)
}

/** Makes one function of many expressions, which must have types (typeOf). It gives their values in their order. */
export type ExpressionsRunner = (expressions: readonly Expression[]) => (given: Partial<Given>) => Maybe[]

/** Generates one function for many expressions: what several of them share is computed once. */
export const compileExpressions: ExpressionsRunner = (expressions) => {
  const code = new Code()
  const results = expressions.map((expression) => code.of(expression))
  const texts = code.texts.map((_, i) => `const t${i} = texts[${i}]; `).join('')
  const body = `${code.lines.join('; ')}; return [${results.join(', ')}]`
  const make = new Function('texts', `'use strict'; ${texts}return (fields, features) => { ${body} }`)
  const run = make(code.texts) as (fields: Fields, features: Given['features']) => Maybe[]
  return ({ fields = NO_FIELDS, features = NO_FEATURES }) => run(fields, features)
}

/** One operation on its own, for whoever walks expressions: the same code as in those that are generated. */
export function compileOperation(op: OperationName, argumentCount: number): (...args: readonly Maybe[]) => Maybe {
  const names = Array.from({ length: argumentCount }, (_, i) => `v${i}`)
  return new Function(...names, `'use strict'; return ${operationCode(op, names)}`) as (
    ...args: readonly Maybe[]
  ) => Maybe
}

/** Lines of JavaScript, a constant for each distinct expression. Texts are no code: they come in as data, by their place. */
class Code {
  readonly lines: string[] = []
  readonly texts: string[] = []
  readonly #names = new Map<string, string>()

  /** JavaScript for the value: a name or a literal. */
  of(expression: Expression): string {
    if ('constant' in expression) {
      const { constant } = expression
      return typeof constant === 'string' ? this.#textAt(constant) : JSON.stringify(constant)
    }
    const text = this.#text(expression)
    const known = this.#names.get(text)
    if (known !== undefined) return known
    const name = `v${this.#names.size}`
    this.#names.set(text, name)
    this.lines.push(`const ${name} = ${text}`)
    return name
  }

  #text(expression: Exclude<Expression, { readonly constant: Value }>): string {
    if ('field' in expression) return fieldCode(expression)
    if ('feature' in expression) return featureCode(this.#textAt(expression.feature))
    const args = expression.args.map((arg) => this.of(arg))
    return operationCode(expression.op, args)
  }

  #textAt(text: string): string {
    const known = this.texts.indexOf(text)
    return `t${known === -1 ? this.texts.push(text) - 1 : known}`
  }
}

/** An operation on arguments that are names of values, `v0`, or cannot be absent. */
function operationCode(op: OperationName, args: readonly string[]): string {
  const operation: Operation = OPERATIONS[op]
  const computed = operation.code(args)
  if (operation.absent === 'asks' || operation.takes[0] === 'truth') return computed
  const value = operation.gives === 'number' ? finite(computed) : computed
  const mayBeAbsent = args.filter((arg) => /^v\d+$/.test(arg))
  if (mayBeAbsent.length === 0) return value
  const absent = mayBeAbsent.map((arg) => `${arg} === undefined`).join(' || ')
  return `(${absent} ? ${operation.gives === 'truth' ? 'false' : 'undefined'} : ${value})`
}

/** X3. */
const finite = (code: string): string => `((x) => (Number.isFinite(x) ? x + 0 : undefined))(${code})`

/** A name may be that of something that every object has. */
const featureCode = (name: string): string => `(Object.hasOwn(features, ${name}) ? features[${name}] : undefined)`

function fieldCode({ field, as }: { readonly field: string; readonly as: ValueType }): string {
  const [first, second] = field.split('.')
  const props = '(typeof fields.props === "object" && !Array.isArray(fields.props) ? fields.props : undefined)'
  const at = second === undefined ? `fields.${first}` : `${props}?.${second}`
  if (as === 'truth') return `(${at} === true)`
  if (as === 'text') return `((x) => (typeof x === 'string' && x.isWellFormed() ? x : undefined))(${at})`
  return finite(at)
}

/**
 * The same expression in a form of its own: equal forms mean equal values for every event. Arguments of what commutes stand
 * in the order of their texts, `and` and `or` are flat and without repetitions, double negations are gone, and what has
 * constant arguments only is computed.
 */
export function canonical(expression: Expression): Expression {
  if (!('op' in expression)) return expression
  let args = expression.args.map(canonical)
  const { op } = expression
  if (op === 'not' && isOperation(args[0]!, 'not')) return args[0].args[0]!
  if (op === 'and' || op === 'or') {
    args = args.flatMap((arg) => (isOperation(arg, op) ? arg.args : [arg]))
    args = [...new Map(args.map((arg) => [JSON.stringify(arg), arg])).values()]
    if (args.length === 1) return args[0]!
  }
  const operation: Operation = OPERATIONS[op]
  if (operation.commutes === true) args = sorted(args)
  if (op === 'in') args = [args[0]!, ...sorted(args.slice(1))]
  const whole: Expression = { op, args }
  if (!args.every((arg) => 'constant' in arg)) return whole
  const [value] = compileExpressions([whole])({})
  return value === undefined ? whole : { constant: value }
}

function sorted(args: readonly Expression[]): Expression[] {
  const texts = new Map(args.map((arg) => [arg, JSON.stringify(arg)]))
  return [...args].sort((a, b) => (texts.get(a)! < texts.get(b)! ? -1 : 1))
}

function isOperation(
  expression: Expression,
  op: OperationName,
): expression is { readonly op: OperationName; readonly args: readonly Expression[] } {
  return 'op' in expression && expression.op === op
}

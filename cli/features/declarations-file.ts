// Declarations from a JSON file, in the shapes of topology/features/declaration.ts. What is there is of the right type, and
// nothing else is there: a misspelt field would be a wish that nobody hears. What it means is checked by the compiler.

import { HoldfastError } from '../../log/errors.ts'
import { EXPRESSION_DEPTH_MAX } from '../../operators/expression.ts'
import { APPLICATION } from '../../topology/features/application.ts'
import type { Declarations } from '../../topology/features/declaration.ts'
import type { VectorFeatures } from '../../topology/features/vectors.ts'
import { parseJson } from '../settings.ts'

/** What `--features` says: a file, or "application"; nothing where it is not given. */
export function chosenFeatures(choice: string | undefined): Declarations | undefined {
  if (choice === undefined) return undefined
  return choice === 'application' ? APPLICATION : readDeclarations(choice)
}

/** What `--vectors` says; nothing where it is not given. What is no feature the compiler refuses. */
export function chosenVectors(choice: string | undefined): VectorFeatures | undefined {
  return choice === undefined || choice === 'all' ? choice : choice.split(',')
}

/** Reads declarations; those of the CVR application where no file is given. Throws USAGE naming the field that is wrong. */
export function readDeclarations(path: string | undefined): Declarations {
  if (path === undefined) return APPLICATION
  const value = parseJson(path)
  try {
    declarations(value, 'declarations')
  } catch (error) {
    if (!(error instanceof Fault)) throw error
    throw new HoldfastError('USAGE', `${path}: ${error.message}`)
  }
  return value as Declarations
}

/** A value that is none of ours: where, and what would be. */
class Fault extends Error {}

/** Checks one value; throws Fault. */
type Shape = (value: unknown, at: string) => void

const must = (what: string, test: (value: unknown) => boolean): Shape => {
  return (value, at) => {
    if (!test(value)) throw new Fault(`${at} must be ${what}`)
  }
}
const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

const text = must('a text', (value) => typeof value === 'string')
const number = must('a number', (value) => typeof value === 'number')
const object = must('an object', isObject)
const list = must('a list', Array.isArray)

const listOf =
  (shape: Shape): Shape =>
  (value, at) => {
    list(value, at)
    ;(value as unknown[]).forEach((entry, i) => {
      shape(entry, `${at}[${i}]`)
    })
  }
const mapOf =
  (shape: Shape): Shape =>
  (value, at) => {
    object(value, at)
    for (const [name, entry] of Object.entries(value as object)) shape(entry, `${at}["${name}"]`)
  }
const fields =
  (required: Readonly<Record<string, Shape>>, optional: Readonly<Record<string, Shape>> = {}): Shape =>
  (value, at) => {
    object(value, at)
    const given = value as Record<string, unknown>
    const shapes = { ...required, ...optional }
    for (const name of Object.keys(given)) {
      const known = Object.keys(shapes).join(', ')
      if (!Object.hasOwn(shapes, name)) throw new Fault(`${at} has an unknown field "${name}"; there are ${known}`)
      shapes[name]!(given[name], `${at}.${name}`)
    }
    const missing = Object.keys(required).find((name) => !Object.hasOwn(given, name))
    if (missing !== undefined) throw new Fault(`${at} needs "${missing}"`)
  }
/** The shape that belongs to the one field of these that is there. */
const oneOf =
  (shapes: Readonly<Record<string, Shape>>): Shape =>
  (value, at) => {
    object(value, at)
    const [found, ...more] = Object.keys(shapes).filter((name) => Object.hasOwn(value as object, name))
    if (found === undefined || more.length > 0)
      throw new Fault(`${at} must have one of ${Object.keys(shapes).join(', ')}`)
    shapes[found]!(value, at)
  }

/** What its operations take is checked with its types. Deeper than any may be, it is refused there. */
const expression =
  (depth = 1): Shape =>
  (value, at) => {
    if (depth > EXPRESSION_DEPTH_MAX) return
    const anything: Shape = () => {}
    oneOf({
      field: fields({ field: text, as: text }),
      constant: fields({ constant: anything }),
      feature: fields({ feature: text }),
      op: fields({ op: text, args: listOf(expression(depth + 1)) }),
    })(value, at)
  }

const described = { name: text, entity: text, description: text, owner: text, purpose: text, sensitivity: text }
const common = { ...described, retentionDays: number }
const optional = { default: must('a number or a text', (value) => ['number', 'string'].includes(typeof value)) }

const of = { of: expression() }
const scaled = fields({ fn: text, ...of, scale: number })
const texts = fields({ fn: text, ...of })
const listed = fields({ fn: text, ...of, length: number })
const plain = fields({ fn: text })
const WINDOWED: Readonly<Record<string, Shape>> = {
  count: plain,
  ...{ sum: scaled, average: scaled, variance: scaled, least: scaled, greatest: scaled },
  ...{ distinct: texts, top: listed },
}
const LATEST: Readonly<Record<string, Shape>> = { since: plain, last: texts, last_ids: listed }

const events = fields({ types: listOf(text) }, { where: expression() })

const aggregated: Shape = (value, at) => {
  const { aggregate } = value as { readonly aggregate: unknown }
  object(aggregate, `${at}.aggregate`)
  const { fn } = aggregate as { readonly fn?: unknown }
  const shapes = typeof fn === 'string' && Object.hasOwn(LATEST, fn) ? LATEST : WINDOWED
  if (typeof fn !== 'string' || !Object.hasOwn(shapes, fn)) {
    const known = [...Object.keys(WINDOWED), ...Object.keys(LATEST)]
    throw new Fault(`${at}.aggregate.fn must be one of ${known.join(', ')}`)
  }
  const time = shapes === LATEST ? { within: text } : { windows: listOf(text) }
  fields({ ...common, events, aggregate: shapes[fn]!, ...time }, optional)(value, at)
}

const feature = oneOf({
  aggregate: aggregated,
  derive: fields({ ...common, derive: expression() }, optional),
  rate: fields({ ...common, rate: fields({ of: text, per: text, prior: number, weight: number }) }, optional),
  ratio: fields({ ...common, ratio: fields({ of: text, per: text }) }, optional),
  context: fields({ ...common, context: expression() }, optional),
})

const declarations = fields(
  {
    entities: listOf(fields({ name: text, key: listOf(text), partition: text })),
    features: listOf(feature),
    policy: fields({ types: mapOf(text), fields: mapOf(fields({ purpose: text, sensitivity: text })) }),
  },
  { quotas: mapOf(number) },
)

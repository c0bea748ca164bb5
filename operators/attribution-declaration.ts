// Attribution as people declare it, in JSON (docs/attribution.md): read, checked, and put into one form.
// AD1: what is refused is named by its path, with what would be right: "attribution.windows[2].click must be …". Nothing is ignored:
//      a field that is not known is refused.
// AD2: a declaration and its whole form, with defaults filled in and lengths of time in milliseconds, mean the same, and the whole
//      form is a declaration: equal meanings have equal hashes, however they were written.
// What the settings mean is in operators/attribution-settings.ts; what of them may change while a node runs, in cli/settings.ts.

import {
  ATTRIBUTION_DEFAULT,
  type AttributionModel,
  type AttributionSettings,
  type AttributionWindow,
  type Goal,
  longestWindowMs,
} from './attribution-settings.ts'
import { durationMs, UNIT_MS } from './duration.ts'
import { ID_BYTES_MAX } from './event.ts'
import { type Expression, ExpressionFault, typeOf } from './expression.ts'
import { GOAL_TYPES } from './goals.ts'
import type { TouchType } from './touch.ts'

type DeclaredModel =
  | Exclude<AttributionModel, { readonly name: 'time_decay' }>
  | { readonly name: 'time_decay'; readonly halfLife: number }

/** A declaration in its whole form: every field is there, lengths of time are milliseconds. */
export interface AttributionDeclaration {
  readonly windows: readonly AttributionWindow[]
  readonly models: readonly DeclaredModel[]
  readonly goals: readonly Goal[]
  readonly grace: number
  readonly pixelDelay: number
  readonly shortWait: number
  readonly clickHorizon: number
  readonly lateTouches: AttributionSettings['lateTouches']
}

/** Each is a row of every touch that it names. */
export const WINDOWS_MAX = 64
/** Each judges every conversion. */
export const GOALS_MAX = 64
/** Goals times windows: the rows of one touch are one record, which has to fit a message with room to spare. */
export const LANES_MAX = 256
/** Bytes of JSON of all goals: where they were changed they stand in every commit of every task. */
export const GOALS_BYTES_MAX = 16 * 1024
/** Ids in one list of a goal. */
const IDS_MAX = 1_000

/** A leap year. Holds are kept for as long as the longest window. */
export const WINDOW_MS_MAX = 366 * UNIT_MS.d
const TIMES = {
  /** Timers due sooner after their cause cut batches of records short; later, nobody waits for an attribution. */
  grace: { min: UNIT_MS.s, max: UNIT_MS.d },
  pixelDelay: { min: 0, max: WINDOW_MS_MAX },
  shortWait: { min: UNIT_MS.s, max: WINDOW_MS_MAX },
  /** As much as the longest window and pixelDelay can be together. */
  clickHorizon: { min: UNIT_MS.s, max: 2 * WINDOW_MS_MAX },
} as const

const TOUCH_TYPES: readonly TouchType[] = ['click', 'impression']
const LATE_TOUCHES = ['count', 'revise'] as const
/** Sums of shares that were written in decimals. */
const SHARES_TOLERANCE = 1e-9
/** What stands in keys, file lines and metrics, and needs no escape in any of them. */
const NAME = /^[A-Za-z0-9_-]{1,64}$/
const NAMED = 'must be a name of its own, 1 to 64 of [A-Za-z0-9_-]'
const POSITION_DEFAULT = { first: 0.4, middle: 0.2, last: 0.4 } as const
const MODELS = ['last_touch', 'first_touch', 'linear', 'time_decay', 'position'] as const

/** The contract's defaults. */
export const DECLARATION_DEFAULT: AttributionDeclaration = {
  windows: ATTRIBUTION_DEFAULT.windows,
  models: [{ name: 'last_touch' }],
  goals: [],
  grace: ATTRIBUTION_DEFAULT.graceMs,
  pixelDelay: ATTRIBUTION_DEFAULT.pixelDelayMs,
  shortWait: ATTRIBUTION_DEFAULT.shortWaitMs,
  clickHorizon: ATTRIBUTION_DEFAULT.clickHorizonMs,
  lateTouches: ATTRIBUTION_DEFAULT.lateTouches,
}

/** Reads a declaration, undefined for the defaults. `off`: nothing is attributed. Throws RangeError naming the field (AD1). */
export function readAttribution(value: unknown): AttributionDeclaration | 'off' {
  if (value === undefined) return DECLARATION_DEFAULT
  if (value === 'off') return 'off'
  const at = 'attribution'
  if (!isObject(value)) fault(at, `must be "off" or an object with ${Object.keys(DECLARATION_DEFAULT).join(', ')}`)
  const given = fieldsOf(value, at, Object.keys(DECLARATION_DEFAULT))
  const { windows, models, goals, lateTouches } = given
  const time = (name: keyof typeof TIMES): number =>
    given[name] === undefined ? DECLARATION_DEFAULT[name] : millis(given[name], `${at}.${name}`, TIMES[name])
  const whole: AttributionDeclaration = {
    windows: windows === undefined ? DECLARATION_DEFAULT.windows : readWindows(windows, `${at}.windows`),
    models: models === undefined ? DECLARATION_DEFAULT.models : readModels(models, `${at}.models`),
    goals: goals === undefined ? [] : readGoals(goals, `${at}.goals`),
    ...{ grace: time('grace'), pixelDelay: time('pixelDelay'), shortWait: time('shortWait') },
    clickHorizon: time('clickHorizon'),
    lateTouches: lateTouches === undefined ? 'count' : oneOf(lateTouches, LATE_TOUCHES, `${at}.lateTouches`),
  }
  checkRelations(whole, at)
  return whole
}

/** What operators need of it. */
export function attributionSettings(declaration: AttributionDeclaration): AttributionSettings {
  const { windows, goals, lateTouches, grace, pixelDelay, shortWait, clickHorizon } = declaration
  const models = declaration.models.map(
    (model): AttributionModel =>
      model.name === 'time_decay' ? { name: model.name, halfLifeMs: model.halfLife } : model,
  )
  const times = { graceMs: grace, pixelDelayMs: pixelDelay, shortWaitMs: shortWait, clickHorizonMs: clickHorizon }
  return { windows, models, goals, ...times, lateTouches }
}

/** Reads a list of goals. Throws RangeError naming the field. */
export function readGoals(value: unknown, at: string): readonly Goal[] {
  const goals = listOf(value, at, { min: 0, max: GOALS_MAX }, readGoal)
  checkUnique(goals, at)
  const bytes = Buffer.byteLength(JSON.stringify(goals))
  if (bytes > GOALS_BYTES_MAX) fault(at, `must be at most ${GOALS_BYTES_MAX} bytes of JSON, not ${bytes}`)
  return goals
}

function readWindows(value: unknown, at: string): readonly AttributionWindow[] {
  const windows = listOf(value, at, { min: 1, max: WINDOWS_MAX }, readWindow)
  checkUnique(windows, at)
  return windows
}

function readWindow(value: unknown, at: string): AttributionWindow {
  const { name, click, impression, precedence } = fieldsOf(value, at, ['name', ...TOUCH_TYPES, 'precedence'])
  const length = (given: unknown, kind: TouchType): Partial<AttributionWindow> =>
    given === undefined ? {} : { [kind]: millis(given, `${at}.${kind}`, { min: 1, max: WINDOW_MS_MAX }) }
  const lengths = { ...length(click, 'click'), ...length(impression, 'impression') }
  const kinds = TOUCH_TYPES.filter((kind) => kind in lengths)
  if (kinds.length === 0) fault(at, 'must have a length for "click", "impression" or both')
  const window = { name: nameOf(name, at), ...lengths }
  if (precedence === undefined) return window
  const places = `${at}.precedence`
  const order = listOf(precedence, places, { min: 1, max: TOUCH_TYPES.length }, (kind, path) =>
    oneOf(kind, TOUCH_TYPES, path),
  )
  const isWhole = order.length === kinds.length && kinds.every((kind) => order.includes(kind))
  if (!isWhole) fault(places, `must name each kind of the window once: ${kinds.join(', ')}`)
  return { ...window, precedence: order }
}

function readModels(value: unknown, at: string): readonly DeclaredModel[] {
  const models = listOf(value, at, { min: 1, max: MODELS.length }, readModel)
  checkUnique(models, at)
  return models
}

/** A model is an object with its name, or the name alone. */
function readModel(value: unknown, at: string): DeclaredModel {
  const given = typeof value === 'string' ? { name: value } : value
  if (!isObject(given)) fault(at, `must be a model, one of ${quoted(MODELS)}, or an object with its name`)
  const name = oneOf(given.name, MODELS, `${at}.name`)
  if (name === 'time_decay') {
    const { halfLife = 7 * UNIT_MS.d } = fieldsOf(given, at, ['name', 'halfLife'])
    return { name, halfLife: millis(halfLife, `${at}.halfLife`, { min: 1, max: WINDOW_MS_MAX }) }
  }
  if (name === 'position') return { name, ...readShares(given, at) }
  fieldsOf(given, at, ['name'])
  return { name }
}

function readShares(given: Readonly<Record<string, unknown>>, at: string): typeof POSITION_DEFAULT {
  const names = ['first', 'middle', 'last'] as const
  fieldsOf(given, at, ['name', ...names])
  const isDefault = names.every((name) => given[name] === undefined)
  if (isDefault) return POSITION_DEFAULT
  const shares = names.map((name) => {
    const share = given[name]
    if (typeof share === 'number' && share >= 0 && share <= 1) return share
    return fault(`${at}.${name}`, 'must be a share from 0 to 1')
  })
  const sum = shares.reduce((all, share) => all + share, 0)
  if (Math.abs(sum - 1) > SHARES_TOLERANCE)
    fault(at, `must have shares first, middle and last that sum to 1, not ${sum}`)
  const [first, middle, last] = shares
  return { first, middle, last } as typeof POSITION_DEFAULT
}

function readGoal(value: unknown, at: string): Goal {
  const lists = ['pixels', 'campaigns', 'ads'] as const
  const given = fieldsOf(value, at, ['name', 'advertiser', 'types', 'where', ...lists])
  const { name, advertiser, types, where } = given
  return {
    name: nameOf(name, at),
    ...(advertiser === undefined ? {} : { advertiser: idOf(advertiser, `${at}.advertiser`) }),
    ...(types === undefined ? {} : { types: readTypes(types, `${at}.types`) }),
    ...(where === undefined ? {} : { where: conditionOf(where, `${at}.where`) }),
    ...Object.fromEntries(
      lists.flatMap((list) => {
        if (given[list] === undefined) return []
        return [[list, listOf(given[list], `${at}.${list}`, { min: 1, max: IDS_MAX }, idOf)]]
      }),
    ),
  }
}

function readTypes(value: unknown, at: string): NonNullable<Goal['types']> {
  const types = listOf(value, at, { min: 1, max: GOAL_TYPES.length }, (type, path) => oneOf(type, GOAL_TYPES, path))
  if (new Set(types).size < types.length) fault(at, 'must name a type once')
  return types
}

function conditionOf(value: unknown, at: string): Expression {
  try {
    const type = typeOf(value, null, at)
    if (type !== 'truth') fault(at, `must be true or false of an event, not a ${type}`)
  } catch (error) {
    if (!(error instanceof ExpressionFault)) throw error
    throw new RangeError(error.message)
  }
  return value as Expression
}

function checkRelations({ windows, goals, shortWait, clickHorizon, pixelDelay }: AttributionDeclaration, at: string) {
  const longest = longestWindowMs({ windows })
  if (shortWait >= longest)
    fault(`${at}.shortWait`, `must be shorter than the longest window (${longest} ms), not ${shortWait} ms`)
  if (clickHorizon < longest + pixelDelay) {
    const needed = `at least the longest window and pixelDelay together (${longest + pixelDelay} ms)`
    fault(`${at}.clickHorizon`, `must be ${needed}, not ${clickHorizon} ms: holds would outlive their click`)
  }
  if (windows.length * goals.length > LANES_MAX) {
    const times = `${goals.length} for ${windows.length} windows`
    fault(`${at}.goals`, `must be fewer: goals times windows are at most ${LANES_MAX}, not ${times}`)
  }
}

// --- values with a path

function fault(at: string, what: string): never {
  throw new RangeError(`${at} ${what}`)
}

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

function fieldsOf(value: unknown, at: string, known: readonly string[]): Readonly<Record<string, unknown>> {
  if (!isObject(value)) return fault(at, `must be an object with ${known.join(', ')}`)
  const unknown = Object.keys(value).find((name) => !known.includes(name))
  if (unknown !== undefined) fault(at, `must have no field "${unknown}"; there are ${known.join(', ')}`)
  return value
}

function listOf<T>(
  value: unknown,
  at: string,
  { min, max }: { readonly min: number; readonly max: number },
  read: (entry: unknown, at: string) => T,
): T[] {
  if (!Array.isArray(value) || value.length < min || value.length > max)
    return fault(at, `must be a list of ${min} to ${max}`)
  return value.map((entry, i) => read(entry, `${at}[${i}]`))
}

function millis(value: unknown, at: string, { min, max }: { readonly min: number; readonly max: number }): number {
  const ms = typeof value === 'string' ? durationMs(value) : value
  if (Number.isSafeInteger(ms) && (ms as number) >= min && (ms as number) <= max) return ms as number
  return fault(at, `must be a length of time like "28d", "1h", "300s" or ${min} to ${max} ms, not ${textOf(value)}`)
}

/** Of a value that may be anything: as much as an error has room for. */
function textOf(value: unknown): string {
  const text = JSON.stringify(value) ?? String(value)
  return text.length > 40 ? `${text.slice(0, 40)}…` : text
}

const quoted = (names: readonly string[]): string => names.map((name) => `"${name}"`).join(', ')

function oneOf<T extends string>(value: unknown, names: readonly T[], at: string): T {
  return names.find((name) => name === value) ?? fault(at, `must be one of ${quoted(names)}, not ${textOf(value)}`)
}

function nameOf(value: unknown, at: string): string {
  return typeof value === 'string' && NAME.test(value) ? value : fault(`${at}.name`, NAMED)
}

function checkUnique(named: readonly { readonly name: string }[], at: string): void {
  const seen = new Set<string>()
  named.forEach(({ name }, i) => {
    if (seen.has(name)) fault(`${at}[${i}].name`, `must be a name of its own: "${name}" is there already`)
    seen.add(name)
  })
}

function idOf(value: unknown, at: string): string {
  const isId = typeof value === 'string' && value !== '' && Buffer.byteLength(value) <= ID_BYTES_MAX
  return isId ? value : fault(at, `must be an id of 1 to ${ID_BYTES_MAX} bytes`)
}

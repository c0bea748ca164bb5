// Oracle: windows, models, goals and times of attribution as a run was configured with them: the `attribution` object of its
// configuration, read a second time. Imports nothing of the project.
//
// 1. Durations are milliseconds, or a text: a whole number and one of ms, s, m, h, d.
// 2. What is not given is as contract.md says. A name that is not known here is refused: what the oracle would ignore, it cannot judge.
// Not here: whether a configuration makes sense. A run that was refused has no files to compare.

const SECOND_MS = 1_000
const MINUTE_MS = 60 * SECOND_MS
const HOUR_MS = 60 * MINUTE_MS
const DAY_MS = 24 * HOUR_MS
const UNIT_MS: { readonly [unit: string]: number } = { ms: 1, s: SECOND_MS, m: MINUTE_MS, h: HOUR_MS, d: DAY_MS }

export type TouchKind = 'click' | 'impression'

export interface Window {
  readonly name: string
  /** Milliseconds, inclusive; undefined: touches of this kind have no credit in it. */
  readonly click?: number | undefined
  readonly impression?: number | undefined
  readonly precedence?: readonly TouchKind[] | undefined
}

export type Model =
  | { readonly name: 'last_touch' | 'first_touch' | 'linear' }
  | { readonly name: 'time_decay'; readonly halfLifeMs: number }
  | { readonly name: 'position'; readonly first: number; readonly middle: number; readonly last: number }

export interface Goal {
  readonly name: string
  readonly advertiser?: string
  readonly pixels?: readonly string[]
  readonly types?: readonly string[]
  readonly where?: unknown
  readonly campaigns?: readonly string[]
  readonly ads?: readonly string[]
}

export interface Attribution {
  readonly windows: readonly Window[]
  readonly models: readonly Model[]
  readonly goals: readonly Goal[]
  readonly graceMs: number
  readonly pixelDelayMs: number
  readonly shortWaitMs: number
  readonly clickHorizonMs: number
  /** Whether a late touch makes the attributions that it missed be said anew. */
  readonly lateTouches: 'count' | 'revise'
}

export const ATTRIBUTION: Attribution = {
  windows: [
    { name: '1d_click', click: DAY_MS },
    { name: '7d_click', click: 7 * DAY_MS },
    { name: '28d_click', click: 28 * DAY_MS },
    { name: '1d_view', impression: DAY_MS },
    { name: '7d_click_1d_view', click: 7 * DAY_MS, impression: DAY_MS, precedence: ['click', 'impression'] },
  ],
  models: [{ name: 'last_touch' }],
  goals: [],
  graceMs: 5 * MINUTE_MS,
  pixelDelayMs: 7 * DAY_MS,
  shortWaitMs: HOUR_MS,
  clickHorizonMs: 90 * DAY_MS,
  lateTouches: 'count',
}

const MODELS: { readonly [name: string]: Model } = {
  last_touch: { name: 'last_touch' },
  first_touch: { name: 'first_touch' },
  linear: { name: 'linear' },
  time_decay: { name: 'time_decay', halfLifeMs: 7 * DAY_MS },
  position: { name: 'position', first: 0.4, middle: 0.2, last: 0.4 },
}

type Fields = { readonly [name: string]: unknown }

/** The `attribution` object of a configuration. Throws where it says what the oracle does not know. */
export function attributionOf(given: unknown): Attribution {
  const settings = fieldsOf(given, 'attribution', [
    ...['windows', 'models', 'goals', 'grace', 'pixelDelay', 'shortWait', 'clickHorizon', 'lateTouches'],
  ])
  const { lateTouches = 'count' } = settings
  if (lateTouches !== 'count' && lateTouches !== 'revise')
    throw new Error(`the oracle knows no lateTouches ${lateTouches}`)
  const duration = (name: string, ms: number) => durationOf(settings[name], `attribution.${name}`) ?? ms
  return {
    windows: listOf(settings.windows, windowOf) ?? ATTRIBUTION.windows,
    models: listOf(settings.models, modelOf) ?? ATTRIBUTION.models,
    goals: listOf(settings.goals, goalOf) ?? [],
    graceMs: duration('grace', ATTRIBUTION.graceMs),
    pixelDelayMs: duration('pixelDelay', ATTRIBUTION.pixelDelayMs),
    shortWaitMs: duration('shortWait', ATTRIBUTION.shortWaitMs),
    clickHorizonMs: duration('clickHorizon', ATTRIBUTION.clickHorizonMs),
    lateTouches,
  }
}

/** The longest window of any kind, milliseconds. */
export const longestMs = ({ windows }: Attribution): number =>
  Math.max(...windows.flatMap(({ click = 0, impression = 0 }) => [click, impression]))

function windowOf(given: unknown): Window {
  const fields = fieldsOf(given, 'a window', ['name', 'click', 'impression', 'precedence'])
  return {
    name: fields.name as string,
    click: durationOf(fields.click, 'click'),
    impression: durationOf(fields.impression, 'impression'),
    precedence: fields.precedence as Window['precedence'],
  }
}

function modelOf(given: unknown): Model {
  if (typeof given === 'string') return modelOf({ name: given })
  const { halfLife, ...fields } = fieldsOf(given, 'a model', ['name', 'halfLife', 'first', 'middle', 'last'])
  const model = MODELS[String(fields.name)]
  if (model === undefined) throw new Error(`the oracle knows no model ${fields.name}`)
  const halfLifeMs = durationOf(halfLife, 'halfLife')
  return { ...model, ...fields, ...(halfLifeMs === undefined ? {} : { halfLifeMs }) } as Model
}

function goalOf(given: unknown): Goal {
  const names = ['name', 'advertiser', 'pixels', 'types', 'where', 'campaigns', 'ads']
  return fieldsOf(given, 'a goal', names) as unknown as Goal
}

function fieldsOf(given: unknown, what: string, names: readonly string[]): Fields {
  if (typeof given !== 'object' || given === null) throw new Error(`${what} is an object`)
  const other = Object.keys(given).find((name) => !names.includes(name))
  if (other !== undefined) throw new Error(`the oracle knows no ${other} of ${what}`)
  return given as Fields
}

function listOf<T>(given: unknown, one: (given: unknown) => T): T[] | undefined {
  return given === undefined ? undefined : (given as unknown[]).map(one)
}

function durationOf(given: unknown, name: string): number | undefined {
  if (given === undefined || typeof given === 'number') return given
  const [, count, unit] = /^(\d+)(ms|s|m|h|d)$/.exec(String(given)) ?? []
  if (count === undefined || unit === undefined) throw new Error(`${name} is no duration`)
  return Number(count) * UNIT_MS[unit]!
}

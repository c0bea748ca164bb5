// The model loop as configuration (docs/model-loop.md): read, checked, and put into one form.
// SS1: what is refused is named by its path, with what would be right; a field that is not known is refused.
// SS2: a declaration and its whole form mean the same, as with attribution (operators/attribution-declaration.ts).

import type { AttributionSettings } from '../../operators/attribution-settings.ts'
import { durationMs, UNIT_MS } from '../../operators/duration.ts'
import { laneName } from '../../operators/label-lanes.ts'
import { modelWindows } from '../../operators/model-windows.ts'
import { GATES, type Gates } from '../../operators/trainer-gates.ts'
import { TRAINER, type TrainerSettings } from '../../operators/trainer-settings.ts'
import type { LiveSettings } from './live-models.ts'

/** In its whole form: every field is there, lengths of time are milliseconds. */
export interface ScoringSettings {
  /** The goal whose conversions are told before they come; '' where none are declared. */
  readonly goal: string
  /** What is said of each window before there is any version, within (0, 1). */
  readonly prior: number
  /** Of event time: a candidate is made at each multiple of it. */
  readonly period: number
  /** How long after that multiple a version holds. */
  readonly activationDelay: number
  /** `online`: each row is learned when it comes. `recurring`: those of a period at its end. `off`: versions come from elsewhere. */
  readonly train: (typeof TRAINING)[number]
  /** Rows after which what a model says is counted: before, it still promises far too much. */
  readonly settledRows: number
  /** What a candidate has to show before it is published (operators/trainer-gates.ts). */
  readonly gates: Gates
}

const TRAINING = ['online', 'recurring', 'off'] as const

/** One conversion of a hundred touches; a candidate a day, and ten minutes for it to be known everywhere. */
export const SCORING_DEFAULT: ScoringSettings = {
  ...{ goal: '', prior: 0.01 },
  ...{
    period: UNIT_MS.d,
    activationDelay: 10 * UNIT_MS.m,
    train: 'online',
    settledRows: TRAINER.settledRows,
    gates: GATES,
  },
}

const TIMES = {
  /** A candidate is a file of some MB: a minute is for tests, with more than a month nothing is learned in time. */
  period: { min: UNIT_MS.m, max: 31 * UNIT_MS.d },
  /** The loop goes on because it is above 0 (topology/feedback.ts). */
  activationDelay: { min: 1, max: UNIT_MS.d },
} as const

/** Reads a declaration. `off`: nothing is scored. Throws RangeError naming the field (SS1). */
export function readScoring(value: unknown): ScoringSettings | 'off' {
  if (value === 'off') return 'off'
  if (!isObject(value)) throw new RangeError(`scoring must be "off" or an object with ${namesOf(SCORING_DEFAULT)}`)
  const { goal, prior, period, activationDelay, train, settledRows, gates } = filled(value, SCORING_DEFAULT, 'scoring')
  if (typeof goal !== 'string') throw new RangeError('scoring.goal must be the name of a declared goal')
  if (typeof prior !== 'number' || !(prior > 0 && prior < 1))
    throw new RangeError('scoring.prior must be a number above 0 and below 1')
  if (!TRAINING.includes(train))
    throw new RangeError(`scoring.train must be one of ${TRAINING.map((name) => `"${name}"`).join(', ')}`)
  if (!Number.isSafeInteger(settledRows) || settledRows < 0)
    throw new RangeError('scoring.settledRows must be a whole number from 0')
  const times = { period: millis(period, 'period'), activationDelay: millis(activationDelay, 'activationDelay') }
  if (times.activationDelay >= times.period)
    throw new RangeError(`scoring.activationDelay must be shorter than scoring.period (${times.period} ms)`)
  return { goal, prior, ...times, train, settledRows, gates: readGates(gates) }
}

function readGates(value: unknown): Gates {
  const at = 'scoring.gates'
  if (!isObject(value)) throw new RangeError(`${at} must be an object with ${namesOf(GATES)}`)
  const { calibration, ...numbers } = filled(value, GATES, at)
  for (const [name, number] of Object.entries(numbers))
    if (typeof number !== 'number' || !Number.isFinite(number) || number < 0)
      throw new RangeError(`${at}.${name} must be a number from 0`)
  const isPair = Array.isArray(calibration) && calibration.length === 2 && calibration.every((each) => each > 0)
  if (!isPair || calibration[0] > calibration[1])
    throw new RangeError(`${at}.calibration must be a pair like [0.9, 1.1], the smaller first`)
  return { ...numbers, calibration: [calibration[0], calibration[1]] }
}

const isObject = (value: unknown): value is object =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

const namesOf = (fields: object): string => Object.keys(fields).join(', ')

/** With defaults where nothing is said. What is said may be anything yet. */
function filled<T extends object>(value: object, defaults: T, at: string): T {
  const unknown = Object.keys(value).find((name) => !(name in defaults))
  if (unknown !== undefined)
    throw new RangeError(`${at} must have no field "${unknown}"; there are ${namesOf(defaults)}`)
  return { ...defaults, ...value }
}

function millis(value: unknown, name: keyof typeof TIMES): number {
  const { min, max } = TIMES[name]
  const ms = typeof value === 'string' ? durationMs(value) : value
  if (Number.isSafeInteger(ms) && (ms as number) >= min && (ms as number) <= max) return ms as number
  throw new RangeError(`scoring.${name} must be a length of time like "1d", "10m" or ${min} to ${max} ms`)
}

/** What models that change need to know of a plan. `vector`: schema of the vectors of touches; null: they have none. */
export function liveSettings(
  { prior, goal }: ScoringSettings,
  { windows }: Pick<AttributionSettings, 'windows'>,
  vector: string | null,
): LiveSettings {
  const told = windows.map(({ name, click, impression }) => {
    return { name: laneName(goal, name), click: click !== undefined, impression: impression !== undefined }
  })
  return { windows: told, vector, prior }
}

/** What the trainer needs to know of a plan; null: versions come from elsewhere. */
export function trainerSettings(
  { goal, period, activationDelay, train, settledRows, gates }: ScoringSettings,
  attribution: AttributionSettings,
  vector: string | null,
): TrainerSettings | null {
  if (train === 'off') return null
  return {
    ...TRAINER,
    ...{ mode: train, windows: modelWindows(attribution), vector, settledRows, gates, ...(goal !== '' && { goal }) },
    ...{ periodMs: period, activationDelayMs: activationDelay },
  }
}

// Scores as a file of a run says them: what was said of each touch when it came, by which version.
// SL1: of one touch there is one score that was served, and one of each shadow; another line, or one that is none, ends the command
//      with its number.

import { HoldfastError } from '../../log/errors.ts'
import type { ScoreRecord } from '../../operators/scorer.ts'
import { jsonLines, nameOf, TOUCHES_MAX } from '../train/labelled-touches.ts'

export interface FileScore {
  readonly version: string
  /** By window; only those of which something is said. */
  readonly p: Readonly<Record<string, number>>
  /** Conversions expected, by the same windows. */
  readonly expected: Readonly<Record<string, number>>
}

/** By nameOf of the touch. */
export type Scores = ReadonlyMap<string, FileScore>

export interface FileScores {
  readonly served: Scores
  /** By what each shadow is called: models that were only looked at. */
  readonly shadows: ReadonlyMap<string, Scores>
}

/** Throws USAGE with file and line where something does not fit. */
export async function readScores(file: string, scoresMax = TOUCHES_MAX): Promise<FileScores> {
  const served = new Map<string, FileScore>()
  const shadows = new Map<string, Map<string, FileScore>>()
  let count = 0
  for await (const { number, value } of jsonLines(file)) {
    const refuse = (what: string): never => {
      throw new HoldfastError('USAGE', `${file}, line ${number}: ${what}`)
    }
    const { event_id, user_id, model_version, p, expected, shadow } = isScore(value) ? value : refuse('it is no score')
    const name = nameOf(user_id, event_id)
    const scores = shadow === true ? (shadows.get(model_version) ?? new Map<string, FileScore>()) : served
    if (shadow === true) shadows.set(model_version, scores)
    if (scores.has(name)) refuse(`a second score of touch ${event_id}`)
    if (count++ === scoresMax) refuse(`more than ${scoresMax} scores`)
    scores.set(name, { version: model_version, p, expected })
  }
  return { served, shadows }
}

function isScore(value: object | null): value is ScoreRecord {
  const record = (value ?? {}) as Partial<Record<keyof ScoreRecord, unknown>>
  const { event_id, user_id, model_version, p, expected, shadow } = record
  const isOfTouch = typeof event_id === 'string' && (user_id === null || typeof user_id === 'string')
  if (!isOfTouch || typeof model_version !== 'string' || !isByWindow(p) || !isByWindow(expected)) return false
  if (shadow !== undefined && shadow !== true) return false
  return Object.entries(p).every(([window, one]) => one > 0 && one <= 1 && expected[window]! >= one)
}

const isByWindow = (value: unknown): value is Readonly<Record<string, number>> =>
  typeof value === 'object' && value !== null && Object.values(value).every((one) => typeof one === 'number')

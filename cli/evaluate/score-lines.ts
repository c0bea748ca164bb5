// Scores as a file of a run says them: what was said of each touch when it came, by which version.
// SL1: of one touch there is one line, with the score that was served and one of each shadow that said something; another line, or
//      one that is none, ends the command with its number.

import { HoldfastError } from '../../log/errors.ts'
import type { SaidScore, ScoreRecord } from '../../operators/scorer.ts'
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
    const { event_id, user_id, shadows: beside = [], ...own } = isScore(value) ? value : refuse('it is no score')
    const name = nameOf(user_id, event_id)
    const add = (scores: Map<string, FileScore>, { model_version, p, expected }: SaidScore) => {
      if (scores.has(name)) refuse(`a second score of touch ${event_id}`)
      if (count++ === scoresMax) refuse(`more than ${scoresMax} scores`)
      scores.set(name, { version: model_version, p, expected })
    }
    add(served, own)
    for (const shadow of beside) {
      const scores = shadows.get(shadow.model_version) ?? new Map<string, FileScore>()
      shadows.set(shadow.model_version, scores)
      add(scores, shadow)
    }
  }
  return { served, shadows }
}

function isScore(value: object | null): value is ScoreRecord {
  const { event_id, user_id, shadows = [] } = (value ?? {}) as Partial<Record<keyof ScoreRecord, unknown>>
  const isOfTouch = typeof event_id === 'string' && (user_id === null || typeof user_id === 'string')
  return isOfTouch && isSaid(value) && Array.isArray(shadows) && shadows.every(isSaid)
}

function isSaid(value: unknown): boolean {
  const { model_version, p, expected } = (value ?? {}) as Partial<Record<keyof SaidScore, unknown>>
  if (typeof model_version !== 'string' || !isByWindow(p) || !isByWindow(expected)) return false
  return Object.entries(p).every(([window, one]) => one > 0 && one <= 1 && expected[window]! >= one)
}

const isByWindow = (value: unknown): value is Readonly<Record<string, number>> =>
  typeof value === 'object' && value !== null && Object.values(value).every((one) => typeof one === 'number')

// A configuration: a JSON document, known by its hash, of which tasks need a small part.
// CF1: two documents with the same hash are the same: canonical JSON, defaults filled in by whoever reads the file.
// CF2: tasks get what may change results and the hash, nothing else: it stands in every commit.
// What the fields may be is checked where files are read (cli/settings.ts).

import { createHash } from 'node:crypto'
import stringify from 'fast-json-stable-stringify'
import { readGoals } from '../operators/attribution-declaration.ts'
import type { Goal } from '../operators/attribution-settings.ts'
import type { OperatorSettings } from '../operators/operator.ts'

/** 64 bits: enough to tell apart all the configurations that anybody ever writes. */
const HASH_HEX_DIGITS = 16

/** What a task is told of a configuration. */
export interface Configuration extends OperatorSettings {
  readonly hash: string
  readonly latenessMs: number
}

/** The whole document, with defaults filled in. What of `attribution` is not its goals belongs to the plan, and does not change. */
export type ConfigDocument = Pick<OperatorSettings, 'anonymous' | 'bots'> & {
  readonly latenessMs: number
  readonly attribution?: { readonly goals: readonly Goal[] } | 'off'
}

/** First 16 hex digits of the SHA-256 of the canonical JSON. */
export function configHash(document: unknown): string {
  return createHash('sha256').update(stringify(document)).digest('hex').slice(0, HASH_HEX_DIGITS)
}

/** CF2. */
export function configurationOf(document: ConfigDocument): Configuration {
  const { anonymous, bots, latenessMs, attribution = 'off' } = document
  const goals = attribution === 'off' ? [] : attribution.goals
  return { hash: configHash(document), anonymous, bots, latenessMs, ...(goals.length === 0 ? {} : { goals }) }
}

/** Whether a value is what configurationOf() makes. */
export function isConfiguration(value: unknown): value is Configuration {
  if (typeof value !== 'object' || value === null) return false
  const { hash, anonymous, bots, latenessMs, goals } = value as Record<string, unknown>
  return (
    typeof hash === 'string' &&
    (anonymous === 'reject' || anonymous === 'accept') &&
    (bots === 'count' || bots === 'mark' || bots === 'drop') &&
    Number.isSafeInteger(latenessMs) &&
    (latenessMs as number) >= 0 &&
    (goals === undefined || areGoals(goals))
  )
}

function areGoals(value: unknown): boolean {
  try {
    readGoals(value, 'goals')
    return true
  } catch (error) {
    if (!(error instanceof RangeError)) throw error
    return false
  }
}

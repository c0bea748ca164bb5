// Arguments and the configuration file, checked: an error names the field and says what would be right (exit 2).

import { readFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { type Static, Type } from 'typebox'
import { Compile } from 'typebox/compile'
import { HoldfastError } from '../log/errors.ts'
import { LATENESS_MS_DEFAULT } from '../topology/graph.ts'

/** Configuration of the graph: what may change results. `--config FILE` is JSON of this shape. */
export const ConfigSchema = Type.Object(
  {
    anonymous: Type.Optional(Type.Union([Type.Literal('reject'), Type.Literal('accept')])),
    latenessMs: Type.Optional(Type.Integer({ minimum: 0, maximum: 366 * 86_400_000 })),
  },
  { additionalProperties: false },
)
const compiled = Compile(ConfigSchema)

export type Config = Required<Static<typeof ConfigSchema>>

export const CONFIG_DEFAULT: Config = { anonymous: 'reject', latenessMs: LATENESS_MS_DEFAULT }

const GIB = 1024 ** 3
/**
 * Room for all streams together, bytes. A server promises no more than three quarters of the disk that is free. A run trims
 * its input as it goes; a node's output streams keep what nobody has taken yet.
 */
export const LOG_BYTES_DEFAULT = { run: 4 * GIB, node: 16 * GIB } as const

/** More than any machine has cores for; the range of `--threads`. */
export const THREADS_MAX = 256
/** As many as run at once; a host never starts more than it has tasks. */
export const THREADS_DEFAULT = Math.min(availableParallelism(), THREADS_MAX)

/** Reads a configuration file; the defaults where there is none. */
export function readConfig(path: string | undefined): Config {
  if (path === undefined) return CONFIG_DEFAULT
  const value = parseJson(path)
  if (!compiled.Check(value)) {
    throw new HoldfastError('USAGE', `${path}: ${complaint(value)}`)
  }
  return { ...CONFIG_DEFAULT, ...value }
}

/** What each field may be, in words: what the schema's own messages leave out. */
const FIELDS: Readonly<Record<keyof Config, string>> = {
  anonymous: '"reject" or "accept"',
  latenessMs: 'a whole number of milliseconds from 0 to 31622400000',
}

function complaint(value: unknown): string {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    return 'the configuration is not a JSON object'
  const [first] = compiled.Errors(value)
  const field = first?.instancePath.slice(1).split('/')[0] ?? ''
  const known = Object.keys(FIELDS)
  if (!known.includes(field)) return `unknown field "${field}"; there are ${known.join(', ')}`
  return `"${field}" must be ${FIELDS[field as keyof Config]}`
}

function parseJson(path: string): unknown {
  try {
    return JSON.parse(readFileSync(path, 'utf8'))
  } catch (error) {
    throw new HoldfastError('USAGE', `cannot read ${path}: ${error instanceof Error ? error.message : error}`)
  }
}

/** A commander parser for whole numbers in a range. */
export function wholeNumber(option: string, min: number, max: number): (text: string) => number {
  return (text) => {
    const value = Number(text)
    if (/^\d+$/.test(text) && value >= min && value <= max) return value
    throw new HoldfastError('USAGE', `${option} must be a whole number from ${min} to ${max}, not "${text}"`)
  }
}

// A time on the command line, in either of the two spellings that people have at hand.

import { HoldfastError } from '../log/errors.ts'

/** Milliseconds since 1970. Throws USAGE, naming the option. */
export function timeMs(option: string, text: string): number {
  const ms = /^\d{1,15}$/.test(text) ? Number(text) : Date.parse(text)
  if (Number.isNaN(ms))
    throw new HoldfastError('USAGE', `${option} must be milliseconds since 1970, or like 2026-01-31T12:00:00Z`)
  return ms
}

// How a program of the command line ends: its exit code, and one line on stderr that says why.
// Exit 0: done and accounted for. 1: halted or not accounted for. 2: wrong arguments or unreadable input, nothing written.
// 130: interrupted.

import { CommanderError } from 'commander'
import { ERRORS, HoldfastError } from '../log/errors.ts'
import { Interrupted } from './early-end.ts'

export const EXIT = { ok: 0, failed: 1, usage: 2, interrupted: 130 } as const

/** One line on stderr, and the exit code. */
export function sayWhy(error: unknown): number {
  if (error instanceof CommanderError) {
    if (error.exitCode === 0) return EXIT.ok
    // No command at all: the help has been shown.
    if (error.code === 'commander.help') return EXIT.usage
    process.stderr.write(
      `holdfast: ${error.message.replace(/^error: /, '').replaceAll('\n', ' ')} (--help lists the options)\n`,
    )
    return EXIT.usage
  }
  if (error instanceof Interrupted) {
    process.stderr.write(`holdfast: ${error.message}\n`)
    return EXIT.interrupted
  }
  if (error instanceof HoldfastError) {
    const { decision, todo } = ERRORS[error.code]
    const advice = error.code === 'USAGE' ? '' : `; ${todo}`
    process.stderr.write(`holdfast: ${error.message.replace(/^USAGE: /, '')}${advice}\n`)
    return decision === 'usage' ? EXIT.usage : EXIT.failed
  }
  process.stderr.write(`holdfast: ${error instanceof Error ? error.message : error}\n`)
  return EXIT.failed
}

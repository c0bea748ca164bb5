// The `holdfast` command: which program is asked for, and with which exit code it ends.
// MN1: `model` is loaded without the other commands (cli/commands.ts), which take half a second: who goes back to an older version
//      is in a hurry.

import type { Command } from 'commander'
import { EXIT, sayWhy } from './exit-code.ts'
import { rootCommand } from './root-command.ts'

/** MN1. */
async function asked(name: string | undefined): Promise<Command> {
  if (name !== 'model') return (await import('./commands.ts')).program
  const program = rootCommand()
  const { modelCommand } = await import('./model-command.ts')
  modelCommand(program)
  return program
}

const program = await asked(process.argv[2])
try {
  await program.parseAsync()
} catch (error) {
  // Not only an exit code: what was given up may still wait in the background (cli/early-end.ts).
  const code = sayWhy(error)
  if (code === EXIT.ok) process.exitCode = code
  else process.exit(code)
}

// Starts a program that cannot outlive this process, however this process ends (SIGKILL included).
// G1: a guard (a shell that waits on a pipe) is forked before the shell becomes the program, so there is no moment without
//     one; when our end of the pipe closes without a word, it kills the program.
// G2: the program gets a session of its own: Ctrl-C in a terminal reaches this process only, which decides what to stop.
// On Windows there is no such shell: the program is started plainly and may outlive a killed parent.

import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync, openSync } from 'node:fs'
import type { Socket } from 'node:net'

/** `$$` is the shell's pid and, after exec, the program's; fd 3 is closed for the program. */
const GUARD_THEN_EXEC = '(read -r _ <&3 || kill -9 $$) & exec "$@" 3<&-'

/** What a shell says when there is no such program. */
const NOT_STARTED = 127

export interface Exit {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}

export interface GuardedChild {
  readonly pid: number
  /** Settles when the program has ended and its guard too. */
  readonly exited: Promise<Exit>
  readonly running: boolean
  signal(name: NodeJS.Signals): void
  /** Lets this process wait for the end; before that, a forgotten child does not keep the process alive. */
  ref(): void
}

/** Starts `file` with `args`; what it prints goes to `outputFile`, which is emptied first. */
export function startGuarded(file: string, args: readonly string[], outputFile: string): GuardedChild {
  const guarded = process.platform !== 'win32'
  const output = openSync(outputFile, 'w', 0o600)
  const child = spawn(
    guarded ? '/bin/sh' : file,
    guarded ? ['-c', GUARD_THEN_EXEC, 'holdfast-guard', file, ...args] : [...args],
    { stdio: ['ignore', output, output, guarded ? 'pipe' : 'ignore'], detached: guarded },
  )
  closeSync(output)
  const guard = (child.stdio[3] ?? null) as Socket | null
  const state = { running: true }
  const exited = ended(child, guard).finally(() => {
    state.running = false
  })
  child.unref()
  guard?.unref()
  return {
    pid: child.pid ?? 0,
    exited,
    get running() {
      return state.running && child.exitCode === null && child.signalCode === null
    },
    signal: (name) => void child.kill(name),
    ref: () => {
      child.ref()
      guard?.ref()
    },
  }
}

async function ended(child: ChildProcess, guard: Socket | null): Promise<Exit> {
  const guardGone = new Promise<void>((resolve) => (guard === null ? resolve() : guard.once('close', () => resolve())))
  // A guard that is already gone breaks the pipe; that is what is being waited for.
  guard?.on('error', () => {}).resume()
  const exit = await new Promise<Exit>((resolve) => {
    child.once('error', () => resolve({ code: NOT_STARTED, signal: null }))
    child.once('exit', (code, signal) => resolve({ code, signal }))
  })
  guard?.end('done\n')
  await guardGone
  return exit
}

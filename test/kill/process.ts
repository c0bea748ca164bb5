// A holdfast command as a real process, and what is left of it in the machine when it is gone.

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { NODE_ENVIRONMENT } from '../../cli/node-flags.mjs'

export interface Ended {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  readonly stderr: string
  readonly tookMs: number
  /** It was still running after the time it had, and was ended by us. */
  readonly isTimedOut: boolean
}

export interface StartOptions {
  /** The directory of the project whose code runs: this one, or a copy with a bug. */
  readonly repo: string
  readonly args: readonly string[]
  readonly env: Readonly<Record<string, string>>
  readonly timeoutMs: number
}

/** Characters of stderr that are kept: the end tells why. */
const STDERR_MAX = 4_000
/** Milliseconds that orphans may need to notice that their parent is gone. */
const LEFTOVER_WAIT_MS = 10_000
const LOOK_MS = 10

export class HoldfastProcess {
  readonly ended: Promise<Ended>
  readonly #child: ChildProcess
  #stderr = ''

  constructor({ repo, args, env, timeoutMs }: StartOptions) {
    const startedMs = performance.now()
    this.#child = spawn(process.execPath, [join(repo, 'cli/main.ts'), ...args], {
      cwd: repo,
      env: { ...NODE_ENVIRONMENT, ...process.env, ...env },
      stdio: ['ignore', 'ignore', 'pipe'],
    })
    this.#child.stderr!.setEncoding('utf8').on('data', (text: string) => {
      this.#stderr = (this.#stderr + text).slice(-STDERR_MAX)
    })
    let isTimedOut = false
    const timer = setTimeout(() => {
      isTimedOut = true
      this.kill('SIGKILL')
    }, timeoutMs)
    this.ended = once(this.#child, 'close').then(([code, signal]) => {
      clearTimeout(timer)
      return { code, signal, stderr: this.#stderr, tookMs: performance.now() - startedMs, isTimedOut }
    })
  }

  get stderr(): string {
    return this.#stderr
  }

  kill(signal: NodeJS.Signals): void {
    this.#child.kill(signal)
  }
}

/** Sends SIGKILL to the nats-server that a command runs in its data directory; false if there is none. */
export function killServerOf(dataDir: string): boolean {
  const pid = serverPidOf(dataDir)
  if (pid === null) return false
  try {
    process.kill(pid, 'SIGKILL')
    return true
  } catch {
    return false
  }
}

function serverPidOf(dataDir: string): number | null {
  const file = join(dataDir, 'nats', 'nats-server.pid')
  if (!existsSync(file)) return null
  const pid = Number(readFileSync(file, 'utf8'))
  // The number may long belong to another program.
  return commandLines().some((line) => line.pid === pid && line.text.includes(dataDir)) ? pid : null
}

/** Processes that still work on a directory some time after their parent was killed: there must be none. */
export async function leftoversOf(dataDir: string): Promise<string[]> {
  const deadline = performance.now() + LEFTOVER_WAIT_MS
  for (;;) {
    const left = commandLines().filter(({ text }) => text.includes(dataDir))
    if (left.length === 0 || performance.now() > deadline) return left.map(({ pid, text }) => `${pid} ${text}`)
    await sleep(LOOK_MS)
  }
}

/** Every process but this one; empty where there is no /proc. */
function commandLines(): { pid: number; text: string }[] {
  if (!existsSync('/proc/self')) return []
  return readdirSync('/proc').flatMap((name) => {
    if (!/^\d+$/.test(name) || Number(name) === process.pid) return []
    try {
      return [{ pid: Number(name), text: readFileSync(`/proc/${name}/cmdline`, 'utf8').replaceAll('\0', ' ') }]
    } catch {
      return []
    }
  })
}

// The command line from outside: `holdfast` as a child process, what it says, how it ends, and what it leaves behind.

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { writeFile } from '../../cli/generate/write-file.ts'
import { NODE_ENVIRONMENT } from '../../cli/node-flags.mjs'
import { type StressOptions, stressLines } from '../generate/stress.ts'

export const PROJECT_DIR = join(import.meta.dirname, '..', '..')

export interface Ended {
  /** null: ended by a signal. */
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

/** HOLDFAST_HEAVY=1: larger files, and the time for them. */
export const HEAVY = process.env.HOLDFAST_HEAVY !== undefined
/** A test's machine is loaded; a command that hangs still ends, and its test fails. */
const TIMEOUT_MS = HEAVY ? 900_000 : 100_000
const LOOK_MS = 10
/** Milliseconds that a server may need to notice that its parent is gone. */
const LEFTOVER_WAIT_MS = 10_000

export interface CommandOptions {
  readonly cwd?: string
  readonly env?: Readonly<Record<string, string>>
  /** In cli/; default: main.ts. */
  readonly program?: string
}

/** A command under way. */
export class Running {
  readonly ended: Promise<Ended>
  readonly #child: ChildProcess
  #stdout = ''
  #stderr = ''

  constructor(args: readonly string[], { cwd, env, program = 'main.ts' }: CommandOptions = {}) {
    this.#child = spawn(process.execPath, [join(PROJECT_DIR, 'cli', program), ...args], {
      cwd: cwd ?? PROJECT_DIR,
      env: { ...NODE_ENVIRONMENT, ...process.env, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    this.#child.stdout!.setEncoding('utf8').on('data', (text: string) => {
      this.#stdout += text
    })
    this.#child.stderr!.setEncoding('utf8').on('data', (text: string) => {
      this.#stderr += text
    })
    const timer = setTimeout(() => this.kill('SIGKILL'), TIMEOUT_MS)
    this.ended = once(this.#child, 'close').then(([code]) => {
      clearTimeout(timer)
      return { code, stdout: this.#stdout, stderr: this.#stderr }
    })
  }

  get pid(): number {
    return this.#child.pid!
  }

  get stdout(): string {
    return this.#stdout
  }

  get stderr(): string {
    return this.#stderr
  }

  kill(signal: NodeJS.Signals): void {
    this.#child.kill(signal)
  }

  /** Settles when stderr has it; rejects when the command ends without having said it. */
  async says(pattern: RegExp): Promise<void> {
    await this.until(() => pattern.test(this.#stderr), String(pattern))
  }

  /** Settles when it holds; rejects when the command ends before. */
  async until(holds: () => boolean, what: string): Promise<void> {
    while (!holds()) {
      if (this.#child.exitCode !== null || this.#child.signalCode !== null)
        throw new Error(`the command ended without ${what}: ${this.#stderr}`)
      await sleep(LOOK_MS)
    }
  }
}

/** Runs a command to its end. */
export function holdfast(args: readonly string[], options: CommandOptions = {}): Promise<Ended> {
  return new Running(args, options).ended
}

/** A temporary directory that goes with `using`. */
export async function workDirectory(): Promise<{ path: string; [Symbol.asyncDispose]: () => Promise<void> }> {
  const path = await mkdtemp(join(tmpdir(), 'holdfast-e2e-'))
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) }
}

/** The nasty file of test/generate, unless said otherwise small. */
export async function stressFile(path: string, options: Partial<StressOptions> = {}): Promise<void> {
  await writeFile(path, stressLines({ lines: 10_000, seed: 1, latenessMs: 600_000, oldTwins: false, ...options }))
}

/** Command lines of processes that name a directory; empty where there is no /proc. */
export async function leftoversOf(dir: string): Promise<string[]> {
  const deadline = performance.now() + LEFTOVER_WAIT_MS
  for (;;) {
    const left = commandLines().filter((line) => line.includes(dir))
    if (left.length === 0 || performance.now() > deadline) return left
    await sleep(LOOK_MS)
  }
}

function commandLines(): string[] {
  if (!existsSync('/proc/self')) return []
  return readdirSync('/proc').flatMap((name) => {
    if (!/^\d+$/.test(name) || Number(name) === process.pid) return []
    try {
      return [readFileSync(`/proc/${name}/cmdline`, 'utf8').replaceAll('\0', ' ')]
    } catch {
      return []
    }
  })
}

export const JOINED_FILES = ['attributions.ndjson', 'labels.ndjson'] as const

/** What must be equal for any partitions, run and kills (contract.md, section 7). */
export function resultsIn(out: string): Record<string, string> {
  const { wall_seconds, resumed_at_line, starts, ...summary } = summaryIn(out)
  const names = readdirSync(out).filter((name) => name.endsWith('.ndjson'))
  const files = names.map((name) => [name, readFileSync(join(out, name), 'utf8')])
  return { ...Object.fromEntries(files), summary: JSON.stringify(summary) }
}

export function summaryIn(out: string): Record<string, number | null> {
  return JSON.parse(readFileSync(join(out, 'summary.json'), 'utf8'))
}

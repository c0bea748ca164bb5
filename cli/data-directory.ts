// The directory in which `run` keeps its log and state, so that an interrupted run can go on.
// DD1: it belongs to one file, one number of partitions, one configuration and one release; anything else is refused,
//      because the log in it was written under them.

import { createHash } from 'node:crypto'
import { createReadStream, existsSync } from 'node:fs'
import { mkdir, readdir, readFile, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { HoldfastError } from '../log/errors.ts'
import type { Config } from './settings.ts'

/** What a run must not change when it goes on. */
export interface RunIdentity {
  readonly release: string
  readonly fingerprint: string
  readonly namespace: string
  readonly inputSha256: string
}

/** From what the plan is made again, by `explain` and `audit`. */
export interface RunShape {
  readonly namespace: string
  readonly partitions: number
  readonly config: Config
}

interface RunFile extends RunIdentity, RunShape {
  readonly starts: number
}

const NAME = 'run.json'

/** What to say where a field differs. */
const DIFFERENCES: Readonly<Record<keyof RunIdentity, string>> = {
  release: 'was written by another release of Holdfast',
  fingerprint: 'was made with other partitions or another configuration',
  namespace: 'was made in another namespace',
  inputSha256: 'was made from another input file',
}

export class DataDirectory {
  readonly path: string
  /** How often a run has started here, this one included. */
  readonly starts: number

  private constructor(path: string, starts: number) {
    this.path = path
    this.starts = starts
  }

  get natsDir(): string {
    return join(this.path, 'nats')
  }

  stateDir(task: string): string {
    return join(this.path, 'state', task)
  }

  /** Opens or creates it. Throws USAGE where it is something else's. */
  static async open(path: string, identity: RunIdentity, shape: RunShape): Promise<DataDirectory> {
    await usable(path, mkdir(path, { recursive: true }))
    const before = await usable(path, readRunFile(path))
    if (before !== null) compare(path, before, identity)
    await usable(path, mkdir(join(path, 'state'), { recursive: true }))
    const starts = (before?.starts ?? 0) + 1
    const text = JSON.stringify({ ...identity, ...shape, starts } satisfies RunFile)
    await writeFile(join(path, `${NAME}.new`), text)
    await rename(join(path, `${NAME}.new`), join(path, NAME))
    return new DataDirectory(path, starts)
  }
}

/** What a run's directory was made with; null if it holds none. */
export async function readRun(path: string): Promise<RunShape | null> {
  return existsSync(path) ? readRunFile(path) : null
}

async function readRunFile(path: string): Promise<RunFile | null> {
  const names = await readdir(path)
  if (!names.includes(NAME)) {
    const strange = names.find((name) => name !== 'state' && name !== `${NAME}.new`)
    if (strange === undefined) return null
    throw new HoldfastError(
      'USAGE',
      `${path} is not empty and holds no run of Holdfast (${strange}); use another --data-dir`,
    )
  }
  return JSON.parse(await readFile(join(path, NAME), 'utf8')) as RunFile
}

async function usable<T>(path: string, work: Promise<T>): Promise<T> {
  try {
    return await work
  } catch (error) {
    if (error instanceof HoldfastError) throw error
    throw new HoldfastError('USAGE', `cannot use ${path}: ${error instanceof Error ? error.message : error}`)
  }
}

function compare(path: string, before: RunFile, now: RunIdentity): void {
  for (const [field, what] of Object.entries(DIFFERENCES) as [keyof RunIdentity, string][]) {
    if (before[field] !== now[field]) throw new HoldfastError('USAGE', `${path} ${what}; use another --data-dir`)
  }
}

/** SHA-256 (hex) of a file. Throws USAGE where it cannot be read. */
export async function sha256OfFile(path: string): Promise<string> {
  const hash = createHash('sha256')
  try {
    await pipeline(createReadStream(path), hash)
  } catch (error) {
    throw new HoldfastError('USAGE', `cannot read ${path}: ${error instanceof Error ? error.message : error}`)
  }
  return hash.digest('hex')
}

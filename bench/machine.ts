// On what a bench ran: figures without their machine and commit mean nothing.

import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { cpus, loadavg, platform, release, totalmem } from 'node:os'
import { findNatsServer } from '../log/nats-server.ts'

const GIB = 1024 ** 3

export interface Machine {
  readonly date: string
  /** Of the checkout; `+` where files differ from it. */
  readonly commit: string
  readonly cpu: string
  readonly cores: number
  readonly memoryGiB: number
  readonly os: string
  readonly node: string
  readonly natsServer: string
  readonly rocksdb: string
  /** Runnable processes in the last minute when the bench began: more than a few tenths means that others were at work. */
  readonly loadBefore: number
}

export async function machine(): Promise<Machine> {
  const [cpu] = cpus()
  return {
    date: new Date().toISOString(),
    commit: commit(),
    cpu: cpu?.model ?? 'unknown',
    cores: cpus().length,
    memoryGiB: Math.round(totalmem() / GIB),
    os: `${platform()} ${release()}`,
    node: process.version,
    natsServer: firstLine(await findNatsServer(), ['--version']),
    rocksdb: `rocksdb-native ${versionOf('rocksdb')}`,
    loadBefore: loadavg()[0]!,
  }
}

function commit(): string {
  try {
    const changed = firstLine('git', ['status', '--porcelain', '--untracked-files=no']) !== ''
    return `${firstLine('git', ['rev-parse', '--short=12', 'HEAD'])}${changed ? '+' : ''}`
  } catch {
    return 'not a checkout'
  }
}

function firstLine(command: string, args: readonly string[]): string {
  const output = execFileSync(command, args, { cwd: import.meta.dirname, stdio: ['ignore', 'pipe', 'ignore'] })
  return output.toString().split('\n')[0]!
}

function versionOf(name: string): string {
  const path = new URL(`../node_modules/${name}/package.json`, import.meta.url)
  return (JSON.parse(readFileSync(path, 'utf8')) as { version: string }).version
}

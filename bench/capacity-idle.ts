// What a node takes that has nothing to do, by threads: the command itself, asked from outside when it is open.

import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { NODE_ENVIRONMENT, NODE_FLAGS } from '../cli/node-flags.mjs'

/** The last line that a node says when it is open. */
const OPEN = 'accepted events:'
/** For what a start leaves to be collected or loaded. */
const SETTLE_MS = 1_000
const BYTES_PER_KIB = 1_024

/** Resident bytes of an idle node of two tasks on so many threads. */
export async function idleBytes(threads: number, directory: string, signal: AbortSignal): Promise<number> {
  const dataDir = join(directory, `idle-${threads}`)
  const main = fileURLToPath(import.meta.resolve('../cli/main.ts'))
  const options = ['--data-dir', dataDir, '--http-port', '0', '--threads', String(threads)]
  const env = { ...NODE_ENVIRONMENT, ...process.env }
  const args = [...NODE_FLAGS, main, 'node', ...options]
  const child = spawn(process.execPath, args, { env, signal, stdio: ['ignore', 'ignore', 'pipe'] })
  const ended = once(child, 'exit')
  try {
    let said = ''
    for await (const text of child.stderr.setEncoding('utf8')) {
      said += text
      if (said.includes(OPEN)) break
    }
    if (!said.includes(OPEN)) throw new Error(`the node did not open: ${said}`)
    await sleep(SETTLE_MS, undefined, { signal })
    return Number(execFileSync('ps', ['-o', 'rss=', '-p', String(child.pid)]).toString()) * BYTES_PER_KIB
  } finally {
    child.kill('SIGTERM')
    await ended
    await rm(dataDir, { recursive: true, force: true })
  }
}

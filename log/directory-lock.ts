// One process for a directory: a name that the system gives to one process at a time, and takes back when it ends, however
// it ends. A file that says who uses a directory can be left behind, and two processes can both find that it was.
// DL1: of two that ask in the same moment one gets it. Where a system has no such names (macOS) everybody does: there only the
//      looks of those who ask protect a directory (log/nats-supervisor.ts, and RocksDB's own lock).
// DL2: it is a name and no file: it changes nothing in the directory, which may be emptied or not be there yet.

import { createHash } from 'node:crypto'
import { realpath } from 'node:fs/promises'
import { createServer, type Server } from 'node:net'
import { basename, dirname, join, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { HoldfastError } from './errors.ts'

/** Milliseconds that whoever asks waits for a process that is just ending. */
export const LOCK_WAIT_MS = 2_000
const LOOK_MS = 20

export interface DirectoryLock {
  release(): void
}

/** Throws STATE_LOCKED where another process, or another part of this one, has it. */
export async function lockDirectory(path: string, waitMs = LOCK_WAIT_MS): Promise<DirectoryLock> {
  const name = nameOf(await realName(resolve(path)))
  if (name === null) return { release: () => {} }
  const until = performance.now() + waitMs
  for (;;) {
    const server = await listenAt(name)
    if (server !== null) return { release: () => void server.close() }
    if (performance.now() > until) throw new HoldfastError('STATE_LOCKED', `another process uses ${path}`)
    await sleep(LOOK_MS)
  }
}

/** One name for a directory, whatever way leads there, also before it is there. */
async function realName(path: string): Promise<string> {
  const real = await realpath(path).catch(() => null)
  return real ?? (dirname(path) === path ? path : join(await realName(dirname(path)), basename(path)))
}

/** An abstract socket of Linux, or a pipe of Windows; null: there is neither. */
function nameOf(path: string): string | null {
  const name = `holdfast-${createHash('sha256').update(path).digest('hex')}`
  if (process.platform === 'linux') return `\0${name}`
  return process.platform === 'win32' ? `\\\\.\\pipe\\${name}` : null
}

/** null: somebody has the name. It does not keep a process alive. */
function listenAt(name: string): Promise<Server | null> {
  return new Promise((settle, fail) => {
    const server = createServer((socket) => socket.destroy()).unref()
    server.once('error', (error: NodeJS.ErrnoException) => (error.code === 'EADDRINUSE' ? settle(null) : fail(error)))
    server.listen(name, () => settle(server))
  })
}

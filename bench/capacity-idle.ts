// What a node takes that has nothing to do, by threads: the command itself, asked from outside when it is open.

import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { rssBytesOf } from './meter.ts'
import { withNode } from './node-process.ts'

/** For what a start leaves to be collected or loaded. */
const SETTLE_MS = 1_000

/** Resident bytes of an idle node of two tasks on so many threads. */
export async function idleBytes(threads: number, directory: string, signal: AbortSignal): Promise<number> {
  const dataDir = join(directory, `idle-${threads}`)
  try {
    return await withNode(['--data-dir', dataDir, '--threads', String(threads)], null, async ({ pid }) => {
      await sleep(SETTLE_MS, undefined, { signal })
      return rssBytesOf(pid)
    })
  } finally {
    await rm(dataDir, { recursive: true, force: true })
  }
}

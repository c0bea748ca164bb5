// Repairs the one tear that nats-server (2.15) leaves in its store when it is killed and does not mend itself.
// TS1: it writes the files of a new stream one by one, the description (meta.inf) before its check sum (meta.sum), and only then
//      acknowledges. Killed between the two, it passes over that stream at its next start; asked to create it again, it finds the
//      description and does not write the check sum then either. So the stream takes and acknowledges messages until the next
//      start of the server, which passes over it again: they are gone.
// TS2: what was never acknowledged may be removed: a stream without a whole description, or its check sum, that has no message.
//      One that has messages is left to a person: tasks that have read it halt (log/continuity.ts).

import { readdir, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'

/** Removes streams whose creation was torn from the store of a server that does not run. The paths of those removed. */
export async function removeTornStreams(storeDir: string): Promise<readonly string[]> {
  const removed: string[] = []
  const root = join(storeDir, 'jetstream')
  for (const account of await namesIn(root)) {
    const streams = join(root, account, 'streams')
    for (const name of await namesIn(streams)) {
      const dir = join(streams, name)
      if ((await isDescribed(dir)) || (await hasMessages(dir))) continue
      await rm(dir, { recursive: true })
      removed.push(dir)
    }
  }
  return removed
}

async function isDescribed(streamDir: string): Promise<boolean> {
  return (await sizeOf(join(streamDir, 'meta.inf'))) > 0 && (await sizeOf(join(streamDir, 'meta.sum'))) > 0
}

async function hasMessages(streamDir: string): Promise<boolean> {
  const folder = join(streamDir, 'msgs')
  for (const name of await namesIn(folder))
    if (name.endsWith('.blk') && (await sizeOf(join(folder, name))) > 0) return true
  return false
}

/** Bytes; 0 for a file that is not there. */
async function sizeOf(path: string): Promise<number> {
  return (await stat(path).catch(missing))?.size ?? 0
}

async function namesIn(dir: string): Promise<readonly string[]> {
  return (await readdir(dir).catch(missing)) ?? []
}

function missing(error: NodeJS.ErrnoException): null {
  if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return null
  throw error
}

// Room for the log of a run where nobody says how much: streams of outputs keep all until the end, and a stage may hold back nearly all
// of a file, so the room follows from the file.

import type { StatsFs } from 'node:fs'
import { stat, statfs } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import { LOG_BYTES_DEFAULT } from './settings.ts'

/** Bytes of log for a byte of events: each of some twenty streams has a share of it, and five windows make three bytes of one of events in theirs. */
const ROOM_PER_BYTE = 256
/** Lines of events are packed to a tenth. */
const PACKED_TO = 0.1
/** Of the free disk: a server of our own promises three quarters at most. */
const DISK_SHARE = 0.5

/** Bytes, the default of `run` at least. `directory`: where the log will lie; need not be there. */
export async function roomForFile(input: string, directory: string): Promise<number> {
  const [{ size }, { bavail, bsize }] = await Promise.all([stat(input), diskOf(directory)])
  const events = input.endsWith('.gz') ? size / PACKED_TO : size
  return Math.max(LOG_BYTES_DEFAULT.run, Math.floor(Math.min(events * ROOM_PER_BYTE, bavail * bsize * DISK_SHARE)))
}

async function diskOf(path: string): Promise<StatsFs> {
  for (let at = resolve(path); ; at = dirname(at)) {
    const disk = await statfs(at).catch(() => null)
    if (disk !== null) return disk
    if (at === dirname(at)) throw new Error(`no disk has ${path}`)
  }
}

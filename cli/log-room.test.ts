import { mkdtemp, open, rm, statfs } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { roomForFile } from './log-room.ts'
import { LOG_BYTES_DEFAULT } from './settings.ts'

const MIB = 1024 ** 2

let directory: string
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'holdfast-room-'))
})
afterAll(() => rm(directory, { recursive: true }))

/** Room for a file of so many bytes, none of which are on the disk. */
async function roomFor(name: string, bytes: number): Promise<number> {
  const path = join(directory, name)
  const file = await open(path, 'w')
  await file.truncate(bytes)
  await file.close()
  return roomForFile(path, directory)
}

it('follows from the file, from the least on, and leaves half of the disk', async () => {
  expect(await roomFor('small.ndjson', MIB)).toBe(LOG_BYTES_DEFAULT.run)
  const { bavail, bsize } = await statfs(directory)
  const most = Math.max(LOG_BYTES_DEFAULT.run, (bavail * bsize) / 2)
  const large = await roomFor('large.ndjson', 20 * MIB)
  expect(large).toBe(Math.min(256 * 20 * MIB, large < 256 * 20 * MIB ? large : most))
  expect(await roomFor('packed.ndjson.gz', 2 * MIB)).toBe(large)
  // Others use the disk meanwhile.
  const huge = await roomFor('huge.ndjson', 2 ** 42)
  expect(huge / most).toBeGreaterThan(0.9)
  expect(huge / most).toBeLessThan(1.1)
})

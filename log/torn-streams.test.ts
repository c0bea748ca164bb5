import { mkdtemp, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { connectLog, type NatsLog } from './nats-log.ts'
import { startNatsServer } from './nats-supervisor.ts'
import { removeTornStreams } from './torn-streams.ts'

const TORN = 'torn'
const WHOLE = 'whole'

let workDir: string
beforeAll(async () => {
  workDir = await mkdtemp(join(tmpdir(), 'holdfast-torn-'))
})
afterAll(() => rm(workDir, { recursive: true }))

/** A server's life on a store. */
async function serving<T>(storeDir: string, work: (log: NatsLog) => Promise<T>): Promise<T> {
  const server = await startNatsServer({ storeDir })
  const log = await connectLog({ servers: server.url, name: 'test' })
  try {
    return await work(log)
  } finally {
    await log.close()
    await server.stop()
  }
}

const create = (log: NatsLog, name: string) => log.jsm.streams.add({ name, subjects: [`${name}.*`] })
const publish = (log: NatsLog, name: string) =>
  log.nc.request(`${name}.1`, 'acknowledged', { timeout: 5_000 }).then((answer) => answer.json<{ seq: number }>().seq)
const filesOf = (storeDir: string, name: string) => join(storeDir, 'jetstream', '$G', 'streams', name)

describe('a stream whose creation was torn', () => {
  // What a kill leaves that falls between two of the files that the server writes for a new stream.
  it.each([
    ['without a check sum', async (dir: string) => rm(join(dir, 'meta.sum'))],
    ['with an empty check sum', async (dir: string) => writeFile(join(dir, 'meta.sum'), '')],
    ['with an empty description', async (dir: string) => writeFile(join(dir, 'meta.inf'), '')],
  ])('%s is created anew, and keeps what was acknowledged', async (name, tear) => {
    const storeDir = join(workDir, name)
    await serving(storeDir, async (log) => {
      for (const stream of [TORN, WHOLE]) await create(log, stream)
      await publish(log, WHOLE)
    })
    await tear(filesOf(storeDir, TORN))
    await serving(storeDir, async (log) => {
      expect(await log.streamState(TORN)).toBeNull()
      await create(log, TORN)
      expect(await publish(log, TORN)).toBe(1)
    })
    await serving(storeDir, async (log) => {
      for (const stream of [TORN, WHOLE]) expect(await log.streamState(stream)).toMatchObject({ lastSeq: 1 })
    })
  })

  it('is left alone where it has messages', async () => {
    const storeDir = join(workDir, 'with messages')
    await serving(storeDir, async (log) => {
      await create(log, TORN)
      await publish(log, TORN)
    })
    const files = filesOf(storeDir, TORN)
    await rm(join(files, 'meta.sum'))
    expect(await removeTornStreams(storeDir)).toEqual([])
    expect((await stat(join(files, 'msgs', '1.blk'))).size).toBeGreaterThan(0)
  })

  it('is looked for in vain in a store that is not there yet', async () => {
    expect(await removeTornStreams(join(workDir, 'nowhere'))).toEqual([])
  })
})

// The simulated log keeps the promises of files; below that, faults.

import { describe, expect, it } from 'vitest'
import { blobConformance } from '../test/conformance/blobs.ts'
import { fakeHarness } from '../test/conformance/fake-harness.ts'
import { blobName } from './blobs.ts'
import { FakeLogServer } from './fake-log.ts'
import { LogUnavailable } from './log.ts'

for (const seed of [1, 2]) blobConformance(`the simulated log (seed ${seed})`, async () => fakeHarness(seed))

const BUCKET = { name: 'files', maxBytes: 100, replicas: 1 }
const BYTES = Buffer.from('a model')
const NAME = blobName(BYTES)

describe('faults of a put', () => {
  async function connected() {
    const server = new FakeLogServer({ seed: 1 })
    const log = server.connect('a')
    await log.ensureBucket(BUCKET)
    return { server, log }
  }

  it('an answer that is lost: unavailable, and there; put again, nothing changes', async () => {
    const { server, log } = await connected()
    server.plan({ kind: 'ackLost' }, { subject: 'files' })
    await expect(log.putBlob('files', NAME, BYTES)).rejects.toBeInstanceOf(LogUnavailable)
    expect(await log.blobNames('files')).toEqual([NAME])
    await log.putBlob('files', NAME, BYTES)
    expect(await log.blobNames('files')).toEqual([NAME])
  })

  it('a put that is lost: unavailable, and not there', async () => {
    const { server, log } = await connected()
    server.plan({ kind: 'publishLost' }, { subject: 'files' })
    await expect(log.putBlob('files', NAME, BYTES)).rejects.toBeInstanceOf(LogUnavailable)
    expect(await log.getBlob('files', NAME)).toBeNull()
  })

  it('an older copy of the store has the files of then', async () => {
    const { server, log } = await connected()
    const backup = server.backup()
    await log.putBlob('files', NAME, BYTES)
    server.restore(backup)
    await server.scheduler.sleep(1_000)
    expect(await log.getBlob('files', NAME)).toBeNull()
  })
})

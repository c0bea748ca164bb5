// The real log keeps the promises of files, on a real nats-server; below that, what interrupted puts leave there.

import { randomBytes } from 'node:crypto'
import { Objm } from '@nats-io/obj'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type BlobHarness, blobConformance } from '../test/conformance/blobs.ts'
import { CONFORMANCE_STORE_BYTES } from '../test/conformance/log.ts'
import { type NatsHarness, natsHarness } from '../test/conformance/nats-harness.ts'
import { blobName } from './blobs.ts'
import type { NatsLog } from './nats-log.ts'

const MIB = 1024 * 1024

async function blobHarness(): Promise<BlobHarness> {
  const harness = await natsHarness({ maxStoreBytes: CONFORMANCE_STORE_BYTES })
  async function damage(bucket: string, sha256: string, how: 'lost' | 'other bytes'): Promise<void> {
    const log = await harness.connect()
    const store = await new Objm(log.nc).open(bucket)
    if (how === 'other bytes') await store.putBlob({ name: sha256 }, randomBytes(MIB))
    else {
      const { nuid } = (await store.info(sha256))!
      const filter = `$O.${bucket}.C.${nuid}`
      await log.jsm.streams.purge(`OBJ_${bucket}`, { filter })
    }
    await log.close()
  }
  return { ...harness, damage }
}

blobConformance('JetStream', blobHarness)

describe('the Object Store', () => {
  let harness: NatsHarness
  let log: NatsLog

  beforeAll(async () => {
    harness = await natsHarness()
    log = await harness.connect()
  })
  afterAll(async () => {
    await log.close()
    await harness.close()
  })

  it('NB3: what interrupted puts left is removed when it takes the room of a new one', async () => {
    await log.ensureBucket({ name: 'left', maxBytes: 3 * MIB, replicas: 1 })
    const [kept, next] = [randomBytes(MIB), randomBytes(MIB)]
    await log.putBlob('left', blobName(kept), kept)
    for (let i = 0; i < 12; i++) {
      const chunk = { subject: `$O.left.C.interrupted${i % 3}`, headers: null, payload: randomBytes(MIB / 8) }
      expect((await log.publish(chunk, null)).kind).toBe('stored')
    }
    await log.putBlob('left', blobName(next), next)
    expect(await log.blobNames('left')).toEqual([blobName(kept), blobName(next)])
    expect(Buffer.compare((await log.getBlob('left', blobName(kept)))!, kept)).toBe(0)
    const subjects = [...(await log.subjects('OBJ_left')).keys()]
    expect(subjects.filter((subject) => /interrupted/.test(subject))).toEqual([])
  })

  it('NB4: a file that was removed leaves no message', async () => {
    await log.ensureBucket({ name: 'removed', maxBytes: MIB, replicas: 1 })
    for (let i = 0; i < 3; i++) {
      const bytes = randomBytes(1000)
      await log.putBlob('removed', blobName(bytes), bytes)
      await log.removeBlob('removed', blobName(bytes))
    }
    expect((await log.subjects('OBJ_removed')).size).toBe(0)
  })

  it('BL3: a chunk that is another one is damage', async () => {
    await log.ensureBucket({ name: 'chunks', maxBytes: 2 * MIB, replicas: 1 })
    const bytes = randomBytes(MIB / 2)
    await log.putBlob('chunks', blobName(bytes), bytes)
    const { nuid } = (await (await new Objm(log.nc).open('chunks')).info(blobName(bytes)))!
    const subject = `$O.chunks.C.${nuid}`
    await log.jsm.streams.purge('OBJ_chunks', { filter: subject, keep: 3 })
    await log.publish({ subject, headers: null, payload: randomBytes(MIB / 8) }, null)
    await expect(log.getBlob('chunks', blobName(bytes))).rejects.toMatchObject({ code: 'BLOB_DAMAGED' })
  })

  it('is what other clients of NATS read', async () => {
    await log.ensureBucket({ name: 'shared', maxBytes: MIB, replicas: 1 })
    const bytes = randomBytes(300_000)
    await log.putBlob('shared', blobName(bytes), bytes)
    const theirs = await (await new Objm(log.nc).open('shared')).getBlob(blobName(bytes))
    expect(Buffer.compare(theirs!, bytes)).toBe(0)
  })
})

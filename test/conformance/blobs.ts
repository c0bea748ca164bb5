// What every log promises of files (log/blobs.ts), run by log/fake-buckets.test.ts on the simulated one and by
// log/nats-blobs.test.ts on the real one.

import { randomBytes } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type BucketSpec, blobName } from '../../log/blobs.ts'
import { type Log, LogUnavailable } from '../../log/log.ts'
import type { LogHarness } from './log.ts'

export interface BlobHarness extends LogHarness {
  /** Somebody takes what a file consists of away, or puts other bytes under its name. */
  damage(bucket: string, sha256: string, how: 'lost' | 'other bytes'): Promise<void>
}

const MIB = 1024 * 1024
/** Large enough that a put is still under way when the broker is killed a moment later. */
const LARGE_BYTES = 4 * MIB
/** One restart of nats-server takes more than a second. */
const INTERRUPTIONS = 3

let buckets = 0

/** A bucket of its own for each test. */
async function freshBucket(log: Log, maxBytes = 16 * MIB): Promise<string> {
  const spec: BucketSpec = { name: `files-${++buckets}`, maxBytes, replicas: 1 }
  await log.ensureBucket(spec)
  return spec.name
}

function file(bytes: number): { sha256: string; bytes: Buffer } {
  const made = randomBytes(bytes)
  return { sha256: blobName(made), bytes: made }
}

export function blobConformance(name: string, makeHarness: () => Promise<BlobHarness>): void {
  describe(`files of ${name}`, () => {
    let harness: BlobHarness
    let log: Log

    beforeAll(async () => {
      harness = await makeHarness()
      log = await harness.connect()
    })
    afterAll(async () => {
      await log.close()
      await harness.close()
    })

    /** Asks again while the broker is away. */
    async function insist<T>(ask: () => Promise<T>): Promise<T> {
      for (let tries = 0; ; tries++) {
        try {
          return await ask()
        } catch (error) {
          if (!(error instanceof LogUnavailable) || tries > 200) throw error
          await harness.sleep(50)
        }
      }
    }

    it('gives the bytes that were put, also to others; null for what is not there', async () => {
      const bucket = await freshBucket(log)
      const [one, empty, large] = [file(1), file(0), file(LARGE_BYTES)]
      for (const { sha256, bytes } of [one, empty, large]) await log.putBlob(bucket, sha256, bytes)
      const other = await harness.connect()
      for (const { sha256, bytes } of [one, empty, large]) {
        expect(Buffer.compare((await other.getBlob(bucket, sha256))!, bytes)).toBe(0)
      }
      await other.close()
      expect(await log.getBlob(bucket, file(1).sha256)).toBeNull()
      expect(await log.getBlob('no-such-bucket', one.sha256)).toBeNull()
      expect(await log.blobNames(bucket)).toEqual([one.sha256, empty.sha256, large.sha256])
      expect(await log.blobNames(await freshBucket(log))).toEqual([])
      expect(await log.blobNames('no-such-bucket')).toEqual([])
    })

    it('BL1: put again, nothing changes, not even the room it takes', async () => {
      const bucket = await freshBucket(log, 3 * MIB)
      const [first, second] = [file(MIB), file(MIB)]
      for (let i = 0; i < 4; i++) {
        for (const { sha256, bytes } of [first, second]) await log.putBlob(bucket, sha256, bytes)
      }
      expect(await log.blobNames(bucket)).toEqual([first.sha256, second.sha256])
    })

    it('BL1: two who put the same at once both have it there, once', async () => {
      const bucket = await freshBucket(log)
      const { sha256, bytes } = file(MIB)
      const other = await harness.connect()
      await Promise.all([log.putBlob(bucket, sha256, bytes), other.putBlob(bucket, sha256, bytes)])
      await other.close()
      expect(await log.blobNames(bucket)).toEqual([sha256])
      expect(Buffer.compare((await log.getBlob(bucket, sha256))!, bytes)).toBe(0)
    })

    it('a full bucket says so; what was there stays; there is room again when something was removed', async () => {
      const bucket = await freshBucket(log, 3 * MIB)
      const [first, second] = [file(2 * MIB), file(2 * MIB)]
      await log.putBlob(bucket, first.sha256, first.bytes)
      const refused = log.putBlob(bucket, second.sha256, second.bytes)
      await expect(refused).rejects.toMatchObject({ code: 'BLOBS_FULL' })
      expect(await log.getBlob(bucket, second.sha256)).toBeNull()
      expect(Buffer.compare((await log.getBlob(bucket, first.sha256))!, first.bytes)).toBe(0)
      await log.removeBlob(bucket, first.sha256)
      expect(await log.getBlob(bucket, first.sha256)).toBeNull()
      await log.putBlob(bucket, second.sha256, second.bytes)
      await log.removeBlob(bucket, first.sha256)
      expect(await log.blobNames(bucket)).toEqual([second.sha256])
    })

    it('a bucket is created once; with other settings it is refused; one that is too large as well', async () => {
      const name = await freshBucket(log)
      await log.ensureBucket({ name, maxBytes: 16 * MIB, replicas: 1 })
      const other = log.ensureBucket({ name, maxBytes: 8 * MIB, replicas: 1 })
      await expect(other).rejects.toMatchObject({ code: 'SETTINGS_DROPPED' })
      const large = log.ensureBucket({ name: 'files-large', maxBytes: 2 ** 40, replicas: 1 })
      await expect(large).rejects.toMatchObject({ code: 'NO_ROOM' })
    })

    it.each(['lost', 'other bytes'] as const)(
      'BL3: bytes that are %s are an error, and put again they are whole',
      async (how) => {
        const bucket = await freshBucket(log)
        const { sha256, bytes } = file(MIB)
        await log.putBlob(bucket, sha256, bytes)
        await harness.damage(bucket, sha256, how)
        await expect(log.getBlob(bucket, sha256)).rejects.toMatchObject({ code: 'BLOB_DAMAGED' })
        await log.putBlob(bucket, sha256, bytes)
        expect(Buffer.compare((await log.getBlob(bucket, sha256))!, bytes)).toBe(0)
      },
    )

    it('a broker that is away is LogUnavailable; what was there is there when it is back', async () => {
      const bucket = await freshBucket(log)
      const [one, two] = [file(MIB), file(MIB)]
      await log.putBlob(bucket, one.sha256, one.bytes)
      await harness.pause()
      await expect(log.getBlob(bucket, one.sha256)).rejects.toBeInstanceOf(LogUnavailable)
      await expect(log.putBlob(bucket, two.sha256, two.bytes)).rejects.toBeInstanceOf(LogUnavailable)
      harness.resume()
      expect(await insist(() => log.getBlob(bucket, one.sha256))).not.toBeNull()
      await insist(() => log.putBlob(bucket, two.sha256, two.bytes))
      expect(await insist(() => log.blobNames(bucket))).toEqual([one.sha256, two.sha256])
    })

    it('BL2: a put that a restart of the broker interrupts leaves the whole file or none', async () => {
      const bucket = await freshBucket(log, 64 * MIB)
      let interrupted = 0
      for (let i = 0; i < INTERRUPTIONS; i++) {
        const { sha256, bytes } = file(LARGE_BYTES)
        const put = log.putBlob(bucket, sha256, bytes).then(
          () => 'done',
          () => 'interrupted',
        )
        await harness.sleep(4 * i)
        await harness.restart()
        const how = await put
        if (how === 'interrupted') interrupted++
        const found = await insist(() => log.getBlob(bucket, sha256))
        if (how === 'done') expect(found).not.toBeNull()
        if (found !== null) expect(Buffer.compare(found, bytes)).toBe(0)
        await insist(() => log.putBlob(bucket, sha256, bytes))
        expect(Buffer.compare((await insist(() => log.getBlob(bucket, sha256)))!, bytes)).toBe(0)
      }
      expect(interrupted, 'puts that were interrupted').toBeGreaterThan(0)
    })
  })
}

// Room: how much input may lie there between two trims.

import { expect, it } from 'vitest'
import { blobName } from '../log/blobs.ts'
import { FakeLogServer } from '../log/fake-log.ts'
import { MODELS } from '../operators/model-records.ts'
import { validation } from '../operators/validation.ts'
import { topology } from './dsl.ts'
import { pageViewGraph } from './graph.ts'
import { TRIM_BYTES } from './input-trim.ts'
import { stageStream } from './plan.ts'
import { MODEL_FILES_KEPT, modelBucket, modelFileBytes, streamSpecs, trimBytesFor } from './streams.ts'

const PLAN = pageViewGraph({
  ...{ namespace: 'ns', name: 't', clock: 'wall', partitions: 2, latenessMs: 0 },
  ...{ anonymous: 'reject', accepted: 'records' },
})
const MIB = 1024 * 1024

/** Bytes that the smallest input stream may hold. */
function smallest(totalBytes: number): number {
  const inputs = PLAN.stages.map(({ name }) => stageStream('ns', name, 0))
  const specs = streamSpecs(PLAN, { totalBytes, replicas: 1 })
  return Math.min(...specs.flatMap(({ name, maxBytes }) => (inputs.includes(name) ? [maxBytes] : [])))
}

it.each([64 * MIB, 4_096 * MIB])(
  'input is trimmed often, or kept up to half of its stream: room of %d bytes',
  (totalBytes) => {
    const settings = { totalBytes, replicas: 1 }
    const room = smallest(totalBytes)
    expect(trimBytesFor(PLAN, settings)).toBe(Math.min(TRIM_BYTES, Math.floor(room / 4)))
    const kept = trimBytesFor(PLAN, settings, 'kept')
    expect(kept).toBe(2 * Math.floor(room / 4))
    // Kept: as much again may come before the stream is full, while a trim is under way.
    expect(room - kept).toBeGreaterThanOrEqual(kept)
  },
)

it('what is kept is more than what is trimmed once there is room', () => {
  const settings = { totalBytes: 4_096 * MIB, replicas: 1 }
  expect(trimBytesFor(PLAN, settings, 'kept')).toBeGreaterThan(TRIM_BYTES)
})

it('the bucket of models has room for the files that are kept, of the largest size, and says when it is full', async () => {
  const log = new FakeLogServer({ seed: 1 }).connect('test')
  const bucket = modelBucket('ns', 1, modelFileBytes(5))
  await log.ensureBucket(bucket)
  const put = async (i: number) => {
    const file = new Uint8Array(modelFileBytes(5)).fill(i)
    await log.putBlob(bucket.name, blobName(file), file)
  }
  for (let i = 0; i < MODEL_FILES_KEPT + 4; i++) await put(i)
  await expect(put(99)).rejects.toMatchObject({ code: 'BLOBS_FULL' })
})

it('models take their room from the others, and have a registry where time passes by itself', () => {
  const graph = (clock: 'wall' | 'data') =>
    topology({ namespace: 'ns', name: 't', clock, partitions: 1, latenessMs: 0 }, (t) => {
      t.source('user-1', validation({}), [{ name: MODELS, mode: 'records', fileBytes: modelFileBytes(7) }])
    })
  for (const clock of ['wall', 'data'] as const) {
    const specs = streamSpecs(graph(clock), { totalBytes: 512 * MIB, replicas: 1 })
    expect(specs.some(({ name }) => name === 'ns_model')).toBe(clock === 'wall')
    const all = specs.reduce((sum, { maxBytes }) => sum + maxBytes, modelBucket('ns', 1, modelFileBytes(7)).maxBytes)
    expect(all).toBeLessThanOrEqual(512 * MIB)
    expect(all).toBeGreaterThan(511 * MIB)
  }
})

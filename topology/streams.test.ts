// Room: how much input may lie there between two trims.

import { expect, it } from 'vitest'
import { pageViewGraph } from './graph.ts'
import { TRIM_BYTES } from './input-trim.ts'
import { stageStream } from './plan.ts'
import { streamSpecs, trimBytesFor } from './streams.ts'

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

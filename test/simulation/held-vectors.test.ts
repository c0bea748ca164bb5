// What is held of a touch is its vector as it was published: of before the touch, whatever the partitions, slices, faults and kills.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { Random } from '../../cli/generate/random.ts'
import { ATTRIBUTION_DEFAULT } from '../../operators/attribution-settings.ts'
import { heldTouchCodec } from '../../operators/held-touch.ts'
import type { PublishedVector } from '../../operators/touch-vectors.ts'
import { vectorCodec, vectorJson } from '../../operators/vector.ts'
import { APPLICATION } from '../../topology/features/application.ts'
import { compileFeatures } from '../../topology/features/compile.ts'
import { touchVectorPlan } from '../../topology/features/vectors.ts'
import { pageViewGraph } from '../../topology/graph.ts'
import { DEFAULT_TUNING } from '../../topology/task.ts'
import { EVENTS_START_MS } from './events.ts'
import { ANONYMOUS, LATENESS_MS, NAMESPACE } from './topologies.ts'
import { runTopology } from './topology-run.ts'

const LINES = 160
const GAP_MS = 4 * 60_000
const CHAOS = { publishLate: 0.01, publishLost: 0.01, ackLost: 0.02, cut: 0.001, readerReset: 0.01 }
const TYPES = ['impression', 'click', 'click', 'conversion'] as const

let dir: string
const path = () => join(dir, 'touches.ndjson')
const { layout } = touchVectorPlan(compileFeatures(APPLICATION), 'all')

beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'holdfast-held-'))
  writeFileSync(path(), `${touchLines(new Random(6)).join('\n')}\n`)
})
afterAll(() => rmSync(dir, { recursive: true, force: true }))

/** A tenth of the events come in disorder, some of them late. */
function touchLines(random: Random): string[] {
  let timeMs = EVENTS_START_MS
  return Array.from({ length: LINES }, (_, i) => {
    timeMs += Math.floor(random.wait(GAP_MS))
    const delayMs = random.chance(0.9) ? 0 : random.below(2 * LATENESS_MS)
    const ad = random.below(4)
    const where = { advertiser_id: `s${ad % 2}`, campaign_id: `c${ad}`, ad_id: `a${ad}`, click_id: `k${i}` }
    const common = { event_id: `e${i}`, event_time: timeMs - delayMs, user_id: `u${random.below(4)}` }
    return JSON.stringify({ type: TYPES[random.below(TYPES.length)], ...common, ...where, device: 'phone' })
  })
}

const byId = (a: { readonly event_id: string }, b: { readonly event_id: string }) => (a.event_id < b.event_id ? -1 : 1)

it.each([
  [1, 128, 0],
  [2, 7, 3],
])('holds the published vector: %i partitions, slices of %i, %i kills', async (partitions, sliceMax, kills) => {
  const options = { namespace: NAMESPACE, name: 'held', clock: 'data', latenessMs: LATENESS_MS } as const
  const plan = pageViewGraph({
    ...{ ...options, partitions, anonymous: ANONYMOUS, accepted: 'off', attribution: ATTRIBUTION_DEFAULT },
    ...{ features: APPLICATION, vectors: 'all' },
  })
  const tuning = { ...DEFAULT_TUNING, sliceMax, commitRecordsMax: kills === 0 ? 20_000 : 25 }
  const chaos = kills === 0 ? {} : CHAOS
  const { outputs, dumps } = await runTopology({ plan, path: path(), seed: 3 + partitions, tuning, chaos, kills })
  const published = outputs.vectors!.map((record) => JSON.parse(record) as PublishedVector)
  const codec = vectorCodec(layout)
  const held = dumps['user-2']!.flatMap((line) => {
    const [store, , group, timeMs, id, bytes] = JSON.parse(line) as [string, number, string, number, string, string]
    if (store !== 'hold/held') return []
    const { vector } = heldTouchCodec.decode(Buffer.from(bytes, 'base64'), group, { timeMs, id }).touch
    const values = vector === null ? null : vectorJson(layout, codec.decode(Buffer.from(vector.base64, 'base64')))
    return [{ event_id: id.slice(1), event_time: timeMs, values }]
  })
  const told = published.map(({ event_id, event_time, values }) => ({ event_id, event_time, values }))
  expect(held.sort(byId)).toEqual(told.sort(byId))
  expect(held.length).toBeGreaterThan(LINES / 2)
})

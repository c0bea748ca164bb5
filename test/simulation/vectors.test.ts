// Vectors of touches through a whole topology over a file: what all events before each touch say, and the same for any
// partitions, slices, faults and kills.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { Random } from '../../cli/generate/random.ts'
import type { PublishedVector } from '../../operators/touch-vectors.ts'
import { APPLICATION } from '../../topology/features/application.ts'
import { compileFeatures } from '../../topology/features/compile.ts'
import { touchVectorPlan } from '../../topology/features/vectors.ts'
import { pageViewGraph } from '../../topology/graph.ts'
import { DEFAULT_TUNING } from '../../topology/task.ts'
import { inOrder, naiveVectors } from '../features/naive-vectors.ts'
import { EVENTS_START_MS } from './events.ts'
import { ANONYMOUS, LATENESS_MS, NAMESPACE } from './topologies.ts'
import { runTopology } from './topology-run.ts'

const LINES = 240
const GAP_MS = 4 * 60_000
const CHAOS = { publishLate: 0.01, publishLost: 0.01, ackLost: 0.02, cut: 0.001, readerReset: 0.01 }
const TYPES = ['impression', 'click', 'page_view', 'add_to_cart', 'conversion'] as const

let dir: string
const path = () => join(dir, 'touches.ndjson')
const lines = touchLines(new Random(5))
const { layout, schema } = touchVectorPlan(compileFeatures(APPLICATION), 'all')

beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'holdfast-vectors-'))
  writeFileSync(path(), `${lines.join('\n')}\n`)
})
afterAll(() => rmSync(dir, { recursive: true, force: true }))

/** Several users, ads and advertisers; a third of the events come in disorder, some by hours. */
function touchLines(random: Random): string[] {
  let timeMs = EVENTS_START_MS
  return Array.from({ length: LINES }, (_, i) => {
    timeMs += Math.floor(random.wait(GAP_MS))
    const delayMs = random.chance(0.7) ? 0 : random.below(random.chance(0.5) ? LATENESS_MS : 4 * 3_600_000)
    const ad = random.below(6)
    const type = TYPES[Math.min(random.below(7), random.below(7)) % TYPES.length]!
    const where = { advertiser_id: `s${ad % 2}`, campaign_id: `c${ad % 3}`, ad_id: `a${ad}`, page_id: `/${ad}` }
    const what = { device: random.chance(0.8) ? 'phone' : undefined, value: random.below(50), currency: 'USD' }
    const common = { event_id: `e${i}`, event_time: timeMs - delayMs, user_id: `u${random.below(4)}` }
    return JSON.stringify({ type, ...common, ...where, ...what, click_id: `k${i}`, order_id: `o${i}` })
  })
}

const byId = (a: { readonly event_id: string }, b: { readonly event_id: string }) => (a.event_id < b.event_id ? -1 : 1)

it.each([
  [1, 128, 0],
  [1, 1, 3],
  [4, 7, 3],
  [8, 128, 3],
])(
  'says of each touch what came before it: %i partitions, slices of %i, %i kills',
  async (partitions, sliceMax, kills) => {
    const options = { namespace: NAMESPACE, name: 'vectors', clock: 'data', latenessMs: LATENESS_MS } as const
    const plan = pageViewGraph({
      ...{ ...options, partitions, anonymous: ANONYMOUS, accepted: 'off' },
      ...{ features: APPLICATION, vectors: 'all' },
    })
    const tuning = { ...DEFAULT_TUNING, sliceMax, commitRecordsMax: kills === 0 ? 20_000 : 25 }
    const chaos = kills === 0 ? {} : CHAOS
    const { outputs, counts } = await runTopology({ plan, path: path(), seed: 7 + partitions, tuning, chaos, kills })
    const vectors = outputs.vectors!.map((record) => JSON.parse(record) as PublishedVector).sort(byId)
    const ids = layout.map(({ id }) => id)
    const expected = naiveVectors(APPLICATION, ids, inOrder(lines, LATENESS_MS)).sort(byId)
    expect(vectors.map(({ event_id, values }) => ({ event_id, values }))).toEqual(expected)
    expect(new Set(vectors.map((vector) => vector.schema))).toEqual(new Set([schema]))
    expect(counts['ad vectors']).toBe(expected.length)
    const late = counts['ad vectors_late']!
    expect([expected.length > LINES / 3, late > 2, late < expected.length / 4]).toEqual([true, true, true])
  },
)

// `clock: data`: a bounded run gives the same for any partitions, timing, kills and restarts of the file reader, and what it
// gives is what a brute-force recomputation from the lines gives.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { SimRandom } from '../../log/sim.ts'
import { pageViewGraph } from '../../topology/graph.ts'
import { DEFAULT_TUNING, type TaskTuning } from '../../topology/task.ts'
import { recompute } from '../oracle/recompute.ts'
import { eventLines } from './events.ts'
import { ANONYMOUS, diamondPlan, LATENESS_MS, NAMESPACE, simPlan } from './topologies.ts'
import { runTopology, type TopologyOutcome } from './topology-run.ts'

const LINES = 400
const INPUTS = [11, 12]
const RUNS = Number(process.env.HOLDFAST_SIM_RUNS ?? 3)
let dir: string

beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'holdfast-sim-'))
  for (const seed of INPUTS) writeFileSync(pathOf(seed), `${eventLines(seed, LINES).join('\n')}\n`)
})
afterAll(() => rmSync(dir, { recursive: true, force: true }))

const pathOf = (seed: number): string => join(dir, `events-${seed}.ndjson`)

function drawnTuning(seed: number): TaskTuning {
  const random = new SimRandom(seed)
  const pick = <T>(items: readonly T[]): T => items[random.below(items.length)]!
  return {
    ...DEFAULT_TUNING,
    sliceMax: pick([1, 7, 128]),
    commitRecordsMax: pick([1, 9, 100, 20_000]),
    lingerMs: pick([0, 5, 50]),
    heartbeatMs: pick([1, 250]),
  }
}

const CHAOS = { publishLate: 0.01, publishLost: 0.01, ackLost: 0.02, cut: 0.001, readerReset: 0.01 }
/** Positions in a stream are in a dead letter, and depend on the partitions as they must; the line says which it is. */
const withoutPlace = (record: string) => {
  const { code, field, raw, line } = JSON.parse(record)
  return JSON.stringify({ code, field, raw, line })
}

interface Comparable extends Pick<TopologyOutcome, 'dumps' | 'outputs' | 'counts'> {
  readonly features: readonly string[]
}

/** What must be equal for any partitions. */
function comparable({ dumps, outputs, counts, features }: TopologyOutcome): Comparable {
  const dead_letters = outputs.dead_letters!.map(withoutPlace).sort()
  return {
    dumps,
    outputs: { ...outputs, dead_letters },
    counts,
    features: features.map((f) => JSON.stringify(f)).sort(),
  }
}

describe.each(INPUTS)('input %i', (input) => {
  const plan = (partitions: number) => simPlan({ clock: 'data', partitions, scope: 'key' })
  const undisturbed = { tuning: DEFAULT_TUNING, chaos: {}, kills: 0 }
  let expected: Comparable

  beforeAll(async () => {
    expected = comparable(await runTopology({ ...undisturbed, plan: plan(1), path: pathOf(input), seed: 1 }))
    expect(expected.outputs.mixed!.length).toBeGreaterThan(LINES)
  })

  it.each([2, 4, 8])('is the same in %i partitions, whatever the slices, faults and kills', async (partitions) => {
    let kills = 0
    for (let run = 0; run < RUNS; run++) {
      const seed = 100 * partitions + run
      const disturbed = { tuning: drawnTuning(seed), chaos: CHAOS, kills: 4 }
      const outcome = await runTopology({ plan: plan(partitions), path: pathOf(input), seed, ...disturbed })
      expect(comparable(outcome), `seed ${seed}`).toEqual(expected)
      kills += outcome.kills
    }
    expect(kills).toBeGreaterThan(0)
  })

  it('is the same where records come by two ways, of which one emits from timers', async () => {
    const diamond = (partitions: number) => diamondPlan({ clock: 'data', partitions })
    const alone = await runTopology({ ...undisturbed, plan: diamond(1), path: pathOf(input), seed: 1 })
    const once = comparable(alone)
    const { 'answer answered': during, 'answer answered at the end': atTheEnd, 'both witnessed': both } = once.counts
    expect(Math.min(during!, atTheEnd!)).toBeGreaterThan(4)
    expect(both).toBeGreaterThan(during! + atTheEnd! + 20)
    for (let run = 0; run < 2 * RUNS; run++) {
      const seed = 700 + run
      const disturbed = { tuning: drawnTuning(seed), chaos: CHAOS, kills: 4 }
      const plan = diamond(run % 2 === 0 ? 4 : 1)
      const outcome = await runTopology({ plan, path: pathOf(input), seed, ...disturbed })
      expect(comparable(outcome), `seed ${seed}`).toEqual(once)
    }
  })

  it('agrees with the brute-force oracle: duplicates, windows, dead letters, late events', async () => {
    const options = { namespace: NAMESPACE, name: 'page views', clock: 'data', latenessMs: LATENESS_MS } as const
    const graph = pageViewGraph({ ...options, partitions: 3, anonymous: ANONYMOUS, accepted: 'records' })
    const run = { plan: graph, path: pathOf(input), seed: input, tuning: drawnTuning(input), chaos: CHAOS, kills: 3 }
    const { counts, features, outputs } = await runTopology(run)
    const naive = recompute(Buffer.from(`${eventLines(input, LINES).join('\n')}\n`), {
      anonymous: ANONYMOUS,
      bots: 'count',
      latenessMs: LATENESS_MS,
      forget: false,
      attribution: null,
    })
    const { read, accepted, duplicates, dead_letters, late } = naive.summary
    expect(counts).toMatchObject({
      'user-1 read': read,
      'user-1 accepted': accepted,
      'user-1 duplicates': duplicates,
      'user-1 dead_letters': dead_letters,
      'user-1 late': late,
    })
    expect(Math.min(duplicates, dead_letters, late)).toBeGreaterThan(5)
    const lines = (values: readonly unknown[]) => values.map((value) => JSON.stringify(value)).sort()
    expect(lines(features)).toEqual(lines(naive.features))
    expect(features.length).toBeGreaterThan(5)
    expect(outputs.accepted).toHaveLength(accepted)
  })
})

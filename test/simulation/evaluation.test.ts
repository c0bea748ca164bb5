// What is kept of scores is the same, to the byte, whatever the partitions, slices, faults and kills: rows of all partitions come to one
// task in the order key, and who has a slice of its own follows from that order alone.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { hashNumber } from '../../ml/hash.ts'
import { ATTRIBUTION_DEFAULT } from '../../operators/attribution-settings.ts'
import { duplicates } from '../../operators/duplicates.ts'
import { EVALUATED, evaluation } from '../../operators/evaluation.ts'
import type { Event } from '../../operators/event.ts'
import type { TaughtRows, TrainingRow } from '../../operators/model-records.ts'
import type { Operator } from '../../operators/operator.ts'
import { eachRow } from '../../operators/training-rows.ts'
import { validation } from '../../operators/validation.ts'
import { topology } from '../../topology/dsl.ts'
import { rowExchange } from '../../topology/models/row-exchange.ts'
import type { Plan } from '../../topology/plan.ts'
import { DEFAULT_TUNING } from '../../topology/task.ts'
import { eventLines } from './events.ts'
import { ANONYMOUS, DUPLICATES, LATENESS_MS, NAMESPACE } from './topologies.ts'
import { runTopology, type TopologyOutcome } from './topology-run.ts'

const LINES = 300
const CHAOS = { publishLate: 0.01, publishLost: 0.01, ackLost: 0.02, cut: 0.001, readerReset: 0.01 }
/** Of some thirty advertisers: which have a name is decided by the order in which rows come. */
const NAMED = 4
const KINDS = ['O', 'D', 'M', 'M', 'M'] as const

let dir: string
const path = () => join(dir, 'events.ndjson')
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'holdfast-evaluated-'))
  writeFileSync(path(), `${eventLines(5, LINES).join('\n')}\n`)
})
afterAll(() => rmSync(dir, { recursive: true, force: true }))

/** Rows of an event that are made up, and follow from its number and its time. */
function rows(): Operator<Event, TaughtRows> {
  const rowOf = ({ id, time, user }: Event, k: number): TrainingRow => {
    const of = (salt: number) => hashNumber(Number(id.slice(1)) + 1_000 * k, salt) >>> 0
    const y = of(1) % 3 === 0 ? 1 : 0
    return {
      ...{ kind: KINDS[of(2) % KINDS.length]!, complete: of(3) % 20 !== 0, touchId: id, touchType: 'click', user },
      ...{ advertiser: `a${of(4) % 30}`, touchTimeMs: time - (of(5) % 86_400_000), version: of(6) % 6, input: null },
      ...{
        lanes: [{ window: of(7) % 3, y, count: y }],
        p: [0, 1, 2].map((salt) => ((of(8 + salt) % 999) + 1) / 1_000),
      },
    }
  }
  return {
    ...{ name: 'rows', version: 1, settings: {}, stores: [] },
    process: (batch) => batch.map((rec) => ({ ...rec, value: { rows: [rowOf(rec.value, 0), rowOf(rec.value, 1)] } })),
  }
}

function planOf(partitions: number): Plan {
  const options = { namespace: NAMESPACE, name: 'judged', clock: 'data', partitions, latenessMs: LATENESS_MS } as const
  const outputs = [{ name: 'dead_letters', mode: 'records' }] as const
  return topology(options, (t) => {
    const events = t.source('user', validation({ anonymous: ANONYMOUS }), outputs).through(duplicates(DUPLICATES))
    const taught = events.through(rows()).keyBy('trainer', rowExchange())
    taught.through(eachRow()).through(evaluation({ ...ATTRIBUTION_DEFAULT, slicesNamedMax: NAMED }))
  })
}

async function judged(partitions: number, sliceMax: number, kills: number): Promise<TopologyOutcome> {
  const tuning = { ...DEFAULT_TUNING, sliceMax, commitRecordsMax: kills === 0 ? 20_000 : 25 }
  const chaos = kills === 0 ? {} : CHAOS
  return runTopology({ plan: planOf(partitions), path: path(), seed: 3 + partitions, tuning, chaos, kills })
}

const tallies = ({ dumps }: TopologyOutcome) => dumps.trainer!.filter((line) => line.startsWith('["evaluation/'))
const counted = ({ counts }: TopologyOutcome) => Object.values(EVALUATED).map((name) => [name, counts[name] ?? 0])

it('is the same for 1, 4 and 8 partitions, through faults and kills', async () => {
  const alone = await judged(1, 128, 0)
  expect(tallies(alone).length).toBeGreaterThan(50)
  for (const [partitions, sliceMax, kills] of [
    [4, 7, 3],
    [8, 128, 0],
  ] as const) {
    const other = await judged(partitions, sliceMax, kills)
    expect(tallies(other)).toEqual(tallies(alone))
    expect(counted(other)).toEqual(counted(alone))
  }
  const keys = tallies(alone).map((line) => JSON.parse(line) as [store: string, day: number, key: string])
  const shared = keys.filter(
    ([store, , key]) => store === 'evaluation/evaluation' && key.endsWith('\u001fadvertiser\u001f'),
  )
  expect(shared.length, 'slices of advertisers without a name').toBeGreaterThan(0)
}, 60_000)

// The delayed feedback in whole topologies (loop-campaign.ts), a few trials; and each task of the loop alone through the faults of an
// ordeal, over what it had read in a whole run.

import { expect, it } from 'vitest'
import { describeFailure } from './campaign.ts'
import { loopSubjects, loopTrial } from './loop-campaign.ts'
import { ordeal } from './ordeal.ts'

/** More by HOLDFAST_SIM_RUNS. */
const TRIALS = Number(process.env.HOLDFAST_SIM_RUNS ?? 5)

it(`is the same for any partitions, slices, faults and kills, each score of the version that held (${TRIALS} trials)`, async () => {
  let kills = 0
  for (let seed = 1; seed <= TRIALS; seed++) {
    const trial = await loopTrial(seed)
    expect(trial.findings, `seed ${seed}`).toEqual([])
    expect(trial.versions, 'versions that scored something').toBeGreaterThan(8)
    expect(trial.atTheEnd, 'scores when the input had ended').toBeGreaterThan(0)
    kills += trial.kills
  }
  expect(kills).toBeGreaterThan(TRIALS)
}, 120_000)

/** More by HOLDFAST_SIM_TRIALS, which is of all simulations. */
const ORDEALS = Math.ceil(Number(process.env.HOLDFAST_SIM_TRIALS ?? 500) / 10)

it(`keeps every byte of each of its tasks through ${ORDEALS} ordeals: kills, standbys, zombies, rolled-back disks`, async () => {
  const subjects = await loopSubjects(11)
  const fired: Record<string, number> = {}
  for (let seed = 1; seed <= ORDEALS; seed++) {
    const result = await ordeal(seed, subjects[seed % subjects.length]!)
    expect(result.findings.length === 0 ? '' : describeFailure(result)).toBe('')
    for (const [fault, count] of Object.entries(result.fired)) fired[fault] = (fired[fault] ?? 0) + count
  }
  const silent = ['K16', 'failover', 'promotion', 'zombie', 'standby', 'rollback'].filter((each) => !fired[each])
  expect(silent, 'faults that never fired').toEqual([])
}, 120_000)

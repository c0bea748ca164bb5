// Layer (a) of reliability.md: tasks through faults by seed, in one process. A failure prints its seed and the command that
// plays it again.

import { describe, expect, it } from 'vitest'
import { DEFAULT_TUNING } from '../../topology/task.ts'
import { campaign, describeFailure, trial } from './campaign.ts'
import { compare } from './oracles.ts'
import { KILL_POINTS } from './ordeal.ts'
import type { SimProcess } from './process.ts'
import { subjectsOf } from './subjects.ts'
import { TaskWorld, twinOf } from './task-world.ts'

/** More by HOLDFAST_SIM_TRIALS; other ones by HOLDFAST_SIM_SEED. */
const TRIALS = Number(process.env.HOLDFAST_SIM_TRIALS ?? 500)
const FIRST_SEED = Number(process.env.HOLDFAST_SIM_SEED ?? 1)
const MINUTES_MS = 60_000
const CLEAN_RESTARTS = 500

/** Everything that has to happen in a campaign of a few hundred trials (O6). */
const MUST_FIRE = [
  ...[
    'publishLate',
    'publishLost',
    'ackLost',
    'cut',
    'pause',
    'freeze',
    'kill',
    'readerReset',
    'lostTail',
    'recreated',
  ],
  ...['overwritten', 'foreignWrite', 'retention', 'failover', 'promotion', 'stall', 'zombie', 'twoOwners', 'standby'],
  ...['restart', 'rollback', 'brokerRestart', 'diskFull', 'streamFull', 'inputTrimmed', 'FENCED', 'STATE_WRITE_FAILED'],
  ...['LOG_WENT_BACK', 'GAP', 'FOREIGN_WRITE', 'RECOVERY_POINT_GONE', 'DIVERGED'].map((code) => `damage ${code}`),
  ...KILL_POINTS,
]

it(`keeps every byte through ${TRIALS} trials, and halts where it must`, { timeout: 20 * MINUTES_MS }, async () => {
  const limits = { firstSeed: FIRST_SEED, trials: TRIALS, kills: Number.POSITIVE_INFINITY, stopAtFailure: false }
  const { failed, fired } = await campaign(limits)
  expect(failed.map(describeFailure).join('\n\n')).toBe('')
  const silent = MUST_FIRE.filter((fault) => (fired[fault] ?? 0) === 0)
  expect(silent, 'faults that never fired').toEqual([])
})

it('plays the same seed the same way again', async () => {
  for (const seed of [FIRST_SEED, FIRST_SEED + 1, FIRST_SEED + 2]) {
    const [first, again] = [await trial(seed), await trial(seed)]
    expect(again.trace).toBe(first.trace)
    expect(again.fired).toEqual(first.fired)
  }
})

it('goes on in small commits after a crash between two batches of a large one', async () => {
  const [subject] = await subjectsOf({ clock: 'data', seed: 3, lines: 420, partitions: 1 })
  const large = { ...DEFAULT_TUNING, lingerMs: 10_000 }
  const onKillPoint = (name: string, process: SimProcess) => name === 'K3' && process.kill()
  const world = new TaskWorld({ seed: 23, subject: subject!, tuning: large, onKillPoint })
  world.feed()
  await world.play(async () => {
    const first = world.start(world.disks[0])
    await world.when(() => first.killed)
    await world.sleep(1)
    world.disks[0].crash(0)
    const second = world.start(world.disks[0], 'owner', { ...DEFAULT_TUNING, sliceMax: 1, commitRecordsMax: 1 })
    await world.when(() => second.end !== null)
    expect(second.end).toEqual({ kind: 'ended' })
  })
  const outputs = world.outputs(({ what }) => expect.fail(what))
  expect(Object.fromEntries(outputs)).toEqual(Object.fromEntries(subject!.twin.outputs))
})

describe.each(['data', 'wall'] as const)('clock: %s', (clock) => {
  it('computes the same in slices of 1, 7 and 128 and commits of any size, without any fault', async () => {
    for (const subject of await subjectsOf({ clock, seed: 21 })) {
      for (const sliceMax of [1, 7, 128]) {
        for (const commitRecordsMax of [1, 10, 20_000]) {
          const { world, ...outcome } = await twinOf(subject, { ...DEFAULT_TUNING, sliceMax, commitRecordsMax })
          expect(compare(outcome, subject.twin), `${subject.name}, slices of ${sliceMax}`).toEqual([])
          expect(world.fired.kill).toBe(0)
        }
      }
    }
  })

  it(`raises no alarm in ${CLEAN_RESTARTS} clean restarts`, async () => {
    const [subject] = await subjectsOf({ clock, seed: 22 })
    const world = new TaskWorld({
      seed: 22,
      subject: subject!,
      tuning: { ...DEFAULT_TUNING, commitRecordsMax: 3 },
      stepsMax: 2_000_000,
    })
    let restarts = 0
    await world.play(async () => {
      world.feed(2)
      while (restarts < CLEAN_RESTARTS) {
        if (restarts % 10 === 0) world.feed(1)
        const process = world.start(world.disks[0])
        await world.when(() => process.end !== null || process.task.status().phase === 'running')
        await world.sleep(world.random.below(30))
        process.task.stop()
        await world.when(() => process.end !== null)
        expect(process.end).toEqual({ kind: 'ended' })
        await process.exit()
        restarts++
      }
    })
    expect(restarts).toBe(CLEAN_RESTARTS)
    const outputs = world.outputs(({ what }) => expect.fail(what))
    for (const [name, records] of outputs) {
      expect(records, name).toEqual(subject!.twin.outputs.get(name)!.slice(0, records.length))
    }
  })
})

// The program that judges a run's served models, on a small world: what it holds to a run holds, and it sees when something of it does not.

import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import type { TrainingRow } from '../../operators/model-records.ts'
import type { Rec } from '../../operators/operator.ts'
import { workDirectory } from '../e2e/command.ts'
import { driftWorld } from './drift-world.ts'
import { loggedRows, type Retrained, retrained } from './retrained.ts'
import { askedOfFiles, keptFiles, liveFaults, qualityOf, trainingFaults } from './served-checks.ts'
import { lastWatermarkMs, type ServedRun, servedRun, WINDOW } from './served-world.ts'

const TOUCHES = 3_000
/** A world so small would have no version in time; few candidates, because each takes its tenth of a second. */
const LOOSENED = {
  period: '6d',
  settledRows: 500,
  gates: { rowsMin: 50, positivesMin: 5, calibration: [0.2, 5], entropyRise: 0.5 },
}

let dir: Awaited<ReturnType<typeof workDirectory>>
let run: ServedRun
let rows: Rec<TrainingRow>[]
let same: Retrained

beforeAll(async () => {
  dir = await workDirectory()
  run = await servedRun(driftWorld(1, TOUCHES), dir.path, LOOSENED)
  rows = await loggedRows(run)
  same = await again(rows)
}, 180_000)
afterAll(() => dir[Symbol.asyncDispose]())

const again = (from: readonly Rec<TrainingRow>[]) => retrained(from, run, lastWatermarkMs(run))

it('what was served is better than at the cold start; a score that promises too much is seen', () => {
  const { fall, weeks, fallbackLate } = qualityOf(run)
  expect(weeks[0]!.name).toBe('cold start')
  expect(weeks.length).toBeGreaterThan(4)
  expect(fallbackLate).toBe(0)
  expect(fall).toBeGreaterThan(0.1)
  const scores = run.scores.map((own) => ({ ...own, p: { [WINDOW]: Math.min(0.99, 3 * own.p[WINDOW]!) } }))
  expect(qualityOf({ ...run, scores }).faults.at(-1)).toMatch(/^calibration of the second half is [2-9]/)
  // As if nothing had been learned.
  const [{ p }] = run.scores as [(typeof run.scores)[number]]
  const unlearned = run.scores.map((own) => ({ ...own, p }))
  expect(qualityOf({ ...run, scores: unlearned }).faults[0]).toMatch(/^the entropy of what is served falls by/)
})

it('versions were trained on the logged rows, all of them, in their order', { timeout: 60_000 }, async () => {
  expect(run.models.filter(({ kind }) => kind === 'published').length).toBeGreaterThan(3)
  expect(trainingFaults(run.models, same)).toEqual([])
  // Far before the last version.
  const place = rows.findIndex(({ value }, i) => i > rows.length / 4 && value.kind === 'D')
  const without = rows.filter((_, i) => i !== place)
  expect(trainingFaults(run.models, await again(without))).not.toEqual([])
  const swapped = rows.map((row, i) => {
    const value = rows[i === place ? place + 1 : i === place + 1 ? place : i]!.value
    return { ...row, value }
  })
  expect(trainingFaults(run.models, await again(swapped))).not.toEqual([])
  expect(trainingFaults([], { models: [] })).toEqual(['no version was published'])
})

it('scores are those of the newest version that held, and what its file says', { timeout: 60_000 }, async () => {
  const { files } = same
  const kept = await keptFiles(run)
  expect(kept.size).toBeGreaterThan(0)
  const asked = await askedOfFiles(run, kept, files)
  expect(asked).toMatchObject({ scores: 1_000, faults: [] })
  expect(asked.inBucket).toBeGreaterThan(0)
  expect(liveFaults(run)).toEqual([])
  // The first that a version scored, by a little.
  const first = run.scores.findIndex(({ version }) => version !== '0')
  const change = (score: object) => {
    return { ...run, scores: run.scores.map((own, i) => (i === first ? { ...own, ...score } : own)) }
  }
  for (const said of ['p', 'expected'] as const) {
    const spoiled = change({ [said]: { [WINDOW]: run.scores[first]![said][WINDOW]! + 2e-6 } })
    expect((await askedOfFiles(spoiled, kept, files)).faults).toMatchObject([
      expect.stringMatching(`^touch ${first}: `),
    ])
  }
  const other = change({ version: '2' })
  expect(liveFaults(other)).toEqual([`touch ${first} was scored by version 2, not 1`])
  expect((await askedOfFiles(run, new Map(), new Map())).faults).toContain('version 1 has no file')
})

it('the program says what does not hold, and ends with 1', { timeout: 100_000 }, () => {
  const program = join(import.meta.dirname, 'served.ts')
  const { status, stdout } = spawnSync(process.execPath, [program, '--touches', '300'], { encoding: 'utf8' })
  expect(status).toBe(1)
  expect(stdout).toMatch(/\ncold start +300 /)
  expect(stdout).toMatch(/\nseed 1: no version was published\n/)
})

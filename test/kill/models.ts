// The model loop under kills: a stress set on which models are trained, published, activated and score, killed in every stage of the loop,
// between a version's file and its record, between its publication and its activation, and at random times (one-run.ts).
// KM1: files, states (the trainer's weights are one) and the files of versions are those of the run that nobody disturbed.
// KM2: whether a kill fell between publication and activation is read from what it left: the log has the record, and the time that
//      a task of the stage that scores has committed is before that from which the version holds (outside-broker.ts).
// KM3: too few versions that scored something, or too few such kills, are faults: nothing would have been shown.
// Settings are loosened, as the set is small and nasty: what the gates decide is not what is tried here.

import { mkdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { writeFile } from '../../cli/generate/write-file.ts'
import { scoringStage, TRAINING_STAGE } from '../../topology/graph.ts'
import { JOINER_STRESS_DEFAULTS, joinerStress } from '../generate/joiner-stress.ts'
import { compare, readInput, recompute } from '../oracle/oracle.ts'
import { type OneRunOptions, ordeal } from './one-run.ts'
import type { Tuning } from './scenario.ts'
import type { Landed } from './trial.ts'

/** How much has to have happened. */
export interface Least {
  readonly versions: number
  readonly betweenKills: number
}

/** What issue 6 asks for. */
export const LEAST: Least = { versions: 5, betweenKills: 3 }

const STAGES = ['user-1', scoringStage({}), 'user-2', TRAINING_STAGE]
const AIMS = [
  { point: 'K17', stage: TRAINING_STAGE },
  { point: 'K16', stage: TRAINING_STAGE },
] as const
/** Of the 56 days of the set: 14 candidates. */
const PERIOD = '4d'
/** Any rows, any metrics are good enough. */
const SCORING = {
  settledRows: 10,
  gates: { rowsMin: 1, positivesMin: 1, entropyRise: 1_000, calibration: [0.000_01, 100_000] },
}
/** Several commits for the touches that a version scores: one that ended with each period would lose nothing of which version it was. */
const TUNING: Tuning = { commitRecords: 8, sliceRecords: 4 }
/** As the joiner's, and files of ten versions beside; a run with eight partitions has as many streams. */
const LOG_BYTES_PER_EVENT = 16 * 1024
const LOG_BYTES_MIN = 1024 * 1024 * 1024
/** Ten times what eight partitions take of a busy machine. */
const TIMEOUT_MS_PER_EVENT = 50
const TIMEOUT_MS_MIN = 300_000

/** One line per thing that is wrong. `period`: how often a candidate is made. */
export async function killOverModels(
  options: OneRunOptions,
  least = LEAST,
  period = PERIOD,
): Promise<readonly string[]> {
  const { events, seed, onLine } = options
  const workDir = join(options.workDir, 'models')
  await mkdir(workDir)
  const [input, config] = [join(workDir, 'input.ndjson'), join(workDir, 'config.json')]
  await writeFile(input, joinerStress({ ...JOINER_STRESS_DEFAULTS, events, seed }).lines)
  await writeFile(config, [Buffer.from(JSON.stringify({ scoring: { ...SCORING, period } }))])
  let versions = 0
  const { faults, landed } = await ordeal({
    ...{
      ...options,
      name: 'models',
      workDir,
      input,
      config,
      broker: 'outside',
      tuning: TUNING,
      stages: STAGES,
      aims: AIMS,
    },
    logBytes: LOG_BYTES_MIN + events * LOG_BYTES_PER_EVENT,
    timeoutMs: Math.max(TIMEOUT_MS_MIN, events * TIMEOUT_MS_PER_EVENT),
    judge: async (out) => {
      versions = versionsIn(await readFile(join(out, 'scores.ndjson'), 'utf8'))
      return compare(recompute(readInput(input)), out)
    },
  })
  const found = { versions, betweenKills: landed.filter(isBetween).length }
  const inFile = landed.filter(({ kind, hit }) => hit && kind === 'K16').length
  onLine(
    `models, ${versions} versions scored; kills between publication and activation: ${found.betweenKills}; between file and record: ${inFile}`,
  )
  // What goes wrong ends the blows.
  return faults.length > 0 ? faults : tooLittle(found, least)
}

/** KM3. One line for each that there was too little of. */
export function tooLittle(found: Least, least: Least): string[] {
  const { versions, betweenKills } = found
  const few: string[] = []
  if (versions < least.versions) few.push(`models: ${versions} versions scored, not ${least.versions}`)
  if (betweenKills < least.betweenKills)
    few.push(`models: ${betweenKills} kills between publication and activation, not ${least.betweenKills}`)
  return few
}

const isBetween = ({ hit, unactivated }: Landed): boolean => hit && unactivated !== null && unactivated > 0

/** Versions that scored a touch; the fallback is none. */
function versionsIn(scores: string): number {
  const lines = scores.trim().split('\n')
  const versions = new Set(lines.map((line) => (JSON.parse(line) as { model_version: string }).model_version))
  versions.delete('0')
  return versions.size
}

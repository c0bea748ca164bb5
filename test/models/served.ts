// The served model in worlds that drift: `holdfast run` on each, judged by its own files and by what the world knows.
//   node test/models/served.ts [--seeds 1] [--touches 300000] [--json]
// Prints by week how good what was served was, whether the versions were trained on the rows that the run logged, and whether scores are
// what the versions' files say (test/models/served-checks.ts); exit 1 where that does not hold. Gates and all else are at their defaults.

import { parseArgs } from 'node:util'
import { workDirectory } from '../e2e/command.ts'
import { driftWorld } from './drift-world.ts'
import { loggedRows, retrained } from './retrained.ts'
import { askedOfFiles, keptFiles, liveFaults, qualityOf, type Span, trainingFaults } from './served-checks.ts'
import { lastWatermarkMs, servedRun } from './served-world.ts'

const { values: args } = parseArgs({
  options: { seeds: { type: 'string' }, touches: { type: 'string' }, json: { type: 'boolean' } },
})

async function served(seed: number) {
  await using dir = await workDirectory()
  const run = await servedRun(driftWorld(seed, Number(args.touches ?? 300_000)), dir.path, {})
  const rows = await loggedRows(run)
  const again = await retrained(rows, run, lastWatermarkMs(run))
  const kinds = Object.groupBy(run.models, ({ kind }) => kind)
  return {
    ...{ seed, published: kinds.published?.length ?? 0, refused: kinds.refused?.length ?? 0, rows: rows.length },
    ...{ quality: qualityOf(run), training: trainingFaults(run.models, again), live: liveFaults(run) },
    asked: await askedOfFiles(run, await keptFiles(run), again.files),
  }
}

type Served = Awaited<ReturnType<typeof served>>

const faultsOf = ({ seed, quality, training, live, asked }: Served): string[] =>
  [...quality.faults, ...training, ...live, ...asked.faults].map((fault) => `seed ${seed}: ${fault}`)

function linesOf({ seed, published, refused, rows, quality, training, live, asked }: Served): string[] {
  const { weeks, secondHalf, fall, fallOfSame, told, fallbackLate } = quality
  const cells = (values: readonly (number | string)[]) => values.map((value) => String(value).padStart(16)).join('')
  const line = ({ name, served, truth, policy }: Span) => {
    const entropies = [served, truth, policy].map(({ normalisedEntropy }) => normalisedEntropy.toFixed(4))
    const calibrations = [served, policy].map(({ calibration }) => calibration.toFixed(3))
    return name.padEnd(14) + cells([served.rows, ...entropies, ...calibrations])
  }
  const percent = (share: number) => `${(100 * share).toFixed(1)} %`
  return [
    `seed ${seed}`.padEnd(14) +
      cells(['touches', 'entropy served', 'truth', 'elapsed-time', 'calibration', 'elapsed-time']),
    ...[...weeks, secondHalf].map(line),
    `entropy falls by ${percent(fall)} from the cold start, by ${percent(fallOfSame)} beside the same words of the same touches`,
    `of what the truth tells beyond a rate, ${percent(told)} is served`,
    `rates answered for ${fallbackLate} touches of the second half`,
    `${published} versions, ${refused} candidates refused; from ${rows} logged rows again: ${training.length} differ`,
    `${live.length} touches scored by another version than the newest that held`,
    `${asked.scores} scores asked of their files (${asked.inBucket} of files in the bucket): at most ${asked.differMost.toExponential(1)} off`,
    '',
  ]
}

const all: Served[] = []
for (let seed = 1; seed <= Number(args.seeds ?? 1); seed++) {
  const one = await served(seed)
  all.push(one)
  if (args.json !== true) console.log(linesOf(one).join('\n'))
}
const faults = all.flatMap(faultsOf)
console.log(args.json === true ? JSON.stringify({ worlds: all, faults }) : faults.join('\n') || 'as asked')
process.exitCode = faults.length === 0 ? 0 : 1

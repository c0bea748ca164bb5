// How much delayed feedback costs, and what each policy gets back of it: `holdfast`'s models in generated worlds whose rates drift.
//   node test/models/drift.ts [--seeds 5] [--touches 300000] [--json]
// Prints the normalised entropy of each policy in each world, the mean, and what issue 6 asks of them; exit 1 where that does not hold.
// The worlds, and what drifts in them, are test/models/drift-world.ts's.

import { parseArgs } from 'node:util'
import { FTRL } from '../../ml/ftrl.ts'
import { driftWorld } from './drift-world.ts'
import { IN_ORDER, judge, policyFigures } from './policies.ts'

const { values: args } = parseArgs({
  options: { seeds: { type: 'string' }, touches: { type: 'string' }, json: { type: 'boolean' } },
})
const seeds = Array.from({ length: Number(args.seeds ?? 5) }, (_, i) => i + 1)
const worlds = seeds.map((seed) => ({
  seed,
  ...policyFigures(driftWorld(seed, Number(args.touches ?? 300_000)), FTRL),
}))
const verdict = judge(worlds)

if (args.json === true) console.log(JSON.stringify({ worlds, verdict }))
else {
  const cells = (values: readonly number[]) => values.map((value) => value.toFixed(4).padStart(15)).join('')
  console.log(`normalised entropy, second half${['truth', ...IN_ORDER].map((name) => name.padStart(15)).join('')}`)
  for (const { seed, truth, model } of worlds)
    console.log(
      `seed ${seed}`.padEnd(31) +
        cells([truth, ...IN_ORDER.map((name) => model[name])].map((f) => f.normalisedEntropy)),
    )
  console.log('mean'.padEnd(31) + cells([verdict.meanTruth, ...IN_ORDER.map((name) => verdict.mean[name])]))
  console.log(
    `elapsed-time, calibrated: entropy ${verdict.served.map(({ normalisedEntropy }) => normalisedEntropy.toFixed(4)).join(' ')}`,
  )
  console.log(
    `elapsed-time, calibrated: calibration ${verdict.served.map(({ calibration }) => calibration.toFixed(3)).join(' ')}`,
  )
  console.log(`bins of 1, 7 and 30 days, each from its own mature rows: mean entropy ${verdict.meanBins.toFixed(4)}`)
  for (const { better, worse, worlds: held } of verdict.order)
    console.log(`${better} before ${worse}: in ${held} of ${seeds.length}`)
  console.log(`elapsed-time recovers ${(100 * verdict.recovered).toFixed(1)} % of what waiting loses to the oracle`)
  console.log(verdict.faults.length === 0 ? 'as asked' : verdict.faults.join('\n'))
}
process.exitCode = verdict.faults.length === 0 ? 0 : 1

// The simulation as a program: some seeds, some kills, or one seed again.
//
//     node test/simulation/run.ts [--kills N] [--trials N] [--first-seed N] [--stop] [--json]
//     node test/simulation/run.ts --seed N
//
// Exits 1 if an oracle found something.

import { parseArgs } from 'node:util'
import { campaign, describeFailure, trial } from './campaign.ts'

const { values } = parseArgs({
  options: {
    kills: { type: 'string' },
    trials: { type: 'string' },
    'first-seed': { type: 'string', default: '1' },
    seed: { type: 'string' },
    stop: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
  },
})

if (values.seed !== undefined) {
  const result = await trial(Number(values.seed))
  console.log(
    result.findings.length > 0 ? describeFailure(result) : `seed ${values.seed}: ${result.subject}: nothing found`,
  )
  console.log(`${result.history.join('\n')}\ntrace ${result.trace}`)
  process.exitCode = result.findings.length > 0 ? 1 : 0
} else {
  const limit = (text: string | undefined) => (text === undefined ? Number.POSITIVE_INFINITY : Number(text))
  const startedAt = performance.now()
  const result = await campaign({
    firstSeed: Number(values['first-seed']),
    trials: values.trials === undefined && values.kills === undefined ? 300 : limit(values.trials),
    kills: limit(values.kills),
    stopAtFailure: values.stop,
  })
  const seconds = Math.round(performance.now() - startedAt) / 1000
  if (values.json) console.log(JSON.stringify({ ...result, seconds }))
  else {
    for (const failure of result.failed) console.log(describeFailure(failure))
    console.log(
      `fired: ${Object.entries(result.fired)
        .filter(([, n]) => n > 0)
        .map(([k, n]) => `${k} ${n}`)
        .join(', ')}`,
    )
    console.log(`${result.trials} trials, ${result.kills} kills, ${result.failed.length} failed, ${seconds} s`)
  }
  process.exitCode = result.failed.length > 0 ? 1 : 0
}

// Trials by seed as a program: how many, from which seed on, up to the first that finds something, and what was found.

import { parseArgs } from 'node:util'

export interface Trial {
  readonly seed: number
  readonly kills: number
  readonly findings: readonly { readonly oracle: string; readonly what: string }[]
}

/** Prints what failed, as text or JSON, by the arguments of this process; its exit code says whether any did. */
export async function runTrials(trialOf: (seed: number) => Promise<Trial>): Promise<void> {
  const { values } = parseArgs({
    options: {
      trials: { type: 'string', default: '10' },
      'first-seed': { type: 'string', default: '1' },
      stop: { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
    },
  })
  const done: Trial[] = []
  const failed = () => done.filter(({ findings }) => findings.length > 0)
  for (let i = 0; i < Number(values.trials) && !(values.stop && failed().length > 0); i++)
    done.push(await trialOf(Number(values['first-seed']) + i))
  const kills = done.reduce((sum, trial) => sum + trial.kills, 0)
  if (values.json) console.log(JSON.stringify({ trials: done.length, kills, failed: failed() }))
  else {
    for (const { seed, findings } of failed())
      for (const { oracle, what } of findings) console.log(`seed ${seed}: ${oracle}: ${what}`)
    console.log(`${done.length} trials, ${kills} kills, ${failed().length} failed`)
  }
  process.exitCode = failed().length > 0 ? 1 : 0
}

/** Of an error, with its causes. */
export function messageOf(error: unknown): string {
  const { message, cause } = error as Error
  return cause === undefined ? message : `${message}: ${messageOf(cause)}`
}

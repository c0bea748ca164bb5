// Bugs that a part of the system may have which has a simulation of its own: each a patch in the part's folder, applied to a copy of the
// project, whose simulation has to find it. The unpatched copy has to pass as many trials as the others may take.
//
//     node test/bugs/simulated.ts joiner|loop [--only NAME] [--first-seed N]
//
// BJ1: a bug counts as caught only if an oracle of the patched copy found something: a copy that does not start is an error.
// How copies are made and patched: run.ts (BU2).

import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { parseArgs, promisify } from 'node:util'
import { type Bug, bugs, oneLine, withBug } from './run.ts'

const run = promisify(execFile)

export interface Simulated {
  /** Of the patches, here. */
  readonly folder: string
  /** In test/simulation: takes --stop, --json, --trials and --first-seed, and says what failed. */
  readonly program: string
  /** In which a bug has to be caught. */
  readonly trialsMax: number
}

/** A trial of the joiner meets each edge of a window in one of three, or not at all; one of the loop has one kind of kills. */
export const JOINER: Simulated = { folder: 'joiner', program: 'joiner.ts', trialsMax: 20 }
export const LOOP: Simulated = { folder: 'loop', program: 'loop-campaign.ts', trialsMax: 30 }

/** Milliseconds; a patched copy may run in circles. */
const RUN_MS_MAX = 600_000
const OUTPUT_BYTES_MAX = 64 * 1024 * 1024

export interface SimulatedVerdict {
  readonly bug: string
  /** The oracles that found something, in the first trial in which one did. */
  readonly caughtBy: readonly string[]
  readonly trials: number
  readonly what: string
}

interface Campaign {
  readonly trials: number
  readonly failed: readonly { readonly findings: readonly { readonly oracle: string; readonly what: string }[] }[]
}

export const bugsOf = ({ folder }: Simulated): Promise<Bug[]> => bugs(join(import.meta.dirname, folder))

/** Holds a copy with this bug (null: without) to the simulation. */
export function judgeSimulated(simulated: Simulated, bug: Bug | null, firstSeed: number): Promise<SimulatedVerdict> {
  return withBug(bug, async (dir) => {
    const program = join(dir, 'test', 'simulation', simulated.program)
    const trialsMax = ['--trials', String(simulated.trialsMax), '--first-seed', String(firstSeed)]
    const options = { cwd: dir, timeout: RUN_MS_MAX, maxBuffer: OUTPUT_BYTES_MAX }
    const args = [program, '--stop', '--json', ...trialsMax]
    const { stdout } = await run(process.execPath, args, options).catch((error: { code?: unknown; stdout: string }) => {
      // Exit 1 says that something was found; anything else is no answer (BJ1).
      if (error.code === 1 && error.stdout.startsWith('{')) return error
      throw error
    })
    const { trials, failed } = JSON.parse(stdout) as Campaign
    const findings = failed[0]?.findings ?? []
    const caughtBy = [...new Set(findings.map(({ oracle }) => oracle))]
    return { bug: bug?.name ?? '(none)', caughtBy, trials, what: findings[0]?.what ?? '' }
  })
}

/** Judges all and the unpatched copy, or the one named. Whether each bug was caught, and nothing found without. */
export async function catchSimulated(
  simulated: Simulated,
  { only, firstSeed }: { readonly only: string | null; readonly firstSeed: number },
  onVerdict: (verdict: SimulatedVerdict) => void,
): Promise<boolean> {
  const all = await bugsOf(simulated)
  const chosen: (Bug | null)[] = only === null ? [...all, null] : all.filter(({ name }) => name === only)
  if (chosen.length === 0) throw new Error(`${only} is none of ${all.map(({ name }) => name).join(', ')}`)
  let isGood = true
  for (const bug of chosen) {
    const verdict = await judgeSimulated(simulated, bug, firstSeed)
    if ((bug === null) !== (verdict.caughtBy.length === 0)) isGood = false
    onVerdict(verdict)
  }
  return isGood
}

/** A verdict in a line. */
export function simulatedLine({ bug, caughtBy, trials, what }: SimulatedVerdict): string {
  const by = caughtBy.length === 0 ? 'nothing found' : `caught by ${caughtBy.join(', ')}`
  return `${bug}: ${by} in ${trials} trials${what === '' ? '' : `: ${oneLine(what)}`}`
}

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    options: { only: { type: 'string' }, 'first-seed': { type: 'string', default: '1' } },
    allowPositionals: true,
  })
  const simulated = [JOINER, LOOP].find(({ folder }) => folder === positionals[0])
  if (simulated === undefined) throw new Error('which bugs: joiner or loop?')
  const options = { only: values.only ?? null, firstSeed: Number(values['first-seed']) }
  const isGood = await catchSimulated(simulated, options, (verdict) => console.log(simulatedLine(verdict)))
  process.exitCode = isGood ? 0 : 1
}

if (import.meta.main) await main()

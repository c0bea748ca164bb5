// The deliberate bugs of protocol.md, section 12, against real processes: each patch of test/bugs/ in a copy of the project,
// killed until an oracle speaks. The twin and the oracles are those of the unpatched project.
// What needs a second owner, a standby, retention, a log that lies, or an operator that one `run` has not got, is left to
// the simulation, and what only readers see to them (test/bugs/run.ts).

import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { type Bug, bugs, judge, KILLS_TO_CATCH, READERS_SEE, withBug } from '../bugs/run.ts'
import { type CampaignOptions, campaign } from './campaign.ts'
import { POINTS, TUNINGS } from './scenario.ts'
import { type Finding, undisturbed } from './trial.ts'
import { differences } from './twin.ts'

export interface BugVerdict {
  readonly bug: string
  readonly by: 'real processes' | 'simulation'
  /** Empty: not caught. */
  readonly oracle: string
  readonly kills: number
  readonly what: string
}

/** Bugs that kills of one `run` can show. */
const REAL: ReadonlySet<string> = new Set([
  'numbers-not-skipped',
  'operator-reads-the-clock',
  'position-outside-the-batch',
  'timers-after-the-slice',
])

export type BugOptions = Pick<CampaignOptions, 'arena' | 'seed' | 'hits' | 'workDir' | 'lanes'>

/** Every bug of test/bugs/, or the one named; `everywhere`: the real processes get their chance with each of them. */
export async function catchBugs(
  options: BugOptions,
  { only, everywhere }: { readonly only: string | null; readonly everywhere: boolean },
  onVerdict: (verdict: BugVerdict) => void,
): Promise<BugVerdict[]> {
  const verdicts: BugVerdict[] = []
  for (const bug of await bugs()) {
    if (only !== null && bug.name !== only) continue
    const isReal = !READERS_SEE.has(bug.name) && (everywhere || REAL.has(bug.name))
    const verdict = isReal ? await catchWithKills(options, bug) : await catchOtherwise(bug)
    verdicts.push(verdict)
    onVerdict(verdict)
  }
  return verdicts
}

async function catchOtherwise(bug: Bug): Promise<BugVerdict> {
  const { caughtBy, kills, what } = await judge(bug, KILLS_TO_CATCH)
  const by = READERS_SEE.has(bug.name) ? 'real processes' : 'simulation'
  return { bug: bug.name, by, oracle: caughtBy.join(', '), kills, what }
}

function catchWithKills(options: BugOptions, bug: Bug): Promise<BugVerdict> {
  return withBug(bug, async (repo) => {
    const workDir = join(options.workDir, bug.name)
    await mkdir(workDir, { recursive: true })
    const arena = { ...options.arena, repo }
    const verdict = (kills: number, finding: Finding | undefined): BugVerdict => ({
      bug: bug.name,
      by: 'real processes',
      oracle: finding?.oracle ?? '',
      kills,
      what: finding?.text ?? '',
    })
    for (const [i, tuning] of TUNINGS.entries()) {
      const found = await withoutKills(arena, tuning, join(workDir, `whole-${i}`))
      if (found !== undefined) return verdict(0, found)
    }
    const { failed, kills } = await campaign({
      ...options,
      arena,
      workDir,
      kinds: POINTS,
      kills: KILLS_TO_CATCH,
      cases: null,
      stopAtFinding: true,
      onVerdict: () => {},
    })
    return verdict(kills, failed[0]?.findings[0])
  })
}

async function withoutKills(
  arena: BugOptions['arena'],
  tuning: (typeof TUNINGS)[number],
  dir: string,
): Promise<Finding | undefined> {
  try {
    const [text] = differences(arena.twin, (await undisturbed(arena, tuning, dir)).traces)
    return text === undefined ? undefined : { oracle: 'O1', text }
  } catch (error) {
    return { oracle: 'O5', text: (error as Error).message }
  }
}

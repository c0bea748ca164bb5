// A campaign: ordeals and damages by seed, until so many processes were killed or an oracle found something.
// CA1: seed s always means the same trial, whatever was run before it.
// CA2: every kind of fault and every kill point that fired is counted (O6): a campaign that struck nothing proves nothing.

import { damaged, diverging } from './damage.ts'
import type { Mood } from './operators.ts'
import { type OrdealResult, ordeal } from './ordeal.ts'
import { type SubjectWithTwin, subjectsOf } from './subjects.ts'

export interface CampaignResult {
  readonly trials: number
  readonly kills: number
  readonly fired: Readonly<Record<string, number>>
  /** Trials in which an oracle found something. */
  readonly failed: readonly OrdealResult[]
}

export interface CampaignOptions {
  readonly firstSeed: number
  /** Ends after this many trials, or after this many kills. */
  readonly trials: number
  readonly kills: number
  /** Whether the first failure ends it. */
  readonly stopAtFailure: boolean
}

/** One trial in this many damages the log. */
const DAMAGE_EVERY = 4
/** One trial in this many has an operator that changes its mind. */
const DIVERGE_EVERY = 13

interface Cast {
  readonly subjects: readonly SubjectWithTwin[]
  readonly moody: readonly SubjectWithTwin[]
  readonly mood: Mood
}

let cast: Promise<Cast> | null = null

/** The tasks that trials are about; made once, it takes a second. */
async function makeCast(): Promise<Cast> {
  const mood: Mood = { changed: false }
  const all = [
    ...(await subjectsOf({ clock: 'data', seed: 1 })),
    ...(await subjectsOf({ clock: 'wall', seed: 2 })),
    // Enough output that one commit needs several atomic batches (K3).
    ...(await subjectsOf({ clock: 'data', seed: 3, lines: 420, partitions: 1 })).slice(0, 1),
    ...(await subjectsOf({ clock: 'wall', seed: 4, lines: 420, partitions: 1 })).slice(0, 1),
  ]
  const moody = (await subjectsOf({ clock: 'data', seed: 5, mood })).filter(({ stage }) => stage.ingress !== null)
  return { subjects: all, moody, mood }
}

export async function trial(seed: number): Promise<OrdealResult> {
  cast ??= makeCast()
  const { subjects, moody, mood } = await cast
  if (seed % DIVERGE_EVERY === 0) return diverging(seed, moody[seed % moody.length]!, mood)
  const subject = subjects[seed % subjects.length]!
  return seed % DAMAGE_EVERY === 0 ? damaged(seed, subject) : ordeal(seed, subject)
}

export async function campaign(options: CampaignOptions): Promise<CampaignResult> {
  const { firstSeed, trials, kills: killsMax, stopAtFailure } = options
  const fired: Record<string, number> = {}
  const failed: OrdealResult[] = []
  let kills = 0
  let done = 0
  for (; done < trials && kills < killsMax && !(stopAtFailure && failed.length > 0); done++) {
    const result = await trial(firstSeed + done)
    kills += result.kills
    for (const [fault, count] of Object.entries(result.fired)) fired[fault] = (fired[fault] ?? 0) + count
    if (result.findings.length > 0) failed.push(result)
  }
  return { trials: done, kills, fired, failed }
}

/** The command that plays one seed again. */
export const replayCommand = (seed: number): string => `node test/simulation/run.ts --seed ${seed}`

/** What a person needs of a failed trial. */
export function describeFailure({ seed, subject, findings, history }: OrdealResult): string {
  const lines = findings.slice(0, 5).map(({ oracle, what }) => `  ${oracle}: ${what}`)
  return [
    `seed ${seed} (${subject}); again: ${replayCommand(seed)}`,
    ...history.map((act) => `  ${act}`),
    ...lines,
  ].join('\n')
}

// Many scenarios, a few at a time, until enough blows have landed; what came of them, counted per kind of blow.

import { join } from 'node:path'
import { OutsideBroker } from './outside-broker.ts'
import { describe, type Hits, type Kind, scenarioOf } from './scenario.ts'
import { type Arena, type Landed, tryOut, type Verdict } from './trial.ts'

export interface CampaignOptions {
  readonly arena: Arena
  readonly seed: number
  /** Per tuning, from undisturbed runs. */
  readonly hits: readonly Hits[]
  readonly kinds: readonly Kind[]
  /** Ends when this many blows have landed; Infinity: when the cases are through. */
  readonly kills: number
  /** Only these cases; null: 0, 1, 2 … */
  readonly cases: readonly number[] | null
  /** Ends at the first finding. */
  readonly stopAtFinding: boolean
  readonly workDir: string
  /** Cases side by side. */
  readonly lanes: number
  readonly onVerdict: (verdict: Verdict, killsSoFar: number) => void
}

export interface KindRow {
  /** Blows that were meant to land. */
  aimed: number
  landed: number
  inRecovery: number
  /** Of those that somebody looked at: after how many the log was ahead of the state. */
  looked: number
  ahead: number
  failures: number
}

export interface CampaignReport {
  readonly rows: ReadonlyMap<Kind, KindRow>
  readonly failed: readonly Verdict[]
  readonly cases: number
  readonly kills: number
  readonly starts: number
}

/** Cases without a landed blow after which a campaign gives up: nothing is hit any more. */
const CASES_PER_KILL_MAX = 5

export async function campaign(options: CampaignOptions): Promise<CampaignReport> {
  const verdicts: Verdict[] = []
  let kills = 0
  let next = 0
  const isOver = () =>
    kills >= options.kills ||
    next > options.kills * CASES_PER_KILL_MAX ||
    (options.stopAtFinding && failedOf(verdicts).length > 0)
  const takeNumber = () => (options.cases === null ? next++ : options.cases[next++])
  const lane = async (name: string) => {
    const broker = await OutsideBroker.start(join(options.workDir, `broker-${name}`))
    try {
      for (let number = takeNumber(); number !== undefined && !isOver(); number = takeNumber()) {
        const scenario = scenarioOf(options.seed, number, options.kinds, options.hits)
        const verdict = await tryOut(options.arena, scenario, join(options.workDir, `case-${number}`), broker)
        verdicts.push(verdict)
        kills += verdict.landed.filter(({ hit }) => hit).length
        options.onVerdict(verdict, kills)
      }
    } finally {
      await broker.close()
    }
  }
  await Promise.all(Array.from({ length: options.lanes }, (_, i) => lane(String(i))))
  return report(verdicts, kills)
}

export function failureText({ scenario, findings }: Verdict): string {
  return [`FAILED ${describe(scenario)}`, ...findings.map(({ oracle, text }) => `  ${oracle}: ${text}`)].join('\n')
}

const failedOf = (verdicts: readonly Verdict[]): Verdict[] => verdicts.filter(({ findings }) => findings.length > 0)

function report(verdicts: readonly Verdict[], kills: number): CampaignReport {
  const rows = new Map<Kind, KindRow>()
  for (const { landed, findings } of verdicts) {
    for (const blow of landed) count(rows, blow, findings.length > 0)
  }
  const starts = verdicts.reduce((sum, verdict) => sum + verdict.starts, 0)
  return { rows, failed: failedOf(verdicts), cases: verdicts.length, kills, starts }
}

function count(rows: Map<Kind, KindRow>, { kind, hit, inRecovery, ahead }: Landed, isFailed: boolean): void {
  const row = rows.get(kind) ?? { aimed: 0, landed: 0, inRecovery: 0, looked: 0, ahead: 0, failures: 0 }
  rows.set(kind, row)
  row.aimed++
  if (isFailed) row.failures++
  if (!hit) return
  row.landed++
  if (inRecovery) row.inRecovery++
  if (ahead === null) return
  row.looked++
  if (ahead > 0) row.ahead++
}

// The deliberate bugs of protocol.md, section 12, and the one of reliability.md, O8: each is a patch of the real files, applied
// to a copy of the project; the simulation of that copy has to find it, or readers of a real node of that copy what only
// they can see. The unpatched copy has to survive the simulation, and does the readers in test/kill/kill.test.ts.
//
//     node test/bugs/run.ts [--kills N] [--only NAME] [--json]
//
// BU1: a bug counts as caught only if an oracle of the patched copy found something; a copy that does not start is an error.
// BU2: a patch that does not apply is an error: it has to be brought up to date with the file that it breaks.
// Rules of the features compiler made wrong, which no kill shows, are in rules.ts.

import { execFile } from 'node:child_process'
import { cp, mkdtemp, readdir, readFile, rm, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { parseArgs, promisify } from 'node:util'
import { hammerReads } from '../kill/reads.ts'
import type { CampaignResult } from '../simulation/campaign.ts'

const PROJECT_DIR = join(import.meta.dirname, '..', '..')
const NOT_COPIED = new Set(['node_modules', '.git', '.holdfast', 'out', 'dist', 'coverage'])
/** Kills within which a bug has to be caught (reliability.md, O6), and those that the unpatched copy has to survive. */
export const KILLS_TO_CATCH = 50
export const KILLS_TO_SURVIVE = 200
/** Bugs that readers of a real node see: the simulation has none. */
export const READERS_SEE: ReadonlySet<string> = new Set(['snapshot-swapped-before-write'])
/** Keys that readers read before a bug counts as missed: every commit under load shows it. */
const READS_TO_CATCH = 50_000
/** Milliseconds; a patched copy may run in circles. */
const RUN_MS_MAX = 240_000
const OUTPUT_BYTES_MAX = 64 * 1024 * 1024

const run = promisify(execFile)

export interface Bug {
  readonly name: string
  /** What is wrong with the copy, in a sentence. */
  readonly what: string
  readonly path: string
}

/** Every patch in a folder. */
export async function bugs(folder: string = import.meta.dirname): Promise<Bug[]> {
  const files = (await readdir(folder)).filter((file) => file.endsWith('.patch')).sort()
  return Promise.all(
    files.map(async (file) => {
      const path = join(folder, file)
      const [what] = (await readFile(path, 'utf8')).split('\n')
      return { name: basename(file, '.patch'), what: what!, path }
    }),
  )
}

/** Runs `work` in a copy of the project with this bug (null: without), and removes the copy. */
export async function withBug<T>(bug: Bug | null, work: (dir: string) => Promise<T>): Promise<T> {
  const dir = await mkdtemp(join(tmpdir(), 'holdfast-bug-'))
  try {
    for (const entry of await readdir(PROJECT_DIR)) {
      if (!NOT_COPIED.has(entry)) await cp(join(PROJECT_DIR, entry), join(dir, entry), { recursive: true })
    }
    await symlink(join(PROJECT_DIR, 'node_modules'), join(dir, 'node_modules'))
    if (bug !== null) await apply(bug, dir)
    return await work(dir)
  } finally {
    await rm(dir, { recursive: true, force: true })
  }
}

/** Throws where a patch does not fit the files as they are (BU2). */
export const fits = (bug: Bug): Promise<void> => apply(bug, PROJECT_DIR, ['--check'])

/** Throws where the patch does not fit exactly (BU2). */
async function apply({ path }: Bug, dir: string, options: readonly string[] = []): Promise<void> {
  // Git must not take the copy for a part of a repository that lies around it: then it would change nothing.
  const env = { ...process.env, GIT_CEILING_DIRECTORIES: dirname(dir) }
  await run('git', ['apply', '--whitespace=nowarn', ...options, path], { cwd: dir, env })
}

export interface Verdict {
  readonly bug: string
  /** The oracles that found something, in the first trial in which one did; empty: nothing was found. */
  readonly caughtBy: readonly string[]
  readonly kills: number
  readonly trials: number
  /** The first finding. */
  readonly what: string
}

/** Runs the simulation of a copy, or readers of it, until something is found, or for so many kills. */
export function judge(bug: Bug | null, killsMax: number): Promise<Verdict> {
  return bug !== null && READERS_SEE.has(bug.name) ? judgeByReaders(bug) : judgeBySimulation(bug, killsMax)
}

function judgeByReaders(bug: Bug): Promise<Verdict> {
  return withBug(bug, async (repo) => {
    const workDir = await mkdtemp(join(tmpdir(), 'holdfast-bug-reads-'))
    const options = { repo, reads: READS_TO_CATCH, kills: 0, seed: 1, workDir, stopAtFinding: true, onKill: () => {} }
    try {
      const { findings, kills } = await hammerReads(options)
      const caughtBy = [...new Set(findings.map(({ oracle }) => oracle))]
      return { bug: bug.name, caughtBy, kills, trials: 1, what: findings[0]?.text ?? '' }
    } finally {
      await rm(workDir, { recursive: true, force: true })
    }
  })
}

function judgeBySimulation(bug: Bug | null, killsMax: number): Promise<Verdict> {
  return withBug(bug, async (dir) => {
    const { kills, trials, failed } = await simulate(dir, killsMax)
    const [first] = failed
    const caughtBy = [...new Set(first?.findings.map(({ oracle }) => oracle))]
    return { bug: bug?.name ?? '(none)', caughtBy, kills, trials, what: first?.findings[0]?.what ?? '' }
  })
}

async function simulate(dir: string, killsMax: number): Promise<CampaignResult> {
  const program = join(dir, 'test', 'simulation', 'run.ts')
  const args = [program, '--stop', '--json', '--kills', String(killsMax)]
  const options = { cwd: dir, timeout: RUN_MS_MAX, maxBuffer: OUTPUT_BYTES_MAX }
  const { stdout } = await run(process.execPath, args, options).catch((error: { code?: unknown; stdout: string }) => {
    // Exit 1 says that something was found; anything else is no answer (BU1).
    if (error.code === 1 && error.stdout.startsWith('{')) return error
    throw error
  })
  return JSON.parse(stdout) as CampaignResult
}

function tableOf(verdicts: readonly Verdict[]): string {
  const rows = [
    ['bug', 'caught by', 'kills', 'trials', 'first finding'],
    ...verdicts.map((v) => [v.bug, v.caughtBy.join(', ') || '-', String(v.kills), String(v.trials), oneLine(v.what)]),
  ]
  const widths = rows[0]!.map((_, i) => Math.max(...rows.map((row) => row[i]!.length)))
  return rows
    .map((row) =>
      row
        .map((cell, i) => cell.padEnd(widths[i]!))
        .join('  ')
        .trimEnd(),
    )
    .join('\n')
}

const SHOWN_CHARACTERS = 90
/** The beginning of a finding. */
export const oneLine = (text: string): string => text.replaceAll(/\s+/g, ' ').slice(0, SHOWN_CHARACTERS)

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      kills: { type: 'string', default: String(KILLS_TO_CATCH) },
      only: { type: 'string' },
      json: { type: 'boolean', default: false },
    },
  })
  const verdicts: Verdict[] = []
  for (const bug of await bugs()) {
    if (values.only === undefined || values.only === bug.name) verdicts.push(await judge(bug, Number(values.kills)))
  }
  const missed = verdicts.filter(({ caughtBy }) => caughtBy.length === 0)
  const clean = values.only === undefined ? await judge(null, KILLS_TO_SURVIVE) : null
  if (clean !== null) verdicts.push(clean)
  console.log(values.json ? JSON.stringify(verdicts) : tableOf(verdicts))
  for (const { bug } of missed) console.error(`not caught: ${bug}`)
  if (missed.length > 0 || (clean !== null && clean.caughtBy.length > 0)) process.exitCode = 1
}

if (import.meta.main) await main()

// npm run test:kill -- [--kills N] [--seed N] [--lines N] [--partitions P] [--only points|random|live|broker|bugs] [--case I] [--lanes N]
// Kills real processes and compares with a run that nobody disturbed. Exit 1 on any difference, with the command that
// repeats the case. What a case is: scenario.ts; how it is judged: trial.ts and twin.ts.

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { compare, DEFAULTS, readInput, recompute } from '../oracle/oracle.ts'
import { type CampaignReport, campaign, failureText } from './campaign.ts'
import { writeInput } from './input.ts'
import { type Hits, type Kind, POINTS, RANDOM_KINDS, TUNINGS } from './scenario.ts'
import { type Arena, undisturbed } from './trial.ts'
import { differences, type Traces } from './twin.ts'

const REPO = resolve(import.meta.dirname, '../..')
const PARTS = ['points', 'random'] as const

interface Options {
  readonly kills: number
  readonly seed: number
  readonly lines: number
  readonly partitions: number
  readonly only: string | undefined
  readonly case: number | null
  readonly lanes: number
}

function parseOptions(): Options {
  const { values } = parseArgs({
    options: {
      kills: { type: 'string', default: '100' },
      seed: { type: 'string', default: '1' },
      lines: { type: 'string', default: '2500' },
      partitions: { type: 'string', default: '2' },
      lanes: { type: 'string', default: '2' },
      only: { type: 'string' },
      case: { type: 'string' },
    },
  })
  const { kills, seed, lines, partitions, lanes } = values
  if (values.only !== undefined && !(PARTS as readonly string[]).includes(values.only))
    throw new Error(`--only is one of ${PARTS.join(', ')}`)
  return {
    kills: wholeNumber('kills', kills),
    seed: wholeNumber('seed', seed),
    lines: wholeNumber('lines', lines),
    partitions: wholeNumber('partitions', partitions),
    lanes: wholeNumber('lanes', lanes),
    only: values.only,
    case: values.case === undefined ? null : wholeNumber('case', values.case),
  }
}

function wholeNumber(name: string, text: string): number {
  if (!/^\d{1,9}$/.test(text)) throw new Error(`--${name} is a whole number, not ${text}`)
  return Number(text)
}

function kindsOf(only: string | undefined): Kind[] {
  if (only === 'points') return [...POINTS]
  if (only === 'random') return [...RANDOM_KINDS]
  return [...POINTS, ...RANDOM_KINDS]
}

async function main(): Promise<number> {
  const options = parseOptions()
  const startedMs = performance.now()
  const workDir = await mkdtemp(join(tmpdir(), 'holdfast-kill-'))
  const { arena, hits } = await prepare(options, workDir)
  const report = await campaign({
    arena,
    seed: options.seed,
    hits,
    kinds: kindsOf(options.only),
    kills: options.case === null ? options.kills : Number.POSITIVE_INFINITY,
    cases: options.case === null ? null : [options.case],
    stopAtFinding: false,
    workDir,
    lanes: options.case === null ? options.lanes : 1,
    onVerdict: (verdict, kills) => {
      if (verdict.findings.length > 0)
        console.log(`${failureText(verdict)}\n  again: ${replayCommand(options, verdict.scenario.number)}`)
      else if (verdict.scenario.number % 10 === 9) console.log(`  ${kills} kills`)
    },
  })
  const seconds = (performance.now() - startedMs) / 1_000
  console.log(table(report, seconds, options))
  const failed = report.failed.length > 0
  if (failed) console.log(`directories of the failed cases: ${workDir}`)
  else await rm(workDir, { recursive: true, force: true })
  return failed ? 1 : 0
}

/** The input, the twins, and the independent oracle's word on them: all tunings leave the same. */
async function prepare(options: Options, workDir: string): Promise<{ arena: Arena; hits: Hits[] }> {
  const { partitions } = options
  const input = join(workDir, 'input.ndjson')
  await writeInput(input, options)
  const hits: Hits[] = []
  let twin: Traces = new Map()
  let ms = 0
  for (const [i, tuning] of TUNINGS.entries()) {
    const run = await undisturbed({ repo: REPO, input, partitions }, tuning, join(workDir, `twin-${i}`))
    const wrong = i === 0 ? compare(recompute(readInput(input), DEFAULTS), run.out) : differences(twin, run.traces)
    if (wrong.length > 0) throw new Error(`an undisturbed run is wrong already: ${wrong.join('; ')}`)
    if (i === 0) twin = run.traces
    hits.push(run.hits)
    ms = Math.max(ms, run.ms)
    console.log(
      `undisturbed, commits of ${tuning.commitRecords}: ${Math.round(run.ms)} ms, passes ${JSON.stringify(run.hits)}`,
    )
  }
  return { arena: { repo: REPO, input, partitions, twin, wholeRun: { ms } }, hits }
}

function replayCommand({ seed, lines, partitions, only }: Options, number: number): string {
  const part = only === undefined ? '' : ` --only ${only}`
  return `npm run test:kill -- --seed ${seed} --lines ${lines} --partitions ${partitions}${part} --case ${number}`
}

function table({ rows, failed, cases, kills, starts }: CampaignReport, seconds: number, { seed }: Options): string {
  const header = ['blow', 'aimed', 'landed', 'in recovery', 'log ahead', 'failures']
  const body = [...rows].map(([kind, row]) => [
    kind,
    row.aimed,
    row.landed,
    row.inRecovery,
    row.looked === 0 ? '' : `${row.ahead} of ${row.looked}`,
    row.failures,
  ])
  const text = [header, ...body].map((cells) =>
    cells
      .map((cell) => String(cell).padEnd(12))
      .join('')
      .trimEnd(),
  )
  return [
    ...text,
    `${kills} kills in ${cases} cases, ${starts} starts, ${failed.length} cases failed, ${seconds.toFixed(0)} s, seed ${seed}`,
  ].join('\n')
}

try {
  process.exitCode = await main()
} catch (error) {
  console.error(`test:kill: ${(error as Error).message}`)
  process.exitCode = 1
}

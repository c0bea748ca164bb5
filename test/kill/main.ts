// npm run test:kill -- [options]: kill tests of real processes, as many as one likes; --help says which parts and options there are
// (options.ts).
//
// Kills real processes and compares with a run that nobody disturbed. Exit 1 on any difference, with the command that
// repeats the case. What a case is: scenario.ts; how it is judged: trial.ts and twin.ts.

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { findNatsServer } from '../../log/nats-server.ts'
import { noticeWrongRules, ruleLine } from '../bugs/rules.ts'
import { catchSimulated, JOINER, LOOP, type Simulated, simulatedLine } from '../bugs/simulated.ts'
import { compareApplication, recomputeApplication } from '../oracle/features.ts'
import { compare, readInput, recompute } from '../oracle/oracle.ts'
import { killBroker, restoreOlderCopies } from './broker.ts'
import { catchBugs } from './bugs.ts'
import { type CampaignReport, campaign, failureText } from './campaign.ts'
import { writeInput } from './input.ts'
import { killOverLatePixels, killOverStress } from './joiner.ts'
import { killLiveNode } from './live.ts'
import { killOverModels } from './models.ts'
import type { OneRunOptions } from './one-run.ts'
import { type Options, type Part, parseOptions } from './options.ts'
import type { ReadCount } from './readers.ts'
import { hammerReads, vacuous } from './reads.ts'
import { type Hits, type Kind, POINTS, RANDOM_KINDS, TUNINGS } from './scenario.ts'
import { type Arena, undisturbed, type Verdict } from './trial.ts'
import { differences, type Traces } from './twin.ts'

const REPO = resolve(import.meta.dirname, '../..')
const FAULTS_SHOWN_MAX = 20

function kindsOf(only: Part | undefined): Kind[] {
  if (only === 'points') return [...POINTS]
  if (only === 'random') return [...RANDOM_KINDS]
  return [...POINTS, ...RANDOM_KINDS]
}

async function main(options: Options): Promise<boolean> {
  const { only } = options
  // Copies of the project have no server of their own to find.
  process.env.NATS_SERVER = await findNatsServer()
  const workDir = await mkdtemp(join(tmpdir(), 'holdfast-kill-'))
  const isGood = await partOf(only)(options, workDir)
  if (isGood) await rm(workDir, { recursive: true, force: true })
  else console.log(`left for a look: ${workDir}`)
  return isGood
}

function partOf(only: Part | undefined): (options: Options, workDir: string) => Promise<boolean> {
  if (only === 'live') return live
  if (only === 'reads') return reads
  if (only === 'joiner') return joiner
  if (only === 'models') return models
  if (only === 'broker') return broker
  if (only === 'rules') return rules
  if (only === 'joiner-bugs') return bugsOf(JOINER)
  if (only === 'loop-bugs') return bugsOf(LOOP)
  if (only === 'bugs' || only === 'all-bugs') return deliberateBugs
  return only === undefined ? runAndNode : killsOfRun
}

/** A live node takes longer to kill than a run, and gets a fifth of the kills. */
async function runAndNode(options: Options, workDir: string): Promise<boolean> {
  const isRunGood = await killsOfRun(options, workDir)
  if (options.case !== undefined) return isRunGood
  return (await live({ ...options, kills: Math.ceil(options.kills / 5) }, workDir)) && isRunGood
}

async function killsOfRun(options: Options, workDir: string): Promise<boolean> {
  const startedMs = performance.now()
  const isReplay = options.case !== undefined
  const report = await campaign({
    ...(await prepare(options, workDir)),
    seed: options.seed,
    kinds: kindsOf(options.only),
    kills: isReplay ? Number.POSITIVE_INFINITY : options.kills,
    cases: isReplay ? [options.case] : null,
    stopAtFinding: false,
    workDir,
    lanes: isReplay ? 1 : options.lanes,
    onVerdict: (verdict, kills) => {
      if (verdict.findings.length > 0)
        console.log(`${failureText(verdict)}\n  again: ${replayCommand(options, verdict)}`)
      else if (verdict.scenario.number % 10 === 9) console.log(`  ${kills} kills`)
    },
  })
  const never = isReplay ? [] : neverHit(report, options)
  for (const kind of never) console.log(`O6: ${kind} was never hit`)
  console.log(tableOf(report))
  const { kills, cases, starts, failed } = report
  const seconds = Math.round((performance.now() - startedMs) / 1_000)
  console.log(
    `${kills} kills in ${cases} cases, ${starts} starts, ${failed.length} failed, ${seconds} s, seed ${options.seed}`,
  )
  return failed.length === 0 && never.length === 0
}

/** O6: with some kills of each kind meant, one that never lands is a test that tests nothing. */
function neverHit({ rows }: CampaignReport, { kills, only }: Options): Kind[] {
  const kinds = kindsOf(only)
  return kills < 4 * kinds.length ? [] : kinds.filter((kind) => (rows.get(kind)?.landed ?? 0) === 0)
}

async function live({ kills, seed, partitions }: Options, workDir: string): Promise<boolean> {
  const onKill = (count: number, published: number) => {
    if (count % 10 === 0) console.log(`  ${count} kills, ${published} events published`)
  }
  const { findings, ...report } = await killLiveNode({ repo: REPO, kills, seed, partitions, workDir, onKill })
  for (const { oracle, text } of findings) console.log(`FAILED ${oracle}: ${text}`)
  console.log(`live: ${JSON.stringify({ ...report, findings: findings.length, seed })}`)
  return findings.length === 0
}

async function reads({ kills, seed, reads }: Options, workDir: string): Promise<boolean> {
  const onKill = (count: number, { keys, requests }: ReadCount) => {
    if (count % 5 === 0) console.log(`  ${count} kills, ${keys} keys read in ${requests} requests`)
  }
  const options = { repo: REPO, reads, kills, seed, workDir, stopAtFinding: false, onKill }
  const { findings, ...report } = await hammerReads(options)
  for (const { oracle, text } of findings) console.log(`FAILED ${oracle}: ${text}`)
  const missing = vacuous({ ...report, findings })
  for (const what of missing) console.log(`O6: nothing of ${what}`)
  console.log(`reads: ${JSON.stringify({ ...report, findings: findings.length, seed })}`)
  return findings.length + missing.length === 0
}

async function joiner(options: Options, workDir: string): Promise<boolean> {
  const given = oneRunOf(options, workDir)
  return sayFaults('joiner', options, [...(await killOverStress(given)), ...(await killOverLatePixels(given))])
}

async function models(options: Options, workDir: string): Promise<boolean> {
  return sayFaults('models', options, await killOverModels(oneRunOf(options, workDir)))
}

function oneRunOf({ events, kills, seed, partitions }: Options, workDir: string): OneRunOptions {
  const otherPartitions = [1, 4, 8].filter((other) => other !== partitions)
  const onLine = (line: string) => console.log(line)
  return { repo: REPO, workDir, events, kills, seed, partitions, otherPartitions, onLine }
}

function sayFaults(part: Part, { events, kills, seed }: Options, faults: readonly string[]): boolean {
  for (const fault of faults.slice(0, FAULTS_SHOWN_MAX)) console.log(`FAILED ${fault}`)
  console.log(`${part}: ${faults.length} faults, ${events} events, ${kills} kills, seed ${seed}`)
  return faults.length === 0
}

async function broker({ kills, seed }: Options): Promise<boolean> {
  const { backMs, ...killed } = await killBroker({ kills, seed })
  const restored = await restoreOlderCopies({ restores: Math.ceil(kills / 3), seed })
  const p50 = backMs.toSorted((a, b) => a - b)[backMs.length >> 1]
  console.log(`broker: ${JSON.stringify({ ...killed, backP50Ms: p50, restored, seed })}`)
  const wrong = killed.lost + killed.duplicated + killed.outOfOrder + killed.readerErrors + restored.handedOut
  return wrong === 0 && restored.halted === restored.restores
}

async function deliberateBugs(options: Options, workDir: string): Promise<boolean> {
  const everywhere = options.only === 'all-bugs'
  const { seed, lanes, bug: only = null } = options
  const prepared = { ...(await prepare(options, workDir)), seed, lanes, workDir }
  const verdicts = await catchBugs(prepared, { only, everywhere }, ({ bug, by, oracle, kills, what }) => {
    const how = oracle === '' ? `NOT CAUGHT in ${kills} kills` : `${oracle} after ${kills} kills`
    console.log(`${bug}: ${how}, ${by}${what === '' ? '' : `: ${what.replaceAll(/\s+/g, ' ').slice(0, 140)}`}`)
  })
  return verdicts.length > 0 && verdicts.every(({ oracle }) => oracle !== '')
}

const bugsOf =
  (simulated: Simulated) =>
  ({ bug, seed }: Options): Promise<boolean> =>
    catchSimulated(simulated, { only: bug ?? null, firstSeed: seed }, (verdict) => console.log(simulatedLine(verdict)))

async function rules({ bug, seed }: Options): Promise<boolean> {
  return noticeWrongRules({ only: bug ?? null, seed }, (verdict) => console.log(ruleLine(verdict)))
}

/** The input, the twins, and the independent oracle's word on them: all tunings leave the same. */
async function prepare(options: Options, workDir: string): Promise<{ arena: Arena; hits: Hits[] }> {
  const { partitions } = options
  const input = join(workDir, 'input.ndjson')
  const features = options.only === 'features' ? 'application' : null
  const place = { repo: REPO, input, partitions, features } as const
  await writeInput(input, { ...options, features })
  const hits: Hits[] = []
  let twin: Traces = new Map()
  let ms = 0
  for (const [i, tuning] of TUNINGS.entries()) {
    const run = await undisturbed(place, tuning, join(workDir, `twin-${i}`))
    const wrong = i === 0 ? judged(place, run.out) : differences(twin, run.traces)
    if (wrong.length > 0) throw new Error(`an undisturbed run is wrong already: ${wrong.join('; ')}`)
    if (i === 0) twin = run.traces
    hits.push(run.hits)
    ms = Math.max(ms, run.ms)
    console.log(
      `undisturbed, commits of ${tuning.commitRecords}: ${Math.round(run.ms)} ms, passes ${JSON.stringify(run.hits)}`,
    )
  }
  return { arena: { ...place, twin, wholeRun: { ms } }, hits }
}

/** What the independent oracle finds. */
function judged({ input, features }: Pick<Arena, 'input' | 'features'>, out: string): string[] {
  const file = readInput(input)
  return features === null ? compare(recompute(file), out) : compareApplication(recomputeApplication(file), out)
}

function replayCommand({ seed, lines, partitions, only }: Options, { scenario }: Verdict): string {
  const part = only === undefined ? '' : ` --only ${only}`
  return `npm run test:kill -- --seed ${seed} --lines ${lines} --partitions ${partitions}${part} --case ${scenario.number}`
}

function tableOf({ rows }: CampaignReport): string {
  const header = ['blow', 'aimed', 'landed', 'in recovery', 'log ahead', 'failures']
  const body = [...rows].map(([kind, row]) => {
    const ahead = row.looked === 0 ? '' : `${row.ahead} of ${row.looked}`
    return [kind, row.aimed, row.landed, row.inRecovery, ahead, row.failures]
  })
  return [header, ...body]
    .map((cells) =>
      cells
        .map((cell) => String(cell).padEnd(12))
        .join('')
        .trimEnd(),
    )
    .join('\n')
}

const options = parseOptions(process.argv.slice(2))
if (typeof options === 'number') process.exitCode = options
else {
  try {
    process.exitCode = (await main(options)) ? 0 : 1
  } catch (error) {
    console.error(`test:kill: ${(error as Error).message}`)
    process.exitCode = 1
  }
}

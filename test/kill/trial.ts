// One scenario carried out: starts of a real `holdfast run` on one data directory until it ends by itself, blows between,
// then the oracles of reliability.md, section 2.

import { existsSync } from 'node:fs'
import { mkdir, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { auditLog, chosenPlan, type PlanChoice } from '../../cli/inspect-commands.ts'
import { isAccountedFor } from '../../cli/run-command.ts'
import type { Summary } from '../../cli/run-results.ts'
import type { Plan } from '../../topology/plan.ts'
import type { OutsideBroker } from './outside-broker.ts'
import { type Ended, HoldfastProcess, killServerOf, leftoversOf } from './process.ts'
import type { Blow, Hits, Kind, Scenario, Tuning } from './scenario.ts'
import { differences, type Traces, tracesOf } from './twin.ts'

/** What the run keeps: null: page views of the last hour. */
export type FeaturesName = 'application' | null

/** What a run is given. */
export interface Place {
  /** The directory of the project whose code runs. */
  readonly repo: string
  readonly input: string
  readonly partitions: number
  readonly features: FeaturesName
  /** A configuration file. */
  readonly config?: string
  /** Room for the log, and milliseconds for one start. Not given: enough for a few thousand events. */
  readonly logBytes?: number
  readonly timeoutMs?: number
}

/** What stays the same over a campaign. */
export interface Arena extends Place {
  readonly twin: Traces
  /** Milliseconds of an undisturbed run under the load of this campaign: a guess that gets better. */
  readonly wholeRun: { ms: number }
}

export interface Landed {
  readonly kind: Kind
  /** Reached, and the process ended by it; false: the run was over before. */
  readonly hit: boolean
  /** It struck a restart. */
  readonly inRecovery: boolean
  /** Destinations that were ahead of the state then; null: nobody looked. */
  readonly ahead: number | null
  /** Versions of a model that were published then and did not hold yet; null: nobody looked. */
  readonly unactivated: number | null
}

export interface Finding {
  /** O1 … O7 of reliability.md. */
  readonly oracle: string
  readonly text: string
}

export interface Verdict {
  readonly scenario: Scenario
  readonly landed: readonly Landed[]
  readonly findings: readonly Finding[]
  readonly starts: number
}

const TIMEOUT_MS = 90_000
/** What `run` says when it was asked to stop. */
const EXIT_INTERRUPTED = 130
const LOG_BYTES = 256 * 1024 * 1024
/** Milliseconds in which bytes that a dead client left in its socket arrive. */
const ARRIVAL_MS = 20

/** Carries a scenario out in `dir`, which is created, and removed if all is well. `broker` serves nobody else meanwhile. */
export async function tryOut(arena: Arena, scenario: Scenario, dir: string, broker: OutsideBroker): Promise<Verdict> {
  await rm(dir, { recursive: true, force: true })
  await mkdir(dir, { recursive: true })
  await broker.clear()
  const trial = new Trial(arena, scenario, dir, scenario.broker === 'outside' ? broker : null)
  const verdict = await trial.run()
  if (verdict.findings.length === 0) await rm(dir, { recursive: true, force: true })
  return verdict
}

/** An undisturbed run: what it leaves, how long it takes, and how often it passes each kill point. */
export async function undisturbed(
  place: Place,
  tuning: Tuning,
  dir: string,
): Promise<{ traces: Traces; ms: number; hits: Hits; out: string; summary: Summary }> {
  await mkdir(dir, { recursive: true })
  const paths = pathsIn(dir)
  const args = runArguments({ ...place, tuning, ...paths, nats: null })
  const env = { HOLDFAST_KILL: 'count', HOLDFAST_KILL_LOG: paths.killLog }
  const { repo, timeoutMs = TIMEOUT_MS } = place
  const { code, stderr, tookMs } = await new HoldfastProcess({ repo, args, env, timeoutMs }).ended
  if (code !== 0) throw new Error(`an undisturbed run ended with code ${code}: ${stderr}`)
  const plan = await chosenPlan(choiceOf(paths.dataDir))
  const traces = await tracesOf(paths.out, paths.dataDir, plan, undefined)
  const hits = hitsIn(await readFile(paths.killLog, 'utf8'))
  return { traces, ms: tookMs, hits, out: paths.out, summary: await summaryIn(paths.out) }
}

/** Of all threads together: each has written a line. */
function hitsIn(killLog: string): Hits {
  const hits: Record<string, number> = {}
  for (const line of killLog.trim().split('\n')) {
    for (const [point, count] of Object.entries(JSON.parse(line) as Hits)) hits[point] = (hits[point] ?? 0) + count
  }
  return hits
}

class Trial {
  readonly #arena: Arena
  readonly #scenario: Scenario
  readonly #paths: ReturnType<typeof pathsIn>
  readonly #broker: OutsideBroker | null
  readonly #landed: Landed[] = []
  readonly #findings: Finding[] = []
  #starts = 0

  constructor(arena: Arena, scenario: Scenario, dir: string, broker: OutsideBroker | null) {
    this.#arena = arena
    this.#scenario = scenario
    this.#paths = pathsIn(dir)
    this.#broker = broker
  }

  async run(): Promise<Verdict> {
    let isDone = false
    for (const blow of this.#scenario.blows) {
      if (isDone || this.#findings.length > 0) break
      isDone = await this.#strike(blow)
    }
    if (!isDone && this.#findings.length === 0) isDone = await this.#finish()
    if (isDone) await this.#judge().catch((error) => this.#find('O1', `cannot be judged: ${error}`))
    return { scenario: this.#scenario, landed: this.#landed, findings: this.#findings, starts: this.#starts }
  }

  /** One start with a blow; true if the run came to its end all the same. */
  async #strike(blow: Blow): Promise<boolean> {
    const inRecovery = this.#starts > 0
    await rm(this.#paths.killLog, { force: true })
    const { process, struck } = this.#startWith(blow)
    const ended = await process.ended
    const atPoint = 'kill' in blow && (await this.#killLog()) === blow.kind
    const inTime = await struck
    const isEnd = this.#isEnd(ended)
    if ('kill' in blow && ended.signal === 'SIGKILL' && !atPoint && !inTime)
      this.#find('O6', `start ${this.#starts} was killed, but not at ${blow.kill}`)
    await this.#noLeftovers()
    const left = await this.#look()
    const ahead = left !== null && atPoint ? await left.broker.ahead(left.plan, this.#paths.dataDir) : null
    const unactivated = left === null ? null : await left.broker.unactivated(left.plan, this.#paths.dataDir)
    const kind = 'kill' in blow && inTime && !atPoint ? 'node' : blow.kind
    this.#landed.push({ kind, hit: atPoint || inTime, inRecovery, ahead, unactivated })
    return isEnd
  }

  #startWith(blow: Blow): { process: HoldfastProcess; struck: Promise<boolean> } {
    const killLog = { HOLDFAST_KILL_LOG: this.#paths.killLog }
    const process = this.#start('kill' in blow ? { ...killLog, HOLDFAST_KILL: blow.kill } : {})
    if (!('kill' in blow)) return { process, struck: this.#strikeLater(process, blow) }
    const { orShare: share } = blow
    const struck = share === undefined ? Promise.resolve(false) : this.#strikeLater(process, { kind: 'node', share })
    return { process, struck }
  }

  async #strikeLater(process: HoldfastProcess, { kind, share }: Exclude<Blow, { kill: string }>): Promise<boolean> {
    const timeUp = sleep(share * this.#arena.wholeRun.ms).then(() => true)
    if (!(await Promise.race([timeUp, process.ended.then(() => false)]))) return false
    const { dataDir } = this.#paths
    if (kind === 'broker') return killServerOf(dataDir)
    process.kill('SIGKILL')
    const hit = kind === 'node' || killServerOf(dataDir)
    return (await process.ended).signal === 'SIGKILL' && hit
  }

  /** O5: the start ended by the blow, or came to the end; anything else is a halt or a hang. */
  #isEnd({ code, signal, stderr, isTimedOut }: Ended): boolean {
    if (isTimedOut) this.#find('O5', `start ${this.#starts} did not end in time: ${stderr}`)
    else if (signal !== 'SIGKILL' && code !== 0 && code !== EXIT_INTERRUPTED) {
      this.#find('O5', `start ${this.#starts} ended with code ${code}, signal ${signal}: ${stderr.trim()}`)
    }
    if (/unhandled|UnhandledPromise/i.test(stderr)) this.#find('O7', stderr.trim())
    return code === 0
  }

  async #finish(): Promise<boolean> {
    const ended = await this.#start({}).ended
    const isEnd = this.#isEnd(ended)
    if (!isEnd && this.#findings.length === 0) this.#find('O5', `the last start ended with code ${ended.code}`)
    await this.#noLeftovers()
    if (isEnd) this.#arena.wholeRun.ms = 0.9 * this.#arena.wholeRun.ms + 0.1 * ended.tookMs
    return isEnd
  }

  async #judge(): Promise<void> {
    const { out, dataDir } = this.#paths
    const summary = await summaryIn(out)
    if (!isAccountedFor(summary)) this.#find('O4', `not accounted for: ${JSON.stringify(summary)}`)
    const choice = choiceOf(dataDir)
    const { faults, rows } = await auditLog(choice, this.#broker?.url, () => {})
    for (const fault of faults) this.#find('O3', fault)
    if (rows.length === 0) this.#find('O6', 'there was nothing to audit')
    const traces = await tracesOf(out, dataDir, await chosenPlan(choice), this.#broker?.url)
    for (const difference of differences(this.#arena.twin, traces)) this.#find('O1', difference)
    await this.#noLeftovers()
  }

  /** What a killed run has left can be looked at in a broker that outlives it; null: it cannot. */
  async #look(): Promise<{ broker: OutsideBroker; plan: Plan } | null> {
    const { dataDir } = this.#paths
    if (this.#broker === null || !existsSync(join(dataDir, 'run.json'))) return null
    await sleep(ARRIVAL_MS)
    return { broker: this.#broker, plan: await chosenPlan(choiceOf(dataDir)) }
  }

  #start(env: Readonly<Record<string, string>>): HoldfastProcess {
    this.#starts++
    const { repo, timeoutMs = TIMEOUT_MS } = this.#arena
    const nats = this.#broker?.url ?? null
    const args = runArguments({ ...this.#arena, tuning: this.#scenario.tuning, ...this.#paths, nats })
    return new HoldfastProcess({ repo, args, env, timeoutMs })
  }

  async #killLog(): Promise<string> {
    return (await readFile(this.#paths.killLog, 'utf8').catch(() => '')).trim()
  }

  async #noLeftovers(): Promise<void> {
    for (const left of await leftoversOf(this.#paths.dataDir)) this.#find('O7', `left behind: ${left}`)
  }

  #find(oracle: string, text: string): void {
    this.#findings.push({ oracle, text })
  }
}

function pathsIn(dir: string) {
  return { dataDir: join(dir, 'data'), out: join(dir, 'out'), killLog: join(dir, 'kill.log') }
}

const choiceOf = (dataDir: string): PlanChoice => ({
  dataDir,
  live: false,
  namespace: undefined,
  partitions: 1,
  config: undefined,
  features: undefined,
  vectors: undefined,
})

async function summaryIn(out: string): Promise<Summary> {
  return JSON.parse(await readFile(join(out, 'summary.json'), 'utf8')) as Summary
}

interface RunArguments extends Place {
  readonly tuning: Tuning
  readonly dataDir: string
  readonly out: string
  readonly nats: string | null
}

function runArguments({
  input,
  partitions,
  features,
  config,
  tuning,
  dataDir,
  out,
  nats,
  logBytes,
}: RunArguments): string[] {
  return [
    ...['run', '--json', '--drain', '--input', input, '--out', out, '--data-dir', dataDir],
    ...['--partitions', String(partitions), '--log-bytes', String(logBytes ?? LOG_BYTES)],
    ...['--commit-records', String(tuning.commitRecords), '--slice-records', String(tuning.sliceRecords)],
    ...(features === null ? [] : ['--features', features]),
    ...(config === undefined ? [] : ['--config', config]),
    ...(nats === null ? [] : ['--nats', nats]),
  ]
}

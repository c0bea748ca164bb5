// One run over one set of events, killed from its beginning to its end: judged undisturbed, then the same bytes after so many
// SIGKILLs of one run on one directory, in every stage, at every point, and at random times; and for other partitions.
// KJ1: blows fall on one run, from its beginning to its end: each start comes some way, so that the last ones find months of state.
// KJ2: that blows missed is a fault as well, where they are more than a few: what was not struck was not tried.
// Sets, and what they must come to: joiner.ts, models.ts.

import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Random } from '../../cli/generate/random.ts'
import { OutsideBroker } from './outside-broker.ts'
import type { Blow, Hits, Point, Scenario, Tuning } from './scenario.ts'
import { type Arena, type Landed, type Place, tryOut, undisturbed } from './trial.ts'
import { differences, type Traces } from './twin.ts'

export interface OneRunOptions {
  readonly repo: string
  readonly workDir: string
  readonly seed: number
  readonly events: number
  readonly kills: number
  /** Of the run that is killed. */
  readonly partitions: number
  /** Of runs that have to say the same. */
  readonly otherPartitions: readonly number[]
  readonly onLine: (line: string) => void
}

/** A set of events, and what is to be done to it. */
export interface Ordeal extends OneRunOptions, Pick<Place, 'config' | 'logBytes' | 'timeoutMs'> {
  readonly name: string
  readonly input: string
  readonly broker: Scenario['broker']
  readonly tuning: Tuning
  /** Whose kill points are struck. */
  readonly stages: readonly string[]
  /** Kill points that are passed seldom, each with its stage, for one blow of four: at the first or second time. */
  readonly aims: readonly Aim[]
  /** What is wrong with the results of the undisturbed run. */
  judge(out: string): Promise<readonly string[]>
}

export interface Aim {
  readonly point: Point
  readonly stage: string
}

/** Points that every stage passes all the time. */
const POINTS = ['K1', 'K2', 'K4', 'K5', 'K6', 'K7'] as const
/** Of the work of a run that all blows together let it do: the rest is done after the last one. */
const PROGRESS_SHARE = 0.5
/** Of the blows: those for which the run was over too soon, and how many that may be where they are few. */
const MISSED_SHARE = 0.2
const MISSED_MIN = 2
/** Of the time of a run with nothing to read: until it reads. The rest is its end. */
const START_OF_EMPTY = 0.7
/** Of the time of a short run, at most: until a start is where it has something to lose. */
const START_SHARE_MAX = 0.2
/** Of the time of a run: how long a blow waits for a point that is passed seldom, before it falls anyhow. By then the machine is busy, or there is none any more. */
const AIM_SHARE = 1
const SECOND_PASS_CHANCE = 1 / 3
/** Of what happens meanwhile in other threads, of RocksDB or of other stages. */
const SPREAD_US: Partial<Record<Point, number>> = { K6: 300, K17: 2_000 }

/** What is wrong, one line each, and what was done. */
export async function ordeal(
  options: Ordeal,
): Promise<{ readonly faults: readonly string[]; readonly landed: readonly Landed[] }> {
  const { name, workDir, partitions, otherPartitions, tuning, onLine } = options
  const say = (text: string) => onLine(`${name}, ${text}`)
  const run = await undisturbed(placeOf(options, partitions), tuning, join(workDir, 'twin'))
  say(`${run.summary.read} events, ${partitions} partitions: ${seconds(run.ms)}`)
  const judged = await options.judge(run.out)
  say(`judged: ${judged.length} differences`)
  const { landed, faults: killFaults } = await killed(options, { ...run, startMs: await startMsOf(options) }, say)
  const faults = [...judged, ...killFaults]
  for (const other of otherPartitions) {
    const { traces, ms } = await undisturbed(placeOf(options, other), tuning, join(workDir, `of-${other}`))
    const found = differences(filesOf(run.traces), traces)
    say(`${other} partitions: ${found.length} files differ, ${seconds(ms)}`)
    faults.push(...found.map((text) => `${other} partitions: ${text}`))
  }
  return { landed, faults: faults.map((text) => `${name}: ${text}`) }
}

/** Milliseconds that a start takes on this machine, and in this hour. */
async function startMsOf(options: Ordeal): Promise<number> {
  const input = join(options.workDir, 'nothing.ndjson')
  await writeFile(input, '')
  const place = { ...placeOf(options, options.partitions), input }
  return START_OF_EMPTY * (await undisturbed(place, options.tuning, join(options.workDir, 'start'))).ms
}

function placeOf({ repo, input, config, logBytes, timeoutMs }: Ordeal, partitions: number): Place {
  return {
    ...{ repo, input, partitions, features: null },
    ...(config !== undefined && { config }),
    ...(logBytes !== undefined && { logBytes }),
    ...(timeoutMs !== undefined && { timeoutMs }),
  }
}

/** KJ1. What is left in files and states is as the twin has it, and the log is audited (trial.ts). */
async function killed(
  options: Ordeal,
  twin: { readonly traces: Traces; readonly hits: Hits; readonly ms: number; readonly startMs: number },
  say: (text: string) => void,
): Promise<{ landed: readonly Landed[]; faults: string[] }> {
  const { workDir, kills, partitions, tuning } = options
  const arena: Arena = { ...placeOf(options, partitions), twin: twin.traces, wholeRun: { ms: twin.ms } }
  const blows = blowsOf(options, twin.hits, Math.min(twin.startMs / twin.ms, START_SHARE_MAX))
  const broker = await OutsideBroker.start(join(workDir, 'broker'))
  try {
    const scenario = { number: 0, tuning, broker: options.broker, blows } as const
    const { landed, findings, starts } = await tryOut(arena, scenario, join(workDir, 'killed'), broker)
    const hit = landed.flatMap((blow, i) => (blow.hit ? placeName(blow, blows[i]!) : []))
    say(`${hit.length} kills in ${starts} starts: ${findings.length} findings; ${hit.join(' ')}`)
    const missed = kills - hit.length
    // KJ2. What goes wrong ends the blows.
    const isTooFew = missed > Math.max(MISSED_MIN, kills * MISSED_SHARE) && findings.length === 0
    const few = isTooFew ? [`${missed} of ${kills} kills have missed`] : []
    return { landed, faults: [...few, ...findings.map(({ oracle, text }) => `${oracle}: ${text}`)] }
  } finally {
    await broker.close()
  }
}

/** Every stage at every point in turn, and between them what is aimed at, and SIGKILL at a random time, as where a stage is through already. */
function blowsOf({ seed, kills, stages, aims }: Ordeal, hits: Hits, startShare: number): Blow[] {
  const random = new Random(seed)
  const places = stages.flatMap((stage) => POINTS.map((point) => ({ stage, point })))
  const shuffled = places.map((place) => ({ place, by: random.next() })).sort((a, b) => a.by - b.by)
  // Twice as much at most as it may be on average.
  const share = () => (2 * PROGRESS_SHARE * random.next()) / kills
  const turns = aims.length === 0 ? (['place', 'place', 'time'] as const) : (['place', 'aim', 'place', 'time'] as const)
  const taken = { place: 0, aim: 0, time: 0 }
  const at = ({ point, stage }: Aim, hit: number, waitShare: number): Blow => {
    const spreadUs = SPREAD_US[point]
    const spread = spreadUs === undefined ? '' : `+${random.below(spreadUs)}`
    return { kind: point, kill: `${point}@${stage}:${hit}${spread}`, orShare: startShare + waitShare }
  }
  return Array.from({ length: kills }, (_, i): Blow => {
    const turn = turns[i % turns.length]!
    const number = taken[turn]++
    if (turn === 'time') return { kind: 'node', share: startShare + share() }
    if (turn === 'aim') return at(aims[number % aims.length]!, random.chance(SECOND_PASS_CHANCE) ? 2 : 1, AIM_SHARE)
    const { place } = shuffled[number % shuffled.length]!
    const hit = Math.max(1, Math.round((hits[`${place.point}@${place.stage}`] ?? 0) * share()))
    return at(place, hit, (2 * PROGRESS_SHARE) / kills)
  })
}

const placeName = ({ kind }: Landed, blow: Blow): string =>
  'kill' in blow && blow.kind === kind ? blow.kill.slice(0, blow.kill.indexOf(':')) : 'any-time'

/** What does not depend on the partitions. */
const filesOf = (traces: Traces): Traces => new Map([...traces].filter(([name]) => !/^(state|commit) of /.test(name)))

const seconds = (ms: number): string => `${Math.round(ms / 1_000)} s`

// The delayed feedback in a simulated node over a file, by seed: undisturbed in one partition; then in one, two or four under faults of
// the log, in other slices and commits, killed anywhere or at one kill point.
//
//     node test/simulation/loop-campaign.ts [--trials N] [--first-seed N] [--stop] [--json]
//
// Exits 1 if something was found. What a trial is held to:
//   held         each score is of the version that held, with the bytes of its file (loop.ts)
//   O1           partitions, slices, faults and kills change no output and no count, and but for partitions no state
//   O5 liveness  the loop goes on to its end
//   halt         no task halts, and every record that was sent to one was taken

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { SimRandom } from '../../log/sim.ts'
import { isRejected, parseEventBytes } from '../../operators/event.ts'
import type { ActiveModel } from '../../operators/model-records.ts'
import type { Plan } from '../../topology/plan.ts'
import { DEFAULT_TUNING, type TaskTuning } from '../../topology/task.ts'
import { Stuck } from './conductor.ts'
import { eventLines } from './events.ts'
import { loopPlan, MODELS, SCORES, type Score, wrongScores } from './loop.ts'
import { KILL_POINTS } from './ordeal.ts'
import { SMALL_COMMITS, type SubjectWithTwin } from './subjects.ts'
import { type Subject, twinOf } from './task-world.ts'
import { ANONYMOUS, LATENESS_MS } from './topologies.ts'
import { recordTopology, runTopology, type TopologyOutcome } from './topology-run.ts'
import { messageOf, runTrials } from './trials.ts'

export interface LoopFinding {
  readonly oracle: 'held' | 'O1' | 'O5 liveness' | 'halt'
  readonly what: string
}

export interface LoopTrial {
  readonly seed: number
  readonly kills: number
  /** Versions that scored something. */
  readonly versions: number
  /** Scores of what was held when the input had ended. */
  readonly atTheEnd: number
  readonly findings: readonly LoopFinding[]
}

const LINES = 400
const KILLS = 4
const CHAOS = { publishLate: 0.01, publishLost: 0.01, ackLost: 0.02, cut: 0.001, readerReset: 0.01 }
/** Where the nodes of a trial are killed; null: anywhere. K16 is between a version's file and the record that names it. */
const KILLED_AT = [null, 'K16', 'K2', 'K4', 'K5', 'K6', 'K7'] as const

/** One file, by its seed. */
export async function loopTrial(seed: number): Promise<LoopTrial> {
  const dir = mkdtempSync(join(tmpdir(), 'holdfast-loop-'))
  const findings: LoopFinding[] = []
  const found = (oracle: LoopFinding['oracle'], whats: readonly string[]) =>
    findings.push(...whats.slice(0, 1).map((what) => ({ oracle, what })))
  let [kills, versions, atTheEnd] = [0, 0, 0]
  try {
    const lines = eventLines(seed, LINES)
    const path = join(dir, 'events.ndjson')
    writeFileSync(path, `${lines.join('\n')}\n`)
    const undisturbed = { path, seed, tuning: DEFAULT_TUNING, chaos: {}, kills: 0 }
    const calm = await runTopology({ ...undisturbed, plan: loopPlan(1) })
    const scores = calm.outputs[SCORES]!.map((record) => JSON.parse(record) as Score)
    const endMs = lastWatermark(lines)
    found('held', wrongScores(scores, modelsOf(calm), endMs))
    versions = new Set(scores.map(([, , version]) => version)).size
    atTheEnd = scores.filter(([at]) => at > endMs).length
    const random = new SimRandom(seed)
    const plan = loopPlan([1, 2, 4][random.below(3)]!)
    const twin = await runTopology({ ...undisturbed, plan })
    const killAt = KILLED_AT[random.below(KILLED_AT.length)]!
    const wild = await runTopology({
      plan,
      path,
      seed,
      tuning: drawnTuning(random),
      chaos: CHAOS,
      kills: KILLS,
      killAt,
    })
    kills = wild.kills
    found('O1', [...differences(publishedBy(calm), publishedBy(twin)), ...differences(allOf(twin), allOf(wild))])
  } catch (error) {
    found(error instanceof Stuck ? 'O5 liveness' : 'halt', [messageOf(error)])
  } finally {
    rmSync(dir, { recursive: true, force: true })
  }
  return { seed, kills, versions, atTheEnd, findings }
}

/** The tasks of the stages that score and that learn, each with what it read in a whole run, for ordeals. */
export async function loopSubjects(seed: number): Promise<SubjectWithTwin[]> {
  const dir = mkdtempSync(join(tmpdir(), 'holdfast-loop-'))
  try {
    const path = join(dir, 'events.ndjson')
    writeFileSync(path, `${eventLines(seed, LINES).join('\n')}\n`)
    return await recordedSubjects(loopPlan(2), { path, seed, stages: ['score', 'learn'] })
  } finally {
    rmSync(dir, { recursive: true, force: true })
  }
}

/** The tasks of some stages of a plan with a feedback, each with what it reads in a whole run over a file. */
export async function recordedSubjects(
  plan: Plan,
  { path, seed, stages }: { readonly path: string; readonly seed: number; readonly stages: readonly string[] },
): Promise<SubjectWithTwin[]> {
  const { inputs, blobs } = await recordTopology({
    ...{ plan, path, seed, chaos: {}, kills: 0 },
    tuning: SMALL_COMMITS,
  })
  const subjects: SubjectWithTwin[] = []
  for (const stage of plan.stages.filter(({ name }) => stages.includes(name)))
    for (const [partition, input] of inputs.get(stage.name)!.entries()) {
      const subject: Subject = { plan, stage, partition, input, ...(stage.feedback !== null ? { blobs } : {}) }
      const { world, ...twin } = await twinOf(subject, SMALL_COMMITS)
      const keeps = [...twin.outputs.values()].some((records) => records.some((text) => text.includes('sha256')))
      const killPoints = keeps ? [...KILL_POINTS, 'K16'] : KILL_POINTS
      subjects.push({ ...subject, killPoints, name: `${world.writer} input ${seed}`, twin })
    }
  return subjects
}

function drawnTuning(random: SimRandom): TaskTuning {
  const pick = <T>(items: readonly T[]): T => items[random.below(items.length)]!
  const sizes = { sliceMax: pick([1, 7, 128]), commitRecordsMax: pick([1, 9, 100, 20_000]) }
  return { ...DEFAULT_TUNING, ...sizes, lingerMs: pick([0, 5, 50]), heartbeatMs: pick([1, 250]) }
}

/** Of the reader of the file, when it has read it. */
function lastWatermark(lines: readonly string[]): number {
  const times = lines.flatMap((line) => {
    const event = parseEventBytes(Buffer.from(line), { anonymous: ANONYMOUS })
    return isRejected(event) ? [] : [event.time]
  })
  return Math.max(...times) - LATENESS_MS - 1
}

const modelsOf = ({ outputs }: TopologyOutcome): ActiveModel[] =>
  outputs[MODELS]!.map((record) => JSON.parse(record) as ActiveModel).sort((a, b) => a.version - b.version)

type Parts = Readonly<Record<string, readonly string[]>>

const publishedBy = ({ outputs, counts }: TopologyOutcome): Parts => ({
  ...Object.fromEntries([SCORES, MODELS].map((name) => [name, outputs[name]!.toSorted()])),
  counts: Object.entries(counts).map(String).sort(),
})

const allOf = (outcome: TopologyOutcome): Parts => ({
  ...publishedBy(outcome),
  ...Object.fromEntries(Object.entries(outcome.dumps).map(([stage, lines]) => [`state of ${stage}`, lines])),
})

/** The first line of each part that is another one. */
function differences(before: Parts, after: Parts): string[] {
  return Object.entries(before).flatMap(([name, lines]) => {
    const others = after[name]!
    const at = Array.from({ length: Math.max(lines.length, others.length) }).findIndex((_, i) => lines[i] !== others[i])
    return at < 0 ? [] : [`${name}: ${lines[at] ?? 'nothing'} became ${others[at] ?? 'nothing'}`]
  })
}

if (import.meta.main) await runTrials(loopTrial)

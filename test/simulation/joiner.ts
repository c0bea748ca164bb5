// The joiner in a simulated node over a file that is hard for it (test/generate/joiner-stress.ts), by seed: undisturbed in one
// partition and in several, then in these under faults of the log, killed anywhere, with what the dead have sent arriving late.
//
//     node test/simulation/joiner.ts [--trials N] [--first-seed N] [--stop] [--json]
//
// Exits 1 if something was found. What a trial is held to:
// Every second one has what late touches missed said anew.
//   oracle  the lines of attributions.ndjson and labels.ndjson, and the counts, are those of test/oracle
//   law     label rows obey conservation (operators/label-counts.ts)
//   O1      partitions change no output and no count; faults and kills no state either
//   halt    no task halts

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { SimRandom } from '../../log/sim.ts'
import { ATTRIBUTION_DEFAULT, type AttributionSettings } from '../../operators/attribution-settings.ts'
import { conservation } from '../../operators/label-counts.ts'
import type { AttributionRecord, LabelRecord } from '../../operators/touch.ts'
import { attributionLine, labelLines } from '../../sinks/joined-lines.ts'
import { canonicalLine } from '../../sinks/run-directory.ts'
import { type GraphOptions, pageViewGraph } from '../../topology/graph.ts'
import type { Plan } from '../../topology/plan.ts'
import { DEFAULT_TUNING, type TaskTuning } from '../../topology/task.ts'
import { JOINER_STRESS_DEFAULTS, joinerStress } from '../generate/joiner-stress.ts'
import { DEFAULTS, type Expected, recompute, writeExpected } from '../oracle/oracle.ts'
import { ANONYMOUS, NAMESPACE } from './topologies.ts'
import { runTopology, type TopologyOutcome } from './topology-run.ts'
import { messageOf, runTrials } from './trials.ts'

export interface JoinerFinding {
  readonly oracle: 'oracle' | 'law' | 'O1' | 'halt'
  readonly what: string
}

export interface JoinerTrial {
  readonly seed: number
  readonly kills: number
  readonly attributions: number
  readonly labels: number
  readonly findings: readonly JoinerFinding[]
}

const EVENTS = 700
const KILLS = 4
const CHAOS = { publishLate: 0.01, publishLost: 0.01, ackLost: 0.02, cut: 0.001, readerReset: 0.01 }
const { latenessMs } = JOINER_STRESS_DEFAULTS
const GRAPH: Omit<GraphOptions, 'partitions' | 'attribution'> = {
  ...{ namespace: NAMESPACE, name: 'joiner', latenessMs, anonymous: ANONYMOUS },
  ...{ clock: 'data', accepted: 'off' },
}

/** One file, by its seed. */
export async function joinerTrial(seed: number): Promise<JoinerTrial> {
  const dir = mkdtempSync(join(tmpdir(), 'holdfast-joiner-'))
  const findings: JoinerFinding[] = []
  const found = (oracle: JoinerFinding['oracle'], whats: readonly string[]) =>
    findings.push(...whats.slice(0, 1).map((what) => ({ oracle, what })))
  let [kills, attributions, labels] = [0, 0, 0]
  try {
    const path = join(dir, 'events.ndjson')
    const file = Buffer.concat([...joinerStress({ events: EVENTS, seed, latenessMs }).lines])
    writeFileSync(path, file)
    const attribution: AttributionSettings = {
      ...ATTRIBUTION_DEFAULT,
      lateTouches: seed % 2 === 0 ? 'count' : 'revise',
    }
    const planOf = (partitions: number): Plan => pageViewGraph({ ...GRAPH, partitions, attribution })
    const expected = recompute(file, { ...DEFAULTS, anonymous: ANONYMOUS, latenessMs, attribution })
    const run = { path, seed }
    const calm = await runTopology({ ...run, plan: planOf(1), tuning: DEFAULT_TUNING, chaos: {}, kills: 0 })
    const lines = linesOf(calm, expected)
    ;[attributions, labels] = [lines.attributions.length, lines.labels.length]
    found('oracle', differencesTo(expected, lines, calm.counts, dir))
    found('law', brokenLanes(calm.counts))
    const random = new SimRandom(seed)
    const partitions = [2, 3, 4, 8][random.below(4)]!
    const tuning = drawnTuning(random)
    const plan = planOf(partitions)
    const twin = await runTopology({ ...run, plan, tuning: DEFAULT_TUNING, chaos: {}, kills: 0 })
    const wild = await runTopology({ ...run, plan, tuning, chaos: CHAOS, kills: KILLS })
    kills = wild.kills
    found('O1', [...changes(calm, twin), ...changes(twin, wild), ...stateChanges(twin, wild)])
  } catch (error) {
    found('halt', [messageOf(error)])
  } finally {
    rmSync(dir, { recursive: true, force: true })
  }
  return { seed, kills, attributions, labels, findings }
}

function drawnTuning(random: SimRandom): TaskTuning {
  const pick = <T>(items: readonly T[]): T => items[random.below(items.length)]!
  const sizes = { sliceMax: pick([1, 7, 128]), commitRecordsMax: pick([5, 40, 300]) }
  return { ...DEFAULT_TUNING, ...sizes, lingerMs: pick([0, 5, 50]) }
}

interface Lines {
  readonly attributions: readonly string[]
  readonly labels: readonly string[]
}

/** As `run` writes them. */
function linesOf({ outputs }: TopologyOutcome, { summary }: Expected): Lines {
  const asOf = summary.as_of!
  const attributions = outputs.attributions!.map((text) =>
    canonicalLine(attributionLine(JSON.parse(text) as AttributionRecord)),
  )
  const labels = outputs.labels!.flatMap((text) =>
    labelLines(JSON.parse(text) as LabelRecord, asOf, ATTRIBUTION_DEFAULT).map(canonicalLine),
  )
  return { attributions, labels }
}

function differencesTo(expected: Expected, lines: Lines, counts: TopologyOutcome['counts'], dir: string): string[] {
  writeExpected(expected, dir)
  const linesIn = (name: string) => readFileSync(join(dir, name), 'utf8').split('\n').slice(0, -1)
  const sumOf = (name: string) =>
    Object.entries(counts).reduce((sum, [of, count]) => sum + (of.endsWith(` ${name}`) ? count : 0), 0)
  const { read, accepted, duplicates, dead_letters, late, refund_unmatched = 0, late_touch = 0 } = expected.summary
  const asked = { read, accepted, duplicates, dead_letters, late, refund_unmatched, late_touch }
  return [
    ...difference('attributions.ndjson', linesIn('attributions.ndjson'), lines.attributions),
    ...difference('labels.ndjson', linesIn('labels.ndjson'), lines.labels),
    ...Object.entries(asked).flatMap(([name, count]) =>
      sumOf(name) === count ? [] : [`${name}: ${sumOf(name)}, and not ${count}`],
    ),
  ]
}

/** The first line of each side that the other lacks; none where both have the same, each as often. */
function difference(name: string, expected: readonly string[], found: readonly string[]): string[] {
  const [a, b] = [expected, found].map((lines) => lines.toSorted())
  const at = Array.from({ length: Math.max(a!.length, b!.length) }).findIndex((_, i) => a![i] !== b![i])
  return at < 0 ? [] : [`${name}: expected ${a![at] ?? 'nothing'}, found ${b![at] ?? 'nothing'}`]
}

/** Of all tasks of the stage of attribution together. */
function brokenLanes(counts: TopologyOutcome['counts']): string[] {
  const own = Object.entries(counts).flatMap(([name, count]) => {
    const [stage, counter] = name.split(/ (.*)/)
    return stage === 'user-2' ? [[counter!, count] as const] : []
  })
  return conservation(Object.fromEntries(own), ATTRIBUTION_DEFAULT).flatMap(({ holds, ...lane }) =>
    holds ? [] : [JSON.stringify(lane)],
  )
}

function changes(before: TopologyOutcome, after: TopologyOutcome): string[] {
  return [
    ...['attributions', 'labels'].flatMap((name) => difference(name, before.outputs[name]!, after.outputs[name]!)),
    ...difference('counts', countsOf(before), countsOf(after)),
  ]
}

const countsOf = ({ counts }: TopologyOutcome): string[] => Object.entries(counts).map(String)

const stateChanges = ({ dumps: before }: TopologyOutcome, { dumps: after }: TopologyOutcome): string[] =>
  Object.keys(before).flatMap((stage) => difference(`state of ${stage}`, before[stage]!, after[stage]!))

if (import.meta.main) await runTrials(joinerTrial)

// A nasty file for the joiner: whatever contract.md, sections 2, 4 and 5, makes a difference of, often, over 56 days.
//
//     node test/generate/joiner-stress.ts --events 1000000 --seed 1 --out FILE[.gz] [--lateness-ms N]
//
// Prints how often each scenario happened. The same options give the same bytes.
//
// 1. Most of it happens in 20 days; in the 36 days after, every window of those ends and every hold goes.
// Not here: what happens (joiner-scenarios.ts); nasty lines (stress.ts).

import { Random } from '../../cli/generate/random.ts'
import { generate } from './command.ts'
import { JoinerScenarios } from './joiner-scenarios.ts'
import { type Phase, Timeline } from './timeline.ts'

export interface JoinerStressOptions {
  readonly events: number
  readonly seed: number
  /** The lateness that the file is to be read with: where the edge between late and not late lies. */
  readonly latenessMs: number
}

export const JOINER_STRESS_DEFAULTS: JoinerStressOptions = { events: 20_000, seed: 1, latenessMs: 600_000 }

const START_MS = 1_740_268_800_000
const DAY_MS = 86_400_000
const BUSY_MS = 20 * DAY_MS
const SPAN_MS = 56 * DAY_MS
const BUSY_SHARE = 0.9
/** A person of the crowd has some ten events: enough for one scenario to meet another. */
const EVENTS_PER_USER = 10

/** The lines of a file, and how often each scenario is in it once all were taken. */
export function joinerStress({ events, seed, latenessMs }: JoinerStressOptions): {
  lines: Generator<Buffer>
  counts: ReadonlyMap<string, number>
} {
  const random = new Random(seed)
  const timeline = new Timeline(random, START_MS)
  const endMs = START_MS + SPAN_MS
  const users = Math.max(20, Math.floor(events / EVENTS_PER_USER))
  const scenarios = new JoinerScenarios(random, timeline, { latenessMs, users, endMs })
  const phases: Phase[] = [
    { untilLine: Math.floor(events * BUSY_SHARE), untilMs: START_MS + BUSY_MS },
    { untilLine: events, untilMs: endMs },
  ]
  return { lines: timeline.lines(phases, () => scenarios.happen()), counts: scenarios.counts }
}

function* countedLines(options: JoinerStressOptions): Generator<Buffer> {
  const { lines, counts } = joinerStress(options)
  yield* lines
  for (const [name, count] of [...counts].sort()) console.log(`${count}\t${name}`)
}

if (import.meta.main) await generate('joiner-stress', JOINER_STRESS_DEFAULTS, countedLines)

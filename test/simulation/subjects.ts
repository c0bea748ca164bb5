// The tasks that ordeals are about: every stage of the simulated topology, in both clocks, on several inputs, each with its
// twin. Made once per process: the twin of one stage writes the input of the next.

import { Random } from '../../cli/generate/random.ts'
import type { LogMessage } from '../../log/log.ts'
import { type ClockMode, exchangeDestination, type Plan } from '../../topology/plan.ts'
import { DEFAULT_TUNING } from '../../topology/task.ts'
import { EVENTS_START_MS, eventLines } from './events.ts'
import { type InputMessage, inputOf } from './input.ts'
import type { Mood } from './operators.ts'
import type { Outcome } from './oracles.ts'
import { type Subject, type TaskWorld, twinOf } from './task-world.ts'
import { simPlan } from './topologies.ts'

export interface SubjectWithTwin extends Subject {
  readonly name: string
  readonly twin: Outcome
}

const LINES = 260
const PARTITIONS = 2
/** Small commits, so that the next stage gets many frames. */
export const SMALL_COMMITS = { ...DEFAULT_TUNING, sliceMax: 7, commitRecordsMax: 9 }

export interface SubjectOptions {
  readonly clock: ClockMode
  readonly seed: number
  readonly lines?: number
  readonly partitions?: number
  readonly mood?: Mood
}

/** Every task of one topology over one input, in the order of its stages. */
export async function subjectsOf(options: SubjectOptions): Promise<SubjectWithTwin[]> {
  const { clock, seed, lines = LINES, partitions = PARTITIONS, mood } = options
  const plan = simPlan({ clock, partitions, scope: 'task', ...(mood === undefined ? {} : { mood }) })
  let inputs = inputOf(plan, eventLines(seed, lines), seed)
  const subjects: SubjectWithTwin[] = []
  for (const stage of plan.stages) {
    const worlds: TaskWorld[] = []
    for (let partition = 0; partition < plan.partitions; partition++) {
      const subject: Subject = { plan, stage, partition, input: inputs[partition]! }
      const { world, ...twin } = await twinOf(subject, SMALL_COMMITS)
      worlds.push(world)
      subjects.push({ ...subject, name: `${clock} ${world.writer} input ${seed}`, twin })
    }
    const next = stage.exchanges[0]?.stage
    if (next !== undefined) inputs = nextInputs(plan, next, worlds, seed)
  }
  return subjects
}

/** The streams of the next stage: what its writers wrote, each in its order, the writers shuffled. */
function nextInputs(plan: Plan, stage: string, worlds: readonly TaskWorld[], seed: number): InputMessage[][] {
  const random = new Random(seed)
  return Array.from({ length: plan.partitions }, (_, partition) => {
    const lanes = worlds.map((world) => {
      const destination = exchangeDestination(plan, stage, partition, world.writer)
      return world.archived(destination).filter(({ subject }) => subject === destination.subject)
    })
    return shuffled(lanes, random)
  })
}

function shuffled(lanes: readonly LogMessage[][], random: Random): InputMessage[] {
  const messages: InputMessage[] = []
  const left = lanes.map((lane) => [...lane])
  for (;;) {
    const open = left.filter((lane) => lane.length > 0)
    if (open.length === 0) return messages
    const { subject, headers, payload } = random.pick(open).shift()!
    const timeNs = BigInt(EVENTS_START_MS + messages.length) * 1_000_000n
    messages.push({ subject, headers, payload, timeNs })
  }
}

// Damage to the log that a task must notice: it halts with the code that says what happened, and until then has published
// nothing but what its twin did. The other half of the promise, no false alarm, is ordeal.ts's.
// The task is brought to a place in the middle of its input, its log is damaged, and it goes on.

import type { ErrorCode } from '../../log/errors.ts'
import { HoldfastError } from '../../log/errors.ts'
import { FILE_WRITER, stageSubject } from '../../topology/plan.ts'
import { DEFAULT_TUNING } from '../../topology/task.ts'
import { Stuck } from './conductor.ts'
import type { Mood } from './operators.ts'
import type { Finding } from './oracles.ts'
import type { OrdealResult } from './ordeal.ts'
import type { SimProcess } from './process.ts'
import type { SubjectWithTwin } from './subjects.ts'
import { TaskWorld } from './task-world.ts'

interface Damage {
  readonly name: string
  readonly code: ErrorCode
  /** `running`: under the connected task. `down`: between a kill and the next start. */
  readonly to: 'running' | 'down'
  /** Whether the destinations are as the task left them, so that they can be compared. */
  readonly outputsIntact: boolean
  strike(world: TaskWorld): void
}

/** Logical milliseconds. */
const COMMIT_MS = 600
const NOTICE_MS = 60_000

/** Messages at the end of a stream that are lost: the last one is always applied. */
const someTail = (world: TaskWorld): number => 1 + world.random.below(Math.min(4, world.fed - 1))

const inputDamages: readonly Omit<Damage, 'to'>[] = [
  {
    name: 'input loses its tail',
    code: 'LOG_WENT_BACK',
    outputsIntact: true,
    strike: (world) => world.server.loseTail(world.inputStream, someTail(world)),
  },
  {
    name: 'input loses its tail and grows past it again',
    code: 'LOG_WENT_BACK',
    outputsIntact: true,
    strike: (world) => {
      const lost = someTail(world)
      world.server.loseTail(world.inputStream, lost)
      world.feed(lost + 1)
    },
  },
  {
    name: 'input is created anew and filled again',
    code: 'LOG_WENT_BACK',
    outputsIntact: true,
    strike: (world) => {
      world.server.recreate(world.inputStream)
      world.feedAgain()
    },
  },
  {
    name: 'the last applied message is another one',
    code: 'LOG_WENT_BACK',
    outputsIntact: true,
    strike: (world) => world.server.overwrite(world.inputStream, world.fed, Buffer.from('[]')),
  },
  {
    name: 'a stranger writes to the input on a subject of his own',
    code: 'FOREIGN_WRITE',
    outputsIntact: true,
    strike: (world) => void world.server.foreignWrite(inputSubject(world, 'stranger'), Buffer.from('[]')),
  },
  {
    name: 'input is trimmed past the position',
    code: 'GAP',
    outputsIntact: true,
    strike: (world) => {
      world.feed(2)
      world.server.dropFirst(world.inputStream, world.fed - 1)
    },
  },
]

const numberedInputDamages: readonly Omit<Damage, 'to'>[] = [
  {
    name: 'a stranger writes to the input in the name of a writer',
    code: 'FOREIGN_WRITE',
    outputsIntact: true,
    strike: (world) => {
      const [writer] = world.subject.stage.writers
      world.server.foreignWrite(inputSubject(world, writer ?? FILE_WRITER), Buffer.from('[]'))
    },
  },
]

const destinationDamages: readonly Omit<Damage, 'to'>[] = [
  {
    name: 'a destination loses its tail',
    code: 'LOG_WENT_BACK',
    outputsIntact: false,
    strike: (world) => world.server.loseTail(busiest(world).stream, 1),
  },
  {
    name: 'a stranger writes to a destination in the name of the task',
    code: 'FOREIGN_WRITE',
    outputsIntact: false,
    strike: (world) => void world.server.foreignWrite(busiest(world).subject, Buffer.from('[]')),
  },
  {
    name: 'a destination is trimmed past the last frame',
    code: 'RECOVERY_POINT_GONE',
    outputsIntact: false,
    strike: (world) => {
      const { stream } = busiest(world)
      const { firstSeq, lastSeq } = world.server.stream(stream)!.state
      world.server.dropFirst(stream, lastSeq - firstSeq + 1)
    },
  },
  {
    name: 'a destination is created anew',
    code: 'LOG_WENT_BACK',
    outputsIntact: false,
    strike: (world) => world.server.recreate(busiest(world).stream),
  },
]

const both = (damage: Omit<Damage, 'to'>): Damage[] => [
  { ...damage, to: 'running' },
  { ...damage, to: 'down' },
]

/** What can be done to this task's log. */
function damagesFor(subject: SubjectWithTwin): Damage[] {
  const numbered = subject.stage.writers.length > 0 ? numberedInputDamages : []
  const destinations = subject.twin.outputs.size > 0 ? destinationDamages : []
  return [...inputDamages, ...numbered, ...destinations].flatMap(both)
}

/** One kind of damage, drawn by the seed. */
export async function damaged(seed: number, subject: SubjectWithTwin): Promise<OrdealResult> {
  const damages = damagesFor(subject)
  const damage = damages[seed % damages.length]!
  const trial = new Trial(seed, subject, damage)
  const findings = await trial.run()
  const name = `${subject.name}, ${damage.to}: ${damage.name}`
  const { world, kills, fired } = trial
  return { seed, subject: name, findings, kills, fired, history: [name], trace: world.server.scheduler.trace }
}

class Trial {
  readonly world: TaskWorld
  readonly #damage: Damage
  readonly #subject: SubjectWithTwin
  readonly #findings: Finding[] = []
  kills = 0

  constructor(seed: number, subject: SubjectWithTwin, damage: Damage) {
    this.#subject = subject
    this.#damage = damage
    this.world = new TaskWorld({ seed, subject, tuning: { ...DEFAULT_TUNING, sliceMax: 7, commitRecordsMax: 9 } })
  }

  get fired(): Record<string, number> {
    return { ...this.world.fired, [`damage ${this.#damage.code}`]: 1 }
  }

  async run(): Promise<Finding[]> {
    try {
      await this.world.play(() => this.#script())
    } catch (error) {
      if (!(error instanceof Stuck)) throw error
      this.#findings.push({ oracle: 'O5 liveness', what: error.message })
    }
    return this.#findings
  }

  async #script(): Promise<void> {
    const { world } = this
    const { input } = this.#subject
    // In the second quarter: records have been published everywhere, and as many are to come.
    world.feed(Math.floor(input.length / 4) + world.random.below(Math.ceil(input.length / 4)))
    let process = world.start(world.disks[0])
    await world.when(() => process.end !== null || world.hasApplied(process, world.fed))
    await world.sleep(COMMIT_MS)
    world.collect()
    if (this.#damage.to === 'down') {
      this.kills++
      process.kill()
      await world.sleep(1)
      this.#damage.strike(world)
      world.disks[0].crash(0)
      process = world.start(world.disks[0])
    } else this.#damage.strike(world)
    void world.feedSlowly()
    const deadline = world.server.scheduler.nowMs + NOTICE_MS
    await world.when(() => process.end !== null || world.server.scheduler.nowMs > deadline)
    this.#judge(process)
    if (process.end === null) process.kill()
  }

  #judge({ end, task }: SimProcess): void {
    const { code, outputsIntact } = this.#damage
    const error = end?.kind === 'halted' ? end.error : null
    if (!(error instanceof HoldfastError && error.code === code)) {
      const instead = error ?? `it is ${task.status().phase} at ${task.status().seq}`
      this.#findings.push({ oracle: 'halts', what: `should have halted with ${code}: ${instead}` })
    }
    if (!outputsIntact) return
    for (const [subject, records] of this.world.outputs((finding) => this.#findings.push(finding))) {
      const expected = this.#subject.twin.outputs.get(subject)!
      const wrong = records.findIndex((record, i) => record !== expected[i])
      if (wrong === -1) continue
      this.#findings.push({ oracle: 'O1 twin', what: `${subject}: record ${wrong + 1} is ${records[wrong]}` })
    }
  }
}

function inputSubject(world: TaskWorld, writer: string): string {
  const { plan, stage, partition } = world.subject
  return stageSubject(plan.namespace, stage.name, partition, writer)
}

/** The destination in frames with the most records to come: a task that has nothing to say there need not notice. */
function busiest(world: TaskWorld) {
  const frames = world.destinations.filter(({ mode }) => mode === 'frames')
  const published = (stream: string) => world.server.stream(stream)!.lastSeq
  return frames.reduce((a, b) => (published(b.stream) > published(a.stream) ? b : a))
}

/**
 * An operator that is not a pure function of its log: killed after it published and before it committed, it computes
 * something else. What was published must stand, and the task must halt as DIVERGED.
 */
export async function diverging(seed: number, subject: SubjectWithTwin, mood: Mood): Promise<OrdealResult> {
  const findings: Finding[] = []
  let process: SimProcess | null = null
  mood.changed = false
  const world = new TaskWorld({
    seed,
    subject,
    tuning: { ...DEFAULT_TUNING, sliceMax: 7, commitRecordsMax: 9 },
    onKillPoint: (name, each) => {
      if (name !== 'K5' || each !== process || ++hits < 3) return
      each.kill()
    },
  })
  let hits = 0
  await world.play(async () => {
    void world.feedSlowly()
    process = world.start(world.disks[0])
    await world.when(() => process!.killed)
    await world.sleep(1)
    // All that was committed is taken back, so that what is computed anew reaches what is published.
    world.disks[0].crash(2)
    mood.changed = true
    const second = world.start(world.disks[0])
    await world.when(() => second.end !== null || world.isThrough(second))
    const error = second.end?.kind === 'halted' ? second.end.error : null
    if (!(error instanceof HoldfastError && error.code === 'DIVERGED')) {
      findings.push({ oracle: 'halts', what: `should have halted with DIVERGED: ${error}` })
    }
    if (second.end === null) second.kill()
  })
  mood.changed = false
  const fired = { ...world.fired, 'damage DIVERGED': 1 }
  const name = `${subject.name}: an operator that changes its mind`
  return { seed, subject: name, findings, kills: 1, fired, history: [name], trace: world.server.scheduler.trace }
}

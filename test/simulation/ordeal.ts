// An ordeal: one task through a sequence of faults drawn by a seed, then the oracles.
// OR1: whatever happens, what is published and what is committed equals the twin's, byte for byte; no process halts but
//      those that must (a zombie, one of two owners, one whose disk refuses), and those do.
// OR2: the same seed gives the same ordeal. `trace` is its fingerprint.
// Damage to the log, for which a task has to halt, is in damage.ts.

import { HoldfastError } from '../../log/errors.ts'
import type { Chaos, FaultKind } from '../../log/fake-log.ts'
import { FRAME_HEADER, parseFrameHeader } from '../../log/frame.ts'
import { ATOMIC_BATCH_MAX } from '../../log/numbering.ts'
import { SimRandom } from '../../log/sim.ts'
import { UNBOUNDED } from '../../state/filter-room.ts'
import type { MemoryDisk } from '../../state/memory-backend.ts'
import type { TaskTuning } from '../../topology/task.ts'
import { Stuck } from './conductor.ts'
import { compare, type Finding } from './oracles.ts'
import type { SimProcess } from './process.ts'
import type { SubjectWithTwin } from './subjects.ts'
import { TaskWorld } from './task-world.ts'

/** What is done to a task, one after the other. */
const ACTS = [
  'kill',
  'failover',
  'zombie',
  'twoOwners',
  'standby',
  'restart',
  'readerReset',
  'cut',
  'brokerRestart',
  'diskFull',
] as const
export type Act = (typeof ACTS)[number]
/** Half of what happens are kills. */
const ACT_DRAWN: readonly Act[] = [
  ...ACTS,
  'kill',
  'kill',
  'failover',
  'failover',
  'failover',
  'zombie',
  'standby',
  'standby',
]
/** What can happen to a task that trims its input: whoever starts from another disk finds the beginning gone. */
const ACTS_ONE_DISK: readonly Act[] = [
  'kill',
  'kill',
  'kill',
  'restart',
  'readerReset',
  'cut',
  'brokerRestart',
  'diskFull',
]
export const KILL_POINTS = ['K0', 'K1', 'K2', 'K3', 'K4', 'K5', 'K6', 'K7'] as const

/** When an act begins: at the n-th hit of a kill point, or after n steps of the world. */
type Moment = { readonly point: string; readonly hits: number } | { readonly steps: number }

/** More than any input here. */
const NEVER_BYTES = 1e12
/** Logical milliseconds. */
const RESTART_MS_MAX = 800
const FROZEN_MS_MAX = 20_000
const SETTLE_MS = 120_000
/** Commits that a crash may take back, as a cut WAL does. */
const LOST_COMMITS_MAX = 6

export interface OrdealResult {
  readonly seed: number
  readonly subject: string
  readonly findings: readonly Finding[]
  /** Processes killed. */
  readonly kills: number
  readonly fired: Record<string, number>
  /** What was done, with the step and the owner it was done to. */
  readonly history: readonly string[]
  /** Fingerprint of every step taken. */
  readonly trace: number
}

export async function ordeal(seed: number, subject: SubjectWithTwin): Promise<OrdealResult> {
  const trial = new Ordeal(seed, subject)
  const findings = await trial.run()
  const { kills, fired, history, trace } = trial
  return { seed, subject: subject.name, findings, kills, fired, history, trace }
}

class Ordeal {
  readonly #subject: SubjectWithTwin
  /** Apart from the world's, so that what is planned does not depend on what happens. */
  readonly #random: SimRandom
  readonly #world: TaskWorld
  /** The destinations have room for some of the output only. */
  readonly #isTight: boolean
  /** One commit may need several atomic batches (K3). */
  readonly #isBurst: boolean
  /** The task trims its input as it goes. */
  readonly #trims: boolean
  readonly #findings: Finding[] = []
  readonly #counts = new Map<string, number>()
  #owner!: SimProcess
  #standby: SimProcess | null = null
  readonly #zombies: { readonly process: SimProcess; readonly generation: number }[] = []
  /** Hits left until the awaited kill point strikes. */
  #armed: { point: string; hits: number } | null = null
  readonly history: string[] = []
  kills = 0

  constructor(seed: number, subject: SubjectWithTwin) {
    this.#subject = subject
    this.#random = new SimRandom(seed)
    const tight = this.#random.chance(0.25)
    this.#isTight = tight
    this.#isBurst =
      !tight && Math.max(0, ...[...subject.twin.outputs.values()].map(({ length }) => length)) > ATOMIC_BATCH_MAX
    this.#trims = this.#random.chance(0.15)
    this.#world = new TaskWorld({
      seed,
      subject,
      tuning: this.#drawTuning(tight),
      chaos: this.#drawChaos(),
      ...(tight ? { destinationBytes: this.#tightBytes() } : {}),
      onKillPoint: (name, process) => this.#onKillPoint(name, process),
    })
  }

  get trace(): number {
    return this.#world.server.scheduler.trace
  }

  get fired(): Record<string, number> {
    const fromServer = Object.entries(this.#world.fired) as [FaultKind, number][]
    return Object.fromEntries([...fromServer, ...this.#counts])
  }

  async run(): Promise<Finding[]> {
    try {
      await this.#world.play(() => this.#script())
    } catch (error) {
      if (error instanceof Stuck) this.#found('O5 liveness', `${error.message}; ${this.#whatWaits(this.#owner)}`)
      else this.#found('halts', error instanceof Error ? (error.stack ?? error.message) : String(error))
    }
    return this.#findings
  }

  // ---------------------------------------------------------------- what is drawn

  #drawTuning(tight: boolean): TaskTuning {
    const pick = <T>(items: readonly T[]): T => items[this.#random.below(items.length)]!
    return {
      fedShare: 0.5,
      filterRoom: UNBOUNDED,
      sliceMax: pick(tight ? [1, 7] : [1, 7, 128]),
      lingerMs: pick(this.#isBurst ? [5, 1_000] : [0, 1, 5, 50]),
      commitRecordsMax:
        this.#isBurst && this.#random.chance(0.7) ? 20_000 : pick(tight ? [1, 5, 9] : [1, 5, 40, 20_000]),
      heartbeatMs: pick([1, 20, 250]),
      backlogLingerMs: pick([0, 50]),
      trimBytes: this.#trims ? pick([300, 3_000]) : NEVER_BYTES,
    }
  }

  #drawChaos(): Chaos {
    const level = [0, 0.3, 1][this.#random.below(3)]!
    return {
      publishLate: 0.03 * level,
      publishLost: 0.02 * level,
      ackLost: 0.04 * level,
      cut: 0.004 * level,
      pause: 0.002 * level,
      readerReset: 0.02 * level,
    }
  }

  /** Room for some of the output only, but for the largest commit in any case. */
  #tightBytes(): number {
    const sizes = [...this.#subject.twin.outputs.values()].map((records) => records.join('').length)
    return 6_000 + Math.floor(Math.max(...sizes, 0) / 2)
  }

  #drawMoment(): Moment {
    if (this.#random.chance(0.6)) {
      const { killPoints = KILL_POINTS } = this.#subject
      const point =
        this.#isBurst && this.#random.chance(0.5) ? 'K3' : killPoints[this.#random.below(killPoints.length)]!
      return { point, hits: 1 + this.#random.below(point === 'K0' || point === 'K3' ? 1 : 6) }
    }
    // Often at once: then it strikes while the last restart is still recovering.
    return { steps: this.#random.below(this.#random.chance(0.4) ? 40 : 600) }
  }

  // ---------------------------------------------------------------- the script

  async #script(): Promise<void> {
    const world = this.#world
    if (this.#random.chance(this.#isBurst ? 0.8 : 0.3)) world.feed()
    else void world.feedSlowly(this.#random.chance(0.5) ? 60 : 600)
    if (this.#isTight || this.#random.chance(0.3)) void this.#consumeForEver()
    this.#owner = world.start(world.disks[0])
    if (!this.#trims && this.#random.chance(0.6)) await this.#perform('standby')
    for (let acts = 1 + this.#random.below(7); acts > 0; acts--) {
      const drawn = this.#trims ? ACTS_ONE_DISK : ACT_DRAWN
      const act = drawn[this.#random.below(drawn.length)]!
      await this.#until(this.#drawMoment())
      await this.#replaceIfEnded()
      if (this.#isDone()) break
      await this.#perform(act)
    }
    world.server.chaos = {}
    await this.#finish()
    await this.#endZombies()
    await this.#judge()
  }

  /** A consumer of the destinations that trims what it has read: where room is short, this makes room again. */
  async #consumeForEver(): Promise<void> {
    for (;;) {
      await this.#world.sleep(100 + this.#world.random.below(2_000))
      this.#world.consume()
    }
  }

  async #until(moment: Moment): Promise<void> {
    const owner = this.#owner
    if ('point' in moment) {
      this.#armed = { ...moment }
      await this.#world.when(() => this.#armed === null || owner.end !== null || this.#isThrough())
      this.#armed = null
    } else {
      const { scheduler } = this.#world.server
      const at = scheduler.steps + moment.steps
      await this.#world.when(() => scheduler.steps >= at || owner.end !== null)
    }
  }

  /** The awaited kill point was hit: the script goes on at once, before the process takes another step. */
  #onKillPoint(name: string, process: SimProcess): void {
    if (process !== this.#owner || this.#armed?.point !== name || --this.#armed.hits > 0) return
    this.#armed = null
    this.#count(name)
  }

  async #perform(act: Act): Promise<void> {
    this.#count(act)
    const { scheduler } = this.#world.server
    this.history.push(`step ${scheduler.steps}: ${act}, owner ${this.#owner.name}`)
    const { server, inputStream, disks } = this.#world
    switch (act) {
      case 'kill':
        this.#kill(this.#owner)
        await this.#restartPause()
        return this.#startOwner(this.#owner.disk)
      case 'failover':
        return this.#failover()
      case 'zombie':
        return this.#makeZombie()
      case 'twoOwners':
        return this.#startRival()
      case 'standby': {
        const disk = disks.find((each) => this.#isFree(each))
        if (disk !== undefined) this.#standby = this.#world.start(this.#crashed(disk), 'standby')
        return
      }
      case 'restart':
        return this.#restartCleanly()
      case 'readerReset':
        return server.dropConsumers(inputStream)
      case 'cut':
        return this.#owner.log.cut()
      case 'brokerRestart':
        return server.restart()
      case 'diskFull':
        return this.#fillDisk()
    }
  }

  #kill(process: SimProcess): void {
    this.kills++
    process.kill()
  }

  #startOwner(disk: MemoryDisk): void {
    this.#owner = this.#world.start(this.#crashed(disk))
  }

  /** The disk as the next process finds it: sometimes without the last commits. */
  #crashed(disk: MemoryDisk): MemoryDisk {
    const lost = this.#random.chance(0.3) ? 1 + this.#random.below(LOST_COMMITS_MAX) : 0
    if (lost > 0) this.#count('rollback')
    disk.crash(lost)
    return disk
  }

  async #restartPause(): Promise<void> {
    await this.#world.sleep(1 + this.#random.below(RESTART_MS_MAX))
  }

  /** The owner dies; a standby, if there is one, takes over where it stands. */
  async #failover(): Promise<void> {
    const standby = this.#standby
    if (standby?.alive && this.#random.chance(0.9)) await this.#stallPublishes()
    this.#kill(this.#owner)
    await this.#restartPause()
    if (standby === null || !standby.alive) return this.#startOwner(this.#owner.disk)
    this.#count('promotion')
    this.#standby = null
    this.#owner = standby
    standby.task.promote()
  }

  /** What the owner publishes next gets lost: a standby must not go where its owner could not. */
  async #stallPublishes(): Promise<void> {
    const owner = this.#owner
    this.#count('stall')
    for (const { subject } of this.#world.destinations) {
      this.#world.server.plan({ kind: 'publishLost' }, { client: owner.name, subject })
    }
    await this.#world.sleep(200 + this.#random.below(2_000))
  }

  /** The owner stops in the middle of anything, somebody else takes over, and later the former one goes on. */
  async #makeZombie(): Promise<void> {
    const zombie = this.#owner
    // Before that it has claimed nothing: it would wake up as the newest owner, by right.
    await this.#world.when(() => zombie.end !== null || hasClaimed(zombie))
    if (zombie.end !== null) return
    const disk = this.#world.disks.find((each) => this.#isFree(each))
    const standby = this.#standby
    if (standby === null && disk === undefined) return
    zombie.freeze()
    this.#zombies.push({ process: zombie, generation: zombie.task.status().generation })
    void this.#world.sleep(this.#random.below(FROZEN_MS_MAX)).then(() => zombie.thaw())
    if (standby?.alive) {
      this.#count('promotion')
      this.#standby = null
      this.#owner = standby
      standby.task.promote()
    } else this.#startOwner(disk ?? standby!.disk)
    await this.#world.sleep(this.#random.below(50))
  }

  /** A second owner starts although the first one is well: exactly one of them goes on. */
  async #startRival(): Promise<void> {
    const disk = this.#world.disks.find((each) => this.#isFree(each))
    if (disk === undefined) return
    const former = this.#owner
    const rival = this.#world.start(this.#crashed(disk))
    await this.#world.when(() => former.end !== null || rival.end !== null || this.#areThrough(former, rival))
    const first = [former, rival].find(({ end }) => end !== null) ?? null
    if (first?.end?.kind === 'halted') {
      this.#expectFenced(first)
      this.#owner = first === former ? rival : former
      return first.exit()
    }
    // One is through before the other could notice: it is the owner, and the other is in its way no longer.
    const winner = first ?? (former.task.status().generation > rival.task.status().generation ? former : rival)
    this.#owner = winner
    this.#kill(winner === former ? rival : former)
  }

  async #restartCleanly(): Promise<void> {
    const owner = this.#owner
    owner.task.stop()
    await this.#world.when(() => owner.end !== null)
    await this.#replaceIfEnded()
  }

  /** The next write fails, the process ends by itself, and finds room when it starts again. */
  async #fillDisk(): Promise<void> {
    const owner = this.#owner
    owner.disk.failWrites(1)
    await this.#world.when(() => owner.end !== null || this.#isThrough())
    owner.disk.failWrites(0)
    if (owner.end?.kind !== 'halted') return
    this.#expectCode(owner, 'STATE_WRITE_FAILED')
    await owner.exit()
    await this.#restartPause()
    this.#startOwner(owner.disk)
  }

  /** An owner that ended before its time goes on in a new process; one that halted should not have. */
  async #replaceIfEnded(): Promise<void> {
    const { end } = this.#owner
    if (end === null || this.#isDone()) return
    await this.#owner.exit()
    this.#startOwner(this.#owner.disk)
  }

  /** Whether nothing more can come of the owner: it drained, or it halted. */
  #isDone(): boolean {
    const { end, task } = this.#owner
    return end?.kind === 'halted' || (end?.kind === 'ended' && task.status().phase === 'drained')
  }

  async #finish(): Promise<void> {
    await this.#replaceIfEnded()
    const owner = this.#owner
    if (this.#subject.plan.clock === 'wall') {
      await this.#world.when(() => owner.end !== null || this.#isThrough())
      owner.task.stop()
    }
    await this.#world.when(() => owner.end !== null)
    if (owner.end!.kind === 'halted') this.#found('halts', `the owner halted: ${messageOf(owner.end!.error)}`)
    await owner.exit()
    if (this.#standby?.end?.kind === 'halted') {
      this.#found('halts', `the standby halted: ${messageOf(this.#standby.end.error)}`)
    }
    this.#standby?.kill()
  }

  /** Every zombie must have been refused, if somebody else published what it would have published next. */
  async #endZombies(): Promise<void> {
    const deadline = this.#world.server.scheduler.nowMs + SETTLE_MS
    const over = () => this.#world.server.scheduler.nowMs > deadline
    for (const { process, generation } of this.#zombies) {
      await this.#world.when(() => !process.alive || over())
      if (process.end?.kind === 'halted') this.#expectFenced(process)
      else if (this.#hasSuccessor(generation))
        this.#found('halts', `the zombie ${process.name} was not refused: ${this.#whatWaits(process)}`)
      if (process.alive) process.kill()
      else if (!process.killed) await process.exit()
    }
  }

  async #judge(): Promise<void> {
    if (this.#world.server.stream(this.#world.inputStream)!.state.firstSeq > 1) this.#count('inputTrimmed')
    if (this.#owner.end?.kind === 'halted') return
    const state = await this.#world.readOut(this.#crashedOnly(this.#owner.disk))
    const outputs = this.#world.outputs((finding) => this.#findings.push(finding))
    this.#findings.push(...compare({ outputs, ...state }, this.#subject.twin))
  }

  /** Gives a disk back without losing anything. */
  #crashedOnly(disk: MemoryDisk): MemoryDisk {
    disk.crash(0)
    return disk
  }

  // ---------------------------------------------------------------- looks

  #isThrough(): boolean {
    return this.#world.isThrough(this.#owner)
  }

  /** Live input never ends, so two owners may wait for more, side by side. */
  #areThrough(...processes: SimProcess[]): boolean {
    return this.#subject.plan.clock === 'wall' && processes.every((process) => this.#world.isThrough(process))
  }

  /** Whether no living process has this disk. */
  #isFree(disk: MemoryDisk): boolean {
    const busy = [this.#owner, this.#standby, ...this.#zombies.map(({ process }) => process)]
    return busy.every((process) => process === null || !process.alive || process.disk !== disk)
  }

  /** Whether a newer owner published records where owners are fenced by claims. */
  #hasSuccessor(generation: number): boolean {
    return this.#world.destinations
      .filter(({ mode }) => mode === 'frames')
      .flatMap((destination) => this.#world.archived(destination))
      .map(({ headers }) => parseFrameHeader(headers?.[FRAME_HEADER]))
      .some((header) => header !== null && header.count > 0 && header.generation > generation)
  }

  #whatWaits({ name, task }: SimProcess): string {
    const { phase, seq, pending, waiting } = task.status()
    return `${name} is ${phase} at ${seq}, ${pending} behind it, waits for ${JSON.stringify(waiting)}`
  }

  #expectFenced(process: SimProcess): void {
    this.#expectCode(process, 'FENCED')
  }

  #expectCode({ end, name }: SimProcess, code: string): void {
    const error = end?.kind === 'halted' ? end.error : null
    if (error instanceof HoldfastError && error.code === code) this.#count(code)
    else this.#found('halts', `${name} should have halted with ${code}: ${messageOf(error)}`)
  }

  #found(oracle: Finding['oracle'], what: string): void {
    this.#findings.push({ oracle, what })
  }

  #count(what: string): void {
    this.#counts.set(what, (this.#counts.get(what) ?? 0) + 1)
  }
}

function hasClaimed({ task }: SimProcess): boolean {
  const { phase, generation } = task.status()
  return phase === 'running' && generation > 0
}

function messageOf(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error)
}

// A simulated process: one task, one connection, one disk, and the ways in which processes die.
// SP1: everything that a real process waits for (broker, disk, timers) is a step of the scheduler, so that it can be killed
//      or stopped between any two of them.
// SP2: a write under way when the process dies is on the disk or it is not, as the seed says; never half of it.

import type { FakeLog, FakeLogServer } from '../../log/fake-log.ts'
import type { Runtime } from '../../log/runtime.ts'
import type { Backend, BackendSnapshot, Entry, Range, WriteBatch } from '../../state/backend.ts'
import type { MemoryBackend, MemoryDisk } from '../../state/memory-backend.ts'
import type { Plan, StagePlan } from '../../topology/plan.ts'
import { type Role, Task, type TaskTuning } from '../../topology/task.ts'

export type End = { readonly kind: 'ended' } | { readonly kind: 'halted'; readonly error: unknown }

/** Which task a process runs, and how. */
export interface ProcessOptions {
  readonly server: FakeLogServer
  readonly name: string
  readonly plan: Plan
  readonly stage: StagePlan
  readonly partition: number
  readonly disk: MemoryDisk
  readonly role: Role
  readonly tuning: TaskTuning
  /** Called at each kill point; may kill the process. */
  readonly onKillPoint: (name: string, process: SimProcess) => void
}

/** Logical milliseconds by which a process's clock may run ahead at each look: lingers and turns then fall differently. */
const CLOCK_JITTER_MS = 0.3

export class SimProcess {
  readonly log: FakeLog
  readonly task: Task
  readonly disk: MemoryDisk
  readonly name: string
  /** How the task ended; null while it runs, and for ever when it was killed. */
  end: End | null = null
  killed = false
  frozen = false
  readonly #server: FakeLogServer
  readonly #backend: SimBackend

  constructor(options: ProcessOptions) {
    const { server, name, plan, stage, partition, disk, role, tuning, onKillPoint } = options
    this.#server = server
    this.name = name
    this.disk = disk
    this.log = server.connect(name)
    const runtime = jittery(this.log.runtime, server, (point) => onKillPoint(point, this))
    this.#backend = new SimBackend(disk.open(), () => this.log.runtime.turn())
    this.task = new Task({ plan, stage, partition, log: this.log, backend: this.#backend, runtime, role, tuning })
    this.task.run().then(
      () => {
        this.end = { kind: 'ended' }
      },
      (error: unknown) => {
        this.end = { kind: 'halted', error }
      },
    )
  }

  get alive(): boolean {
    return this.end === null && !this.killed
  }

  /** SIGKILL. Its disk can be opened again after the next step, with SimDisk's crash(). */
  kill(): void {
    this.killed = true
    if (this.#server.random.chance(0.5)) this.#backend.completeWrites()
    this.log.kill()
  }

  freeze(): void {
    this.frozen = true
    this.log.freeze()
  }

  thaw(): void {
    this.frozen = false
    this.log.thaw()
  }

  /** After its end: gives everything back, as an exit does. */
  async exit(): Promise<void> {
    await this.task.close().catch(() => undefined)
    await this.log.close()
  }
}

function jittery(real: Runtime, { random }: FakeLogServer, killPoint: (name: string) => void): Runtime {
  let aheadMs = 0
  return {
    ...real,
    killPoint,
    now: () => {
      aheadMs += random.next() * CLOCK_JITTER_MS
      return real.now() + aheadMs
    },
  }
}

/** A disk that takes its time: each question and each write is a step before and after (SP1). */
export class SimBackend implements Backend {
  readonly #inner: MemoryBackend
  readonly #turn: () => Promise<void>
  readonly #pending = new Set<WriteBatch>()

  constructor(inner: MemoryBackend, turn: () => Promise<void>) {
    this.#inner = inner
    this.#turn = turn
  }

  async multiGet(keys: readonly Uint8Array[]): Promise<(Uint8Array | null)[]> {
    await this.#turn()
    return this.#inner.multiGet(keys)
  }

  async *scan(range: Range): AsyncIterable<readonly Entry[]> {
    await this.#turn()
    yield* this.#inner.scan(range)
  }

  async last(range: Range, count: number): Promise<readonly Entry[]> {
    await this.#turn()
    return this.#inner.last(range, count)
  }

  async write(batch: WriteBatch): Promise<void> {
    this.#pending.add(batch)
    await this.#turn()
    this.#pending.delete(batch)
    await this.#inner.write(batch)
    await this.#turn()
  }

  snapshot(): BackendSnapshot {
    return this.#inner.snapshot()
  }

  async flush(): Promise<void> {
    await this.#turn()
    await this.#inner.flush()
    await this.#turn()
  }

  close(): Promise<void> {
    return this.#inner.close()
  }

  /** What was handed to the disk gets there, although nobody waits for it any more (SP2). */
  completeWrites(): void {
    for (const batch of this.#pending) this.#inner.write(batch).catch(() => undefined)
    this.#pending.clear()
  }
}

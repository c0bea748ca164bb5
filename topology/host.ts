// Runs tasks of a plan side by side; the tasks know nothing of each other.
// H1: one task that halts does not stop the others; `failed` says which did and why.
// H2: what is asked of a host is answered from committed snapshots, or with what a task says of itself: nobody gets hold of
//     a task, so that a host may be in another thread (topology/remote-host.ts).

import { assert } from '../log/errors.ts'
import type { Log } from '../log/log.ts'
import type { Runtime } from '../log/runtime.ts'
import type { Backend } from '../state/backend.ts'
import { type CommitRecord, parseCommitRecord } from './commit-record.ts'
import { type FeaturePlan, type FeatureValue, valuesAt } from './features.ts'
import { type Plan, type StagePlan, taskName } from './plan.ts'
import { type Role, Task, type TaskStatus, type TaskTuning } from './task.ts'

export interface HaltedTask {
  readonly task: string
  readonly error: unknown
}

/** Tasks that run, seen from a command. Tasks are named as taskName() does. */
export interface TaskHost {
  /** Opens and starts every task. Rejects where a state cannot be opened; then stop() and close() all the same. */
  start(): Promise<void>
  /** Of the tasks that are open, stage by stage and partition by partition. */
  status(): readonly TaskStatus[]
  /** Tasks that halted, in the order in which they did. */
  readonly failed: readonly HaltedTask[]
  /** After start(): settles when every task has drained, stopped or halted. */
  ended(): Promise<void>
  /** Makes every task finish its commit and end; those that are not open yet stay closed. */
  requestStop(): void
  /** requestStop() and ended(). */
  stop(): Promise<void>
  /** After ended(): gives back what the tasks used. Nothing of the host is left then. */
  close(): Promise<void>
  /** All values of a feature at T, milliseconds, from the newest committed states; tasks in any order. */
  values(feature: FeaturePlan, T: number): AsyncIterable<FeatureValue>
  /** What a reader of snapshots sees now; null before the first commit. */
  commitOf(task: string): Promise<CommitRecord | null>
}

export interface HostOptions {
  readonly plan: Plan
  /** Names of the tasks that it runs; not given: all of the plan. */
  readonly tasks?: readonly string[]
  readonly log: Log
  readonly runtime: Runtime
  readonly tuning: TaskTuning
  readonly role: Role
  /** Opens the state of a task. */
  readonly backend: (task: string) => Promise<Backend>
  /** Called once per task that halts. */
  readonly onHalt: (task: string, error: unknown) => void
}

/** A task by its place in the plan. */
export interface TaskPlace {
  readonly name: string
  readonly stage: StagePlan
  readonly partition: number
}

/** Every task of a plan, stage by stage and partition by partition. */
export function tasksOf(plan: Plan): TaskPlace[] {
  return plan.stages.flatMap((stage) =>
    Array.from({ length: plan.partitions }, (_, partition) => ({
      name: taskName(stage.name, partition),
      stage,
      partition,
    })),
  )
}

/** What the tasks of one stage say of themselves, by partition. */
export function statusOf(host: TaskHost, stage: string): TaskStatus[] {
  return host.status().filter(({ name }) => name.slice(0, name.lastIndexOf('-')) === stage)
}

interface Hosted {
  readonly stage: string
  readonly task: Task
  ended: Promise<void>
}

/** Tasks in this thread. */
export class Host implements TaskHost {
  readonly #o: HostOptions
  readonly #hosted: Hosted[] = []
  readonly #failures: HaltedTask[] = []
  #stopping = false

  constructor(options: HostOptions) {
    this.#o = options
  }

  async start(): Promise<void> {
    const { plan, log, runtime, tuning, role, backend } = this.#o
    const wanted = this.#o.tasks ?? tasksOf(plan).map(({ name }) => name)
    for (const { name, stage, partition } of tasksOf(plan)) {
      if (!wanted.includes(name) || this.#stopping) continue
      const opened = await backend(name)
      const task = new Task({ plan, stage, partition, log, runtime, tuning, role, backend: opened })
      this.#hosted.push({ stage: stage.name, task, ended: this.#watch(task) })
    }
  }

  async #watch(task: Task): Promise<void> {
    try {
      await task.run()
    } catch (error) {
      this.#failures.push({ task: task.name, error })
      this.#o.onHalt(task.name, error)
    }
  }

  get failed(): readonly HaltedTask[] {
    return this.#failures
  }

  /** For tests that look into states. */
  all(): readonly { readonly stage: string; readonly task: Task }[] {
    return this.#hosted
  }

  status(): TaskStatus[] {
    return this.#hosted.map(({ task }) => task.status())
  }

  async ended(): Promise<void> {
    await Promise.all(this.#hosted.map(({ ended }) => ended))
  }

  requestStop(): void {
    this.#stopping = true
    for (const { task } of this.#hosted) task.stop()
  }

  async stop(): Promise<void> {
    this.requestStop()
    await this.ended()
  }

  async close(): Promise<void> {
    for (const { task } of this.#hosted) await task.close()
  }

  async *values(feature: FeaturePlan, T: number): AsyncIterable<FeatureValue> {
    for (const { stage, task } of this.#hosted) {
      if (stage !== feature.stage) continue
      const snapshot = task.snapshot()
      try {
        yield* valuesAt(snapshot, feature, T)
      } finally {
        snapshot.release()
      }
    }
  }

  async commitOf(name: string): Promise<CommitRecord | null> {
    const task = this.#hosted.find((hosted) => hosted.task.name === name)?.task
    assert(task !== undefined, `task ${name} is not hosted here`)
    if (task.status().phase === 'opening') return null
    const snapshot = task.snapshot()
    try {
      return snapshot.meta === null ? null : parseCommitRecord(snapshot.meta)
    } finally {
      snapshot.release()
    }
  }
}

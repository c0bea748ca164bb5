// Runs the tasks of a plan in one process, side by side; the tasks know nothing of each other.
// H1: one task that halts does not stop the others; `failed` says which did and why.

import type { Log } from '../log/log.ts'
import type { Runtime } from '../log/runtime.ts'
import type { Backend } from '../state/backend.ts'
import { type Plan, taskName } from './plan.ts'
import { type Role, Task, type TaskStatus, type TaskTuning } from './task.ts'

export interface HostOptions {
  readonly plan: Plan
  readonly log: Log
  readonly runtime: Runtime
  readonly tuning: TaskTuning
  readonly role: Role
  /** Opens the state of a task. */
  readonly backend: (task: string) => Promise<Backend>
  /** Called once per task that halts. */
  readonly onHalt: (task: string, error: unknown) => void
}

interface Hosted {
  readonly stage: string
  readonly task: Task
  ended: Promise<void>
}

export class Host {
  readonly #o: HostOptions
  readonly #hosted: Hosted[] = []
  readonly #failures: { task: string; error: unknown }[] = []

  constructor(options: HostOptions) {
    this.#o = options
  }

  /** Opens and starts every task of the plan. */
  async start(): Promise<void> {
    const { plan, log, runtime, tuning, role, backend } = this.#o
    for (const stage of plan.stages) {
      for (let partition = 0; partition < plan.partitions; partition++) {
        const opened = await backend(taskName(stage.name, partition))
        const task = new Task({ plan, stage, partition, log, runtime, tuning, role, backend: opened })
        this.#hosted.push({ stage: stage.name, task, ended: this.#watch(task) })
      }
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

  /** Tasks that halted, in the order in which they did. */
  get failed(): readonly { readonly task: string; readonly error: unknown }[] {
    return this.#failures
  }

  tasksOf(stage: string): Task[] {
    return this.#hosted.filter((hosted) => hosted.stage === stage).map(({ task }) => task)
  }

  all(): readonly { readonly stage: string; readonly task: Task }[] {
    return this.#hosted
  }

  status(): TaskStatus[] {
    return this.#hosted.map(({ task }) => task.status())
  }

  /** Settles when every task has drained, stopped or halted. */
  async ended(): Promise<void> {
    await Promise.all(this.#hosted.map(({ ended }) => ended))
  }

  /** Lets every task finish its commit. */
  async stop(): Promise<void> {
    for (const { task } of this.#hosted) task.stop()
    await this.ended()
  }

  /** After ended(): gives the state directories back. */
  async close(): Promise<void> {
    for (const { task } of this.#hosted) await task.close()
  }
}

// Spreads the tasks of a plan over threads: a host in this one, which has the log already, and one in each of the others
// (docs/decisions/0005-tasks-in-threads.md). That is only hosting: tasks share nothing but the log.
// TH1: results do not depend on the number of threads.
// TH2: the first task is in this thread, and no other state is opened before its own: of two processes on one directory
//      exactly one gets all of them.

import { join } from 'node:path'
import type { Log } from '../log/log.ts'
import type { Runtime } from '../log/runtime.ts'
import { openRocksBackend } from '../state/rocks-backend.ts'
import type { CommitRecord } from './commit-record.ts'
import type { FeatureLine } from './features/feature-plan.ts'
import { type GraphOptions, pageViewGraph } from './graph.ts'
import {
  type CommitWait,
  type CommitWaited,
  type HaltedTask,
  Host,
  type TaskDecisions,
  type TaskDecisionsOutcome,
  type TaskEvaluationAsk,
  type TaskEvaluationOutcome,
  type TaskExplain,
  type TaskExplainOutcome,
  type TaskHost,
  type TaskPurchasesAsk,
  type TaskPurchasesOutcome,
  type TaskRead,
  type TaskReadOutcome,
  type TaskTop,
  type TaskTopOutcome,
  type TaskVectors,
  type TaskVectorsOutcome,
  tasksOf,
} from './host.ts'
import type { ThreadConnection } from './host-messages.ts'
import { RemoteHost, type RemoteHostOptions } from './remote-host.ts'
import type { TaskStatus, TaskTuning } from './task.ts'

export interface ThreadedHostOptions extends Pick<RemoteHostOptions, 'program'> {
  /** What the plan is compiled from, once in each thread. */
  readonly graph: GraphOptions
  /** At most, this one included; there are no more than tasks, and a door. 1: no other thread is started. */
  readonly threads: number
  /** Whether this thread keeps no task where there is another: it answers clients, who would wait for its tasks' slices. */
  readonly isDoor?: boolean
  /** Of this thread, and how the others get one like it. */
  readonly log: Log
  readonly connection: ThreadConnection
  readonly runtime: Runtime
  readonly tuning: TaskTuning
  /** The state of a task is in the folder of its name. */
  readonly stateDir: string
  /** Called when a state has been opened: nobody else has the directory. */
  readonly onOpened?: () => Promise<void>
  /** Called once per task that halts. */
  readonly onHalt: (task: string, error: unknown) => void
}

export class ThreadedHost implements TaskHost {
  readonly #first: Host
  readonly #others: readonly RemoteHost[]
  readonly #failures: HaltedTask[] = []
  readonly #hosts = new Map<string, TaskHost>()
  readonly #isDoor: boolean
  /** Names of all tasks, in the order of the plan. */
  readonly #tasks: readonly string[]

  /** Starts the other threads, so that they load while this one goes on; their tasks wait for start(). */
  constructor(o: ThreadedHostOptions) {
    const plan = pageViewGraph(o.graph)
    this.#tasks = tasksOf(plan).map(({ name }) => name)
    const [mine, ...theirs] = dealt(this.#tasks, o.threads, o.isDoor === true)
    const onHalt = (task: string, error: unknown) => {
      this.#failures.push({ task, error })
      o.onHalt(task, error)
    }
    const { log, runtime, tuning } = o
    this.#first = new Host({
      ...{ plan, tasks: mine!, log, runtime, tuning, role: 'owner', onHalt },
      backend: async (task) => {
        const backend = await openRocksBackend(join(o.stateDir, task))
        await o.onOpened?.()
        return backend
      },
    })
    this.#others = theirs.map((tasks, i) => {
      const connection = { ...o.connection, name: `${o.connection.name} thread ${i + 2}` }
      const { graph, stateDir, program } = o
      const task = { graph, fingerprint: plan.fingerprint, tasks, connection, stateDir, tuning }
      return new RemoteHost({ ...task, onHalt, ...(program === undefined ? {} : { program }) })
    })
    this.#isDoor = mine!.length === 0
    for (const [i, tasks] of [mine!, ...theirs].entries())
      for (const task of tasks) this.#hosts.set(task, this.#all[i]!)
  }

  /** This thread and the others. */
  get threads(): number {
    return 1 + this.#others.length
  }

  async start(): Promise<void> {
    // Whoever has the first task of a plan has all of it.
    const [first, ...others] = this.#isDoor ? this.#others : this.#all
    await first!.start()
    await Promise.all(others.map((host) => host.start()))
  }

  status(): TaskStatus[] {
    const byName = new Map(this.#all.flatMap((host) => host.status()).map((status) => [status.name, status]))
    return this.#tasks.flatMap((name) => byName.get(name) ?? [])
  }

  get failed(): readonly HaltedTask[] {
    return this.#failures
  }

  async ended(): Promise<void> {
    await Promise.all(this.#all.map((host) => host.ended()))
  }

  requestStop(): void {
    for (const host of this.#all) host.requestStop()
  }

  async stop(): Promise<void> {
    this.requestStop()
    await this.ended()
  }

  async close(): Promise<void> {
    const closed = await Promise.allSettled(this.#all.map((host) => host.close()))
    for (const result of closed) if (result.status === 'rejected') throw result.reason
  }

  async *values(T: number): AsyncIterable<FeatureLine> {
    for (const host of this.#all) yield* host.values(T)
  }

  commitOf(task: string): Promise<CommitRecord | null> {
    return this.#hostOf(task).commitOf(task)
  }

  commitWith(wait: CommitWait): Promise<CommitWaited> {
    return this.#hostOf(wait.task).commitWith(wait)
  }

  read(ask: TaskRead): Promise<TaskReadOutcome> {
    return this.#hostOf(ask.task).read(ask)
  }

  readVectors(ask: TaskVectors): Promise<TaskVectorsOutcome> {
    return this.#hostOf(ask.task).readVectors(ask)
  }

  explain(ask: TaskExplain): Promise<TaskExplainOutcome> {
    return this.#hostOf(ask.task).explain(ask)
  }

  decisions(ask: TaskDecisions): Promise<TaskDecisionsOutcome> {
    return this.#hostOf(ask.task).decisions(ask)
  }

  purchases(ask: TaskPurchasesAsk): Promise<TaskPurchasesOutcome> {
    return this.#hostOf(ask.task).purchases(ask)
  }

  evaluation(ask: TaskEvaluationAsk): Promise<TaskEvaluationOutcome> {
    return this.#hostOf(ask.task).evaluation(ask)
  }

  top(ask: TaskTop): Promise<TaskTopOutcome> {
    return this.#hostOf(ask.task).top(ask)
  }

  async pin(name: string): Promise<void> {
    await Promise.all(this.#all.map((host) => host.pin(name)))
  }

  async unpin(name: string): Promise<boolean> {
    const found = await Promise.all(this.#all.map((host) => host.unpin(name)))
    return found.includes(true)
  }

  #hostOf(task: string): TaskHost {
    return this.#hosts.get(task)!
  }

  get #all(): readonly TaskHost[] {
    return [this.#first, ...this.#others]
  }
}

/**
 * Tasks in turn: those of one stage, which have the same to do, are spread before those of the next. The first hand is this
 * thread's; a door's is empty.
 */
function dealt(tasks: readonly string[], threads: number, isDoor: boolean): string[][] {
  if (isDoor && threads > 1) return [[], ...dealt(tasks, threads - 1, false)]
  const hands = Array.from({ length: Math.min(threads, tasks.length) }, (): string[] => [])
  tasks.forEach((task, i) => {
    hands[i % hands.length]!.push(task)
  })
  return hands
}

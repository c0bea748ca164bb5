// Brings every activation of a registry to every task that it concerns, as a control record in its stream.
// AK1: what a task has not read is appended to its stream, again after a crash or an unknown outcome: a task ignores what it
//      knows. So an activation is in the registry and in no stream only until the next look of a node that runs.
// AK2: a stage gets it before the stages that feed it: when records that were computed under it arrive, it is there.
// AK3: what is forgotten in the registry has been read by every task.

import type { Log } from '../log/log.ts'
import type { Runtime } from '../log/runtime.ts'
import type { Activation, ActivationRegistry } from './activation-registry.ts'
import { type TaskHost, tasksOf } from './host.ts'
import { CONTROL_WRITER, type Plan, type StagePlan, stageSubject } from './plan.ts'
import type { TaskStatus } from './task.ts'

export interface KeeperOptions {
  readonly plan: Plan
  readonly host: Pick<TaskHost, 'status'>
  readonly log: Log
  readonly runtime: Pick<Runtime, 'killPoint'>
}

/** Whom the activations of a registry concern, and how they are told. */
export interface Concern<Body> {
  readonly registry: ActivationRegistry<Body>
  readonly stages: readonly StagePlan[]
  /** The newest activation that a task has read; 0: none. */
  readBy(task: TaskStatus): number
  /** The JSON text of the control record; null: tasks need none to know it. */
  record(activation: Activation<Body>): string | null
}

export class ActivationKeeper<Body> {
  readonly #o: KeeperOptions
  readonly #concern: Concern<Body>
  #known: readonly Activation<Body>[] = []
  /** By task: the newest activation that is in its stream for sure. */
  readonly #appended = new Map<string, number>()

  constructor(options: KeeperOptions, concern: Concern<Body>) {
    this.#o = options
    this.#concern = concern
  }

  /** Those that are kept, oldest first. */
  get known(): readonly Activation<Body>[] {
    return this.#known
  }

  /** The newest activation; the one of the highest number, whatever its time. */
  get newest(): Activation<Body> | null {
    return this.#known.at(-1) ?? null
  }

  /** As that of the registry. */
  onNews(callback: () => void): () => void {
    return this.#concern.registry.onNews(callback)
  }

  /** Reads what is new in the registry. */
  async read(): Promise<void> {
    const { registry } = this.#concern
    const newest = await registry.newest()
    if (newest !== null && newest.seq !== this.newest?.seq) this.#known = await registry.all()
  }

  /** One look: reads, and appends what tasks miss (AK1). Throws LogUnavailable, and FOREIGN_WRITE for a stranger's registry. */
  async look(): Promise<void> {
    await this.read()
    const { plan, host } = this.#o
    const { stages, registry, readBy } = this.#concern
    const tasks = new Map(host.status().map((status) => [status.name, status]))
    const concerned = tasksOf(plan).filter(({ stage }) => stages.includes(stage))
    for (const stage of stages.toReversed()) {
      const places = concerned.filter((place) => place.stage === stage)
      const done = await Promise.all(
        places.map(({ name, partition }) =>
          this.#bring(tasks.get(name), stageSubject(plan.namespace, stage.name, partition, CONTROL_WRITER)),
        ),
      )
      if (done.includes(false)) return
    }
    const seen = Math.min(...concerned.map(({ name }) => readBy(tasks.get(name)!)))
    this.#known = await registry.forget(this.#known, seen)
  }

  /** False: not known to be in the stream, so that those before it have to wait (AK2). */
  async #bring(task: TaskStatus | undefined, subject: string): Promise<boolean> {
    if (task === undefined || task.phase === 'opening') return false
    const { record, readBy } = this.#concern
    const has = Math.max(readBy(task), this.#appended.get(task.name) ?? 0)
    const missing = this.#known.flatMap((one) => {
      const text = one.activation > has ? record(one) : null
      return text === null ? [] : [{ activation: one.activation, text }]
    })
    if (missing.length === 0) return true
    const payload = Buffer.from(`[${missing.map(({ text }) => text).join(',')}]`)
    const { kind } = await this.#o.log.publish({ subject, headers: null, payload }, null)
    if (kind !== 'stored') return false
    this.#appended.set(task.name, missing.at(-1)!.activation)
    this.#o.runtime.killPoint('K12')
    return true
  }
}

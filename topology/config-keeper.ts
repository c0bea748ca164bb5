// Brings every activation of the registry to every task of the plan, as a control record in its stream, and says which
// configuration the node's front door is under.
// CK1: what a task has not read is appended to its stream, again after a crash or an unknown outcome: a task ignores what it
//      knows. So an activation is in the registry and in no stream only until the next look of a node that runs.
// CK2: a stage gets it before the stages that feed it: when records that were computed under it arrive, it is there.
// CK3: what is forgotten in the registry has been read by every task.

import type { Log } from '../log/log.ts'
import type { Runtime } from '../log/runtime.ts'
import { type Activation, ConfigRegistry } from './config-registry.ts'
import { configurationOf } from './configuration.ts'
import { CONFIGURATION, type Config, controlAt } from './control.ts'
import { type TaskHost, tasksOf } from './host.ts'
import { CONTROL_WRITER, type Plan, stageSubject } from './plan.ts'
import type { TaskStatus } from './task.ts'

/** The activation that a namespace begins with. */
const FIRST = 1

export interface ConfigKeeperOptions {
  readonly plan: Plan
  readonly host: Pick<TaskHost, 'status'>
  readonly log: Log
  readonly runtime: Pick<Runtime, 'killPoint'>
}

export class ConfigKeeper {
  readonly #o: ConfigKeeperOptions
  readonly #registry: ConfigRegistry
  #known: readonly Activation[] = []
  /** By task: the newest activation that is in its stream for sure. */
  readonly #appended = new Map<string, number>()

  constructor(options: ConfigKeeperOptions) {
    this.#o = options
    this.#registry = new ConfigRegistry(options.log, options.plan.namespace)
  }

  /** The newest activation; the one of the highest number, whatever its time. */
  get newest(): Activation | null {
    return this.#known.at(-1) ?? null
  }

  /** The document that holds at a time, milliseconds; null: none is known. */
  documentAt(time: number): Activation['body'] | null {
    return (controlAt(this.#known, CONFIGURATION, time) as Activation['body'] | undefined) ?? null
  }

  /** Reads what is new in the registry. */
  async read(): Promise<void> {
    const newest = await this.#registry.newest()
    if (newest !== null && newest.seq !== this.newest?.seq) this.#known = await this.#registry.all()
  }

  /** One look: reads, and appends what tasks miss (CK1). Throws LogUnavailable, and FOREIGN_WRITE for a stranger's registry. */
  async look(): Promise<void> {
    await this.read()
    const tasks = new Map(this.#o.host.status().map((status) => [status.name, status]))
    const { plan } = this.#o
    for (const stage of plan.stages.toReversed()) {
      const places = tasksOf(plan).filter((place) => place.stage === stage)
      const done = await Promise.all(
        places.map(({ name, partition }) =>
          this.#bring(tasks.get(name), stageSubject(plan.namespace, stage.name, partition, CONTROL_WRITER)),
        ),
      )
      if (done.includes(false)) return
    }
    const seen = Math.min(...[...tasks.values()].map(({ activation }) => activation))
    this.#known = await this.#registry.forget(this.#known, seen)
  }

  /** What the plan was made with: tasks need no record to know it. */
  #isOwn({ activation, hash }: Activation): boolean {
    return activation === FIRST && hash === this.#o.plan.configHash
  }

  /** False: not known to be in the stream, so that those before it have to wait (CK2). */
  async #bring(task: TaskStatus | undefined, subject: string): Promise<boolean> {
    if (task === undefined || task.phase === 'opening') return false
    const has = Math.max(task.activation, this.#appended.get(task.name) ?? 0)
    const missing = this.#known.filter((one) => one.activation > has && !this.#isOwn(one))
    if (missing.length === 0) return true
    const records = missing.map(({ activation, from, body }): Config => {
      return { hf: 'config', kind: CONFIGURATION, activation, from, body: configurationOf(body) }
    })
    const payload = Buffer.from(JSON.stringify(records))
    const { kind } = await this.#o.log.publish({ subject, headers: null, payload }, null)
    if (kind !== 'stored') return false
    this.#appended.set(task.name, missing.at(-1)!.activation)
    this.#o.runtime.killPoint('K12')
    return true
  }
}

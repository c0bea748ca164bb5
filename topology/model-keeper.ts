// Makes what the trainer publishes live, brings it to the tasks that score, and says what is live (`clock: wall`).
// MK1: versions are decided in the order in which they were published, each once: again after a crash, with the same outcome,
//      as an activation says how far it has looked (topology/model-registry.ts, MV3).
// MK2: a version that is refused changes nothing: the live one stays, and that is said and counted.
// MK3: the files of the live version and of those before it that tasks know stay, however old they are; of others the newest.

import { HoldfastError } from '../log/errors.ts'
import type { Log } from '../log/log.ts'
import { ActivationKeeper, type KeeperOptions } from './activation-keeper.ts'
import { encodeModel, MODELS_BEFORE_MAX } from './control.ts'
import { forgetFiles, versionFile } from './model-files.ts'
import {
  type ActiveVersion,
  isPublished,
  ModelOutput,
  ModelRegistry,
  type PublishedModel,
  type VersionActivation,
  verdictOn,
} from './model-registry.ts'
import type { Plan, StagePlan } from './plan.ts'

/** Why a version that the trainer published does not become live. */
export type ActivationRefusal = 'parent' | 'missing' | 'hash'

/** Versions whose time of publication is known: far more than ever wait. */
const PUBLISHED_KNOWN = 64
/** Those that a task may ask for: the newest, and what stands behind it. */
const PINNED = 1 + MODELS_BEFORE_MAX

export interface LiveModel {
  readonly version: number
  readonly activation: number
  /** When it was published, milliseconds on the broker's clock; of one that is long gone when it was activated. */
  readonly publishedMs: number
}

/** The stages of a plan that score. */
export const scoringStages = ({ stages }: Plan): readonly StagePlan[] =>
  stages.filter(({ nodes }) => nodes.some(({ operator }) => operator.name === 'scorer'))

export class ModelKeeper extends ActivationKeeper<ActiveVersion> {
  readonly #log: Log
  readonly #namespace: string
  readonly #registry: ModelRegistry
  readonly #output: ModelOutput
  readonly #killPoint: KeeperOptions['runtime']['killPoint']
  readonly #say: (line: string) => void
  /** Published, and not decided. */
  #waiting: PublishedModel[] = []
  readonly #publishedMs = new Map<number, number>()
  readonly #refused = new Map<ActivationRefusal, number>()
  #filesAreBounded = false

  constructor(options: KeeperOptions, say: (line: string) => void) {
    const { plan, log, runtime } = options
    const registry = new ModelRegistry(log, plan.namespace)
    super(options, {
      registry,
      stages: scoringStages(plan),
      readBy: ({ modelActivation }) => modelActivation,
      record: ({ activation, from, body: { version, sha256, schema } }) =>
        encodeModel({ activation, from, version, sha256, schema }),
    })
    this.#log = log
    this.#namespace = plan.namespace
    this.#registry = registry
    this.#output = new ModelOutput(log, plan.namespace)
    this.#killPoint = runtime.killPoint
    this.#say = say
  }

  /** Versions that did not become live, by why. */
  get refused(): ReadonlyMap<ActivationRefusal, number> {
    return this.#refused
  }

  /** What scores at a time, milliseconds; null: nothing does. */
  liveAt(time: number): LiveModel | null {
    const live = this.known.findLast(({ from }) => from <= time)
    if (live === undefined) return null
    const { version } = live.body
    const publishedMs = this.#publishedMs.get(version) ?? live.storedMs ?? time
    return { version, activation: live.activation, publishedMs }
  }

  /** As of every registry, after what the trainer has published since the last look was decided. */
  override async look(): Promise<void> {
    await this.read()
    await this.#readPublished()
    await this.#decide()
    await super.look()
    if (this.#filesAreBounded) return
    const pinned = this.known.slice(-PINNED).map(({ body }) => body.sha256)
    await forgetFiles(this.#log, this.#namespace, pinned)
    this.#filesAreBounded = true
  }

  async #readPublished(): Promise<void> {
    for (const { record, storedMs } of await this.#output.read()) {
      if (!isPublished(record)) continue
      this.#waiting.push(record)
      this.#publishedMs.set(record.version, storedMs)
      if (this.#publishedMs.size > PUBLISHED_KNOWN) this.#publishedMs.delete(this.#publishedMs.keys().next().value!)
      this.#filesAreBounded = false
    }
  }

  /** Until there is none left, or the log does not take it now: the next look goes on there. */
  async #decide(): Promise<void> {
    for (let next = this.#waiting[0]; next !== undefined; next = this.#waiting[0]) {
      if (!(await this.#isDecided(next, this.newest))) return
      this.#waiting.shift()
    }
  }

  async #isDecided(model: PublishedModel, newest: VersionActivation | null): Promise<boolean> {
    const { version, parent, sha256, schema } = model
    const verdict = verdictOn(model, newest)
    if (verdict === 'decided') return true
    if (verdict === 'parent') {
      const live = newest?.body.version ?? 0
      const why = `model version ${version} does not become live: it was compared with another`
      this.#refuse(new HoldfastError('MODEL_REFUSED', why, { reason: verdict, parent, live }))
      return true
    }
    try {
      await versionFile(this.#log, this.#namespace, model)
    } catch (error) {
      if (!(error instanceof HoldfastError) || error.code !== 'MODEL_REFUSED') throw error
      this.#refuse(error)
      return true
    }
    this.#killPoint('K13')
    const outcome = await this.#registry.append({ version, sha256, schema, seen: version }, 0, newest)
    await this.read()
    if (outcome.kind === 'stored') this.#say(`model version ${version} is live (activation ${this.newest?.activation})`)
    return outcome.kind === 'stored'
  }

  #refuse(refusal: HoldfastError): void {
    const reason = refusal.numbers.reason as ActivationRefusal
    this.#refused.set(reason, (this.#refused.get(reason) ?? 0) + 1)
    this.#say(refusal.message)
  }
}

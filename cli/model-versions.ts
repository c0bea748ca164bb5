// The versions of a namespace, as its log has them, and what can be done about which of them is live.
// MC1: what is activated is sound: its file is there, and loaded as a scorer loads it.
// MC2: one message is written, by compare-and-set on the newest activation (topology/activation-registry.ts); the same again is none.
// Commands are in cli/model-command.ts, their texts in cli/model-text.ts.

import { HoldfastError } from '../log/errors.ts'
import { type Log, LogUnavailable } from '../log/log.ts'
import { connectLog } from '../log/nats-log.ts'
import { versionFile } from '../topology/model-files.ts'
import {
  isPublished,
  ModelOutput,
  ModelRegistry,
  type PublishedModel,
  type StoredModel,
  type VersionActivation,
} from '../topology/model-registry.ts'
import { OnnxModel } from '../topology/models/onnx-model.ts'

/** Where a namespace is. */
export interface Where {
  readonly nats: string
  readonly namespace: string
}

/** All that a namespace's log says of models. */
export class Versions {
  readonly log: Log
  readonly where: Where
  readonly registry: ModelRegistry
  readonly models: readonly StoredModel[]
  /** Those that are kept, oldest first. */
  readonly activations: readonly VersionActivation[]

  private constructor(log: Log, where: Where, models: readonly StoredModel[], activations: VersionActivation[]) {
    this.log = log
    this.where = where
    this.registry = new ModelRegistry(log, where.namespace)
    this.models = models
    this.activations = activations
  }

  /** Throws USAGE where nothing was published. */
  static async read(log: Log, where: Where): Promise<Versions> {
    const models = await new ModelOutput(log, where.namespace).read()
    const activations = await new ModelRegistry(log, where.namespace).all()
    if (models.length > 0) return new Versions(log, where, models, activations)
    throw new HoldfastError('USAGE', `${where.nats} knows no models of namespace ${where.namespace}`)
  }

  get published(): readonly PublishedModel[] {
    return this.models.map(({ record }) => record).filter(isPublished)
  }

  get newest(): VersionActivation | null {
    return this.activations.at(-1) ?? null
  }

  /** What scores now. */
  get live(): VersionActivation | null {
    const now = Date.now()
    return this.activations.findLast(({ from }) => from <= now) ?? null
  }

  /** Throws USAGE. */
  version(number: number): PublishedModel {
    const found = this.published.find(({ version }) => version === number)
    if (found !== undefined) return found
    const known = this.published.map(({ version }) => version)
    const which = known.length === 0 ? 'none was' : `those are ${Math.min(...known)} to ${Math.max(...known)}`
    throw new HoldfastError('USAGE', `no version ${number} was published: ${which}`)
  }

  /** Throws MODEL_REFUSED. */
  async file(number: number): Promise<Uint8Array> {
    return versionFile(this.log, this.where.namespace, this.version(number))
  }
}

/** Reads, works and lets go. Throws USAGE where the server does not answer. */
export async function withVersions<T>(where: Where, work: (versions: Versions) => Promise<T>): Promise<T> {
  try {
    const log = await connectLog({ servers: where.nats, name: 'model' })
    try {
      return await work(await Versions.read(log, where))
    } finally {
      await log.close()
    }
  } catch (error) {
    if (!(error instanceof LogUnavailable)) throw error
    throw new HoldfastError('USAGE', `cannot use ${where.nats}: ${error.message}`)
  }
}

/** Makes a version live; what became of it, in one line. `from`: order time, milliseconds; 0: at its place in the log. */
export async function activate(versions: Versions, number: number, from: number): Promise<string> {
  const { version, sha256, schema } = versions.version(number)
  const { newest, live, registry } = versions
  const now = Date.now()
  const holds = newest !== null && newest.body.version === version
  if (holds && (newest.from === from || (from <= now && newest.from <= now)))
    return `no change: ${describe(newest)} already`
  if (from > now && newest !== null && newest.from > now)
    throw new HoldfastError(
      'USAGE',
      `${describe(newest)}, waits for its time already: one may; activate without --from`,
    )
  await (await OnnxModel.load(await versions.file(version), sha256)).close()
  const seen = Math.max(...versions.published.map((one) => one.version), live?.body.seen ?? 0)
  const outcome = await registry.append({ version, sha256, schema, seen }, from, newest)
  switch (outcome.kind) {
    case 'stored':
      return describe(outcome.activation)
    case 'refused':
      throw new Error(
        `not done: somebody else was first (${outcome.newest === null ? 'gone' : describe(outcome.newest)})`,
      )
    case 'full':
      throw new Error('not done: the registry is full; a node that runs takes what waits there')
    case 'unknown':
      throw new Error(`the server did not say whether it has it (${outcome.cause}): do it again, it is done once`)
  }
}

/** Goes back to a version, that before the live one where none is named; as activate(). */
export async function rollback(versions: Versions, number: number | undefined): Promise<string> {
  const { live } = versions
  if (live === null) throw new HoldfastError('USAGE', 'no version is live: there is nothing to go back from')
  const of = live.body.version
  const target = number ?? versions.version(of).parent
  if (target === 0) throw new HoldfastError('USAGE', `version ${of} is live, and there was none before it`)
  if (target >= of)
    throw new HoldfastError(
      'USAGE',
      `version ${of} is live, and ${target} is not before it: \`model activate\` makes it live`,
    )
  return activate(versions, target, 0)
}

/** An activation in one line. */
export function describe({ activation, from, body: { version } }: VersionActivation): string {
  const since = from === 0 ? 'its place in the log' : new Date(from).toISOString()
  return `activation ${activation}: model version ${version}, from ${since}`
}

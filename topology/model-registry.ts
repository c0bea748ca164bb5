// Which version of a model is live, and what may become it (`clock: wall`; docs/model-loop.md).
// MV1: a version is a record of the output `models`, which never changes, and a file in the bucket, under its SHA-256.
// MV2: a version becomes live by itself only if its parent is the live one: beside that one it was compared.
// MV3: an activation says how far it has looked: only versions that were published after that become live by themselves. So
//      what somebody went back from does not come back; a later version does, once it was compared with the one that is live.
// Activations are those of topology/activation-registry.ts; topology/model-keeper.ts makes them of what the trainer publishes.

import { HoldfastError } from '../log/errors.ts'
import type { Log, LogMessage } from '../log/log.ts'
import { MODELS, type ModelRecord } from '../operators/model-records.ts'
import { type Activation, ActivationRegistry, type RegistryKind } from './activation-registry.ts'
import { MODEL } from './control.ts'
import { outputStream } from './plan.ts'

/** What an activation of a model is of. */
export interface ActiveVersion {
  readonly version: number
  readonly sha256: string
  readonly schema: string
  /** The newest version that was published when this was decided (MV3). */
  readonly seen: number
}

export type VersionActivation = Activation<ActiveVersion>

const isCount = (value: unknown): boolean => Number.isSafeInteger(value) && (value as number) >= 1

export const MODEL_ACTIVATIONS: RegistryKind<ActiveVersion> = {
  kind: MODEL,
  name: 'model',
  // Two hashes, two numbers.
  bodyBytesMax: 1024,
  isBody(value): value is ActiveVersion {
    const { version, sha256, schema, seen } = value as Record<string, unknown>
    return isCount(version) && isCount(seen) && typeof sha256 === 'string' && typeof schema === 'string'
  },
}

export class ModelRegistry extends ActivationRegistry<ActiveVersion> {
  constructor(log: Log, namespace: string) {
    super(log, namespace, MODEL_ACTIVATIONS)
  }
}

export type PublishedModel = Extract<ModelRecord, { kind: 'published' }>

/** A record of `models` as it lies there. */
export interface StoredModel {
  readonly record: ModelRecord
  /** On the broker's clock, milliseconds. */
  readonly storedMs: number
}

export const isPublished = (record: ModelRecord): record is PublishedModel => record.kind === 'published'

/** Whether a published version becomes live by itself. `decided`: it was published before the newest activation (MV3). */
export type Verdict = 'activate' | 'decided' | 'parent'

/** MV2, MV3. `newest`: of the registry; null: no version was ever live. */
export function verdictOn(
  { version, parent }: Pick<PublishedModel, 'version' | 'parent'>,
  newest: Pick<VersionActivation, 'body'> | null,
): Verdict {
  const { version: live, seen } = newest?.body ?? { version: 0, seen: 0 }
  if (version <= seen) return 'decided'
  return parent === live ? 'activate' : 'parent'
}

/** Messages that are asked for at once. */
const READ_AT_ONCE = 64

/** The output `models` of a namespace, read from its beginning on. */
export class ModelOutput {
  readonly #log: Log
  readonly #namespace: string
  /** By partition: sequence of the next message. */
  #next: readonly number[] = []

  constructor(log: Log, namespace: string) {
    this.#log = log
    this.#namespace = namespace
  }

  /** What is new since the last time. Throws LogUnavailable, and then nothing was read; FOREIGN_WRITE for what is no record. */
  async read(): Promise<StoredModel[]> {
    const found: StoredModel[] = []
    const next: number[] = []
    for (let partition = 0; ; partition++) {
      const stream = outputStream(this.#namespace, MODELS, partition)
      const state = await this.#log.streamState(stream)
      if (state === null) break
      const from = Math.max(this.#next[partition] ?? 1, state.firstSeq)
      for (let seq = from; seq <= state.lastSeq; seq += READ_AT_ONCE) {
        const count = Math.min(READ_AT_ONCE, state.lastSeq - seq + 1)
        const messages = await Promise.all(Array.from({ length: count }, (_, i) => this.#log.message(stream, seq + i)))
        for (const message of messages) if (message !== null) found.push(...recordsIn(message))
      }
      next[partition] = state.lastSeq + 1
    }
    this.#next = next
    return found
  }
}

/** A message is one record, or a frame of them. */
function recordsIn({ payload, subject, seq, timeMs }: LogMessage): StoredModel[] {
  const value = JSON.parse(Buffer.from(payload).toString()) as ModelRecord | readonly ModelRecord[]
  const records = 'length' in value ? value : [value]
  return records.map((record) => {
    const isWhole =
      typeof record.sha256 === 'string' &&
      (record.kind === 'refused' || (record.kind === 'published' && isCount(record.version)))
    if (!isWhole) throw new HoldfastError('FOREIGN_WRITE', 'a message of the output is of no model', { subject, seq })
    return { record, storedMs: timeMs }
  })
}

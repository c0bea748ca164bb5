// Which streams a plan needs, and how the room on the server is shared among them.

import type { BucketSpec } from '../log/blobs.ts'
import { HoldfastError } from '../log/errors.ts'
import type { Log, StreamSpec } from '../log/log.ts'
import { MODELS } from '../operators/model-records.ts'
import { type RegistryRoom, registryBytes, registrySpec } from './activation-registry.ts'
import { CONFIGS } from './config-registry.ts'
import { MODELS_BEFORE_MAX } from './control.ts'
import { TRIM_BYTES } from './input-trim.ts'
import { MODEL_ACTIVATIONS } from './model-registry.ts'
import {
  type OutputPlan,
  outputStream,
  outputSubject,
  type Plan,
  stageStream,
  stageSubjects,
  takesEvents,
} from './plan.ts'

const TRIMS_PER_ROOM = 4
/** The largest frame (512 KiB) of each of two writers, which stays, and the next of both. */
const INPUT_BYTES_MIN = 2 * 1024 * 1024

/** Newest versions whose files are kept, beside those that score or will: as many as one may want to go back to. */
export const MODEL_FILES_KEPT = 10
/** Bytes of a file, for each window: 2^18 weights in single precision, and means of counts. */
const FILE_BYTES_PER_WINDOW = 4 * 2 ** 18 + 64 * 1024
/** Bytes of what else is in a file: a fallback of a megabyte at most, golden rows, and that again. */
const FILE_BYTES_BESIDE = 2 * 1024 * 1024
/** Windows of a model where a plan does not say what its files have: one more than are declared by default. */
const WINDOWS_DEFAULT = 4
/** Beside those that are kept: older ones that tasks may ask for, and one that is being put. */
const MODEL_FILES_BESIDE = 1 + MODELS_BEFORE_MAX + 1

/** Shares of the room: whole events at the source, pruned records between stages, single records in outputs. */
const WEIGHT = { source: 4, exchange: 2, output: 1 } as const

export interface StreamSettings {
  /** Bytes for all streams of the namespace together. */
  readonly totalBytes: number
  readonly replicas: number
}

/** The streams of a plan with their limits; the limits add up to at most totalBytes. */
export function streamSpecs(plan: Plan, { totalBytes, replicas }: StreamSettings): StreamSpec[] {
  const weighted = plan.stages.flatMap((stage) => {
    const weight = takesEvents(stage) ? WEIGHT.source : WEIGHT.exchange
    const partitions = Array.from({ length: plan.partitions }, (_, p) => p)
    const input = partitions.map((p) => ({
      weight: weight as number,
      name: stageStream(plan.namespace, stage.name, p),
      subject: stageSubjects(plan.namespace, stage.name, p),
      atomic: false,
    }))
    const outputs = stage.outputs.flatMap(({ name, mode, room = 1 }) =>
      partitions.map((p) => ({
        weight: WEIGHT.output * room,
        name: outputStream(plan.namespace, name, p),
        subject: outputSubject(plan.namespace, name, p),
        atomic: mode === 'records',
      })),
    )
    return [...input, ...outputs]
  })
  const toCome = (plan.stagesMax - plan.stages.length) * plan.partitions * WEIGHT.exchange
  const all = weighted.reduce((sum, { weight }) => sum + weight, toCome)
  const shared = totalBytes - fixedBytes(plan)
  const specs = weighted.map(({ weight, name, subject, atomic }) => ({
    name,
    subjects: [subject],
    maxBytes: Math.floor((shared * weight) / all),
    replicas,
    maxAgeMs: 0,
    atomic,
  }))
  return [...registriesOf(plan).map((of) => registrySpec(plan.namespace, of, replicas)), ...specs]
}

/** Bytes that a file of a model has at most. */
export const modelFileBytes = (windows: number): number => windows * FILE_BYTES_PER_WINDOW + FILE_BYTES_BESIDE

/** The bucket with the files of a namespace's models, with room for those that are kept. `fileBytes`: of the largest. */
export function modelBucket(
  namespace: string,
  replicas: number,
  fileBytes = modelFileBytes(WINDOWS_DEFAULT),
): BucketSpec {
  const maxBytes = (MODEL_FILES_KEPT + MODEL_FILES_BESIDE) * fileBytes
  return { name: modelBucketName(namespace), maxBytes, replicas }
}

export const modelBucketName = (namespace: string): string => `${namespace}_models`

/** The output of models, which have their files in a bucket; undefined: there is none. */
const modelOutputOf = ({ stages }: Plan): OutputPlan | undefined =>
  stages.flatMap(({ outputs }) => outputs).find(({ name }) => name === MODELS)

/** null: the plan publishes no models. */
function bucketOf(plan: Plan, replicas: number): BucketSpec | null {
  const output = modelOutputOf(plan)
  return output === undefined ? null : modelBucket(plan.namespace, replicas, output.fileBytes)
}

/** A file's run has one configuration, from its first line to its last, and what its trainer publishes holds by itself. */
function registriesOf(plan: Plan): readonly RegistryRoom[] {
  if (plan.clock !== 'wall') return []
  return modelOutputOf(plan) !== undefined ? [CONFIGS, MODEL_ACTIVATIONS] : [CONFIGS]
}

/** Bytes of the room that are not shared by weight. */
function fixedBytes(plan: Plan): number {
  const registries = registriesOf(plan).reduce((sum, of) => sum + registryBytes(of), 0)
  return registries + (bucketOf(plan, 1)?.maxBytes ?? 0)
}

/**
 * Bytes of input between two trims of a task: a quarter of the room of the smallest input stream, so that what nobody needs
 * any more never fills it, and no more than TRIM_BYTES. `kept`: half of that room, so that all of a short life can be read.
 */
export function trimBytesFor(plan: Plan, settings: StreamSettings, input: 'trimmed' | 'kept' = 'trimmed'): number {
  const quarter = Math.floor(smallestInput(plan, settings) / TRIMS_PER_ROOM)
  return input === 'kept' ? 2 * quarter : Math.min(TRIM_BYTES, quarter)
}

/** Throws USAGE where an input stream would be too small for its writers to go on while its task trims it. */
export function refuseTooSmall(plan: Plan, settings: StreamSettings): void {
  if (smallestInput(plan, settings) >= INPUT_BYTES_MIN) return
  // What share of the room the smallest one has, whatever there is of it.
  const ample = settings.totalBytes + fixedBytes(plan)
  const least = smallestInput(plan, { ...settings, totalBytes: ample })
  const needed = fixedBytes(plan) + Math.ceil((settings.totalBytes * INPUT_BYTES_MIN) / least)
  throw new HoldfastError(
    'USAGE',
    `${settings.totalBytes} bytes for the log are too few for this plan: ${needed} or more`,
  )
}

/** Bytes that the smallest input stream of a plan may hold. */
function smallestInput(plan: Plan, settings: StreamSettings): number {
  const inputs = new Set(plan.stages.map(({ name }) => stageStream(plan.namespace, name, 0)))
  return Math.min(...streamSpecs(plan, settings).flatMap(({ name, maxBytes }) => (inputs.has(name) ? [maxBytes] : [])))
}

/** Creates what is missing and compares what is there. */
export async function ensureStreams(log: Log, specs: readonly StreamSpec[]): Promise<void> {
  await Promise.all(specs.map((spec) => log.ensureStream(spec)))
}

/** The bucket of a plan's models, where it has some. */
export async function ensureModelBucket(log: Log, plan: Plan, { replicas }: StreamSettings): Promise<void> {
  const bucket = bucketOf(plan, replicas)
  if (bucket !== null) await log.ensureBucket(bucket)
}

/** The first of these streams that holds messages already; null if all are empty. */
export async function firstUsed(log: Log, specs: readonly StreamSpec[]): Promise<string | null> {
  const states = await Promise.all(specs.map(({ name }) => log.streamState(name)))
  const used = states.findIndex((state) => (state?.lastSeq ?? 0) > 0)
  return used === -1 ? null : specs[used]!.name
}

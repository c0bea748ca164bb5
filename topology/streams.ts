// Which streams a plan needs, and how the room on the server is shared among them.

import { HoldfastError } from '../log/errors.ts'
import type { Log, StreamSpec } from '../log/log.ts'
import { REGISTRY_BYTES, registrySpec } from './config-registry.ts'
import { TRIM_BYTES } from './input-trim.ts'
import { outputStream, outputSubject, type Plan, stageStream, stageSubjects } from './plan.ts'

const TRIMS_PER_ROOM = 4
/** The largest frame (512 KiB) of each of two writers, which stays, and the next of both. */
const INPUT_BYTES_MIN = 2 * 1024 * 1024

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
    const weight = stage.ingress === null ? WEIGHT.exchange : WEIGHT.source
    const partitions = Array.from({ length: plan.partitions }, (_, p) => p)
    const input = partitions.map((p) => ({
      weight: weight as number,
      name: stageStream(plan.namespace, stage.name, p),
      subject: stageSubjects(plan.namespace, stage.name, p),
      atomic: false,
    }))
    const outputs = stage.outputs.flatMap(({ name, mode }) =>
      partitions.map((p) => ({
        weight: WEIGHT.output as number,
        name: outputStream(plan.namespace, name, p),
        subject: outputSubject(plan.namespace, name, p),
        atomic: mode === 'records',
      })),
    )
    return [...input, ...outputs]
  })
  const toCome = (plan.stagesMax - plan.stages.length) * plan.partitions * WEIGHT.exchange
  const all = weighted.reduce((sum, { weight }) => sum + weight, toCome)
  const shared = totalBytes - registryBytes(plan)
  const specs = weighted.map(({ weight, name, subject, atomic }) => ({
    name,
    subjects: [subject],
    maxBytes: Math.floor((shared * weight) / all),
    replicas,
    maxAgeMs: 0,
    atomic,
  }))
  return hasRegistry(plan) ? [registrySpec(plan.namespace, replicas), ...specs] : specs
}

/** A file's run has one configuration, from its first line to its last. */
const hasRegistry = ({ clock }: Plan): boolean => clock === 'wall'

const registryBytes = (plan: Plan): number => (hasRegistry(plan) ? REGISTRY_BYTES : 0)

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
  const ample = settings.totalBytes + registryBytes(plan)
  const least = smallestInput(plan, { ...settings, totalBytes: ample })
  const needed = registryBytes(plan) + Math.ceil((settings.totalBytes * INPUT_BYTES_MIN) / least)
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

/** The first of these streams that holds messages already; null if all are empty. */
export async function firstUsed(log: Log, specs: readonly StreamSpec[]): Promise<string | null> {
  const states = await Promise.all(specs.map(({ name }) => log.streamState(name)))
  const used = states.findIndex((state) => (state?.lastSeq ?? 0) > 0)
  return used === -1 ? null : specs[used]!.name
}

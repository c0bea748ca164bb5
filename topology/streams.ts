// Which streams a plan needs, and how the room on the server is shared among them.

import type { Log, StreamSpec } from '../log/log.ts'
import { outputStream, outputSubject, type Plan, stageStream, stageSubjects } from './plan.ts'

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
  const all = weighted.reduce((sum, { weight }) => sum + weight, 0)
  return weighted.map(({ weight, name, subject, atomic }) => ({
    name,
    subjects: [subject],
    maxBytes: Math.floor((totalBytes * weight) / all),
    replicas,
    maxAgeMs: 0,
    atomic,
  }))
}

/** Creates what is missing and compares what is there. */
export async function ensureStreams(log: Log, specs: readonly StreamSpec[]): Promise<void> {
  await Promise.all(specs.map((spec) => log.ensureStream(spec)))
}

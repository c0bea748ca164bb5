// What a read has to wait for that is to show a record's consequences in a later stage.
// CQ1: a task has applied them when it has applied the numbers that the tasks before it had published to it when those had applied
//      them, on every way that leads there. What a timer will make of a record one day, nobody waits for.
// How a commit is waited for is in topology/host.ts.

import { assert } from '../log/errors.ts'
import type { CommitRecord } from './commit-record.ts'
import type { CommitMark } from './host.ts'
import { type Plan, type StagePlan, stageSubject, taskName, taskNames } from './plan.ts'

/** The stages on the ways from one to another, but the first, in the order of the plan; null: no way leads there. */
export function stagesBetween({ stages }: Plan, from: string, to: string): readonly StagePlan[] | null {
  if (from === to) return []
  const behind = new Set([from])
  for (const { name, inputs } of stages) if (inputs.some(({ stage }) => behind.has(stage))) behind.add(name)
  if (!behind.has(to)) return null
  const before = new Set([to])
  for (const { name, inputs } of stages.toReversed())
    if (before.has(name)) for (const { stage } of inputs) before.add(stage)
  return stages.filter(({ name }) => name !== from && behind.has(name) && before.has(name))
}

export interface Beginning {
  /** Of stagesBetween(). */
  readonly way: readonly StagePlan[]
  /** The task that read the record, and a commit of it that has it. */
  readonly task: string
  readonly commit: CommitRecord
  /** Those of the last stage that are to have the consequences. */
  readonly partitions: readonly number[]
}

/** Settles when they are applied. `reached` brings a commit of a task that has a mark, or throws. */
export async function consequencesApplied(
  plan: Plan,
  { way, task, commit, partitions }: Beginning,
  reached: (stage: string, partition: number, mark: CommitMark) => Promise<CommitRecord>,
): Promise<void> {
  const commits = new Map([[task, commit]])
  for (const [i, { name, inputs }] of way.entries()) {
    const senders = inputs.flatMap(({ stage }) => taskNames(stage, plan.partitions)).filter((each) => commits.has(each))
    assert(senders.length > 0, 'a stage on the way gets records of one before it')
    const asked =
      i === way.length - 1 ? partitions : Array.from({ length: plan.partitions }, (_, partition) => partition)
    const waits = asked.map(async (partition) => {
      const subjectOf = (writer: string): string => stageSubject(plan.namespace, name, partition, writer)
      for (const writer of senders) {
        const number = commits.get(writer)!.destinations[subjectOf(writer)]?.number ?? 0
        // The last of them has what the others have: commits follow each other.
        commits.set(taskName(name, partition), await reached(name, partition, { kind: 'taken', writer, number }))
      }
    })
    await Promise.all(waits)
  }
}

// A state of one operator, as a task leaves it: records through the operator, on the stores of a task over a simulated disk, with the
// commit record that readers are told by. For tests of what is read of it; nothing but the records is made up.

import type { Operator, Rec } from '../operators/operator.ts'
import type { Backend } from '../state/backend.ts'
import { MemoryDisk } from '../state/memory-backend.ts'
import { TaskState } from '../state/task-state.ts'
import { type CommitRecord, encodeCommitRecord, NOWHERE } from '../topology/commit-record.ts'
import type { Plan } from '../topology/plan.ts'
import { Context, Runner, slicesOf } from './operator-harness.ts'

const SLICE_RECORDS = 1_000

/** Up to where a task has come. */
export type Reached = Pick<CommitRecord, 'watermark' | 'drained'> & { readonly asOf: number | null }

/** The state of a task of the plan's first stage after these records, which come in this order; opened anew by each call. */
export async function operatorState<In>(
  { stages }: Plan,
  records: readonly Rec<In>[],
  reached: Reached,
): Promise<() => Promise<Backend>> {
  const disk = new MemoryDisk()
  const { operator, stores } = stages[0]!.nodes[0]!
  const state = await TaskState.open(disk.open(), stores)
  const named = new Map(operator.stores.map(({ name }, i) => [name, stores[i]!.name]))
  const context = new Context({
    keyed: (name) => state.keyed(named.get(name)!),
    seen: (name) => state.seen(named.get(name)!),
    holds: (name, onLeftOut) => state.holds(named.get(name)!, onLeftOut),
  })
  const runner = new Runner(operator as Operator<In, unknown>, context)
  for (const slice of slicesOf(records, SLICE_RECORDS)) {
    ;(operator as Operator<In, unknown>).keys?.(slice, context)
    await state.prefetch()
    runner.process(slice)
    await state.write(state.cut(), metaOf(reached, context.counts))
  }
  await state.write(state.cut(), metaOf(reached, context.counts))
  await state.close()
  return async () => disk.open()
}

function metaOf({ watermark, drained, asOf }: Reached, counts: Readonly<Record<string, number>>): string {
  const highs: Record<string, number> = asOf === null ? {} : { as_of: asOf }
  return encodeCommitRecord({
    ...{ fingerprint: '', edition: { number: 1, begun: [] } as never, generation: 1, epoch: 1, position: NOWHERE },
    ...{ watermark, highestTime: watermark, asOf: watermark, config: 'c', writers: {}, destinations: {} },
    ...{ tally: { counts, highs }, controls: [], drained },
  })
}

// Runs one operator on the real stores of a task, over a simulated disk: a cache of a few entries, a commit after every slice
// and a restart after every few, so that what an operator reads has been written, evicted and read back.
// What it touches and whether it says what it changed: test/operator-harness.ts.

import type { Operator, Rec } from '../operators/operator.ts'
import { MemoryDisk } from '../state/memory-backend.ts'
import { TaskState } from '../state/task-state.ts'
import { Context, type Outcome, Runner, slicesOf } from './operator-harness.ts'

/** Slices between two restarts of runOnTaskState. */
const RESTART_EVERY_SLICES = 5
/** So small that entries leave memory all the time. */
const CACHE_ENTRIES = 4

/** `dump`: what is left in them, with their settings, as lines of text. */
export async function runOnTaskState<In, Out>(
  operator: Operator<In, Out>,
  records: readonly Rec<In>[],
  { sliceRecords }: { sliceRecords: number },
): Promise<Pick<Outcome<Out>, 'out' | 'counts' | 'highest'> & { readonly dump: readonly string[] }> {
  const disk = new MemoryDisk()
  const open = () => TaskState.open(disk.open(), operator.stores, { keyedCacheEntries: CACHE_ENTRIES })
  let state = await open()
  const context = new Context({ keyed: (name) => state.keyed(name), seen: (name) => state.seen(name) })
  const runner = new Runner(operator, context)
  let slices = 0
  for (const slice of slicesOf(records, sliceRecords)) {
    operator.keys?.(slice, context)
    await state.prefetch()
    runner.process(slice)
    const cut = state.cut()
    await state.write(cut, '')
    state.publishSnapshot(cut)
    if (++slices % RESTART_EVERY_SLICES !== 0) continue
    await state.close()
    state = await open()
  }
  const dump: string[] = []
  for await (const line of state.dump()) dump.push(line)
  await state.close()
  return { out: runner.out, counts: context.counts, highest: context.maxima, dump }
}

// Runs one operator on the real stores of a task, over a simulated disk: a cache of a few entries, a commit after every slice
// and a restart after every few, so that what an operator reads has been written, evicted and read back.
// What it touches and whether it says what it changed: test/operator-harness.ts.

import { assert } from '../log/errors.ts'
import type { Operator, OperatorContext, Rec } from '../operators/operator.ts'
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
  assert(operator.timers === undefined, 'an operator with timers runs on real stores in test/stage-harness.ts')
  const disk = new MemoryDisk()
  const open = () => TaskState.open(disk.open(), operator.stores, { keyedCacheEntries: CACHE_ENTRIES })
  let state = await open()
  const context = new Context({
    keyed: (name) => state.keyed(name),
    seen: (name) => state.seen(name),
    holds: (name, onLeftOut) => state.holds(name, onLeftOut),
  })
  const runner = new Runner(operator, context)
  let slices = 0
  for (const slice of slicesOf(records, sliceRecords)) {
    await commitSlice(state, operator, { context, runner, slice })
    if (++slices % RESTART_EVERY_SLICES !== 0) continue
    await state.close()
    state = await open()
  }
  const dump: string[] = []
  for await (const line of state.dump()) dump.push(line)
  await state.close()
  return { out: runner.out, counts: context.counts, highest: context.maxima, dump }
}

/** One slice through an operator, the way a task does it, with a commit and a snapshot after it. */
export async function commitSlice<In, Out>(
  state: TaskState,
  operator: Operator<In, Out>,
  run: { readonly context: OperatorContext; readonly runner: Runner<In, Out>; readonly slice: readonly Rec<In>[] },
): Promise<void> {
  operator.keys?.(run.slice, run.context)
  await state.prefetch()
  run.runner.process(run.slice)
  const cut = state.cut()
  await state.write(cut, '')
  state.publishSnapshot(cut)
}

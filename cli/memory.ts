// How much of the memory of a machine or container the filters of seen ids may take, decided before anything is opened.
// ME1: what is left after the process itself is shared evenly by the tasks that have seen ids: threads share no memory.
// ME2: whoever is refused is told the option and the sum. Caches are not in it: they have bounds, and give way to nothing
//      (docs/capacity.md).
// What a task does when its filters outgrow their room: state/filter-room.ts.

import { totalmem } from 'node:os'
import { HoldfastError } from '../log/errors.ts'
import { DUPLICATES_DEFAULT } from '../operators/duplicate-rule.ts'
import type { FilterRoom } from '../state/filter-room.ts'
import { expectedFilters, lineText, processMemory } from '../topology/capacity.ts'
import { tasksOf } from '../topology/host.ts'
import type { Plan } from '../topology/plan.ts'
import { bytesText } from './byte-count.ts'

export interface MemoryOptions {
  /** Bytes; not given: what the container or the machine has. */
  readonly memory?: number | undefined
  readonly threads: number
  /** Different events a day, all partitions together; not given: not known. */
  readonly expectIdsPerDay?: number | undefined
}

/** The room of each task of a plan. Throws USAGE where the process alone, or the ids expected, do not fit. */
export function filterRoomFor(plan: Plan, { memory, threads, expectIdsPerDay }: MemoryOptions): FilterRoom {
  const limit = memory ?? availableMemory()
  const process = processMemory(Math.min(threads, tasksOf(plan).length))
  const what = memory === undefined ? `${bytesText(limit)} of memory here (--memory)` : `--memory ${bytesText(limit)}`
  const taken = process.lines.map((line) => `${line.what} ${bytesText(line.product)}`).join(' + ')
  const left = limit - process.total
  if (left <= 0)
    throw new HoldfastError('USAGE', `${what} is less than the process takes: ${taken} = ${bytesText(process.total)}`)
  const tasks = plan.stages.filter(({ stores }) => stores.some(({ kind }) => kind === 'seen')).length * plan.partitions
  const room = {
    bytes: left / tasks,
    sum: `${bytesText(left / tasks)} of each of ${tasks} tasks = (${what} - ${bytesText(process.total)} of the process) / ${tasks}; more --memory helps`,
  }
  if (expectIdsPerDay !== undefined) refuseExpected(expectIdsPerDay, room, plan.partitions)
  return room
}

/** Nearly all ids are in the first stage: conversions, which the joiner knows, are few. */
function refuseExpected(idsPerDay: number, room: FilterRoom, partitions: number): void {
  const days = DUPLICATES_DEFAULT.horizonMs / DAY_MS
  const filters = expectedFilters(idsPerDay, days, partitions)
  if (filters.product <= room.bytes) return
  throw new HoldfastError('USAGE', `--expect-ids-per-day: filters do not fit: ${lineText(filters)} bytes > ${room.sum}`)
}

const DAY_MS = 86_400_000

/** Of the control group where it has a limit, else of the machine. */
function availableMemory(): number {
  const constrained = process.constrainedMemory()
  return constrained > 0 ? Math.min(constrained, totalmem()) : totalmem()
}

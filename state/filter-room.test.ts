// Filters that outgrow their room halt with FILTERS_FULL, on the way and at the next start; nothing that was committed is lost.

import { describe, expect, it } from 'vitest'
import { FilterBudget, type FilterRoom } from './filter-room.ts'
import { MemoryDisk } from './memory-backend.ts'
import type { StoreSpec } from './store.ts'
import { seenIdsIn, TaskState } from './task-state.ts'

const DAY_MS = 86_400_000
const SPECS: readonly StoreSpec[] = [
  { kind: 'seen', id: 1, name: 'ids', bucketMs: DAY_MS },
  { kind: 'seen', id: 2, name: 'orders', bucketMs: DAY_MS },
]
const SUM = '2.5 MiB = (4 MiB - 1.5 MiB) / 1'
const roomOf = (mib: number): FilterRoom => ({ bytes: mib * 2 ** 20, sum: SUM })
/** Every cut seals what it has; the smallest index takes 2 MB. */
const open = (disk: MemoryDisk, mib: number) =>
  TaskState.open(disk.open(), SPECS, { seen: { sealEntries: 1 }, filterRoom: roomOf(mib) })

async function add(state: TaskState, store: string, day: number, ids: number): Promise<void> {
  const seen = state.seen(store)
  for (let i = 0; i < ids; i++) seen.add('user', 'click', `${day}-${i}`, day * DAY_MS, -1)
  const cut = state.cut()
  await state.write(cut, 'meta')
}

describe('filters of seen ids', () => {
  it('of all stores share the room: what is one index too many is FILTERS_FULL, with the sum', async () => {
    const state = await open(new MemoryDisk(), 2.5)
    await add(state, 'ids', 1, 100)
    await add(state, 'ids', 2, 100)
    await expect(add(state, 'orders', 1, 1)).rejects.toMatchObject({
      code: 'FILTERS_FULL',
      message: expect.stringContaining(SUM),
    })
  })

  it('give back what expired', async () => {
    const state = await open(new MemoryDisk(), 2.5)
    await add(state, 'ids', 1, 100)
    state.seen('ids').expireBelow(2)
    await add(state, 'orders', 1, 100)
  })

  it('that do not fit are refused when a state is opened again; with more room it goes on with every id', async () => {
    const disk = new MemoryDisk()
    await add(await open(disk, 2.5), 'ids', 1, 100)
    disk.crash()
    expect(await seenIdsIn(disk.open())).toBe(100)
    disk.crash()
    await expect(open(disk, 1)).rejects.toMatchObject({ code: 'FILTERS_FULL' })
    disk.crash()
    const state = await open(disk, 2.5)
    const seen = state.seen('ids')
    seen.want('user', 'click', '1-99', DAY_MS, DAY_MS)
    await state.prefetch()
    expect(seen.has('user', 'click', '1-99', DAY_MS, DAY_MS)).toBe(true)
  })
})

it('a budget gives to the last byte, and takes back only what it gave', () => {
  const budget = new FilterBudget({ bytes: 10, sum: 'ten' })
  budget.take(10)
  expect(() => budget.take(1)).toThrow('FILTERS_FULL')
  budget.give(4)
  budget.take(4)
  expect(budget.takenBytes).toBe(10)
  expect(() => budget.give(11)).toThrow('taken')
})

// `clock: data`: whatever order records come in, they go on by the order key, each with the watermark just before it.

import { describe, expect, it } from 'vitest'
import { SimRandom } from '../log/sim.ts'
import type { Rec } from '../operators/operator.ts'
import { MemoryDisk } from '../state/memory-backend.ts'
import { TaskState } from '../state/task-state.ts'
import { OrderBuffer } from './order-buffer.ts'
import { HELD } from './pipeline.ts'

async function bufferOn(disk: MemoryDisk) {
  const state = await TaskState.open(disk.open(), [HELD], { queueMemoryEntries: 64 })
  return { state, buffer: new OrderBuffer(state.queue(HELD.name)) }
}

const rec = (
  at: number,
  type: string,
  id: string,
  number: number,
  { late = false, rank = 1 }: { late?: boolean; rank?: 1 | 2 } = {},
): Rec<unknown> => ({
  ...{ value: `${at}/${type}/${id}/${number}`, at, watermark: 0, late, rank, type, id, number, input: 0 },
})

/** Everything up to a watermark; one call brings a bounded number. */
async function releaseAll(buffer: OrderBuffer, watermark: number): Promise<Rec<unknown>[]> {
  const all: Rec<unknown>[] = []
  for (;;) {
    const records = await buffer.release(watermark)
    if (records.length === 0) return all
    expect(records.map(({ input }) => input)).toEqual(records.map((_, i) => i))
    all.push(...records)
  }
}

it('goes by time, rank, type, id, number; strings as UTF-8', async () => {
  const { buffer } = await bufferOn(new MemoryDisk())
  // In UTF-16, U+1F600 comes before U+FB00.
  const inOrder = [
    rec(1, 'z', 'z', 9),
    rec(2, 'a', 'a', 2),
    rec(2, 'a', 'a', 10),
    rec(2, 'a', 'aa', 1),
    rec(2, 'a', '\u{fb00}', 1),
    rec(2, 'a', '\u{1f600}', 1),
    rec(2, 'ab', '', 1, { late: true }),
    // What a timer emitted comes behind the records of its time.
    rec(2, 'a', 'a', 1, { rank: 2 }),
    rec(3, '', '', 0),
  ]
  for (const record of [...inOrder].reverse()) buffer.hold(record)
  expect(await buffer.next(0)).toBe(null)
  expect(await buffer.release(0)).toEqual([])
  expect(await buffer.next(1)).toBe(1)
  const released = await releaseAll(buffer, 3)
  expect(released).toEqual(inOrder.map((record, input) => ({ ...record, watermark: record.at - 1, input })))
})

describe('with commits, spills and restarts between', () => {
  it('is the same order', async () => {
    for (let seed = 1; seed <= 5; seed++) {
      const random = new SimRandom(seed)
      const disk = new MemoryDisk()
      let { state, buffer } = await bufferOn(disk)
      const all: Rec<unknown>[] = []
      const out: Rec<unknown>[] = []
      let watermark = 0
      for (let step = 0; step < 60; step++) {
        for (let i = random.below(40); i > 0; i--) {
          const record = rec(
            watermark + 1 + random.below(300),
            `t${random.below(3)}`,
            `i${random.below(9)}`,
            all.length,
          )
          all.push(record)
          buffer.hold(record)
        }
        watermark += random.below(60)
        out.push(...(await releaseAll(buffer, watermark)))
        if (random.chance(0.5)) await state.write(state.cut(), '{}')
        else if (random.chance(0.3)) {
          await state.write(state.cut(), '{}')
          await state.close()
          ;({ state, buffer } = await bufferOn(disk))
        }
      }
      out.push(...(await releaseAll(buffer, Number.POSITIVE_INFINITY)))
      const key = (r: Rec<unknown>) =>
        [String(r.at).padStart(9, '0'), r.type, r.id, String(r.number).padStart(9, '0')].join('\0')
      expect(out.map(({ value }) => value)).toEqual(
        [...all].sort((a, b) => (key(a) < key(b) ? -1 : 1)).map(({ value }) => value),
      )
    }
  })
})

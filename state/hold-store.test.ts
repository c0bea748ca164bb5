import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import {
  type HeldValue,
  HOLD_BUCKET_MS,
  HOLD_READ_MAX,
  type HoldTier,
  heldCodec,
  holdsConformance,
} from '../test/conformance/holds.ts'
import { StrictHolds } from '../test/operator-harness.ts'
import type { Backend } from './backend.ts'
import { RANGE_DELETE_EVERY_CUTS } from './expiry.ts'
import { READS_AT_ONCE_MAX } from './hold-range.ts'
import { FIRST_HOLDS_MAX, KEPT_HOLDS_MAX, KEPT_RUN_MIN } from './hold-store.ts'
import { MemoryDisk } from './memory-backend.ts'
import { decodeHolds, encodeHolds } from './packed-holds.ts'
import { openRocksBackend } from './rocks-backend.ts'
import { HOLDS_READ_MAX, type StoreSpec } from './store.ts'
import { TaskState, type TaskStateOptions } from './task-state.ts'

const SPEC: StoreSpec = { kind: 'holds', id: 7, name: 'touches', bucketMs: HOLD_BUCKET_MS, codec: heldCodec }
const TINY: TaskStateOptions = { holds: { readMax: HOLD_READ_MAX } }

async function linesOf(state: TaskState): Promise<string[]> {
  const lines: string[] = []
  for await (const line of state.dump()) lines.push(line)
  return lines
}

/** A task's store on a backend that can be opened again. */
async function tierOn(
  open: () => Promise<Backend>,
  crash: ((lost: number) => number) | null,
  { options = TINY, remove = () => {} }: { options?: TaskStateOptions; remove?: () => void } = {},
): Promise<HoldTier> {
  let leftOut = 0
  let state = await TaskState.open(await open(), [SPEC], options)
  const again = async (): Promise<void> => {
    state = await TaskState.open(await open(), [SPEC], options)
  }
  return {
    get store() {
      return state.holds<HeldValue>(SPEC.name, () => leftOut++)
    },
    prefetch: async () => (await state.prefetch()) ?? undefined,
    commit: async () => {
      const cut = state.cut()
      await state.write(cut, '')
      state.publishSnapshot(cut)
    },
    restart: async () => {
      await state.close()
      await again()
    },
    crash:
      crash &&
      (async (lost) => {
        const left = crash(lost)
        await again()
        return left
      }),
    read: async (group, fromMs, toMs) => {
      const snapshot = state.acquireSnapshot()
      const held = await snapshot.holds<HeldValue>(SPEC.name, group, { fromMs, toMs })
      snapshot.release()
      return held
    },
    leftOut: () => leftOut,
    dump: () => linesOf(state),
    close: async () => {
      await state.close()
      remove()
    },
  }
}

async function memoryTier(options: TaskStateOptions = TINY): Promise<HoldTier> {
  const disk = new MemoryDisk()
  const crash = (lost: number): number => {
    disk.crash(lost)
    return disk.batches
  }
  return tierOn(async () => disk.open(), crash, { options })
}

async function rocksTier(): Promise<HoldTier> {
  const path = mkdtempSync(join(tmpdir(), 'holdfast-holds-'))
  return tierOn(() => openRocksBackend(path), null, { remove: () => rmSync(path, { recursive: true }) })
}

/** The list that operators are tested on. */
async function strictTier(): Promise<HoldTier> {
  let leftOut = 0
  const store = new StrictHolds({ bucketMs: HOLD_BUCKET_MS, codec: heldCodec, readMax: HOLD_READ_MAX })
  store.onLeftOut = () => leftOut++
  return {
    store,
    prefetch: async () => {},
    commit: async () => store.endSlice(),
    restart: async () => {},
    crash: null,
    read: null,
    leftOut: () => leftOut,
    dump: async () => store.entries().sort(),
    close: async () => {},
  }
}

describe('stores of holds equal a naive list on random programs', () => {
  test('the strict list', () => holdsConformance(strictTier, 200))
  test('memory, crashes', () => holdsConformance(memoryTier, 200))
  test('memory, filters of two groups', () =>
    holdsConformance(() => memoryTier({ holds: { ...TINY.holds, filterGroupsMax: 2 } }), 100))
  test('memory, runs that stay', () =>
    holdsConformance(() => memoryTier({ holds: { ...TINY.holds, keptRunMin: 1, keptHoldsMax: 1_000 } }), 150))
  test('memory, runs that stay until others push them out', () =>
    holdsConformance(() => memoryTier({ holds: { ...TINY.holds, keptRunMin: 2, keptHoldsMax: 6 } }), 150))
  test('RocksDB', () => holdsConformance(rocksTier, 10))
})

const open = (disk: MemoryDisk, options: TaskStateOptions = {}) => TaskState.open(disk.open(), [SPEC], options)
const touches = (state: TaskState) => state.holds<HeldValue>(SPEC.name)

async function commit(state: TaskState): Promise<void> {
  const cut = state.cut()
  await state.write(cut, '')
  state.publishSnapshot(cut)
}

/** Numbers of the holds that are read. */
async function read(state: TaskState, group: string, fromMs: number, toMs: number): Promise<number[]> {
  touches(state).want(group, fromMs, toMs)
  await state.prefetch()
  return touches(state)
    .get(group, fromMs, toMs)
    .map(({ value }) => value.n)
}

/** A backend that counts what it is asked for. */
function counted(backend: Backend): {
  readonly backend: Backend
  taken(): [keys: number, ranges: number]
  brought(): number
} {
  let [keys, ranges, entries] = [0, 0, 0]
  return {
    /** Entries of ranges, since the last time. */
    brought() {
      const since = entries
      entries = 0
      return since
    },
    /** Since the last time. */
    taken() {
      const since: [number, number] = [keys, ranges]
      keys = 0
      ranges = 0
      return since
    },
    backend: {
      multiGet: (wanted) => {
        keys += wanted.length
        return backend.multiGet(wanted)
      },
      scan: (range, fetched) => backend.scan(range, fetched),
      async last(range, count) {
        ranges++
        const found = await backend.last(range, count)
        entries += found.length
        return found
      },
      write: (batch) => backend.write(batch),
      snapshot: () => backend.snapshot(),
      flush: () => backend.flush(),
      close: () => backend.close(),
    },
  }
}

const [D, H] = [HOLD_BUCKET_MS, HOLD_BUCKET_MS / 2]

describe('stores of holds', () => {
  test('to put reads nothing; first holds are one value, later ones a value each and a mark of the group (H1, H4)', async () => {
    const { backend, taken } = counted(new MemoryDisk().open())
    const state = await TaskState.open(backend, [SPEC])
    taken()
    const putFifty = async (): Promise<number[]> => {
      for (let n = 0; n < 50; n++) touches(state).put(`g${n % 5}`, n % 10, '', { n }, 0)
      expect(state.prefetch()).toBe(null)
      const cut = state.cut()
      const { puts, deletes } = cut.batch
      const counts = [puts.length, deletes.length]
      await state.write(cut, '')
      return counts
    }
    expect(await putFifty()).toEqual([5, 0])
    expect(await putFifty()).toEqual([5 + 10, 0])
    expect(taken()).toEqual([0, 0])
  })

  test('so many holds of a group are packed, and no more (H4)', async () => {
    const state = await open(new MemoryDisk())
    for (let n = 0; n < FIRST_HOLDS_MAX; n++) touches(state).put('few', n, '', { n }, 0)
    for (let n = 0; n < FIRST_HOLDS_MAX + 1; n++) touches(state).put('many', n, '', { n }, 0)
    const cut = state.cut()
    expect(cut.batch.puts.length).toBe(1 + 3)
    await state.write(cut, '')
    expect((await read(state, 'few', 0, D)).length).toBe(FIRST_HOLDS_MAX)
    expect((await read(state, 'many', 0, D)).length).toBe(FIRST_HOLDS_MAX + 1)
  })

  test('the backend is asked only in buckets where the group may be, and for a range only where it is marked (H3)', async () => {
    const disk = new MemoryDisk()
    const first = counted(disk.open())
    let state = await TaskState.open(first.backend, [SPEC])
    touches(state).put('a', H, '1', { n: 1 }, 0)
    touches(state).put('a', 3 * D, '2', { n: 2 }, 0)
    touches(state).put('b', 2 * D, '3', { n: 3 }, 0)
    first.taken()
    expect([await read(state, 'a', 0, 9 * D), first.taken()]).toEqual([
      [1, 2],
      [0, 0],
    ])
    await commit(state)
    expect([await read(state, 'a', 0, 9 * D), first.taken()]).toEqual([
      [1, 2],
      [4, 0],
    ])
    expect([await read(state, 'b', 0, 9 * D), first.taken()]).toEqual([[3], [2, 0]])
    expect([await read(state, 'c', 0, 9 * D), first.taken()]).toEqual([[], [0, 0]])
    touches(state).put('b', 2 * D + 1, '4', { n: 4 }, 0)
    await commit(state)
    expect([await read(state, 'b', 0, 9 * D), first.taken()]).toEqual([
      [3, 4],
      [2, 1],
    ])
    await state.close()
    const second = counted(disk.open())
    state = await TaskState.open(second.backend, [SPEC])
    second.taken()
    expect([await read(state, 'c', 0, 9 * D), second.taken()]).toEqual([[], [6, 0]])
    // Nothing of the bucket of 3 D is as old as the end of the range, and nothing of that of H as young as its start.
    expect([await read(state, 'a', D, 2 * D), second.taken()]).toEqual([[], [2, 0]])
    expect([await read(state, 'a', 5 * D, 6 * D), second.taken()]).toEqual([[], [0, 0]])
    touches(state).put('a', D, 'late', { n: 5 }, 3 * D)
    expect([await read(state, 'a', D, 2 * D), second.taken()]).toEqual([[5], [4, 0]])
    await commit(state)
    expect([await read(state, 'a', D, 2 * D), second.taken()]).toEqual([[5], [4, 1]])
  })

  test('a filter that would outgrow its limit goes: the backend is asked, and nothing is packed any more', async () => {
    const { backend, taken } = counted(new MemoryDisk().open())
    const state = await TaskState.open(backend, [SPEC], { holds: { filterGroupsMax: 2 } })
    for (const group of ['a', 'b']) touches(state).put(group, 0, '', { n: 1 }, 0)
    await commit(state)
    taken()
    expect([await read(state, 'z', 0, D), taken()]).toEqual([[], [0, 0]])
    touches(state).put('c', 0, '', { n: 1 }, 0)
    await commit(state)
    expect([await read(state, 'z', 0, D), taken()]).toEqual([[], [2, 0]])
    touches(state).put('d', 0, '', { n: 2 }, 0)
    await commit(state)
    expect([await read(state, 'd', 0, D), taken()]).toEqual([[2], [2, 1]])
  })

  test('so many ranges are read at once, and no more', async () => {
    const inner = new MemoryDisk().open()
    let [now, most] = [0, 0]
    const last: Backend['last'] = async (range, count) => {
      most = Math.max(most, ++now)
      const entries = await inner.last(range, count)
      now--
      return entries
    }
    const { backend } = counted(inner)
    const state = await TaskState.open({ ...backend, last }, [SPEC])
    const groups = Array.from({ length: 2 * READS_AT_ONCE_MAX }, (_, i) => `g${i}`)
    for (const n of [1, 2]) {
      for (const group of groups) touches(state).put(group, n, '', { n }, 0)
      await commit(state)
    }
    for (const group of groups) touches(state).want(group, 0, D)
    await state.prefetch()
    for (const group of groups) expect(touches(state).get(group, 0, D).length).toBe(2)
    expect(most).toBe(READS_AT_ONCE_MAX)
  })

  test('a commit that is written while a range is read is seen once (H2)', async () => {
    const disk = new MemoryDisk()
    const state = await open(disk)
    touches(state).put('a', 1, 'x', { n: 1 }, 0)
    touches(state).put('a', 2, 'y', { n: 2 }, 0)
    await commit(state)
    touches(state).put('a', 1, 'x', { n: 3 }, 0)
    const cut = state.cut()
    touches(state).want('a', 0, D)
    const loading = state.prefetch()
    await state.write(cut, '')
    await loading
    touches(state).put('a', 0, 'z', { n: 4 }, 0)
    const found = touches(state).get('a', 0, D)
    expect(found.map(({ value }) => value.n)).toEqual([4, 3, 2])
  })

  test('nothing of a hold is in memory once its commit is written (H1)', async () => {
    const state = await open(new MemoryDisk())
    const store = touches(state) as unknown as { holdsInMemory: number }
    for (let n = 0; n < KEPT_RUN_MIN - 1; n++) touches(state).put('a', n, '', { n }, 0)
    const first = state.cut()
    touches(state).put('b', 1, '', { n: 1 }, 0)
    expect(store.holdsInMemory).toBe(KEPT_RUN_MIN)
    await state.write(first, '')
    expect(store.holdsInMemory).toBe(1)
    touches(state).want('a', 0, 200)
    await state.prefetch()
    expect(store.holdsInMemory).toBe(1 + KEPT_RUN_MIN - 1)
    await commit(state)
    expect(store.holdsInMemory).toBe(0)
  })

  /** A state with `count` holds of each group, a millisecond apart, written; and what it then asks the backend. */
  async function written(groups: readonly string[], count: number, holds: TaskStateOptions['holds'] = {}) {
    const { backend, taken, brought } = counted(new MemoryDisk().open())
    const state = await TaskState.open(backend, [SPEC], { holds })
    for (const group of groups) touches(state).put(group, 0, '', { n: 0 }, 0)
    await commit(state)
    for (const group of groups) for (let n = 1; n < count; n++) touches(state).put(group, n, '', { n }, 0)
    await commit(state)
    taken()
    return { state, taken, brought, store: touches(state) as unknown as { holdsInMemory: number } }
  }

  test('ranges of a group that overlap are read once, and hold what they share once (H5)', async () => {
    const { state, taken, brought } = await written(['a'], 1_000)
    const ranges = Array.from({ length: 128 }, (_, i) => [2 * i, 700 + 2 * i] as const)
    for (const [fromMs, toMs] of ranges) touches(state).want('a', fromMs, toMs)
    touches(state).want('a', 990, 1_100)
    await state.prefetch()
    expect(taken()).toEqual([2 * 2, 2])
    expect(brought()).toBe(954 + 10)
    const found = ranges.map(([fromMs, toMs]) => touches(state).get('a', fromMs, toMs))
    found.forEach((entries, i) => {
      expect(entries.map(({ value }) => value.n)).toEqual(Array.from({ length: 701 }, (_, n) => 2 * i + n))
    })
    expect(found[1]![0]).toBe(found[0]![2])
  })

  test('what a shared read left out is read for the range that needs it, and no more', async () => {
    const { state, brought } = await written(['a'], 1_000, { readMax: 100, keptRunMin: 1 })
    const ranges = [900, 850, 600].map((toMs) => [0, toMs] as const)
    for (const [fromMs, toMs] of ranges) touches(state).want('a', fromMs, toMs)
    await state.prefetch()
    for (const [fromMs, toMs] of ranges) {
      const numbers = touches(state)
        .get('a', fromMs, toMs)
        .map(({ value }) => value.n)
      expect(numbers).toEqual(Array.from({ length: 100 }, (_, n) => toMs - 99 + n))
    }
    expect(brought()).toBeLessThanOrEqual(5 * 101)
    // Of a run that stayed the newest are there, and those of a range that ends before are not.
    for (const toMs of [900, 300]) touches(state).want('a', 0, toMs)
    await state.prefetch()
    expect(touches(state).get('a', 0, 900).length).toBe(100)
    expect(touches(state).get('a', 0, 300).at(0)?.value).toEqual({ n: 201 })
  })

  test('what a run that stayed has given up is read again for a range below it, also where all is packed', async () => {
    const state = await TaskState.open(new MemoryDisk().open(), [SPEC], { holds: { readMax: 3, keptRunMin: 2 } })
    for (let n = 0; n < FIRST_HOLDS_MAX; n++) touches(state).put('a', n, '', { n }, 0)
    await commit(state)
    expect(await read(state, 'a', 0, 7)).toEqual([5, 6, 7])
    // Of eight it keeps six; what lies above it is asked for first.
    for (const toMs of [100, 3]) touches(state).want('a', 0, toMs)
    await state.prefetch()
    const numbers = (toMs: number) =>
      touches(state)
        .get('a', 0, toMs)
        .map(({ value }) => value.n)
    expect([numbers(100), numbers(3)]).toEqual([
      [5, 6, 7],
      [1, 2, 3],
    ])
  })

  test('what a read left out because of holds that expire then is not taken for nothing', async () => {
    const state = await TaskState.open(new MemoryDisk().open(), [SPEC], { holds: { readMax: 3 } })
    // Of the bucket of their time, and late ones of a later one.
    for (const times of [
      [0, 10],
      [1, 2, 3, 11, 12, 13, 14, 15],
    ]) {
      for (const n of times) touches(state).put('a', n, '', { n }, n < 10 ? 3 * D : 0)
      await commit(state)
    }
    touches(state).want('a', 0, D)
    await state.prefetch()
    touches(state).expireBelow(1)
    expect(() => touches(state).get('a', 0, D)).toThrow(/before the others expired/)
    expect(await read(state, 'a', 0, D)).toEqual([1, 2, 3])
  })

  test('many holds of one time that do not fit one read are read id by id', async () => {
    const state = await TaskState.open(new MemoryDisk().open(), [SPEC], { holds: { readMax: 3 } })
    touches(state).put('a', 5, 'a', { n: -1 }, 0)
    await commit(state)
    const ids = Array.from({ length: 20 }, (_, n) => String.fromCharCode(0x62 + n))
    for (const [n, id] of ids.entries()) touches(state).put('a', 5, id, { n }, 0)
    touches(state).put('a', 4, '', { n: 99 }, 0)
    await commit(state)
    touches(state).want('a', 0, 5)
    touches(state).want('a', 0, 4)
    await state.prefetch()
    expect(
      touches(state)
        .get('a', 0, 5)
        .map(({ value }) => value.n),
    ).toEqual([17, 18, 19])
    expect(
      touches(state)
        .get('a', 0, 4)
        .map(({ value }) => value.n),
    ).toEqual([99])
  })

  test('a run of many stays: later slices read what lies beyond its ends, and see what was put meanwhile (H5)', async () => {
    const { state, taken, brought, store } = await written(['a'], KEPT_RUN_MIN)
    expect((await read(state, 'a', 0, 1_000)).length).toBe(KEPT_RUN_MIN)
    expect([taken(), brought()]).toEqual([[2, 1], KEPT_RUN_MIN - 1])
    touches(state).put('a', 500, '', { n: 500 }, 0)
    touches(state).put('a', 1_500, '', { n: 1_500 }, 0)
    await commit(state)
    expect(store.holdsInMemory).toBe(KEPT_RUN_MIN + 1)
    expect((await read(state, 'a', 1, 1_000)).slice(-2)).toEqual([KEPT_RUN_MIN - 1, 500])
    expect([taken(), brought()]).toEqual([[0, 0], 0])
    expect((await read(state, 'a', 1, 2_000)).slice(-2)).toEqual([500, 1_500])
    expect([taken(), brought()]).toEqual([[2, 1], 1])
  })

  test('no more than so many holds are kept, and those that were read last (H5)', async () => {
    const groups = ['a', 'b', 'c']
    const { state, taken, store } = await written(groups, 40, { keptRunMin: 1, keptHoldsMax: 80, readMax: 30 })
    for (const group of [...groups, 'a']) expect((await read(state, group, 0, 1_000)).length).toBe(30)
    await commit(state)
    expect(store.holdsInMemory).toBeLessThanOrEqual(80)
    taken()
    await read(state, 'c', 0, 1_000)
    await read(state, 'a', 0, 1_000)
    expect(taken()).toEqual([0, 0])
    await read(state, 'b', 0, 1_000)
    expect(taken()).toEqual([2, 1])
    for (let n = 40; n < 400; n++) touches(state).put('b', n, '', { n }, 0)
    await commit(state)
    expect(store.holdsInMemory).toBeLessThanOrEqual(80)
  })

  test('of a group twice what a read shows is kept, and of all groups what is named', async () => {
    const groups = ['a', 'b', 'c']
    const { state, store } = await written(groups, 2 * HOLDS_READ_MAX + 10)
    const counts: number[] = []
    for (const group of groups) {
      for (const toMs of [2 * HOLDS_READ_MAX + 9, HOLDS_READ_MAX + 20]) await read(state, group, 0, toMs)
      for (let n = 0; n < 20; n++) touches(state).put(group, 3 * n, 'more', { n }, 0)
      await commit(state)
      counts.push(store.holdsInMemory)
    }
    expect(counts).toEqual([2 * HOLDS_READ_MAX, 4 * HOLDS_READ_MAX, 4 * HOLDS_READ_MAX])
    expect(KEPT_HOLDS_MAX).toBe(4 * HOLDS_READ_MAX)
  })

  test('a range brings the newest holds of a group that has too many, and says so', async () => {
    const disk = new MemoryDisk()
    const state = await open(disk)
    const all = Array.from({ length: HOLDS_READ_MAX + 2 }, (_, n) => n)
    for (const n of all.slice(1)) touches(state).put('robot', n * 5, '', { n }, 0)
    let leftOut = 0
    const store = state.holds<HeldValue>(SPEC.name, () => leftOut++)
    const readAll = async (): Promise<number[]> => {
      store.want('robot', 0, 9 * D)
      await state.prefetch()
      return store.get('robot', 0, 9 * D).map(({ value }) => value.n)
    }
    expect([await readAll(), leftOut]).toEqual([all.slice(2), 1])
    await commit(state)
    expect([await readAll(), leftOut]).toEqual([all.slice(2), 2])
    store.want('robot', 10, 9 * D)
    await state.prefetch()
    expect(store.get('robot', 10, 9 * D).length).toBe(HOLDS_READ_MAX)
    expect(leftOut).toBe(2)
    const snapshot = state.acquireSnapshot()
    const seen = await snapshot.holds<HeldValue>(SPEC.name, 'robot', { fromMs: 0, toMs: 9 * D })
    expect(seen.map(({ value }) => value.n)).toEqual(all.slice(2))
  })

  test('one hold too many is seen, also where none is packed', async () => {
    const disk = new MemoryDisk()
    const first = await open(disk)
    touches(first).put('b', 0, '', { n: 0 }, 0)
    await commit(first)
    await first.close()
    const state = await open(disk, TINY)
    let leftOut = 0
    const store = state.holds<HeldValue>(SPEC.name, () => leftOut++)
    for (let n = 0; n <= HOLD_READ_MAX; n++) store.put('a', n, '', { n }, 0)
    await commit(state)
    store.want('a', 0, D)
    await state.prefetch()
    expect([store.get('a', 0, D).length, leftOut]).toEqual([HOLD_READ_MAX, 1])
  })

  test('holds go with their bucket: for readers at once, from the backend now and then', async () => {
    const disk = new MemoryDisk()
    const state = await open(disk)
    touches(state).put('a', 0, 'old', { n: 1 }, 0)
    touches(state).put('a', 0, 'late', { n: 2 }, D)
    await commit(state)
    touches(state).want('a', 0, D)
    await state.prefetch()
    touches(state).expireBelow(1)
    expect(touches(state).get('a', 0, D)).toEqual([{ timeMs: 0, id: 'late', value: { n: 2 } }])
    expect(() => touches(state).put('a', 0, '', { n: 3 }, 0)).toThrow(/expired/)
    expect(disk.entries).toBe(1 + 2)
    for (let i = 0; i < RANGE_DELETE_EVERY_CUTS; i++) await commit(state)
    expect(disk.entries).toBe(1 + 1)
    const snapshot = state.acquireSnapshot()
    expect((await snapshot.holds(SPEC.name, 'a', { fromMs: 0, toMs: D })).length).toBe(1)
    expect(() => touches(state).get('a', 0, D)).toThrow(/not wanted/)
  })

  test('an expired bucket leaves nothing: what came first, what came after it, and that there was more', async () => {
    const disk = new MemoryDisk()
    const state = await open(disk)
    for (let n = 0; n < FIRST_HOLDS_MAX + 3; n++) touches(state).put('a', n, 'x', { n }, 0)
    await commit(state)
    expect(disk.entries).toBe(1 + 2 + 3)
    touches(state).expireBelow(1)
    for (let i = 0; i < RANGE_DELETE_EVERY_CUTS; i++) await commit(state)
    expect(disk.entries).toBe(1)
  })

  test('a store that is declared no more leaves nothing', async () => {
    const disk = new MemoryDisk()
    const state = await open(disk)
    touches(state).put('a', 0, 'x', { n: 1 }, 0)
    await commit(state)
    await state.close()
    const without = await TaskState.open(disk.open(), [])
    await commit(without)
    expect(disk.entries).toBe(1)
  })

  test('what cannot be decoded, or not be read, ends the task', async () => {
    const disk = new MemoryDisk()
    const broken = { ...SPEC, codec: { ...heldCodec, decode: () => JSON.parse('{') } }
    const state = await TaskState.open(disk.open(), [broken])
    touches(state).put('a', 0, 'x', { n: 1 }, 0)
    await commit(state)
    await expect(read(state, 'a', 0, 1)).rejects.toThrow(/STATE_CORRUPT|store touches, hold "x" at 0/)
    const snapshot = state.acquireSnapshot()
    await expect(snapshot.holds(SPEC.name, 'a', { fromMs: 0, toMs: 1 })).rejects.toThrow(/store touches, hold "x" at 0/)
    expect(() => state.prefetch()).toThrow(/unusable/)
    await state.close()
    const again = await open(disk)
    touches(again).want('a', 0, 1)
    disk.crash()
    await expect(again.prefetch()).rejects.toThrow(/closed/)
    expect(() => again.prefetch()).toThrow(/unusable/)
  })

  test('packed holds that end inside one are seen', async () => {
    const packed = encodeHolds([{ timeMs: 5, id: 'é', bytes: Buffer.from('value') }])
    expect(decodeHolds(packed)).toEqual([{ timeMs: 5, id: 'é', bytes: Buffer.from('value') }])
    const disk = new MemoryDisk()
    const state = await open(disk)
    touches(state).put('a', 0, 'x', { n: 1 }, 0)
    const cut = state.cut()
    const [key, value] = cut.batch.puts[0]!
    cut.batch.puts[0] = [key, value.subarray(0, value.length - 1)]
    await state.write(cut, '')
    await expect(read(state, 'a', 0, 1)).rejects.toThrow(/the first holds of a group/)
  })

  test('only a range that was wanted in this slice can be got', async () => {
    const state = await open(new MemoryDisk())
    expect(() => touches(state).get('a', 0, 1)).toThrow(/not wanted/)
    touches(state).want('a', 0, 1)
    expect(() => touches(state).get('a', 0, 1)).toThrow(/not wanted/)
    await state.prefetch()
    expect(touches(state).get('a', 0, 1)).toEqual([])
    expect(() => touches(state).get('a', 0, 2)).toThrow(/not wanted/)
    touches(state).want('b', 0, 1)
    await state.prefetch()
    expect(() => touches(state).get('a', 0, 1)).toThrow(/not wanted/)
  })
})

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { batchOf } from '../test/conformance/backend.ts'
import { jsonCodec, runPrograms, SPECS, TINY } from '../test/conformance/stores.ts'
import type { Backend, WriteBatch } from './backend.ts'
import { RANGE_DELETE_EVERY_CUTS } from './expiry.ts'
import { allBuckets, KeyWriter, KIND } from './key-layout.ts'
import { MemoryDisk } from './memory-backend.ts'
import { CHUNK_ENTRIES_MAX } from './order-queue.ts'
import { SnapshotGone } from './read-snapshot.ts'
import { openRocksBackend } from './rocks-backend.ts'
import { PAGES_CACHED_MAX, SEAL_ENTRIES } from './seen-store.ts'
import { type Cut, TaskState, type TaskStateOptions } from './task-state.ts'

const memoryPlace = async () => {
  const disk = new MemoryDisk()
  return {
    open: async () => disk.open(),
    remove: async () => {},
    crash: (lost: number) => {
      disk.crash(lost)
      return disk.batches
    },
  }
}

const rocksPlace = async () => {
  const path = mkdtempSync(join(tmpdir(), 'holdfast-state-'))
  return { open: () => openRocksBackend(path), remove: async () => rmSync(path, { recursive: true }) }
}

/** Caches too small to be of any use. */
const TINIEST: TaskStateOptions = {
  keyedCacheEntries: 2,
  packedEntriesMax: 1,
  queueMemoryEntries: 2,
  seen: { sealEntries: 1, pagesCachedMax: 0 },
}

describe('stores equal their twin on random programs', () => {
  test('memory, tiny caches, crashes', () => runPrograms(memoryPlace, TINY, 200, true))
  test('memory, hardly any caches, crashes', () => runPrograms(memoryPlace, TINIEST, 200, true))
  test('memory, packed buckets that outgrow their value, crashes', () =>
    runPrograms(memoryPlace, { packedEntriesMax: 2 }, 200, true))
  test('memory, default limits, crashes', () => runPrograms(memoryPlace, {}, 50, true))
  test('RocksDB, tiny caches', () => runPrograms(rocksPlace, TINY, 25, false))
})

const open = (disk: MemoryDisk, options: TaskStateOptions = {}) => TaskState.open(disk.open(), SPECS, options)

async function commit(state: TaskState, meta = 'meta'): Promise<Cut> {
  const cut = state.cut()
  await state.write(cut, meta)
  state.publishSnapshot(cut)
  return cut
}

/** Puts of a cut, but for the one that every commit has. */
const putsOf = (cut: Cut): number => cut.batch.puts.length - 1
const values = (state: TaskState) => state.keyed<{ n: number }>('values')

async function setAll(state: TaskState, bucket: number, keys: readonly string[]): Promise<void> {
  for (const key of keys) values(state).want(bucket, key)
  await state.prefetch()
  for (const key of keys) values(state).set(bucket, key, { n: 1 })
}

/** A bucket below all that could be born in this process: what is not in memory is asked for. */
const ASKED = -5

/** Every entry has a key of its own. */
const UNPACKED: TaskStateOptions = { packedEntriesMax: 0 }

const names = (from: number, to: number): string[] => Array.from({ length: to - from }, (_, i) => `k${from + i}`)

describe('keyed stores', () => {
  test('one put per changed entry and commit; none for what came and went or was only read', async () => {
    const state = await open(new MemoryDisk(), UNPACKED)
    await setAll(state, 0, ['a', 'b', 'c'])
    values(state).set(0, 'a', { n: 2 })
    values(state).delete(0, 'c')
    expect(putsOf(await commit(state))).toBe(2)
    values(state).want(0, 'b')
    expect(state.prefetch()).toBe(null)
    values(state).get(0, 'b')
    const cut = await commit(state)
    expect([putsOf(cut), cut.batch.deletes.length]).toEqual([0, 0])
  })

  test('memory is bounded', async () => {
    const state = await open(new MemoryDisk(), { keyedCacheEntries: 100 })
    const store = values(state) as unknown as { cachedEntries: number }
    for (let from = 0; from < 1000; from += 60) {
      await setAll(state, 0, names(from, from + 60))
      await commit(state)
      expect(store.cachedEntries).toBeLessThanOrEqual(100 + 60)
    }
  })

  test('what is not written yet is never evicted (C1)', async () => {
    const disk = new MemoryDisk()
    const state = await open(disk, { keyedCacheEntries: 100 })
    const cuts: Cut[] = []
    for (let from = 0; from < 1000; from += 60) {
      await setAll(state, 0, names(from, from + 60))
      cuts.push(state.cut())
    }
    for (const key of names(0, 1000)) values(state).want(0, key)
    await state.prefetch()
    for (const key of names(0, 1000)) expect(values(state).get(0, key)).toEqual({ n: 1 })
    expect(disk.entries).toBe(0)
    for (const cut of cuts) await state.write(cut, '')
    expect(disk.entries).toBe(1020 + 1)
  })

  test('what was not wanted cannot be got, and what is expired cannot be set', async () => {
    const state = await open(new MemoryDisk())
    expect(() => values(state).get(ASKED, 'a')).toThrow(/not wanted/)
    values(state).want(ASKED, 'a')
    expect(() => values(state).get(ASKED, 'a')).toThrow(/not wanted/)
    await state.prefetch()
    expect(values(state).get(ASKED, 'a')).toBe(undefined)
    expect(() => values(state).changed(ASKED, 'a')).toThrow(/assertion/)
    values(state).expireBelow(1)
    values(state).expireBelow(0)
    expect(values(state).lowestBucket).toBe(1)
    expect(() => values(state).set(0, 'a', { n: 1 })).toThrow(/expired/)
  })

  test('to ask a bucket born in this process in vain leaves nothing behind, and holds for the slice that asked (C3)', async () => {
    const state = await open(new MemoryDisk())
    const store = values(state) as unknown as { cachedEntries: number }
    expect(() => values(state).get(7, 'a')).toThrow(/not wanted/)
    for (const key of names(0, 100)) values(state).want(7, key)
    expect(state.prefetch()).toBe(null)
    for (const key of names(0, 100)) expect(values(state).get(7, key)).toBe(undefined)
    values(state).set(7, 'k5', { n: 5 })
    expect(values(state).get(7, 'k5')).toEqual({ n: 5 })
    expect(store.cachedEntries).toBe(1)
    values(state).want(7, 'b')
    state.prefetch()
    expect(() => values(state).get(7, 'k1')).toThrow(/not wanted/)
    values(state).delete(7, 'b')
    expect((await commit(state)).batch.deletes).toEqual([])
  })

  test('a bucket born in this process asks the backend only for what was evicted, however often that was (C3)', async () => {
    const disk = new MemoryDisk()
    const state = await open(disk, { keyedCacheEntries: 4 })
    const filters = 40
    for (let i = 0; i < filters; i++) {
      for (const key of names(3 * i, 3 * i + 3)) values(state).want(7, key)
      const loading = state.prefetch()
      if (i === 0) expect(loading).toBe(null)
      await loading
      for (const key of names(3 * i, 3 * i + 3)) values(state).set(7, key, { n: i })
      await commit(state)
    }
    // Other buckets push this one out of memory.
    for (let i = 0; i < 4; i++) {
      await setAll(state, 8, names(3 * i, 3 * i + 3))
      await commit(state)
    }
    for (const key of names(0, 3 * filters)) values(state).want(7, key)
    await state.prefetch()
    names(0, 3 * filters).forEach((key, i) => {
      expect(values(state).get(7, key)).toEqual({ n: Math.floor(i / 3) })
    })
    disk.crash()
    const again = await open(disk)
    values(again).want(7, 'k0')
    expect(again.prefetch()).not.toBe(null)
  })

  test('expired entries leave the backend, by few range deletes; a restart makes up for a late one', async () => {
    const disk = new MemoryDisk()
    const state = await open(disk, UNPACKED)
    let rangeDeletes = 0
    for (let bucket = 0; bucket < 2 * RANGE_DELETE_EVERY_CUTS; bucket++) {
      await setAll(state, bucket, ['a', 'b'])
      values(state).expireBelow(bucket)
      rangeDeletes += (await commit(state)).batch.rangeDeletes.length
    }
    // Two, for each of the two kinds of keys.
    expect(rangeDeletes).toBe(4)
    expect(disk.entries).toBeGreaterThan(10)
    disk.crash()
    const again = await open(disk, UNPACKED)
    await commit(again)
    expect(disk.entries).toBe(1 + 2)
  })
})

describe('packed buckets', () => {
  test('a commit writes one value for all changed entries of a small bucket', async () => {
    const state = await open(new MemoryDisk())
    await setAll(state, 0, ['a', 'b', 'c'])
    await setAll(state, 1, ['a'])
    expect(putsOf(await commit(state))).toBe(2)
    await setAll(state, 0, ['b'])
    expect(putsOf(await commit(state))).toBe(1)
  })

  test('one that outgrows its limit gets keys of its own, once, and its value goes', async () => {
    const disk = new MemoryDisk()
    const state = await open(disk, { packedEntriesMax: 2 })
    await setAll(state, 0, ['a', 'b'])
    expect(putsOf(await commit(state))).toBe(1)
    await setAll(state, 0, ['c'])
    const cut = await commit(state)
    expect([putsOf(cut), cut.batch.deletes.length]).toEqual([3, 1])
    await setAll(state, 0, ['a'])
    expect(putsOf(await commit(state))).toBe(1)
  })

  test('a restart asks the backend nothing for what was packed, present or absent', async () => {
    const disk = new MemoryDisk()
    const state = await open(disk)
    await setAll(state, 3, ['a'])
    await commit(state)
    disk.crash()
    const again = await open(disk)
    values(again).want(3, 'a')
    values(again).want(3, 'b')
    expect(again.prefetch()).toBe(null)
    expect([values(again).get(3, 'a'), values(again).get(3, 'b')]).toEqual([{ n: 1 }, undefined])
  })

  test('a damaged value, or a missing one, is STATE_CORRUPT when the store opens', async () => {
    for (const damage of [Buffer.from([0, 9, 0]), null]) {
      const disk = new MemoryDisk()
      const state = await open(disk)
      await setAll(state, 0, ['a'])
      await commit(state)
      disk.crash()
      const backend = disk.open()
      const key = new KeyWriter().bucket(KIND.packed, 0, 0)
      await backend.write(batchOf(damage === null ? { deletes: [key] } : { puts: [[key, damage]] }))
      await expect(TaskState.open(backend, SPECS)).rejects.toMatchObject({ code: 'STATE_CORRUPT' })
    }
  })

  test('memory stays bounded: the oldest packed buckets get keys of their own', async () => {
    const state = await open(new MemoryDisk(), { keyedCacheEntries: 20 })
    const store = values(state) as unknown as { cachedEntries: number }
    for (let bucket = 0; bucket < 50; bucket++) {
      await setAll(state, bucket, ['a', 'b', 'c'])
      await commit(state)
      expect(store.cachedEntries).toBeLessThanOrEqual(20 + 20 / 2)
    }
  })
})

describe('seen stores', () => {
  const DAY = 86_400_000
  const specs = [{ kind: 'seen' as const, id: 1, name: 'ids', bucketMs: 10 * DAY }]

  async function addAll(state: TaskState, from: number, to: number): Promise<number> {
    const seen = state.seen('ids')
    let known = 0
    for (let at = from; at < to; at += 128) {
      const end = Math.min(at + 128, to)
      for (let i = at; i < end; i++) seen.want(`user-${i % 50}`, 'click', `id-${i}`, i, DAY)
      await state.prefetch()
      for (let i = at; i < end; i++) {
        if (seen.has(`user-${i % 50}`, 'click', `id-${i}`, i, DAY)) known++
        else seen.add(`user-${i % 50}`, 'click', `id-${i}`, i, -1)
      }
    }
    return known
  }

  test('many segments: every id of every one is known after a restart', async () => {
    const disk = new MemoryDisk()
    const small = { seen: { sealEntries: 8 } }
    const state = await TaskState.open(disk.open(), specs, small)
    // More segments than are read at once, and than one index has.
    const count = 8 * 300
    for (let from = 0; from < count; from += 8) {
      expect(await addAll(state, from, from + 8)).toBe(0)
      await commit(state)
    }
    const { sealedSegments } = state.seen('ids') as unknown as { sealedSegments: number }
    expect(sealedSegments).toBe(300)
    disk.crash()
    const again = await TaskState.open(disk.open(), specs, small)
    expect(await addAll(again, 0, count)).toBe(count)
  })

  test('many ids: one put per commit while open, a page for 64 ids when sealed; exact after a restart', async () => {
    const disk = new MemoryDisk()
    let state = await TaskState.open(disk.open(), specs)
    const count = 3 * SEAL_ENTRIES + 1000
    let puts = 0
    let waits = 0
    for (let from = 0; from < count; from += 1000) {
      expect(await addAll(state, from, Math.min(from + 1000, count))).toBe(0)
      state.seen('ids').want('nobody', 'click', `other-${from}`, 0, DAY)
      if (state.prefetch() !== null) waits++
      const cut = state.cut()
      await state.write(cut, '')
      puts += putsOf(cut)
    }
    expect(puts / count).toBeLessThan(0.03)
    expect(waits).toBeLessThan(3)
    const store = state.seen('ids') as unknown as {
      sealedSegments: number
      openSegments: number
      memoryBytes: number
      cachedPages: number
    }
    expect([store.sealedSegments, store.openSegments]).toEqual([2, 1])
    disk.crash()
    const backend = disk.open()
    let journals = 0
    for await (const chunk of backend.scan(allBuckets(KIND.journal, 1))) journals += chunk.length
    expect(journals).toBe(Math.ceil(count / 1000) - 2 * Math.ceil(SEAL_ENTRIES / 1000))
    state = await TaskState.open(backend, specs)
    expect(await addAll(state, 0, count)).toBe(count)
    expect((state.seen('ids') as unknown as typeof store).cachedPages).toBeLessThanOrEqual(PAGES_CACHED_MAX + 128)
  })

  test('what is sealed is known while it is being written, and after (E2)', async () => {
    const state = await TaskState.open(new MemoryDisk().open(), specs, { seen: { sealEntries: 1 } })
    await addAll(state, 0, 500)
    const cut = state.cut()
    expect(await addAll(state, 0, 500)).toBe(500)
    await state.write(cut, '')
    expect(await addAll(state, 0, 500)).toBe(500)
  })

  test('sealed entries: times are compared inclusively, expiry holds at once, pages kept are few', async () => {
    const state = await TaskState.open(new MemoryDisk().open(), specs, { seen: { sealEntries: 1, pagesCachedMax: 20 } })
    await addAll(state, 0, 40_000)
    await commit(state)
    const seen = state.seen('ids')
    const ask = (timeMs: number, horizonMs: number): boolean => seen.has('user-7', 'click', 'id-7', timeMs, horizonMs)
    for (const [timeMs, horizonMs] of [
      [7, 0],
      [10, 3],
      [10, 2],
      [4, 3],
      [4, 2],
    ] as const) {
      seen.want('user-7', 'click', 'id-7', timeMs, horizonMs)
    }
    await state.prefetch()
    expect([ask(7, 0), ask(10, 3), ask(10, 2), ask(4, 3), ask(4, 2)]).toEqual([true, true, false, true, false])
    for (let from = 0; from < 20_000; from += 100) expect(await addAll(state, from, from + 100)).toBe(100)
    expect((seen as unknown as { cachedPages: number }).cachedPages).toBeLessThanOrEqual(20 + 100)
    seen.want('user-7', 'click', 'id-7', 7, 0)
    await state.prefetch()
    seen.expireBelow(seen.bucketOf(7) + 1)
    expect(ask(7, 0)).toBe(false)
  })

  test('the strings are told apart, whatever characters they have', async () => {
    const state = await TaskState.open(new MemoryDisk().open(), specs)
    const seen = state.seen('ids')
    const triples: [string, string, string][] = [
      ['a', 'b', 'c'],
      ['ab', '', 'c'],
      ['a', '', 'bc'],
      ['', 'a', 'bc'],
      ['é', 'b', 'c'],
      ['\u{1f600}', 'b', 'c'],
      ['\uffff', 'b', 'c'],
    ]
    for (const [user, type, id] of triples) {
      expect(seen.has(user, type, id, 5, 0)).toBe(false)
      seen.add(user, type, id, 5, -1)
      expect(seen.has(user, type, id, 5, 0)).toBe(true)
      expect(seen.has(user, type, id, 6, 0)).toBe(false)
      expect(seen.has(user, type, id, 6, 1)).toBe(true)
    }
  })
})

describe('order queues', () => {
  const keyOf = (at: number) => ({ at, rank: 1, type: 't', id: 'i', number: at })

  test('what comes and goes between cuts is never written; survivors go in chunks, and leave with their last entry', async () => {
    const disk = new MemoryDisk()
    const state = await open(disk)
    const queue = state.queue('held')
    for (let i = 0; i < 1000; i++) queue.push(keyOf(i), '{}')
    for (let i = 0; i < 1000; i++) expect(queue.pop().key.at).toBe(i)
    expect(putsOf(await commit(state))).toBe(0)
    const count = 4 * CHUNK_ENTRIES_MAX
    for (let i = 0; i < count; i++) queue.push(keyOf(10_000 + i), '{}')
    expect(putsOf(await commit(state))).toBe(4)
    for (let i = 0; i < CHUNK_ENTRIES_MAX + 1; i++) queue.pop()
    const cut = await commit(state)
    expect([putsOf(cut), cut.batch.deletes.length]).toEqual([0, 1])
    expect(disk.entries).toBe(1 + 3)
    queue.push(keyOf(5), '{"late":1}')
    expect(putsOf(await commit(state))).toBe(1)
    disk.crash()
    const again = (await open(disk)).queue('held')
    expect([again.pop().key.at, again.pop().key.at]).toEqual([5, 10_000 + CHUNK_ENTRIES_MAX + 1])
    expect(again.length).toBe(count - CHUNK_ENTRIES_MAX - 2)
  })

  test('memory is bounded; what is beyond comes back in order', async () => {
    const state = await open(new MemoryDisk(), { queueMemoryEntries: 4000 })
    const queue = state.queue('held')
    const store = queue as unknown as { memoryEntries: number }
    const count = 40_000
    for (let i = 0; i < count; i++) {
      queue.push(keyOf((i * 7919) % count), '{}')
      if (i % 1000 === 999) {
        await commit(state)
        expect(store.memoryEntries).toBeLessThanOrEqual(4000)
      }
    }
    for (let i = 0; i < count; i++) {
      if (queue.needsRefill) {
        expect(() => queue.peek()).toThrow(/refill/)
        await queue.refill()
      }
      expect(queue.pop().key.at).toBe(i)
    }
    expect(queue.peek()).toBe(null)
    expect(() => queue.pop()).toThrow(/empty/)
  })

  test('entries come in the order of their keys as bytes', async () => {
    const queue = (await open(new MemoryDisk())).queue('held')
    const writer = new KeyWriter()
    const texts = ['', 'a', 'aa', 'b', 'é', '\uffff', '\u{10000}']
    const keys = Array.from({ length: 3000 }, (_, i) => ({
      at: (i * 7919) % 5,
      rank: (i * 31) % 3,
      type: texts[(i * 17) % texts.length]!,
      id: texts[(i * 13) % texts.length]!,
      number: (i * 101) % 3000,
    }))
    for (const key of keys) queue.push(key, '{}')
    const bytes = keys.map((key) => Buffer.from(writer.ordered(KIND.chunk, 0, key)).toString('hex')).sort()
    const popped = keys.map(() => Buffer.from(writer.ordered(KIND.chunk, 0, queue.pop().key)).toString('hex'))
    expect(popped).toEqual(bytes)
  })

  test('what is written while a refill reads is not lost', async () => {
    let letWrite: () => void = () => {}
    let held: Promise<void> | null = null
    const disk = new MemoryDisk({ beforeWrite: () => held ?? undefined })
    const state = await open(disk, { queueMemoryEntries: 4 })
    const queue = state.queue('held')
    for (let i = 0; i < 20; i++) {
      queue.push(keyOf(i * 10), '{}')
      await commit(state)
    }
    queue.push(keyOf(195), '{}')
    held = new Promise((resolve) => {
      letWrite = resolve
    })
    const writing = state.write(state.cut(), '')
    const popped: number[] = []
    while (!queue.needsRefill) popped.push(queue.pop().key.at)
    const refilling = queue.refill()
    letWrite()
    await writing
    await refilling
    while (popped.length < 21) {
      if (queue.needsRefill) await queue.refill()
      popped.push(queue.pop().key.at)
    }
    expect(popped).toEqual([...Array.from({ length: 20 }, (_, i) => i * 10), 195])
  })

  test('two entries with one key are a bug', async () => {
    const queue = (await open(new MemoryDisk())).queue('held')
    queue.push(keyOf(1), '{}')
    expect(() => queue.push(keyOf(1), '{}')).toThrow(/one order key/)
  })
})

describe('commits', () => {
  test('the meta text, whatever it is, comes back', async () => {
    const disk = new MemoryDisk()
    const state = await open(disk)
    expect(state.meta).toBe(null)
    await commit(state, 'two\nlines ä')
    disk.crash()
    expect((await open(disk)).meta).toBe('two\nlines ä')
  })

  test('after a failed write the state is unusable, and nothing of it is stored (T3)', async () => {
    const disk = new MemoryDisk()
    const state = await open(disk)
    await setAll(state, 0, ['a'])
    disk.failWrites(1)
    const cut = state.cut()
    await expect(state.write(cut, '')).rejects.toMatchObject({ code: 'STATE_WRITE_FAILED' })
    expect(() => state.cut()).toThrow(/unusable/)
    expect(() => state.prefetch()).toThrow(/unusable/)
    expect(() => state.publishSnapshot(cut)).toThrow(/unusable/)
    expect(disk.entries).toBe(0)
  })

  test('cuts are written in order, one at a time, and shown before the next', async () => {
    let letWrite = (): void => {}
    const held = new Promise<void>((resolve) => {
      letWrite = resolve
    })
    const state = await open(new MemoryDisk({ beforeWrite: () => held }))
    const [one, two] = [state.cut(), state.cut()]
    await expect(state.write(two, '')).rejects.toThrow(/in order/)
    const writing = state.write(one, '')
    await expect(state.write(two, '')).rejects.toThrow(/one commit in flight/)
    expect(() => state.publishSnapshot(one)).toThrow(/before the next write/)
    letWrite()
    await writing
    const next = state.write(two, '')
    expect(() => state.publishSnapshot(one)).toThrow(/before the next write/)
    await next
    state.publishSnapshot(two)
  })

  test('a batch never has a key twice', async () => {
    const disk = new MemoryDisk()
    const seen: string[] = []
    const inner = disk.open()
    const backend: Backend = Object.assign(Object.create(inner) as Backend, {
      write: (batch: WriteBatch) => {
        const keys = [...batch.puts.map(([key]) => key), ...batch.deletes].map((key) =>
          Buffer.from(key).toString('hex'),
        )
        expect(new Set(keys).size).toBe(keys.length)
        seen.push(...keys)
        return inner.write(batch)
      },
      multiGet: inner.multiGet.bind(inner),
      scan: inner.scan.bind(inner),
      snapshot: inner.snapshot.bind(inner),
      close: inner.close.bind(inner),
    })
    const state = await TaskState.open(backend, SPECS)
    const queue = state.queue('held')
    const key = { at: 1, rank: 0, type: '', id: '', number: 1 }
    for (let round = 0; round < 3; round++) {
      await setAll(state, 0, ['a'])
      values(state).delete(0, 'a')
      values(state).set(0, 'a', { n: round })
      queue.push(key, '{}')
      await commit(state)
      queue.pop()
      queue.push(key, '{}')
      await commit(state)
      queue.pop()
    }
    expect(seen.length).toBeGreaterThan(10)
  })
})

describe('what was stored by something else is refused', () => {
  const meta = new KeyWriter().meta()
  test.each([
    ['no JSON', 'x\n'],
    ['another layout', '{"layout":999,"cut":1,"stores":{}}\n'],
    ['a store of another kind', '{"layout":1,"cut":1,"stores":{"values":{"id":0,"kind":"seen","own":null}}}\n'],
  ])('%s', async (_, text) => {
    const disk = new MemoryDisk()
    const backend = disk.open()
    await backend.write(batchOf({ puts: [[meta, Buffer.from(text)]] }))
    await expect(TaskState.open(backend, SPECS)).rejects.toMatchObject({ code: 'STATE_CORRUPT' })
  })

  test('values that cannot be decoded are STATE_CORRUPT', async () => {
    const disk = new MemoryDisk()
    const state = await open(disk, UNPACKED)
    await setAll(state, 0, ['a'])
    await commit(state)
    disk.crash()
    const backend = disk.open()
    await backend.write(batchOf({ puts: [[new KeyWriter().keyed(0, 0, 'a'), Buffer.from('{')]] }))
    const again = await TaskState.open(backend, SPECS)
    values(again).want(0, 'a')
    await expect(again.prefetch()).rejects.toMatchObject({ code: 'STATE_CORRUPT' })
  })

  test('a store keeps its id by its name; one that is not declared any more goes, and another has its id after that', async () => {
    const disk = new MemoryDisk()
    const all = await open(disk, UNPACKED)
    await setAll(all, 3, ['a'])
    await commit(all)
    disk.crash()
    const others = SPECS.slice(1).map((spec) => ({ ...spec, id: spec.id - 1 }))
    const added = { kind: 'keyed' as const, id: 0, name: 'added', codec: jsonCodec }
    const without = await TaskState.open(disk.open(), [added, ...others], UNPACKED)
    without.keyed<{ n: number }>('added').set(3, 'a', { n: 9 })
    const { batch } = await commit(without)
    expect(batch.rangeDeletes.some(([from]) => from[0] === KIND.keyed && from[1] === 0)).toBe(true)
    disk.crash()
    const again = await open(disk, UNPACKED)
    values(again).want(3, 'a')
    await again.prefetch()
    expect(values(again).get(3, 'a')).toBeUndefined()
    await commit(again)
    disk.crash()
    const both = await TaskState.open(disk.open(), [added, ...SPECS], UNPACKED)
    both.keyed<{ n: number }>('added').want(3, 'a')
    await both.prefetch()
    expect(both.keyed<{ n: number }>('added').get(3, 'a')).toBeUndefined()
  })
})

describe('read snapshots', () => {
  const first = { kind: 'keyed' as const, id: 1, name: 'values', codec: jsonCodec }

  test('no reader sees a part of a commit: two keys whose sum never changes (O8)', async () => {
    const path = mkdtempSync(join(tmpdir(), 'holdfast-state-'))
    const state = await TaskState.open(await openRocksBackend(path), [first])
    await setAll(state, 0, ['a', 'b'])
    await commit(state)
    let done = false
    const sums = new Set<number>()
    let reads = 0
    const reader = async (): Promise<void> => {
      let last = 0
      while (!done) {
        const snapshot = state.acquireSnapshot()
        expect(snapshot.cut).toBeGreaterThanOrEqual(last)
        last = snapshot.cut
        const a = (await snapshot.get<{ n: number }>('values', 0, 'a'))!.n
        await new Promise((resolve) => setImmediate(resolve))
        sums.add(a + (await snapshot.get<{ n: number }>('values', 0, 'b'))!.n)
        snapshot.release()
        reads++
      }
    }
    const readers = [reader(), reader(), reader()]
    for (let i = 0; i < 300; i++) {
      values(state).get(0, 'a')!.n += 1
      values(state).get(0, 'b')!.n -= 1
      values(state).changed(0, 'a')
      values(state).changed(0, 'b')
      await commit(state)
    }
    done = true
    await Promise.all(readers)
    expect([...sums]).toEqual([2])
    expect(reads).toBeGreaterThan(100)
    expect(state.liveSnapshots).toBe(1)
    await state.close()
    rmSync(path, { recursive: true })
  })

  test('a cut that is not written, or not published, is not shown', async () => {
    const state = await open(new MemoryDisk())
    await setAll(state, 0, ['a'])
    const cut = state.cut()
    const before = state.acquireSnapshot()
    await state.write(cut, 'x')
    const unpublished = state.acquireSnapshot()
    state.publishSnapshot(cut)
    const after = state.acquireSnapshot()
    expect(await before.get('values', 0, 'a')).toBe(undefined)
    expect([unpublished.meta, await unpublished.get('values', 0, 'a')]).toEqual([null, undefined])
    expect([after.meta, await after.get('values', 0, 'a')]).toEqual(['x', { n: 1 }])
  })

  test('expired buckets are not shown, though their bytes are still there', async () => {
    const disk = new MemoryDisk()
    const state = await open(disk)
    values(state).expireBelow(0)
    await commit(state)
    await setAll(state, 0, ['a'])
    await setAll(state, 1, ['b'])
    await commit(state)
    values(state).expireBelow(1)
    await commit(state)
    expect(disk.entries).toBe(1 + 2)
    const old = state.acquireSnapshot()
    const keys: string[] = []
    for await (const [, key] of old.scan('values', 0, 9)) keys.push(key)
    expect(keys).toEqual(['b'])
    expect(await old.get('values', 0, 'a')).toBe(undefined)
  })

  test.each([
    ['packed', {}],
    ['of keys of their own', UNPACKED],
  ] as const)(
    'a scan of a prefix gives the keys of one bucket that begin so, in the order of their bytes: %s',
    async (_, options) => {
      const state = await open(new MemoryDisk(), options)
      await setAll(state, 0, ['a1', 'b\u001f', 'b\u001f\u{10ffff}', 'b\u001fx', 'b\u001f\uffff', 'b ', 'c'])
      await setAll(state, 1, ['b\u001fother'])
      await commit(state)
      const snapshot = state.acquireSnapshot()
      const keysOf = async (bucket: number, prefix: string): Promise<string[]> => {
        const keys: string[] = []
        for await (const [key] of snapshot.scanPrefix('values', bucket, prefix)) keys.push(key)
        return keys
      }
      expect(await keysOf(0, 'b\u001f')).toEqual(['b\u001f', 'b\u001fx', 'b\u001f\uffff', 'b\u001f\u{10ffff}'])
      expect(await keysOf(1, 'b')).toEqual(['b\u001fother'])
      expect(await keysOf(0, 'd')).toEqual([])
      values(state).expireBelow(1)
      await commit(state)
      const later = state.acquireSnapshot()
      for await (const _ of later.scanPrefix('values', 0, '')) throw new Error('it is expired')
    },
  )

  test('as many live as the limit says: the oldest is taken back from its reader', async () => {
    const state = await open(new MemoryDisk(), { snapshots: { liveMax: 3 } })
    const held = [state.acquireSnapshot()]
    for (let i = 0; i < 5; i++) {
      await commit(state)
      held.push(state.acquireSnapshot())
      expect(state.liveSnapshots).toBeLessThanOrEqual(3)
    }
    const scan = held[3]!.scan('values', 0, 1)[Symbol.asyncIterator]()
    await expect(held[0]!.get('values', 0, 'a')).rejects.toThrow(SnapshotGone)
    expect(() => held[0]!.retain()).toThrow(SnapshotGone)
    expect(await held[5]!.get('values', 0, 'a')).toBe(undefined)
    await commit(state)
    await expect(scan.next()).rejects.toThrow(SnapshotGone)
    for (const snapshot of held) snapshot.release()
    expect(state.liveSnapshots).toBe(1)
  })

  test('held no longer than the limit says', async () => {
    const state = await open(new MemoryDisk(), { snapshots: { pinMsMax: 20 } })
    const snapshot = state.acquireSnapshot().retain()
    await commit(state)
    expect(await snapshot.get('values', 0, 'a')).toBe(undefined)
    await new Promise((resolve) => setTimeout(resolve, 60))
    await expect(snapshot.get('values', 0, 'a')).rejects.toThrow(SnapshotGone)
    expect(state.liveSnapshots).toBe(1)
    snapshot.release()
    snapshot.release()
    expect(() => snapshot.release()).toThrow(/as often/)
  })
})

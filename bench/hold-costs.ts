// What a hold costs, beside the same in a keyed store of lists: microseconds to put and to read, bytes on the disk. Part of
// bench/state.ts, which has the stopwatch.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openRocksBackend } from '../state/rocks-backend.ts'
import type { Codec, StoreSpec } from '../state/store.ts'
import { TaskState } from '../state/task-state.ts'
import { compactedBytes } from './compaction.ts'

const DAY_MS = 86_400_000
const START_MS = Date.UTC(2025, 0, 1)
const BUCKET_MS = 7 * DAY_MS
/** The longest window and the slowest pixel: a conversion's read, six buckets of a week. */
const READ_MS = 35 * DAY_MS
/** Touches of one person and advertiser in that time. */
const HOLDS_PER_GROUP = 3
/** Of one robot: touches in that time, and conversions in its last week. */
const [BUSY_HOLDS, BUSY_READS] = [5_000, 1_000]
/** A touch without a vector, and the vector of 60 features. */
const FIELD_BYTES = 90
const VECTOR_BYTES = 200

const bytesCodec: Codec<Uint8Array> = { encode: (bytes) => bytes, decode: (bytes) => bytes }

interface Listed {
  readonly timeMs: number
  readonly bytes: Uint8Array
}

const listCodec: Codec<Listed[]> = {
  encode: (list) =>
    Buffer.concat(
      list.flatMap(({ timeMs, bytes }) => {
        const head = Buffer.alloc(10)
        head.writeDoubleBE(timeMs)
        head.writeUInt16BE(bytes.length, 8)
        return [head, bytes]
      }),
    ),
  decode: (bytes) => {
    const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    const list: Listed[] = []
    for (let at = 0; at < view.length; ) {
      const end = at + 10 + view.readUInt16BE(at + 8)
      list.push({ timeMs: view.readDoubleBE(at), bytes: view.subarray(at + 10, end) })
      at = end
    }
    return list
  },
}

/** One way to keep holds. */
interface Keeper {
  readonly name: string
  readonly spec: StoreSpec
  wantPut(state: TaskState, group: string, timeMs: number): void
  put(state: TaskState, group: string, timeMs: number, bytes: Uint8Array): void
  want(state: TaskState, group: string, toMs: number): void
  /** Gives how many there are. */
  get(state: TaskState, group: string, toMs: number): number
}

const bucketOf = (timeMs: number): number => Math.floor(timeMs / BUCKET_MS)
function* bucketsOf(toMs: number): Iterable<number> {
  for (let bucket = bucketOf(toMs - READ_MS); bucket <= bucketOf(toMs); bucket++) yield bucket
}

const holds: Keeper = {
  name: 'holds',
  spec: { kind: 'holds', id: 1, name: 'held', bucketMs: BUCKET_MS, codec: bytesCodec },
  wantPut() {},
  put: (state, group, timeMs, bytes) => state.holds<Uint8Array>('held').put(group, timeMs, `click${timeMs}`, bytes, 0),
  want: (state, group, toMs) => state.holds('held').want(group, toMs - READ_MS, toMs),
  get: (state, group, toMs) => state.holds('held').get(group, toMs - READ_MS, toMs).length,
}

const lists: Keeper = {
  name: 'keyed store of lists',
  spec: { kind: 'keyed', id: 1, name: 'held', codec: listCodec },
  wantPut: (state, group, timeMs) => state.keyed('held').want(bucketOf(timeMs), group),
  put(state, group, timeMs, bytes) {
    const list = state.keyed<Listed[]>('held').get(bucketOf(timeMs), group)
    if (list === undefined) {
      state.keyed<Listed[]>('held').set(bucketOf(timeMs), group, [{ timeMs, bytes }])
    } else {
      list.push({ timeMs, bytes })
      state.keyed('held').changed(bucketOf(timeMs), group)
    }
  },
  want(state, group, toMs) {
    for (const bucket of bucketsOf(toMs)) state.keyed('held').want(bucket, group)
  },
  get(state, group, toMs) {
    let count = 0
    for (const bucket of bucketsOf(toMs)) {
      for (const { timeMs } of state.keyed<Listed[]>('held').get(bucket, group) ?? [])
        if (timeMs >= toMs - READ_MS && timeMs <= toMs) count++
    }
    return count
  },
}

/** What bench/state.ts measures with. */
export interface Stopwatch {
  drive(
    state: TaskState,
    count: number,
    work: { prepare(from: number, to: number): void; slice(from: number, to: number): Promise<void> },
  ): Promise<number>
  /** CPU time of this thread, microseconds. */
  threadUs(): number
  report(what: string, value: number, unit: string): void
}

/** Prints the lines of both, with a vector and without, and what their reads are made of. */
export async function benchHolds(watch: Stopwatch, count: number): Promise<void> {
  await benchReads(watch)
  await benchBusyGroup(watch)
  for (const vectorBytes of [0, VECTOR_BYTES]) {
    for (const keeper of [holds, lists]) await benchKeeper(watch, keeper, count, vectorBytes)
  }
}

/** A key and a range of one entry, so many side by side as a slice asks for: why holds that come first are packed. */
async function benchReads({ threadUs, report }: Stopwatch): Promise<void> {
  const [keys, reads, atOnce] = [100_000, 20_000, 32]
  const path = mkdtempSync(join(tmpdir(), 'holdfast-bench-'))
  const backend = await openRocksBackend(path)
  const keyOf = (i: number): Buffer => Buffer.from(`key-${String((i * 7919) % keys).padStart(12, '0')}`)
  const puts = Array.from({ length: keys }, (_, i) => [keyOf(i), noise(FIELD_BYTES, i)] as const)
  await backend.write({ puts, deletes: [], rangeDeletes: [] })
  await backend.flush()
  const ways = {
    key: (wanted: Buffer[]) => backend.multiGet(wanted),
    range: (from: Buffer[]) =>
      Promise.all(from.map((key) => backend.last({ from: key, to: Buffer.concat([key, Buffer.of(0)]) }, 2))),
  }
  for (const [name, read] of Object.entries(ways)) {
    const before = threadUs()
    for (let i = 0; i < reads; i += atOnce) await read(Array.from({ length: atOnce }, (_, j) => keyOf(i + j)))
    report(`backend: read of one ${name}, ${atOnce} side by side`, (threadUs() - before) / reads, 'us')
  }
  await backend.close()
  rmSync(path, { recursive: true })
}

/**
 * One person who has thousands of touches of one advertiser and a conversion now and then, each of which reads most of them: one to a
 * slice, as conversions come that waited, and a slice full of them. Between two conversions comes a touch.
 */
async function benchBusyGroup({ threadUs, report }: Stopwatch): Promise<void> {
  for (const atOnce of [1, 128]) {
    const path = mkdtempSync(join(tmpdir(), 'holdfast-bench-'))
    const state = await TaskState.open(await openRocksBackend(path), [holds.spec])
    const commit = async (): Promise<void> => {
      const cut = state.cut()
      await state.write(cut, '{}')
      state.publishSnapshot(cut)
    }
    const stepMs = Math.floor(READ_MS / BUSY_HOLDS)
    for (let i = 0; i < BUSY_HOLDS; i++) {
      holds.put(state, 'robot', START_MS + i * stepMs, noise(FIELD_BYTES, i))
      if (i % 500 === 0) await commit()
    }
    await commit()
    let [usUsed, found, heapBytes] = [0, 0, 0]
    const heapBefore = process.memoryUsage().heapUsed
    for (let from = 0; from < BUSY_READS; from += atOnce) {
      const times = Array.from(
        { length: Math.min(atOnce, BUSY_READS - from) },
        (_, j) => START_MS + READ_MS + (from + j) * stepMs,
      )
      const begin = threadUs()
      for (const timeMs of times) holds.want(state, 'robot', timeMs)
      const loading = state.prefetch()
      if (loading !== null) await loading
      for (const timeMs of times) {
        found += holds.get(state, 'robot', timeMs)
        holds.put(state, 'robot', timeMs + 1, noise(FIELD_BYTES, timeMs))
      }
      usUsed += threadUs() - begin
      heapBytes = Math.max(heapBytes, process.memoryUsage().heapUsed - heapBefore)
      if (from % 16 === 0) await commit()
    }
    const what = `holds, ${BUSY_HOLDS} of one group, reads ${atOnce} to a slice`
    report(`${what}: one read`, usUsed / BUSY_READS, 'us')
    report(`${what}: holds of a read`, found / BUSY_READS, '')
    report(`${what}: heap at most, garbage included`, heapBytes / 2 ** 20, 'MiB')
    await state.close()
    rmSync(path, { recursive: true })
  }
}

async function benchKeeper({ drive, report }: Stopwatch, keeper: Keeper, count: number, vector: number): Promise<void> {
  const path = mkdtempSync(join(tmpdir(), 'holdfast-bench-'))
  const groups = Math.ceil(count / HOLDS_PER_GROUP)
  const groupOf = (i: number): string => {
    const group = (Math.imul(i ^ (i >>> 15), 0x9e3779b1) >>> 0) % groups
    return `user-${group}\u001fadvertiser-${group % 50}`
  }
  const timeOf = (i: number): number => START_MS + Math.floor((i * READ_MS) / count)
  const what = `${keeper.name}, ${vector === 0 ? 'no' : `${vector} bytes of`} vector`
  let names: string[] = []
  let values: Uint8Array[] = []
  const prepare = (from: number, to: number): void => {
    names = Array.from({ length: to - from }, (_, i) => Buffer.from(groupOf(from + i)).toString())
    values = names.map((_, i) => noise(FIELD_BYTES + vector, from + i))
    first = from
  }
  let first = 0
  try {
    let state = await TaskState.open(await openRocksBackend(path), [keeper.spec])
    const putUs = await drive(state, count, {
      prepare,
      async slice(from, to) {
        for (let i = from; i < to; i++) keeper.wantPut(state, names[i - first]!, timeOf(i))
        const loading = state.prefetch()
        if (loading !== null) await loading
        for (let i = from; i < to; i++) keeper.put(state, names[i - first]!, timeOf(i), values[i - first]!)
      },
    })
    report(`${what}: put, commits included`, putUs, 'us')
    const readAll = async (when: string): Promise<void> => {
      let found = 0
      const reads = Math.min(count, 20_000)
      const before = process.cpuUsage()
      const us = await drive(state, reads, {
        prepare,
        async slice(from, to) {
          for (let i = from; i < to; i++) keeper.want(state, names[i - first]!, START_MS + READ_MS)
          const loading = state.prefetch()
          if (loading !== null) await loading
          for (let i = from; i < to; i++) found += keeper.get(state, names[i - first]!, START_MS + READ_MS)
        },
      })
      const { user, system } = process.cpuUsage(before)
      report(`${what}: a conversion's read, ${when}`, us, 'us')
      report(`${what}: the same, of all threads`, (user + system) / reads, 'us')
      report(`${what}: holds of a read`, found / reads, '')
    }
    await readAll('same process')
    await state.close()
    report(`${what}: per million, compacted`, (await compactedBytes(path)) / count, 'MB')
    state = await TaskState.open(await openRocksBackend(path), [keeper.spec])
    await readAll('after a restart')
    await state.close()
  } finally {
    rmSync(path, { recursive: true })
  }
}

/** Bytes that no compression makes smaller, the same in every run. */
function noise(length: number, seed: number): Uint8Array {
  const bytes = Buffer.alloc(length)
  let x = (seed * 2654435761 + 1) | 1
  for (let i = 0; i < length; i++) {
    x ^= x << 13
    x ^= x >>> 17
    x ^= x << 5
    bytes[i] = x
  }
  return bytes
}

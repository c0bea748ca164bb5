// What state/ costs, printed: microseconds per operation of each store on real RocksDB, how long a restart takes, and what an event
// costs the record of one key with a short window and with a long one, what a hold costs, and what a timer does.
//   node bench/state.ts [--seen 10000000] [--keys 1000000] [--holds 1000000]
// The figures of a machine, not a test: nothing here fails.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import type { FeatureGroup } from '../operators/feature-record.ts'
import { type Operator, RANK, type Rec } from '../operators/operator.ts'
import { partOf } from '../operators/parts.ts'
import { recordCodec } from '../operators/record-forms.ts'
import { ladderOf, type TileWindow } from '../operators/tiles.ts'
import { openRocksBackend } from '../state/rocks-backend.ts'
import type { Codec, KeyedStore, OrderQueue, StoreSpec } from '../state/store.ts'
import { TaskState } from '../state/task-state.ts'
import { topology } from '../topology/dsl.ts'
import { Outgoing } from '../topology/outgoing.ts'
import { HELD, Pipeline, TIMERS } from '../topology/pipeline.ts'
import { Tally } from '../topology/tally.ts'
import { benchHolds } from './hold-costs.ts'

const SLICE = 128
const COMMIT = 20_000
const DAY_MS = 86_400_000
/** More than the cache of a keyed store has, so that most of what they read is in the backend. */
const TIMERS_FIRED = 500_000
const START_MS = Date.UTC(2025, 0, 1)

const { values: args } = parseArgs({
  options: { seen: { type: 'string' }, keys: { type: 'string' }, holds: { type: 'string' } },
})
const seenCount = Number(args.seen ?? 10_000_000)
const keyCount = Number(args.keys ?? 1_000_000)
const holdCount = Number(args.holds ?? 1_000_000)

interface Panes {
  counts: number[]
}

const panes: Codec<Panes> = {
  encode: (value) => Buffer.from(JSON.stringify(value.counts)),
  decode: (bytes) => ({ counts: JSON.parse(Buffer.from(bytes).toString()) }),
}

const SPECS: readonly StoreSpec[] = [
  { kind: 'keyed', id: 1, name: 'panes', codec: panes },
  { kind: 'seen', id: 2, name: 'ids', bucketMs: 7 * DAY_MS },
  { kind: 'queue', id: 3, name: 'held' },
]

function report(what: string, value: number, unit: string): void {
  console.log(`${what.padEnd(64)} ${value.toFixed(unit === 'us' ? 3 : 1).padStart(10)} ${unit}`)
}

const rssMiB = (): number => process.memoryUsage().rss / 2 ** 20

/** CPU time of this thread so far, microseconds: RocksDB's own threads and other processes are not in it. */
function threadUs(): number {
  const { user, system } = process.threadCpuUsage()
  return user + system
}

interface Work {
  /** Makes the input of a commit; not counted. */
  prepare(from: number, to: number): void
  slice(from: number, to: number): Promise<void>
}

/**
 * Runs `slice` over [0, count) by slices with commits between; the write of one commit overlaps the next slices.
 * Returns CPU microseconds of the main thread per operation, commits included.
 */
async function drive(state: TaskState, count: number, work: Work): Promise<number> {
  let busyUs = 0
  let writing: Promise<void> = Promise.resolve()
  for (let from = 0; from < count; from += COMMIT) {
    const end = Math.min(from + COMMIT, count)
    work.prepare(from, end)
    const begin = threadUs()
    for (let at = from; at < end; at += SLICE) await work.slice(at, Math.min(at + SLICE, end))
    await writing
    const cut = state.cut()
    writing = state.write(cut, '{}').then(() => state.publishSnapshot(cut))
    busyUs += threadUs() - begin
  }
  await writing
  return busyUs / count
}

const eventId = (i: number): string => `e${(i * 2654435761) % 4294967296}-${i}`
const userOf = (i: number): string => `user-${(i * 7919) % 100_003}`

/** Strings as a parser makes them: flat, fresh, not yet hashed. */
const fresh = (text: string): string => Buffer.from(text).toString('latin1')

async function benchSeen(state: TaskState, count: number): Promise<void> {
  const seen = state.seen('ids')
  const users: string[] = []
  const ids: string[] = []
  let base = 0
  let first = 0
  let duplicates = 0
  const prepare = (from: number, to: number): void => {
    first = from
    for (let i = from; i < to; i++) {
      users[i - from] = fresh(userOf(base + i))
      ids[i - from] = fresh(eventId(base + i))
    }
  }
  const ask = async (from: number, to: number): Promise<void> => {
    for (let i = from; i < to; i++) {
      seen.want(users[i - first]!, 'page_view', ids[i - first]!, START_MS + base + i, 7 * DAY_MS)
    }
    const loading = state.prefetch()
    if (loading !== null) await loading
    for (let i = from; i < to; i++) {
      const user = users[i - first]!
      const id = ids[i - first]!
      if (seen.has(user, 'page_view', id, START_MS + base + i, 7 * DAY_MS)) duplicates++
      else seen.add(user, 'page_view', id, START_MS + base + i, -1)
    }
  }
  for (const upTo of [500_000, 1_000_000, 2_000_000, count].filter((n, i, all) => n <= count && all.indexOf(n) === i)) {
    const us = await drive(state, upTo - base, { prepare, slice: ask })
    report(`seen: want + has + add of a new id, from ${base} to ${upTo} ids`, us, 'us')
    base = upTo
  }
  base = 0
  const us = await drive(state, 200_000, { prepare, slice: ask })
  report('seen: want + has of a duplicate, page from the backend', us, 'us')
  if (duplicates !== 200_000) throw new Error(`${duplicates} duplicates found`)
}

async function benchKeyed(state: TaskState, count: number): Promise<void> {
  const store = state.keyed<Panes>('panes')
  const keys: string[] = []
  let first = 0
  const work = (key: (i: number) => string): Work => ({
    prepare(from, to) {
      first = from
      for (let i = from; i < to; i++) keys[i - from] = fresh(key(i))
    },
    async slice(from, to) {
      for (let i = from; i < to; i++) store.want(0, keys[i - first]!)
      const loading = state.prefetch()
      if (loading !== null) await loading
      for (let i = from; i < to; i++) count1(store, keys[i - first]!)
    },
  })
  const hot = await drive(
    state,
    2_000_000,
    work((i) => `user-${(i * 7919) % 997}`),
  )
  report('keyed: want + get + changed, 997 hot keys', hot, 'us')
  report(
    'keyed: the same, new keys',
    await drive(
      state,
      count,
      work((i) => `user-${i}`),
    ),
    'us',
  )
  report(
    'keyed: the same, read back',
    await drive(
      state,
      Math.min(count, 500_000),
      work((i) => `user-${i}`),
    ),
    'us',
  )
}

function count1(store: KeyedStore<Panes>, key: string): void {
  const value = store.get(0, key)
  if (value === undefined) {
    store.set(0, key, { counts: [1] })
  } else {
    value.counts[0]!++
    store.changed(0, key)
  }
}

async function benchQueue(state: TaskState, latenessMs: number): Promise<void> {
  const queue = state.queue('held')
  const value = JSON.stringify({ user_id: 'user-1', page_id: 'page-17', item_id: 'item-123', pad: 'x'.repeat(100) })
  const ids: string[] = []
  let first = 0
  const us = await drive(state, 1_000_000, {
    prepare(from, to) {
      first = from
      for (let i = from; i < to; i++) ids[i - from] = fresh(eventId(i))
    },
    async slice(from, to) {
      for (let i = from; i < to; i++) {
        const at = START_MS + i * 10 + ((i * 7919) % 5000)
        queue.push({ at, rank: 1, type: 'page_view', id: ids[i - first]!, number: i }, value)
      }
      await popUpTo(queue, START_MS + to * 10 - latenessMs)
    },
  })
  report(`queue: push + pop, ${queue.length} held`, us, 'us')
  await popUpTo(queue, Number.MAX_SAFE_INTEGER)
}

async function popUpTo(queue: OrderQueue, watermark: number): Promise<void> {
  while (true) {
    if (queue.needsRefill) await queue.refill()
    const head = queue.peek()
    if (head === null || head.key.at > watermark) return
    queue.pop()
  }
}

/** Timers that are all due at once, each of which reads a key of its own: what one costs alone, and in batches of a slice. */
async function benchTimers(count: number, sliceMax: number): Promise<void> {
  const path = mkdtempSync(join(tmpdir(), 'holdfast-bench-'))
  try {
    const operator: Operator<string, string> = {
      ...{ name: 'timers', version: 1, settings: {} },
      stores: [{ kind: 'keyed', id: 1, name: 'panes', codec: panes }],
      timers: { kinds: ['due'], delayMinMs: DAY_MS },
      process(batch, ctx) {
        for (const record of batch) {
          ctx.keyed<Panes>('panes').set(0, record.value, { counts: [1] })
          ctx.setTimer({ dueMs: record.at + DAY_MS, kind: 'due', key: record.value, payload: null }, record)
        }
        return []
      },
      timerKeys: ({ key }, ctx) => ctx.keyed<Panes>('panes').want(0, key),
      onTimer({ key }, ctx) {
        count1(ctx.keyed<Panes>('panes'), key)
        return undefined
      },
    }
    const ingress: Operator<string, string> = { ...operator, name: 'in', stores: [], process: (batch) => batch }
    const settings = { namespace: 'bench', name: 'timers', clock: 'data', partitions: 1, latenessMs: 0 } as const
    const stage = topology(settings, (t) => t.source('timers', ingress).through(operator)).stages[0]!
    const state = await TaskState.open(await openRocksBackend(path), [...stage.stores, HELD, TIMERS])
    const pipeline = new Pipeline({
      ...{
        stage,
        state,
        sliceMax,
        tally: new Tally(),
        outgoing: new Outgoing('data', { partition: 0, partitions: 1 }, [], []),
      },
      ...{
        pause: async () => {},
        position: () => ({}),
        configured: () => null,
        seenAfter: () => -1,
        model: () => null,
        blobOf: async () => null,
      },
    })
    await drive(state, count, {
      prepare() {},
      async slice(from, to) {
        const records = Array.from({ length: to - from }, (_, i) => recordAt(from + i))
        await pipeline.run(records)
      },
    })
    const begin = threadUs()
    await pipeline.passTime(START_MS + count + DAY_MS)
    report(`timers: fired in batches of ${sliceMax}, each reads a key`, (threadUs() - begin) / count, 'us')
    await state.close()
  } finally {
    rmSync(path, { recursive: true })
  }
}

function recordAt(i: number): Rec<string> {
  const at = START_MS + i
  const id = eventId(i)
  return { value: id, at, watermark: at - 1, late: false, rank: RANK.record, type: 'click', id, number: i, input: 0 }
}

const MINUTE_MS = 60_000
/** Weeks of an event a minute before the first that is measured, so that the longest window is full. */
const WEEKS_BEFORE = 5

/** Of one key, an event a minute: adds it to a part, and encodes the record, as a commit for each event would. */
function benchWindow(kind: 'count' | 'distinct', name: string, window: TileWindow): void {
  const group: FeatureGroup = {
    entity: 'user',
    key: { field: 'user_id', as: 'text' },
    lookbackMs: 60 * MINUTE_MS,
    parts: [{ types: ['click'], where: null, of: null, ladder: ladderOf([window]), spec: { kind } }],
    lists: [],
  }
  const codec = recordCodec(group)
  const record = codec.empty()
  const event = (minute: number): void => {
    const time = START_MS + minute * MINUTE_MS
    record.tiles.settle(time)
    record.tiles.add(0, time, time, partOf({ kind }, kind === 'count' ? true : `advertiser-${minute % 7}`)!)
    record.newestMs = time
  }
  const before = (WEEKS_BEFORE * 7 * DAY_MS) / MINUTE_MS
  for (let minute = 0; minute < before; minute++) event(minute)
  const count = 20_000
  let bytes = 0
  const begin = threadUs()
  for (let minute = before; minute < before + count; minute++) {
    event(minute)
    bytes = codec.encode(record).length
  }
  const us = (threadUs() - begin) / count
  report(`features: event and commit of one key, ${kind} over ${name}, ${bytes} bytes`, us, 'us')
}

async function main(): Promise<void> {
  const path = mkdtempSync(join(tmpdir(), 'holdfast-bench-'))
  try {
    for (const kind of ['count', 'distinct'] as const) {
      benchWindow(kind, '5 min', { lengthMs: 5 * MINUTE_MS, paneMs: MINUTE_MS })
      benchWindow(kind, '28 days', { lengthMs: 28 * DAY_MS, paneMs: 60 * MINUTE_MS })
    }
    await benchHolds({ drive, threadUs, report }, holdCount)
    for (const sliceMax of [1, SLICE]) await benchTimers(TIMERS_FIRED, sliceMax)
    let state = await TaskState.open(await openRocksBackend(path), SPECS)
    await benchKeyed(state, keyCount)
    await benchQueue(state, 50_000)
    await benchQueue(state, 600_000)
    await benchQueue(state, 5_000_000)
    report('RSS before seen ids', rssMiB(), 'MiB')
    await benchSeen(state, seenCount)
    report(`RSS with ${seenCount} seen ids`, rssMiB(), 'MiB')
    await state.close()
    globalThis.gc?.()
    const begin = performance.now()
    state = await TaskState.open(await openRocksBackend(path), SPECS)
    report(`restart with ${seenCount} seen ids`, performance.now() - begin, 'ms')
    report('RSS after restart', rssMiB(), 'MiB')
    await state.close()
  } finally {
    rmSync(path, { recursive: true })
  }
}

await main()

// What a deployment needs: bytes of log and of state, memory, cores and partitions, as a pure function of load and plan.
// CA1: every line is a product of named factors and every total the sum of its lines, so that a person can check them.
// CA2: what is kept is counted at its most (just before a bucket of time expires), time is the mean rate, cores and
//      partitions are for the peak.
// CA3: a byte coefficient is what bench/capacity-run.ts weighs; bench/capacity.test.ts fails where a run leaves others.
// Where the figures come from, line by line: `npm run bench -- --only capacity`. What they cannot know: docs/capacity.md.

import { assert } from '../log/errors.ts'
import { DUPLICATES_DEFAULT } from '../operators/duplicates.ts'
import { pageViewsByUser } from '../operators/page-views.ts'
import { HOUR_MS, windowedCount } from '../operators/windowed-count.ts'
import { KEYED_CACHE_ENTRIES } from '../state/keyed-store.ts'
import { PAGES_CACHED_MAX } from '../state/seen-store.ts'
import { INDEX_BYTES_PER_ID } from '../state/segment-index.ts'
import { REGISTRY_BYTES } from './config-registry.ts'
import { ACCEPTED, pageViewGraph } from './graph.ts'
import { outputStream, stageStream } from './plan.ts'
import { streamSpecs } from './streams.ts'

const MIB = 2 ** 20
const DAY_S = 86_400
const HOUR_S = 3_600

/** Bytes, measured. The bench prints each beside what it has just measured. */
export const BYTES = {
  /** Around the payload of a plain client's message, as the server counts it: its own record, and the subject. */
  message: 47,
  /** Of an event in an array: the comma. */
  comma: 1,
  /** A page view on its way to its page, without the page's id: time, mark of lateness, JSON around them. */
  hopRecord: 22,
  /** Headers of a frame between stages. */
  hopFrame: 200,
  /** Around an accepted event: record, subject, and the header that names its writer and number. */
  acceptedMessage: 159,
  /** Of a seen id on disk, without its user and event id: hash twice, time, length, type, padding to eight bytes. */
  seenId: 41,
  /** Of a key's panes in a bucket of time, without the key: key prefix and what RocksDB adds. */
  panesEntry: 10,
  /** Of one pane in it: its distance and its count, each a number below 128. */
  pane: 2,
} as const

/**
 * CPU microseconds of each event, and of each message beside it, as measured while other programs kept the machine half busy.
 * `task`: of the thread of the busiest stage.
 */
export const CPU_US = {
  node: { event: 22, message: 5 },
  server: { event: 10, message: 2.5 },
  task: { event: 9.5, message: 4.5 },
} as const

/** Memory, bytes. */
export const MEMORY = {
  /** Node, code and connections of a node that has nothing to do; its first thread is in it. Measured. */
  process: 182 * MIB,
  /** Of each further thread. Measured. */
  thread: 36 * MIB,
  /** V8's young generation of a thread at work: three semi-spaces of 32 MiB (docs/decisions/0004-a-large-young-generation.md). */
  young: 96 * MIB,
  /** RocksDB of a task: two write buffers of 16 MiB and a block cache of 32 (state/rocks-backend.ts). */
  rocks: 64 * MIB,
  /** A cached value of a key (state/keyed-store.ts). */
  cachedEntry: 200,
  /** A cached page of seen ids (state/seen-store.ts). */
  cachedPage: 6 * 1024,
  /** In filters, of a key whose value was evicted: 18 bits, and as much room ahead (state/key-filter.ts). */
  evictedKey: 4.5,
  /** In RocksDB's filters and indexes, of a key. */
  rocksKey: 2,
  /** Filters of a seen id: 12 bits of Bloom filter, 16 / 0.88 bits of cuckoo filter. */
  seenId: INDEX_BYTES_PER_ID,
} as const

/** Commits of a task in a second, at most: one starts 5 ms after the first record, and each is a frame to every partition. */
const COMMITS_PER_S_MAX = 200
/** Entries of a keyed store in memory: the cache, and half as many in small buckets. */
const CACHED_MAX = 1.5 * KEYED_CACHE_ENTRIES
/** Of a core that is planned for: the rest is for catching up, compaction and collection. */
export const UTILISATION = 0.5
/** RocksDB's write-ahead log is as long as both write buffers, at most. */
const WAL_BYTES = 32 * MIB
/** An id is kept until the end of its bucket plus the horizon, and a bucket is a horizon wide (operators/duplicates.ts). */
const HORIZONS_KEPT = 2
/** Buckets of panes beside those of the window: the one that fills, and the one that lateness keeps. */
const BUCKETS_BESIDE = 2

export interface Load {
  /** Mean over days. */
  readonly eventsPerS: number
  /** Different ones in the longest window. */
  readonly users: number
  readonly pages: number
  readonly windowsMs: readonly number[]
  readonly eventBytes: number
  /** Of a user id, an event id, a page id, each. */
  readonly idBytes: number
  /** Events that clients send in one message. */
  readonly eventsPerMessage: number
  readonly duplicateDays: number
  /** Of all events, those with an order. */
  readonly conversionShare: number
  /** How long the log must hold what comes: tasks that are down, readers of accepted events that are late. */
  readonly logHours: number
  /** Highest rate to the mean. */
  readonly peak: number
  /** The largest partition to the mean. */
  readonly skew: number
  /** null: as many as the load needs. */
  readonly partitions: number | null
  readonly threads: number
}

export const LOAD_DEFAULT = {
  pages: 10_000,
  windowsMs: [HOUR_MS],
  eventBytes: 300,
  idBytes: 24,
  eventsPerMessage: 1,
  duplicateDays: DUPLICATES_DEFAULT.horizonMs / (DAY_S * 1_000),
  conversionShare: 0.02,
  logHours: 24,
  peak: 3,
  skew: 1.25,
} as const

export interface Factor {
  readonly value: number
  /** What it counts. */
  readonly of: string
}

/** A product (CA1). */
export interface Line {
  readonly what: string
  readonly factors: readonly Factor[]
  readonly product: number
}

export interface Sum {
  readonly lines: readonly Line[]
  readonly total: number
}

export interface Capacity {
  readonly partitions: number
  /** Those that the load needs, whatever was asked for. */
  readonly partitionsNeeded: number
  /** Threads at work: no more than tasks. */
  readonly threads: number
  /** Written in an hour, bytes. */
  readonly logPerHour: Sum
  /** Held for `logHours`, bytes. */
  readonly logHeld: Sum
  /** Room for all streams together (`--log-bytes`), so that the share of each is enough. */
  readonly logBytes: Sum
  readonly state: Sum
  /** Of the task that has most. */
  readonly taskMemory: Sum
  readonly memory: Sum
  readonly cores: Sum
  readonly seenIds: number
}

const factor = (value: number, of: string): Factor => ({ value, of })

function line(what: string, ...factors: readonly Factor[]): Line {
  return { what, factors, product: factors.reduce((product, { value }) => product * value, 1) }
}

/** `2,000 ids x 3.773 bytes`: as few digits as say what it is. */
export function factorsText({ factors }: Line): string {
  return factors.map(({ value, of }) => `${plainNumber(value)} ${of}`).join(' x ')
}

/** `2,000 ids x 3.773 bytes = 7,546`. */
export function lineText(line: Line): string {
  return `${factorsText(line)} = ${plainNumber(line.product)}`
}

/** A number as people read it. */
export const plainNumber = (value: number): string =>
  value >= 1_000 ? Math.round(value).toLocaleString('en-US') : String(Number(value.toPrecision(4)))

function sumOf(...lines: readonly Line[]): Sum {
  return { lines, total: lines.reduce((sum, { product }) => sum + product, 0) }
}

/** Filters of so many seen ids, bytes. */
export function filterLine(ids: number): Line {
  return line('filters of seen ids', factor(ids, 'ids'), factor(MEMORY.seenId, 'bytes'))
}

/** Of each of some tasks, where so many different events come in a day. */
export function expectedFilters(idsPerDay: number, duplicateDays: number, tasks: number): Line {
  return line(
    'filters of seen ids',
    factor(idsPerDay, 'ids a day'),
    factor(HORIZONS_KEPT * duplicateDays, 'days'),
    factor(1 / tasks, 'of them for a task'),
    factor(MEMORY.seenId, 'bytes'),
  )
}

/** What a process holds before it knows a single id, bytes: all of it is there under load, whatever the state is. */
export function processMemory(threads: number): Sum {
  assert(threads >= 1, 'there is a thread')
  return sumOf(
    line('process', factor(1, 'process'), factor(MEMORY.process, 'bytes')),
    line('further threads', factor(threads - 1, 'threads'), factor(MEMORY.thread, 'bytes')),
    line('young generations', factor(threads, 'threads'), factor(MEMORY.young, 'bytes')),
  )
}

/** What a load needs. */
export function capacityOf(load: Load): Capacity {
  const partitionsNeeded = partitionsFor(load)
  const partitions = load.partitions ?? partitionsNeeded
  const threads = Math.min(load.threads, 2 * partitions)
  const kept = keptOf(load)
  const logPerHour = logFor(load, partitions, HOUR_S)
  const taskMemory = taskMemoryOf(load, kept, partitions)
  return {
    partitions,
    partitionsNeeded,
    threads,
    logPerHour,
    logHeld: sumOf(
      ...logPerHour.lines.map(({ what, product }) =>
        line(what, factor(product, 'bytes an hour'), factor(load.logHours, 'hours')),
      ),
    ),
    logBytes: sumOf(roomFor(load, logPerHour, partitions), line('configurations', factor(REGISTRY_BYTES, 'bytes'))),
    state: stateOf(load, kept, partitions),
    taskMemory,
    memory: memoryOf(kept, partitions, threads),
    cores: coresOf(load),
    seenIds: kept.ids + kept.orders,
  }
}

/** Bytes that go into the log in some seconds. */
export function logFor(load: Load, partitions: number, seconds: number): Sum {
  const { eventsPerS, eventBytes, idBytes, eventsPerMessage } = load
  const events = factor(eventsPerS, 'events/s')
  const time = factor(seconds, 's')
  const around = BYTES.message / eventsPerMessage + (eventsPerMessage > 1 ? BYTES.comma : 0)
  const frames = Math.min(eventsPerS, COMMITS_PER_S_MAX * partitions ** 2)
  return sumOf(
    line('input', events, time, factor(eventBytes + around, `bytes (${eventBytes} an event + around it)`)),
    line('hop to pages', events, time, factor(idBytes + BYTES.hopRecord, `bytes (${idBytes} of a page + around it)`)),
    line('frames of the hop', factor(frames, 'frames/s'), time, factor(BYTES.hopFrame, 'bytes')),
    line(
      'accepted events',
      events,
      time,
      factor(eventBytes + BYTES.acceptedMessage, `bytes (${eventBytes} an event + around it)`),
    ),
  )
}

/** The room that gives the stream that is shortest of it enough: streams share it by fixed weights (topology/streams.ts). */
function roomFor(load: Load, perHour: Sum, partitions: number): Line {
  const [input, hop, frames, accepted] = perHour.lines.map(({ product }) => product) as [number, number, number, number]
  const shares = sharesOf()
  const needs = [
    { what: 'input', bytes: input, share: shares.input },
    { what: 'hop', bytes: hop + frames, share: shares.hop },
    { what: 'accepted events', bytes: accepted, share: shares.accepted },
  ]
  const { what, bytes, share } = needs.reduce((most, next) =>
    next.bytes / next.share > most.bytes / most.share ? next : most,
  )
  return line(
    `streams, for ${what}`,
    factor(bytes / partitions, 'bytes an hour of a stream'),
    factor(load.logHours, 'hours'),
    factor(load.skew, 'skew'),
    factor(partitions, 'partitions'),
    factor(1 / share, 'of the room for one that is its share'),
  )
}

const SHARES_OF_BYTES = 1e12

/** The share of all streams of a kind in the room of a node. */
function sharesOf(): Readonly<Record<'input' | 'hop' | 'accepted', number>> {
  const graph = { clock: 'wall', partitions: 1, latenessMs: 0, anonymous: 'reject', accepted: 'records' } as const
  const plan = pageViewGraph({ ...graph, namespace: 'capacity', name: 'capacity' })
  const specs = streamSpecs(plan, { totalBytes: SHARES_OF_BYTES + REGISTRY_BYTES, replicas: 1 })
  const shareOf = (stream: string): number => specs.find(({ name }) => name === stream)!.maxBytes / SHARES_OF_BYTES
  return {
    input: shareOf(stageStream(plan.namespace, 'user-1', 0)),
    hop: shareOf(stageStream(plan.namespace, 'pages', 0)),
    accepted: shareOf(outputStream(plan.namespace, ACCEPTED, 0)),
  }
}

/** What state holds at its most, in all partitions. */
export interface Kept {
  readonly ids: number
  readonly orders: number
  readonly byUser: Entries
  readonly byPage: Entries
}

interface Entries {
  readonly buckets: number
  /** Of one bucket. */
  readonly keys: number
  /** Of one key in one bucket. */
  readonly panes: number
}

/** What state holds, from the load alone. */
export function keptOf({
  eventsPerS,
  users,
  pages,
  windowsMs,
  duplicateDays,
  conversionShare,
}: Pick<Load, 'eventsPerS' | 'users' | 'pages' | 'windowsMs' | 'duplicateDays' | 'conversionShare'>): Kept {
  const { bucketMs, retentionMs, paneMs } = windowedCount({ ...pageViewsByUser, windowsMs }).layout
  const views = (eventsPerS * bucketMs) / 1_000
  const entriesOf = (known: number): Entries => {
    const keys = Math.min(known, views)
    return {
      buckets: retentionMs / bucketMs + BUCKETS_BESIDE,
      keys,
      panes: Math.min(bucketMs / paneMs, views / keys),
    }
  }
  const orderDays = DUPLICATES_DEFAULT.orderHorizonMs / (DAY_S * 1_000)
  return {
    ids: eventsPerS * DAY_S * HORIZONS_KEPT * duplicateDays,
    orders: eventsPerS * conversionShare * DAY_S * HORIZONS_KEPT * orderDays,
    byUser: entriesOf(users),
    byPage: entriesOf(pages),
  }
}

function stateOf({ idBytes }: Load, { ids, orders, byUser, byPage }: Kept, partitions: number): Sum {
  return sumOf(
    seenLine('seen ids', ids, idBytes),
    seenLine('seen orders', orders, idBytes),
    panesLine('panes by user', byUser, idBytes),
    panesLine('panes by page', byPage, idBytes),
    line("RocksDB's own log", factor(2, 'stages'), factor(partitions, 'partitions'), factor(WAL_BYTES, 'bytes')),
  )
}

/** Bytes on disk of seen ids. `idBytes`: of the user's and of the event's, each. */
export function seenLine(what: string, ids: number, idBytes: number): Line {
  return line(
    what,
    factor(ids, 'ids'),
    factor(2 * idBytes + BYTES.seenId, `bytes (2 x ${idBytes} of ids + beside them)`),
  )
}

/** Bytes on disk of the panes of keys. */
export function panesLine(what: string, { buckets, keys, panes }: Entries, idBytes: number): Line {
  const bytes = idBytes + BYTES.panesEntry + BYTES.pane * panes
  return line(
    what,
    factor(keys, 'keys'),
    factor(buckets, 'buckets'),
    factor(bytes, `bytes (${idBytes} of a key + ${BYTES.panesEntry} + ${BYTES.pane} x ${panes.toFixed(1)} panes)`),
  )
}

function taskMemoryOf({ skew }: Load, { ids, orders, byUser }: Kept, partitions: number): Sum {
  const mine = skew / partitions
  const keys = byUser.keys * byUser.buckets * mine
  return sumOf(
    filterLine((ids + orders) * mine),
    ...tableLines(keys, 1),
    line('pages of seen ids', factor(2 * PAGES_CACHED_MAX, 'pages'), factor(MEMORY.cachedPage, 'bytes')),
    line('RocksDB', factor(1, 'task'), factor(MEMORY.rocks, 'bytes')),
  )
}

/** Of the keys that one task keeps, in so many tasks. */
function tableLines(keys: number, tasks: number): Line[] {
  const of = factor(tasks, 'tasks')
  return [
    line('cached values', of, factor(Math.min(keys, CACHED_MAX), 'values'), factor(MEMORY.cachedEntry, 'bytes')),
    line(
      'filters of evicted keys',
      of,
      factor(Math.max(0, keys - CACHED_MAX), 'keys'),
      factor(MEMORY.evictedKey, 'bytes'),
    ),
    line("RocksDB's filters of keys", of, factor(keys, 'keys'), factor(MEMORY.rocksKey, 'bytes')),
  ]
}

/** Of a whole process. Skew moves what a task has, not what all of them have. */
export function memoryOf({ ids, orders, byUser, byPage }: Kept, partitions: number, threads: number): Sum {
  const perTask = ({ keys, buckets }: Entries): number => (keys * buckets) / partitions
  const named = (stage: string, lines: readonly Line[]): Line[] =>
    lines.map((each) => ({ ...each, what: `${each.what}, ${stage}` }))
  return sumOf(
    ...processMemory(threads).lines,
    filterLine(ids + orders),
    ...named('users', tableLines(perTask(byUser), partitions)),
    ...named('pages', tableLines(perTask(byPage), partitions)),
    line(
      'pages of seen ids',
      factor(partitions, 'tasks'),
      factor(2 * PAGES_CACHED_MAX, 'pages'),
      factor(MEMORY.cachedPage, 'bytes'),
    ),
    line('RocksDB', factor(2 * partitions, 'tasks'), factor(MEMORY.rocks, 'bytes')),
  )
}

/** Microseconds of an event, with its part of the message that it comes in. */
const usOf = ({ event, message }: { event: number; message: number }, eventsPerMessage: number): number =>
  event + message / eventsPerMessage

const SECONDS_PER_US = 1e-6

function coresOf({ eventsPerS, peak, eventsPerMessage }: Load): Sum {
  const coresFor = (what: string, us: number): Line =>
    line(
      what,
      factor(eventsPerS, 'events/s'),
      factor(peak, 'peak'),
      factor(us, 'us'),
      factor(SECONDS_PER_US, 's/us'),
      factor(1 / UTILISATION, `to be ${UTILISATION * 100} % busy`),
    )
  return sumOf(
    coresFor('node', usOf(CPU_US.node, eventsPerMessage)),
    coresFor('nats-server', usOf(CPU_US.server, eventsPerMessage)),
  )
}

/** So many that the thread of the busiest task is as busy as planned at the peak. */
function partitionsFor({ eventsPerS, peak, skew, eventsPerMessage }: Load): number {
  const busy = eventsPerS * peak * skew * usOf(CPU_US.task, eventsPerMessage) * SECONDS_PER_US
  return Math.max(1, Math.ceil(busy / UTILISATION))
}

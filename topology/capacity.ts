// What a deployment needs: bytes of log and of state, memory, cores and partitions, as a pure function of load and plan.
// CA1: every line is a product of named factors and every total the sum of its lines, so that a person can check them.
// CA2: what is kept is counted at its most (just before a bucket of time expires), time is the mean rate, cores and
//      partitions are for the peak.
// CA3: a byte coefficient is what bench/capacity-run.ts weighs; bench/capacity.test.ts fails where a run leaves others.
// Where the figures come from, line by line: `npm run bench -- --only capacity`. What they cannot know: docs/capacity.md.

import { assert } from '../log/errors.ts'
import { ATTRIBUTIONS } from '../operators/attribution.ts'
import { ATTRIBUTION_DEFAULT, lengthFor, longestWindowMs } from '../operators/attribution-settings.ts'
import { DECISIONS_KEPT_MS } from '../operators/decisions.ts'
import { DUPLICATES_DEFAULT } from '../operators/duplicate-rule.ts'
import { BUCKETS_PER_RETENTION } from '../operators/hold.ts'
import { stepsOf } from '../operators/label-lanes.ts'
import { LABELS } from '../operators/labels.ts'
import { pageViewsByUser } from '../operators/page-views.ts'
import type { TouchType } from '../operators/touch.ts'
import { HOUR_MS, windowedCount } from '../operators/windowed-count.ts'
import { CONVERSIONS } from '../sinks/conversion-stream.ts'
import { FILTER_GROUPS_MAX, KEPT_HOLDS_MAX } from '../state/hold-store.ts'
import { KEYED_CACHE_ENTRIES } from '../state/keyed-store.ts'
import { QUEUE_MEMORY_ENTRIES } from '../state/order-queue.ts'
import { PAGES_CACHED_MAX } from '../state/seen-store.ts'
import { INDEX_BYTES_PER_ID } from '../state/segment-index.ts'
import { registryBytes } from './activation-registry.ts'
import { CONFIGS } from './config-registry.ts'
import { ACCEPTED, type GraphOptions, LATENESS_MS_DEFAULT, pageViewGraph } from './graph.ts'
import { CLICK_STAGE, JOIN_STAGE } from './joiner.ts'
import { outputStream, stageStream } from './plan.ts'
import { PURCHASE_STAGE } from './purchases.ts'
import { streamSpecs } from './streams.ts'

const REGISTRY_BYTES = registryBytes(CONFIGS)
const MIB = 2 ** 20
const DAY_S = 86_400
const HOUR_S = 3_600

/** Of touches, those that are clicks; the others are impressions. */
export const CLICK_SHARE = 0.2

/** Bytes, measured. The bench prints each beside what it has just measured. */
export const BYTES = {
  /** Around the payload of a plain client's message, as the server counts it: its own record, and the subject. */
  message: 47,
  /** Of an event in an array: the comma. */
  comma: 1,
  /** A page view on its way to its page, without the page's id: time, mark of lateness, JSON around them. */
  hopRecord: 22,
  /** The same of a click on its way to the click index, without its click_id and user. */
  clickRecord: 24,
  /** Of a touch on its way to its holds, without its ids, and of the click_id that clicks have, without it. */
  touchRecord: 31,
  clickIdField: 3,
  /** Of a conversion on either way, without its ids. */
  conversionRecord: 96,
  /** Of who is credited, on its way to the purchases of ads, without ids, where the four windows of clicks have one. */
  creditRecord: 165,
  /** Headers of a frame between stages. */
  hopFrame: 200,
  /** Around an accepted event: record, subject, and the header that names its writer and number. */
  acceptedMessage: 159,
  /** Of an accepted conversion with all around it, of a line of an attribution, each without its ids. */
  conversionMessage: 327,
  attributionMessage: 370,
  /** Of the rows of a touch that are said together, without ids and rows; of a row, without the window's name. */
  labelRecord: 168,
  labelRow: 50,
  /** Of a seen id on disk, without its user and event id: hash twice, time, length, type, padding to eight bytes. */
  seenId: 41,
  /** Of a key's panes in a bucket of time, without the key: key prefix and what RocksDB adds. */
  panesEntry: 10,
  /** Of one pane in it: its distance and its count, each a number below 128. */
  pane: 2,
  /** Of a hold, without its ids: key prefix, times, lengths, what RocksDB adds. */
  hold: 20,
  /** Of the timer that says a touch's next label, without its ids. */
  labelTimer: 90,
  /** Of a known click, without its click_id and user. */
  knownClick: 14,
  /** Of a conversion that waits to be resolved, without its ids. */
  waiting: 385,
  /** Of a conversion, ids in it: who is credited with it, its order, and why, with its candidates. */
  credit: 150,
  order: 200,
  decision: 450,
} as const

/** Ids in what is written: a touch has its own, those of user, advertiser, campaign and ad; a conversion also own user, order
 * and click; a credit the advertiser, and campaign and ad of each window. */
const IDS = { touch: 5, conversion: 6, attribution: 4, credit: 9 } as const

/**
 * CPU microseconds of each event, and of each message beside it, as measured while other programs kept the machine half busy.
 * `task`: of the thread of the busiest stage.
 */
export const CPU_US = {
  node: { event: 22, message: 5 },
  server: { event: 10, message: 2.5 },
  task: { event: 9.5, message: 4.5 },
} as const

/**
 * The same of each touch beside what each event takes: held, and its labels said in the five default windows, without a vector. Node and
 * server: from `npm run bench -- --only windows` (77 us and 6 us of a touch, its event in it) and `--only joiner`, on an idle machine.
 * `task`: of the thread of its stage of attribution: an estimate, two thirds of the node's.
 */
export const TOUCH_US = { node: 68, server: 5, task: 45 } as const

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
  /** Of a person and advertiser, in the filter of a bucket of holds (state/hold-store.ts). */
  heldGroup: 3,
  /** Of a touch that stays in memory because its person has many of them, with a vector. Measured. */
  keptHold: 850,
  /** Of a timer in memory, as text with its key. */
  timer: 500,
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
/** An id is kept until the end of its bucket plus the horizon, and a bucket is a horizon wide (operators/duplicate-rule.ts). */
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
  /** Of all events, clicks and impressions of known people; and conversions, with an order. The others are page views. */
  readonly touchShare: number
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
  touchShare: 0.4,
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
  readonly stages: number
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

/** The graph of a node as it is where nothing else is asked for, with one partition. */
const GRAPH: GraphOptions = {
  ...{ namespace: 'capacity', name: 'capacity', clock: 'wall', partitions: 1, latenessMs: 0, anonymous: 'reject' },
  ...{ accepted: 'records', uploads: true, attribution: ATTRIBUTION_DEFAULT },
}
const PLAN = pageViewGraph(GRAPH)

/** What a load needs. */
export function capacityOf(load: Load): Capacity {
  const partitionsNeeded = partitionsFor(load)
  const partitions = load.partitions ?? partitionsNeeded
  const stages = PLAN.stages.length
  const threads = Math.min(load.threads, stages * partitions)
  const kept = keptOf(load)
  const logPerHour = logFor(load, partitions, HOUR_S)
  const taskMemory = taskMemoryOf(load, kept, partitions)
  return {
    stages,
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
  const { views, touches, clicks, conversions } = ratesOf(load)
  const around = BYTES.message / eventsPerMessage + (eventsPerMessage > 1 ? BYTES.comma : 0)
  const framesMax = COMMITS_PER_S_MAX * partitions ** 2
  const frames = [views, clicks + conversions, touches, conversions, conversions].map((rate) =>
    Math.min(rate, framesMax),
  )
  const of = (what: string, rate: number, things: string, bytes: number, made: string): Line =>
    line(what, factor(rate, `${things}/s`), factor(seconds, 's'), factor(bytes, `bytes (${made} + around it)`))
  const withIds = (ids: number, bytes: number): readonly [number, string] => [
    ids * idBytes + bytes,
    `${plainNumber(ids)} x ${idBytes} of ids`,
  ]
  const { records, rowBytes } = LABELS_OF_TOUCH
  return sumOf(
    of('input', eventsPerS, 'events', eventBytes + around, `${eventBytes} an event`),
    of('to pages', views, 'page views', idBytes + BYTES.hopRecord, `${idBytes} of a page`),
    of('clicks to their index', clicks, 'clicks', ...withIds(2, BYTES.clickRecord)),
    of('conversions to it', conversions, 'conversions', ...withIds(IDS.conversion, BYTES.conversionRecord)),
    of('touches to their holds', touches, 'touches', ...withIds(...HELD_RECORD)),
    of('conversions to them', conversions, 'conversions', ...withIds(IDS.conversion, BYTES.conversionRecord)),
    of('credits to purchases', conversions, 'conversions', ...withIds(IDS.credit, BYTES.creditRecord)),
    line(
      'frames between stages',
      factor(
        frames.reduce((sum, one) => sum + one, 0),
        'frames/s',
      ),
      factor(seconds, 's'),
      factor(BYTES.hopFrame, 'bytes'),
    ),
    of(
      'accepted events',
      eventsPerS - conversions,
      'events',
      eventBytes + BYTES.acceptedMessage,
      `${eventBytes} an event`,
    ),
    of('conversions', conversions, 'conversions', ...withIds(IDS.conversion, BYTES.conversionMessage)),
    of(
      'attributions',
      conversions * ATTRIBUTION_DEFAULT.windows.length * ATTRIBUTION_DEFAULT.models.length,
      'lines',
      ...withIds(IDS.attribution, BYTES.attributionMessage),
    ),
    of('labels', touches * records, 'records', ...withIds(IDS.touch, BYTES.labelRecord + rowBytes / records)),
  )
}

/** Ids of a touch on its way, and bytes around them. */
const HELD_RECORD = [IDS.touch + CLICK_SHARE, BYTES.touchRecord + CLICK_SHARE * BYTES.clickIdField] as const

/** Of each kind, a second. */
function ratesOf({
  eventsPerS,
  touchShare,
  conversionShare,
}: Pick<Load, 'eventsPerS' | 'touchShare' | 'conversionShare'>) {
  const [touches, conversions] = [eventsPerS * touchShare, eventsPerS * conversionShare]
  return { touches, conversions, clicks: CLICK_SHARE * touches, views: eventsPerS - touches - conversions }
}

/** Records of rows that a touch has until its last window is over, and the bytes of their rows: what nobody is credited with. */
export const LABELS_OF_TOUCH = labelsOfTouch()

function labelsOfTouch(): { readonly records: number; readonly rowBytes: number } {
  const { windows } = ATTRIBUTION_DEFAULT
  const { first } = stepsOf(ATTRIBUTION_DEFAULT)
  const shares = { click: CLICK_SHARE, impression: 1 - CLICK_SHARE }
  let [records, rowBytes] = [0, 0]
  for (const type of ['click', 'impression'] as const) {
    for (let step = first(type); step !== null; step = step.next) {
      records += shares[type]
      for (const window of step.windows) rowBytes += shares[type] * (BYTES.labelRow + windows[window]!.name.length)
    }
  }
  return { records, rowBytes }
}

/** The streams of a plan that may be the first to fill, and the lines of the log that go there; frames go with each hop. */
const STREAMS: readonly { readonly what: string; readonly stream: string; readonly lines: readonly string[] }[] = [
  { what: 'input', stream: stageStream(GRAPH.namespace, 'user-1', 0), lines: ['input'] },
  ...[
    { stage: 'pages', lines: ['to pages'] },
    { stage: CLICK_STAGE, lines: ['clicks to their index', 'conversions to it'] },
    { stage: JOIN_STAGE, lines: ['touches to their holds', 'conversions to them'] },
    { stage: PURCHASE_STAGE, lines: ['credits to purchases'] },
  ].map(({ stage, lines }) => ({
    ...{ what: `stage ${stage}`, stream: stageStream(GRAPH.namespace, stage, 0) },
    lines: [...lines, 'frames between stages'],
  })),
  ...[
    { output: ACCEPTED, line: 'accepted events' },
    { output: CONVERSIONS, line: 'conversions' },
    { output: ATTRIBUTIONS, line: 'attributions' },
    { output: LABELS, line: 'labels' },
  ].map(({ output, line }) => ({ what: line, stream: outputStream(GRAPH.namespace, output, 0), lines: [line] })),
]

/** The room that gives the stream that is shortest of it enough: streams share it by fixed weights (topology/streams.ts). */
function roomFor(load: Load, perHour: Sum, partitions: number): Line {
  const specs = streamSpecs(PLAN, { totalBytes: SHARES_OF_BYTES + REGISTRY_BYTES, replicas: 1 })
  const needs = STREAMS.map(({ what, stream, lines }) => ({
    what,
    bytes: perHour.lines.reduce((sum, one) => sum + (lines.includes(one.what) ? one.product : 0), 0),
    share: specs.find(({ name }) => name === stream)!.maxBytes / SHARES_OF_BYTES,
  }))
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

/** What state holds at its most, in all partitions. */
export interface Kept {
  readonly ids: number
  readonly orders: number
  readonly byUser: Entries
  readonly byPage: Entries
  readonly holds: number
  /** Timers of touches that have a label to come. */
  readonly labelTimers: number
  /** Known to the click index. */
  readonly clicks: number
  /** Conversions that wait to be resolved. */
  readonly waiting: number
  /** Conversions of which it is kept who is credited, which order they are, and why. */
  readonly credited: number
  readonly orderCredits: number
  readonly decisions: number
}

interface Entries {
  readonly buckets: number
  /** Of one bucket. */
  readonly keys: number
  /** Of one key in one bucket. */
  readonly panes: number
}

const { graceMs, pixelDelayMs, clickHorizonMs } = ATTRIBUTION_DEFAULT
/** How long holds are, and what is known of a conversion beside its order. */
const HELD_MS = longestWindowMs(ATTRIBUTION_DEFAULT) + pixelDelayMs
/** A bucket of holds goes when the youngest may (operators/hold.ts). */
const HOLD_BUCKETS = BUCKETS_PER_RETENTION + 1
const HOLDS_KEPT_MS = (HELD_MS * HOLD_BUCKETS) / BUCKETS_PER_RETENTION
/** Keyed stores of the joiner have one bucket per retention, so just before one goes there are two. */
const BUCKETS_KEPT = 2
const DAY_MS = DAY_S * 1_000

type Kinds = Pick<
  Load,
  'eventsPerS' | 'users' | 'pages' | 'windowsMs' | 'duplicateDays' | 'touchShare' | 'conversionShare'
>

/** What state holds, from the load alone. */
export function keptOf(load: Kinds): Kept {
  const { eventsPerS, users, pages, windowsMs, duplicateDays } = load
  const { views: viewsPerS, touches, clicks, conversions } = ratesOf(load)
  const { bucketMs, retentionMs, paneMs } = windowedCount({ ...pageViewsByUser, windowsMs }).layout
  const views = (viewsPerS * bucketMs) / 1_000
  const entriesOf = (known: number): Entries => {
    const keys = Math.min(known, views)
    return {
      buckets: retentionMs / bucketMs + BUCKETS_BESIDE,
      keys,
      panes: Math.min(bucketMs / paneMs, views / keys),
    }
  }
  const { orderHorizonMs } = DUPLICATES_DEFAULT
  const within = (perS: number, ms: number): number => (perS * ms) / 1_000
  return {
    ids: eventsPerS * DAY_S * HORIZONS_KEPT * duplicateDays,
    orders: within(conversions, HORIZONS_KEPT * orderHorizonMs),
    byUser: entriesOf(users),
    byPage: entriesOf(pages),
    holds: within(touches, HOLDS_KEPT_MS),
    labelTimers: within(clicks, lastLabelMs('click')) + within(touches - clicks, lastLabelMs('impression')),
    waiting: within(conversions, LATENESS_MS_DEFAULT + graceMs),
    clicks: within(clicks, BUCKETS_KEPT * (clickHorizonMs + graceMs)),
    credited: within(conversions, BUCKETS_KEPT * HELD_MS),
    orderCredits: within(conversions, BUCKETS_KEPT * (orderHorizonMs + graceMs)),
    decisions: within(conversions, DECISIONS_KEPT_MS + DAY_MS),
  }
}

/** Until the last rows of a touch are due. */
const lastLabelMs = (type: TouchType): number =>
  Math.max(...ATTRIBUTION_DEFAULT.windows.map((window) => lengthFor(window, type) ?? 0)) + graceMs

function stateOf({ idBytes }: Load, kept: Kept, partitions: number): Sum {
  return sumOf(
    seenLine('seen ids', kept.ids, idBytes),
    seenLine('seen orders', kept.orders, idBytes),
    panesLine('panes by user', kept.byUser, idBytes),
    panesLine('panes by page', kept.byPage, idBytes),
    ...joinerLines(kept, idBytes),
    line(
      "RocksDB's own log",
      factor(PLAN.stages.length, 'stages'),
      factor(partitions, 'partitions'),
      factor(WAL_BYTES, 'bytes'),
    ),
  )
}

/** Bytes on disk of what the joiner keeps. */
export function joinerLines(kept: Omit<Kept, 'ids' | 'orders' | 'byUser' | 'byPage'>, idBytes: number): Line[] {
  const of = (what: string, count: number, things: string, ids: number, bytes: number): Line =>
    line(
      what,
      factor(count, things),
      factor(ids * idBytes + bytes, `bytes (${plainNumber(ids)} x ${idBytes} of ids + beside them)`),
    )
  const whole = (what: string, count: number, bytes: number): Line =>
    line(what, factor(count, 'conversions'), factor(bytes, 'bytes'))
  return [
    of('holds', kept.holds, 'touches', IDS.touch + CLICK_SHARE, BYTES.hold),
    of('labels to come', kept.labelTimers, 'touches', IDS.touch, BYTES.labelTimer),
    of('known clicks', kept.clicks, 'clicks', 2, BYTES.knownClick),
    of('conversions that wait', kept.waiting, 'conversions', IDS.conversion, BYTES.waiting),
    whole('who is credited', kept.credited, BYTES.credit),
    whole('orders that may be taken back', kept.orderCredits, BYTES.order),
    whole('why it is credited', kept.decisions, BYTES.decision),
  ]
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

/** A task of the first stage, or of attribution: whichever has more. */
function taskMemoryOf({ skew, conversionShare }: Load, kept: Kept, partitions: number): Sum {
  const mine = skew / partitions
  const { ids, orders, byUser } = kept
  const pages = line('pages of seen ids', factor(2 * PAGES_CACHED_MAX, 'pages'), factor(MEMORY.cachedPage, 'bytes'))
  const rocks = line('RocksDB', factor(1, 'task'), factor(MEMORY.rocks, 'bytes'))
  const first = sumOf(
    filterLine(ids * (1 - conversionShare) * mine),
    ...tableLines(byUser.keys * byUser.buckets * mine, 1),
    pages,
    rocks,
  )
  const second = sumOf(
    filterLine((ids * conversionShare + orders) * mine),
    ...joinerMemory(kept, mine, 1),
    pages,
    rocks,
  )
  return first.total >= second.total ? first : second
}

/** What the stage of attribution takes beside filters of ids, in so many tasks that have a part of it each. */
function joinerMemory({ holds, labelTimers, orderCredits, credited }: Kept, part: number, tasks: number): Line[] {
  const of = factor(tasks, 'tasks')
  const timers = Math.min(labelTimers * part, QUEUE_MEMORY_ENTRIES)
  const inFilters = Math.min(holds * part, HOLD_BUCKETS * FILTER_GROUPS_MAX)
  return [
    line('filters of holds', of, factor(inFilters, 'touches'), factor(MEMORY.heldGroup, 'bytes')),
    line('holds of the busiest', of, factor(KEPT_HOLDS_MAX, 'touches'), factor(MEMORY.keptHold, 'bytes')),
    line('labels to come', of, factor(timers, 'timers'), factor(MEMORY.timer, 'bytes')),
    ...tableLines((orderCredits + credited) * part, tasks),
  ]
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
export function memoryOf(kept: Kept, partitions: number, threads: number): Sum {
  const { ids, orders, byUser, byPage, clicks } = kept
  const perTask = (keys: number): number => keys / partitions
  const named = (stage: string, lines: readonly Line[]): Line[] =>
    lines.map((each) => ({ ...each, what: `${each.what}, ${stage}` }))
  return sumOf(
    ...processMemory(threads).lines,
    filterLine(ids + orders),
    ...named('users', tableLines(perTask(byUser.keys * byUser.buckets), partitions)),
    ...named('pages', tableLines(perTask(byPage.keys * byPage.buckets), partitions)),
    ...named('clicks', tableLines(perTask(clicks), partitions)),
    ...named('attribution', joinerMemory(kept, 1 / partitions, partitions)),
    line(
      'pages of seen ids',
      factor(STAGES_OF_IDS * partitions, 'tasks'),
      factor(2 * PAGES_CACHED_MAX, 'pages'),
      factor(MEMORY.cachedPage, 'bytes'),
    ),
    line('RocksDB', factor(PLAN.stages.length * partitions, 'tasks'), factor(MEMORY.rocks, 'bytes')),
  )
}

/** Users and attribution. */
const STAGES_OF_IDS = PLAN.stages.filter(({ stores }) => stores.some(({ kind }) => kind === 'seen')).length

/** Microseconds of an event, with its part of the message that it comes in. */
const usOf = ({ event, message }: { event: number; message: number }, eventsPerMessage: number): number =>
  event + message / eventsPerMessage

const SECONDS_PER_US = 1e-6

function coresOf({ eventsPerS, peak, eventsPerMessage, touchShare }: Load): Sum {
  const coresFor = (what: string, rate: number, things: string, us: number): Line =>
    line(
      what,
      factor(rate, `${things}/s`),
      factor(peak, 'peak'),
      factor(us, 'us'),
      factor(SECONDS_PER_US, 's/us'),
      factor(1 / UTILISATION, `to be ${UTILISATION * 100} % busy`),
    )
  const touches = eventsPerS * touchShare
  return sumOf(
    coresFor('node', eventsPerS, 'events', usOf(CPU_US.node, eventsPerMessage)),
    coresFor('node, attribution', touches, 'touches', TOUCH_US.node),
    coresFor('nats-server', eventsPerS, 'events', usOf(CPU_US.server, eventsPerMessage)),
    coresFor('nats-server, attribution', touches, 'touches', TOUCH_US.server),
  )
}

/** So many that the thread of the busiest task is as busy as planned at the peak. */
function partitionsFor({ eventsPerS, peak, skew, eventsPerMessage, touchShare }: Load): number {
  const us = Math.max(usOf(CPU_US.task, eventsPerMessage), touchShare * TOUCH_US.task)
  return Math.max(1, Math.ceil((eventsPerS * peak * skew * us * SECONDS_PER_US) / UTILISATION))
}

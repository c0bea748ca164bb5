// The capacity part seen from bench/main.ts: real runs, weighed (capacity-run.ts), and beside them what topology/capacity.ts says of
// the same load. The program that weighs in a process of its own is capacity-child.ts.

import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import {
  BYTES,
  CLICK_SHARE,
  CPU_US,
  joinerLines,
  keptOf,
  LOAD_DEFAULT,
  logFor,
  MEMORY,
  memoryOf,
  panesLine,
  seenLine,
  TOUCH_US,
} from '../topology/capacity.ts'
import { CLICK_STAGE, JOIN_STAGE } from '../topology/joiner.ts'
import { idleBytes } from './capacity-idle.ts'
import { LINE_BYTES, type StreamWeight, type Weighing, type Weights, type World } from './capacity-run.ts'
import { type ChildOptions, runChild } from './child.ts'

/** What the model says, and what a run left. */
export interface Comparison {
  readonly what: string
  readonly unit: 'bytes an event' | 'us an event' | 'MiB'
  readonly promised: number
  readonly measured: number
}

export interface CapacityCell {
  /** What ran. */
  readonly name: string
  readonly comparisons: readonly Comparison[]
}

export interface CapacityOptions extends ChildOptions {
  readonly events: number
  readonly threads: number
  readonly directory: string
}

const PROGRAM = new URL(import.meta.resolve('./capacity-child.ts'))
/** Well within an hour: each key has one entry. */
const SPAN_MS = 50 * 60_000
const FRAME_EVENTS = 100
const HOUR_MS = 3_600_000
/** As the model has them where nothing else is said. */
const SHARES = { touchShare: LOAD_DEFAULT.touchShare, conversionShare: LOAD_DEFAULT.conversionShare }
/** Users of the bench view so many pages each. */
const VIEWS_EACH = 10

/** A node that does nothing, a run in frames, and one of single messages. */
export async function capacityCells({
  events,
  threads,
  directory,
  ...child
}: CapacityOptions): Promise<CapacityCell[]> {
  const cells: CapacityCell[] = [await idleCell(directory, child.signal)]
  for (const perMessage of [FRAME_EVENTS, 1]) {
    const users = Math.ceil(events / VIEWS_EACH)
    const world: World = { ...SHARES, events, users, pages: events, spanMs: SPAN_MS }
    const task: Weighing = { ...world, perMessage, partitions: 1, threads, directory: join(directory, 'capacity') }
    const weights = await runChild<Weights>(PROGRAM, task, child)
    await rm(task.directory, { recursive: true, force: true })
    const comparisons = [...promisesFor(task, weights), ...cpuOf(task, weights), memoryOfRun(task, weights)]
    cells.push({ name: perMessage === 1 ? 'single' : `frames of ${perMessage}`, comparisons })
    child.say(`capacity: ${cells.at(-1)!.name} weighed`)
  }
  return cells
}

async function idleCell(directory: string, signal: AbortSignal): Promise<CapacityCell> {
  const one = await idleBytes(1, directory, signal)
  const two = await idleBytes(2, directory, signal)
  return {
    name: 'idle node',
    comparisons: [mebibytes('process', MEMORY.process, one), mebibytes('further thread', MEMORY.thread, two - one)],
  }
}

const MIB = 2 ** 20
const mebibytes = (what: string, promised: number, measured: number): Comparison => ({
  ...{ what, unit: 'MiB', promised: promised / MIB, measured: measured / MIB },
})

/** Bytes that the model promises for a run, and those that it left. */
export function promisesFor(w: Omit<Weighing, 'directory'>, weights: Weights): Comparison[] {
  const { events, users, pages, spanMs, perMessage, partitions, touchShare, conversionShare } = w
  const idBytes = LINE_BYTES.id
  const kinds = { touchShare, conversionShare }
  const load = { ...LOAD_DEFAULT, ...kinds, users, pages, eventBytes: LINE_BYTES.event, idBytes }
  // As if all came in one second; a run over a backlog has frames of its own number, so only their bytes are promised.
  const rest = { eventsPerMessage: perMessage, logHours: 1, partitions, threads: 1 }
  const { lines } = logFor({ ...load, ...rest, eventsPerS: events }, partitions, 1)
  const lineOf = (what: string): number => lines.find((line) => line.what === what)!.product
  const framed = ({ messages }: StreamWeight): number => messages * BYTES.hopFrame
  const bytes = (what: string, promised: number, measured: number): Comparison => ({
    what,
    unit: 'bytes an event',
    promised: promised / events,
    measured: measured / events,
  })
  const { input, pages: views, clicks, joined, accepted, conversions, attributions, stateBytes } = weights
  const toClicks = lineOf('clicks to their index') + lineOf('conversions to it')
  const toHolds = lineOf('touches to their holds') + lineOf('conversions to them')
  const kept = keptOf({ ...load, eventsPerS: (events * 1_000) / spanMs })
  const buckets = Math.ceil(spanMs / HOUR_MS)
  const userPanes = panesLine('', { ...kept.byUser, buckets }, idBytes).product
  const touches = events * touchShare
  const bought = events * conversionShare
  // At the end the last ones still wait for the watermark.
  const done = weights.conversions.messages
  // All that a run leaves is of one bucket of each store.
  const own = { holds: touches, labelTimers: touches, clicks: touches * CLICK_SHARE, credited: done }
  const stateLines = joinerLines({ ...own, waiting: bought - done, orderCredits: done, decisions: done }, idBytes)
  const stateOf = (...of: readonly string[]): number =>
    stateLines.reduce((sum, { what, product }) => sum + (of.includes(what) ? product : 0), 0)
  const seen = (ids: number): number => seenLine('', ids, idBytes).product
  const ofAttribution = ['holds', 'labels to come', 'who is credited', 'orders that may be taken back']
  return [
    bytes('input', lineOf('input'), input.bytes),
    bytes('to pages', lineOf('to pages') + framed(views), views.bytes),
    bytes('to the click index', toClicks + framed(clicks), clicks.bytes),
    bytes('to attribution', toHolds + framed(joined), joined.bytes),
    bytes(
      'to purchases',
      (lineOf('credits to purchases') * done) / bought + framed(weights.credits),
      weights.credits.bytes,
    ),
    bytes('accepted events', lineOf('accepted events'), accepted.bytes),
    bytes('conversions', (lineOf('conversions') * done) / bought, conversions.bytes),
    bytes('attributions', (lineOf('attributions') * done) / bought, attributions.bytes),
    bytes('state of users', seen(events - bought) + userPanes, stateBytes['user-1']!),
    bytes('state of pages', panesLine('', { ...kept.byPage, buckets }, idBytes).product, stateBytes.pages!),
    bytes('state of clicks', stateOf('known clicks', 'conversions that wait'), stateBytes[CLICK_STAGE]!),
    bytes(
      'state of attribution',
      stateOf(...ofAttribution, 'why it is credited') + 2 * seen(done),
      stateBytes[JOIN_STAGE]!,
    ),
  ]
}

/** With its caches full the process is at the model's figure at most; small runs stay below. */
function memoryOfRun(w: Weighing, { rssBytes }: Weights): Comparison {
  const { events, users, pages, partitions, threads, touchShare, conversionShare } = w
  const ofKeys = (keys: number) => ({ keys, buckets: 1, panes: 1 })
  const [touches, bought] = [events * touchShare, events * conversionShare]
  const joined = { holds: touches, labelTimers: touches, clicks: touches * CLICK_SHARE, credited: bought }
  const kept = { ids: events, orders: bought, byUser: ofKeys(users), byPage: ofKeys(pages), ...joined }
  const model = memoryOf({ ...kept, waiting: 0, orderCredits: bought, decisions: bought }, partitions, threads)
  return mebibytes('memory, at most', model.total, rssBytes)
}

function cpuOf({ events, perMessage, touchShare }: Weighing, { sample }: Weights): Comparison[] {
  const us = (
    what: string,
    { event, message }: { event: number; message: number },
    touchUs: number,
    seconds: number,
  ): Comparison => ({
    what,
    unit: 'us an event',
    promised: event + message / perMessage + touchShare * touchUs,
    measured: (seconds * 1e6) / events,
  })
  return [
    us('CPU of the node', CPU_US.node, TOUCH_US.node, sample.nodeCpuSeconds),
    us('CPU of its first thread', CPU_US.task, TOUCH_US.task, sample.mainCpuSeconds),
    us('CPU of the server', CPU_US.server, TOUCH_US.server, sample.serverCpuSeconds),
  ]
}

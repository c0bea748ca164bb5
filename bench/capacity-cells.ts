// The capacity part seen from bench/main.ts: real runs, weighed (capacity-run.ts), and beside them what topology/capacity.ts says of
// the same load. The program that weighs in a process of its own is capacity-child.ts.

import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import {
  BYTES,
  CPU_US,
  keptOf,
  LOAD_DEFAULT,
  logFor,
  MEMORY,
  memoryOf,
  panesLine,
  seenLine,
} from '../topology/capacity.ts'
import { idleBytes } from './capacity-idle.ts'
import { LINE_BYTES, type Weighing, type Weights, type World } from './capacity-run.ts'
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
    const world: World = { events, users: Math.ceil(events / VIEWS_EACH), pages: events, spanMs: SPAN_MS }
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
  const { events, users, pages, spanMs, perMessage, partitions } = w
  const idBytes = LINE_BYTES.id
  const load = { ...LOAD_DEFAULT, users, pages, eventBytes: LINE_BYTES.event, idBytes, eventsPerMessage: perMessage }
  // As if all came in one second; a run over a backlog has frames of its own number, so only their bytes are promised.
  const rest = { logHours: 1, partitions, threads: 1 }
  const [input, hop, , accepted] = logFor({ ...load, ...rest, eventsPerS: events }, partitions, 1).lines.map(
    ({ product }) => product,
  ) as [number, number, number, number]
  const { byUser, byPage } = keptOf({ ...load, eventsPerS: (events * 1_000) / spanMs })
  const buckets = Math.ceil(spanMs / HOUR_MS)
  const userPanes = panesLine('', { ...byUser, buckets }, idBytes).product
  const bytes = (what: string, promised: number, measured: number): Comparison => ({
    what,
    unit: 'bytes an event',
    promised: promised / events,
    measured: measured / events,
  })
  return [
    bytes('input', input, weights.input.bytes),
    bytes('hop to pages', hop + weights.hop.messages * BYTES.hopFrame, weights.hop.bytes),
    bytes('accepted events', accepted, weights.accepted.bytes),
    bytes('state of users', seenLine('', events, idBytes).product + userPanes, weights.userStateBytes),
    bytes('state of pages', panesLine('', { ...byPage, buckets }, idBytes).product, weights.pageStateBytes),
  ]
}

/** With its caches full the process is at the model's figure at most; small runs stay below. */
function memoryOfRun({ events, users, pages, partitions, threads }: Weighing, { rssBytes }: Weights): Comparison {
  const ofKeys = (keys: number) => ({ keys, buckets: 1, panes: 1 })
  const kept = { ids: events, orders: 0, byUser: ofKeys(users), byPage: ofKeys(pages) }
  return mebibytes('memory, at most', memoryOf(kept, partitions, threads).total, rssBytes)
}

function cpuOf({ events, perMessage }: Weighing, { sample }: Weights): Comparison[] {
  const us = (what: string, { event, message }: { event: number; message: number }, seconds: number): Comparison => ({
    what,
    unit: 'us an event',
    promised: event + message / perMessage,
    measured: (seconds * 1e6) / events,
  })
  return [
    us('CPU of the node', CPU_US.node, sample.nodeCpuSeconds),
    us('CPU of its first thread', CPU_US.task, sample.mainCpuSeconds),
    us('CPU of the server', CPU_US.server, sample.serverCpuSeconds),
  ]
}

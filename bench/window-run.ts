// A program that window-cells.ts starts: one set of windows over one world, all tasks in one thread. First the four weeks, after which
// every hold is there; then an event so late that every window is over, and every label row is said.
// WR1: weighed is the state of all tasks at both ends, compacted.

import { createHash } from 'node:crypto'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { eachRecord } from '../log/frame.ts'
import type { NatsLog } from '../log/nats-log.ts'
import { realRuntime } from '../log/runtime.ts'
import { LABELS } from '../operators/labels.ts'
import type { LabelRecord } from '../operators/touch.ts'
import { openRocksBackend } from '../state/rocks-backend.ts'
import { type GraphOptions, pageViewGraph } from '../topology/graph.ts'
import { Host, tasksOf } from '../topology/host.ts'
import { outputStream, type Plan } from '../topology/plan.ts'
import { DEFAULT_TUNING } from '../topology/task.ts'
import { serveParent } from './child.ts'
import { compactedBytes } from './compaction.ts'
import { startAndSettle } from './graph-run.ts'
import { metered, type Sample } from './meter.ts'
import { type Broker, openBroker, publishLines, readAll } from './stream.ts'
import { conversionsOf, lastLine, linesOf, START_MS, type TouchWorld } from './window-world.ts'

export interface WindowTask {
  readonly graph: GraphOptions
  readonly world: TouchWorld
  /** Removed at the end. */
  readonly directory: string
}

export interface WindowRun {
  /** The four weeks, and the end. */
  readonly flow: Sample
  readonly end: Sample
  /** Bytes by stage: with all holds, and when the last window is over. */
  readonly heldBytes: Readonly<Record<string, number>>
  readonly endBytes: Readonly<Record<string, number>>
  /** Messages of the output: rows of one touch that were caused together. */
  readonly labelRecords: number
  /** By window. */
  readonly mature: Readonly<Record<string, MatureRows>>
}

/** The M rows of a window. */
export interface MatureRows {
  readonly rows: number
  readonly positives: number
  /** SHA-256 (hex) of all that is said of each, in the order of their text. */
  readonly digest: string
}

const FRAME_EVENTS = 100
/** Of the room for one event in all streams that the rest of the bench asks for: nothing is trimmed, and the stream of vectors, each
 * longer than an event, has a thirtieth of it. */
const ROOM = { plain: 8, vectors: 60 } as const
/** Beyond the last touch: longer than all windows, pixel delay and grace. */
const AFTER_MS = 90 * 86_400_000

async function windows({ graph, world, directory }: WindowTask): Promise<WindowRun> {
  const plan = pageViewGraph(graph)
  const natsDir = join(directory, 'nats')
  const events = world.touches + conversionsOf(world)
  const room = { events: events * ROOM[graph.vectors === undefined ? 'plain' : 'vectors'] }
  const filling = await openBroker(natsDir, plan, { ...room, durable: false })
  await publishLines(filling.log, plan, { lines: linesOf(world), perMessage: FRAME_EVENTS }).finally(filling.close)
  const broker = await openBroker(natsDir, plan, { ...room, durable: true })
  const run = { plan, broker, stateDir: join(directory, 'state') }
  try {
    const flow = await leg(run, events)
    const heldBytes = await stateBytes(run)
    const last = lastLine(START_MS + world.spanMs + AFTER_MS)
    await publishLines(broker.log, plan, { lines: [last], perMessage: 1 })
    const end = await leg(run, events + 1)
    const endBytes = await stateBytes(run)
    return { flow, end, heldBytes, endBytes, ...(await labelsIn(broker.log, plan)) }
  } finally {
    await broker.close()
    await rm(directory, { recursive: true, force: true })
  }
}

interface Run {
  readonly plan: Plan
  readonly broker: Broker
  readonly stateDir: string
}

/** From the start of the tasks until so many events in all are read and committed everywhere. */
async function leg({ plan, broker: { log, pid }, stateDir }: Run, events: number): Promise<Sample> {
  const tuning = { ...DEFAULT_TUNING, trimBytes: Number.POSITIVE_INFINITY }
  const backend = (task: string) => openRocksBackend(join(stateDir, task))
  const host = new Host({ plan, log, runtime: realRuntime, tuning, role: 'owner', backend, onHalt: () => {} })
  try {
    return (await metered(pid, () => startAndSettle(host, plan, events))).sample
  } finally {
    await host.stop()
    await host.close()
  }
}

async function stateBytes({ plan, stateDir }: Run): Promise<Record<string, number>> {
  const bytes: Record<string, number> = {}
  for (const { name, stage } of tasksOf(plan))
    bytes[stage.name] = (bytes[stage.name] ?? 0) + (await compactedBytes(join(stateDir, name)))
  return bytes
}

async function labelsIn(log: NatsLog, plan: Plan): Promise<Pick<WindowRun, 'labelRecords' | 'mature'>> {
  const texts = new Map<string, string[]>()
  let labelRecords = 0
  const positives = new Map<string, number>()
  const streams = Array.from({ length: plan.partitions }, (_, p) => outputStream(plan.namespace, LABELS, p))
  for await (const messages of readAll(log, streams)) {
    for (const record of messages.flatMap(({ payload }) => recordsIn(payload))) {
      labelRecords++
      if (record.kind !== 'M') continue
      const { rows, ...of } = record
      for (const row of rows) {
        const texted = texts.get(row.window) ?? []
        texts.set(row.window, texted)
        texted.push(JSON.stringify([of, row]))
        positives.set(row.window, (positives.get(row.window) ?? 0) + row.y)
      }
    }
  }
  const mature = [...texts].map(([window, rows]): [string, MatureRows] => {
    const digest = createHash('sha256').update(rows.sort().join('\n')).digest('hex')
    return [window, { rows: rows.length, positives: positives.get(window)!, digest }]
  })
  return { labelRecords, mature: Object.fromEntries(mature) }
}

function recordsIn(frame: Uint8Array): LabelRecord[] {
  const text = Buffer.from(frame.buffer, frame.byteOffset, frame.byteLength)
  const found: LabelRecord[] = []
  eachRecord(frame, (from, to) => found.push(JSON.parse(text.toString('utf8', from, to)) as LabelRecord))
  return found
}

serveParent(windows)

// The trainer from log to committed state: rows that lie in the stream of its stage, in frames, as the stage of attribution sends
// them, read by a real task of the graph (with evaluation beside the trainer) on nats-server and RocksDB.
// TT1: from the start of the task until a commit has all rows; nothing is there before but the rows.

import { join } from 'node:path'
import { Numbering, startOf } from '../log/numbering.ts'
import { realRuntime } from '../log/runtime.ts'
import { Writer } from '../log/writer.ts'
import { openRocksBackend } from '../state/rocks-backend.ts'
import { pageViewGraph, TRAINING_STAGE } from '../topology/graph.ts'
import { Host } from '../topology/host.ts'
import { rowExchange } from '../topology/models/row-exchange.ts'
import { SCORING_DEFAULT } from '../topology/models/scoring-settings.ts'
import { encodeRecord } from '../topology/outgoing.ts'
import { exchangeDestination, type Plan, taskName } from '../topology/plan.ts'
import { DEFAULT_TUNING } from '../topology/task.ts'
import { metered, type Sample } from './meter.ts'
import { taughtRows } from './model-rows.ts'
import { joinerGraph } from './plan.ts'
import { type Broker, openBroker } from './stream.ts'

const TASK = taskName(TRAINING_STAGE, 0)
/** Rows that one commit of the sender has sent together. */
const SENT_ROWS = 1_000
/** Of the room for one event in all streams that the rest of the bench asks for: all rows lie in one of the streams. */
const ROOM = 30
const LOOK_MS = 2
/** Longer than any number of rows takes that is measured. */
const STUCK_MS = 120_000

/** `directory`: where the server and the state live; the caller removes it. */
export async function trainerTask(rows: number, directory: string): Promise<Sample> {
  const plan = pageViewGraph({ ...joinerGraph(1), scoring: SCORING_DEFAULT })
  const natsDir = join(directory, 'nats')
  const filling = await openBroker(natsDir, plan, { events: ROOM * rows, durable: false })
  await publishRows(filling, plan, rows).finally(filling.close)
  const broker = await openBroker(natsDir, plan, { events: ROOM * rows, durable: true })
  try {
    const { log, pid } = broker
    const tuning = { ...DEFAULT_TUNING, trimBytes: Number.POSITIVE_INFINITY }
    const backend = () => openRocksBackend(join(directory, 'state'))
    const of = { plan, log, runtime: realRuntime, tuning, role: 'owner', backend, onHalt: () => {} } as const
    const host = new Host({ ...of, tasks: [TASK] })
    try {
      return (await metered(pid, () => committed(host, rows))).sample
    } finally {
      await host.stop()
      await host.close()
    }
  } finally {
    await broker.close()
  }
}

async function publishRows({ log }: Broker, plan: Plan, count: number): Promise<void> {
  const writer = 'user-2-0'
  const destination = exchangeDestination(plan, TRAINING_STAGE, 0, writer)
  const options = { log, runtime: realRuntime, writer, destination, onWait: () => {} }
  const claim = { generation: 1, instance: 'bench' }
  const sender = await Writer.open(options, claim, { number: 0, chain: '', seq: 0 })
  const numbering = new Numbering(destination.mode, startOf(writer, destination.subject))
  const codec = rowExchange<never>()
  const rows = taughtRows(count)
  for (let from = 0; from < count; from += SENT_ROWS) {
    const some = rows.slice(from, from + SENT_ROWS)
    const texts = some.map((rec) => encodeRecord(rec, codec.encode({ rows: [rec.value] }, rec.at), plan.clock))
    await sender.send(numbering.take(texts, some.at(-1)!.at, { seq: from + some.length, index: 0 }), true)
  }
}

/** TT1. */
async function committed(host: Host, rows: number): Promise<void> {
  await host.start()
  const until = performance.now() + STUCK_MS
  while (performance.now() < until) {
    for (const { error } of host.failed) throw error
    const commit = await host.commitOf(TASK)
    if (commit?.tally.counts.training_rows_used === rows) return
    await realRuntime.sleep(LOOK_MS)
  }
  throw new Error(`stands still: ${JSON.stringify(host.status())}`)
}

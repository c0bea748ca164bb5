// Oracle O1 of the kill tests: what a run leaves, in outputs and in state, to be compared with an undisturbed twin's.
// TW1: only what the contract lets differ is left out: of the summary wall_seconds, resumed_at_line and starts; of the state
//      epochs, generations, sequences and positions.

import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { openBroker } from '../../cli/broker.ts'
import { sha256OfFile } from '../../cli/data-directory.ts'
import { blobName } from '../../log/blobs.ts'
import { assert } from '../../log/errors.ts'
import { MODELS } from '../../operators/model-records.ts'
import { openRocksBackend } from '../../state/rocks-backend.ts'
import { TaskState } from '../../state/task-state.ts'
import { parseCommitRecord } from '../../topology/commit-record.ts'
import { HELD, TIMERS } from '../../topology/pipeline.ts'
import { type Plan, taskName } from '../../topology/plan.ts'
import { modelBucketName } from '../../topology/streams.ts'

/** By what it is of: a file, or a task's state: SHA-256, or canonical text where that is short. */
export type Traces = ReadonlyMap<string, string>

const FILES = ['features.ndjson', 'dead_letters.ndjson', 'attributions.ndjson', 'labels.ndjson']
const MODEL_FILES = ['models.ndjson', 'scores.ndjson']
const MAY_DIFFER = new Set(['wall_seconds', 'resumed_at_line', 'starts'])

/** What a run left in its --out, in the states under its --data-dir, and of files in the log: that of `nats`, or its own. */
export async function tracesOf(out: string, dataDir: string, plan: Plan, nats: string | undefined): Promise<Traces> {
  const traces = new Map<string, string>()
  const learns = plan.stages.some(({ outputs }) => outputs.some(({ name }) => name === MODELS))
  if (learns) traces.set('files of models', (await modelFiles(dataDir, plan, nats)).join(' '))
  for (const name of learns ? [...FILES, ...MODEL_FILES] : FILES) traces.set(name, await sha256OfFile(join(out, name)))
  traces.set('summary.json', await summaryTrace(out))
  for (const stage of plan.stages) {
    for (let partition = 0; partition < plan.partitions; partition++) {
      const task = taskName(stage.name, partition)
      const backend = await openRocksBackend(join(dataDir, 'state', task))
      const state = await TaskState.open(backend, [...stage.stores, HELD, TIMERS])
      try {
        const dump = createHash('sha256')
        for await (const line of state.dump()) dump.update(`${line}\n`)
        traces.set(`state of ${task}`, dump.digest('hex'))
        traces.set(`commit of ${task}`, commitTrace(state.meta))
      } finally {
        await state.close()
      }
    }
  }
  return traces
}

/** One line per trace that differs. */
export function differences(twin: Traces, found: Traces): string[] {
  return [...twin].flatMap(([name, expected]) => {
    const there = found.get(name)
    return there === expected ? [] : [`${name}: ${there} where the twin has ${expected}`]
  })
}

/** SHA-256 of the files of versions that are kept, the oldest first. Read, because a name says nothing of what is there. */
async function modelFiles(dataDir: string, { namespace }: Plan, nats: string | undefined): Promise<string[]> {
  const broker = await openBroker({ nats, storeDir: join(dataDir, 'nats'), name: 'twin', mappings: {}, say: () => {} })
  try {
    const bucket = modelBucketName(namespace)
    const hashes: string[] = []
    for (const name of await broker.log.blobNames(bucket)) {
      const bytes = await broker.log.getBlob(bucket, name)
      assert(bytes !== null, 'nobody removes files after the end')
      hashes.push(blobName(bytes))
    }
    return hashes
  } finally {
    await broker.close()
  }
}

async function summaryTrace(out: string): Promise<string> {
  const summary = JSON.parse(await readFile(join(out, 'summary.json'), 'utf8')) as Record<string, unknown>
  return JSON.stringify(Object.entries(summary).filter(([name]) => !MAY_DIFFER.has(name)))
}

/**
 * Numbers and chains towards every side, counters, watermark. Of outputs the numbers only: a dead letter says where in the log
 * it lay, and a reader of the file that was killed has framed its lines otherwise. Their chains are the audit's business.
 */
function commitTrace(meta: string | null): string {
  if (meta === null) return 'no commit'
  const { writers, destinations, tally, watermark, drained } = parseCommitRecord(meta)
  const isOutput = (subject: string) => subject.includes('.out.')
  const ends = (sides: Readonly<Record<string, { readonly number: number; readonly chain: string }>>) =>
    Object.entries(sides)
      .map(([name, { number, chain }]) => `${name} ${number} ${isOutput(name) ? '' : chain}`)
      .sort()
  return JSON.stringify({ writers: ends(writers), destinations: ends(destinations), tally, watermark, drained })
}

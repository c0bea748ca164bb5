// Oracle O1 of the kill tests: what a run leaves, in outputs and in state, to be compared with an undisturbed twin's.
// TW1: only what the contract lets differ is left out: of the summary wall_seconds, resumed_at_line and starts; of the state
//      epochs, generations, sequences and positions.

import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { openRocksBackend } from '../../state/rocks-backend.ts'
import { TaskState } from '../../state/task-state.ts'
import { parseCommitRecord } from '../../topology/commit-record.ts'
import { HELD, TIMERS } from '../../topology/pipeline.ts'
import { type Plan, taskName } from '../../topology/plan.ts'

/** By what it is of: a file, or a task's state: SHA-256, or canonical text where that is short. */
export type Traces = ReadonlyMap<string, string>

const FILES = ['features.ndjson', 'dead_letters.ndjson']
const MAY_DIFFER = new Set(['wall_seconds', 'resumed_at_line', 'starts'])

/** What a run left in its --out and in the states under its --data-dir. */
export async function tracesOf(out: string, dataDir: string, plan: Plan): Promise<Traces> {
  const traces = new Map<string, string>()
  for (const name of FILES) traces.set(name, sha256(await readFile(join(out, name))))
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

function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}

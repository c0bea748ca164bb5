// The throughput part seen from bench/main.ts: which cells there are and what one reports. The program that measures a cell is
// throughput.ts.

import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { type ChildOptions, runChild } from './child.ts'
import { DATASETS, type DatasetName, SHOP_FILE } from './datasets.ts'
import type { Outputs } from './graph-run.ts'
import type { Sample } from './meter.ts'

export const MEASUREMENTS = ['consume', 'consume-and-parse', 'page-view graph', 'graph, trimming'] as const
export type Measurement = (typeof MEASUREMENTS)[number]

export interface ThroughputTask {
  readonly dataset: DatasetName
  readonly events: number
  /** Events in one message; 1: no array around it. */
  readonly perMessage: number
  /** Of the graph: tasks per stage, and streams that its input is in. */
  readonly partitions: number
  /** Of the graph: its tasks share them. */
  readonly threads: number
  readonly samples: number
  /** Where the server and the state live; the program removes it. */
  readonly directory: string
  /** Where to write what the calling thread did in one more run of the graph; null: nowhere. */
  readonly profile: string | null
}

export interface ThroughputResult {
  readonly messages: number
  readonly payloadBytes: number
  readonly samples: Readonly<Record<Measurement, readonly Sample[]>>
  readonly outputs: Outputs
}

export interface ThroughputCell extends ThroughputResult {
  readonly task: ThroughputTask
}

export interface ThroughputOptions extends ChildOptions {
  /** The cells to measure, by name; null: all. */
  readonly cells: readonly string[] | null
  readonly framedEvents: number
  readonly singleEvents: number
  readonly partitions: number
  readonly threads: number
  readonly samples: number
  readonly directory: string
  readonly profile: string | null
}

const PROGRAM = new URL(import.meta.resolve('./throughput.ts'))
const FRAME_EVENTS = 100
const FORMATS = [FRAME_EVENTS, 1]

/** `shop-10d-100` is shop-10d in frames of 100. */
export const CELL_NAMES = Object.keys(DATASETS).flatMap((dataset) => FORMATS.map((n) => `${dataset}-${n}`))

/** Measures every dataset that is there in both formats, one after the other. */
export async function throughputCells(options: ThroughputOptions): Promise<ThroughputCell[]> {
  const cells: ThroughputCell[] = []
  for (const dataset of Object.keys(DATASETS) as DatasetName[]) {
    if (dataset === 'shop-10d' && !existsSync(SHOP_FILE)) {
      options.say(`${SHOP_FILE.pathname} is not there: without ${dataset}`)
      continue
    }
    for (const perMessage of FORMATS) {
      const wanted = options.cells?.includes(`${dataset}-${perMessage}`) ?? true
      if (wanted) cells.push(await cellOf(options, dataset, perMessage))
    }
  }
  return cells
}

async function cellOf(o: ThroughputOptions, dataset: DatasetName, perMessage: number): Promise<ThroughputCell> {
  const name = `${dataset}-${perMessage}`
  const task: ThroughputTask = {
    dataset,
    perMessage,
    events: perMessage === 1 ? o.singleEvents : o.framedEvents,
    partitions: o.partitions,
    threads: o.threads,
    samples: o.samples,
    directory: join(o.directory, name),
    profile: o.profile === null ? null : join(o.profile, `${name}.cpuprofile`),
  }
  const say = (line: string): void => o.say(`${name}: ${line}`)
  const result = await runChild<ThroughputResult>(PROGRAM, task, { signal: o.signal, say })
  return { task, ...result }
}

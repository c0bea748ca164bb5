// The throughput part seen from bench/main.ts: which cells there are and what one reports. The program that measures a cell is
// throughput.ts.

import { existsSync } from 'node:fs'
import { DATASETS, type DatasetName, SHOP_FILE } from './datasets.ts'
import type { Outputs } from './graph-run.ts'
import { FORMATS, type LoadOptions, type LoadTask, loadCell, loadTask } from './load-cell.ts'
import type { Sample } from './meter.ts'

export const MEASUREMENTS = ['consume', 'consume-and-parse', 'page-view graph', 'graph, trimming'] as const
export type Measurement = (typeof MEASUREMENTS)[number]

export interface ThroughputTask extends LoadTask {
  readonly dataset: DatasetName
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

export interface ThroughputOptions extends LoadOptions {
  /** The cells to measure, by name; null: all. */
  readonly cells: readonly string[] | null
}

const PROGRAM = new URL(import.meta.resolve('./throughput.ts'))

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

function cellOf(o: ThroughputOptions, dataset: DatasetName, perMessage: number): Promise<ThroughputCell> {
  const name = `${dataset}-${perMessage}`
  const task: ThroughputTask = { dataset, ...loadTask(o, name, perMessage) }
  return loadCell<ThroughputResult, ThroughputTask>(PROGRAM, name, task, o)
}

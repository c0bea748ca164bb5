// The joiner's part seen from bench/main.ts: the full path (validate, duplicates, counts, hold, attribute, label) on traffic with
// touches and conversions. The program that measures is joiner-run.ts.

import { FORMATS, type LoadOptions, type LoadTask, loadCell, loadTask } from './load-cell.ts'
import type { Sample } from './meter.ts'

export const JOINER_MEASUREMENTS = ['consume-and-parse', 'full path'] as const
export type JoinerMeasurement = (typeof JOINER_MEASUREMENTS)[number]

export interface JoinerResult {
  readonly samples: Readonly<Record<JoinerMeasurement, readonly Sample[]>>
  /** Of the whole process, the highest of the runs of the full path; at the end of each. */
  readonly rssMiB: number
  readonly touches: number
  readonly conversions: number
  /** Conversions that somebody has the credit of, and label rows, over all windows. */
  readonly attributed: number
  readonly rows: Readonly<Record<'O' | 'D' | 'M', number>>
  /** Files of the tasks of a stage, compacted. */
  readonly stateBytes: Readonly<Record<'clicks' | 'user-2', number>>
}

export interface JoinerCell extends JoinerResult {
  readonly task: LoadTask
}

const PROGRAM = new URL(import.meta.resolve('./joiner-run.ts'))

/** In frames, then in single messages. */
export async function joinerCells(o: LoadOptions): Promise<JoinerCell[]> {
  const cells: JoinerCell[] = []
  for (const perMessage of FORMATS) {
    const name = `joiner-${perMessage}`
    cells.push(await loadCell<JoinerResult, LoadTask>(PROGRAM, name, loadTask(o, name, perMessage), o))
  }
  return cells
}

// What an attribution window costs, and what holds take, seen from bench/main.ts: the same touches and conversions with one window, with
// two, up to the five of contract.md, and with vectors. Each run is a process of its own (window-run.ts).
// WC1: the M rows of a window are the same bytes whatever other windows there are; a run in which they are not fails.
//      They are too where touches take another way to bring their vectors.

import { join } from 'node:path'
import { ATTRIBUTION_DEFAULT, type AttributionSettings, longestWindowMs } from '../operators/attribution-settings.ts'
import { APPLICATION } from '../topology/features/application.ts'
import { compileFeatures } from '../topology/features/compile.ts'
import { touchVectorPlan } from '../topology/features/vectors.ts'
import type { GraphOptions } from '../topology/graph.ts'
import { type ChildOptions, runChild } from './child.ts'
import { benchGraph } from './plan.ts'
import type { MatureRows, WindowRun, WindowTask } from './window-run.ts'
import { SPAN_MS, type TouchWorld } from './window-world.ts'

export interface WindowCell {
  readonly windows: readonly string[]
  /** Features of the vector that each touch brings; 0: none does. */
  readonly vectorFeatures: number
  readonly touches: number
  readonly samples: readonly WindowRun[]
}

export interface WindowOptions extends ChildOptions {
  readonly directory: string
  readonly touches: number
  readonly samples: number
  /** Not given: all, the one alone, and those with vectors. */
  readonly windowsMax?: number
}

const PROGRAM = new URL(import.meta.resolve('./window-run.ts'))
/** Names both kinds of touch, so that with it alone the same touches are held. */
export const SHARED_WINDOW = '7d_click_1d_view'
/** One after the other: the five windows of contract.md. */
const ORDER = [SHARED_WINDOW, '28d_click', '7d_click', '1d_click', '1d_view'] as const
/** What somebody who has one window only may well have: impressions are not held. */
const ALONE = '28d_click'
/** Of the vectors whose weight is measured. */
const VECTOR_FEATURES = 60

/** By how many windows; then the one alone; then five with vectors. Samples take turns, as the machine has its minutes. */
export async function windowCells(options: WindowOptions): Promise<WindowCell[]> {
  const { directory, touches, samples, windowsMax, ...child } = options
  const world: TouchWorld = { touches, spanMs: SPAN_MS }
  const all = [
    ...ORDER.map((_, i) => cellOf(ORDER.slice(0, i + 1), touches)),
    cellOf([ALONE], touches),
    cellOf(ORDER, touches, VECTOR_FEATURES),
  ]
  const cells = all.slice(0, windowsMax)
  const expected = new Map<string, MatureRows>()
  for (let sample = 1; sample <= samples; sample++) {
    for (const { windows, vectorFeatures, samples: taken } of cells) {
      const task: WindowTask = { graph: graphOf(windows, vectorFeatures), world, directory: join(directory, 'windows') }
      const run = await runChild<WindowRun>(PROGRAM, task, child)
      taken.push(run)
      refuseOtherRows(expected, run, windows)
      const seconds = [run.flow, run.end].map((one) => one.seconds.toFixed(1)).join(' + ')
      child.say(`windows: ${windows.join(', ')}${vectorFeatures > 0 ? ' with vectors' : ''}, ${sample}: ${seconds} s`)
    }
  }
  return cells
}

const cellOf = (windows: readonly string[], touches: number, vectorFeatures = 0) => ({
  ...{ windows, vectorFeatures, touches },
  samples: [] as WindowRun[],
})

/** All of them hold touches for as long: the five windows' longest, and their pixel delay. */
const HELD_MS = longestWindowMs(ATTRIBUTION_DEFAULT) + ATTRIBUTION_DEFAULT.pixelDelayMs

function graphOf(names: readonly string[], vectorFeatures: number): GraphOptions {
  const windows = names.map((name) => ATTRIBUTION_DEFAULT.windows.find((window) => window.name === name)!)
  const pixelDelayMs = HELD_MS - longestWindowMs({ windows })
  const attribution: AttributionSettings = { ...ATTRIBUTION_DEFAULT, windows, pixelDelayMs }
  const graph: GraphOptions = { ...benchGraph(1), attribution }
  if (vectorFeatures === 0) return graph
  const { layout } = touchVectorPlan(compileFeatures(APPLICATION, {}), 'all')
  const vectors = layout.slice(0, vectorFeatures).map(({ id }) => id)
  return { ...graph, features: APPLICATION, vectors }
}

/** WC1. `expected`: by window what the first run that has it said. */
export function refuseOtherRows(
  expected: Map<string, MatureRows>,
  { mature }: Pick<WindowRun, 'mature'>,
  windows: readonly string[],
): void {
  for (const window of windows) {
    const said = mature[window]
    if (said === undefined) throw new Error(`no M row of ${window} with ${windows.join(', ')}`)
    const { digest } = expected.get(window) ?? said
    if (digest !== said.digest) throw new Error(`other M rows of ${window} with ${windows.join(', ')}`)
    expected.set(window, said)
  }
}

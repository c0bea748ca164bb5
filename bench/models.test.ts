// The models part of the bench, on few rows and clicks: a figure for every model and all that it does, and each line that issue 6 asks for.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, it } from 'vitest'
import { MODEL_NAMES } from '../ml/models.ts'
import { askedLines, modelText } from './model-report.ts'
import { modelCells } from './models-run.ts'
import { type LatencyCell, latencyCells } from './score-latency.ts'

const directory = mkdtempSync(join(tmpdir(), 'holdfast-bench-models-'))
afterAll(() => rmSync(directory, { recursive: true, maxRetries: 5 }))

const latencyOf = (p99Ms: number, swaps: number): LatencyCell => ({
  ...{ name: 'clicks', clicksPerS: 500, clicks: 500, seconds: 1, p50Ms: 1, p99Ms, maxMs: 50 },
  ...{ nodeCpuSeconds: 0.1, serverCpuSeconds: 0.1, swaps },
})

it('measures what learning and scoring cost, model by model, the trainer from the log too, and the scorer', async () => {
  const cells = await modelCells({ rows: 500, samples: 1, directory })
  expect(cells.map(({ model, does }) => `${model} ${does}`)).toEqual([
    ...MODEL_NAMES.flatMap((name) => [`${name} learn`, `${name} predict`]),
    ...['trainer, 4 windows learn', 'trainer, 4 windows learn, commit', 'trainer from log to commit'],
    ...['scorer, 20 features score', 'scorer, 60 features score'],
  ])
  for (const { rowsPerS, rowsPerCpuS } of cells) expect(Math.min(rowsPerS, rowsPerCpuS)).toBeGreaterThan(0)
  const latency = [latencyOf(15, 0), latencyOf(20, 4)] as const
  const lines = askedLines({ cells, latency })
  const shown = lines.map(({ unit, asked }) => `${asked} ${unit}`)
  expect(shown).toEqual(['100000 a second', '3 us', '30 ms', '1000000 rows/s', '150000 rows/s', '2 of without'])
  // More is better of rates, less of costs.
  const scorer = cells.at(-2)!
  const ratios = [scorer.rowsPerS / 1e5, (3 * scorer.rowsPerCpuS) / 1e6, 2]
  const ftrl = cells.find(({ model }) => model === 'ftrl')!
  ratios.push(ftrl.rowsPerS / 1e6, cells.at(-3)!.rowsPerS / 150_000, 1.5)
  for (const [i, { ratio }] of lines.entries()) expect(ratio).toBeCloseTo(ratios[i]!, 9)
  expect(modelText({ cells, latency }).split('\n')).toHaveLength(2 + cells.length + 1 + 2 + 2 + 1 + 2 + lines.length)
})

it('follows clicks to their scores in a live node, each scored once and by a version, also while that is swapped', async () => {
  const few = { directory, seconds: 3, threads: 1, clicksPerS: 100, profile: null }
  const [steady, swapped] = await latencyCells(few)
  for (const { clicks, p50Ms, p99Ms, nodeCpuSeconds } of [steady, swapped]) {
    expect(clicks).toBe(300)
    expect(p50Ms).toBeGreaterThan(0)
    expect(p99Ms).toBeGreaterThanOrEqual(p50Ms)
    expect(nodeCpuSeconds).toBeGreaterThan(0)
  }
  expect(steady.swaps).toBe(0)
  expect(swapped.swaps).toBeGreaterThan(0)
})

// The figures of the model loop as text: each cell, and beside what issue 6 asks for what was measured of it.

import { FEATURES } from './model-rows.ts'
import { FROM_LOG, type ModelCell, SCORE, scorerName } from './models-run.ts'
import { table } from './report.ts'
import type { LatencyCell } from './score-latency.ts'

export interface ModelFigures {
  readonly cells: readonly ModelCell[]
  /** With one version, and while versions are swapped. */
  readonly latency: readonly [LatencyCell, LatencyCell]
}

/** `ratio`: of what is asked for; 1 and above is as asked, or better. */
export interface AskedLine {
  readonly what: string
  readonly unit: string
  readonly measured: number
  readonly asked: number
  readonly ratio: number
}

/** The paragraph "Speed" of the issue. */
const ASKED = {
  scoresPerS: 100_000,
  scoreCpuUs: 3,
  scoredP99Ms: 30,
  learnedPerS: 1_000_000,
  fromLogPerS: 150_000,
  swapFactor: 2,
} as const

/** Line by line, in the order of the issue. */
export function askedLines({ cells, latency: [steady, swapped] }: ModelFigures): AskedLine[] {
  const cell = (model: string, does: string): ModelCell =>
    cells.find((one) => one.model === model && one.does === does)!
  const scorer = cell(scorerName(FEATURES), SCORE)
  const atLeast = (what: string, unit: string, measured: number, asked: number): AskedLine => {
    return { what, unit, measured, asked, ratio: measured / asked }
  }
  const atMost = (what: string, unit: string, measured: number, asked: number): AskedLine => {
    return { what, unit, measured, asked, ratio: asked / measured }
  }
  const clicks = `${steady.clicksPerS.toLocaleString('en-US')} clicks/s`
  return [
    atLeast(`scores on one core, ${FEATURES} features`, 'a second', scorer.rowsPerS, ASKED.scoresPerS),
    atMost('CPU of a score', 'us', 1e6 / scorer.rowsPerCpuS, ASKED.scoreCpuUs),
    atMost(`click to score at ${clicks}, 99 %`, 'ms', steady.p99Ms, ASKED.scoredP99Ms),
    atLeast('ftrl learns, in a loop', 'rows/s', cell('ftrl', 'learn').rowsPerS, ASKED.learnedPerS),
    atLeast('trainer, from log to commit', 'rows/s', cell('trainer', FROM_LOG).rowsPerS, ASKED.fromLogPerS),
    atMost('click to score while swapped, 99 %', 'of without', swapped.p99Ms / steady.p99Ms, ASKED.swapFactor),
  ]
}

/** The tables for people. */
export function modelText(figures: ModelFigures): string {
  const { cells, latency } = figures
  const n = (value: number): string => Math.round(value).toLocaleString('en-US')
  const short = (value: number): string => (value >= 1_000 ? n(value) : value.toFixed(2))
  const costs = cells.map(({ model, does, rowsPerS, rowsPerCpuS }) => [
    ...[model, does, n(rowsPerS), n(rowsPerCpuS), (1e6 / rowsPerCpuS).toFixed(2)],
  ])
  const times = latency.map((cell) => {
    const usOf = (seconds: number): string => n((1e6 * seconds) / cell.clicks)
    const ms = [cell.p50Ms, cell.p99Ms, cell.maxMs].map((value) => value.toFixed(1))
    const beside = [usOf(cell.nodeCpuSeconds), usOf(cell.serverCpuSeconds), n(cell.swaps)]
    return [cell.name, n(cell.clicks), n(cell.clicks / cell.seconds), ...ms, ...beside]
  })
  const asked = askedLines(figures).map(({ what, unit, ...line }) => [
    ...[what, unit, short(line.measured), short(line.asked), line.ratio.toFixed(2)],
  ])
  const heads = ['click to score', 'clicks', 'clicks/s', 'p50 ms', 'p99 ms', 'max ms', 'node us', 'server us', 'swaps']
  return [
    table([`model, ${FEATURES} features`, 'does', 'rows/s', 'rows/s of CPU', 'us of CPU'], costs, 2),
    table(heads, times),
    table(['issue 6 asks', 'in', 'measured', 'asked', 'ratio'], asked, 2),
  ].join('\n\n')
}

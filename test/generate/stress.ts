// A nasty NDJSON file: what contract.md and protocol.md section 8 allow to happen, often, and in one file.
//
//     node test/generate/stress.ts --lines 200000 --seed 1 --out FILE[.gz] [--lateness-ms N] [--old-twins]
//
// 1. The same options give the same bytes. Exactly `lines` lines; the last one has no LF.
// 2. It spans 100 days, so that twins can be 7 and orders 90 days apart; the last sixth of its lines spans 3 hours.
// 3. Without --old-twins nothing in it depends on whether expired entries are forgotten (test/oracle/oracle.ts, 12).
// Not here: plausible traffic (traffic.ts).

import { generate } from './command.ts'
import { Scenarios } from './stress-scenarios.ts'

export interface StressOptions {
  readonly lines: number
  readonly seed: number
  /** The lateness that the file is to be read with: where the edge between late and not late lies. */
  readonly latenessMs: number
  /** Also twins that come late by more than the horizon of duplicates, about which the readings differ. */
  readonly oldTwins: boolean
}

export const STRESS_DEFAULTS: StressOptions = { lines: 10_000, seed: 1, latenessMs: 600_000, oldTwins: false }

const HOUR_MS = 3_600_000
const LONG_SPAN_MS = 100 * 24 * HOUR_MS
const SHORT_SPAN_MS = 3 * HOUR_MS
const SHORT_SHARE = 1 / 6

/** The lines of the file with their line ends, one after the other. */
export function* stressLines(options: StressOptions): Generator<Buffer> {
  const { lines } = options
  const scenarios = new Scenarios(options)
  const ending = scenarios.endingLines
  const bodyLines = Math.max(0, lines - ending)
  const longLines = Math.ceil(bodyLines * (1 - SHORT_SHARE))
  let count = 0
  const left = (limit: number) => limit - count
  for (const [limit, spanMs] of [
    [longLines, LONG_SPAN_MS],
    [bodyLines, SHORT_SPAN_MS],
  ] as const) {
    const endMs = scenarios.nowMs + spanMs
    while (left(limit) > 0) {
      scenarios.step((endMs - scenarios.nowMs) / left(limit))
      for (const line of scenarios.take(left(bodyLines))) {
        count++
        yield line
      }
    }
  }
  scenarios.end()
  const last = scenarios.take(lines - count)
  yield* last.slice(0, -1)
  for (const line of last.slice(-1)) yield withoutLineEnd(line)
}

function withoutLineEnd(line: Buffer): Buffer {
  return Buffer.from(line.toString('latin1').replace(/\r?\n$/, ''), 'latin1')
}

if (import.meta.main) await generate('stress', STRESS_DEFAULTS, stressLines)

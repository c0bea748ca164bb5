// The joiner under kills: a stress set and a set of late pixels, each judged by the oracle once, then killed in every stage of the
// joiner, and in other partitions (one-run.ts).
// KL1: what late pixels must come to is worked out a second time, from the lines of the run alone (late-pixel-law.ts).

import { mkdir, writeFile as writeText } from 'node:fs/promises'
import { join } from 'node:path'
import { writeFile } from '../../cli/generate/write-file.ts'
import { JOINER_STRESS_DEFAULTS, joinerStress } from '../generate/joiner-stress.ts'
import { LATE_PIXELS_DEFAULTS, latePixels } from '../generate/late-pixels.ts'
import { compare, readInput, recompute } from '../oracle/oracle.ts'
import { latePixelFaults } from './late-pixel-law.ts'
import { type OneRunOptions, type Ordeal, ordeal } from './one-run.ts'
import type { Tuning } from './scenario.ts'

const STAGES = ['user-2', 'clicks', 'user-1', 'purchases', 'pages']
const TUNING: Tuning = { commitRecords: 1_000, sliceRecords: 128 }
const LATE_SHARE = 0.4
/** Of a late set: as many in one upload as in 400,000 events. */
const BULK_SHARE = LATE_PIXELS_DEFAULTS.bulk / LATE_PIXELS_DEFAULTS.events
/** Bytes of the log for an event: its label and attribution rows have less than half of the room, and are some 2 KiB. */
const LOG_BYTES_PER_EVENT = 16 * 1024
const LOG_BYTES_MIN = 256 * 1024 * 1024
/** A hundred times what a run takes of an idle machine. */
const TIMEOUT_MS_PER_EVENT = 5
const TIMEOUT_MS_MIN = 90_000

/** The stress set. One line per thing that is wrong. */
export async function killOverStress(options: OneRunOptions): Promise<readonly string[]> {
  const { events, seed } = options
  const stress = await ordealOf('stress', options)
  await writeFile(stress.input, joinerStress({ ...JOINER_STRESS_DEFAULTS, events, seed }).lines)
  return (await ordeal(stress)).faults
}

/** The late pixels: two fifths of the events, and of the kills. One line per thing that is wrong. */
export async function killOverLatePixels(options: OneRunOptions): Promise<readonly string[]> {
  const fewer = { events: Math.ceil(options.events * LATE_SHARE), kills: Math.ceil(options.kills * LATE_SHARE) }
  const late = await ordealOf('late pixels', { ...options, ...fewer })
  const { events, seed, input, judge } = late
  await writeFile(input, latePixels({ events, bulk: Math.ceil(events * BULK_SHARE), seed }))
  const judgeTwice = async (out: string) => [...(await judge(out)), ...(await latePixelFaults(out))]
  return (await ordeal({ ...late, judge: judgeTwice })).faults
}

async function ordealOf(name: 'stress' | 'late pixels', options: OneRunOptions): Promise<Ordeal> {
  const workDir = join(options.workDir, name.replace(' ', '-'))
  await mkdir(workDir)
  const [input, config] = [join(workDir, 'input.ndjson'), join(workDir, 'config.json')]
  // What learns of its labels is killed by models.ts.
  await writeText(config, JSON.stringify({ scoring: 'off' }))
  return {
    ...{ ...options, name, workDir, input, config, broker: 'own', tuning: TUNING, stages: STAGES, aims: [] },
    logBytes: Math.max(LOG_BYTES_MIN, options.events * LOG_BYTES_PER_EVENT),
    timeoutMs: Math.max(TIMEOUT_MS_MIN, options.events * TIMEOUT_MS_PER_EVENT),
    judge: async (out) => compare(recompute(readInput(input)), out),
  }
}

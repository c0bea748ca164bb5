// `holdfast run --features application` from outside: every line of features.ndjson is what the oracle says, the same bytes for
// whatever may not matter. HOLDFAST_HEAVY=1 does it with 20 times the lines, and with shop-10d.

import { existsSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { type NatsHarness, natsHarness } from '../conformance/nats-harness.ts'
import { applicationInput } from '../features/application-input.ts'
import { compareApplication, recomputeApplication } from '../oracle/features.ts'
import { readInput } from '../oracle/oracle.ts'
import { HEAVY, holdfast, PROJECT_DIR, resultsIn, stressFile, workDirectory } from './command.ts'

const SHOP = join(PROJECT_DIR, '..', 'shared', 'data', 'shop-10d.ndjson.gz')
const LINES = HEAVY ? 60_000 : 2_000
const TIMEOUT_MS = HEAVY ? 1_800_000 : 300_000
const LOG_BYTES = String(2 ** 29)
const VARIANTS = [
  ['--partitions', '1', '--slice-records', '128'],
  ['--partitions', '4', '--slice-records', '7'],
  ['--partitions', '8', '--slice-records', '1'],
] as const
const [FIRST, , LAST] = VARIANTS

let work: Awaited<ReturnType<typeof workDirectory>>
let nats: NatsHarness

beforeAll(async () => {
  work = await workDirectory()
  nats = await natsHarness()
})
afterAll(async () => {
  await nats.close()
  await work[Symbol.asyncDispose]()
})

/** Runs a file under variants, two at a time. Gives the first --out. */
async function sameForAll(
  input: string,
  name: string,
  variants: readonly (readonly string[])[] = VARIANTS,
): Promise<string> {
  const expected = recomputeApplication(readInput(input))
  const outs = variants.map((_, i) => join(work.path, `${name}-${i}`))
  const run = async (i: number): Promise<void> => {
    const fixed = ['run', '--input', input, '--out', outs[i]!, '--drain', '--features', 'application', '--json']
    const ended = await holdfast([...fixed, '--nats', nats.url, '--log-bytes', LOG_BYTES, ...variants[i]!])
    expect(ended.stderr + String(ended.code)).toBe('0')
  }
  for (let i = 0; i < variants.length; i += 2) await Promise.all(variants.slice(i, i + 2).map((_, j) => run(i + j)))
  // Not before all have ended: nothing may be left running.
  for (const out of outs) expect(compareApplication(expected, out)).toEqual([])
  const [first, ...others] = outs.map(resultsIn)
  for (const other of others) expect(other).toEqual(first)
  return outs[0]!
}

it('traffic of 40 days, with something for every feature to say', { timeout: TIMEOUT_MS }, async () => {
  const input = join(work.path, 'traffic.ndjson')
  await writeFile(input, applicationInput({ events: LINES, seed: 1 }))
  await sameForAll(input, 'traffic')
})

it('the nasty file: 100 days, so that records of keys go', { timeout: TIMEOUT_MS }, async () => {
  const input = join(work.path, 'stress.ndjson')
  await stressFile(input, { lines: LINES })
  await sameForAll(input, 'stress', HEAVY ? VARIANTS : [FIRST, LAST])
})

it.runIf(HEAVY && existsSync(SHOP))('shop-10d, with its known counts', { timeout: TIMEOUT_MS }, async () => {
  const out = await sameForAll(SHOP, 'shop')
  const lines = resultsIn(out)['features.ndjson']!.trim().split('\n')
  const views = lines.map((line) => JSON.parse(line)).filter(({ feature }) => feature === 'page_views_1h')
  expect(views.filter(({ entity }) => entity === 'page')).toHaveLength(54)
  expect(views.filter(({ entity }) => entity === 'user')).toHaveLength(117)
})

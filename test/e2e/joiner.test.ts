// What the joiner writes of a set that is hard for it: no difference to the oracle, with all models, other windows and goals too, and
// the same bytes for any partitions and with vectors. HOLDFAST_HEAVY=1 does it with 20 times the events. Real data: results.test.ts.

import { writeFile as writeText } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { writeFile } from '../../cli/generate/write-file.ts'
import { type NatsHarness, natsHarness } from '../conformance/nats-harness.ts'
import { JOINER_STRESS_DEFAULTS, joinerStress } from '../generate/joiner-stress.ts'
import { attributionOf, compare, DEFAULTS, readInput, recompute } from '../oracle/oracle.ts'
import { HEAVY, holdfast, JOINED_FILES, resultsIn, summaryIn, workDirectory } from './command.ts'

const EVENTS = HEAVY ? 40_000 : 2_000
const TIMEOUT_MS = HEAVY ? 1_800_000 : 300_000
const LOG_BYTES = String(HEAVY ? 2 ** 31 : 2 ** 29)

/** Windows that the stress set has no edges of, every model, and goals that share events and ads. */
const ATTRIBUTION = {
  windows: [
    { name: '3h_click_30m_view', click: '3h', impression: '30m' },
    { name: '2d_view_first', click: '2d', impression: '2d', precedence: ['impression', 'click'] },
    { name: '14d_click', click: '14d' },
    { name: '20m_click', click: '20m' },
  ],
  models: ['last_touch', 'first_touch', 'linear', { name: 'time_decay', halfLife: '2d' }, 'position'],
  goals: [
    { name: 'sales' },
    { name: 'signups', types: ['lead', 'add_to_cart'] },
    {
      name: 'dear',
      advertiser: 'shop',
      where: { op: 'less', args: [{ constant: 100 }, { field: 'value', as: 'number' }] },
    },
    { name: 'of-some', types: ['conversion', 'checkout'], campaigns: ['c1', 'c2', 'c3'], ads: ['ad1', 'ad9', 'ad10'] },
  ],
  shortWait: '30m',
  grace: '2m',
  pixelDelay: '3d',
  lateTouches: 'revise',
}

let work: Awaited<ReturnType<typeof workDirectory>>
let nats: NatsHarness

beforeAll(async () => {
  work = await workDirectory()
  nats = await natsHarness()
  const { lines } = joinerStress({ ...JOINER_STRESS_DEFAULTS, events: EVENTS })
  await writeFile(at('stress.ndjson'), lines)
  await writeText(at('config.json'), JSON.stringify({ attribution: ATTRIBUTION }))
})
afterAll(async () => {
  await nats.close()
  await work[Symbol.asyncDispose]()
})

const at = (name: string): string => join(work.path, name)

/** A run on the shared server; returns its --out. */
async function run(input: string, name: string, ...options: string[]): Promise<string> {
  const where = ['--input', input, '--out', at(name), '--nats', nats.url, '--log-bytes', LOG_BYTES]
  const ended = await holdfast(['run', ...where, '--drain', '--json', ...options])
  expect(ended.stderr + String(ended.code)).toBe('0')
  return at(name)
}

describe('the stress set of the joiner', () => {
  it('has no difference to the oracle, in any partitions, and with vectors', { timeout: TIMEOUT_MS }, async () => {
    const input = at('stress.ndjson')
    const vectors = ['--features', 'application', '--vectors', 'all']
    const [one, four] = await Promise.all([run(input, 'one'), run(input, 'four', '--partitions', '4')])
    expect(compare(recompute(readInput(input)), one)).toEqual([])
    expect(resultsIn(four)).toEqual(resultsIn(one))
    const withVectors = await run(input, 'vectors', '--partitions', '2', ...vectors)
    expect(joinedIn(withVectors)).toEqual(joinedIn(one))
  })

  it('has none with every model, other windows, and goals', { timeout: TIMEOUT_MS }, async () => {
    const input = at('stress.ndjson')
    const configured = ['--config', at('config.json')]
    const [one, four] = await Promise.all([
      run(input, 'configured-one', ...configured),
      run(input, 'configured-four', ...configured, '--partitions', '4'),
    ])
    const attribution = attributionOf(ATTRIBUTION)
    expect(compare(recompute(readInput(input), { ...DEFAULTS, attribution }), one)).toEqual([])
    expect(resultsIn(four)).toEqual(resultsIn(one))
    expect(summaryIn(one)).toMatchObject({ late_touch: expect.toSatisfy((count: number) => count > 20) })
    // O says nothing of windows that are no longer than the short wait.
    expect(summaryIn(one)).toMatchObject({ labels: { '20m_click': { O: 0, M: expect.any(Number) } } })
  })
})

/** What the joiner has written of a run. */
function joinedIn(out: string): readonly (string | undefined)[] {
  const results = resultsIn(out)
  expect(JOINED_FILES.map((name) => results[name]!.length > 1_000)).toEqual([true, true])
  return JOINED_FILES.map((name) => results[name])
}

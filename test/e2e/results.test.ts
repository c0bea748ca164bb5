// `holdfast run` from outside: the known answers, an oracle without a difference, and the same bytes for whatever may not
// matter. HOLDFAST_HEAVY=1 does it with 40 times the lines.

import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type NatsHarness, natsHarness } from '../conformance/nats-harness.ts'
import { compare, readInput, recompute } from '../oracle/oracle.ts'
import { HEAVY, holdfast, PROJECT_DIR, resultsIn, stressFile, summaryIn, workDirectory } from './command.ts'

const DATA_DIR = join(PROJECT_DIR, '..', 'shared', 'data')
const LINES = HEAVY ? 400_000 : 10_000
/** Ten runs, two at a time. */
const TIMEOUT_MS = HEAVY ? 3_600_000 : 300_000

let work: Awaited<ReturnType<typeof workDirectory>>
let nats: NatsHarness
let input: string

beforeAll(async () => {
  work = await workDirectory()
  nats = await natsHarness()
  input = join(work.path, 'stress.ndjson.gz')
  await stressFile(input, { lines: LINES })
})
afterAll(async () => {
  await nats.close()
  await work[Symbol.asyncDispose]()
})

const at = (name: string): string => join(work.path, name)

/** Little enough for several runs beside each other on a small disk. */
const LOG_BYTES = String(HEAVY ? 2 ** 31 : 2 ** 29)

/** A run on the shared server; returns its --out. */
async function run(name: string, ...options: string[]): Promise<string> {
  const out = at(name)
  const ended = await holdfast([
    'run',
    '--input',
    input,
    '--out',
    out,
    '--drain',
    '--nats',
    nats.url,
    '--log-bytes',
    LOG_BYTES,
    '--json',
    ...options,
  ])
  expect(ended.stderr + String(ended.code)).toBe('0')
  expect(JSON.parse(ended.stdout)).toEqual(summaryIn(out))
  return out
}

describe('known answers', () => {
  const asOf = (text: string) => Date.parse(text)
  it.each([
    [
      'shop-10d',
      {
        ...{ read: 45_701, accepted: 44_116, duplicates: 0, dead_letters: 1_585, as_of: 1_741_132_786_705 },
        attributions: { '1d_click': 52, '7d_click': 62, '28d_click': 62, '1d_view': 0, '7d_click_1d_view': 62 },
        labels: {
          '1d_click': { M: 9_147, D: 5, complete: 8_417, positives: 51 },
          '7d_click': { M: 9_147, D: 12, complete: 3_047, positives: 58 },
          '28d_click': { M: 9_147, D: 12, complete: 0, positives: 58 },
        },
      },
    ],
    [
      'ad-clicks',
      {
        ...{ read: 60_136, accepted: 60_136, duplicates: 0, dead_letters: 0, as_of: asOf('2017-11-08T12:48:32Z') },
        attributions: { '1d_click': 137, '7d_click': 137, '28d_click': 137 },
        labels: {
          '1d_click': { M: 59_999, D: 40, complete: 26_883 },
          '7d_click': { M: 59_999, D: 40, complete: 0 },
          '28d_click': { M: 59_999, D: 40, complete: 0 },
        },
      },
    ],
  ])('%s', async (name, answers) => {
    const file = join(DATA_DIR, `${name}.ndjson.gz`)
    if (!existsSync(file)) return
    const out = at(name)
    const { code } = await holdfast(['run', '--input', file, '--out', out, '--drain', '--partitions', '2'])
    expect(code).toBe(0)
    expect(summaryIn(out)).toMatchObject(answers)
    const { summary, ...files } = resultsIn(out)
    if (name === 'shop-10d') {
      const entities = files['features.ndjson']!.trim()
        .split('\n')
        .map((line) => JSON.parse(line).entity)
      expect(entities.filter((entity) => entity === 'page')).toHaveLength(54)
      expect(entities.filter((entity) => entity === 'user')).toHaveLength(117)
    }
    expect(compare(recompute(readInput(file)), out)).toEqual([])
  })
})

describe('the same bytes', () => {
  it('for any partitions, twice, for any slices and threads; and the oracle has no difference', {
    timeout: TIMEOUT_MS,
  }, async () => {
    const [one, four] = await Promise.all([run('p1'), run('p4', '--partitions', '4')])
    expect(compare(recompute(readInput(input)), one)).toEqual([])
    const expected = resultsIn(one)
    expect(resultsIn(four)).toEqual(expected)
    const variants = [
      ['--partitions', '8'],
      ['--partitions', '8'],
      ['--slice-records', '1', '--partitions', '2'],
      ['--slice-records', '7'],
      ['--slice-records', '128', '--commit-records', '300'],
      ['--commit-records', '1000'],
      ['--threads', '1', '--partitions', '2'],
      ['--threads', '2', '--partitions', '1'],
    ]
    // Two at a time: as many as the smallest machine has cores.
    for (let i = 0; i < variants.length; i += 2) {
      const outs = await Promise.all([0, 1].map((j) => run(`v${i + j}`, ...variants[i + j]!)))
      for (const out of outs) expect(resultsIn(out)).toEqual(expected)
    }
  })

  it('run on the server of somebody else leaves no stream there', async () => {
    const admin = await nats.connect()
    expect((await admin.jsm.streams.names().next()).length).toBe(0)
    await admin.close()
  })
})

describe('with a data directory', () => {
  it('every task has had records, and the audit has no fault', { timeout: TIMEOUT_MS }, async () => {
    const dataDir = at('data')
    await holdfast(['run', '--input', input, '--out', at('out'), '--drain', '--partitions', '4', '--data-dir', dataDir])
    const explained = await holdfast(['explain', '--data-dir', dataDir, '--json'])
    const { stages } = JSON.parse(explained.stdout) as { stages: { tasks: { name: string; records: number }[] }[] }
    const tasks = stages.flatMap((stage) => stage.tasks)
    expect(tasks.map(({ name }) => name)).toHaveLength(28)
    // A file has fewer advertisers and ads than this has partitions, and one model.
    const busy = tasks.filter(({ name }) => !/^(ad|purchases|trainer)-/.test(name))
    for (const { name, records } of busy) expect([name, records > 0]).toEqual([name, true])
    const records = tasks.slice(0, 4).reduce((sum, task) => sum + task.records, 0)
    expect(records).toBe(summaryIn(at('out')).read)

    const audited = await holdfast(['audit', '--data-dir', dataDir, '--json'])
    expect(audited.code).toBe(0)
    const { rows, faults } = JSON.parse(audited.stdout)
    expect(faults).toEqual([])
    const read = rows.filter(({ writer }: { writer: string }) => writer === 'file')
    // And one drain for every partition.
    expect(read.reduce((sum: number, row: { records: number }) => sum + row.records, 0)).toBe(records + 4)
  })
})

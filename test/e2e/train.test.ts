// `holdfast train` from outside: what it prints, writes and refuses. HOLDFAST_HEAVY=1: on real ad clicks, as docs/models.md says.

import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { HEAVY, holdfast, PROJECT_DIR, workDirectory } from './command.ts'
import { convertingClicks } from './converting-clicks.ts'

const AD_CLICKS = join(PROJECT_DIR, '..', 'shared', 'data', 'ad-clicks.ndjson.gz')
const TOUCHES = 60

it('prints the same table each time, as text and as JSON; writes a model that it goes on from', async () => {
  await using dir = await workDirectory()
  const { labels, touches } = convertingClicks(dir.path, TOUCHES)
  const [first, second] = [join(dir.path, 'first.hf'), join(dir.path, 'second.hf')]
  const train = (...more: string[]) => holdfast(['train', labels, '--touches', touches, ...more])
  const told = await train('--by-advertiser', '--out', first)
  expect([told.code, told.stderr.match(/holdfast: .*/)]).toEqual([0, null])
  expect(told.stderr).toMatch(/60 touches; rows of 7d_click: O 60, D 0, M 60 \(complete 60\)/)
  for (const model of ['base-rate', 'counter', 'ftrl', 'ftrl, calibrated', 'adv0'])
    expect(told.stdout).toContain(`\n${model} `)
  const again = JSON.parse((await train('--json', '--out', second)).stdout)
  expect(readFileSync(second).equals(readFileSync(first))).toBe(true)
  expect(again).toMatchObject({ touches: 30, positives: 6, labels: { O: 60, M: 60 } })
  const on = await train('--model', 'ftrl', '--from', first, '--out', second)
  expect(on.stderr).toMatch(/ftrl: 120 rows learned/)
  expect(readFileSync(second).equals(readFileSync(first))).toBe(false)
})

it('refuses a line that is no row, and arguments that say too little, before it writes anything', async () => {
  await using dir = await workDirectory()
  const { labels, touches } = convertingClicks(dir.path, TOUCHES)
  const out = join(dir.path, 'model.hf')
  const refused = async (...args: string[]) => {
    const { code, stdout, stderr } = await holdfast(['train', ...args, '--out', out])
    expect([code, stdout, existsSync(out)]).toEqual([2, '', false])
    return stderr
  }
  expect(await refused(labels, '--touches', touches, '--from', labels)).toMatch(/--from needs --model/)
  const open = join(dir.path, 'open.ndjson')
  writeFileSync(open, readFileSync(labels, 'utf8').replaceAll('"complete":true', '"complete":false'))
  const nothing = await refused(open, '--touches', touches, '--policy', 'wait', '--incomplete')
  expect(nothing).toMatch(/nothing is learned: 7d_click has no complete M rows, from which wait learns/)
  writeFileSync(labels, `${readFileSync(labels, 'utf8')}\n{"kind":`)
  expect(await refused(labels, '--touches', touches)).toMatch(/labels.ndjson, line 121: it is no label row/)
})

it.runIf(HEAVY && existsSync(AD_CLICKS))(
  'real ad clicks: beside one counter, on the second half',
  { timeout: 300_000 },
  async () => {
    await using dir = await workDirectory()
    const results = join(dir.path, 'results')
    expect((await holdfast(['run', '--input', AD_CLICKS, '--drain', '--out', results])).code).toBe(0)
    const labels = join(results, 'labels.ndjson')
    const { stdout } = await holdfast(['train', labels, '--touches', AD_CLICKS, '--incomplete', '--json'])
    const { models, positives } = JSON.parse(stdout)
    const figuresOf = (name: string) => models.find((model: { name: string }) => model.name === name)
    const [counter, served] = [figuresOf('counter'), figuresOf('ftrl, calibrated')]
    expect(positives).toBe(66)
    expect(counter.normalisedEntropy).toBeCloseTo(0.587, 2)
    expect(counter.auc).toBeCloseTo(0.944, 2)
    expect(served.relative.value).toBeLessThan(0.97)
    expect(served.auc).toBeGreaterThanOrEqual(counter.auc)
    expect(served.calibration).toBeGreaterThan(0.8)
    expect(served.calibration).toBeLessThan(1.25)
  },
)

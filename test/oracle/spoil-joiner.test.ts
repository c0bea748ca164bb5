// The oracle finds every spoiled output of the joiner, in the right file, and nothing in the unspoiled one; nor that it is not there at all.

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { JOINER_STRESS_DEFAULTS, joinerStress } from '../generate/joiner-stress.ts'
import { attributionOf, compare, DEFAULTS, recompute, runOracle, writeExpected } from './oracle.ts'
import { JOINER_SPOILS } from './spoil-joiner.ts'

const dir = mkdtempSync(join(tmpdir(), 'holdfast-spoil-joiner-'))
const FILES = ['summary.json', 'attributions.ndjson', 'labels.ndjson']
const models = ['last_touch', 'first_touch', 'linear', 'time_decay', 'position']
const file = Buffer.concat([...joinerStress({ ...JOINER_STRESS_DEFAULTS, events: 900 }).lines])
const expected = recompute(file, { ...DEFAULTS, attribution: attributionOf({ models, lateTouches: 'revise' }) })
const right = new Map<string, Buffer>()

beforeAll(() => {
  writeExpected(expected, dir)
  for (const name of FILES) right.set(name, readFileSync(join(dir, name)))
})
afterAll(() => rmSync(dir, { recursive: true }))

test('nothing is found in the unspoiled output', () => {
  expect(compare(expected, dir)).toEqual([])
})

test('where late touches are only counted each revision is one line too many, and nothing else differs', () => {
  const { attributed } = expected
  const counted = recompute(file, { ...DEFAULTS, attribution: attributionOf({ models }) })
  const revisions = attributed!.attributions.filter(({ revision }) => revision > 0).length
  expect(revisions).toBeGreaterThan(100)
  const differences = compare(counted, dir)
  expect(differences).toHaveLength(revisions)
  for (const difference of differences) expect(difference).toContain('attributions.ndjson: expected nothing, found')
})

test.each(JOINER_SPOILS)('$name', ({ file, spoil }) => {
  try {
    spoil(dir)
    const differences = compare(expected, dir)
    expect(differences.length).toBeGreaterThan(0)
    for (const difference of differences) expect(difference).toContain(file)
  } finally {
    writeFileSync(join(dir, file), right.get(file)!)
  }
})

test('a share of time_decay may be the double beside the expected one', () => {
  const path = join(dir, 'attributions.ndjson')
  const text = right.get('attributions.ndjson')!.toString('utf8')
  const line = text.split('\n').find((line) => line.includes('time_decay') && /"credit":0\.\d{10}/.test(line))!
  const near = line.replace(/"credit":([\d.]+)/, (_, credit) => `"credit":${Number(credit) * (1 + Number.EPSILON)}`)
  expect(near).not.toBe(line)
  const lines = text.replace(line, near).split('\n').slice(0, -1)
  writeFileSync(
    path,
    lines
      .toSorted((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)))
      .map((line) => `${line}\n`)
      .join(''),
  )
  expect(compare(expected, dir)).toEqual([])
  writeFileSync(path, right.get('attributions.ndjson')!)
})

test('the program wants the files of the joiner, and reads the configuration of the run', () => {
  const said = [vi.spyOn(console, 'log'), vi.spyOn(console, 'error')].map((spy) => spy.mockImplementation(() => {}))
  const input = join(dir, 'input.ndjson')
  const config = join(dir, 'config.json')
  writeFileSync(input, file)
  writeFileSync(config, JSON.stringify({ attribution: { models, lateTouches: 'revise' } }))
  const run = (...more: string[]) =>
    runOracle('oracle.ts', ['--input', input, '--out', dir, ...more], (bytes, settings, out) =>
      compare(recompute(bytes, settings), out),
    )
  expect(run('--attribution', config)).toBe(0)
  expect(run('--attribution', 'default')).toBe(1)
  rmSync(join(dir, 'labels.ndjson'))
  expect(run('--attribution', config)).toBe(1)
  writeFileSync(config, JSON.stringify({ attribution: { lateTouches: 'ignore' } }))
  expect(run('--attribution', config)).toBe(2)
  for (const spy of said) spy.mockRestore()
})

test('the names of the spoils are distinct, and there are many', () => {
  expect(new Set(JOINER_SPOILS.map(({ name }) => name)).size).toBe(JOINER_SPOILS.length)
  expect(JOINER_SPOILS.length).toBeGreaterThan(100)
})

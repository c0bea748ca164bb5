// The stress file is what its header promises, and holds what it is there for.

import { execFile } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { gunzipSync } from 'node:zlib'
import { afterAll, expect, test } from 'vitest'
import { DEFAULTS, recompute } from '../oracle/oracle.ts'
import { NASTY_LINES } from './nasty-lines.ts'
import { STRESS_DEFAULTS, type StressOptions, stressLines } from './stress.ts'

const dir = mkdtempSync(join(tmpdir(), 'holdfast-stress-'))
afterAll(() => rmSync(dir, { recursive: true }))

function stress(options: Partial<StressOptions>): Buffer {
  return Buffer.concat([...stressLines({ ...STRESS_DEFAULTS, ...options })])
}

test('the same seed gives the same bytes, another one others', () => {
  expect(stress({ seed: 5 }).equals(stress({ seed: 5 }))).toBe(true)
  expect(stress({ seed: 5 }).equals(stress({ seed: 6 }))).toBe(false)
})

test.each([0, 1, 2, 15, 16, 17, 500])('%d lines are that many, the last one without line end', (lines) => {
  const file = stress({ lines }).toString('latin1')
  expect(file === '' ? 0 : file.split('\n').length).toBe(lines)
  expect(file).not.toMatch(/\n$/)
})

test.each([1, 2, 3])('seed %d: everything happens, and nothing takes over', (seed) => {
  const lines = 20_000
  const { summary, features } = recompute(stress({ lines, seed }))
  for (const count of [summary.duplicates, summary.dead_letters, summary.late]) {
    expect(count / lines).toBeGreaterThan(0.05)
    expect(count / lines).toBeLessThan(0.25)
  }
  expect(lines - summary.read).toBeGreaterThan(lines / 100)
  expect(features.filter(({ entity }) => entity === 'user').length).toBeGreaterThan(50)
})

test('each nasty line is in it, with its verdict', () => {
  const { deadLetters } = recompute(stress({ lines: 20_000 }))
  const kinds = (pairs: readonly (readonly [string, string | null])[]) =>
    new Set(pairs.map((pair) => JSON.stringify(pair)))
  const wanted = kinds(NASTY_LINES.flatMap(({ verdict }) => (verdict === null ? [] : [verdict])))
  expect(kinds(deadLetters.map(({ code, field }) => [code, field]))).toEqual(wanted)
})

test('the names of the nasty lines are distinct, and none holds an LF or ends in CR', () => {
  expect(new Set(NASTY_LINES.map(({ name }) => name)).size).toBe(NASTY_LINES.length)
  for (const { bytes } of NASTY_LINES) {
    const line = bytes({ timeMs: 1_740_268_800_000, user: 'u', number: 1 })
    expect(line.includes(0x0a)).toBe(false)
    expect(line.at(-1)).not.toBe(0x0d)
  }
})

test.each([1, 2, 3])('seed %d: expiry makes a difference only with old twins', (seed) => {
  for (const anonymous of ['reject', 'accept'] as const) {
    const readings = (oldTwins: boolean) => {
      const file = stress({ lines: 6_000, seed, oldTwins })
      return [false, true].map((forget) =>
        JSON.stringify(recompute(file, { ...DEFAULTS, anonymous, forget, attribution: null })),
      )
    }
    const [never, ever] = readings(false)
    expect(never).toBe(ever)
    const [neverOld, everOld] = readings(true)
    expect(neverOld).not.toBe(everOld)
  }
})

test('as_of is the view at the edge, not what comes after it', () => {
  for (const seed of [1, 2, 3]) {
    const { summary, features } = recompute(stress({ seed }))
    const offsetMs = [0, 59_999][seed % 3] // seed 2: anywhere in the pane
    if (offsetMs !== undefined) expect(summary.as_of! % 60_000).toBe(offsetMs)
    const edges = features.filter(({ key }) => key.startsWith('/edge/')).map(({ key }) => key.slice('/edge/'.length))
    expect(edges).toContain('hour pane, first in')
    expect(edges).not.toContain('hour pane, last out')
    expect(edges).not.toContain('hour pane, first out')
  }
})

test('the command writes the same bytes, packed where the name says so', async () => {
  for (const name of ['out.ndjson', 'out.ndjson.gz']) {
    const out = join(dir, name)
    const args = ['--lines', '3000', '--seed', '9', '--out', out]
    await promisify(execFile)(process.execPath, [join(import.meta.dirname, 'stress.ts'), ...args])
    const bytes = readFileSync(out)
    const plain = name.endsWith('.gz') ? gunzipSync(bytes) : bytes
    expect(plain.equals(stress({ lines: 3_000, seed: 9 }))).toBe(true)
  }
})

// The oracle finds every spoiled output, in the right file, and nothing in the unspoiled one.

import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeEach, expect, test } from 'vitest'
import { STRESS_DEFAULTS, stressLines } from '../generate/stress.ts'
import { compare, recompute, writeExpected } from './oracle.ts'
import { SPOILS } from './spoil.ts'

const dir = mkdtempSync(join(tmpdir(), 'holdfast-spoil-'))
const expected = recompute(Buffer.concat([...stressLines({ ...STRESS_DEFAULTS, lines: 3_000 })]))

beforeEach(() => writeExpected(expected, dir))
afterAll(() => rmSync(dir, { recursive: true }))

test('nothing is found in the unspoiled output', () => {
  expect(compare(expected, dir)).toEqual([])
})

test.each(SPOILS)('$name', ({ file, spoil }) => {
  const before = readFileSync(join(dir, file))
  spoil(dir)
  expect(readIfThere(join(dir, file))?.equals(before) ?? false).toBe(false)
  const differences = compare(expected, dir)
  expect(differences.length).toBeGreaterThan(0)
  for (const difference of differences) expect(difference).toContain(file)
})

test('the names of the spoils are distinct, and there are many', () => {
  expect(new Set(SPOILS.map(({ name }) => name)).size).toBe(SPOILS.length)
  expect(SPOILS.length).toBeGreaterThan(80)
})

function readIfThere(path: string): Buffer | null {
  try {
    return readFileSync(path)
  } catch {
    return null
  }
}

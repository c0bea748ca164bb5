// The order of lines is that of their bytes, whatever the room; and only so many of them are held at once.

import { existsSync, readdirSync, statSync } from 'node:fs'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { type SortRoom, sortedChunks } from './line-sort.ts'

let directory: string
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'holdfast-line-sort-'))
})
afterEach(() => rm(directory, { recursive: true, force: true }))

async function sort(lines: readonly string[], room?: SortRoom): Promise<string> {
  const chunks: Buffer[] = []
  for await (const chunk of sortedChunks(lines, join(directory, 'runs'), room)) chunks.push(chunk)
  expect(await readdir(directory)).toEqual([])
  return Buffer.concat(chunks).toString()
}
/** By their bytes, one by one. */
const slowly = (lines: readonly string[]): string =>
  lines
    .map((line) => Buffer.from(line))
    .sort(Buffer.compare)
    .map((bytes) => `${bytes}\n`)
    .join('')

/** A run for every few lines, and runs that become one again and again. */
const TINY: SortRoom = { runBytes: 100, runsMax: 3 }

test('LS1: bytes decide, also where UTF-16 would sort otherwise; nothing, and empty lines, are lines like others', async () => {
  const mixed = ['\u{1f600}', '\u{fb00}', 'z', 'é', '', 'aa', 'a', 'B', 'a', '']
  for (const room of [undefined, TINY]) {
    expect(await sort(mixed, room)).toBe('\n\nB\na\na\naa\nz\né\n\u{fb00}\n\u{1f600}\n')
    expect(await sort([], room)).toBe('')
  }
})

test('LS1: random lines, in room for all, for a few, and for one', async () => {
  const line = fc.string({ unit: 'binary', maxLength: 40 }).map((text) => text.replaceAll('\n', ''))
  await fc.assert(
    fc.asyncProperty(fc.array(line, { maxLength: 60 }), fc.integer({ min: 2, max: 5 }), async (lines, runsMax) => {
      const expected = slowly(lines)
      for (const runBytes of [1, 200, 1 << 20]) expect(await sort(lines, { runBytes, runsMax })).toBe(expected)
    }),
    { numRuns: 20 },
  )
})

test('a line may be longer than what is read at a time', async () => {
  const lines = ['b'.repeat(600_000), 'a', 'é'.repeat(400_000), 'b']
  expect(await sort(lines, TINY)).toBe(slowly(lines))
})

test('LS2: what is not on the disk yet is at most a run, and as many runs as may be become one', async () => {
  const room = { runBytes: 4_000, runsMax: 4 }
  const runs = join(directory, 'runs')
  const [highest, made] = [{ held: 0, runs: 0 }, { bytes: 0 }]
  function* lines() {
    for (let n = 0; n < 3_000; n++) {
      const files = existsSync(runs) ? readdirSync(runs) : []
      const written = files.reduce((sum, file) => sum + statSync(join(runs, file)).size, 0)
      highest.held = Math.max(highest.held, made.bytes - written)
      highest.runs = Math.max(highest.runs, files.length)
      made.bytes += 9
      yield `${(n * 7_919) % 3_000}`.padStart(8, '0')
    }
  }
  let bytes = 0
  for await (const chunk of sortedChunks(lines(), runs, room)) bytes += chunk.length
  expect(bytes).toBe(3_000 * 9)
  expect(highest.held).toBeLessThanOrEqual(room.runBytes)
  expect(highest.runs).toBe(room.runsMax - 1)
})

test.runIf(existsSync('/proc/self/fd'))('LS3: no run stays open, however the sort ends', async () => {
  const open = () => readdirSync('/proc/self/fd').length
  const before = open()
  const lines = Array.from({ length: 20_000 }, (_, i) => `${i} ${'x'.repeat(20)}`)
  const room = { runBytes: 100_000, runsMax: 64 }
  await sort(lines, room)
  expect(open()).toBe(before)
  for await (const _ of sortedChunks(lines, join(directory, 'runs'), room)) {
    expect(open()).toBeGreaterThan(before)
    break
  }
  expect(open()).toBe(before)
})

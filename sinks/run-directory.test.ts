// The files of a run: canonical lines, sorted by their bytes, whole or not at all.

import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { canonicalLine, writeDocument, writeLines } from './run-directory.ts'

let directory: string
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'holdfast-run-directory-'))
})
afterEach(() => rm(directory, { recursive: true, force: true }))

describe('lines', () => {
  it('are canonical JSON', () => {
    expect(canonicalLine({ b: 1, a: { d: [2, 1], c: 'é' } })).toBe('{"a":{"c":"é","d":[2,1]},"b":1}')
  })
})

describe('a file', () => {
  it('is written whole, each line with its end, also where it takes several writes', async () => {
    const lines = Array.from({ length: 5_000 }, (_, i) => `${i} ${'é'.repeat(300)}`)
    await writeLines(join(directory, 'out', 'deep'), 'lines', lines)
    expect(await readFile(join(directory, 'out', 'deep', 'lines'), 'utf8')).toBe(`${lines.sort().join('\n')}\n`)
    await writeLines(directory, 'none', [])
    expect(await readFile(join(directory, 'none'), 'utf8')).toBe('')
    await writeDocument(directory, 'doc', { a: 1 })
    expect(await readFile(join(directory, 'doc'), 'utf8')).toBe('{\n  "a": 1\n}\n')
  })

  it('that is there stays as it is until the new one is whole; nothing is left beside it', async () => {
    await writeFile(join(directory, 'lines'), 'old\n')
    const broken = {
      *[Symbol.iterator]() {
        yield 'x'.repeat(2 << 20)
        throw new Error('no more')
      },
    }
    await expect(writeLines(directory, 'lines', broken)).rejects.toThrow('no more')
    expect(await readFile(join(directory, 'lines'), 'utf8')).toBe('old\n')
    expect(await readdir(directory)).toEqual(['lines'])
    await writeLines(directory, 'lines', ['new'])
    expect(await readFile(join(directory, 'lines'), 'utf8')).toBe('new\n')
    expect(await readdir(directory)).toEqual(['lines'])
  })

  it('whose lines do not fit is sorted on the disk beside it, and nothing is left there', async () => {
    const lines = Array.from({ length: 2_000 }, (_, i) => `${(i * 7_919) % 2_000} é`)
    const room = { runBytes: 4_096, runsMax: 3 }
    const seen = new Set<string>()
    async function* watched() {
      for (const line of lines) {
        for (const name of await readdir(directory)) seen.add(name.replace(/\d+/, 'N'))
        yield line
      }
    }
    await writeLines(directory, 'lines', watched(), room)
    expect([...seen].sort()).toEqual(['.lines.N', '.lines.N.runs'])
    expect(await readFile(join(directory, 'lines'), 'utf8')).toBe(`${lines.sort().join('\n')}\n`)
    expect(await readdir(directory)).toEqual(['lines'])
    async function* broken() {
      yield* lines
      throw new Error('no more')
    }
    await expect(writeLines(directory, 'other', broken(), room)).rejects.toThrow('no more')
    expect(await readdir(directory)).toEqual(['lines'])
  })

  it('that cannot take its place leaves nothing half-written', async () => {
    await mkdir(join(directory, 'lines', 'in the way'), { recursive: true })
    await expect(writeLines(directory, 'lines', ['new'])).rejects.toThrow()
    expect(await readdir(directory)).toEqual(['lines'])
  })
})

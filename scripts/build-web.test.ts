// The page is built once for its sources, small, and with nothing in it that asks somebody else.

import { execFile } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { gzipSync } from 'node:zlib'
import { afterAll, expect, it } from 'vitest'
import { buildWeb, HASH_FILE, OTHER_SOURCES, replacePage, sourcesHash } from './build-web.ts'

const run = promisify(execFile)
const PROJECT_DIR = join(import.meta.dirname, '..')
/** Bytes of script, packed: on a slow mobile connection it is there in a second. */
const SCRIPT_BYTES_MAX = 100_000

const dir = mkdtempSync(join(tmpdir(), 'holdfast-web-'))
afterAll(() => rmSync(dir, { recursive: true }))

it('is built where it is missing or from other sources, and only then; it says so', async () => {
  const pageDir = join(dir, 'page')
  const said: string[] = []
  const build = () => buildWeb({ pageDir, say: (line) => said.push(line) })
  expect(await build()).toBe(true)
  expect(said).toEqual(['building the live page', expect.stringMatching(/^built the live page in \d+\.\d s$/)])
  const first = readdirSync(join(pageDir, 'assets'))
  expect(await build()).toBe(false)
  expect(said).toHaveLength(2)

  writeFileSync(join(pageDir, HASH_FILE), 'of other sources')
  writeFileSync(join(pageDir, 'assets', 'old.js'), '')
  expect(await build()).toBe(true)
  expect(readdirSync(join(pageDir, 'assets'))).toEqual(first)
  expect(readdirSync(dir)).toEqual(['page'])
})

it('two processes that build at once leave one whole page', async () => {
  const pageDir = join(dir, 'twice')
  const source = `import { buildWeb } from '${import.meta.resolve('./build-web.ts')}'
    await buildWeb({ pageDir: process.argv[1], say: () => {} })`
  const build = () => run(process.execPath, ['--input-type=module-typescript', '-e', source, pageDir])
  await Promise.all([build(), build()])
  expect(readdirSync(pageDir).sort()).toEqual(['assets', 'index.html', HASH_FILE])
  expect(await buildWeb({ pageDir, say: () => {} })).toBe(false)
  expect(readdirSync(dir).filter((name) => name.startsWith('twice.'))).toEqual([])
})

it('what cannot be put in its place is no harm where another process put the same page there', () => {
  const pageDir = join(dir, 'taken')
  const half = `${pageDir}.half`
  const obstruct = () => {
    for (const path of [pageDir, half, `${half}.old`]) {
      mkdirSync(path, { recursive: true })
      writeFileSync(join(path, HASH_FILE), 'a hash')
    }
  }
  obstruct()
  expect(() => replacePage(pageDir, half, 'a hash')).not.toThrow()
  obstruct()
  expect(() => replacePage(pageDir, half, 'another')).toThrow('ENOTEMPTY')
  rmSync(half, { recursive: true })
})

it('has little script, names no other host, and no script or style within the page', async () => {
  const pageDir = join(dir, 'content')
  await buildWeb({ pageDir, say: () => {} })
  const html = readFileSync(join(pageDir, 'index.html'), 'utf8')
  expect(html).not.toMatch(/<style|style=|<script(?![^>]*src=)/)
  const assets = readdirSync(join(pageDir, 'assets'))
  const texts = assets.map((name) => readFileSync(join(pageDir, 'assets', name), 'utf8'))
  // Names of XML's vocabularies, which nobody loads.
  const hosts = [html, ...texts].flatMap((text) => text.match(/https?:\/\/[\w.-]+/g) ?? [])
  expect(hosts.filter((host) => host !== 'http://www.w3.org')).toEqual([])
  const scripts = texts.filter((_, i) => assets[i]!.endsWith('.js'))
  const packed = scripts.reduce((sum, text) => sum + gzipSync(text).length, 0)
  expect(packed).toBeGreaterThan(10_000)
  expect(packed).toBeLessThan(SCRIPT_BYTES_MAX)
})

it('has another hash when a source or a tool changed, and not for its tests', () => {
  const copy = join(dir, 'project')
  for (const path of ['web/dashboard', ...OTHER_SOURCES]) {
    mkdirSync(dirname(join(copy, path)), { recursive: true })
    cpSync(join(PROJECT_DIR, path), join(copy, path), { recursive: true })
  }
  const change = (path: string): string => {
    const file = join(copy, path)
    const before = readFileSync(file)
    writeFileSync(file, Buffer.concat([before, Buffer.from(' ')]))
    const hash = sourcesHash(copy)
    writeFileSync(file, before)
    return hash
  }
  const hash = sourcesHash(copy)
  expect(hash).toBe(sourcesHash())
  for (const path of [
    'web/dashboard/page.ts',
    'web/dashboard/dashboard.css',
    'client/holdfast.ts',
    'node_modules/vite/package.json',
  ])
    expect(change(path)).not.toBe(hash)
  expect(change('web/dashboard/rates.test.ts')).toBe(hash)
})

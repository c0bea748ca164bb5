import { execFile } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'

const PROJECT_DIR = join(import.meta.dirname, '..')
let dir: string
// Inside the project, where vitest is found, in a folder that the real run leaves out.
beforeAll(async () => {
  dir = await mkdtemp(join(PROJECT_DIR, '.holdfast', 'reporter-'))
  await writeFile(join(dir, 'vitest.config.ts'), 'export default {}')
})
afterAll(() => rm(dir, { recursive: true }))

/** The last line that vitest prints for one test file of this text. */
const closingLineFor = async (text: string): Promise<string> => (await lastLinesFor(text)).at(-1)!

async function lastLinesFor(text: string): Promise<string[]> {
  await writeFile(join(dir, 'a.test.ts'), `import { expect, it } from 'vitest'\n${text}`)
  const vitest = join(PROJECT_DIR, 'node_modules', 'vitest', 'vitest.mjs')
  const reporter = join(PROJECT_DIR, 'test', 'reporter.ts')
  const args = [vitest, 'run', '--root', dir, '--reporter', 'default', '--reporter', reporter]
  return new Promise((resolve) => {
    execFile(process.execPath, args, (_, stdout) => resolve(stdout.trimEnd().split('\n').slice(-4)))
  })
}

it('counts what passed and what failed, on the last line', async () => {
  const tests = "it('a', () => {}); it('b', () => {}); it('c', () => { expect(1).toBe(2) })"
  expect(await closingLineFor(tests)).toBe('2 passed, 1 failed')
})

it('counts a file that cannot be loaded, and an error outside every test', async () => {
  expect(await closingLineFor("throw new Error('broken')")).toBe('0 passed, 1 failed')
  const stray =
    "it('a', () => { setTimeout(() => { throw new Error('stray') }); return new Promise((r) => setTimeout(r, 50)) })"
  expect(await closingLineFor(stray)).toBe('1 passed, 1 failed')
})

it('names what failed, and what passed at a second try with what went wrong at the first', async () => {
  const first = "let tries = 0; it('a', { retry: 1 }, () => { if (++tries < 2) throw new Error('with seed 17') })"
  expect(await lastLinesFor(`${first}; it('b', () => { expect(1).toBe(2) })`)).toEqual([
    'passed at the second try: a.test.ts > a',
    '  with seed 17',
    'failed: a.test.ts > b',
    '1 passed, 1 failed',
  ])
})

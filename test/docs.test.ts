// Docs that run: README.md and docs/ are executed and their references checked, so that they cannot promise what is not there.
// In a block marked `sh run` every command must succeed, and what follows `#> ` must be printed by the block. A block marked
// `sh run background` goes on once it has printed that, and is ended when no block is left that names a port of it: what nobody
// asks would only take the others' time. The blocks of one document run one after the other in one directory that looks like the
// project's root, where new files are the test's.

import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, globSync, readdirSync, readFileSync } from 'node:fs'
import { mkdtemp, rm, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join, normalize } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'

const PROJECT_DIR = join(import.meta.dirname, '..')
const PAGES = ['README.md', ...globSync('docs/**/*.md', { cwd: PROJECT_DIR })].sort()
/** A block of this document may take so long, on a loaded machine. */
const BLOCK_TIMEOUT_MS = 120_000
const LOOK_MS = 20
const START_PORT = 24_281

interface Block {
  readonly commands: string
  readonly expected: readonly string[]
  readonly inBackground: boolean
}

const textOf = (page: string): string => readFileSync(join(PROJECT_DIR, page), 'utf8')

function blocksOf(page: string): Block[] {
  return [...textOf(page).matchAll(/^```sh run( background)?\n([\s\S]*?)^```$/gm)].map(([, background, body]) => {
    const lines = body!.split('\n')
    return {
      commands: lines.filter((line) => !line.startsWith('#> ')).join('\n'),
      expected: lines.flatMap((line) => (line.startsWith('#> ') ? [line.slice(3)] : [])),
      inBackground: background !== undefined,
    }
  })
}

/** A directory of links to everything in the project's root. */
async function likeProject(): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'holdfast-docs-'))
  for (const name of readdirSync(PROJECT_DIR)) await symlink(join(PROJECT_DIR, name), join(dir, name))
  return dir
}

/**
 * npx would ask a registry here; `exec` makes a background command the process that gets the signal. `npm start` gets a port
 * and a directory of this test, as somebody may have one running; who asks it asks there.
 */
function scriptOf({ commands, inBackground }: Block): string {
  const asked = commands
    .replace(/^npm start(?: --)?/m, `exec node cli/start.ts --http-port ${START_PORT} --data-dir "$PWD/start"`)
    .replaceAll('127.0.0.1:8080', `127.0.0.1:${START_PORT}`)
    .replace(/npx holdfast (query|top) (?!.*--(url|data-dir)).*/g, `$& --url http://127.0.0.1:${START_PORT}`)
  return `set -eu\nnpx() { ${inBackground ? 'exec ' : ''}"$@"; }\n${asked}`
}

const environment = { ...process.env, PATH: `${join(PROJECT_DIR, 'node_modules', '.bin')}:${process.env.PATH}` }

function runBlock(block: Block, cwd: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const options = { cwd, env: environment, timeout: BLOCK_TIMEOUT_MS }
    execFile('bash', ['-c', scriptOf(block)], options, (error, stdout, stderr) => {
      if (error === null) resolve(stdout + stderr)
      else reject(new Error(`${error.message}\n${stdout}${stderr}`))
    })
  })
}

async function startBlock(block: Block, cwd: string): Promise<ChildProcess> {
  const child = spawn('bash', ['-c', scriptOf(block)], { cwd, env: environment, stdio: ['ignore', 'pipe', 'pipe'] })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (bytes) => (output += bytes))
  const deadline = performance.now() + BLOCK_TIMEOUT_MS
  while (!block.expected.every((text) => output.includes(text))) {
    if (child.exitCode !== null || performance.now() > deadline) {
      child.kill('SIGKILL')
      throw new Error(`it did not say ${block.expected.join(' and ')}: ${output}`)
    }
    await sleep(LOOK_MS)
  }
  return child
}

/** The ports that a block in the background opens. */
const portsOf = (block: Block): string[] => [...scriptOf(block).matchAll(/port (\d+)/g)].map(([, port]) => port!)

/** Settles with the exit code. */
async function endOf(child: ChildProcess): Promise<number | null> {
  child.kill('SIGTERM')
  if (child.exitCode === null && child.signalCode === null) await once(child, 'exit')
  return child.exitCode
}

async function runPage(page: string): Promise<void> {
  const dir = await likeProject()
  const blocks = blocksOf(page)
  let background: { readonly child: ChildProcess; readonly ports: readonly string[] }[] = []
  try {
    for (const [i, block] of blocks.entries()) {
      if (block.inBackground) background.push({ child: await startBlock(block, dir), ports: portsOf(block) })
      else {
        const output = await runBlock(block, dir)
        for (const text of block.expected) expect(output).toContain(text)
      }
      const left = blocks
        .slice(i + 1)
        .map(scriptOf)
        .join()
      const { asked = [], done = [] } = Object.groupBy(background, ({ ports }) =>
        ports.some((port) => left.includes(port)) ? 'asked' : 'done',
      )
      background = asked
      for (const { child } of done) expect(await endOf(child)).toBe(0)
    }
  } finally {
    for (const { child } of background) await endOf(child)
    await rm(dir, { recursive: true, force: true })
  }
}

describe('commands', () => {
  const pages = PAGES.filter((page) => blocksOf(page).length > 0)
  it('are in the README and in the page for developers', () =>
    expect(pages).toEqual(expect.arrayContaining(['README.md', 'docs/how-it-works.md'])))

  it.each(pages)('of %s run, and print what the page says', { timeout: 5 * BLOCK_TIMEOUT_MS }, runPage)

  it('a block that fails, or prints something else, is seen', async () => {
    const block = (commands: string, expected: string[] = []) => ({ commands, expected, inBackground: false })
    await expect(runBlock(block('false\ntrue'), PROJECT_DIR)).rejects.toThrow(/Command failed/)
    expect(await runBlock(block('npx echo said'), PROJECT_DIR)).toBe('said\n')
  })
})

describe('references', () => {
  it.each(PAGES)('%s links to what is there', (page) => {
    const links = [...textOf(page).matchAll(/\]\(([^)\s]+)\)/g)].map(([, link]) => link!)
    const broken = links
      .filter((link) => !/^https?:/.test(link))
      .filter((link) => !existsSync(join(PROJECT_DIR, normalize(join(dirname(page), link.replace(/#.*/, ''))))))
    expect(broken).toEqual([])
  })

  it.each(PAGES)('%s names files and folders that are there', (page) => {
    const named =
      textOf(page).match(/\b(cli|replay|topology|sinks|operators|state|log|test|bench|scripts|docs)\/[\w./-]*\w/g) ?? []
    // `state` and `log` are also what a sentence may join by a slash.
    const files = named.filter((name) => /\.\w+$|^(test|docs)\//.test(name))
    expect(files.filter((name) => !existsSync(join(PROJECT_DIR, name)))).toEqual([])
  })

  it.each(PAGES)('%s names scripts and commands that exist', (page) => {
    const { scripts } = JSON.parse(textOf('package.json')) as { scripts: Record<string, string> }
    const files = readdirSync(join(PROJECT_DIR, 'cli')).filter((name) => name.endsWith('.ts'))
    const cli = files.map((name) => textOf(`cli/${name}`)).join('\n')
    const commands = [...cli.matchAll(/\.command\('(\w+)'\)/g)].map(([, name]) => name!)
    const text = textOf(page)
    for (const [, name] of text.matchAll(/npm run ([\w:]+)/g)) expect(Object.keys(scripts)).toContain(name)
    for (const [, name] of text.matchAll(/npx holdfast (\w+)/g)) expect(commands).toContain(name)
  })
})

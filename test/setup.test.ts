// The way from a fresh clone to a running command: scripts/setup.mjs and cli/bin.mjs. Fetching nats-server is tested in
// log/nats-server.test.ts; a whole fresh clone is what .ci/run starts from.

import { execFile, spawn } from 'node:child_process'
import { copyFile, mkdir, mkdtemp, readlink, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { installReason, missingDependency } from '../scripts/dependencies.mjs'

const PROJECT_DIR = join(import.meta.dirname, '..')
const SETUP = join(PROJECT_DIR, 'scripts', 'setup.mjs')
const run = promisify(execFile)

describe('setup', () => {
  it('a second run changes and says nothing, in under a second', async () => {
    await run(process.execPath, [SETUP])
    const startedMs = performance.now()
    const { stdout, stderr } = await run(process.execPath, [SETUP])
    const tookMs = performance.now() - startedMs
    expect(stdout + stderr).toBe('')
    // 0.3 s on an idle machine; other tests share this one.
    expect(tookMs).toBeLessThan(3_000)
  })

  it('leaves links to the Node that runs the project and to our command', async () => {
    const bin = join(PROJECT_DIR, 'node_modules', '.bin')
    expect(await readlink(join(bin, 'holdfast'))).toBe(join('..', '..', 'cli', 'bin.mjs'))
    if (process.platform === 'linux') expect(await readlink(join(bin, 'node'))).toMatch(/node-linux-\w+\/bin\/node$/)
  })

  it('names the step to take by hand, and fails, when a part is missing', async () => {
    const failure = await run(process.execPath, [SETUP], { env: { ...process.env, NATS_SERVER: '/nowhere' } }).catch(
      (error) => error,
    )
    expect(failure.code).toBe(1)
    expect(failure.stderr).toMatch(/^setup failed: NATS_SERVER is \/nowhere: .*By hand: /)
  })

  const entry = { version: '1.0.0', integrity: 'sha512-a' }
  it.each([
    ['all there', { 'node_modules/a': entry }, null],
    ['one missing', {}, 'a'],
    ['another version', { 'node_modules/a': { ...entry, version: '1.0.1' } }, 'a'],
    ['other bytes', { 'node_modules/a': { ...entry, integrity: 'sha512-b' } }, 'a'],
    ['more than needed', { 'node_modules/a': entry, 'node_modules/b': entry }, null],
  ])('knows what is installed: %s', (_, installed, expected) =>
    expect(missingDependency({ '': {}, 'node_modules/a': entry }, installed)).toBe(expected),
  )

  it('does not ask for the builds of other platforms', () =>
    expect(missingDependency({ 'node_modules/a-darwin': { ...entry, optional: true } }, {})).toBeNull())

  it('finds this very checkout installed, and an empty folder not', () => {
    expect(installReason(PROJECT_DIR)).toBeNull()
    expect(installReason(tmpdir())).toBe('they are not installed yet')
  })
})

describe('the holdfast command', () => {
  let dir: string
  /** Says where it runs, then does what its first argument says. */
  const MAIN = `const [what]: string[] = process.argv.slice(2)
    if (what === 'wait') { setInterval(() => {}, 1000); process.on('SIGTERM', () => process.exit(9)) }
    console.log(process.version, process.argv.slice(2).join(' '))
    if (what === 'exit') process.exitCode = 7
    if (what === 'die') process.kill(process.pid, 'SIGKILL')`
  /** The command then believes that the shell's Node is an old one. */
  const OLD = `data:text/javascript,Object.defineProperty(process,'versions',{value:{...process.versions,node:'20.1.0'}})`

  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), 'holdfast-bin-'))
    await mkdir(join(dir, 'a b', 'cli'), { recursive: true })
    await symlink(join(PROJECT_DIR, 'node_modules'), join(dir, 'a b', 'node_modules'))
    await copyFile(join(PROJECT_DIR, 'cli', 'bin.mjs'), join(dir, 'a b', 'cli', 'bin.mjs'))
    await copyFile(join(PROJECT_DIR, 'cli', 'node-flags.mjs'), join(dir, 'a b', 'cli', 'node-flags.mjs'))
    await writeFile(join(dir, 'a b', 'cli', 'main.ts'), MAIN)
  })
  afterAll(() => rm(dir, { recursive: true }))

  interface Ended {
    readonly code: number | null
    readonly output: string
  }

  /** Runs the command; `onOutput` gets the process when it has printed something. */
  function holdfast(args: string[], old: boolean, onOutput: (pid: number) => void = () => {}): Promise<Ended> {
    const bin = join(dir, 'a b', 'cli', 'bin.mjs')
    const child = spawn(process.execPath, [...(old ? ['--import', OLD] : []), bin, ...args], {
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    let output = ''
    const gather = (bytes: Buffer) => {
      output += bytes
      onOutput(child.pid!)
    }
    child.stdout.on('data', gather)
    child.stderr.on('data', gather)
    return new Promise((resolve) => child.once('close', (code) => resolve({ code, output })))
  }

  const packaged = process.platform === 'linux'
  it.runIf(packaged).each([true, false])('passes arguments, output and exit code (old Node: %s)', async (old) => {
    expect(await holdfast(['exit', 'two words'], old)).toEqual({
      code: 7,
      output: `${process.version} exit two words\n`,
    })
  })

  it.runIf(packaged)('an older Node hands signals over, and tells of an end by signal', async () => {
    const ended = await holdfast(['wait'], true, (pid) => process.kill(pid, 'SIGTERM'))
    expect(ended.code).toBe(9)
    expect((await holdfast(['die'], true)).code).toBe(128 + 9)
  })

  it('without a Node that is new enough it says what to do', async () => {
    await rm(join(dir, 'a b', 'node_modules'))
    const { code, output } = await holdfast([], true)
    expect(code).toBe(1)
    expect(output).toBe('holdfast: Node 24.12 or newer is needed: run `npm run setup` in the project, or install it\n')
  })
})

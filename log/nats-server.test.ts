import { execFile } from 'node:child_process'
import { chmod, mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { mirrorOf } from './debian-package.mjs'
import { locateNatsServer } from './find-nats-server.mjs'
import { findNatsServer, versionProblem } from './nats-server.ts'

const run = promisify(execFile)

describe('versionProblem', () => {
  it.each(['2.12.15', 'v2.12.16', '2.14.5', '2.14.6', '2.15.0', '2.15.1', '3.0.0', '2.15.0-RC.1'])('accepts %s', (v) =>
    expect(versionProblem(v)).toBeNull(),
  )
  it.each(['2.9.10', '2.12.14', '2.14.0', '2.14.4', '2.14.5-RC.2', '2.12.15-dev', '1.99.99'])('refuses %s', (v) =>
    expect(versionProblem(v)).toMatch(`nats-server ${v} is too old`),
  )
  it('refuses what is no version', () => expect(versionProblem('hello')).toMatch('cannot read the version'))
})

describe('mirrorOf', () => {
  const line = (mirror: string, suite: string) => `'${mirror}/dists/${suite}/InRelease' name 0 \n`

  it('takes the mirror of the release, not of its updates or of others', () => {
    const printed =
      line('https://deb.nodesource.com/node_20.x', 'nodistro') + line('http://m/debian', 'bookworm-updates')
    expect(mirrorOf(printed + line('http://m/debian', 'bookworm'), 'bookworm')).toEqual({
      mirror: 'http://m/debian',
      suite: 'bookworm',
    })
    expect(mirrorOf(printed, 'bookworm')).toBeNull()
  })

  it('understands a source that names the release by its role', () =>
    expect(mirrorOf(line('http://m/debian', 'stable'), 'trixie')?.suite).toBe('stable'))
})

describe('locateNatsServer', () => {
  let dir: string
  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), 'holdfast-find-'))
  })
  afterAll(() => rm(dir, { recursive: true }))

  /** A program that says it is this version. */
  async function fake(folder: string, version: string): Promise<string> {
    await mkdir(join(dir, folder), { recursive: true })
    const path = join(dir, folder, 'nats-server')
    await writeFile(path, `#!/bin/sh\necho "nats-server: v${version}"\n`)
    await chmod(path, 0o755)
    return path
  }

  it('finds one that really runs', async () => {
    const { stdout } = await run(await findNatsServer(), ['--version'])
    expect(versionProblem(stdout.replace('nats-server: ', ''))).toBeNull()
  })

  it('prefers NATS_SERVER, then PATH, then the cache, and passes over what is too old', async () => {
    const [named, old, onPath, cached] = await Promise.all([
      fake('named', '2.15.1'),
      fake('old', '2.9.10'),
      fake('path', '2.15.0'),
      fake('cache', '2.12.15'),
    ])
    const cacheDir = join(dir, 'cache')
    const PATH = `${join(dir, 'old')}:${join(dir, 'path')}`
    expect(await locateNatsServer({ cacheDir, env: { NATS_SERVER: named, PATH } })).toBe(named)
    expect(await locateNatsServer({ cacheDir, env: { PATH } })).toBe(onPath)
    expect(await locateNatsServer({ cacheDir, env: { PATH: join(dir, 'old') } })).toBe(cached)
    expect(old).not.toBe(onPath)
  })

  it('does not pass over a NATS_SERVER that cannot be used', async () => {
    const old = await fake('old', '2.9.10')
    await expect(locateNatsServer({ env: { NATS_SERVER: old } })).rejects.toThrow(/2\.9\.10 is too old.*By hand/)
    await expect(locateNatsServer({ env: { NATS_SERVER: '/nowhere' } })).rejects.toThrow(/does not run \(ENOENT\)/)
  })

  const fetches = process.platform === 'linux' ? it : it.runIf(false)
  fetches('fetches one for two processes at once, says so, and leaves only the binary', async () => {
    const cacheDir = join(dir, 'empty')
    const module = new URL('./find-nats-server.mjs', import.meta.url).pathname
    const program = `import(${JSON.stringify(module)}).then(async (m) => console.log(await m.locateNatsServer({
      cacheDir: ${JSON.stringify(cacheDir)}, env: {}, onProgress: (line) => console.log(line) })))`
    const search = () => run(process.execPath, ['-e', program])
    const outputs = await Promise.all([search(), search()])
    for (const { stdout } of outputs) {
      expect(stdout).toMatch(/^fetching nats-server/m)
      expect(stdout.trim().split('\n').at(-1)).toBe(join(cacheDir, 'nats-server'))
    }
    expect(await readdir(cacheDir)).toEqual(['nats-server'])
    expect((await search()).stdout.trim()).toBe(join(cacheDir, 'nats-server'))
  })

  it('names every way it tried and the step to take by hand when all fail', async () => {
    // No program is on the PATH of this child, so apt is missing; the official release has no archive for its platform.
    const module = new URL('./find-nats-server.mjs', import.meta.url).pathname
    const program = `Object.defineProperty(process, 'platform', { value: 'plan9' })
      import(${JSON.stringify(module)}).then((m) => m.locateNatsServer({ cacheDir: ${JSON.stringify(join(dir, 'none'))}, env: {} }))
        .catch((error) => console.log(error.message))`
    const { stdout } = await run(process.execPath, ['-e', program], { env: { PATH: '' } })
    expect(stdout).toMatch(/official release: .*plan9.*Debian forky: there is no .* on this machine.*By hand: download/)
    expect(await readdir(join(dir, 'none'))).toEqual([])
  })
})

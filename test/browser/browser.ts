// A real Chromium for tests: $CHROMIUM, the system's, playwright's own, else the one that comes as a package (Linux x64),
// unpacked once into .holdfast/ with fonts of its own. Where none can start, the reason, and tests skip themselves.
// BR1: it sees loopback only: tests give it addresses there, and it asks nobody for updates.

import { existsSync, mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { type Browser, chromium } from 'playwright-core'

const PROJECT_DIR = join(import.meta.dirname, '..', '..')
const SYSTEM = [
  '/usr/bin/chromium',
  '/usr/bin/chromium-browser',
  '/usr/bin/google-chrome',
  '/usr/bin/google-chrome-stable',
]
const START_MS = 30_000
/** Containers run tests as root, where the sandbox refuses, and have little shared memory. */
const ARGS = [
  '--no-sandbox',
  '--disable-dev-shm-usage',
  '--disable-background-networking',
  '--disable-component-update',
]

interface Found {
  readonly path: string
  readonly env: Readonly<Record<string, string>>
}

/** A browser that the caller closes; a text says why there is none. Pages: `newPage({ locale: 'en-US' })`. */
export async function openBrowser(): Promise<Browser | string> {
  try {
    const { path, env } = await findChromium()
    return await chromium.launch({
      executablePath: path,
      args: ARGS,
      env: { ...(process.env as Record<string, string>), ...env },
      timeout: START_MS,
    })
  } catch (error) {
    return `no browser can be started here: ${error instanceof Error ? error.message : error}`
  }
}

async function findChromium(): Promise<Found> {
  const given = process.env.CHROMIUM
  if (given) return { path: given, env: {} }
  const found = [...SYSTEM, chromium.executablePath()].find((path) => path !== '' && existsSync(path))
  return found === undefined ? packaged() : { path: found, env: {} }
}

/** The browser of the package with its libraries and fonts, unpacked on first use. */
async function packaged(): Promise<Found> {
  if (process.platform !== 'linux' || process.arch !== 'x64')
    throw new Error(`the package has none for ${process.platform} ${process.arch}; set CHROMIUM`)
  const require = createRequire(import.meta.url)
  const main = require.resolve('@sparticuz/chromium')
  const { version } = require(join(dirname(main), '..', 'package.json')) as { version: string }
  const dir = join(PROJECT_DIR, '.holdfast', `chromium-${version}`)
  if (!existsSync(dir)) await unpack(main, dir)
  const fonts = join(dir, 'fonts')
  return {
    path: join(dir, 'chromium'),
    env: { LD_LIBRARY_PATH: join(dir, 'al2023', 'lib'), FONTCONFIG_FILE: join(fonts, 'holdfast.conf'), HOME: dir },
  }
}

/** Into a directory beside, renamed when it is whole: two test processes may do it at once. */
async function unpack(main: string, dir: string): Promise<void> {
  const half = `${dir}.${process.pid}`
  mkdirSync(half, { recursive: true })
  const before = process.env.TMPDIR
  try {
    const { inflate } = (await import(pathToFileURL(main).href)) as typeof import('@sparticuz/chromium')
    // The package unpacks into os.tmpdir(), which reads this.
    process.env.TMPDIR = half
    if (tmpdir() !== half) throw new Error('TMPDIR does not say where to unpack')
    const bin = join(dirname(main), '..', 'bin')
    for (const file of ['chromium.br', 'fonts.tar.br', 'swiftshader.tar.br', 'al2023.tar.br'])
      await inflate(join(bin, file))
    writeFileSync(join(half, 'fonts', 'holdfast.conf'), fontsConf(join(dir, 'fonts')))
    renameSync(half, dir)
  } catch (error) {
    // Another process was first.
    if (!existsSync(dir)) throw error
  } finally {
    if (before === undefined) delete process.env.TMPDIR
    else process.env.TMPDIR = before
    rmSync(half, { recursive: true, force: true })
  }
}

function fontsConf(fonts: string): string {
  return `<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig>
  <dir>${fonts}</dir>
  <cachedir>${join(fonts, 'cache')}</cachedir>
  <config></config>
</fontconfig>
`
}

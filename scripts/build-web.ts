// Builds the live page (web/dashboard/) into .holdfast/web/ for sinks/http/page-routes.ts: `node scripts/build-web.ts`.
// BW1: nothing is built where the page is there already, from these very sources and these tools.
// BW2: a page is whole or not there: it is built beside and renamed, as two processes may build at once.

import { createHash } from 'node:crypto'
import { existsSync, globSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

const PROJECT_DIR = join(import.meta.dirname, '..')
const SOURCE_DIR = join(PROJECT_DIR, 'web', 'dashboard')
const PAGE_DIR = join(PROJECT_DIR, '.holdfast', 'web')
/** Beside the page, of what it was built from. No route serves it. */
export const HASH_FILE = 'sources.sha256'
/** What the page is made of besides its own folder. */
export const OTHER_SOURCES = [
  'client/holdfast.ts',
  'client/transport.ts',
  'scripts/build-web.ts',
  'sinks/charts.ts',
  ...['vite', 'preact', 'uplot'].map((name) => `node_modules/${name}/package.json`),
]

export interface BuildOptions {
  readonly say: (line: string) => void
  /** Default: where the node looks for it. */
  readonly pageDir?: string
}

/** Builds the page if it is not there or its sources changed; whether it did. */
export async function buildWeb({ say, pageDir = PAGE_DIR }: BuildOptions): Promise<boolean> {
  const hash = sourcesHash()
  if (hashOf(pageDir) === hash) return false
  const started = performance.now()
  say('building the live page')
  const half = `${pageDir}.${process.pid}`
  try {
    await bundle(half)
    writeFileSync(join(half, HASH_FILE), hash)
    replacePage(pageDir, half, hash)
  } finally {
    rmSync(half, { recursive: true, force: true })
  }
  say(`built the live page in ${((performance.now() - started) / 1_000).toFixed(1)} s`)
  return true
}

async function bundle(outDir: string): Promise<void> {
  // Only here: where nothing is to be built, nobody waits for it to load.
  const { build } = await import('vite')
  await build({
    root: SOURCE_DIR,
    configFile: false,
    envDir: false,
    logLevel: 'warn',
    publicDir: false,
    build: {
      outDir,
      emptyOutDir: true,
      target: 'es2023',
      // Everything is a file of its own: the page's policy allows no inline data.
      assetsInlineLimit: 0,
      modulePreload: { polyfill: false },
    },
  })
}

/** Of every byte that has a say in the page: sources, this script, the versions of the tools. */
export function sourcesHash(projectDir = PROJECT_DIR): string {
  const own = globSync('web/dashboard/*', { cwd: projectDir }).filter((path) => !/\.test\.ts$|tsconfig/.test(path))
  const hash = createHash('sha256')
  for (const path of [...own, ...OTHER_SOURCES].sort()) {
    const bytes = readFileSync(join(projectDir, path))
    hash.update(`${path} ${bytes.length}\n`).update(bytes)
  }
  return hash.digest('hex')
}

function hashOf(pageDir: string): string | null {
  const path = join(pageDir, HASH_FILE)
  return existsSync(path) ? readFileSync(path, 'utf8') : null
}

/** Moves a page that is whole to its place. Throws where it cannot, and the page there is another one. */
export function replacePage(pageDir: string, half: string, hash: string): void {
  const former = `${half}.old`
  try {
    // Moved and not deleted file by file: a node that looks now finds all of it, or nothing.
    moveIfThere(pageDir, former)
    renameSync(half, pageDir)
  } catch (error) {
    // Another process was first, with the same page.
    if (hashOf(pageDir) !== hash) throw error
  } finally {
    rmSync(former, { recursive: true, force: true })
  }
}

function moveIfThere(from: string, to: string): void {
  try {
    renameSync(from, to)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
  }
}

if (import.meta.main) {
  const say = (line: string): void => console.log(`web: ${line}`)
  if (!(await buildWeb({ say }))) say('the live page is up to date')
}

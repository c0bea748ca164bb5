// @ts-check
// Finds a nats-server that Holdfast is correct on, or brings one into the project. log/nats-server.ts is its typed face.
// N1: the order is NATS_SERVER, PATH, the copy cached in the project, the official release (pinned by SHA-256), Debian's
//     package of a newer suite. NATS_SERVER is an order: when it cannot be used that is an error, not a reason to go on.
// N2: the cached copy appears by one rename, complete and checked, so that two processes may search at once.
// Plain JavaScript without dependencies: scripts/setup.mjs runs it before anything is installed.

import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { chmod, copyFile, mkdir, mkdtemp, rename, rm, writeFile } from 'node:fs/promises'
import { delimiter, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { fetchDebianPackage } from './debian-package.mjs'

const run = promisify(execFile)

export const PROJECT_DIR = dirname(dirname(fileURLToPath(import.meta.url)))
const CACHE_DIR = join(PROJECT_DIR, '.holdfast', 'nats-server')
const EXE = process.platform === 'win32' ? '.exe' : ''

/** From the SHA256SUMS of the release; the archive holds one folder of its own name. */
const RELEASE = '2.15.0'
/** @type {Readonly<Record<string, string>>} */
const RELEASE_SHA256 = {
  'linux-amd64': '5d2c51caca950333aba84911df7d377f826f3a59ec36061c6539105084f65c92',
  'linux-arm64': 'cdc208f5a3f42963a52b6ab06ef65626bb870315dc936e26ba571780c6351112',
  'darwin-amd64': '5bd8b59ca5bf93fab3da2c5843cf564cd6e2e291e22ae3b861746e7ebe259b95',
  'darwin-arm64': 'e1c4e22d70bd44abfa0bcb3c16f7cf0c66f648c2e728c58924e8a1ce88913cc8',
}
/** Short: a machine without a way out must not wait long before the next way is tried. */
const CONNECT_TIMEOUT_MS = 6_000
const DOWNLOAD_TIMEOUT_MS = 180_000
/** The first suite of Debian whose nats-server is new enough; the binary is static and runs on older releases too. */
const DEBIAN_SUITE = 'forky'

const MANUAL_STEP = `By hand: download nats-server ${RELEASE} or newer from https://github.com/nats-io/nats-server/releases, unpack it, and set NATS_SERVER to the path of the binary (or give --nats URL of a running server).`

/** Oldest versions that Holdfast is correct on: before them a fence could be checked on the wrong subject. */
const OLDEST = [2, 12, 15]
const OLDEST_IN_2_14 = [2, 14, 5]

/**
 * null when Holdfast is correct on this version of nats-server, else one line that says why it is not.
 * @param {string} version such as `2.15.1`, `v2.12.15` or `2.14.5-RC.1`
 * @returns {string | null}
 */
export function versionProblem(version) {
  const parsed = /^v?(\d+)\.(\d+)\.(\d+)(-.+)?$/.exec(version.trim())
  if (parsed === null) return `cannot read the version of nats-server out of "${version.trim().slice(0, 60)}"`
  const [major, minor, patch] = [Number(parsed[1]), Number(parsed[2]), Number(parsed[3])]
  const oldest = major === 2 && minor === 14 ? OLDEST_IN_2_14 : OLDEST
  const order = compare([major, minor, patch], oldest)
  // A release candidate of the oldest version may still lack its fixes.
  if (order > 0 || (order === 0 && parsed[4] === undefined)) return null
  return `nats-server ${version.trim()} is too old: 2.12.15 or newer is needed, 2.14.5 or newer in the 2.14 line`
}

/**
 * @param {number[]} a
 * @param {number[]} b
 */
function compare(a, b) {
  const at = a.findIndex((number, i) => number !== b[i])
  return at === -1 ? 0 : /** @type {number} */ (a[at]) - /** @type {number} */ (b[at])
}

/**
 * null when the file is a nats-server that is new enough, else why not.
 * @param {string} path
 * @returns {Promise<string | null>}
 */
async function binaryProblem(path) {
  try {
    const { stdout } = await run(path, ['--version'], { timeout: 10_000 })
    return versionProblem(stdout.replace(/^nats-server:\s*/, ''))
  } catch (error) {
    return `it does not run (${/** @type {{ code?: unknown }} */ (error).code})`
  }
}

/**
 * Path of a nats-server binary that is new enough; fetches one when there is none.
 * @param {{ onProgress?: (line: string) => void, env?: Record<string, string | undefined>, cacheDir?: string }} [options]
 * @returns {Promise<string>}
 * @throws {Error} naming what was tried and the manual step
 */
export async function locateNatsServer(options = {}) {
  const { onProgress = () => {}, env = process.env, cacheDir = CACHE_DIR } = options
  if (env.NATS_SERVER) return named(env.NATS_SERVER)
  const tried = /** @type {string[]} */ ([])
  const cached = join(cacheDir, `nats-server${EXE}`)
  for (const path of [...onPath(env.PATH ?? ''), cached]) {
    if (!existsSync(path)) continue
    const problem = await binaryProblem(path)
    if (problem === null) return path
    tried.push(`${path}: ${problem}`)
  }
  for (const fetchInto of [officialRelease, debianPackage]) {
    try {
      await install(fetchInto, cached, onProgress)
      return cached
    } catch (error) {
      tried.push(/** @type {Error} */ (error).message)
      onProgress(/** @type {Error} */ (error).message)
    }
  }
  throw new Error(`no usable nats-server. Tried: ${tried.join('; ')}. ${MANUAL_STEP}`)
}

/** @param {string} path */
async function named(path) {
  const problem = await binaryProblem(path)
  if (problem !== null) throw new Error(`NATS_SERVER is ${path}: ${problem}. ${MANUAL_STEP}`)
  return path
}

/** @param {string} searchPath */
function onPath(searchPath) {
  return searchPath
    .split(delimiter)
    .filter((dir) => dir !== '')
    .map((dir) => join(dir, `nats-server${EXE}`))
}

/**
 * Fetches into a folder of this process's own, checks what came, then renames it to `target` (N2).
 * @param {(dir: string, onProgress: (line: string) => void) => Promise<string>} fetchInto
 * @param {string} target
 * @param {(line: string) => void} onProgress
 */
async function install(fetchInto, target, onProgress) {
  await mkdir(dirname(target), { recursive: true })
  const dir = await mkdtemp(join(dirname(target), 'fetch-'))
  try {
    const ready = join(dir, 'ready')
    await copyFile(await fetchInto(dir, onProgress), ready)
    await chmod(ready, 0o755)
    const problem = await binaryProblem(ready)
    if (problem !== null) throw new Error(`what was fetched cannot be used: ${problem}`)
    await rename(ready, target)
    onProgress(`nats-server is ready: ${target}`)
  } finally {
    await rm(dir, { recursive: true, force: true })
  }
}

/**
 * @param {string} dir
 * @param {(line: string) => void} onProgress
 * @returns {Promise<string>} path of the unpacked binary
 */
async function officialRelease(dir, onProgress) {
  const arch = { x64: 'amd64', arm64: 'arm64' }[/** @type {string} */ (process.arch)] ?? process.arch
  const sha256 = RELEASE_SHA256[`${process.platform}-${arch}`]
  if (sha256 === undefined) throw new Error(`official release: no pinned archive for ${process.platform}-${arch}`)
  const name = `nats-server-v${RELEASE}-${process.platform}-${arch}`
  const url = `https://github.com/nats-io/nats-server/releases/download/v${RELEASE}/${name}.tar.gz`
  onProgress(`fetching nats-server ${RELEASE}, the official release: ${url}`)
  try {
    const bytes = await download(url)
    const actual = createHash('sha256').update(bytes).digest('hex')
    if (actual !== sha256) throw new Error(`SHA-256 is ${actual}, expected ${sha256}`)
    await writeFile(join(dir, 'archive.tar.gz'), bytes)
    await run('tar', ['-xzf', 'archive.tar.gz'], { cwd: dir })
    return join(dir, name, 'nats-server')
  } catch (error) {
    const { message, cause } = /** @type {Error & { cause?: { message?: string } }} */ (error)
    throw new Error(`official release: ${message}${cause?.message ? ` (${cause.message})` : ''}`)
  }
}

/** @param {string} url */
async function download(url) {
  const connecting = new AbortController()
  const timer = setTimeout(() => connecting.abort(new Error('no answer')), CONNECT_TIMEOUT_MS)
  const signal = AbortSignal.any([connecting.signal, AbortSignal.timeout(DOWNLOAD_TIMEOUT_MS)])
  try {
    const response = await fetch(url, { signal })
    clearTimeout(timer)
    if (!response.ok) throw new Error(`HTTP status ${response.status}`)
    return Buffer.from(await response.arrayBuffer())
  } finally {
    clearTimeout(timer)
  }
}

/**
 * @param {string} dir
 * @param {(line: string) => void} onProgress
 * @returns {Promise<string>} path of the unpacked binary
 */
async function debianPackage(dir, onProgress) {
  onProgress(
    `fetching nats-server, Debian's package of ${DEBIAN_SUITE}, through this machine's own mirror (no root needed)`,
  )
  try {
    const files = await fetchDebianPackage({ name: 'nats-server', suite: DEBIAN_SUITE, into: dir })
    const found = ['usr/sbin/nats-server', 'usr/bin/nats-server'].map((path) => join(files, path)).find(existsSync)
    if (found === undefined) throw new Error('the package holds no nats-server')
    return found
  } catch (error) {
    throw new Error(`Debian ${DEBIAN_SUITE}: ${/** @type {Error} */ (error).message}`)
  }
}

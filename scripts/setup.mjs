#!/usr/bin/env node
// @ts-check
// Makes a fresh clone runnable, from Node 20 and with nothing installed; runs before `npm start`, `npm test` and the like.
// P1: it says what it does before it does it, and nothing when there is nothing to do.
// P2: it is never the process that goes on to run the project: a shell remembers the old node (hence pre-scripts).
// P3: a failure names the step to take by hand, and is not zero.
// No dependencies: it runs before there are any.

import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { copyFile, mkdir, readdir, readlink, rename, rm, symlink } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { delimiter, dirname, join, relative } from 'node:path'
import { fetchDebianPackage } from '../log/debian-package.mjs'
import { locateNatsServer, PROJECT_DIR } from '../log/find-nats-server.mjs'
import { installReason } from './dependencies.mjs'

/** Older ones do not run TypeScript without a warning. */
const NODE_OLDEST = [24, 12]
const BIN_DIR = join(PROJECT_DIR, 'node_modules', '.bin')
/** Where state/rocksdb.ts looks for it. */
const LIBATOMIC = join(PROJECT_DIR, '.holdfast', 'lib', 'libatomic.so.1')

class SetupError extends Error {
  /**
   * @param {string} what
   * @param {string} byHand
   */
  constructor(what, byHand) {
    super(`${what}\n  By hand: ${byHand}`)
  }
}

/** @param {string} line */
function say(line) {
  console.log(`setup: ${line}`)
}

function installDependencies() {
  const reason = installReason(PROJECT_DIR)
  if (reason === null) return
  say(`installing npm dependencies (${reason}); the first time this takes half a minute`)
  // No install script is needed; the engines of some packages name a newer Node than the one that runs npm here.
  const args = ['ci', '--ignore-scripts', '--loglevel=error', '--engine-strict=false', '--no-audit', '--no-fund']
  // Not our own .bin/node: npm is about to delete it.
  const searchPath = (process.env.PATH ?? '').split(delimiter).filter((dir) => dir !== BIN_DIR)
  const npm = spawnSync('npm', [...args, '--include=dev', '--include=optional'], {
    cwd: PROJECT_DIR,
    stdio: 'inherit',
    shell: process.platform === 'win32',
    env: { ...process.env, PATH: searchPath.join(delimiter), ONNXRUNTIME_NODE_INSTALL: 'skip' },
  })
  if (npm.status === 0) return
  throw new SetupError('npm could not install the dependencies', `npm ${args.join(' ')}   (is the registry reachable?)`)
}

/**
 * The Node that runs the project: on Linux the one that came as a package, elsewhere the machine's own.
 * npm 10 makes no link for it when the packages of two platforms offer one, so this does.
 * @returns {Promise<string>}
 */
async function localNode() {
  const require = createRequire(join(PROJECT_DIR, 'package.json'))
  const name = `node-${process.platform}-${process.arch}`
  let brought = ''
  try {
    brought = join(dirname(require.resolve(`${name}/package.json`)), 'bin', 'node')
  } catch {
    assertNodeIsNewEnough(process.execPath, name)
    return process.execPath
  }
  await link(brought, join(BIN_DIR, 'node'))
  assertNodeIsNewEnough(brought, name)
  return brought
}

/**
 * @param {string} node
 * @param {string} packageName
 */
function assertNodeIsNewEnough(node, packageName) {
  const version = spawnSync(node, ['--version'], { encoding: 'utf8' }).stdout ?? ''
  const [major = 0, minor = 0] = version.replace('v', '').split('.').map(Number)
  const [oldestMajor = 0, oldestMinor = 0] = NODE_OLDEST
  if (major > oldestMajor || (major === oldestMajor && minor >= oldestMinor)) return
  const found = version.trim() || 'none that runs'
  throw new SetupError(
    `Node ${NODE_OLDEST.join('.')} or newer is needed, found ${found} (the package ${packageName} would bring one)`,
    'install Node 24 from https://nodejs.org and run this again',
  )
}

/**
 * A relative link, put in place by one rename; untouched when it is right already.
 * @param {string} target
 * @param {string} path
 */
async function link(target, path) {
  const wanted = relative(dirname(path), target)
  if ((await readlink(path).catch(() => '')) === wanted) return
  say(`linking ${relative(PROJECT_DIR, path)} to ${wanted}`)
  const draft = `${path}.${process.pid}`
  await rm(draft, { force: true })
  await symlink(wanted, draft)
  await rename(draft, path)
}

/**
 * null when RocksDB loads in this Node, else the loader's complaint: the innermost error of what Node prints.
 * @param {string} node
 */
function rocksdbProblem(node) {
  const module = join(PROJECT_DIR, 'state', 'rocksdb.ts')
  const load = spawnSync(node, ['-e', `import(${JSON.stringify(module)})`], { encoding: 'utf8' })
  if (load.status === 0) return null
  return [...load.stderr.matchAll(/Error: (.*)/g)].at(-1)?.[1] ?? 'no reason given'
}

/** @param {string} node */
async function makeRocksdbLoad(node) {
  const problem = rocksdbProblem(node)
  if (problem === null) return
  const byHand = 'apt-get install libatomic1 (or your system’s package of libatomic), then run this again'
  if (!problem.includes('libatomic')) throw new SetupError(`RocksDB does not load: ${problem}`, byHand)
  say("fetching libatomic, which RocksDB needs, from this machine's own mirror (no root needed)")
  try {
    await fetchLibatomic()
  } catch (error) {
    throw new SetupError(`libatomic.so.1 is missing: ${/** @type {Error} */ (error).message}`, byHand)
  }
  const still = rocksdbProblem(node)
  if (still !== null) throw new SetupError(`RocksDB does not load: ${still}`, byHand)
}

async function fetchLibatomic() {
  const files = await fetchDebianPackage({ name: 'libatomic1', into: dirname(LIBATOMIC) })
  try {
    const libraries = await readdir(files, { recursive: true })
    const library = libraries.find((path) => path.endsWith('/libatomic.so.1'))
    if (library === undefined) throw new Error('the package holds no libatomic.so.1')
    await copyFile(join(files, library), `${LIBATOMIC}.${process.pid}`)
    await rename(`${LIBATOMIC}.${process.pid}`, LIBATOMIC)
  } finally {
    await rm(dirname(files), { recursive: true, force: true })
  }
}

async function setup() {
  await mkdir(join(PROJECT_DIR, '.holdfast'), { recursive: true })
  installDependencies()
  const node = await localNode()
  if (existsSync(BIN_DIR)) await link(join(PROJECT_DIR, 'cli', 'bin.mjs'), join(BIN_DIR, 'holdfast'))
  await makeRocksdbLoad(node)
  await locateNatsServer({ onProgress: say })
}

setup().catch((error) => {
  console.error(`setup failed: ${error.message}`)
  process.exitCode = 1
})

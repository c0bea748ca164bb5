// @ts-check
// Fetches one Debian package without root and without touching the machine's apt: its own lists, caches and source line, but
// the machine's own configured mirror, proxy and credentials. Signatures are checked as apt always does.
// Plain JavaScript without dependencies: scripts/setup.mjs runs it before anything is installed.

import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'

const run = promisify(execFile)

/** Milliseconds for one apt command; an index of `main` is 10 MB. */
const APT_TIMEOUT_MS = 180_000
const KEYRINGS = [
  '/usr/share/keyrings/debian-archive-keyring.pgp',
  '/usr/share/keyrings/debian-archive-keyring.gpg',
  '/usr/share/keyrings/ubuntu-archive-keyring.gpg',
]
/** Names under which a source line may mean the machine's own release. */
const DEBIAN_ALIASES = ['stable', 'oldstable', 'oldoldstable', 'testing', 'unstable', 'sid']

/**
 * The mirror and suite that this machine installs from, out of what `apt-get update --print-uris` prints (which reads both
 * formats of source lists and needs no lists).
 * @param {string} printedUris
 * @param {string} codename of the machine's release, such as `bookworm`
 * @returns {{ mirror: string, suite: string } | null}
 */
export function mirrorOf(printedUris, codename) {
  const releases = [...printedUris.matchAll(/^'(\S+?)\/dists\/([^/'\s]+)\/InRelease'/gm)]
  const found =
    releases.find((m) => m[2] === codename) ??
    releases.find((m) => DEBIAN_ALIASES.includes(/** @type {string} */ (m[2])))
  return found ? { mirror: /** @type {string} */ (found[1]), suite: /** @type {string} */ (found[2]) } : null
}

/** @returns {Promise<{ id: string, codename: string }>} */
async function release() {
  const text = await readFile('/etc/os-release', 'utf8').catch(() => '')
  /** @param {string} name */
  const field = (name) => new RegExp(`^${name}="?([^"\\n]*)"?$`, 'm').exec(text)?.[1] ?? ''
  return { id: field('ID'), codename: field('VERSION_CODENAME') }
}

/**
 * @param {string} work
 * @param {{ mirror: string, suite: string }} source
 * @returns {Promise<string>} path of a configuration that leads apt to `work` and nowhere else
 */
async function privateApt(work, source) {
  const keyring = KEYRINGS.find((path) => existsSync(path))
  if (keyring === undefined) throw new Error('no Debian archive keyring in /usr/share/keyrings')
  const architecture = (await run('dpkg', ['--print-architecture'])).stdout.trim()
  for (const dir of ['state/lists/partial', 'cache/archives/partial', 'empty.d']) {
    await mkdir(join(work, dir), { recursive: true })
  }
  await writeFile(join(work, 'state/status'), '')
  await writeFile(
    join(work, 'sources.list'),
    `deb [signed-by=${keyring} arch=${architecture} target=Packages] ${source.mirror} ${source.suite} main\n`,
  )
  // -c is read after the machine's own files, so their hooks can be cleared; their proxy and credentials stay.
  const settings = [
    `Dir::State "${work}/state";`,
    `Dir::State::status "${work}/state/status";`,
    `Dir::State::Lists "${work}/state/lists";`,
    `Dir::Cache "${work}/cache";`,
    `Dir::Etc::sourcelist "${work}/sources.list";`,
    `Dir::Etc::sourceparts "${work}/empty.d";`,
    'Dir::Etc::preferences "/dev/null";',
    `Dir::Etc::preferencesparts "${work}/empty.d";`,
    // An unreachable mirror is an error and not a warning.
    'APT::Update::Error-Mode "any";',
    'APT::Sandbox::User "root";',
    // The index of a testing suite is valid for a week; a lagging mirror would silently serve something older.
    'Acquire::Check-Valid-Until "false";',
    'Acquire::Languages "none";',
    'Acquire::http::Timeout "20";',
    'Acquire::https::Timeout "20";',
    '#clear APT::Update::Post-Invoke;',
    '#clear APT::Update::Post-Invoke-Success;',
    '#clear DPkg::Post-Invoke;',
  ]
  await writeFile(join(work, 'apt.conf'), `${settings.join('\n')}\n`)
  return join(work, 'apt.conf')
}

/**
 * Fetches and unpacks a package into a new folder below `into`, which the caller removes.
 * @param {{ name: string, suite?: string, into: string }} options suite: a newer Debian suite (Debian only); default the
 *   machine's own
 * @returns {Promise<string>} the folder with the package's files
 * @throws {Error} with one line that says why it cannot be had here
 */
export async function fetchDebianPackage({ name, suite, into }) {
  const os = await release()
  if (suite !== undefined && os.id !== 'debian') throw new Error(`this is not Debian but ${os.id || process.platform}`)
  await mkdir(into, { recursive: true })
  const work = await mkdtemp(join(into, 'unpack-'))
  try {
    const uris = await run('apt-get', ['update', '--print-uris'], { timeout: APT_TIMEOUT_MS, maxBuffer: 1 << 24 })
    const own = mirrorOf(uris.stdout, os.codename)
    if (own === null) throw new Error('apt has no source line for this release')
    const conf = await privateApt(work, { mirror: own.mirror, suite: suite ?? own.suite })
    const options = { cwd: work, timeout: APT_TIMEOUT_MS, env: { ...process.env, LC_ALL: 'C' } }
    await run('apt-get', ['-c', conf, '-q', 'update'], options)
    await run('apt-get', ['-c', conf, '-q', 'download', name], options)
    const deb = (await readdir(work)).find((file) => file.endsWith('.deb'))
    if (deb === undefined) throw new Error(`apt downloaded no ${name}`)
    await run('dpkg-deb', ['-x', deb, 'files'], options)
    await rm(join(work, 'state'), { recursive: true })
    return join(work, 'files')
  } catch (error) {
    await rm(work, { recursive: true, force: true })
    throw new Error(oneLine(error))
  }
}

/** @param {unknown} error */
function oneLine(error) {
  const failure = /** @type {{ code?: unknown, path?: string, stderr?: string, message?: string }} */ (error)
  if (failure.code === 'ENOENT' && failure.path) return `there is no ${failure.path} on this machine`
  const complaint = /^E: (.*)$/m.exec(failure.stderr ?? '')?.[1]
  return complaint ?? String(failure.message).split('\n')[0] ?? 'unknown failure'
}

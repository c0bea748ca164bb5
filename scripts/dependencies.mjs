// @ts-check
// Whether node_modules holds what package-lock.json asks for, read from npm's own record of what it installed.
// Installing is in scripts/setup.mjs.

import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

/** @typedef {{ version?: string, resolved?: string, integrity?: string, optional?: boolean, link?: boolean }} LockEntry */

/**
 * null when everything locked is installed, else the first thing that is not.
 * @param {Record<string, LockEntry>} locked `packages` of package-lock.json
 * @param {Record<string, LockEntry>} installed `packages` of node_modules/.package-lock.json
 * @returns {string | null}
 */
export function missingDependency(locked, installed) {
  for (const [path, entry] of Object.entries(locked)) {
    if (path === '') continue
    const there = installed[path]
    // Optional ones are the builds for other platforms; npm leaves them out.
    if (there === undefined && entry.optional) continue
    if (there === undefined || there.version !== entry.version || there.integrity !== entry.integrity) {
      return path.replace(/^.*node_modules\//, '')
    }
  }
  return null
}

/**
 * @param {string} projectDir
 * @returns {string | null} why dependencies must be installed; null if they need not be
 */
export function installReason(projectDir) {
  const record = join(projectDir, 'node_modules', '.package-lock.json')
  if (!existsSync(record)) return 'they are not installed yet'
  const missing = missingDependency(packagesOf(join(projectDir, 'package-lock.json')), packagesOf(record))
  return missing === null ? null : `${missing} is not the one in package-lock.json`
}

/**
 * @param {string} file
 * @returns {Record<string, LockEntry>}
 */
function packagesOf(file) {
  return JSON.parse(readFileSync(file, 'utf8')).packages
}

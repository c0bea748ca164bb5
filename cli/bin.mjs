#!/usr/bin/env node
// @ts-check
// The `holdfast` command: runs cli/main.ts, whose top level does the work, on a Node that reads TypeScript, with the flags
// that the engine wants. It hands over to another process for that, to the Node that came as a package where the shell's is older: same terminal, same exit code, signals passed on.

import { spawn } from 'node:child_process'
import { createRequire } from 'node:module'
import { constants } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { NODE_ENVIRONMENT, NODE_FLAGS } from './node-flags.mjs'

const MAIN = new URL('./main.ts', import.meta.url)
/** The first Node that runs TypeScript without a warning. */
const NODE_OLDEST = [24, 12]
/** By convention: 128 + number of the signal that ended it. */
const SIGNALLED = 128

function isNewEnough() {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number)
  const [oldestMajor = 0, oldestMinor = 0] = NODE_OLDEST
  return major > oldestMajor || (major === oldestMajor && minor >= oldestMinor)
}

/** @returns {string | null} */
function packagedNode() {
  try {
    const name = `node-${process.platform}-${process.arch}/package.json`
    return join(dirname(createRequire(import.meta.url).resolve(name)), 'bin', 'node')
  } catch {
    return null
  }
}

/** @param {string} node */
function handOver(node) {
  const child = spawn(node, [...NODE_FLAGS, fileURLToPath(MAIN), ...process.argv.slice(2)], {
    stdio: 'inherit',
    env: { ...NODE_ENVIRONMENT, ...process.env },
  })
  for (const signal of /** @type {const} */ (['SIGTERM', 'SIGHUP', 'SIGINT', 'SIGQUIT'])) {
    process.on(signal, () => {
      // A key pressed in a terminal reaches the child by itself; passed on, it would arrive twice.
      const fromTerminal = (signal === 'SIGINT' || signal === 'SIGQUIT') && process.stdin.isTTY
      if (!fromTerminal) child.kill(signal)
    })
  }
  child.on('error', fail)
  child.on('exit', (code, signal) => {
    process.exitCode = signal === null ? (code ?? 1) : SIGNALLED + constants.signals[signal]
  })
}

/** @param {Error} error */
function fail(error) {
  console.error(`holdfast: ${error.message}`)
  process.exitCode = 1
}

const hasFlags = NODE_FLAGS.every((flag) => process.execArgv.includes(flag))
const node = isNewEnough() ? process.execPath : packagedNode()
if (isNewEnough() && hasFlags) await import(MAIN.href)
else if (node !== null) handOver(node)
else
  fail(
    new Error(`Node ${NODE_OLDEST.join('.')} or newer is needed: run \`npm run setup\` in the project, or install it`),
  )

// The one module that loads RocksDB (npm alias `rocksdb` of rocksdb-native) and re-exports its class.
// Its library needs libatomic.so.1, which slim images lack. Where it is missing, a copy that scripts/setup.mjs placed
// beside the project (or HOLDFAST_LIBATOMIC) is loaded into the process first; the loader then finds it by its name.

import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { constants } from 'node:os'
import { fileURLToPath } from 'node:url'
import type RocksDBClass from 'rocksdb'

const require = createRequire(import.meta.url)
/** glibc's flag that lets libraries loaded later see this one's symbols; Node has no constant for it on every platform. */
const RTLD_GLOBAL = 0x100
/** glibc's flag that keeps the library loaded although process.dlopen fails on what is no add-on. */
const RTLD_NODELETE = 0x1000

function libatomicCandidates(): string[] {
  const beside = fileURLToPath(new URL('../.holdfast/lib/libatomic.so.1', import.meta.url))
  return [process.env.HOLDFAST_LIBATOMIC, beside].filter((path) => path !== undefined && existsSync(path)) as string[]
}

/** Loads a shared library that is not an add-on: the call always throws, the library stays loaded. */
function preload(path: string): void {
  try {
    process.dlopen({ exports: {} }, path, constants.dlopen.RTLD_NOW | RTLD_GLOBAL | RTLD_NODELETE)
  } catch {
    // "Module did not self-register": expected. Whether it helped is seen when rocksdb is loaded again.
  }
}

function load(): typeof RocksDBClass {
  try {
    return require('rocksdb')
  } catch (cause) {
    if (!(cause instanceof Error) || !cause.message.includes('libatomic')) throw cause
    for (const path of libatomicCandidates()) preload(path)
    try {
      return require('rocksdb')
    } catch {
      throw new Error('RocksDB needs libatomic.so.1: run `npm run setup`, or `apt-get install libatomic1`', { cause })
    }
  }
}

export const RocksDB = load()
export type RocksDB = RocksDBClass

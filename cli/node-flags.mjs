// @ts-check
// How Node is started for the engine. A young generation of 32 MiB: what a few thousand events leave behind dies in it instead
// of being copied on; with the default of 16 MiB a tenth of the main thread's time goes there (docs/decisions/0004).
// No dependencies: bin.mjs runs before there are any.

import { fileURLToPath } from 'node:url'

/** Flags of the process that runs tasks. */
export const NODE_FLAGS = ['--min-semi-space-size=32', '--max-semi-space-size=32']

/** Where compiled code is kept: a start is a quarter shorter, also that of a thread. */
const COMPILE_CACHE = fileURLToPath(new URL('../.holdfast/compile-cache', import.meta.url))

/**
 * Environment of that process, where the user's does not say otherwise. glibc gives blocks from this size on back to the
 * system when they are freed; without the number its limit grows, and memory tables of RocksDB stay for ever.
 */
export const NODE_ENVIRONMENT = { NODE_COMPILE_CACHE: COMPILE_CACHE, MALLOC_MMAP_THRESHOLD_: '131072' }

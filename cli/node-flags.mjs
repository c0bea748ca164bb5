// @ts-check
// How Node is started for the engine. A young generation of 64 MiB: what a few thousand events leave behind dies in it instead
// of being copied on; with the default of 16 MiB a tenth of the main thread's time goes there (docs/decisions/0004).
// No dependencies: bin.mjs runs before there are any.

import { fileURLToPath } from 'node:url'

/** Flags of the process that runs tasks. */
export const NODE_FLAGS = ['--min-semi-space-size=64', '--max-semi-space-size=64']

/** Where compiled code is kept, for NODE_COMPILE_CACHE: a start is a quarter shorter, also that of a thread. */
export const COMPILE_CACHE = fileURLToPath(new URL('../.holdfast/compile-cache', import.meta.url))

// Every *.test.ts runs on real parts (nats-server, RocksDB), in processes of its own; the long kill suites are programs of
// their own (npm run test:kill).

import { availableParallelism } from 'node:os'
import { defineConfig } from 'vitest/config'
import LongestFirst from './test/sequencer.ts'

export default defineConfig({
  test: {
    include: ['**/*.test.ts'],
    exclude: ['**/node_modules/**', '.holdfast/**', 'dist/**', 'out/**', 'test/bugs/**'],
    pool: 'forks',
    // Vitest leaves a core to itself, so that two cores would run one file at a time; it needs none, and a file waits for servers and
    // processes a good part of its time.
    maxWorkers: Math.max(2, availableParallelism() - 1),
    sequence: { sequencer: LongestFirst },
    // A loaded machine with two cores, on which another file runs beside, starts servers slowly; a test that hangs still ends.
    testTimeout: 120_000,
    hookTimeout: 120_000,
    teardownTimeout: 20_000,
    // Where nobody can look again: what fails once is tried once more, and named in the closing lines. Elsewhere it fails at once.
    retry: process.env.CI === 'true' ? 1 : 0,
    // Through Node's own type stripping, as in production: what strips here runs there.
    experimental: { viteModuleRunner: false },
    reporters: ['default', './test/reporter.ts'],
  },
})

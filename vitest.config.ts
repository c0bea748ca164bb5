// Every *.test.ts runs on real parts (nats-server, RocksDB), in processes of its own; the long kill suites are programs of
// their own (npm run test:kill).

import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['**/*.test.ts'],
    exclude: ['**/node_modules/**', '.holdfast/**', 'dist/**', 'out/**', 'test/bugs/**'],
    pool: 'forks',
    // A loaded machine with two cores starts servers slowly; a test that hangs still ends.
    testTimeout: 60_000,
    hookTimeout: 60_000,
    teardownTimeout: 20_000,
    // Through Node's own type stripping, as in production: what strips here runs there.
    experimental: { viteModuleRunner: false },
    reporters: ['default', './test/reporter.ts'],
  },
})

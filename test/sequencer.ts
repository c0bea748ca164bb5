// The order in which test files are begun: those that take longest first, so that no core is idle at the end while one of them
// is still under way. Vitest knows durations only where it ran before; on a clean clone it goes by the size of a file, which
// says little of tests that start processes.
// SE1: every file runs, once; those that are not named here in the order that vitest gives them.

import { BaseSequencer, type TestSpecification } from 'vitest/node'

/** Over ten seconds each on two idle cores, the longest first. */
export const LONGEST = [
  'test/kill/kill.test.ts',
  'test/e2e/broker.test.ts',
  'test/docs.test.ts',
  'test/e2e/results.test.ts',
  'test/e2e/bad-input.test.ts',
  'test/e2e/interruption.test.ts',
  'bench/bench.test.ts',
  'test/e2e/changed-features.test.ts',
  'test/simulation/bugs.test.ts',
  'test/e2e/start.test.ts',
  'test/e2e/joiner.test.ts',
  'test/e2e/capacity.test.ts',
  'test/simulation/simulation.test.ts',
  'test/e2e/attribution-query.test.ts',
  'test/e2e/changed-vectors.test.ts',
  'log/nats-log.test.ts',
  'test/e2e/front-door.test.ts',
  'test/browser/purchase.test.ts',
  'test/browser/dashboard.test.ts',
  'cli/query-command.test.ts',
  'test/e2e/bulk.test.ts',
] as const

export default class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    return longestFirst(await super.sort(files), ({ moduleId }) => moduleId)
  }
}

/** `pathOf` ends with the path from the project's root. */
export function longestFirst<T>(files: readonly T[], pathOf: (file: T) => string): T[] {
  const rankOf = (file: T): number => {
    const at = LONGEST.findIndex((path) => pathOf(file).endsWith(`/${path}`))
    return at < 0 ? LONGEST.length : at
  }
  return files.toSorted((a, b) => rankOf(a) - rankOf(b))
}

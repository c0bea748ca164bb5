// Prints "N passed, N failed" alone on the closing line of a test run, for people and machines in a hurry; before it the names of what
// failed, and of what passed at a second try only, with what went wrong at the first: of random programs the seed is known then.
// A file that cannot be loaded and an error outside every test count as one failure each.

import type { Reporter, TestCase, TestModule } from 'vitest/node'

export default class ClosingLine implements Reporter {
  onTestRunEnd(modules: readonly TestModule[], unhandledErrors: readonly unknown[]): void {
    let passed = 0
    let failed = unhandledErrors.length
    const notable: string[] = []
    for (const module of modules) {
      failed += module.errors().length
      if (module.errors().length > 0) notable.push(`failed: ${module.relativeModuleId}`)
      for (const test of module.children.allTests()) {
        const { state } = test.result()
        if (state === 'passed') passed++
        if (state === 'failed') failed++
        if (state === 'failed') notable.push(`failed: ${nameOf(test)}`)
        else if (wasRepeated(test)) notable.push(`passed at the second try: ${nameOf(test)}`, ...firstWords(test))
      }
    }
    // At exit, so that it comes after what other reporters print.
    process.once('exit', () => process.stdout.write(`${[...notable, closingLine(passed, failed)].join('\n')}\n`))
  }
}

const nameOf = (test: TestCase): string => `${test.module.relativeModuleId} > ${test.fullName}`
const wasRepeated = (test: TestCase): boolean => (test.diagnostic()?.retryCount ?? 0) > 0

/** Enough for the counterexample of a random program. */
const WORDS_MAX = 4_000

/** What went wrong at tries that failed, indented. */
function firstWords(test: TestCase): string[] {
  const errors = test.result().errors ?? []
  return errors.map(({ message }) => `  ${message.slice(0, WORDS_MAX).replaceAll('\n', '\n  ')}`)
}

export function closingLine(passed: number, failed: number): string {
  return `${passed} passed, ${failed} failed`
}

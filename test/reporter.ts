// Prints "N passed, N failed" alone on the closing line of a test run, for people and machines in a hurry.
// A file that cannot be loaded and an error outside every test count as one failure each.

import type { Reporter, TestModule } from 'vitest/node'

export default class ClosingLine implements Reporter {
  onTestRunEnd(modules: readonly TestModule[], unhandledErrors: readonly unknown[]): void {
    let passed = 0
    let failed = unhandledErrors.length
    for (const module of modules) {
      failed += module.errors().length
      for (const test of module.children.allTests()) {
        const { state } = test.result()
        if (state === 'passed') passed++
        if (state === 'failed') failed++
      }
    }
    // At exit, so that it comes after what other reporters print.
    process.once('exit', () => process.stdout.write(`${closingLine(passed, failed)}\n`))
  }
}

export function closingLine(passed: number, failed: number): string {
  return `${passed} passed, ${failed} failed`
}

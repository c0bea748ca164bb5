// The oracle imports nothing but Node and itself: what it says about the project cannot come from the project.

import { readFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { expect, test } from 'vitest'

const HERE = import.meta.dirname

/** What a module imports, of whatever form: from '...', import '...', import('...'), require('...'). */
function importsOf(source: string): string[] {
  return [...source.matchAll(/(?:\bfrom|\bimport|\bimport\s*\(|\brequire\s*\()\s*(['"`])(.*?)\1/g)].map(
    (found) => found[2]!,
  )
}

function filesUsedBy(entry: string, seen = new Set<string>()): Set<string> {
  if (seen.has(entry)) return seen
  seen.add(entry)
  for (const name of importsOf(readFileSync(entry, 'utf8'))) {
    if (name.startsWith('./')) filesUsedBy(resolve(dirname(entry), name), seen)
  }
  return seen
}

const files = [...filesUsedBy(join(HERE, 'features.ts'))]

test('the oracle is made of its own files', () => {
  expect(files.map((file) => file.slice(HERE.length + 1)).sort()).toEqual([
    'application-features.ts',
    'attribution-settings.ts',
    'compare.ts',
    'credit-rules.ts',
    'features.ts',
    'goals.ts',
    'join.ts',
    'judge.ts',
    'label-rows.ts',
    'oracle.ts',
    'read-lines.ts',
    'recompute.ts',
    'records.ts',
  ])
})

test.each(files)('%s imports only Node and files beside it', (file) => {
  const source = readFileSync(file, 'utf8')
  for (const name of importsOf(source)) expect(name).toMatch(/^(node:[a-z/]+|\.\/[a-z-]+\.ts)$/)
  // No import that the search above would not see: a computed name, a worker, a child, a module made on the way.
  expect(source).not.toMatch(/import\s*\((?!\s*['"])|createRequire|worker_threads|child_process|node:vm|node:module/)
})

test('the search sees every form of import', () => {
  const source = `import a from 'a'; import 'b'; export * from "c"; await import('d'); require('e'); import type { F } from 'f'`
  expect(importsOf(source)).toEqual(['a', 'b', 'c', 'd', 'e', 'f'])
})

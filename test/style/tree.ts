// The sources of the project as text, for the checks of style in this folder.

import { globSync, readFileSync } from 'node:fs'
import { dirname, join, normalize } from 'node:path'

export const PROJECT_DIR = join(import.meta.dirname, '..', '..')

/** Path from the project's root, with `/`, to text. */
export type Tree = ReadonlyMap<string, string>

const NOT_OURS = ['node_modules', '.holdfast', '.git', 'dist', 'out', 'coverage']

export function projectTree(): Tree {
  const paths = globSync('**/*.{ts,mjs}', {
    cwd: PROJECT_DIR,
    exclude: (path) => NOT_OURS.includes(path.split('/').at(-1)!),
  })
  return new Map(paths.sort().map((path) => [path, readFileSync(join(PROJECT_DIR, path), 'utf8')]))
}

export interface Import {
  readonly from: string
  /** A path from the root for relative imports, else the name of a package. */
  readonly to: string
  readonly isPackage: boolean
}

/** Every import, re-export, dynamic import, and file named by `new URL(..., import.meta.url)` (worker threads). */
export function importsOf(tree: Tree): Import[] {
  const specifier =
    /(?:^|\n)\s*(?:import|export)\b[^'"`;]*?from\s*['"]([^'"]+)['"]|(?:^|\n)import\s*['"]([^'"]+)['"]|\bimport\(\s*['"]([^'"]+)['"]|new URL\(\s*['"]([^'"]+)['"],\s*import\.meta\.url/g
  return [...tree].flatMap(([from, text]) =>
    [...text.matchAll(specifier)].map((match) => {
      const name = (match[1] ?? match[2] ?? match[3] ?? match[4])!
      const isPackage = !name.startsWith('.')
      return { from, to: isPackage ? name : normalize(join(dirname(from), name)), isPackage }
    }),
  )
}

export function isTest(path: string): boolean {
  return path.endsWith('.test.ts') || path.startsWith('test/') || path.startsWith('bench/')
}

/** The lines of a file that are code: comments become empty lines, so that numbers stay. */
export function codeLines(text: string): string[] {
  let inBlock = false
  return text.split('\n').map((line) => {
    const trimmed = line.trim()
    if (inBlock || trimmed.startsWith('/*')) {
      inBlock = !trimmed.includes('*/')
      return ''
    }
    return trimmed.startsWith('//') ? '' : line.replace(/\s\/\/ .*$/, '')
  })
}

// What must not stay behind: files nobody imports, marks of unfinished work, tests switched off or singled out, and
// functions far too long to be read at once.

import { codeLines, importsOf, type Tree } from './tree.ts'

/** Files that are started, not imported. */
const ENTRY =
  /^(cli\/(main|start|live)\.ts|cli\/bin\.mjs|bench\/main\.ts|test\/kill\/main\.ts|scripts\/[^/]+|[^/]+\.config\.ts|test\/reporter\.ts)$|\.(test|d)\.ts$/
const MARK = /\b(T[O]DO|FIX[M]E|X[X]X|H[A]CK)\b/
const SWITCHED = /\b(it|test|describe|suite|bench)(\.\w+)*\.(only|skip|todo)\b/
const CHAPTER = /^\s*(describe|suite)\b/
export const FUNCTION_LINES_MAX = 120

/** Files that no other file imports or names as a program to start. */
export function unimportedFiles(tree: Tree): string[] {
  const imported = new Set(
    importsOf(tree)
      .filter((edge) => !edge.isPackage && edge.to !== edge.from)
      .map((edge) => edge.to),
  )
  const startedBy = (path: string) =>
    [...tree].some(([other, text]) => other !== path && text.includes(`${path.slice(path.lastIndexOf('/') + 1)}'`))
  return [...tree.keys()].filter((path) => !ENTRY.test(path) && !imported.has(path) && !startedBy(path))
}

/** Marks of unfinished work, and tests that are skipped or run alone. */
export function strayMarks(tree: Tree): string[] {
  return [...tree].flatMap(([path, text]) =>
    text
      .split('\n')
      .flatMap((line, i) => (MARK.test(line) || SWITCHED.test(line) ? [`${path}:${i + 1}: ${line.trim()}`] : [])),
  )
}

/**
 * Functions of more than FUNCTION_LINES_MAX lines. The formatter puts the closing brace under the start of the line that
 * opens the body, so a function's extent is read off the indentation. A `describe`, or the suite that is nothing but one,
 * is a chapter and not a function.
 */
export function longFunctions(tree: Tree): string[] {
  return [...tree].flatMap(([path, text]) => {
    const lines = codeLines(text)
    return lines.flatMap((line, i) => {
      if (!opensFunction(line) || CHAPTER.test(lines[i + 1] ?? '')) return []
      const indent = line.length - line.trimStart().length
      const end = lines.findIndex((other, j) => j > i && other.startsWith(`${' '.repeat(indent)}}`))
      const length = end - i - 1
      return length > FUNCTION_LINES_MAX ? [`${path}:${i + 1}: ${length} lines`] : []
    })
  })
}

function opensFunction(line: string): boolean {
  const start = line.trim()
  if (!start.endsWith('{') || CHAPTER.test(start)) return false
  if (/^(\} )?(if|for|while|switch|else|try|catch|do|return)\b/.test(start)) return /=> \{$|\bfunction\b/.test(start)
  return /=> \{$|\bfunction\b|\)(: .*)? \{$/.test(start)
}

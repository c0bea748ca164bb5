// Oracle, step 4: the files that `holdfast run` must have written, and what is different in those that it wrote.
// Imports nothing of the project.
//
// 1. A line file has no difference exactly if its bytes are the expected ones: canonical lines, sorted by bytes, LF each.
// 2. Of summary.json the fields that need no attribution are compared, by value and type; its other fields are not read.

import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { byUtf8, type Expected } from './recompute.ts'

const SUMMARY = 'summary.json'
const EXCERPT_CHARS = 160

/** Writes the expected files into a directory, as `holdfast run --out` would. */
export function writeExpected(expected: Expected, dir: string): void {
  mkdirSync(dir, { recursive: true })
  writeFileSync(join(dir, SUMMARY), `${canonical({ ...expected.summary })}\n`)
  for (const [name, lines] of lineFiles(expected)) writeFileSync(join(dir, name), textOf(lines))
}

/** One text per difference between the expected files and those in the directory; none if they are equal. */
export function compare(expected: Expected, dir: string): string[] {
  return [
    ...compareSummary({ ...expected.summary }, join(dir, SUMMARY)),
    ...lineFiles(expected).flatMap(([name, lines]) => compareLines(name, lines, join(dir, name))),
  ]
}

function lineFiles(expected: Expected): [name: string, lines: string[]][] {
  return [
    ['features.ndjson', sortedLines(expected.features)],
    ['dead_letters.ndjson', sortedLines(expected.deadLetters)],
  ]
}

function sortedLines(rows: readonly object[]): string[] {
  return rows.map((row) => canonical({ ...row })).sort(byUtf8)
}

/** Canonical JSON of a flat object: keys sorted, no spaces. */
function canonical(row: { [name: string]: unknown }): string {
  return JSON.stringify(row, Object.keys(row).sort())
}

function textOf(lines: readonly string[]): string {
  return lines.map((line) => `${line}\n`).join('')
}

function compareSummary(expected: { [name: string]: unknown }, path: string): string[] {
  if (!existsSync(path)) return [`${SUMMARY}: the file is missing`]
  const found = parseObject(readFileSync(path, 'utf8'))
  if (found === null) return [`${SUMMARY}: not one JSON object`]
  return Object.entries(expected)
    .filter(([name, value]) => found[name] !== value)
    .map(([name, value]) => `${SUMMARY} ${name}: ${expectedFound(JSON.stringify(value), JSON.stringify(found[name]))}`)
}

function parseObject(text: string): { [name: string]: unknown } | null {
  try {
    const value = JSON.parse(text)
    return typeof value === 'object' && !Array.isArray(value) ? value : null
  } catch {
    return null
  }
}

function compareLines(name: string, expected: readonly string[], path: string): string[] {
  if (!existsSync(path)) return [`${name}: the file is missing`]
  const bytes = readFileSync(path)
  if (bytes.equals(Buffer.from(textOf(expected)))) return []
  const found = bytes.toString('utf8').split('\n')
  const tail = found.pop()
  if (tail !== '') return [`${name}: the last line does not end with LF: ${excerpt(tail ?? '', 0)}`]
  const differences = pairUp(name, missingFrom(expected, found), missingFrom(found, expected))
  if (differences.length > 0) return differences
  const at = expected.findIndex((line, index) => line !== found[index])
  if (at < 0) return [`${name}: the lines are equal as text, not as bytes: it is not UTF-8`]
  return [`${name} line ${at + 1}, not sorted by bytes: ${expectedFound(expected[at], found[at])}`]
}

/** The lines of `whole` that `part` lacks, a line that it has too few times as often as it lacks it. */
function missingFrom(whole: readonly string[], part: readonly string[]): string[] {
  const left = new Map<string, number>()
  for (const line of part) left.set(line, (left.get(line) ?? 0) + 1)
  return whole.filter((line) => {
    const count = left.get(line) ?? 0
    left.set(line, count - 1)
    return count <= 0
  })
}

/** Lines that are missing beside lines that are too many: in sorted files a changed line is mostly beside its original. */
function pairUp(name: string, missing: readonly string[], extra: readonly string[]): string[] {
  return Array.from({ length: Math.max(missing.length, extra.length) }, (_, index) => {
    return `${name}: ${expectedFound(missing[index], extra[index])}`
  })
}

function expectedFound(expected: string | undefined, found: string | undefined): string {
  const at = firstDifference(expected ?? '', found ?? '')
  const show = (text: string | undefined) => (text === undefined ? 'nothing' : excerpt(text, at))
  return `expected ${show(expected)}, found ${show(found)}`
}

function firstDifference(a: string, b: string): number {
  let at = 0
  while (at < a.length && a[at] === b[at]) at++
  return at
}

/** A text short enough to print, with the place that matters inside. */
function excerpt(text: string, at: number): string {
  if (text.length <= EXCERPT_CHARS) return text
  const start = Math.max(0, Math.min(at, text.length) - EXCERPT_CHARS / 2)
  return `${start > 0 ? '…' : ''}${text.slice(start, start + EXCERPT_CHARS)}… (${text.length} characters)`
}

// Oracle, step 4: the files that `holdfast run` must have written, and what is different in those that it wrote.
// Imports nothing of the project.
//
// 1. A line file has no difference exactly if its bytes are the expected ones: canonical lines, sorted by bytes, LF each. Only
//    credits of time_decay may be another double, as near as CREDIT_ERROR_MAX: the contract does not say in which order they are summed.
// 2. Of summary.json the fields that are expected are compared, by value and type; its other fields are not read.
// 3. A line is held as a text with a character for each byte: so it compares as its bytes do, and is not copied to be compared.

import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { lanesOf } from './goals.ts'
import type { AttributionRow } from './join.ts'
import { type LabelRow, labelRows, rowId } from './label-rows.ts'
import type { Attributed, Expected } from './recompute.ts'

const SUMMARY = 'summary.json'
const ATTRIBUTIONS = 'attributions.ndjson'
const EXCERPT_CHARS = 160
/** Lines of a piece that is compared, or written, at once: no text becomes longer than V8 allows. */
const PIECE_LINES = 10_000
/** A credit is at most 1; doubles that were computed in another order differ by some 1e-16 of it. */
const CREDIT_ERROR_MAX = 1e-12

/** Writes the expected files into a directory, as `holdfast run --out` would. */
export function writeExpected(expected: Expected, dir: string): void {
  mkdirSync(dir, { recursive: true })
  writeFileSync(join(dir, SUMMARY), `${stableJson(expected.summary)}\n`)
  for (const [name, lines] of lineFiles(expected)) writeFileSync(join(dir, name), Buffer.concat([...pieces(lines)]))
}

/** One text per difference between the expected files and those in the directory; none if they are equal. */
export function compare(expected: Expected, dir: string): string[] {
  return [
    ...compareSummary({ ...expected.summary }, join(dir, SUMMARY)),
    ...lineFiles(expected).flatMap(([name, lines]) => compareLines(name, lines, join(dir, name))),
  ]
}

type LineFile = readonly [name: string, lines: readonly string[]]

/** Made once: a run is compared with several directories. */
const made = new WeakMap<Expected, readonly LineFile[]>()

function lineFiles(expected: Expected): readonly LineFile[] {
  const { features, deadLetters, attributed, summary } = expected
  const files: readonly LineFile[] = made.get(expected) ?? [
    ['features.ndjson', sortedLines(features)],
    ['dead_letters.ndjson', sortedLines(deadLetters)],
    ...(attributed === null ? [] : joinerFiles(attributed, summary.as_of)),
  ]
  made.set(expected, files)
  return files
}

function joinerFiles(attributed: Attributed, asOfMs: number | null): LineFile[] {
  const { settings, attributions, touches } = attributed
  const lanes = lanesOf(settings).map(({ goal, window }) => ({
    window: settings.windows[window]!.name,
    ...(settings.goals.length === 0 ? {} : { goal: goal.name }),
  }))
  const labels = function* (): Generator<object> {
    for (const row of labelRows(touches, settings, asOfMs))
      yield { row_id: rowId(row, settings), ...labelFields(row), ...lanes[row.lane] }
  }
  return [
    [ATTRIBUTIONS, sortedLines(attributions.map((row) => ({ ...attributionFields(row), ...lanes[row.lane] })))],
    ['labels.ndjson', sortedLines(labels())],
  ]
}

function attributionFields({ event, user, model, touch, credit, valueMicro, revision }: AttributionRow): object {
  return {
    conversion_id: event.eventId,
    user_id: user,
    advertiser_id: event.advertiserId,
    conversion_time: event.eventTimeMs,
    model,
    touch_id: touch?.event.eventId ?? null,
    touch_type: touch?.kind ?? null,
    touch_time: touch?.timeMs ?? null,
    credit,
    value: Number(valueMicro) / 1e6,
    ...(revision === 0 ? {} : { revision }),
  }
}

function labelFields({ touch, kind, y, count, valueMicro, isComplete }: LabelRow): object {
  return {
    touch_id: touch.event.eventId,
    user_id: touch.user,
    touch_time: touch.timeMs,
    kind,
    y,
    count,
    value: Number(valueMicro) / 1e6,
    complete: isComplete,
  }
}

function sortedLines(rows: Iterable<object>): string[] {
  const lines: string[] = []
  for (const row of rows) lines.push(asBytes(canonical({ ...row })))
  return lines.sort()
}

/** Canonical JSON of a flat object: keys sorted, no spaces. */
function canonical(row: { [name: string]: unknown }): string {
  return JSON.stringify(row, Object.keys(row).sort())
}

/** The same of an object in objects. */
function stableJson(value: unknown): string {
  return JSON.stringify(value, (_, inner) =>
    typeof inner === 'object' && inner !== null && !Array.isArray(inner)
      ? Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : 1)))
      : inner,
  )
}

/** Invariant 3, and back. */
const asBytes = (text: string): string => (/[^\0-\x7f]/.test(text) ? Buffer.from(text).toString('latin1') : text)
const asText = (bytes: string): string => Buffer.from(bytes, 'latin1').toString('utf8')

function* pieces(lines: readonly string[]): Generator<Buffer> {
  for (let at = 0; at < lines.length; at += PIECE_LINES)
    yield Buffer.from(`${lines.slice(at, at + PIECE_LINES).join('\n')}\n`, 'latin1')
}

function compareSummary(expected: { [name: string]: unknown }, path: string): string[] {
  if (!existsSync(path)) return [`${SUMMARY}: the file is missing`]
  const found = parseObject(readFileSync(path, 'utf8'))
  if (found === null) return [`${SUMMARY}: not one JSON object`]
  return differencesIn(expected, found).map(
    ([name, is, should]) => `${SUMMARY} ${name}: ${expectedFound(JSON.stringify(should), JSON.stringify(is))}`,
  )
}

/** What is another value; objects inside have exactly the names that are expected. */
function differencesIn(
  expected: { [name: string]: unknown },
  found: { [name: string]: unknown },
): [name: string, is: unknown, should: unknown][] {
  return Object.entries(expected).flatMap(([name, should]): [string, unknown, unknown][] => {
    const is = found[name]
    if (typeof should !== 'object' || should === null) return is === should ? [] : [[name, is, should]]
    if (typeof is !== 'object' || is === null || Array.isArray(is)) return [[name, is, should]]
    const more = Object.keys(is).filter((inner) => !Object.hasOwn(should, inner))
    const inside = [
      ...differencesIn(should as { [name: string]: unknown }, is as { [name: string]: unknown }),
      ...more.map((inner): [string, unknown, unknown] => [
        inner,
        (is as { [name: string]: unknown })[inner],
        undefined,
      ]),
    ]
    return inside.map(([inner, ...values]) => [`${name}.${inner}`, ...values])
  })
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
  if (isMadeOf(bytes, expected)) return []
  const lines = linesOf(bytes)
  const tail = lines.pop()
  if (tail !== '') return [`${name}: the last line does not end with LF: ${excerpt(asText(tail ?? ''), 0)}`]
  const found = name === ATTRIBUTIONS ? withNearCredits(lines, expected) : lines
  const differences = pairUp(name, missingFrom(expected, found), missingFrom(found, expected))
  if (differences.length > 0) return differences
  const at = lines.findIndex((line, index) => index > 0 && line < lines[index - 1]!)
  return at < 0 ? [] : [`${name} line ${at + 1}, not sorted by bytes: ${excerpt(asText(lines[at]!), 0)}`]
}

function isMadeOf(bytes: Buffer, lines: readonly string[]): boolean {
  let at = 0
  for (const piece of pieces(lines)) {
    if (!piece.equals(bytes.subarray(at, at + piece.length))) return false
    at += piece.length
  }
  return at === bytes.length
}

/** What stands between line ends, the rest behind the last one included. */
function linesOf(bytes: Buffer): string[] {
  const lines: string[] = []
  let start = 0
  for (let lf = bytes.indexOf('\n'); lf >= 0; lf = bytes.indexOf('\n', start)) {
    lines.push(bytes.toString('latin1', start, lf))
    start = lf + 1
  }
  return [...lines, bytes.toString('latin1', start)]
}

/** The lines that were found; one of time_decay whose credit is as near as it may be (invariant 1) as the expected one. */
function withNearCredits(found: readonly string[], expected: readonly string[]): string[] {
  const credits = new Map<string, { line: string; credit: number }>()
  for (const line of expected) {
    const decay = decayOf(line)
    if (decay !== null) credits.set(decay.about, { line, credit: decay.credit })
  }
  return found.map((line) => {
    const decay = decayOf(line)
    const near = decay === null ? undefined : credits.get(decay.about)
    return near !== undefined && Math.abs(near.credit - decay!.credit) <= CREDIT_ERROR_MAX ? near.line : line
  })
}

const DECAY = /^(.*"credit":)([\d.e-]+)(,.*"model":"time_decay".*)$/

/** A line of time_decay without its credit, and that; null: it is none. */
function decayOf(line: string): { about: string; credit: number } | null {
  const [, before, credit, after] = DECAY.exec(line) ?? []
  return before === undefined ? null : { about: `${before}${after}`, credit: Number(credit) }
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
  const text = (line: string | undefined) => (line === undefined ? undefined : asText(line))
  return Array.from({ length: Math.max(missing.length, extra.length) }, (_, index) => {
    return `${name}: ${expectedFound(text(missing[index]), text(extra[index]))}`
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

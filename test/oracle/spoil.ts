// Spoiled outputs: each takes a directory with the right files and makes one thing wrong, which the oracle must find.
//
// 1. Each names the one file that it spoils. It needs at least ten features and ten dead letters to work on.
// 2. Some keep every sum right (read = accepted + ..., the total of the counts): only a comparison by line finds them.

import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

export interface Spoil {
  readonly name: string
  readonly file: string
  readonly spoil: (dir: string) => void
}

type Row = { [name: string]: unknown }

const SUMMARY = 'summary.json'
export const FEATURES = 'features.ndjson'
const DEAD = 'dead_letters.ndjson'

function text(file: string, name: string, edit: (text: string) => string): Spoil {
  return {
    name: `${file}: ${name}`,
    file,
    spoil: (dir) => writeFileSync(join(dir, file), edit(readFileSync(join(dir, file), 'utf8'))),
  }
}

function lines(file: string, name: string, edit: (lines: string[]) => string[]): Spoil {
  return text(file, name, (whole) => textOf(edit(whole.split('\n').slice(0, -1))))
}

const textOf = (all: readonly string[]): string => all.map((line) => `${line}\n`).join('')
/** The text of a file of lines, which come in any order. */
export const sortedText = (all: readonly string[]): string => textOf(all.toSorted(byBytes))

/** Changes the fields of one row of a sorted file and sorts it again: no order gives the change away. */
function row(file: string, name: string, change: (row: Row) => Row): Spoil {
  return lines(file, name, ([first, second, ...others]) => [first!, rewrite(second!, change), ...others].sort(byBytes))
}

export function summary(name: string, change: (row: Row) => Row): Spoil {
  return text(SUMMARY, name, (whole) => `${rewrite(whole, change)}\n`)
}

export function rewrite(line: string, change: (row: Row) => Row): string {
  return stableText(change(JSON.parse(line)))
}

/** JSON with the names of all objects in it in order. */
function stableText(value: unknown): string {
  return JSON.stringify(value, (_, inner) =>
    typeof inner === 'object' && inner !== null && !Array.isArray(inner)
      ? Object.fromEntries(Object.entries(inner).sort())
      : inner,
  )
}

function byBytes(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b))
}

const plus = (value: unknown, change: number) => (value as number) + change
const withoutField = (name: string) => (whole: Row) =>
  Object.fromEntries(Object.entries(whole).filter(([field]) => field !== name))

/** Swaps what a field says between the first row and the first one that says something else, there and in the rest. */
function swapped(file: string, field: string): Spoil {
  return lines(file, `${field} swapped between two lines`, (all) => {
    const rows: Row[] = all.map((line) => JSON.parse(line))
    const rest = (whole: Row) => JSON.stringify(withoutField(field)(whole))
    const differs = (whole: Row) => whole[field] !== rows[0]![field] && rest(whole) !== rest(rows[0]!)
    const other = rows.findIndex(differs)
    const values = [rows[0]![field], rows[other]![field]]
    return all
      .map((line, index) => {
        if (index === 0) return rewrite(line, (whole) => ({ ...whole, [field]: values[1] }))
        if (index === other) return rewrite(line, (whole) => ({ ...whole, [field]: values[0] }))
        return line
      })
      .sort(byBytes)
  })
}

/** What can be wrong with any file of sorted lines: ten lines or more. */
export function anyLines(file: string): Spoil[] {
  return [
    lines(file, 'first line missing', (all) => all.slice(1)),
    lines(file, 'last line missing', (all) => all.slice(0, -1)),
    lines(file, 'a line in the middle missing', (all) => all.toSpliced(all.length >> 1, 1)),
    lines(file, 'a line doubled', (all) => all.toSpliced(4, 0, all[4]!)),
    lines(file, 'one line missing, its neighbour doubled', (all) => all.with(4, all[5]!)),
    lines(file, 'two neighbours in the wrong order', (all) => all.with(4, all[5]!).with(5, all[4]!)),
    lines(file, 'order turned round', (all) => all.toReversed()),
    lines(file, 'an empty line at the end', (all) => [...all, '']),
    lines(file, 'a space in a line', (all) => all.with(3, all[3]!.replace(',', ', '))),
    lines(file, 'fields of a line in another order', (all) =>
      all.with(3, JSON.stringify(Object.fromEntries(Object.entries(JSON.parse(all[3]!)).reverse()))),
    ),
    lines(file, 'a field added', (all) => all.with(3, all[3]!.replace(/}$/, ',"z":1}'))),
    text(file, 'no LF at the end', (whole) => whole.slice(0, -1)),
    text(file, 'CRLF', (whole) => whole.replaceAll('\n', '\r\n')),
    text(file, 'byte order mark', (whole) => `\ufeff${whole}`),
    text(file, 'trailing garbage', (whole) => `${whole}garbage`),
    text(file, 'trailing NUL', (whole) => `${whole}\0`),
    text(file, 'cut off in the middle of a line', (whole) => whole.slice(0, whole.length - 7)),
    text(file, 'empty', () => ''),
    { name: `${file}: no file`, file, spoil: (dir) => rmSync(join(dir, file)) },
  ]
}

/** Every spoiled output, in a fixed order. */
export const SPOILS: readonly Spoil[] = [
  ...['read', 'accepted', 'duplicates', 'dead_letters', 'late', 'as_of'].flatMap((name) => [
    summary(`${name} one more`, (all) => ({ ...all, [name]: plus(all[name], 1) })),
    summary(`${name} one less`, (all) => ({ ...all, [name]: plus(all[name], -1) })),
    summary(`${name} as a string`, (all) => ({ ...all, [name]: String(all[name]) })),
    summary(`${name} null`, (all) => ({ ...all, [name]: null })),
    summary(`${name} left out`, withoutField(name)),
  ]),
  summary('one duplicate taken for accepted', (all) => ({
    ...all,
    accepted: plus(all.accepted, 1),
    duplicates: plus(all.duplicates, -1),
  })),
  text(SUMMARY, 'trailing garbage', (whole) => `${whole}{}`),
  text(SUMMARY, 'in an array', (whole) => `[${whole}]`),
  text(SUMMARY, 'null', () => 'null'),
  text(SUMMARY, 'empty', () => ''),
  { name: `${SUMMARY}: no file`, file: SUMMARY, spoil: (dir) => rmSync(join(dir, SUMMARY)) },

  ...anyLines(FEATURES),
  row(FEATURES, 'a count one more', (all) => ({ ...all, value: plus(all.value, 1) })),
  row(FEATURES, 'a count one less', (all) => ({ ...all, value: plus(all.value, -1) })),
  row(FEATURES, 'a count as a string', (all) => ({ ...all, value: String(all.value) })),
  row(FEATURES, 'a key without its last character', (all) => ({ ...all, key: String(all.key).slice(0, -1) })),
  row(FEATURES, 'a key with a space', (all) => ({ ...all, key: `${all.key} ` })),
  row(FEATURES, 'another entity', (all) => ({ ...all, entity: all.entity === 'page' ? 'user' : 'page' })),
  row(FEATURES, 'another feature', (all) => ({ ...all, feature: 'page_views_2h' })),
  swapped(FEATURES, 'value'),
  swapped(FEATURES, 'key'),
  lines(FEATURES, 'a zero value kept', (all) =>
    [...all, '{"entity":"page","feature":"page_views_1h","key":"/nobody","value":0}'].sort(byBytes),
  ),
  lines(FEATURES, 'a page added', (all) =>
    [...all, '{"entity":"page","feature":"page_views_1h","key":"/new","value":1}'].sort(byBytes),
  ),
  lines(FEATURES, 'sorted by UTF-16 units', (all) => all.toSorted()),
  text(FEATURES, 'characters as escapes', (whole) =>
    whole.replace(/[^\0-\x7f]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`),
  ),
  {
    name: `${FEATURES}: Latin-1`,
    file: FEATURES,
    spoil: (dir) => writeFileSync(join(dir, FEATURES), readFileSync(join(dir, FEATURES), 'utf8'), 'latin1'),
  },

  ...anyLines(DEAD),
  row(DEAD, 'another code', (all) => ({ ...all, code: 'EVENT_TIME_FUTURE' })),
  row(DEAD, 'another field', (all) => ({ ...all, field: 'device' })),
  row(DEAD, 'field an empty string', (all) => ({ ...all, field: '' })),
  row(DEAD, 'field left out', withoutField('field')),
  row(DEAD, 'raw without its last bytes', (all) => ({ ...all, raw: String(all.raw).slice(0, -4) })),
  row(DEAD, 'raw with the line end', (all) => ({
    ...all,
    raw: Buffer.concat([Buffer.from(String(all.raw), 'base64'), Buffer.from('\n')]).toString('base64'),
  })),
  row(DEAD, 'raw not in base64', (all) => ({ ...all, raw: Buffer.from(String(all.raw), 'base64').toString() })),
  row(DEAD, 'line one more', (all) => ({ ...all, line: plus(all.line, 1) })),
  row(DEAD, 'line as a string', (all) => ({ ...all, line: String(all.line) })),
  swapped(DEAD, 'line'),
  swapped(DEAD, 'raw'),
  swapped(DEAD, 'field'),
  swapped(DEAD, 'code'),
]

// Spoiled attributions and labels: each takes a directory with the right files and makes one thing wrong, which the oracle must find. What can
// be wrong with any file of lines is in spoil.ts.

import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { anyLines, rewrite, type Spoil, sortedText, summary } from './spoil.ts'

const ATTRIBUTIONS = 'attributions.ndjson'
const LABELS = 'labels.ndjson'
const MILLIONTH = 1e-6

// biome-ignore lint/suspicious/noExplicitAny: rows of two files; a spoil knows which
type Row = any

/** Edits the lines of the first row that it can be done with; `change` says null where it cannot. */
function row(file: string, name: string, change: (row: Row, all: readonly Row[]) => readonly Row[] | null): Spoil {
  const spoil = (dir: string): void => {
    const path = join(dir, file)
    const lines = readFileSync(path, 'utf8').split('\n').slice(0, -1)
    const rows: Row[] = lines.map((line) => JSON.parse(line))
    for (const [at, row] of rows.entries()) {
      const changed = change(row, rows)
      if (changed === null) continue
      const spoiled = changed.map((row) => rewrite(JSON.stringify(row), (all) => all))
      writeFileSync(path, sortedText(lines.toSpliced(at, 1, ...spoiled)))
      return
    }
    throw new Error(`no line of ${file} can be spoiled so: ${name}`)
  }
  return { name: `${file}: ${name}`, file, spoil }
}

type Where = (row: Row) => boolean
const always: Where = () => true
const ofKind =
  (...kinds: string[]): Where =>
  ({ kind }) =>
    kinds.includes(kind)
const credited: Where = ({ touch_id }) => touch_id !== null

const changed = (file: string, name: string, where: Where, change: (row: Row) => object): Spoil =>
  row(file, name, (row) => (where(row) ? [{ ...row, ...change(row) }] : null))
const lost = (file: string, name: string, where: Where): Spoil => row(file, name, (row) => (where(row) ? [] : null))
const doubled = (file: string, name: string, where: Where): Spoil =>
  row(file, name, (row) => (where(row) ? [row, row] : null))

const isRevision: Where = ({ revision }) => revision !== undefined
const isFirst: Where = (row) => !isRevision(row)
const isSaidOf = (a: Row, b: Row): boolean =>
  ['conversion_id', 'user_id', 'window'].every((name) => a[name] === b[name]) &&
  [a.model, b.model].every((model) => model === 'last_touch')

const isOf =
  (model: string, where: Where = credited): Where =>
  (row) =>
    row.model === model && where(row)

const ATTRIBUTION_SPOILS: readonly Spoil[] = [
  row(ATTRIBUTIONS, 'another touch of the same person', (row, all) => {
    const other = all.find(
      (other) => credited(other) && credited(row) && other.user_id === row.user_id && other.touch_id !== row.touch_id,
    )
    if (other === undefined) return null
    return [{ ...row, touch_id: other.touch_id, touch_type: other.touch_type, touch_time: other.touch_time }]
  }),
  changed(
    ATTRIBUTIONS,
    'a window one millisecond longer',
    (row) => row.touch_id === null && row.window === '1d_click',
    ({ conversion_time }) => ({
      ...{ touch_id: 't', touch_type: 'click', touch_time: conversion_time - 86_400_001, credit: 1 },
    }),
  ),
  changed(ATTRIBUTIONS, 'a touch of another kind', credited, ({ touch_type }) => ({
    touch_type: touch_type === 'click' ? 'impression' : 'click',
  })),
  changed(ATTRIBUTIONS, 'a touch a millisecond later', credited, ({ touch_time }) => ({ touch_time: touch_time + 1 })),
  changed(ATTRIBUTIONS, 'another window', credited, ({ window }) => ({
    window: window === '7d_click' ? '28d_click' : '7d_click',
  })),
  changed(ATTRIBUTIONS, 'another model', isOf('linear'), () => ({ model: 'position' })),
  changed(
    ATTRIBUTIONS,
    'credit of another model',
    (row) => row.model === 'time_decay' && row.credit < 1,
    () => ({ credit: 1 }),
  ),
  changed(ATTRIBUTIONS, 'credit a little more', isOf('time_decay'), ({ credit }) => ({ credit: credit + 1e-9 })),
  changed(
    ATTRIBUTIONS,
    'credit that is no double of it',
    isOf('linear', (row) => row.credit < 1),
    ({ credit }) => ({
      credit: credit + Number.EPSILON,
    }),
  ),
  changed(ATTRIBUTIONS, 'credit as a text', credited, ({ credit }) => ({ credit: String(credit) })),
  changed(
    ATTRIBUTIONS,
    'credit taken from nobody',
    (row) => row.touch_id === null,
    () => ({ credit: 1 }),
  ),
  changed(
    ATTRIBUTIONS,
    'the share of the value instead of the whole',
    (row) => credited(row) && row.value > 0,
    (row) => ({
      value: row.value / 2,
    }),
  ),
  changed(ATTRIBUTIONS, 'value a millionth more', always, ({ value }) => ({ value: value + MILLIONTH })),
  changed(ATTRIBUTIONS, 'the user of before the resolution', credited, ({ user_id }) => ({ user_id: `${user_id}'` })),
  changed(ATTRIBUTIONS, 'another advertiser', always, ({ advertiser_id }) => ({ advertiser_id: `${advertiser_id}'` })),
  changed(ATTRIBUTIONS, 'another conversion', always, ({ conversion_id }) => ({ conversion_id: `${conversion_id}'` })),
  changed(ATTRIBUTIONS, 'a conversion a millisecond later', always, (row) => ({
    conversion_time: row.conversion_time + 1,
  })),
  changed(ATTRIBUTIONS, 'a goal where none is declared', always, () => ({ goal: '' })),
  lost(ATTRIBUTIONS, 'a revision lost', isRevision),
  doubled(ATTRIBUTIONS, 'a revision twice', isRevision),
  changed(ATTRIBUTIONS, 'a revision with the number of the next', isRevision, ({ revision }) => ({
    revision: revision + 1,
  })),
  changed(ATTRIBUTIONS, 'a revision that does not say so', isRevision, () => ({ revision: undefined })),
  changed(ATTRIBUTIONS, 'the number 0 of what is no revision', isFirst, () => ({ revision: 0 })),
  changed(ATTRIBUTIONS, 'a first attribution that says it is a revision', isFirst, () => ({ revision: 1 })),
  row(ATTRIBUTIONS, 'a revision that credits whom the first attribution did', (row, all) => {
    const first = all.find((other) => isFirst(other) && isSaidOf(other, row) && other.touch_id !== row.touch_id)
    if (!isRevision(row) || first === undefined) return null
    return [{ ...first, revision: row.revision }]
  }),
  row(ATTRIBUTIONS, 'a first attribution that credits whom the revision does', (row, all) => {
    const anew = all.find((other) => isRevision(other) && isSaidOf(other, row) && other.touch_id !== row.touch_id)
    if (!isFirst(row) || anew === undefined) return null
    return [{ ...anew, revision: undefined }]
  }),
  lost(ATTRIBUTIONS, 'a credited line lost', credited),
  lost(ATTRIBUTIONS, 'an unattributed line lost', (row) => row.touch_id === null),
  doubled(ATTRIBUTIONS, 'a credited line twice', credited),
  doubled(ATTRIBUTIONS, 'an unattributed line twice', (row) => row.touch_id === null),
]

const LABEL_SPOILS: readonly Spoil[] = [
  ...['O', 'D', 'M', 'C', 'R'].flatMap((kind) => [
    lost(LABELS, `${kind} lost`, ofKind(kind)),
    doubled(LABELS, `${kind} twice`, ofKind(kind)),
    changed(LABELS, `value of ${kind} a millionth more`, ofKind(kind), ({ value }) => ({ value: value + MILLIONTH })),
    changed(LABELS, `count of ${kind} one more`, ofKind(kind), ({ count }) => ({ count: count + 1 })),
    changed(LABELS, `y of ${kind} the other one`, ofKind(kind), ({ y }) => ({ y: 1 - y })),
    changed(LABELS, `complete of ${kind} the other one`, ofKind(kind), ({ complete }) => ({ complete: !complete })),
    changed(LABELS, `row_id of ${kind} another one`, ofKind(kind), ({ row_id }) => ({
      row_id: row_id.replace(/.$/, (digit: string) => (digit === '0' ? '1' : '0')),
    })),
  ]),
  changed(LABELS, 'M where C should be', ofKind('C'), () => ({ kind: 'M' })),
  changed(LABELS, 'C where M should be', ofKind('M'), () => ({ kind: 'C' })),
  changed(LABELS, 'D where O should be', ofKind('O'), () => ({ kind: 'D' })),
  changed(
    LABELS,
    'a refund that is whole instead of partial',
    (row) => row.kind === 'R' && row.count === 0,
    () => ({ count: -1 }),
  ),
  changed(
    LABELS,
    'a refund with the sign of a credit',
    (row) => row.kind === 'R' && row.value < 0,
    ({ value }) => ({ value: -value }),
  ),
  changed(
    LABELS,
    'a positive taken for a negative',
    (row) => row.kind === 'M' && row.y === 1,
    () => ({ y: 0, count: 0, value: 0 }),
  ),
  changed(LABELS, 'another touch', always, ({ touch_id }) => ({ touch_id: `${touch_id}'` })),
  changed(LABELS, 'another user', always, ({ user_id }) => ({ user_id: `${user_id}'` })),
  changed(LABELS, 'a touch a millisecond later', always, ({ touch_time }) => ({ touch_time: touch_time + 1 })),
  changed(LABELS, 'another window', always, ({ window }) => ({
    window: window === '7d_click' ? '1d_click' : '7d_click',
  })),
  changed(LABELS, 'row_id longer', always, ({ row_id }) => ({ row_id: `${row_id}0` })),
]

const inWindow = (field: string, change: (of: Row) => unknown) => (whole: Row) => ({
  ...whole,
  [field]: { ...whole[field], '7d_click': change(whole[field]['7d_click']) },
})
const LABEL_COUNTS = ['M', 'O', 'D', 'C', 'R', 'complete', 'positives']

const SUMMARY_SPOILS: readonly Spoil[] = [
  summary('refund_unmatched one more', (whole) => ({ ...whole, refund_unmatched: Number(whole.refund_unmatched) + 1 })),
  summary('late_touch one more', (whole) => ({ ...whole, late_touch: Number(whole.late_touch) + 1 })),
  summary('late_touch one less', (whole) => ({ ...whole, late_touch: Number(whole.late_touch) - 1 })),
  summary('late_touch of none', (whole) => ({ ...whole, late_touch: 0 })),
  ...['late_touch', 'attributions', 'unattributed', 'labels'].map((name) =>
    summary(`${name} left out`, ({ [name]: _, ...rest }) => rest),
  ),
  ...['attributions', 'unattributed', 'labels'].map((name) =>
    summary(
      `${name} of a window left out`,
      inWindow(name, () => undefined),
    ),
  ),
  ...['attributions', 'unattributed'].map((name) =>
    summary(
      `${name} of a window one more`,
      inWindow(name, (n) => n + 1),
    ),
  ),
  ...LABEL_COUNTS.map((name) =>
    summary(
      `labels ${name} one less`,
      inWindow('labels', (counts) => ({ ...counts, [name]: counts[name] - 1 })),
    ),
  ),
  summary('a window that is not configured', (whole: Row) => ({
    ...whole,
    attributions: { ...whole.attributions, other: 0 },
  })),
]

/** Every spoiled output of the joiner, in a fixed order. */
export const JOINER_SPOILS: readonly Spoil[] = [
  ...anyLines(ATTRIBUTIONS),
  ...anyLines(LABELS),
  ...ATTRIBUTION_SPOILS,
  ...LABEL_SPOILS,
  ...SUMMARY_SPOILS,
]

// What people send that attribution cannot use, or can be misled by: each has one outcome in the files of one run. And what they
// declare that means nothing: refused, before anything is written.

import { existsSync, readFileSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { LabelLine } from '../../sinks/joined-lines.ts'
import { compare, DEFAULTS, readInput, recompute } from '../oracle/oracle.ts'
import { holdfast, workDirectory } from './command.ts'

const MINUTE = 60_000
const HOUR = 60 * MINUTE
const DAY = 24 * HOUR
const T = 1_740_268_800_000
/** Of the longest window by default, and how much longer holds are kept. */
const [LONGEST, PIXEL_DELAY] = [28 * DAY, 7 * DAY]

/** Six times as many millionths as this are not what doubles add up to. */
const [RICH, RICH_COUNT] = [8_999_999_999.000_01, 6]

let work: Awaited<ReturnType<typeof workDirectory>>
const at = (name: string): string => join(work.path, name)

type Fields = Readonly<Record<string, unknown>>
const event = (type: string, id: string, user: string | null, ms: number, more: Fields = {}): string => {
  const ids = { type, event_id: id, user_id: user, event_time: T + ms, advertiser_id: 'shop' }
  return JSON.stringify({ ...ids, campaign_id: 'spring', ad_id: 'shoe', ...more })
}
const click = (id: string, user: string, ms: number, more?: Fields) =>
  event('click', id, user, ms, { click_id: `k-${id}`, ...more })
const view = (id: string, user: string, ms: number, more?: Fields) => event('impression', id, user, ms, more)
const buy = (id: string, user: string | null, ms: number, more?: Fields) =>
  event('conversion', id, user, ms, { value: 10, ...more })
/** Moves the watermark up to a time. */
const clock = (ms: number) => event('consent', `clock-${ms}`, 'clock', ms + 10 * MINUTE + 1)

/** One user, advertiser or order for each case: none touches another. In the order of time, but for what is late. */
const LINES = [
  // A conversion before its click.
  buy('early-buy', 'early', 0),
  click('early-click', 'early', 1),
  // One order twice, and the same order of another advertiser.
  click('twice-click', 'twice', 2),
  buy('twice-1', 'twice', 3, { order_id: 'o' }),
  buy('twice-2', 'twice', 4, { order_id: 'o', value: 99 }),
  buy('twice-3', 'twice', 5, { order_id: 'o', advertiser_id: 'other' }),
  // A click that nobody knows: with a user of its own, and without.
  click('unknown-click', 'unknown', 6),
  buy('unknown-own', 'unknown', 7, { click_id: 'nowhere' }),
  buy('unknown-none', null, 8, { click_id: 'nowhere' }),
  // The click of somebody else: the conversion is theirs.
  click('theirs-click', 'theirs', 9, { click_id: 'passed-on' }),
  buy('theirs-buy', 'mine', 10, { click_id: 'passed-on' }),
  // A click that two had: the conversion stays with whose it is, although the other was first.
  click('shared-1', 'first', 11, { click_id: 'shared' }),
  click('shared-2', 'second', 12, { click_id: 'shared' }),
  buy('shared-buy', 'second', 13, { click_id: 'shared' }),
  // No user, but a known click.
  click('nobody-click', 'somebody', 11),
  buy('nobody-buy', null, 12, { click_id: 'k-nobody-click' }),
  // Neither user nor click.
  buy('refused-buy', null, 13),
  // Two that carry other clicks of one order: the one that is processed first is the sale.
  click('both-1', 'both', 14),
  click('both-2', 'both', 15),
  buy('both-b', 'both', 16, { order_id: 'p', click_id: 'k-both-2' }),
  buy('both-a', 'both', 17, { order_id: 'p', click_id: 'k-both-1' }),
  // One event_id for a click and an impression: two touches. Of one time, the impression is the later one.
  click('same', 'same', 18),
  view('same', 'same', 18),
  buy('same-buy', 'same', 18),
  // An impression may carry a click_id, and is no click for all that.
  view('seen', 'seen', 19, { click_id: 'k-seen' }),
  buy('seen-buy', 'seeing', 20, { click_id: 'k-seen' }),
  // Refunds: whole, in part, of more than there was, of nothing known, of a refund, of an order without value.
  click('back-click', 'back', 21),
  buy('back-buy', 'back', 22, { order_id: 'q', value: 10 }),
  buy('back-1-part', 'back', 23, { refund_of: 'q', value: 4 }),
  buy('back-2-more', 'back', 24, { order_id: 'q', value: -25 }),
  buy('back-3-whole', 'back', 25, { refund_of: 'q', value: 0 }),
  buy('back-4-unknown', 'back', 26, { refund_of: 'never' }),
  buy('back-5-refund', 'back', 27, { refund_of: 'back-1-part' }),
  buy('back-6-both', 'back', 28, { refund_of: 'q', value: -10 }),
  buy('free-buy', 'back', 29, { order_id: 'free', value: null }),
  buy('free-back', 'back', 30, { refund_of: 'free', value: null }),
  buy('nameless-back', 'back', 31, { value: -1 }),
  // Sums above 2^53 millionths, and values below one.
  click('rich-click', 'rich', 32),
  ...Array.from({ length: RICH_COUNT }, (_, i) => buy(`rich-${i}`, 'rich', 33, { value: RICH })),
  click('poor-click', 'poor', 36),
  buy('poor-buy', 'poor', 37, { value: 0.000_000_4 }),
  // Names that look like what keys are made of.
  click('a/b', 'u"\\|é', 38),
  buy('odd-buy', 'u"\\|é', 39),
  // A conversion that comes when its touch's hold has just gone, and one that comes a millisecond before.
  click('old-click', 'old', 40),
  click('older-click', 'older', 40),
  clock(40 + LONGEST + PIXEL_DELAY - 1),
  buy('in-time', 'old', 41),
  clock(40 + LONGEST + PIXEL_DELAY),
  buy('too-late', 'older', 41),
]

interface Attribution {
  readonly conversion_id: string
  readonly user_id: string
  readonly window: string
  readonly touch_id: string | null
  readonly touch_type: string | null
  readonly value: number
}

let attributions: Attribution[]
let labels: LabelLine[]
let summary: Record<string, unknown>

const linesOf = (name: string) =>
  readFileSync(join(at('out'), name), 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line))

beforeAll(async () => {
  work = await workDirectory()
  await writeFile(at('input.ndjson'), `${LINES.join('\n')}\n`)
  const ended = await holdfast([
    'run',
    '--input',
    at('input.ndjson'),
    '--out',
    at('out'),
    '--drain',
    '--partitions',
    '2',
  ])
  expect(ended).toMatchObject({ code: 0 })
  attributions = linesOf('attributions.ndjson')
  labels = linesOf('labels.ndjson')
  summary = JSON.parse(readFileSync(join(at('out'), 'summary.json'), 'utf8'))
})
afterAll(() => work[Symbol.asyncDispose]())

/** `user touch` of a conversion in a window; null: there is no line of it. */
function creditOf(conversion: string, window = '28d_click'): string | null {
  const found = attributions.filter((line) => line.conversion_id === conversion && line.window === window)
  expect(found.length).toBeLessThanOrEqual(1)
  return found.length === 0 ? null : `${found[0]!.user_id} ${found[0]!.touch_id ?? 'nobody'}`
}

/** `kind y count value` of a touch's rows in a window, in the order of their bytes. */
const rowsOf = (touch: string, window = '7d_click'): string[] =>
  labels
    .filter((line) => line.touch_id === touch && line.window === window)
    .map(({ kind, y, count, value }) => `${kind} ${y} ${count} ${value}`)
    .sort()

describe('what attribution makes of it', () => {
  it.each<[string, string, string | null]>([
    ['a conversion before its click', 'early-buy', 'early nobody'],
    ['the first of an order', 'twice-1', 'twice twice-click'],
    ['the second of an order', 'twice-2', null],
    ['the same order of another advertiser', 'twice-3', 'twice nobody'],
    ['an unknown click, with a user', 'unknown-own', 'unknown unknown-click'],
    ['an unknown click, without a user', 'unknown-none', 'click:nowhere nobody'],
    ["another user's click", 'theirs-buy', 'theirs theirs-click'],
    ['a click of its own and of another', 'shared-buy', 'second shared-2'],
    ['no user, but a known click', 'nobody-buy', 'somebody nobody-click'],
    ['no user and no click', 'refused-buy', null],
    ['the first of one order with two clicks', 'both-b', 'both both-2'],
    ['the second of one order with two clicks', 'both-a', null],
    ['the click_id of an impression', 'seen-buy', 'seeing nobody'],
    ['a refund', 'back-1-part', null],
    ['names that look like keys', 'odd-buy', 'u"\\|é a/b'],
    ['a late one whose touch is still held', 'in-time', 'old old-click'],
    ['a late one that is older than every hold', 'too-late', 'older nobody'],
  ])('%s', (_, conversion, credit) => expect(creditOf(conversion)).toBe(credit))

  it('one event_id of a click and of an impression is two touches', () => {
    expect(creditOf('same-buy', '1d_click')).toBe('same same')
    expect(creditOf('same-buy', '1d_view')).toBe('same same')
    expect(rowsOf('same', '7d_click_1d_view')).toEqual(['M 0 0 0', 'M 1 1 10', 'O 0 0 0', 'O 1 1 10'])
    const ids = labels.map(({ row_id }) => row_id)
    expect(new Set(ids).size).toBe(ids.length)
  })

  it('refunds take back what they say, and touch nothing else', () => {
    expect(rowsOf('back-click')).toEqual([
      ...['M 1 2 10', 'O 1 2 10'],
      // In part, above what there was, whole without a value, whole with a value below 0; and of an order without value.
      ...['R 0 -1 -10', 'R 0 -1 -10', 'R 0 -1 -25', 'R 0 -1 0', 'R 0 0 -4'],
    ])
    expect(summary).toMatchObject({ refund_unmatched: 3 })
  })

  it('sums are exact until they are read', () => {
    const micro = Math.floor(RICH * 1e6 + 0.5)
    const value = Number(BigInt(RICH_COUNT) * BigInt(micro)) / 1e6
    expect(Array.from({ length: RICH_COUNT }, () => micro).reduce((sum, one) => sum + one) / 1e6).not.toBe(value)
    expect(rowsOf('rich-click')).toEqual([`M 1 ${RICH_COUNT} ${value}`, `O 1 ${RICH_COUNT} ${value}`])
    expect(rowsOf('poor-click')).toEqual(['M 1 1 0', 'O 1 1 0'])
  })

  it('a late conversion corrects what was said; one that no hold waits for does not', () => {
    expect(rowsOf('old-click')).toEqual(['C 1 1 10', 'D 1 1 10', 'M 0 0 0', 'O 0 0 0'])
    expect(rowsOf('older-click')).toEqual(['M 0 0 0', 'O 0 0 0'])
  })

  it('and the oracle says the same of every line', () => {
    expect(compare(recompute(readInput(at('input.ndjson')), DEFAULTS), at('out'))).toEqual([])
    expect(linesOf('dead_letters.ndjson')).toMatchObject([{ code: 'EVENT_FIELD_MISSING', field: 'user_id' }])
  })
})

describe('what may not be declared', () => {
  it.concurrent.each<[string, object, RegExp]>([
    ['a window of no length', { windows: [{ name: 'w', click: 0 }] }, /windows\[0\]\.click must be a length of time/],
    ['one of negative length', { windows: [{ name: 'w', click: -1 }] }, /windows\[0\]\.click must be a length of time/],
    [
      'shares that do not sum to 1',
      { models: [{ name: 'position', first: 0.4, middle: 0.4, last: 0.4 }] },
      /models\[0\] must have shares first, middle and last that sum to 1/,
    ],
    [
      'a share below 0',
      { models: [{ name: 'position', first: -0.5, middle: 1, last: 0.5 }] },
      /models\[0\]\.first must be a share from 0 to 1/,
    ],
  ])('%s', async (name, attribution, words) => {
    const [file, out] = [at(`${name}.json`), at(`out of ${name}`)]
    await writeFile(file, JSON.stringify({ attribution }))
    const ended = await holdfast(['run', '--input', at('input.ndjson'), '--out', out, '--drain', '--config', file])
    expect([ended.code, ended.stdout, ended.stderr.split('\n').length]).toEqual([2, '', 2])
    expect(ended.stderr).toMatch(words)
    expect(existsSync(out)).toBe(false)
  })
})

// The oracle against answers that were worked out by hand or are given in contract.md section 7.

import { execFile } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { gzipSync } from 'node:zlib'
import { afterAll, describe, expect, test } from 'vitest'
import { NASTY_LINES } from '../generate/nasty-lines.ts'
import { judge } from './judge.ts'
import { ATTRIBUTION, DEFAULTS, type Expected, readInput, recompute, type Settings, writeExpected } from './oracle.ts'
import { readLines } from './read-lines.ts'

const DAY_MS = 86_400_000
const T = 1_740_268_800_000 // a whole minute, and hour
const dir = mkdtempSync(join(tmpdir(), 'holdfast-oracle-'))
afterAll(() => rmSync(dir, { recursive: true }))

interface View {
  readonly id?: string
  readonly at?: number
  readonly user?: string | null
  readonly page?: string
  readonly props?: object
}

function view({ id = 'e', at = 0, user = 'u', page = 'p', props }: View): object {
  return { type: 'page_view', event_id: id, event_time: T + at, user_id: user, page_id: page, props }
}

interface Purchase {
  readonly id: string
  readonly at?: number
  readonly order?: string
  readonly more?: object
}

function purchase({ id, at = 0, order = 'o', more = {} }: Purchase): object {
  const fields = { type: 'conversion', event_id: id, event_time: T + at, user_id: 'u', advertiser_id: 'a' }
  return { ...fields, order_id: order, ...more }
}

function of(events: readonly object[], settings: Partial<Settings> = {}): Expected {
  return recompute(Buffer.from(events.map((event) => `${JSON.stringify(event)}\n`).join('')), {
    ...DEFAULTS,
    ...settings,
  })
}

function counts({ summary: { accepted, duplicates, late } }: Expected): object {
  return { accepted, duplicates, late }
}

function value(expected: Expected, entity: string, key: string): number {
  const row = expected.features.find((feature) => feature.entity === entity && feature.key === key)
  return Number(row?.value ?? 0)
}

describe('lines', () => {
  const linesOf = (text: string) =>
    [...readLines(Buffer.from(text))].map(({ number, bytes }) => [number, bytes.toString()])

  test.each<[string, [number, string][]]>([
    ['', []],
    ['a', [[1, 'a']]],
    ['a\n', [[1, 'a']]],
    [
      'a\nb',
      [
        [1, 'a'],
        [2, 'b'],
      ],
    ],
    [
      'a\r\n\r\n\n \t\r\nb\r\n',
      [
        [1, 'a'],
        [5, 'b'],
      ],
    ],
    ['a\r\r\n', [[1, 'a\r']]],
    ['\r\r\n', [[1, '\r']]],
    ['a\rb\n', [[1, 'a\rb']]],
    ['a\r', [[1, 'a\r']]],
    ['\n\n\na', [[4, 'a']]],
    ['\u00a0\n', [[1, '\u00a0']]],
  ])('%j', (text, lines) => {
    expect(linesOf(text)).toEqual(lines)
  })
})

describe('validation', () => {
  test.each(NASTY_LINES)('$name', ({ bytes, verdict }) => {
    const line = { number: 1, bytes: bytes({ timeMs: T, user: 'u', number: 7 }) }
    const judged = judge(line, 'reject')
    expect('dead' in judged ? [judged.dead.code, judged.dead.field] : null).toEqual(verdict)
  })

  test('a dead letter keeps the bytes of its line', () => {
    const { deadLetters } = recompute(Buffer.from([0x7b, 0xff, 0x0d, 0x0a]))
    expect(deadLetters).toEqual([
      { line: 1, code: 'EVENT_JSON', field: null, raw: Buffer.from([0x7b, 0xff]).toString('base64') },
    ])
  })
})

describe('late', () => {
  const lateAt = (ms: number) => of([view({ id: 'first', at: 0 }), view({ id: 'second', at: ms })]).summary.late

  test('is what is not above W', () => {
    expect(lateAt(-600_000)).toBe(0)
    expect(lateAt(-600_001)).toBe(1)
  })

  test('is measured by the lines before, not by the line itself or by dead letters', () => {
    expect(of([view({ id: 'a', at: -DAY_MS }), view({ id: 'b' })]).summary.late).toBe(0)
    const dead = { ...view({ id: 'd', at: DAY_MS }), page_id: 5 }
    expect(of([view({ id: 'a' }), dead, view({ id: 'b', at: -1 })]).summary.late).toBe(0)
    expect(of([view({ id: 'a' }), view({ id: 'a', at: DAY_MS }), view({ id: 'b', at: 1 })]).summary.late).toBe(1)
  })
})

describe('duplicates', () => {
  const twice = (ms: number) => counts(of([view({ at: 0, page: 'first' }), view({ at: ms, page: 'second' })]))

  test.each([0, 1, 7 * DAY_MS, -1, -7 * DAY_MS])('%d ms apart', (ms) => {
    expect(twice(ms)).toMatchObject({ accepted: 1, duplicates: 1 })
  })

  test.each([7 * DAY_MS + 1, -7 * DAY_MS - 1])('%d ms apart are two', (ms) => {
    expect(twice(ms)).toMatchObject({ accepted: 2, duplicates: 0 })
  })

  test('the chain goes from accepted to accepted', () => {
    const days = [0, 6, 8, 14].map((day) => view({ at: day * DAY_MS }))
    expect(counts(of(days))).toMatchObject({ accepted: 2, duplicates: 2 })
  })

  test('another user or another type is another event', () => {
    const other = { ...view({}), type: 'lead', advertiser_id: 'a' }
    expect(counts(of([view({}), view({ user: 'v' }), other]))).toMatchObject({ accepted: 3 })
  })

  test('the earlier one wins, in whatever order they come; of equal ones the first line', () => {
    const winner = (events: readonly object[]) => of(events).features.find(({ entity }) => entity === 'page')?.key
    expect(winner([view({ at: 1, page: 'x' }), view({ at: 0, page: 'y' })])).toBe('y')
    expect(winner([view({ at: 0, page: 'x' }), view({ at: 0, page: 'y' })])).toBe('x')
  })

  test('what comes late has its turn at W + 1, after what W has passed', () => {
    const events = [view({ at: 0, page: 'x' }), view({ id: 'f', at: 3_600_000 }), view({ at: -1, page: 'y' })]
    expect(value(of(events), 'page', 'x') + value(of(events), 'page', 'y')).toBe(0) // x is out of the hour, y a duplicate
    expect(counts(of(events))).toEqual({ accepted: 2, duplicates: 1, late: 1 })
  })

  test('what comes late is as near as its event time says, backwards too', () => {
    const late = (ms: number) => of([view({}), view({ id: 'f', at: 3_600_000 }), view({ at: ms })]).summary.duplicates
    expect(late(-7 * DAY_MS)).toBe(1)
    expect(late(-7 * DAY_MS - 1)).toBe(0)
  })

  test('expiry matters only where asked, and only for what comes late', () => {
    const events = [view({ at: 0 }), view({ id: 'f', at: 7 * DAY_MS + 700_000 }), view({ at: 0 })]
    expect(counts(of(events))).toMatchObject({ duplicates: 1, late: 1 })
    expect(counts(of(events, { forget: true }))).toMatchObject({ duplicates: 0, late: 1 })
  })
})

describe('orders', () => {
  test.each<[string, object[], number]>([
    ['again', [purchase({ id: '1' }), purchase({ id: '2', at: 90 * DAY_MS })], 1],
    ['again a millisecond later', [purchase({ id: '1' }), purchase({ id: '2', at: 90 * DAY_MS + 1 })], 0],
    ['of another advertiser', [purchase({ id: '1' }), purchase({ id: '2', more: { advertiser_id: 'b' } })], 0],
    ['of another user', [purchase({ id: '1' }), purchase({ id: '2', more: { user_id: 'v' } })], 0],
    ['without order', [purchase({ id: '1' }), purchase({ id: '2', more: { order_id: null } })], 0],
    ['refunded', [purchase({ id: '1' }), purchase({ id: '2', more: { refund_of: 'o' } })], 0],
    ['taken back by its value', [purchase({ id: '1' }), purchase({ id: '2', more: { value: -1 } })], 0],
    ['refunded twice by one event', [1, 2].map(() => purchase({ id: '1', more: { value: -1 } })), 1],
    ['refunded before', [purchase({ id: '1', more: { value: -1 } }), purchase({ id: '2', at: 1 })], 0],
    ['value 0', [purchase({ id: '1', more: { value: 0 } }), purchase({ id: '2', more: { value: -0 } })], 1],
    ['late', [purchase({ id: '1', at: DAY_MS }), purchase({ id: '2', at: 0 })], 1],
    ['by click', [1, 2].map((id) => purchase({ id: `${id}`, more: { user_id: null, click_id: 'k' } })), 1],
    ['by two clicks', [1, 2].map((id) => purchase({ id: `${id}`, more: { user_id: null, click_id: `k${id}` } })), 0],
    ['another type', [purchase({ id: '1' }), purchase({ id: '2', more: { type: 'lead' } })], 0],
  ])('%s', (_, events, duplicates) => {
    expect(of(events).summary.duplicates).toBe(duplicates)
  })

  test('of two at once the lower event_id wins, by UTF-8 bytes', () => {
    const probe = (id: string) => purchase({ id, at: 1, order: 'another' })
    const rivals = [purchase({ id: '😀' }), purchase({ id: '\uffee' })]
    expect(of([...rivals, probe('\uffee')]).summary.duplicates).toBe(2)
    expect(of([...rivals, probe('😀')]).summary.duplicates).toBe(1)
  })
})

describe('the order of what is late', () => {
  // W is 0 when the late purchase comes, so its turn is at 1, beside the other one's.
  const rivals = (lateId: string, otherId: string) => [
    view({ id: 'first', at: 600_001 }),
    purchase({ id: lateId, at: -5_000_000 }),
    purchase({ id: otherId, at: 1 }),
    purchase({ id: lateId, at: 2, order: 'another' }),
  ]

  test('at W + 1 the event_id decides', () => {
    expect(of(rivals('z', 'a')).summary).toMatchObject({ late: 1, duplicates: 1 }) // the late one lost, so its id is free
    expect(of(rivals('a', 'z')).summary).toMatchObject({ late: 1, duplicates: 2 })
  })
})

describe('page views of the last hour', () => {
  const counted = (asOf: number, ms: number) => {
    const events = [view({ id: 'as of', at: asOf, page: 'now' }), view({ id: 'x', at: ms, page: 'x' })]
    return value(of(events), 'page', 'x')
  }

  test.each([
    [0, -59 * 60_000, 1],
    [0, -59 * 60_000 - 1, 0],
    [59_999, -59 * 60_000, 1],
    [59_999, -59 * 60_000 - 1, 0],
    [60_000, -58 * 60_000 - 1, 0],
    [0, 0, 1],
  ])('as_of %d, event at %d: %d', (asOf, ms, expected) => {
    expect(counted(asOf, ms)).toBe(expected)
  })

  test('as_of is the highest accepted: not a duplicate, not a dead letter', () => {
    const dead = { ...view({ id: 'd', at: 9_000_000 }), user_id: null }
    const expected = of([view({}), view({ at: 5_000_000 }), dead])
    expect(expected.summary.as_of).toBe(T)
    expect(value(expected, 'page', 'p')).toBe(1)
  })

  test('views without user count for pages where accepted, and for nobody', () => {
    const events = [view({ user: null }), view({ user: null }), view({ id: 'f', user: 'u' })]
    expect(of(events).summary).toMatchObject({ dead_letters: 2, accepted: 1 })
    const expected = of(events, { anonymous: 'accept' })
    expect(expected.summary).toMatchObject({ dead_letters: 0, accepted: 2, duplicates: 1 })
    expect(value(expected, 'page', 'p')).toBe(2)
    expect(expected.features.filter(({ entity }) => entity === 'user').map(({ key }) => key)).toEqual(['u'])
  })

  test('bots, marked or dropped, are accepted and in no feature', () => {
    const events = [view({ id: 'b', at: 1, props: { bot: true } }), view({}), view({ id: 'f', props: { bot: 1 } })]
    for (const [bots, views] of Object.entries({ count: 3, mark: 2, drop: 2 } as const)) {
      const expected = of(events, { bots: bots as Settings['bots'] })
      expect(expected.summary).toMatchObject({ accepted: 3, as_of: T + 1 })
      expect([value(expected, 'page', 'p'), value(expected, 'user', 'u')]).toEqual([views, views])
    }
  })

  test('an empty file has no as_of', () => {
    expect(of([]).summary).toMatchObject({ read: 0, accepted: 0, duplicates: 0, dead_letters: 0, late: 0, as_of: null })
  })
})

describe('the known answers of contract.md section 7', () => {
  const DATA = join(import.meta.dirname, '../../../shared/data')

  test.runIf(existsSync(DATA))('shop-10d', () => {
    const { summary, features } = recompute(readInput(join(DATA, 'shop-10d.ndjson.gz')))
    expect(summary).toMatchObject({ read: 45_701, accepted: 44_116, dead_letters: 1_585, as_of: 1_741_132_786_705 })
    expect(features.filter(({ entity }) => entity === 'page')).toHaveLength(54)
    expect(features.filter(({ entity }) => entity === 'user')).toHaveLength(117)
  })

  test.runIf(existsSync(DATA))('ad-clicks', () => {
    expect(recompute(readInput(join(DATA, 'ad-clicks.ndjson.gz'))).summary).toMatchObject({ accepted: 60_136 })
  })

  const attributed = (file: string) =>
    recompute(readInput(join(DATA, file)), { ...DEFAULTS, attribution: ATTRIBUTION }).summary

  test.runIf(existsSync(DATA))('shop-10d, attributed', () => {
    const { accepted, attributions, labels = {} } = attributed('shop-10d.ndjson.gz')
    expect(accepted).toBe(44_116)
    expect(Object.values(attributions ?? {})).toEqual([52, 62, 62, 0, 62])
    const clicks = ['1d_click', '7d_click', '28d_click'].map((window) => labels[window])
    expect(clicks).toMatchObject([
      { M: 9_147, complete: 8_417, positives: 51, D: 5 },
      { M: 9_147, complete: 3_047, positives: 58, D: 12 },
      { M: 9_147, complete: 0, positives: 58, D: 12 },
    ])
  })

  test.runIf(existsSync(DATA))('ad-clicks, attributed', () => {
    const { accepted, attributions, labels = {} } = attributed('ad-clicks.ndjson.gz')
    expect(accepted).toBe(60_136)
    for (const [window, complete] of Object.entries({ '1d_click': 26_883, '7d_click': 0, '28d_click': 0 })) {
      expect(attributions?.[window]).toBe(137)
      expect(labels[window]).toMatchObject({ M: 59_999, complete, D: 40 })
    }
  })
})

describe('the command', () => {
  const command = async (...args: string[]) => {
    const run = promisify(execFile)(process.execPath, [join(import.meta.dirname, 'oracle.ts'), ...args])
    const { stdout, stderr, code } = await run.then(
      (done) => ({ ...done, code: 0 }),
      (failed) => failed,
    )
    return { code, lines: `${stdout}${stderr}`.trimEnd().split('\n') }
  }
  const input = join(dir, 'in.ndjson.gz')
  const out = join(dir, 'out')
  const events = Array.from({ length: 30 }, (_, index) => view({ id: `e${index}`, page: `p${index}`, user: null }))
  writeFileSync(input, gzipSync(events.map((event) => `${JSON.stringify(event)}\n`).join('')))

  test('agrees, or prints the first 20 differences', async () => {
    writeExpected(recompute(readInput(input)), out)
    expect(await command('--input', input, '--out', out)).toEqual({ code: 0, lines: ['oracle: 0 differences'] })
    const accepting = await command('--input', input, '--out', out, '--anonymous', 'accept')
    expect(accepting.code).toBe(1)
    expect(accepting.lines).toHaveLength(21)
    expect(accepting.lines[0]).toBe('summary.json accepted: expected 30, found 0')
    expect(accepting.lines.at(-1)).toBe('oracle: 63 differences') // 3 of the summary, 30 pages, 30 dead letters
  })

  test.each([
    [],
    ['--input', input],
    ['--input', join(dir, 'none'), '--out', out],
    ['--input', input, '--out', out, '--anonymous', 'maybe'],
    ['--input', input, '--out', out, '--bots', 'maybe'],
    ['--input', input, '--out', out, '--lateness-ms', '-5'],
    ['--input', input, '--out', out, '--grace-ms', '5'],
  ])('refuses %j %j %j %j %j %j in one line', async (...args) => {
    const { code, lines } = await command(...args.filter((arg) => arg !== undefined))
    expect(code).toBe(2)
    expect(lines).toHaveLength(1)
  })
})

import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { runOperator } from '../test/operator-harness.ts'
import { runOnTaskState } from '../test/operator-on-state.ts'
import { conversionDuplicates } from './conversion-duplicates.ts'
import type { DuplicatesSettings } from './duplicate-rule.ts'
import type { Rec } from './operator.ts'
import type { Conversion, JoinRecord, Touch } from './touch.ts'

const DAY = 24 * 3_600_000
const T = 1_750_000_000_000
const GRACE = 300_000

const NO_ORDER = { orderId: null, clickId: null, valueMicro: null, currency: null }

function conversion(parts: Partial<Conversion> = {}): Conversion {
  const who = { user: 'u', ownUser: 'u', advertiser: 'a' }
  return { kind: 'conversion', type: 'conversion', id: 'e', timeMs: T, ...who, ...NO_ORDER, goals: [''], ...parts }
}

const TOUCH: Touch = {
  ...{ kind: 'touch', type: 'click', id: 'e', timeMs: T, user: 'u', advertiser: 'a', campaign: 'c', ad: 'x' },
  ...{ clickId: null, vector: null },
}

/** On time where no watermark is given; `resolved`: in the place that the click index gives it. */
function rec(
  value: JoinRecord,
  number: number,
  place: { watermark?: number; resolved?: boolean } = {},
): Rec<JoinRecord> {
  const { resolved = false } = place
  const due = resolved ? value.timeMs + GRACE : value.timeMs
  const watermark = place.watermark ?? due - 1
  const late = value.timeMs <= watermark && !resolved
  const at = late ? watermark + 1 : due
  return { value, at, watermark, late, rank: resolved ? 2 : 1, type: value.type, id: value.id, number, input: 0 }
}

const judge = (settings: Partial<DuplicatesSettings> = {}) => conversionDuplicates({ graceMs: GRACE, ...settings })

const run = (records: readonly Rec<JoinRecord>[], settings: Partial<DuplicatesSettings> = {}) =>
  runOperator(judge(settings), records, { sliceRecords: 128 })

const accepted = (values: readonly JoinRecord[], settings: Partial<DuplicatesSettings> = {}) =>
  run(
    values.map((value, number) => rec(value, number, { watermark: -1 })),
    settings,
  ).out.map(({ number }) => number)

test('touches and events that goals name have been judged: they pass, uncounted, and nothing of them is kept', () => {
  const goal = conversion({ type: 'lead' })
  const outcome = run([TOUCH, TOUCH, goal, goal].map((value, i) => rec(value, i)))
  expect(outcome.out).toHaveLength(4)
  expect([outcome.counts, outcome.highest]).toEqual([{ accepted: 0, duplicates: 0 }, {}])
  expect(outcome.entries).toEqual([])
})

test('the first of a user, type and id goes on, with its record as it came, and is counted', () => {
  const records = [
    rec(conversion(), 0),
    rec(conversion({ timeMs: T + 5 }), 1),
    rec(conversion({ timeMs: T + 6, user: 'v' }), 2),
    rec(conversion({ timeMs: T + 7, id: 'f', refundOf: 'o' }), 3),
  ]
  const outcome = run(records)
  expect(outcome.out.map(({ number }) => number)).toEqual([0, 2, 3])
  expect(outcome.out[0]).toEqual(records[0])
  expect(outcome.counts).toEqual({ accepted: 3, conversions: 2, duplicates: 1 })
  expect(outcome.highest).toEqual({ as_of: T + 7 })
})

test('who it is after the resolution counts, not who it said', () => {
  expect(accepted([conversion({ ownUser: 'x' }), conversion({ ownUser: 'y' })])).toEqual([0])
  expect(accepted([conversion({ user: 'v' }), conversion({ user: 'w' })])).toEqual([0, 1])
})

test('what `bots` drops was accepted, and its twin is a duplicate; what it marks goes on', () => {
  const outcome = run(
    [conversion({ bots: 'drop' }), conversion(), conversion({ id: 'f', bots: 'mark' })].map((value, i) =>
      rec(value, i),
    ),
  )
  expect(outcome.out.map(({ number }) => number)).toEqual([2])
  expect(outcome.counts).toEqual({ accepted: 2, conversions: 2, bots: 2, duplicates: 1 })
})

test('seven days apart are the same, a millisecond more is another', () => {
  expect(accepted([conversion(), conversion({ timeMs: T + 7 * DAY })])).toEqual([0])
  expect(accepted([conversion(), conversion({ timeMs: T + 7 * DAY + 1 })])).toEqual([0, 1])
  expect(accepted([conversion(), conversion({ timeMs: T + 2 })], { horizonMsByType: { conversion: 1 } })).toEqual([
    0, 1,
  ])
})

describe('by order', () => {
  const order = (n: number, parts: Partial<Conversion> = {}) => conversion({ id: `e${n}`, orderId: 'o', ...parts })

  test('the second of a user, advertiser and order within 90 days is a duplicate', () => {
    expect(accepted([order(1), order(2, { timeMs: T + 90 * DAY })])).toEqual([0])
    expect(accepted([order(1), order(2, { timeMs: T + 90 * DAY + 1 })])).toEqual([0, 1])
    const others = [order(2, { user: 'v' }), order(3, { advertiser: 'b' }), order(4, { orderId: 'q' })]
    expect(accepted([order(1), ...others])).toEqual([0, 1, 2, 3])
    expect(accepted([order(1, { advertiser: 'ab', orderId: 'c' }), order(2, { orderId: 'bc' })])).toEqual([0, 1])
  })

  test('without an order only the event_id counts', () => {
    expect(accepted([1, 2, 1].map((n) => order(n, { orderId: null })))).toEqual([0, 1])
  })

  test('a refund is a duplicate by event_id only, and makes none', () => {
    const refund = order(2, { refundOf: 'o' })
    expect(accepted([refund, order(1), refund, order(3, { refundOf: null })])).toEqual([0, 1, 3])
  })

  test('an event of another type has none', () => {
    expect(accepted([order(1, { type: 'lead' }), order(2), order(3, { type: 'lead' })])).toEqual([0, 1, 2])
  })
})

test('an entry is known for the whole horizon to one that waits for its resolution', () => {
  // The end of a bucket is where the first may be forgotten soonest.
  const end = Math.ceil(T / (7 * DAY)) * 7 * DAY
  const [first, same] = [conversion({ timeMs: end - 1 }), conversion({ timeMs: end - 1 + 7 * DAY })]
  expect(run([rec(first, 0), rec(same, 1, { resolved: true })]).out).toHaveLength(1)
  const filler = rec(conversion({ user: 'other', timeMs: end + 14 * DAY + GRACE }), 2)
  expect(run([rec(first, 0), filler]).entries.filter((entry) => entry.includes('"u"'))).toEqual([])
})

test('settings that cannot be are refused by name', () => {
  expect(() => judge({ horizonMs: 0 })).toThrow(/horizonMs/)
})

// --- the twin: every accepted conversion kept for ever

const SETTINGS = { horizonMs: 500_000, orderHorizonMs: 1_200_000 }

function twin(records: readonly Rec<JoinRecord>[]): number[] {
  const kept: Conversion[] = []
  const isSame = (a: Conversion, b: Conversion): boolean => {
    if (a.user !== b.user) return false
    const apart = Math.abs(a.timeMs - b.timeMs)
    if (a.id === b.id && apart <= SETTINGS.horizonMs) return true
    const [x, y] = [a, b].map(({ orderId, refundOf }) => (refundOf === undefined ? orderId : null))
    return x !== null && x === y && a.advertiser === b.advertiser && apart <= SETTINGS.orderHorizonMs
  }
  return records.flatMap(({ value, number }) => {
    if (value.kind === 'touch' || value.type !== 'conversion') return [number]
    if (kept.some((other) => isSame(other, value))) return []
    kept.push(value)
    return value.bots === 'drop' ? [] : [number]
  })
}

const parts = fc.record({
  value: fc.oneof(
    { weight: 1, arbitrary: fc.constantFrom<JoinRecord>(TOUCH, conversion({ type: 'lead' })) },
    {
      weight: 9,
      arbitrary: fc
        .record({
          user: fc.constantFrom('u', 'v'),
          id: fc.constantFrom('1', '2', '3'),
          orderId: fc.constantFrom('o', 'p', null),
          refund: fc.constantFrom(false, false, true),
          bots: fc.constantFrom(undefined, undefined, 'drop' as const),
        })
        .map(({ refund, bots, ...rest }): JoinRecord => {
          const bot = bots === undefined ? {} : { bots }
          return conversion({ ...rest, ...bot, ...(refund ? { refundOf: 'o' } : {}) })
        }),
    },
  ),
  step: fc.nat(300_000),
  resolved: fc.boolean(),
})

/** Random records in the order of their places, some resolved and some not, none late. */
const randomRecords = fc.array(parts, { maxLength: 100, size: 'max' }).map((list) => {
  let now = T
  const placed = list.map(({ value, step, resolved }, number) => {
    now += step
    return rec({ ...value, timeMs: now }, number, { resolved: resolved && value.type === 'conversion' })
  })
  return placed.sort((a, b) => a.at - b.at || a.rank - b.rank || a.number - b.number)
})

test('the twin agrees on random conversions, and neither slices nor restarts change anything', async () => {
  await fc.assert(
    fc.asyncProperty(randomRecords, fc.constantFrom(1, 7), async (records, sliceRecords) => {
      const numbers = ({ out }: { out: readonly Rec<JoinRecord>[] }) => out.map(({ number }) => number)
      const strict = runOperator(judge(SETTINGS), records, { sliceRecords: 128 })
      const sliced = runOperator(judge(SETTINGS), records, { sliceRecords })
      const real = await runOnTaskState(judge(SETTINGS), records, { sliceRecords })
      for (const outcome of [strict, sliced, real]) {
        expect(numbers(outcome)).toEqual(twin(records))
        expect([outcome.counts, outcome.highest]).toEqual([strict.counts, strict.highest])
      }
      expect(sliced.entries).toEqual(strict.entries)
    }),
    { numRuns: 60 },
  )
})

import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { compareUtf8 } from '../state/key-layout.ts'
import { runOperator } from '../test/operator-harness.ts'
import { sameHoweverCut } from '../test/stage-harness.ts'
import { ATTRIBUTED_MAX } from './attributed-conversions.ts'
import { ATTRIBUTION_DEFAULT } from './attribution-settings.ts'
import { type HoldSettings, hold } from './hold.ts'
import type { Rec } from './operator.ts'
import { type Conversion, groupOf, isRefund, type JoinRecord, type Matched, type Touch } from './touch.ts'

const DAY = 24 * 3_600_000
const T = 1_750_000_000_000
const GRACE = 300_000
const LONGEST = 28 * DAY
const RETENTION = 35 * DAY

const PLACE = { user: 'u', advertiser: 'a' }

const touch = (id: string, parts: Partial<Touch> = {}): Touch => ({
  ...{ kind: 'touch', type: 'click', id, timeMs: T, ...PLACE, campaign: 'c', ad: 'x', clickId: null, vector: null },
  ...parts,
})

const conversion = (parts: Partial<Conversion> = {}): Conversion => ({
  ...{ kind: 'conversion', type: 'conversion', id: 'c', timeMs: T, ...PLACE, ownUser: 'u' },
  ...{ orderId: null, clickId: null, valueMicro: null, currency: null, goals: [''] },
  ...parts,
})

/** In the place that `clock: data` gives it; late where the watermark is at or above its time. */
function rec(value: JoinRecord, watermark = -1, number = 0): Rec<JoinRecord> {
  const late = value.timeMs <= watermark
  const at = late ? watermark + 1 : value.timeMs
  return { value, at, watermark: at - 1, late, rank: 1, type: value.type, id: value.id, number, input: 0 }
}

/** A conversion that was resolved, where the click index sends it on. */
function resolved(value: Conversion, graceMs = GRACE, number = 0): Rec<JoinRecord> {
  const at = value.timeMs + graceMs
  return { ...rec(value, -1, number), at, watermark: at - 1, rank: 2 }
}

const run = (records: readonly Rec<JoinRecord>[], settings: Partial<HoldSettings> = {}) =>
  runOperator(hold({ ...ATTRIBUTION_DEFAULT, ...settings }), records, { sliceRecords: 128, drain: T })

type Out = { readonly out: readonly Rec<unknown>[] }
const matches = ({ out }: Out) => out.filter(({ value }) => (value as Matched).kind === 'matched') as Rec<Matched>[]

/** Ids of the candidates of each match. */
const candidates = (outcome: Out) => matches(outcome).map(({ value }) => value.candidates.map(({ id }) => id).join())

describe('a conversion is matched', () => {
  test('when the watermark passes its time + grace, and stands there', () => {
    const outcome = run([
      rec(conversion()),
      rec(touch('after', { timeMs: T + GRACE })),
      rec(touch('x', { timeMs: T + DAY })),
    ])
    expect(outcome.out.map(({ value }) => (value as JoinRecord | Matched).kind)).toEqual([
      ...['conversion', 'touch', 'matched', 'touch'],
    ])
    const place = { at: T + GRACE, watermark: T + GRACE - 1, late: false, rank: 2, type: 'conversion', id: 'c' }
    expect(matches(outcome)[0]).toMatchObject(place)
    expect(matches(outcome)[0]!.value).toEqual({
      ...{ kind: 'matched', conversion: conversion(), late: false, candidates: [], revision: 0 },
    })
    expect([outcome.counts, outcome.emitted]).toEqual([{}, []])
  })

  test('at once where it was resolved then, or is late, and only the late one says so', () => {
    for (const record of [resolved(conversion()), rec(conversion(), T + DAY)]) {
      const outcome = run([rec(touch('t')), record, rec(touch('later', { timeMs: T + 3 * DAY }))])
      const [, , found] = outcome.out
      expect(found).toMatchObject({ at: record.at, rank: record.rank, late: record.late, input: 1 })
      expect(found!.value).toMatchObject({ kind: 'matched', late: record.late, candidates: [touch('t')] })
    }
  })

  test('with the touches of its person and advertiser, up to the longest window before it and to its own time', () => {
    const ahead = (ms: number) => rec(touch(`${ms}`, { timeMs: T - ms }))
    const others = [{ user: 'v' }, { advertiser: 'b' }].map((other) => rec(touch('other', { timeMs: T, ...other })))
    const held = [ahead(LONGEST + 1), ahead(LONGEST), ahead(5), ahead(0), ...others]
    expect(candidates(run([...held, rec(conversion()), ahead(-1)]))).toEqual([`${LONGEST},5,0`])
  })

  test('with touches in the order of time, type and event_id, each as it came', () => {
    const vector = { layout: 1, base64: 'AQID' }
    const touches = [
      ...[touch('a', { timeMs: T - 1 }), touch('b', { clickId: 'k' }), touch('c', { vector })],
      ...[touch('a', { type: 'impression' }), touch('\u{10000}', { type: 'impression', campaign: 'd', ad: 'y' })],
    ]
    const outcome = run([...touches.map((value) => rec(value)), rec(conversion())])
    expect(matches(outcome)[0]!.value.candidates).toEqual(touches)
  })

  test('not if it is of no goal, marked by `bots`, or a refund; and everything passes as it came', () => {
    const passed = [{ goals: [] }, { bots: 'mark' }, { refundOf: 'o' }, { refundOf: null }] as const
    const records = passed.flatMap((parts) => [rec(conversion(parts)), rec(conversion(parts), T + DAY)])
    const sorted = records.sort((a, b) => a.at - b.at)
    const outcome = run(sorted)
    expect(outcome.out).toEqual(sorted.map((record, input) => ({ ...record, input })))
    expect([outcome.counts, outcome.touched, outcome.entries]).toEqual([{}, [], []])
  })

  test('also if it is another event that a goal names', () => {
    expect(candidates(run([rec(touch('t')), rec(conversion({ type: 'lead', goals: ['trial'] }))]))).toEqual(['t'])
  })
})

describe('a touch', () => {
  test('is held by one put: nothing is read', () => {
    const outcome = run([rec(touch('t')), rec(touch('v', { type: 'impression', timeMs: T + 1 }))])
    expect(outcome.touched).toEqual([])
    expect(outcome.entries).toHaveLength(2)
  })

  test('that no window names passes and is not held', () => {
    const outcome = run([rec(touch('v', { type: 'impression' })), rec(touch('v', { type: 'impression' }), T + 5)], {
      windows: [{ name: 'w', click: DAY }],
    })
    expect(outcome.out).toHaveLength(2)
    expect([outcome.entries, outcome.touched]).toEqual([[], []])
  })

  test('is held until the watermark passes its time + longest window + pixelDelay, and not longer, wherever buckets end', () => {
    const width = RETENTION / 5
    const edge = Math.ceil(T / width) * width
    for (const timeMs of [T, edge - 1, edge]) {
      const foundAt = (watermark: number) =>
        candidates(run([rec(touch('t', { timeMs })), rec(conversion({ timeMs: timeMs + DAY }), watermark)]))
      expect([timeMs, foundAt(timeMs + RETENTION - 1), foundAt(timeMs + RETENTION)]).toEqual([timeMs, ['t'], ['']])
    }
  })

  test('that came late is held as long as one that came then', () => {
    const foundAt = (watermark: number) =>
      candidates(run([rec(touch('t'), T + 50 * DAY), rec(conversion(), watermark)]))
    const end = T + 50 * DAY + RETENTION
    expect([foundAt(end - 1), foundAt(end)]).toEqual([['t'], ['']])
  })

  test('is forgotten with its bucket, a fifth of its time later at most', () => {
    const left = (watermark: number) => run([rec(touch('t')), rec(touch('x', { user: 'v' }), watermark)]).entries.length
    expect([left(T + RETENTION - 1), left(T + RETENTION + RETENTION / 5)]).toEqual([2, 1])
  })
})

describe('a late touch', () => {
  const late = (parts: Partial<Touch> = {}, watermark = T + 2 * DAY) => rec(touch('late', parts), watermark)
  const bought = rec(conversion({ timeMs: T + DAY }))
  const counted = (...records: Rec<JoinRecord>[]) => run(records).counts.late_touch ?? 0

  test('counts once for each attributed conversion that it would have been a candidate of', () => {
    expect(counted(bought, late())).toBe(1)
    expect(counted(bought, rec(conversion({ id: 'd' }), T + 2 * DAY), late())).toBe(2)
    for (const other of [{ user: 'v' }, { advertiser: 'b' }, { timeMs: T + DAY + 1 }])
      expect(counted(bought, late(other))).toBe(0)
  })

  test('within the longest window that names its kind, inclusive', () => {
    const at = (ms: number, type: 'click' | 'impression') => counted(bought, late({ timeMs: T + DAY - ms, type }))
    expect([at(28 * DAY, 'click'), at(28 * DAY + 1, 'click')]).toEqual([1, 0])
    expect([at(0, 'click'), at(DAY, 'impression'), at(DAY + 1, 'impression')]).toEqual([1, 1, 0])
  })

  test('not for a conversion that waits still, nor for one that is forgotten', () => {
    const at = T + DAY + GRACE
    expect([counted(bought, late({}, at - 1)), counted(bought, late({}, at))]).toEqual([0, 1])
    const [last, gone] = [at + RETENTION - 1, at + RETENTION].map((watermark) => counted(bought, late({}, watermark)))
    expect([last, gone]).toEqual([1, 0])
  })

  test('counts also where the conversion stands ahead of the watermark, as `clock: wall` has it', () => {
    const edge = Math.ceil(T / RETENTION) * RETENTION
    const ahead = { ...resolved(conversion({ timeMs: edge - 1 })), watermark: edge - 10 }
    expect(counted(ahead, late({ timeMs: edge - 20 }, edge - 10))).toBe(1)
    // The farthest that it can be: as long as a window lasts, and the grace.
    expect(counted(ahead, late({ timeMs: edge - 1 - LONGEST }, edge - 10))).toBe(1)
  })

  test('is itself a candidate of what comes after it', () => {
    expect(candidates(run([late(), rec(conversion({ timeMs: T + DAY }), T + 3 * DAY)]))).toEqual(['late'])
  })

  test('makes the attribution be said anew where that is asked, each time with the next revision', () => {
    const records = [rec(touch('t')), bought, late(), rec(touch('later'), T + 3 * DAY)]
    expect(matches(run(records))).toHaveLength(1)
    const revised = matches(run(records, { lateTouches: 'revise' }))
    expect(revised.map(({ value }) => [value.revision, value.candidates.map(({ id }) => id).join()])).toEqual([
      ...[
        [0, 't'],
        [1, 'late,t'],
        [2, 'late,later,t'],
      ],
    ])
    expect(revised[1]).toMatchObject({ at: T + 2 * DAY + 1, rank: 1, late: true, type: 'click', input: 2 })
    expect(revised[1]!.value).toMatchObject({ conversion: bought.value, late: false })
  })

  test('asks only for its own conversions: three buckets at most', () => {
    for (let day = 0; day < 120; day += 3) {
      const outcome = run([late({}, T + day * DAY)])
      expect(outcome.touched.length).toBeLessThanOrEqual(3)
    }
  })
})

test('of one person’s conversions the last ones are known to late touches; what is dropped is counted', () => {
  const many = Array.from({ length: ATTRIBUTED_MAX + 2 }, (_, n) =>
    resolved(conversion({ id: `c${n}`, timeMs: T + n }), GRACE, n),
  )
  const outcome = run([...many, rec(touch('late', { timeMs: T + 1 }), T + DAY)])
  // Of those at or after the touch, the first is one of the two that are dropped.
  expect(outcome.counts).toEqual({ attributed_dropped: 2, late_touch: ATTRIBUTED_MAX })
})

test('attributed conversions in state: golden bytes', () => {
  const state = (settings: Partial<HoldSettings>) =>
    run([rec(conversion({ timeMs: 1_000 })), rec(conversion({ timeMs: 1_001 }), 1_002)], settings).entries
  expect(state({})).toEqual(['attributed [0,"u\\u001fa"] e9070200e807e0a71200'])
  const [revised] = state({ lateTouches: 'revise' })
  const json = (timeMs: number) => Buffer.from(JSON.stringify(conversion({ timeMs }))).toString('hex')
  expect(revised).toContain(`e907020200`)
  expect(revised).toContain(json(1_001))
  expect(revised!.endsWith(json(1_000))).toBe(true)
})

test('holds that would end before their conversions are refused', () => {
  expect(() => hold({ ...ATTRIBUTION_DEFAULT, pixelDelayMs: GRACE - 1 })).toThrow('attribution.pixelDelay must be')
  const exact = run([rec(touch('t')), rec(conversion({ timeMs: T + LONGEST }))], { pixelDelayMs: GRACE })
  expect(candidates(exact)).toEqual(['t'])
})

// --- the twin: lists of all there was, searched from end to end

const SMALL: HoldSettings = {
  windows: [
    { name: 'short', click: 4_000, impression: 2_500 },
    { name: 'long', click: 10_000 },
  ],
  ...{ graceMs: 2_000, pixelDelayMs: 6_000, lateTouches: 'revise' },
}
const KEPT = 16_000

class Twin {
  readonly said: unknown[] = []
  lateTouches = 0
  #touches: { touch: Touch; keptFrom: number }[] = []
  #waiting: { due: number; conversion: Conversion }[] = []
  #attributed: { conversion: Conversion; at: number; late: boolean; revision: number }[] = []

  process({ value, watermark, at, late, rank }: Rec<JoinRecord>): void {
    this.fireUpTo(watermark)
    if (value.kind === 'touch') {
      this.#touches.push({ touch: value, keptFrom: Math.max(value.timeMs, watermark) })
      if (late) this.#missed(value, watermark, at)
    } else if (value.goals.length === 0 || value.bots !== undefined || isRefund(value)) return
    else if (late || rank === 2) this.#attribute(value, { at, watermark, late })
    else this.#waiting.push({ due: value.timeMs + SMALL.graceMs, conversion: value })
  }

  fireUpTo(watermark: number): void {
    this.#waiting.sort((a, b) => a.due - b.due || compareUtf8(a.conversion.id, b.conversion.id))
    while (this.#waiting.length > 0 && this.#waiting[0]!.due <= watermark) {
      const { due, conversion } = this.#waiting.shift()!
      this.#attribute(conversion, { at: due, watermark: due - 1, late: false })
    }
  }

  #missed(touch: Touch, watermark: number, at: number): void {
    const longest = touch.type === 'click' ? 10_000 : 2_500
    for (const known of this.#attributed) {
      const { conversion } = known
      const age = conversion.timeMs - touch.timeMs
      if (groupOf(conversion) !== groupOf(touch) || age < 0 || age > longest || watermark >= known.at + KEPT) continue
      this.lateTouches++
      known.revision++
      this.said.push([at, conversion, known.late, known.revision, this.#candidates(conversion, watermark)])
    }
  }

  #attribute(conversion: Conversion, { at, watermark, late }: { at: number; watermark: number; late: boolean }): void {
    this.#attributed.push({ conversion, at, late, revision: 0 })
    this.said.push([at, conversion, late, 0, this.#candidates(conversion, watermark)])
  }

  #candidates(conversion: Conversion, watermark: number): Touch[] {
    return this.#touches
      .filter(({ touch, keptFrom }) => {
        const age = conversion.timeMs - touch.timeMs
        return groupOf(touch) === groupOf(conversion) && age >= 0 && age <= 10_000 && watermark < keptFrom + KEPT
      })
      .map(({ touch: found }) => found)
      .sort((a, b) => a.timeMs - b.timeMs || compareUtf8(a.type, b.type) || compareUtf8(a.id, b.id))
  }
}

function twin(records: readonly Rec<JoinRecord>[]): Twin {
  const all = new Twin()
  for (const record of records) all.process(record)
  all.fireUpTo(Number.POSITIVE_INFINITY)
  return all
}

/** Touches and conversions in the order of their places; some are late, by more than holds are kept for. */
const randomRecords = fc
  .array(
    fc.record({
      what: fc.constantFrom('click', 'click', 'impression', 'conversion', 'lead', 'resolved', 'refund'),
      user: fc.constantFrom('u', 'u', 'v'),
      step: fc.oneof(fc.constant(1), fc.integer({ min: 1, max: 1_500 }), fc.integer({ min: 1, max: 9_000 })),
      lateBy: fc.oneof({ weight: 3, arbitrary: fc.constant(0) }, { weight: 1, arbitrary: fc.nat(30_000) }),
      hasVector: fc.boolean(),
      isGoal: fc.boolean(),
    }),
    { maxLength: 60, size: 'max' },
  )
  .map((list) => {
    let now = T
    return list.map(({ what, user, step, lateBy, hasVector, isGoal }, number) => {
      now += step
      const [id, watermark] = [`${(number * 7) % 10}-${number}`, lateBy > 0 ? now - 1 : -1]
      const timeMs = now - lateBy
      if (what === 'click' || what === 'impression') {
        const vector = hasVector ? { layout: 0, base64: Buffer.of(number).toString('base64') } : null
        return rec(touch(id, { type: what, user, timeMs, vector }), watermark, number)
      }
      if (what === 'refund') return rec(conversion({ id, user, timeMs, refundOf: 'o' }), watermark, number)
      if (what === 'resolved')
        return resolved(conversion({ id, user, timeMs: now - SMALL.graceMs }), SMALL.graceMs, number)
      const goals = isGoal || what === 'conversion' ? [''] : []
      return rec(conversion({ type: what, id, user, timeMs, goals }), watermark, number)
    })
  })

const saidBy = (outcome: Out) =>
  matches(outcome).map(({ at, value: { conversion: of, late, revision, candidates: found } }) => [
    at,
    of,
    late,
    revision,
    found,
  ])

const lateTouchesOf = (count: number) => (count === 0 ? {} : { late_touch: count })

test('the twin agrees on random records, and slices change nothing', () => {
  fc.assert(
    fc.property(randomRecords, (records) => {
      const expected = twin(records)
      const [all, one, seven] = [128, 1, 7].map((sliceRecords) =>
        runOperator(hold(SMALL), records, { sliceRecords, drain: T }),
      )
      for (const outcome of [all!, one!, seven!]) {
        expect(saidBy(outcome)).toEqual(expected.said)
        expect(outcome.counts).toEqual(lateTouchesOf(expected.lateTouches))
        expect(outcome.entries).toEqual(all!.entries)
      }
      const passed = all!.out.filter(({ value }) => value.kind !== 'matched')
      expect(passed.map(({ value }) => value)).toEqual(records.map(({ value }) => value))
      const counting = runOperator(hold({ ...SMALL, lateTouches: 'count' }), records, { sliceRecords: 7, drain: T })
      expect(saidBy(counting)).toEqual(expected.said.filter((row) => (row as unknown[])[3] === 0))
      expect(counting.counts).toEqual(all!.counts)
    }),
    { numRuns: 30 },
  )
})

test('on the real stores, through commits and restarts, the same is said', () =>
  sameHoweverCut(
    () => [hold(SMALL)],
    randomRecords,
    T,
    (cut, records) => {
      const expected = twin(records)
      expect(saidBy(cut)).toEqual(expected.said)
      expect(cut.counts).toEqual(lateTouchesOf(expected.lateTouches))
    },
  ))

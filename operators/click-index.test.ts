import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { compareUtf8 } from '../state/key-layout.ts'
import { runOperator } from '../test/operator-harness.ts'
import { sameHoweverCut } from '../test/stage-harness.ts'
import { CLICKS_MAX, clickIndex } from './click-index.ts'
import type { Rec } from './operator.ts'
import type { Conversion, KnownClick } from './touch.ts'

const DAY = 24 * 3_600_000
const T = 1_750_000_000_000
const GRACE = 300_000
const HORIZON = 90 * DAY

type Asked = KnownClick | Conversion

const click = (user: string, timeMs = T, clickId = 'k'): KnownClick => ({ kind: 'known click', clickId, user, timeMs })

function conversion(parts: Partial<Conversion> = {}): Conversion {
  const ownUser = parts.ownUser === undefined ? 'own' : parts.ownUser
  return {
    ...{ kind: 'conversion', type: 'conversion', id: 'c', timeMs: T, user: ownUser ?? 'click:k', ownUser },
    ...{ advertiser: 'a', orderId: null, clickId: 'k', valueMicro: 5, currency: null, goals: [''] },
    ...parts,
  }
}

/** In the place that `clock: data` gives it; late where the watermark is at or above its time. */
function rec(value: Asked, number: number, watermark = -1): Rec<Asked> {
  const late = value.timeMs <= watermark
  const at = late ? watermark + 1 : value.timeMs
  const [type, id] = value.kind === 'conversion' ? [value.type, value.id] : ['click', String(number)]
  return { value, at, watermark: at - 1, late, rank: 1, type, id, number, input: 0 }
}

const SETTINGS = { graceMs: GRACE, clickHorizonMs: HORIZON }

const run = (records: readonly Rec<Asked>[], sliceRecords = 128) =>
  runOperator(clickIndex(SETTINGS), records, { sliceRecords, drain: T })

const placed = (values: readonly Asked[]) =>
  run(values.map((value, number) => rec(value, number)).sort((a, b) => a.at - b.at || a.number - b.number))

/** Users of the conversions, as they are resolved. */
const users = (...values: Asked[]) => placed(values).out.map(({ value }) => value.user)

test('conversions that are resolved at one time come out in the order of their ids, whatever came first and whose they are', () => {
  const [b, a] = [conversion({ id: 'b', ownUser: 'a' }), conversion({ id: 'a', ownUser: 'b' })]
  expect(placed([b, a]).out.map(({ value }) => value.id)).toEqual(['a', 'b'])
})

describe('a conversion that carries a click_id', () => {
  test('is its own user’s where one of the known clicks is', () => {
    expect(users(click('other'), click('own'), conversion())).toEqual(['own'])
  })

  test('else the user’s of the first known click', () => {
    expect(users(click('first'), click('second'), conversion())).toEqual(['first'])
    expect(users(click('first', T + 1), click('second', T), conversion({ ownUser: null }))).toEqual(['second'])
  })

  test('else its own, and without one that of nobody', () => {
    expect(users(click('other', T, 'q'), conversion())).toEqual(['own'])
    expect(users(conversion({ ownUser: null }))).toEqual(['click:k'])
  })

  test('knows clicks up to its time + grace, and not a millisecond more', () => {
    expect(users(conversion(), click('later', T + GRACE))).toEqual(['later'])
    expect(users(conversion(), click('later', T + GRACE + 1))).toEqual(['own'])
  })

  test('knows clicks of the horizon before it, and not a millisecond more, wherever buckets end', () => {
    const width = HORIZON + GRACE
    const edge = Math.ceil(T / width) * width
    for (const at of [T, edge - 1, edge, edge + 1, edge + GRACE]) {
      const clickedBefore = (ms: number) => users(click('known', at - ms), conversion({ timeMs: at }))
      expect([at, clickedBefore(HORIZON), clickedBefore(HORIZON + 1)]).toEqual([at, ['known'], ['own']])
    }
  })

  test('knows the later click of one user when the earlier one is too old', () => {
    expect(users(click('u', T - HORIZON - 1), click('u', T - DAY), conversion())).toEqual(['u'])
  })

  test('stands where it was resolved, and a refund is resolved like others', () => {
    const outcome = placed([click('u'), conversion({ refundOf: 'o' })])
    const place = { at: T + GRACE, watermark: T + GRACE - 1, late: false, rank: 2, number: 1 }
    expect(outcome.out).toMatchObject([{ ...place, type: 'conversion', id: 'c' }])
    expect(outcome.out[0]!.value).toEqual(conversion({ refundOf: 'o', user: 'u' }))
    expect([outcome.counts, outcome.emitted]).toEqual([{}, []])
  })

  test('is resolved on arrival if it is late, in its own place, by what came before it', () => {
    const late = rec(conversion(), 1, T + DAY)
    const outcome = run([rec(click('u'), 0), late, rec(click('own', T + 1), 2, T + DAY)])
    expect(outcome.out).toEqual([{ ...late, input: 1, value: conversion({ user: 'u' }) }])
  })

  test('knows a click that came late as long as one that came then, and one that came then no longer', () => {
    const [came, end] = [T + 50 * DAY, T + 50 * DAY + 1 + HORIZON + GRACE]
    const askedAt = (watermark: number, arrived: number) =>
      run([rec(click('u'), 0, arrived), rec(conversion(), 1, watermark)]).out[0]!.value.user
    expect([askedAt(end - 1, came), askedAt(end, came)]).toEqual(['u', 'own'])
    expect([askedAt(T + HORIZON + GRACE - 1, -1), askedAt(T + HORIZON + GRACE, -1)]).toEqual(['u', 'own'])
  })

  test('knows a click that came right before it, where both are late and begin a bucket', () => {
    const width = HORIZON + GRACE
    const edge = Math.ceil((T + DAY) / width) * width
    const late = [rec(click('u'), 0, edge - 1), rec(conversion(), 1, edge - 1)]
    expect(run(late).out.map(({ value }) => value.user)).toEqual(['u'])
  })

  test('asks three buckets at most, a click one', () => {
    const last = (records: readonly Rec<Asked>[]) => run(records).touched.length
    expect(last([rec(click('u'), 0)])).toBe(1)
    for (let day = 0; day < 200; day += 3) {
      const asked = last([rec(conversion({ timeMs: T + day * DAY }), 0)])
      const late = last([rec(conversion(), 0, T + day * DAY)])
      expect([asked, late].every((count) => count >= 1 && count <= 3)).toBe(true)
    }
  })
})

test('the clicks of one click_id are bounded: the first stay, and what is dropped is counted', () => {
  const clicks = Array.from({ length: CLICKS_MAX + 2 }, (_, n) => click(`u${n}`, T + n))
  const own = (n: number) => conversion({ id: `c${n}`, ownUser: `u${n}`, timeMs: T + 100 })
  const outcome = placed([...clicks, own(CLICKS_MAX - 1), own(CLICKS_MAX)])
  expect(outcome.counts).toEqual({ click_users_dropped: 2 })
  expect(outcome.out.map(({ value }) => value.user)).toEqual([`u${CLICKS_MAX - 1}`, 'u0'])
})

test('clicks in state: golden bytes', () => {
  const outcome = run([rec(click('ann', 1_000), 0), rec(click('bob', 1_001), 1, 1_002)])
  expect(outcome.entries).toEqual(['clicks [0,"k"] 03616e6ee8070003626f62e90702'])
})

test('clicks are forgotten with their bucket', () => {
  const left = (watermark: number) =>
    run([rec(click('u'), 0), rec(click('v', watermark + 1, 'q'), 1, watermark)]).entries.length
  const width = HORIZON + GRACE
  const end = Math.ceil(T / width) * width + width
  expect([left(end - 1), left(end)]).toEqual([2, 1])
})

// --- the twin: all clicks kept for ever, each conversion resolved at its place by a scan

const SMALL = { graceMs: 2_000, clickHorizonMs: 20_000 }

function twin(records: readonly Rec<Asked>[]): unknown[] {
  const places = records.flatMap((record) => {
    if (record.value.kind !== 'conversion') return []
    const { value, at, late, number, id } = record
    const place = late ? { at, rank: 1 } : { at: value.timeMs + SMALL.graceMs, rank: 2 }
    return [{ ...place, id, number, value, late, watermark: late ? record.watermark : place.at - 1 }]
  })
  places.sort(
    (a, b) =>
      a.at - b.at ||
      a.rank - b.rank ||
      // Late ones stand as they came; what waited goes by its id.
      (a.rank === 1 ? 0 : compareUtf8(a.id, b.id) || compareUtf8(a.value.user, b.value.user)) ||
      a.number - b.number,
  )
  return places.map(({ value, at, watermark, number, late }) => {
    const known = records.flatMap((other) => {
      const { value: known } = other
      if (known.kind !== 'known click' || known.clickId !== value.clickId) return []
      const isBefore = late ? other.number < number : other.at <= at
      const [age, ahead] = [value.timeMs - known.timeMs, known.timeMs - value.timeMs]
      const isKept = watermark < other.at + SMALL.clickHorizonMs + SMALL.graceMs
      return isBefore && isKept && age <= SMALL.clickHorizonMs && ahead <= SMALL.graceMs ? [known.user] : []
    })
    const nobody = value.ownUser ?? `click:${value.clickId}`
    return [number, at, late, known.includes(value.ownUser ?? '') ? value.ownUser : (known[0] ?? nobody)]
  })
}

/** Clicks and conversions in the order of their places, some late by up to twice the horizon. */
const randomRecords = fc
  .array(
    fc.record({
      isClick: fc.boolean(),
      clickId: fc.constantFrom('k', 'q'),
      user: fc.constantFrom('u', 'v', 'w'),
      hasUser: fc.boolean(),
      id: fc.constantFrom('1', '2', '3'),
      step: fc.oneof(fc.nat(3_000), fc.nat(15_000)),
      lateBy: fc.oneof({ weight: 3, arbitrary: fc.constant(0) }, { weight: 1, arbitrary: fc.nat(45_000) }),
    }),
    { maxLength: 60, size: 'max' },
  )
  .map((list) => {
    let now = T
    return list.map(({ isClick, clickId, user, hasUser, id, step, lateBy }, number) => {
      now += step
      const timeMs = now - lateBy
      const ownUser = hasUser ? user : null
      const value = isClick
        ? click(user, timeMs, clickId)
        : conversion({ timeMs, clickId, ownUser, user: ownUser ?? `click:${clickId}`, id })
      // One that is late stands right behind the watermark, which is below the next that is not.
      return rec(value, number, lateBy > 0 ? now - 1 : -1)
    })
  })

test('the twin agrees on random records, and slices change nothing', () => {
  fc.assert(
    fc.property(randomRecords, (records) => {
      const [all, one, seven] = [128, 1, 7].map((sliceRecords) =>
        runOperator(clickIndex(SMALL), records, { sliceRecords, drain: T }),
      )
      expect(all!.out.map(({ number, at, late, value }) => [number, at, late, value.user])).toEqual(twin(records))
      for (const sliced of [one!, seven!]) {
        expect(sliced.out.map(({ number, value }) => [number, value])).toEqual(
          all!.out.map(({ number, value }) => [number, value]),
        )
        expect([sliced.entries, sliced.counts]).toEqual([all!.entries, all!.counts])
      }
    }),
    { numRuns: 100 },
  )
})

test('on the real stores, through commits and restarts, the same conversions are resolved alike', () =>
  sameHoweverCut(
    () => [clickIndex(SMALL)],
    randomRecords,
    T,
    ({ out }, records) => {
      const rows = out.map(({ number, at, late, value }) => [number, at, late, (value as Conversion).user])
      expect(rows).toEqual(twin(records))
    },
  ))

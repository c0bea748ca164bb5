import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { runOperator } from '../test/operator-harness.ts'
import { runOnTaskState } from '../test/operator-on-state.ts'
import { runStage } from '../test/stage-harness.ts'
import { ATTRIBUTION_DEFAULT } from './attribution-settings.ts'
import { delayBin } from './delay-curve.ts'
import type { Rec } from './operator.ts'
import {
  DELAYS_STORE,
  type DelayCounts,
  delaysKey,
  levelPrefix,
  NO_CURRENCY,
  ofPurchaseKey,
  PURCHASE_DAY_MS,
  PURCHASES_KEPT_MS,
  PURCHASES_STORE,
  type PurchaseTiles,
  purchaseKey,
  TILE_MS,
} from './purchase-tiles.ts'
import { PURCHASES_EXPIRED, purchases } from './purchases.ts'
import type { CreditedLane, CreditRecord } from './touch.ts'

const DAY = PURCHASE_DAY_MS
const HOUR = 3_600_000
/** Begin of a day. */
const T = 20_000 * DAY
const WEEK_CLICK = 1

const lane = (touchTimeMs: number, parts: Partial<CreditedLane> = {}): CreditedLane => ({
  ...{ goal: '', window: WEEK_CLICK, campaign: 'spring', ad: 'shoe', touchTimeMs },
  ...parts,
})
const credit = (parts: Partial<CreditRecord> = {}): CreditRecord => ({
  ...{ advertiser: 'shop', conversionTimeMs: T + HOUR, count: 1, value: 5_000_000, currency: 'EUR', lanes: [lane(T)] },
  ...parts,
})
function recOf(value: CreditRecord, number: number, at = value.conversionTimeMs): Rec<CreditRecord> {
  return {
    ...{ value, at, watermark: at - 1, late: false, rank: 1 },
    ...{ type: 'conversion', id: `c${number}`, number, input: 0 },
  }
}
const operator = () => purchases(ATTRIBUTION_DEFAULT)
const run = (credits: readonly CreditRecord[], sliceRecords = 128) =>
  runOperator(
    operator(),
    credits.map((value, i) => recOf(value, i, T + i)),
    { sliceRecords },
  )
const WEEK = { goal: '', window: '7d_click' }
const key = (level: 'advertiser' | 'campaign' | 'ad', id: string, currency = 'EUR') =>
  purchaseKey(levelPrefix('shop', WEEK, level), id, currency)

describe('a credit', () => {
  test('changes three entries of its day, and its delay two; nothing else is touched', () => {
    const outcome = run([credit({ lanes: [lane(T + 3 * TILE_MS + 1)] })])
    const tiles = [{ tile: 3, credited: 1, creditedMicro: 5_000_000, takenBack: 0, takenBackMicro: 0 }]
    expect(outcome.keyed<PurchaseTiles>(PURCHASES_STORE).all()).toEqual([
      [20_000, key('ad', 'shoe'), tiles],
      [20_000, key('advertiser', 'shop'), tiles],
      [20_000, key('campaign', 'spring'), tiles],
    ])
    const delays = new Map([[14, 1]])
    expect(outcome.keyed<DelayCounts>(DELAYS_STORE).all()).toEqual([
      [20_000, delaysKey('', WEEK), delays],
      [20_000, delaysKey('shop', WEEK), delays],
    ])
    expect(outcome.touched).toHaveLength(5)
    expect(outcome.out).toEqual([])
    expect(outcome.emitted).toEqual([])
  })

  test('is taken back beside what was credited, whole or in part, and its delay stays', () => {
    const outcome = run([credit(), credit({ count: 0, value: -1_000_000 }), credit({ count: -1, value: -5_000_000 })])
    const kept = outcome.keyed<PurchaseTiles>(PURCHASES_STORE).get(20_000, key('ad', 'shoe'))
    expect(kept).toEqual([{ tile: 0, credited: 1, creditedMicro: 5_000_000, takenBack: 1, takenBackMicro: 6_000_000 }])
    expect(outcome.keyed<DelayCounts>(DELAYS_STORE).get(20_000, delaysKey('shop', WEEK))).toEqual(new Map([[60, 1]]))
  })

  test('is summed by lane, and by currency: what is none counts as none', () => {
    const lanes = [lane(T), lane(T, { window: 3 }), lane(T, { goal: 'sales', ad: 'hat' })]
    const outcome = run([credit({ lanes }), credit({ currency: null }), credit({ currency: 'a\u001fb' })])
    const entries = outcome.keyed<PurchaseTiles>(PURCHASES_STORE).all()
    const ads = entries.filter(([, name]) => name.includes('\u001fad\u001f'))
    expect(ads.map(([, name, tiles]) => [name.split('\u001f'), tiles[0]!.credited])).toEqual([
      [['shop', '', '1d_view', 'ad', 'shoe', 'EUR'], 1],
      [['shop', '', '7d_click', 'ad', 'shoe', 'EUR'], 1],
      [['shop', '', '7d_click', 'ad', 'shoe', NO_CURRENCY], 2],
      [['shop', 'sales', '7d_click', 'ad', 'hat', 'EUR'], 1],
    ])
    expect(ofPurchaseKey(ads[2]![1])).toEqual({ id: 'shoe', currency: NO_CURRENCY })
  })

  test('of a touch that was forgotten with its day is counted, and one of the last day that is kept is not', () => {
    const now = T + PURCHASES_KEPT_MS + 1
    const late = [credit({ lanes: [lane(T - 1), lane(T - DAY)] }), credit({ lanes: [lane(T)] })]
    const first = recOf(credit({ lanes: [lane(T - 1)] }), 0, T)
    const outcome = runOperator(operator(), [first, ...late.map((value, i) => recOf(value, i + 1, now + i))], {
      sliceRecords: 1,
    })
    expect(outcome.counts).toEqual({ [PURCHASES_EXPIRED]: 2 })
    expect(outcome.keyed(PURCHASES_STORE).lowestBucket).toBe(20_000)
    expect(outcome.keyed(PURCHASES_STORE).all()).toHaveLength(3)
    expect(outcome.keyed(DELAYS_STORE).all()).toHaveLength(2)
  })
})

// --- a slow twin on random input

const AD = fc.constantFrom('shoe', 'hat')
const laneArb = fc.record({
  goal: fc.constantFrom('', 'sales'),
  window: fc.nat(4),
  campaign: fc.constantFrom('spring', 'fall'),
  ad: AD,
  touchTimeMs: fc.integer({ min: T - 2 * DAY, max: T }),
})
const creditArb = fc.record({
  advertiser: fc.constantFrom('shop', 'bank'),
  conversionTimeMs: fc.integer({ min: T, max: T + 40 * DAY }),
  count: fc.constantFrom<1 | -1 | 0>(1, 1, 1, -1, 0),
  value: fc.integer({ min: 0, max: 9e15 }),
  currency: fc.constantFrom('EUR', 'USD', null),
  lanes: fc.array(laneArb, { minLength: 1, maxLength: 4 }),
})
const credits = fc
  .array(creditArb, { maxLength: 40 })
  .map((all) => all.map((one) => (one.count === 1 ? one : { ...one, value: 0 - one.value })))

/** Sums by (day, level, id, lane, currency, tile), as BigInt, and delays. */
function twin(all: readonly CreditRecord[]): Map<string, readonly bigint[]> {
  const sums = new Map<string, bigint[]>()
  const add = (name: readonly unknown[], numbers: readonly bigint[]): void => {
    const known = sums.get(JSON.stringify(name)) ?? numbers.map(() => 0n)
    sums.set(
      JSON.stringify(name),
      known.map((x, i) => x + numbers[i]!),
    )
  }
  for (const { advertiser, conversionTimeMs, count, value, currency, lanes } of all)
    for (const { goal, window, campaign, ad, touchTimeMs } of lanes) {
      const day = Math.floor(touchTimeMs / DAY)
      const name = ATTRIBUTION_DEFAULT.windows[window]!.name
      const tile = Math.floor((touchTimeMs % DAY) / TILE_MS)
      const numbers = count === 1 ? [1n, BigInt(value), 0n, 0n] : [0n, 0n, BigInt(-count), BigInt(-value)]
      const levels = { advertiser, campaign, ad }
      for (const [level, id] of Object.entries(levels))
        add([day, advertiser, goal, name, level, id, currency ?? NO_CURRENCY, tile], numbers)
      if (count !== 1) continue
      const bin = delayBin(conversionTimeMs - touchTimeMs)
      for (const whose of [advertiser, '']) add(['delay', day, whose, goal, name, bin], [1n])
    }
  return sums
}

test('what is kept is what a slow twin sums, whatever the slices', () => {
  fc.assert(
    fc.property(credits, fc.integer({ min: 1, max: 50 }), (all, sliceRecords) => {
      const outcome = run(all, sliceRecords)
      const kept = new Map<string, readonly bigint[]>()
      for (const [day, name, tiles] of outcome.keyed<PurchaseTiles>(PURCHASES_STORE).all())
        for (const { tile, credited, creditedMicro, takenBack, takenBackMicro } of tiles)
          kept.set(
            JSON.stringify([day, ...name.split('\u001f'), tile]),
            [credited, creditedMicro, takenBack, takenBackMicro].map(BigInt),
          )
      for (const [day, name, delays] of outcome.keyed<DelayCounts>(DELAYS_STORE).all())
        for (const [bin, count] of delays)
          kept.set(JSON.stringify(['delay', day, ...name.split('\u001f'), bin]), [BigInt(count)])
      expect(kept).toEqual(twin(all))
    }),
    { numRuns: 60 },
  )
})

test('on the stores of a task, through commits and restarts, the same is left', async () => {
  const all = fc.sample(credits, { numRuns: 1, seed: 7 })[0]!
  const records = all.map((value, i) => recOf(value, i, T + i))
  const [one, many] = await Promise.all(
    [1, 50].map((sliceRecords) => runOnTaskState(operator(), records, { sliceRecords })),
  )
  expect(one!.dump).toEqual(many!.dump)
  expect(one!.dump.length).toBeGreaterThan(0)
  const staged = await runStage(() => [operator()], records, { recordsPerSlice: 3, restartEvery: 2 })
  expect(staged.counts).toEqual({})
})

import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { figuresOf } from '../ml/evaluation.ts'
import { figuresOfSums } from '../ml/score-histogram.ts'
import { runOperator } from '../test/operator-harness.ts'
import { runOnTaskState } from '../test/operator-on-state.ts'
import { runStage } from '../test/stage-harness.ts'
import { ATTRIBUTION_DEFAULT, longestWindowMs } from './attribution-settings.ts'
import { DAYS_KEPT_DEFAULT, EVALUATED, type EvaluationSettings, evaluation } from './evaluation.ts'
import {
  addTally,
  EVALUATION_DAY_MS,
  EVALUATION_STORE,
  type EvaluationTally,
  emptyTally,
  evaluationCodec,
  fromNano,
  idOfSliceKey,
  type SliceKind,
  sliceKey,
} from './evaluation-tally.ts'
import type { TrainingRow } from './model-records.ts'
import type { Rec } from './operator.ts'

const DAY = EVALUATION_DAY_MS
const HOUR = 3_600_000
/** Begin of a day. */
const T = 20_000 * DAY
const DAY_CLICK = 0
const WEEK_CLICK = 1

const row = (parts: Partial<TrainingRow> = {}): TrainingRow => ({
  ...{ kind: 'M', complete: true, touchId: 't', touchType: 'click', user: 'ann', advertiser: 'shop', touchTimeMs: T },
  ...{ lanes: [{ window: WEEK_CLICK, y: 0, count: 0 }], version: 3, p: [0.125, 0.25, 0.5], input: null },
  ...parts,
})
const one = (window: number, y: 0 | 1) => ({ window, y, count: y })
function recOf(value: TrainingRow, number: number, at: number): Rec<TrainingRow> {
  return {
    ...{ value, at, watermark: at - 1, late: false, rank: 2 },
    ...{ type: value.touchType, id: value.touchId, number, input: 0 },
  }
}
const operator = (parts: Partial<EvaluationSettings> = {}) => evaluation({ ...ATTRIBUTION_DEFAULT, ...parts })
function run(rows: readonly TrainingRow[], parts: Partial<EvaluationSettings> = {}, sliceRecords = 128) {
  const records = rows.map((value, i) => recOf(value, i, T + i))
  const outcome = runOperator(operator(parts), records, { sliceRecords })
  const tally = (kind: SliceKind, id: string, window = '7d_click', day = 20_000) =>
    outcome.keyed<EvaluationTally>(EVALUATION_STORE).get(day, sliceKey(window, kind, id))
  return { ...outcome, tally }
}

const mature = (bin: number, touches: number, positives: number, p: number) => ({
  ...{ place: bin, touches, positives },
  pNano: p * 1e9,
})

describe('a row of a window that is over', () => {
  test('is summed in four slices of the day of its touch, and touches nothing else', () => {
    const outcome = run([row(), row({ lanes: [one(WEEK_CLICK, 1)] })])
    const kept = outcome.keyed<EvaluationTally>(EVALUATION_STORE).all()
    expect(kept.map(([day, key]) => [day, ...key.split('\u001f')])).toEqual([
      [20_000, '7d_click', 'advertiser', 'shop'],
      [20_000, '7d_click', 'all', ''],
      [20_000, '7d_click', 'type', 'click'],
      [20_000, '7d_click', 'version', '3'],
    ])
    // logit(0.25) = -1.1
    for (const [, , { bins, lossNano, hours, delays }] of kept) {
      expect(bins).toEqual([mature(35, 2, 1, 0.5)])
      expect(fromNano(lossNano)).toBeCloseTo(-Math.log(0.75) - Math.log(0.25), 8)
      expect([hours, delays]).toEqual([[], []])
    }
    // And the two without a name, where a third advertiser or version might be.
    expect(new Set(outcome.touched).size).toBe(4 + 2)
    expect(outcome.emitted).toEqual([])
    expect(outcome.counts).toEqual({ [EVALUATED.mature]: 2 })
  })

  test('is judged by the probability of its own window', () => {
    const outcome = run([row({ lanes: [one(DAY_CLICK, 1), one(WEEK_CLICK, 0)] })])
    expect(outcome.tally('all', '', '1d_click')!.bins).toEqual([mature(32, 1, 1, 0.125)])
    expect(outcome.tally('all', '')!.bins).toEqual([mature(35, 1, 0, 0.25)])
  })

  test('that the fallback scored is in the slice of version 0 alone', () => {
    const outcome = run([row({ version: 0 }), row()])
    expect(outcome.tally('version', '0')!.bins).toEqual([mature(35, 1, 0, 0.25)])
    expect(outcome.tally('all', '')!.bins).toEqual([mature(35, 1, 0, 0.25)])
    expect(outcome.tally('advertiser', 'shop')!.bins[0]!.touches).toBe(1)
    expect(outcome.counts).toEqual({ [EVALUATED.mature]: 1, [EVALUATED.fallback]: 1 })
  })

  test('may promise all, or next to nothing: its loss is finite', () => {
    const lossOf = (p: number, y: 0 | 1) =>
      fromNano(run([row({ p: [0, p], lanes: [one(WEEK_CLICK, y)] })]).tally('all', '')!.lossNano)
    expect(lossOf(1, 0)).toBeCloseTo(-Math.log(1e-9), 6)
    expect(lossOf(1e-30, 1)).toBeCloseTo(-Math.log(1e-9), 6)
  })
})

describe('what is not used is counted under why not', () => {
  test.each<[string, Partial<TrainingRow>]>([
    [EVALUATED.incomplete, { complete: false }],
    [EVALUATED.incomplete, { complete: false, kind: 'O' }],
    [EVALUATED.other, { kind: 'C' }],
    [EVALUATED.other, { kind: 'R' }],
    [EVALUATED.unscored, { p: [] }],
    [EVALUATED.unscored, { p: [0.1, 0] }],
    [EVALUATED.unscored, { p: [0.1, Number.NaN] }],
    [EVALUATED.unscored, { p: [0.1, 1.5] }],
  ])('%s: %o', (name, parts) => {
    const outcome = run([row(parts)])
    expect(outcome.counts).toEqual({ [name]: 1 })
    expect(outcome.keyed(EVALUATION_STORE).all()).toEqual([])
  })

  test('a day is kept for two months beyond the longest window, to the millisecond', () => {
    const keptMs = longestWindowMs(ATTRIBUTION_DEFAULT) + ATTRIBUTION_DEFAULT.graceMs + 60 * DAY
    expect(DAYS_KEPT_DEFAULT).toBe(60)
    const at = (watermark: number) => {
      const early = recOf(row({ touchTimeMs: T - DAY }), 0, T)
      const late = { ...recOf(row({ touchTimeMs: T - 1 }), 1, watermark + 1), watermark }
      return runOperator(operator(), [early, late], { sliceRecords: 1 }).counts
    }
    expect(at(T + keptMs - 1)).toEqual({ [EVALUATED.mature]: 2 })
    expect(at(T + keptMs)).toEqual({ [EVALUATED.mature]: 1, [EVALUATED.expired]: 1 })
  })
})

describe('rows of windows that are open', () => {
  test('say what was promised by hour of the touch, and what is known to have come', () => {
    const rows = [
      recOf(row({ kind: 'O', touchTimeMs: T + 90 * 60_000 }), 0, T + 3 * HOUR),
      recOf(row({ kind: 'O', touchTimeMs: T + HOUR, lanes: [one(WEEK_CLICK, 1)] }), 1, T + 3 * HOUR),
      recOf(row({ kind: 'D', touchTimeMs: T + 90 * 60_000, lanes: [one(WEEK_CLICK, 1)] }), 2, T + 9 * DAY),
    ]
    const outcome = runOperator(operator(), rows, { sliceRecords: 1 })
    for (const [, , tally] of outcome.keyed<EvaluationTally>(EVALUATION_STORE).all())
      expect(tally).toEqual({
        ...{ bins: [], lossNano: 0, hours: [{ place: 1, touches: 2, pNano: 500_000_000 }] },
        // After two hours, and beyond the horizon.
        delays: [
          { place: 5, count: 1 },
          { place: 23, count: 1 },
        ],
      })
    expect(outcome.counts).toEqual({ [EVALUATED.open]: 3 })
  })
})

describe('slices with a name', () => {
  const named = (outcome: ReturnType<typeof run>, kind: SliceKind) =>
    outcome
      .keyed<EvaluationTally>(EVALUATION_STORE)
      .all()
      .filter(([, key]) => key.split('\u001f')[1] === kind)
      .map(([, key, { bins }]) => [idOfSliceKey(key), bins[0]!.touches])

  test('are the first of a day; later ones are in the rest, where they stay', () => {
    const rows = ['a', 'b', 'c', 'a', 'd', 'c', 'b'].map((advertiser, version) =>
      row({ advertiser, version: version + 1 }),
    )
    const outcome = run(rows, { slicesNamedMax: 2 })
    expect(named(outcome, 'advertiser')).toEqual([
      ['', 3],
      ['a', 2],
      ['b', 2],
    ])
    expect(named(outcome, 'version')).toEqual([
      ['', 5],
      ['1', 1],
      ['2', 1],
    ])
    // Another day begins anew.
    const next = run([...rows, row({ advertiser: 'd', touchTimeMs: T + DAY })], { slicesNamedMax: 2 })
    expect(next.tally('advertiser', 'd', '7d_click', 20_001)!.bins[0]!.touches).toBe(1)
  })

  test('are as many as their limit', () => {
    const rows = Array.from({ length: 202 }, (_, i) => row({ advertiser: `a${i}` }))
    const slices = named(run(rows), 'advertiser')
    expect(slices).toHaveLength(201)
    expect(slices[0]).toEqual(['', 2])
  })
})

// --- a slow twin on random input

const rowArb: fc.Arbitrary<TrainingRow> = fc.record({
  kind: fc.constantFrom('M', 'M', 'M', 'M', 'O', 'D', 'C'),
  complete: fc.constantFrom(true, true, true, false),
  touchId: fc.constant('t'),
  touchType: fc.constantFrom('click', 'impression'),
  user: fc.constant('ann'),
  advertiser: fc.constantFrom('shop', 'bank', 'zoo'),
  touchTimeMs: fc.integer({ min: T - 2 * DAY, max: T }),
  lanes: fc.uniqueArray(fc.record({ window: fc.nat(2), y: fc.constantFrom<0 | 1>(0, 1), count: fc.nat(3) }), {
    minLength: 1,
    selector: ({ window }) => window,
  }),
  version: fc.nat(3),
  p: fc.array(fc.double({ min: 0.000_01, max: 0.999, noNaN: true }), { minLength: 3, maxLength: 3 }),
  input: fc.constant(null),
})
const rowsArb = fc.array(rowArb, { maxLength: 80 })

test('figures are those of the single rows, whatever the slices', () => {
  fc.assert(
    fc.property(rowsArb, fc.integer({ min: 1, max: 50 }), (rows, sliceRecords) => {
      const outcome = run(rows, {}, sliceRecords)
      const kept = outcome.keyed<EvaluationTally>(EVALUATION_STORE).all()
      const slices: [SliceKind, (one: TrainingRow) => string, boolean][] = [
        ['all', () => '', true],
        ['advertiser', ({ advertiser }) => advertiser, true],
        ['version', ({ version }) => String(version), false],
        ['type', ({ touchType }) => touchType, true],
      ]
      let judged = 0
      for (const [kind, idOf, isMain] of slices)
        for (const [window, { name }] of ATTRIBUTION_DEFAULT.windows.slice(0, 3).entries()) {
          const used = rows.filter(
            (one) =>
              one.kind === 'M' &&
              one.complete &&
              !(isMain && one.version === 0) &&
              one.lanes.some((lane) => lane.window === window),
          )
          for (const [id, own] of Map.groupBy(used, idOf)) {
            const sum = emptyTally()
            for (const [, key, tally] of kept) if (key === sliceKey(name, kind, id)) addTally(sum, tally)
            const bins = sum.bins.map(({ pNano, place, ...bin }) => ({ bin: place, ...bin, sum: fromNano(pNano) }))
            const figures = figuresOfSums({ bins, loss: fromNano(sum.lossNano) })
            const exact = figuresOf({
              p: Float64Array.from(own, ({ p }) => p[window]!),
              y: Uint8Array.from(own, ({ lanes }) => lanes.find((lane) => lane.window === window)!.y),
            })
            expect([figures.touches, figures.positives]).toEqual([exact.rows, exact.positives])
            expect(figures.logLoss).toBeCloseTo(exact.logLoss, 8)
            if (exact.positives > 0) expect(figures.calibration!.value).toBeCloseTo(exact.calibration, 7)
            if (exact.positives > 0 && exact.positives < exact.rows) {
              expect(figures.normalisedEntropy).toBeCloseTo(exact.normalisedEntropy, 7)
              expect(Math.abs(figures.auc!.value - exact.auc)).toBeLessThanOrEqual(figures.auc!.error + 1e-12)
            }
            judged += own.length
          }
        }
      const sums = kept.reduce((sum, [, , { bins }]) => sum + bins.reduce((all, { touches }) => all + touches, 0), 0)
      expect(sums).toBe(judged)
      const lanes = rows.reduce((sum, one) => sum + one.lanes.length, 0)
      expect(Object.values(outcome.counts).reduce((sum, count) => sum + count, 0)).toBe(lanes)
    }),
    { numRuns: 60 },
  )
})

test('rows in another order leave the same bytes', () => {
  fc.assert(
    fc.property(rowsArb, (rows) => {
      // But for who has a name, which they are too few for.
      expect(run([...rows].reverse(), {}).entries).toEqual(run(rows).entries)
    }),
    { numRuns: 30 },
  )
})

test('what was written is read as it was, and what is damaged is refused', () => {
  fc.assert(
    fc.property(rowsArb, (rows) => {
      const outcome = run(rows)
      for (const [, , tally] of outcome.keyed<EvaluationTally>(EVALUATION_STORE).all())
        expect(evaluationCodec.decode(evaluationCodec.encode(tally))).toEqual(tally)
    }),
    { numRuns: 20 },
  )
  const bytes = evaluationCodec.encode(run([row()]).tally('all', '')!)
  expect(() => evaluationCodec.decode(bytes.subarray(0, -1))).toThrow(/STATE_CORRUPT/)
  expect(() => evaluationCodec.decode(Uint8Array.of(...bytes, 0))).toThrow(/longer than what is in it/)
  expect(() => evaluationCodec.decode(Uint8Array.of(0, 1, 64, 1, 0, 0, 0, 0))).toThrow(/place that there is not/)
  expect(() => evaluationCodec.decode(Uint8Array.of(0, 1, 0, 1, 2, 0, 0, 0))).toThrow(/more positives than touches/)
})

test('on the stores of a task, through commits and restarts, the same is left', async () => {
  const rows = fc.sample(fc.array(rowArb, { minLength: 80, maxLength: 80 }), { numRuns: 1, seed: 7 })[0]!
  const records = rows.map((value, i) => recOf(value, i, T + i))
  const [once, often] = await Promise.all(
    [1, 50].map((sliceRecords) => runOnTaskState(operator({ slicesNamedMax: 2 }), records, { sliceRecords })),
  )
  expect(once!.dump).toEqual(often!.dump)
  expect(once!.dump.length).toBeGreaterThan(0)
  const staged = await runStage(() => [operator()], records, { recordsPerSlice: 3, restartEvery: 2 })
  expect(staged.counts[EVALUATED.mature]).toBeGreaterThan(0)
})

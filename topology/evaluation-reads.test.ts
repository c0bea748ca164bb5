// Reports on states of tasks: which days and slices, what is mature, what is estimated of open days, limits.

import { describe, expect, test } from 'vitest'
import { hashNumber } from '../ml/hash.ts'
import { ATTRIBUTION_DEFAULT } from '../operators/attribution-settings.ts'
import { evaluation, SLICES_NAMED_MAX } from '../operators/evaluation.ts'
import type { TrainingRow } from '../operators/model-records.ts'
import type { Rec } from '../operators/operator.ts'
import { EVALUATION_ENTRIES_MAX, type EvaluationAsk } from '../sinks/evaluation-reads.ts'
import { CONVERSIONS_MIN, TOLD_CONVERSIONS_MIN } from '../sinks/evaluation-report.ts'
import { TaskState } from '../state/task-state.ts'
import { operatorState, type Reached } from '../test/operator-state.ts'
import { topology } from './dsl.ts'
import { evaluationIn, evaluationOutcome, readEvaluation, windowOf } from './evaluation-reads.ts'

const HOUR = 3_600_000
const DAY = 24 * HOUR
/** Begin of a day. */
const T = Date.UTC(2026, 0, 1)
const { graceMs, shortWaitMs } = ATTRIBUTION_DEFAULT
const WEEK = 1
const WEEK_MS = 7 * DAY + graceMs

const ASK: EvaluationAsk = {
  ...{ window: '7d_click', slice: 'all', id: null, days: 30, snapshot: null, wait: null, waitMs: 0 },
}
const INGRESS = {
  ...{ name: 'ingress', version: 1, settings: {}, stores: [] },
  process: (batch: readonly Rec<TrainingRow>[]) => batch,
}
const PLAN = topology({ namespace: 'm', name: 'm', clock: 'data', partitions: 1, latenessMs: 0 }, (t) => {
  t.source<TrainingRow, TrainingRow>('trainer', INGRESS).through(evaluation(ATTRIBUTION_DEFAULT))
})
const KEPT = evaluationIn(PLAN)!

const row = (touchTimeMs: number, y: 0 | 1, parts: Partial<TrainingRow> = {}): TrainingRow => ({
  ...{ kind: 'M', complete: true, touchId: 't', touchType: 'click', user: 'ann', advertiser: 'shop', touchTimeMs },
  ...{ lanes: [{ window: WEEK, y, count: y }], version: 1, p: [0.1, 0.2, 0.3], input: null },
  ...parts,
})
type Timed = readonly [at: number, row: TrainingRow]
const through = (watermark: number): Reached => ({ watermark, drained: false, asOf: null })

/** What two tasks have: the first has the rows, the second none. */
function statesOf(rows: readonly Timed[], reached: Reached) {
  const records = rows.map(([at, value], number): Rec<TrainingRow> => {
    return { value, at, watermark: T, late: false, rank: 2, type: 'click', id: 't', number, input: 0 }
  })
  return Promise.all([records, []].map((all) => operatorState(PLAN, all, reached)))
}

async function outcomeIn(states: Awaited<ReturnType<typeof statesOf>>, parts: Partial<EvaluationAsk>) {
  const ask = { ...ASK, ...parts }
  const window = windowOf(KEPT, ask)
  if (typeof window !== 'string') return window
  const read = states.map(async (open) => {
    const state = await TaskState.open(await open(), PLAN.stages[0]!.nodes[0]!.stores)
    const snapshot = state.acquireSnapshot()
    try {
      return await readEvaluation(snapshot, KEPT, ask, window, { stream: 's', configHash: 'c' })
    } finally {
      snapshot.release()
      await state.close()
    }
  })
  return evaluationOutcome(KEPT, ask, window, await Promise.all(read))
}

const outcomeOf = async (rows: readonly Timed[], reached: Reached, parts: Partial<EvaluationAsk> = {}) =>
  outcomeIn(await statesOf(rows, reached), parts)

async function reportOf(...of: Parameters<typeof outcomeOf>) {
  const outcome = await outcomeOf(...of)
  if (outcome.kind !== 'evaluation') throw new Error(outcome.kind)
  return outcome.report
}

const ended = (value: TrainingRow): Timed => [value.touchTimeMs + WEEK_MS, value]

describe('a report', () => {
  test('has the days that were asked for up to its time, and is mature when every window is over', async () => {
    const rows = [T - 1, T, T + DAY, T + 2 * DAY - 1].map((at) => ended(row(at, 1)))
    const daysAt = async (watermark: number, days: number) =>
      (await reportOf(rows, through(watermark), { days })).days.map(({ dayMs, mature, touches }) => {
        return [(dayMs - T) / DAY, mature, touches]
      })
    const end = T + 2 * DAY + WEEK_MS
    expect(await daysAt(end, 30)).toEqual([
      [-1, true, 1],
      [0, true, 1],
      [1, true, 2],
    ])
    expect((await daysAt(end - 1, 30)).at(-1)).toEqual([1, false, 2])
    expect(await daysAt(end, 9)).toEqual([[1, true, 2]])
    expect(await daysAt(end, 10)).toHaveLength(2)
  })

  test('tells slices over its days, the most touches first; of one of them its days and its curve', async () => {
    const rows = [
      ended(row(T, 1)),
      ended(row(T + DAY, 0)),
      ended(row(T, 0, { advertiser: 'bank', version: 2, p: [0.1, 0.4, 0.3] })),
      ended(row(T, 1, { version: 0 })),
    ]
    const ids = async (parts: Partial<EvaluationAsk>) =>
      (await reportOf(rows, through(T + 20 * DAY), parts)).slices.map(({ id, touches }) => [id, touches])
    expect(await ids({ slice: 'advertiser' })).toEqual([
      ['shop', 2],
      ['bank', 1],
    ])
    expect(await ids({ slice: 'version' })).toEqual([
      ['1', 2],
      ['0', 1],
      ['2', 1],
    ])
    expect(await ids({ slice: 'type' })).toEqual([['click', 3]])
    expect(await ids({})).toEqual([['', 3]])
    const all = await reportOf(rows, through(T + 20 * DAY), { slice: 'advertiser' })
    expect(all.total).toMatchObject({ touches: 3, positives: 1 })
    expect(all.rows).toMatchObject({ mature: 3, fallback: 1, open: 0 })
    const bank = await reportOf(rows, through(T + 20 * DAY), { slice: 'advertiser', id: 'bank' })
    expect([bank.total.touches, bank.days.length, bank.curve.length]).toEqual([1, 1, 1])
    expect(bank.slices).toHaveLength(2)
    expect((await reportOf(rows, through(T + 20 * DAY), { slice: 'advertiser', id: 'nobody' })).total.touches).toBe(0)
  })

  test('has a curve of points of five conversions each; what is left belongs to the last', async () => {
    // 12 conversions at 0.1, 4 at 0.2, 1 at 0.3, 3 at 0.4 and none at 0.9: by twos of touches.
    const counts = [
      [0.1, 12],
      [0.2, 4],
      [0.3, 1],
      [0.4, 3],
      [0.9, 0],
    ] as const
    const rows = counts.flatMap(([p, positives]) =>
      Array.from({ length: 20 }, (_, i) => ended(row(T, i < positives ? 1 : 0, { p: [0, p, 0] }))),
    )
    const curve = async (some: readonly Timed[]) => (await reportOf(some, through(T + 20 * DAY))).curve
    const told = await curve(rows)
    expect(told.map(({ touches, positives }) => [touches, positives])).toEqual([
      [20, 12],
      [80, 8],
    ])
    expect(told[1]!.p).toBeCloseTo((0.2 + 0.3 + 0.4 + 0.9) / 4, 9)
    expect(told[1]!.rate).toBe(0.1)
    expect([told[0]!.from <= 0.1, told[0]!.to <= 0.2, told[1]!.to > 0.9]).toEqual([true, true, true])
    expect((await curve(rows.slice(-20))).map(({ touches, rate }) => [touches, rate])).toEqual([[20, 0]])
  })

  test('of a task that has seen nothing says so; that of an input that has ended is up to its last event', async () => {
    expect(await reportOf([], through(-1))).toMatchObject({ throughMs: null, days: [], slices: [], estimated: null })
    expect((await reportOf([], { watermark: 0, drained: true, asOf: T })).throughMs).toBe(T)
    expect((await reportOf([], { watermark: 0, drained: true, asOf: null })).throughMs).toBeNull()
  })

  test('is refused of a window that there is not, and of more entries than may be looked at', async () => {
    const windows = ATTRIBUTION_DEFAULT.windows.map(({ name }) => name)
    expect(await outcomeOf([], through(T), { window: '3d' })).toEqual({ kind: 'unknown_window', windows })
    const perDay = SLICES_NAMED_MAX
    const days = EVALUATION_ENTRIES_MAX / perDay + 1
    const rows = Array.from({ length: days * perDay }, (_, i) =>
      ended(row(T + Math.floor(i / perDay) * DAY, 0, { advertiser: `a${i % perDay}` })),
    )
    const states = await statesOf(rows, through(T + days * DAY - 1))
    const told = (asked: number) => outcomeIn(states, { slice: 'advertiser', days: asked })
    expect(await told(days)).toEqual({ kind: 'too_large', what: expect.stringContaining('ask for fewer days') })
    expect((await told(days - 1)).kind).toBe('evaluation')
    expect(evaluationIn({ stages: [] })).toBeNull()
  })
})

describe('of days whose window is open', () => {
  const DAYS = 30
  const PER_DAY = 600
  const u = (i: number, of: number): number => ((hashNumber(i, of) >>> 0) + 0.5) / 2 ** 32

  /** Touches of 30 days that convert with 0.15, half of them within a day; all promise `said`. */
  function world(said: number): Timed[] {
    const rows: Timed[] = []
    for (let i = 0; i < DAYS * PER_DAY; i++) {
      const at = T + Math.floor((i / PER_DAY) * DAY)
      const delayMs = u(i, 1) < 0.15 ? 60_000 * (7 * 24 * 60) ** u(i, 2) : null
      const early = delayMs !== null && delayMs <= shortWaitMs ? 1 : 0
      const y = delayMs === null ? 0 : 1
      const p = [0.1, said, 0.3]
      rows.push([at + shortWaitMs + graceMs, row(at, early, { kind: 'O', p })])
      if (y === 1 && early === 0) rows.push([at + delayMs! + graceMs, row(at, 1, { kind: 'D', p })])
      rows.push(ended(row(at, y, { p })))
    }
    return rows.sort(([a], [b]) => a - b)
  }
  const seenBy = (rows: readonly Timed[], watermark: number) => rows.filter(([at]) => at <= watermark)

  test.each([
    [0.15, 1],
    [0.3, 2],
  ])('calibration is told without waiting: who says %d of 0.15 is at %d', async (said, expected) => {
    const now = T + 28 * DAY + 15 * HOUR
    const { days, estimated } = await reportOf(seenBy(world(said), now), through(now))
    const open = days.filter(({ mature }) => !mature)
    expect(days.filter(({ mature, estimated }) => mature && estimated !== null)).toEqual([])
    expect(open).toHaveLength(8)
    // Of some hundred conversions a day.
    for (const { estimated: one } of open.slice(0, -1))
      expect(Math.abs(one!.calibration!.value / expected - 1)).toBeLessThan(0.35)
    expect(Math.abs(estimated!.calibration!.value / expected - 1)).toBeLessThan(0.06)
    const { interval } = estimated!.calibration!
    expect([interval.low < expected * 1.02, interval.high > expected * 0.98]).toEqual([true, true])
    // What is known so far alone would say more: half of yesterday's conversions are still to come.
    const yesterday = open.at(-2)!
    expect((PER_DAY * said) / yesterday.estimated!.known).toBeGreaterThan(1.25 * expected)
    expect(yesterday.estimated!.touches).toBe(PER_DAY)
  })

  test('nothing is said while too few conversions of whole windows tell how long they take', async () => {
    const rows = world(0.15)
    const first = T + DAY + WEEK_MS
    expect((await reportOf(seenBy(rows, first - 1), through(first - 1))).estimated).toBeNull()
    expect((await reportOf(seenBy(rows, first), through(first))).estimated).not.toBeNull()
    const few = (count: number): Timed[] => [
      ...Array.from({ length: count }, (): Timed => [T + 2 * HOUR, row(T, 1, { kind: 'O' })]),
      [T + 9 * DAY, row(T + 8 * DAY, 0, { kind: 'O' })],
    ]
    expect((await reportOf(few(CONVERSIONS_MIN - 1), through(T + 9 * DAY))).estimated).toBeNull()
    const told = await reportOf(few(CONVERSIONS_MIN), through(T + 9 * DAY))
    expect(told.estimated).toMatchObject({ touches: 1, known: 0, calibration: null })
    // Nor of days on which next to nothing came.
    const open = (count: number): Timed[] =>
      Array.from({ length: count }, () => [T + 9 * DAY, row(T + 8 * DAY, 1, { kind: 'O' })])
    const said = async (count: number) =>
      (await reportOf([...few(CONVERSIONS_MIN), ...open(count)], through(T + 9 * DAY))).estimated!.calibration
    expect(await said(TOLD_CONVERSIONS_MIN - 1)).toBeNull()
    expect(await said(TOLD_CONVERSIONS_MIN)).not.toBeNull()
  })
})

// Labels of random streams against a twin that keeps everything that came as a list, and finds every row by looking through all of it.

import fc from 'fast-check'
import { expect, test } from 'vitest'
import {
  conversionAt,
  GRACE,
  LONGEST,
  ORDER_HORIZON,
  PIXEL_DELAY,
  rec,
  refundAt,
  run,
  SETTINGS,
  SHORT,
  touchAt,
} from '../test/label-records.ts'
import { runStage } from '../test/stage-harness.ts'
import { type Goal, lengthFor } from './attribution-settings.ts'
import { conservation } from './label-counts.ts'
import { type LabelInput, labels } from './labels.ts'
import type { TaughtRows, TrainingRow } from './model-records.ts'
import type { Rec } from './operator.ts'
import type { Conversion, LabelRecord, Touch } from './touch.ts'

const GOALS: readonly Goal[] = [{ name: 'all' }, { name: 'x', ads: ['x'] }]

interface World {
  readonly goals: readonly Goal[]
  readonly records: readonly Rec<LabelInput>[]
}

const action = fc.record({
  kind: fc.constantFrom('touch', 'touch', 'conversion', 'conversion', 'refund'),
  step: fc.nat(50),
  /** How late; 0: on time. */
  back: fc.oneof({ weight: 3, arbitrary: fc.constant(0) }, { weight: 1, arbitrary: fc.integer({ min: 1, max: 350 }) }),
  user: fc.constantFrom('u', 'v'),
  type: fc.constantFrom('click', 'impression'),
  ad: fc.constantFrom('x', 'y'),
  order: fc.constantFrom('o', 'p', null),
  value: fc.constantFrom(null, 0, 1, 2, 3),
  /** Which candidate has the credit. */
  pick: fc.nat(6),
})
type Action = typeof action extends fc.Arbitrary<infer A> ? A : never

/** A conversion to be credited. */
interface Draw {
  readonly conversion: Conversion
  readonly pick: number
}

/** Records in their order; who is credited is drawn among the touches that are held and may be. */
function worldOf(actions: readonly Action[], goals: readonly Goal[]): World {
  let clock = 1_000
  const names = goals.length === 0 ? [''] : goals.map(({ name }) => name)
  const entries = actions.flatMap((drawn, n): Rec<Touch | Conversion | Draw>[] => {
    clock += drawn.step
    const { kind, back, user, type, ad, order, value, pick } = drawn
    const timeMs = clock - back
    const valueMicro = value === null ? null : value * 1e6
    const at = { late: back > 0, number: n }
    if (kind === 'touch')
      return [rec(touchAt(timeMs, { id: `t${n}`, user, type: type as Touch['type'], ad }), clock, at)]
    if (kind === 'refund') return [rec(refundAt(timeMs, { id: `r${n}`, user, refundOf: order, valueMicro }), clock, at)]
    const conversion = conversionAt(timeMs, { id: `c${n}`, user, orderId: order, valueMicro, goals: names })
    const due = back > 0 ? clock : timeMs + GRACE
    const matched = { conversion, pick }
    return [rec(conversion, clock, at), rec(matched, due, { ...at, rank: back > 0 ? 1 : 2 })]
  })
  entries.sort((a, b) => a.at - b.at || a.rank - b.rank || a.number - b.number)
  const held: { touch: Touch; until: number }[] = []
  const records = entries.map((entry): Rec<LabelInput> => {
    const { value, watermark, late } = entry
    if ('kind' in value) {
      if (value.kind === 'touch')
        held.push({ touch: value, until: Math.max(value.timeMs, watermark) + LONGEST + PIXEL_DELAY })
      return entry as Rec<LabelInput>
    }
    const { conversion, pick } = value
    const known = held.filter(({ until }) => watermark < until).map(({ touch }) => touch)
    const lanes = names.flatMap((goal) =>
      SETTINGS.windows.map((window, index) => {
        const candidates = known.filter((touch) => {
          const age = conversion.timeMs - touch.timeMs
          const lengthMs = lengthFor(window, touch.type)
          const covered = goal !== 'x' || touch.ad === 'x'
          return covered && touch.user === conversion.user && lengthMs !== null && age >= 0 && age <= lengthMs
        })
        return { goal, window: index, touch: candidates[(pick + index) % (candidates.length + 1)] ?? null }
      }),
    )
    return { ...entry, value: { kind: 'attributed', conversion, late, lanes } }
  })
  return { goals, records }
}

const world = fc
  .tuple(fc.array(action, { maxLength: 70 }), fc.constantFrom<readonly Goal[]>([], [], GOALS))
  .map(([actions, goals]) => worldOf(actions, goals))

interface Twin {
  readonly rows: readonly string[]
  readonly counts: Readonly<Record<string, number>>
}

/** Rows as text; `asOf`: the end of the input. */
function twin({ goals, records }: World, asOf: number): Twin {
  const rows: string[] = []
  const counts: Record<string, number> = {}
  const count = (name: string, by = 1) => {
    if (by !== 0) counts[name] = (counts[name] ?? 0) + by
  }
  const names = goals.length === 0 ? [''] : goals.map(({ name }) => name)
  const credits = records.flatMap(({ value, watermark }, place) =>
    value.kind === 'attributed' ? value.lanes.map((lane) => ({ ...lane, by: value.conversion, watermark, place })) : [],
  )
  for (const { goal, window, touch } of credits)
    count(`${touch === null ? 'unattributed' : 'attributed'}.${laneText(goal, window)}`)
  for (const { value: touch } of records) {
    if (touch.kind !== 'touch') continue
    for (const goal of names)
      SETTINGS.windows.forEach((window, index) => {
        const lengthMs = lengthFor(window, touch.type)
        if (lengthMs === null || (goal === 'x' && touch.ad !== 'x')) return
        const lane = laneText(goal, index)
        const mine = credits.filter(
          (credit) => credit.touch === touch && credit.goal === goal && credit.window === index,
        )
        const say = (kind: string, number: number, of: readonly Conversion[], at: number) => {
          const sum = of.reduce((total, { valueMicro }) => total + (valueMicro ?? 0), 0)
          rows.push(`${touch.id} ${lane} ${kind}${number} ${Math.min(1, of.length)} ${of.length} ${sum} ${at <= asOf}`)
          count(`labels.${kind}.${lane}`)
        }
        if (lengthMs > SHORT) {
          const due = touch.timeMs + SHORT + GRACE
          const early = mine.filter(({ by, watermark }) => watermark < due && by.timeMs <= touch.timeMs + SHORT)
          say(
            'O',
            1,
            early.map(({ by }) => by),
            due,
          )
          count(`labels.observed_positives.${lane}`, Math.min(1, early.length))
          if (early.length === 0 && mine.length > 0) say('D', 1, [mine[0]!.by], Math.max(due, mine[0]!.watermark + 1))
        } else count(`labels.credited_without_O.${lane}`, Math.min(1, mine.length))
        const due = touch.timeMs + lengthMs + GRACE
        const mature = mine.filter(({ watermark }) => watermark < due)
        say(
          'M',
          1,
          mature.map(({ by }) => by),
          due,
        )
        if (due <= asOf) count(`labels.complete.${lane}`)
        count(`labels.positives.${lane}`, Math.min(1, mature.length))
        mine.slice(mature.length).forEach(({ watermark }, i) => {
          say(
            'C',
            i + 1,
            mine.slice(0, mature.length + i + 1).map(({ by }) => by),
            watermark + 1,
          )
        })
        count(`labels.credited.${lane}`, Math.min(1, mine.length))
        count(`labels.corrected_positives.${lane}`, mature.length === 0 ? Math.min(1, mine.length) : 0)
      })
  }
  for (const row of refundRows(records, credits, asOf, count)) rows.push(row)
  return { rows: rows.sort(), counts }
}

const laneText = (goal: string, window: number) => `${goal === '' ? '' : `${goal}/`}${SETTINGS.windows[window]!.name}`

function refundRows(
  records: readonly Rec<LabelInput>[],
  credits: readonly { goal: string; window: number; touch: Touch | null; by: Conversion; place: number }[],
  asOf: number,
  count: (name: string) => void,
): string[] {
  const due = records.flatMap(({ value: refund, at, late }, place) => {
    if (refund.kind !== 'conversion' || refund.refundOf === undefined) return []
    const accepted = records.slice(0, place).filter(({ value: other }) => {
      if (other.kind !== 'conversion' || other.refundOf !== undefined) return false
      return other.user === refund.user && other.orderId === refund.refundOf && refund.refundOf !== null
    })
    const order = accepted.at(-1)
    if (order === undefined || at - order.at > ORDER_HORIZON) {
      count('refund_unmatched')
      return []
    }
    // On time: behind all that came up to then, and behind the attributions of that time.
    const firesAt = late ? at : refund.timeMs + GRACE
    const behind = late ? place : records.filter((other) => other.at <= firesAt).length - 0.5
    return [{ refund, order: order.value as Conversion, firesAt, behind }]
  })
  due.sort((a, b) => a.firesAt - b.firesAt || a.behind - b.behind || (a.refund.id < b.refund.id ? -1 : 1))
  const numbers = new Map<string, number>()
  return due.flatMap(({ refund, order, firesAt, behind }) => {
    const [whole, named] = [order.valueMicro ?? 0, Math.abs(refund.valueMicro ?? 0)]
    const amount = named === 0 ? whole : named
    return credits
      .filter(({ touch, by, place }) => touch !== null && by.id === order.id && place < behind)
      .map(({ goal, window, touch }) => {
        const lane = laneText(goal, window)
        const number = (numbers.get(`${touch!.id} ${lane}`) ?? 0) + 1
        numbers.set(`${touch!.id} ${lane}`, number)
        count(`labels.R.${lane}`)
        const said = `${amount < whole ? 0 : -1} ${amount === 0 ? 0 : -amount}`
        return `${touch!.id} ${lane} R${number} 0 ${said} ${firesAt <= asOf}`
      })
  })
}

const rowTexts = (records: readonly unknown[]): string[] =>
  (records as LabelRecord[])
    .flatMap(({ touch_id, kind, complete, rows }) =>
      rows.map(({ goal, window, number, y, count, value }) => {
        const lane = goal === undefined ? window : `${goal}/${window}`
        return `${touch_id} ${lane} ${kind}${number} ${y} ${count} ${value} ${complete}`
      }),
    )
    .sort()

const withoutZeros = (counts: Readonly<Record<string, number>>) =>
  Object.fromEntries(Object.entries(counts).filter(([, value]) => value !== 0))

test('the twin agrees on random streams, and the law holds at any time', async () => {
  await fc.assert(
    fc.asyncProperty(world, fc.double({ min: 0, max: 1, noNaN: true }), async (drawn, share) => {
      const settings = { ...SETTINGS, goals: drawn.goals }
      const asOf = drawn.records.at(-1)?.at ?? 0
      const { emitted, counts } = await run(drawn.records, { drain: asOf }, settings)
      const expected = twin(drawn, asOf)
      expect(rowTexts(emitted.labels!)).toEqual(expected.rows)
      expect(withoutZeros(counts)).toEqual(expected.counts)
      for (const lane of conservation(counts, settings))
        expect(lane).toMatchObject({ holds: true, awaitingMature: 0, awaitingObserved: 0 })
      const before = await run(drawn.records.slice(0, Math.floor(share * drawn.records.length)), {}, settings)
      for (const { holds } of conservation(before.counts, settings)) expect(holds).toBe(true)
    }),
    { numRuns: 200 },
  )
})

test('slices and restarts change nothing', async () => {
  const cut = fc.record({
    sliceMax: fc.constantFrom(1, 3),
    recordsPerSlice: fc.constantFrom(1, 4),
    restartEvery: fc.constantFrom(1, 3),
  })
  await fc.assert(
    fc.asyncProperty(world, cut, async ({ records, goals }, options) => {
      const settings = { ...SETTINGS, goals }
      const whole = await run(records, { drain: 5_000 }, settings)
      const sliced = await run(records, { drain: 5_000, ...options }, settings)
      expect(sliced).toEqual(whole)
    }),
    { numRuns: 60 },
  )
})

/** Of every other touch: what a model said. */
function withScore(touch: Touch): Touch {
  const n = touch.timeMs
  return n % 2 === 0 ? touch : { ...touch, scored: { version: n % 5, p: [n / 8_192, 0], input: `in${n % 7}==` } }
}

function scoredRecord(record: Rec<LabelInput>): Rec<LabelInput> {
  const { value } = record
  if (value.kind === 'touch') return { ...record, value: withScore(value) }
  if (value.kind !== 'attributed') return record
  const lanes = value.lanes.map((lane) => ({ ...lane, touch: lane.touch === null ? null : withScore(lane.touch) }))
  return { ...record, value: { ...value, lanes } }
}

test('LB4: each record of a scored touch is a row that teaches, with what was said of the touch; nothing else changes', async () => {
  let seen = 0
  await fc.assert(
    fc.asyncProperty(world, fc.constantFrom(1, 3), async ({ goals, records }, restartEvery) => {
      const settings = { ...SETTINGS, goals }
      const taught = goals.length === 0 ? '' : 'x'
      const told = { output: 'labels', orderHorizonMs: ORDER_HORIZON }
      const options = { outputs: ['labels'], drain: 5_000 }
      const plain = await runStage(() => [labels(settings, told)], records, options)
      const scoredRecords = records.map(scoredRecord)
      const unheard = await runStage(() => [labels(settings, told)], scoredRecords, options)
      expect(unheard).toEqual(plain)
      const heard = await runStage(() => [labels(settings, { ...told, taught })], scoredRecords, {
        ...{ ...options, restartEvery, recordsPerSlice: 2 },
      })
      expect([heard.emitted, heard.counts]).toEqual([plain.emitted, plain.counts])
      const isRows = (value: unknown): value is TaughtRows => 'rows' in (value as object)
      const values = heard.out.map(({ value }) => value)
      expect(values.filter((value) => !isRows(value))).toEqual(plain.out.map(({ value }) => value))
      const places = heard.out.filter(({ value }) => isRows(value))
      const keys = places.map(({ at, rank, type, id, number }) => JSON.stringify([at, rank, type, id, number]))
      expect(new Set(keys).size).toBe(keys.length)

      const expected = (plain.emitted.labels as LabelRecord[]).flatMap((record): TrainingRow[] => {
        const { kind, complete, touch_id: touchId, touch_type: touchType, touch_time: touchTimeMs } = record
        const { scored } = withScore(touchAt(touchTimeMs))
        const lanes = record.rows
          .filter(({ goal = '' }) => goal === taught)
          .map(({ window, y, count }) => ({
            window: SETTINGS.windows.findIndex(({ name }) => name === window),
            y,
            count,
          }))
        if (scored === undefined || lanes.length === 0) return []
        const { user_id: user, advertiser_id: advertiser } = record
        const { version, p } = scored
        const input = kind === 'M' ? null : scored.input
        return [{ kind, complete, touchId, touchType, user, advertiser, touchTimeMs, lanes, version, p, input }]
      })
      expect(values.filter(isRows).flatMap(({ rows }) => rows)).toEqual(expected)
      seen += expected.length
    }),
    { numRuns: 60 },
  )
  expect(seen).toBeGreaterThan(0)
})

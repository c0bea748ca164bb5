import fc from 'fast-check'
import { afterAll, describe, expect, test } from 'vitest'
import type { Event } from '../../operators/event.ts'
import type { Operator, Rec } from '../../operators/operator.ts'
import type { PublishedVector } from '../../operators/touch-vectors.ts'
import { adsPlan, adsStream } from '../../test/features/ads-plans.ts'
import { naiveInVector } from '../../test/features/naive-vectors.ts'
import { type Draw, draws } from '../../test/features/random-plans.ts'
import { runOperator } from '../../test/operator-harness.ts'
import { topology } from '../dsl.ts'
import { type Plan, SOURCE } from '../plan.ts'
import { type CompiledFeatures, type CompileOptions, compileFeatures, LOOKBACK_MS, RULE_NAMES } from './compile.ts'
import { keepFeatures } from './stage-plan.ts'
import { touchVectorPlan, type VectorPlan } from './vectors.ts'

const STAGES = { user_id: 'users', advertiser_id: 'ads' }

const arriving: Operator<Event, Event> = {
  ...{ name: 'arriving', version: 1, settings: null, stores: [] },
  process: (batch) => batch,
}

function planOf(compiled: CompiledFeatures, vectors: VectorPlan | null): Plan {
  const options = { namespace: 't', name: 't', clock: 'wall', partitions: 1, latenessMs: 0 } as const
  return topology(options, (t) => keepFeatures(t.source(STAGES.user_id, arriving), compiled, STAGES, vectors))
}

/** What comes out at the end of all stages, and what is kept in them. */
function run({ stages }: Plan, records: readonly Rec<Event>[], sliceRecords: number) {
  const inputs = new Map<string, readonly Rec<unknown>[]>([[STAGES.user_id, records]])
  const vectors: PublishedVector[] = []
  const kept: string[] = []
  const counts: Record<string, number> = {}
  for (const stage of stages) {
    const results: (readonly Rec<unknown>[])[] = []
    const source = inputs.get(stage.name)!
    for (const { operator, from } of stage.nodes) {
      const outcome = runOperator(operator, from === SOURCE ? source : results[from]!, { sliceRecords })
      results.push(outcome.out)
      vectors.push(...outcome.emitted.map(({ record }) => record as PublishedVector))
      kept.push(...outcome.entries.map((entry) => `${stage.name} ${operator.name} ${entry}`))
      for (const [name, count] of Object.entries(outcome.counts)) counts[name] = (counts[name] ?? 0) + count
    }
    for (const { stage: to, from, codec } of stage.exchanges) {
      const sent = (from === SOURCE ? source : results[from]!).filter(({ value }) => codec.where(value))
      // In `clock: data` what has come is held as JSON.
      const decoded = sent.map((rec) => codec.decode(JSON.parse(codec.encode(rec.value, rec.at)), rec.at))
      inputs.set(
        to,
        sent.map((rec, i) => ({ ...rec, value: JSON.parse(JSON.stringify(decoded[i])) })),
      )
    }
  }
  return { vectors, kept, counts }
}

/** A heavy run looks at as many as the test of the compiler. */
const PLANS = process.env.HOLDFAST_HEAVY === '1' ? 500 : 70

let compared = 0
let late = 0

/** Compares the vector of every touch, feature by feature, with all events before it. */
function compare(draw: Draw, options: CompileOptions = {}): void {
  const declarations = adsPlan(draw)
  const records = adsStream(draw)
  const compiled = compileFeatures(declarations, options)
  const all = compiled.features.flatMap(({ id, copyFor }) => (copyFor === null ? [id] : []))
  const wanted = draw(fc.boolean()) ? 'all' : draw(fc.subarray(all, { minLength: 1 }))
  const plan = touchVectorPlan(compiled, wanted)
  const { vectors, kept, counts } = run(planOf(compiled, plan), records, draw(fc.constantFrom(1, 7, 128)))
  const touches = records.filter(
    ({ value }) => ['click', 'impression'].includes(value.type) && value.bots === undefined,
  )
  expect(vectors.map(({ event_id }) => event_id)).toEqual(touches.map(({ value }) => value.id))
  expect(counts.vectors ?? 0).toBe(2 * touches.length)
  const said = new Set(wanted === 'all' ? all : wanted)
  touches.forEach((touch, i) => {
    const { value, watermark } = touch
    const { time, fields, id } = value
    const before = records.slice(0, records.indexOf(touch)).map((rec) => rec.value)
    const events = before.filter(({ bots }) => bots === undefined)
    const isLate = time < watermark - LOOKBACK_MS
    if (time <= watermark) late++
    const expected = [...said].sort().map((feature) => {
      const isAbsent = isLate && !feature.startsWith('context.')
      return [feature, isAbsent ? null : naiveInVector(declarations, feature, { fields }, events, time)]
    })
    const { values, ...of } = vectors[i]!
    expect([id, Object.entries(values)]).toStrictEqual([id, expected])
    expect(of).toMatchObject({ event_time: time, user_id: fields.user_id, schema: plan.schema, type: value.type })
    compared += expected.filter(([, one]) => one !== null && one !== 0).length
  })
  // SG1.
  expect(kept).toEqual(run(planOf(compiled, null), records, 7).kept)
}

describe('TV1: a touch takes what is known before it', () => {
  test('for random plans and streams, late and out of order, in slices of 1, 7 and 128', () => {
    fc.assert(
      fc.property(draws, (draw) => compare(draw)),
      { numRuns: PLANS, endOnFailure: true },
    )
  })

  test.each([...RULE_NAMES.map((rule) => [rule]), [...RULE_NAMES]])('without the rules %s', (...without) => {
    fc.assert(
      fc.property(draws, (draw) => compare(draw, { without })),
      { numRuns: PLANS / 10, endOnFailure: true },
    )
  })

  afterAll(() => {
    expect([compared > 1_000, late > 50]).toEqual([true, true])
    console.info(`${compared} values that say something compared, in vectors of which ${late} were of late touches`)
  })
})

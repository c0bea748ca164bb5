import fc from 'fast-check'
import { afterAll, describe, expect, test } from 'vitest'
import type { Event } from '../../operators/event.ts'
import type { Operator, Rec } from '../../operators/operator.ts'
import type { ReadSnapshot } from '../../state/read-snapshot.ts'
import { naiveFeature, naiveKey } from '../../test/features/naive.ts'
import { type Draw, draws, OPERATORS_MIN, randomPlan, randomStream } from '../../test/features/random-plans.ts'
import { type KeyedReader, runOperator } from '../../test/operator-harness.ts'
import { topology } from '../dsl.ts'
import { type ExchangeCodec, SOURCE } from '../plan.ts'
import { type CompiledFeatures, type CompileOptions, compileFeatures, RULE_NAMES, type RuleName } from './compile.ts'
import { type FeatureListing, type FeaturePlan, largest, saysSomething, type View } from './feature-plan.ts'
import { keptListings } from './kept.ts'
import { keepFeatures } from './stage-plan.ts'

const STAGES = { user_id: 'users', ad_id: 'ads' }
const PLANS = 500
const FIRED_MIN = 50

/** Events come as they are. */
const arriving: Operator<Event, Event> = {
  ...{ name: 'arriving', version: 1, settings: null, stores: [] },
  process: (batch) => batch,
}

function planOf(compiled: CompiledFeatures) {
  const options = { namespace: 't', name: 't', clock: 'wall', partitions: 1, latenessMs: 0 } as const
  return topology(options, (t) => keepFeatures(t.source(STAGES.user_id, arriving), compiled, STAGES, null))
}

/** Features as they are read after all records, each of which went through the operators of every stage that it travels to. */
function run(compiled: CompiledFeatures, records: readonly Rec<Event>[], sliceRecords: number) {
  const asOf = Math.max(...records.map((rec) => rec.value.time))
  const { stages } = planOf(compiled)
  const exchanges = new Map(stages.flatMap((stage) => stage.exchanges.map(({ stage: to, codec }) => [to, codec])))
  return stages.flatMap((stage) => {
    const codec = exchanges.get(stage.name)
    const input = codec === undefined ? records : travelled(records, codec)
    const stores: Stores = new Map()
    const results: (readonly Rec<unknown>[])[] = []
    for (const { operator, from, stores: named } of stage.nodes) {
      const outcome = runOperator(operator, from === SOURCE ? input : results[from]!, { sliceRecords })
      results.push(outcome.out)
      operator.stores.forEach(({ name }, i) => void stores.set(named[i]!.name, outcome.keyed(name)))
    }
    const view: View = { snapshot: snapshotOf(stores), watermark: records.at(-1)!.watermark, asOf, edition: null }
    return keptListings(stage).map((listing) => ({ listing, view }))
  })
}

function travelled(records: readonly Rec<Event>[], { where, encode, decode }: ExchangeCodec<Event, Event>) {
  return records
    .filter(({ value }) => where(value))
    .map((rec) => ({ ...rec, value: decode(JSON.parse(encode(rec.value, rec.at)), rec.at) }))
}

type Stores = Map<string, KeyedReader<unknown>>

/** The part of a snapshot that reads use. */
function snapshotOf(stores: Stores): ReadSnapshot {
  const snapshot: Pick<ReadSnapshot, 'lowestBucket' | 'multiGet' | 'scan'> = {
    lowestBucket: (store) => stores.get(store)!.lowestBucket,
    multiGet: async <V>(store: string, keys: readonly (readonly [number, string])[]) =>
      keys.map(([bucket, key]) => stores.get(store)!.get(bucket, key) as V | undefined),
    async *scan<V>(store: string, from: number, to: number) {
      for (const [bucket, key, value] of stores.get(store)!.all())
        if (bucket >= from && bucket < to) yield [bucket, key, value as V] as const
    },
  }
  return snapshot as ReadSnapshot
}

const idOf = ({ entity, feature }: FeaturePlan): string => `${entity}.${feature}`

/** Compares each feature of each key, at times that can be asked for, with the interpreter. Gives the number of values. */
async function compare(
  draw: Draw,
  options: CompileOptions = {},
): Promise<{ compiled: CompiledFeatures; values: number }> {
  const { declarations, served } = randomPlan(draw)
  const { records } = randomStream(draw)
  const compiled = compileFeatures(declarations, { served, ...options })
  const events = records.map((rec) => rec.value)
  const later = draw(fc.nat(30 * 86_400_000))
  let values = 0
  const read = run(compiled, records, draw(fc.constantFrom(1, 7, 128)))
  const ids = new Set(read.flatMap(({ listing }) => listing.features.map(idOf)))
  expect(served.filter((id) => !ids.has(id))).toEqual([])
  for (const { feature, view } of read.flatMap(({ listing, view }) =>
    listing.features.map((feature) => ({ feature, view })),
  )) {
    const entity = declarations.entities.find(({ name }) => name === feature.entity)!
    const byKey = Map.groupBy(events, (event) => naiveKey(entity, event))
    byKey.delete(undefined)
    const keys = ['nobody', ...byKey.keys()] as string[]
    const T0 = feature.earliestAt(view)
    const asks = [T0, Math.max(T0, view.asOf), Math.max(T0, view.asOf) + later].map((T) => ({ keys, T }))
    const found = await feature.valuesOf(view, asks)
    asks.forEach(({ T }, i) => {
      const expected = keys.map((key) => naiveFeature(declarations, idOf(feature), byKey.get(key) ?? [], T) ?? null)
      expect([idOf(feature), T, found[i]]).toStrictEqual([idOf(feature), T, expected])
      values += found[i]!.filter(saysSomething).length
    })
  }
  return { compiled, values }
}

/** What lists of all values, and of the largest, must be: by the features as they are read key by key. */
async function compareLists(
  draw: Draw,
  options: CompileOptions,
): Promise<{ listed: number; unlisted: number; cut: number }> {
  const { declarations, served } = randomPlan(draw)
  const { records } = randomStream(draw)
  const compiled = compileFeatures(declarations, { served, ...options })
  const counts = { listed: 0, unlisted: 0, cut: 0 }
  for (const { listing, view } of run(compiled, records, 128)) {
    const lists = await listedBy(listing, view)
    for (const [place, feature] of listing.features.entries()) {
      const entity = declarations.entities.find(({ name }) => name === feature.entity)!
      const keys = [...new Set(records.map(({ value }) => naiveKey(entity, value)))].filter((key) => key !== undefined)
      const said = new Map<string, unknown>()
      for (const key of keys) {
        const values = await feature.explain(view, key, view.asOf)
        if (!saysSomething(values.at(-1)!.value)) continue
        // KF2 of kept.ts; what is kept says from when its events are.
        if (values.some(({ from, value }) => from !== null && saysSomething(value))) said.set(key, values.at(-1)!.value)
        else counts.unlisted++
      }
      expect([idOf(feature), lists[place]]).toEqual([idOf(feature), said])
      counts.listed += said.size
      if (feature.topAt !== null) counts.cut += await compareTop(feature, view, said as Map<string, number>)
    }
  }
  return counts
}

async function listedBy(listing: FeatureListing, view: View): Promise<Map<string, unknown>[]> {
  const lists = listing.features.map(() => new Map<string, unknown>())
  for await (const { place, key, value } of listing.valuesAt(view, view.asOf)) {
    expect(lists[place]!.has(key)).toBe(false)
    lists[place]!.set(key, value)
  }
  return lists
}

/** Gives how many of the scans ended at their bound. */
async function compareTop({ topAt }: FeaturePlan, view: View, said: ReadonlyMap<string, number>): Promise<number> {
  const all = await topAt!(view, view.asOf, { k: 3, entriesMax: 1_000 })
  expect(all).toMatchObject({ top: largest(said, 3), complete: true })
  if (all.scanned < 2) return 0
  const entriesMax = all.scanned - 1
  const cut = await topAt!(view, view.asOf, { k: 1_000, entriesMax })
  expect([cut.scanned, cut.complete]).toEqual([entriesMax, false])
  for (const [key, value] of cut.top) expect(value).toBe(said.get(key))
  const exact = await topAt!(view, view.asOf, { k: 3, entriesMax: all.scanned })
  expect(exact).toEqual(all)
  return 1
}

test.each([[[]], [RULE_NAMES]])('lists are what is read key by key, without the rules %j', async (without) => {
  const sum = { listed: 0, unlisted: 0, cut: 0 }
  const property = fc.asyncProperty(draws, async (draw) => {
    const counts = await compareLists(draw, { without })
    for (const name of ['listed', 'unlisted', 'cut'] as const) sum[name] += counts[name]
  })
  await fc.assert(property, { numRuns: 30, endOnFailure: true })
  for (const [name, count] of Object.entries(sum)) expect([name, count > 0]).toEqual([name, true])
})

describe('CP1: compiled features say what their declarations say', () => {
  const fired = new Map<RuleName, number>(RULE_NAMES.map((rule) => [rule, 0]))
  let compared = 0

  test(`${PLANS} random plans of at least ${OPERATORS_MIN} features, on random streams`, async () => {
    const property = fc.asyncProperty(draws, async (draw) => {
      const { compiled, values } = await compare(draw)
      compared += values
      for (const rule of RULE_NAMES) if (compiled.firings[rule] > 0) fired.set(rule, fired.get(rule)! + 1)
    })
    await fc.assert(property, { numRuns: PLANS, endOnFailure: true })
    for (const rule of RULE_NAMES) expect([rule, fired.get(rule)! >= FIRED_MIN]).toEqual([rule, true])
  })

  test.each(RULE_NAMES)('without the rule %s', async (rule) => {
    const property = fc.asyncProperty(draws, async (draw) => {
      const { compiled } = await compare(draw, { without: [rule] })
      expect(compiled.firings[rule]).toBe(0)
    })
    await fc.assert(property, { numRuns: 30, endOnFailure: true })
  })

  test('without any rule', async () => {
    const property = fc.asyncProperty(draws, async (draw) => {
      await compare(draw, { without: RULE_NAMES })
    })
    await fc.assert(property, { numRuns: 30, endOnFailure: true })
  })

  afterAll(() => {
    const counts = [...fired].map(([rule, count]) => `${rule} ${count}`)
    console.info(`rules fired, of ${PLANS} plans: ${counts.join(', ')}; ${compared} values that say something compared`)
  })
})

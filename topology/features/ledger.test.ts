// Declarations that change in the middle of a stream: what a ledger says of them, and random plans on the stores of a task, whose
// values equal the interpreter's for all events wherever they say that they are complete.

import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Event } from '../../operators/event.ts'
import { featureGroup } from '../../operators/feature-group.ts'
import type { Rec } from '../../operators/operator.ts'
import { FORMS_MAX } from '../../operators/record-forms.ts'
import { LAYOUTS_MAX } from '../../operators/vector.ts'
import { MemoryDisk } from '../../state/memory-backend.ts'
import type { ReadSnapshot } from '../../state/read-snapshot.ts'
import { TaskState } from '../../state/task-state.ts'
import { partOf } from '../../test/features/ads-plans.ts'
import { naiveFeature, naiveKey } from '../../test/features/naive.ts'
import { naiveInVector } from '../../test/features/naive-vectors.ts'
import { draws, randomPlan, randomStream } from '../../test/features/random-plans.ts'
import { Context, Runner, slicesOf } from '../../test/operator-harness.ts'
import { commitSlice } from '../../test/operator-on-state.ts'
import { begun, type EditionState, firstEdition } from '../edition.ts'
import type { StagePlan } from '../plan.ts'
import { APPLICATION } from './application.ts'
import { type CompiledFeatures, compileFeatures } from './compile.ts'
import { type Declarations, isDerived, isWindowed } from './declaration.ts'
import { keeping, keptListings } from './kept.ts'
import { type Ledger, ledgerAfter, withLedger } from './ledger.ts'
import { meaningHashes } from './meaning.ts'
import { StageVectors } from './vector-reads.ts'

/** States of the entities of a plan, each on a disk of its own. */
type Disks = Map<string, MemoryDisk>

/** Records through the groups of a plan, in a process of its own; the snapshots that are left, by entity. */
async function process(compiled: CompiledFeatures, disks: Disks, records: readonly Rec<Event>[]) {
  const snapshots = new Map<string, ReadSnapshot>()
  for (const { group } of compiled.groups) {
    const disk = disks.get(group.entity) ?? new MemoryDisk()
    disks.set(group.entity, disk)
    disk.crash()
    const operator = featureGroup(group)
    const state = await TaskState.open(disk.open(), operator.stores, { keyedCacheEntries: 4 })
    const context = new Context(state)
    const runner = new Runner(operator, context)
    for (const slice of slicesOf(records, 7)) {
      await commitSlice(state, operator, { context, runner, slice })
    }
    snapshots.set(group.entity, state.acquireSnapshot())
  }
  return snapshots
}

/** The features of a plan that is all in one stage, and where they are read. */
function readingOf(compiled: CompiledFeatures, snapshots: ReadonlyMap<string, ReadSnapshot>) {
  const nodes = compiled.groups.map((group) => {
    const operator = featureGroup(group.group)
    const stores = operator.stores.map((spec) => ({ ...spec, name: `${group.entity.name}/${spec.name}` }))
    return { operator: keeping(operator, compiled, group), from: -1, stores }
  })
  const of = (store: string): [ReadSnapshot, string] => {
    const [entity, name] = store.split('/') as [string, string]
    return [snapshots.get(entity)!, name]
  }
  const snapshot: Pick<ReadSnapshot, 'lowestBucket' | 'multiGet'> = {
    lowestBucket(store) {
      const [from, name] = of(store)
      return from.lowestBucket(name)
    },
    multiGet(store, keys) {
      const [from, name] = of(store)
      return from.multiGet(name, keys)
    },
  }
  const stage = { name: 'all', nodes } as unknown as StagePlan
  const features = keptListings(stage).flatMap((listing) => listing.features)
  return { stage, features, snapshot: snapshot as ReadSnapshot }
}

function planOf(declarations: Declarations, before: Ledger | null) {
  const ledger = ledgerAfter(before, declarations)
  return { ledger, compiled: withLedger(compileFeatures(declarations), declarations, ledger) }
}

/** Everything may be in a vector. */
const forAds = (declarations: Declarations): Declarations => ({
  ...declarations,
  features: declarations.features.map((feature) => ({ ...feature, purpose: 'personalised_ads' })),
})

describe('a plan that changes', () => {
  test('says what it had said all the time where it is complete, and never 0 where it is not', async () => {
    const seen = { complete: 0, partial: 0, later: 0, vectors: 0, absent: 0 }
    const property = fc.asyncProperty(draws, async (draw) => {
      const declarations = forAds(randomPlan(draw).declarations)
      const { records } = randomStream(draw)
      const bits = draw(fc.array(fc.boolean(), { minLength: 64, maxLength: 64 }))
      const part = partOf(declarations.features, (i) => bits[i % bits.length]!)
      const first = planOf({ ...declarations, features: part }, null)
      const second = planOf(declarations, first.ledger)
      const cut = draw(fc.nat(records.length))
      const [old, now] = [records.slice(0, cut), records.slice(cut)]
      const disks: Disks = new Map()
      await process(first.compiled, disks, old)
      const { stage, features, snapshot } = readingOf(second.compiled, await process(second.compiled, disks, now))
      const seenAfterMs = Math.max(-1, ...old.flatMap(({ value, watermark }) => [value.time, watermark]))
      const isChanged = second.ledger.edition > 1
      const edition: EditionState = isChanged ? begun(firstEdition(1, []), 2, [], seenAfterMs) : firstEdition(1, [])
      const asOf = Math.max(...records.map(({ value }) => value.time))
      const view = { snapshot, watermark: records.at(-1)!.watermark, asOf, edition }
      const events = records.map(({ value }) => value)
      for (const feature of features) {
        const entity = declarations.entities.find(({ name }) => name === feature.entity)!
        const byKey = Map.groupBy(events, (event) => naiveKey(entity, event))
        byKey.delete(undefined)
        const keys = ['nobody', ...byKey.keys()] as string[]
        const from = feature.completeFrom(edition)!
        const earliest = Math.max(asOf, feature.earliestAt(view))
        const times = [earliest, Math.max(earliest, from), Math.max(earliest, from - 1)]
        const found = await feature.valuesOf(
          view,
          times.map((T) => ({ keys, T })),
        )
        const id = `${feature.entity}.${feature.feature}`
        times.forEach((T, i) => {
          if (T < from) {
            expect([id, found[i]!.includes(0) && isCount(id, declarations)]).toEqual([id, false])
            seen.partial += keys.length
            return
          }
          const expected = keys.map((key) => naiveFeature(declarations, id, byKey.get(key) ?? [], T) ?? null)
          expect([id, T - from, found[i]]).toStrictEqual([id, T - from, expected])
          seen.complete += expected.filter((value) => value !== null && value !== 0).length
          if (from > 0) seen.later += expected.filter((value) => value !== null && value !== 0).length
        })
      }
      // The same in vectors: a touch that is read takes what all events say.
      const froms = new Map(features.map((one) => [`${one.entity}.${one.feature}`, one.completeFrom(edition)!]))
      const ids = [...froms.keys()].sort()
      const known = events.slice(-5).map(({ fields }) => ({ fields }))
      const touches = [...known, ...known.map(({ fields }) => ({ fields: { ...fields, user_id: 'nobody' } }))]
      for (const T of [asOf, Math.max(asOf, ...froms.values())]) {
        const fields = touches.map((touch) => touch.fields)
        const vectors = await new StageVectors(stage, ids).read(view, fields, T)
        touches.forEach((touch, i) => {
          const expected = ids.map((id) => naiveInVector(declarations, id, touch, events, T))
          const found = ids.map((id, slot) => [id, vectors[i]![slot] ?? null] as const)
          for (const [slot, [id, value]] of found.entries()) {
            const isPartial = T < froms.get(id)!
            if (!isPartial) expect([id, value]).toStrictEqual([id, expected[slot]])
            else if (isCount(id, declarations)) expect([id, value]).not.toEqual([id, 0])
            if (!isPartial && value !== null && value !== 0) seen.vectors++
            if (isPartial && value === null && isCount(id, declarations)) seen.absent++
          }
        })
      }
    })
    await fc.assert(property, { numRuns: 150, endOnFailure: true })
    for (const [what, count] of Object.entries(seen)) expect([what, count > 300]).toEqual([what, true])
  })
})

/** Whether a value of 0 says that nothing was there. */
function isCount(id: string, { features }: Declarations): boolean {
  return features.some(
    (feature) =>
      isWindowed(feature) &&
      ['count', 'distinct', 'sum'].includes(feature.aggregate.fn) &&
      feature.windows.some((window) => id === `${feature.entity}.${feature.name}_${window}`),
  )
}

describe('a ledger', () => {
  const whole = ledgerAfter(null, APPLICATION)
  const without = (test: (id: string) => boolean): Declarations => ({
    ...APPLICATION,
    features: APPLICATION.features.filter((feature) => !test(`${feature.entity}.${feature.name}`)),
  })

  test('stays as it is where nothing else is kept: other words, another order, another name', () => {
    const reversed = APPLICATION.features.filter((feature) => !isDerived(feature)).reverse()
    const renamed = reversed.map((feature) => ({ ...feature, name: `${feature.name}_x`, owner: 'somebody' }))
    expect(ledgerAfter(whole, APPLICATION)).toEqual(whole)
    expect(whole.edition).toBe(1)
    const after = ledgerAfter(whole, { ...APPLICATION, features: renamed })
    expect([after.edition, new Set(Object.values(after.since))]).toEqual([1, new Set([1])])
  })

  test('what goes and comes back is new, and so is its entity; numbers only rise', () => {
    const isPage = (id: string): boolean => id.startsWith('page.')
    const gone = ledgerAfter(whole, without(isPage))
    const back = ledgerAfter(gone, APPLICATION)
    expect([gone.edition, back.edition]).toEqual([2, 3])
    expect(back.forms.page!.map(({ parts }) => parts.length > 0)).toEqual([true, false, true])
    expect(back.forms.user).toEqual(whole.forms.user)
    expect(back.columns).toEqual(whole.columns)
    for (const [id, meaning] of meaningHashes(APPLICATION)) {
      const hash = `${id.split('.')[0]} ${meaning}`
      if (back.since[hash] !== undefined) expect([id, back.since[hash]]).toEqual([id, isPage(id) ? 3 : 1])
    }
  })

  test('has what went to another entity as new: its records stand elsewhere', () => {
    const [user] = APPLICATION.entities
    const entities = [...APPLICATION.entities, { ...user!, name: 'person' }]
    const features = APPLICATION.features.filter((feature) => !isDerived(feature) && feature.entity === 'user')
    const moved = features.map((feature) => ({ ...feature, entity: 'person' }))
    const before = ledgerAfter(null, { ...APPLICATION, features })
    const after = ledgerAfter(before, { ...APPLICATION, entities, features: moved })
    expect([after.edition, new Set(Object.values(after.since))]).toEqual([2, new Set([2])])
  })

  test('has a layout of vectors after the other, and room for so many', () => {
    const taking = ledgerAfter(null, APPLICATION, 'all')
    expect([whole.layouts, taking.layouts!.length, ledgerAfter(taking, APPLICATION, 'all')]).toEqual([
      undefined,
      1,
      taking,
    ])
    const one = (ledger: Ledger, id: string): Ledger => ledgerAfter(ledger, APPLICATION, [id])
    const other = one(taking, 'user.clicks_7d')
    expect([other.edition, other.layouts!.map((layout) => layout.length)]).toEqual([1, [taking.layouts![0]!.length, 1]])
    let ledger: Ledger = { ...other, layouts: Array(LAYOUTS_MAX - 1).fill(other.layouts![1]!) }
    ledger = one(ledger, 'user.clicks_1h')
    expect(ledger.layouts).toHaveLength(LAYOUTS_MAX)
    expect(one(ledger, 'user.clicks_1h')).toEqual(ledger)
    expect(() => one(ledger, 'user.clicks_7d')).toThrow(`vectors have had ${LAYOUTS_MAX} layouts`)
  })

  test('has room for so many forms of an entity, and then it says what to do', () => {
    let ledger = whole
    const change = () => {
      ledger = ledgerAfter(ledger, ledger.edition % 2 === 1 ? without((id) => id.startsWith('page.')) : APPLICATION)
    }
    while (ledger.forms.page!.length < FORMS_MAX) change()
    expect(change).toThrow(`the records of page have had ${FORMS_MAX} forms`)
  })
})

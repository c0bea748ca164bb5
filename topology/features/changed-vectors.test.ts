// Vectors of touches while declarations change: random plans in two stages, each of which goes on with other declarations at a place
// of its own, so that touches are between them with a part of the former layout.

import fc from 'fast-check'
import { afterAll, expect, test } from 'vitest'
import type { Event } from '../../operators/event.ts'
import type { Operator, Rec } from '../../operators/operator.ts'
import type { PublishedVector } from '../../operators/touch-vectors.ts'
import { MemoryDisk } from '../../state/memory-backend.ts'
import { TaskState } from '../../state/task-state.ts'
import { adsPlan, adsStream, partOf } from '../../test/features/ads-plans.ts'
import { naiveInVector } from '../../test/features/naive-vectors.ts'
import { type Draw, draws } from '../../test/features/random-plans.ts'
import { Context, Runner, slicesOf } from '../../test/operator-harness.ts'
import { commitSlice } from '../../test/operator-on-state.ts'
import { topology } from '../dsl.ts'
import { begun, type EditionState, firstEdition, heardFrom, seenAfterOf } from '../edition.ts'
import { type Plan, SOURCE, type StagePlan } from '../plan.ts'
import { compileFeatures, LOOKBACK_MS } from './compile.ts'
import { type Declarations, isWindowed } from './declaration.ts'
import { keptListings } from './kept.ts'
import { type Ledger, ledgerAfter, withLedger } from './ledger.ts'
import { keepFeatures } from './stage-plan.ts'
import { touchVectorPlan } from './vectors.ts'

const STAGES = { user_id: 'users', advertiser_id: 'ads' }
const WRITER = 'users-0'

const arriving: Operator<Event, Event> = {
  ...{ name: 'arriving', version: 1, settings: null, stores: [] },
  process: (batch) => batch,
}

function planOf(declarations: Declarations, before: Ledger | null) {
  const ledger = ledgerAfter(before, declarations, 'all')
  const compiled = withLedger(compileFeatures(declarations), declarations, ledger)
  const vectors = touchVectorPlan(compiled, 'all')
  const options = { namespace: 't', name: 't', clock: 'wall', partitions: 1, latenessMs: 0 } as const
  const plan = topology(options, (t) =>
    keepFeatures(t.source(STAGES.user_id, arriving), compiled, STAGES, vectors, { ledger }),
  )
  return { ledger, plan, ids: vectors.layout.map(({ id }) => id), schema: vectors.schema }
}

type Disks = Map<string, MemoryDisk>

/** Records through a stage, in a process of its own; gives what each node passes on, and the vectors. */
async function process(stage: StagePlan, disks: Disks, records: readonly Rec<unknown>[], edition: EditionState) {
  const results: (readonly Rec<unknown>[])[] = []
  const vectors: PublishedVector[] = []
  for (const { operator, from } of stage.nodes) {
    const name = `${stage.name} ${operator.name}`
    const disk = disks.get(name) ?? new MemoryDisk()
    disks.set(name, disk)
    disk.crash()
    const state = await TaskState.open(disk.open(), operator.stores, { keyedCacheEntries: 4 })
    const context = new Context(state, (of) => seenAfterOf(edition, of))
    const runner = new Runner(operator, context)
    for (const slice of slicesOf(from === SOURCE ? records : results[from]!, 7)) {
      await commitSlice(state, operator, { context, runner, slice })
    }
    results.push(runner.out)
    vectors.push(...context.emitted.map(({ record }) => record as PublishedVector))
  }
  return { results, vectors }
}

/** What a record is between the stages. */
interface Sent {
  readonly rec: Rec<unknown>
  readonly json: string
}

function sentBy({ stages }: Plan, results: readonly (readonly Rec<unknown>[])[]): Sent[] {
  const { from, codec } = stages[0]!.exchanges[0]!
  const passed = results[from]!.filter(({ value }) => codec.where(value))
  return passed.map((rec) => ({ rec, json: codec.encode(rec.value, rec.at) }))
}

const received = ({ stages }: Plan, sent: readonly Sent[]): Rec<unknown>[] =>
  sent.map(({ rec, json }) => {
    const value = stages[1]!.inputs[0]!.codec.decode(JSON.parse(json), rec.at)
    // In `clock: data` what has come is held as JSON.
    return { ...rec, value: JSON.parse(JSON.stringify(value)) }
  })

/** The highest time that a stage has seen. */
const seenIn = (records: readonly Rec<unknown>[]): number =>
  Math.max(-1, ...records.flatMap(({ value, watermark }) => [(value as Event).time, watermark]))

/** What a change is: more, less, or one for the other. */
function changeOf(draw: Draw): [Declarations, Declarations] {
  const declarations = adsPlan(draw)
  const part = () => {
    const bits = draw(fc.array(fc.boolean(), { minLength: 64, maxLength: 64 }))
    return { ...declarations, features: partOf(declarations.features, (i) => bits[i % bits.length]!) }
  }
  const way = draw(fc.nat(3))
  if (way === 0) return [declarations, part()]
  return way === 1 ? [part(), part()] : [part(), declarations]
}

const isCount = (id: string, { features }: Declarations): boolean =>
  features.some(
    (feature) =>
      isWindowed(feature) &&
      ['count', 'distinct', 'sum'].includes(feature.aggregate.fn) &&
      feature.windows.some((window) => id === `${feature.entity}.${feature.name}_${window}`),
  )

const seen = { before: 0, between: 0, betweenNew: 0, after: 0, absent: 0 }

/** Compares every value of every vector with all events before its touch, wherever it is said to be complete. */
async function compare(draw: Draw): Promise<void> {
  const [a, b] = changeOf(draw)
  const records = adsStream(draw)
  const old = planOf(a, null)
  const now = planOf(b, old.ledger)
  const disks: Disks = new Map()
  const first = firstEdition(1, [])
  const isChanged = now.ledger.edition > 1

  const cut = draw(fc.nat(records.length))
  const former = records.slice(0, cut)
  const sent = sentBy(old.plan, (await process(old.plan.stages[0]!, disks, former, first)).results)
  const taken = draw(fc.nat(sent.length))
  const done = received(old.plan, sent.slice(0, taken))
  const ended = await process(old.plan.stages[1]!, disks, done, first)

  const users = isChanged ? begun(first, 2, [], seenIn(former)) : first
  const onward = sentBy(now.plan, (await process(now.plan.stages[0]!, disks, records.slice(cut), users)).results)
  // What is between has been read under the former plan and is held, or is still in the log.
  const between = received(draw(fc.boolean()) ? old.plan : now.plan, sent.slice(taken))
  const waiting = isChanged ? begun(first, 2, [WRITER], seenIn(done)) : first
  const through = await process(now.plan.stages[1]!, disks, between, waiting)
  const ads = heardFrom(waiting, WRITER, { number: 2, seenAfterMs: seenIn(former) })
  const rest = await process(now.plan.stages[1]!, disks, received(now.plan, onward), ads)

  const touches = records.filter(
    ({ value }) => ['click', 'impression'].includes(value.type) && value.bots === undefined,
  )
  const published = [...ended.vectors, ...through.vectors, ...rest.vectors]
  expect(published.map(({ event_id }) => event_id)).toEqual(touches.map(({ value }) => value.id))
  const plans = now.plan.stages.map((stage) =>
    keptListings(stage).flatMap(({ features }) =>
      features.map((one) => [`${one.entity}.${one.feature}`, one] as const),
    ),
  )
  const [ofUsers, ofAds] = plans.map((of) => new Map<string, (typeof of)[number][1]>(of))
  touches.forEach((touch, i) => {
    const { value, watermark } = touch
    const { id: event, fields, time } = value
    const isOld = i < ended.vectors.length
    const isBetween = !isOld && i < ended.vectors.length + through.vectors.length
    const { ids, schema } = isOld ? old : now
    expect([event, published[i]!.schema, Object.keys(published[i]!.values)]).toEqual([event, schema, ids])
    const events = records.slice(0, records.indexOf(touch)).flatMap((rec) => (rec.value.bots ? [] : [rec.value]))
    for (const id of ids) {
      const found = published[i]!.values[id]
      const isContext = id.startsWith('context.')
      const isLate = time < watermark - LOOKBACK_MS && !isContext
      const expected = isLate ? null : naiveInVector(isOld ? a : b, id, { fields }, events, time)
      const isOfUser = isContext || ofUsers!.has(id)
      const says = expected !== null && expected !== 0 ? 1 : 0
      if (isOld || (isBetween && isOfUser)) {
        const isThere = isOld || old.ids.includes(id)
        expect([event, id, found]).toStrictEqual([event, id, isThere ? expected : null])
        if (isOld) seen.before += says
        else if (isThere) seen.between += says
        else seen.betweenNew += says
        continue
      }
      const edition = isOfUser ? users : isBetween ? waiting : ads
      const from = isContext ? 0 : (isOfUser ? ofUsers! : ofAds!).get(id)!.completeFrom(edition)
      if (from !== null && from <= time) {
        expect([event, id, found]).toStrictEqual([event, id, expected])
        if (isBetween) seen.between += says
        else seen.after += says
      } else if (isCount(id, b)) {
        expect([event, id, found]).not.toEqual([event, id, 0])
        if (found === null && !isLate) seen.absent++
      }
    }
  })
}

test('TV3, VV3: a touch takes what is known before it, under whichever declarations, and no 0 of what is not complete', async () => {
  const property = fc.asyncProperty(draws, (draw) => compare(draw))
  await fc.assert(property, { numRuns: 120, endOnFailure: true })
})

afterAll(() => {
  console.info(`values that say something, by where their touch was when declarations changed: ${JSON.stringify(seen)}`)
  for (const [what, count] of Object.entries(seen)) expect([what, count > 20]).toEqual([what, true])
})

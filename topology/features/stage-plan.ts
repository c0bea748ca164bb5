// How the groups of a plan run: which operators stand in which stage.
// SG1: nothing here changes what is kept: a record is the same behind a dispatch or without one, of a whole event or of columns,
//      whether vectors are taken of it or not.
// SG2: where vectors are taken, the groups of a stage stand one behind the other, and a touch passes all of them.

import { assert } from '../../log/errors.ts'
import type { Event } from '../../operators/event.ts'
import { featureDispatch } from '../../operators/feature-dispatch.ts'
import { featureGroup, type GroupSettings, routedGroup } from '../../operators/feature-group.ts'
import type { RoutedEvent } from '../../operators/feature-routing.ts'
import {
  beginVectors,
  closeVectors,
  publishVectors,
  type StageSlots,
  TOUCH_FIELDS,
  unsealVectors,
} from '../../operators/touch-vectors.ts'
import type { VectorEvent } from '../../operators/vector-values.ts'
import type { Stream } from '../dsl.ts'
import type { OutputPlan } from '../plan.ts'
import { type CompiledFeatures, type CompiledGroup, LOOKBACK_MS } from './compile.ts'
import { TOUCH_TYPES } from './declaration.ts'
import { keeping, runnerOf } from './kept.ts'
import type { Ledger } from './ledger.ts'
import { columnsOf, featureExchange, type PlacedGroups, placed, SOURCE_PARTITION, type Stages } from './placement.ts'
import { vectorExchange } from './vector-exchange.ts'
import { schemaHash, TOUCH_PARTITIONS, type VectorPlan } from './vectors.ts'

/** The output to which the vectors of touches are published. */
export const VECTORS = 'vectors'

/**
 * Keeps the groups of a plan, each in the stage of its partition; the events come in the stage of SOURCE_PARTITION. `vectors`:
 * what touches take with them; null: nothing. `outputs`: of the last stage that touches pass, beside their vectors. Returns the events of the last stage that touches pass, where their vectors are whole.
 */
export function keepFeatures(
  events: Stream<Event>,
  compiled: CompiledFeatures,
  stages: Stages,
  vectors: VectorPlan | null,
  { ledger, outputs = [] }: { readonly ledger?: Ledger | undefined; readonly outputs?: readonly OutputPlan[] } = {},
): Stream<VectorEvent> | null {
  const carries = compiled.uses.has('columns') ? 'columns' : 'events'
  const places = placed(compiled.groups, stages)
  for (const place of places) {
    if (vectors !== null && (TOUCH_PARTITIONS as readonly string[]).includes(place.partition)) continue
    const there =
      place.partition === SOURCE_PARTITION
        ? events
        : events.keyBy(place.stage, featureExchange(place, carries, ledger?.columns[place.partition]))
    keepGroups(there, place.groups, compiled)
  }
  return vectors === null ? null : takeVectors(events, places, compiled, stages, { vectors, ledger, outputs })
}

/** The stages that a touch passes, one after the other. Its vector is whole, and published, in the last one. */
function takeVectors(
  events: Stream<Event>,
  places: readonly PlacedGroups[],
  compiled: CompiledFeatures,
  stages: Stages,
  {
    vectors,
    ledger,
    outputs,
  }: { readonly vectors: VectorPlan; readonly ledger: Ledger | undefined; readonly outputs: readonly OutputPlan[] },
): Stream<VectorEvent> {
  const [first, second] = TOUCH_PARTITIONS.map(
    (partition) =>
      places.find((place) => place.partition === partition) ?? { stage: stages[partition]!, partition, groups: [] },
  ) as [PlacedGroups, PlacedGroups]
  const { layout, schema, context } = vectors
  const slotsOf = (place: PlacedGroups): StageSlots => stageSlots(place, compiled, vectors)
  const begun = events.through(beginVectors(TOUCH_TYPES, context, slotsOf(first), runnerOf(compiled)))
  const left = fillVectors(begun, first, compiled, slotsOf(first))
  const carries = compiled.uses.has('columns') ? 'columns' : 'events'
  // What may be new stands last (LE2 of ledger.ts).
  const columns = [...new Set([...TOUCH_FIELDS, ...(ledger?.columns[second.partition] ?? columnsOf(second.groups))])]
  const layouts = ledger?.layouts ?? [layout]
  assert(schemaHash(layouts.at(-1)!) === schema, 'a ledger has the layout of now')
  const exchange = vectorExchange(featureExchange(second, carries, columns), layouts)
  const there = left.keyBy(second.stage, exchange, [{ name: VECTORS, mode: 'records' }, ...outputs])
  const whole = fillVectors(there.through(unsealVectors(layouts, slotsOf(second))), second, compiled, slotsOf(second))
  whole.through(publishVectors(VECTORS, layout, schema))
  return whole
}

function stageSlots({ groups }: PlacedGroups, { groups: all }: CompiledFeatures, plan: VectorPlan): StageSlots {
  const entities = new Set(groups.map(({ entity }) => entity.name))
  return {
    layout: plan.layout,
    slots: plan.slots,
    kept: groups.map((group) => plan.groups.get(all.indexOf(group))?.kept ?? []),
    derived: [...plan.derived].flatMap(([entity, derived]) => (entities.has(entity) ? [derived] : [])),
    lookbackMs: LOOKBACK_MS,
  }
}

/** SG2. */
function fillVectors(
  events: Stream<VectorEvent>,
  { groups }: PlacedGroups,
  compiled: CompiledFeatures,
  slots: StageSlots,
): Stream<VectorEvent> {
  const settings = settingsOf(compiled)
  const kept = (i: number): GroupSettings => ({ ...settings, vectors: slots.kept[i]! })
  if (!compiled.uses.has('dispatch')) {
    const through = (stream: Stream<Event>, group: CompiledGroup, i: number) =>
      stream.through(keeping(featureGroup(group.group, kept(i)), compiled, group))
    return groups.reduce(through, events).through(closeVectors(slots, settings.expressions, (event: Event) => event))
  }
  const dispatch = featureDispatch(
    groups.map(({ group }) => group),
    settings.expressions,
    'pass',
  )
  const through = (stream: Stream<RoutedEvent>, group: CompiledGroup, i: number) =>
    stream.through(keeping(routedGroup(group.group, i, kept(i)), compiled, group))
  const routed = groups.reduce(through, events.through(dispatch))
  return routed.through(closeVectors(slots, settings.expressions, ({ event }: RoutedEvent) => event))
}

const settingsOf = (compiled: CompiledFeatures): GroupSettings => ({
  expressions: runnerOf(compiled),
  joins: compiled.uses.has('preaggregate'),
})

/** Keeps groups in the stage in which these events are. */
export function keepGroups(events: Stream<Event>, groups: readonly CompiledGroup[], compiled: CompiledFeatures): void {
  const settings = settingsOf(compiled)
  if (!compiled.uses.has('dispatch')) {
    for (const group of groups) events.through(keeping(featureGroup(group.group, settings), compiled, group))
    return
  }
  const dispatch = featureDispatch(
    groups.map(({ group }) => group),
    settings.expressions,
  )
  const routed = events.through(dispatch)
  groups.forEach((group, i) => {
    routed.through(keeping(routedGroup(group.group, i, settings), compiled, group))
  })
}

// How the groups of a plan run: which operators stand in which stage.
// SG1: nothing here changes what is kept: a record is the same behind a dispatch or without one, of a whole event or of columns.

import type { Event } from '../../operators/event.ts'
import { featureDispatch } from '../../operators/feature-dispatch.ts'
import { featureGroup, routedGroup } from '../../operators/feature-group.ts'
import type { Stream } from '../dsl.ts'
import type { CompiledFeatures } from './compile.ts'
import { keeping, runnerOf } from './kept.ts'
import { featureExchange, type PlacedGroups, placed, SOURCE_PARTITION, type Stages } from './placement.ts'

/** Keeps the groups of a plan, each in the stage of its partition; the events come in the stage of SOURCE_PARTITION. */
export function keepFeatures(events: Stream<Event>, compiled: CompiledFeatures, stages: Stages): void {
  for (const place of placed(compiled.groups, stages)) {
    const carries = compiled.uses.has('columns') ? 'columns' : 'events'
    const there =
      place.partition === SOURCE_PARTITION ? events : events.keyBy(place.stage, featureExchange(place, carries))
    keepGroups(there, place, compiled)
  }
}

function keepGroups(events: Stream<Event>, { groups }: PlacedGroups, compiled: CompiledFeatures): void {
  const settings = { expressions: runnerOf(compiled), joins: compiled.uses.has('preaggregate') }
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

// Routes the events of a stage, once for all groups that are kept there (operators/feature-routing.ts).

import type { Event } from './event.ts'
import type { ExpressionsRunner } from './expression.ts'
import type { FeatureGroup } from './feature-record.ts'
import { type RoutedEvent, routerOf } from './feature-routing.ts'
import type { Operator, Rec } from './operator.ts'

/** Routes each event once for all groups of a stage. `others`: what becomes of events that none of them takes. */
export function featureDispatch(
  groups: readonly FeatureGroup[],
  expressions: ExpressionsRunner,
  others: 'end' | 'pass' = 'end',
): Operator<Event, RoutedEvent> {
  const route = routerOf(groups, expressions)
  return {
    name: 'feature dispatch',
    version: 1,
    // What is asked of an event is said by the groups that stand behind it.
    settings: groups.map(({ entity }) => entity),
    stores: [],
    process(batch) {
      const routed: Rec<RoutedEvent>[] = []
      for (const rec of batch) {
        const taken = route(rec.value)
        if (taken !== null || others === 'pass')
          routed.push({ ...rec, value: { event: rec.value, taken: taken ?? [] } })
      }
      return routed
    },
  }
}

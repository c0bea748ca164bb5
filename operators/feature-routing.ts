// What an event is to the groups of a stage: the key of each, and what each of their parts and lists takes of it. Found by one look
// at the event's type, and by one function in which what several of them ask, keys and filters above all, is computed once.
// FD1: whether groups are asked together or one by one, by generated code or by walking expressions, changes no value.
// The operator that asks for a whole stage is operators/feature-dispatch.ts; what becomes of it is operators/feature-group.ts.

import type { Event, EventType } from './event.ts'
import type { Expression, ExpressionsRunner, Maybe } from './expression.ts'
import type { FeatureGroup, Selection } from './feature-record.ts'

/** What a group takes of an event. */
export interface Taken {
  readonly key: string
  /** By part, then by list; absent, or false, where the event adds nothing. */
  readonly inputs: readonly Maybe[]
}

/** An event on its way to the groups of its stage. */
export interface RoutedEvent {
  readonly event: Event
  /** By group; undefined where the event is not about it. */
  readonly taken: readonly (Taken | undefined)[]
}

/** What groups take of an event; null: none of them takes anything. */
export type Router = (event: Event) => readonly (Taken | undefined)[] | null

/** A router for groups. What `bots` marks stays out of features (contract.md, section 1). */
export function routerOf(groups: readonly FeatureGroup[], expressions: ExpressionsRunner): Router {
  const types = new Set(groups.flatMap((group) => selectionsOf(group).flatMap((selection) => selection.types)))
  const byType = new Map([...types].map((type) => [type, routerOfType(type, groups, expressions)]))
  return (event) => (event.bots === undefined ? (byType.get(event.type)?.(event) ?? null) : null)
}

/** A place in a group's inputs that an event type fills, and where the value stands among those of its expressions. */
interface Slot {
  readonly input: number
  readonly value: number
}

function routerOfType(
  type: EventType,
  groups: readonly FeatureGroup[],
  expressions: ExpressionsRunner,
): (event: Event) => readonly (Taken | undefined)[] {
  const asked: Expression[] = []
  const places = groups.map((group) => {
    const selections = selectionsOf(group)
    const used = selections.flatMap((selection, input) =>
      selection.types.includes(type) ? [{ selection, input }] : [],
    )
    if (used.length === 0) return null
    const key = asked.push(group.key) - 1
    const slots = used.map(({ selection, input }): Slot => ({ input, value: asked.push(inputOf(selection)) - 1 }))
    return { key, slots, inputs: selections.length }
  })
  const run = expressions(asked)
  return ({ fields }) => {
    const values = run({ fields })
    return places.map((place) => {
      const key = place === null ? undefined : values[place.key]
      if (place === null || key === undefined) return undefined
      const inputs: Maybe[] = new Array(place.inputs).fill(undefined)
      for (const { input, value } of place.slots) inputs[input] = values[value]
      return { key: key as string, inputs }
    })
  }
}

const selectionsOf = ({ parts, lists }: FeatureGroup): readonly Selection[] => [...parts, ...lists]

/** What an event adds: absent, or false, where it is not selected. */
function inputOf({ where, of }: Selection): Expression {
  if (where === null) return of ?? { constant: true }
  return of === null ? where : { op: 'when', args: [where, of] }
}

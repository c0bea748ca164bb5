// What each feature is made of, down to event types and their fields, and what is made of it.
// LN1: whatever can change a value is in it: the event type, the fields of the key, of the filter and of what is aggregated.
//      The event's own time, id and type belong to the event type.
// What may flow where is purposes.ts.

import type { EventType } from '../../operators/event.ts'
import { type Expression, featuresIn, fieldsOf } from '../../operators/expression.ts'
import {
  CONTEXT,
  type Declarations,
  derivationOf,
  type FeatureDeclaration,
  featureId,
  isContext,
  isDerived,
  namesOf,
  TOUCH_TYPES,
} from './declaration.ts'

/** Fields that every event has and that are in everything made of it. */
export const EVENT_FIELDS: readonly string[] = ['type', 'event_id', 'event_time']

/** A field of an event type; null: that such an event came at all. */
export interface Source {
  readonly type: EventType
  readonly field: string | null
}

export interface LineageNode {
  readonly id: string
  readonly declaration: FeatureDeclaration
  /** What it reads of events itself. */
  readonly sources: readonly Source[]
  /** Ids of the features that it is derived of. */
  readonly of: readonly string[]
  /** Ids of the features that are derived of it. */
  readonly into: readonly string[]
}

export type Lineage = ReadonlyMap<string, LineageNode>

/** Every feature by its id, in the order of declaration: what a feature is derived of comes before it. */
export function lineageOf({ entities, features }: Declarations): Lineage {
  const keys = new Map(entities.map(({ name, key }) => [name, key]))
  const nodes = new Map<string, LineageNode & { readonly into: string[] }>()
  for (const declaration of features) {
    const of = isDerived(declaration) ? featuresIn(derivationOf(declaration)) : []
    const sources = sourcesOf(declaration, keys.get(declaration.entity) ?? [])
    for (const name of namesOf(declaration)) {
      const id = featureId(declaration.entity, name)
      nodes.set(id, { id, declaration, sources, of, into: [] })
      for (const input of of) nodes.get(input)?.into.push(id)
    }
  }
  return nodes
}

function sourcesOf(feature: FeatureDeclaration, key: readonly string[]): Source[] {
  if (isDerived(feature)) return []
  if (isContext(feature)) return fieldsIn(TOUCH_TYPES, fieldsOf([feature.context]))
  const { events, aggregate } = feature
  const read = [events.where, 'of' in aggregate ? aggregate.of : undefined]
  const fields = fieldsOf(read.filter((expression): expression is Expression => expression !== undefined))
  return fieldsIn([...new Set(events.types)].sort(), [...new Set([...key, ...fields])].sort())
}

function fieldsIn(types: readonly EventType[], fields: readonly string[]): Source[] {
  const named = fields.filter((field) => !EVENT_FIELDS.includes(field))
  return types.flatMap((type) => [{ type, field: null }, ...named.map((field) => ({ type, field }))])
}

/** `conversion.value`, or `conversion` for the event itself. */
export function sourceText({ type, field }: Source): string {
  return field === null ? type : `${type}.${field}`
}

/** Everything that is derived of a feature, however indirectly, in the order of declaration. */
export function derivedOf(lineage: Lineage, id: string): string[] {
  const reached = new Set([id])
  // In the order of declaration one pass is enough.
  for (const node of lineage.values()) if (node.of.some((input) => reached.has(input))) reached.add(node.id)
  reached.delete(id)
  return [...reached]
}

/** Everything that a feature is derived of, however indirectly, in the order of declaration. */
export function madeOf(lineage: Lineage, id: string): string[] {
  const reached = new Set(lineage.get(id)?.of)
  for (const node of [...lineage.values()].reverse()) {
    if (reached.has(node.id)) for (const input of node.of) reached.add(input)
  }
  return [...lineage.keys()].filter((other) => reached.has(other))
}

/** Every field of an event that a feature is made of, directly or through what it is derived of. Sorted. */
export function sourcesBehind(lineage: Lineage, id: string): string[] {
  const nodes = [id, ...madeOf(lineage, id)].map((other) => lineage.get(other))
  return [...new Set(nodes.flatMap((node) => node?.sources ?? []).map(sourceText))].sort()
}

/** Words for where a feature is kept. */
export function keyText({ entities }: Pick<Declarations, 'entities'>, entity: string): string {
  if (entity === CONTEXT) return 'the touch itself'
  return entities.find(({ name }) => name === entity)?.key.join(' x ') ?? entity
}

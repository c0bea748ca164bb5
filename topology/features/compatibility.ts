// What changes for those who read features when declarations change. Models and training rows know a feature by its name, so a
// name that goes on must mean the same.
// CO1: refused is every change of what a name means or of what a model gets for it: key, events, filter, aggregate, scale, window,
//      derivation, type, default. The way is a new name.
// CO2: a feature that is added is absent for older events, never 0; so nobody takes "not known then" for "none".
// CO3: an entity keeps its key and its partition: by the key its records are found, and by the partition their tasks.
// CO4: page views alone and declared features are kept in two ways, and neither becomes the other.
// CO5: owner, description, purpose, sensitivity and retention may change: they say who may read, not what.

import stringify from 'fast-json-stable-stringify'
import { checkDeclarations, type Declarations, type FeatureType, featureId, namesOf } from './declaration.ts'
import { derivedOf, lineageOf } from './lineage.ts'
import { type Meaning, meaningOf } from './meaning.ts'

export interface Change {
  /** Of a feature or entity; `features`: all that is kept. */
  readonly name: string
  /** What of it changed, and from what to what, as canonical JSON. */
  readonly changes: readonly { readonly of: string; readonly from: string; readonly to: string }[]
  /** What is derived of it, before or after; of an entity, its features. */
  readonly touches: readonly string[]
}

export interface Compatibility {
  readonly added: readonly string[]
  readonly removed: readonly string[]
  /** None: compatible. */
  readonly refused: readonly Change[]
}

/**
 * Compares declarations, both of which must have a meaning of their own; null: none, and page views of the last hour are kept.
 * Throws USAGE where one has no meaning.
 */
export function compatibility(before: Declarations | null, after: Declarations | null): Compatibility {
  if (before === null || after === null) return withoutDeclarations(before, after)
  const [old, now] = [meaningsById(before), meaningsById(after)]
  const [oldLineage, lineage] = [lineageOf(before), lineageOf(after)]
  const refused = [...old].flatMap(([name, meaning]): Change[] => {
    const other = now.get(name)
    const changes = other === undefined ? [] : changesOf(meaning, other)
    if (changes.length === 0) return []
    const touches = new Set([...derivedOf(oldLineage, name), ...derivedOf(lineage, name)])
    return [{ name, changes, touches: [...touches] }]
  })
  return {
    added: [...now.keys()].filter((id) => !old.has(id)),
    removed: [...old.keys()].filter((id) => !now.has(id)),
    refused: [...entityChanges(before, after), ...refused],
  }
}

/** CO4. */
function withoutDeclarations(before: Declarations | null, after: Declarations | null): Compatibility {
  const [from, to] = [before, after].map((one) => (one === null ? 'page views of the last hour' : 'what is declared'))
  const change: Change = { name: 'features', changes: [{ of: 'all', from: from!, to: to! }], touches: [] }
  return { added: [], removed: [], refused: before === after ? [] : [change] }
}

/** CO3. Of entities that go on. */
function entityChanges(before: Declarations, after: Declarations): Change[] {
  const ids = ({ features }: Declarations, name: string): string[] =>
    features.flatMap((feature) => (feature.entity === name ? namesOf(feature).map((one) => featureId(name, one)) : []))
  return before.entities.flatMap(({ name, key, partition }): Change[] => {
    const other = after.entities.find((one) => one.name === name)
    const touches = [...new Set([...ids(before, name), ...ids(after, name)])]
    if (other === undefined || ids(before, name).length === 0 || ids(after, name).length === 0) return []
    const changes = changesOf({ key, partition }, { key: other.key, partition: other.partition })
    return changes.length === 0 ? [] : [{ name, changes, touches }]
  })
}

function meaningsById(declarations: Declarations): Map<string, Meaning> {
  const types: ReadonlyMap<string, FeatureType> = checkDeclarations(declarations)
  return new Map(
    declarations.features.flatMap((feature) =>
      namesOf(feature).map((name, i): [string, Meaning] => {
        const id = featureId(feature.entity, name)
        const meaning = meaningOf(feature, i, KEY_IS_OF_ENTITY)
        return [id, { ...meaning, type: types.get(id)!, default: feature.default }]
      }),
    ),
  )
}

/** CO3 has it. */
const KEY_IS_OF_ENTITY: readonly string[] = []
const NOTHING = 'nothing'

function changesOf(from: Meaning, to: Meaning): Change['changes'] {
  const text = (value: unknown): string => (value == null ? NOTHING : stringify(value))
  return [...new Set([...Object.keys(from), ...Object.keys(to)])].flatMap((of) => {
    const [a, b] = [text(from[of]), text(to[of])]
    return a === b ? [] : [{ of, from: a, to: b }]
  })
}

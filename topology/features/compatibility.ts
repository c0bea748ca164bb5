// What changes for those who read features when declarations change. Models and training rows know a feature by its name, so a
// name that goes on must mean the same.
// CO1: refused is every change of what a name means or of what a model gets for it: key, events, filter, aggregate, scale, window,
//      derivation, type, default. The way is a new name.
// CO2: a feature that is added is absent for older events, never 0; so nobody takes "not known then" for "none".
// CO3: owner, description, purpose, sensitivity and retention may change: they say who may read, not what.

import stringify from 'fast-json-stable-stringify'
import { checkDeclarations, type Declarations, type FeatureType, featureId, namesOf } from './declaration.ts'
import { derivedOf, lineageOf } from './lineage.ts'
import { type Meaning, meaningOf } from './meaning.ts'

export interface Change {
  readonly feature: string
  /** What of it changed, and from what to what, as canonical JSON. */
  readonly changes: readonly { readonly of: string; readonly from: string; readonly to: string }[]
  /** What is derived of it, before or after. */
  readonly touches: readonly string[]
}

export interface Compatibility {
  readonly added: readonly string[]
  readonly removed: readonly string[]
  /** None: compatible. */
  readonly refused: readonly Change[]
}

/** Compares declarations, both of which must have a meaning of their own. Throws USAGE where one has none. */
export function compatibility(before: Declarations, after: Declarations): Compatibility {
  const [old, now] = [meaningsById(before), meaningsById(after)]
  const [oldLineage, lineage] = [lineageOf(before), lineageOf(after)]
  const refused = [...old].flatMap(([feature, meaning]): Change[] => {
    const other = now.get(feature)
    const changes = other === undefined ? [] : changesOf(meaning, other)
    if (changes.length === 0) return []
    const touches = new Set([...derivedOf(oldLineage, feature), ...derivedOf(lineage, feature)])
    return [{ feature, changes, touches: [...touches] }]
  })
  return {
    added: [...now.keys()].filter((id) => !old.has(id)),
    removed: [...old.keys()].filter((id) => !now.has(id)),
    refused,
  }
}

function meaningsById(declarations: Declarations): Map<string, Meaning> {
  const types: ReadonlyMap<string, FeatureType> = checkDeclarations(declarations)
  const keys = new Map(declarations.entities.map(({ name, key }) => [name, key]))
  return new Map(
    declarations.features.flatMap((feature) =>
      namesOf(feature).map((name, i): [string, Meaning] => {
        const id = featureId(feature.entity, name)
        const meaning = meaningOf(feature, i, keys.get(feature.entity) ?? [])
        return [id, { ...meaning, type: types.get(id)!, default: feature.default }]
      }),
    ),
  )
}

const NOTHING = 'nothing'

function changesOf(from: Meaning, to: Meaning): Change['changes'] {
  const text = (value: unknown): string => (value == null ? NOTHING : stringify(value))
  return [...new Set([...Object.keys(from), ...Object.keys(to)])].flatMap((of) => {
    const [a, b] = [text(from[of]), text(to[of])]
    return a === b ? [] : [{ of, from: a, to: b }]
  })
}

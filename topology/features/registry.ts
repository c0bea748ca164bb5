// What there is to know about declared features before one declares another: which exist, what each says, and which nobody reads.

import { compileFeatures } from './compile.ts'
import {
  checkDeclarations,
  type Declarations,
  type FeatureDeclaration,
  type FeatureType,
  featureId,
  namesOf,
} from './declaration.ts'

export interface Registered {
  readonly id: string
  readonly type: FeatureType
  readonly declaration: FeatureDeclaration
}

/** Every feature, in the order of declaration. Throws USAGE where a declaration has no meaning. */
export function registered(declarations: Declarations): Registered[] {
  const types = checkDeclarations(declarations)
  return declarations.features.flatMap((declaration) =>
    namesOf(declaration).map((name) => {
      const id = featureId(declaration.entity, name)
      return { id, type: types.get(id)!, declaration }
    }),
  )
}

/** Features in whose id, description, owner or type each of the words occurs, large and small letters alike. */
export function searched(features: readonly Registered[], words: readonly string[]): Registered[] {
  const wanted = words.map((word) => word.toLowerCase())
  return features.filter(({ id, type, declaration: { description, owner } }) => {
    const text = [id, type, description, owner].join('\n').toLowerCase()
    return wanted.every((word) => text.includes(word))
  })
}

/** Ids of features that neither are served nor have anything served derived of them: nothing is kept for them. */
export function unreadFeatures(declarations: Declarations, served: readonly string[]): string[] {
  const read = new Set(compileFeatures(declarations, { served }).features.map(({ id }) => id))
  return registered(declarations).flatMap(({ id }) => (read.has(id) ? [] : [id]))
}

// What a feature means, apart from its name: two features with one meaning have one value for every log. From this follow what is
// declared twice (here) and what may change under a name that models know (compatibility.ts).
// ME1: the same forms as the compiler's: what it would share has one meaning, however it was said.
// ME2: a derived feature means what it is derived of, not how that is called.

import { createHash } from 'node:crypto'
import stringify from 'fast-json-stable-stringify'
import { canonical, type Expression } from '../../operators/expression.ts'
import { selectionOf } from './compile.ts'
import {
  CONTEXT,
  type Declarations,
  derivationOf,
  type FeatureDeclaration,
  featureId,
  isContext,
  isDerived,
  isWindowed,
  type LatestAggregate,
  namesOf,
  paneMsOf,
  type WindowedAggregate,
  windowMsOf,
} from './declaration.ts'

/** The parts of a meaning, each comparable as JSON. `key`: fields whose texts are the key. */
export type Meaning = Readonly<Record<string, unknown>>

/** Characters of a hash that people compare: 64 bits, of which thousands of features make no two equal. */
const HASH_CHARS = 16

/**
 * What the `index`-th feature of a declaration means. `named`: how the features that it is derived of are called here; their own
 * ids where nothing is given.
 */
export function meaningOf(
  feature: FeatureDeclaration,
  index: number,
  key: readonly string[],
  named: (id: string) => string = (id) => id,
): Meaning {
  if (isContext(feature)) return { key: CONTEXT, context: canonical(feature.context) }
  if (isDerived(feature)) return { key, derive: canonical(renamed(derivationOf(feature), named)) }
  const { events, aggregate } = feature
  const { types, where } = selectionOf(events)
  const lengthMs = windowMsOf(isWindowed(feature) ? feature.windows[index]! : feature.within)
  const paneMs = isWindowed(feature) ? paneMsOf(lengthMs) : null
  return { key, types, where, aggregate: aggregateMeaning(aggregate), window: { lengthMs, paneMs } }
}

function aggregateMeaning(aggregate: WindowedAggregate | LatestAggregate): unknown {
  return 'of' in aggregate ? { ...aggregate, of: canonical(aggregate.of) } : aggregate
}

function renamed(expression: Expression, named: (id: string) => string): Expression {
  if ('feature' in expression) return { feature: named(expression.feature) }
  return 'op' in expression ? { ...expression, args: expression.args.map((arg) => renamed(arg, named)) } : expression
}

/** The hash of each feature's meaning, by id, in the order of declaration. */
export function meaningHashes({ entities, features }: Declarations): ReadonlyMap<string, string> {
  const keys = new Map(entities.map(({ name, key }) => [name, key]))
  const hashes = new Map<string, string>()
  for (const feature of features) {
    const key = keys.get(feature.entity) ?? []
    namesOf(feature).forEach((name, i) => {
      const meaning = meaningOf(feature, i, key, (id) => hashes.get(id)!)
      hashes.set(featureId(feature.entity, name), hashOf(meaning))
    })
  }
  return hashes
}

function hashOf(meaning: Meaning): string {
  return createHash('sha256').update(stringify(meaning)).digest('hex').slice(0, HASH_CHARS)
}

export interface Duplicate {
  readonly hash: string
  /** Two or more, in the order of declaration. */
  readonly features: readonly string[]
}

/** Features that mean the same under several names. */
export function duplicatesIn(declarations: Declarations): Duplicate[] {
  const byHash = new Map<string, string[]>()
  for (const [id, hash] of meaningHashes(declarations)) {
    const known = byHash.get(hash)
    if (known === undefined) byHash.set(hash, [id])
    else known.push(id)
  }
  return [...byHash].flatMap(([hash, features]) => (features.length < 2 ? [] : [{ hash, features }]))
}

// What a directory has ever kept of declared features: which form the records of each entity had, which columns travelled to each
// stage, which layouts the vectors of touches had, and since which edition each feature is kept. The plan of a directory is made of its declarations and its ledger.
// LE1: an edition is a change after which something else is kept. The first is 1; numbers only rise, also where a change is undone.
// LE2: nothing is ever taken back: forms, columns and layouts are added behind those that were there, so that every record in state or in
//      flight can be read under every later edition.
// LE3: what was away in between is new: an entity that goes has an empty form in between, and a feature that comes back counts
//      from the edition in which it came back.
// LE4: a feature is known here by its entity and what it means (meaning.ts), so it may be given another name, or another description;
//      under another entity it is another record, and new.
// When an edition begins is said by the tasks (topology/edition.ts); what may change at all, by compatibility.ts.

import stringify from 'fast-json-stable-stringify'
import { assert, HoldfastError } from '../../log/errors.ts'
import type { FeatureGroup } from '../../operators/feature-record.ts'
import { FORMS_MAX } from '../../operators/record-forms.ts'
import type { VectorLayout } from '../../operators/vector.ts'
import { LAYOUTS_MAX } from '../../operators/vector.ts'
import { type CompiledFeature, type CompiledFeatures, compileFeatures } from './compile.ts'
import type { Declarations } from './declaration.ts'
import { meaningHashes } from './meaning.ts'
import { columnsOf } from './placement.ts'
import { touchVectorPlan, type VectorFeatures } from './vectors.ts'

export interface Ledger {
  readonly edition: number
  /** By entity, the first form first; the last is the one of now. */
  readonly forms: Readonly<Record<string, readonly FeatureGroup[]>>
  /** By partition field. */
  readonly columns: Readonly<Record<string, readonly string[]>>
  /** By its entity and the hash of its meaning, the edition since which a feature is kept. */
  readonly since: Readonly<Record<string, number>>
  /** Of the vectors that touches take with them; the last is the one of now. Not given: they take none. */
  readonly layouts?: readonly VectorLayout[]
}

const NOTHING: Ledger = { edition: 0, forms: {}, columns: {}, since: {} }

/**
 * LE1-LE4. The ledger after these declarations; of the same edition where they keep nothing else. `before`: null: there was none.
 * `vectors`: what touches take with them; not given: nothing. Throws USAGE where that is no vector, or nothing can be added any more.
 */
export function ledgerAfter(before: Ledger | null, declarations: Declarations, vectors?: VectorFeatures): Ledger {
  const known = before ?? NOTHING
  const compiled = compileFeatures(declarations)
  const nameOf = keptNames(declarations)
  const kept = compiled.features.filter(({ how }) => how.kind === 'kept').map(nameOf)
  const forms = formsAfter(known.forms, compiled)
  const columns = columnsAfter(known.columns, compiled)
  const isSame =
    before !== null &&
    stringify([forms, columns]) === stringify([known.forms, known.columns]) &&
    kept.every((name) => Object.hasOwn(known.since, name))
  const edition = isSame ? known.edition : known.edition + 1
  const since = Object.fromEntries(kept.map((name) => [name, known.since[name] ?? edition]))
  const layouts = vectors && layoutsAfter(known.layouts ?? [], touchVectorPlan(compiled, vectors).layout)
  return { edition, forms, columns, since, ...(layouts && { layouts }) }
}

/** LE4. */
function keptNames(declarations: Declarations): (feature: Pick<CompiledFeature, 'entity' | 'id'>) => string {
  const hashes = meaningHashes(declarations)
  return ({ entity, id }) => `${entity} ${hashes.get(id)}`
}

function layoutsAfter(layouts: readonly VectorLayout[], now: VectorLayout): readonly VectorLayout[] {
  const last = layouts.at(-1)
  if (last !== undefined && stringify(last) === stringify(now)) return layouts
  if (layouts.length < LAYOUTS_MAX) return [...layouts, now]
  throw new HoldfastError(
    'USAGE',
    `vectors have had ${LAYOUTS_MAX} layouts, and there are no more; use another --data-dir`,
  )
}

function formsAfter(before: Ledger['forms'], { groups }: CompiledFeatures): Ledger['forms'] {
  const now = new Map(groups.map(({ group }) => [group.entity, group]))
  const entities = [...new Set([...Object.keys(before), ...now.keys()])].sort()
  return Object.fromEntries(entities.map((entity) => [entity, withForm(before[entity] ?? [], now.get(entity))]))
}

function withForm(forms: readonly FeatureGroup[], now: FeatureGroup | undefined): readonly FeatureGroup[] {
  const last = forms.at(-1)
  const form = now ?? { ...last!, parts: [], lists: [] }
  if (last !== undefined && stringify(last) === stringify(form)) return forms
  if (forms.length < FORMS_MAX) return [...forms, form]
  const what = `the records of ${form.entity} have had ${FORMS_MAX} forms, and there are no more`
  throw new HoldfastError('USAGE', `${what}; use another --data-dir`)
}

function columnsAfter(before: Ledger['columns'], { groups }: CompiledFeatures): Ledger['columns'] {
  const columns: Record<string, readonly string[]> = { ...before }
  for (const [partition, own] of Map.groupBy(groups, ({ entity }) => entity.partition))
    columns[partition] = [...new Set([...(before[partition] ?? []), ...columnsOf(own)])]
  return columns
}

/** Compiled features with what the ledger knows of them: earlier forms of their records, and since when each is kept. */
export function withLedger(compiled: CompiledFeatures, declarations: Declarations, ledger: Ledger): CompiledFeatures {
  const nameOf = keptNames(declarations)
  const groups = compiled.groups.map(({ entity, group }) => {
    const forms = ledger.forms[group.entity] ?? []
    assert(stringify(forms.at(-1)) === stringify(group), 'a ledger has the form of now')
    return { entity, group: forms.length === 1 ? group : { ...group, earlier: forms.slice(0, -1) } }
  })
  const features = compiled.features.map((feature) => {
    if (feature.how.kind !== 'kept') return feature
    const since = ledger.since[nameOf(feature)]
    assert(since !== undefined, 'a ledger has every feature of now')
    return since === 1 ? feature : { ...feature, since }
  })
  return { ...compiled, groups, features }
}

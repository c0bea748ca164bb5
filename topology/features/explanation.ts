// What the compiler made of declarations, for `holdfast features explain`: what is read of the log, the records that are kept with
// the parts in them and who reads each, how often each rule applied, and what it would be without any rule.

import type { Expression } from '../../operators/expression.ts'
import type { FeatureGroup, Selection } from '../../operators/feature-record.ts'
import type { Ladder } from '../../operators/tiles.ts'
import {
  type CompiledFeatures,
  type CompiledGroup,
  type CompileOptions,
  compileFeatures,
  RULE_NAMES,
  RULES,
  type RuleName,
} from './compile.ts'
import { costsOf, type FeatureCost, type GroupCost, readBy } from './costs.ts'
import type { Declarations } from './declaration.ts'
import { columnsOf, SOURCE_PARTITION, typesOf } from './placement.ts'
import { expressionText } from './wording.ts'

/** A part or a list of a record. */
export interface ExplainedPart {
  readonly what: string
  /** Ids of the features that read it: several share it. */
  readonly readBy: readonly string[]
}

export interface ExplainedGroup extends GroupCost {
  readonly key: string
  readonly partition: string
  /** How wide its tiles are, and how far back. */
  readonly levels: Ladder
  readonly partsRead: readonly ExplainedPart[]
  readonly listsRead: readonly ExplainedPart[]
}

/** What is read of the events that are partitioned by one field, once for everything that is kept there. */
export interface ExplainedSource {
  readonly partition: string
  readonly entities: readonly string[]
  readonly types: readonly string[]
  readonly columns: readonly string[]
  /** How they come there: from the source, or over one hop that carries these columns and nothing else. Once, in any case. */
  readonly from: 'source' | 'hop'
}

export interface ComputedFeature {
  readonly feature: string
  readonly how: string
  /** Ids of the features that it is computed of; none: of the touch itself. */
  readonly needs: readonly string[]
}

export interface PlanSize {
  /** Records that an event about all of its keys reads and writes, at most. */
  readonly records: number
  readonly parts: number
  readonly lists: number
  /** Of one record of each kind together, at most. */
  readonly bytes: number
}

export interface FeatureExplanation {
  readonly features: number
  readonly sources: readonly ExplainedSource[]
  readonly groups: readonly ExplainedGroup[]
  /** Computed when they are read; nothing is kept for them. */
  readonly computed: readonly ComputedFeature[]
  readonly rules: readonly { readonly rule: RuleName; readonly what: string; readonly fired: number }[]
  /** What each feature costs in a key, at most: what several share is split. */
  readonly costs: readonly FeatureCost[]
  /** Without any rule. */
  readonly before: PlanSize
  readonly after: PlanSize
}

const NO_RULES = { without: RULE_NAMES } as const

/** Explains what declarations become. `served`: ids of what somebody reads; not given: all. Throws USAGE as the compiler does. */
export function explainFeatures(declarations: Declarations, served?: readonly string[]): FeatureExplanation {
  const options: CompileOptions = served === undefined ? {} : { served }
  const compiled = compileFeatures(declarations, options)
  const without = compileFeatures(declarations, { ...options, ...NO_RULES })
  const costs = costsOf(compiled)
  return {
    features: compiled.features.length,
    sources: sourcesOf(compiled.groups),
    groups: compiled.groups.map((group, i) => explainedGroup(group, i, costs.groups[i]!, compiled)),
    computed: compiled.features.flatMap(({ id, how }) =>
      how.kind === 'kept'
        ? []
        : [{ feature: id, how: expressionText(how.expression), needs: how.kind === 'derived' ? how.needs : [] }],
    ),
    rules: RULE_NAMES.map((rule) => ({
      rule,
      what: RULES[rule],
      fired: compiled.firings[rule],
    })),
    costs: costs.features,
    before: sizeOf(without),
    after: sizeOf(compiled),
  }
}

function sourcesOf(groups: readonly CompiledGroup[]): ExplainedSource[] {
  const partitions = [...new Set(groups.map(({ entity }) => entity.partition))]
  return partitions.map((partition) => {
    const own = groups.filter(({ entity }) => entity.partition === partition)
    const entities = own.map(({ entity }) => entity.name)
    const from = partition === SOURCE_PARTITION ? 'source' : 'hop'
    return { partition, entities, types: typesOf(own), columns: columnsOf(own), from }
  })
}

function explainedGroup(
  { entity, group }: CompiledGroup,
  index: number,
  cost: GroupCost,
  { features }: CompiledFeatures,
): ExplainedGroup {
  const readers = features.flatMap(({ id, how }) =>
    how.kind === 'kept' && how.group === index ? [{ id, ...readBy(how.reading) }] : [],
  )
  const readersOf = (kind: 'parts' | 'lists', i: number): string[] =>
    readers.flatMap((reader) => (reader[kind].includes(i) ? [reader.id] : []))
  return {
    ...cost,
    key: entity.key.join(' x '),
    partition: entity.partition,
    levels: levelsOf(group),
    partsRead: group.parts.map((part, i) => ({
      what: `${part.spec.kind}${selectionText(part)}`,
      readBy: readersOf('parts', i),
    })),
    listsRead: group.lists.map((list, i) => ({
      what: `last ${list.length}${selectionText(list)}`,
      readBy: readersOf('lists', i),
    })),
  }
}

/** Widths of the tiles of any part. */
function levelsOf({ parts }: FeatureGroup): Ladder {
  const reaches = new Map<number, number>()
  for (const { paneMs, reachMs } of parts.flatMap(({ ladder }) => ladder))
    reaches.set(paneMs, Math.max(reachMs, reaches.get(paneMs) ?? 0))
  return [...reaches].map(([paneMs, reachMs]) => ({ paneMs, reachMs })).sort((a, b) => a.paneMs - b.paneMs)
}

function selectionText({ types, where, of }: Selection): string {
  const isEvent = (expression: Expression | null): boolean => expression === null || 'constant' in expression
  return [
    isEvent(of) ? '' : ` of ${expressionText(of!)}`,
    ` over ${types.join(', ')}`,
    where === null ? '' : ` where ${expressionText(where)}`,
  ].join('')
}

function sizeOf(compiled: CompiledFeatures): PlanSize {
  const { groups } = costsOf(compiled)
  const total = (of: (cost: GroupCost) => number): number => groups.reduce((sum, cost) => sum + of(cost), 0)
  return {
    records: groups.length,
    parts: total(({ parts }) => parts),
    lists: total(({ lists }) => lists),
    bytes: total(({ bytes }) => bytes),
  }
}

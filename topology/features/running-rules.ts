// How often those rules apply that say how a plan runs and not what it keeps (topology/features/stage-plan.ts follows them).

import { EVENT_TYPES } from '../../operators/event.ts'
import type { Expression } from '../../operators/expression.ts'
import type { FeatureGroup } from '../../operators/feature-record.ts'
import type { CompiledGroup, Firings, RuleName } from './compile.ts'
import { columnsOf, SOURCE_PARTITION, typesOf } from './placement.ts'

type RunningRule = Extract<RuleName, 'dispatch' | 'generate' | 'preaggregate' | 'columns'>

/** How often each rule that says how groups run applies to them, were it used. */
export function runningFirings(groups: readonly CompiledGroup[]): Pick<Firings, RunningRule> {
  const partitions = [...Map.groupBy(groups, ({ entity }) => entity.partition)]
  return {
    dispatch: total(partitions, ([, own]) => sparedQuestions(own.map(({ group }) => group))),
    generate: total(
      groups,
      ({ group }) => expressionsOf(group).filter((expression) => !('constant' in expression)).length,
    ),
    preaggregate: groups.length,
    columns: total(partitions, ([partition, own]) => (partition === SOURCE_PARTITION ? 0 : fieldsLeft(own))),
  }
}

/** Groups that need not look at an event's type, and filters that somebody in the stage asks already. */
function sparedQuestions(groups: readonly FeatureGroup[]): number {
  const filters = groups.flatMap(({ parts, lists }) =>
    [...parts, ...lists].flatMap(({ where }) => (where === null ? [] : [JSON.stringify(where)])),
  )
  return groups.length - 1 + filters.length - new Set(filters).size
}

function expressionsOf({ key, parts, lists }: FeatureGroup): Expression[] {
  return [key, ...[...parts, ...lists].flatMap(({ where, of }) => [where, of].filter((one) => one !== null))]
}

/** Fields that the events of a stage may have and that do not travel there. */
function fieldsLeft(groups: readonly CompiledGroup[]): number {
  const known = typesOf(groups).flatMap((type) => {
    const { required, further } = EVENT_TYPES.get(type)!
    return [...required, ...further]
  })
  return new Set([SOURCE_PARTITION, ...known]).difference(new Set(columnsOf(groups))).size
}

function total<T>(of: readonly T[], count: (one: T) => number): number {
  return of.reduce((sum, one) => sum + count(one), 0)
}

// 2,000 features in 200 pipelines: that they compile at all, and what it took (a figure is printed, and not asserted).

import { expect, it } from 'vitest'
import { OPEN_POLICY } from '../../test/features/declared.ts'
import { compileFeatures } from './compile.ts'
import type { Declarations, EntityDeclaration, FeatureDeclaration, WindowName } from './declaration.ts'
import { duplicatesIn } from './meaning.ts'

const PIPELINES = 200
const FEATURES_EACH = 10
const ENTITIES = 20
/** Of the ten of a pipeline that many count with a filter of its own; one is a rate of the others. */
const WINDOWS: readonly WindowName[] = ['1h', '24h', '7d']

/** Every pipeline is one team's: three counts in three windows each and a rate, over what another team looks at as well. */
function pipeline(i: number, { name: entity }: EntityDeclaration): FeatureDeclaration[] {
  const common = {
    ...{ entity, description: 'generated', owner: `team_${i}`, retentionDays: 28 },
    ...({ purpose: 'measurement', sensitivity: 'none' } as const),
  }
  const channel = { op: 'equal', args: [{ field: 'channel', as: 'text' }, { constant: `c${i % 7}` }] } as const
  const counted = (name: string, type: 'click' | 'impression' | 'conversion'): FeatureDeclaration => ({
    ...{ ...common, name: `p${i}_${name}`, events: { types: [type], where: channel } },
    ...({ aggregate: { fn: 'count' }, windows: WINDOWS } as const),
  })
  const rate = { of: `${entity}.p${i}_clicks_7d`, per: `${entity}.p${i}_impressions_7d`, prior: 0.01, weight: 100 }
  return [
    counted('clicks', 'click'),
    counted('impressions', 'impression'),
    counted('orders', 'conversion'),
    { ...common, name: `p${i}_rate`, rate },
  ]
}

it(`${PIPELINES * FEATURES_EACH} features in ${PIPELINES} pipelines compile, and their duplicates are found`, () => {
  const entities = Array.from({ length: ENTITIES }, (_, i): EntityDeclaration => {
    return { name: `e${i}`, key: i === 0 ? ['user_id'] : ['user_id', `x${i}_id`], partition: 'user_id' }
  })
  const features = Array.from({ length: PIPELINES }, (_, i) => pipeline(i, entities[i % ENTITIES]!)).flat()
  const declarations: Declarations = { entities, features, policy: OPEN_POLICY }

  const startedAt = performance.now()
  const compiled = compileFeatures(declarations)
  const compiledAt = performance.now()
  const duplicates = duplicatesIn(declarations)
  const endedAt = performance.now()
  const spent = (from: number, to: number): string => `${Math.round(to - from)} ms`
  console.log(
    `${compiled.features.length} features in ${PIPELINES} pipelines: compiled in ${spent(startedAt, compiledAt)}, duplicates in ${spent(compiledAt, endedAt)}`,
  )

  expect(compiled.features).toHaveLength(PIPELINES * FEATURES_EACH)
  // 10 pipelines on each entity, with 7 filters among them: 7 x 3 counts are kept for 10 x 3 that were declared.
  expect(compiled.groups.map(({ group }) => group.parts.length)).toEqual(Array(ENTITIES).fill(7 * 3))
  // And 3 teams of the 10 have the filter of another one: each of their 10 features is one that exists.
  expect(duplicates).toHaveLength(ENTITIES * 3 * FEATURES_EACH)
})

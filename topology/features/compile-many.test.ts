// 2,000 features in 200 pipelines: that they compile at all, and what it took (a figure is printed, and not asserted).

import { expect, it } from 'vitest'
import { ENTITIES, FEATURES_EACH, FILTERS, PIPELINES, pipelines } from '../../test/features/pipelines.ts'
import { compileFeatures } from './compile.ts'
import { duplicatesIn } from './meaning.ts'

it(`${PIPELINES * FEATURES_EACH} features in ${PIPELINES} pipelines compile, and their duplicates are found`, () => {
  const declarations = pipelines()
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
  expect(compiled.groups.map(({ group }) => group.parts.length)).toEqual(Array(ENTITIES).fill(FILTERS * 3))
  // And 3 teams of the 10 have the filter of another one: each of their 10 features is one that exists.
  expect(duplicates).toHaveLength(ENTITIES * 3 * FEATURES_EACH)
})

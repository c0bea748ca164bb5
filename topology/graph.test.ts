// What the graph refuses of models that are only looked at, and what they make of a plan.

import { createHash } from 'node:crypto'
import { expect, it } from 'vitest'
import { ATTRIBUTION_DEFAULT } from '../operators/attribution-settings.ts'
import { soundModel } from '../test/models/sound-model.ts'
import { type GraphOptions, LATENESS_MS_DEFAULT, pageViewGraph, SHADOWS_MAX } from './graph.ts'
import type { ModelFile } from './models/model-file.ts'
import { SCORING_DEFAULT } from './models/scoring-settings.ts'

function fileOf(version: number): ModelFile {
  const bytes = soundModel(version)
  return { bytes, sha256: createHash('sha256').update(bytes).digest('hex') }
}
const FILES = Array.from({ length: SHADOWS_MAX + 1 }, (_, i) => fileOf(i + 1))

const planOf = (options: Partial<GraphOptions>) =>
  pageViewGraph({
    ...{ namespace: 'test', name: 'test', clock: 'data', partitions: 1, latenessMs: LATENESS_MS_DEFAULT },
    ...{ anonymous: 'reject', accepted: 'off', attribution: ATTRIBUTION_DEFAULT, scoring: SCORING_DEFAULT },
    ...options,
  })

it('shadows are at most so many, each once, beside what scores', () => {
  const shadows = FILES.slice(1)
  expect(planOf({ shadows }).stages.map(({ name }) => name)).toEqual(planOf({}).stages.map(({ name }) => name))
  expect(() => planOf({ shadows: FILES })).toThrow(/9 shadows are too many: at most 8/)
  expect(() => planOf({ shadows: [FILES[0]!, FILES[0]!] })).toThrow(/two of the shadows are the same file/)
  expect(() => planOf({ scoring: 'off', shadows })).toThrow(/a shadow stands beside what scores, and nothing does/)
  expect(planOf({ scoring: 'off', shadows: [] }).fingerprint).toBe(planOf({ scoring: 'off' }).fingerprint)
})

it('which files they are, and in which order, makes the plan another', () => {
  const [first, second] = FILES as [ModelFile, ModelFile]
  const plans = [{}, { shadows: [first] }, { shadows: [first, second] }, { shadows: [second, first] }].map(planOf)
  expect(new Set(plans.map(({ fingerprint }) => fingerprint)).size).toBe(plans.length)
})

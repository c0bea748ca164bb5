// The oracle of declared features: what it finds in outputs that are wrong, that it says each feature of the application, and
// that what it cannot know exactly is as far off as it may be and no further.

import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeEach, expect, test } from 'vitest'
import { APPLICATION } from '../../topology/features/application.ts'
import { featureId, isContext, namesOf } from '../../topology/features/declaration.ts'
import { applicationInput } from '../features/application-input.ts'
import { ENTITIES } from './application-features.ts'
import { compareApplication, recomputeApplication } from './features.ts'
import { writeExpected } from './oracle.ts'
import { FEATURE_SPOILS } from './spoil-features.ts'

const dir = mkdtempSync(join(tmpdir(), 'holdfast-spoil-features-'))
const expected = recomputeApplication(applicationInput({ events: 3_000, seed: 2 }))

beforeEach(() => writeExpected(expected, dir))
afterAll(() => rmSync(dir, { recursive: true }))

test('nothing is found in the unspoiled output', () => {
  expect(compareApplication(expected, dir)).toEqual([])
})

test.each(FEATURE_SPOILS)('$name', ({ file, spoil }) => {
  const before = readFileSync(join(dir, file))
  spoil(dir)
  expect(readFileSync(join(dir, file)).equals(before)).toBe(false)
  const differences = compareApplication(expected, dir)
  expect(differences.length).toBeGreaterThan(0)
  for (const difference of differences) expect(difference).toContain(file)
})

test('it says every feature of the application, and its input has something for each to say', () => {
  const said = Object.entries(ENTITIES).flatMap(([entity, { features }]) =>
    Object.keys(features).map((name) => `${entity}.${name}`),
  )
  const declared = APPLICATION.features
    .filter((feature) => !isContext(feature))
    .flatMap((feature) => namesOf(feature).map((name) => featureId(feature.entity, name)))
  expect(said.toSorted()).toEqual(declared.toSorted())
  const found = new Set(expected.features.map(({ entity, feature }) => `${entity}.${feature}`))
  expect(said.filter((id) => !found.has(id))).toEqual([])
})

// What goes back to those that score: each version that was published, in the place of its record, and nothing of those that were not.

import { expect, it } from 'vitest'
import { recordOf, runOperator } from '../test/operator-harness.ts'
import type { ModelRecord } from './model-records.ts'
import { publishedVersions } from './published-versions.ts'

const FACTS = {
  ...{ bytes: 9, rows: 5, firstMs: 1, lastMs: 40 },
  metrics: { normalisedEntropy: 0.9, calibration: 1, weightNorm: 1, touches: 5, positives: 1 },
}

/** Made at a time, to hold ten later. */
function published(version: number, at: number): ModelRecord {
  const names = { sha256: String(version).repeat(64), schema: `schema of ${version}` }
  return { kind: 'published', at, from: at + 10, version, parent: version - 1, ...names, ...FACTS }
}

const refused = (parent: number, at: number): ModelRecord => {
  const names = { sha256: 'f'.repeat(64), schema: 'schema' }
  return { kind: 'refused', at, reason: 'calibration', detail: '2', parent, ...names, ...FACTS }
}

it.each([1, 4])('is what was published, with its own number, from when it holds, in slices of %i', (sliceRecords) => {
  const records = [published(1, 20), refused(1, 40), published(2, 60), refused(2, 80)]
  const recs = records.map((record) => recordOf(record, { time: record.at }))
  const outcome = runOperator(publishedVersions(), recs, { sliceRecords })
  const active = (version: number, from: number) => {
    return { activation: version, from, version, sha256: String(version).repeat(64), schema: `schema of ${version}` }
  }
  expect(outcome.out).toMatchObject([
    { at: 20, value: active(1, 30) },
    { at: 60, value: active(2, 70) },
  ])
  expect([outcome.emitted, outcome.touched]).toEqual([[], []])
})

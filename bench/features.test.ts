// The features part on a few hundred events: every plan says the same values, and its costs are counted.

import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { APPLICATION } from '../topology/features/application.ts'
import { RULE_NAMES } from '../topology/features/compile.ts'
import { type Declarations, type FeatureDeclaration, namesOf } from '../topology/features/declaration.ts'
import { FEATURE_SETS, featureCells, refuseOtherValues } from './feature-cells.ts'
import { featureText, liveText } from './feature-report.ts'
import { liveFeatures } from './live-features.ts'

/** Of two entities in two stages, one of them derived. */
const FEW: Declarations = {
  ...APPLICATION,
  features: APPLICATION.features.flatMap((one) => {
    const id = `${one.entity}.${one.name}`
    if (['ad.impressions', 'ad.clicks'].includes(id)) return [{ ...one, windows: ['7d'] } as FeatureDeclaration]
    return ['ad.click_rate_7d', 'user.since_click', 'user.last_pages'].includes(id) ? [one] : []
  }),
}

it('measures 30 features and all of the application', () => {
  expect(FEATURE_SETS.map(({ features }) => features.flatMap(namesOf).length)).toEqual([30, 75])
})

it('runs plans with rules and without, which say the same and cost something else', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'holdfast-features-bench-'))
  try {
    const said: string[] = []
    const options = { directory, events: 600, samples: 1, plans: [[], RULE_NAMES, 'apart'], sets: [FEW] } as const
    const signal = new AbortController().signal
    const figures = await featureCells({ ...options, signal, say: (line) => said.push(line) })
    const [all, none, apart] = figures.cells
    expect(all!.values).toMatch(/^[0-9a-f]{64}$/)
    expect(none!.values).toBe(all!.values)
    expect(apart!.values).toBe(all!.values)
    expect([all, none, apart].map((cell) => cell!.groups)).toEqual([2, 5, 5])
    // Without rules each feature looks for a record of its own, and keeps it.
    expect(none!.reads).toBeGreaterThan(all!.reads)
    expect(none!.writes).toBeGreaterThan(all!.writes)
    expect(none!.recordBytes).toBeGreaterThan(all!.recordBytes)
    for (const { samples, fileBytes } of figures.cells) {
      expect(samples[0]!.nodeCpuSeconds).toBeGreaterThan(0)
      expect(fileBytes).toBeGreaterThan(0)
    }
    expect(figures.compile).toMatchObject({ features: 2_000, pipelines: 200 })
    // Each graph looks for its own record, as without rules, and sees duplicates for itself.
    expect(apart!.reads).toBeGreaterThan(all!.reads)
    expect(apart!.fileBytes).toBeGreaterThan(none!.fileBytes)
    expect(said).toHaveLength(3)
    expect(featureText(figures, { events: 1_000, seconds: 2, nodeCpuSeconds: 0.05 })).toMatch(
      /^5 +a graph for each +5 /m,
    )
    expect(await readdir(directory)).toEqual([])
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
})

it('measures what an event costs a live node that keeps all of them', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'holdfast-live-bench-'))
  try {
    const live = await liveFeatures({ directory, seconds: 0.5, partitions: 1, threads: 2 })
    // Some of a world's lines are refused; all others were applied.
    expect(live.events).toBeGreaterThan(900)
    expect(live.events).toBeLessThanOrEqual(1_000)
    expect(live.nodeCpuSeconds).toBeGreaterThan(0)
    const told = { events: 1_000, seconds: 2, nodeCpuSeconds: 0.05 }
    expect(liveText(told)).toBe('live, application: 50.0 us an event at 500 events/s')
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
})

it('fails where a plan says other values', () => {
  expect(() => refuseOtherValues({ values: 'a' }, { values: 'b' }, ['fuse'])).toThrow('without fuse: features have')
})

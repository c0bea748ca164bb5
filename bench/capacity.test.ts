// The coefficients of topology/capacity.ts against a real nats-server store and real RocksDB: what it promises in bytes is what a
// small run leaves: log within a twentieth, state within a quarter. CPU and memory are only printed (npm run bench -- --only capacity).

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { promisesFor } from './capacity-cells.ts'
import { type Weighing, weigh } from './capacity-run.ts'

/** The log's bytes follow from its format; what RocksDB makes of state depends on when it compacts. */
const TOLERANCE = { log: 0.05, state: 0.25 } as const

/** Of each kind of bytes: what was promised to what a run left. */
async function ratiosOf(world: Omit<Weighing, 'directory'>): Promise<Record<string, number>> {
  const directory = await mkdtemp(join(tmpdir(), 'holdfast-capacity-'))
  try {
    const weights = await weigh({ ...world, directory })
    return Object.fromEntries(
      promisesFor(world, weights).map(({ what, promised, measured }) => [what, promised / measured]),
    )
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
}

const HOUR_MS = 3_600_000

const SHARES = { touchShare: 0.4, conversionShare: 0.02 }

it.each([
  [
    'many keys, in messages of 100',
    { ...SHARES, events: 40_000, users: 10_000, pages: 40_000, spanMs: HOUR_MS, perMessage: 100 },
  ],
  [
    'few keys with many panes, single',
    { ...SHARES, events: 30_000, users: 2_000, pages: 60, spanMs: 3 * HOUR_MS, perMessage: 1 },
  ],
])('%s: log and state are as large as promised', async (_, world) => {
  const ratios = await ratiosOf({ ...world, partitions: 2, threads: 2 })
  expect(Object.keys(ratios)).toEqual([
    ...[
      'input',
      'to pages',
      'to the click index',
      'to attribution',
      'to purchases',
      'accepted events',
      'conversions',
      'attributions',
    ],
    ...['state of users', 'state of pages', 'state of clicks', 'state of attribution'],
  ])
  for (const [what, ratio] of Object.entries(ratios)) {
    const tolerance = what.startsWith('state') ? TOLERANCE.state : TOLERANCE.log
    expect(ratio, what).toBeGreaterThan(1 - tolerance)
    expect(ratio, what).toBeLessThan(1 + tolerance)
  }
})

// CS1, CS2: costs add up, and no record is larger than its bound; records that reach it are built here.

import { describe, expect, it } from 'vitest'
import { ID_BYTES_MAX } from '../../operators/event.ts'
import type { FeatureGroup, KeyRecord } from '../../operators/feature-record.ts'
import { copyOf, type PartSpec, type PartState, TALLY_IDS_MAX } from '../../operators/parts.ts'
import { recordCodec } from '../../operators/record-forms.ts'
import { EXACT_IDS_MAX, REGISTERS } from '../../operators/sketch.ts'
import { ladderOf, Tiles, tilePlanOf } from '../../operators/tiles.ts'
import { clicks, declared } from '../../test/features/declared.ts'
import { APPLICATION } from './application.ts'
import { compileFeatures } from './compile.ts'
import { costsOf, recordBytesMax, tilesMax } from './costs.ts'

const MINUTE_MS = 60_000
const HOUR_MS = 60 * MINUTE_MS
/** In the year 2100: the longest distance of a first tile. */
const LATEST_MS = Math.floor(4.1e12 / HOUR_MS) * HOUR_MS
const SPECS = (['count', 'values', 'sum', 'squares', 'least', 'greatest', 'distinct', 'tally'] as const).map(
  (kind): PartSpec => (kind === 'count' || kind === 'distinct' || kind === 'tally' ? { kind } : { kind, scale: 1 }),
)

const id = (i: number): string => String(i).padStart(ID_BYTES_MAX, 'x')
const LARGEST: Readonly<Record<PartSpec['kind'], PartState>> = {
  count: Number.MAX_SAFE_INTEGER,
  values: Number.MAX_SAFE_INTEGER,
  least: Number.MAX_SAFE_INTEGER,
  greatest: -Number.MAX_SAFE_INTEGER,
  sum: 2n ** 85n - 1n,
  squares: 2n ** 138n - 1n,
  distinct: { ids: new Set(Array.from({ length: EXACT_IDS_MAX }, (_, i) => id(i))), registers: null },
  tally: new Map(Array.from({ length: TALLY_IDS_MAX }, (_, i) => [id(i), Number.MAX_SAFE_INTEGER])),
}

const selection = { types: ['click'], where: null, of: null } as const
const LADDER = ladderOf([{ lengthMs: HOUR_MS, paneMs: MINUTE_MS }])
const GROUP: FeatureGroup = {
  entity: 'user',
  key: { field: 'user_id', as: 'text' },
  lookbackMs: HOUR_MS,
  parts: SPECS.map((spec) => ({ ...selection, spec, ladder: LADDER })),
  lists: [{ ...selection, types: ['page_view'], length: 10, keptMs: HOUR_MS }],
}

/** Of an event in every pane, as long ago as may be, each as large as it may be. */
function largestRecord(group: FeatureGroup, distinct = LARGEST.distinct): KeyRecord {
  const record = recordCodec(group).empty()
  group.parts.forEach(({ spec: { kind }, ladder }, part) => {
    for (let i = 0; i < tilesMax(ladder, group.lookbackMs); i++) {
      const state = kind === 'distinct' ? distinct : LARGEST[kind]
      record.tiles.add(part, LATEST_MS - i * MINUTE_MS, 0, copyOf(state))
    }
  })
  group.lists.forEach(({ length }, i) => {
    for (let back = 0; back < length; back++)
      record.lists[i]!.add({ time: LATEST_MS - 2 ** 41 + back, type: 'page_view', id: id(0), value: id(1) })
  })
  record.newestMs = LATEST_MS
  return record
}

describe('bytes of a record', () => {
  const bound = recordBytesMax(GROUP)

  it('are never more than the bound, and come near it', () => {
    const { length } = recordCodec(GROUP).encode(largestRecord(GROUP))
    expect(length).toBeLessThanOrEqual(bound)
    expect(length).toBeGreaterThan(0.95 * bound)
  })

  it.each(SPECS.filter(({ kind }) => kind !== 'distinct' && kind !== 'tally'))('of a number alone: %j', (spec) => {
    const small: FeatureGroup = { ...GROUP, parts: [{ ...selection, spec, ladder: LADDER }], lists: [] }
    const { length } = recordCodec(small).encode(largestRecord(small))
    expect(length).toBeLessThanOrEqual(recordBytesMax(small))
    // Distances between tiles are of a byte each.
    expect(length).toBeGreaterThan(0.65 * recordBytesMax(small))
  })

  it('are less where ids have become registers', () => {
    const registers = { ids: null, registers: new Uint8Array(REGISTERS).fill(33) }
    expect(recordCodec(GROUP).encode(largestRecord(GROUP, registers)).length).toBeLessThan(bound)
  })
})

it('a key that has an event in every pane has as many tiles as the bound says, but for the ends', () => {
  const windows = [
    { lengthMs: HOUR_MS / 2, paneMs: MINUTE_MS },
    { lengthMs: 20 * HOUR_MS, paneMs: HOUR_MS },
  ]
  const ladder = ladderOf(windows)
  const tiles = new Tiles(tilePlanOf([{ spec: { kind: 'count' }, ladder }], HOUR_MS))
  let most = 0
  for (let watermark = LATEST_MS; watermark < LATEST_MS + 40 * HOUR_MS; watermark += MINUTE_MS) {
    tiles.settle(watermark)
    tiles.add(0, watermark + HOUR_MS, watermark, 1)
    most = Math.max(most, tiles.starts(0).flat().length)
  }
  expect(most).toBeLessThanOrEqual(tilesMax(ladder, HOUR_MS))
  expect(most).toBeGreaterThanOrEqual(tilesMax(ladder, HOUR_MS) - 2 * ladder.length)
})

it('what features cost adds up to what their records cost, by owner too', () => {
  const { groups, features, owners } = costsOf(compileFeatures(APPLICATION))
  for (const { entity, bytes } of groups) {
    const own = features.filter((feature) => feature.entity === entity)
    expect(own.reduce((sum, feature) => sum + feature.bytes, 0)).toBeCloseTo(bytes, 3)
    const ofOwners = owners.reduce((sum, owner) => sum + (owner.bytesByEntity[entity] ?? 0), 0)
    expect(ofOwners).toBeCloseTo(bytes, 3)
  }
  expect(owners.reduce((sum, owner) => sum + owner.features, 0)).toBe(features.length)
})

it('features that share a part pay half of it each, and one that derives pays nothing', () => {
  const features = [clicks({ owner: 'a' }), clicks({ owner: 'b', name: 'taps' })]
  const {
    features: [a, b],
    groups: [group],
  } = costsOf(compileFeatures(declared(features)))
  expect(a!.bytes).toBe(b!.bytes)
  expect(group!.parts).toBe(1)
  expect(a!.bytes + b!.bytes).toBe(group!.bytes)
  const derived = costsOf(compileFeatures(APPLICATION)).features.find(({ feature }) => feature === 'ad.click_rate_7d')
  expect(derived).toMatchObject({ parts: 0, lists: 0, bytes: 0 })
})

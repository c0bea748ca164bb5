// What features cost, as bounds that follow from the plan alone: tiles and bytes that one key can have at most.
// CS1: the costs of the features of an entity add up to what its record costs: what several read is split between them evenly,
//      what holds the record together evenly between parts and lists.
// CS2: they are bounds: no record is larger, as long as no event is further ahead of the watermark than the lookback. Most records are much smaller; the bound says what a feature may come to, not what it will.

import type { FeatureGroup, GroupList, GroupPart } from '../../operators/feature-record.ts'
import type { PartSpec } from '../../operators/parts.ts'
import { KEPT_TEXT_BYTES_MAX, TALLY_IDS_MAX } from '../../operators/parts.ts'
import { EXACT_IDS_MAX, REGISTERS } from '../../operators/sketch.ts'
import type { Ladder } from '../../operators/tiles.ts'
import type { CompiledFeature, CompiledFeatures } from './compile.ts'

/** A text and its length. */
const TEXT_BYTES = KEPT_TEXT_BYTES_MAX + 2
/** A varint of a safe integer. */
const WHOLE_BYTES = 8
/** How long something is, below 2 MiB. */
const SIZE_BYTES = 3

/** Bytes of a part in one tile, at most. */
export const PART_BYTES: Readonly<Record<PartSpec['kind'], number>> = {
  count: WHOLE_BYTES,
  values: WHOLE_BYTES,
  least: WHOLE_BYTES,
  greatest: WHOLE_BYTES,
  // Of 2^32 events with 2^53 units each: 85 bits and a length.
  sum: 12,
  // Of as many with 2^106 each: 138 bits and a length.
  squares: 19,
  // Ids as they are; as registers, at two bytes each, it is less. Then their size.
  distinct: SIZE_BYTES + Math.max(1 + EXACT_IDS_MAX * TEXT_BYTES, 3 + 2 * REGISTERS),
  tally: SIZE_BYTES + 1 + TALLY_IDS_MAX * (TEXT_BYTES + WHOLE_BYTES),
}
/** Of a tile without its part: the distance to the next, in panes of a minute as far as windows reach. */
const TILE_BYTES = 3
/** Of the tiles of one part and width: which they are, their size, how far before the newest event they begin. */
const RUN_BYTES = 2 + 4 + 4
/** Of a record without tiles and lists: its form, the time of the newest event, and how many runs. */
const RECORD_BYTES = 1 + 6 + 2
/** One entry of a list: distance in time, type, id, kind of value, value. */
const ENTRY_BYTES = 6 + 1 + TEXT_BYTES + 1 + TEXT_BYTES
/** How long a list is. */
const LIST_BYTES = SIZE_BYTES

/** Coefficients as people see them. */
export const COST_COEFFICIENTS = {
  textBytes: TEXT_BYTES,
  partBytes: PART_BYTES,
  tileBytes: TILE_BYTES,
  runBytes: RUN_BYTES,
  entryBytes: ENTRY_BYTES,
} as const

export interface FeatureCost {
  readonly feature: string
  readonly owner: string
  readonly entity: string
  /** What it reads of the record, and how many features read each. */
  readonly parts: number
  readonly lists: number
  /** Bytes per key at most, its share. 0: nothing is kept for it. */
  readonly bytes: number
}

export interface OwnerCost {
  readonly owner: string
  readonly features: number
  /** Bytes per key of each entity at most. */
  readonly bytesByEntity: Readonly<Record<string, number>>
}

export interface GroupCost {
  readonly entity: string
  readonly parts: number
  readonly lists: number
  readonly windows: number
  readonly tiles: number
  readonly bytes: number
}

export interface Costs {
  readonly groups: readonly GroupCost[]
  readonly features: readonly FeatureCost[]
  readonly owners: readonly OwnerCost[]
}

/** Tiles of one part at most: of each width those between what narrower panes hold and its own reach. */
export function tilesMax(ladder: Ladder, lookbackMs: number): number {
  // The first tile and the last may stick out on either side.
  const sticking = 2
  return sum(
    ladder.map(({ paneMs, reachMs }, i) => {
      const spanMs = i === 0 ? reachMs + 2 * lookbackMs : reachMs - ladder[i - 1]!.reachMs
      return Math.ceil(spanMs / paneMs) + sticking
    }),
  )
}

const partBytesMax = ({ spec, ladder }: GroupPart, lookbackMs: number): number =>
  ladder.length * RUN_BYTES + tilesMax(ladder, lookbackMs) * (TILE_BYTES + PART_BYTES[spec.kind])

const listBytesMax = ({ length }: GroupList): number => LIST_BYTES + length * ENTRY_BYTES

/** Bytes of one record at most. */
export function recordBytesMax({ parts, lists, lookbackMs }: FeatureGroup): number {
  return RECORD_BYTES + sum(parts.map((part) => partBytesMax(part, lookbackMs))) + sum(lists.map(listBytesMax))
}

/** What a plan costs by group, feature and owner. */
export function costsOf({ groups, features }: CompiledFeatures): Costs {
  const shares = groups.map(
    ({ group }, i) =>
      new Shares(
        group,
        features.filter((feature) => readsGroup(feature, i)),
      ),
  )
  const costs = features.map((feature) => costOf(feature, shares))
  return {
    groups: groups.map(({ group }, i) => ({
      entity: group.entity,
      parts: group.parts.length,
      lists: group.lists.length,
      windows: shares[i]!.windows,
      tiles: sum(group.parts.map(({ ladder }) => tilesMax(ladder, group.lookbackMs))),
      bytes: recordBytesMax(group),
    })),
    features: costs,
    owners: ownersOf(costs),
  }
}

const readsGroup = ({ how }: CompiledFeature, group: number): boolean => how.kind === 'kept' && how.group === group

function costOf({ id, entity, declaration, how }: CompiledFeature, shares: readonly Shares[]): FeatureCost {
  const { owner } = declaration
  if (how.kind !== 'kept') return { feature: id, owner, entity, parts: 0, lists: 0, bytes: 0 }
  const { parts, lists } = readBy(how.reading)
  const bytes = shares[how.group]!.of(how.reading)
  return { feature: id, owner, entity, parts: parts.length, lists: lists.length, bytes }
}

type Reading = Extract<CompiledFeature['how'], { readonly kind: 'kept' }>['reading']

/** The parts and lists of its group that a reading reads. */
export function readBy(reading: Reading): { readonly parts: readonly number[]; readonly lists: readonly number[] } {
  if ('list' in reading) return { parts: [], lists: [reading.list] }
  if ('part' in reading) return { parts: [reading.part], lists: [] }
  const parts = reading.fn === 'variance' ? [reading.sum, reading.count, reading.squares] : [reading.sum, reading.count]
  return { parts, lists: [] }
}

/** What each reader of a group has to bear. */
class Shares {
  readonly windows: number
  readonly #group: FeatureGroup
  readonly #partReaders: readonly number[]
  readonly #listReaders: readonly number[]

  constructor(group: FeatureGroup, readers: readonly CompiledFeature[]) {
    const readings = readers.flatMap(({ how }) => (how.kind === 'kept' ? [how.reading] : []))
    const read = readings.map(readBy)
    const windows = readings.flatMap((reading) => ('window' in reading ? [reading.window.lengthMs] : []))
    this.windows = new Set(windows).size
    this.#group = group
    this.#partReaders = group.parts.map((_, i) => read.filter(({ parts }) => parts.includes(i)).length)
    this.#listReaders = group.lists.map((_, i) => read.filter(({ lists }) => lists.includes(i)).length)
  }

  of(reading: Reading): number {
    const { parts, lists } = readBy(reading)
    const { lookbackMs, parts: all, lists: kept } = this.#group
    const recordShare = RECORD_BYTES / (all.length + kept.length)
    const ofParts = parts.map((i) => (partBytesMax(all[i]!, lookbackMs) + recordShare) / this.#partReaders[i]!)
    const ofLists = lists.map((i) => (listBytesMax(kept[i]!) + recordShare) / this.#listReaders[i]!)
    return sum(ofParts) + sum(ofLists)
  }
}

function ownersOf(costs: readonly FeatureCost[]): OwnerCost[] {
  const owners = [...new Set(costs.map(({ owner }) => owner))].sort()
  return owners.map((owner) => {
    const own = costs.filter((cost) => cost.owner === owner)
    const bytesByEntity: Record<string, number> = {}
    for (const { entity, bytes } of own) bytesByEntity[entity] = (bytesByEntity[entity] ?? 0) + bytes
    return { owner, features: own.length, bytesByEntity }
  })
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, n) => total + n, 0)
}

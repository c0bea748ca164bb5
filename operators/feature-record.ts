// What is kept for the keys of one entity: which parts and lists, the record of one key, its bytes, and where it stands.
// The operator that writes it is operators/feature-group.ts; values are made of it in operators/feature-values.ts.

import { type ByteReader, type ByteWriter, corrupt } from './bytes.ts'
import type { EventType } from './event.ts'
import type { Expression } from './expression.ts'
import { type ListSpec, NewestList } from './newest-list.ts'
import type { PartSpec } from './parts.ts'
import { keptMs, type Ladder, type TilePlan, Tiles, tilePlanOf } from './tiles.ts'

/** Which events something is made of. */
export interface Selection {
  readonly types: readonly EventType[]
  /** Of type truth; null: all. */
  readonly where: Expression | null
  /** What is aggregated; null: the event itself. */
  readonly of: Expression | null
}

export interface GroupPart extends Selection {
  readonly spec: PartSpec
  /** Of the windows over which somebody reads it. */
  readonly ladder: Ladder
}

/** The last `length` values by (event time, type, event_id). */
export interface GroupList extends Selection, ListSpec {
  readonly types: readonly EventType[]
}

/** What is kept for one entity. Plain data: its canonical form is the identity of the operator. */
export interface FeatureGroup {
  readonly entity: string
  /** Of type text; an event for which it is absent has no key here. */
  readonly key: Expression
  /** How long before the watermark windows can still end, milliseconds: for reads of the past and late records. */
  readonly lookbackMs: number
  readonly parts: readonly GroupPart[]
  readonly lists: readonly GroupList[]
  /** As it was before its declarations changed, the first first: records may be of any of these (operators/record-forms.ts). */
  readonly earlier?: readonly FeatureGroup[]
}

/** Of one key. Mutable. */
export interface KeyRecord {
  /** The latest event time of what was added, milliseconds; before any event 0. */
  newestMs: number
  readonly tiles: Tiles
  readonly lists: readonly NewestList[]
}

export const RECORDS_STORE = 'records'

// --- FG2: where a record stands

/** How long anything in a record may be needed after its last event, milliseconds. */
export function generationMs({ parts, lists, lookbackMs }: FeatureGroup): number {
  return Math.max(
    ...parts.map(({ ladder }) => keptMs(ladder, lookbackMs)),
    ...lists.map((list) => list.keptMs + lookbackMs),
  )
}

/** Buckets in which a key's record may stand, the newer first, by the lowest one that a store has. */
export function generationsOf(lowestBucket: number): readonly [newer: number, older: number] {
  // A store of which nothing has gone has no lowest bucket.
  const older = Math.max(0, lowestBucket)
  return [older + 1, older]
}

// --- bytes

/** Makes, writes and reads the records of a group. */
export interface RecordForm {
  readonly plan: TilePlan
  /** A record without events. */
  empty(): KeyRecord
  write(writer: ByteWriter, record: KeyRecord): void
  read(reader: ByteReader): KeyRecord
}

/** Bytes: the time of the newest event, tiles, then each list. Times of what is in them count from the newest. */
export function formOf({ lookbackMs, parts, lists }: FeatureGroup): RecordForm {
  const plan = tilePlanOf(parts, lookbackMs)
  return {
    empty: () => ({ newestMs: 0, tiles: new Tiles(plan), lists: lists.map((list) => NewestList.empty(list)) }),
    plan,
    write(writer, { newestMs, tiles, lists: kept }) {
      writer.varint(newestMs)
      tiles.write(writer, newestMs)
      for (const list of kept) list.write(writer, newestMs)
    },
    read(reader) {
      const newestMs = reader.varint()
      const tiles = Tiles.read(reader, plan, newestMs)
      const record = { newestMs, tiles, lists: lists.map((list) => NewestList.read(reader, list, newestMs)) }
      if (!reader.atEnd) throw corrupt('a record is longer than what is in it')
      return record
    },
  }
}

// What is kept for the keys of one entity: which parts and lists, the record of one key, its bytes, and where it stands.
// The operator that writes it is operators/feature-group.ts; values are made of it in operators/feature-values.ts.

import type { Codec } from '../state/store.ts'
import { ByteReader, ByteWriter, corrupt } from './bytes.ts'
import type { EventType } from './event.ts'
import type { Expression } from './expression.ts'
import type { PartSpec } from './parts.ts'
import { keptMs, type Ladder, readTiles, type Tiles, writeTiles } from './tiles.ts'

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
}

/** The last `length` values by (event time, type, event_id). */
export interface GroupList extends Selection {
  readonly length: number
  /** How long a value is kept, milliseconds. */
  readonly keptMs: number
}

/** What is kept for one entity. Plain data: its canonical form is the identity of the operator. */
export interface FeatureGroup {
  readonly entity: string
  /** Of type text; an event for which it is absent has no key here. */
  readonly key: Expression
  readonly ladder: Ladder
  readonly parts: readonly GroupPart[]
  readonly lists: readonly GroupList[]
  /** As it was before its declarations changed, the first first: records may be of any of these (operators/record-forms.ts). */
  readonly earlier?: readonly FeatureGroup[]
}

export interface ListEntry {
  readonly time: number
  readonly type: string
  readonly id: string
  readonly value: string | number
}

/** Of one key. Mutable. */
export interface KeyRecord {
  tiles: Tiles
  /** By list, the last first. */
  readonly lists: ListEntry[][]
}

export const RECORDS_STORE = 'records'

// --- FG2: where a record stands

/** How long anything in a record may be needed after its last event, milliseconds. */
export function generationMs({ ladder, lists }: FeatureGroup): number {
  return Math.max(keptMs(ladder), ...lists.map((list) => list.keptMs + ladder.lookbackMs))
}

/** Buckets in which a key's record may stand, the newer first, by the lowest one that a store has. */
export function generationsOf(lowestBucket: number): readonly [newer: number, older: number] {
  // A store of which nothing has gone has no lowest bucket.
  const older = Math.max(0, lowestBucket)
  return [older + 1, older]
}

// --- bytes

/** Of a record in the form of this group: tiles, then each list: (distance in time, type, id, value), one after the other. */
export function bytesOfForm({ ladder, parts, lists }: FeatureGroup): Codec<KeyRecord> {
  const specs = parts.map(({ spec }) => spec)
  return {
    encode(record) {
      const writer = new ByteWriter()
      writeTiles(writer, record.tiles, specs, ladder)
      for (const entries of record.lists) writeList(writer, entries)
      return writer.done()
    },
    decode(bytes) {
      const reader = new ByteReader(bytes)
      const tiles = readTiles(reader, specs, ladder)
      const record = { tiles, lists: lists.map(() => readList(reader)) }
      if (!reader.atEnd) throw corrupt('a record is longer than what is in it')
      return record
    },
  }
}

const TEXT = 0
const NUMBER = 1

function writeList(writer: ByteWriter, entries: readonly ListEntry[]): void {
  writer.varint(entries.length)
  for (const { time, type, id, value } of entries) {
    writer.varint(time)
    writer.text(type)
    writer.text(id)
    writer.varint(typeof value === 'string' ? TEXT : NUMBER)
    writer.text(typeof value === 'string' ? value : JSON.stringify(value))
  }
}

function readList(reader: ByteReader): ListEntry[] {
  return reader.list(() => {
    const [time, type, id, kind, text] = [reader.varint(), reader.text(), reader.text(), reader.varint(), reader.text()]
    return { time, type, id, value: kind === TEXT ? text : Number(text) }
  })
}

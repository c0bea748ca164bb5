// Records that were written before their declarations changed, as those of now. A record says by its first byte under which
// form it was written; forms of one entity are numbered, the last is the one that is written.
// RF1: a part or list that is equal in all forms from a record's to the last keeps what the record has; what is new, or was away
//      in between, is empty. So what did not change reads what it would have read without the change.
// RF2: a tile goes to the narrowest panes that can hold it: no window that was there before needs narrower ones, and the
//      windows that are new are not complete before it is too old for them (operators/feature-values.ts).
// The bytes of one form are in operators/feature-record.ts; which forms there are, in topology/features/ledger.ts.

import stringify from 'fast-json-stable-stringify'
import type { Codec } from '../state/store.ts'
import { corrupt } from './bytes.ts'
import { bytesOfForm, type FeatureGroup, type KeyRecord } from './feature-record.ts'
import { addToTiles, type Ladder, type Tile, type Tiles } from './tiles.ts'

/** Forms of one entity: each record's first byte names its own, so that it costs one byte. */
export const FORMS_MAX = 256

/** Reads records of all forms of a group, writes those of its last. */
export function recordCodec(group: FeatureGroup): Codec<KeyRecord> {
  const forms = [...(group.earlier ?? []), group]
  const codecs = forms.map(bytesOfForm)
  const [last, write] = [forms.length - 1, codecs.at(-1)!]
  const readers = forms.map((form, number) => (number === last ? null : translation(form, forms.slice(number + 1))))
  return {
    encode(record) {
      const bytes = write.encode(record)
      const whole = new Uint8Array(bytes.length + 1)
      whole[0] = last
      whole.set(bytes, 1)
      return whole
    },
    decode(bytes) {
      const number = bytes[0]
      const codec = number === undefined ? undefined : codecs[number]
      if (codec === undefined) throw corrupt('a record has a form that the plan does not have')
      const record = codec.decode(bytes.subarray(1))
      return readers[number!]?.(record) ?? record
    },
  }
}

/** RF1, RF2. From a form to the last of those after it. */
function translation(from: FeatureGroup, after: readonly FeatureGroup[]): (record: KeyRecord) => KeyRecord {
  const to = after.at(-1)!
  const parts = placesIn(
    from.parts,
    after.map((form) => form.parts),
  )
  const lists = placesIn(
    from.lists,
    after.map((form) => form.lists),
  )
  const specs = to.parts.map(({ spec }) => spec)
  const levels = from.ladder.levels.map(({ paneMs }) => levelFor(to.ladder, paneMs))
  return ({ tiles, lists: entries }) => {
    const kept: Tiles = []
    for (const tile of tiles) {
      const level = levels[tile.level]!
      const values: Tile['parts'] = specs.map((_, i) => tile.parts[parts.indexOf(i)])
      if (level === null || values.every((value) => value === undefined)) continue
      const { paneMs } = to.ladder.levels[level]!
      addToTiles(kept, specs, { level, start: Math.floor(tile.start / paneMs) * paneMs }, values)
    }
    return { tiles: kept, lists: to.lists.map((_, i) => entries[lists.indexOf(i)] ?? []) }
  }
}

/** For each of some things its place in the last of the lists after it; -1 where one of those lacks it. */
function placesIn(things: readonly unknown[], after: readonly (readonly unknown[])[]): number[] {
  const texts = after.map((list) => list.map((thing) => stringify(thing)))
  return things.map((thing) => {
    const text = stringify(thing)
    return texts.every((list) => list.includes(text)) ? texts.at(-1)!.indexOf(text) : -1
  })
}

/** null: no window is left that could end in such a tile. */
function levelFor({ levels }: Ladder, paneMs: number): number | null {
  const level = levels.findIndex((wider) => wider.paneMs % paneMs === 0)
  return level === -1 ? null : level
}

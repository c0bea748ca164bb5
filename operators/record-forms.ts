// Records that were written before their declarations changed, as those of now. A record says by its first byte under which
// form it was written; forms of one entity are numbered, the last is the one that is written.
// RF1: a part or list that is equal in all forms from a record's to the last keeps what the record has; what is new, or was away
//      in between, is empty. So what did not change reads what it would have read without the change.
// RF2: a tile goes to the narrowest panes of its part that can hold it: no window that was there before needs narrower ones, and the
//      windows that are new are not complete before it is too old for them (operators/feature-values.ts).
// The bytes of one form are in operators/feature-record.ts; which forms there are, in topology/features/ledger.ts.

import stringify from 'fast-json-stable-stringify'
import type { Codec } from '../state/store.ts'
import { ByteReader, ByteWriter, corrupt } from './bytes.ts'
import { type FeatureGroup, formOf, type GroupPart, type KeyRecord, type RecordForm } from './feature-record.ts'

/** Forms of one entity: each record's first byte names its own, so that it costs one byte. */
export const FORMS_MAX = 256

/** Reads records of all forms of a group, writes those of its last. */
export interface RecordCodec extends Codec<KeyRecord> {
  /** A record without events. */
  empty(): KeyRecord
}

export function recordCodec(group: FeatureGroup): RecordCodec {
  const groups = [...(group.earlier ?? []), group]
  const forms = groups.map(formOf)
  const last = forms.length - 1
  const form = forms[last]!
  const first = Uint8Array.of(last)
  const translate = groups.map((from, number) =>
    number === last ? null : translation(from, groups.slice(number + 1), form),
  )
  return {
    empty: form.empty,
    encode(record) {
      const writer = new ByteWriter()
      writer.bytes(first)
      form.write(writer, record)
      return writer.done()
    },
    decode(bytes) {
      const number = bytes[0]
      const own = number === undefined ? undefined : forms[number]
      if (own === undefined) throw corrupt('a record has a form that the plan does not have')
      const record = own.read(new ByteReader(bytes.subarray(1)))
      return translate[number!]?.(record) ?? record
    },
  }
}

/** RF1, RF2. From a form to the last of those after it. */
function translation(
  from: FeatureGroup,
  after: readonly FeatureGroup[],
  form: RecordForm,
): (record: KeyRecord) => KeyRecord {
  const parts = placesIn(
    from.parts.map(withoutLadder),
    after.map((group) => group.parts.map(withoutLadder)),
  )
  const lists = placesIn(
    from.lists,
    after.map((group) => group.lists),
  )
  return ({ newestMs, tiles, lists: kept }) => {
    const empty = form.empty()
    return {
      newestMs,
      tiles: tiles.movedTo(form.plan, parts),
      lists: empty.lists.map((list, i) => kept[lists.indexOf(i)] ?? list),
    }
  }
}

/** Other windows make no other part. */
function withoutLadder({ ladder: _, ...part }: GroupPart): Omit<GroupPart, 'ladder'> {
  return part
}

/** For each of some things its place in the last of the lists after it; -1 where one of those lacks it. */
function placesIn(things: readonly unknown[], after: readonly (readonly unknown[])[]): number[] {
  const texts = after.map((list) => list.map((thing) => stringify(thing)))
  return things.map((thing) => {
    const text = stringify(thing)
    return texts.every((list) => list.includes(text)) ? texts.at(-1)!.indexOf(text) : -1
  })
}

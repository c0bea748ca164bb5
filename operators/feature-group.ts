// Everything that is kept for the keys of one entity, in one record per key: tiles of the parts of all its aggregates, and
// lists of what came last. However many features are declared on an entity, an event reads and writes one record of it.
// FG1: a record is a function of the events of its key and of the watermarks at which they came, not of slices or commits.
// FG2: a record is kept until the watermark is `keptMs` past that of its last event, in buckets of that width: each event moves it
//      to the bucket of its own watermark, so a key that is not seen any more goes with its bucket.
// What is declared is in topology/features/, what values are made of a record in operators/feature-values.ts.

import { compareUtf8 } from '../state/key-layout.ts'
import type { Codec, KeyedStore } from '../state/store.ts'
import { ByteReader, ByteWriter } from './bytes.ts'
import type { Event, EventType } from './event.ts'
import { compileExpressions, type Expression, type Maybe } from './expression.ts'
import {
  bucketAt,
  bucketsOf,
  type FeatureGroup,
  type GroupList,
  generationMs,
  type KeyRecord,
  type ListEntry,
  RECORDS_STORE,
  recordCodec,
  type Selection,
} from './feature-record.ts'
import type { Operator, OperatorContext, Rec } from './operator.ts'
import { type PartState, partOf } from './parts.ts'
import { addToTiles, placeOf, settled } from './tiles.ts'

/** One entry: the bucket of the first watermark. */
const FIRST_STORE = 'first'
const FIRST = ''

/** Counts `features_expired`: events that no window and no list of their entity can show any more. */
export function featureGroup(group: FeatureGroup): Operator<Event, Event> {
  const { ladder, parts, lists } = group
  const specs = parts.map(({ spec }) => spec)
  const [keyOf, inputsOf] = [compileExpressions([group.key]), dispatchOf(group)]
  const widthMs = generationMs(group)

  const keyOfEvent = ({ fields, type }: Event): string | undefined =>
    inputsOf.has(type) ? (keyOf({ fields })[0] as string | undefined) : undefined

  function apply(record: KeyRecord, { value: event, watermark }: Rec<Event>, ctx: OperatorContext): void {
    const inputs = inputsOf.get(event.type)!(event)
    record.tiles = settled(record.tiles, specs, ladder, watermark)
    const added: (PartState | undefined)[] = specs.map((spec, i) => partOf(spec, inputs[i]))
    const place = placeOf(ladder, event.time, watermark)
    if (added.some((part) => part !== undefined)) {
      if (place === null) ctx.count('features_expired')
      else addToTiles(record.tiles, specs, place, added)
    }
    lists.forEach((list, i) => {
      const value = inputs[specs.length + i]
      keepNewest(record.lists[i]!, list, value, event, watermark - ladder.lookbackMs)
    })
  }

  return {
    name: `features of ${group.entity}`,
    version: 1,
    settings: group,
    stores: [
      { kind: 'keyed', id: 1, name: RECORDS_STORE, codec: recordCodec(group) },
      { kind: 'keyed', id: 2, name: FIRST_STORE, codec: bucketCodec },
    ],
    keys(batch, ctx) {
      const store = ctx.keyed<KeyRecord>(RECORDS_STORE)
      ctx.keyed<number>(FIRST_STORE).want(0, FIRST)
      for (const { value, watermark } of batch) {
        const key = keyOfEvent(value)
        if (key === undefined) continue
        for (const bucket of bucketsOf(watermark, widthMs, store.lowestBucket)) store.want(bucket, key)
      }
    },
    process(batch, ctx) {
      const store = ctx.keyed<KeyRecord>(RECORDS_STORE)
      for (const rec of batch) {
        const key = keyOfEvent(rec.value)
        if (key === undefined) continue
        const bucket = enterBucket(store, ctx.keyed<number>(FIRST_STORE), rec.watermark, widthMs)
        const record = takeRecord(store, rec.watermark, widthMs, key) ?? { tiles: [], lists: lists.map(() => []) }
        apply(record, rec, ctx)
        store.set(bucket, key, record)
      }
      return batch
    },
  }
}

/** By event type, the inputs of parts and lists in their order; undefined where an event adds nothing. */
function dispatchOf({ parts, lists }: FeatureGroup): ReadonlyMap<EventType, (event: Event) => Maybe[]> {
  const selections: readonly Selection[] = [...parts, ...lists]
  const types = new Set(selections.flatMap((selection) => selection.types))
  return new Map(
    [...types].map((type) => {
      const used = selections
        .map((selection, i) => ({ ...selection, i }))
        .filter((selection) => selection.types.includes(type))
      const run = compileExpressions(used.map(({ where, of }) => inputOf(where, of)))
      return [
        type,
        ({ fields }: Event) => {
          const inputs: Maybe[] = new Array(selections.length).fill(undefined)
          run({ fields }).forEach((value, i) => {
            inputs[used[i]!.i] = value
          })
          return inputs
        },
      ]
    }),
  )
}

/** What an event adds: absent, or false, where it is not selected. */
function inputOf(where: Expression | null, of: Expression | null): Expression {
  if (where === null) return of ?? { constant: true }
  return of === null ? where : { op: 'when', args: [where, of] }
}

/** Puts a value in its place among the newest, and drops those that are too old or too many. */
function keepNewest(
  entries: ListEntry[],
  { length, keptMs: kept }: GroupList,
  value: Maybe,
  event: Event,
  nowMs: number,
): void {
  if (typeof value === 'string' || typeof value === 'number') {
    const { time, type, id } = event
    const entry: ListEntry = { time, type, id, value }
    const before = entries.findIndex((other) => isNewer(entry, other))
    entries.splice(before === -1 ? entries.length : before, 0, entry)
  }
  while (entries.length > length || (entries.length > 0 && entries.at(-1)!.time + kept < nowMs)) entries.pop()
}

function isNewer(a: ListEntry, b: ListEntry): boolean {
  if (a.time !== b.time) return a.time > b.time
  return (compareUtf8(a.type, b.type) || compareUtf8(a.id, b.id)) > 0
}

/** The bucket in which records are written under this watermark. Drops those that are no longer needed. */
function enterBucket(
  store: KeyedStore<KeyRecord>,
  firsts: KeyedStore<number>,
  watermark: number,
  widthMs: number,
): number {
  const bucket = bucketAt(watermark, widthMs)
  if (bucket === 0) return bucket
  // How old the records of bucket 0 are is known from the first watermark only.
  const first = firsts.get(0, FIRST)
  if (first === undefined) firsts.set(0, FIRST, bucket)
  else if (bucket >= first + 2 && bucket - 1 > store.lowestBucket) store.expireBelow(bucket - 1)
  return bucket
}

/** Takes a key's record from where it stands. */
function takeRecord(
  store: KeyedStore<KeyRecord>,
  watermark: number,
  widthMs: number,
  key: string,
): KeyRecord | undefined {
  const [here, ...earlier] = bucketsOf(watermark, widthMs, store.lowestBucket)
  const record = store.get(here!, key)
  if (record !== undefined) return record
  for (const bucket of earlier) {
    const older = store.get(bucket, key)
    if (older === undefined) continue
    store.delete(bucket, key)
    return older
  }
  return undefined
}

const bucketCodec: Codec<number> = {
  encode(bucket) {
    const writer = new ByteWriter()
    writer.varint(bucket)
    return writer.done()
  },
  decode: (bytes) => new ByteReader(bytes).varint(),
}

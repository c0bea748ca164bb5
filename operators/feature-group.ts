// Everything that is kept for the keys of one entity, in one record per key: tiles of the parts of all its aggregates, and
// lists of what came last. However many features are declared on an entity, an event reads and writes one record of it.
// FG1: a record is a function of the events of its key and of the watermarks at which they came, not of slices or commits.
// FG2: a record is kept until the watermark is `generationMs` past the time of its last event, however far that was ahead of the
//      watermark. Buckets are generations, of which there are two: each event moves its record to the newer one, and the
//      older one goes as a whole when nothing in it is needed. So a key that is not seen any more goes, without a timer.
// What is declared is in topology/features/, what values are made of a record in operators/feature-values.ts.

import { compareUtf8 } from '../state/key-layout.ts'
import type { Codec, KeyedStore } from '../state/store.ts'
import { ByteReader, ByteWriter, corrupt } from './bytes.ts'
import type { Event, EventType } from './event.ts'
import { compileExpressions, type Expression, type Maybe } from './expression.ts'
import {
  type FeatureGroup,
  type GroupList,
  generationMs,
  generationsOf,
  type KeyRecord,
  type ListEntry,
  RECORDS_STORE,
  recordCodec,
  type Selection,
} from './feature-record.ts'
import type { Operator, OperatorContext, Rec } from './operator.ts'
import { type PartState, partOf } from './parts.ts'
import { addToTiles, type Ladder, placeOf, settled } from './tiles.ts'

const GENERATIONS_STORE = 'generations'
/** Its one entry. */
const GENERATIONS = ''
/** Before any event. */
const NEVER = 0

/** Counts `features_expired`: events that no window and no list of their entity can show any more. */
export function featureGroup(group: FeatureGroup): Operator<Event, Event> {
  const { ladder, parts, lists } = group
  const specs = parts.map(({ spec }) => spec)
  const [keyOf, inputsOf] = [compileExpressions([group.key]), dispatchOf(group)]
  const widthMs = generationMs(group)

  /** What `bots` marks stays out of features (contract.md, section 1). */
  const keyOfEvent = ({ fields, type, bots }: Event): string | undefined =>
    bots === undefined && inputsOf.has(type) ? (keyOf({ fields })[0] as string | undefined) : undefined

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
      { kind: 'keyed', id: 2, name: GENERATIONS_STORE, codec: generationsCodec },
    ],
    keys(batch, ctx) {
      const store = ctx.keyed<KeyRecord>(RECORDS_STORE)
      ctx.keyed<Generations>(GENERATIONS_STORE).want(0, GENERATIONS)
      let span: number | null = null
      const [first, older] = generationsOf(store.lowestBucket)
      let newer = first
      for (const { value, watermark } of batch) {
        const key = keyOfEvent(value)
        if (key === undefined) continue
        // A generation that this batch begins: see enterGeneration.
        if (span !== null && spanAt(watermark, widthMs) > span) newer++
        span = spanAt(watermark, widthMs)
        for (let bucket = newer; bucket >= older; bucket--) store.want(bucket, key)
      }
    },
    process(batch, ctx) {
      const store = ctx.keyed<KeyRecord>(RECORDS_STORE)
      const generationsStore = ctx.keyed<Generations>(GENERATIONS_STORE)
      for (const rec of batch) {
        const key = keyOfEvent(rec.value)
        if (key === undefined) continue
        const { bucket, generations } = enterGeneration(store, generationsStore, rec.watermark, widthMs)
        const known = takeRecord(store, bucket, key)
        const record = known ?? { tiles: [], lists: lists.map(() => []) }
        apply(record, rec, ctx)
        if (record.tiles.length > 0 || record.lists.some((entries) => entries.length > 0))
          store.set(bucket, key, record)
        else if (known !== undefined) store.delete(bucket, key)
        const newest = newestOf(record, ladder)
        if (newest <= generations.newest.at(-1)!) continue
        generations.newest[generations.newest.length - 1] = newest
        generationsStore.changed(0, GENERATIONS)
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

// --- FG2: where a record stands

/** The generations that are there. Mutable. */
interface Generations {
  /** Which span of `generationMs` the watermark was in when the last one began or went. */
  span: number
  /** Of each, the older first: up to when its records have events, milliseconds. One or two. */
  readonly newest: number[]
}

/** Span 0 is the time before there was a watermark. */
const spanAt = (watermark: number, widthMs: number): number => (watermark < 0 ? 0 : 1 + Math.floor(watermark / widthMs))

/** The generation in which records are written under this watermark, after those that nobody needs any more are gone. */
function enterGeneration(
  records: KeyedStore<KeyRecord>,
  store: KeyedStore<Generations>,
  watermark: number,
  widthMs: number,
): { readonly bucket: number; readonly generations: Generations } {
  const known = store.get(0, GENERATIONS)
  const generations = known ?? { span: spanAt(watermark, widthMs), newest: [NEVER] }
  if (known === undefined) store.set(0, GENERATIONS, generations)
  const span = spanAt(watermark, widthMs)
  const { newest } = generations
  // One span later than the last change, not at once: `keys` does not know of a change that its own batch will make.
  if (newest.length === 1 && span > generations.span) {
    newest.push(NEVER)
    generations.span = span
    store.changed(0, GENERATIONS)
  }
  if (newest.length === 2 && watermark >= newest[0]! + widthMs) {
    newest.shift()
    generations.span = span
    store.changed(0, GENERATIONS)
    records.expireBelow(generationsOf(records.lowestBucket)[0])
  }
  const [newer, older] = generationsOf(records.lowestBucket)
  return { bucket: newest.length === 2 ? newer : older, generations }
}

/** Takes a key's record from where it stands. */
function takeRecord(store: KeyedStore<KeyRecord>, bucket: number, key: string): KeyRecord | undefined {
  const record = store.get(bucket, key)
  const [, oldest] = generationsOf(store.lowestBucket)
  if (record !== undefined || bucket === oldest) return record
  const older = store.get(oldest, key)
  if (older !== undefined) store.delete(oldest, key)
  return older
}

/** Up to when a record has events: at or after the time of the last. */
function newestOf({ tiles, lists }: KeyRecord, { levels }: Ladder): number {
  const tile = tiles.at(-1)
  const times = lists.map(([entry]) => entry?.time ?? NEVER)
  return Math.max(tile === undefined ? NEVER : tile.start + levels[tile.level]!.paneMs, ...times)
}

const generationsCodec: Codec<Generations> = {
  encode({ span, newest }) {
    const writer = new ByteWriter()
    for (const number of [span, ...newest]) writer.varint(number)
    return writer.done()
  },
  decode(bytes) {
    const reader = new ByteReader(bytes)
    const [span, newest] = [reader.varint(), [reader.varint()]]
    if (!reader.atEnd) newest.push(reader.varint())
    if (!reader.atEnd) throw corrupt('there are more than two generations')
    return { span, newest }
  },
}

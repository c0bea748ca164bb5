// Everything that is kept for the keys of one entity, in one record per key: tiles of the parts of all its aggregates, and
// lists of what came last. However many features are declared on an entity, an event reads and writes one record of it.
// FG1: a record is a function of the events of its key and of the watermarks at which they came, not of slices or commits: where
//      events of a batch are joined, the record goes through the same states, and only looking for it again is spared.
// FG2: a record is kept until the watermark is `generationMs` past the time of its last event, however far that was ahead of the
//      watermark. Buckets are generations, of which there are two: each event moves its record to the newer one, and the
//      older one goes as a whole when nothing in it is needed. So a key that is not seen any more goes, without a timer.
// What an event adds is found in operators/feature-routing.ts. What is declared is in topology/features/, what values are made of a record in operators/feature-values.ts.

import type { Codec, KeyedStore } from '../state/store.ts'
import { ByteReader, ByteWriter, corrupt } from './bytes.ts'
import type { Event } from './event.ts'
import { compileExpressions, type ExpressionsRunner, type Maybe } from './expression.ts'
import { type FeatureGroup, generationMs, generationsOf, type KeyRecord, RECORDS_STORE } from './feature-record.ts'
import { type RoutedEvent, routerOf, type Taken } from './feature-routing.ts'

import type { Operator, OperatorContext, Rec } from './operator.ts'
import { isTooLong, partOf } from './parts.ts'

import { recordCodec } from './record-forms.ts'
import { fillKept, isHeld, type KeptSlot, type Slots, type VectorEvent } from './vector-values.ts'

const GENERATIONS_STORE = 'generations'
/** Its one entry. */
const GENERATIONS = ''
/** Before any event. */
const NEVER = 0

export interface GroupSettings {
  readonly expressions: ExpressionsRunner
  /** Whether events of one key are joined in memory: its record is looked for and settled once for all of them in a batch. */
  readonly joins: boolean
  /** What touches take with them of its records; not given: no vectors are taken. */
  readonly vectors?: readonly KeptSlot[]
}
const SETTINGS: GroupSettings = { expressions: compileExpressions, joins: true }

/** How a group finds what it takes of what comes. */
interface GroupInput<In> {
  eventOf(value: In): Event
  keyOf(value: In): string | undefined
  takenOf(value: In): Taken | undefined
  withEvent(value: In, event: Event): In
}

/** Takes the vectors of touches: fills in what the record of their key says before they are applied to it. */
interface TouchTaker {
  keyOf(event: VectorEvent): string | undefined
  filled(event: VectorEvent, record: KeyRecord | undefined, watermark: number, ctx: OperatorContext): VectorEvent
}

function touchTaker(group: FeatureGroup, kept: readonly KeptSlot[], expressions: ExpressionsRunner): TouchTaker {
  const run = expressions([group.key])
  return {
    keyOf: ({ slots, fields }) => (slots === undefined ? undefined : (run({ fields })[0] as string | undefined)),
    filled(event, record, watermark, ctx) {
      if (!isHeld(event.time, watermark, group.lookbackMs)) return event
      const slots: Slots = [...event.slots!]
      fillKept(slots, kept, { record, T: event.time, seenAfter: (edition) => ctx.seenAfter(edition) })
      return { ...event, slots }
    },
  }
}

/** Keeps a group of which each event is asked by itself. Counts as keepGroup says. */
export function featureGroup(
  group: FeatureGroup,
  { expressions, joins, vectors }: GroupSettings = SETTINGS,
): Operator<Event, Event> {
  const route = routerOf([group], expressions)
  const keyOf = routerOf([{ ...group, ...keysOnly(group) }], expressions)
  const input: GroupInput<Event> = {
    eventOf: (event) => event,
    keyOf: (event) => keyOf(event)?.[0]?.key,
    takenOf: (event) => route(event)?.[0],
    withEvent: (_, event) => event,
  }
  return keepGroup(group, joins, input, vectors && touchTaker(group, vectors, expressions))
}

/** Keeps a group behind a dispatch, `index` its place there. */
export function routedGroup(
  group: FeatureGroup,
  index: number,
  { expressions, joins, vectors }: GroupSettings = SETTINGS,
): Operator<RoutedEvent, RoutedEvent> {
  const input: GroupInput<RoutedEvent> = {
    eventOf: ({ event }) => event,
    keyOf: ({ taken }) => taken[index]?.key,
    takenOf: ({ taken }) => taken[index],
    withEvent: ({ taken }, event) => ({ event, taken }),
  }
  return keepGroup(group, joins, input, vectors && touchTaker(group, vectors, expressions))
}

/** Nothing but the event types of a group: enough to find its keys. */
function keysOnly({ parts, lists }: FeatureGroup): Pick<FeatureGroup, 'parts' | 'lists'> {
  const types = [...new Set([...parts, ...lists].flatMap((selection) => selection.types))]
  return { parts: [{ types, where: null, of: null, spec: { kind: 'count' }, ladder: [] }], lists: [] }
}

/** A record that a batch has at hand. Mutable. */
interface AtHand {
  readonly record: KeyRecord
  readonly bucket: number
  /** Whether the store had it, and whether this batch has set it: then what else it adds is written with it. */
  isKnown: boolean
  isSet: boolean
}

/**
 * Counts `features_expired`: events that no window of their entity can show any more; and `features_text_too_long`: values that no
 * set, tally or list has, because they are longer than KEPT_TEXT_BYTES_MAX.
 */
function keepGroup<In>(
  group: FeatureGroup,
  joins: boolean,
  input: GroupInput<In>,
  touches: TouchTaker | undefined,
): Operator<In, In> {
  const { eventOf, keyOf, takenOf, withEvent } = input
  const { lookbackMs, parts } = group
  const codec = recordCodec(group)
  const widthMs = generationMs(group)

  function apply(record: KeyRecord, { inputs }: Taken, event: Event, watermark: number, ctx: OperatorContext): void {
    const { time, type, id } = event
    let [selected, isKept] = [false, false]
    const kept = (input: Maybe): Maybe => {
      if (!isTooLong(input)) return input
      ctx.count('features_text_too_long')
      return undefined
    }
    record.tiles.settle(watermark)
    for (let i = 0; i < parts.length; i++) {
      const state = partOf(parts[i]!.spec, kept(inputs[i]))
      if (state === undefined) continue
      selected = true
      if (record.tiles.add(i, time, watermark, state)) isKept = true
    }
    if (selected && !isKept) ctx.count('features_expired')
    record.lists.forEach((list, i) => {
      const value = kept(inputs[parts.length + i])
      if (typeof value === 'string' || typeof value === 'number') {
        list.add({ time, type, id, value })
        isKept = true
      }
      list.settle(watermark - lookbackMs)
    })
    if (isKept && time > record.newestMs) record.newestMs = time
  }

  function takeAtHand(store: KeyedStore<KeyRecord>, bucket: number, key: string): AtHand {
    const known = takeRecord(store, bucket, key)
    return { record: known ?? codec.empty(), bucket, isKnown: known !== undefined, isSet: false }
  }

  /** A touch with what the record of its key says now, which is before the touch is applied. */
  function withRecord(rec: Rec<In>, touches: TouchTaker, ctx: OperatorContext): Rec<In> {
    const event = eventOf(rec.value)
    const key = touches.keyOf(event)
    if (key === undefined) return rec
    const generations = ctx.keyed<Generations>(GENERATIONS_STORE).get(0, GENERATIONS)
    const record = recordIn(ctx.keyed<KeyRecord>(RECORDS_STORE), generations, key)
    return { ...rec, value: withEvent(rec.value, touches.filled(event, record, rec.watermark, ctx)) }
  }

  function put(store: KeyedStore<KeyRecord>, key: string, held: AtHand): void {
    const { record, bucket } = held
    const isEmpty = record.tiles.isEmpty && record.lists.every((list) => list.isEmpty)
    if (isEmpty && (held.isKnown || held.isSet)) store.delete(bucket, key)
    if (!isEmpty && !held.isSet) store.set(bucket, key, record)
    // As one that is made anew for the next event.
    if (isEmpty) record.newestMs = NEVER
    held.isKnown = held.isSet = !isEmpty
  }

  return {
    name: `features of ${group.entity}`,
    version: 1,
    settings: group,
    stores: [
      { kind: 'keyed', id: 1, name: RECORDS_STORE, codec },
      { kind: 'keyed', id: 2, name: GENERATIONS_STORE, codec: generationsCodec },
    ],
    keys(batch, ctx) {
      const store = ctx.keyed<KeyRecord>(RECORDS_STORE)
      ctx.keyed<Generations>(GENERATIONS_STORE).want(0, GENERATIONS)
      let span: number | null = null
      const [first, older] = generationsOf(store.lowestBucket)
      let newer = first
      for (const { value, watermark } of batch) {
        const key = keyOf(value) ?? touches?.keyOf(eventOf(value))
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
      const atHand = new Map<string, AtHand>()
      const out: Rec<In>[] | null = touches === undefined ? null : []
      for (const rec of batch) {
        const { value, watermark } = rec
        out?.push(touches === undefined ? rec : withRecord(rec, touches, ctx))
        const taken = takenOf(value)
        if (taken === undefined) continue
        const { key } = taken
        const { bucket, generations } = enterGeneration(store, generationsStore, watermark, widthMs)
        let held = atHand.get(key)
        if (held?.bucket !== bucket) {
          held = takeAtHand(store, bucket, key)
          if (joins) atHand.set(key, held)
        }
        apply(held.record, taken, eventOf(value), watermark, ctx)
        put(store, key, held)
        const { newestMs } = held.record
        if (newestMs <= generations.newest.at(-1)!) continue
        generations.newest[generations.newest.length - 1] = newestMs
        generationsStore.changed(0, GENERATIONS)
      }
      return out ?? batch
    },
  }
}

// --- FG2: where a record stands

/** The generations that are there. Mutable. */
interface Generations {
  /** The watermark when the last one began or went, milliseconds. A time: how long spans are may change with the declarations. */
  since: number
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
  const generations = known ?? { since: watermark, newest: [NEVER] }
  if (known === undefined) store.set(0, GENERATIONS, generations)
  const span = spanAt(watermark, widthMs)
  const { newest } = generations
  // One span later than the last change, not at once: `keys` does not know of a change that its own batch will make.
  if (newest.length === 1 && span > spanAt(generations.since, widthMs)) {
    newest.push(NEVER)
    generations.since = watermark
    store.changed(0, GENERATIONS)
  }
  if (newest.length === 2 && watermark >= newest[0]! + widthMs) {
    newest.shift()
    generations.since = watermark
    store.changed(0, GENERATIONS)
    records.expireBelow(generationsOf(records.lowestBucket)[0])
  }
  const [newer, older] = generationsOf(records.lowestBucket)
  return { bucket: newest.length === 2 ? newer : older, generations }
}

/** A key's record, where it stands. */
function recordIn(
  store: KeyedStore<KeyRecord>,
  generations: Generations | undefined,
  key: string,
): KeyRecord | undefined {
  const [newer, older] = generationsOf(store.lowestBucket)
  // A newer generation that has not begun is not wanted either.
  return (generations?.newest.length === 2 ? store.get(newer, key) : undefined) ?? store.get(older, key)
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

const generationsCodec: Codec<Generations> = {
  encode({ since, newest }) {
    const writer = new ByteWriter()
    // A watermark of -1 is before all others.
    for (const number of [since + 1, ...newest]) writer.varint(number)
    return writer.done()
  },
  decode(bytes) {
    const reader = new ByteReader(bytes)
    const [since, newest] = [reader.varint() - 1, [reader.varint()]]
    if (!reader.atEnd) newest.push(reader.varint())
    if (!reader.atEnd) throw corrupt('there are more than two generations')
    return { since, newest }
  },
}

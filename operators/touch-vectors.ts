// Takes the vector of each touch on its way through the stages: begun with its context, filled by the groups of each stage from
// records as they are before the touch is applied to them (operators/feature-group.ts), published when it is whole.
// TV1: what a stage fills in is of everything before the touch in the order of its log, and of nothing after it.
// TV2: what comes in beside touches goes on as it is: the next stage may keep features of it.
// TV3: a vector ends in the layout of now, also where it was sealed in an earlier one: what all layouts from that one to the last
//      have keeps its value, what is new is absent in the part that was taken before it.
// What of an event makes its vector is planned in topology/features/vectors.ts; it travels as topology/features/vector-exchange.ts says.

import { corrupt } from './bytes.ts'
import type { Event, EventType } from './event.ts'
import type { ExpressionsRunner } from './expression.ts'
import type { Operator, OperatorContext, Rec } from './operator.ts'
import { fitted, type VectorLayout, vectorCodec, vectorJson } from './vector.ts'
import {
  type ComputedSlot,
  contextFiller,
  type DerivedSlots,
  derivedFiller,
  isHeld,
  type KeptSlot,
  type Slots,
  type VectorEvent,
} from './vector-values.ts'

/** An event between two stages: of a touch, its vector so far. */
export interface SealedEvent extends Event {
  readonly sealed?: SealedVector
}

/** A vector on its way. */
export interface SealedVector {
  /** Among the layouts that vectors have had, from 0. */
  readonly layout: number
  /** Base64. */
  readonly bytes: string
}

/** What one stage does for vectors. Plain data. */
export interface StageSlots {
  readonly layout: VectorLayout
  /** How many places a vector has while it is filled. */
  readonly slots: number
  /** Of the stage's groups. */
  readonly kept: readonly (readonly KeptSlot[])[]
  readonly derived: readonly DerivedSlots[]
  readonly lookbackMs: number
}

/** Begins the vectors of touches, with what they say themselves. What `bots` marks is no touch. Counts as `known` says. */
export function beginVectors(
  types: readonly EventType[],
  context: readonly ComputedSlot[],
  { slots, lookbackMs }: Pick<StageSlots, 'slots' | 'lookbackMs'>,
  expressions: ExpressionsRunner,
): Operator<Event, VectorEvent> {
  const fill = contextFiller(context, expressions)
  const touches = new Set(types)
  return {
    name: 'begin vectors',
    version: 1,
    settings: { types, context, slots, lookbackMs },
    stores: [],
    process(batch, ctx) {
      return batch.map((rec): Rec<VectorEvent> => {
        const { type, bots, fields } = rec.value
        if (bots !== undefined || !touches.has(type)) return rec
        const begun: Slots = new Array(slots).fill(undefined)
        fill(begun, fields)
        countKnown(rec, lookbackMs, ctx)
        return { ...rec, value: { ...rec.value, slots: begun } }
      })
    },
  }
}

/**
 * Goes on with the vectors that the stage before has sealed. `layouts`: all that they have had, the one of now last. Counts as
 * `known` says.
 */
export function unsealVectors(
  layouts: readonly VectorLayout[],
  { slots, lookbackMs }: Pick<StageSlots, 'slots' | 'lookbackMs'>,
): Operator<SealedEvent, VectorEvent> {
  const known = layouts.map((layout, number) => ({
    codec: vectorCodec(layout),
    places: placesIn(layout, layouts.slice(number)),
  }))
  return {
    name: 'unseal vectors',
    version: 1,
    settings: { layouts, slots, lookbackMs },
    stores: [],
    process(batch, ctx) {
      return batch.map((rec): Rec<VectorEvent> => {
        const { sealed, ...event } = rec.value
        if (sealed === undefined) return rec
        const from = known[sealed.layout]
        if (from === undefined) throw corrupt('a vector has a layout that the plan does not have')
        const opened: Slots = new Array(slots).fill(undefined)
        from.codec.decode(Buffer.from(sealed.bytes, 'base64')).forEach((value, i) => {
          const place = from.places[i]!
          if (place !== -1) opened[place] = value
        })
        countKnown(rec, lookbackMs, ctx)
        return { ...rec, value: { ...event, slots: opened } }
      })
    },
  }
}

/** TV3. For each feature of a layout its place in the last of those after it; -1 where one of them has none, or of another type. */
function placesIn(layout: VectorLayout, after: readonly VectorLayout[]): number[] {
  return layout.map(({ id, type }) => {
    const places = after.map((other) => other.findIndex((field) => field.id === id && field.type === type))
    return places.includes(-1) ? -1 : places.at(-1)!
  })
}

/** Counts `vectors`: touches, and `vectors_late`: those of which records cannot say any more what was known then. */
function countKnown({ value, watermark }: Rec<Event>, lookbackMs: number, ctx: OperatorContext): void {
  ctx.count('vectors')
  if (!isHeld(value.time, watermark, lookbackMs)) ctx.count('vectors_late')
}

/** Ends what a stage adds: what is derived of the values that its groups have filled in. `eventOf`: of what the groups pass on. */
export function closeVectors<In>(
  stage: StageSlots,
  expressions: ExpressionsRunner,
  eventOf: (value: In) => VectorEvent,
): Operator<In, VectorEvent> {
  const derive = derivedFiller(stage.derived, expressions)
  return {
    name: 'close vectors',
    version: 1,
    settings: stage,
    stores: [],
    process(batch) {
      return batch.map((rec): Rec<VectorEvent> => {
        const event = eventOf(rec.value)
        if (event.slots === undefined) return { ...rec, value: event }
        const slots: Slots = [...event.slots]
        derive(slots, event.fields, event.time, rec.watermark)
        return { ...rec, value: { ...event, slots } }
      })
    },
  }
}

/** One record of the output of vectors. */
export interface PublishedVector {
  readonly event_id: string
  readonly type: EventType
  readonly event_time: number
  readonly user_id: string | null
  readonly advertiser_id: string | null
  readonly campaign_id: string | null
  readonly ad_id: string | null
  readonly schema: string
  readonly values: ReturnType<typeof vectorJson>
}

/** The fields of a touch that its record names it by, and those that the joiner knows it by. */
export const TOUCH_FIELDS = ['user_id', 'advertiser_id', 'campaign_id', 'ad_id', 'click_id'] as const

/** What a whole vector says of each feature, as its record says it. Empty: of an event that has none. */
export const vectorValues = ({ slots }: VectorEvent, layout: VectorLayout): ReturnType<typeof vectorJson> =>
  slots === undefined ? {} : vectorJson(layout, slots.slice(0, layout.length).map(fitted))

/** Publishes whole vectors to an output. */
export function publishVectors(
  output: string,
  layout: VectorLayout,
  schema: string,
): Operator<VectorEvent, VectorEvent> {
  return {
    name: 'publish vectors',
    version: 1,
    settings: { output, layout, schema },
    stores: [],
    process(batch, ctx) {
      for (const rec of batch) {
        const { slots, id, type, time, fields } = rec.value
        if (slots === undefined) continue
        const { user_id = null, advertiser_id = null, campaign_id = null, ad_id = null } = fields
        const vector: PublishedVector = {
          ...{ event_id: id, type, event_time: time, user_id, advertiser_id, campaign_id, ad_id, schema },
          values: vectorValues(rec.value, layout),
        }
        ctx.emit(output, vector, rec)
      }
      return batch
    },
  }
}

// Touches with their vectors, as the joiner holds them: taken where a vector is whole (operators/touch-vectors.ts).
// JV1: what has no vector is no touch (what `bots` marks has none), and neither is what has no user: it ends here.

import type { Scored } from './model-records.ts'
import type { Operator, Rec } from './operator.ts'
import { type Touch, touchOf } from './touch.ts'
import { fitted, type VectorLayout, vectorCodec } from './vector.ts'
import type { VectorEvent } from './vector-values.ts'

/** The layout of the vectors that are taken now, and its place among all that there were. */
export interface LayoutOfNow {
  readonly layout: VectorLayout
  readonly place: number
}

/** A touch on its way, that a model may have scored. */
type ScoredEvent = VectorEvent & { readonly scored?: Scored }

/** Touches in the place of the events they are of. */
export function touchesWithVectors({ layout, place }: LayoutOfNow): Operator<ScoredEvent, Touch> {
  const codec = vectorCodec(layout)
  return {
    name: 'touches with vectors',
    version: 1,
    settings: { layout, place },
    stores: [],
    process(batch) {
      const out: Rec<Touch>[] = []
      for (const rec of batch) {
        const { slots, type, anonymous, scored } = rec.value
        if (slots === undefined || anonymous || (type !== 'click' && type !== 'impression')) continue
        const bytes = codec.encode(slots.slice(0, layout.length).map(fitted))
        const vector = { layout: place, base64: Buffer.from(bytes).toString('base64') }
        const touch: Touch = { ...touchOf(rec.value, type), vector }
        out.push({ ...rec, value: scored === undefined ? touch : { ...touch, scored } })
      }
      return out
    },
  }
}

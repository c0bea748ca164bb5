// How the vector of a touch travels between stages: beside the event that it is of, in the bytes that holds and models read too.
// The event itself, and which of its fields travel, is placement.ts's.

import type { Event } from '../../operators/event.ts'
import type { SealedEvent } from '../../operators/touch-vectors.ts'
import { fitted, type VectorLayout, vectorCodec } from '../../operators/vector.ts'
import type { VectorEvent } from '../../operators/vector-values.ts'
import type { ExchangeCodec } from '../plan.ts'

/**
 * [event] or, for a touch, [event, place of its layout among all there were, base64 of its vector]. Every touch travels, whether or
 * not something selects it. `layouts`: all that vectors have had, the one of now last.
 */
export function vectorExchange(
  events: ExchangeCodec<Event, Event>,
  layouts: readonly VectorLayout[],
): ExchangeCodec<VectorEvent, SealedEvent> {
  const last = layouts.length - 1
  const layout = layouts[last]!
  const codec = vectorCodec(layout)
  return {
    name: `${events.name}, with vectors`,
    version: events.version,
    where: (event) => event.slots !== undefined || events.where(event),
    key: events.key,
    encode(event, at) {
      const encoded = events.encode(event, at)
      if (event.slots === undefined) return `[${encoded}]`
      const bytes = codec.encode(event.slots.slice(0, layout.length).map(fitted))
      const { buffer, byteOffset, byteLength } = bytes
      return `[${encoded},${last},"${Buffer.from(buffer, byteOffset, byteLength).toString('base64')}"]`
    },
    decode(json, at) {
      const travelled = json as [event: unknown] | [event: unknown, layout: number, bytes: string]
      const decoded = events.decode(travelled[0], at)
      if (travelled.length === 1) return decoded
      const [, number, bytes] = travelled
      return { ...decoded, sealed: { layout: number, bytes } }
    },
  }
}

// The vector of a touch, by the words of the declarations: each feature for itself, from all events that came before.

import type { Event } from '../../operators/event.ts'
import { VECTOR_ID_BYTES_MAX } from '../../operators/vector.ts'
import { type Declarations, featureId, isContext } from '../../topology/features/declaration.ts'
import { type NaiveValue, naiveFeature, naiveKey } from './naive.ts'
import { naiveValue } from './naive-expression.ts'

/** The value of a feature in the vector of a touch at T; null: absent. `before`: all events before the touch. */
export function naiveInVector(
  declarations: Declarations,
  id: string,
  touch: Pick<Event, 'fields'>,
  before: readonly Event[],
  T: number,
): NaiveValue | null {
  const [name] = id.split('.')
  const context = declarations.features.find((one) => isContext(one) && featureId(one.entity, one.name) === id)
  if (context !== undefined && isContext(context)) return shortened(naiveValue(context.context, touch) as NaiveValue)
  const entity = declarations.entities.find((one) => one.name === name)!
  const key = naiveKey(entity, touch as Event)
  if (key === undefined) return null
  const own = before.filter((event) => naiveKey(entity, event) === key)
  return shortened(naiveFeature(declarations, id, own, T))
}

/** Ids that are too long are none; a list of none is absent. */
function shortened(value: NaiveValue): NaiveValue | null {
  if (value === undefined) return null
  if (typeof value === 'string') return isShort(value) ? value : null
  if (typeof value === 'number') return value
  const entries = value.filter((entry) => isShort(typeof entry === 'string' ? entry : entry[0]!))
  return entries.length === 0 ? null : (entries as NaiveValue & object)
}

const isShort = (id: string): boolean => Buffer.from(id).length <= VECTOR_ID_BYTES_MAX

/** How long before the watermark a record can still be asked what it was. */
const LOOKBACK_MS = 3_600_000

/** A line that is an event, and how far events had come before it. */
interface Accepted {
  readonly event: Event
  /** Its order time: its own, or right after the watermark where it is late (protocol.md, section 8). */
  readonly at: number
  readonly line: number
}

/** Lines in the order in which a bounded run processes them. All of them are events, none a duplicate. */
export function inOrder(lines: readonly string[], latenessMs: number): Accepted[] {
  let highest: number | null = null
  const accepted = lines.map((text, line) => {
    const fields = JSON.parse(text) as Event['fields']
    const { type, event_id: id, event_time: time, user_id } = fields
    const watermark = highest === null ? -1 : highest - latenessMs - 1
    highest = Math.max(highest ?? 0, time)
    const event: Event = { type, id, time, user: user_id!, anonymous: false, fields }
    return { event, at: Math.max(time, watermark + 1), line }
  })
  const text = ({ event: { type, id } }: Accepted) => [Buffer.from(type), Buffer.from(id)] as const
  return accepted.sort((a, b) => {
    const [[typeA, idA], [typeB, idB]] = [text(a), text(b)]
    return a.at - b.at || Buffer.compare(typeA, typeB) || Buffer.compare(idA, idB) || a.line - b.line
  })
}

/** What `vectors.ndjson` has of each touch but its schema, for the touches that `which` names; in their order. */
export function naiveVectors(
  declarations: Declarations,
  ids: readonly string[],
  accepted: readonly Accepted[],
  which: (touch: Event) => boolean = () => true,
): { readonly event_id: string; readonly values: Record<string, NaiveValue | null> }[] {
  const places = new Map(accepted.map(({ event }, place) => [event, place]))
  const byKey = new Map(
    declarations.entities.map((entity) => [
      entity.name,
      Map.groupBy(
        accepted.map(({ event }) => event),
        (event) => naiveKey(entity, event),
      ),
    ]),
  )
  const touches = accepted.filter(({ event }) => ['impression', 'click'].includes(event.type) && which(event))
  return touches.map(({ event: touch, at }) => {
    const place = places.get(touch)!
    const values = ids.map((id) => {
      const [name] = id.split('.') as [string]
      const entity = declarations.entities.find((one) => one.name === name)
      if (entity !== undefined && touch.time < at - 1 - LOOKBACK_MS) return [id, null]
      const own = entity === undefined ? [] : (byKey.get(name)!.get(naiveKey(entity, touch)) ?? [])
      const before = own.filter((event) => places.get(event)! < place)
      return [id, naiveInVector(declarations, id, touch, before, touch.time)]
    })
    return { event_id: touch.id, values: Object.fromEntries(values) }
  })
}

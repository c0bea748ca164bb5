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

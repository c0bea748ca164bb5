// How a vector is filled, for whoever takes one: the operators of a stage from records as they are before a touch is applied
// (operators/feature-group.ts, operators/touch-vectors.ts), and reads from snapshots (topology/features/vector-reads.ts).
// VV1: what the touch does not say the key of is absent, whatever would be derived of nothing.
// VV2: what a record cannot say any more for the time that is asked for is absent, not what it says for a later time: that may
//      know what the touch led to.
// VV3: what is not complete yet is absent where it would be 0 (FV2 of feature-values.ts): a model must not learn it as 0.

import { assert } from '../log/errors.ts'
import type { Event, Fields } from './event.ts'
import type { Expression, ExpressionsRunner, Maybe } from './expression.ts'
import type { KeyRecord } from './feature-record.ts'
import { asMaybe, type FeatureValue, featureValue, type Reading, seenValue } from './feature-values.ts'
import type { OperatorContext } from './operator.ts'

/** A place in a vector that is being filled: first those of the layout, then those of what is only derived from. */
export type Slots = (FeatureValue | undefined)[]

/** A feature that is read of the records of a group. Plain data. */
export interface KeptSlot {
  readonly slot: number
  readonly reading: Reading
  /** The edition since which it is kept; not given: the first, so that it is complete. */
  readonly since?: number
}

/** A feature that is computed of fields (context) or of other slots (derived), by their ids. Plain data. */
export interface ComputedSlot {
  readonly slot: number
  readonly expression: Expression
  readonly needs: readonly { readonly id: string; readonly slot: number }[]
}

/** What is computed of the slots of one entity, each after what it needs. Plain data. */
export interface DerivedSlots {
  /** Of type text; absent where a touch is not about the entity. */
  readonly key: Expression
  readonly lookbackMs: number
  readonly slots: readonly ComputedSlot[]
}

/** A touch on its way through a stage, with what is known of its vector. What is no touch has none. */
export interface VectorEvent extends Event {
  readonly slots?: Readonly<Slots>
}

/** VV2: whether windows can still be said for T under a watermark, both milliseconds. */
export const isHeld = (T: number, watermark: number, lookbackMs: number): boolean => T >= watermark - lookbackMs

/** Fills in what the record of a key says at T; `record`: undefined where the key has none. `seenAfter`: of an operator's context (VV3). */
export function fillKept(
  slots: Slots,
  kept: readonly KeptSlot[],
  {
    record,
    T,
    seenAfter,
  }: { readonly record: KeyRecord | undefined; readonly T: number } & Pick<OperatorContext, 'seenAfter'>,
): void {
  for (const { slot, reading, since } of kept)
    slots[slot] =
      since === undefined ? featureValue(reading, record, T) : seenValue(reading, record, T, seenAfter(since))
}

/** Fills in what is computed of a touch's fields. */
export function contextFiller(
  context: readonly ComputedSlot[],
  expressions: ExpressionsRunner,
): (slots: Slots, fields: Fields) => void {
  const run = expressions(context.map(({ expression }) => expression))
  return (slots, fields) => {
    run({ fields }).forEach((value, i) => {
      slots[context[i]!.slot] = numberOrText(value)
    })
  }
}

/** Fills in what is derived of slots that are filled. */
export function derivedFiller(
  derived: readonly DerivedSlots[],
  expressions: ExpressionsRunner,
): (slots: Slots, fields: Fields, T: number, watermark: number) => void {
  const entities = derived.map(({ key, lookbackMs, slots: computed }) => ({
    keyOf: expressions([key]),
    lookbackMs,
    computed: computed.map(({ slot, expression, needs }) => ({ slot, needs, run: expressions([expression]) })),
  }))
  return (slots, fields, T, watermark) => {
    for (const { keyOf, lookbackMs, computed } of entities) {
      if (keyOf({ fields })[0] === undefined || !isHeld(T, watermark, lookbackMs)) continue
      for (const { slot, needs, run } of computed) {
        const features: Record<string, Maybe> = {}
        for (const { id, slot: needed } of needs) features[id] = asMaybe(slots[needed])
        slots[slot] = numberOrText(run({ features })[0])
      }
    }
  }
}

/** Of type number or text: checked when it was declared. */
function numberOrText(value: Maybe): number | string | undefined {
  assert(typeof value !== 'boolean', 'no feature is a truth value')
  return value
}

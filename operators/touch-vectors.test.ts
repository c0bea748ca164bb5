// TV3: vectors that were sealed in an earlier layout. Whole stages: topology/features/vectors.test.ts and changed-vectors.test.ts.

import { expect, it } from 'vitest'
import { recordOf, runOperator } from '../test/operator-harness.ts'
import type { Event } from './event.ts'
import { unsealVectors } from './touch-vectors.ts'
import { type VectorField, type VectorLayout, vectorCodec } from './vector.ts'

const field = (id: string, type: VectorField['type'] = 'float'): VectorField => ({ id, type, default: null })
/** `b` goes and comes back, `c` comes back as something else. */
const LAYOUTS: readonly VectorLayout[] = [
  [field('a'), field('b'), field('c')],
  [field('a'), field('c', 'id')],
  [field('a'), field('b'), field('c', 'id'), field('d')],
]

const event = { type: 'click', id: 'e', time: 5, user: 'u', anonymous: false, fields: {} } as unknown as Event
const opened = (layout: number, values: (number | string)[]) => {
  const bytes = Buffer.from(vectorCodec(LAYOUTS[layout] ?? LAYOUTS[0]!).encode(values)).toString('base64')
  const operator = unsealVectors(LAYOUTS, { slots: 5, lookbackMs: 0 })
  const record = recordOf({ ...event, sealed: { layout, bytes } }, { time: 5 })
  return [...runOperator(operator, [record], { sliceRecords: 1 }).out[0]!.value.slots!]
}

it('keep what every layout since has, in the places of now', () => {
  expect(opened(2, [1, 2, 'x', 4])).toEqual([1, 2, 'x', 4, undefined])
  expect(opened(1, [1, 'x'])).toEqual([1, undefined, 'x', undefined, undefined])
  expect(opened(0, [1, 2, 3])).toEqual([1, undefined, undefined, undefined, undefined])
})

it('of a layout that the plan does not have halt the task', () => {
  expect(() => opened(3, [1, 2, 3])).toThrow('a vector has a layout that the plan does not have')
})

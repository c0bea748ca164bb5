// What of an event travels to another stage.

import { expect, it } from 'vitest'
import type { Event, Fields } from '../../operators/event.ts'
import { clicks, declared } from '../../test/features/declared.ts'
import { compileFeatures } from './compile.ts'
import { featureExchange, type PlacedGroups } from './placement.ts'

const fields = {
  type: 'click',
  event_id: 'e',
  event_time: 5,
  user_id: 'u',
  ad_id: 'a',
  channel: 'c',
  props: { a: 1, b: 2 },
}
const EVENT: Event = {
  type: 'click',
  id: 'e',
  time: 5,
  user: 'u',
  anonymous: false,
  fields: fields as unknown as Fields,
}

function travelled(carries: 'columns' | 'events'): { readonly text: string; readonly event: Event } {
  const where = { op: 'present', args: [{ field: 'props.a', as: 'number' }] } as const
  const { groups } = compileFeatures(declared([clicks({ events: { types: ['click'], where } })]))
  const place: PlacedGroups = { stage: 'users', partition: 'user_id', groups }
  const { encode, decode } = featureExchange(place, carries)
  const text = encode(EVENT, 5)
  return { text, event: decode(JSON.parse(text), 5) }
}

it('with columns: type, id, time and the fields that something in the stage reads', () => {
  const { text, event } = travelled('columns')
  expect(JSON.parse(text)).toEqual(['click', 'e', 5, 1, 'u'])
  expect(event).toEqual({ ...EVENT, fields: { ...fields, ad_id: undefined, channel: undefined, props: { a: 1 } } })
})

it('without: all of it', () => {
  const { text, event } = travelled('events')
  expect(JSON.parse(text)).toEqual(fields)
  expect(event).toEqual(EVENT)
})

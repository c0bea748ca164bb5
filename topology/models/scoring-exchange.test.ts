// Touches on their way to the scorer and from it: what is read is what was sent, and without scores the text is what it was.

import { expect, test } from 'vitest'
import { approximate } from '../../log/frame.ts'
import { checkEvent, type Event, isRejected } from '../../operators/event.ts'
import { inSingle } from '../../operators/scored.ts'
import type { Touch } from '../../operators/touch.ts'
import { JOIN_EXCHANGE } from '../joiner-exchanges.ts'
import { SCORED_EXCHANGE, SCORING_EXCHANGE, touchIn } from './scoring-exchange.ts'

const T = 1_750_000_000_000
const ad = { ad_id: 'x', campaign_id: 'c', advertiser_id: 'a' }

function eventOf(fields: object): Event {
  const event = checkEvent(
    { event_id: 'e', event_time: T, user_id: 'u', type: 'click', click_id: 'k', ...ad, ...fields },
    { anonymous: 'accept' },
  )
  if (isRejected(event)) throw new Error(`${event.code} ${event.field}`)
  return event
}

const sent = (touch: Touch, at: number) => SCORED_EXCHANGE.decode(JSON.parse(SCORED_EXCHANGE.encode(touch, at)), at)

test('SE1: clicks and impressions are, whoever they are of; what a program sent is not', () => {
  const isSent = (event: Event) => [SCORING_EXCHANGE.where(event), touchIn(event) !== null]
  expect(isSent(eventOf({}))).toEqual([true, true])
  expect(isSent(eventOf({ type: 'impression' }))).toEqual([true, true])
  expect(isSent(eventOf({ user_id: null }))).toEqual([true, true])
  expect(isSent(eventOf({ type: 'conversion' }))).toEqual([false, false])
  expect(isSent({ ...eventOf({}), bots: 'mark' })).toEqual([false, false])
})

test('nobody is scored, and goes no further', () => {
  for (const [event, user] of [
    [eventOf({}), 'u'],
    [eventOf({ user_id: null }), ''],
  ] as const) {
    expect(SCORING_EXCHANGE.key(event)).toBe('a')
    const touch = SCORING_EXCHANGE.decode(JSON.parse(SCORING_EXCHANGE.encode(event, T)), T)
    expect(touch).toEqual({ ...touchIn(event), user })
    expect(SCORED_EXCHANGE.where(touch)).toBe(user !== '')
  }
})

test('a score and the vector beside it are read as they were sent', () => {
  const touch = touchIn(eventOf({}))!
  const scored = { version: 7, p: [inSingle(0.1), 0], input: 'AQID' }
  for (const at of [T, T + 9])
    for (const clickId of [null, 'k'])
      for (const vector of [null, { layout: 2, base64: 'BwD/' }])
        for (const more of [{}, { scored }, { scored: { ...scored, p: [] } }]) {
          const one: Touch = { ...touch, clickId, vector, ...more }
          expect(sent(one, at)).toEqual(one)
        }
})

test('without a score the text is what it was before there were any', () => {
  const touch = touchIn(eventOf({}))!
  expect(JOIN_EXCHANGE.encode(touch, T)).toBe('[0,"e","u","a","c","x","k"]')
  expect(JOIN_EXCHANGE.encode({ ...touch, vector: { layout: 2, base64: 'BwD/' } }, T + 1)).toBe(
    `[0,"e","u","a","c","x","k",${T},2,"BwD/"]`,
  )
  expect(JOIN_EXCHANGE.encode({ ...touch, scored: { version: 7, p: [0.5], input: 'AQID' } }, T)).toBe(
    `[0,"e","u","a","c","x","k",null,null,null,[7,"AQID"${approximate(',0.5')}]]`,
  )
})

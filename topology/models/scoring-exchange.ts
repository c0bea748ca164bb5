// How touches go to the stage that scores them where no vectors are taken, and from it to the joiner.
// SE1: every accepted click and impression is scored, also one of nobody; what `bots` marks is no touch.

import type { Event } from '../../operators/event.ts'
import { type JoinRecord, type Touch, touchOf } from '../../operators/touch.ts'
import { JOIN_EXCHANGE } from '../joiner-exchanges.ts'
import type { ExchangeCodec } from '../plan.ts'

/** The touch of an event, of nobody where its user is ''; null: it is none. */
export function touchIn(event: Event): Touch | null {
  const { type, bots, anonymous } = event
  if (bots !== undefined || (type !== 'click' && type !== 'impression')) return null
  const touch = touchOf(event, type)
  return anonymous ? { ...touch, user: '' } : touch
}

/** To the scorer, by advertiser. */
export const SCORING_EXCHANGE: ExchangeCodec<Event, Touch> = {
  name: 'touches to be scored',
  version: 1,
  where: ({ type, bots }) => bots === undefined && (type === 'click' || type === 'impression'),
  key: ({ fields }) => fields.advertiser_id!,
  encode: (event, at) => JOIN_EXCHANGE.encode(touchIn(event)!, at),
  decode: (json, at) => JOIN_EXCHANGE.decode(json, at) as Touch,
}

/** From the scorer to the stage of attribution, by user: nobody has no conversions. */
export const SCORED_EXCHANGE: ExchangeCodec<JoinRecord, JoinRecord> = {
  ...JOIN_EXCHANGE,
  name: 'scored touches',
  where: ({ user }) => user !== '',
}

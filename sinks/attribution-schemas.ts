// What goes in and out of reads of attributions as JSON. The rest of the read API: sinks/read-schemas.ts.

import { type Static, Type } from 'typebox'
import type { AttributionModel } from '../operators/attribution-settings.ts'
import type { DecisionOutcome, OutCode, Owner } from '../operators/decision-explanation.ts'
import type { TouchType } from '../operators/touch.ts'
import { DECISIONS_TOLD_MAX } from './attribution-reads.ts'
import { FACTS, OPTIONS } from './read-schemas.ts'

const { at: _, ...withoutTime } = OPTIONS
export const AttributionOptions = Type.Object(withoutTime, { additionalProperties: false })
export type AttributionOptions = Static<typeof AttributionOptions>

export const ConversionParams = Type.Object({
  conversion: Type.String({ description: 'Its event_id, percent-encoded, decoded once.' }),
})

const { at: __, ...SNAPSHOT } = FACTS

const TextOrNull = (description: string) => Type.Unsafe<string | null>({ type: ['string', 'null'], description })
const IntegerOrNull = (description: string) => Type.Unsafe<number | null>({ type: ['integer', 'null'], description })
const kindOf = <K extends string>(kinds: readonly K[], description: string) =>
  Type.Unsafe<K>({ type: 'string', enum: [...kinds], description })
const TouchPlace = Type.Integer({ description: 'Place in touches.' })

const Touch = Type.Object({
  touch_id: Type.String(),
  type: Type.Unsafe<TouchType>({ type: 'string', enum: ['click', 'impression'] }),
  event_time: Type.Integer(),
  age_ms: Type.Integer({ description: 'Before the conversion.' }),
  campaign_id: Type.String(),
  ad_id: Type.String(),
  has_click_id: Type.Boolean({ description: "Whether its click_id is the conversion's." }),
})

const OUTS: readonly OutCode[] = ['after', 'too_old', 'kind', 'precedence', 'goal']
const Standing = Type.Object({
  touch: TouchPlace,
  out: Type.Unsafe<OutCode | null>({
    type: ['string', 'null'],
    enum: [...OUTS, null],
    description: 'null: it is a candidate.',
  }),
  by_ms: IntegerOrNull('By how much it came too late or is too old.'),
  why: TextOrNull('The same in words.'),
})

const MODELS: readonly AttributionModel['name'][] = ['last_touch', 'first_touch', 'linear', 'time_decay', 'position']
const Model = Type.Object({
  model: kindOf(MODELS, 'Its name.'),
  rule: Type.String({ description: 'In words.' }),
  credits: Type.Array(
    Type.Object({
      touch: TouchPlace,
      credit: Type.Number(),
      how: Type.String({ description: 'The rule in words and numbers.' }),
    }),
    { description: 'Who is credited; none: nobody, or it is not known.' },
  ),
  known: Type.Boolean({ description: 'false: some of the candidates were not kept, and this model needs them all.' }),
})

const Lane = Type.Object({
  goal: TextOrNull('null: no goals are declared.'),
  window: Type.String(),
  rule: Type.String({ description: 'In words.' }),
  touches: Type.Array(Standing),
  models: Type.Array(Model),
})

const OUTCOMES: readonly DecisionOutcome[] = [
  ...(['credited', 'no_candidate', 'goal_gone', 'refund', 'bot', 'anonymous', 'no_goal'] as const),
]
const OWNERS: readonly Owner['by'][] = ['own', 'click', 'nobody']

const Attribution = Type.Object({
  type: Type.String({ description: 'Of the event: conversion, or another that a goal names.' }),
  user_id: Type.String({ description: 'Whose it is: after its click was looked for.' }),
  own_user_id: TextOrNull('That it carried.'),
  owner: kindOf(OWNERS, 'Whose it is by: its own user_id, the click with its click_id, or nobody.'),
  owner_why: Type.String({ description: 'The same in words.' }),
  event_time: Type.Integer(),
  advertiser_id: Type.String(),
  order_id: TextOrNull('null: it has none.'),
  click_id: TextOrNull('null: it has none.'),
  value: Type.Unsafe<number | null>({ type: ['number', 'null'] }),
  currency: TextOrNull('null: it has none.'),
  late: Type.Boolean({ description: 'It came after the watermark, and was attributed on arrival.' }),
  revision: Type.Integer({ description: '0: the first attribution; above: said anew, as a touch came late.' }),
  outcome: kindOf(OUTCOMES, 'Whether somebody is credited, and else why nobody is.'),
  outcome_why: Type.String({ description: 'The same in words.' }),
  touches: Type.Array(Touch, {
    description: 'Of its user and advertiser within the longest window, the oldest first.',
  }),
  touches_total: Type.Integer({ description: 'There were; of more than are kept the youngest ones are told.' }),
  windows: Type.Array(Lane, { description: 'Of each goal each window.' }),
  windows_left_out: Type.Integer({ description: 'Windows that the answer has no room for.' }),
  snapshot: Type.Integer({ description: 'Place in snapshots of the one that this is from.' }),
})

export const AttributionAnswer = Type.Object({
  conversion_id: Type.String(),
  attributions: Type.Array(Attribution, {
    description: `One for each conversion of this id, up to ${DECISIONS_TOLD_MAX}, the newest first: ids are a user's own.`,
  }),
  more: Type.Boolean({ description: 'Whether there are more.' }),
  snapshots: Type.Array(Type.Object(SNAPSHOT), { description: 'Each once.' }),
})
export type AttributionAnswer = Static<typeof AttributionAnswer>

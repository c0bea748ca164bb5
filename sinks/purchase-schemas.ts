// What goes in and out of reports of purchases as JSON. The rest of the read API: sinks/read-schemas.ts.

import { type Static, Type } from 'typebox'
import { PURCHASE_LEVELS, type PurchaseLevel } from '../operators/purchase-tiles.ts'
import { REPORT_DAYS_DEFAULT, REPORT_DAYS_MAX } from './purchase-reads.ts'
import type { ReportSum } from './purchase-report.ts'
import { FACTS, OPTIONS } from './read-schemas.ts'

const { at: _, ...withoutTime } = OPTIONS

export const PurchasesParams = Type.Object({
  advertiser: Type.String({ description: 'Its advertiser_id, percent-encoded, decoded once.' }),
})

const DateText = (description: string) => Type.Optional(Type.String({ description }))

export const PurchasesQuery = Type.Object(
  {
    by: Type.Optional(
      Type.Unsafe<PurchaseLevel>({
        type: 'string',
        enum: [...PURCHASE_LEVELS],
        description: 'For whom purchases are summed; the advertiser as a whole by default.',
      }),
    ),
    window: Type.Optional(Type.String({ description: 'Of attribution; the first that is configured by default.' })),
    goal: Type.Optional(Type.String({ description: 'Where goals are declared.' })),
    from: DateText(`First day of touches, like 2026-03-29; at most ${REPORT_DAYS_MAX} days before the last one.`),
    to: DateText(`Last day; by default today, and then, or with it, ${REPORT_DAYS_DEFAULT} days.`),
    time_zone: DateText("Name of the IANA database, such as Europe/Berlin; the advertiser's by default."),
    ...withoutTime,
  },
  { additionalProperties: false },
)
export type PurchasesQuery = Static<typeof PurchasesQuery>

const NumberOrNull = (description: string) => Type.Unsafe<number | null>({ type: ['number', 'null'], description })

const ReportedDay = Type.Object({
  day: Type.String({ description: 'Date in the time zone.' }),
  from: Type.Integer({ description: 'Milliseconds.' }),
  to: Type.Integer({ description: 'Milliseconds, exclusive.' }),
  hours: Type.Number({ description: '23 or 25 where clocks were put forward or back.' }),
  mature: Type.Boolean({ description: 'Whether every touch of the day is older than the window.' }),
  share: NumberOrNull(
    'The part of its conversions that has come, by the delay curve; null: too few conversions are known to say.',
  ),
})

const STATES: readonly ReportSum['state'][] = ['mature', 'estimated', 'too_few']

const SUM = {
  currency: Type.String({ description: 'none: it has none.' }),
  count: Type.Integer({ description: 'credited - taken_back.' }),
  value: Type.Number({ description: 'The same of values, in units of the currency.' }),
  credited: Type.Integer(),
  taken_back: Type.Integer({ description: 'Whole orders.' }),
  credited_value: Type.Number(),
  taken_back_value: Type.Number({ description: 'Of parts of orders, too.' }),
  state: Type.Unsafe<ReportSum['state']>({
    type: 'string',
    enum: [...STATES],
    description: 'too_few: the window is open, and too little is known for an estimate.',
  }),
  estimate: Type.Unsafe<{ count: number; low: number; high: number; value: number } | null>({
    type: ['object', 'null'],
    properties: {
      count: { type: 'number', description: 'When the window is closed, as far as nothing more is taken back.' },
      low: { type: 'number', description: 'Between low and high it is with a probability of 90 %.' },
      high: { type: 'number' },
      value: { type: 'number' },
    },
    required: ['count', 'low', 'high', 'value'],
  }),
}
const ReportedPurchases = Type.Object({
  day: Type.Integer({ description: 'Place in days.' }),
  id: Type.String({ description: 'Of the ad, campaign or advertiser.' }),
  ...SUM,
})
const ReportedTotal = Type.Object({
  day: Type.Unsafe<number | null>({ type: ['integer', 'null'], description: 'Place in days; null: of all of them.' }),
  ...SUM,
})

const { at: __, ...SNAPSHOT } = FACTS

export const PurchasesAnswer = Type.Object({
  advertiser_id: Type.String(),
  by: Type.Unsafe<PurchaseLevel>({ type: 'string', enum: [...PURCHASE_LEVELS] }),
  goal: Type.Unsafe<string | null>({ type: ['string', 'null'], description: 'null: no goals are declared.' }),
  window: Type.String(),
  time_zone: Type.String(),
  through: Type.Unsafe<number | null>({
    type: ['integer', 'null'],
    description: 'Conversions up to here, milliseconds, are credited; null: nothing has come yet.',
  }),
  curve: Type.Object(
    { own: Type.Integer({ description: 'Of the advertiser.' }), all: Type.Integer() },
    { description: 'Conversions of mature days on which estimates rest.' },
  ),
  days: Type.Array(ReportedDay),
  purchases: Type.Array(ReportedPurchases, {
    description: 'Where there are some; by currency, day, count (the largest first), id.',
  }),
  totals: Type.Array(ReportedTotal, {
    description: 'Of all of purchases together: by currency, each day, then all days.',
  }),
  snapshot: Type.Object(SNAPSHOT, { description: "Of the advertiser's task." }),
})
export type PurchasesAnswer = Static<typeof PurchasesAnswer>

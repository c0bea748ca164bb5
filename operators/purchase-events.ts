// Credits as events, for features over the last days by the time of the conversion (topology/purchases.ts declares those): one event
// for each lane. What a declared feature can be, and how it is kept, is the features compiler's.
// PE1: refunds count against the time of the conversion that they take back, so a window holds what is left of its purchases.

import type { AttributionSettings } from './attribution-settings.ts'
import type { Event } from './event.ts'
import type { Operator, Rec } from './operator.ts'
import { currencyOf } from './purchase-tiles.ts'
import type { CreditRecord } from './touch.ts'

/** How a lane is named in keys of features: its window, behind its goal where goals are declared; no name holds a slash. */
export const laneId = ({ goal, window }: { readonly goal: string; readonly window: string }): string =>
  goal === '' ? window : `${goal}/${window}`

/** Passes each credit on as conversions, one for each lane. */
export function purchaseEvents({ windows }: Pick<AttributionSettings, 'windows'>): Operator<CreditRecord, Event> {
  return {
    name: 'purchase events',
    version: 1,
    settings: { windows: windows.map(({ name }) => name) },
    stores: [],
    process: (batch) => batch.flatMap((rec) => eventsOf(rec, windows)),
  }
}

function eventsOf(rec: Rec<CreditRecord>, windows: AttributionSettings['windows']): Rec<Event>[] {
  const { advertiser, conversionTimeMs: time, count, value, currency, lanes } = rec.value
  return lanes.map(({ goal, window, campaign, ad }) => {
    const type = 'conversion' as const
    const ids = { advertiser_id: advertiser, campaign_id: campaign, ad_id: ad }
    const window_id = laneId({ goal, window: windows[window]!.name })
    const what = { window_id, currency_id: currencyOf(currency), purchases: count, value_micro: value }
    const fields = { type, event_id: rec.id, event_time: time, ...ids, ...what }
    return { ...rec, value: { type, id: rec.id, time, user: '', anonymous: true, fields } }
  })
}

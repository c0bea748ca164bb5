// Duplicates of events at the start of their stream, under the user that each carries (the rule: operators/duplicate-rule.ts).
// A conversion may be another user's than it says: where there is a joiner, operators/conversion-duplicates.ts judges and counts
// conversions once they are resolved, and only features of the first stage know them by their own user.

import { type DuplicatesSettings, duplicatesSettings, firstOfEquals } from './duplicate-rule.ts'
import { type Event, isRefund } from './event.ts'
import type { Operator } from './operator.ts'
import { keyOf } from './touch.ts'

/**
 * What becomes of conversions and refunds here. `judged`: the same as of all events. `passed`: they go on unjudged and uncounted.
 * `alone`: only they are judged, without counting; the others have been.
 */
export type ConversionsHere = 'judged' | 'passed' | 'alone'

/** Lets the first of equal events pass. */
export function duplicates(
  given: Partial<DuplicatesSettings> = {},
  conversions: ConversionsHere = 'judged',
): Operator<Event, Event> {
  const settings = duplicatesSettings(given)
  return {
    name: conversions === 'alone' ? 'duplicates of own conversions' : 'duplicates',
    version: 1,
    settings: conversions === 'passed' ? { ...settings, conversions } : settings,
    ...firstOfEquals<Event>({
      settings,
      isJudged: JUDGED[conversions],
      timeOf: ({ time }) => time,
      ...(conversions === 'passed' ? {} : { orderOf }),
      isPurchase: (event) => event.type === 'conversion' && !isRefund(event),
      delayMaxMs: 0,
      counting: conversions === 'alone' ? 'silent' : 'counted',
    }),
  }
}

const JUDGED: Readonly<Record<ConversionsHere, (event: Event) => boolean>> = {
  judged: () => true,
  passed: ({ type }) => type !== 'conversion',
  alone: ({ type }) => type === 'conversion',
}

function orderOf(event: Event): string | null {
  if (event.type !== 'conversion') return null
  const order = event.fields.order_id
  return order == null || isRefund(event) ? null : keyOf(event.fields.advertiser_id!, order)
}

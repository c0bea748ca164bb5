// A sink inside the stage of attribution: conversions as they were accepted, as other people's consumers read them.

import type { Operator } from '../operators/operator.ts'
import type { JoinRecord } from '../operators/touch.ts'

/** Output stream of accepted conversions, and of the refunds among them. */
export const CONVERSIONS = 'conversions'

const MICRO = 1e6

/** One record of the output. Fields that a conversion does not have are null. */
export interface AcceptedConversion {
  readonly event_id: string
  readonly event_time: number
  /** That it counts for, once resolved. */
  readonly user_id: string
  /** That it carried itself. */
  readonly own_user_id: string | null
  readonly advertiser_id: string
  readonly order_id: string | null
  readonly click_id: string | null
  readonly value: number | null
  readonly currency: string | null
  /** The order that a refund takes back. */
  readonly refund_of: string | null
}

/** Each exactly once. Touches and events of other types, which are in the stream of accepted events, are not in this one. */
export function conversionStream(output: string): Operator<JoinRecord, never> {
  return {
    name: `publish ${output}`,
    version: 1,
    settings: { output },
    stores: [],
    process(batch, ctx) {
      for (const rec of batch) {
        const { value } = rec
        if (value.kind !== 'conversion' || value.type !== 'conversion') continue
        const { id, timeMs, user, ownUser, advertiser, orderId, clickId, valueMicro, currency, refundOf = null } = value
        const accepted: AcceptedConversion = {
          ...{ event_id: id, event_time: timeMs, user_id: user, own_user_id: ownUser, advertiser_id: advertiser },
          ...{ order_id: orderId, click_id: clickId, value: valueMicro === null ? null : valueMicro / MICRO },
          ...{ currency, refund_of: refundOf },
        }
        ctx.emit(output, accepted, rec)
      }
      return []
    },
  }
}

// What the stages of the joiner tell each other (docs/joiner.md): touches, conversions, who is credited, label rows. Plain data;
// how it is written in the log is topology/joiner-exchanges.ts's.
// TO1: money is in millionths, an integer; times are event times in milliseconds.

import type { Event, EventType } from './event.ts'
import type { Scored } from './model-records.ts'

export type TouchType = 'click' | 'impression'

/** An impression or click of a known person: what a conversion may be credited to. */
export interface Touch {
  readonly kind: 'touch'
  readonly type: TouchType
  /** Its event_id. */
  readonly id: string
  readonly timeMs: number
  readonly user: string
  readonly advertiser: string
  readonly campaign: string
  readonly ad: string
  readonly clickId: string | null
  /**
   * Its feature vector, the bytes of vectorCodec in base64 because what waits for the watermark is kept as JSON, and the place of
   * the layout among all there were; null: none travels.
   */
  readonly vector: { readonly layout: number; readonly base64: string } | null
  /** What a model said of it; not given: none was asked. */
  readonly scored?: Scored
}

/** A conversion, a refund, or another event that a goal names. */
export interface Conversion {
  readonly kind: 'conversion'
  readonly type: EventType
  readonly id: string
  readonly timeMs: number
  /** Resolved, once it has passed the click index. */
  readonly user: string
  /** That it carried itself; null: none. */
  readonly ownUser: string | null
  readonly advertiser: string
  readonly orderId: string | null
  readonly clickId: string | null
  /** null: it has none. */
  readonly valueMicro: number | null
  readonly currency: string | null
  /** For refunds: the order that is taken back, null where it names none. undefined: it is no refund. */
  readonly refundOf?: string | null
  /** Names of the goals that it is a conversion of; [''] without declared goals. Empty: it is attributed to nobody. */
  readonly goals: readonly string[]
  readonly bots?: 'mark' | 'drop'
}

/** What the click index is told of an accepted click of a known person. */
export interface KnownClick {
  readonly kind: 'known click'
  readonly clickId: string
  readonly user: string
  readonly timeMs: number
}

export type JoinRecord = Touch | Conversion

/** A conversion at the time of its attribution, with every touch that is held of its person and advertiser within the longest window, in the order (time, type, id). */
export interface Matched {
  readonly kind: 'matched'
  readonly conversion: Conversion
  readonly late: boolean
  readonly candidates: readonly Touch[]
  /** 0: the first attribution; above: said anew because of late touches, which labels do not follow. */
  readonly revision: number
}

/** Who has the credit of a conversion in one lane, by last touch; null: nobody. */
export interface LaneCredit {
  readonly goal: string
  /** Index among the configured windows. */
  readonly window: number
  readonly touch: Touch | null
}

/** A conversion that was attributed. */
export interface Attributed {
  readonly kind: 'attributed'
  readonly conversion: Conversion
  readonly late: boolean
  readonly lanes: readonly LaneCredit[]
}

export type LabelKind = 'O' | 'D' | 'M' | 'C' | 'R'

/** One row of labels.ndjson but for what all rows of a record share. */
export interface LabelRow {
  /** Not given: without declared goals. */
  readonly goal?: string
  readonly window: string
  /** Its number among the rows of its kind of this touch and lane, from 1. */
  readonly number: number
  readonly y: 0 | 1
  readonly count: number
  /** Millionths. */
  readonly value: number
}

/** One record of the output `labels`: the rows of one touch that were caused together. */
export interface LabelRecord {
  readonly touch_id: string
  readonly touch_type: TouchType
  readonly user_id: string
  readonly advertiser_id: string
  readonly campaign_id: string
  readonly ad_id: string
  readonly touch_time: number
  readonly kind: LabelKind
  /** What can be said of it when it is written: docs/joiner.md, point 7. */
  readonly complete: boolean
  readonly rows: readonly LabelRow[]
}

/** One record of the output `attributions`: a line of attributions.ndjson, and what the file leaves out. */
export interface AttributionRecord {
  readonly conversion_id: string
  readonly user_id: string
  readonly advertiser_id: string
  readonly conversion_time: number
  /** Not given: without declared goals. */
  readonly goal?: string
  readonly window: string
  readonly model: string
  readonly touch_id: string | null
  readonly touch_type: TouchType | null
  readonly touch_time: number | null
  readonly credit: number
  /** The conversion's, whole; 0 where it has none. */
  readonly value: number
  readonly late: boolean
  /** Not given: the first attribution. */
  readonly revision?: number
}

/** What a conversion, or a refund, changes in the purchases of ads by last touch: one record for all of its lanes. */
export interface CreditRecord {
  readonly advertiser: string
  /** Of the conversion, also where it is taken back. */
  readonly conversionTimeMs: number
  /** 1: credited; -1: taken back; 0: taken back in part. */
  readonly count: 1 | -1 | 0
  /** Millionths; below 0 where it is taken back. */
  readonly value: number
  readonly currency: string | null
  /** Lanes in which somebody has the credit. */
  readonly lanes: readonly CreditedLane[]
}

export interface CreditedLane {
  readonly goal: string
  /** Index among the configured windows. */
  readonly window: number
  readonly campaign: string
  readonly ad: string
  readonly touchTimeMs: number
}

/** Joins parts of a key of state. No id holds a control character, so two joined lists are never equal by chance. */
const BETWEEN = '\u001f'

export const keyOf = (...parts: readonly string[]): string => parts.join(BETWEEN)

/** The parts that `keyOf` joined. */
export const partsOf = (key: string): readonly string[] => key.split(BETWEEN)

/** Whose conversions a touch may have: its person and advertiser. As keyOf of both: this is asked of every touch. */
export const groupOf = ({ user, advertiser }: Touch | Conversion): string => `${user}${BETWEEN}${advertiser}`

/** What tells a touch from all others of its task. As keyOf of its parts. */
export const touchKey = ({
  user,
  advertiser,
  timeMs,
  type,
  id,
}: Pick<Touch, 'user' | 'advertiser' | 'timeMs' | 'type' | 'id'>): string =>
  `${user}${BETWEEN}${advertiser}${BETWEEN}${timeMs}${BETWEEN}${type}${BETWEEN}${id}`

/** Whether a conversion takes an order back. */
export const isRefund = (conversion: Conversion): boolean => conversion.refundOf !== undefined

/** The touch that an accepted click or impression is, without a vector. */
export function touchOf({ id, time, user, fields }: Event, type: TouchType): Touch {
  const advertiser = fields.advertiser_id!
  const campaign = fields.campaign_id!
  const clickId = fields.click_id ?? null
  return { kind: 'touch', type, id, timeMs: time, user, advertiser, campaign, ad: fields.ad_id!, clickId, vector: null }
}

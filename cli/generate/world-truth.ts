// What is true in the generated world, written down beside its events: an oracle for attribution, labels, calibration.
// T1: probabilities come from the world's parameters (catalogue.ts, delays.ts), never from counting what happened.
// T2: a row is written when its fact is settled: a touch's as soon as it happens, with all that it will lead to; a
//     conversion's when it happens, with its credit; a line's when it arrives, with its number in the file (from 1).
// T3: recording changes no byte of the events: nothing here draws a random number.
// Memory: the touches of 28 days (credit-book.ts) and the rows since the last take().

import type { RejectedCode } from '../../operators/event.ts'
import { type Credit, CreditBook, WINDOWS } from './credit-book.ts'

/** Of a purchase within so many days after the touch. */
export interface ByDays {
  readonly '1d': number
  readonly '7d': number
  readonly '28d': number
}

/** A purchase that a touch leads to, whether it happens before the world ends or not. */
export interface PlannedRow {
  readonly event_id: string
  readonly order_id: string
  readonly time: number
  readonly value: number
}

export interface TouchRow {
  readonly kind: 'click' | 'impression'
  readonly event_id: string
  readonly user_id: string
  readonly advertiser_id: string
  readonly ad_id: string
  readonly time: number
  /** That the touch leads to at least one purchase within the days, and how many are expected. */
  readonly probability: ByDays
  readonly expected: ByDays
  readonly conversions: readonly PlannedRow[]
  readonly bot: boolean
}

/** How the events of a purchase reach the log. `both`: twice. `recovered`: by upload after an outage. `lost`: never. */
export type Route = 'pixel' | 'server' | 'both' | 'upload' | 'recovered' | 'lost'

export interface ConversionRow {
  readonly kind: 'conversion'
  readonly event_id: string
  readonly order_id: string
  /** Whose it is after resolution. */
  readonly user_id: string
  readonly advertiser_id: string
  readonly time: number
  readonly value: number
  /** The event_id of the touch that led to it; null: it would have happened anyway. */
  readonly cause: string | null
  readonly route: Route
  /** Last touch by default window: the event_id of the touch or null. */
  readonly credit: Credit
}

export interface RefundRow {
  readonly kind: 'refund'
  readonly event_id: string
  readonly order_id: string
  /** The conversion that is taken back; null: no such order. */
  readonly of: string | null
  readonly amount: number
  readonly whole: boolean
  readonly time: number
}

/** Why a line is no new event. Of `anonymous` lines the code holds for the setting `anonymous: reject`. */
export type LineFact =
  | { readonly is: 'duplicate'; readonly event_id: string; readonly by: 'event_id' | 'order_id' }
  | { readonly is: 'malformed' | 'anonymous'; readonly code: RejectedCode; readonly field: string | null }

export type LineRow = { readonly kind: 'line'; readonly line: number } & LineFact

export interface WorldRow {
  readonly kind: 'world'
  readonly options: Readonly<Record<string, unknown>>
  readonly start: number
  /** Nothing happens from here on; what happened before still arrives. */
  readonly end: number
  readonly outage: { readonly advertiser_id: string; readonly from: number; readonly to: number }
  readonly bots: readonly string[]
}

export type TruthRow = WorldRow | TouchRow | ConversionRow | RefundRow | LineRow | ({ kind: 'summary' } & TruthSummary)

export interface TruthSummary {
  lines: number
  duplicates: number
  malformed: number
  anonymous: number
  /** Lines of conversions that arrive in an upload, hours to days after their time. */
  uploaded: number
  clicks: number
  impressions: number
  /** Purchases that happened before the end, by route, and those that no touch caused. */
  conversions: Record<Route, number>
  organic: number
  refunds: number
  refunds_unmatched: number
  /** Conversions that are not lost, by window: credited to a touch. */
  credited: Record<string, number>
  malformed_by_code: Partial<Record<RejectedCode, number>>
}

/** The truth of one world. Give it to world(), take the rows after each piece. */
export class Truth {
  readonly book = new CreditBook()
  readonly summary: TruthSummary = {
    lines: 0,
    duplicates: 0,
    malformed: 0,
    anonymous: 0,
    uploaded: 0,
    clicks: 0,
    impressions: 0,
    conversions: { pixel: 0, server: 0, both: 0, upload: 0, recovered: 0, lost: 0 },
    organic: 0,
    refunds: 0,
    refunds_unmatched: 0,
    credited: Object.fromEntries(WINDOWS.map(({ name }) => [name, 0])),
    malformed_by_code: {},
  }
  #rows: TruthRow[] = []

  /** The rows since the last call. */
  take(): TruthRow[] {
    const rows = this.#rows
    this.#rows = []
    return rows
  }

  world(row: WorldRow): void {
    this.#rows.push(row)
  }

  touch(row: TouchRow): void {
    this.#rows.push(row)
    this.summary[row.kind === 'click' ? 'clicks' : 'impressions']++
  }

  conversion(row: ConversionRow): void {
    this.#rows.push(row)
    this.summary.conversions[row.route]++
    if (row.cause === null) this.summary.organic++
    if (row.route === 'lost') return
    for (const { name } of WINDOWS) if (row.credit[name] !== null) this.summary.credited[name]!++
  }

  refund(row: RefundRow): void {
    this.#rows.push(row)
    this.summary.refunds++
    if (row.of === null) this.summary.refunds_unmatched++
  }

  /** A line has arrived. */
  line(fact: LineFact | null, isUpload: boolean): void {
    const { summary } = this
    const line = ++summary.lines
    if (isUpload) summary.uploaded++
    if (fact === null) return
    this.#rows.push({ kind: 'line', line, ...fact })
    if (fact.is === 'duplicate') summary.duplicates++
    else summary[fact.is]++
    if (fact.is === 'malformed') {
      summary.malformed_by_code[fact.code] = (summary.malformed_by_code[fact.code] ?? 0) + 1
    }
  }

  /** The last row. */
  end(): void {
    this.#rows.push({ kind: 'summary', ...this.summary })
  }
}

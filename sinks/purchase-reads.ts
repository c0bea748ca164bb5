// What is asked about the purchases of an advertiser, and what may be told. topology/host-reads.ts answers, and of a directory
// topology/purchase-reads.ts. The numbers are made in sinks/purchase-report.ts.

import type { DelayCounts, PurchaseLane, PurchaseLevel, PurchaseTiles } from '../operators/purchase-tiles.ts'
import type { CalendarDay } from './calendar-days.ts'
import type { ReadAsk, ReadOutcome, SnapshotFacts } from './feature-reads.ts'
import type { PurchaseReport } from './purchase-report.ts'

/** Days of a report: all that are kept. */
export const REPORT_DAYS_MAX = 397
/** Days of a report where none are named: four weeks. */
export const REPORT_DAYS_DEFAULT = 28
/** Entries of state that a report is made of: a tenth of a second or two beside a task's other work. */
export const REPORT_ENTRIES_MAX = 20_000
/** Lines of a report: of days and ads in which there is something. A few megabytes. */
export const REPORT_LINES_MAX = 10_000
/** Keys that a report counts as where keys are limited: it looks in as many days, twice. */
export const REPORT_READ_KEYS = 64

/** Which days of touches: dates like 2026-03-29, both included; null: to the last one, from REPORT_DAYS_DEFAULT before that. */
export interface DaysAsk {
  readonly from: string | null
  readonly to: string | null
  readonly timeZone: string
}

export interface PurchasesAsk extends DaysAsk, Pick<ReadAsk, 'snapshot' | 'wait' | 'waitMs'> {
  readonly advertiser: string
  readonly by: PurchaseLevel
  /** '': without declared goals. */
  readonly goal: string
  /** null: the first that is configured. */
  readonly window: string | null
}

/** What one task has for a report, from one snapshot. */
export interface TaskPurchases {
  readonly facts: SnapshotFacts
  /** Up to which event time all conversions are credited, milliseconds; null: it has seen nothing yet. */
  readonly throughMs: number | null
  /** Of mature days: the delays of all its advertisers. */
  readonly all: DelayCounts
  /** Of the advertiser; null: it was not asked for. */
  readonly own: OwnPurchases | null
}

export interface OwnPurchases {
  /** What was asked for, as far as it has begun. */
  readonly days: readonly CalendarDay[]
  readonly entries: readonly PurchaseEntry[]
  /** Of mature days. */
  readonly delays: DelayCounts
  /** Of mature days: credits by hour of the day, in UTC. */
  readonly hours: readonly number[]
}

/** What an ad, campaign or advertiser has of one UTC day of touches, in one currency. */
export interface PurchaseEntry {
  readonly id: string
  readonly currency: string
  /** Begin of the day, milliseconds. */
  readonly dayMs: number
  readonly tiles: PurchaseTiles
}

/** Why there is no report. */
export type NoPurchases =
  /** This node attributes nothing. */
  | { readonly kind: 'no_attribution' }
  | { readonly kind: 'unknown_window'; readonly windows: readonly string[] }
  /** More days, or more in them, than one report may have. */
  | { readonly kind: 'too_large'; readonly what: string }
  | Exclude<ReadOutcome, { kind: 'read' | 'unknown_feature' | 'not_held' }>

export type PurchasesOutcome =
  | {
      readonly kind: 'purchases'
      readonly ask: PurchasesAsk
      readonly lane: PurchaseLane
      readonly report: PurchaseReport
      /** Of the advertiser's task. */
      readonly facts: SnapshotFacts
    }
  | NoPurchases

// Where a plan keeps purchases (operators/purchases.ts), and how a report is read of them: from a snapshot of a task that runs, or from
// its state after it has ended.
// PP1: an advertiser has all of its purchases in one task; the delay curve of all advertisers is put together of all tasks.
// PP2: what is read is a range of keys of each day, not more than REPORT_ENTRIES_MAX entries: a report that needs more is refused.
// What is made of it: sinks/purchase-report.ts. Waits and limits of a node: topology/host-reads.ts.

import { partitionOf } from '../log/frame.ts'
import { longestWindowMs } from '../operators/attribution-settings.ts'
import { delayCurve } from '../operators/delay-curve.ts'
import {
  ALL_ADVERTISERS,
  DELAYS_STORE,
  type DelayCounts,
  delaysKey,
  levelPrefix,
  ofPurchaseKey,
  PURCHASE_DAY_MS,
  PURCHASES_STORE,
  type PurchaseLane,
  type PurchaseLevel,
  type PurchaseTiles,
  TILE_MS,
} from '../operators/purchase-tiles.ts'
import type { Purchases } from '../operators/purchases.ts'
import { type CalendarDay, DAY_MS, dateAfter, datesFrom, daysBetween, localDates } from '../sinks/calendar-days.ts'
import {
  type DaysAsk,
  type NoPurchases,
  type PurchaseEntry,
  type PurchasesAsk,
  type PurchasesOutcome,
  REPORT_DAYS_DEFAULT,
  REPORT_DAYS_MAX,
  REPORT_ENTRIES_MAX,
  REPORT_LINES_MAX,
  type TaskPurchases,
} from '../sinks/purchase-reads.ts'
import { purchaseReport } from '../sinks/purchase-report.ts'
import type { Backend } from '../state/backend.ts'
import type { ReadSnapshot } from '../state/read-snapshot.ts'
import type { StoreSpec } from '../state/store.ts'
import { TaskState } from '../state/task-state.ts'
import { commitIn, factsIn } from './commit-facts.ts'
import { type Plan, stageStream, taskName } from './plan.ts'

/** Touch days of which the delay curve is made, the newest mature ones: a season, and not the habits of last year. */
export const CURVE_DAYS = 91

/** What of a plan answers for purchases. */
export interface PurchasesPlan {
  readonly stage: string
  readonly purchases: StoreSpec
  readonly delays: StoreSpec
  readonly windows: Purchases['windows']
  readonly graceMs: number
}

/** null: the plan attributes nothing. */
export function purchasesIn(plan: Plan): PurchasesPlan | null {
  for (const { name: stage, nodes } of plan.stages)
    for (const { operator, stores } of nodes) {
      const place = (name: string): number => operator.stores.findIndex((store) => store.name === name)
      if (place(PURCHASES_STORE) === -1 || place(DELAYS_STORE) === -1) continue
      const { windows, graceMs } = operator as Purchases
      return {
        stage,
        purchases: stores[place(PURCHASES_STORE)]!,
        delays: stores[place(DELAYS_STORE)]!,
        windows,
        graceMs,
      }
    }
  return null
}

/** What one task is asked for a report; `own`: null where another has the advertiser. */
export interface TaskReport {
  readonly lane: PurchaseLane
  readonly own: (DaysAsk & { readonly advertiser: string; readonly by: PurchaseLevel }) | null
}

/** Which lane is meant, and what each task is asked. */
export function asksOf(
  { windows }: Pick<PurchasesPlan, 'windows'>,
  ask: PurchasesAsk,
  partitions: number,
): NoPurchases | { readonly kind: 'asks'; readonly lane: PurchaseLane; readonly asks: readonly TaskReport[] } {
  const names = windows.map(({ name }) => name)
  const window = ask.window ?? names[0]!
  if (!names.includes(window)) return { kind: 'unknown_window', windows: names }
  const lane = { goal: ask.goal, window }
  const home = partitionOf(ask.advertiser, partitions)
  const asks = Array.from({ length: partitions }, (_, p): TaskReport => ({ lane, own: p === home ? ask : null }))
  return { kind: 'asks', lane, asks }
}

export type TaskPurchasesRead =
  | (TaskPurchases & { readonly kind: 'purchases' })
  | Extract<NoPurchases, { kind: 'too_large' }>

/** What a task has for a report. Throws SnapshotGone. */
export async function readPurchases(
  snapshot: ReadSnapshot,
  kept: PurchasesPlan,
  { lane, own }: TaskReport,
  at: { readonly stream: string; readonly configHash: string },
): Promise<TaskPurchasesRead> {
  const facts = factsIn(snapshot, at.stream, at.configHash)
  const throughMs = creditedThrough(snapshot, kept)
  const told = { kind: 'purchases', facts, throughMs } as const
  if (throughMs === null) return { ...told, all: new Map(), own: null }
  const mature = matureDays(throughMs, windowMsOf(kept, lane), snapshot.lowestBucket(kept.purchases.name))
  const delaysOf = (advertiser: string) => delaysIn(snapshot, kept, delaysKey(advertiser, lane), mature)
  const all = await delaysOf(ALL_ADVERTISERS)
  if (own === null) return { ...told, all, own: null }
  const days = daysOf(own, throughMs)
  if (!Array.isArray(days)) return days
  const reader = new EntryReader(snapshot, kept.purchases.name)
  const entries: PurchaseEntry[] = []
  for (const bucket of bucketsOf(days))
    if (!(await reader.into(entries, bucket, levelPrefix(own.advertiser, lane, own.by)))) return TOO_MANY_ENTRIES
  const whole: PurchaseEntry[] = []
  for (const bucket of mature)
    if (!(await reader.into(whole, bucket, levelPrefix(own.advertiser, lane, 'advertiser')))) return TOO_MANY_ENTRIES
  return { ...told, all, own: { days, entries, delays: await delaysOf(own.advertiser), hours: hoursIn(whole) } }
}

/** Up to which event time every conversion is credited: one is when the watermark passes its time by grace, or at the drain. */
function creditedThrough(snapshot: ReadSnapshot, { graceMs }: PurchasesPlan): number | null {
  const commit = commitIn(snapshot)
  if (commit === null) return null
  if (commit.drained) return commit.tally.highs.as_of ?? null
  return commit.watermark < graceMs ? null : commit.watermark - graceMs
}

/** Of a window, for the kind of touch for which it is longest. */
const windowMsOf = ({ windows }: PurchasesPlan, { window }: PurchaseLane): number =>
  longestWindowMs({ windows: windows.filter(({ name }) => name === window) })

/** UTC days of touches whose windows are closed, the newest CURVE_DAYS. */
function matureDays(throughMs: number, windowMs: number, lowest: number): number[] {
  const end = Math.floor((throughMs - windowMs) / PURCHASE_DAY_MS)
  const first = Math.max(lowest, 0, end - CURVE_DAYS)
  return Array.from({ length: Math.max(0, end - first) }, (_, i) => first + i)
}

/** The days that are asked for, as far as they have begun. */
function daysOf({ from, to, timeZone }: DaysAsk, throughMs: number): CalendarDay[] | typeof TOO_MANY_DAYS {
  const today = localDates(timeZone)(throughMs)
  const last = to === null || to > today ? today : to
  const first = from ?? dateAfter(last, 1 - REPORT_DAYS_DEFAULT)
  if (first > last) return []
  return datesFrom(first, last) > REPORT_DAYS_MAX ? TOO_MANY_DAYS : daysBetween(first, last, timeZone)
}

const TOO_MANY_DAYS = { kind: 'too_large', what: `a report has at most ${REPORT_DAYS_MAX} days` } as const
const TOO_MANY_ENTRIES = {
  kind: 'too_large',
  what: `a report is made of at most ${REPORT_ENTRIES_MAX} entries: ask for fewer days, or for campaigns`,
} as const
const TOO_MANY_LINES = {
  kind: 'too_large',
  what: `a report has at most ${REPORT_LINES_MAX} lines: ask for fewer days, or for campaigns`,
} as const

/** UTC days in which some of these days lie. */
function bucketsOf(days: readonly CalendarDay[]): number[] {
  if (days.length === 0) return []
  const first = Math.floor(days[0]!.fromMs / PURCHASE_DAY_MS)
  const end = Math.ceil(days.at(-1)!.toMs / PURCHASE_DAY_MS)
  return Array.from({ length: end - first }, (_, i) => first + i)
}

/** Reads ranges of entries, up to a number of all together. */
class EntryReader {
  readonly #snapshot: ReadSnapshot
  readonly #store: string
  #read = 0

  constructor(snapshot: ReadSnapshot, store: string) {
    this.#snapshot = snapshot
    this.#store = store
  }

  /** false: there are more than a report may have (PP2). */
  async into(entries: PurchaseEntry[], bucket: number, prefix: string): Promise<boolean> {
    for await (const [key, tiles] of this.#snapshot.scanPrefix<PurchaseTiles>(this.#store, bucket, prefix)) {
      if (++this.#read > REPORT_ENTRIES_MAX) return false
      entries.push({ ...ofPurchaseKey(key), dayMs: bucket * PURCHASE_DAY_MS, tiles })
    }
    return true
  }
}

async function delaysIn(
  snapshot: ReadSnapshot,
  { delays }: PurchasesPlan,
  key: string,
  buckets: readonly number[],
): Promise<DelayCounts> {
  const found = await snapshot.multiGet<DelayCounts>(
    delays.name,
    buckets.map((bucket) => [bucket, key]),
  )
  return summed(found.filter((counts) => counts !== undefined))
}

function summed(all: readonly DelayCounts[]): DelayCounts {
  const sum: DelayCounts = new Map()
  for (const counts of all) for (const [bin, count] of counts) sum.set(bin, (sum.get(bin) ?? 0) + count)
  return sum
}

const HOUR_MS = 3_600_000

function hoursIn(entries: readonly PurchaseEntry[]): number[] {
  const hours = new Array<number>(DAY_MS / HOUR_MS).fill(0)
  for (const { tiles } of entries)
    for (const { tile, credited } of tiles) {
      const hour = Math.floor((tile * TILE_MS) / HOUR_MS)
      hours[hour] = hours[hour]! + credited
    }
  return hours
}

/** The report, from what every task of the stage has. */
export function purchasesOutcome(
  kept: PurchasesPlan,
  ask: PurchasesAsk,
  lane: PurchaseLane,
  parts: readonly TaskPurchasesRead[],
): PurchasesOutcome {
  const read = parts.filter((part) => part.kind === 'purchases')
  if (read.length < parts.length) return parts.find((part) => part.kind !== 'purchases') as NoPurchases
  const { own, throughMs, facts } = read[partitionOf(ask.advertiser, parts.length)]!
  const told = { kind: 'purchases', ask, lane, facts } as const
  if (own === null || throughMs === null)
    return { ...told, report: { days: [], lines: [], totals: [], curve: { own: 0, all: 0 }, throughMs } }
  const { days, entries, delays, hours } = own
  const curve = delayCurve(delays, summed(read.map(({ all }) => all)))
  const report = purchaseReport({ days, entries, hours, curve, throughMs, windowMs: windowMsOf(kept, lane) })
  return report.lines.length > REPORT_LINES_MAX ? TOO_MANY_LINES : { ...told, report }
}

/** From the states of tasks that have ended; `open` gives that of one, null where there is none. Nothing is written. */
export async function purchasesInStates(
  plan: Plan,
  ask: PurchasesAsk,
  open: (task: string) => Promise<Backend | null>,
): Promise<PurchasesOutcome> {
  const kept = purchasesIn(plan)
  if (kept === null) return { kind: 'no_attribution' }
  const asked = asksOf(kept, ask, plan.partitions)
  if (asked.kind !== 'asks') return asked
  const parts: TaskPurchasesRead[] = []
  for (const [partition, report] of asked.asks.entries()) {
    const task = taskName(kept.stage, partition)
    const backend = await open(task)
    if (backend === null) return { kind: 'unavailable', why: `${task} has no state here` }
    const state = await TaskState.open(backend, [kept.purchases, kept.delays])
    const snapshot = state.acquireSnapshot()
    try {
      const stream = stageStream(plan.namespace, kept.stage, partition)
      parts.push(await readPurchases(snapshot, kept, report, { stream, configHash: plan.configHash }))
    } finally {
      snapshot.release()
      await state.close()
    }
  }
  return purchasesOutcome(kept, ask, asked.lane, parts)
}

// Label rows O D M C of each touch, by last-touch credit and event time (contract.md, section 5; docs/joiner.md).
// LB1: a touch has one timer at a time, which says what is due and sets the next; a touch without credit has nothing else.
// LB2: whether O or M of a touch has spoken follows from the time: when it was due, as all timers up to the watermark have fired
//      and a late touch had its rows on arrival. D follows an O that said 0; so once O has spoken, the first credit is the only
//      one that may bring D.
// LB3: rows are in the lanes of goals that hold when the row is due, and in every lane with a credit: whatever a `config` record
//      does to goals, who is credited gets M, and O or D (operators/label-counts.ts has the law, and the counts that show it).
// LB4: where rows are for training, each record of a scored touch is one TrainingRow as well. O says it with the input, which its timers
//      carry until then, so that no row reads a hold again; D and C have it of the hold; M needs none.
// Who is credited is operators/attribution.ts's; of which order a refund is, operators/label-orders.ts's; its R rows, operators/refunds.ts's. What goes downstream is what purchases by ad need: who has gained or lost what.

import { assert, HoldfastError } from '../log/errors.ts'
import type { StoreSpec } from '../state/store.ts'
import { type AttributionSettings, coversTouch, type Goal, lengthFor, longestWindowMs } from './attribution-settings.ts'
import { lowestBucketAt, type Retention } from './expiry.ts'
import { goalsAt } from './goals.ts'
import { REFUND_UNMATCHED } from './label-counts.ts'
import { isObserved, type Lane, laneTable, type Step, stepsOf } from './label-lanes.ts'
import { creditedLanes, ORDER_STORE, Orders, orderCredit, type Taken } from './label-orders.ts'
import {
  add,
  bucketOf,
  bucketsOf,
  keptFor,
  type LaneTotal,
  now,
  type Span,
  spanSince,
  type TouchTotals,
  totalsCodec,
} from './label-state.ts'
import { type PlainRows, plainRows, type RowTouch, recordJson, rowOf } from './label-text.ts'
import type { TaughtRows, TrainingRow } from './model-records.ts'
import {
  emittedBy,
  type FiredTimer,
  type Operator,
  type OperatorContext,
  RANK,
  type Rec,
  type TimerCause,
} from './operator.ts'
import { scoredList, scoredOf } from './scored.ts'
import {
  type Attributed,
  type Conversion,
  type CreditRecord,
  isRefund,
  type LabelKind,
  type LabelRow,
  partsOf,
  type Touch,
  type TouchType,
  touchKey,
} from './touch.ts'

/** Output of label rows: records are LabelRecord. */
export const LABELS = 'labels'

export type LabelInput = Touch | Conversion | Attributed

/** What later stages are told: who has gained or lost what, and rows that teach. */
export type LabelOutput = CreditRecord | Taken | TaughtRows

/** Where rows are said from: a record or a timer, and its place in the batch; and what of it teaches. */
interface Cause {
  readonly input: number
  readonly rows: TrainingRow[]
}

/** The touches that are credited with one conversion, each with its lanes. */
interface Credit {
  readonly key: string
  readonly touch: Touch
  readonly lanes: readonly Lane[]
}

/** Of a timer: what its key does not say. The score: only where rows are for training. */
type TouchPayload = readonly [step: number, campaign: string, ad: string, scored?: unknown]

/** What is emitted, and what of it is for training. */
export interface LabelTold {
  readonly output: string
  /** How long an order is known, milliseconds (duplicates have the same). */
  readonly orderHorizonMs: number
  /** The goal whose lanes are for training, '' without declared goals; not given: nothing is. */
  readonly taught?: string
}

/**
 * Emits LabelRecord to `output`. Takes each touch and each accepted conversion or refund when it comes, and a conversion again
 * when it is attributed. Throws USAGE.
 */
export function labels(settings: AttributionSettings, told: LabelTold): Operator<LabelInput, LabelOutput> {
  const { output, orderHorizonMs, taught } = told
  const maker = new Labels(settings, told)
  const { windows, goals, graceMs, pixelDelayMs, shortWaitMs } = settings
  return {
    name: 'labels',
    version: 1,
    settings: {
      ...{ windows, goals, graceMs, pixelDelayMs, shortWaitMs, output, orderHorizonMs },
      ...(taught === undefined ? {} : { taught }),
    },
    stores: [{ kind: 'keyed', id: 1, name: 'credits', codec: totalsCodec }, ORDER_STORE] satisfies StoreSpec[],
    timers: { kinds: ['O', 'M', 'R'], delayMinMs: graceMs },
    keys(batch, ctx) {
      for (const rec of batch) maker.want(rec, ctx)
    },
    process(batch, ctx) {
      const out: Rec<LabelOutput>[] = []
      for (const rec of batch) {
        const rows: TrainingRow[] = []
        const value = maker.process(rec, rows, ctx)
        if (value !== null) out.push({ ...rec, value })
        if (rows.length > 0) out.push({ ...rec, value: { rows } })
      }
      return out
    },
    timerKeys(timer, ctx) {
      maker.wantForTimer(timer, ctx)
    },
    onTimer(timer, ctx) {
      if (timer.kind === 'R') return maker.refundIsDue(timer, ctx)
      const rows = maker.touchIsDue(timer, ctx)
      return rows.length === 0 ? undefined : [emittedBy(timer, { rows }, { type: timer.kind, id: timer.key })]
    },
    advance: (watermark, ctx) => maker.advance(watermark, ctx),
  }
}

class Labels {
  /** How long what is credited to a touch is kept, from its first credit. */
  readonly #kept: Retention
  readonly #orders: Orders
  readonly #settings: AttributionSettings
  readonly #output: string
  readonly #taught: string | undefined
  readonly #lanesOf: (goal: string) => readonly Lane[]
  readonly #steps: ReturnType<typeof stepsOf>

  /** By step. */
  readonly #plain: readonly PlainRows[]

  constructor(settings: AttributionSettings, { output, orderHorizonMs, taught }: LabelTold) {
    if (!(Number.isSafeInteger(orderHorizonMs) && orderHorizonMs > 0))
      throw new HoldfastError(
        'USAGE',
        `orderHorizonMs must be a whole number of milliseconds above 0, not ${orderHorizonMs}`,
      )
    const { graceMs, pixelDelayMs } = settings
    const longestMs = longestWindowMs(settings)
    // So long it may be credited again; its last M is not later than grace after the longest window.
    this.#kept = keptFor(longestMs + Math.max(pixelDelayMs, graceMs))
    this.#orders = new Orders(settings, orderHorizonMs)
    this.#settings = settings
    this.#output = output
    this.#taught = taught
    this.#lanesOf = laneTable(settings)
    const lanes = this.#lanesOf('')
    this.#steps = stepsOf(settings)
    this.#plain = this.#steps.all.map((step) => plainRows(step, lanes))
  }

  // --- what will be read

  want(rec: Rec<LabelInput>, ctx: OperatorContext): void {
    const { value, watermark } = rec
    if (value.kind === 'touch') return
    if (value.kind === 'attributed') {
      for (const { key, touch } of this.#creditsOf(value))
        this.#wantTotals(key, spanSince(touch.timeMs, watermark), ctx)
      this.#orders.wantAttributed(value.conversion, watermark, ctx)
    } else if (value.bots === undefined) this.#orders.want(rec as Rec<Conversion>, ctx)
  }

  wantForTimer(timer: FiredTimer, ctx: OperatorContext): void {
    const { dueMs, kind, key } = timer
    if (kind === 'R') this.#orders.wantDue(this.#orders.refundOf(timer), ctx)
    else this.#wantTotals(key, { fromMs: dueMs - this.#stepOf(timer).afterMs, toMs: dueMs }, ctx)
  }

  #wantTotals(key: string, span: Span, ctx: OperatorContext): void {
    const store = ctx.keyed('credits')
    for (const bucket of bucketsOf(store, this.#kept, span)) store.want(bucket, key)
  }

  // --- what a record does

  /** The change that a later stage is told of; null: none. `rows`: gets those that teach. */
  process(rec: Rec<LabelInput>, rows: TrainingRow[], ctx: OperatorContext): CreditRecord | Taken | null {
    const { value, input } = rec
    if (value.kind === 'touch') return this.#touchCame(rec as Rec<Touch>, { input, rows }, ctx)
    if (value.kind === 'attributed') return this.#attributed(rec as Rec<Attributed>, { input, rows }, ctx)
    // What `bots` marks is no conversion here.
    if (value.bots !== undefined) return null
    if (isRefund(value)) return this.#refundCame(rec as Rec<Conversion>, ctx)
    this.#orders.accept(value, rec.watermark, ctx)
    return null
  }

  /** Of a late touch, what was due before it came is said at once. */
  #touchCame(rec: Rec<Touch>, cause: Cause, ctx: OperatorContext): null {
    const { value: touch, watermark } = rec
    let step = this.#steps.first(touch.type)
    for (; step !== null && touch.timeMs + step.afterMs <= watermark; step = step.next)
      this.#say(step, touch, undefined, ctx, { ...cause, at: rec.at })
    if (step !== null) this.#setTimer(step, touch, touchKey(touch), ctx, rec)
    return null
  }

  #setTimer(step: Step, touch: RowTouch, key: string, ctx: OperatorContext, cause: TimerCause): void {
    const { campaign, ad } = touch
    const scored = this.#scoredFor(step, touch)
    const payload: TouchPayload = scored === null ? [step.place, campaign, ad] : [step.place, campaign, ad, scored]
    ctx.setTimer({ dueMs: touch.timeMs + step.afterMs, kind: step.kind, key, payload }, cause)
  }

  /** LB4. What the timer of a step carries of a score; null: nothing. */
  #scoredFor(step: Step, { scored }: RowTouch): unknown {
    if (scored === undefined || this.#taught === undefined) return null
    return scoredList(isOrPrecedesO(step) ? scored : { ...scored, input: '' })
  }

  #attributed({ value, watermark }: Rec<Attributed>, cause: Cause, ctx: OperatorContext): CreditRecord | null {
    const { conversion, lanes } = value
    const { timeMs, currency, advertiser } = conversion
    for (const { goal, window, touch } of lanes) {
      const { counts } = this.#lanesOf(goal)[window]!
      ctx.count(touch === null ? counts.unattributed : counts.attributed)
    }
    const found = this.#creditsOf(value)
    for (const credit of found) this.#credit(credit, conversion, watermark, ctx, cause)
    const credits = found.map((credit) => orderCredit(credit.touch, credit.lanes))
    this.#orders.attributed(conversion, watermark, credits, ctx)
    if (credits.length === 0) return null
    return {
      ...{ advertiser, conversionTimeMs: timeMs, count: 1, value: conversion.valueMicro ?? 0, currency },
      lanes: creditedLanes(credits),
    }
  }

  /** By touch, in the order of lanes. */
  #creditsOf({ lanes }: Attributed): readonly Credit[] {
    const credits = new Map<string, { key: string; touch: Touch; lanes: Lane[] }>()
    for (const { goal, window, touch } of lanes) {
      if (touch === null) continue
      const key = touchKey(touch)
      const lane = this.#lanesOf(goal)[window]!
      const credit = credits.get(key)
      if (credit === undefined) credits.set(key, { key, touch, lanes: [lane] })
      else credit.lanes.push(lane)
    }
    return [...credits.values()]
  }

  /** LB2. One conversion more for a touch: D where O has said 0, C where M has spoken. */
  #credit({ key, touch, lanes }: Credit, by: Conversion, watermark: number, ctx: OperatorContext, cause: Cause): void {
    const { shortWaitMs, graceMs, windows } = this.#settings
    const { bucket, totals } = this.#totalsOf(key, touch.timeMs, watermark, ctx)
    const value = by.valueMicro ?? 0
    const delayed: LabelRow[] = []
    const corrected: LabelRow[] = []
    for (const lane of lanes) {
      const lengthMs = lengthFor(windows[lane.window]!, touch.type)
      assert(lengthMs !== null, 'a window credits only touches of a kind that it names')
      const observed = isObserved(lengthMs, this.#settings)
      const hasSpoken = observed && touch.timeMs + shortWaitMs + graceMs <= watermark
      const isMature = touch.timeMs + lengthMs + graceMs <= watermark
      let total = totalIn(totals, lane)
      if (total === undefined) {
        const early = observed && !hasSpoken ? { count: 0, value: 0, first: value } : null
        total = { goal: lane.goal, window: lane.window, count: 0, value: 0, corrections: 0, early }
        totals.push(total)
        countFirst(lane, { observed, hasSpoken, isMature }, ctx)
        if (hasSpoken) delayed.push(this.#row('D', lane, 1, 1, value, ctx))
      }
      add(total, value)
      if (total.early !== null && by.timeMs - touch.timeMs <= shortWaitMs) add(total.early, value)
      if (isMature) corrected.push(this.#row('C', lane, ++total.corrections, total.count, Number(total.value), ctx))
    }
    ctx.keyed<TouchTotals>('credits').set(bucket, key, totals)
    this.#emit('D', touch, delayed, watermark + 1, ctx, cause)
    this.#emit('C', touch, corrected, watermark + 1, ctx, cause)
  }

  /** What is credited to a touch, and where that is kept: nothing yet, and where it would be. */
  #totalsOf(key: string, timeMs: number, watermark: number, ctx: OperatorContext) {
    const found = this.#findTotals(key, { fromMs: timeMs, toMs: now(timeMs, watermark) }, ctx)
    return found ?? { bucket: bucketOf(now(timeMs, watermark), this.#kept.bucketMs), totals: [] as TouchTotals }
  }

  #findTotals(key: string, span: Span, ctx: OperatorContext): { bucket: number; totals: TouchTotals } | null {
    const store = ctx.keyed<TouchTotals>('credits')
    for (const bucket of bucketsOf(store, this.#kept, span)) {
      const totals = store.get(bucket, key)
      if (totals !== undefined) return { bucket, totals }
    }
    return null
  }

  // --- what time does

  /** Gives the rows that teach. */
  touchIsDue(timer: FiredTimer, ctx: OperatorContext): readonly TrainingRow[] {
    const { dueMs, key, number } = timer
    const step = this.#stepOf(timer)
    const timeMs = dueMs - step.afterMs
    const found = this.#findTotals(key, { fromMs: timeMs, toMs: dueMs }, ctx)
    const touch = touchOfTimer(timer, timeMs)
    const rows: TrainingRow[] = []
    this.#say(step, touch, found?.totals, ctx, { input: 0, rows, at: dueMs })
    if (found !== null && step.kind === 'O') ctx.keyed<TouchTotals>('credits').changed(found.bucket, key)
    if (step.next !== null)
      this.#setTimer(step.next, touch, key, ctx, { at: dueMs, rank: RANK.timer, number, late: false })
    return rows
  }

  #stepOf({ kind, payload }: FiredTimer): Step {
    const step = this.#steps.all[(payload as TouchPayload)[0]]
    assert(step?.kind === kind, 'a timer is of a step')
    return step
  }

  /** The rows of a step, and D behind an O that said 0 although there is a credit. `cause.at`: the order time of what makes it speak. */
  #say(
    step: Step,
    touch: RowTouch,
    totals: TouchTotals | undefined,
    ctx: OperatorContext,
    cause: Cause & { readonly at: number },
  ): void {
    const at = touch.timeMs + step.afterMs
    const goals = goalsAt(ctx, cause.at, this.#settings.goals)
    if (totals === undefined && goals.length === 0) {
      this.#sayNothing(step, touch, at, ctx, cause)
      return
    }
    const rows: LabelRow[] = []
    const delayed: LabelRow[] = []
    const isComplete = this.#isComplete(at, ctx)
    for (const lane of this.#lanesAt(step, touch, totals, goals)) {
      const total = totals === undefined ? undefined : totalIn(totals, lane)
      if (step.kind === 'O') this.#observe(lane, total, rows, delayed, ctx)
      else this.#mature(lane, total, rows, isComplete, ctx)
    }
    this.#emit(step.kind, touch, rows, at, ctx, cause)
    this.#emit('D', touch, delayed, at, ctx, cause)
  }

  /** The same for nearly all touches: no credit, and no declared goals. */
  #sayNothing(step: Step, touch: RowTouch, at: number, ctx: OperatorContext, cause: Cause): void {
    const { json, lanes, counts, completeCounts } = this.#plain[step.place]!
    const isComplete = this.#isComplete(at, ctx)
    for (const name of counts) ctx.count(name)
    if (isComplete) for (const name of completeCounts) ctx.count(name)
    ctx.emitJson(this.#output, recordJson(touch, step.kind, isComplete, json), cause)
    if (this.#taught === '') this.#teach(step.kind, touch, isComplete, lanes, cause)
  }

  #observe(
    lane: Lane,
    total: LaneTotal | undefined,
    rows: LabelRow[],
    delayed: LabelRow[],
    ctx: OperatorContext,
  ): void {
    const early = total?.early ?? null
    rows.push(this.#row('O', lane, 1, early?.count ?? 0, Number(early?.value ?? 0), ctx))
    if (early === null) return
    total!.early = null
    ctx.count(lane.counts.credited_before_O, -1)
    if (early.count > 0) ctx.count(lane.counts.observed_positives)
    else delayed.push(this.#row('D', lane, 1, 1, early.first, ctx))
  }

  #mature(lane: Lane, total: LaneTotal | undefined, rows: LabelRow[], isComplete: boolean, ctx: OperatorContext): void {
    rows.push(this.#row('M', lane, 1, total?.count ?? 0, Number(total?.value ?? 0), ctx))
    if (isComplete) ctx.count(lane.counts.complete)
    if (total === undefined) return
    ctx.count(lane.counts.positives)
    ctx.count(lane.counts.credited_before_M, -1)
  }

  /** LB3. */
  #lanesAt(step: Step, touch: RowTouch, totals: TouchTotals | undefined, goals: readonly Goal[]): readonly Lane[] {
    const covering = goals.filter((goal) => coversTouch(goal, touch)).map(({ name }) => name)
    const named = goals.length === 0 ? UNNAMED : covering
    const lanes = named.flatMap((goal) => step.windows.map((window) => this.#lanesOf(goal)[window]!))
    const credited = (totals ?? []).map(({ goal, window }) => this.#lanesOf(goal)[window]!)
    const others = credited.filter(({ goal, window }) => step.windows.includes(window) && !named.includes(goal))
    return others.length === 0 ? lanes : [...lanes, ...others]
  }

  // --- refunds

  #refundCame(rec: Rec<Conversion>, ctx: OperatorContext): Taken | null {
    const { value, watermark } = rec
    const refund = this.#orders.bind(value, watermark, ctx)
    if (refund === null) ctx.count(REFUND_UNMATCHED)
    else if (rec.late) return this.#orders.takeBack(refund, ctx)
    else ctx.setTimer({ ...this.#orders.timerOf(refund), dueMs: value.timeMs + this.#settings.graceMs }, rec)
    return null
  }

  refundIsDue(timer: FiredTimer, ctx: OperatorContext): readonly Rec<Taken>[] | undefined {
    const refund = this.#orders.refundOf(timer)
    const taken = this.#orders.takeBack(refund, ctx)
    return taken === null ? undefined : [emittedBy(timer, taken, { type: 'conversion', id: refund.id })]
  }

  /** Forgets what nothing may need; returns when there is more to forget. */
  advance(watermark: number, ctx: OperatorContext): number {
    const { lowest, next } = lowestBucketAt(watermark, this.#kept)
    ctx.keyed('credits').expireBelow(lowest)
    return Math.min(next, this.#orders.advance(watermark, ctx))
  }

  // --- rows

  /** A row of a touch with `count` conversions; counted. */
  #row(kind: LabelKind, lane: Lane, number: number, count: number, value: number, ctx: OperatorContext): LabelRow {
    ctx.count(lane.counts[kind])
    return rowOf(lane, { number, y: count > 0 ? 1 : 0, count, value })
  }

  #emit(kind: LabelKind, touch: RowTouch, rows: readonly LabelRow[], at: number, ctx: OperatorContext, cause: Cause) {
    if (rows.length === 0) return
    const isComplete = this.#isComplete(at, ctx)
    ctx.emitJson(this.#output, recordJson(touch, kind, isComplete, JSON.stringify(rows)), cause)
    if (this.#taught === undefined || touch.scored === undefined) return
    const { windows } = this.#settings
    const lanes = rows
      .filter(({ goal = '' }) => goal === this.#taught)
      .map(({ window, y, count }) => ({ window: windows.findIndex(({ name }) => name === window), y, count }))
    this.#teach(kind, touch, isComplete, lanes, cause)
  }

  /** LB4. */
  #teach(kind: LabelKind, touch: RowTouch, complete: boolean, lanes: TrainingRow['lanes'], { rows }: Cause): void {
    const { scored, id: touchId, type: touchType, user, advertiser, timeMs: touchTimeMs } = touch
    if (scored === undefined || lanes.length === 0) return
    const { version, p, input } = scored
    const who = { touchId, touchType, user, advertiser, touchTimeMs }
    rows.push({ kind, complete, ...who, lanes, version, p, input: kind === 'M' ? null : input })
  }

  /** What can be said of a row at this time (docs/joiner.md, point 7). */
  #isComplete(at: number, { drainedAt }: OperatorContext): boolean {
    return drainedAt === null || at <= drainedAt
  }
}

const UNNAMED: readonly string[] = ['']

const totalIn = (totals: TouchTotals, { goal, window }: Lane): LaneTotal | undefined =>
  totals.find((total) => total.window === window && total.goal === goal)

/** A touch has its first credit in a lane. */
function countFirst(
  { counts }: Lane,
  { observed, hasSpoken, isMature }: { observed: boolean; hasSpoken: boolean; isMature: boolean },
  ctx: OperatorContext,
): void {
  ctx.count(counts.credited)
  if (!observed) ctx.count(counts.credited_without_O)
  else if (!hasSpoken) ctx.count(counts.credited_before_O)
  ctx.count(isMature ? counts.corrected_positives : counts.credited_before_M)
}

function touchOfTimer({ key, payload }: FiredTimer, timeMs: number): RowTouch {
  const [user, advertiser, time, type, id] = partsOf(key) as [string, string, string, TouchType, string]
  assert(Number(time) === timeMs, 'a timer is due so long after its touch as its step says')
  const [, campaign, ad, scored] = payload as TouchPayload
  const touch: RowTouch = { type, id, timeMs, user, advertiser, campaign, ad }
  return scored === undefined ? touch : { ...touch, scored: scoredOf(scored) }
}

const isOrPrecedesO = (step: Step | null): boolean => step !== null && (step.kind === 'O' || isOrPrecedesO(step.next))

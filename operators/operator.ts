// What an operator is: a pure step from a batch of records to a batch of records, with declared stores.
// P1: process() does not await, reads no clock and no random number, and does not know how long the slice is.
// P2: what happens to a record depends on the records before it and their watermarks, never on the ones after it.
// P3: operators share nothing but records.

import type { HoldStore, KeyedStore, SeenStore, StoreSpec } from '../state/store.ts'
import type { Goal } from './attribution-settings.ts'
import type { BotsSetting } from './event.ts'
import type { ActiveModel } from './model-records.ts'

/** One record on its way through a stage. Envelopes may be passed on as they are; values are not changed in place. */
export interface Rec<T> {
  readonly value: T
  /** Order time, milliseconds: event time, for a late record its watermark + 1. */
  readonly at: number
  /** The watermark before this record: every record with order time <= this one has been processed. -1: none yet. */
  readonly watermark: number
  readonly late: boolean
  /** Part of the order key: among what stands at the same time, records come before what timers emit. */
  readonly rank: 1 | 2
  /** The rest of the order key (protocol.md, section 8), inherited from the source record that caused this one. */
  readonly type: string
  readonly id: string
  readonly number: number
  /** Place in the slice: outputs are put in the order (input, operator, ordinal). */
  readonly input: number
}

/** Fires once, in the order (due time, operator, kind, key, cause). `payload` is any JSON value. */
export interface Timer {
  readonly dueMs: number
  readonly kind: string
  readonly key: string
  readonly payload: unknown
}

/** A timer that is due. `number` is that of its cause's order key. */
export type FiredTimer = Timer & { readonly number: number }

/** What sets a timer: a record, or a timer that fired (at: its due time, rank: RANK.timer). */
export interface TimerCause {
  readonly at: number
  readonly rank: 1 | 2
  readonly number: number
  readonly late: boolean
}

/** Ranks of the order key (protocol.md, section 8). */
export const RANK = { record: 1, timer: 2 } as const

/** A record that a timer emits: it stands at the time at which the timer was due, behind the records of that time. */
export function emittedBy<T>(timer: FiredTimer, value: T, { type, id }: { type: string; id: string }): Rec<T> {
  const { dueMs, number } = timer
  return { value, at: dueMs, watermark: dueMs - 1, late: false, rank: RANK.timer, type, id, number, input: 0 }
}

/** What a `config` record may change of an operator's settings while the stream runs. */
export interface OperatorSettings {
  readonly anonymous: 'reject' | 'accept'
  readonly bots: BotsSetting
  /** Not given: none are declared. */
  readonly goals?: readonly Goal[]
}

export interface OperatorContext {
  /**
   * The settings that hold for a record, or a timer, of this order time, milliseconds; null: those that the operator was made with.
   * Asked for what is processed now, never for a time that its watermark has passed: of that nothing is known any more. At the
   * ingress, where order times are not known yet, a time at or before the watermark stands for the one right after it.
   */
  configured(at: number): OperatorSettings | null

  /**
   * What is kept since an edition of the plan has seen every event after this time, milliseconds; -1: every event; null: not known
   * yet (topology/edition.ts). It follows from the log and from where the edition began.
   */
  seenAfter(edition: number): number | null

  /**
   * The version of the model that scores what has this order time, milliseconds; null: there is none yet. Asked as configured() is.
   * While the input is drained: the one that scored at its last watermark, whatever the time.
   */
  model(at: number): ActiveModel | null
  /**
   * Keeps a file beside the log, under its SHA-256 (hex), which it returns: it is there before anybody reads what this commit publishes.
   * The bytes are not changed any more.
   */
  blob(bytes: Uint8Array): string
  /** A file that was kept, asked for in prepare() or prepareTimer(); waits while the broker is away. null: there is none of this name. */
  blobOf(sha256: string): Promise<Uint8Array | null>

  /** Stores by the names of `stores`. */
  keyed<V>(name: string): KeyedStore<V>
  seen(name: string): SeenStore
  holds<V>(name: string): HoldStore<V>
  /** Adds to a named counter of the task. Counters are state: committed, deterministic, readable at the end of a run. */
  count(name: string, by?: number): void
  /** Raises a named maximum of the task (for `as_of`); kept and committed like the counters. */
  highest(name: string, value: number): void
  /** Appends a record (any JSON value) to one of the stage's numbered outputs. */
  emit(output: string, record: unknown, cause: { readonly input: number }): void
  /** The same with a record that is JSON text already, as JSON.stringify would write it. */
  emitJson(output: string, json: string, cause: { readonly input: number }): void
  /**
   * Calls onTimer once the watermark reaches `dueMs`: at least cause.at + timers.delayMinMs, or cause.at if the cause is late, a
   * timer, or what a timer has emitted, in this stage or one before (asserted). Two timers of one operator, kind, due time, key and cause's number may not both exist.
   */
  setTimer(timer: Timer, cause: TimerCause): void
  /**
   * null: the input flows. While it is drained: the highest event time that the stages before have accepted, milliseconds;
   * NO_WATERMARK where there are none or they accepted nothing.
   */
  readonly drainedAt: number | null
}

export interface Operator<In, Out> {
  readonly name: string
  /** Raised when the meaning of the state or of the output changes; part of the fingerprint of the plan. */
  readonly version: number
  /** What identifies this operator beside its name: settings that change its result. Part of the fingerprint. */
  readonly settings: unknown
  readonly stores: readonly StoreSpec[]
  /** Names what process() will read, for the whole batch. */
  keys?(batch: readonly Rec<In>[], ctx: OperatorContext): void
  /**
   * Computes what process() needs of the batch and what takes its time, such as a model's scores; once what keys() named is there,
   * and awaited before process() is called (null: nothing to await). It depends on the batch, the settings and what is kept alone, and
   * changes nothing of what is kept.
   */
  prepare?(batch: readonly Rec<In>[], ctx: OperatorContext): Promise<void> | null
  process(batch: readonly Rec<In>[], ctx: OperatorContext): readonly Rec<Out>[]
  /**
   * Time passed: forget what is older than it may be. Called before the first record whose watermark is at or above the
   * value that the last call returned (first call: before the first record). Returns the next watermark of interest.
   */
  advance?(watermark: number, ctx: OperatorContext): number
  /** Declared by an operator that sets timers. Kinds fire in the order of this list when due at the same time. */
  readonly timers?: { readonly kinds: readonly string[]; readonly delayMinMs: number }
  /** Names what onTimer() will read. */
  timerKeys?(timer: FiredTimer, ctx: OperatorContext): void
  /** As prepare(), of one timer: awaited right before its onTimer(), when those before it have fired. */
  prepareTimer?(timer: FiredTimer, ctx: OperatorContext): Promise<void> | null
  /** What it returns (made by emittedBy) goes where the output of process() goes. Outputs are emitted with input 0. */
  onTimer?(timer: FiredTimer, ctx: OperatorContext): readonly Rec<Out>[] | undefined
}

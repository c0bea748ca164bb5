// What an operator is: a pure step from a batch of records to a batch of records, with declared stores.
// P1: process() does not await, reads no clock and no random number, and does not know how long the slice is.
// P2: what happens to a record depends on the records before it and their watermarks, never on the ones after it.
// P3: operators share nothing but records.

import type { KeyedStore, SeenStore, StoreSpec } from '../state/store.ts'
import type { BotsSetting } from './event.ts'

/** One record on its way through a stage. Envelopes may be passed on as they are; values are not changed in place. */
export interface Rec<T> {
  readonly value: T
  /** Order time, milliseconds: event time, for a late record its watermark + 1. */
  readonly at: number
  /** The watermark before this record: every record with order time <= this one has been processed. -1: none yet. */
  readonly watermark: number
  readonly late: boolean
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

/** What a `config` record may change of an operator's settings while the stream runs. */
export interface OperatorSettings {
  readonly anonymous: 'reject' | 'accept'
  readonly bots: BotsSetting
}

export interface OperatorContext {
  /**
   * The settings that hold for a record of this order time, milliseconds; null: those that the operator was made with. A time
   * at or before the watermark stands for the one right after it, as late records do.
   */
  configured(at: number): OperatorSettings | null

  /**
   * What is kept since an edition of the plan has seen every event after this time, milliseconds; -1: every event; null: not known
   * yet (topology/edition.ts). It follows from the log and from where the edition began.
   */
  seenAfter(edition: number): number | null

  /** Stores by the names of `stores`. */
  keyed<V>(name: string): KeyedStore<V>
  seen(name: string): SeenStore
  /** Adds to a named counter of the task. Counters are state: committed, deterministic, readable at the end of a run. */
  count(name: string, by?: number): void
  /** Raises a named maximum of the task (for `as_of`); kept and committed like the counters. */
  highest(name: string, value: number): void
  /** Appends a record (any JSON value) to one of the stage's numbered outputs. */
  emit(output: string, record: unknown, cause: { readonly input: number }): void
  /** Calls onTimer once the watermark reaches `dueMs`; dueMs is at least cause.at + timers.delayMinMs (asserted). */
  setTimer(timer: Timer, cause: { readonly at: number; readonly number: number }): void
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
  process(batch: readonly Rec<In>[], ctx: OperatorContext): readonly Rec<Out>[]
  /**
   * Time passed: forget what is older than it may be. Called before the first record whose watermark is at or above the
   * value that the last call returned (first call: before the first record). Returns the next watermark of interest.
   */
  advance?(watermark: number, ctx: OperatorContext): number
  /** Declared by an operator that sets timers. Kinds fire in the order of this list when due at the same time. */
  readonly timers?: { readonly kinds: readonly string[]; readonly delayMinMs: number }
  /** Names what onTimer() will read. */
  timerKeys?(timer: Timer, ctx: OperatorContext): void
  onTimer?(timer: Timer, ctx: OperatorContext): void
}

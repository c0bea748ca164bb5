// A feature of a plan as it is read: its values at a time, from snapshots of the tasks that keep it.
// A read answers for T (contract.md, section 3).

import type { FeatureValue } from '../../operators/feature-values.ts'
import type { ExplainedValue, ListedFeature } from '../../sinks/feature-reads.ts'
import { compareUtf8 } from '../../state/key-layout.ts'
import type { ReadSnapshot } from '../../state/read-snapshot.ts'
import type { EditionState } from '../edition.ts'
import type { FeatureType } from './declaration.ts'

/** Of a feature, what finds it in a plan, also in that of another thread. */
export interface FeatureName {
  readonly feature: string
  readonly entity: string
}

/** A committed state that is read, its watermark and its `as_of`, milliseconds; -1: none yet. */
export interface View {
  readonly snapshot: ReadSnapshot
  readonly watermark: number
  readonly asOf: number
  /** Since when its task keeps what; null: it has not begun. */
  readonly edition: EditionState | null
}

/** Keys whose values at T, milliseconds, are wanted. */
export interface ValuesAsk {
  readonly keys: readonly string[]
  readonly T: number
}

/** A value of a key; null: absent. */
export type ReadValue = FeatureValue | null

/** As features.ndjson has it. */
export interface FeatureLine extends FeatureName {
  readonly key: string
  readonly value: FeatureValue
  /** Where the value may lack events from before the feature was kept: from when it is complete, milliseconds; null: not known. */
  readonly complete_from?: number | null
}

/** Whether it says something: not absent, not 0, no empty list. */
export function saysSomething(value: ReadValue | undefined): value is FeatureValue {
  return value !== null && value !== undefined && value !== 0 && !(typeof value === 'object' && value.length === 0)
}

/** A key and its value. */
export type Counted = readonly [key: string, value: number]

export interface TopBounds {
  readonly k: number
  readonly entriesMax: number
}

export interface TopCounts {
  /** The k largest, largest first; equal ones by key. */
  readonly top: readonly Counted[]
  /** Entries of the state that were looked at. */
  readonly scanned: number
  /** false: entriesMax ended the scan. Then there may be larger ones, and values may be too small. */
  readonly complete: boolean
}

/** A feature, and how a task of its stage answers for it. Reads throw SnapshotGone. */
export interface FeaturePlan extends FeatureName, Pick<ListedFeature, 'description' | 'owner' | 'how' | 'bytesMax'> {
  readonly stage: string
  readonly type: FeatureType
  /** null: it has no window. */
  readonly windowMs: number | null
  readonly mode: 'panes' | 'exact' | null
  readonly paneMs: number | null
  /** What decides the partition of a key; null: it is not known, any task of the stage may have it. */
  routeOf(key: string): string | null
  /** The value of a key of which nothing is known. */
  readonly nothing: ReadValue
  /** From when its values are complete in a task, milliseconds; 0: always; null: not known yet. `edition`: null where it is not open. */
  completeFrom(edition: EditionState | null): number | null
  /** The earliest time, milliseconds, for which the view can still say values. */
  earliestAt(view: View): number
  /** For each ask the values of its keys in their order, all by one read. */
  valuesOf(view: View, asks: readonly ValuesAsk[]): Promise<ReadValue[][]>
  /** What the value of a key at T is made of: each value after what it is computed of. */
  explain(view: View, key: string, T: number): Promise<readonly ExplainedValue[]>
  /** The k keys with the largest values at T, of entriesMax entries at most; null: it has no window of numbers. */
  readonly topAt: ((view: View, T: number, bounds: TopBounds) => Promise<TopCounts>) | null
}

/** Features of a stage that are made of the same entries of its state: one pass over those says all of their values. */
export interface FeatureListing {
  readonly stage: string
  readonly features: readonly FeaturePlan[]
  /** Every value at T that says something: not absent, not 0, no empty list. In any order. Throws SnapshotGone. */
  valuesAt(view: View, T: number): AsyncIterable<ListedValue>
}

export interface ListedValue {
  /** Place of the feature among those of the listing. */
  readonly place: number
  readonly key: string
  readonly value: FeatureValue
}

export const isFeature =
  ({ feature, entity }: FeatureName) =>
  (other: FeatureName): boolean =>
    other.feature === feature && other.entity === entity

/** The k largest of some values. */
export function largest(counts: Iterable<Counted>, k: number): Counted[] {
  return [...counts].sort(([a, x], [b, y]) => y - x || compareUtf8(a, b)).slice(0, k)
}

// The one place that turns what a read came to into an answer: a status of HTTP, and the JSON that HTTP and NATS share.
// RF1: an answer says which snapshot each value is from; of several values from one snapshot it says that once.
// RF2: what cannot be answered has a code, a status, and what to do; statuses from 500 on are only for what a node cannot
//      help at the moment, never for what a client sent.

import { SNAPSHOT_PIN_MS_MAX } from '../state/read-snapshot.ts'
import {
  type ExplainedPart,
  type ExplainOutcome,
  type FeatureInfo,
  type KeyRead,
  type ListedFeature,
  positionText,
  type ReadOutcome,
  type SnapshotFacts,
  type StageRead,
  type TopOutcome,
  type VectorsOutcome,
} from './feature-reads.ts'
import type { Refusal } from './read-ask.ts'
import type { BatchAnswer, ErrorBody, ExplainAnswer, PointAnswer, SnapshotOfAnswer, TopAnswer } from './read-schemas.ts'
import type { VectorsAnswer } from './vector-schemas.ts'

export interface Failure {
  readonly status: number
  readonly error: ErrorBody
  /** Seconds, for Retry-After. */
  readonly retryAfterS?: number
}

export type Answer<Body> = { readonly status: 200; readonly body: Body } | Failure

/** Seconds until a task that is being opened, or another's wait, may have come to its end. */
const RETRY_S = 1
const STATUS = { BAD_BODY: 400, BAD_PARAMETER: 400, TOO_MANY_KEYS: 413, TOO_MANY_TOUCHES: 413 } as const

/** For one key. */
export function pointAnswer(outcome: ReadOutcome): Answer<PointAnswer> {
  if (outcome.kind !== 'read') return failureOf(outcome)
  const { info, values } = outcome
  const { key, value, at, facts } = values[0]!
  const { asOf, completeThrough, appliedThrough, epoch, config } = facts
  const body = {
    ...{ ...describeFeature(info), key, value },
    ...{ at, as_of: asOf, complete_through: completeThrough, applied_through: positionText(appliedThrough), epoch },
    ...{ config, complete: isComplete(info, at) },
  }
  return { status: 200, body }
}

/** What one value is made of. */
export function explainAnswer(outcome: ExplainOutcome): Answer<ExplainAnswer> {
  if (outcome.kind !== 'explained') return failureOf(outcome)
  const { key, values } = outcome.read
  const explained = values.map((value) => ({
    ...value,
    panes: value.panes.map(({ start, widthMs, parts }) => ({ start, width_ms: widthMs, parts: parts.map(partOf) })),
    entries: value.entries.map(({ time, type, id, value }) => ({ event_time: time, type, event_id: id, value })),
  }))
  return {
    status: 200,
    body: {
      ...describeFeature(outcome.info),
      ...{ key, values: explained, ...snapshotOf(outcome.read) },
      complete: isComplete(outcome.info, outcome.read.at),
    },
  }
}

const partOf = ({ what, value, ids }: ExplainedPart) => ({ what, value, ids: [...ids] })

/** For several keys, in their order. */
export function batchAnswer(outcome: ReadOutcome): Answer<BatchAnswer> {
  if (outcome.kind !== 'read') return failureOf(outcome)
  return {
    status: 200,
    body: { ...describeFeature(outcome.info), ...valuesWithSnapshots(outcome.info, outcome.values) },
  }
}

/** RF1. */
function valuesWithSnapshots<V>(info: FeatureInfo, reads: readonly KeyRead<V>[]) {
  const snapshots: KeyRead<V>[] = []
  const values = reads.map((read) => {
    const known = snapshots.findIndex(({ facts }) => isSame(facts, read.facts))
    const snapshot = known === -1 ? snapshots.push(read) - 1 : known
    return { key: read.key, value: read.value, snapshot }
  })
  return { values, snapshots: snapshots.map((read) => ({ ...snapshotOf(read), complete: isComplete(info, read.at) })) }
}

/** For the largest. */
export function topAnswer(outcome: TopOutcome): Answer<TopAnswer> {
  if (outcome.kind === 'no_top')
    return failure(422, 'NO_TOP', 'this feature has no list of its largest values; /v1/features says which do: top')
  if (outcome.kind !== 'top') return failureOf(outcome)
  const { info, values, scanned, complete } = outcome
  return { status: 200, body: { ...describeFeature(info), ...valuesWithSnapshots(info, values), scanned, complete } }
}

/** Before anything was applied only what was kept from the beginning is complete. */
function isComplete({ completeFrom }: FeatureInfo, at: number | null): boolean {
  return completeFrom !== null && completeFrom <= (at ?? 0)
}

/** A feature as JSON says it. */
export function describeFeature({ feature, entity, type, windowMs, mode, paneMs, completeFrom }: FeatureInfo) {
  return { feature, entity, type, window_ms: windowMs, mode, pane_ms: paneMs, complete_from: completeFrom }
}

/** A feature as the list says it. */
export function listedFeature({ description, owner, how, stage, bytesMax, top, ...info }: ListedFeature) {
  return { ...describeFeature(info), description, owner, how, stage, bytes_max: bytesMax, top }
}

export function refusalAnswer({ code, message, field }: Refusal): Failure {
  return { status: STATUS[code], error: { code, message, ...(field === undefined ? {} : { field }) } }
}

/** Pins end by themselves: a place is free then at the latest. */
export const TOO_MANY_PINS: Failure = {
  status: 429,
  error: { code: 'TOO_MANY_PINS', message: 'too many snapshots are pinned: delete one, or wait until one expires' },
  retryAfterS: Math.ceil(SNAPSHOT_PIN_MS_MAX / 1_000),
}

export const UNKNOWN_SNAPSHOT: Failure = {
  status: 404,
  error: { code: 'UNKNOWN_SNAPSHOT', message: 'there is no such pinned snapshot; perhaps it has expired', field: 'id' },
}

/** For the vectors of touches. */
export function vectorsAnswer(outcome: VectorsOutcome): Answer<VectorsAnswer> {
  if (outcome.kind !== 'vectors') return failureOf(outcome)
  const { layout, completeFrom, schema } = outcome
  const snapshots: StageRead[] = []
  const vectors = outcome.vectors.map(({ vector, reads }) => ({
    values: layout.map((_, i) => vector[i] ?? null),
    snapshots: reads.map((read) => {
      const known = snapshots.findIndex(({ facts }) => isSame(facts, read.facts))
      return known === -1 ? snapshots.push(read) - 1 : known
    }),
  }))
  const features = layout.map(({ id, type, default: instead }, i) => ({
    ...{ feature: id, type, default: instead, complete_from: completeFrom[i]! },
  }))
  const told = snapshots.map((read) => ({ stage: read.stage, ...snapshotOf(read) }))
  return { status: 200, body: { schema, features, vectors, snapshots: told } }
}

/** What cannot be answered (RF2). */
export function failureOf(
  outcome: Exclude<ReadOutcome, { kind: 'read' }> | Exclude<VectorsOutcome, { kind: 'vectors' }>,
): Failure {
  switch (outcome.kind) {
    case 'no_vector':
      return failure(400, 'BAD_PARAMETER', outcome.message, { field: 'features' })
    case 'unknown_field': {
      const message = 'this touch has a field that no feature of the node reads: perhaps it is misspelt'
      return failure(400, 'BAD_PARAMETER', message, { field: `touches.${outcome.touch}` })
    }
    case 'unknown_feature':
      return failure(404, 'UNKNOWN_FEATURE', 'this node has no such feature of such an entity; /v1/features lists them')
    case 'unknown_stream':
      return failure(404, 'UNKNOWN_STREAM', 'no task of this node reads the stream of this position', { field: 'wait' })
    case 'unrelated_stream': {
      const message = 'of the stream of this position nothing goes to this feature: wait where the event was taken'
      return failure(400, 'UNRELATED_STREAM', message, { field: 'wait' })
    }
    case 'snapshot_gone':
      return failure(410, 'SNAPSHOT_GONE', 'this snapshot is not pinned any more: pin another one, or read the newest')
    case 'not_held': {
      const message = 'the time lies before what is still held; held_from is the earliest that can be asked for'
      return failure(422, 'NOT_HELD', message, { field: 'at', held_from: outcome.heldFrom })
    }
    case 'not_reached': {
      const message =
        'the position was not applied in time; reached says what was. Ask again, or with a longer timeout_ms'
      return failure(504, 'NOT_REACHED', message, { reached: positionText(outcome.reached) })
    }
    case 'too_many_waits':
      return { ...failure(429, 'TOO_MANY_WAITS', 'too many reads wait for a position already'), retryAfterS: RETRY_S }
    case 'too_many_reads':
      return { ...failure(429, 'TOO_MANY_READS', 'too many keys are being read already'), retryAfterS: RETRY_S }
    case 'over_quota': {
      const message = `the namespace may read ${outcome.keysPerS} keys a second: ask again in ${outcome.retryAfterS} s`
      return { ...failure(429, 'OVER_QUOTA', message), retryAfterS: outcome.retryAfterS }
    }
    case 'unavailable':
      return { ...failure(503, 'UNAVAILABLE', `not now: ${outcome.why}`), retryAfterS: RETRY_S }
  }
}

export function failure(status: number, code: string, message: string, more: Partial<ErrorBody> = {}): Failure {
  return { status, error: { code, message, ...more } }
}

/** A task has one stream, and its epochs rise: together they name a snapshot. */
export function isSame(a: SnapshotFacts, b: SnapshotFacts): boolean {
  return a === b || (a.epoch === b.epoch && a.appliedThrough.stream === b.appliedThrough.stream)
}

export function snapshotOf({ at, facts }: Pick<KeyRead<unknown>, 'at' | 'facts'>): SnapshotOfAnswer {
  const { asOf, completeThrough, appliedThrough, epoch, config } = facts
  return {
    ...{ at, as_of: asOf, complete_through: completeThrough, applied_through: positionText(appliedThrough), epoch },
    config,
  }
}

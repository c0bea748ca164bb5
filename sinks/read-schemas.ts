// What goes in and out of the read API as JSON, over HTTP and over NATS: the document, the checks, and the serializer are
// made from these.
// Types with null are written as a list of types: the serializer takes those without the detour of a union.

import { type Static, type TSchema, Type } from 'typebox'
import { EVENT_TIME_MAX_MS, EVENT_TIME_MIN_MS, ID_BYTES_MAX } from '../operators/event.ts'
import type { FeatureInfo, ReadValue } from './feature-reads.ts'

/** Keys of one batch: their answer takes a few milliseconds of a task's thread, not more. */
export const KEYS_MAX = 1_000
/** Bytes of a body: KEYS_MAX keys of ID_BYTES_MAX bytes fit, however their characters are escaped (`\u0041`). */
export const READ_BODY_BYTES_MAX = 1024 * 1024
/** Milliseconds that a wait takes where nobody says: longer than a commit and a hop under load. */
export const WAIT_MS_DEFAULT = 2_000
/** Milliseconds that a wait may be asked to take: who waits longer should ask again, and not hold a connection. */
export const WAIT_MS_MAX = 10_000
/** Characters of a snapshot's name: those that are given out have 36. */
const SNAPSHOT_CHARS_MAX = 64

const IntegerOrNull = (description: string) => Type.Unsafe<number | null>({ type: ['integer', 'null'], description })

const At = Type.Integer({
  minimum: EVENT_TIME_MIN_MS,
  maximum: EVENT_TIME_MAX_MS,
  description: 'Event time to answer for, milliseconds since 1970. Without it: as_of.',
})
const Snapshot = Type.String({
  minLength: 1,
  maxLength: SNAPSHOT_CHARS_MAX,
  description: 'A pinned snapshot. Without it: the newest.',
})
const Wait = Type.String({
  description: 'Answer only when this position is applied: <stream>:<seq>.<index>. Not together with snapshot.',
})
const TimeoutMs = Type.Integer({
  minimum: 0,
  maximum: WAIT_MS_MAX,
  description: `How long to wait at most, milliseconds; ${WAIT_MS_DEFAULT} where it is not said. Only with wait.`,
})

export const OPTIONS = {
  at: Type.Optional(At),
  snapshot: Type.Optional(Snapshot),
  wait: Type.Optional(Wait),
  timeout_ms: Type.Optional(TimeoutMs),
}

export const ReadOptions = Type.Object(OPTIONS, { additionalProperties: false })
export type ReadOptions = Static<typeof ReadOptions>

const Key = Type.String({
  minLength: 1,
  maxLength: ID_BYTES_MAX,
  description: `1 to ${ID_BYTES_MAX} bytes of UTF-8 without control characters.`,
})

export const BatchBody = Type.Object(
  { keys: Type.Array(Key, { minItems: 1, maxItems: KEYS_MAX }), ...OPTIONS },
  { additionalProperties: false },
)
export type BatchBody = Static<typeof BatchBody>

/** What a request over NATS may hold for one key; for several it is BatchBody. */
export const PointBody = Type.Object({ key: Key, ...OPTIONS }, { additionalProperties: false })
export type PointBody = Static<typeof PointBody>

export const PointParams = Type.Object({
  feature: Type.String(),
  entity: Type.String(),
  key: Type.String({
    description: 'Percent-encoded, decoded once. URL clients take "." and ".." for steps: read those by POST.',
  }),
})

export const FeatureParams = Type.Object({ feature: Type.String(), entity: Type.String() })

export const CompleteFrom = IntegerOrNull(
  'From when values are complete, milliseconds of event time: before that they may lack events from before the feature was declared, and are absent where they would be 0. 0: always; null: not known yet.',
)

const INFO = {
  feature: Type.String(),
  entity: Type.String(),
  type: Type.Unsafe<FeatureInfo['type']>({ type: 'string', enum: ['float', 'id', 'id_list', 'weighted_id_list'] }),
  window_ms: IntegerOrNull('Length of the window, milliseconds; null where there is none.'),
  mode: Type.Unsafe<FeatureInfo['mode']>({ type: ['string', 'null'], enum: ['panes', 'exact', null] }),
  pane_ms: IntegerOrNull('Length of a pane, milliseconds.'),
  complete_from: CompleteFrom,
}

export const FeatureDescription = Type.Object(INFO)
export const FeatureList = Type.Object({
  features: Type.Array(
    Type.Object({
      ...INFO,
      description: Type.String(),
      owner: Type.Unsafe<string | null>({
        type: ['string', 'null'],
        description: 'null: it is none that was declared.',
      }),
      how: Type.String({ description: 'What it is, in words.' }),
      stage: Type.String({
        description: 'Where what it is made of is kept: it is as fresh as the tasks of this stage in /v1/status.',
      }),
      bytes_max: IntegerOrNull('Bytes of a record kept for it, at most; 0: computed of others; null: not known.'),
      top: Type.Boolean({ description: 'Whether ?top= can be asked: its values are numbers kept over a window.' }),
    }),
  ),
})

export const FACTS = {
  at: IntegerOrNull('The event time that the value is for; null where nothing has been applied yet.'),
  as_of: IntegerOrNull('Highest event time or tick that has been applied.'),
  complete_through: IntegerOrNull('The watermark: nothing at or before it is expected any more.'),
  applied_through: Type.String({ description: '<stream>:<seq>.<index> of the last record in the snapshot.' }),
  epoch: Type.Integer({ description: 'Number of the commit that the snapshot shows.' }),
  config: Type.String({ description: 'Hash of the configuration that the snapshot was computed under.' }),
}

/** Of what is read of one feature, beside INFO. */
const COMPLETE = {
  complete: Type.Boolean({
    description: 'Whether at is not before complete_from. false: the value is of those events that were seen.',
  }),
}

/** Anything that a feature may be: its type says what. Lists first, then numbers: the serializer makes a text of whatever is left. */
export const Value = Type.Unsafe<ReadValue>({
  type: ['array', 'number', 'string', 'null'],
  items: { type: ['array', 'string'], items: { type: ['number', 'string'] } },
  description: 'As type says; null: absent. A count is 0 for a key that nobody has seen.',
})
const Ranked = Type.Number({ description: 'The value over the window.' })

export const PointAnswer = Type.Object({ ...INFO, key: Type.String(), value: Value, ...FACTS, ...COMPLETE })
export type PointAnswer = Static<typeof PointAnswer>

const ExplainedPart = Type.Object({
  what: Type.String({ description: 'count, sum, values, squares, least, greatest, distinct, tally.' }),
  value: Type.Number({ description: 'As a number; of ids how many different ones.' }),
  ids: Type.Array(
    Type.Object({ id: Type.String(), times: IntegerOrNull('How often it came; null: that is not counted.') }),
    { description: 'Some of them.' },
  ),
})

const ExplainedPane = Type.Object({
  start: Type.Integer({ description: 'Milliseconds of event time.' }),
  width_ms: Type.Integer(),
  parts: Type.Array(ExplainedPart),
})

const ExplainedEntry = Type.Object({
  event_time: Type.Integer(),
  type: Type.String(),
  event_id: Type.String(),
  value: Type.Unsafe<string | number>({ type: ['string', 'number'] }),
})

const ExplainedValue = Type.Object({
  feature: Type.String({ description: '<entity>.<feature>' }),
  how: Type.String({ description: 'What it is, in words.' }),
  value: Value,
  default: Type.Unsafe<string | number | null>({
    type: ['string', 'number', 'null'],
    description: 'What a model gets where the value is absent; null: nothing.',
  }),
  from: IntegerOrNull('Events from here on count, milliseconds; null: it is computed of the values before it.'),
  to: IntegerOrNull('Events before this count.'),
  panes: Type.Array(ExplainedPane, { description: 'Those in which something was, the newest first.' }),
  entries: Type.Array(ExplainedEntry, { description: 'The events of a list, the newest first.' }),
  complete: Type.Boolean({ description: 'false: there are older panes that are not shown.' }),
})

export const ExplainAnswer = Type.Object({
  ...INFO,
  key: Type.String(),
  values: Type.Array(ExplainedValue, {
    description: 'Each after what it is computed of; the last is the one asked for.',
  }),
  ...FACTS,
  ...COMPLETE,
})
export type ExplainAnswer = Static<typeof ExplainAnswer>

export const SnapshotOfAnswer = Type.Object(FACTS)
export type SnapshotOfAnswer = Static<typeof SnapshotOfAnswer>

const values = <V extends TSchema>(order: string, value: V) =>
  Type.Array(
    Type.Object({
      key: Type.String(),
      value,
      snapshot: Type.Integer({ description: 'Place in snapshots of the one that the value is from.' }),
    }),
    { description: order },
  )
const Snapshots = Type.Array(Type.Object({ ...FACTS, ...COMPLETE }), {
  description: 'Each once, however many values are from it.',
})

export const BatchAnswer = Type.Object({
  ...INFO,
  values: values('In the order of the keys.', Value),
  snapshots: Snapshots,
})
export type BatchAnswer = Static<typeof BatchAnswer>

/** Keys of a list of the largest: what a person reads, and what a task hands to another thread in one piece. */
export const TOP_MAX = 100
export const TopQuery = Type.Object(
  {
    top: Type.Integer({
      ...{ minimum: 1, maximum: TOP_MAX },
      description: `How many keys, 1 to ${TOP_MAX}: those with the largest values. The answer may be up to a second old.`,
    }),
  },
  { additionalProperties: false },
)
export type TopQuery = Static<typeof TopQuery>

export const TopAnswer = Type.Object({
  ...INFO,
  values: values('The largest first.', Ranked),
  snapshots: Snapshots,
  scanned: Type.Integer({ description: 'Entries of the state that were looked at.' }),
  complete: Type.Boolean({
    description:
      'false: there are more entries than one scan looks at; the list may miss keys, and counts be too small.',
  }),
})
export type TopAnswer = Static<typeof TopAnswer>

export const PinAnswer = Type.Object({
  snapshot: Type.String({ description: 'For the parameter of that name.' }),
  expires_in_ms: Type.Integer(),
})

export const PinParams = Type.Object({ id: Type.String() })

const ErrorBody = Type.Object({
  code: Type.String(),
  message: Type.String(),
  field: Type.Optional(Type.String({ description: 'The parameter that is meant.' })),
  held_from: Type.Optional(Type.Integer({ description: 'NOT_HELD: the earliest time that can be asked for.' })),
  reached: Type.Optional(Type.String({ description: 'NOT_REACHED: what has been applied instead.' })),
})
export type ErrorBody = Static<typeof ErrorBody>

export const ErrorAnswer = Type.Object({ error: ErrorBody, request_id: Type.String() })

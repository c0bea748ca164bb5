// GET /v1/status: what each task of the node is doing.

import { Type } from 'typebox'
import type { AttributionStatus } from '../attribution-status.ts'
import type { ModelStatus } from '../model-status.ts'
import type { StatusRow } from '../status.ts'
import type { App } from './app.ts'

export interface StatusDeps {
  status(): readonly StatusRow[]
  /** null: the node attributes nothing. */
  attribution(): AttributionStatus | null
  /** null: it trains no model. */
  model(): ModelStatus | null
  /** Windows for which scores are judged; null: the node trains no model. */
  readonly evaluated: readonly string[] | null
}

const Waiting = Type.Object({
  cause: Type.String({ description: 'broker: it does not answer. room: a stream is full.' }),
  on: Type.String({ description: 'The stream.' }),
  detail: Type.String(),
  since_ms: Type.Number({ description: 'When the wait began, milliseconds on the clock of now_ms.' }),
})

const Readable = Type.Object({
  p50: Type.Integer(),
  p99: Type.Integer(),
  max: Type.Integer(),
  count: Type.Integer({ description: 'Messages that these are of.' }),
})

const Sending = Type.Object({
  stage: Type.String(),
  same_partition: Type.Boolean({ description: 'Whether it sends to the task of its own partition alone.' }),
})

const Row = Type.Object({
  name: Type.String(),
  stage: Type.String(),
  partition: Type.Integer(),
  sends_to: Type.Unsafe<StatusRow['sends_to']>(
    Type.Array(Sending, { description: 'The stages that it sends records to.' }),
  ),
  phase: Type.String({ description: 'opening, running, drained, stopped or halted.' }),
  epoch: Type.Integer({ description: 'Number of the last commit.' }),
  seq: Type.Integer({ description: 'Sequence of the last message that was applied.' }),
  pending: Type.Integer({ description: 'Messages in the stream behind it.' }),
  lag_records: Type.Unsafe<number | null>({
    type: ['integer', 'null'],
    description:
      'Records that the stage before has published for it and that it has not taken; null in the first stage, whose messages do not say how many they hold.',
  }),
  lag_ms: Type.Integer({
    description: 'Milliseconds that the oldest message which is not readable yet has been in the stream.',
  }),
  readable_ms: Type.Unsafe<StatusRow['readable_ms']>({
    ...Readable,
    type: ['object', 'null'],
    description: 'Milliseconds from the stream to being readable, over the last 30 to 60 seconds; null: nothing came.',
  }),
  watermark: Type.Unsafe<number | null>({ type: ['integer', 'null'], description: 'Milliseconds of event time.' }),
  last_event: Type.Unsafe<number | null>({
    type: ['integer', 'null'],
    description: 'Highest event time that it has applied, milliseconds: what is read of its state is as fresh as this.',
  }),
  waiting: Type.Unsafe<StatusRow['waiting']>({ ...Waiting, type: ['object', 'null'] }),
  config: Type.String({ description: 'Hash of the configuration that holds for what it applied last.' }),
  counts: Type.Record(Type.String(), Type.Integer(), { description: 'Counters since the state of the task began.' }),
})

const Rows = Type.Object({
  O: Type.Integer({ description: 'Observed.' }),
  D: Type.Integer({ description: 'Delayed positives.' }),
  M: Type.Integer({ description: 'Mature.' }),
  C: Type.Integer({ description: 'Corrections.' }),
  R: Type.Integer({ description: 'Refunds.' }),
})

const Lane = Type.Object({
  goal: Type.Unsafe<string | null>({ type: ['string', 'null'], description: 'null: no goals are declared.' }),
  window: Type.String(),
  attributed: Type.Integer({ description: 'Conversions that somebody has the credit of.' }),
  unattributed: Type.Integer({ description: 'Conversions that nobody has the credit of.' }),
  rows: Rows,
  credited: Type.Integer({ description: 'Touches that are credited.' }),
  difference: Type.Integer({ description: 'Touches by which credits and label rows differ: 0, or a bug.' }),
})

const Attribution = Type.Object({
  lanes: Type.Array(Lane, { description: 'A window, or with declared goals a window of a goal.' }),
  late_touches: Type.Integer({ description: 'Touches that came after conversions they could be credited with.' }),
  refunds_unmatched: Type.Integer({ description: 'Refunds of orders that nobody knows.' }),
})

const Model = Type.Object({
  version: Type.Integer({ description: '0: none is live, and rates answer.' }),
  activation: Type.Integer({ description: 'Number of the activation that made it live.' }),
  age_ms: Type.Unsafe<number | null>({
    type: ['integer', 'null'],
    description: 'Milliseconds since it was published; null: none is live.',
  }),
  stale: Type.Boolean({ description: 'Older than it may become where the trainer publishes as it should.' }),
  refused: Type.Record(Type.String(), Type.Integer(), {
    description: 'Versions that were published and did not become live since the node began, by why.',
  }),
})

const StatusAnswer = Type.Object({
  now_ms: Type.Number({
    description: 'Clock of the node, milliseconds since 1970, never set back: for rates between two looks.',
  }),
  tasks: Type.Array(Row),
  attribution: Type.Unsafe<AttributionStatus | null>({
    ...Attribution,
    type: ['object', 'null'],
    description: 'What is attributed and labelled so far; null: the node attributes nothing.',
  }),
  model: Type.Unsafe<ModelStatus | null>({
    ...Model,
    type: ['object', 'null'],
    description: 'The version that scores; null: the node trains no model.',
  }),
  evaluated: Type.Unsafe<string[] | null>({
    type: ['array', 'null'],
    items: { type: 'string' },
    description: 'Windows for which scores are judged (/v1/models/evaluation); null: the node trains no model.',
  }),
})

export function statusRoutes(app: App, { status, attribution, model, evaluated }: StatusDeps): void {
  const schema = {
    operationId: 'status',
    summary: 'What each task of the node is doing',
    response: { 200: StatusAnswer },
  }
  app.get('/v1/status', { schema, config: { scope: 'metrics' } }, async (_, reply) => {
    reply.header('cache-control', 'no-store')
    return {
      ...{ now_ms: performance.timeOrigin + performance.now(), tasks: [...status()], attribution: attribution() },
      model: model(),
      evaluated: evaluated === null ? null : [...evaluated],
    }
  })
}

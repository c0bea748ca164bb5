// GET /v1/status: what each task of the node is doing.

import { Type } from 'typebox'
import type { StatusRow } from '../status.ts'
import type { App } from './app.ts'

export interface StatusDeps {
  status(): readonly StatusRow[]
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

const Row = Type.Object({
  name: Type.String(),
  stage: Type.String(),
  partition: Type.Integer(),
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

const StatusAnswer = Type.Object({
  now_ms: Type.Number({
    description: 'Clock of the node, milliseconds since 1970, never set back: for rates between two looks.',
  }),
  tasks: Type.Array(Row),
})

export function statusRoutes(app: App, { status }: StatusDeps): void {
  const schema = {
    operationId: 'status',
    summary: 'What each task of the node is doing',
    response: { 200: StatusAnswer },
  }
  app.get('/v1/status', { schema, config: { scope: 'metrics' } }, async (_, reply) => {
    reply.header('cache-control', 'no-store')
    return { now_ms: performance.timeOrigin + performance.now(), tasks: [...status()] }
  })
}

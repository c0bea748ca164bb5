// POST /v1/events: events in, one answer for each.
// IR1: an answer says `position` only after the log has the event; whatever else happened is an error by code.
// IR2: 200 where every event was taken or refused for good. 503 where sending them again can help, with what was taken: the
//      same event_ids make that safe. A single event that is refused is a 400 (501: not acted on yet), as is a call whose
//      body is nothing usable.
// Bytes of events are found in event-body.ts and judged behind EventIntake.

import { Type } from '@fastify/type-provider-typebox'
import type { EventAnswer, EventIntake } from '../event-intake.ts'
import { positionText } from '../feature-reads.ts'
import type { App } from './app.ts'
import { ErrorBody, errorBody, HttpError, RETRY_AFTER_S } from './errors.ts'
import { EVENTS_MAX, eventsInJson, eventsInLines } from './event-body.ts'
import type { HttpMetrics } from './metrics.ts'

export interface IngestDeps {
  readonly intake: EventIntake
  readonly metrics: HttpMetrics
}

const Refusal = Type.Object({
  error: Type.Object({
    code: Type.String({
      description: 'Of the event: EVENT_JSON, EVENT_FIELD_MISSING, ... or LOG_UNAVAILABLE, LOG_FULL.',
    }),
    field: Type.Optional(Type.String()),
    hint: Type.Optional(Type.String()),
  }),
})
const Taken = Type.Object({ position: Type.String({ description: '<stream>:<seq>.<index>, for ?wait= of a read.' }) })
const counted = {
  taken: Type.Integer({ description: 'Events that the log has.' }),
  refused: Type.Integer({ description: 'Events that are none, whoever sends them how often.' }),
  events: Type.Array(Type.Union([Taken, Refusal]), { description: 'One for each event, in their order.' }),
}
const Answers = Type.Object(counted, { description: 'Every event was taken or refused.' })
const failed = (description: string) => Type.Object({ ...ErrorBody.properties, ...counted }, { description })
const AnEvent = Type.Object(
  {
    type: Type.String(),
    event_id: Type.String(),
    event_time: Type.Integer({ description: 'Milliseconds since 1970.' }),
    user_id: Type.Optional(Type.String()),
  },
  { additionalProperties: true },
)

export const JSON_TYPE = 'application/json'
export const LINES_TYPE = 'application/x-ndjson'

export function ingestRoutes(app: App, { intake, metrics }: IngestDeps): void {
  app.addContentTypeParser(JSON_TYPE, { parseAs: 'buffer' }, async (_: unknown, body: Buffer) => eventsInJson(body))
  app.addContentTypeParser(LINES_TYPE, { parseAs: 'buffer' }, async (_: unknown, body: Buffer) => eventsInLines(body))
  app.post(
    '/v1/events',
    {
      config: { scope: 'write' },
      // The body is bytes of events, each judged by itself.
      validatorCompiler: () => () => true,
      schema: {
        summary: 'Takes events',
        description:
          'One event, an array of them, or one a line. Answered after the log has them. Sending them again with the same event_ids is safe.',
        body: {
          content: {
            [JSON_TYPE]: { schema: Type.Union([AnEvent, Type.Array(AnEvent, { maxItems: EVENTS_MAX })]) },
            [LINES_TYPE]: { schema: Type.String({ description: `At most ${EVENTS_MAX} lines, an event each.` }) },
          },
        },
        response: {
          200: Answers,
          400: failed('The one event is none, or the body cannot be read (then without the counts).'),
          501: failed('Consent and erasure: not acted on yet.'),
          503: failed('The log has not said of every event that it has it: send them again.'),
        },
      },
    },
    async (request, reply) => {
      const { body: events } = request
      if (events === undefined) throw new HttpError({ status: 400, code: 'NO_BODY', message: 'there is no body' })
      const answers = await intake.take(events as Uint8Array[])
      metrics.events(answers)
      const { status, body } = outcomeOf(answers, request.id)
      if (status === 503) reply.header('retry-after', String(RETRY_AFTER_S))
      // As text: checking a thousand answers against their schema costs more than taking the events.
      reply.code(status as 200).type(JSON_TYPE)
      return reply.send(JSON.stringify(body) as never)
    },
  )
}

function outcomeOf(answers: readonly EventAnswer[], requestId: string): { status: number; body: object } {
  const taken = answers.filter(({ kind }) => kind === 'taken').length
  const refused = answers.filter((answer) => answer.kind === 'refused')
  const counts = { taken, refused: refused.length, events: answers.map(eventText) }
  const withError = (status: number, code: string, message: string, field?: string) => {
    return { status, body: { ...errorBody({ code, message, field }, requestId), ...counts } }
  }
  if (taken + refused.length < answers.length) {
    const code = answers.some(({ kind }) => kind === 'unknown') ? 'LOG_UNAVAILABLE' : 'LOG_FULL'
    const message = `${taken} of ${answers.length} events are in the log; to send all again with the same event_ids is safe`
    return withError(503, code, message)
  }
  if (refused.length > 0 && refused.length === answers.length) {
    const notYet = refused.every(({ code }) => code === 'NOT_IMPLEMENTED')
    const { code, field, hint } = refused[0]!
    if (notYet)
      return withError(501, code, 'consent and erasure are not acted on yet: nothing was stored', fieldText(field))
    if (refused.length === 1)
      return withError(400, code, `the event was refused${hint ? `: ${hint}` : ''}`, fieldText(field))
  }
  return { status: 200, body: counts }
}

/** Characters of a field's name that are said: a name can be as long as the event. */
const FIELD_CHARACTERS_MAX = 128

const fieldText = (field: string | null): string | undefined => field?.slice(0, FIELD_CHARACTERS_MAX)

function eventText(answer: EventAnswer): object {
  if (answer.kind === 'taken') return { position: positionText(answer) }
  if (answer.kind !== 'refused') return { error: { code: answer.kind === 'full' ? 'LOG_FULL' : 'LOG_UNAVAILABLE' } }
  return { error: refusalOf(answer) }
}

/** What is said of an event that was refused. */
export function refusalOf({ code, field, hint }: Extract<EventAnswer, { kind: 'refused' }>): object {
  return { code, ...(field === null ? {} : { field: fieldText(field) }), ...(hint === undefined ? {} : { hint }) }
}

// POST /v1/bulk: an upload of many events, read while it comes and stored apart from what is live. From there they go into the
// stage of users no faster than live events leave room for (topology/pace.ts).
// BR1: an upload holds BATCH_BYTES of events at a time: the next piece of the body is read when the log has the ones before.
// BR2: uploads have bounds of their own: however many come, POST /v1/events is not refused for them.
// BR3: an answer counts the events up to the first one of which the log has not said that it has it: the client sends on from there.
//      Sent again from its beginning, a long upload would fill the room that there is with what the log has already.
// BR4: answered as POST /v1/events is, after the log has the events; but as counts, and by name only the first that were refused.
// BR5: an upload is taken at UPLOAD_BYTES_PER_S at most, however fast it comes: the door and the log are those of live events too.
// Duplicates, the future and the rest of what the broker's time decides are judged where the events are processed.

import type { Readable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import { Type } from '@fastify/type-provider-typebox'
import type { EventAnswer, EventIntake } from '../event-intake.ts'
import type { App } from './app.ts'
import { boundedChunks, eventElements, eventLines } from './bulk-body.ts'
import { ErrorBody, errorBody, HttpError, type HttpErrorFacts, RETRY_AFTER_S } from './errors.ts'
import { JSON_TYPE, LINES_TYPE, refusalOf } from './ingest-routes.ts'
import type { HttpMetrics } from './metrics.ts'

/** Bytes of an upload: what is taken within the 30 s that a request may take, with a sixth of them to spare. */
export const UPLOAD_BYTES_MAX = 64 * 1024 * 1024
/** Some 13,000 events, twice what the stages behind take of uploads, and a fifth of what the door could. */
export const UPLOAD_BYTES_PER_S = 2.5 * 1024 * 1024
/** Uploads at once: one waits for the log while another is read; more would only take the door's turns from live events. */
export const UPLOADS_MAX = 2
/** Bytes of events that travel together: some hundred, a millisecond of judging between two turns of the event loop. */
const BATCH_BYTES = 64 * 1024
/** Refused events that an answer names: enough to see what is wrong with a file. */
export const REFUSALS_SAID_MAX = 100

export interface BulkDeps {
  readonly intake: EventIntake
  readonly metrics: Pick<HttpMetrics, 'events'>
  readonly uploadBytesMax?: number
}

const counted = {
  taken: Type.Integer({ description: 'Events that the log has, before the first that it may not have.' }),
  refused: Type.Integer({
    description:
      'Events that are none, whoever sends them how often; with `taken`, the first of the upload: they need not be sent again.',
  }),
  refusals: Type.Array(
    Type.Object({
      index: Type.Integer({ description: 'Among the events of the upload, from 0.' }),
      error: Type.Object({
        code: Type.String(),
        field: Type.Optional(Type.String()),
        hint: Type.Optional(Type.String()),
      }),
    }),
    { description: `The first ${REFUSALS_SAID_MAX} of them.` },
  ),
}
const failed = (description: string) => Type.Object({ ...ErrorBody.properties, ...counted }, { description })

/** Registers the route, in a context of its own. */
export function bulkRoutes(app: App, { intake, metrics, uploadBytesMax = UPLOAD_BYTES_MAX }: BulkDeps): void {
  app.removeAllContentTypeParsers()
  for (const type of [JSON_TYPE, LINES_TYPE])
    app.addContentTypeParser(type, (_request: unknown, body: unknown, done: (error: null, body: unknown) => void) =>
      done(null, body),
    )
  let underWay = 0
  app.post(
    '/v1/bulk',
    {
      config: { scope: 'write' },
      // The body is a stream of events, each judged by itself.
      validatorCompiler: () => () => true,
      schema: {
        summary: 'Takes an upload of many events',
        description:
          'One event a line, or an array of them. Stored apart from live events, and processed when these leave room. Answered after the log has them; sending them again with the same event_ids is safe.',
        body: {
          content: {
            [LINES_TYPE]: {
              schema: Type.String({ description: `At most ${UPLOAD_BYTES_MAX} bytes, an event a line.` }),
            },
            [JSON_TYPE]: { schema: Type.Array(Type.Object({}, { additionalProperties: true })) },
          },
        },
        response: {
          200: Type.Object(counted, { description: 'Every event was taken or refused.' }),
          400: failed('The body ends before its array does, or is none.'),
          413: failed('The upload is too large; what came before its end was taken.'),
          503: failed('The log has not said of every event that it has it: send them again, later.'),
        },
      },
    },
    async (request, reply) => {
      if (underWay === UPLOADS_MAX) {
        const message = `${UPLOADS_MAX} uploads are under way`
        throw new HttpError({ status: 429, code: 'TOO_MANY_UPLOADS', message, retryAfterS: RETRY_AFTER_S })
      }
      underWay++
      const upload = new Upload(intake, metrics)
      try {
        const fault = await faultOf(upload, eventsIn(request.headers['content-type'], request.body, uploadBytesMax))
        const { status = 200, retryAfterS, headers = {} } = fault ?? {}
        if (retryAfterS !== undefined) reply.header('retry-after', String(retryAfterS))
        reply.headers(headers).code(status as 200)
        return reply.send({ ...(fault === null ? {} : errorBody(fault, request.id)), ...upload.counts } as never)
      } finally {
        underWay--
      }
    },
  )
}

function eventsIn(type: string | undefined, body: unknown, bytesMax: number): AsyncGenerator<Uint8Array[]> {
  if (body === undefined) throw new HttpError({ status: 400, code: 'NO_BODY', message: 'there is no body' })
  const chunks = boundedChunks(body as Readable, bytesMax)
  return type!.startsWith(LINES_TYPE) ? eventLines(chunks) : eventElements(chunks)
}

/** Reads an upload to its end, also where nothing more of it is taken: only then does a client look for the answer. */
async function faultOf(upload: Upload, pieces: AsyncGenerator<Uint8Array[]>): Promise<HttpErrorFacts | null> {
  try {
    for await (const events of pieces) await upload.add(events)
    await upload.end()
    return upload.fault
  } catch (error) {
    if (!(error instanceof HttpError)) throw error
    await upload.end()
    return error.facts
  }
}

class Upload {
  readonly #intake: EventIntake
  readonly #metrics: BulkDeps['metrics']
  #batch: Uint8Array[] = []
  #batchBytes = 0
  #taken = 0
  #refused = 0
  readonly #refusals: object[] = []
  /** Why the log does not have them all. After that nothing more is sent to it. */
  #unstored: Extract<EventAnswer, { kind: 'unknown' | 'full' }> | null = null

  constructor(intake: EventIntake, metrics: BulkDeps['metrics']) {
    this.#intake = intake
    this.#metrics = metrics
  }

  get counts(): object {
    return { taken: this.#taken, refused: this.#refused, refusals: this.#refusals }
  }

  get fault(): HttpErrorFacts | null {
    if (this.#unstored === null) return null
    const code = this.#unstored.kind === 'full' ? 'LOG_FULL' : 'LOG_UNAVAILABLE'
    const message = `the log has the first ${this.#taken + this.#refused} events: send on from there; to send all again is safe as well`
    return { status: 503, code, message, retryAfterS: RETRY_AFTER_S }
  }

  async add(events: readonly Uint8Array[]): Promise<void> {
    for (const event of events) {
      this.#batch.push(event)
      this.#batchBytes += event.length
      if (this.#batchBytes >= BATCH_BYTES) await this.end()
    }
  }

  /** Stores what is at hand. */
  async end(): Promise<void> {
    const [batch, bytes] = [this.#batch, this.#batchBytes]
    this.#batch = []
    this.#batchBytes = 0
    if (this.#unstored !== null || batch.length === 0) return
    const begun = performance.now()
    const answers = await this.#intake.take(batch)
    this.#metrics.events(answers)
    for (const answer of answers) this.#count(answer)
    // BR5.
    const restMs = (bytes * 1_000) / UPLOAD_BYTES_PER_S - (performance.now() - begun)
    if (restMs >= 1) await sleep(restMs)
  }

  #count(answer: EventAnswer): void {
    if (this.#unstored !== null) return
    if (answer.kind === 'taken') this.#taken++
    else if (answer.kind !== 'refused') this.#unstored = answer
    else {
      const index = this.#taken + this.#refused++
      if (this.#refusals.length < REFUSALS_SAID_MAX) this.#refusals.push({ index, error: refusalOf(answer) })
    }
  }
}

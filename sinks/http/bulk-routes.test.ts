// POST /v1/bulk from a client's side: what is answered, what reaches the intake, and what it may take of the door.

import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, describe, expect, it } from 'vitest'
import { FakeLogServer } from '../../log/fake-log.ts'
import { type Door, type DoorOptions, NAMESPACE, openDoor, rawExchange, statusIn } from '../../test/abuse/door.ts'
import type { EventAnswer } from '../event-intake.ts'
import { newToken, Tokens } from './auth.ts'
import { bulkRoutes, REFUSALS_SAID_MAX, UPLOAD_BYTES_MAX, UPLOAD_BYTES_PER_S, UPLOADS_MAX } from './bulk-routes.ts'
import { HTTP_LIMITS } from './limits.ts'
import { HttpMetrics } from './metrics.ts'

const doors: Door[] = []
afterEach(async () => {
  await Promise.all(doors.splice(0).map((door) => door.close()))
})

const LINES = 'application/x-ndjson'
const SMALL_UPLOAD_BYTES = 250_000

/** A door whose intake answers as the test says, call by call; without an answer, that all are taken. */
async function open(
  answer: (events: readonly string[], call: number) => Promise<EventAnswer[]> | null = () => null,
  options: Pick<Partial<DoorOptions>, 'tokens' | 'limits'> & { readonly uploadBytesMax?: number } = {},
) {
  const { uploadBytesMax = SMALL_UPLOAD_BYTES, ...guards } = options
  const calls: string[][] = []
  const intake = {
    take: async (events: readonly Uint8Array[]) => {
      const texts = events.map((bytes) => Buffer.from(bytes).toString())
      calls.push(texts)
      return (await answer(texts, calls.length)) ?? texts.map((): EventAnswer => TAKEN)
    },
  }
  const bulk = { intake, metrics: new HttpMetrics(), uploadBytesMax }
  const log = new FakeLogServer({ seed: 1 }).connect('door')
  const door = await openDoor({ log, ...guards, more: [(app) => bulkRoutes(app, bulk)] })
  doors.push(door)
  const post = async (body: string | ReadableStream, type = LINES, token?: string) => {
    const authorization = token === undefined ? {} : { authorization: `Bearer ${token}` }
    const headers = { 'content-type': type, ...authorization }
    const init = { method: 'POST', headers, body, duplex: 'half' } as RequestInit
    const response = await fetch(`${door.url}/v1/bulk`, init)
    return {
      status: response.status,
      retry: response.headers.get('retry-after'),
      body: (await response.json()) as Answer,
    }
  }
  return { calls, post, door, text: () => bulk.metrics.text() }
}

interface Answer {
  readonly taken: number
  readonly refused: number
  readonly refusals: readonly { readonly index: number }[]
}

const TAKEN: EventAnswer = { kind: 'taken', stream: 's', seq: 1, index: 0 }
const REFUSED: EventAnswer = { kind: 'refused', code: 'EVENT_FIELD_MISSING', field: 'user_id' }
const lines = (from: number, to: number) =>
  Array.from({ length: to - from }, (_, i) => `{"event_id":"${from + i}","pad":"${'x'.repeat(80)}"}`)

describe('an upload', () => {
  it.each([
    ['lines', LINES, (events: string[]) => `${events.join('\r\n')}\n\n`],
    ['an array', 'application/json; charset=utf-8', (events: string[]) => `[${events.join(' ,\n')}]`],
  ])('of %s comes in piece by piece, in its order and byte for byte', async (_, type, bodyOf) => {
    const { calls, post, text } = await open()
    const events = lines(0, 1_500)
    expect(await post(bodyOf(events), type)).toMatchObject({
      status: 200,
      body: { taken: 1_500, refused: 0, refusals: [] },
    })
    expect(calls.flat()).toEqual(events)
    expect(calls.length).toBeGreaterThan(1)
    expect(await text()).toContain('holdfast_http_events_total{outcome="taken"} 1500')
  })

  it('is taken no faster than its rate, however fast it comes, and the most that it may be in the time of a request', async () => {
    const { post } = await open()
    const begun = performance.now()
    const body = lines(0, 2_000).join('\n')
    expect((await post(body)).body.taken).toBe(2_000)
    const restMs = (body.length * 1_000) / UPLOAD_BYTES_PER_S
    expect(performance.now() - begun).toBeGreaterThan(0.9 * restMs)
    expect((UPLOAD_BYTES_MAX * 1_000) / UPLOAD_BYTES_PER_S).toBeLessThan(0.9 * HTTP_LIMITS.requestMs)
  })

  it('is read no further than the log has it', async () => {
    const first = Promise.withResolvers<null>()
    const { calls, post } = await open(() => (calls.length === 1 ? (first.promise as never) : null))
    let asked = 0
    const body = new ReadableStream({
      pull(controller) {
        asked++
        if (asked > 1_000) controller.close()
        else controller.enqueue(Buffer.from(`${lines(asked, asked + 1)}\n`))
      },
    })
    const answer = post(body)
    await expect.poll(() => calls.length).toBe(1)
    await sleep(100)
    expect(calls).toHaveLength(1)
    first.resolve(null)
    expect(await answer).toMatchObject({ status: 200, body: { taken: 1_000 } })
  })

  it('names the first refused events by their places, and counts all', async () => {
    const { post } = await open(async (events) => events.map((text) => (/[05]","pad/.test(text) ? REFUSED : TAKEN)))
    const { status, body } = await post(lines(0, 1_000).join('\n'))
    expect({ status, taken: body.taken, refused: body.refused }).toEqual({ status: 200, taken: 800, refused: 200 })
    expect(body.refusals).toHaveLength(REFUSALS_SAID_MAX)
    expect(body.refusals.slice(0, 2)).toEqual(
      [0, 5].map((index) => ({ index, error: { code: 'EVENT_FIELD_MISSING', field: 'user_id' } })),
    )
    expect(body.refusals.at(-1)!.index).toBe(5 * (REFUSALS_SAID_MAX - 1))
  })

  it.each([
    ['full', 'LOG_FULL'],
    ['unknown', 'LOG_UNAVAILABLE'],
  ] as const)('of which the log does not have a part is answered with what it has: %s', async (kind, code) => {
    const { calls, post } = await open(async (events, call) =>
      events.map((_, i): EventAnswer => (call === 2 && i > 2 && i !== 5 ? { kind, cause: '' } : TAKEN)),
    )
    const answer = await post(lines(0, 1_900).join('\n'))
    expect(answer).toMatchObject({
      status: 503,
      retry: '1',
      body: { error: { code }, taken: calls[0]!.length + 3 },
    })
    // It is read to its end, and nothing more of it goes to the log.
    expect(calls).toHaveLength(2)
  })

  it.each([
    ['an array that does not end', `[${lines(0, 3)}`, 'application/json', 400, 'BAD_JSON', 2],
    ['more than fits', lines(0, 3_000).join('\n'), LINES, 413, 'BODY_TOO_LARGE', 1_000],
    ['another type', 'x', 'text/csv', 415, 'MEDIA_TYPE', undefined],
  ])('that is %s', async (_, body, type, status, code, least) => {
    const { post } = await open()
    const answer = await post(body, type).catch(() => null)
    // A client that is cut off while it sends may not see the answer.
    if (answer === null) return expect(status).toBe(413)
    expect(answer).toMatchObject({ status, body: { error: { code } } })
    if (least !== undefined) expect(answer.body.taken).toBeGreaterThanOrEqual(least)
  })
})

describe('the bytes of an upload', () => {
  /** A part of an upload, and then nothing: who is answered was not read to the end. */
  const begin = (url: string, bytes: number, { end }: { readonly end: boolean }) => {
    const event = `{"pad":"${'x'.repeat(90)}"}\n`
    const body = event.repeat(Math.ceil(bytes / event.length)).slice(0, bytes)
    const head = `POST /v1/bulk HTTP/1.1\r\nhost: door\r\nconnection: close\r\ncontent-type: ${LINES}\r\n`
    const chunk = `${bytes.toString(16)}\r\n${body}\r\n`
    return rawExchange(url, `${head}transfer-encoding: chunked\r\n\r\n${chunk}${end ? '0\r\n\r\n' : ''}`)
  }

  it('are as many as it may have, and not one more: what is beyond is not waited for', async () => {
    const { door, calls } = await open()
    expect(statusIn(await begin(door.url, SMALL_UPLOAD_BYTES, { end: true }))).toBe(200)
    const stored = calls.flat().length
    const answer = await begin(door.url, SMALL_UPLOAD_BYTES + 1, { end: false })
    expect(statusIn(answer)).toBe(413)
    expect(answer).toContain('BODY_TOO_LARGE')
    expect(calls.flat().length).toBeLessThanOrEqual(2 * stored)
  })

  it('are those of many bodies of single events, and of a stream that is not announced to be short', () => {
    expect(UPLOAD_BYTES_MAX).toBeGreaterThan(HTTP_LIMITS.bodyBytes)
    // At 2 MiB a second within the time that a request has.
    expect(UPLOAD_BYTES_MAX).toBeLessThanOrEqual((HTTP_LIMITS.requestMs / 1_000) * 2.2 * 2 ** 20)
  })

  it('are bounded where nobody says how many they may be', async () => {
    const log = new FakeLogServer({ seed: 1 }).connect('door')
    let taken = 0
    const intake = {
      take: async (events: readonly Uint8Array[]) => {
        taken += events.length
        return events.map((): EventAnswer => TAKEN)
      },
    }
    const door = await openDoor({ log, more: [(app) => bulkRoutes(app, { intake, metrics: new HttpMetrics() })] })
    doors.push(door)
    // One event after the other that is none, of a mebibyte each.
    const mebibyte = Buffer.concat([Buffer.alloc(2 ** 20 - 1, 'x'), Buffer.from('\n')])
    let sent = 0
    const body = new ReadableStream({
      pull(controller) {
        if (sent++ > UPLOAD_BYTES_MAX / 2 ** 20 + 16) controller.close()
        else controller.enqueue(mebibyte)
      },
    })
    const init = { method: 'POST', headers: { 'content-type': LINES }, body, duplex: 'half' } as RequestInit
    const status = await fetch(`${door.url}/v1/bulk`, init).then(
      (answer) => answer.status,
      () => 413,
    )
    expect(status).toBe(413)
    // All that fits, but for what came in one piece with the byte too many.
    expect(taken).toBeGreaterThanOrEqual(UPLOAD_BYTES_MAX / 2 ** 20 - 2)
    expect(taken).toBeLessThanOrEqual(UPLOAD_BYTES_MAX / 2 ** 20)
  })
})

describe('who may upload', () => {
  const [writer, reader, stranger] = [
    newToken(['write'], NAMESPACE),
    newToken(['read'], NAMESPACE),
    newToken(['write'], 'other'),
  ]
  const tokens = Tokens.parse([writer.line, reader.line, stranger.line].join('\n'))

  it.each([
    ['without a token', undefined, 401],
    ['with one that nobody knows', 'hf_'.padEnd(46, 'x'), 401],
    ['with one to read', reader.token, 403],
    ['with one of another namespace', stranger.token, 403],
    ['with one to write', writer.token, 200],
  ])('%s: %i', async (_, token, status) => {
    const { post, calls } = await open(undefined, { tokens })
    expect((await post('{}', LINES, token)).status).toBe(status)
    expect(calls).toHaveLength(status === 200 ? 1 : 0)
  })

  it('a token that fails again and again is refused, and an upload with a valid one is not', async () => {
    const { post } = await open(undefined, { tokens, limits: { failuresPerMinute: 2 } })
    const statuses: number[] = []
    for (let i = 0; i < 3; i++) statuses.push((await post('{}', LINES, 'wrong')).status)
    expect(statuses).toEqual([401, 401, 429])
    expect((await post('{}', LINES, writer.token)).status).toBe(200)
  })

  it('as often as a client may ask, and no more at once', async () => {
    const often = await open(undefined, { tokens, limits: { perSecond: 2 } })
    const answers = [await often.post('{}', LINES, writer.token), await often.post('{}', LINES, writer.token)]
    expect(answers.map(({ status }) => status)).toEqual([200, 200])
    const refused = await often.post('{}', LINES, writer.token)
    expect(refused).toMatchObject({ status: 429, retry: '1', body: { error: { code: 'TOO_MANY_REQUESTS' } } })
    const held = Promise.withResolvers<null>()
    const once = await open(() => held.promise as never, { tokens, limits: { concurrent: 1 } })
    const first = once.post('{}', LINES, writer.token)
    await expect.poll(() => once.calls.length).toBe(1)
    expect(await once.post('{}', LINES, writer.token)).toMatchObject({
      status: 429,
      body: { error: { code: 'TOO_MANY_REQUESTS' } },
    })
    held.resolve(null)
    expect((await first).status).toBe(200)
  })
})

it('nothing is no upload', async () => {
  const { door } = await open()
  const answer = await fetch(`${door.url}/v1/bulk`, { method: 'POST' })
  expect([answer.status, await answer.text()]).toEqual([400, expect.stringContaining('NO_BODY')])
})

it('too many uploads are refused, and live events are not', async () => {
  const held = Promise.withResolvers<null>()
  const { calls, post, door } = await open(() => held.promise as never)
  const uploads = Array.from({ length: UPLOADS_MAX }, () => post('1'))
  await expect.poll(() => calls.length).toBe(UPLOADS_MAX)
  expect(await post('2')).toMatchObject({ status: 429, retry: '1', body: { error: { code: 'TOO_MANY_UPLOADS' } } })
  const event = { type: 'page_view', event_id: 'a', event_time: Date.now(), user_id: 'u', page_id: 'p' }
  const headers = { 'content-type': 'application/json' }
  const live = await fetch(`${door.url}/v1/events`, { method: 'POST', headers, body: JSON.stringify(event) })
  expect(live.status).toBe(200)
  held.resolve(null)
  for (const upload of uploads) expect(await upload).toMatchObject({ status: 200 })
  expect(await post('3')).toMatchObject({ status: 200 })
})

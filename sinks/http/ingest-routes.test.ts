// POST /v1/events from a client's side, on the real way into a simulated log: what is answered is what the log has.

import { afterEach, describe, expect, it } from 'vitest'
import { FakeLogServer } from '../../log/fake-log.ts'
import { EVENT_BYTES_MAX } from '../../operators/event.ts'
import { type Door, type DoorOptions, openDoor } from '../../test/abuse/door.ts'
import { parsePosition } from '../feature-reads.ts'
import { EVENTS_MAX, eventsInJson, eventsInLines } from './event-body.ts'

const doors: Door[] = []
afterEach(async () => {
  await Promise.all(doors.splice(0).map((door) => door.close()))
})

async function open(options: Omit<DoorOptions, 'log'> = {}) {
  const server = new FakeLogServer({ seed: 1 })
  const door = await openDoor({ log: server.connect('door'), ...options })
  doors.push(door)
  /** Events in the log, as text. */
  const stored = () =>
    [0, 1].flatMap((p) => server.stored(`hf_user-1_${p}`).map(({ payload }) => Buffer.from(payload).toString()))
  return { server, door, stored, post: (body: string | Buffer, type = JSON_TYPE) => post(door.url, body, type) }
}

interface Answer {
  readonly taken: number
  readonly refused: number
  readonly events: readonly { position?: string; error?: { code: string; field?: string; hint?: string } }[]
  readonly error?: { code: string; message: string; field?: string }
  readonly request_id?: string
}

const JSON_TYPE = 'application/json'
const LINES_TYPE = 'application/x-ndjson'

async function post(url: string, body: string | Buffer, type: string) {
  const answer = await fetch(`${url}/v1/events`, { method: 'POST', headers: { 'content-type': type }, body })
  return { status: answer.status, retryAfter: answer.headers.get('retry-after'), body: (await answer.json()) as Answer }
}

function event(id: string, more: object = {}): string {
  return JSON.stringify({
    type: 'page_view',
    event_id: id,
    event_time: Date.now(),
    user_id: 'u',
    page_id: 'p',
    ...more,
  })
}
const codes = ({ events }: Answer) =>
  events.map(({ position, error }) => (position === undefined ? error!.code : 'taken'))

describe('what is taken', () => {
  it.each([
    ['one event', event('a'), JSON_TYPE, 1],
    ['one event and space', ` \n${event('a')}\t`, JSON_TYPE, 1],
    ['an array', `[${event('a')} ,\n ${event('b')}]`, JSON_TYPE, 2],
    ['an array, with a charset', `[${event('a')}]`, 'application/json; charset=utf-8', 1],
    ['lines', `${event('a')}\n${event('b')}\r\n \t\n\n${event('c')}`, LINES_TYPE, 3],
    ['an empty array', '[]', JSON_TYPE, 0],
    ['no line', '\n\r\n', LINES_TYPE, 0],
  ])('%s', async (_, body, type, count) => {
    const { post, stored } = await open()
    const answer = await post(body, type)
    expect(answer).toMatchObject({ status: 200, body: { taken: count, refused: 0 } })
    expect(Object.keys(answer.body)).toEqual(['taken', 'refused', 'events'])
    for (const [index, { position }] of answer.body.events.entries())
      expect(parsePosition(position!)).toMatchObject({ seq: 1, index })
    expect(stored().flatMap((payload) => JSON.parse(payload))).toHaveLength(count)
  })

  it('lies in the log byte for byte, beside what is refused: one answer for each, in their order', async () => {
    const { post, stored } = await open()
    const odd = event('odd').replace('"p"', '"\\u0070", "__proto__": 1, "n": 1.50').replace(',', ' ,')
    const body = `[${event('a')}, 7, ${odd}, {"type":"page_view"}, ${event('s', { event_time: 1.7e9 })}, ${event('x', { type: 'erase' })}]`
    const answer = await post(body)
    expect(answer).toMatchObject({ status: 200, body: { taken: 2, refused: 4 } })
    expect(answer.body.events.slice(3)).toEqual([
      { error: { code: 'EVENT_FIELD_MISSING', field: 'event_id' } },
      { error: { code: 'EVENT_FIELD_INVALID', field: 'event_time', hint: 'milliseconds?' } },
      { error: { code: 'NOT_IMPLEMENTED', field: 'type' } },
    ])
    expect(codes(answer.body).slice(0, 3)).toEqual(['taken', 'EVENT_JSON', 'taken'])
    expect(stored()).toHaveLength(1)
    expect(stored()[0]).toContain(odd)
  })

  it('is judged by the bytes that were sent: one event that is no UTF-8 spoils no other', async () => {
    const { post } = await open()
    const bad = Buffer.concat([Buffer.from(event('b').slice(0, -2)), Buffer.from([0xc3, 0x28]), Buffer.from('"}')])
    const array = Buffer.concat([Buffer.from(`[${event('ä')},`), bad, Buffer.from(`,${event('c')}]`)])
    expect(codes((await post(array)).body)).toEqual(['taken', 'EVENT_JSON', 'taken'])
    const lines = Buffer.concat([Buffer.from(`${event('ä')}\n`), bad, Buffer.from(`\n{"half\n${event('c')}`)])
    expect(codes((await post(lines, LINES_TYPE)).body)).toEqual(['taken', 'EVENT_JSON', 'EVENT_JSON', 'taken'])
  })

  it('up to the largest event, and not a byte more, wherever the bytes are', async () => {
    const { post } = await open()
    const fill = (bytes: number) => event('a', { props: 'x'.repeat(bytes - event('a', { props: '' }).length) })
    const spaced = event('b').replace(',', `,${' '.repeat(EVENT_BYTES_MAX)}`)
    const answer = await post(`[${fill(EVENT_BYTES_MAX)},${fill(EVENT_BYTES_MAX + 1)},${spaced}]`)
    expect(codes(answer.body)).toEqual(['taken', 'EVENT_TOO_LARGE', 'EVENT_TOO_LARGE'])
  })
})

describe('a single event that is refused', () => {
  it.each([
    ['by its code and field', event('a', { page_id: null }), JSON_TYPE, 400, 'EVENT_FIELD_MISSING', 'page_id'],
    ['in an array', `[${event('a', { user_id: '' })}]`, JSON_TYPE, 400, 'EVENT_FIELD_INVALID', 'user_id'],
    ['too large', event('a', { props: 'x'.repeat(EVENT_BYTES_MAX) }), JSON_TYPE, 400, 'EVENT_TOO_LARGE', undefined],
    [
      'too deep',
      event('a', { props: JSON.parse('['.repeat(70) + ']'.repeat(70)) }),
      JSON_TYPE,
      400,
      'EVENT_JSON',
      undefined,
    ],
    ['a line that is no JSON', '{"type"', LINES_TYPE, 400, 'EVENT_JSON', undefined],
    ['an erasure', event('a', { type: 'erase' }), JSON_TYPE, 501, 'NOT_IMPLEMENTED', 'type'],
    [
      'only erasures',
      `${event('a', { type: 'erase' })}\n${event('b', { type: 'consent' })}`,
      LINES_TYPE,
      501,
      'NOT_IMPLEMENTED',
      'type',
    ],
  ])('%s', async (_, body, type, status, code, field) => {
    const { post, stored } = await open()
    const answer = await post(body, type)
    expect(answer.status).toBe(status)
    expect(answer.body.error).toEqual({ code, message: expect.any(String), ...(field ? { field } : {}) })
    expect(answer.body).toMatchObject({ taken: 0, request_id: expect.any(String) })
    expect(stored()).toEqual([])
  })

  it('a field name that somebody made up is cut', async () => {
    const { post } = await open()
    const { body } = await post(event('a', { [`${'f'.repeat(60_000)}_id`]: 7 }))
    expect(body.error!.field).toBe('f'.repeat(128))
  })
})

describe('a body that is nothing usable', () => {
  it.each([
    ['no JSON', '{"type":', JSON_TYPE, 400, 'BAD_JSON'],
    ['JSON and more', `${event('a')}${event('b')}`, JSON_TYPE, 400, 'BAD_JSON'],
    ['a byte order mark', `\ufeff${event('a')}`, JSON_TYPE, 400, 'BAD_JSON'],
    ['NaN', '[NaN]', JSON_TYPE, 400, 'BAD_JSON'],
    ['a control character between elements', '[1,\u0000 2]', JSON_TYPE, 400, 'BAD_JSON'],
    ['empty', '', JSON_TYPE, 400, 'BAD_JSON'],
    ['a form', 'type=page_view', 'application/x-www-form-urlencoded', 415, 'MEDIA_TYPE'],
    ['text', event('a'), 'text/plain', 415, 'MEDIA_TYPE'],
    ['too many', `[${Array(EVENTS_MAX + 1).fill('1')}]`, JSON_TYPE, 413, 'TOO_MANY_EVENTS'],
    ['too many lines', '1\n'.repeat(EVENTS_MAX + 1), LINES_TYPE, 413, 'TOO_MANY_EVENTS'],
  ])('%s', async (_, body, type, status, code) => {
    const { post, stored } = await open()
    const answer = await post(body, type)
    expect([answer.status, answer.body.error?.code]).toEqual([status, code])
    expect(stored()).toEqual([])
  })

  it('none at all', async () => {
    const { door } = await open()
    const answer = await fetch(`${door.url}/v1/events`, { method: 'POST' })
    expect([answer.status, ((await answer.json()) as Answer).error?.code]).toEqual([400, 'NO_BODY'])
  })

  it('the most events that a request may have are taken', async () => {
    const { post } = await open()
    const lines = Array.from({ length: EVENTS_MAX }, (_, i) => event(`e${i}`, { user_id: `u${i}` })).join('\n')
    expect(await post(lines, LINES_TYPE)).toMatchObject({ status: 200, body: { taken: EVENTS_MAX, refused: 0 } })
  })
})

describe('a log that does not take everything', () => {
  it('503 with what was taken; the same request again is safe and complete', async () => {
    const { server, post, stored } = await open()
    server.plan({ kind: 'publishLost' }, { subject: 'hf.user-1.0.in' })
    const events = Array.from({ length: 20 }, (_, i) => event(`e${i}`, { user_id: `u${i}` }))
    const body = `[7,${events}]`
    const first = await post(body)
    expect(first).toMatchObject({
      status: 503,
      retryAfter: '1',
      body: { refused: 1, error: { code: 'LOG_UNAVAILABLE' } },
    })
    const unknown = codes(first.body).filter((code) => code === 'LOG_UNAVAILABLE').length
    expect(unknown).toBeGreaterThan(0)
    expect(first.body.taken).toBe(20 - unknown)
    expect(first.body.taken).toBeGreaterThan(0)
    expect(first.body.error!.message).toContain(`${first.body.taken} of 21 events are in the log`)
    expect(stored().flatMap((payload) => JSON.parse(payload))).toHaveLength(first.body.taken)
    expect(await post(body)).toMatchObject({ status: 200, body: { taken: 20, refused: 1 } })
  })

  it('503 where the log is full, and where too much is under way', async () => {
    const full = await open({ logBytes: 100_000 })
    const large = Array.from({ length: 8 }, (_, i) => event(`e${i}`, { props: 'x'.repeat(9_000) }))
    const answer = await full.post(`[${large}]`)
    expect(answer).toMatchObject({ status: 503, retryAfter: '1', body: { taken: 0, error: { code: 'LOG_FULL' } } })
    expect(new Set(codes(answer.body))).toEqual(new Set(['LOG_FULL']))
    const busy = await open({ ingest: { underWayBytesMax: 50 } })
    expect(await busy.post(event('a'))).toMatchObject({ status: 503, body: { error: { code: 'LOG_FULL' } } })
  })
})

it('metrics count requests by route and status, and events by what became of them', async () => {
  const { door, post } = await open()
  let collected = 0
  door.metrics.onCollect(() => void collected++)
  await post(`[${event('a')},${event('b')},7]`)
  await post('{')
  await fetch(`${door.url}/nobody-s-business`)
  const answer = await fetch(`${door.url}/metrics`)
  const text = await answer.text()
  expect(answer.headers.get('content-type')).toContain('text/plain')
  expect(collected).toBe(1)
  for (const line of [
    'holdfast_http_requests_total{method="POST",route="/v1/events",status="200"} 1',
    'holdfast_http_requests_total{method="POST",route="/v1/events",status="400"} 1',
    'holdfast_http_requests_total{method="GET",route="none",status="404"} 1',
    'holdfast_http_request_duration_seconds_count{route="/v1/events"} 2',
    'holdfast_http_events_total{outcome="taken"} 2',
    'holdfast_http_events_total{outcome="EVENT_JSON"} 1',
    'holdfast_http_in_flight 1',
  ])
    expect(text).toContain(line)
  expect(text).not.toContain('nobody')
})

it('/readyz names what is waited for', async () => {
  let ready = false
  const { door } = await open({ status: () => ({ ready, waiting: ready ? [] : ['task pages-1: the broker'] }) })
  const waiting = await fetch(`${door.url}/readyz`)
  expect([waiting.status, waiting.headers.get('retry-after'), await waiting.json()]).toEqual([
    503,
    '1',
    { ready: false, waiting: ['task pages-1: the broker'] },
  ])
  expect((await fetch(`${door.url}/healthz`)).status).toBe(200)
  ready = true
  const there = await fetch(`${door.url}/readyz`)
  expect([there.status, await there.json()]).toEqual([200, { ready: true, waiting: [] }])
})

describe('events in a body', () => {
  const texts = (events: readonly Uint8Array[]) => events.map((bytes) => Buffer.from(bytes).toString())
  it.each([
    ['a\nb', ['a', 'b']],
    ['a\r\nb\r\n', ['a', 'b']],
    ['a\r\r\n', ['a\r']],
    ['a\r', ['a\r']],
    ['\r\n\n\t \r\n', []],
    ['', []],
  ])('in lines %j', (text, expected) => expect(texts(eventsInLines(Buffer.from(text)))).toEqual(expected))

  it('in an array: strings that look like ends, and nested ones', () => {
    const elements = ['{"a":"],[\\"}"}', '[1,[2]]', '"x"', 'null']
    expect(texts(eventsInJson(Buffer.from(` [ ${elements.join(' ,\n')} ] `)))).toEqual(elements)
  })
})

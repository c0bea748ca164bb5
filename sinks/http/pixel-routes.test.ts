// Over a real server: on an intake that records, and on the real one over the simulated log.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Script } from 'node:vm'
import { afterEach, describe, expect, it } from 'vitest'
import { FakeLogServer } from '../../log/fake-log.ts'
import { rawExchange, statusIn } from '../../test/abuse/door.ts'
import { RecordingIntake } from '../../test/browser/recording-intake.ts'
import { pageViewGraph } from '../../topology/graph.ts'
import { Ingest } from '../../topology/ingest.ts'
import { ensureStreams, streamSpecs } from '../../topology/streams.ts'
import type { EventIntake } from '../event-intake.ts'
import type { Routes } from './app.ts'

import { newToken, Tokens } from './auth.ts'
import { CONVERSIONS_MAX } from './conversions-api.ts'
import { ingestRoutes } from './ingest-routes.ts'
import { HTTP_LIMITS } from './limits.ts'
import { HttpMetrics } from './metrics.ts'
import { COLLECT_BODY_BYTES_MAX, COLLECT_EVENTS_MAX } from './pixel-body.ts'
import { GIF, PIXEL_SETTINGS, type PixelSettings, pixelRoutes } from './pixel-routes.ts'
import { SCRIPT_BYTES_MAX, stripped } from './pixel-script.ts'
import { type HttpServer, type HttpServerOptions, openHttpServer } from './server.ts'

const NOW = Date.UTC(2026, 0, 2)
const SHOP = 'https://shop.example'
const AWAY = { kind: 'unknown', cause: 'away' } as const
const JSON_TYPE = { 'content-type': 'application/json' }

let server: HttpServer | undefined
afterEach(async () => {
  await server?.close()
  server = undefined
})

interface Door {
  readonly metrics: HttpMetrics
  get(path: string, headers?: Record<string, string>): Promise<Response>
  post(path: string, body: unknown, headers?: Record<string, string>): Promise<Response>
}

async function open(
  intake: EventIntake,
  some: Partial<PixelSettings & Pick<HttpServerOptions, 'corsOrigins'>> = {},
  tokens: Tokens | null = null,
): Promise<Door> {
  const metrics = new HttpMetrics()
  const { corsOrigins = () => [], ...settings } = { ...PIXEL_SETTINGS, ...some }
  const deps = { intake, metrics, settings: () => settings, now: () => NOW }
  const routes: Routes[] = [
    (app, admission) => pixelRoutes(app, deps, admission),
    (app) => ingestRoutes(app, { intake, metrics }),
  ]
  const common = { port: 0, namespace: 'test', metrics, version: 'test' }
  server = await openHttpServer({ ...common, tokens, routes, corsOrigins })
  const { url } = server
  const textOf = (body: unknown) =>
    typeof body === 'string' || body instanceof Uint8Array ? body : JSON.stringify(body)
  return {
    metrics,
    get: (path, headers = {}) => fetch(url + path, { headers }),
    post: (path, body, headers = {}) => fetch(url + path, { method: 'POST', headers, body: textOf(body) as string }),
  }
}

const PURCHASE = 'e=Purchase&eid=b1&ts=1767225600123&uid=u1&px=shop-1&value=3'

describe('the image', () => {
  it('is 43 bytes that nobody keeps, answered after the log has the event and not before', async () => {
    const intake = new RecordingIntake()
    const gate = Promise.withResolvers<void>()
    intake.gate = gate.promise
    const { get } = await open(intake)
    let isAnswered = false
    const answer = get(`/v1/pixel.gif?${PURCHASE}`).finally(() => (isAnswered = true))
    while (intake.given.length === 0) await new Promise(setImmediate)
    expect(isAnswered).toBe(false)
    gate.resolve()
    const { status, headers } = await answer
    expect(status).toBe(200)
    expect(headers.get('content-type')).toBe('image/gif')
    expect(headers.get('cache-control')).toBe('no-store')
    expect(headers.get('holdfast-error')).toBeNull()
    const bytes = Buffer.from(await (await answer).arrayBuffer())
    expect(bytes.length).toBe(43)
    expect(bytes.subarray(0, 6).toString()).toBe('GIF89a')
    expect(intake.taken).toMatchObject([{ type: 'conversion', event_id: 'b1', value: 3, props: { bot: true } }])
  })

  it.each([
    ['e=Foo&uid=u&px=p', 400, 'EVENT_FIELD_INVALID'],
    ['', 400, 'EVENT_FIELD_MISSING'],
    ['e=PageView&uid=u&ts=soon', 400, 'EVENT_FIELD_MISSING'],
    ['e=Lead&uid=%00&px=p', 400, 'EVENT_FIELD_INVALID'],
    ['j=%7B', 400, 'EVENT_JSON'],
    ['e=erase&uid=u', 501, 'NOT_IMPLEMENTED'],
  ])('%s is answered with the image and %i, and counted as %s', async (query, status, code) => {
    const intake = new RecordingIntake()
    const { get, metrics } = await open(intake)
    const answer = await get(`/v1/pixel.gif?${query}`)
    expect([answer.status, answer.headers.get('holdfast-error')]).toEqual([status, code])
    expect(Buffer.from(await answer.arrayBuffer())).toEqual(GIF)
    expect(intake.given).toHaveLength(1)
    expect(await metrics.text()).toContain(`holdfast_http_events_total{outcome="${code}"} 1`)
  })

  it('is answered with 503 and when to ask again while the log is away or full', async () => {
    const intake = new RecordingIntake()
    const { get } = await open(intake)
    intake.away = AWAY
    const answer = await get(`/v1/pixel.gif?${PURCHASE}`)
    expect([answer.status, answer.headers.get('retry-after')]).toEqual([503, '1'])
    expect(answer.headers.get('holdfast-error')).toBe('LOG_UNAVAILABLE')
    expect(Buffer.from(await answer.arrayBuffer())).toEqual(GIF)
    intake.away = { kind: 'full', cause: 'full' }
    expect((await get(`/v1/pixel.gif?${PURCHASE}`)).headers.get('holdfast-error')).toBe('LOG_FULL')
  })

  it('is not taken for an event by who only asks whether it is there', async () => {
    const intake = new RecordingIntake()
    await open(intake)
    await fetch(`${server!.url}/v1/pixel.gif?${PURCHASE}`, { method: 'HEAD' })
    expect(intake.given).toEqual([])
  })
})

describe('collect', () => {
  const event = { e: 'Purchase', eid: 'b1', uid: 'u1', px: 'shop-1' }
  const taken = { type: 'conversion', event_id: 'b1', user_id: 'u1', event_time: NOW }

  it.each([
    ['a beacon', JSON.stringify(event), 'text/plain;charset=UTF-8'],
    ['JSON', JSON.stringify(event), 'application/json'],
    ['a form', 'e=Purchase&eid=b1&uid=u1&px=shop-1', 'application/x-www-form-urlencoded; charset=utf-8'],
  ])('takes %s and says no more than that', async (_, body, type) => {
    const intake = new RecordingIntake()
    const { post } = await open(intake)
    const answer = await post('/v1/collect', body, { 'content-type': type })
    expect([answer.status, await answer.text()]).toEqual([204, ''])
    expect(intake.taken).toMatchObject([taken])
  })

  it('takes the sound events of an array, and names the first that is none', async () => {
    const intake = new RecordingIntake()
    const { post } = await open(intake)
    const answer = await post('/v1/collect', [event, { ...event, uid: ['x'] }, { ...event, eid: 'b2' }], JSON_TYPE)
    expect(answer.status).toBe(400)
    expect(answer.headers.get('holdfast-error')).toBe('EVENT_FIELD_INVALID')
    expect((await answer.json()) as object).toMatchObject({ error: { code: 'EVENT_FIELD_INVALID', field: 'user_id' } })
    expect(intake.taken.map(({ event_id }) => event_id)).toEqual(['b1', 'b2'])
  })

  it('says back no name that it was sent', async () => {
    const { post } = await open(new RecordingIntake())
    const answer = await post('/v1/collect', { ...event, secret_id: 7 }, JSON_TYPE)
    expect([answer.status, await answer.text()]).toEqual([400, expect.not.stringContaining('secret')])
  })

  it('is 503 while the log is away, whatever else was refused', async () => {
    const intake = new RecordingIntake()
    const { post } = await open(intake)
    intake.away = AWAY
    const answer = await post('/v1/collect', event, JSON_TYPE)
    expect([answer.status, answer.headers.get('retry-after')]).toEqual([503, '1'])
  })

  it.each<[string, unknown, string, number]>([
    ['nothing', '', 'text/plain', 400],
    ['no JSON', '{', 'text/plain', 400],
    ['an empty array', '[]', 'text/plain', 400],
    ['no UTF-8', Buffer.from([0x22, 0xff, 0x22]), 'text/plain', 400],
    ['too many events', Array(COLLECT_EVENTS_MAX + 1).fill(event), 'application/json', 413],
    ['too many bytes', 'x'.repeat(COLLECT_BODY_BYTES_MAX + 1), 'text/plain', 413],
    ['another type', '<e/>', 'application/xml', 415],
  ])('refuses %s', async (_, body, type, status) => {
    const { post } = await open(new RecordingIntake())
    expect((await post('/v1/collect', body, { 'content-type': type })).status).toBe(status)
  })

  it('takes as many events and bytes as it says', async () => {
    const intake = new RecordingIntake()
    const { post } = await open(intake)
    const many = Array.from({ length: COLLECT_EVENTS_MAX }, (_, i) => ({ ...event, eid: `b${i}` }))
    const body = JSON.stringify(many).padEnd(COLLECT_BODY_BYTES_MAX)
    expect((await post('/v1/collect', body, { 'content-type': 'text/plain' })).status).toBe(204)
    expect(intake.taken).toHaveLength(COLLECT_EVENTS_MAX)
  })
})

describe('the Conversions API', () => {
  const event = (id: string) => {
    return { event_name: 'Lead', event_time: NOW / 1000, event_id: id, user_data: { external_id: 'u1' } }
  }
  const call = (door: Door, body: unknown, query = '') => door.post(`/v1/shop-1/events${query}`, body, JSON_TYPE)

  it('answers as Meta does', async () => {
    const intake = new RecordingIntake()
    const door = await open(intake, { advertisers: { 'shop-1': 'acme' } })
    const answer = await call(door, { data: [event('a'), event('b')], test_event_code: 'TEST1' })
    expect([answer.status, await answer.json()]).toEqual([200, { events_received: 2, messages: [] }])
    expect(intake.taken).toMatchObject([
      { type: 'lead', event_id: 'a', event_time: NOW, pixel_id: 'shop-1', advertiser_id: 'acme', source: 'server' },
      { event_id: 'b' },
    ])
  })

  it('takes what is sound beside what is not, and says which is not', async () => {
    const intake = new RecordingIntake()
    const door = await open(intake)
    const deep = JSON.parse(`${'['.repeat(5000)}${']'.repeat(5000)}`) as unknown
    const bad = [{ ...event('x'), event_name: 'ViewContent' }, 7, { ...event('y'), custom_data: { contents: 1 } }]
    const text = JSON.stringify({ data: [event('a'), ...bad, 'DEEP', event('b')] }).replace('"DEEP"', deepText(deep))
    const answer = await call(door, text)
    expect([answer.status, answer.headers.get('holdfast-error')]).toEqual([400, 'EVENT_FIELD_INVALID'])
    expect(await answer.json()).toEqual({
      events_received: 3,
      messages: [
        'data[1].event_name: EVENT_FIELD_INVALID',
        'data[2].event_name: EVENT_FIELD_MISSING',
        'data[4]: EVENT_JSON',
      ],
    })
    expect(intake.taken.map(({ event_id }) => event_id)).toEqual(['a', 'y', 'b'])
  })

  it('is 503 with what was taken while the log is away', async () => {
    const intake = new RecordingIntake()
    const door = await open(intake)
    intake.away = AWAY
    const answer = await call(door, { data: [event('a')] })
    expect([answer.status, answer.headers.get('retry-after')]).toEqual([503, '1'])
    expect(await answer.json()).toEqual({ events_received: 0, messages: ['data[0]: LOG_UNAVAILABLE (send it again)'] })
  })

  it.each<[string, unknown, number]>([
    ['no JSON', '{', 400],
    ['no object', [event('a')], 400],
    ['no data', { events: [] }, 400],
    ['empty data', { data: [] }, 400],
    ['data that is no array', { data: { 0: event('a'), length: 1 } }, 400],
    ['too many', { data: Array(CONVERSIONS_MAX + 1).fill({}) }, 413],
    ['too large', ' '.repeat(HTTP_LIMITS.bodyBytes + 1), 413],
  ])('refuses %s', async (_, body, status) => {
    const intake = new RecordingIntake()
    const answer = await call(await open(intake), body)
    expect([answer.status, intake.given.length]).toEqual([status, 0])
  })

  it('takes as many as Meta does', async () => {
    const intake = new RecordingIntake()
    const data = Array.from({ length: CONVERSIONS_MAX }, (_, i) => event(`e${i}`))
    expect(await (await call(await open(intake), { data })).json()).toMatchObject({ events_received: CONVERSIONS_MAX })
  })

  it('asks for a token that may write, in the header, the query or the body', async () => {
    const writer = newToken(['write'], 'test')
    const reader = newToken(['read'], 'test')
    const stranger = newToken(['write'], 'other')
    const tokens = Tokens.parse([writer, reader, stranger].map(({ line }) => line).join('\n'))
    const intake = new RecordingIntake()
    const door = await open(intake, {}, tokens)
    const body = { data: [event('a')] }
    const status = async (answer: Promise<Response>) => (await answer).status
    expect(await status(call(door, body))).toBe(401)
    expect(await status(call(door, { ...body, access_token: 'EAAB-guess' }))).toBe(401)
    expect(await status(call(door, { ...body, access_token: reader.token }))).toBe(403)
    expect(await status(call(door, body, `?access_token=${stranger.token}`))).toBe(403)
    expect(intake.given).toEqual([])
    expect(await status(call(door, body, `?access_token=${writer.token}`))).toBe(200)
    expect(await status(call(door, { ...body, access_token: writer.token }))).toBe(200)
    const authorization = `Bearer ${writer.token}`
    expect(await status(door.post('/v1/shop-1/events', body, { ...JSON_TYPE, authorization }))).toBe(200)
    expect(JSON.stringify(intake.taken)).not.toContain('hf_')
    // Pages have no tokens.
    expect(await status(door.get(`/v1/pixel.gif?${PURCHASE}`))).toBe(200)
    expect(await status(door.post('/v1/collect', { e: 'Lead', uid: 'u', px: 'p' }))).toBe(204)
  })

  it('does not let tokens be guessed for ever', async () => {
    const tokens = Tokens.parse(newToken(['write'], 'test').line)
    const door = await open(new RecordingIntake(), {}, tokens)
    for (let i = 0; i < HTTP_LIMITS.failuresPerMinute; i++) expect((await call(door, { data: [] })).status).toBe(401)
    expect((await call(door, { data: [] })).status).toBe(429)
  })

  it('counts failures in one limit, wherever the token stood; a valid one in the header passes', async () => {
    const { token, line } = newToken(['write'], 'test')
    const door = await open(new RecordingIntake(), {}, Tokens.parse(line))
    const wrong = [
      () => call(door, { data: [], access_token: `${token}x` }),
      () => call(door, { data: [] }, `?access_token=${token}x`),
      () => door.post('/v1/events', '', { authorization: `Bearer ${token}x` }),
      () => door.post('/v1/shop-1/events', '', { authorization: `Bearer ${token}x` }),
    ]
    for (let i = 0; i < HTTP_LIMITS.failuresPerMinute; i++) expect((await wrong[i % wrong.length]!()).status).toBe(401)
    for (const ask of wrong) expect((await ask()).status).toBe(429)
    const authorization = `Bearer ${token}`
    const good = await door.post('/v1/shop-1/events', { data: [event('a')] }, { ...JSON_TYPE, authorization })
    expect(good.status).toBe(200)
  })

  it('reads no body for a wrong token in the header or the query, nor for an address that failed too often', async () => {
    const { token, line } = newToken(['write'], 'test')
    const door = await open(new RecordingIntake(), {}, Tokens.parse(line))
    // The body is promised and never sent: who waits for it answers 408 much later.
    const bodiless = async (path: string, header = '') => {
      const head = `POST ${path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n${header}`
      return statusIn(
        await rawExchange(server!.url, `${head}Content-Type: application/json\r\nContent-Length: 9\r\n\r\n`),
      )
    }
    expect(await bodiless('/v1/shop-1/events', `Authorization: Bearer ${token}x\r\n`)).toBe(401)
    expect(await bodiless(`/v1/shop-1/events?access_token=${token}x`)).toBe(401)
    for (let i = 2; i < HTTP_LIMITS.failuresPerMinute; i++) expect((await call(door, { data: [] })).status).toBe(401)
    expect(await bodiless('/v1/shop-1/events')).toBe(429)
  })
})

const deepText = (value: unknown): string => {
  let levels = 0
  for (let inner = value; Array.isArray(inner); inner = inner[0]) levels++
  return '['.repeat(levels) + ']'.repeat(levels)
}

describe('origins', () => {
  const asks = { origin: SHOP, 'access-control-request-method': 'POST' }
  const preflight = (headers: Record<string, string>) =>
    fetch(`${server!.url}/v1/collect`, { method: 'OPTIONS', headers })
  const allowed = ({ headers }: Response) => headers.get('access-control-allow-origin')

  it('that are configured may read answers and ask before they send JSON', async () => {
    const { post } = await open(new RecordingIntake(), { corsOrigins: () => [SHOP] })
    const answer = await post('/v1/collect', '{', { origin: SHOP, 'content-type': 'text/plain' })
    expect([allowed(answer), answer.headers.get('vary')]).toEqual([SHOP, 'Origin'])
    expect(answer.headers.get('access-control-expose-headers')).toContain('holdfast-error')
    const { status, headers } = await preflight(asks)
    expect([status, headers.get('access-control-max-age')]).toEqual([204, '7200'])
    expect(headers.get('access-control-allow-headers')).toContain('content-type')
    expect(headers.get('access-control-allow-credentials')).toBeNull()
  })

  it.each([
    'https://evil.example',
    `${SHOP}.evil.example`,
    'https://SHOP.example',
    'http://shop.example',
    `${SHOP}:8443`,
    'null',
    '*',
    '',
  ])('that are not get nothing: %s', async (origin) => {
    const { post } = await open(new RecordingIntake(), { corsOrigins: () => [SHOP] })
    const answer = await post('/v1/collect', { e: 'Lead', uid: 'u', px: 'p' }, { origin })
    // Nothing is asked of who only sends.
    expect([answer.status, allowed(answer)]).toEqual([204, null])
    const asked = await preflight({ ...asks, origin })
    expect([asked.status, allowed(asked)]).toEqual([403, null])
  })

  it('none are configured: nobody may read, and OPTIONS without a question is answered', async () => {
    await open(new RecordingIntake())
    expect((await preflight(asks)).status).toBe(403)
    const answer = await preflight({})
    expect([answer.status, answer.headers.get('allow')]).toEqual([204, 'OPTIONS, POST'])
  })

  it.each(['*', 'null', 'shop.example', `${SHOP}/`, `${SHOP}/path`, 'HTTPS://shop.example', 'https://*.example', ''])(
    'are refused at start when they are none: %s',
    async (origin) => {
      await expect(open(new RecordingIntake(), { corsOrigins: () => [origin] })).rejects.toThrow(/no origin/)
    },
  )
})

describe('the script', () => {
  const source = readFileSync(join(import.meta.dirname, '..', '..', 'web', 'pixel', 'holdfast.js'), 'utf8')

  it('is served in under 2 KB, to be kept for an hour and asked for by its tag', async () => {
    const { get } = await open(new RecordingIntake())
    const answer = await get('/holdfast.js')
    const text = await answer.text()
    expect(Buffer.byteLength(text)).toBeLessThan(SCRIPT_BYTES_MAX)
    expect(text).toBe(stripped(source))
    expect(answer.headers.get('content-type')).toBe('text/javascript; charset=utf-8')
    expect(answer.headers.get('cache-control')).toBe('public, max-age=3600')
    const etag = answer.headers.get('etag')!
    const again = await get('/holdfast.js', { 'if-none-match': `W/"x", ${etag}` })
    expect([again.status, await again.text()]).toEqual([304, ''])
    expect((await get('/holdfast.js', { 'if-none-match': '"other"' })).status).toBe(200)
  })

  it('is what stands in the source, without what has no meaning (PS1)', () => {
    expect(() => new Script(stripped(source))).not.toThrow()
    const meaning = (text: string) => text.replaceAll(/^\s*\/\/.*$/gm, '').replaceAll(/\s+/g, '')
    expect(meaning(stripped(source))).toBe(meaning(source))
    const texts = (text: string) => text.replaceAll(/^\s*\/\/.*$/gm, '').match(/'[^'\n]*'|`[^`\n]*`/g)
    expect(texts(stripped(source))).toEqual(texts(source))
  })

  it.each([
    ['const a = 1\n\n  // what\n  const b = [1, 2]', 'const a=1\nconst b=[1,2]'],
    ["say('a = b', `{ c }`)\n( d )", "say('a = b',`{ c }`)\n(d)"],
    ['if (a) {\n  b()\n}\nc()', 'if(a){b()}\nc()'],
    ['return a\nelse b in c', 'return a\nelse b in c'],
  ])('%j becomes %j', (from, to) => expect(stripped(from)).toBe(to))
})

it('what was answered with success is in the log (the real intake, on a simulated log)', async () => {
  const graph = {
    namespace: 'px',
    name: 'p',
    clock: 'data',
    partitions: 1,
    latenessMs: 0,
    anonymous: 'reject',
    accepted: 'records',
  }
  const plan = pageViewGraph(graph as never)
  const fake = new FakeLogServer({ seed: 7 })
  const log = fake.connect('door')
  await ensureStreams(log, streamSpecs(plan, { totalBytes: 64 * 1024 * 1024, replicas: 1 }))
  const { get, post } = await open(new Ingest({ plan, log, runtime: { now: () => NOW } }))
  expect((await get(`/v1/pixel.gif?${PURCHASE}`)).status).toBe(200)
  expect((await post('/v1/collect', { e: 'Lead', eid: 'l1', uid: 'u1', px: 'p' })).status).toBe(204)
  expect((await get('/v1/pixel.gif?e=Foo')).headers.get('holdfast-error')).toBe('EVENT_FIELD_MISSING')
  expect((await get('/v1/pixel.gif?e=erase&uid=u1')).status).toBe(501)
  const streams = streamSpecs(plan, { totalBytes: 64 * 1024 * 1024, replicas: 1 }).map(({ name }) => name)
  const stored = streams.flatMap((name) => fake.stored(name)).map(({ payload }) => Buffer.from(payload).toString())
  expect(stored.map((text) => (JSON.parse(text) as { event_id: string }).event_id)).toEqual(['b1', 'l1'])
})

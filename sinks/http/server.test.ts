// The door itself: who comes in, what is answered to what cannot, and every limit reached once. A real server on loopback.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Type } from '@fastify/type-provider-typebox'
import type { RouteShorthandOptions } from 'fastify'
import { afterEach, describe, expect, it } from 'vitest'
import { FakeLogServer } from '../../log/fake-log.ts'
import { type Door, type DoorOptions, NAMESPACE, openDoor, rawExchange, statusIn } from '../../test/abuse/door.ts'
import type { App } from './app.ts'
import { newToken, Tokens } from './auth.ts'

const doors: Door[] = []
async function open(options: Omit<DoorOptions, 'log'> = {}): Promise<Door> {
  const door = await openDoor({ log: new FakeLogServer({ seed: 1 }).connect('door'), ...options })
  doors.push(door)
  return door
}
afterEach(async () => {
  await Promise.all(doors.splice(0).map((door) => door.close()))
})

/** Status, and the code of the error; every error has its one shape. */
async function outcome(answer: Response): Promise<string> {
  if (answer.status < 400) return String(answer.status)
  const body = (await answer.json()) as { error: { code: string }; request_id: string }
  expect(
    Object.keys(body).filter((name) => !['error', 'request_id', 'taken', 'refused', 'events'].includes(name)),
  ).toEqual([])
  expect(body.request_id).toMatch(/^[0-9a-f]{16}$/)
  expect(JSON.stringify(body)).not.toMatch(/node_modules|\.ts:\d|\\n/)
  return `${answer.status} ${body.error.code}`
}

const Echo = Type.Object({ key: Type.String() })
/** Routes as others write them: with parameters, a schema, and a bug. */
function testRoutes(app: App): void {
  const schema = { summary: 'A test', response: { 200: Echo } }
  app.get(
    '/v1/things/:key',
    {
      config: { scope: 'read' },
      schema: {
        ...schema,
        querystring: Type.Object({ at: Type.Optional(Type.Integer()) }, { additionalProperties: false }),
      },
    },
    async ({ params }) => ({ key: (params as { key: string }).key }),
  )
  app.delete('/v1/things/:key', { config: { scope: 'erase' }, schema }, async () => ({ key: 'gone' }))
  app.post('/v1/things', { config: { scope: 'read' }, schema: { ...schema, body: Echo } }, async ({ body }) => body)
  app.get('/v1/bug', { config: { scope: 'public' }, schema }, async (): Promise<{ key: string }> => {
    throw new Error('secret inside')
  })
  app.get('/v1/slow', { config: { scope: 'read' }, schema }, async () => sleep(300, { key: 'slow' }))
  app.get('/v1/endless', { config: { scope: 'read' }, schema }, async () =>
    sleep(60_000, { key: 'endless' }, { ref: false }),
  )
}

describe('what no route answers', () => {
  it.each([
    ['GET', '/nope', '404 NOT_FOUND', null],
    ['POST', '/nope', '404 NOT_FOUND', null],
    ['GET', '/', '404 NOT_FOUND', null],
    ['GET', '/healthz/', '404 NOT_FOUND', null],
    ['GET', '/HEALTHZ', '404 NOT_FOUND', null],
    ['GET', '/healthz;x', '404 NOT_FOUND', null],
    ['GET', '/v1/events', '405 METHOD', 'OPTIONS, POST'],
    ['PUT', '/v1/events', '405 METHOD', 'OPTIONS, POST'],
    ['POST', '/healthz', '405 METHOD', 'GET, HEAD, OPTIONS'],
    ['PROPFIND', '/healthz', '405 METHOD', 'GET, HEAD, OPTIONS'],
    ['PATCH', '/v1/things/a', '405 METHOD', 'DELETE, GET, HEAD, OPTIONS'],
    ['OPTIONS', '/v1/things/a', '204', 'DELETE, GET, HEAD, OPTIONS'],
    ['HEAD', '/healthz', '200', null],
    ['GET', '/v1/things/%zz', '400 BAD_URL', null],
    ['GET', '/v1/things/%ff', '400 BAD_URL', null],
  ])('%s %s: %s', async (method, path, expected, allow) => {
    const { url } = await open({ more: [testRoutes] })
    const answer = await fetch(url + path, { method, ...(method === 'PUT' ? { body: 'x' } : {}) })
    expect(await outcome(answer)).toBe(expected)
    expect(answer.headers.get('allow')).toBe(allow)
  })

  it('is answered before its body is read', async () => {
    const { url } = await open()
    const post = { method: 'POST', headers: { 'content-type': 'application/json' }, body: '{' }
    expect(await outcome(await fetch(`${url}/nope`, post))).toBe('404 NOT_FOUND')
    expect(await outcome(await fetch(`${url}/healthz`, post))).toBe('405 METHOD')
  })

  it('keys are bytes, never paths: dots and encoded slashes stay in their segment, and long ones arrive', async () => {
    const { url } = await open({ more: [testRoutes] })
    for (const key of ['..%2f..%2fetc', 'a%00b', '%2e%2e%2f', 'x'.repeat(128), '%F0%9F%98%80'.repeat(32)]) {
      const answer = await fetch(`${url}/v1/things/${key}`)
      expect(await answer.json()).toEqual({ key: decodeURIComponent(key) })
    }
  })
})

describe('errors', () => {
  it.each([
    ['a query that is not declared', '/v1/things/a?ta=1', '400 INVALID_REQUEST'],
    ['a query of the wrong type', '/v1/things/a?at=soon', '400 INVALID_REQUEST'],
    ['a query given twice', '/v1/things/a?at=1&at=2', '400 INVALID_REQUEST'],
    ['a bug', '/v1/bug', '500 INTERNAL'],
  ])('%s', async (_, path, expected) => {
    const { url } = await open({ more: [testRoutes] })
    expect(await outcome(await fetch(url + path))).toBe(expected)
  })

  it('names a declared field, and repeats nothing that was sent', async () => {
    const { url } = await open({ more: [testRoutes] })
    const answer = await fetch(`${url}/v1/things/zebra-key?at=zebra-value`)
    const text = await answer.text()
    expect(JSON.parse(text).error.field).toBe('at')
    expect(text).not.toContain('zebra')
    const unknown = await (await fetch(`${url}/v1/things/a?zebra=1`)).text()
    expect(unknown).not.toContain('zebra')
  })

  it.each([
    ['no JSON', 'application/json', '{', '400 BAD_JSON'],
    ['nothing', 'application/json', '', '400 BAD_JSON'],
    ['a poisoned prototype', 'application/json', '{"key":"a","__proto__":{}}', '400 BAD_JSON'],
    ['a missing field', 'application/json', '{}', '400 INVALID_REQUEST'],
    ['another content type', 'text/plain', '{"key":"a"}', '415 MEDIA_TYPE'],
    ['no sensible content type', 'nonsense', '{"key":"a"}', '415 MEDIA_TYPE'],
  ])('a body that is %s', async (_, type, body, expected) => {
    const { url } = await open({ more: [testRoutes] })
    const answer = await fetch(`${url}/v1/things`, { method: 'POST', headers: { 'content-type': type }, body })
    expect(await outcome(answer)).toBe(expected)
  })

  it.each([
    ['garbage', 'EHLO example\r\n\r\n', 400],
    ['a TLS greeting', Buffer.from([22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3]), 400],
    ['no host', 'GET /healthz HTTP/1.1\r\nConnection: close\r\n\r\n', 400],
    ['two lengths', 'POST /v1/events HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab', 400],
    [
      'length and chunks',
      'POST /v1/events HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
      400,
    ],
    ['NUL in a header', 'GET /healthz HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n', 400],
    [
      'another encoding of the body',
      'POST /v1/events HTTP/1.1\r\nHost: a\r\nContent-Encoding: gzip\r\nContent-Length: 1\r\nConnection: close\r\n\r\na',
      415,
    ],
    ['an expectation', 'GET /healthz HTTP/1.1\r\nHost: a\r\nExpect: tea\r\nConnection: close\r\n\r\n', 417],
  ])('%s on the socket', async (_, bytes, status) => {
    const { url } = await open()
    const answer = await rawExchange(url, bytes)
    expect(statusIn(answer)).toBe(status)
    expect(answer.toLowerCase()).toContain('content-type: application/json')
    const body = JSON.parse(answer.slice(answer.indexOf('\r\n\r\n')))
    expect(body).toEqual({
      error: { code: expect.any(String), message: expect.any(String) },
      request_id: expect.any(String),
    })
  })
})

describe('limits', () => {
  it('of a body', async () => {
    const { url } = await open({ limits: { bodyBytes: 1_000 } })
    const post = (bytes: number) =>
      fetch(`${url}/v1/events`, {
        method: 'POST',
        headers: { 'content-type': 'application/x-ndjson' },
        body: ' '.repeat(bytes),
      })
    expect(await outcome(await post(1_000))).toBe('200')
    expect(await outcome(await post(1_001))).toBe('413 BODY_TOO_LARGE')
  })

  it('of a body that does not say how long it is', async () => {
    const { url } = await open({ limits: { bodyBytes: 1_000 } })
    const head =
      'POST /v1/events HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n'
    expect(statusIn(await rawExchange(url, `${head}3e9\r\n${' '.repeat(1_001)}\r\n`))).toBe(413)
  })

  it('of headers', async () => {
    const { url } = await open()
    const lines = Array.from({ length: 10_000 }, (_, i) => `x-${i}: 1\r\n`).join('')
    expect(statusIn(await rawExchange(url, `GET /healthz HTTP/1.1\r\nHost: a\r\n${lines}\r\n`))).toBe(431)
  })

  it('of the bytes of headers', async () => {
    const { url } = await open({ limits: { headerBytes: 2_000 } })
    const get = (bytes: number) =>
      `GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\nX: ${'y'.repeat(bytes)}\r\n\r\n`
    expect(statusIn(await rawExchange(url, get(1_800)))).toBe(200)
    expect(statusIn(await rawExchange(url, get(2_100)))).toBe(431)
  })

  it('of the time for headers, and for a body', async () => {
    const { url } = await open({ limits: { headersMs: 300, requestMs: 600 } })
    const [headers, body] = await Promise.all([
      rawExchange(url, 'GET /healthz HTTP/1.1\r\nHost: a\r\n'),
      rawExchange(
        url,
        'POST /v1/events HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{',
      ),
    ])
    expect([statusIn(headers), statusIn(body)]).toEqual([408, 408])
  })

  it('of an unused connection', async () => {
    const { url } = await open({ limits: { keepAliveMs: 200 } })
    const started = performance.now()
    expect(statusIn(await rawExchange(url, 'GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n'))).toBe(200)
    expect(performance.now() - started).toBeLessThan(5_000)
  })

  it('of silence in the middle of an answer', async () => {
    const { url } = await open({ limits: { silenceMs: 100 }, more: [testRoutes] })
    expect(await rawExchange(url, 'GET /v1/slow HTTP/1.1\r\nHost: a\r\n\r\n')).toBe('')
  })

  it('of connections of one address: others come in, and so do all clients of a proxy', async () => {
    const taken = async (trustedProxies: string[]) => {
      const { url } = await open({
        limits: { connections: 10, connectionsOfAddress: 3 },
        trustedProxies: () => trustedProxies,
      })
      const { hostname, port } = new URL(url)
      const sockets = Array.from({ length: 6 }, () => connect(Number(port), hostname).on('error', () => undefined))
      const closed = sockets.map((socket) => new Promise<number>((settle) => socket.once('close', () => settle(1))))
      await sleep(150)
      const count = await Promise.all(closed.map((one) => Promise.race([one, 0])))
      const other = connect({ port: Number(port), host: hostname, localAddress: '127.0.0.2' })
      other.write('GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n')
      let answer = ''
      for await (const part of other) answer += part
      for (const socket of sockets) socket.destroy()
      return [count.filter((one) => one === 1).length, statusIn(answer)]
    }
    expect(await taken([])).toEqual([3, 200])
    expect(await taken(['127.0.0.0/8'])).toEqual([0, 200])
  })

  it('of connections', async () => {
    const { url } = await open({ limits: { connections: 3 } })
    const { hostname, port } = new URL(url)
    const held = await Promise.all(
      [1, 2, 3].map(
        () =>
          new Promise<ReturnType<typeof connect>>((resolve) => {
            const socket = connect(Number(port), hostname, () => resolve(socket))
          }),
      ),
    )
    expect(await rawExchange(url, 'GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n')).toBe('')
    for (const socket of held) socket.destroy()
    await sleep(50)
    expect((await fetch(`${url}/healthz`)).status).toBe(200)
  })

  it('of requests of one client at once: 429, and again when one is over', async () => {
    const { url } = await open({ limits: { concurrent: 2 }, more: [testRoutes] })
    const slow = [1, 2].map(() => fetch(`${url}/v1/slow`))
    await sleep(100)
    const third = await fetch(`${url}/healthz`)
    expect([await outcome(third), third.headers.get('retry-after')]).toEqual(['429 TOO_MANY_REQUESTS', '1'])
    expect((await Promise.all(slow)).map(({ status }) => status)).toEqual([200, 200])
    expect((await fetch(`${url}/healthz`)).status).toBe(200)
  })

  it('of a client that goes away in the middle: its place is free again', async () => {
    const { url } = await open({ limits: { concurrent: 1 }, more: [testRoutes] })
    const gone = new AbortController()
    const slow = fetch(`${url}/v1/slow`, { signal: gone.signal }).catch(() => 'gone')
    await sleep(100)
    gone.abort()
    expect(await slow).toBe('gone')
    await sleep(50)
    expect((await fetch(`${url}/healthz`)).status).toBe(200)
  })

  it('of requests of one client a second', async () => {
    const { url } = await open({ limits: { perSecond: 5 } })
    const statuses: number[] = []
    for (let i = 0; i < 7; i++) statuses.push((await fetch(`${url}/healthz`)).status)
    expect(statuses).toEqual([200, 200, 200, 200, 200, 429, 429])
  })
})

describe('tokens', () => {
  const reader = newToken(['read'], NAMESPACE)
  const writer = newToken(['write'], NAMESPACE)
  const stranger = newToken(['read', 'write'], 'other')
  const late = newToken(['read'], NAMESPACE)
  const expired = JSON.stringify({ ...JSON.parse(late.line), expires: '2020-01-01T00:00:00Z' })
  const tokens = Tokens.parse([reader.line, writer.line, stranger.line, expired].join('\n'))
  const get = (url: string, token: string | null, path = '/v1/things/a') =>
    fetch(url + path, token === null ? {} : { headers: { authorization: `Bearer ${token}` } })

  it('no token, a wrong, a short and an expired one get the same 401', async () => {
    const { url } = await open({ tokens, more: [testRoutes] })
    const answers: unknown[] = []
    for (const token of [null, newToken(['read'], NAMESPACE).token, 'short', late.token]) {
      const answer = await get(url, token)
      const { error } = (await answer.json()) as { error: object }
      answers.push([answer.status, answer.headers.get('www-authenticate'), error])
    }
    expect(answers[0]).toEqual([401, 'Bearer', expect.objectContaining({ code: 'UNAUTHORIZED' })])
    for (const answer of answers) expect(answer).toEqual(answers[0])
  })

  it('a scope lets in where it belongs, a token of another namespace nowhere', async () => {
    const { url } = await open({ tokens, more: [testRoutes] })
    const statuses = async (token: string) => [
      (await get(url, token)).status,
      (await fetch(`${url}/v1/things/a`, { method: 'DELETE', headers: { authorization: `Bearer ${token}` } })).status,
      (
        await fetch(`${url}/v1/events`, {
          method: 'POST',
          headers: { authorization: `Bearer ${token}`, 'content-type': 'application/x-ndjson' },
        })
      ).status,
      (await get(url, token, '/metrics')).status,
      (await get(url, token, '/healthz')).status,
    ]
    expect(await statuses(reader.token)).toEqual([200, 403, 403, 403, 200])
    expect(await statuses(writer.token)).toEqual([403, 403, 200, 403, 200])
    expect(await statuses(stranger.token)).toEqual([403, 403, 403, 403, 200])
  })

  it('many failures from an address: 429 with Retry-After, while a valid token goes on', async () => {
    const { url } = await open({ tokens, limits: { failuresPerMinute: 3 }, more: [testRoutes] })
    const wrong: Response[] = []
    for (let i = 0; i < 5; i++) wrong.push(await get(url, newToken(['read'], NAMESPACE).token))
    expect(wrong.map(({ status }) => status)).toEqual([401, 401, 401, 429, 429])
    expect(Number(wrong[4]!.headers.get('retry-after'))).toBeGreaterThan(15)
    expect((await get(url, reader.token)).status).toBe(200)
  })

  it('limits are by token: what one uses up the other still has', async () => {
    const second = newToken(['read'], NAMESPACE)
    const both = Tokens.parse([reader.line, second.line].join('\n'))
    const door = await open({ tokens: both, limits: { perSecond: 2 }, more: [testRoutes] })
    const statuses: number[] = []
    for (let i = 0; i < 3; i++) statuses.push((await get(door.url, reader.token)).status)
    statuses.push((await get(door.url, second.token)).status)
    expect(statuses).toEqual([200, 200, 429, 200])
  })
})

describe('behind a proxy', () => {
  const { token, line } = newToken(['read'], NAMESPACE)
  const wrong = (url: string, forwarded: string) =>
    fetch(`${url}/v1/things/a`, { headers: { authorization: `Bearer ${token}x`, 'x-forwarded-for': forwarded } })
  const statuses = async (url: string, ...forwarded: string[]) => {
    const found: number[] = []
    for (const from of forwarded) found.push((await wrong(url, from)).status)
    return found
  }
  const options = { tokens: Tokens.parse(line), limits: { failuresPerMinute: 2 }, more: [testRoutes] }

  it('each client has a limit of its own, and what it writes into the header itself does not count', async () => {
    const { url } = await open({ ...options, trustedProxies: () => ['127.0.0.0/8', '10.0.0.0/8'] })
    expect(await statuses(url, '203.0.113.1', '203.0.113.1', '203.0.113.1', '203.0.113.2')).toEqual([
      401, 401, 429, 401,
    ])
    // The proxy adds who asked to what was there.
    expect(await statuses(url, '198.51.100.1, 203.0.113.2, 10.1.1.1', '198.51.100.2, 203.0.113.2')).toEqual([401, 429])
  })

  it('no proxy is trusted that is not configured', async () => {
    for (const trustedProxies of [[], ['10.0.0.0/8']]) {
      const { url } = await open({ ...options, trustedProxies: () => trustedProxies })
      expect(await statuses(url, '203.0.113.1', '203.0.113.2', '203.0.113.3')).toEqual([401, 401, 429])
    }
  })

  it('public routes are limited by the client as well', async () => {
    const { url } = await open({ trustedProxies: () => ['127.0.0.0/8'], limits: { perSecond: 1 } })
    const look = async (from: string) =>
      (await fetch(`${url}/healthz`, { headers: { 'x-forwarded-for': from } })).status
    expect([await look('203.0.113.1'), await look('203.0.113.1'), await look('203.0.113.2')]).toEqual([200, 429, 200])
  })

  it('what is no network is refused at start', async () => {
    await expect(open({ trustedProxies: () => ['all'] })).rejects.toThrow(/no network: all/)
  })
})

describe('pages of another origin', () => {
  const SHOP = 'https://shop.example'
  const { token, line } = newToken(['read'], NAMESPACE)
  const asks = {
    origin: SHOP,
    'access-control-request-method': 'GET',
    'access-control-request-headers': 'authorization',
  }
  const preflight = (url: string, path: string, headers: Record<string, string> = asks) =>
    fetch(url + path, { method: 'OPTIONS', headers })
  const opened = (more: Partial<DoorOptions> = {}) =>
    open({ tokens: Tokens.parse(line), corsOrigins: () => [SHOP], more: [testRoutes], ...more })

  it('that are configured are told what they may ask before there is a token, and read with one', async () => {
    const { url } = await opened()
    const asked = await preflight(url, '/v1/things/a')
    expect([asked.status, asked.headers.get('access-control-allow-origin')]).toEqual([204, SHOP])
    expect(asked.headers.get('access-control-allow-headers')).toContain('authorization')
    expect(asked.headers.get('access-control-allow-methods')).toBe('DELETE, GET, HEAD, OPTIONS')
    expect(asked.headers.get('access-control-allow-credentials')).toBeNull()
    const headers = { origin: SHOP, authorization: `Bearer ${token}` }
    const read = await fetch(`${url}/v1/things/a`, { headers })
    expect([read.status, read.headers.get('access-control-allow-origin')]).toEqual([200, SHOP])
    expect(read.headers.get('vary')).toBe('Origin')
  })

  it('read errors too: what a token lacks, and when to ask again', async () => {
    const { url } = await opened({ limits: { failuresPerMinute: 1 } })
    for (const expected of [401, 429]) {
      const { status, headers } = await fetch(`${url}/v1/things/a`, { headers: { origin: SHOP } })
      expect([status, headers.get('access-control-allow-origin')]).toEqual([expected, SHOP])
      expect(headers.get('access-control-expose-headers')).toContain('retry-after')
    }
  })

  it('that are not configured get nothing, and a preflight is no way past the door', async () => {
    const { url } = await opened()
    const evil = { ...asks, origin: 'https://evil.example' }
    const asked = await preflight(url, '/v1/things/a', evil)
    expect([await outcome(asked), asked.headers.get('access-control-allow-origin')]).toEqual(['403 ORIGIN', null])
    const read = await fetch(`${url}/v1/things/a`, { headers: { ...evil, authorization: `Bearer ${token}` } })
    expect([read.status, read.headers.get('access-control-allow-origin')]).toEqual([200, null])
    expect(await outcome(await preflight(url, '/nope'))).toBe('404 NOT_FOUND')
    const limited = await opened({ limits: { perSecond: 1 } })
    expect((await preflight(limited.url, '/v1/things/a')).status).toBe(204)
    expect((await preflight(limited.url, '/v1/things/a')).status).toBe(429)
  })
})

describe('where it listens', () => {
  it.each(['0.0.0.0', '::', '192.168.1.1', '128.0.0.1', 'example.org', '127.example.org'])(
    '%s needs tokens',
    async (host) => {
      await expect(open({ host })).rejects.toMatchObject({
        code: 'USAGE',
        message: expect.stringContaining('--token-file'),
      })
    },
  )

  it('anywhere with tokens, and on every name of loopback without', async () => {
    const { token, line } = newToken(['metrics'], NAMESPACE)
    const { url } = await open({ host: '0.0.0.0', tokens: Tokens.parse(line) })
    const port = new URL(url).port
    expect((await fetch(`http://127.0.0.1:${port}/metrics`)).status).toBe(401)
    const answer = await fetch(`http://127.0.0.1:${port}/metrics`, { headers: { authorization: `Bearer ${token}` } })
    expect(answer.status).toBe(200)
    expect(new URL((await open()).url).hostname).toBe('127.0.0.1')
    expect((await fetch(`${(await open({ host: 'localhost' })).url}/healthz`)).status).toBe(200)
  })

  it('a port that is taken is USAGE', async () => {
    const { url } = await open()
    await expect(open({ port: Number(new URL(url).port) })).rejects.toMatchObject({ code: 'USAGE' })
  })
})

describe('the OpenAPI document', () => {
  it('has every route with a summary, its scope and all its answers', async () => {
    const { url } = await open({ more: [testRoutes] })
    const document = (await (await fetch(`${url}/openapi.json`)).json()) as {
      openapi: string
      paths: Record<string, Record<string, { summary: string; security: unknown; responses: Record<string, object> }>>
    }
    expect(document.openapi).toBe('3.1.0')
    const routes = Object.entries(document.paths).flatMap(([path, byMethod]) =>
      Object.entries(byMethod).map(([method, { summary, responses }]) => {
        expect(summary).toBeTruthy()
        return `${method} ${path}: ${Object.keys(responses).join(' ')}`
      }),
    )
    expect(routes).toContain('post /v1/events: 200 400 401 403 408 413 415 429 500 501 503')
    expect(routes).toContain('get /healthz: 200 429 500')
    expect(routes).toContain('get /readyz: 200 429 500 503')
    expect(routes).toContain('get /metrics: 200 401 403 429 500')
    expect(routes).toContain('get /openapi.json: 200 429 500')
    expect(routes).toContain('get /v1/things/{key}: 200 401 403 429 500')
    expect(document.paths['/v1/events']!.post!.security).toEqual([{ token: ['write'] }])
    expect(document.paths['/healthz']!.get!.security).toEqual([])
  })

  it.each([
    ['scope', { schema: { summary: 'x', response: { 200: Echo } } }],
    ['summary', { config: { scope: 'read' as const }, schema: { response: { 200: Echo } } }],
    ['answers', { config: { scope: 'read' as const }, schema: { summary: 'x' } }],
  ])('a route without its %s is refused at start', async (what, route) => {
    await expect(
      open({ more: [(app) => app.get('/bad', route as RouteShorthandOptions, async () => ({ key: '' }))] }),
    ).rejects.toThrow(what)
  })
})

describe('the log', () => {
  it('tells of a bug with its stack and of no secret, no query, no key', async () => {
    const lines: string[] = []
    const { token, line } = newToken(['read'], NAMESPACE)
    const secrets = (app: App) => {
      const schema = { summary: 'x', response: { 200: Echo } }
      app.get('/v1/features/:key', { config: { scope: 'read' }, schema }, async (request) => {
        request.log.warn({ req: request, headers: request.headers, token, deep: { url: { token } } }, 'all')
        request.log.warn({ url: request.url }, 'url')
        throw new Error(`failed with ${request.headers.authorization} at ?access_token=hyena&token=okapi ${token}`)
      })
    }
    const to = { write: (text: string) => void lines.push(text) }
    const { url } = await open({ tokens: Tokens.parse(line), more: [secrets], logging: { to, level: 'debug' } })
    const headers = { authorization: `Bearer ${token}`, cookie: 'session=zebra' }
    const answer = await fetch(`${url}/v1/features/zebra?access_token=zebra&token=${token}`, { headers })
    expect(await outcome(answer)).toBe('500 INTERNAL')
    const text = lines.join('')
    expect(text).toContain('failed with')
    expect(text).toContain('server.test.ts')
    expect(text).toContain('/v1/features/...')
    // Words that no random id spells: those are hex digits and the like.
    for (const secret of [token, token.slice(3), 'zebra', 'hyena', 'okapi']) expect(text).not.toContain(secret)
  })

  it('what a client does wrong is not logged', async () => {
    const lines: string[] = []
    const { url } = await open({ logging: { to: { write: (text: string) => void lines.push(text) }, level: 'warn' } })
    await fetch(`${url}/nope`)
    await rawExchange(url, 'garbage\r\n\r\n')
    expect(lines).toEqual([])
  })
})

it('closing lets a request under way end, and waits for no connection on which nothing is asked', async () => {
  const door = await open({ more: [testRoutes] })
  const { hostname, port } = new URL(door.url)
  const idle = connect(Number(port), hostname)
  idle.on('error', () => undefined)
  const slow = fetch(`${door.url}/v1/slow`)
  await sleep(100)
  const started = performance.now()
  await Promise.all([door.close(), slow.then(({ status }) => expect(status).toBe(200))])
  expect(performance.now() - started).toBeLessThan(4_000)
  idle.destroy()
  doors.length = 0
})

it('closing ends a request that takes too long', async () => {
  const door = await open({ limits: { closeMs: 50 }, more: [testRoutes] })
  const slow = fetch(`${door.url}/v1/endless`).then(
    () => 'answered',
    () => 'cut',
  )
  await sleep(100)
  const started = performance.now()
  await door.close()
  expect(performance.now() - started).toBeLessThan(2_000)
  expect(await slow).toBe('cut')
  doors.length = 0
})

it('a token file comes from disk', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'holdfast-http-'))
  const path = join(dir, 'tokens')
  const { token, line } = newToken(['metrics'], NAMESPACE)
  writeFileSync(path, `${line}\n`, { mode: 0o600 })
  const { url } = await open({ tokens: Tokens.load(path) })
  expect((await fetch(`${url}/metrics`, { headers: { authorization: `bearer ${token}` } })).status).toBe(200)
  rmSync(dir, { recursive: true })
})

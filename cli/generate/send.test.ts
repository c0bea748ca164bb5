// The sender against the front door itself, and against a server that is away, busy or broken as a test needs it.

import { createServer, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, expect, test } from 'vitest'
import { FakeLogServer } from '../../log/fake-log.ts'
import { openDoor } from '../../test/abuse/door.ts'
import { Paced } from './pace.ts'
import type { Arrival } from './scene.ts'
import {
  BATCH_BYTES_MAX,
  BATCH_EVENTS_MAX,
  progressOf,
  RETRY_AFTER_MAX_MS,
  retryAfterMs,
  type SendOptions,
  sendWorld,
} from './send.ts'
import { SPEED_MAX, WORLD_DEFAULTS, world } from './world.ts'
import { Truth } from './world-truth.ts'

interface Reply {
  readonly status: number
  readonly body?: string
  readonly retryAfter?: string
  /** Do not answer at all. */
  readonly hang?: true
  /** Close the connection instead. */
  readonly drop?: true
}

const close: (() => void)[] = []
afterEach(() => {
  for (const end of close.splice(0)) end()
})

/** A server that answers the n-th request as told, and 200 to all others. */
async function door(replies: Record<number, Reply> = {}) {
  const bodies: string[] = []
  const requests: IncomingMessage[] = []
  const server = createServer(async (request, response) => {
    let body = ''
    for await (const chunk of request) body += chunk
    bodies.push(body)
    requests.push(request)
    const reply = replies[bodies.length] ?? { status: 200 }
    if (reply.hang) return
    if (reply.drop) {
      request.socket.destroy()
      return
    }
    if (reply.retryAfter !== undefined) response.setHeader('retry-after', reply.retryAfter)
    const taken = body.split('\n').length - 1
    response.writeHead(reply.status).end(reply.body ?? JSON.stringify({ taken, refused: 0, events: [] }))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  close.push(() => {
    server.closeAllConnections()
    server.close()
  })
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, bodies, requests }
}

/** Lines that all arrive at these times. */
function arrivals(times: number[]): Arrival[][] {
  return times.map((atMs, i) => [{ atMs, text: `{"event_id":"${i}"}`, fact: null, isUpload: false }])
}

const many = (count: number) => arrivals(Array.from({ length: count }, () => 0))

function send(url: string, minutes: Arrival[][], options: Partial<SendOptions> = {}, stop = new AbortController()) {
  const given = { url, speed: 1, durationMs: 20_000, eventsMax: 1e8, token: undefined, patienceMs: 2_000, ...options }
  return sendWorld(minutes, given, stop.signal, () => {})
}

const linesOf = (bodies: string[]) => bodies.join('').trimEnd().split('\n')

test('all lines once, in their order, in batches', async () => {
  const { url, bodies, requests } = await door()
  expect(await send(url, many(1_234))).toEqual({ sent: 1_234, taken: 1_234, refused: 0, retries: 0 })
  expect(linesOf(bodies)).toEqual(many(1_234).map(([arrival]) => arrival!.text))
  expect(bodies).toHaveLength(3)
  expect(requests[0]!.headers['content-type']).toBe('application/x-ndjson')
  expect(requests[0]!.headers.authorization).toBeUndefined()
})

test.each<[string, Reply]>([
  ['busy', { status: 429, retryAfter: '0.3' }],
  ['without its log', { status: 503, retryAfter: '0.3' }],
  ['broken', { status: 500 }],
  ['gone before it answers', { status: 0, drop: true }],
])('a door that is %s gets the same bytes again, and only then the next', async (_, reply) => {
  const { url, bodies } = await door({ 1: reply, 2: reply })
  const start = performance.now()
  expect(await send(url, many(501))).toMatchObject({ sent: 501, taken: 501, retries: 2 })
  expect(performance.now() - start).toBeGreaterThan(600)
  expect(bodies).toHaveLength(4)
  expect(bodies[1]).toBe(bodies[0])
  expect(bodies[2]).toBe(bodies[0])
  expect(linesOf(bodies.slice(2))).toHaveLength(501)
})

test('Retry-After is kept, but never longer than the limit; without one it is half a second', () => {
  expect(retryAfterMs('2')).toBe(2_000)
  expect(retryAfterMs('86400')).toBe(RETRY_AFTER_MAX_MS)
  expect(retryAfterMs(null)).toBe(500)
  expect(retryAfterMs('soon')).toBe(500)
})

test('when nothing is taken for long enough it says so and ends', async () => {
  const { url } = await door(Object.fromEntries(Array.from({ length: 20 }, (_, i) => [i, { status: 503 }])))
  await expect(send(url, many(1), { patienceMs: 700 })).rejects.toThrow(/took nothing for 1 s: HTTP 503/)
  await expect(send('http://127.0.0.1:9', many(1), { patienceMs: 300 })).rejects.toThrow(/took nothing/)
})

test('a door that refuses the request ends it at once', async () => {
  const { url, bodies } = await door({ 1: { status: 401, body: '{"code":"UNAUTHORISED"}' } })
  await expect(send(url, many(1))).rejects.toThrow(/HTTP 401/)
  expect(bodies).toHaveLength(1)
  const stranger = await door({ 1: { status: 200, body: '{"ok":true}' } })
  await expect(send(stranger.url, many(1))).rejects.toThrow(/no front door/)
})

test('a single event that is refused is answered, not repeated', async () => {
  const body = '{"error":{"code":"EVENT_JSON"},"taken":0,"refused":1}'
  for (const status of [400, 501]) {
    const { url, bodies } = await door({ 1: { status, body } })
    expect(await send(url, many(1))).toEqual({ sent: 1, taken: 0, refused: 1, retries: 0 })
    expect(bodies).toHaveLength(1)
  }
})

test('lines go when they are due, faster by the speed', async () => {
  const { url, bodies } = await door()
  const start = performance.now()
  await send(url, arrivals([0, 3_600_000 / 4, 3_600_000 / 2]), { speed: 3_600 })
  expect(performance.now() - start).toBeGreaterThan(500)
  expect(performance.now() - start).toBeLessThan(5_000)
  expect(bodies).toHaveLength(3)
})

test('the limit, the duration and a stop end it, also where the door hangs', async () => {
  const limited = await door()
  expect(await send(limited.url, many(1_000), { eventsMax: 700 })).toMatchObject({ sent: 700 })
  expect(linesOf(limited.bodies)).toHaveLength(700)
  const late = arrivals([0, 1e9])
  expect(await send(limited.url, late, { durationMs: 100 })).toMatchObject({ sent: 1 })
  const hanging = await door({ 1: { status: 0, hang: true } })
  const stop = new AbortController()
  setTimeout(() => stop.abort(), 200)
  const start = performance.now()
  expect(await send(hanging.url, many(1), {}, stop)).toMatchObject({ sent: 0 })
  expect(performance.now() - start).toBeLessThan(2_000)
})

test('progress says how many, how fast, and how far behind', () => {
  const sent = { sent: 12_000, taken: 11_900, refused: 100, retries: 1 }
  expect(progressOf(sent, 4_000, 900)).toBe('sent 12,000 · 3,000/s · taken 11,900 · refused 100 · retries 1')
  expect(progressOf(sent, 4_000, 2_500)).toMatch(/ · 2\.5 s behind$/)
})

test('the token goes with every request', async () => {
  const { url, requests } = await door()
  await send(url, many(600), { token: 'secret' })
  expect(requests.map(({ headers }) => headers.authorization)).toEqual(['Bearer secret', 'Bearer secret'])
})

test('a world goes through the front door: all that is an event is in the log, all else is refused', async () => {
  const server = new FakeLogServer({ seed: 1 })
  const front = await openDoor({ log: server.connect('door') })
  const truth = new Truth()
  const options = { ...WORLD_DEFAULTS, events: 10_000, days: 1, startMs: Date.now(), speed: SPEED_MAX, live: true }
  try {
    const { sent, taken, refused } = await send(
      front.url,
      [...world(options, truth)].map((minute) => [...minute]),
      {
        speed: SPEED_MAX,
      },
    )
    const dead = truth.summary.malformed + truth.summary.anonymous
    expect({ sent, taken, refused }).toEqual({ sent: truth.summary.lines, taken: sent - dead, refused: dead })
    expect(truth.summary.malformed_by_code).toHaveProperty('EVENT_TIME_FUTURE')
    const records = [0, 1].flatMap((p) => server.stored(`hf_user-1_${p}`).map(({ payload }) => payload))
    const events = records.flatMap((payload) => JSON.parse(Buffer.from(payload).toString()))
    expect(events).toHaveLength(taken)
  } finally {
    await front.close()
  }
})

test('a batch keeps both limits, and a line larger than that goes alone', () => {
  const line = (length: number): Arrival => ({ atMs: 0, text: 'x'.repeat(length), fact: null, isUpload: false })
  const limits = { events: BATCH_EVENTS_MAX, bytes: BATCH_BYTES_MAX }
  const paced = new Paced([[line(65_537), line(BATCH_BYTES_MAX - 65_538 - 1), line(9), line(BATCH_BYTES_MAX + 1)]], 1)
  expect(paced.take(0, limits).map(({ length }) => length)).toEqual([65_537, BATCH_BYTES_MAX - 65_539])
  expect(paced.take(0, limits)).toHaveLength(1)
  expect(paced.take(0, limits)).toHaveLength(1)
  expect(paced.take(0, limits)).toEqual([])
  expect(paced.nextDueMs()).toBeNull()
  expect(new Paced(many(501), 1).take(0, limits)).toHaveLength(500)
  expect(new Paced(arrivals([7]), 1).take(6, limits)).toEqual([])
})

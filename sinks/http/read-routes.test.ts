// Every answer of the read API, on a real host: nats-server, RocksDB, two partitions, the hop from users to pages.

import { once } from 'node:events'
import { type IncomingMessage, request } from 'node:http'
import { text } from 'node:stream/consumers'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { partitionOf } from '../../log/frame.ts'
import { realRuntime } from '../../log/runtime.ts'
import { ReadWorld, readServer, WORLD_START_MS } from '../../test/read-world.ts'
import { LATENESS_MS_DEFAULT } from '../../topology/graph.ts'
import { Host, type TaskTop } from '../../topology/host.ts'
import { HostReads, KEYS_UNDER_WAY_MAX, PINS_MAX, WAITS_MAX } from '../../topology/host-reads.ts'
import { stageStream } from '../../topology/plan.ts'
import { DEFAULT_TUNING } from '../../topology/task.ts'
import { KEYS_MAX, type TopAnswer } from '../read-schemas.ts'
import type { App } from './app.ts'
import type { HttpServer } from './server.ts'

const HOUR_MS = 3_600_000
const PAGE = '/v1/features/page_views_1h/page'
const USER = '/v1/features/page_views_1h/user'

let world: ReadWorld
let server: HttpServer

beforeAll(async () => {
  world = await ReadWorld.start()
  server = await readServer(world)
})
afterAll(async () => {
  await server.close()
  await world.close()
})

/** With the path as it is: what calls itself a URL takes dots, even encoded ones, for steps. */
async function send(method: string, path: string, body: string | Buffer = '', type?: string, url = server.url) {
  const { hostname: host, port } = new URL(url)
  const asked = request({ method, host, port, path, headers: type === undefined ? {} : { 'content-type': type } })
  asked.end(body)
  const [response] = (await once(asked, 'response')) as [IncomingMessage]
  const answer = await text(response)
  return { status: response.statusCode, headers: response.headers, json: answer === '' ? null : JSON.parse(answer) }
}

const get = (path: string, url?: string) => send('GET', path, '', undefined, url)

function post(path: string, body: unknown, type = 'application/json') {
  return send('POST', path, typeof body === 'string' || body instanceof Buffer ? body : JSON.stringify(body), type)
}

const pin = () => send('POST', '/v1/snapshots')
const unpin = (snapshot: string) => send('DELETE', `/v1/snapshots/${snapshot}`)

/** What is expected of an answer that is no success. */
const failure = (status: number, code: string, more: object = {}) => ({
  status,
  json: {
    error: expect.objectContaining({ code, message: expect.stringMatching(/\w/), ...more }),
    request_id: expect.any(String),
  },
})

describe('a key', () => {
  it('is answered with its value and all that the snapshot knows', async () => {
    const wait = await world.views('ann', ['home', 'cart', 'home'])
    const { status, headers, json } = await get(`${PAGE}/home?wait=${wait}`)
    expect([status, headers['cache-control']]).toEqual([200, 'no-store'])
    expect(json).toEqual({
      ...{ feature: 'page_views_1h', entity: 'page', key: 'home', value: 2 },
      ...{ type: 'float', window_ms: HOUR_MS, mode: 'panes', pane_ms: 60_000, complete_from: 0 },
      ...{ at: WORLD_START_MS, complete: true, as_of: WORLD_START_MS, complete_through: null },
      ...{ applied_through: expect.stringMatching(/^doors_pages_\d:\d+\.(-1|\d+)$/) },
      epoch: expect.any(Number),
      config: world.plan.configHash,
    })
    const own = await get(`${USER}/ann?wait=${wait}`)
    expect(own.json).toMatchObject({
      ...{ value: 3, applied_through: wait, complete_through: WORLD_START_MS - LATENESS_MS_DEFAULT },
    })
  })

  it('that nobody has seen has value 0; one of a task that has applied nothing answers for no time', async () => {
    expect(await get(`${PAGE}/nowhere`)).toMatchObject({ status: 200, json: { key: 'nowhere', value: 0 } })
    const untouched = Array.from({ length: 9 }, (_, i) => `x${i}`).find(
      (user) => partitionOf(user, 2) !== partitionOf('ann', 2),
    )
    const { json } = await get(`${USER}/${untouched}`)
    expect(json).toMatchObject({ value: 0, at: null, as_of: null, complete_through: null, epoch: 0 })
    const trivial = await get(`${USER}/${untouched}?wait=${json.applied_through}&timeout_ms=0`)
    expect(trivial).toMatchObject({ status: 200, json: { applied_through: json.applied_through } })
  })

  it('is bytes, decoded once: a slash, dots, percent signs, names of prototypes, look-alikes', async () => {
    const keys = [
      'a/b',
      '..',
      '../etc',
      '%2F',
      '%252e',
      '__proto__',
      'constructor',
      'é',
      'e\u0301',
      'а',
      'a',
      'A',
      'a b',
      'a+b',
      'a?b#c;d',
      '日本',
      '"\\',
    ]
    let wait = ''
    for (const [i, key] of keys.entries()) wait = await world.views('kim', Array(i + 1).fill(key))
    const batch = await post(PAGE, { keys, wait })
    expect(batch.json.values.map(({ key, value }: { key: string; value: number }) => [key, value])).toEqual(
      keys.map((key, i) => [key, i + 1]),
    )
    for (const [i, key] of keys.entries()) {
      const encoded = [...Buffer.from(key)].map((byte) => `%${byte.toString(16).padStart(2, '0')}`).join('')
      expect((await get(`${PAGE}/${encoded}`)).json).toMatchObject({ key, value: i + 1 })
    }
    expect((await get(`${PAGE}/..%2Fetc`)).json).toMatchObject({ key: '../etc', value: 3 })
    // Never a step in the path, and never decoded twice.
    expect((await get(`${PAGE}/%252F`)).json).toMatchObject({ key: '%2F', value: 4 })
    expect((await get(`${PAGE}/a%2Bb`)).json).toMatchObject({ key: 'a+b' })
    expect((await get(`${PAGE}/a+b`)).json).toMatchObject({ key: 'a+b' })
    expect((await get(`${PAGE}/a/b`)).status).toBe(404)
  })

  it('has 1 to 128 bytes, whatever they are encoded as, and no control characters', async () => {
    const bad = failure(400, 'BAD_PARAMETER', { field: 'key' })
    const most = [`${'x'.repeat(128)}`, 'é'.repeat(64), '/'.repeat(128)]
    for (const key of most)
      expect(await get(`${PAGE}/${encodeURIComponent(key)}`)).toMatchObject({ status: 200, json: { key } })
    const toEncode = ['x'.repeat(129), `${'é'.repeat(64)}x`, 'a\0b', '\n', 'a\x7f', '\u001f']
    for (const key of toEncode) expect(await get(`${PAGE}/${encodeURIComponent(key)}`)).toMatchObject(bad)
    expect(await get(`${PAGE}/`)).toMatchObject(bad)
    // No UTF-8: half a character, a surrogate, an overlong slash.
    for (const key of ['%e9', '%ed%a0%80', '%c0%af', '%', '%zz']) expect((await get(`${PAGE}/${key}`)).status).toBe(400)
  })
})

describe('parameters', () => {
  it.each([
    ['at', 'at=yesterday'],
    ['at', 'at=1.5'],
    ['at', 'at=1767225600000.0'],
    ['at', 'at=1.7672256e12'],
    ['at', 'at='],
    ['at', 'at=true'],
    ['at', 'at=1767225600'],
    ['at', 'at=4102444800001'],
    ['at', 'at=1767225600000&at=1767225600000'],
    ['snapshot', 'snapshot='],
    ['snapshot', `snapshot=${'x'.repeat(65)}`],
    ['wait', 'wait=doors_user'],
    ['wait', 'wait=doors:1'],
    ['wait', 'wait=doors:1.0&snapshot=x'],
    ['timeout_ms', 'timeout_ms=50'],
    ['timeout_ms', 'wait=doors:1.0&timeout_ms=10001'],
    ['timeout_ms', 'wait=doors:1.0&timeout_ms=-1'],
    [undefined, 'att=1767225600000'],
    [undefined, '__proto__=1'],
  ])('refuses: %s in ?%s', async (field, query) => {
    const answer = await get(`${PAGE}/home?${query}`)
    expect(answer).toMatchObject(failure(400, 'BAD_PARAMETER'))
    expect(answer.json.error.field).toBe(field)
  })

  it('wait: for whatever position a node has named', async () => {
    const keys = Array.from({ length: 20 }, (_, i) => `k${i}`)
    for (const path of [PAGE, USER]) {
      for (const { applied_through } of (await post(path, { keys })).json.snapshots)
        expect((await get(`${path}/k1?wait=${applied_through}`)).status).toBe(200)
    }
    expect((await get(`${PAGE}/k1?wait=doors_pages_0:1.-1&timeout_ms=0`)).status).toBe(200)
    const unrelated = failure(400, 'UNRELATED_STREAM', { field: 'wait' })
    expect(await get(`${USER}/k1?wait=doors_pages_0:1.-1`)).toMatchObject(unrelated)
  })

  it('unknown features, entities and streams are 404', async () => {
    expect(await get('/v1/features/other/page/x')).toMatchObject(failure(404, 'UNKNOWN_FEATURE'))
    expect(await get('/v1/features/page_views_1h/shop/x')).toMatchObject(failure(404, 'UNKNOWN_FEATURE'))
    expect(await post('/v1/features/other/page', { keys: ['x'] })).toMatchObject(failure(404, 'UNKNOWN_FEATURE'))
    expect(await get(`${PAGE}/x?wait=other:1.0`)).toMatchObject(failure(404, 'UNKNOWN_STREAM', { field: 'wait' }))
  })

  it('wait: 504 with the position that was reached; 429 when too many wait', async () => {
    const last = await world.view('zoe', 'home', WORLD_START_MS)
    expect((await get(`${USER}/zoe?wait=${last}`)).json).toMatchObject({ value: 1 })
    const beyond = last.replace(/\d+\.0$/, '999999.0')
    const started = performance.now()
    const late = await get(`${USER}/zoe?wait=${beyond}&timeout_ms=60`)
    expect(late).toMatchObject(failure(504, 'NOT_REACHED', { reached: last }))
    expect(performance.now() - started).toBeGreaterThanOrEqual(60)
    const waiting = Array.from({ length: WAITS_MAX }, () => get(`${USER}/zoe?wait=${beyond}&timeout_ms=500`))
    const oneMore = await get(`${USER}/zoe?wait=${beyond}&timeout_ms=500`)
    expect(oneMore).toMatchObject(failure(429, 'TOO_MANY_WAITS'))
    expect(oneMore.headers['retry-after']).toBe('1')
    expect((await get(`${USER}/zoe`)).status).toBe(200)
    expect((await Promise.all(waiting)).map(({ status }) => status)).toEqual(Array(WAITS_MAX).fill(504))
    expect((await get(`${USER}/zoe?wait=${last}`)).status).toBe(200)
  })
})

describe('a batch', () => {
  it('answers in the order of the keys, and says each snapshot once', async () => {
    const wait = await world.views('eve', ['b1', 'b2', 'b2'])
    const keys = ['b2', 'b1', 'b3', 'b2', ...Array.from({ length: 20 }, (_, i) => `more${i}`)]
    const { status, json } = await post(PAGE, { keys, wait, timeout_ms: 5_000 })
    expect(status).toBe(200)
    expect(json).toMatchObject({
      feature: 'page_views_1h',
      entity: 'page',
      type: 'float',
      window_ms: HOUR_MS,
      mode: 'panes',
      pane_ms: 60_000,
    })
    expect(json.values.map(({ key }: { key: string }) => key)).toEqual(keys)
    expect(json.values.slice(0, 4).map(({ value }: { value: number }) => value)).toEqual([2, 1, 0, 2])
    expect(json.snapshots).toHaveLength(2)
    for (const { key, snapshot } of json.values) {
      const stream = json.snapshots[snapshot].applied_through.split(':')[0]
      expect(stream.endsWith(`_${partitionOf(key, 2)}`)).toBe(true)
    }
  })

  it('has at most 1,000 keys', async () => {
    const keys = Array.from({ length: KEYS_MAX }, (_, i) => `k${i}`)
    const { json } = await post(PAGE, { keys })
    expect(json.values).toHaveLength(KEYS_MAX)
    const more = failure(413, 'TOO_MANY_KEYS', { field: 'keys' })
    expect(await post(PAGE, { keys: [...keys, 'one more'] })).toMatchObject(more)
    const longest = Array.from({ length: KEYS_MAX }, () => '"'.repeat(128))
    expect((await post(PAGE, { keys: longest })).status).toBe(200)
    expect((await post(PAGE, `{"keys":["a"]}${' '.repeat(1024 * 1024)}`)).status).toBe(413)
  })

  it.each<[string | undefined, unknown]>([
    ['keys', {}],
    ['keys', { keys: [] }],
    ['keys', { keys: 'home' }],
    ['keys.1', { keys: ['a', 5] }],
    ['keys.1', { keys: ['a', 'b\0'] }],
    ['keys.0', { keys: ['\ud800'] }],
    ['keys.0', { keys: ['é'.repeat(65)] }],
    ['at', { keys: ['a'], at: '1767225600000' }],
    ['timeout_ms', { keys: ['a'], timeout_ms: 5 }],
    [undefined, { keys: ['a'], att: 5 }],
    [undefined, '{"keys":["a"],"__proto__":5}'],
  ])('refuses, naming %s', async (field, body) => {
    const answer = await post(PAGE, body)
    expect(answer).toMatchObject(failure(400, 'BAD_PARAMETER'))
    expect(answer.json.error.field).toBe(field)
  })

  it.each<[string, string | Buffer]>([
    ['no JSON', '{"keys":["a"]'],
    ['nothing', ''],
    ['a list', '["a"]'],
    ['a null', 'null'],
    ['no UTF-8', Buffer.from([...Buffer.from('{"keys":["'), 0xff, ...Buffer.from('"]}')])],
    ['deeply nested', '['.repeat(200_000)],
  ])('refuses %s', async (_, body) => expect(await post(PAGE, body)).toMatchObject(failure(400, 'BAD_BODY')))

  it('is JSON and nothing else', async () => {
    expect((await post(PAGE, 'keys=a', 'application/x-www-form-urlencoded')).status).toBe(415)
  })
})

describe('snapshots', () => {
  it('stay as they were while pinned; 410 afterwards, 404 to give back what is gone, 429 for too many', async () => {
    const before = await world.views('pin', ['pinned'])
    await get(`${PAGE}/pinned?wait=${before}`)
    const pinned = await pin()
    expect(pinned).toMatchObject({
      status: 201,
      json: { snapshot: expect.any(String), expires_in_ms: expect.any(Number) },
    })
    const { snapshot } = pinned.json
    const wait = await world.views('pin', ['pinned'])
    expect((await get(`${PAGE}/pinned?wait=${wait}`)).json.value).toBe(2)
    expect((await get(`${PAGE}/pinned?snapshot=${snapshot}`)).json.value).toBe(1)
    expect((await post(PAGE, { keys: ['pinned'], snapshot })).json.values[0].value).toBe(1)
    expect((await unpin(snapshot)).status).toBe(204)
    expect(await get(`${PAGE}/pinned?snapshot=${snapshot}`)).toMatchObject(failure(410, 'SNAPSHOT_GONE'))
    expect(await unpin(snapshot)).toMatchObject(failure(404, 'UNKNOWN_SNAPSHOT'))

    const pins = []
    for (let i = 0; i < PINS_MAX; i++) pins.push((await pin()).json.snapshot)
    const oneMore = await pin()
    expect(oneMore).toMatchObject(failure(429, 'TOO_MANY_PINS'))
    expect(Number(oneMore.headers['retry-after'])).toBeGreaterThan(0)
    for (const snapshot of pins) await unpin(snapshot)
  })
})

it('the features of the node are listed', async () => {
  const { status, json } = await get('/v1/features')
  expect(status).toBe(200)
  expect(json.features).toContainEqual({
    feature: 'page_views_1h',
    entity: 'user',
    type: 'float',
    window_ms: HOUR_MS,
    mode: 'panes',
    pane_ms: 60_000,
    ...{ description: 'page_views_1h', owner: null, how: 'count', stage: 'user-1', bytes_max: null, top: true },
    complete_from: 0,
  })
})

it('a node that reads as many keys as it may answers 429, and when to ask again', async () => {
  const stream = stageStream(world.plan.namespace, 'user-1', 0)
  const wait = { stream, seq: 999_999, index: 0 }
  const keys = Array<string>(KEYS_UNDER_WAY_MAX).fill('zoe')
  const usual = { feature: 'page_views_1h', entity: 'user', at: null, snapshot: null }
  const underWay = world.reads.read({ ...usual, keys, wait, waitMs: 300 })
  const answer = await get(`${USER}/zoe`)
  expect(answer).toMatchObject(failure(429, 'TOO_MANY_READS'))
  expect(answer.headers['retry-after']).toBe('1')
  expect(await underWay).toMatchObject({ kind: 'not_reached' })
  expect((await get(`${USER}/zoe`)).status).toBe(200)
})

it('a node whose tasks are not up answers 503, and when to ask again', async () => {
  const { plan, log } = world
  const common = { plan, runtime: realRuntime, log, tuning: DEFAULT_TUNING, role: 'owner', onHalt: () => {} } as const
  const host = new Host({ ...common, backend: () => Promise.reject(new Error('never opened')) })
  const down = await readServer(world, null, new HostReads({ plan, host, runtime: realRuntime }))
  const answer = await get(`${PAGE}/home`, down.url)
  expect(answer).toMatchObject(failure(503, 'UNAVAILABLE'))
  expect(answer.headers['retry-after']).toBe('1')
  await down.close()
})

it('a router that cuts keys off is refused at once', async () => {
  const { default: fastify } = await import('fastify')
  const { readRoutes } = await import('./read-routes.ts')
  expect(() => readRoutes(fastify() as unknown as App, { reads: world.reads })).toThrow(/every key/)
})

it('at: the value for another time; 422 with the earliest one for a time that is not held any more', async () => {
  const wait = await world.view('tom', 'home', WORLD_START_MS + HOUR_MS)
  const half = await get(`${USER}/tom?wait=${wait}&at=${WORLD_START_MS + HOUR_MS / 2}`)
  expect(half.json).toMatchObject({ value: 0, at: WORLD_START_MS + HOUR_MS / 2, as_of: WORLD_START_MS + HOUR_MS })
  // The timer that lets panes go fires before the first record that comes after the watermark has passed it.
  await world.view('tom', 'home', WORLD_START_MS + 20 * HOUR_MS)
  const later = await world.view('tom', 'home', WORLD_START_MS + 20 * HOUR_MS + 1)
  const tooEarly = await get(`${USER}/tom?wait=${later}&at=${WORLD_START_MS}`)
  expect(tooEarly).toMatchObject(failure(422, 'NOT_HELD', { field: 'at', held_from: expect.any(Number) }))
  const { held_from } = tooEarly.json.error
  expect((await get(`${USER}/tom?at=${held_from}`)).status).toBe(200)
  expect((await get(`${USER}/tom?at=${held_from - 1}`)).status).toBe(422)
})

describe('the largest', () => {
  const T = WORLD_START_MS + 60 * HOUR_MS
  const top = (n: unknown, url?: string) => get(`${PAGE}?top=${n}`, url)
  /** Until a list is made anew: an answer serves for a second. */
  const listed = async (url: string, holds: (json: TopAnswer) => boolean): Promise<TopAnswer> => {
    for (;;) {
      const { json } = await top(100, url)
      if (holds(json)) return json
      await sleep(50)
    }
  }

  it('come first, of all tasks, each with its snapshot; equal ones by key', async () => {
    const views = ['b', 'a', 'c', 'c', 'c', 'b', 'a', 'd']
    await world.views('gone', views, T - 90 * 60_000)
    const waits = [
      await world.views('before', ['a', 'b'], T - 30 * 60_000),
      await world.views('tops', [...views, 'd', 'd', 'd', 'd'], T),
    ]
    // Both tasks of the pages, and what both users' tasks sent them.
    for (const wait of waits) for (const page of ['a', 'b', 'c', 'd']) await get(`${PAGE}/${page}?wait=${wait}`)
    const own = await readServer(
      world,
      null,
      new HostReads({ plan: world.plan, host: world.host, runtime: realRuntime }),
    )
    const { values, snapshots, scanned, complete } = await listed(own.url, ({ values: [first] }) => first?.value === 5)
    expect(values.map(({ key, value }) => `${key} ${value}`).slice(0, 4)).toEqual(['d 5', 'a 3', 'b 3', 'c 3'])
    expect(complete).toBe(true)
    expect(scanned).toBeGreaterThanOrEqual(values.length)
    for (const { key, value, snapshot } of values) {
      const point = await get(`${PAGE}/${key}?at=${snapshots[snapshot]!.at}`)
      expect([key, point.json.value]).toEqual([key, value])
    }
    expect((await top(2, own.url)).json.values).toEqual(values.slice(0, 2))
    await own.close()
  })

  it('are looked for among a bounded number of entries, and the answer says when that was not all', async () => {
    const options = { plan: world.plan, host: world.host, runtime: realRuntime, topEntriesMax: 1 }
    const reads = new HostReads(options)
    const outcome = await reads.top('page_views_1h', 'page', 10)
    expect(outcome).toMatchObject({ kind: 'top', complete: false, scanned: 2 })
  })

  it('are looked for once, however many ask, and one list at a time', async () => {
    let [underWay, most, scans] = [0, 0, 0]
    const host = Object.create(world.host, {
      top: {
        value: async (ask: TaskTop) => {
          scans++
          most = Math.max(most, ++underWay)
          await sleep(5)
          underWay--
          return world.host.top(ask)
        },
      },
    })
    const reads = new HostReads({ plan: world.plan, host, runtime: realRuntime })
    const entities = ['page', 'user', 'page', 'user', 'page']
    await Promise.all(entities.map((entity) => reads.top('page_views_1h', entity, 3)))
    expect([scans, most]).toEqual([4, 2])
  })

  it.each([
    ['0', 400, 'BAD_PARAMETER'],
    ['101', 400, 'BAD_PARAMETER'],
    ['1.5', 400, 'BAD_PARAMETER'],
    ['1&at=5', 400, 'BAD_PARAMETER'],
  ])('?top=%s is refused', async (asked, status, code) => expect(await top(asked)).toMatchObject(failure(status, code)))

  it('without a number are refused, and so is a feature that is none', async () => {
    expect(await get(PAGE)).toMatchObject(failure(400, 'BAD_PARAMETER', { field: 'top' }))
    expect(await get('/v1/features/nothing/page?top=1')).toMatchObject(failure(404, 'UNKNOWN_FEATURE'))
  })
})

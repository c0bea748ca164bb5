// Reads of vectors, over HTTP, the typed client and NATS, on a real host that keeps the features of the application.

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { HoldfastClient, type ReadVectorsBody } from '../../client/holdfast.ts'
import { ApiError } from '../../client/transport.ts'
import { partitionOf } from '../../log/frame.ts'
import { realRuntime } from '../../log/runtime.ts'
import type { Event, Fields } from '../../operators/event.ts'
import { VECTOR_BYTES_MAX } from '../../operators/vector.ts'
import { clicks, computed, declared } from '../../test/features/declared.ts'
import { naiveInVector } from '../../test/features/naive-vectors.ts'
import { ReadWorld, readServer, WORLD_START_MS } from '../../test/read-world.ts'
import { APPLICATION } from '../../topology/features/application.ts'
import { compileFeatures } from '../../topology/features/compile.ts'
import { LAYOUTS_KEPT } from '../../topology/features/vector-reads.ts'
import { schemaHash, touchVectorPlan, vectorPlan } from '../../topology/features/vectors.ts'
import { type GraphOptions, LATENESS_MS_DEFAULT, pageViewGraph } from '../../topology/graph.ts'
import { Host } from '../../topology/host.ts'
import { HostReads, KEYS_UNDER_WAY_MAX } from '../../topology/host-reads.ts'
import { DEFAULT_TUNING } from '../../topology/task.ts'
import { keysIn } from '../feature-reads.ts'
import { serveReads, vectorsSubject } from '../nats-reads.ts'
import { TOUCHES_MAX, VECTOR_FEATURES_MAX } from '../vector-schemas.ts'
import { HttpMetrics } from './metrics.ts'
import { Quotas } from './quotas.ts'
import type { HttpServer } from './server.ts'

const MINUTE_MS = 60_000
const NOW = { at: null, snapshot: null, wait: null, waitMs: 0 } as const
const GRAPH: GraphOptions = {
  ...{ namespace: 'doors', name: 'doors', clock: 'wall', partitions: 2, latenessMs: LATENESS_MS_DEFAULT },
  ...{ anonymous: 'reject', accepted: 'off' },
}
const FEATURES = ['user.clicks_7d', 'ad.clicks_1h', 'user_ad.clicks_7d', 'context.device', 'user.since_click'] as const

let world: ReadWorld
let server: HttpServer
let client: HoldfastClient
/** What was sent, in order. */
const sent: Event[] = []
let wait = ''

async function send(fields: Omit<Fields, 'event_id'> & { user_id: string }): Promise<string> {
  const whole = { ...fields, event_id: `e${sent.length}` } as Fields & { user_id: string }
  const { type, event_id: id, event_time: time, user_id: user } = whole
  sent.push({ type, id, time, user, anonymous: false, fields: whole })
  return world.send(whole)
}

const ad = (i: number) => ({ ad_id: `a${i}`, campaign_id: `c${i % 2}`, advertiser_id: `s${i % 3}` })

/** Positions are of one stream: the last event of each partition of users. */
const waits = new Map<number, string>()

beforeAll(async () => {
  world = await ReadWorld.start(APPLICATION)
  server = await readServer(world)
  client = new HoldfastClient({ url: server.url })
  for (let i = 0; i < 40; i++) {
    const user = `u${i % 5}`
    const event_time = WORLD_START_MS + i * MINUTE_MS
    const where = { user_id: user, device: i % 2 === 0 ? 'phone' : 'desktop', ...ad(i % 4) }
    const type = i % 3 === 0 ? 'click' : 'impression'
    wait = await send({ ...where, type, event_time, ...(type === 'click' ? { click_id: `k${i}` } : {}) })
    waits.set(partitionOf(user, 2), wait)
  }
  for (const one of waits.values())
    await read({ features: ['user.clicks_7d', 'ad.clicks_1h'], touches: TOUCHES, wait: one })
})
afterAll(async () => {
  await server.close()
  await world.close()
})

const TOUCHES = Array.from({ length: 20 }, (_, i) => ({
  ...{ user_id: `u${i % 6}`, ...ad(i % 5), device: 'tv', event_time: WORLD_START_MS },
}))

const read = (body: ReadVectorsBody) => client.readVectors(body)

/** The error of a read that fails. */
async function refusal(body: unknown, url = server.url): Promise<{ status: number; code: string; field?: string }> {
  const error = await new HoldfastClient({ url }).readVectors(body as ReadVectorsBody).catch((cause: unknown) => cause)
  expect(error).toBeInstanceOf(ApiError)
  const { status, code, field } = error as ApiError
  return { status, code, ...(field === undefined ? {} : { field }) }
}

describe('vectors', () => {
  it('say of every touch what its declarations say, each value of its own stage and time', async () => {
    const answer = await read({ touches: TOUCHES })
    expect(answer.features.length).toBeGreaterThan(50)
    expect(answer.features.map(({ feature }) => feature)).toEqual([...answer.features.map((one) => one.feature)].sort())
    let said = 0
    for (const [i, touch] of TOUCHES.entries()) {
      const { values, snapshots } = answer.vectors[i]!
      const stages = snapshots.map((place) => answer.snapshots[place]!)
      expect(stages.map(({ stage }) => stage).sort()).toEqual(['ad', 'user-1'])
      for (const [place, { feature }] of answer.features.entries()) {
        const { partition } = APPLICATION.entities.find(({ name }) => feature.startsWith(`${name}.`)) ?? {
          partition: '',
        }
        const { at } = stages.find(({ stage }) => stage === (partition === 'user_id' ? 'user-1' : 'ad'))!
        const expected = naiveInVector(APPLICATION, feature, { fields: touch as unknown as Fields }, sent, at!)
        expect([feature, values[place]]).toEqual([feature, expected])
        if (expected !== null && expected !== 0) said++
      }
    }
    expect(said).toBeGreaterThan(300)
  })

  it('have a layout that depends on the features only, and its hash', async () => {
    const one = await read({ features: [...FEATURES], touches: [TOUCHES[0]!] })
    const other = await read({ features: [...FEATURES, 'user.clicks_7d'].reverse(), touches: [TOUCHES[0]!] })
    expect(one.features).toEqual([
      { feature: 'ad.clicks_1h', type: 'float', default: null, complete_from: 0 },
      { feature: 'context.device', type: 'id', default: 'unknown', complete_from: 0 },
      { feature: 'user.clicks_7d', type: 'float', default: null, complete_from: 0 },
      { feature: 'user.since_click', type: 'float', default: 28 * 86_400, complete_from: 0 },
      { feature: 'user_ad.clicks_7d', type: 'float', default: null, complete_from: 0 },
    ])
    expect(other.features).toEqual(one.features)
    expect(other.schema).toBe(one.schema)
    expect(one.schema).toBe(
      schemaHash(one.features.map(({ feature: id, complete_from: _, ...field }) => ({ id, ...field }))),
    )
    const all = await read({ touches: [TOUCHES[0]!] })
    expect(all.schema).toBe(touchVectorPlan(compileFeatures(APPLICATION), 'all').schema)
    expect(all.schema).not.toBe(one.schema)
  })

  it('are absent where a touch says no key or nobody has been seen, never their default', async () => {
    const { features, vectors } = await read({
      features: [...FEATURES],
      touches: [
        { ad_id: 'a0', advertiser_id: 's0' },
        { user_id: 'u1' },
        { user_id: 'new', ...ad(0) },
        { user_id: null },
      ],
    })
    const values = vectors.map((vector) =>
      Object.fromEntries(features.map(({ feature }, i) => [feature, vector.values[i]])),
    )
    const nothing = Object.fromEntries(FEATURES.map((id) => [id, null]))
    expect(values[0]).toEqual({ ...nothing, 'ad.clicks_1h': expect.any(Number) })
    expect(values[1]).toEqual({ ...nothing, 'user.clicks_7d': 3, 'user.since_click': expect.any(Number) })
    expect(values[2]).toMatchObject({ 'user.clicks_7d': 0, 'user_ad.clicks_7d': 0, 'user.since_click': null })
    expect(values[3]).toEqual(nothing)
    expect(vectors.map(({ snapshots }) => snapshots.length)).toEqual([1, 1, 2, 0])
  })

  it('are of one snapshot of each task, which can be pinned, and of a time that can be asked for', async () => {
    const features = ['user.clicks_7d', 'user_ad.impressions_7d']
    const touches = [{ user_id: 'u0', ...ad(0) }]
    const { snapshot } = await client.pinSnapshot()
    const before = await read({ features, touches, snapshot })
    const position = await send({
      type: 'click',
      event_time: WORLD_START_MS + 50 * MINUTE_MS,
      click_id: 'x',
      ...touches[0]!,
    })
    const after = await read({ features, touches, wait: position })
    expect(after.vectors[0]!.values[0]).toBe((before.vectors[0]!.values[0] as number) + 1)
    expect((await read({ features, touches, snapshot })).vectors).toEqual(before.vectors)
    await client.unpinSnapshot(snapshot)
    expect(await refusal({ features, touches, snapshot })).toMatchObject({ status: 410 })
    const at = WORLD_START_MS + 10 * MINUTE_MS
    const then = await read({ features: ['user.clicks_1h', 'context.hour_of_day'], touches, at })
    const early = sent.filter(({ time, type, user }) => time <= at && type === 'click' && user === 'u0')
    expect(then.vectors[0]!.values).toEqual([new Date(at).getUTCHours(), early.length])
    expect(then.snapshots[0]!.at).toBe(at)
    // What came last is known for now only.
    expect(await refusal({ features: ['user.since_click'], touches, at })).toMatchObject({
      status: 422,
      code: 'NOT_HELD',
    })
  })

  it('are the same over NATS', async () => {
    const overNats = serveReads({
      nc: world.log.nc,
      namespace: 'doors',
      reads: world.reads,
      timeZoneOf: () => 'UTC',
      onFault: () => {},
    })
    const asker = await world.nats.connect()
    const ask = async (body: unknown) =>
      JSON.parse((await asker.nc.request(vectorsSubject('doors'), JSON.stringify(body), { timeout: 5_000 })).string())
    await world.log.nc.flush()
    const { snapshot } = await client.pinSnapshot()
    const body = { features: [...FEATURES], touches: TOUCHES, snapshot }
    expect(await ask(body)).toEqual(await read(body))
    expect(await ask({})).toMatchObject({ error: { code: 'BAD_PARAMETER', field: 'touches' } })
    expect(await ask({ touches: [{}], features: ['x'] })).toMatchObject({ error: { code: 'UNKNOWN_FEATURE' } })
    await client.unpinSnapshot(snapshot)
    await overNats.stop()
    await asker.close()
  })

  it('of more layouts than are kept are still right', async () => {
    const ids = compileFeatures(APPLICATION).features.flatMap(({ id, type }) =>
      /^(user|ad)\./.test(id) && type === 'float' ? [id] : [],
    )
    const pairs = Array.from({ length: LAYOUTS_KEPT + 5 }, (_, i) => [`${ids[i % ids.length]}`, 'user_ad.clicks_7d'])
    for (const features of [...pairs, pairs[0]!].filter(([id]) => id !== '')) {
      const answer = await refusalOrAnswer(features)
      if (answer !== null) expect(answer.features.map(({ feature }) => feature)).toEqual([...features].sort())
    }
  })
})

/** null: one of them is for measurement only. */
async function refusalOrAnswer(features: string[]) {
  try {
    return await read({ features, touches: [TOUCHES[0]!] })
  } catch (error) {
    expect(error).toMatchObject({ status: 400, code: 'BAD_PARAMETER', field: 'features' })
    return null
  }
}

describe('refuses', () => {
  const touches = [{ user_id: 'u1' }]

  it.each<[string, number, string, string | undefined, unknown]>([
    ['no touches', 400, 'BAD_PARAMETER', 'touches', {}],
    ['an empty list', 400, 'BAD_PARAMETER', 'touches', { touches: [] }],
    ['a touch that is none', 400, 'BAD_PARAMETER', 'touches.1', { touches: [{}, 5] }],
    ['an id that is none', 400, 'BAD_PARAMETER', 'touches.1', { touches: [{}, { user_id: 'a\0' }] }],
    ['an id that is a number', 400, 'BAD_PARAMETER', 'touches.0', { touches: [{ user_id: 5 }] }],
    ['a time that is none', 400, 'BAD_PARAMETER', 'touches.0', { touches: [{ event_time: 5 }] }],
    ['a field that nothing reads', 400, 'BAD_PARAMETER', 'touches.1', { touches: [{}, { usr_id: 'a' }] }],
    ['no features', 400, 'BAD_PARAMETER', 'features', { touches, features: [] }],
    ['an unknown parameter', 400, 'BAD_PARAMETER', undefined, { touches, feature: [] }],
    ['timeout_ms without wait', 400, 'BAD_PARAMETER', 'timeout_ms', { touches, timeout_ms: 5 }],
    ['what is for measurement', 400, 'BAD_PARAMETER', 'features', { touches, features: ['user.spend_usd_28d'] }],
    ['an unknown feature', 404, 'UNKNOWN_FEATURE', undefined, { touches, features: ['user.clicks'] }],
    ['an unknown stream', 404, 'UNKNOWN_STREAM', 'wait', { touches, wait: 'other:5.0' }],
    [
      'what is not there in time',
      504,
      'NOT_REACHED',
      undefined,
      { touches, wait: 'doors_user-1_0:99999.0', timeout_ms: 5 },
    ],
  ])('%s', async (_, status, code, field, body) => {
    expect(await refusal(body)).toEqual({ status, code, ...(field === undefined ? {} : { field }) })
  })

  it('more touches, features and bytes than a batch may have, and takes as many as it may', async () => {
    const most = Array.from({ length: TOUCHES_MAX }, () => TOUCHES[0]!)
    expect((await read({ touches: most })).vectors).toHaveLength(TOUCHES_MAX)
    expect(await refusal({ touches: [...most, {}] })).toMatchObject({ status: 413, code: 'TOO_MANY_TOUCHES' })
    const features = Array<string>(VECTOR_FEATURES_MAX).fill('user.clicks_7d')
    expect((await read({ touches, features })).features).toHaveLength(1)
    expect(await refusal({ touches, features: [...features, 'user.clicks_7d'] })).toMatchObject({ status: 400 })
    expect(await refusal({ touches: [{ device: 'x'.repeat(1024 * 1024) }] })).toMatchObject({ status: 413 })
  })

  it('more keys than may be under way, and says when to ask again', async () => {
    const [ask] = [{ at: null, snapshot: null, wait: { stream: 'doors_user-1_0', seq: 99_999, index: 0 }, waitMs: 300 }]
    const many = Array(Math.floor(KEYS_UNDER_WAY_MAX / keysIn([TOUCHES[0]!]))).fill(TOUCHES[0])
    const underWay = world.reads.vectors({ ...ask, features: null, touches: many })
    expect(await refusal({ touches: TOUCHES })).toMatchObject({ status: 429, code: 'TOO_MANY_READS' })
    expect(await underWay).toMatchObject({ kind: 'not_reached' })
    expect((await read({ touches: TOUCHES })).vectors).toHaveLength(TOUCHES.length)
  })

  it('where its tasks are not up, and where nothing is declared', async () => {
    const { plan, log } = world
    const common = { plan, runtime: realRuntime, log, tuning: DEFAULT_TUNING, role: 'owner', onHalt: () => {} } as const
    const host = new Host({ ...common, backend: () => Promise.reject(new Error('never opened')) })
    const down = await readServer(world, null, new HostReads({ plan, host, runtime: realRuntime }))
    expect(await refusal({ touches }, down.url)).toMatchObject({ status: 503, code: 'UNAVAILABLE' })
    await down.close()
    const none = new HostReads({ plan: pageViewGraph(GRAPH), host: world.host, runtime: realRuntime })
    expect(await none.vectors({ features: null, touches, ...NOW })).toEqual({ kind: 'unknown_feature' })
  })

  it('more than the namespace may read in a second', async () => {
    const settings = () => ({ readKeysPerS: keysIn([TOUCHES[0]!]) })
    const quotas = new Quotas({ settings, metrics: new HttpMetrics(), now: () => 0 })
    const reads = quotas.reads(world.reads)
    const ask = { features: null, touches: [TOUCHES[0]!], ...NOW }
    expect((await reads.vectors(ask)).kind).toBe('vectors')
    expect(await reads.vectors(ask)).toMatchObject({ kind: 'over_quota', retryAfterS: 1 })
  })
})

it('lists are lists in every answer, and no texts of their entries', async () => {
  const { values } = await client.readFeatures('favourite_advertisers_28d', 'user', { keys: ['u0', 'nobody'] })
  const own = sent.filter(({ user }) => user === 'u0')
  const at = Math.max(...own.map(({ time }) => time))
  const touch = { fields: { user_id: 'u0' } as Fields }
  expect(values[0]!.value).toEqual(naiveInVector(APPLICATION, 'user.favourite_advertisers_28d', touch, own, at))
  expect(values.map(({ value }) => Array.isArray(value))).toEqual([true, false])
})

describe('VP1, VP2: a vector of declarations', () => {
  const device = computed('device', { entity: 'context', context: { field: 'device', as: 'text' } })

  it('is the same in whatever order they stand', () => {
    const features = [
      clicks({ purpose: 'personalised_ads' }),
      { ...device, purpose: 'personalised_ads' } as typeof device,
    ]
    const [one, other] = [features, features.toReversed()].map((list) =>
      touchVectorPlan(compileFeatures(declared(list)), 'all'),
    )
    expect(other).toMatchObject({ layout: one!.layout, schema: one!.schema })
  })

  it('is refused where one is for less, is kept elsewhere, or may be too large', () => {
    const ads = { purpose: 'personalised_ads' } as const
    const compiled = compileFeatures(declared([clicks(), clicks({ ...ads, entity: 'ad', name: 'shown' })]))
    expect(() => vectorPlan(compiled, ['user.clicks_7d'])).toThrow(
      'it is for measurement only, a vector for personalised_ads',
    )
    expect(() => vectorPlan(compiled, ['user.none'])).toThrow('there is no such feature')
    // Of an entity that is partitioned by the ad: no touch comes by there.
    expect(touchVectorPlan(compiled, 'all').layout).toEqual([])
    expect(() => touchVectorPlan(compiled, ['ad.shown_7d'])).toThrow('no impression or click comes by')
    expect(vectorPlan(compiled, ['ad.shown_7d']).layout).toHaveLength(1)
    const list = (i: number) =>
      ({
        ...computed(`l${i}`, { events: { types: ['click'] } }),
        ...ads,
        within: '7d',
        aggregate: { fn: 'last_ids', of: { field: 'ad_id', as: 'text' }, length: 100 },
      }) as ReturnType<typeof clicks>
    const lists = (count: number) => compileFeatures(declared(Array.from({ length: count }, (_, i) => list(i))))
    // 100 ids of 514 bytes, the count, and a byte of presence bits.
    const fit = Math.floor((VECTOR_BYTES_MAX - 1) / (100 * 514 + 2))
    expect(touchVectorPlan(lists(fit), 'all').layout).toHaveLength(fit)
    expect(() => touchVectorPlan(lists(fit + 1), 'all')).toThrow(/may take \d+ bytes, and at most 262144/)
  })
})

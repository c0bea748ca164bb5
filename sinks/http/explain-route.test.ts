// GET /v1/features/{feature}/{entity}/{key}/explain on a real host: the same value as a read, and what it is made of; the same
// refusals as other reads.

import { afterAll, beforeAll, expect, it } from 'vitest'
import { type ExplainFeatureAnswer, HoldfastClient } from '../../client/holdfast.ts'
import { ReadWorld, readServer, WORLD_START_MS } from '../../test/read-world.ts'
import { APPLICATION } from '../../topology/features/application.ts'
import type { HttpServer } from './server.ts'

const AD = { advertiser_id: 'shop', campaign_id: 'c', ad_id: 'a1' }

let world: ReadWorld
let server: HttpServer

beforeAll(async () => {
  world = await ReadWorld.start(APPLICATION)
  server = await readServer(world)
  const event_time = WORLD_START_MS
  for (let i = 0; i < 4; i++)
    await world.send({ type: 'impression', event_id: `i${i}`, user_id: 'ann', event_time: event_time + i, ...AD })
  await world.send({
    type: 'click',
    event_id: 'c1',
    click_id: 'k',
    user_id: 'ann',
    event_time: event_time + 5_000,
    ...AD,
  })
  await world.view('ann', 'home', event_time + 6_000)
  const last = await world.view('ann', 'offers', event_time + 66_000)
  // As long as the hook may take, on a machine that does other things: then all tests read what does not change any more.
  while ((await get(`page_views_1h/user/ann?wait=${last}&timeout_ms=10000`)).status !== 200);
})
afterAll(async () => {
  await server.close()
  await world.close()
})

type Answer = ExplainFeatureAnswer & { readonly error: { readonly code: string } }

async function get(path: string): Promise<{ readonly status: number; readonly body: Answer }> {
  const answer = await fetch(`${server.url}/v1/features/${path}`)
  return { status: answer.status, body: (await answer.json()) as Answer }
}
const explain = async (feature: string, entity: string, key: string): Promise<ExplainFeatureAnswer> => {
  const { status, body } = await get(`${feature}/${entity}/${encodeURIComponent(key)}/explain`)
  expect(status).toBe(200)
  return body
}

it('says the value of a read, for every feature of a user, and what the snapshot knows', async () => {
  const client = new HoldfastClient({ url: server.url })
  const { features } = await client.listFeatures()
  const own = features.filter(({ entity }) => entity === 'user')
  expect(own.length).toBeGreaterThan(20)
  const { snapshot } = await client.pinSnapshot()
  for (const { feature } of own) {
    const { values, ...rest } = await client.explainFeature(feature, 'user', 'ann', { snapshot })
    expect({ ...rest, value: values.at(-1)!.value }).toEqual(
      await client.readFeature(feature, 'user', 'ann', { snapshot }),
    )
    expect(values.at(-1)!.feature).toBe(`user.${feature}`)
  }
})

it('a count by panes, a list by events', async () => {
  const views = (await explain('page_views_1h', 'user', 'ann')).values
  expect(views).toHaveLength(1)
  expect(views[0]).toMatchObject({
    how: 'count over page_view, in 1h, by user_id',
    value: 2,
    complete: true,
    entries: [],
  })
  expect(views[0]!.panes).toEqual([
    { start: WORLD_START_MS + 60_000, width_ms: 60_000, parts: [{ what: 'count', value: 1, ids: [] }] },
    { start: WORLD_START_MS, width_ms: 60_000, parts: [{ what: 'count', value: 1, ids: [] }] },
  ])
  const [pages] = (await explain('last_pages', 'user', 'ann')).values
  expect(pages!.entries.map(({ event_time, value }) => [event_time - WORLD_START_MS, value])).toEqual([
    [66_000, 'offers'],
    [6_000, 'home'],
  ])
})

it('what is derived by what it is computed of, in that order', async () => {
  const { values } = await explain('click_rate_7d', 'user', 'ann')
  expect(values.map(({ feature, value }) => [feature, value])).toEqual([
    ['user.clicks_7d', 1],
    ['user.impressions_7d', 4],
    ['user.click_rate_7d', 3 / 204],
  ])
  expect(values[2]!.how).toBe('divide(add(user.clicks_7d, multiply(200, 0.01)), add(user.impressions_7d, 200))')
  expect([values[2]!.from, values[2]!.panes]).toEqual([null, []])
})

it('of a key that nobody has seen: absent, with what a model gets instead', async () => {
  const [since] = (await explain('since_click', 'user', 'nobody')).values
  expect([since!.value, since!.default, since!.entries]).toEqual([null, 28 * 86_400, []])
  const cross = await explain('clicks_7d', 'user_ad', JSON.stringify(['ann', 'a1']))
  expect(cross.values.at(-1)!.value).toBe(1)
})

it('refuses what other reads refuse, with the same codes', async () => {
  const cases: readonly (readonly [string, number, string])[] = [
    ['other/user/ann/explain', 404, 'UNKNOWN_FEATURE'],
    ['page_views_1h/user/ann/explain?at=5', 400, 'BAD_PARAMETER'],
    [`page_views_1h/user/ann/explain?at=${WORLD_START_MS - 10 * 86_400_000}`, 422, 'NOT_HELD'],
    ['page_views_1h/user/ann/explain?snapshot=none', 410, 'SNAPSHOT_GONE'],
    ['page_views_1h/user/ann/explain?wait=doors_user-1_0:999999.0&timeout_ms=1', 504, 'NOT_REACHED'],
    [`page_views_1h/user/${'x'.repeat(129)}/explain`, 400, 'BAD_PARAMETER'],
  ]
  for (const [path, status, code] of cases) {
    const { status: found, body } = await get(path)
    expect([path, found, body.error.code]).toEqual([path, status, code])
  }
})

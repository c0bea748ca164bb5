// GET /v1/features/{feature}/{entity}?top= of declared features, on a real host: which have such a list, and that it is true.

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { HoldfastClient } from '../../client/holdfast.ts'
import { ReadWorld, readServer, WORLD_START_MS } from '../../test/read-world.ts'
import { APPLICATION } from '../../topology/features/application.ts'
import type { HttpServer } from './server.ts'

/** How often each page is seen, each time by another user. */
const VIEWS = { home: 4, cart: 3, offers: 3, about: 1 }
const USERS = ['ann', 'bob', 'eve', 'joe']

let world: ReadWorld
let server: HttpServer
let client: HoldfastClient

beforeAll(async () => {
  world = await ReadWorld.start(APPLICATION)
  server = await readServer(world)
  client = new HoldfastClient({ url: server.url })
  for (const [i, user_id] of USERS.entries()) {
    const pages = Object.entries(VIEWS).flatMap(([page, times]) => (i < times ? [page] : []))
    const view = await world.views(user_id, pages, WORLD_START_MS + i)
    await client.readFeature('page_views_1h', 'page', 'home', { wait: view })
    const order = { advertiser_id: 'shop', order_id: `o${i}`, value: 10.5 * (i + 1), currency: 'USD' }
    const sold = { type: 'conversion', event_id: `c${i}`, event_time: WORLD_START_MS + 10 + i, user_id, ...order }
    await client.readFeature('page_views_1h', 'user', user_id, { wait: await world.send(sold) })
  }
})
afterAll(async () => {
  await server.close()
  await world.close()
})

const top = async (feature: string, entity: string, keys: number) => {
  const { values, ...more } = await client.topFeatures(feature, entity, { top: keys })
  return { values: values.map(({ key, value }) => [key, value]), ...more }
}

describe('the largest of a declared feature', () => {
  it('are those of all its tasks, equal ones in the order of their keys', async () => {
    const said = await top('page_views_1h', 'page', 3)
    expect(said).toMatchObject({ scanned: 4, complete: true, type: 'float', window_ms: 3_600_000 })
    expect(said.values).toEqual([
      ['home', 4],
      ['cart', 3],
      ['offers', 3],
    ])
    expect((await top('visitors_24h', 'page', 1)).values).toEqual([['home', 4]])
  })

  it('are of sums too, and without keys of which nothing is said', async () => {
    expect((await top('spend_usd_28d', 'user', 2)).values).toEqual([
      ['joe', 42],
      ['eve', 31.5],
    ])
    expect((await top('clicks_7d', 'user', 2)).values).toEqual([])
  })

  it('can be asked for where the list of features says so; elsewhere the refusal says where to look', async () => {
    const { features } = await client.listFeatures()
    const ranked = features.filter((one) => one.top)
    expect(ranked.every(({ type, window_ms }) => type === 'float' && window_ms !== null)).toBe(true)
    const others = features.filter((one) => !one.top)
    expect(others.map(({ feature, entity }) => `${entity}.${feature}`)).toEqual(
      expect.arrayContaining(['user.click_rate_7d', 'user.last_pages', 'user.since_click', 'user.last_device']),
    )
    expect(ranked.length + others.length).toBe(features.length)
    const asked = async ({ feature, entity }: { readonly feature: string; readonly entity: string }) => {
      const answer = await fetch(`${server.url}/v1/features/${feature}/${entity}?top=1`)
      return [answer.status, ((await answer.json()) as { error?: { code: string } }).error?.code]
    }
    for (const one of ranked) expect([one.feature, await asked(one)]).toEqual([one.feature, [200, undefined]])
    for (const one of others) expect([one.feature, await asked(one)]).toEqual([one.feature, [422, 'NO_TOP']])
    expect(await asked({ feature: 'nothing', entity: 'page' })).toEqual([404, 'UNKNOWN_FEATURE'])
  })
})

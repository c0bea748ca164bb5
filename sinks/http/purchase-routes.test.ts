// GET /v1/purchases/{advertiser} and the live values of purchases, on a real host with the whole graph: credits, a refund, refusals.

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { HoldfastClient } from '../../client/holdfast.ts'
import { realRuntime } from '../../log/runtime.ts'
import { ATTRIBUTION_DEFAULT } from '../../operators/attribution-settings.ts'
import { ReadWorld, readServer, WORLD_GRAPH, WORLD_START_MS } from '../../test/read-world.ts'
import { LATENESS_MS_DEFAULT, pageViewGraph } from '../../topology/graph.ts'
import { attributionSubject, purchasesSubject, serveReads } from '../nats-reads.ts'
import { REPORT_READ_KEYS } from '../purchase-reads.ts'
import { newToken, Tokens } from './auth.ts'
import { HttpMetrics } from './metrics.ts'
import { Quotas } from './quotas.ts'
import type { HttpServer } from './server.ts'

const HOUR = 3_600_000
const SHOE = { advertiser_id: 'shop', campaign_id: 'spring', ad_id: 'shoe' }
const HAT = { advertiser_id: 'shop', campaign_id: 'spring', ad_id: 'hat' }
/** So late that everything before it is credited. */
const LATER = WORLD_START_MS + 30 * HOUR + LATENESS_MS_DEFAULT + ATTRIBUTION_DEFAULT.graceMs
/** The watermark, less grace. */
const THROUGH = WORLD_START_MS + 30 * HOUR
let world: ReadWorld
let server: HttpServer
let client: HoldfastClient

beforeAll(async () => {
  world = await ReadWorld.of(
    pageViewGraph({ ...WORLD_GRAPH, anonymous: 'reject', accepted: 'off', attribution: ATTRIBUTION_DEFAULT }),
  )
  server = await readServer(world)
  client = new HoldfastClient({ url: server.url })
  const at = (hours: number): number => WORLD_START_MS + hours * HOUR
  const click = (user_id: string, hours: number, ad: object) => {
    const ids = { event_id: `${user_id}-click`, user_id, click_id: `${user_id}-click` }
    return world.send({ type: 'click', event_time: at(hours), ...ids, ...ad })
  }
  const buy = (user_id: string, hours: number, more: object) => {
    const ids = { event_id: `${user_id}-${hours}`, user_id, advertiser_id: 'shop' }
    return world.send({ type: 'conversion', event_time: at(hours), ...ids, ...more })
  }
  await click('ann', 1, SHOE)
  await click('bob', 2, HAT)
  await buy('ann', 3, { order_id: 'o1', value: 20, currency: 'EUR' })
  await buy('bob', 4, { order_id: 'o2', value: 5, currency: 'USD' })
  await buy('ann', 29, { order_id: 'o3', value: 0.1, currency: 'EUR' })
  await buy('ann', 30, { refund_of: 'o1', value: -8, currency: 'EUR' })
  const waits = await Promise.all(['ann', 'bob', 'eve', 'kim'].map((user) => world.view(user, 'home', LATER)))
  for (const wait of waits) await client.readPurchases('shop', { wait, timeout_ms: 10_000 })
  // Watermarks come on their own, a little later.
  while ((await report()).through !== THROUGH) await realRuntime.sleep(20)
})
afterAll(async () => {
  await server.close()
  await world.close()
})

const report = (query: Parameters<HoldfastClient['readPurchases']>[1] = {}) => client.readPurchases('shop', query)

describe('the purchases of an advertiser', () => {
  it('are told by ad, day and currency, with what is taken back beside', async () => {
    const answer = await report({ by: 'ad', window: '7d_click', from: '2026-01-01', to: '2026-01-01' })
    expect(answer).toMatchObject({ advertiser_id: 'shop', by: 'ad', goal: null, window: '7d_click', time_zone: 'UTC' })
    expect(answer.through).toBe(THROUGH)
    expect(answer.days).toMatchObject([{ day: '2026-01-01', hours: 24, mature: false, share: null }])
    const told = answer.purchases.map(({ id, currency, count, value, credited, taken_back_value, state }) => {
      return [id, currency, count, value, credited, taken_back_value, state]
    })
    expect(told).toEqual([
      ['shoe', 'EUR', 2, 12.1, 2, 8, 'too_few'],
      ['hat', 'USD', 1, 5, 1, 0, 'too_few'],
    ])
    expect(answer.totals.map(({ currency, day, value }) => [currency, day, value])).toEqual([
      ...[
        ['EUR', 0, 12.1],
        ['EUR', null, 12.1],
      ],
      ...[
        ['USD', 0, 5],
        ['USD', null, 5],
      ],
    ])
    expect(answer.snapshot.applied_through).toMatch(/^doors_purchases_[01]:/)
  })

  it('are those of the window that is asked for, of the first one otherwise', async () => {
    const { window, purchases } = await report({ by: 'ad' })
    // The order of the day after is too late for a window of a day.
    expect([window, purchases.map(({ id, count }) => [id, count])]).toEqual([
      '1d_click',
      [
        ['shoe', 1],
        ['hat', 1],
      ],
    ])
    expect((await report({ window: '1d_view' })).purchases).toEqual([])
    expect((await client.readPurchases('nobody', {})).purchases).toEqual([])
  })

  it('of a pinned snapshot stay as they were', async () => {
    const { snapshot } = await client.pinSnapshot()
    expect(await client.readPurchases('shop', { snapshot })).toEqual(await client.readPurchases('shop', {}))
    await client.unpinSnapshot(snapshot)
    await expect(client.readPurchases('shop', { snapshot })).rejects.toMatchObject({ code: 'SNAPSHOT_GONE' })
  })
})

describe('the last days', () => {
  const lastDays = async (feature: string, entity: string, ...key: string[]) => {
    const name = key.length === 1 ? key[0]! : JSON.stringify(key)
    return (await client.readFeature(feature, entity, name, { at: WORLD_START_MS + 30 * HOUR })).value
  }

  it('are features, by the time of the conversion: how many of an ad, a campaign, an advertiser in a window', async () => {
    expect(await lastDays('purchases_24h', 'ad_window', 'shop', 'shoe', '7d_click')).toBe(1)
    expect(await lastDays('purchases_7d', 'ad_window', 'shop', 'shoe', '7d_click')).toBe(2)
    expect(await lastDays('purchases_28d', 'campaign_window', 'shop', 'spring', '1d_click')).toBe(2)
    expect(await lastDays('purchases_7d', 'advertiser_window', 'shop', '7d_click')).toBe(3)
    expect(await lastDays('purchases_7d', 'advertiser_window', 'shop', '1d_view')).toBe(0)
  })

  it('have the value in each currency, exact, and less what was taken back of it', async () => {
    const EUR = ['shop', '7d_click', 'EUR'] as const
    expect(await lastDays('purchase_micros_7d', 'advertiser_window_currency', ...EUR)).toBe(12_100_000)
    // What is taken back counts against the day of its conversion.
    expect(await lastDays('purchase_micros_24h', 'advertiser_window_currency', ...EUR)).toBe(100_000)
    expect(await lastDays('purchase_micros_7d', 'ad_window_currency', 'shop', 'hat', '7d_click', 'USD')).toBe(5_000_000)
  })

  it('have lists of the largest', async () => {
    const { values } = await client.topFeatures('purchases_28d', 'ad_window', { top: 2 })
    expect(values[0]).toMatchObject({ key: JSON.stringify(['shop', 'shoe', '28d_click']), value: 2 })
  })
})

it.each<[string, number, string, string]>([
  ['shop?window=3d', 404, 'UNKNOWN_WINDOW', '1d_click, 7d_click, 28d_click'],
  ['shop?by=user', 400, 'BAD_PARAMETER', 'by must be "advertiser", "campaign" or "ad"'],
  ['shop?from=2026-02-30', 400, 'BAD_PARAMETER', 'from must be a date like'],
  ['shop?to=today', 400, 'BAD_PARAMETER', 'to must be a date like'],
  ['shop?from=2026-02-02&to=2026-02-01', 400, 'BAD_PARAMETER', 'from must not be after to'],
  ['shop?time_zone=Mars', 400, 'BAD_PARAMETER', 'time_zone must be a name'],
  ['shop?at=1767225600000', 400, 'BAD_PARAMETER', 'from and to say which days'],
  ['shop?when=now', 400, 'BAD_PARAMETER', 'none of this request'],
  ['shop?from=2024-01-01', 422, 'REPORT_TOO_LARGE', 'at most 397 days'],
  ['shop?wait=doors_user-1_0:999999.0&timeout_ms=1', 504, 'NOT_REACHED', 'not applied in time'],
  [`${'x'.repeat(129)}`, 400, 'BAD_PARAMETER', 'advertiser must be'],
])('refuses %s', async (path, status, code, words) => {
  const answer = await fetch(`${server.url}/v1/purchases/${path}`)
  const body = (await answer.json()) as { error: { code: string; message: string } }
  expect([answer.status, body.error.code]).toEqual([status, code])
  expect(body.error.message).toContain(words)
})

it('answers the same over NATS, and so does the attribution of a conversion', async () => {
  const timeZoneOf = () => 'Europe/Berlin'
  const overNats = serveReads({
    nc: world.log.nc,
    namespace: 'doors',
    reads: world.reads,
    timeZoneOf,
    onFault: () => {},
  })
  const asker = await world.nats.connect()
  const ask = async (subject: string, body: unknown) =>
    JSON.parse((await asker.nc.request(subject, JSON.stringify(body), { timeout: 5_000 })).string())
  await world.log.nc.flush()
  const { snapshot } = await client.pinSnapshot()
  const query = { by: 'ad', window: '7d_click', from: '2026-01-01', time_zone: 'Asia/Tokyo', snapshot } as const
  const asked = await ask(purchasesSubject('doors'), { advertiser: 'shop', ...query })
  expect(asked).toEqual(await report(query))
  expect(asked.purchases.length).toBeGreaterThan(0)
  expect(await ask(purchasesSubject('doors'), { advertiser: 'shop' })).toMatchObject({ time_zone: 'Europe/Berlin' })
  const explained = await ask(attributionSubject('doors'), { conversion: 'ann-3', snapshot })
  expect(explained).toEqual(await client.readAttribution('ann-3', { snapshot }))
  expect(explained.attributions.length).toBe(1)
  expect(await ask(attributionSubject('doors'), { conversion: 'nobody' })).toMatchObject({
    error: { code: 'UNKNOWN_CONVERSION' },
  })
  await client.unpinSnapshot(snapshot)
  await overNats.stop()
  await asker.close()
})

it('needs a token with the scope read', async () => {
  const [reader, writer] = [newToken(['read'], 'doors'), newToken(['write'], 'doors')]
  const guarded = await readServer(world, Tokens.parse(`${reader.line}\n${writer.line}`))
  const statusWith = async (token: string | null) => {
    const headers: Record<string, string> = token === null ? {} : { authorization: `Bearer ${token}` }
    return (await fetch(`${guarded.url}/v1/purchases/shop`, { headers })).status
  }
  expect(await Promise.all([null, writer.token, reader.token].map(statusWith))).toEqual([401, 403, 200])
  await guarded.close()
})

it('counts as the days that it looks in, where keys are limited', async () => {
  const settings = () => ({ readKeysPerS: 2 * REPORT_READ_KEYS })
  const reads = new Quotas({ settings, metrics: new HttpMetrics(), now: () => 0 }).reads(world.reads)
  const days = { from: null, to: null, timeZone: 'UTC' }
  const lane = { advertiser: 'shop', by: 'ad', goal: '', window: null } as const
  const kinds = []
  for (let i = 0; i < 3; i++)
    kinds.push((await reads.purchases({ ...lane, ...days, snapshot: null, wait: null, waitMs: 0 })).kind)
  expect(kinds).toEqual(['purchases', 'purchases', 'over_quota'])
})

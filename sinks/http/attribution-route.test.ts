// GET /v1/attributions/{conversion} on a real host: who won and why, what becomes of conversions of nobody, and the refusals.

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { HoldfastClient, type ReadAttributionAnswer } from '../../client/holdfast.ts'
import { DECISIONS_KEPT_MS } from '../../operators/decisions.ts'
import { attributionWorld, BOUGHT_MS } from '../../test/attribution-world.ts'
import { type ReadWorld, readServer } from '../../test/read-world.ts'
import { DECISIONS_TOLD_MAX } from '../attribution-reads.ts'
import { ATTRIBUTION_READ_KEYS } from '../feature-reads.ts'
import { newToken, Tokens } from './auth.ts'
import { HttpMetrics } from './metrics.ts'
import { Quotas } from './quotas.ts'
import type { HttpServer } from './server.ts'

const HOUR_MS = 3_600_000
let world: ReadWorld
let server: HttpServer
let client: HoldfastClient

beforeAll(async () => {
  world = await attributionWorld()
  server = await readServer(world)
  client = new HoldfastClient({ url: server.url })
})
afterAll(async () => {
  await server.close()
  await world.close()
})

const only = ({ attributions }: ReadAttributionAnswer) => {
  expect(attributions).toHaveLength(1)
  return attributions[0]!
}

describe('an attribution', () => {
  it('says the conversion, whose it is, its touches, and of each window who is credited and why', async () => {
    const answer = await client.readAttribution('bought')
    const { windows, touches, ...told } = only(answer)
    expect(told).toEqual({
      ...{ type: 'conversion', user_id: 'ann', own_user_id: 'ann', owner: 'own', event_time: BOUGHT_MS },
      owner_why: 'its own user_id, whose click has its click_id',
      ...{
        advertiser_id: 'shop',
        order_id: 'o1',
        click_id: 'k1',
        value: 12.5,
        currency: 'EUR',
        late: false,
        revision: 0,
      },
      ...{ outcome: 'credited', outcome_why: 'in at least one window a touch is credited with it' },
      ...{ touches_total: 3, windows_left_out: 0, snapshot: 0 },
    })
    expect(touches.map(({ touch_id, type, age_ms, has_click_id }) => [touch_id, type, age_ms, has_click_id])).toEqual([
      ['c-old', 'click', 26 * HOUR_MS, true],
      ['c-new', 'click', HOUR_MS, false],
      ['i1', 'impression', 60_000, false],
    ])
    const [day, week] = windows
    expect(day!.touches).toEqual([
      { touch: 0, out: 'too_old', by_ms: 2 * HOUR_MS, why: 'too old by 2 h' },
      { touch: 1, out: null, by_ms: null, why: null },
      { touch: 2, out: 'kind', by_ms: null, why: 'impressions have no part in it' },
    ])
    expect(windows.map(({ window, models }) => [window, models[0]!.credits[0]?.touch])).toEqual([
      ['1d_click', 1],
      ['7d_click', 0],
      ['28d_click', 0],
      ['1d_view', 2],
      ['7d_click_1d_view', 0],
    ])
    expect(week!.models[0]).toMatchObject({
      ...{ model: 'last_touch', known: true },
      credits: [{ touch: 0, credit: 1, how: "the last touch whose click_id is the conversion's" }],
    })
    expect(week!.models[1]!.credits.map(({ credit, how }) => [credit, how])).toEqual([
      [0.5, '1 of 2'],
      [0.5, '1 of 2'],
    ])
    expect(answer.snapshots[0]).toMatchObject({ applied_through: expect.stringMatching(/^doors_user-2_[01]:/) })
  })

  it('is found of every user who has a conversion of the id, up to a limit', async () => {
    const same = await client.readAttribution('same')
    expect(same.attributions.map(({ user_id, outcome }) => [user_id, outcome]).sort()).toEqual([
      ['ann', 'credited'],
      ['bob', 'no_candidate'],
    ])
    expect(same.more).toBe(false)
    const many = await client.readAttribution('many')
    expect([many.attributions.length, many.more]).toEqual([DECISIONS_TOLD_MAX, true])
  })

  it('of what is attributed to nobody says why', async () => {
    for (const [id, outcome] of [
      ['back', 'refund'],
      ['robot', 'bot'],
    ] as const)
      expect(only(await client.readAttribution(id))).toMatchObject({ outcome, windows: [], touches: [] })
  })

  it('of a pinned snapshot stays as it was', async () => {
    const { snapshot } = await client.pinSnapshot()
    expect(await client.readAttribution('bought', { snapshot })).toEqual(await client.readAttribution('bought'))
    await client.unpinSnapshot(snapshot)
    await expect(client.readAttribution('bought', { snapshot })).rejects.toMatchObject({ code: 'SNAPSHOT_GONE' })
  })
})

it('is counted by window in the status of the node, and its labels agree', async () => {
  const { attribution } = await client.status()
  const { lanes, ...others } = attribution!
  expect(lanes.map(({ window, attributed, unattributed }) => [window, attributed, unattributed])).toEqual([
    ['1d_click', 2, 10],
    ['7d_click', 2, 10],
    ['28d_click', 2, 10],
    ['1d_view', 2, 10],
    ['7d_click_1d_view', 2, 10],
  ])
  expect(lanes.map(({ difference }) => difference)).toEqual([0, 0, 0, 0, 0])
  // The refund stands before its order, which waits for its click to be looked for.
  expect(others).toEqual({ late_touches: 0, refunds_unmatched: 1 })
})

it.each<[string, number, string, string]>([
  ['nobody', 404, 'UNKNOWN_CONVERSION', 'passes its time by 5 min, can be asked about for 35 d'],
  ['bought?at=1767225600000', 400, 'BAD_PARAMETER', 'at does not go with an attribution'],
  ['bought?when=now', 400, 'BAD_PARAMETER', 'none of this request'],
  ['bought?wait=here', 400, 'BAD_PARAMETER', 'wait must be <stream>'],
  ['bought?wait=other_user-1_0:1.0', 404, 'UNKNOWN_STREAM', 'no task'],
  ['bought?wait=doors_user-1_0:999999.0&timeout_ms=1', 504, 'NOT_REACHED', 'not applied in time'],
  [`${'x'.repeat(129)}`, 400, 'BAD_PARAMETER', 'conversion must be the event_id of a conversion'],
])('refuses %s', async (path, status, code, words) => {
  const answer = await fetch(`${server.url}/v1/attributions/${path}`)
  const body = (await answer.json()) as { error: { code: string; message: string } }
  expect([answer.status, body.error.code]).toEqual([status, code])
  expect(body.error.message).toContain(words)
})

it('needs a token with the scope read, as the values of a user do', async () => {
  const [reader, writer] = [newToken(['read'], 'doors'), newToken(['write'], 'doors')]
  const guarded = await readServer(world, Tokens.parse(`${reader.line}\n${writer.line}`))
  const statusWith = async (headers: Record<string, string>) =>
    (await fetch(`${guarded.url}/v1/attributions/bought`, { headers })).status
  const asked = [{}, { authorization: `Bearer ${writer.token}` }, { authorization: `Bearer ${reader.token}` }]
  expect(await Promise.all(asked.map((headers) => statusWith(headers as Record<string, string>)))).toEqual([
    401, 403, 200,
  ])
  await guarded.close()
})

it('counts as the days that it looks in, where keys are limited', async () => {
  expect(ATTRIBUTION_READ_KEYS).toBe(DECISIONS_KEPT_MS / (24 * HOUR_MS) + 2)
  const readKeysPerS = 2 * ATTRIBUTION_READ_KEYS
  const quotas = new Quotas({ settings: () => ({ readKeysPerS }), metrics: new HttpMetrics(), now: () => 0 })
  const reads = quotas.reads(world.reads)
  const ask = { conversion: 'bought', snapshot: null, wait: null, waitMs: 0 }
  const kinds = []
  for (let i = 0; i < 3; i++) kinds.push((await reads.attribution(ask)).kind)
  expect(kinds).toEqual(['attribution', 'attribution', 'over_quota'])
})

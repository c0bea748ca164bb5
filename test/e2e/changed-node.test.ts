// A node that is started again with another feature says what of it is not complete, also in vectors; what it kept before is as
// it was.

import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, it } from 'vitest'
import { HoldfastClient } from '../../client/holdfast.ts'
import type { WindowName } from '../../topology/features/declaration.ts'
import { Running, workDirectory } from './command.ts'

const declared = (...windows: WindowName[]) => ({
  entities: [{ name: 'user', key: ['user_id'], partition: 'user_id' }],
  features: [
    {
      ...{ name: 'views', entity: 'user', description: 'tested', owner: 'test', purpose: 'personalised_ads', windows },
      ...{ sensitivity: 'personal', retentionDays: 28, events: { types: ['page_view'] }, aggregate: { fn: 'count' } },
    },
  ],
  policy: {
    types: { page_view: 'personalised_ads' },
    fields: { user_id: { purpose: 'personalised_ads', sensitivity: 'personal' } },
  },
})

it('says complete_from and complete of what is new, and nothing else of what is not', async () => {
  await using work = await workDirectory()
  const start = async (features: object) => {
    await writeFile(join(work.path, 'features.json'), JSON.stringify(features))
    const args = ['node', '--data-dir', join(work.path, 'data'), '--features', join(work.path, 'features.json')]
    const node = new Running([...args, '--http-port', '0'])
    await node.says(/http:\/\/127\.0\.0\.1:\d+/)
    const url = /http:\/\/127\.0\.0\.1:\d+/.exec(node.stderr)![0]
    return { node, url, client: new HoldfastClient({ url }) }
  }
  const send = async (url: string, id: string): Promise<void> => {
    const event = { type: 'page_view', event_id: id, event_time: Date.now(), user_id: 'ann', page_id: 'home' }
    const headers = { 'content-type': 'application/json' }
    const answer = await fetch(`${url}/v1/events`, { method: 'POST', headers, body: JSON.stringify([event]) })
    expect([answer.ok, await answer.text()]).toEqual([true, expect.anything()])
  }
  const first = await start(declared('1h'))
  await send(first.url, 'a')
  const value = async (client: HoldfastClient, feature: string) =>
    (await client.readFeatures(feature, 'user', { keys: ['ann'] })).values[0]!.value
  while ((await value(first.client, 'views_1h')) !== 1) await sleep(20)
  first.node.kill('SIGTERM')
  await first.node.ended

  const second = await start(declared('1h', '7d'))
  try {
    const [old, now] = (await second.client.listFeatures()).features
    expect([old!.feature, old!.complete_from, now!.feature]).toEqual(['views_1h', 0, 'views_7d'])
    expect(now!.complete_from).toBeGreaterThan(Date.now() + 6 * 86_400_000)
    await send(second.url, 'b')
    while ((await value(second.client, 'views_1h')) !== 2) await sleep(20)
    const { complete_from, snapshots } = await second.client.readFeatures('views_7d', 'user', { keys: ['ann', 'bob'] })
    expect([complete_from, snapshots.every(({ complete }) => complete)]).toEqual([now!.complete_from, false])
    expect(await value(second.client, 'views_7d')).toBeGreaterThan(0)
    const nobody = await second.client.readFeatures('views_7d', 'user', { keys: ['bob'] })
    expect(nobody.values[0]!.value).toBe(null)
    const later = await second.client.readFeatures('views_7d', 'user', { keys: ['bob'], at: complete_from! })
    expect([later.values[0]!.value, later.snapshots[0]!.complete]).toEqual([0, true])
    const touches = [{ user_id: 'ann' }, { user_id: 'bob' }]
    const { features, vectors } = await second.client.readVectors({ touches })
    expect(features.map((one) => [one.feature, one.complete_from])).toEqual([
      ['user.views_1h', 0],
      ['user.views_7d', complete_from],
    ])
    expect(vectors.map(({ values }) => values)).toEqual([
      [2, expect.any(Number)],
      [0, null],
    ])
    expect((await second.client.readVectors({ touches, at: complete_from! })).vectors[1]!.values).toEqual([0, 0])
  } finally {
    second.node.kill('SIGTERM')
    await second.node.ended
  }
})

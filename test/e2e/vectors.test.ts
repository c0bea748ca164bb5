// `holdfast run --vectors`: the file it writes, what it refuses; with HOLDFAST_HEAVY=1 the real shop of ten days, where a naive
// interpreter has every value of every fortieth touch.

import { existsSync, readFileSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { gunzipSync } from 'node:zlib'
import { jetstreamManager } from '@nats-io/jetstream'
import { connect } from 'nats'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { freeLoopbackPort } from '../../log/nats-supervisor.ts'
import { isRejected, parseEventText } from '../../operators/event.ts'
import type { PublishedVector } from '../../operators/touch-vectors.ts'
import { APPLICATION } from '../../topology/features/application.ts'
import { LATENESS_MS_DEFAULT } from '../../topology/graph.ts'
import { inOrder, naiveVectors } from '../features/naive-vectors.ts'
import { HEAVY, holdfast, leftoversOf, PROJECT_DIR, Running, workDirectory } from './command.ts'

const SHOP = join(PROJECT_DIR, '..', 'shared', 'data', 'shop-10d.ndjson.gz')
/** Of the real shop: one in so many. */
const TOUCHES_PER_LOOK = 40
const TIMEOUT_MS = HEAVY ? 900_000 : 300_000

let work: Awaited<ReturnType<typeof workDirectory>>
const at = (name: string): string => join(work.path, name)

beforeAll(async () => {
  work = await workDirectory()
  const ad = { advertiser_id: 's', campaign_id: 'c', ad_id: 'a' }
  const lines = Array.from({ length: 6 }, (_, i) =>
    JSON.stringify({ type: 'impression', event_id: `e${i}`, event_time: 1.75e12 + i, user_id: `u${i % 2}`, ...ad }),
  )
  await writeFile(at('six.ndjson'), `${lines.join('\n')}\n`)
})
const started: Running[] = []
afterAll(async () => {
  for (const node of started) {
    node.kill('SIGKILL')
    await node.ended
  }
  await leftoversOf(work.path)
  await work[Symbol.asyncDispose]()
})

const run = (input: string, out: string, ...more: string[]) =>
  holdfast(['run', '--input', input, '--out', at(out), '--drain', '--json', ...more])

const vectorsIn = (out: string): PublishedVector[] =>
  readFileSync(join(at(out), 'vectors.ndjson'), 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line))

describe('run --vectors', () => {
  it('writes a line for each touch, with what was known before it', { timeout: TIMEOUT_MS }, async () => {
    const ids = ['ad.impressions_1h', 'context.device', 'user.impressions_7d']
    const asked = ['--features', 'application', '--vectors', ids.join(',')]
    const [one, none] = await Promise.all([run(at('six.ndjson'), 'six', ...asked), run(at('six.ndjson'), 'none')])
    expect([one.stderr, one.code, none.code]).toEqual(['', 0, 0])
    const vectors = vectorsIn('six')
    expect(vectors.map(({ event_id }) => event_id)).toEqual(['e0', 'e1', 'e2', 'e3', 'e4', 'e5'])
    expect(vectors.map(({ values }) => ids.map((id) => values[id]))).toEqual([
      ...[
        [0, null, 0],
        [1, null, 0],
        [2, null, 1],
        [3, null, 1],
        [4, null, 2],
        [5, null, 2],
      ],
    ])
    expect(existsSync(join(at('none'), 'vectors.ndjson'))).toBe(false)
    const out = ['--features', 'application', '--live', '--vectors', 'all']
    expect((await holdfast(['explain', ...out])).stdout).toContain('vectors (records)')
  })

  it.concurrent.each([
    [['--vectors', 'all'], 'vectors are of declared features: there are none'],
    [['--vectors', 'user.spend_usd_28d', '--features', 'application'], 'it is for measurement only'],
  ])('refuses %j', { timeout: TIMEOUT_MS }, async (options, words) => {
    const ended = await run(at('six.ndjson'), 'refused', ...options)
    expect([ended.code, ended.stdout, ended.stderr.split('\n').length]).toEqual([2, '', 2])
    expect(ended.stderr).toContain(words)
  })
})

describe('node --vectors', () => {
  it('publishes each touch once, also after kill -9, and reads across threads what the next would take', {
    timeout: TIMEOUT_MS,
  }, async () => {
    const port = await freeLoopbackPort()
    const ids = ['ad.clicks_1h', 'context.device', 'user.clicks_7d']
    const start = async (): Promise<{ node: Running; url: string }> => {
      const options = ['--partitions', '2', '--threads', '3', '--http-port', '0', '--port', String(port)]
      const features = ['--features', 'application', '--vectors', ids.join(',')]
      const node = new Running(['node', '--data-dir', at('node'), ...options, ...features])
      started.push(node)
      await node.says(/send one JSON event/)
      return { node, url: /over HTTP: (http:\S+)/.exec(node.stderr)![1]! }
    }
    let { node, url } = await start()
    let client = await connect({ servers: `nats://127.0.0.1:${port}` })
    const touch = { user_id: 'ann', advertiser_id: 's', campaign_id: 'c', ad_id: 'a', device: 'phone' }
    const click = (i: number) => ({
      type: 'click',
      event_id: `e${i}`,
      click_id: `k${i}`,
      event_time: Date.now(),
      ...touch,
    })
    const send = (i: number) => client.publish('holdfast.in.ann', JSON.stringify(click(i)))
    const published = async (count: number): Promise<PublishedVector[]> => {
      const jsm = await jetstreamManager(client)
      while (true) {
        const found: PublishedVector[] = []
        for (const p of [0, 1]) {
          const { state } = await jsm.streams.info(`holdfast_out_vectors_${p}`)
          for (let seq = 1; seq <= state.last_seq; seq++)
            found.push((await jsm.streams.getMessage(`holdfast_out_vectors_${p}`, { seq }))!.json())
        }
        if (found.length >= count) return found
        await sleep(50)
      }
    }
    for (const i of [0, 1, 2]) send(i)
    await published(2)
    await client.close()
    node.kill('SIGKILL')
    await node.ended
    ;({ node, url } = await start())
    client = await connect({ servers: `nats://127.0.0.1:${port}` })
    send(3)
    const vectors = await published(4)
    const told = vectors.map(({ event_id, values }) => [event_id, ...ids.map((id) => values[id])]).sort()
    expect(told).toEqual([0, 1, 2, 3].map((i) => [`e${i}`, i, 'phone', i]))
    const body = JSON.stringify({ features: ids, touches: [touch, { ...touch, device: 'tv', user_id: 'bob' }] })
    const headers = { 'content-type': 'application/json' }
    const read = await (await fetch(`${url}/v1/vectors`, { method: 'POST', headers, body })).json()
    expect(read).toMatchObject({
      schema: vectors[0]!.schema,
      vectors: [{ values: [4, 'phone', 4] }, { values: [4, 'tv', 0] }],
    })
    await client.close()
    node.kill('SIGTERM')
    expect((await node.ended).code).toBe(0)
  })
})

describe.runIf(HEAVY && existsSync(SHOP))('on shop-10d', () => {
  it('is what a naive interpreter says, and the same for any partitions', { timeout: TIMEOUT_MS }, async () => {
    for (const [partitions, slice] of [
      ['1', '128'],
      ['4', '7'],
      ['8', '1'],
    ] as const) {
      const sizes = ['--partitions', partitions, '--slice-records', slice]
      const ended = await run(SHOP, `shop${partitions}`, '--features', 'application', '--vectors', 'all', ...sizes)
      expect(ended.stderr + String(ended.code)).toBe('0')
    }
    const bytes = (partitions: number) => readFileSync(join(at(`shop${partitions}`), 'vectors.ndjson'))
    for (const partitions of [4, 8]) expect(bytes(partitions).equals(bytes(1))).toBe(true)
    const vectors = new Map(vectorsIn('shop1').map((vector) => [vector.event_id, vector.values]))
    const lines = gunzipSync(readFileSync(SHOP)).toString('utf8').split('\n')
    const events = lines.filter((line) => !isRejected(parseEventText(line, { anonymous: 'reject' })))
    const ids = Object.keys([...vectors.values()][0]!)
    let touches = 0
    const looked = naiveVectors(APPLICATION, ids, inOrder(events, LATENESS_MS_DEFAULT), () => {
      return touches++ % TOUCHES_PER_LOOK === 0
    })
    expect(touches).toBe(vectors.size)
    for (const { event_id, values } of looked) expect([event_id, vectors.get(event_id)]).toEqual([event_id, values])
    const said = looked.flatMap(({ values }) => Object.values(values)).filter((value) => value !== null && value !== 0)
    console.info(`shop-10d: ${said.length} values that say something, of ${looked.length} touches of ${touches}`)
  })
})

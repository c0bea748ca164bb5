// `holdfast node` as a plain NATS client and a terminal see it: events in, each once out, signals, restarts.

import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { jetstreamManager } from '@nats-io/jetstream'
import { connect, type NatsConnection } from 'nats'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { freeLoopbackPort } from '../../log/nats-supervisor.ts'
import { holdfast, leftoversOf, Running, workDirectory } from './command.ts'

let work: Awaited<ReturnType<typeof workDirectory>>
let port: number
let node: Running
let client: NatsConnection

const PARTITIONS = 2
const start = (): Running =>
  new Running([
    'node',
    '--data-dir',
    join(work.path, 'data'),
    '--partitions',
    String(PARTITIONS),
    '--http-port',
    '0',
    '--port',
    String(port),
  ])

beforeAll(async () => {
  work = await workDirectory()
  port = await freeLoopbackPort()
  node = start()
  await node.says(/send one JSON event/)
  client = await connect({ servers: `nats://127.0.0.1:${port}`, maxReconnectAttempts: -1, reconnectTimeWait: 100 })
})
afterAll(async () => {
  node.kill('SIGKILL')
  await node.ended
  await client.close()
  await leftoversOf(work.path)
  await work[Symbol.asyncDispose]()
})

const event = (id: string, user: string, more: object = {}): object => ({
  type: 'page_view',
  event_id: id,
  event_time: Date.now(),
  user_id: user,
  page_id: 'home',
  ...more,
})
const send = (user: string, body: unknown): void =>
  client.publish(`holdfast.in.${user}`, typeof body === 'string' ? body : JSON.stringify(body))

type Json = Record<string, unknown>

/** Everything in an output's streams, by partition. */
async function outputOf(name: string): Promise<Json[][]> {
  const jsm = await jetstreamManager(client)
  return Promise.all(
    Array.from({ length: PARTITIONS }, async (_, p) => {
      const stream = `holdfast_out_${name}_${p}`
      const { state } = await jsm.streams.info(stream)
      const messages: Json[] = []
      for (let seq = state.first_seq; seq <= state.last_seq && seq > 0; seq++) {
        messages.push((await jsm.streams.getMessage(stream, { seq }))!.json<Json>())
      }
      return messages
    }),
  )
}

/** Waits until an output has so many messages, and a moment more: none may follow. */
async function settled(name: string, count: number): Promise<Json[]> {
  while ((await outputOf(name)).flat().length < count) await sleep(50)
  await sleep(150)
  return (await outputOf(name)).flat()
}

const ids = (events: Json[]): unknown[] => events.map(({ event_id }) => event_id).sort()

describe('a node and a plain client', () => {
  it('one JSON event comes out once, as it was sent, in the partition of its user', async () => {
    send('ann', event('e1', 'ann', { props: { a: [1, null] } }))
    const [accepted] = await settled('accepted', 1)
    expect(accepted).toMatchObject({ event_id: 'e1', user_id: 'ann', page_id: 'home', props: { a: [1, null] } })
    send('ann', event('e2', 'ann'))
    send('bob', [event('b1', 'bob'), event('b2', 'bob')])
    for (const user of ['cy', 'dan', 'eve', 'fay']) send(user, event(`${user}1`, user))
    expect(ids(await settled('accepted', 8))).toEqual(['b1', 'b2', 'cy1', 'dan1', 'e1', 'e2', 'eve1', 'fay1'])
    const byPartition = await outputOf('accepted')
    const homes = byPartition.map((events) => new Set(events.map(({ user_id }) => user_id)))
    expect([...homes[0]!].filter((user) => homes[1]!.has(user))).toEqual([])
    expect(homes.every(({ size }) => size > 0)).toBe(true)
  })

  it('sent again it comes out once; the same id of another user is another event', async () => {
    for (let i = 0; i < 3; i++) send('ann', event('twice', 'ann'))
    send('bob', event('twice', 'bob'))
    const accepted = (await settled('accepted', 10)).filter(({ event_id }) => event_id === 'twice')
    expect(accepted.map(({ user_id }) => user_id).sort()).toEqual(['ann', 'bob'])
  })

  it('what is no event is a dead letter with its position, and the next one is processed', async () => {
    send('ann', '{"type": "page_view", ')
    send('ann', [event('good', 'ann'), { type: 'page_view', event_id: 'x' }])
    send('ann', event('future', 'ann', { event_time: Date.now() + 3_600_000 }))
    const letters = await settled('dead_letters', 3)
    expect(letters.map(({ code, field, index }) => ({ code, field, index }))).toEqual([
      { code: 'EVENT_JSON', field: null, index: 0 },
      { code: 'EVENT_FIELD_MISSING', field: 'event_time', index: 1 },
      { code: 'EVENT_TIME_FUTURE', field: 'event_time', index: 0 },
    ])
    expect(Buffer.from(letters[0]!.raw as string, 'base64').toString()).toBe('{"type": "page_view", ')
    const jsm = await jetstreamManager(client)
    for (const { stream, sequence } of letters) {
      expect((await jsm.streams.getMessage(stream as string, { seq: sequence as number }))!.subject).toMatch(/\.in$/)
    }
    expect(ids(await settled('accepted', 11))).toContain('good')
  })

  it('SIGTERM ends it with exit 0 and nothing left; a restart as another node is refused, its own goes on and knows what was', async () => {
    node.kill('SIGTERM')
    const { code, stderr } = await node.ended
    expect(stderr).toMatch(/stopping\n$/)
    expect(code).toBe(0)
    expect(await leftoversOf(work.path)).toEqual([])
    const other = await holdfast(['node', '--data-dir', join(work.path, 'data'), '--partitions', '3'])
    expect(other.stderr).toMatch(/^holdfast: [^\n]+ another number of partitions; use another --data-dir\n$/)
    expect(other.code).toBe(2)

    node = start()
    await node.says(/send one JSON event/)
    while (
      client.isClosed() ||
      !(await client
        .flush()
        .then(() => true)
        .catch(() => false))
    )
      await sleep(50)
    send('ann', event('e1', 'ann'))
    send('ann', event('after', 'ann'))
    const accepted = await settled('accepted', 12)
    expect(ids(accepted).filter((id) => id === 'e1' || id === 'after')).toEqual(['after', 'e1'])
  })

  it('refuses a second node on its directory, in one line', async () => {
    const data = ['--data-dir', join(work.path, 'data')]
    const second = await holdfast(['node', ...data, '--partitions', String(PARTITIONS)])
    expect(second.stderr).toMatch(/^holdfast: STATE_LOCKED: [^\n]+\n$/)
    expect(second.code).toBe(2)
    const run = await holdfast(['run', '--input', 'LICENSE', '--out', join(work.path, 'out'), '--drain', ...data])
    expect(run.stderr).toMatch(/holds no run of Holdfast/)
    expect(run.code).toBe(2)
    expect(existsSync(join(work.path, 'out'))).toBe(false)
  })

  it('a running node can be audited over its server', async () => {
    const args = ['audit', '--data-dir', join(work.path, 'data'), '--nats', `nats://127.0.0.1:${port}`]
    const { code, stdout } = await holdfast(args)
    expect(stdout).toMatch(/holdfast_out_accepted_\d {2}user-1-\d: \d+ messages/)
    expect(stdout).toMatch(/no faults/)
    expect(code).toBe(0)
  })
})

// A file uploaded to a node with `holdfast send --bulk`, while live events come and the node is killed: each event comes out once,
// a person's in the order of the file, and the log adds up.

import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { gzipSync } from 'node:zlib'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { connectLog } from '../../log/nats-log.ts'
import { freeLoopbackPort } from '../../log/nats-supervisor.ts'
import { holdfast, leftoversOf, Running, workDirectory } from './command.ts'

let work: Awaited<ReturnType<typeof workDirectory>>
let server: Running
let node: Running
let natsPort: number
let httpPort: number

const EVENTS = 1_200
const USERS = 40
const NOW = Date.now()

const at = (name: string) => join(work.path, name)
const nodeUrl = () => `http://127.0.0.1:${httpPort}`

/** The broker outlives the node that is killed: it is that of another one. */
async function startNode(): Promise<void> {
  const nats = ['--nats', `nats://127.0.0.1:${natsPort}`, '--namespace', 'shop']
  node = new Running(['node', ...nats, '--data-dir', at('node'), '--http-port', String(httpPort), '--bulk-share', '90'])
  await node.says(/send one JSON event/)
}

beforeAll(async () => {
  work = await workDirectory()
  natsPort = await freeLoopbackPort()
  httpPort = await freeLoopbackPort()
  server = new Running([
    'node',
    '--data-dir',
    at('other'),
    '--namespace',
    'other',
    '--no-http',
    '--port',
    String(natsPort),
  ])
  await server.says(/send one JSON event/)
  await startNode()
})
afterAll(async () => {
  for (const each of [node, server]) {
    each.kill('SIGKILL')
    await each.ended
  }
  await leftoversOf(work.path)
  await work[Symbol.asyncDispose]()
})

const view = (id: string, user: string): string =>
  JSON.stringify({
    ...{ type: 'page_view', event_id: id, event_time: NOW - 3_600_000, user_id: user },
    ...{ page_id: 'home' },
  })

interface Accepted {
  readonly event_id: string
  readonly user_id: string
}

async function accepted(): Promise<Accepted[]> {
  const log = await connectLog({ servers: `nats://127.0.0.1:${natsPort}`, name: 'test' })
  const reader = await log.read('shop_out_accepted_0', { seq: 0, digest: '', created: '' })
  const all: Accepted[] = []
  for (let messages = await reader.next(500); messages.length > 0; messages = await reader.next(500))
    all.push(...messages.map(({ payload }) => JSON.parse(Buffer.from(payload).toString())))
  await reader.stop()
  await log.close()
  return all
}

/** What tasks say of themselves, summed up: in the metrics of the door. */
async function metric(name: string, labels: string): Promise<number> {
  const text = await (await fetch(`${nodeUrl()}/metrics`)).text()
  const line = text.split('\n').find((one) => one.startsWith(`${name}{`) && one.includes(labels))
  return line === undefined ? 0 : Number(line.split(' ').at(-1))
}

it('comes out once, whatever is killed meanwhile, beside live events', async () => {
  const lines = Array.from({ length: EVENTS }, (_, i) => view(`c${i}`, `user${i % USERS}`))
  writeFileSync(
    at('month.ndjson.gz'),
    gzipSync(`${lines.slice(0, 10).join('\n')}\n\n{"type":"conversion"}\n${lines.slice(10).join('\n')}`),
  )
  const send = () => holdfast(['send', '--bulk', at('month.ndjson.gz'), '--url', nodeUrl()])
  let live = 0
  const events = setInterval(() => {
    const body = view(`live${live++}`, 'live')
    const headers = { 'content-type': 'application/json' }
    fetch(`${nodeUrl()}/v1/events`, { method: 'POST', headers, body }).catch(() => {})
  }, 50)
  const first = await send()
  expect(first).toMatchObject({ code: 0, stdout: '' })
  expect(first.stderr).toContain('sent 1,201 · taken 1,200 · refused 1 (the first: event 11, EVENT_FIELD_MISSING)')
  // In the midst of it.
  while ((await metric('holdfast_task_records', 'task="user-1-0",counter="read"')) < 300) await sleep(5)
  node.kill('SIGKILL')
  await node.ended
  await startNode()
  // A part of it again, as somebody does who does not know how far it came.
  expect(await send()).toMatchObject({ code: 0 })
  clearInterval(events)
  while ((await metric('holdfast_task_records', 'task="user-1-0",counter="duplicates"')) < EVENTS) await sleep(20)
  const all = (await accepted()).filter(({ user_id }) => user_id !== 'live')
  expect(all).toHaveLength(EVENTS)
  for (let user = 0; user < USERS; user++) {
    const theirs = all.filter(({ user_id }) => user_id === `user${user}`).map(({ event_id }) => event_id)
    expect(theirs).toEqual(lines.flatMap((_, i) => (i % USERS === user ? [`c${i}`] : [])))
  }
  expect(await metric('holdfast_task_lag_records', 'task="pages-0"')).toBe(0)
  expect(await metric('holdfast_task_pending_messages', 'task="bulk-0"')).toBe(0)
  node.kill('SIGTERM')
  expect((await node.ended).code).toBe(0)
  const { stdout } = await holdfast(['audit', '--data-dir', at('node'), '--nats', `nats://127.0.0.1:${natsPort}`])
  expect(stdout).toMatch(/shop_user-1_0\s+bulk-0/)
  expect(stdout).toContain('no faults')
})

it('says how far it is while nothing at all comes, so that ticks do not fill the log behind it', async () => {
  const log = await connectLog({ servers: `nats://127.0.0.1:${natsPort}`, name: 'test' })
  const said = async () => (await log.lastOnSubject('other_user-1_0', 'other.user-1.0.bulk-0'))?.seq ?? 0
  const before = await said()
  while ((await said()) < before + 5) await sleep(100)
  await log.close()
})

it('a file that cannot be read, a node that is away, an address that is none', async () => {
  const send = (...args: string[]) => holdfast(['send', ...args])
  expect(await send('--bulk', at('nothing'), '--url', nodeUrl())).toMatchObject({ code: 2 })
  expect(await send('--bulk', at('month.ndjson.gz'), '--url', 'nowhere')).toMatchObject({ code: 2 })
  writeFileSync(at('broken.gz'), 'no gzip')
  expect(await send('--bulk', at('broken.gz'), '--url', nodeUrl())).toMatchObject({ code: 2 })
})

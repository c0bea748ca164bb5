// A node's front door as curl sees it: events in over HTTP, values out again, across a restart; tokens; the audit afterwards.

import { readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { connect } from 'nats'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { freeLoopbackPort } from '../../log/nats-supervisor.ts'
import { holdfast, leftoversOf, Running, workDirectory } from './command.ts'

let work: Awaited<ReturnType<typeof workDirectory>>
let port: number
let node: Running
let url: string

async function start(...more: string[]): Promise<void> {
  const args = ['--data-dir', join(work.path, 'data'), '--partitions', '2', '--port', String(port)]
  node = new Running(['node', ...args, '--http-port', '0', ...more])
  await node.says(/send one JSON event/)
  url = /over HTTP: (\S+)/.exec(node.stderr)![1]!
}

beforeAll(async () => {
  work = await workDirectory()
  port = await freeLoopbackPort()
  await start()
})
afterAll(async () => {
  node.kill('SIGKILL')
  await node.ended
  await leftoversOf(work.path)
  await work[Symbol.asyncDispose]()
})

async function stop(): Promise<void> {
  node.kill('SIGTERM')
  expect((await node.ended).code).toBe(0)
}

const view = (id: string, user: string, more: object = {}): object => ({
  ...{ type: 'page_view', event_id: id, event_time: Date.now(), user_id: user, page_id: 'home' },
  ...more,
})

async function post(body: unknown, headers: Record<string, string> = {}) {
  const response = await fetch(`${url}/v1/events`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify(body),
  })
  return { status: response.status, body: (await response.json()) as Answer }
}

interface Answer {
  taken: number
  refused: number
  events: { position?: string; error?: { code: string; field?: string } }[]
}

async function countOf(entity: string, key: string, position?: string): Promise<number> {
  const query = position === undefined ? '' : `?wait=${encodeURIComponent(position)}`
  const response = await fetch(`${url}/v1/features/page_views_1h/${entity}/${encodeURIComponent(key)}${query}`)
  const answer = (await response.json()) as { value: number }
  expect([response.status, answer]).toEqual([200, expect.objectContaining({ entity, key })])
  return answer.value
}

describe('the front door', () => {
  it('takes events, and what they made is there for who waits for their position', async () => {
    const { status, body } = await post([
      view('e1', 'ann'),
      view('e2', 'bob'),
      { type: 'page_view' },
      view('e1', 'ann'),
    ])
    expect([status, body.taken, body.refused]).toEqual([200, 3, 1])
    expect(body.events[2]!.error).toMatchObject({ code: 'EVENT_FIELD_MISSING', field: 'event_id' })
    const [ann, bob] = body.events as [{ position: string }, { position: string }]
    expect(await countOf('user', 'ann', ann.position)).toBe(1)
    await countOf('page', 'home', ann.position)
    expect(await countOf('page', 'home', bob.position)).toBe(2)
    expect(await countOf('user', 'nobody')).toBe(0)
  })

  it('answers over NATS what it answers over HTTP', async () => {
    const nats = await connect({ servers: `nats://127.0.0.1:${port}` })
    const reply = await nats.request('holdfast.read.page_views_1h.user', JSON.stringify({ key: 'ann' }))
    await nats.close()
    expect(reply.json()).toMatchObject({ feature: 'page_views_1h', entity: 'user', key: 'ann', value: 1 })
  })

  it('takes a pixel, and answers with its image', async () => {
    const response = await fetch(`${url}/v1/pixel.gif?e=PageView&eid=g1&uid=gif&pid=shelf`)
    expect([response.status, response.headers.get('content-type')]).toEqual([200, 'image/gif'])
    expect((await response.arrayBuffer()).byteLength).toBe(43)
    const { body } = await post(view('g2', 'gif', { page_id: 'other' }))
    expect(await countOf('user', 'gif', body.events[0]!.position)).toBe(2)
    expect(await countOf('page', 'shelf', body.events[0]!.position)).toBe(1)
  })

  it('says that it is ready, what its tasks do, and counts requests', async () => {
    expect((await fetch(`${url}/healthz`)).status).toBe(200)
    expect(await (await fetch(`${url}/readyz`)).json()).toEqual({ ready: true, waiting: [] })
    const { tasks } = (await (await fetch(`${url}/v1/status`)).json()) as { tasks: { name: string; phase: string }[] }
    const stages = ['bulk', 'clicks', 'pages', 'purchases', 'user-1', 'user-2']
    expect(tasks.map(({ name, phase }) => `${name} ${phase}`).sort()).toEqual(
      stages.flatMap((stage) => [`${stage}-0 running`, `${stage}-1 running`]),
    )
    const metrics = await (await fetch(`${url}/metrics`)).text()
    expect(metrics).toMatch(/holdfast_task_running\{task="user-1-0"\} 1/)
    expect(metrics).toContain('holdfast_label_conservation_difference{goal="",window="7d_click"} 0')
    expect(metrics).toMatch(/holdfast_task_records\{task="[^"]+",counter="accepted"\} \d/)
    // Asked of every task, in whichever thread it is.
    const unknown = await fetch(`${url}/v1/attributions/nobody`)
    expect([unknown.status, await unknown.json()]).toMatchObject([404, { error: { code: 'UNKNOWN_CONVERSION' } }])
    const { paths } = (await (await fetch(`${url}/openapi.json`)).json()) as { paths: object }
    expect(Object.keys(paths)).toEqual(expect.arrayContaining(['/v1/events', '/v1/pixel.gif', '/v1/status', '/readyz']))
  })

  it('is asked by commands', async () => {
    const query = await holdfast(['query', 'page_views_1h', 'user', 'ann', 'nobody', '--url', url, '--json'])
    expect(query.code).toBe(0)
    expect(query.stdout).toMatch(/"ann"/)
    const top = await holdfast(['top', '--url', url, '--once'])
    expect(top.code).toBe(0)
    expect(top.stdout).toMatch(/user-1-0/)
  })

  it('after a restart has what it had, and takes the same events as duplicates', async () => {
    await stop()
    await start()
    expect(await countOf('user', 'ann')).toBe(1)
    const { body } = await post([view('e1', 'ann'), view('e3', 'ann')])
    expect(await countOf('user', 'ann', body.events[1]!.position)).toBe(2)
    await stop()
    const audit = await holdfast(['audit', '--data-dir', join(work.path, 'data')])
    expect([audit.code, audit.stdout]).toEqual([0, expect.stringMatching(/no faults/)])
    await start()
  })

  it('ends in good order while reads wait, over HTTP and NATS, and tells them', async () => {
    const { body } = await post(view('w1', 'ann'))
    const never = body.events[0]!.position!.replace(/:.*/, ':99999.0')
    const nats = await connect({ servers: `nats://127.0.0.1:${port}`, reconnect: false })
    const ask = JSON.stringify({ key: 'ann', wait: never, timeout_ms: 10_000 })
    const overNats = nats.request('holdfast.read.page_views_1h.user', ask, { timeout: 10_000 })
    const overHttp = fetch(`${url}/v1/features/page_views_1h/user/ann?wait=${never}&timeout_ms=10000`)
    await sleep(200)
    await stop()
    expect((await overHttp).status).toBe(503)
    expect((await overNats).json()).toMatchObject({ error: { code: 'UNAVAILABLE' } })
    await nats.close()
    await start()
  })

  it('opens to others only with tokens, and to each token only what it may', async () => {
    const elsewhere = ['--data-dir', join(work.path, 'other'), '--http-port', '0']
    const refused = await holdfast(['node', ...elsewhere, '--http-host', '0.0.0.0'])
    expect([refused.code, refused.stderr]).toEqual([2, expect.stringMatching(/holdfast: .*--token-file/)])
    const file = join(work.path, 'tokens')
    const made = await holdfast(['token', '--token-file', file, '--scopes', 'write'])
    const token = made.stdout.trim()
    expect(statSync(file).mode & 0o777).toBe(0o600)
    expect(readFileSync(file, 'utf8')).not.toContain(token)
    await stop()
    await start('--token-file', file)
    expect((await post(view('t1', 'ann'))).status).toBe(401)
    expect((await post(view('t1', 'ann'), { authorization: `Bearer ${token}x` })).status).toBe(401)
    expect((await post(view('t1', 'ann'), { authorization: `Bearer ${token}` })).status).toBe(200)
    const read = await fetch(`${url}/v1/features/page_views_1h/user/ann`, {
      headers: { authorization: `Bearer ${token}` },
    })
    expect(read.status).toBe(403)
    expect((await fetch(`${url}/healthz`)).status).toBe(200)
    expect(node.stderr).not.toContain(token)
    expect((await holdfast(['token', '--token-file', file, '--scopes', 'writ'])).code).toBe(2)
  })

  it('leaves a token file as it was where it cannot take a line more, and adds one where no line end is', async () => {
    const file = join(work.path, 'more-tokens')
    const make = (...more: string[]) => holdfast(['token', '--token-file', file, '--scopes', 'read', ...more])
    const line = { sha256: 'a'.repeat(64), scopes: ['read'], namespace: 'holdfast' }
    writeFileSync(file, JSON.stringify(line), { mode: 0o600 })
    expect((await make()).code).toBe(0)
    const lines = readFileSync(file, 'utf8').trimEnd().split('\n')
    expect(lines.map((text) => JSON.parse(text))).toEqual([line, expect.objectContaining({ scopes: ['read'] })])
    const bad = await make('--namespace', 'A B')
    expect([bad.code, bad.stderr]).toEqual([2, expect.stringMatching(/namespace/)])
    writeFileSync(file, JSON.stringify([line]))
    const { code, stdout, stderr } = await make()
    expect([code, stdout, stderr]).toEqual([2, '', expect.stringMatching(/^holdfast: [^\n]+another --token-file\n$/)])
    expect(readFileSync(file, 'utf8')).toBe(JSON.stringify([line]))
  })

  it('says in one line that its port is taken', async () => {
    const taken = new URL(url).port
    const second = await holdfast(['node', '--data-dir', join(work.path, 'third'), '--http-port', taken])
    expect([second.code, second.stderr.trim().split('\n').at(-1)]).toEqual([
      2,
      expect.stringMatching(/port.*EADDRINUSE/),
    ])
  })
})

// A configuration that changes while a node runs, and namespaces as tenants: real nodes, one nats-server, the command line.
// Each test has namespaces of its own, and they run side by side: most of their time is waiting for processes to start.

import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { WAITING_MAX } from '../../cli/config-command.ts'
import { NODE_CONFIG_DEFAULT, type NodeConfig, nodeConfigOf } from '../../cli/settings.ts'
import { connectLog, type NatsLog } from '../../log/nats-log.ts'
import { type NatsServerHandle, startNatsServer } from '../../log/nats-supervisor.ts'
import { newToken } from '../../sinks/http/auth.ts'
import { ACTIVATIONS_KEPT } from '../../topology/activation-registry.ts'
import { CONFIG_BYTES_MAX, ConfigRegistry } from '../../topology/config-registry.ts'
import { holdfast, Running, workDirectory } from './command.ts'

const PARTITIONS = 2
/** `within seconds`: what a test on a loaded machine may need. */
const PATIENCE_MS = 60_000

let work: Awaited<ReturnType<typeof workDirectory>>
let nats: NatsServerHandle
let log: NatsLog
const nodes: Running[] = []

const at = (name: string): string => join(work.path, name)
const over = (namespace: string): string[] => ['--nats', nats.url, '--namespace', namespace]

beforeAll(async () => {
  work = await workDirectory()
  const mapping = (ns: string) => ({ [`${ns}.in.*`]: `${ns}.user-1.{{partition(${PARTITIONS},1)}}.in` })
  nats = await startNatsServer({
    storeDir: at('nats'),
    mappings: Object.assign({}, ...['one', 'later', 'first', 'second'].map(mapping)),
    onEvent: () => {},
  })
  log = await connectLog({ servers: nats.url, name: 'test' })
})
afterAll(async () => {
  for (const node of nodes) {
    node.kill('SIGKILL')
    await node.ended
  }
  await log.close()
  await nats.stop()
  await work[Symbol.asyncDispose]()
})

// biome-ignore lint/suspicious/noExplicitAny: answers of any route
type Json = any

interface Node {
  readonly process: Running
  readonly url: string
}

async function start(namespace: string, more: readonly string[] = [], env: Record<string, string> = {}): Promise<Node> {
  const shape = ['--data-dir', at(namespace), '--partitions', String(PARTITIONS), '--log-bytes', String(256 << 20)]
  const node = new Running(['node', ...over(namespace), ...shape, '--http-port', '0', '--threads', '1', ...more], {
    env,
  })
  nodes.push(node)
  await node.says(/accepted events: stream/)
  return { process: node, url: /over HTTP: (http\S+)/.exec(node.stderr)![1]! }
}

async function configFile(name: string, config: object): Promise<string> {
  await writeFile(at(name), JSON.stringify(config))
  return at(name)
}

const event = (id: string, more: object = {}) => {
  return { type: 'page_view', event_id: id, event_time: Date.now(), user_id: 'ann', page_id: 'home', ...more }
}

async function post(
  url: string,
  body: unknown,
  token = '',
): Promise<{ status: number; retryAfter: string | null; json: Json }> {
  const headers = { 'content-type': 'application/json', authorization: `Bearer ${token}` }
  const answer = await fetch(`${url}/v1/events`, { method: 'POST', headers, body: JSON.stringify(body) })
  return { status: answer.status, retryAfter: answer.headers.get('retry-after'), json: await answer.json() }
}

async function get(url: string, path: string, token = ''): Promise<{ status: number; json: Json }> {
  const answer = await fetch(`${url}${path}`, { headers: { authorization: `Bearer ${token}` } })
  return { status: answer.status, json: await answer.json() }
}

async function until(holds: () => Promise<boolean>, what: string): Promise<void> {
  const end = performance.now() + PATIENCE_MS
  while (!(await holds())) {
    if (performance.now() > end) throw new Error(`not in time: ${what}`)
    await sleep(50)
  }
}

const configsOf = async (url: string): Promise<string[]> =>
  (await get(url, '/v1/status')).json.tasks.map(({ config }: { config: string }) => config)

/** Settles when every task is under a configuration. */
const allUnder = (url: string, hash: string): Promise<void> =>
  until(async () => (await configsOf(url)).every((config) => config === hash), `all tasks under ${hash}`)

const hashIn = (stdout: string): string => /configuration:? ([0-9a-f]{16})/.exec(stdout)![1]!

describe('a configuration', { concurrent: true }, () => {
  it('changes under a running node: tasks, reads and the front door; a kill half way is made whole', async () => {
    const accept = await configFile('accept.json', {
      anonymous: 'accept',
      http: { corsOrigins: ['https://shop.example'] },
    })
    const reject = await configFile('reject.json', { latenessMs: 5_000, attribution: { goals: [{ name: 'sales' }] } })
    const windows = await configFile('windows.json', { attribution: { windows: [{ name: 'w', click: '2d' }] } })
    const { url, process: first } = await start('one')
    const [before] = await configsOf(url)
    const nobody = { user_id: undefined }
    expect((await post(url, event('a1', nobody))).status).toBe(400)
    expect((await holdfast(['config', 'diff', accept, ...over('one')])).code).toBe(1)
    const applied = await holdfast(['config', 'apply', accept, ...over('one')])
    expect(applied).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/^activation 2: .* from its place in the log/),
    })
    const hash = hashIn(applied.stdout)
    expect(hash).not.toBe(before)
    expect(await holdfast(['config', 'apply', windows, ...over('one')])).toMatchObject({
      ...{ code: 2, stdout: '' },
      stderr: expect.stringMatching(
        /^holdfast: not applied: "attribution.windows" would change, and .* only the goals/,
      ),
    })
    await allUnder(url, hash)
    // The same node, not started again.
    const preflight = async (of: string) => {
      const headers = { origin: 'https://shop.example', 'access-control-request-method': 'POST' }
      return (await fetch(`${of}/v1/collect`, { method: 'OPTIONS', headers })).status
    }
    await until(async () => (await preflight(url)) === 204, 'the origin is allowed')
    const taken = await post(url, event('a2', nobody))
    expect(taken).toMatchObject({ status: 200, json: { taken: 1 } })
    const read = await get(url, `/v1/features/page_views_1h/page/home?wait=${taken.json.events[0].position}`)
    expect(read.json).toMatchObject({ value: 1, config: hash })
    const twice = ['diff', 'apply'].map((what) => holdfast(['config', what, accept, ...over('one')]))
    const [diff, again] = await Promise.all(twice)
    expect(diff).toMatchObject({ code: 0, stdout: 'equal\n' })
    expect(again).toMatchObject({ code: 0, stdout: expect.stringMatching(/^no change: .*activation 2: /) })

    // K12: it ends when the record is in some streams and not in others.
    first.kill('SIGTERM')
    await first.ended
    const killed = await start('one', [], { HOLDFAST_KILL: 'K12:2' })
    const other = hashIn((await holdfast(['config', 'apply', reject, ...over('one')])).stdout)
    await killed.process.ended
    const control = async (stage: string) => {
      const last = await log.lastOnSubject(`one_${stage}_0`, `one.${stage}.0.ctl`)
      return Buffer.from(last?.payload ?? []).toString()
    }
    expect([(await control('purchases')).includes(other), (await control('user-1')).includes(other)]).toEqual([
      true,
      false,
    ])
    const whole = await start('one', ['--config', accept])
    await whole.process.says(
      /configuration [0-9a-f]{16} of the namespace \(activation 3\) holds, and not .*accept.json/,
    )
    await allUnder(whole.url, other)
    await until(async () => (await preflight(whole.url)) === 403, 'the origin is not allowed any more')
    expect((await post(whole.url, event('a3', nobody))).status).toBe(400)
  })

  it('holds from the time that is asked for, and not before; only so many may wait', async () => {
    const { url } = await start('later')
    const registry = new ConfigRegistry(log, 'later')
    const now = (await registry.newest())!
    const later = await configFile('later.json', { latenessMs: 7_000 })
    const from = new Date(Date.now() + 3_600_000).toISOString()
    const applied = await holdfast(['config', 'apply', later, '--from', from, ...over('later')])
    expect(applied.stdout).toContain(`from ${from}`)
    // Every task has read it, and what is applied after it is under the one before.
    const hashLater = hashIn(applied.stdout)
    for (const task of ['user-1.0', 'user-1.1', 'pages.0', 'pages.1']) {
      const stream = `later_${task.replace('.', '_')}`
      await until(async () => {
        const last = await log.lastOnSubject(stream, `later.${task}.ctl`)
        return Buffer.from(last?.payload ?? [])
          .toString()
          .includes(hashLater)
      }, `${task} has it`)
    }
    const taken = await post(url, event('l1'))
    const read = await get(url, `/v1/features/page_views_1h/page/home?wait=${taken.json.events[0].position}`)
    expect(read.json).toMatchObject({ value: 1, config: now.hash })
    expect(new Set(await configsOf(url))).toEqual(new Set([now.hash]))
    for (let i = 1; i < WAITING_MAX; i++) {
      const body = { ...NODE_CONFIG_DEFAULT, latenessMs: 7_000 + i } as NodeConfig
      await registry.append(body, Date.now() + 3_600_000 + i, await registry.newest())
    }
    const oneMore = await configFile('more.json', { latenessMs: 8_000 })
    expect(await holdfast(['config', 'apply', oneMore, '--from', from, ...over('later')])).toMatchObject({
      ...{ code: 1, stderr: expect.stringMatching(/7 configurations wait/) },
    })
    const hash = hashIn((await holdfast(['config', 'apply', oneMore, ...over('later')])).stdout)
    await allUnder(url, hash)
    // All tasks have read them all: the registry keeps the newest.
    await until(async () => (await registry.all()).length === ACTIVATIONS_KEPT, 'older activations are forgotten')
  })

  it('is checked before anything is written: exit 2, and the field', async () => {
    const wrong = { anonymous: 'no', bots: true, quotas: { eventsPerS: 0 }, http: { corsOrigins: ['*'] } }
    for (const [field, value] of Object.entries({ ...wrong, latenessMs: -1 }))
      expect(() => nodeConfigOf({ [field]: value }, 'f')).toThrow(`"${field}"`)
    for (const http of [{ botNetworks: ['x'] }, { trustedProxies: ['all'] }])
      expect(() => nodeConfigOf({ http }, 'f')).toThrow('no network')
    for (const pixels of [{ shop: '' }, { shop: 'x'.repeat(129) }, { '': 'shop' }, { shop: 'a\n' }])
      expect(() => nodeConfigOf({ http: { pixels } }, 'f')).toThrow('no id of a pixel or advertiser')
    expect(nodeConfigOf({ http: { pixels: { shop: 'x'.repeat(128) } } }, 'f').http.pixels).toEqual({
      shop: 'x'.repeat(128),
    })
    const large = { http: { pixels: Object.fromEntries(Array.from({ length: 30_000 }, (_, i) => [`p${i}`, 'a'])) } }
    expect(() => nodeConfigOf(large, 'f')).toThrow(`at most ${CONFIG_BYTES_MAX}`)
    const bad = await configFile('bad.json', { latenesMs: 1 })
    const good = await configFile('good.json', {})
    const asked = [
      ['check', bad],
      ['diff', good, ...over('none')],
    ].map((args) => holdfast(['config', ...args]))
    expect(await Promise.all(asked)).toMatchObject([
      { code: 2, stderr: expect.stringContaining('"latenesMs"') },
      { code: 2, stderr: expect.stringContaining('no node has run in it') },
    ])
  })
})

it.concurrent('two namespaces on one server are two tenants: tokens, quotas, keys', async () => {
  const [one, two] = [newToken(['read', 'write', 'metrics'], 'first'), newToken(['read', 'write', 'metrics'], 'second')]
  await writeFile(at('tokens'), `${one.line}\n${two.line}\n`, { mode: 0o600 })
  const tokens = ['--token-file', at('tokens')]
  const quotas = await configFile('quotas.json', { quotas: { eventsPerS: 5, readKeysPerS: 3 } })
  const [{ url: first }, { url: second }] = await Promise.all([start('first', tokens), start('second', tokens)])
  expect((await post(first, event('t1'), two.token)).status).toBe(403)
  expect((await get(second, '/v1/features', one.token)).status).toBe(403)
  await holdfast(['config', 'apply', quotas, ...over('first')])
  const batch = Array.from({ length: 5 }, (_, i) => event(`q${i}`))
  await until(async () => (await post(first, batch, one.token)).status === 429, 'the quota holds')
  // What clients send; ticks and uploads have subjects of their own.
  const sent = () =>
    Promise.all([0, 1].map(async (p) => (await log.lastOnSubject(`first_user-1_${p}`, `first.user-1.${p}.in`))?.seq))
  const before = await sent()
  const refused = await post(first, batch, one.token)
  expect(refused).toMatchObject({ status: 429, retryAfter: '1', json: { error: { code: 'OVER_QUOTA' } } })
  const keys = Array.from({ length: 10 }, (_, i) => `k${i}`)
  const readKeys = async (url: string, token: string) => {
    const headers = { 'content-type': 'application/json', authorization: `Bearer ${token}` }
    const body = JSON.stringify({ keys })
    return (await fetch(`${url}/v1/features/page_views_1h/page`, { method: 'POST', headers, body })).status
  }
  // Ten keys at three a second: one batch from a full bucket, and then its debt.
  expect([await readKeys(first, one.token), await readKeys(first, one.token)]).toEqual([200, 429])
  // The other tenant has the quota of nobody, and none of what the first sent.
  const others = await Promise.all(
    Array.from({ length: 20 }, (_, i) => post(second, event(`o${i}`, { page_id: 'theirs' }), two.token)),
  )
  expect(others.map(({ status }) => status)).toEqual(Array(20).fill(200))
  const last = others.at(-1)!.json.events[0].position
  expect((await get(second, `/v1/features/page_views_1h/page/theirs?wait=${last}`, two.token)).json.value).toBe(20)
  expect((await get(second, '/v1/features/page_views_1h/page/home', two.token)).json.value).toBe(0)
  expect(await readKeys(second, two.token)).toBe(200)
  const metrics = await (await fetch(`${first}/metrics`, { headers: { authorization: `Bearer ${one.token}` } })).text()
  expect(metrics).toMatch(/holdfast_quota_refused_total\{quota="events"\} [1-9]/)
  // Nothing of what was refused is in the log.
  expect(await sent()).toEqual(before)
})

// Reads over NATS request-reply, on a real nats-server and a running host.

import { once } from 'node:events'
import type { Msg, NatsConnection } from 'nats'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import type { NatsLog } from '../log/nats-log.ts'
import { ReadWorld, readServer } from '../test/read-world.ts'
import type { FeatureReads, ReadOutcome } from './feature-reads.ts'
import {
  attributionSubject,
  type NatsReads,
  purchasesSubject,
  READS_MAX,
  readSubject,
  serveReads,
} from './nats-reads.ts'

const TIMEOUT_MS = 5_000
const PAGE = readSubject('doors', 'page_views_1h', 'page')
const USER = readSubject('doors', 'page_views_1h', 'user')

let world: ReadWorld
/** Of the one who asks. */
let client: NatsLog
let nc: NatsConnection
const serving: NatsReads[] = []
const faults: unknown[] = []

beforeAll(async () => {
  world = await ReadWorld.start()
  client = await world.nats.connect()
  nc = client.nc
})
afterEach(async () => {
  for (const reads of serving.splice(0)) await reads.stop()
  expect(faults.splice(0)).toEqual([])
})
afterAll(async () => {
  await client.close()
  await world.close()
})

async function serve(reads: FeatureReads = world.reads): Promise<void> {
  serving.push(
    serveReads({
      nc: world.log.nc,
      namespace: 'doors',
      reads,
      timeZoneOf: () => 'Europe/Berlin',
      onFault: (error) => faults.push(error),
    }),
  )
  await world.log.nc.flush()
}

async function ask(subject: string, body: unknown): Promise<unknown> {
  const payload = typeof body === 'string' || body instanceof Uint8Array ? body : JSON.stringify(body)
  return JSON.parse((await nc.request(subject, payload, { timeout: TIMEOUT_MS })).string())
}

const error = (code: string, more: object = {}) => ({ error: expect.objectContaining({ code, ...more }) })

it('answers with the JSON of HTTP, for one key and for several', async () => {
  await serve()
  const server = await readServer(world)
  const wait = await world.views('ann', ['home', 'a/b', 'home'])
  // Pages of both partitions: each is waited for where it is read.
  await ask(PAGE, { keys: ['home', 'a/b'], wait })
  expect(await ask(PAGE, { key: 'home', wait })).toMatchObject({ key: 'home', value: 2 })
  // Pinned: frames without records move the newest on while nobody writes.
  const { snapshot } = (await world.reads.pin())!
  const url = `${server.url}/v1/features/page_views_1h/page`
  const one = await ask(PAGE, { key: 'home', snapshot })
  expect(one).toEqual(await (await fetch(`${url}/home?snapshot=${snapshot}`)).json())
  const body = JSON.stringify({ keys: ['a/b', 'home', 'nowhere'], snapshot })
  const several = await ask(PAGE, body)
  expect(several).toMatchObject({ values: [{ value: 1 }, { value: 2 }, { value: 0 }] })
  const headers = { 'content-type': 'application/json' }
  expect(several).toEqual(await (await fetch(url, { method: 'POST', headers, body })).json())
  await world.reads.unpin(snapshot)
  await server.close()
})

it('refuses what is no request, and says why it cannot answer', async () => {
  await serve()
  expect(await ask(PAGE, { key: 'a\0' })).toEqual(error('BAD_PARAMETER', { field: 'key' }))
  expect(await ask(PAGE, { key: 'a', at: 5 })).toEqual(error('BAD_PARAMETER', { field: 'at' }))
  expect(await ask(PAGE, { key: 'a', keys: ['a'] })).toEqual(error('BAD_PARAMETER'))
  expect(await ask(PAGE, { keys: Array(1_001).fill('a') })).toEqual(error('TOO_MANY_KEYS'))
  expect(await ask(PAGE, {})).toEqual(error('BAD_PARAMETER', { field: 'key' }))
  for (const body of ['', 'null', '[]', '{', new Uint8Array([0xff])])
    expect(await ask(PAGE, body)).toEqual(error('BAD_BODY'))
  expect(await ask(readSubject('doors', 'other', 'page'), { key: 'a' })).toEqual(error('UNKNOWN_FEATURE'))
  expect(await ask(USER, { key: 'a', snapshot: 'x' })).toEqual(error('SNAPSHOT_GONE'))
  const late = await ask(USER, { key: 'ann', wait: 'doors_user-1_0:9999.0', timeout_ms: 20 })
  expect(late).toEqual(error('NOT_REACHED', { reached: expect.stringMatching(/^doors_user-1_0:/) }))
})

it('refuses to read attributions and purchases by what is no request, and keeps to the rules of HTTP', async () => {
  await serve()
  const [attribution, purchases] = [attributionSubject('doors'), purchasesSubject('doors')]
  for (const subject of [attribution, purchases])
    for (const body of ['', 'null', '[]', '{']) expect(await ask(subject, body)).toEqual(error('BAD_BODY'))
  for (const conversion of [undefined, 7, '', 'a\0', 'é'.repeat(65)])
    expect(await ask(attribution, { conversion })).toEqual(error('BAD_PARAMETER', { field: 'conversion' }))
  expect(await ask(attribution, { conversion: 'c', at: 5 })).toEqual(error('BAD_PARAMETER', { field: 'at' }))
  expect(await ask(attribution, { conversion: 'c', code: 1 })).toEqual(error('BAD_PARAMETER'))
  // Numbers are numbers here.
  const wait = { wait: 'doors_user-1_0:1.0', timeout_ms: '20' }
  expect(await ask(attribution, { conversion: 'c', ...wait })).toEqual(error('BAD_PARAMETER', { field: 'timeout_ms' }))
  for (const advertiser of [undefined, ['a'], 'a\n'])
    expect(await ask(purchases, { advertiser })).toEqual(error('BAD_PARAMETER', { field: 'advertiser' }))
  expect(await ask(purchases, { advertiser: 'a', by: 'pixel' })).toEqual(error('BAD_PARAMETER', { field: 'by' }))
  expect(await ask(purchases, { advertiser: 'a', from: 'today' })).toEqual(error('BAD_PARAMETER', { field: 'from' }))
  expect(await ask(attribution, { conversion: 'c' })).toEqual(error('NO_ATTRIBUTION'))
  expect(await ask(purchases, { advertiser: 'a' })).toEqual(error('NO_ATTRIBUTION'))
})

it('refuses an answer that is larger than a message of the server', async () => {
  const large = new HeldReads()
  const kind = 'x'.repeat(nc.info!.max_payload)
  large.purchases = async () => ({ kind: 'too_large', what: kind })
  await serve(large)
  expect(await ask(purchasesSubject('doors'), { advertiser: 'a' })).toEqual(error('REPLY_TOO_LARGE'))
})

it('several nodes of a namespace share the requests: each is answered once', async () => {
  await serve()
  await serve()
  const inbox = nc.subscribe('answers')
  const answers: Msg[] = []
  void (async () => {
    for await (const msg of inbox) answers.push(msg)
  })()
  for (let i = 0; i < 20; i++) nc.publish(PAGE, JSON.stringify({ key: 'home' }), { reply: 'answers' })
  // One after the other: when this one is answered, the others have been.
  for (let i = 0; i < 4; i++) await ask(PAGE, { key: 'home' })
  expect(answers).toHaveLength(20)
  inbox.unsubscribe()
})

/** Reads that are held back until they are let go: what is under way is known then. */
class HeldReads implements FeatureReads {
  readonly features = []
  readonly vectors = async () => ({ kind: 'unknown_feature' }) as const
  readonly top = async () => ({ kind: 'unknown_feature' }) as const
  readonly explain = this.top
  readonly attribution = this.top
  purchases: FeatureReads['purchases'] = async () => ({ kind: 'no_attribution' })
  readonly evaluation: FeatureReads['evaluation'] = async () => ({ kind: 'no_evaluation' })
  readonly pin = async () => null
  readonly unpin = async () => false
  readonly #gate = Promise.withResolvers<ReadOutcome>()
  readonly #started = new EventTarget()
  count = 0

  read(): Promise<ReadOutcome> {
    this.count++
    this.#started.dispatchEvent(new Event('started'))
    return this.#gate.promise
  }

  async started(count: number): Promise<void> {
    while (this.count < count) await once(this.#started, 'started')
  }

  letGo(): void {
    this.#gate.resolve({ kind: 'unknown_feature' })
  }
}

describe('requests under way', () => {
  it('are bounded; those that are, are answered, also when it stops meanwhile', async () => {
    const held = new HeldReads()
    await serve(held)
    const waiting = Array.from({ length: READS_MAX }, () => ask(PAGE, { key: 'a' }))
    await held.started(READS_MAX)
    expect(await ask(PAGE, { key: 'a' })).toEqual(error('TOO_MANY'))
    let isStopped = false
    const stopped = serving[0]!.stop().then(() => {
      isStopped = true
    })
    await world.log.ping()
    expect(isStopped).toBe(false)
    held.letGo()
    expect(await Promise.all(waiting)).toEqual(Array(READS_MAX).fill(error('UNKNOWN_FEATURE')))
    await stopped
    await expect(ask(PAGE, { key: 'a' })).rejects.toThrow(/no responders/i)
  })

  it('that throw are told so, and the node hears why', async () => {
    const broken = new HeldReads()
    broken.read = () => Promise.reject(new Error('going down'))
    await serve(broken)
    expect(await ask(PAGE, { key: 'a' })).toEqual(error('INTERNAL'))
    expect(faults.splice(0)).toEqual([new Error('going down')])
  })

  it('that nobody waits for are not read', async () => {
    const held = new HeldReads()
    held.letGo()
    await serve(held)
    nc.publish(PAGE, JSON.stringify({ key: 'a' }))
    expect(await ask(PAGE, { key: 'a' })).toEqual(error('UNKNOWN_FEATURE'))
    expect(held.count).toBe(1)
  })
})

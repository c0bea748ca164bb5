// One purchase, told twice: by the page in a real Chromium with its pixel, and by the shop's server to the Conversions endpoint;
// through a real node and out of its streams of accepted conversions.
// What counts is contract.md, section 2: the same type and event_id of the same user is a duplicate, and the first wins, with the click
// that it names; of conversions that name one, the one of the lower event time is resolved first. Page and server name the same one, the
// click the page came with: it is the conversion's click whichever is first. Where a server names another one and is first, that one is.

import { chmodSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Browser, BrowserContext, Page } from 'playwright-core'
import { afterAll, afterEach, it as always, beforeAll, beforeEach, expect } from 'vitest'
import { connectLog, type NatsLog } from '../../log/nats-log.ts'
import { freeLoopbackPort } from '../../log/nats-supervisor.ts'
import { CONVERSIONS } from '../../sinks/conversion-stream.ts'
import { newToken } from '../../sinks/http/auth.ts'
import { outputStream } from '../../topology/plan.ts'
import { leftoversOf, Running, workDirectory } from '../e2e/command.ts'
import { openBrowser } from './browser.ts'

const browser = await openBrowser()
if (typeof browser === 'string') console.warn(`test/browser: ${browser}`)
const it = always.skipIf(typeof browser === 'string')

const NAMESPACE = 'holdfast'
const PARTITIONS = 2
const LOOK_MS = 20
const WAIT_MS = 20_000

type Accepted = Readonly<Record<string, unknown>>

let work: Awaited<ReturnType<typeof workDirectory>>
let shop: Server
let shopUrl: string
let node: Running
let doorUrl: string
let token: string
let log: NatsLog
let context: BrowserContext
let page: Page
/** Made so far, each told twice. */
let purchases = 0
/** Tests tried so far: what is tried once more is another purchase. */
let tries = 0

beforeAll(async () => {
  if (typeof browser === 'string') return
  work = await workDirectory()
  shop = createServer((_, response) => {
    const script = `<script async src="${doorUrl}/holdfast.js" data-pixel="shop-1" data-consent="true"></script>`
    response.writeHead(200, { 'content-type': 'text/html' })
    response.end(`<!doctype html><head>${script}</head><body>a shop</body>`)
  })
  await new Promise<void>((resolve) => shop.listen(0, '127.0.0.1', resolve))
  shopUrl = `http://127.0.0.1:${(shop.address() as AddressInfo).port}`
  await startNode()
})

afterAll(async () => {
  if (typeof browser === 'string') return
  await browser.close()
  await log.close()
  node.kill('SIGTERM')
  expect((await node.ended).code).toBe(0)
  await leftoversOf(work.path)
  shop.closeAllConnections()
  await new Promise((resolve) => shop.close(resolve))
  await work[Symbol.asyncDispose]()
})

beforeEach(async () => {
  if (typeof browser === 'string') return
  tries++
  context = await (browser as Browser).newContext({ locale: 'en-US' })
  page = await context.newPage()
})

afterEach(async () => {
  if (typeof browser !== 'string') await context.close()
})

/** A node with tokens, that lets the shop's pages read its answers. */
async function startNode(): Promise<void> {
  const port = await freeLoopbackPort()
  const [config, tokenFile] = [join(work.path, 'config.json'), join(work.path, 'tokens')]
  // Conversions are accepted once lateness and grace have passed.
  const soon = { latenessMs: 2_000, attribution: { grace: '1s' } }
  writeFileSync(config, JSON.stringify({ ...soon, http: { corsOrigins: [shopUrl], pixels: { 'shop-1': 'shop' } } }))
  const made = newToken(['read', 'write', 'metrics'], NAMESPACE)
  token = made.token
  writeFileSync(tokenFile, `${made.line}\n`)
  chmodSync(tokenFile, 0o600)
  const args = ['node', '--data-dir', join(work.path, 'data'), '--partitions', String(PARTITIONS)]
  args.push('--port', String(port), '--http-port', '0', '--config', config, '--token-file', tokenFile)
  node = new Running(args)
  await node.says(/send one JSON event/)
  // Another name than the shop's: another origin, whose cookies are not the shop's.
  doorUrl = /over HTTP: (\S+)/.exec(node.stderr)![1]!.replace('127.0.0.1', 'localhost')
  log = await connectLog({ servers: `nats://127.0.0.1:${port}`, name: 'purchase test' })
}

/**
 * What came out of the node, of one event_id, once something has: a duplicate is counted as soon as it is seen, and what
 * was accepted is published with the commit after that.
 */
async function accepted(eventId: string): Promise<Accepted[]> {
  const deadline = performance.now() + WAIT_MS
  for (;;) {
    const events = await published(eventId)
    if (events.length > 0) return events
    if (performance.now() > deadline) throw new Error(`not published in time: ${node.stderr}`)
    await sleep(LOOK_MS)
  }
}

async function published(eventId: string): Promise<Accepted[]> {
  const events: Accepted[] = []
  for (let p = 0; p < PARTITIONS; p++) {
    const stream = outputStream(NAMESPACE, CONVERSIONS, p)
    const { lastSeq, created } = (await log.streamState(stream))!
    const reader = await log.read(stream, { seq: 0, digest: '', created })
    for (let seq = 0; seq < lastSeq; ) {
      const messages = await reader.next(WAIT_MS)
      events.push(...messages.map(({ payload }) => JSON.parse(Buffer.from(payload).toString())))
      seq = messages.at(-1)?.seq ?? lastSeq
    }
    await reader.stop()
  }
  return events.filter(({ event_id }) => event_id === eventId)
}

/** Duplicates of conversions: of all tasks of the stage that accepts them. */
async function conversionDuplicates(): Promise<number> {
  const response = await fetch(`${doorUrl}/v1/status`, { headers: { authorization: `Bearer ${token}` } })
  const { tasks } = (await response.json()) as { tasks: { stage: string; counts: Record<string, number> }[] }
  const ofConversions = tasks.filter(({ stage }) => stage === 'user-2')
  return ofConversions.reduce((total, { counts }) => total + (counts.duplicates ?? 0), 0)
}

/**
 * Settles when everything that the log has of the visitor is applied where pages are counted, and one more duplicate is
 * counted: then nothing is to be decided about the purchase any more.
 */
async function settled(): Promise<void> {
  const user = await cookie('_fbp')
  const event = { type: 'page_view', event_id: `last of ${user}`, event_time: Date.now(), user_id: user, page_id: 'p' }
  const headers = { 'content-type': 'application/json', authorization: `Bearer ${token}` }
  const taken = await fetch(`${doorUrl}/v1/events`, { method: 'POST', headers, body: JSON.stringify(event) })
  const { events } = (await taken.json()) as { events: [{ position: string }] }
  const query = `wait=${encodeURIComponent(events[0].position)}&timeout_ms=10000`
  const read = await fetch(`${doorUrl}/v1/features/page_views_1h/user/${encodeURIComponent(user)}?${query}`, {
    headers,
  })
  expect(read.status).toBe(200)
  purchases++
  const deadline = performance.now() + WAIT_MS
  // Counts of tasks in other threads are told some times a second.
  while ((await conversionDuplicates()) < purchases) {
    if (performance.now() > deadline) throw new Error(`not counted in time: ${node.stderr}`)
    await sleep(LOOK_MS)
  }
}

const cookie = async (name: string): Promise<string> =>
  (await context.cookies(shopUrl)).find((one) => one.name === name)!.value

/** The visitor comes by an ad, and goes on to the page that says thanks. */
async function visit(click: string): Promise<void> {
  await page.goto(`${shopUrl}/landing?gclid=${click}`)
  await page.waitForFunction(() => (globalThis as never as { document: { cookie: string } }).document.cookie !== '')
  await page.goto(`${shopUrl}/thanks`)
  await page.waitForFunction(() => 'holdfast' in globalThis)
}

/** The page sends it, and has the answer that the log has it. */
async function pageBuys(eventId: string, order: string): Promise<void> {
  const details = { value: 30, currency: 'EUR', order_id: order, event_id: eventId }
  const isAnswered = page.waitForResponse(
    (response) =>
      response.url().startsWith(doorUrl) && `${response.url()}${response.request().postData()}`.includes(eventId),
  )
  await page.evaluate(
    (args) => (globalThis as unknown as { holdfast(...args: unknown[]): void }).holdfast('purchase', args),
    details,
  )
  expect((await isAnswered).status()).toBeLessThan(300)
}

/** What a shop's server sends to Meta, with the cookies of the page's visitor. */
async function serverBuys(eventId: string, order: string, click: string): Promise<void> {
  const event = {
    event_name: 'Purchase',
    event_time: Math.floor(Date.now() / 1000),
    event_id: eventId,
    action_source: 'website',
    user_data: { fbp: await cookie('_fbp'), fbc: `fb.1.${Date.now()}.${click}` },
    custom_data: { value: 30, currency: 'EUR', order_id: order },
  }
  const response = await fetch(`${doorUrl}/v1/shop-1/events`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization: `Bearer ${token}` },
    body: JSON.stringify({ data: [event] }),
  })
  expect(await response.json()).toEqual({ events_received: 1, messages: [] })
}

it.each(['page', 'server'])(
  '%s first: one conversion, one duplicate, and the click the page came with',
  async (first) => {
    const [eventId, order, click] = [`buy-${tries}`, `order-${tries}`, `Cj0KCQ-${first}_${tries}`]
    await visit(click)
    const reports = [
      () => pageBuys(eventId, order),
      // As docs/pixels.md says: of a click that is none of Meta's, the server knows from the script's cookie.
      async () => serverBuys(eventId, order, await cookie('_hfc')),
    ]
    for (const report of first === 'page' ? reports : reports.reverse()) await report()
    await settled()
    const conversions = await accepted(eventId)
    expect(conversions).toHaveLength(1)
    expect(conversions[0]).toMatchObject({ click_id: click, order_id: order, value: 30, currency: 'EUR' })
    expect(conversions[0]).toMatchObject({ advertiser_id: 'shop', user_id: await cookie('_fbp') })
  },
)

it('a server that names another click, and is first, decides', async () => {
  await visit('Cj0KCQ-page_1')
  const [eventId, order] = [`buy-${tries}`, `order-${tries}`]
  await serverBuys(eventId, order, 'IwAR-earlier_1')
  await pageBuys(eventId, order)
  await settled()
  expect(await accepted(eventId)).toMatchObject([{ click_id: 'IwAR-earlier_1' }])
})

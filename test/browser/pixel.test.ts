// A real page in a real browser: it loads /holdfast.js from another origin, and what it sends is what docs/pixels.md says.

import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Browser, BrowserContext, Page } from 'playwright-core'
import { afterAll, afterEach, it as always, beforeAll, beforeEach, expect } from 'vitest'
import type { Routes } from '../../sinks/http/app.ts'
import { HttpMetrics } from '../../sinks/http/metrics.ts'
import { PIXEL_SETTINGS, pixelRoutes } from '../../sinks/http/pixel-routes.ts'
import { type HttpServer, openHttpServer } from '../../sinks/http/server.ts'
import { openBrowser } from './browser.ts'
import { type Recorded, RecordingIntake } from './recording-intake.ts'

const browser = await openBrowser()
if (typeof browser === 'string') console.warn(`test/browser: ${browser}`)
const it = always.skipIf(typeof browser === 'string')

const LOOK_MS = 10
const WAIT_MS = 20_000

let shop: Server
let shopUrl: string
let door: HttpServer
let doorUrl: string
let intake: RecordingIntake
let context: BrowserContext
let page: Page
/** What stands in the head of every page of the shop. */
let head: string
/** Of the answer that carries a page. */
let headers: Record<string, string>

beforeAll(async () => {
  shop = createServer((_, response) => {
    response.writeHead(200, { 'content-type': 'text/html', ...headers })
    response.end(`<!doctype html><head>${head}</head><body>a shop</body>`)
  })
  await new Promise<void>((resolve) => shop.listen(0, '127.0.0.1', resolve))
  shopUrl = `http://127.0.0.1:${(shop.address() as AddressInfo).port}`
})

afterAll(async () => {
  if (typeof browser !== 'string') await browser.close()
  shop.closeAllConnections()
  await new Promise((resolve) => shop.close(resolve))
})

beforeEach(async () => {
  if (typeof browser === 'string') return
  intake = new RecordingIntake()
  headers = {}
  await openDoor([shopUrl])
  context = await (browser as Browser).newContext({ locale: 'en-US' })
  page = await context.newPage()
})

afterEach(async () => {
  if (typeof browser === 'string') return
  await context.close()
  await door.close()
})

/** On another origin than the shop: the name differs, and so does the port. */
async function openDoor(corsOrigins: string[]): Promise<void> {
  const metrics = new HttpMetrics()
  const deps = {
    intake,
    metrics,
    settings: () => PIXEL_SETTINGS,
    now: Date.now,
  }
  const routes: Routes[] = [(app, admission) => pixelRoutes(app, deps, admission)]
  door = await openHttpServer({
    port: 0,
    namespace: 'test',
    tokens: null,
    routes,
    corsOrigins: () => corsOrigins,
    metrics,
    version: 'test',
  })
  doorUrl = door.url.replace('127.0.0.1', 'localhost')
  setHead()
}

function setHead(attributes = 'data-consent="true"', before = ''): void {
  head = `${before}<script async src="${doorUrl}/holdfast.js" data-pixel="shop-1" ${attributes}></script>`
}

async function until(isTrue: () => boolean): Promise<void> {
  const deadline = performance.now() + WAIT_MS
  while (!isTrue()) {
    if (performance.now() > deadline) throw new Error(`not in time; taken: ${JSON.stringify(intake.taken)}`)
    await sleep(LOOK_MS)
  }
}

async function taken(count: number): Promise<Recorded[]> {
  await until(() => intake.taken.length >= count)
  return intake.taken
}

/** The script has an answer for everything it sent. */
const nothingLeft = () =>
  page.waitForFunction(() => (globalThis as never as { localStorage: { _hf: string } }).localStorage._hf === '{}')

const call = (...command: unknown[]) =>
  page.evaluate((args) => (globalThis as unknown as { holdfast(...args: unknown[]): void }).holdfast(...args), command)

/** In the page, where this project's types end. */
async function shownImage(src: string): Promise<{ width: number; height: number }> {
  const image = new (
    globalThis as never as { Image: new () => { src: string; decode(): Promise<void>; width: number; height: number } }
  ).Image()
  image.src = src
  await image.decode()
  return { width: image.width, height: image.height }
}

it('sends the page view with the click it came from, and a purchase that keeps it on another page', async () => {
  await page.goto(`${shopUrl}/landing?fbclid=IwAR0-click_1&other=secret`)
  const [view] = await taken(1)
  expect(view).toEqual({
    type: 'page_view',
    event_id: expect.stringMatching(/^\d{20,40}$/),
    event_time: expect.closeTo(Date.now(), -5),
    user_id: expect.stringMatching(/^fb\.1\.\d{13}\.\d{9}$/),
    pixel_id: 'shop-1',
    advertiser_id: 'shop-1',
    page_id: `${shopUrl.slice(7)}/landing`,
    click_id: 'IwAR0-click_1',
    source: 'pixel',
    props: { bot: true },
  })
  await page.goto(`${shopUrl}/thanks`)
  await taken(2)
  await call('purchase', { value: 12.5, currency: 'EUR', order_id: 'o-1', event_id: 'buy-1', items: ['a', 'b'] })
  const purchase = (await taken(3))[2]!
  expect(purchase).toMatchObject({ type: 'conversion', event_id: 'buy-1', user_id: view!.user_id })
  expect(purchase).toMatchObject({ click_id: 'IwAR0-click_1', value: 12.5, currency: 'EUR', order_id: 'o-1' })
  expect(purchase.items).toEqual(['a', 'b'])
})

it('and the server make one conversion of a purchase: same type, event_id, user_id, click_id and order', async () => {
  await page.goto(`${shopUrl}/landing?fbclid=IwAR0-click_2`)
  await taken(1)
  await call('Purchase', { value: 30, currency: 'EUR', order_id: 'o-2', event_id: 'buy-2' })
  const fromPage = (await taken(2))[1]!
  const cookies = await context.cookies(shopUrl)
  const fbp = cookies.find(({ name }) => name === '_fbp')!.value
  // What a shop's server sends to Meta, with the cookies of the page's visitor.
  const event = {
    event_name: 'Purchase',
    event_time: Math.floor(Date.now() / 1000),
    event_id: 'buy-2',
    action_source: 'website',
    user_data: { fbp, fbc: `fb.1.${Date.now()}.IwAR0-click_2` },
    custom_data: { value: 30, currency: 'EUR', order_id: 'o-2' },
  }
  const answer = await fetch(`${doorUrl}/v1/shop-1/events`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ data: [event] }),
  })
  expect(await answer.json()).toEqual({ events_received: 1, messages: [] })
  const fromServer = (await taken(3))[2]!
  for (const field of ['type', 'event_id', 'user_id', 'click_id', 'advertiser_id', 'order_id', 'value'])
    expect([field, fromServer[field]]).toEqual([field, fromPage[field]])
})

it('stores nothing before consent, keeps what it has when it is given, and removes it when it is taken back', async () => {
  setHead('')
  await page.goto(`${shopUrl}/?gclid=g-1`)
  const [view] = await taken(1)
  expect(view!.click_id).toBe('g-1')
  expect(await context.cookies()).toEqual([])
  await page.goto(`${shopUrl}/second`)
  const second = (await taken(2))[1]!
  expect(second.click_id).toBeUndefined()
  expect(second.user_id).not.toBe(view!.user_id)
  await call('consent', true)
  const names = (await context.cookies()).map(({ name, value }) => [name, value])
  expect(names).toContainEqual(['_fbp', second.user_id])
  await page.goto(`${shopUrl}/third`)
  await taken(3)
  await call('consent', true)
  await call('Lead')
  expect((await taken(4))[3]!.user_id).toBe(second.user_id)
  await call('consent', false)
  expect(await context.cookies()).toEqual([])
  expect(
    await page.evaluate(() => Object.keys((globalThis as never as { localStorage: object }).localStorage)),
  ).toEqual([])
})

it('takes calls from before it was loaded, first of all the consent, and the user that the shop knows', async () => {
  const early = `<script>function holdfast() { (holdfast.q = holdfast.q || []).push(arguments) }
    holdfast('consent', true); holdfast('user', 'customer-7'); holdfast('Lead', { value: '5' })</script>`
  setHead('', early)
  await page.goto(`${shopUrl}/?ttclid=t-1`)
  const events = await taken(2)
  expect(events.map(({ type, user_id, click_id }) => [type, user_id, click_id])).toEqual([
    ['lead', 'customer-7', 't-1'],
    ['page_view', 'customer-7', 't-1'],
  ])
  expect(events[0]!.value).toBe(5)
})

it('tries again with the same event_id where the log was away, until it has the event', async () => {
  intake.away = { kind: 'unknown', cause: 'away' }
  await page.goto(`${shopUrl}/`)
  await until(() => intake.given.length >= 1)
  intake.away = null
  const [view] = await taken(1)
  const sent = intake.given.map((bytes) => JSON.parse(Buffer.from(bytes).toString()).event_id)
  expect(new Set(sent)).toEqual(new Set([view!.event_id]))
  await nothingLeft()
})

it('keeps what it could not send for the next page, as it was, and at most twenty of it', async () => {
  intake.away = { kind: 'full', cause: 'full' }
  await page.goto(`${shopUrl}/lost`)
  await until(() => intake.given.length >= 1)
  for (let i = 0; i < 25; i++) await call('Lead', { event_id: `lead-${i}` })
  await until(() => intake.given.length >= 26)
  intake.away = null
  intake.given.length = 0
  await page.goto(`${shopUrl}/next`)
  await until(() => intake.taken.some(({ page_id }) => String(page_id).endsWith('/next')))
  await until(() => new Set(intake.taken.map(({ event_id }) => event_id)).size >= 21)
  const leads = new Set(intake.taken.filter(({ type }) => type === 'lead').map(({ event_id }) => event_id))
  expect(leads).toEqual(new Set(Array.from({ length: 20 }, (_, i) => `lead-${i + 5}`)))
})

it('sends what nobody answered for once more when the page goes, also where nothing may be kept', async () => {
  setHead('')
  intake.away = { kind: 'unknown', cause: 'away' }
  await page.goto(`${shopUrl}/leaving`)
  await until(() => intake.given.length >= 1)
  intake.away = null
  await page.goto('about:blank')
  const events = await taken(1)
  expect(events[0]!.page_id).toMatch(/\/leaving$/)
  // A request that the end of the page cut off may come again: by its id it is the same event.
  expect(new Set(events.map(({ event_id }) => event_id)).size).toBe(1)
})

it('arrives from an origin that is not configured as one event, though the page may not read the answer', async () => {
  await door.close()
  await openDoor([])
  headers = { 'content-security-policy': `img-src 'none'` }
  await page.goto(`${shopUrl}/`)
  const views = await taken(2)
  await nothingLeft()
  // Once to be read and once without; the log counts one.
  expect(views).toHaveLength(2)
  expect(views[0]).toEqual(views[1])
})

it('goes as an image where the page forbids everything else', async () => {
  headers = { 'content-security-policy': `connect-src 'none'` }
  await page.goto(`${shopUrl}/`)
  await taken(1)
  await call('purchase', { value: 3, event_id: 'by-image', items: [{ id: 'a', quantity: 2 }] })
  const purchase = (await taken(2))[1]
  expect(purchase).toMatchObject({ type: 'conversion', event_id: 'by-image', items: [{ id: 'a', quantity: 2 }] })
  // The browser could show the image, so nothing is left to be sent.
  await nothingLeft()
  const { width, height } = await page.evaluate(shownImage, `${doorUrl}/v1/pixel.gif?e=PageView&uid=u&pid=p`)
  expect([width, height]).toEqual([1, 1])
})

// The live page in a real Chromium: what it shows, what it asks, and what it does when the node is away or wants a token.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Browser, BrowserContext, BrowserContextOptions, Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { type Decision, undecided } from '../../operators/decision-record.ts'
import type { Touch, TouchType } from '../../operators/touch.ts'
import { buildWeb } from '../../scripts/build-web.ts'
import { newToken, Tokens } from '../../sinks/http/auth.ts'
import type { PurchaseReport } from '../../sinks/purchase-report.ts'
import type { StatusRow } from '../../sinks/status.ts'
import { WATCHED_MAX } from '../../web/dashboard/watch-list.ts'
import { openBrowser } from './browser.ts'
import { PAGE_NAMESPACE, PageNode, taskRow } from './page-node.ts'

const browser: Browser | string = await openBrowser()
const pageDir = mkdtempSync(join(tmpdir(), 'holdfast-dashboard-'))
/** Milliseconds in which a page that looks once a second shows what changed, on a machine that does other things as well. */
const SEEN_MS = 20_000
const WATCH = '?watch=page_views_1h/page/home'

const HOUR_MS = 3_600_000
const BOUGHT_MS = Date.UTC(2026, 0, 2, 6)
const touch = (id: string, type: TouchType, ageMs: number, clickId: string | null): Touch => ({
  ...{ kind: 'touch', type, id, timeMs: BOUGHT_MS - ageMs, user: 'ann', advertiser: 'shop' },
  ...{ campaign: 'spring', ad: 'shoe', clickId, vector: null },
})
const BOUGHT: Decision = {
  conversion: {
    ...{ kind: 'conversion', type: 'conversion', id: 'bought', timeMs: BOUGHT_MS, user: 'ann', ownUser: 'ann' },
    ...{ advertiser: 'shop', orderId: 'o1', clickId: 'k1', valueMicro: 12_500_000, currency: 'EUR', goals: [''] },
  },
  ...{ late: false, revision: 0, touchesTotal: 3, leftOutUntilMs: null },
  goals: [{ name: '', declared: true, covered: null }],
  touches: [
    touch('c-old', 'click', 26 * HOUR_MS, 'k1'),
    touch('c-new', 'click', HOUR_MS, null),
    touch('i1', 'impression', 60_000, null),
  ],
}

const DAY_MS = 24 * HOUR_MS
const day = (date: string, share: number | null) => {
  const fromMs = Date.parse(date) - HOUR_MS
  return { date, fromMs, toMs: fromMs + DAY_MS, mature: share === 1, share }
}
const sold = (credited: number, estimate: [number, number, number] | 'too few' | null, currency = 'EUR') => {
  const value = 12.5 * credited
  const known = Array.isArray(estimate)
  const [count, low, high] = known ? estimate : []
  return {
    ...{ currency, credited, takenBack: 0, value, creditedValue: value, takenBackValue: 0 },
    state: estimate === null ? ('mature' as const) : known ? ('estimated' as const) : ('too_few' as const),
    estimate: known ? { count: count!, low: low!, high: high!, value: 12.5 * count! } : null,
  }
}
/** Two days of touches, of which the second is open, and an ad without a currency beside fourteen. */
const SOLD: PurchaseReport = {
  days: [day('2026-01-01', 1), day('2026-01-02', 0.5)],
  lines: [
    { day: 0, id: 'shoe', ...sold(1_200, null) },
    ...Array.from({ length: 12 }, (_, i) => ({
      day: 0,
      id: `sock${String.fromCharCode(97 + i)}`,
      ...sold(20 - i, null),
    })),
    { day: 1, id: 'shoe', ...sold(30, [60.25, 50.5, 70.5]) },
    { day: 1, id: 'hat', ...sold(40, 'too few') },
    { day: 0, id: 'gift', ...sold(2, null, 'none') },
  ],
  totals: [
    { day: null, ...sold(1_444, [1_514.4, 1_500.2, 1_529.1]) },
    { day: null, ...sold(2, null, 'none') },
  ],
  ...{ curve: { own: 310, all: 4_200 }, throughMs: BOUGHT_MS },
}

/** A node of its own for each test: they run side by side, as most of their time is waiting for the next look. */
interface Stage {
  readonly node: PageNode
  readonly contexts: BrowserContext[]
  /** What the browser complained about, and whom it asked. */
  readonly complaints: string[]
  readonly hosts: Set<string>
}
const stages: Stage[] = []

beforeAll(async () => {
  if (typeof browser === 'string') console.warn(browser)
  await buildWeb({ pageDir, say: () => {} })
})
afterAll(async () => {
  await Promise.all(stages.flatMap(({ contexts }) => contexts.map((context) => context.close())))
  await Promise.all(stages.map(({ node }) => node.close()))
  if (typeof browser !== 'string') await browser.close()
  rmSync(pageDir, { recursive: true })
})

/** A node on which something happens between any two looks. */
async function openStage(tokens: Tokens | null = null): Promise<Stage> {
  const node = new PageNode()
  node.values.set('page/home', 8_000)
  let looks = 0
  node.onLook = () => {
    looks++
    node.values.set('page/home', 8_000 + looks)
    node.epoch = 10 * looks
    node.tasks = tasksAfter(looks)
  }
  await node.open(pageDir, tokens)
  const stage = { node, contexts: [], complaints: [], hosts: new Set<string>() }
  stages.push(stage)
  return stage
}

function tasksAfter(looks: number): StatusRow[] {
  const counts = {
    records: 100 * looks,
    accepted: 1_000_000 + 90 * looks,
    duplicates: 8 * looks,
    dead_letters: 2 * looks,
  }
  const since_ms = performance.timeOrigin + performance.now() - 75_000
  const waiting = { cause: 'room', on: 'hf_page_0', detail: 'the stream is full', since_ms }
  return [
    taskRow('user', 0, {
      ...{ seq: looks, watermark: Date.now() - 603_500, last_event: Date.now() - 123_500, counts },
      sends_to: sendsTo('page', 'clicks', 'joined'),
    }),
    taskRow('bulk', 0, { sends_to: [{ stage: 'user', same_partition: true }] }),
    taskRow('page', 0, {
      pending: 7,
      lag_records: 7,
      lag_ms: 75_000,
      readable_ms: { p50: 4, p99: 12, max: 80, count: 90 },
      waiting,
    }),
    taskRow('page', 1, { phase: 'halted', pending: 1, lag_records: 1 }),
    taskRow('clicks', 0, { sends_to: sendsTo('joined') }),
    taskRow('joined', 0),
  ]
}

const sendsTo = (...stages: string[]) => stages.map((stage) => ({ stage, same_partition: false }))

async function openPage(stage: Stage, query: string, options: BrowserContextOptions = {}): Promise<Page> {
  const context = await (browser as Browser).newContext({ locale: 'en-US', timezoneId: 'UTC', ...options })
  stage.contexts.push(context)
  const page = await context.newPage()
  page.setDefaultTimeout(SEEN_MS)
  page.on('console', (message) => message.type() === 'error' && stage.complaints.push(message.text()))
  page.on('pageerror', (error) => stage.complaints.push(String(error)))
  page.on('request', (request) => stage.hosts.add(new URL(request.url()).origin))
  await page.goto(`${stage.node.url}/${query}`)
  return page
}

const live = (page: Page) => page.getByRole('status').filter({ hasText: 'Live' }).waitFor()
const number = async (page: Page, selector: string): Promise<number> =>
  Number((await page.locator(selector).innerText()).replaceAll(',', ''))

/** Until a number that is asked for again and again is larger than another. */
async function exceeds(value: () => unknown, than: number): Promise<void> {
  await vi.waitFor(async () => expect(await value()).toBeGreaterThan(than), { timeout: SEEN_MS, interval: 50 })
}

/** Until a number on the page is larger than it was. */
async function rises(page: Page, selector: string): Promise<void> {
  const before = await number(page, selector)
  await exceeds(() => number(page, selector), before)
}

/** Keeps every rate of accepted events that the page shows from now on; returns how to ask for the highest. */
async function watchRates(page: Page): Promise<() => Promise<number>> {
  await page.locator('[data-total=accepted] .rate').waitFor()
  await page.evaluate(`window.ratesSeen = [0]
    new MutationObserver(() => {
      const text = document.querySelector('[data-total=accepted] .rate')?.textContent ?? ''
      if (/^[\\d,.]+ per second$/.test(text)) ratesSeen.push(Number(text.replace(' per second', '').replaceAll(',', '')))
    }).observe(document.body, { subtree: true, childList: true, characterData: true })`)
  return async () => Number(await page.evaluate('Math.max(...ratesSeen)'))
}

/** From now on the node has accepted so many events more: what it did while nobody looked. */
function acceptMore(node: PageNode, more: number): void {
  const { onLook } = node
  node.onLook = () => {
    onLook()
    node.tasks = node.tasks.map((task) =>
      task.stage === 'user' ? { ...task, counts: { ...task.counts, accepted: task.counts.accepted! + more } } : task,
    )
  }
}

describe.runIf(typeof browser !== 'string')('the live page', { concurrent: true }, () => {
  it('shows totals that rise, with their rates and a line, and asks nobody but its node', async () => {
    const stage = await openStage()
    const page = await openPage(stage, '')
    await live(page)
    const accepted = '[data-total=accepted] .big'
    expect(await number(page, accepted)).toBeGreaterThan(1_000_000)
    await rises(page, accepted)
    await rises(page, '[data-total=duplicates] .big')
    await rises(page, '[data-total=dead-letters] .big')
    await page.locator('[data-total=accepted] .rate', { hasText: /^(8|9|10)\d? per second$/ }).waitFor()
    // The canvas has something on it in the colour of the line.
    const drawn = `(() => {
      const canvas = document.querySelector('.chart canvas')
      const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height)
      let count = 0
      for (let i = 0; i < data.length; i += 4) if (data[i] === 0x1f && data[i + 1] === 0x6f && data[i + 2] === 0x5c) count++
      return count
    })()`
    await exceeds(() => page.evaluate(drawn), 20)
    expect(stage.complaints).toEqual([])
    expect([...stage.hosts]).toEqual([stage.node.url])
  })

  it('is there in a browser whose locale Intl refuses, as one without any has it', async () => {
    const stage = await openStage()
    const page = await openPage(stage, '', { locale: 'en-US@posix' })
    await rises(page, '[data-total=accepted] .big')
    expect(stage.complaints).toEqual([])
  })

  it('shows of each task its phase, rate, lag, watermark, and what it waits for', async () => {
    const stage = await openStage()
    const page = await openPage(stage, '')
    const cells = (task: string) => page.locator(`[data-task=${task}] td`)
    await cells('user-0')
      .filter({ hasText: /^(9|10)\d?$/ })
      .waitFor()
    const [phase, , behind, lag, , watermark, waiting] = await cells('user-0').allInnerTexts()
    expect([phase, behind, lag, watermark, waiting]).toEqual(['running', 'nothing', 'none', '10 min 3 s old', '–'])
    expect((await cells('page-0').allInnerTexts()).slice(2)).toEqual([
      ...['7 records', '1 min 15 s', '12 ms', 'none yet'],
      expect.stringMatching(/^room, hf_page_0: the stream is full, for 1 min 1\d s$/),
    ])
    expect((await cells('page-1').allInnerTexts())[0]).toBe('halted')
  })

  it('shows the most viewed pages, largest first, and the graph with what each task does, as picture and in words', async () => {
    const stage = await openStage()
    stage.node.values.set('page/cart', 9_000_000)
    const page = await openPage(stage, '')
    await page.locator('[data-top=cart] td', { hasText: '9,000,000' }).waitFor()
    expect(await page.locator('[data-top] th').allInnerTexts()).toEqual(['cart', 'home'])
    await rises(page, '[data-top=home] td')
    const picture = page.getByRole('img', {
      name: 'from stage user with 1 tasks to stage page with 2 tasks and stage clicks with 1 tasks and stage joined with 1 tasks; from stage bulk with 1 tasks to stage user with 1 tasks; from stage clicks with 1 tasks to stage joined with 1 tasks',
    })
    expect(await picture.locator('path').count()).toBe(4 + 1 + 1)
    const box = (task: string) => page.locator(`[data-box=${task}]`)
    expect(await box('page-0').textContent()).toBe('page-07 behind, lag 1 min 15 swatermark none yet')
    expect(await box('page-0').getAttribute('class')).toBe('behind')
    expect(await box('page-1').getAttribute('class')).toBe('wrong')
    // A column for each hop, and the stream that passes clicks by runs below every box.
    const placeOf = async (task: string) => (await box(task).locator('rect').boundingBox())!
    const tasks = ['bulk-0', 'user-0', 'page-0', 'page-1', 'clicks-0', 'joined-0']
    const places = await Promise.all(tasks.map(placeOf))
    const lefts = await Promise.all(
      tasks.map(async (task) => Number(await box(task).locator('rect').getAttribute('x'))),
    )
    expect(lefts[2]).toBe(lefts[4])
    expect([...new Set(lefts)]).toEqual([...new Set(lefts)].sort((a, b) => a - b))
    expect(new Set(lefts).size).toBe(4)
    const bottom = Math.max(...places.map(({ y, height }) => y + height))
    const lows = await picture
      .locator('path')
      .evaluateAll((paths) => paths.map((path) => path.getBoundingClientRect().bottom))
    expect(lows.filter((low) => low > bottom).length).toBe(1)
    expect(await page.getByRole('img', { name: 'Milliseconds until an event can be read' }).count()).toBe(1)
    expect(stage.complaints).toEqual([])
  })

  it('shows watched values; the list is in the address and edited on the page', async () => {
    const stage = await openStage()
    const page = await openPage(stage, `${WATCH},nothing/page/x,home`)
    await rises(page, '[data-watched="page_views_1h/page/home"] .fresh')
    await rises(page, '[data-watched="page_views_1h/page/home"] td:nth-of-type(3)')
    await page.getByText('this node has no such feature').waitFor()
    await page.getByText('Left out of the address: 1.').waitFor()

    const highestRate = await watchRates(page)
    stage.node.values.set('user/a/b,c', 41)
    await page.getByRole('combobox', { name: 'Feature' }).selectOption('page_views_1h by user')
    await page.getByLabel('Key').fill('a/b,c')
    await page.getByRole('button', { name: 'Watch', exact: true }).click()
    await page.getByRole('button', { name: 'Stop watching page x' }).click()
    await page.locator('[data-watched="page_views_1h/user/a%2Fb%2Cc"] .fresh', { hasText: '41' }).waitFor()
    expect(new URL(page.url()).search).toBe(`${WATCH},page_views_1h/user/a%2Fb%2Cc`)

    // A look out of turn, for the new row, is no burst of events.
    await rises(page, '[data-watched="page_views_1h/page/home"] .fresh')
    await rises(page, '[data-watched="page_views_1h/page/home"] .fresh')
    expect(await highestRate()).toBeGreaterThan(0)
    expect(await highestRate()).toBeLessThan(500)

    await page.reload()
    await page.locator('[data-watched="page_views_1h/user/a%2Fb%2Cc"] .fresh', { hasText: '41' }).waitFor()
    expect(await page.locator('[data-watched]').count()).toBe(2)
    expect(stage.complaints).toEqual([])
  })

  it('refuses a key that the node would refuse, and more rows than it may have', async () => {
    const stage = await openStage()
    const rows = Array.from({ length: WATCHED_MAX - 1 }, (_, i) => `page_views_1h/page/p${i}`)
    const page = await openPage(stage, `?watch=${rows}`)
    await page.getByLabel('Key').fill('é'.repeat(65))
    await page.getByRole('button', { name: 'Watch', exact: true }).click()
    expect(await page.locator('[data-watched]').count()).toBe(WATCHED_MAX - 1)
    await page.getByLabel('Key').fill('é'.repeat(64))
    await page.getByRole('button', { name: 'Watch', exact: true }).click()
    await page.getByRole('button', { name: `At most ${WATCHED_MAX}`, disabled: true }).waitFor()
    expect(await page.locator('[data-watched]').count()).toBe(WATCHED_MAX)
  })

  it('lists the features with owner, cost, place and freshness, and finds what is looked for', async () => {
    const stage = await openStage()
    const page = await openPage(stage, '')
    await live(page)
    const row = page.locator('[data-feature="user.page_views_1h"]')
    await row.getByText('2 min').first().waitFor()
    expect(await row.innerText()).toMatch(
      /user\.page_views_1h\s+count\s+–\s+–\s+user\s+2 min \d+ s old\s+10 min \d+ s old/,
    )
    expect(await page.locator('[data-feature]').count()).toBe(2)
    await page.getByLabel('Find in names').fill('PAGES page.')
    await page.getByRole('heading', { name: 'Features: 1 of 2' }).waitFor()
    expect(await page.locator('[data-feature]').first().getAttribute('data-feature')).toBe('page.page_views_1h')
    // Of its tasks one has halted before it promised anything.
    expect(await page.locator('[data-feature] td').allInnerTexts()).toEqual(['–', '–', 'page', '–', '–'])
    expect(stage.complaints).toEqual([])
  })

  it('shows attribution window by window, and says where credits and labels differ', async () => {
    const stage = await openStage()
    const lane = { goal: null, attributed: 52, unattributed: 1_234, credited: 51 }
    const rows = { O: 9_147, D: 5, M: 8_417, C: 2, R: 1 }
    stage.node.attributed = {
      lanes: [
        { ...lane, window: '1d_click', rows, difference: 0 },
        { ...lane, window: '7d_click', rows, difference: 3 },
      ],
      ...{ late_touches: 7, refunds_unmatched: 4 },
    }
    const page = await openPage(stage, '')
    const cells = (name: string) => page.locator(`[data-lane="${name}"] td`).allInnerTexts()
    await page.locator('[data-lane="1d_click"]').waitFor()
    expect(await cells('1d_click')).toEqual(['52', '1,234', '9,147', '5', '8,417', '2', '1', 'agree'])
    expect((await cells('7d_click')).at(-1)).toBe('differ by 3 touches')
    await page.getByText('too late for a conversion: 7. Refunds of unknown orders: 4.').waitFor()
    expect(stage.complaints).toEqual([])
  })

  it('says who is credited with a conversion and why, when it is asked', async () => {
    const stage = await openStage()
    stage.node.attributed = { lanes: [], late_touches: 0, refunds_unmatched: 0 }
    stage.node.decisions.push(BOUGHT, undecided({ ...BOUGHT.conversion, id: 'back', goals: [], refundOf: 'o1' }, true))
    const page = await openPage(stage, '')
    const ask = async (id: string) => {
      await page.getByLabel('Conversion id').fill(id)
      await page.getByRole('button', { name: 'Explain' }).click()
    }
    await ask('bought')
    const cells = (touch: string) => page.locator(`[data-touch="${touch}"] td`).allInnerTexts()
    await page.getByText('conversion bought of ann for shop').waitFor()
    const asked = () => stage.node.asked.filter((url) => url.startsWith('/v1/attributions')).length
    const onlyOnce = asked()
    expect((await cells('c-new'))[0]).toMatch(/^1\s+the only candidate; it has not the conversion's click_id$/)
    expect((await cells('c-old')).slice(0, 2)).toEqual([
      'too old by 2 h',
      expect.stringMatching(/^1\s+the last touch whose click_id is the conversion's$/),
    ])
    expect((await cells('i1')).slice(-2)).toEqual([expect.stringMatching(/^1\s/), 'there is a click, which goes first'])
    await page.getByRole('combobox', { name: 'Model' }).selectOption('linear')
    expect((await cells('c-new'))[1]).toMatch(/^0.5\s+1 of 2$/)

    await ask('back')
    await page.getByText('Not credited: it takes an order back').waitFor()
    await ask('nobody')
    await page.getByText('nobody: no conversion of this id was attributed lately').waitFor()
    await ask('é'.repeat(65))
    await rises(page, '[data-total=accepted] .big')
    // Once for each id that may be one, and never with a look.
    expect(asked() - onlyOnce).toBe(2)
    // The browser itself says that a 404 came.
    expect(stage.complaints.filter((text) => !text.includes('404'))).toEqual([])
  })

  it('keeps the conversion that it explains in its address, so that a link explains it again', async () => {
    const stage = await openStage()
    stage.node.attributed = { lanes: [], late_touches: 0, refunds_unmatched: 0 }
    const id = 'b&o/u=g h#t'
    stage.node.decisions.push({ ...BOUGHT, conversion: { ...BOUGHT.conversion, id } })
    const page = await openPage(stage, WATCH)
    await page.getByLabel('Conversion id').fill(id)
    await page.getByLabel('Conversion id').press('Enter')
    await page.getByText(`conversion ${id} of ann for shop`).waitFor()
    expect(page.url()).toBe(`${stage.node.url}/${WATCH}&conversion=${encodeURIComponent(id)}`)
    const again = await openPage(stage, new URL(page.url()).search)
    await again.getByText(`conversion ${id} of ann for shop`).waitFor()
    expect(await again.getByLabel('Conversion id').inputValue()).toBe(id)
    await again.locator('[data-watched="page_views_1h/page/home"] .fresh').waitFor()
    // Another row does not drop it, and what is typed stays.
    await again.getByLabel('Conversion id').fill('other')
    await again.getByRole('button', { name: 'Stop watching page home' }).click()
    await rises(again, '[data-total=accepted] .big')
    expect(new URL(again.url()).search).toBe(`?conversion=${encodeURIComponent(id)}`)
    expect(await again.getByLabel('Conversion id').inputValue()).toBe('other')
    expect(stage.complaints).toEqual([])
  })

  it('shows what the ads of an advertiser sold, the most first, and what is to come of open windows', async () => {
    const stage = await openStage()
    const rows = { O: 1, D: 0, M: 1, C: 0, R: 0 }
    const lane = { goal: null, attributed: 1, unattributed: 0, credited: 1, rows, difference: 0 }
    const lanes = ['1d_click', '7d_click'].map((window) => ({ ...lane, window }))
    stage.node.attributed = { lanes, late_touches: 0, refunds_unmatched: 0 }
    stage.node.reports.set('shop/7d_click', SOLD)
    stage.node.reports.set('shop/1d_click', { ...SOLD, lines: [], totals: [] })
    const page = await openPage(stage, '')
    // By keyboard alone.
    await page.getByLabel('Advertiser id').fill('shop')
    await page.getByLabel('Advertiser id').press('Tab')
    await page.keyboard.press('7')
    await page.keyboard.press('Tab')
    await page.keyboard.press('Enter')
    const cells = async (row: string) =>
      (await page.locator(`${row} td`).allInnerTexts()).map((text) => text.replaceAll(/\s+/g, ' '))
    await page.getByText('shop, 7d_click').waitFor()
    await page
      .getByText('touches of 2026-01-01 to 2026-01-02, Europe/Berlin · conversions up to 2026-01-02T06:00:00.000Z')
      .waitFor()
    const names = await page.locator('[data-currency=EUR] tbody th').allInnerTexts()
    expect(names).toEqual(['shoe', 'hat', ...Array.from('abcdefgh', (letter) => `sock${letter}`)])
    expect(await cells('[data-ad=shoe]')).toEqual([
      ...['1,230', '15,375.00', '1,260.3 estimated: windows are open', '15,753.13'],
    ])
    expect(await cells('[data-ad=hat]')).toEqual(['40', '500.00', '? windows are open: too few to tell', '?'])
    expect(await cells('[data-ad=socka]')).toEqual(['20', '250.00', '20 all windows are closed', '250.00'])
    expect(await cells('[data-ad-total=EUR]')).toEqual([
      ...['1,444', '18,050.00', '1,514.4 estimated: nine times of ten 1,500 to 1,530', '18,930.00'],
    ])
    expect(await page.locator('[data-ad-total=EUR] th').innerText()).toBe('All 14 ads')
    expect(await cells('[data-ad-total=none]')).toEqual(['2', '25.00', '2 all windows are closed', '25.00'])
    await page.getByText('310 conversions of mature days (4,200 of all advertisers)').waitFor()
    expect(new URL(page.url()).search).toBe('?purchases=shop&window=7d_click')

    const again = await openPage(stage, new URL(page.url()).search)
    await again.locator('[data-ad=shoe]').waitFor()
    expect(await again.getByRole('combobox', { name: 'Attribution window' }).inputValue()).toBe('7d_click')
    await again.getByRole('combobox', { name: 'Attribution window' }).selectOption('1d_click')
    await again.getByRole('button', { name: 'Show' }).click()
    await again.getByText('No touch of these days is credited with a purchase.').waitFor()
    await again.getByLabel('Advertiser id').fill('nobody')
    await again.getByRole('button', { name: 'Show' }).click()
    await again.getByText('nobody: there are the windows').waitFor()
    const asked = () => stage.node.asked.filter((url) => url.startsWith('/v1/purchases')).length
    await rises(again, '[data-total=accepted] .big')
    expect(asked()).toBe(4)
    expect(stage.complaints.filter((text) => !text.includes('404'))).toEqual([])
  })

  it('asks about no conversion and no purchases where the node attributes nothing', async () => {
    const page = await openPage(await openStage(), '')
    await live(page)
    expect(await page.getByLabel('Conversion id').count()).toBe(0)
    expect(await page.getByLabel('Advertiser id').count()).toBe(0)
  })

  it('says that it cannot reach the node, keeps what it saw, and goes on when the node is back', async () => {
    const stage = await openStage()
    const page = await openPage(stage, WATCH)
    await live(page)
    await stage.node.close()
    const note = page.getByRole('status').filter({ hasText: 'Cannot reach the node since' })
    await note.waitFor()
    const said = await note.innerText()
    expect(await number(page, '[data-total=accepted] .big')).toBeGreaterThan(1_000_000)
    await page.locator('[data-total=accepted] .rate', { hasText: 'rate not known' }).waitFor()
    await page.waitForTimeout(2_100)
    // What is read aloud does not change while nothing does.
    expect(await note.innerText()).toBe(said)
    const highestRate = await watchRates(page)
    acceptMore(stage.node, 1_000_000)
    await stage.node.open(pageDir)
    await live(page)
    await exceeds(highestRate, 0)
    // What happened meanwhile was not all in one second.
    expect(await highestRate()).toBeLessThan(500)
    expect(await number(page, '[data-total=accepted] .big')).toBeGreaterThan(2_000_000)
    await rises(page, '[data-watched="page_views_1h/page/home"] .fresh')
  })

  it('asks once a second, and not at all while nobody sees it', async () => {
    const stage = await openStage()
    const page = await openPage(stage, WATCH)
    await live(page)
    const asked = () => stage.node.asked.filter((url) => url === '/v1/status').length
    const atFirst = asked()
    await page.waitForTimeout(3_000)
    expect(asked() - atFirst).toBeGreaterThanOrEqual(2)
    expect(asked() - atFirst).toBeLessThanOrEqual(4)
    const see = (hidden: boolean) =>
      page.evaluate(`Object.defineProperty(document, 'hidden', { value: ${hidden}, configurable: true })
        document.dispatchEvent(new Event('visibilitychange'))`)
    await see(true)
    await page.waitForTimeout(500)
    const whenHidden = asked()
    await page.waitForTimeout(2_500)
    expect(asked()).toBe(whenHidden)
    const highestRate = await watchRates(page)
    acceptMore(stage.node, 1_000_000)
    await see(false)
    await exceeds(asked, whenHidden)
    await exceeds(highestRate, 0)
    expect(await highestRate()).toBeLessThan(500)
  })

  it.each([
    ['a desk', 1280, 800],
    ['a phone', 360, 740],
  ])('fits the screen of %s, whatever the keys', async (_, width, height) => {
    const stage = await openStage()
    const lane = { goal: 'g'.repeat(64), window: 'w'.repeat(64), attributed: 1e9, unattributed: 1e9, credited: 1e9 }
    const rows = { O: 1e9, D: 1e9, M: 1e9, C: 1e9, R: 1e9 }
    stage.node.attributed = { lanes: [{ ...lane, rows, difference: 1e9 }], late_touches: 0, refunds_unmatched: 0 }
    const long = touch('t'.repeat(128), 'click', HOUR_MS, null)
    stage.node.decisions.push({ ...BOUGHT, touches: [...BOUGHT.touches, { ...long, ad: 'a'.repeat(128) }] })
    const ads = [...SOLD.lines, { day: 0, id: 'a'.repeat(128), ...sold(1e9, null) }]
    stage.node.reports.set(`shop/${lane.window}`, { ...SOLD, lines: ads })
    const page = await openPage(stage, `${WATCH},page_views_1h/user/${'w'.repeat(128)}`, {
      viewport: { width, height },
    })
    await page.locator('[data-watched] .fresh').first().waitFor()
    await page.getByLabel('Conversion id').fill('bought')
    await page.getByRole('button', { name: 'Explain' }).click()
    await page.locator('[data-touch=c-new]').waitFor()
    await page.getByLabel('Advertiser id').fill('shop')
    await page.getByRole('button', { name: 'Show' }).click()
    await page.locator('[data-ad=shoe]').waitFor()
    expect(await page.evaluate('document.documentElement.scrollWidth')).toBeLessThanOrEqual(width)
  })
})

describe.runIf(typeof browser !== 'string')('a node with tokens', { concurrent: true }, () => {
  const all = newToken(['read', 'metrics'], PAGE_NAMESPACE)
  const reader = newToken(['read'], PAGE_NAMESPACE)
  const openGuarded = () => openStage(Tokens.parse(`${all.line}\n${reader.line}`))

  async function give(page: Page, token: string): Promise<void> {
    await page.getByLabel('Token').fill(token)
    await page.getByRole('button', { name: 'Show the node' }).click()
  }

  it('is asked with the token that was given once; it stays in the tab and out of the address', async () => {
    const stage = await openGuarded()
    const page = await openPage(stage, WATCH)
    await page.getByText('This node asks for a token').waitFor()
    const asked = stage.node.asked.length
    await page.waitForTimeout(1_500)
    expect(stage.node.asked.length).toBe(asked)

    await give(page, 'a token of somebody else')
    await page.getByRole('alert').filter({ hasText: 'does not take this token' }).waitFor()
    await give(page, all.token)
    await rises(page, '[data-watched="page_views_1h/page/home"] .fresh')
    await page.reload()
    await live(page)
    expect(page.url()).not.toContain(all.token)
    expect(await page.evaluate('localStorage.length + document.cookie.length')).toBe(0)

    await page.getByRole('button', { name: 'Forget token' }).click()
    await page.getByText('This node asks for a token').waitFor()
    expect(await page.evaluate('sessionStorage.length')).toBe(0)
  })

  it('answers what the address asks once the token is there', async () => {
    const stage = await openGuarded()
    stage.node.attributed = { lanes: [], late_touches: 0, refunds_unmatched: 0 }
    stage.node.decisions.push(BOUGHT)
    stage.node.reports.set('shop/7d_click', SOLD)
    const page = await openPage(stage, '?conversion=bought&purchases=shop&window=7d_click')
    await give(page, all.token)
    await page.getByText('conversion bought of ann for shop').waitFor()
    await page.locator('[data-ad=shoe]').waitFor()
    expect(new URL(page.url()).search).toBe('?conversion=bought&purchases=shop&window=7d_click')
  })

  it('shows what a token may see, and says what it may not', async () => {
    const stage = await openGuarded()
    const page = await openPage(stage, WATCH)
    await give(page, reader.token)
    await page.getByText('Tasks and totals cannot be shown: the token does not have the scope "metrics".').waitFor()
    await page.locator('[data-watched="page_views_1h/page/home"] .fresh', { hasText: '8,000' }).waitFor()
  })
})

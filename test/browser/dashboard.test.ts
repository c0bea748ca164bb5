// The live page in a real Chromium: what it shows, what it asks, and what it does when the node is away or wants a token.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Browser, BrowserContext, BrowserContextOptions, Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { buildWeb } from '../../scripts/build-web.ts'
import { newToken, Tokens } from '../../sinks/http/auth.ts'
import type { StatusRow } from '../../sinks/status.ts'
import { WATCHED_MAX } from '../../web/dashboard/watch-list.ts'
import { openBrowser } from './browser.ts'
import { PAGE_NAMESPACE, PageNode, taskRow } from './page-node.ts'

const browser: Browser | string = await openBrowser()
const pageDir = mkdtempSync(join(tmpdir(), 'holdfast-dashboard-'))
/** Milliseconds in which a page that looks once a second shows what changed. */
const SEEN_MS = 8_000
const WATCH = '?watch=page_views_1h/page/home'

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
    taskRow('user', 0, { seq: looks, watermark: Date.now() - 603_000, last_event: Date.now() - 123_000, counts }),
    taskRow('page', 0, { pending: 7, lag_ms: 75_000, readable_ms: { p50: 4, p99: 12, max: 80, count: 90 }, waiting }),
    taskRow('page', 1, { phase: 'halted', pending: 1 }),
  ]
}

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
      ...['7 messages', '1 min 15 s', '12 ms', 'none yet'],
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
    const picture = page.getByRole('img', { name: 'stage user with 1 tasks to stage page with 2 tasks' })
    expect(await picture.locator('path').count()).toBe(2)
    const box = (task: string) => page.locator(`[data-box=${task}]`)
    expect(await box('page-0').textContent()).toBe('page-07 behind, lag 1 min 15 swatermark none yet')
    expect(await box('page-0').getAttribute('class')).toBe('behind')
    expect(await box('page-1').getAttribute('class')).toBe('wrong')
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
    const page = await openPage(stage, `${WATCH},page_views_1h/user/${'w'.repeat(128)}`, {
      viewport: { width, height },
    })
    await page.locator('[data-watched] .fresh').first().waitFor()
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

  it('shows what a token may see, and says what it may not', async () => {
    const stage = await openGuarded()
    const page = await openPage(stage, WATCH)
    await give(page, reader.token)
    await page.getByText('Tasks and totals cannot be shown: the token does not have the scope "metrics".').waitFor()
    await page.locator('[data-watched="page_views_1h/page/home"] .fresh', { hasText: '8,000' }).waitFor()
  })
})

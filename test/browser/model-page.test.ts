// The model's part of the live page in a real Chromium: figures, curve, days, versions; which window; nodes that judge nothing.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Browser, BrowserContextOptions, Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { hashNumber } from '../../ml/hash.ts'
import { sigmoid } from '../../ml/logistic.ts'
import {
  addKnown,
  addMature,
  addOpen,
  addTally,
  EVALUATION_DAY_MS,
  emptyTally,
  judgedTouch,
  nanoOf,
} from '../../operators/evaluation-tally.ts'
import { buildWeb } from '../../scripts/build-web.ts'
import type { DayTally } from '../../sinks/evaluation-reads.ts'
import { type EvaluationReport, evaluationReport } from '../../sinks/evaluation-report.ts'
import { openBrowser } from './browser.ts'
import { PageNode, taskRow } from './page-node.ts'

const DAY = EVALUATION_DAY_MS
const HOUR = 3_600_000
const START_MS = Date.UTC(2026, 0, 1)
const DAYS = 24
const PER_DAY = 400
const HORIZON_MS = 7 * DAY + 300_000
/** In the afternoon of the last day. */
const NOW_MS = START_MS + (DAYS - 1) * DAY + 15 * HOUR
const SEEN_MS = 20_000

const u = (i: number, of: number): number => ((hashNumber(i, of) >>> 0) + 0.5) / 2 ** 32

/** A report on touches of 24 days by three versions, each better than the one before; what the panel shows is made of real sums. */
function reportOf(): EvaluationReport {
  const slices = new Map(['0', '1', '2', '3'].map((version) => [version, emptyTally()]))
  const days = Array.from({ length: DAYS }, (_, day): DayTally => {
    const tally = emptyTally()
    for (let i = 0; i < PER_DAY; i++) {
      const [n, at] = [day * PER_DAY + i, START_MS + day * DAY + Math.floor((i / PER_DAY) * DAY)]
      const logit = -2.5 + 3 * (u(n, 1) - 0.5)
      const version = 1 + Math.min(2, Math.floor((3 * day) / DAYS))
      const said = sigmoid(logit + (4 - version) * 0.8 * (u(n, 4) - 0.5))
      const y = u(n, 2) < sigmoid(logit) ? 1 : 0
      const delayMs = HOUR * (7 * 24) ** u(n, 3)
      if (at + 2 * HOUR <= NOW_MS) addOpen(tally, at, nanoOf(said))
      if (y === 1 && at + delayMs <= NOW_MS) addKnown(tally, 23 - Math.floor(Math.log(HORIZON_MS / delayMs) / 0.243))
      if (at + HORIZON_MS > NOW_MS) continue
      addMature(tally, judgedTouch(said, y))
      addMature(slices.get(i % 20 === 0 ? '0' : String(version))!, judgedTouch(said, y))
    }
    return { dayMs: START_MS + day * DAY, tally }
  })
  const all = days.map(({ dayMs, tally }) => {
    const copy = emptyTally()
    addTally(copy, tally)
    return { dayMs, tally: copy }
  })
  const rows = { mature: 6_400, open: 9_000, fallback: 320, incomplete: 12, unscored: 3, expired: 0, other: 40 }
  return evaluationReport({ throughMs: NOW_MS, rows, days, slices, all }, HORIZON_MS)
}

const REPORT = reportOf()
const NOTHING: EvaluationReport = {
  ...REPORT,
  ...evaluationReport({ throughMs: null, rows: REPORT.rows, days: [], slices: new Map(), all: [] }, HORIZON_MS),
}

const browser: Browser | string = await openBrowser()
const pageDir = mkdtempSync(join(tmpdir(), 'holdfast-model-page-'))
const nodes: PageNode[] = []

beforeAll(async () => {
  if (typeof browser === 'string') console.warn(browser)
  await buildWeb({ pageDir, say: () => {} })
})
afterAll(async () => {
  if (typeof browser !== 'string') await browser.close()
  await Promise.all(nodes.map((node) => node.close()))
  rmSync(pageDir, { recursive: true })
})

interface Stage {
  readonly node: PageNode
  readonly page: Page
  readonly complaints: string[]
}

async function openStage(reports: object, query = '', options: BrowserContextOptions = {}): Promise<Stage> {
  const node = new PageNode()
  node.tasks = [taskRow('user', 0)]
  for (const [window, report] of Object.entries(reports)) node.evaluations.set(window, report)
  await node.open(pageDir)
  nodes.push(node)
  const context = await (browser as Browser).newContext({ locale: 'en-US', timezoneId: 'UTC', ...options })
  const page = await context.newPage()
  page.setDefaultTimeout(SEEN_MS)
  const complaints: string[] = []
  page.on('console', (message) => message.type() === 'error' && complaints.push(message.text()))
  page.on('pageerror', (error) => complaints.push(String(error)))
  await page.goto(`${node.url}/${query}`)
  return { node, page, complaints }
}

const asked = ({ asked }: PageNode) => asked.filter((url) => url.startsWith('/v1/models/evaluation'))
const WINDOWS = { '1d_click': REPORT, '7d_click': NOTHING }

describe.runIf(typeof browser !== 'string')("the model's part of the page", { concurrent: true }, () => {
  it('shows the figures, and how far each may be off', async () => {
    const { page, complaints } = await openStage(WINDOWS)
    const figure = (name: string) => page.locator(`[data-figure="${name}"]`)
    await figure('Normalised entropy').waitFor()
    const { total, estimated } = REPORT
    expect(await figure('Normalised entropy').locator('.value').innerText()).toBe(total.normalisedEntropy!.toFixed(3))
    expect(await figure('AUC').innerText()).toContain(`at most ${total.auc!.error.toFixed(3)} off`)
    const { value, interval } = total.calibration!
    expect(await figure('Calibration').innerText()).toBe(
      `Calibration\n${value.toFixed(3)}\n${interval.low.toFixed(3)} to ${interval.high.toFixed(3)}`,
    )
    expect(await figure('Calibration of open windows').innerText()).toContain(
      `${estimated!.calibration!.value.toFixed(3)}\nestimated, `,
    )
    await page.getByText('scored by the fallback 320, not used 55').waitFor()
    expect(complaints).toEqual([])
  })

  it('draws the curve and the days, each mark with its words; open days are hollow', async () => {
    const { page } = await openStage(WINDOWS)
    const marks = (id: string) => page.locator(`[data-chart=${id}] .mark`)
    await marks('calibration-curve').first().waitFor()
    expect(await marks('calibration-curve').count()).toBe(REPORT.curve.length)
    expect(REPORT.curve.length).toBeGreaterThan(5)
    const first = REPORT.curve[0]!
    expect(await marks('calibration-curve').first().locator('title').textContent()).toContain(
      `${first.positives} of ${first.touches} touches`,
    )
    // Every day has a calibration, the open ones an estimated one, but the last, of which too little is known; entropy is of touches
    // whose window is over.
    expect(await marks('calibration-days').count()).toBe(DAYS - 1)
    expect(await page.locator('[data-chart=calibration-days] .open').count()).toBe(7)
    expect(await page.locator('[data-chart=entropy-days] .open').count()).toBe(1)
    expect(await marks('entropy-days').count()).toBe(DAYS - 8 + 1)
    const picture = page.getByRole('img', { name: 'Calibration: 2026-01-01: ' })
    expect(await picture.count()).toBe(1)
  })

  it('lists versions, the newest first, and the fallback', async () => {
    const { page } = await openStage(WINDOWS)
    await page.locator('[data-version="3"]').waitFor()
    expect(await page.locator('[data-version] th').allInnerTexts()).toEqual(['3', '2', '1', 'the fallback'])
    const of = REPORT.slices.find(({ id }) => id === '2')!
    const cells = await page.locator('[data-version="2"] td').allInnerTexts()
    expect(cells.slice(0, 4)).toEqual([
      ...['–', of.touches.toLocaleString('en-US'), String(of.positives), of.normalisedEntropy!.toFixed(3)],
    ])
  })

  it('says which version scores now, how old it is, and what did not become live', async () => {
    const { node, page } = await openStage(WINDOWS)
    node.model = { version: 2, activation: 5, age_ms: 7_380_000, stale: false, refused: { parent: 1, hash: 2 } }
    await page
      .getByText('Version 2 scores, published 2 h 3 min ago. Published, and refused: 1 (parent), 2 (hash).')
      .waitFor()
    const state = (version: string) => page.locator(`[data-version="${version}"] td`).first()
    await state('2').filter({ hasText: 'scores now' }).waitFor()
    expect(await state('3').innerText()).toBe('scored before')
    node.model = { version: 2, activation: 5, age_ms: 900_000_000, stale: true, refused: {} }
    await page.locator('.wrong', { hasText: 'Version 2 scores, published 10 days ago, which is too long.' }).waitFor()
    node.model = { version: 0, activation: 0, age_ms: null, stale: false, refused: {} }
    await page.getByText('No version is live: rates answer.').waitFor()
    await state('0').filter({ hasText: 'scores now' }).waitFor()
  })

  it('shows another window when it is chosen, and again by its address; nothing is made up where nothing is known', async () => {
    const { node, page } = await openStage(WINDOWS)
    await page.locator('[data-version="3"]').waitFor()
    await page.getByLabel('Window of the scores').selectOption('7d_click')
    await page.getByText('No window of a scored touch is over yet.').waitFor()
    expect(await page.locator('[data-chart]').count()).toBe(0)
    expect(new URL(page.url()).search).toBe('?model=7d_click')
    await page.reload()
    await page.getByText('No window of a scored touch is over yet.').waitFor()
    expect(await page.getByLabel('Window of the scores').inputValue()).toBe('7d_click')
    // Not with every look of the page.
    const before = asked(node).length
    await page.waitForTimeout(3_000)
    expect(asked(node).length - before).toBeLessThanOrEqual(1)
  })

  it('says why there is nothing, and is not there where the node trains no model', async () => {
    const refused = await openStage(WINDOWS, '?model=gone')
    await refused.page.getByText('There are no figures: there are the windows 1d_click, 7d_click.').waitFor()
    const none = await openStage({})
    await none.page.getByRole('status').filter({ hasText: 'Live' }).waitFor()
    await none.page.waitForTimeout(1_500)
    expect(await none.page.locator('.model').count()).toBe(0)
    expect([asked(none.node), none.complaints]).toEqual([[], []])
  })

  it.each([
    ['a desk', 1280, 'light'],
    ['a desk in the dark', 1280, 'dark'],
    ['a phone', 360, 'light'],
  ] as const)('fits the screen of %s', async (name, width, colorScheme) => {
    const { node, page } = await openStage(WINDOWS, '', { viewport: { width, height: 800 }, colorScheme })
    node.model = { version: 3, activation: 4, age_ms: 7_380_000, stale: false, refused: { parent: 1 } }
    await page.locator('[data-version="3"] td', { hasText: 'scores now' }).waitFor()
    expect(await page.evaluate('document.documentElement.scrollWidth')).toBeLessThanOrEqual(width)
    const shots = process.env.HOLDFAST_SHOTS
    if (shots !== undefined) await page.locator('.model').screenshot({ path: join(shots, `model ${name}.png`) })
    // Marks have the colour of lines, whatever the scheme.
    const fill = `getComputedStyle(document.querySelector('[data-chart=entropy-days] .mark circle')).fill`
    expect(await page.evaluate(fill)).toBe(colorScheme === 'dark' ? 'rgb(87, 194, 164)' : 'rgb(31, 111, 92)')
  })
})

// The picture of a plan in a real Chromium: it is XML, nothing in it overlaps, all that is declared is in it, nothing in it runs,
// and it follows the reader's light or dark.

import type { Browser, Page } from 'playwright-core'
import { afterAll, expect, it } from 'vitest'
import { APPLICATION } from '../../topology/features/application.ts'
import type { Declarations } from '../../topology/features/declaration.ts'
import { explainFeatures } from '../../topology/features/explanation.ts'
import { planPicture } from '../../topology/features/plan-picture.ts'
import { clicks, declared } from '../features/declared.ts'
import { openBrowser } from './browser.ts'

const browser: Browser | string = await openBrowser()
const it1 = it.runIf(typeof browser !== 'string')
afterAll(async () => {
  if (typeof browser !== 'string') await browser.close()
})

async function drawn(declarations: Declarations, colorScheme: 'light' | 'dark' = 'light'): Promise<Page> {
  const page = await (browser as Browser).newPage({ locale: 'en-US', colorScheme })
  await page.setContent(planPicture(explainFeatures(declarations)))
  return page
}

interface Place {
  readonly text: string
  readonly x: number
  readonly y: number
  readonly width: number
  readonly height: number
}

const placesOf = (page: Page, of: string): Promise<Place[]> =>
  page.evaluate(`[...document.querySelectorAll(${JSON.stringify(of)})].map((one) => {
    const { x, y, width, height } = one.getBBox()
    return { text: one.firstChild?.nodeValue ?? '', x, y, width, height }
  })`)

/** A line of 12 px takes 18; letters with tails and accents stand a little into the space between. */
const SLACK = 1
function overlaps(places: readonly Place[]): string[] {
  return places.flatMap((a, i) =>
    places.slice(i + 1).flatMap((b) => {
      const isBeside = a.x + a.width <= b.x + SLACK || b.x + b.width <= a.x + SLACK
      const isAbove = a.y + a.height <= b.y + SLACK || b.y + b.height <= a.y + SLACK
      return isBeside || isAbove ? [] : [`${a.text} / ${b.text}`]
    }),
  )
}

it1('nothing overlaps or sticks out, and every feature of the application is there once', async () => {
  const page = await drawn(APPLICATION)
  const [texts, boxes] = await Promise.all([placesOf(page, 'text'), placesOf(page, 'rect')])
  expect(overlaps(texts)).toEqual([])
  expect(overlaps(boxes)).toEqual([])
  const sticksOut = texts.filter(({ x, y, width, height }) =>
    boxes.some((box) => {
      const begins = x >= box.x && x < box.x + box.width && y >= box.y && y < box.y + box.height
      return begins && (x + width > box.x + box.width || y + height > box.y + box.height)
    }),
  )
  expect(sticksOut).toEqual([])
  const { groups, computed } = explainFeatures(APPLICATION)
  const kept = groups.flatMap(({ partsRead, listsRead }) =>
    [...partsRead, ...listsRead].flatMap(({ readBy }) => readBy),
  )
  const ids = [...new Set([...kept, ...computed.map(({ feature }) => feature)])]
  const count = Map.groupBy(texts, ({ text }) => text)
  expect(ids.filter((id) => count.get(id)?.length !== 1)).toEqual([])
  expect(count.get('events')).toHaveLength(1)
  await page.close()
})

it1('what is declared is text: nothing of it runs, asks for anything or breaks the picture', async () => {
  const nasty = `"'<script>window.ran = 1</script>&]]>\u0000\u202e<image href="http://127.0.0.1:1/x">`
  const where = { op: 'equal', args: [{ field: 'channel', as: 'text' }, { constant: nasty }] } as const
  const declarations = declared([clicks({ events: { types: ['click'], where } })])
  const page = await (browser as Browser).newPage({ locale: 'en-US' })
  const asked: string[] = []
  page.on('request', ({ url }) => asked.push(url()))
  const svg = planPicture(explainFeatures(declarations))
  await page.setContent(svg)
  const parsed = `new DOMParser().parseFromString(${JSON.stringify(svg)}, 'image/svg+xml').querySelectorAll('parsererror').length`
  expect(await page.evaluate(parsed)).toBe(0)
  expect(await page.evaluate('[window.ran, document.querySelectorAll("script, image, [href]").length]')).toEqual([
    undefined,
    0,
  ])
  expect(
    await page.evaluate('[...document.querySelectorAll("text title")].map((one) => one.textContent).join()'),
  ).toContain('<script>window.ran = 1</script>&]]>')
  expect(asked).toEqual([])
  await page.close()
})

it1('is light or dark as the reader is, and its texts are read', async () => {
  for (const [scheme, background, text] of [
    ['light', 'rgb(255, 255, 255)', 'rgb(28, 35, 33)'],
    ['dark', 'rgb(19, 24, 22)', 'rgb(230, 235, 233)'],
  ] as const) {
    const page = await drawn(APPLICATION, scheme)
    const colours = `[getComputedStyle(document.querySelector('svg')).backgroundColor, getComputedStyle(document.querySelector('text')).fill]`
    expect(await page.evaluate(colours)).toEqual([background, text])
    await page.close()
  }
})

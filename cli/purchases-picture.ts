// A report of purchases as a picture: a bar for each day of touches, what is estimated to come hatched on top of it with its range; one
// panel for each currency. Counts are bars; values are said below, so that no axis has two meanings.
// PI1: it is one file that asks nobody for anything; its texts are escaped; colours follow the reader's light or dark.
// PI2: a day of which nothing can be told yet says so with a dotted outline, never with a bar that looks final.

import type { ReadPurchasesAnswer } from '../client/holdfast.ts'
import { escaped } from '../topology/features/plan-picture.ts'

const WIDTH = 960
const LEFT = 60
const RIGHT = 20
const HEAD = 56
const BARS = 200
const PANEL = BARS + 84
const PLOT = WIDTH - LEFT - RIGHT
/** Dates that have room below the bars. */
const LABELS_MAX = 14
const TICKS = 4

const STYLE = `
  :root { --back: #fff; --text: #1c2321; --muted: #5b6662; --line: #d5dcd9; --bar: #1f6f5c; color-scheme: light dark }
  @media (prefers-color-scheme: dark) {
    :root { --back: #131816; --text: #e6ebe9; --muted: #9aa6a1; --line: #333d39; --bar: #66c2a8 }
  }
  svg { background: var(--back) }
  text { font: 12px system-ui, sans-serif; fill: var(--text) }
  .muted { fill: var(--muted) } .large { font-size: 17px; font-weight: 600 } .title { font-weight: 600 }
  .middle { text-anchor: middle } .end { text-anchor: end }
  path { fill: none; stroke: var(--line) } path.range { stroke: var(--text) }
  rect.seen { fill: var(--bar) } rect.come { fill: url(#hatch); stroke: var(--bar) }
  rect.open { fill: none; stroke: var(--bar); stroke-dasharray: 2 3 }
  pattern path { stroke: var(--bar); stroke-width: 2 }`

const HATCH =
  '<defs><pattern id="hatch" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">' +
  '<path d="M3 0V6"/></pattern></defs>'

type Total = ReadPurchasesAnswer['totals'][number]

/** The report as SVG. */
export function purchasesPicture(answer: ReadPurchasesAnswer): string {
  const { advertiser_id, goal, window, time_zone, days, totals } = answer
  const title = `Purchases of ${advertiser_id} by day of the touch, ${goal === null ? '' : `${goal}, `}${window}, ${time_zone}`
  const parts: string[] = []
  const byCurrency = Map.groupBy(totals, ({ currency }) => currency)
  let y = HEAD
  for (const [currency, own] of byCurrency) {
    parts.push(...panel(currency, own, days, y))
    y += PANEL
  }
  if (byCurrency.size === 0) parts.push(text(LEFT, y, 'none', 'muted'))
  const height = Math.max(HEAD + 20, y)
  const legend = 'full: credited · hatched: estimated to come, with its range of 90 % · dotted: too few to tell'
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" role="img" aria-labelledby="purchases-title">`,
    `<title id="purchases-title">${escaped(title)}</title><style>${STYLE}</style>${HATCH}`,
    text(LEFT, 24, title, 'large'),
    text(LEFT, 42, legend, 'muted'),
    ...parts,
    '</svg>\n',
  ].join('\n')
}

function panel(currency: string, totals: readonly Total[], days: ReadPurchasesAnswer['days'], y: number): string[] {
  const top = scaleFor(
    Math.max(1, ...totals.map(({ day, count, estimate }) => (day === null ? 0 : (estimate?.high ?? count)))),
  )
  const bottom = y + 20 + BARS
  const at = (count: number): number => round(bottom - (Math.max(0, count) / top) * BARS)
  const step = PLOT / Math.max(1, days.length)
  const all = totals.find(({ day }) => day === null)!
  const money = currency === 'none' ? 'without a currency' : `${all.value.toFixed(2)} ${currency}`
  const then = all.estimate === null ? '' : `, about ${all.estimate.count.toFixed(0)} in the end`
  const parts = [text(LEFT, y + 4, `${all.count} purchases, ${money}${then}`, 'title')]
  for (let i = 0; i <= TICKS; i++) {
    const count = (top / TICKS) * i
    parts.push(
      `<path d="M${LEFT} ${at(count)}H${WIDTH - RIGHT}"/>`,
      text(LEFT - 8, at(count) + 4, String(count), 'muted end'),
    )
  }
  const everyDays = Math.ceil(days.length / LABELS_MAX)
  days.forEach(({ day }, i) => {
    const [x, width] = [round(LEFT + i * step + step * 0.15), round(step * 0.7)]
    const total = totals.find((one) => one.day === i)
    if (total !== undefined) parts.push(...drawn(total, day, x, width, at))
    if (i % everyDays === 0) parts.push(text(x + width / 2, bottom + 16, day.slice(5), 'muted middle'))
  })
  return parts
}

function drawn(
  { count, estimate, state }: Total,
  day: string,
  x: number,
  width: number,
  at: (count: number) => number,
) {
  const box = (name: string, from: number, to: number, what: string): string => {
    const height = round(at(from) - at(to))
    return `<rect class="${name}" x="${x}" y="${at(to)}" width="${width}" height="${height}"><title>${escaped(`${day}: ${what}`)}</title></rect>`
  }
  if (state === 'too_few') return [box('open', 0, count, `${count} so far, too few to tell how many it will be`)]
  const parts = [box('seen', 0, count, `${count}${state === 'mature' ? '' : ' so far'}`)]
  if (estimate === null) return parts
  const range = `${Math.floor(estimate.low)} to ${Math.ceil(estimate.high)}`
  parts.push(box('come', count, estimate.count, `about ${estimate.count.toFixed(1)} in the end, ${range}`))
  const middle = round(x + width / 2)
  return [...parts, `<path class="range" d="M${middle} ${at(estimate.low)}V${at(estimate.high)}"/>`]
}

/** The least round number that four even ticks lead to, at or above a count. */
function scaleFor(count: number): number {
  for (let unit = TICKS; ; unit *= 10) for (const times of [1, 2, 5]) if (unit * times >= count) return unit * times
}

const round = (x: number): number => Math.round(x * 100) / 100

const text = (x: number, y: number, what: string, name: string): string =>
  `<text class="${name}" x="${round(x)}" y="${round(y)}">${escaped(what)}</text>`

// How good scores were as a picture: for each window the curve of calibration, entropy and calibration day by day.
// EI1: it is one file that asks nobody for anything; its texts are escaped; colours follow the reader's light or dark.

import { type Box, type Chart, calibrationChart, dayChart } from '../../sinks/charts.ts'
import { escaped } from '../../topology/features/plan-picture.ts'
import type { JudgedWindow } from './judged-window.ts'

const BOX: Box = { width: 400, height: 260, left: 56, right: 24, top: 30, bottom: 44 }
const CHARTS = 3
const [HEAD, ROW_HEAD] = [56, 30]
const DOT_RADIUS = 3.5
const DATE_CHARS = 10

const STYLE = `
  :root { --back: #fff; --text: #1c2321; --muted: #5b6662; --line: #d5dcd9; --mark: #1f6f5c; color-scheme: light dark }
  @media (prefers-color-scheme: dark) {
    :root { --back: #131816; --text: #e6ebe9; --muted: #9aa6a1; --line: #333d39; --mark: #66c2a8 }
  }
  svg { background: var(--back) }
  text { font: 12px system-ui, sans-serif; fill: var(--text) }
  .muted { fill: var(--muted) } .large { font-size: 17px; font-weight: 600 } .title { font-weight: 600 }
  .middle { text-anchor: middle } .end { text-anchor: end }
  path { fill: none; stroke: var(--mark); stroke-width: 1.5 } path.grid { stroke: var(--line) }
  path.reference { stroke: var(--muted); stroke-dasharray: 5 4 } circle { fill: var(--mark) }`

/** As SVG. */
export function evaluationPicture(windows: readonly JudgedWindow[]): string {
  const [width, height] = [CHARTS * BOX.width, HEAD + windows.length * (ROW_HEAD + BOX.height)]
  const title = 'How good the scores of a run were'
  const legend =
    'each bar: where the figure lies with 95 % · dashed: what would be right; of entropy, who always says the rate'
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img" aria-labelledby="evaluation-title">`,
    `<title id="evaluation-title">${title}</title><style>${STYLE}</style>`,
    text(BOX.left, 24, title, 'large'),
    text(BOX.left, 42, legend, 'muted'),
    ...windows.flatMap((window, i) => row(window, HEAD + i * (ROW_HEAD + BOX.height))),
    '</svg>\n',
  ].join('\n')
}

function row({ window, comparison, report }: JudgedWindow, y: number): string[] {
  const { touches, positives } = comparison
  const days = report.days.map(({ dayMs, normalisedEntropy, calibration }) => ({
    day: new Date(dayMs).toISOString().slice(0, DATE_CHARS),
    ...{ normalisedEntropy, calibration, isOpen: false },
  }))
  const curve = report.curve.map(({ interval, ...point }) => ({ ...point, ...interval }))
  const entropy = days.map(({ normalisedEntropy: value, ...day }) => ({ ...day, value }))
  const calibration = days.map(({ calibration: one, ...day }) => ({
    ...day,
    value: one?.value ?? null,
    ...one?.interval,
  }))
  return [
    text(BOX.left, y + 16, `${window}: ${touches} touches, ${positives} of them converted`, 'title'),
    ...chartParts('what came, by what was promised', calibrationChart(curve, BOX), 0, y + ROW_HEAD),
    ...chartParts('normalised entropy, by day of the touch', dayChart(entropy, BOX), BOX.width, y + ROW_HEAD),
    ...chartParts('calibration, by day of the touch', dayChart(calibration, BOX), 2 * BOX.width, y + ROW_HEAD),
  ]
}

function chartParts(
  title: string,
  { box, xTicks, yTicks, reference, line, marks }: Chart,
  x: number,
  y: number,
): string[] {
  const [floor, end] = [box.height - box.bottom, box.width - box.right]
  const { x1, y1, x2, y2 } = reference
  return [
    `<g transform="translate(${x} ${y})">`,
    text(box.left, 16, title, 'muted'),
    ...yTicks.flatMap(({ at, text: said }) => [
      `<path class="grid" d="M${box.left} ${at}H${end}"/>`,
      text(box.left - 7, at + 4, said, 'muted end'),
    ]),
    ...xTicks.map(({ at, text: said }) => text(at, floor + 16, said, 'muted middle')),
    `<path class="reference" d="M${x1} ${y1}L${x2} ${y2}"/>`,
    ...(line === '' ? [] : [`<path d="${line}"/>`]),
    ...marks.map(
      (mark) =>
        `<g><title>${escaped(mark.title)}</title><path d="M${mark.x} ${mark.low}V${mark.high}"/><circle cx="${mark.x}" cy="${mark.y}" r="${DOT_RADIUS}"/></g>`,
    ),
    '</g>',
  ]
}

const text = (x: number, y: number, what: string, name: string): string =>
  `<text class="${name}" x="${x}" y="${y}">${escaped(what)}</text>`
